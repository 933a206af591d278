package mpegts

import (
	"bytes"
	"math"
	"testing"
)

// looped returns n passes over ts, restamped, each lasting ticks.
func looped(r *Restamper, ts []byte, n int, ticks int64) []byte {
	var out []byte
	for pass := range n {
		if pass > 0 {
			r.Loop(int64(pass) * ticks)
		}
		b := bytes.Clone(ts)
		r.Restamp(b)
		out = append(out, b...)
	}
	return out
}

// TestRestamperSeam: over the seam clocks go on at their rate, counters count
// on, and nothing else changes.
func TestRestamperSeam(t *testing.T) {
	const rate = 10e6
	for _, n := range []int{20000, 19999, 10007, 203} {
		ts := testStream(rate, n)
		x := newTimeline(0x100, ts)
		var r Restamper
		const passes = 12
		out := looped(&r, ts, passes, x.Ticks())
		if !bytes.Equal(out[:len(ts)], ts) {
			t.Error("the first pass was changed")
		}
		var c Continuity
		first := map[PID]PCR{}
		var pts, pcr0 Timestamp
		for i := range passes * n {
			p := Packet(out[i*PacketSize : (i+1)*PacketSize])
			if v := c.Check(p); v == Broken {
				t.Fatalf("%d packets a pass: packet %d of PID %#x breaks continuity", n, i, p.PID())
			}
			at := x.At(int64(i))
			if v, ok := p.PCR(); ok {
				if _, seen := first[p.PID()]; !seen {
					first[p.PID()] = v.Add(-at)
				}
				if d := v.Diff(first[p.PID()].Add(at)); d < -6 || d > 6 {
					t.Fatalf("%d packets a pass: PCR of packet %d is %d ticks off", n, i, d)
				}
				if o, ok := p.OPCR(); ok && o != v.Add(-PCRHz) {
					t.Fatalf("OPCR of packet %d is %d", i, o)
				}
				pcr0 = first[p.PID()].Timestamp()
			}
			if v, ok := p.PTS(); ok && p.PID() == 0x100 {
				if pts == 0 {
					pts = v.Add(-at / 300)
				}
				if d := v.Diff(pts.Add(at / 300)); d < -2 || d > 2 {
					t.Fatalf("PTS of packet %d is %d off", i, d)
				}
				if w, ok := p.DTS(); !ok || v.Diff(w) != 3600 {
					t.Fatalf("DTS of packet %d", i)
				}
			}
		}
		if d := pts.Diff(pcr0); d < 8998 || d > 9002 {
			t.Errorf("PTS leads by %d", d)
		}
		s := r.Stats()
		if s.Packets != passes*uint64(n) || s.SplitPES != 0 || s.PCRs == 0 || s.Timestamps == 0 {
			t.Errorf("%+v", s)
		}
		if k := c.Stats(); k.Duplicates == 0 && n > 203 {
			t.Error("the repeated packets are gone")
		}
	}
}

func TestRestamperContinuity(t *testing.T) {
	const pid = 0x100
	d := func(cc ...uint8) (ts []byte) {
		for _, c := range cc {
			ts = append(ts, dataPacket(pid, c)...)
		}
		return ts
	}
	damaged := dataPacket(pid, 9)
	damaged.SetTransportError(true)
	counters := func(ts []byte) (cc []byte) {
		for ; len(ts) > 0; ts = ts[PacketSize:] {
			cc = append(cc, ts[3]&15)
		}
		return cc
	}
	for _, c := range []struct {
		name string
		in   []byte
		want []byte // three passes
	}{
		{"even", d(14, 15, 0, 1), []byte{14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"one packet", d(7), []byte{7, 8, 9}},
		{"whole round", d(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)[:2*PacketSize], []byte{0, 1, 2, 3, 4, 5}},
		{"gap kept", d(0, 1, 5), []byte{0, 1, 5, 6, 7, 11, 12, 13, 1}},
		{"repeat kept", d(0, 0, 1), []byte{0, 0, 1, 2, 2, 3, 4, 4, 5}},
		{"repeat at both ends", d(0, 0, 1, 1), []byte{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5}},
		{"one packet, repeated", d(4, 4), []byte{4, 4, 5, 5, 6, 6}},
		{"stands still", d(4, 4, 4, 4), []byte{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}},
		{"no payload", bytes.Join([][]byte{afOnly(pid, 3), afOnly(pid, 3)}, nil), []byte{3, 3, 3, 3, 3, 3}},
		{"no payload first", append(afOnly(pid, 3), d(4, 5)...), []byte{3, 4, 5, 5, 6, 7, 7, 8, 9}},
		{"no payload last", append(d(4, 5), afOnly(pid, 5)...), []byte{4, 5, 5, 6, 7, 7, 8, 9, 9}},
		{"damaged", append(append(d(1), damaged...), d(2)...), []byte{1, 9, 2, 3, 9, 4, 5, 9, 6}},
		{"null packets", AppendNull(nil, 2), []byte{0, 0, 0, 0, 0, 0}},
	} {
		var r Restamper
		if got := counters(looped(&r, c.in, 3, 0)); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRestamperOffsets(t *testing.T) {
	var r Restamper
	for _, c := range []struct{ ticks, pts int64 }{
		{0, 0}, {149, 0}, {150, 1}, {300, 1}, {-149, 0}, {-150, -1}, {3 * PCRModulus, 0}, {math.MaxInt32, 7158279},
	} {
		r.Loop(c.ticks)
		p := pesPacket(0x100, PTSModulus-1, 0)
		r.Restamp(p)
		if v, _ := p.PTS(); v != Timestamp(PTSModulus-1).Add(c.pts) {
			t.Errorf("%d ticks move the PTS by %d", c.ticks, v.Diff(PTSModulus-1))
		}
		q := pcrPacket(0x100, PCRModulus-1)
		r.Restamp(q)
		if v, _ := q.PCR(); v != PCR(PCRModulus-1).Add(c.ticks) {
			t.Errorf("%d ticks move the PCR by %d", c.ticks, v.Diff(PCRModulus-1))
		}
	}
	cut := pesPacket(0x100, 1, 2)
	shrink(cut, 13)
	scrambled := pesPacket(0x100, 1, 1)
	scrambled[3] |= 0xC0
	want := bytes.Clone(scrambled)
	r.Loop(PCRHz)
	r.Restamp(cut)
	r.Restamp(scrambled)
	want[3] = scrambled[3]
	if !bytes.Equal(scrambled, want) || r.Stats().SplitPES != 1 {
		t.Errorf("%+v", r.Stats())
	}
}
