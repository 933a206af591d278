package st2022

import (
	"encoding/binary"
	"fmt"
)

const (
	rtpHeader = 12
	fecHeader = 16
	// Overhead is what an FEC packet is longer than the longest source packet
	// it protects.
	Overhead = fecHeader

	// ColumnPort and RowPort are added to the media stream's UDP port.
	ColumnPort = 2
	RowPort    = 4

	// DefaultPT is the RTP payload type of FEC packets.
	DefaultPT = 96

	defaultMaxPacket = rtpHeader + 7*188
	maxMaxPacket     = 2048
)

// Kind of an FEC packet.
type Kind uint8

const (
	Column Kind = iota
	Row
)

func (k Kind) String() string {
	if k == Row {
		return "row"
	}
	return "column"
}

// Params is the matrix: Columns is L, Rows is D.
type Params struct {
	Columns, Rows int
	// RowFEC adds row packets to the column packets (level B of CoP3).
	RowFEC bool
}

// Limits of ST 2022-1: L 1…20 (4…20 with row FEC), D 4…20, L × D at most 100.
const (
	maxColumns = 20
	minRows    = 4
	maxRows    = 20
	maxMatrix  = 100
)

// Validate checks the limits of ST 2022-1.
func (p Params) Validate() error {
	switch {
	case p.Columns < 1 || p.Columns > maxColumns:
		return fmt.Errorf("st2022: Columns is %d: give 1 to %d", p.Columns, maxColumns)
	case p.RowFEC && p.Columns < 4:
		return fmt.Errorf("st2022: Columns is %d: row FEC needs at least 4", p.Columns)
	case p.Rows < minRows || p.Rows > maxRows:
		return fmt.Errorf("st2022: Rows is %d: give %d to %d", p.Rows, minRows, maxRows)
	case p.Columns*p.Rows > maxMatrix:
		return fmt.Errorf("st2022: Columns × Rows is %d: give at most %d", p.Columns*p.Rows, maxMatrix)
	}
	return nil
}

// Overhead is the share of FEC packets, of source packets.
func (p Params) Overhead() float64 {
	o := 1 / float64(p.Rows)
	if p.RowFEC {
		o += 1 / float64(p.Columns)
	}
	return o
}

// Span is how many source packets pass from the first packet of a matrix to
// its last column packet: a decoder needs a latency of that long at least.
func (p Params) Span() int { return 2 * p.Columns * p.Rows }

// Header is the FEC header that follows the RTP header.
type Header struct {
	SNBase         uint16
	SNBaseExt      uint8
	LengthRecovery uint16
	Extended       bool // E
	PTRecovery     uint8
	Mask           uint32 // 24 bits
	TSRecovery     uint32
	X              bool
	Kind           Kind // D
	Type           uint8
	Index          uint8
	Offset         uint8
	NA             uint8
}

// Append appends the header's 16 bytes.
func (h Header) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, h.SNBase)
	dst = binary.BigEndian.AppendUint16(dst, h.LengthRecovery)
	dst = append(dst, bit(h.Extended, 7)|h.PTRecovery&0x7F, byte(h.Mask>>16), byte(h.Mask>>8), byte(h.Mask))
	dst = binary.BigEndian.AppendUint32(dst, h.TSRecovery)
	return append(dst, bit(h.X, 7)|bit(h.Kind == Row, 6)|h.Type&7<<3|h.Index&7, h.Offset, h.NA, h.SNBaseExt)
}

func bit(on bool, n int) byte {
	if on {
		return 1 << n
	}
	return 0
}

// ParseHeader reads the FEC header from what follows the RTP header. It
// refuses what is no XOR parity over at least one packet.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < fecHeader {
		return Header{}, fmt.Errorf("st2022: FEC header has %d bytes of %d: the packet is cut off", len(b), fecHeader)
	}
	h := Header{
		SNBase:         binary.BigEndian.Uint16(b),
		LengthRecovery: binary.BigEndian.Uint16(b[2:]),
		Extended:       b[4]&0x80 != 0,
		PTRecovery:     b[4] & 0x7F,
		Mask:           uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7]),
		TSRecovery:     binary.BigEndian.Uint32(b[8:]),
		X:              b[12]&0x80 != 0,
		Kind:           Kind(b[12] >> 6 & 1),
		Type:           b[12] >> 3 & 7,
		Index:          b[12] & 7,
		Offset:         b[13],
		NA:             b[14],
		SNBaseExt:      b[15],
	}
	switch {
	case h.Type != 0:
		return Header{}, fmt.Errorf("st2022: FEC type is %d: only 0 (XOR) is known", h.Type)
	case h.Offset == 0:
		return Header{}, fmt.Errorf("st2022: FEC offset is 0: the sender must give 1 to 255")
	case h.NA == 0:
		return Header{}, fmt.Errorf("st2022: FEC NA is 0: the sender must give 1 to 255")
	}
	return h, nil
}

// rtp is what both sides read from an RTP packet.
type rtp struct {
	seq  uint16
	ts   uint32
	ssrc uint32
	bits byte // P, X, CC
	mpt  byte // M, PT
}

// parseRTP reads the fixed header; ok is false unless it is RTP version 2.
func parseRTP(b []byte) (r rtp, ok bool) {
	if len(b) < rtpHeader || b[0]>>6 != 2 {
		return rtp{}, false
	}
	return rtp{
		seq:  binary.BigEndian.Uint16(b[2:]),
		ts:   binary.BigEndian.Uint32(b[4:]),
		ssrc: binary.BigEndian.Uint32(b[8:]),
		bits: b[0] & 0x3F,
		mpt:  b[1],
	}, true
}

func putRTP(b []byte, r rtp) {
	b[0] = 0x80 | r.bits
	b[1] = r.mpt
	binary.BigEndian.PutUint16(b[2:], r.seq)
	binary.BigEndian.PutUint32(b[4:], r.ts)
	binary.BigEndian.PutUint32(b[8:], r.ssrc)
}
