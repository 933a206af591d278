package mpegts

// PES header access (ISO/IEC 13818-1 2.4.3.6). The header must lie whole in
// the packet that starts it, which every multiplexer in practice does; a
// header cut by the packet's end counts as one without the cut field.

// PESHeader returns the view of a PES packet's start, false when no PES packet
// starts here in clear. The slice runs to the end of the packet.
func (p Packet) PESHeader() ([]byte, bool) {
	if p[1]&0xC0 != 0x40 || p[3]&0xC0 != 0 { // PUSI without transport error, not scrambled
		return nil, false
	}
	b := p.Payload()
	if len(b) < 6 || b[0] != 0 || b[1] != 0 || b[2] != 1 {
		return nil, false
	}
	return b, true
}

// hasPESExtension reports whether a stream_id's PES packets carry the flags
// and timestamps (ISO/IEC 13818-1 2.4.3.7: all but eight kinds).
func hasPESExtension(streamID byte) bool {
	switch streamID {
	case 0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF:
		return false
	}
	return streamID >= 0xBD
}

// ptsFields returns the PTS and DTS fields, nil for those that are absent.
// split is true when they are announced but cut by the packet's end.
func (p Packet) ptsFields() (pts, dts []byte, split bool) {
	b, ok := p.PESHeader()
	if !ok || !hasPESExtension(b[3]) {
		return nil, nil, false
	}
	if len(b) < 9 {
		return nil, nil, true
	}
	if b[6]&0xC0 != 0x80 || b[7]&0x80 == 0 {
		return nil, nil, false
	}
	if b[8] < 5 {
		return nil, nil, false // the header's own length leaves no room: not a timestamp
	}
	if len(b) < 14 {
		return nil, nil, true
	}
	pts = b[9:14]
	if b[7]&0x40 == 0 || b[8] < 10 {
		return pts, nil, false
	}
	if len(b) < 19 {
		return pts, nil, true
	}
	return pts, b[14:19], false
}

// PTS returns the presentation timestamp of the PES packet that starts here,
// false when there is none.
func (p Packet) PTS() (Timestamp, bool) {
	f, _, _ := p.ptsFields()
	return getTimestamp(f)
}

// DTS returns the decoding timestamp of the PES packet that starts here, false
// when there is none (then it equals the PTS).
func (p Packet) DTS() (Timestamp, bool) {
	_, f, _ := p.ptsFields()
	return getTimestamp(f)
}

// SetPTS overwrites the presentation timestamp and keeps its marker bits. It
// reports false, and changes nothing, when the packet has none.
func (p Packet) SetPTS(t Timestamp) bool {
	f, _, _ := p.ptsFields()
	return putTimestamp(f, t)
}

// SetDTS overwrites the decoding timestamp and keeps its marker bits. It
// reports false, and changes nothing, when the packet has none.
func (p Packet) SetDTS(t Timestamp) bool {
	_, f, _ := p.ptsFields()
	return putTimestamp(f, t)
}

func getTimestamp(b []byte) (Timestamp, bool) {
	if len(b) != 5 {
		return 0, false
	}
	return Timestamp(b[0]>>1&0x07)<<30 | Timestamp(b[1])<<22 | Timestamp(b[2]>>1)<<15 |
		Timestamp(b[3])<<7 | Timestamp(b[4]>>1), true
}

func putTimestamp(b []byte, t Timestamp) bool {
	if len(b) != 5 {
		return false
	}
	t %= PTSModulus
	b[0] = b[0]&0xF1 | byte(t>>29)&0x0E
	b[1] = byte(t >> 22)
	b[2] = b[2]&0x01 | byte(t>>14)&0xFE
	b[3] = byte(t >> 7)
	b[4] = b[4]&0x01 | byte(t<<1)
	return true
}
