package mpegts

// Service is what an SDT says of one service.
type Service struct {
	TransportStreamID uint16
	ID                uint16 // program_number
	Name, Provider    string // cut to 60 and 40 bytes; UTF-8 where ASCII does not do
}

// AppendSDT appends a packet on PID 0x11 that holds the SDT of one service, in
// clear, without EIT, running (ETSI EN 300 468 5.2.3, 6.2.33: digital
// television). Its continuity counter is 0.
func AppendSDT(dst []byte, s Service) []byte {
	provider, name := dvbString(s.Provider, 40), dvbString(s.Name, 60)
	d := []byte{0x48, 0, 0x01, byte(len(provider))}
	d = append(append(append(d, provider...), byte(len(name))), name...)
	d[1] = byte(len(d) - 2)
	// table_id, length; transport_stream_id, version 0 current, section 0 of 0;
	// original_network_id 0xFF01 (private), reserved.
	b := []byte{0x42, 0xF0, 0, byte(s.TransportStreamID >> 8), byte(s.TransportStreamID), 0xC1, 0, 0, 0xFF, 0x01, 0xFF,
		byte(s.ID >> 8), byte(s.ID), 0xFC, 0x80, byte(len(d))}
	b = append(b, d...)
	return appendTable(dst, SDTPID, b)
}

// dvbString is text of EN 300 468 annex A: as it is when ASCII, else UTF-8 with
// the byte that says so. It cuts between characters.
func dvbString(s string, limit int) []byte {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] >= 0x20 && s[i] < 0x7F
	}
	var b []byte
	if !ascii {
		b = append(b, 0x15)
	}
	for _, r := range s {
		c := string(r)
		if len(b)+len(c) > limit {
			break
		}
		b = append(b, c...)
	}
	return b
}
