package fec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	rtpHeader    = 12 // bytes
	repairHeader = 22 // bytes before the repair symbol
	aduHeader    = 3  // F and L before the packet in an ADUI, RFC 6363 style
	// symbolAlign: symbols are stored zero-padded to a multiple of this, so
	// that vector code has no tail to do byte by byte.
	symbolAlign = 64
)

var (
	errShort   = errors.New("fec: packet shorter than its header")
	errVersion = errors.New("fec: RTP version is not 2")
)

// alignSymbol rounds a symbol's length up to the padded length.
func alignSymbol(n int) int {
	return (n + symbolAlign - 1) &^ (symbolAlign - 1)
}

// sourceHeader is what the code needs of a source packet's RTP header (RFC
// 3550 §5.1).
type sourceHeader struct {
	pt   uint8
	seq  uint16
	ts   uint32 // 90 kHz
	ssrc uint32
}

func parseSource(pkt []byte) (h sourceHeader, err error) {
	if len(pkt) < rtpHeader {
		return h, errShort
	}
	if pkt[0]>>6 != 2 {
		return h, errVersion
	}
	h.pt = pkt[1] & 0x7f
	h.seq = binary.BigEndian.Uint16(pkt[2:])
	h.ts = binary.BigEndian.Uint32(pkt[4:])
	h.ssrc = binary.BigEndian.Uint32(pkt[8:])
	return h, nil
}

// RepairHeader is the header of a repair packet. On the wire, big-endian:
//
//	offset  bytes  field
//	 0       12    RTP: V=2, CC=1, payload type RepairPT, own sequence number
//	               and SSRC per stream, timestamp of the block's last source
//	               packet
//	12        4    CSRC[0]: SSRC of the source packets
//	16        2    ISN: sequence number of the block's first source packet
//	18        1    K: code dimension, 1…254
//	19        1    n: source packets in the block, 1…K
//	20        1    ESI of this repair symbol, K…254
//	21        1    version (high 4 bits, 0) and code (low 4 bits; 0: RFC 5510
//	               Reed-Solomon, m = 8)
//	22        E    repair symbol
//
// The repair symbol is computed over the block's ADUIs. The ADUI of a source
// packet is F (1 byte, 0), L (2 bytes, the packet's length), the packet, and
// zeros up to E = 3 + the longest packet of the block. The ADUIs n…K-1 of a
// shortened block are zero and not sent.
type RepairHeader struct {
	PT         uint8
	Seq        uint16
	Timestamp  uint32 // 90 kHz
	SSRC       uint32 // of the repair stream
	SourceSSRC uint32
	ISN        uint16
	K, N, ESI  uint8
}

// ParseRepair reads a repair packet and returns its header and its repair
// symbol, which is a part of pkt. It checks all that can be checked without
// other packets.
func ParseRepair(pkt []byte) (h RepairHeader, symbol []byte, err error) {
	if len(pkt) < repairHeader+aduHeader+rtpHeader {
		return h, nil, errShort
	}
	if pkt[0] != 2<<6|1 {
		return h, nil, fmt.Errorf("fec: first octet %#02x: a repair packet has RTP version 2, one CSRC, no padding and no extension (0x81)", pkt[0])
	}
	h = RepairHeader{
		PT:         pkt[1] & 0x7f,
		Seq:        binary.BigEndian.Uint16(pkt[2:]),
		Timestamp:  binary.BigEndian.Uint32(pkt[4:]),
		SSRC:       binary.BigEndian.Uint32(pkt[8:]),
		SourceSSRC: binary.BigEndian.Uint32(pkt[12:]),
		ISN:        binary.BigEndian.Uint16(pkt[16:]),
		K:          pkt[18],
		N:          pkt[19],
		ESI:        pkt[20],
	}
	switch {
	case pkt[21] != 0:
		return h, nil, fmt.Errorf("fec: version and code %#02x: only 0x00 is known", pkt[21])
	case h.K < 1 || h.K > MaxK:
		return h, nil, fmt.Errorf("fec: K = %d: must be 1…%d", h.K, MaxK)
	case h.N < 1 || h.N > h.K:
		return h, nil, fmt.Errorf("fec: n = %d: must be 1…K = %d", h.N, h.K)
	case h.ESI < h.K || h.ESI >= MaxSymbols:
		return h, nil, fmt.Errorf("fec: ESI = %d: must be K = %d … %d", h.ESI, h.K, MaxSymbols-1)
	}
	return h, pkt[repairHeader:], nil
}

// Put writes the header into the first 22 bytes of b.
func (h *RepairHeader) Put(b []byte) {
	_ = b[repairHeader-1]
	b[0] = 2<<6 | 1
	b[1] = h.PT & 0x7f
	binary.BigEndian.PutUint16(b[2:], h.Seq)
	binary.BigEndian.PutUint32(b[4:], h.Timestamp)
	binary.BigEndian.PutUint32(b[8:], h.SSRC)
	binary.BigEndian.PutUint32(b[12:], h.SourceSSRC)
	binary.BigEndian.PutUint16(b[16:], h.ISN)
	b[18], b[19], b[20], b[21] = h.K, h.N, h.ESI, 0
}

// putADUI writes the ADUI of pkt to b, which must hold
// alignSymbol(3+len(pkt)), zeroes the padding and returns the ADUI's length
// without padding.
func putADUI(b, pkt []byte) int {
	n := aduHeader + len(pkt)
	b[0] = 0
	binary.BigEndian.PutUint16(b[1:], uint16(len(pkt)))
	copy(b[aduHeader:], pkt)
	clear(b[n:alignSymbol(n)])
	return n
}
