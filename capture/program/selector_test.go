package program

import (
	"bytes"
	"strings"
	"testing"

	"quartet/capture/mpegts"
)

// table wraps a section in a packet.
func table(pid mpegts.PID, cc uint8, body ...byte) []byte {
	s := append([]byte{}, body...)
	n := len(s) - 3 + 4
	s[1], s[2] = 0xB0|byte(n>>8), byte(n)
	crc := mpegts.CRC32(s)
	s = append(s, byte(crc>>24), byte(crc>>16), byte(crc>>8), byte(crc))
	p := mpegts.Packet(append([]byte{}, mpegts.NullPacket[:]...))
	p.SetPID(pid)
	p.SetPUSI(true)
	p.SetCC(cc)
	p[4] = 0
	copy(p[5:], s)
	return p
}

func pat(version byte, programs ...uint16) []byte {
	b := []byte{0, 0, 0, 0, 1, 0xC1 | version<<1, 0, 0}
	for _, n := range programs {
		b = append(b, byte(n>>8), byte(n), 0xE0|byte((0x100+n)>>8), byte(0x100+n))
	}
	return table(mpegts.PATPID, version, b...)
}

// pmt of programme n has components of a type and a PID.
func pmt(n uint16, version byte, components ...uint16) []byte {
	b := []byte{2, 0, 0, byte(n >> 8), byte(n), 0xC1 | version<<1, 0, 0, 0xE0 | byte(components[1]>>8), byte(components[1]), 0xF0, 0}
	for i := 0; i < len(components); i += 2 {
		b = append(b, byte(components[i]), 0xE0|byte(components[i+1]>>8), byte(components[i+1]), 0xF0, 0)
	}
	return table(mpegts.PID(0x100+n), version, b...)
}

func payload(pid mpegts.PID, scrambled bool) []byte {
	p := mpegts.Packet(append([]byte{}, mpegts.NullPacket[:]...))
	p.SetPID(pid)
	if scrambled {
		p[3] |= 0x80
	}
	return p
}

var codecs = []string{"h264", "mpeg2video", "aac", "mpeg1audio"}

func taken(s *Selector, ts ...[]byte) (pids []int) {
	s.Push(bytes.Join(ts, nil), func(run []byte) {
		for ; len(run) >= mpegts.PacketSize; run = run[mpegts.PacketSize:] {
			pids = append(pids, int(mpegts.Packet(run[:mpegts.PacketSize]).PID()))
		}
	})
	return pids
}

func TestSelector(t *testing.T) {
	s := New(Config{Codecs: codecs})
	if _, n := s.Choice(); n != 0 || !strings.Contains(s.Problem(), "no transport stream") {
		t.Error(s.Problem())
	}
	taken(s, payload(500, false))
	if !strings.Contains(s.Problem(), "no PAT") {
		t.Error(s.Problem())
	}
	taken(s, pat(0, 1, 2))
	if !strings.Contains(s.Problem(), "has no PMT") {
		t.Error(s.Problem())
	}
	// Radio in 1; 2 has a picture, two sounds, one that nobody decodes, and data.
	taken(s, pmt(1, 0, 0x0F, 300), pmt(2, 0, 0x1B, 400, 0x0F, 401, 0x86, 402, 0x03, 403, 0x2D, 404))
	c, n := s.Choice()
	if n != 1 || s.Problem() != "" || c.Service != 2 || c.Video.PID != 400 || len(c.Audio) != 2 || c.Audio[1].PID != 403 {
		t.Errorf("%+v %d %q", c, n, s.Problem())
	}
	got := taken(s, payload(300, false), payload(400, false), payload(401, false), payload(402, false), payload(403, false), pat(0, 1, 2), payload(404, false), payload(8191, false), payload(400, false))
	if want := []int{400, 401, 403, 0, 400}; len(got) != len(want) || got[0] != 400 || got[4] != 400 || got[3] != 0 {
		t.Errorf("%v, want %v", got, want)
	}
	// The same said again needs no other decoder, something else does.
	taken(s, pmt(2, 1, 0x1B, 400, 0x0F, 401, 0x03, 403))
	if _, m := s.Choice(); m != n {
		t.Error("another decoder for the same")
	}
	taken(s, pmt(2, 2, 0x1B, 410, 0x0F, 401))
	if c, m := s.Choice(); m != n+1 || c.Video.PID != 410 {
		t.Errorf("%+v", c)
	}
	if got := taken(s, payload(400, false), payload(410, false)); len(got) != 1 || got[0] != 410 {
		t.Error(got)
	}
}

// What cannot be decoded is said, and nothing of it is handed on.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		service int
		ts      [][]byte
		says    string
	}{
		"no such programme": {7, [][]byte{pat(0, 1, 2)}, "no programme 7; it has 1, 2"},
		"radio":             {0, [][]byte{pat(0, 1), pmt(1, 0, 0x0F, 300)}, "programme 1 has no picture"},
		"codec":             {0, [][]byte{pat(0, 1), pmt(1, 0, 0x33, 300)}, "is h266, for which there is no decoder here"},
	} {
		s := New(Config{Service: c.service, Codecs: codecs})
		taken(s, c.ts...)
		if choice, _ := s.Choice(); !strings.Contains(s.Problem(), c.says) || choice.Service != 0 {
			t.Errorf("%s: %q, want %q", name, s.Problem(), c.says)
		}
	}
	s := New(Config{Codecs: codecs})
	taken(s, pat(0, 1), pmt(1, 0, 0x1B, 300, 0x0F, 301))
	for range 2 * scrambledAfter {
		if got := taken(s, payload(300, true)); len(got) != 0 {
			t.Fatal("scrambled packets are handed on")
		}
	}
	if !strings.Contains(s.Problem(), "scrambled") {
		t.Errorf("%q", s.Problem())
	}
	taken(s, payload(300, false))
	if s.Problem() != "" {
		t.Errorf("clear again, and %q", s.Problem())
	}
}

// Whatever comes, only whole packets are handed on.
func FuzzSelector(f *testing.F) {
	f.Add(bytes.Join([][]byte{pat(0, 1), pmt(1, 0, 0x1B, 300, 0x0F, 301), payload(300, false)}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := New(Config{Codecs: codecs})
		s.Push(b[:len(b)-len(b)%mpegts.PacketSize], func(run []byte) {
			if len(run) == 0 || len(run)%mpegts.PacketSize != 0 {
				t.Fatal(len(run))
			}
		})
		s.Problem()
	})
}
