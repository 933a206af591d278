package engine

import (
	"time"

	"quartet/capture/mpegts"
)

// stream makes what an engine would: a picture every 40 ms, an AAC frame every
// 21⅓ ms, tables every 100 ms, at variable rate, DTS 125 ms ahead of a PCR.
type stream struct {
	first  mpegts.Timestamp
	gop    int
	size   int // packets of a frame
	frames int
	sounds int
	key    bool // the next one is a key frame
	long   bool // the PMT needs two packets
	// noTables leaves the tables out.
	noTables bool
	behind   time.Duration // that sound comes later than its picture
	cc       map[mpegts.PID]uint8
}

func newStream(first mpegts.Timestamp) *stream {
	return &stream{first: first, gop: 25, size: 12, key: true, cc: map[mpegts.PID]uint8{}}
}

// frame returns the next picture and the sound up to it.
func (s *stream) frame() (ts []byte) {
	now := time.Duration(s.frames) * 40 * time.Millisecond
	if s.frames%3 == 0 && !s.noTables {
		ts = append(ts, s.tables()...)
	}
	for ; time.Duration(s.sounds)*64*time.Millisecond/3 <= now-s.behind; s.sounds++ {
		p := s.packet(258, true)
		s.pes(p, 4, 0xC0, s.first.Add(int64(s.sounds)*1920))
		ts = append(ts, p...)
	}
	dts := s.first.Add(int64(s.frames) * 3600)
	for i := range s.size {
		p := s.packet(257, i == 0)
		if i == 0 {
			p[3] |= 0x20
			p[4], p[5] = 7, 0x10
			if s.key || s.frames%s.gop == 0 {
				p[5] |= 0x40
			}
			p.SetPCR(mpegts.PCR(dts * 300).Add(-mpegts.PCRHz / 8))
			s.pes(p, 12, 0xE0, dts)
		}
		ts = append(ts, p...)
	}
	s.key = false
	s.frames++
	return ts
}

// tables are a PAT and a PMT of version 1, which is no version of a stand-in's.
func (s *stream) tables() []byte {
	ts := mpegts.AppendPAT(nil, 1, 1, 256, 1)
	if !s.long {
		return mpegts.AppendPMT(ts, 1, 256, 1, 0x1B, 257)
	}
	const text = 200 // of a descriptor for private use
	b := []byte{0x02, 0xB0, 13 + 5 + text + 2, 0, 1, 0xC3, 0, 0, 0xE1, 1, 0xF0, 0, 0x1B, 0xE1, 1, 0xF0, text + 2, 0xF0, text}
	b = append(b, make([]byte, text)...)
	c := mpegts.CRC32(b)
	b = append(b, byte(c>>24), byte(c>>16), byte(c>>8), byte(c))
	for first := true; len(b) > 0; first = false {
		p := s.packet(256, first)
		room := p.Payload()
		if first {
			room[0], room = 0, room[1:]
		}
		b = b[copy(room, b):]
		ts = append(ts, p...)
	}
	return ts
}

func (s *stream) packet(pid mpegts.PID, start bool) mpegts.Packet {
	p := mpegts.Packet(append([]byte{}, mpegts.NullPacket[:]...))
	p.SetPID(pid)
	p.SetPUSI(start)
	p.SetCC(s.cc[pid])
	s.cc[pid] = (s.cc[pid] + 1) & 0x0F
	return p
}

func (s *stream) pes(p mpegts.Packet, at int, id byte, pts mpegts.Timestamp) {
	copy(p[at:], []byte{0, 0, 1, id, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1})
	p.SetPTS(pts)
}

// testSlate is two seconds of such a stream.
func testSlate(c *Config) *Slate {
	var ts []byte
	s := newStream(5000)
	for range 50 {
		ts = append(ts, s.frame()...)
	}
	sl, err := ParseSlate(ts, c)
	if err != nil {
		panic(err)
	}
	return sl
}
