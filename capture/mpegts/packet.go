package mpegts

// PacketSize is the length of a transport-stream packet in bytes, and SyncByte
// its first byte (ISO/IEC 13818-1 2.4.3.2).
const (
	PacketSize = 188
	SyncByte   = 0x47
)

// PID is a packet identifier, 0…0x1FFF.
type PID uint16

// PIDs with a fixed meaning (ISO/IEC 13818-1 table 2-3, ETSI EN 300 468 table 1).
const (
	PATPID  PID = 0x0000
	CATPID  PID = 0x0001
	TSDTPID PID = 0x0002
	NITPID  PID = 0x0010
	SDTPID  PID = 0x0011 // SDT and BAT
	EITPID  PID = 0x0012
	RSTPID  PID = 0x0013
	TDTPID  PID = 0x0014 // TDT and TOT
	NullPID PID = 0x1FFF

	// PIDCount is the number of PIDs: the length of a table indexed by PID.
	PIDCount = 0x2000
)

// Packet is a view of exactly 188 bytes of a transport stream. Its methods
// read and write in place, never allocate, and never read outside the packet
// whatever the bytes say: a field that a damaged adaptation field would put
// outside is absent. A Packet of another length makes them panic.
type Packet []byte

// Valid reports whether p has the length and the sync byte of a packet.
func (p Packet) Valid() bool { return len(p) == PacketSize && p[0] == SyncByte }

// PID returns the packet identifier.
func (p Packet) PID() PID { return PID(p[1]&0x1F)<<8 | PID(p[2]) }

// SetPID changes the packet identifier; bits above the 13th are ignored.
func (p Packet) SetPID(pid PID) {
	p[1] = p[1]&0xE0 | byte(pid>>8)&0x1F
	p[2] = byte(pid)
}

// TransportError reports transport_error_indicator: the packet is damaged and
// none of its bits can be trusted.
func (p Packet) TransportError() bool { return p[1]&0x80 != 0 }

// SetTransportError sets or clears transport_error_indicator.
func (p Packet) SetTransportError(on bool) { p.setBit(1, 0x80, on) }

// PUSI reports payload_unit_start_indicator: a PES packet or a section starts
// in this packet.
func (p Packet) PUSI() bool { return p[1]&0x40 != 0 }

// SetPUSI sets or clears payload_unit_start_indicator.
func (p Packet) SetPUSI(on bool) { p.setBit(1, 0x40, on) }

// Scrambling returns transport_scrambling_control, 0 (in clear) … 3.
func (p Packet) Scrambling() uint8 { return p[3] >> 6 }

// HasAdaptation reports whether an adaptation field is present.
func (p Packet) HasAdaptation() bool { return p[3]&0x20 != 0 }

// HasPayload reports whether the header announces a payload.
func (p Packet) HasPayload() bool { return p[3]&0x10 != 0 }

// CC returns continuity_counter, 0…15.
func (p Packet) CC() uint8 { return p[3] & 0x0F }

// SetCC changes continuity_counter; only the low four bits of cc count.
func (p Packet) SetCC(cc uint8) { p[3] = p[3]&0xF0 | cc&0x0F }

// flags returns the flag byte of the adaptation field, 0 when there is none
// or its length lies (adaptation_field_length 0…183).
func (p Packet) flags() byte {
	if p[3]&0x20 == 0 || p[4] == 0 || p[4] > 183 {
		return 0
	}
	return p[5]
}

// Discontinuity reports discontinuity_indicator: the continuity counter, and
// on a PCR PID the time base, may break here (ISO/IEC 13818-1 2.4.3.5).
func (p Packet) Discontinuity() bool { return p.flags()&0x80 != 0 }

// SetDiscontinuity sets or clears discontinuity_indicator. It reports false,
// and changes nothing, when the packet has no adaptation field with flags.
func (p Packet) SetDiscontinuity(on bool) bool {
	if p[3]&0x20 == 0 || p[4] == 0 || p[4] > 183 {
		return false
	}
	p.setBit(5, 0x80, on)
	return true
}

// RandomAccess reports random_access_indicator: a decoder can start here.
func (p Packet) RandomAccess() bool { return p.flags()&0x40 != 0 }

// Payload returns the bytes behind header and adaptation field: a view into
// the packet, empty when there is no payload or the adaptation field's length
// leaves none.
func (p Packet) Payload() []byte {
	start := p.payloadStart()
	if start >= PacketSize {
		return nil
	}
	return p[start:PacketSize:PacketSize]
}

func (p Packet) payloadStart() int {
	switch p[3] & 0x30 {
	case 0x10:
		return 4
	case 0x30:
		return min(5+int(p[4]), PacketSize)
	default:
		return PacketSize
	}
}

// PCR returns the program clock reference, false when the packet has none.
func (p Packet) PCR() (PCR, bool) {
	if p[3]&0x20 == 0 || p[4] < 7 || p[4] > 183 || p[5]&0x10 == 0 {
		return 0, false
	}
	return getPCR(p[6:12]), true
}

// SetPCR overwrites the program clock reference. It reports false, and changes
// nothing, when the packet has none.
func (p Packet) SetPCR(v PCR) bool {
	if _, ok := p.PCR(); !ok {
		return false
	}
	putPCR(p[6:12], v)
	return true
}

// opcrAt returns the offset of the original PCR, 0 when there is none.
func (p Packet) opcrAt() int {
	if p.flags()&0x08 == 0 {
		return 0
	}
	at := 6
	if p[5]&0x10 != 0 {
		at += 6
	}
	if at+6 > 5+int(p[4]) {
		return 0
	}
	return at
}

// OPCR returns the original program clock reference, false when there is none.
func (p Packet) OPCR() (PCR, bool) {
	at := p.opcrAt()
	if at == 0 {
		return 0, false
	}
	return getPCR(p[at : at+6]), true
}

// SetOPCR overwrites the original program clock reference. It reports false,
// and changes nothing, when the packet has none.
func (p Packet) SetOPCR(v PCR) bool {
	at := p.opcrAt()
	if at == 0 {
		return false
	}
	putPCR(p[at:at+6], v)
	return true
}

func (p Packet) setBit(i int, mask byte, on bool) {
	if on {
		p[i] |= mask
	} else {
		p[i] &^= mask
	}
}

// getPCR reads the 48-bit field: base 33, reserved 6, extension 9.
func getPCR(b []byte) PCR {
	_ = b[5]
	base := uint64(b[0])<<25 | uint64(b[1])<<17 | uint64(b[2])<<9 | uint64(b[3])<<1 | uint64(b[4])>>7
	ext := uint64(b[4]&1)<<8 | uint64(b[5])
	return PCR((base*300 + ext) % PCRModulus) // an extension above 299 is illegal but harmless
}

func putPCR(b []byte, v PCR) {
	_ = b[5]
	base, ext := uint64(v)%PCRModulus/300, uint64(v)%300
	b[0] = byte(base >> 25)
	b[1] = byte(base >> 17)
	b[2] = byte(base >> 9)
	b[3] = byte(base >> 1)
	b[4] = byte(base<<7) | 0x7E | byte(ext>>8)
	b[5] = byte(ext)
}
