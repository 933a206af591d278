package ledger

import (
	"testing"
	"time"

	"quartet/tests/tsgen"
)

func TestLedger(t *testing.T) {
	in := tsgen.New(10_000_000, 1).Next(nil, 1000)
	null := make([]byte, PacketSize)
	null[0], null[1], null[2] = 0x47, 0x1F, 0xFF
	cut := func(from, to int) []byte { return in[from*PacketSize : to*PacketSize] }
	for _, tc := range []struct {
		name                    string
		out                     [][]byte
		missing, foreign, again int
	}{
		{"identical", [][]byte{in}, 0, 0, 0},
		{"one lost", [][]byte{cut(0, 500), cut(501, 1000)}, 1, 0, 0},
		{"block lost at the start", [][]byte{cut(7, 1000)}, 7, 0, 0},
		{"block lost at the end", [][]byte{cut(0, 990)}, 10, 0, 0},
		{"one twice", [][]byte{cut(0, 500), cut(499, 1000)}, 0, 0, 1},
		{"a null packet put in", [][]byte{cut(0, 500), null, cut(500, 1000)}, 0, 1, 0},
		{"two in wrong order", [][]byte{cut(0, 500), cut(501, 502), cut(500, 501), cut(502, 1000)}, 1, 0, 1},
	} {
		l := New()
		l.WriteTS(0, in)
		o := l.Output("o")
		for _, b := range tc.out {
			o.WriteTS(time.Millisecond, b)
		}
		r := l.Check(tc.name, 0, 0, nil, o)
		if r.Entered != 1000 || r.Missing != tc.missing || r.Foreign != tc.foreign || r.Again != tc.again {
			t.Errorf("%v; want %d missing, %d foreign, %d twice", r, tc.missing, tc.foreign, tc.again)
		}
		if tc.name == "identical" != r.Identical() {
			t.Errorf("%s: Identical() = %v", tc.name, r.Identical())
		}
	}
}

func TestNullPacketsAfterAGap(t *testing.T) {
	gen := tsgen.New(10_000_000, 1)
	null := make([]byte, PacketSize)
	null[0], null[1], null[2] = 0x47, 0x1F, 0xFF
	var in []byte
	for range 100 {
		in = append(gen.Next(in, 3), null...)
		in = append(in, null...)
	}
	l := New()
	l.WriteTS(0, in)
	o := l.Output("o")
	o.WriteTS(0, in[:100*PacketSize])
	o.WriteTS(0, in[203*PacketSize:]) // resumes with two null packets
	if r := l.Check("gap", 0, 0, nil, o); r.Missing != 103 || r.Foreign != 0 || r.Again != 0 {
		t.Errorf("%v; want 103 missing and nothing else", r)
	}
}

func TestAlteredPacketIsForeignAndMissing(t *testing.T) {
	in := tsgen.New(10_000_000, 1).Next(nil, 100)
	l := New()
	l.WriteTS(0, in)
	o := l.Output("o")
	in[50*PacketSize+100] ^= 1
	o.WriteTS(0, in)
	if r := l.Check("altered", 0, 0, nil, o); r.Missing != 1 || r.Foreign != 1 {
		t.Errorf("%v; want 1 missing, 1 foreign", r)
	}
}

func TestForgetKeepsTheCount(t *testing.T) {
	gen := tsgen.New(10_000_000, 1)
	l := New()
	o := l.Output("o")
	var sum Result
	lost, from := 0, time.Duration(0)
	for second := range 20 {
		at := time.Duration(second) * time.Second
		in := gen.Next(nil, 1000)
		l.WriteTS(at, in)
		o.WriteTS(at, in[:500*PacketSize])
		if second%3 == 0 {
			lost++
			o.WriteTS(at, in[501*PacketSize:])
		} else {
			o.WriteTS(at, in[500*PacketSize:])
		}
		// The last two seconds stay open.
		if second%5 == 4 {
			sum.Add(l.Check("part", from, 2*time.Second, nil, o))
			from = at - 2*time.Second + 1
			l.Forget(from)
		}
	}
	sum.Add(l.Check("rest", from, 0, nil, o))
	if sum.Entered != 20_000 || sum.Missing != lost || sum.Foreign != 0 || sum.Again != 0 {
		t.Errorf("%v; want %d missing and nothing else", sum, lost)
	}
	if n := len(l.prints); n > 8000 {
		t.Errorf("%d packets are still kept", n)
	}
}

// A run that is checked in parts while input still comes: every packet is in
// exactly one part, so that none can be missing unseen.
func TestPartsLeaveNothingOut(t *testing.T) {
	gen := tsgen.New(10_000_000, 1)
	l := New()
	o := l.Output("o")
	var sums [2]Result
	from := time.Duration(0)
	at := time.Duration(0)
	enter := func(n int) {
		for range n {
			l.WriteTS(at, gen.Next(nil, 1))
			at += time.Millisecond
		}
	}
	for range 10 {
		enter(1000)
		last, _ := l.Last()
		end := last - 300*time.Millisecond
		for i := range sums {
			sums[i].Add(l.CheckUntil("part", from, end, nil, o))
			enter(7) // between one check and the next
		}
		from = end + 1
		l.Forget(from)
	}
	for i := range sums {
		sums[i].Add(l.Check("rest", from, 0, nil, o))
		if n := int(gen.Count()); sums[i].Entered != n || sums[i].Missing != n {
			t.Errorf("%v; want %d in, none of which came out", sums[i], n)
		}
	}
}
