package tsgen

import (
	"bytes"
	"testing"
)

func TestStreamRepeatsAndCounts(t *testing.T) {
	a, b := New(10_000_000, 1).Next(nil, 5000), New(10_000_000, 1).Next(nil, 5000)
	if !bytes.Equal(a, b) {
		t.Fatal("two streams with the same settings differ")
	}
	cc := map[uint16]byte{}
	for i := 0; i < len(a); i += PacketSize {
		p := a[i : i+PacketSize]
		if p[0] != 0x47 {
			t.Fatalf("packet %d begins with %#x, want 0x47", i/PacketSize, p[0])
		}
		pid := uint16(p[1]&0x1F)<<8 | uint16(p[2])
		if last, ok := cc[pid]; ok && p[3]&0x0F != (last+1)&0x0F {
			t.Fatalf("packet %d: PID %#x continuity %d after %d", i/PacketSize, pid, p[3]&0x0F, last)
		}
		cc[pid] = p[3] & 0x0F
	}
	if c := crc32MPEG([]byte("123456789")); c != 0x0376E6E7 {
		t.Errorf("CRC-32/MPEG-2 check value %#x, want 0x0376e6e7", c)
	}
}
