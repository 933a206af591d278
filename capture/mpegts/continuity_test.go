package mpegts

import "testing"

func TestContinuity(t *testing.T) {
	const pid = 0x100
	data := func(cc uint8) Packet { return dataPacket(pid, cc) }
	flagged := func(cc uint8) Packet {
		p := pcrPacket(pid, 0)
		p.SetDiscontinuity(true)
		p.SetCC(cc)
		return p
	}
	damaged := func(cc uint8) Packet {
		p := data(cc)
		p.SetTransportError(true)
		return p
	}
	null := Packet(NullPacket[:])
	for _, c := range []struct {
		name    string
		packets []Packet
		verdict []Verdict
		missing uint64
	}{
		{"in order over the wrap", []Packet{data(14), data(15), data(0), data(1)}, []Verdict{0, 0, 0, 0}, 0},
		{"any start", []Packet{data(9), data(10)}, []Verdict{0, 0}, 0},
		{"one lost", []Packet{data(0), data(2), data(3)}, []Verdict{0, Broken, 0}, 1},
		{"one lost over the wrap", []Packet{data(15), data(1)}, []Verdict{0, Broken}, 1},
		{"fourteen lost", []Packet{data(0), data(15)}, []Verdict{0, Broken}, 14},
		{"one repeat", []Packet{data(3), data(3), data(4), data(4), data(5)}, []Verdict{0, Duplicate, 0, Duplicate, 0}, 0},
		{"two repeats", []Packet{data(3), data(3), data(3), data(3), data(4)}, []Verdict{0, Duplicate, Broken, Broken, 0}, 0},
		{"out of order", []Packet{data(1), data(3), data(2), data(4)}, []Verdict{0, Broken, Broken, Broken}, 1 + 14 + 1},
		{"no payload stands still", []Packet{data(7), afOnly(pid, 7), afOnly(pid, 7), data(8)}, []Verdict{0, 0, 0, 0}, 0},
		{"no payload and yet one more", []Packet{data(7), afOnly(pid, 8), data(9)}, []Verdict{0, Broken, 0}, 1},
		{"no payload first", []Packet{afOnly(pid, 5), data(6)}, []Verdict{0, 0}, 0},
		{"repeat, no payload, repeat", []Packet{data(1), data(1), afOnly(pid, 1), data(1)}, []Verdict{0, Duplicate, 0, Broken}, 0},
		{"announced", []Packet{data(7), flagged(2), data(3)}, []Verdict{0, 0, 0}, 0},
		{"null packets", []Packet{null, null, data(1), null, data(2)}, []Verdict{0, 0, 0, 0, 0}, 0},
		{"damaged", []Packet{data(1), damaged(9), data(3), data(4)}, []Verdict{0, Unreadable, 0, 0}, 0},
	} {
		var k Continuity
		for i, p := range c.packets {
			if v := k.Check(p); v != c.verdict[i] {
				t.Errorf("%s: packet %d is judged %d, want %d", c.name, i, v, c.verdict[i])
			}
		}
		var errors uint64
		for _, v := range c.verdict {
			if v == Broken {
				errors++
			}
		}
		s := k.Stats()
		if s.Errors != errors || s.Missing != c.missing || s.PIDs != 1 || s.Packets != uint64(len(c.packets)) || uint64(k.PIDErrors(pid)) != errors {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestContinuityPIDsAreApart(t *testing.T) {
	var k Continuity
	for i := range uint8(64) {
		for pid := PID(0); pid < 100; pid++ {
			if v := k.Check(dataPacket(pid, i+uint8(pid))); v != InOrder {
				t.Fatalf("PID %d: %d", pid, v)
			}
		}
	}
	if s := k.Stats(); s.PIDs != 100 || s.Errors != 0 {
		t.Errorf("%+v", s)
	}
	k.Check(dataPacket(5, 0))
	k.Forget()
	if v := k.Check(dataPacket(5, 9)); v != InOrder {
		t.Errorf("after Forget: %d", v)
	}
	if s := k.Stats(); s.PIDs != 100 {
		t.Errorf("%+v", s)
	}
}
