package mpegts

// AppendPAT appends a packet with a PAT of one programme (ISO/IEC 13818-1
// 2.4.4.3). Its continuity counter is 0.
func AppendPAT(dst []byte, stream, program uint16, pmt PID, version uint8) []byte {
	return appendTable(dst, PATPID, []byte{0x00, 0xB0, 0, byte(stream >> 8), byte(stream), 0xC1 | version&0x1F<<1, 0, 0,
		byte(program >> 8), byte(program), 0xE0 | byte(pmt>>8), byte(pmt)})
}

// AppendPMT appends a packet with the PMT of a programme of one component, which
// carries its clock (2.4.4.8). Its continuity counter is 0.
func AppendPMT(dst []byte, program uint16, pmt PID, version uint8, streamType uint8, component PID) []byte {
	return appendTable(dst, pmt, []byte{0x02, 0xB0, 0, byte(program >> 8), byte(program), 0xC1 | version&0x1F<<1, 0, 0,
		0xE0 | byte(component>>8), byte(component), 0xF0, 0, streamType, 0xE0 | byte(component>>8), byte(component), 0xF0, 0})
}

// appendTable appends a section that has room in one packet, with its length and
// CRC.
func appendTable(dst []byte, pid PID, b []byte) []byte {
	b[2] = byte(len(b) - 3 + 4)
	crc := CRC32(b)
	b = append(b, byte(crc>>24), byte(crc>>16), byte(crc>>8), byte(crc))
	dst = append(dst, SyncByte, 0x40|byte(pid>>8), byte(pid), 0x10, 0)
	dst = append(dst, b...)
	for n := 5 + len(b); n < PacketSize; n++ {
		dst = append(dst, 0xFF)
	}
	return dst
}
