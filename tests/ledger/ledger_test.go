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
