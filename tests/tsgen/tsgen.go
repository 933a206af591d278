// Package tsgen makes transport streams for tests: constant rate, exact PCR,
// one service, every packet different. Its pictures are noise; what counts is
// the transport stream layer, so that any packet lost, repeated or altered on
// its way shows.
package tsgen

import (
	"encoding/binary"
	"time"
)

const (
	// PacketSize of a TS packet, bytes (ISO/IEC 13818-1 §2.4.3).
	PacketSize = 188

	PIDPAT   = 0x0000
	PIDPMT   = 0x0100
	PIDVideo = 0x0101
	PIDAudio = 0x0102
	PIDNull  = 0x1FFF
)

// Stream is a generator. Its n-th packet depends only on n, the rate and the
// seed, so two with the same settings make the same stream.
type Stream struct {
	RateBPS int64  // of the transport stream, bit/s
	Seed    uint64 // of the payload

	n  uint64
	cc map[uint16]byte
}

// New returns a stream of rate bit/s.
func New(rateBPS int64, seed uint64) *Stream {
	return &Stream{RateBPS: rateBPS, Seed: seed, cc: map[uint16]byte{}}
}

// At is the instant of packet n on the stream's own clock.
func (s *Stream) At(n uint64) time.Duration {
	return time.Duration(float64(n) * PacketSize * 8 / float64(s.RateBPS) * float64(time.Second))
}

// Count returns how many packets have been made.
func (s *Stream) Count() uint64 { return s.n }

// Next appends the next n packets to dst.
func (s *Stream) Next(dst []byte, n int) []byte {
	for range n {
		dst = s.packet(dst)
	}
	return dst
}

func (s *Stream) packet(dst []byte) []byte {
	n := s.n
	s.n++
	// PAT and PMT every 50 ms, a PCR every 20 ms, audio every 16th packet.
	tables := max(2, uint64(s.RateBPS/8/PacketSize/20))
	pcr := max(2, uint64(s.RateBPS/8/PacketSize/50))
	switch {
	case n%tables == 0:
		return s.section(dst, PIDPAT, []byte{0x00, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xE0 | PIDPMT>>8, PIDPMT & 0xFF})
	case n%tables == 1:
		return s.section(dst, PIDPMT, []byte{
			0x02, 0xB0, 23, 0, 1, 0xC1, 0, 0, 0xE0 | PIDVideo>>8, PIDVideo & 0xFF, 0xF0, 0,
			0x1B, 0xE0 | PIDVideo>>8, PIDVideo & 0xFF, 0xF0, 0,
			0x0F, 0xE0 | PIDAudio>>8, PIDAudio & 0xFF, 0xF0, 0,
		})
	case n%16 == 5:
		return s.payload(dst, PIDAudio, n, false)
	default:
		return s.payload(dst, PIDVideo, n, n%pcr < 2)
	}
}

func (s *Stream) header(dst []byte, pid uint16, unitStart, adaptation bool) []byte {
	b1, b3 := byte(pid>>8), byte(0x10)
	if unitStart {
		b1 |= 0x40
	}
	if adaptation {
		b3 |= 0x20
	}
	cc := s.cc[pid]
	s.cc[pid] = (cc + 1) & 0x0F
	return append(dst, 0x47, b1, byte(pid), b3|cc)
}

func (s *Stream) section(dst []byte, pid uint16, section []byte) []byte {
	start := len(dst)
	dst = append(s.header(dst, pid, true, false), 0)
	dst = append(dst, section...)
	dst = binary.BigEndian.AppendUint32(dst, crc32MPEG(section))
	for len(dst) < start+PacketSize {
		dst = append(dst, 0xFF)
	}
	return dst
}

func (s *Stream) payload(dst []byte, pid uint16, n uint64, pcr bool) []byte {
	start := len(dst)
	dst = s.header(dst, pid, false, pcr)
	if pcr {
		// PCR of the byte that holds its last bit; the packet's start is near
		// enough and constant.
		t := uint64(float64(n) * PacketSize * 8 / float64(s.RateBPS) * 27e6)
		base, ext := t/300&(1<<33-1), t%300
		dst = append(dst, 7, 0x10, byte(base>>25), byte(base>>17), byte(base>>9), byte(base>>1), byte(base<<7)|0x7E|byte(ext>>8), byte(ext))
	}
	dst = binary.BigEndian.AppendUint64(dst, n)
	x := s.Seed ^ n*0x9E3779B97F4A7C15
	for len(dst) < start+PacketSize {
		// splitmix64
		x += 0x9E3779B97F4A7C15
		z := (x ^ x>>30) * 0xBF58476D1CE4E5B9
		z = (z ^ z>>27) * 0x94D049BB133111EB
		z ^= z >> 31
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], z)
		dst = append(dst, b[:min(8, start+PacketSize-len(dst))]...)
	}
	return dst
}

// crc32MPEG is the CRC of PSI sections (ISO/IEC 13818-1 annex A).
func crc32MPEG(b []byte) uint32 {
	crc := uint32(0xFFFFFFFF)
	for _, v := range b {
		crc ^= uint32(v) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04C11DB7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
