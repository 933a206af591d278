package rtp

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func TestSeqDiff(t *testing.T) {
	for _, c := range []struct {
		s, t Seq
		want int
	}{
		{0, 0, 0}, {1, 0, 1}, {0, 1, -1},
		{0, 65535, 1}, {65535, 0, -1},
		{32767, 0, 32767}, {32768, 0, -32768}, {32769, 0, -32767},
		{0, 32768, -32768}, {0, 32769, 32767},
		{100, 65500, 136}, {65500, 100, -136},
	} {
		if got := c.s.Diff(c.t); got != c.want {
			t.Errorf("%d.Diff(%d) = %d, want %d", c.s, c.t, got, c.want)
		}
		if got := c.s.Before(c.t); got != (c.want < 0) {
			t.Errorf("%d.Before(%d) = %v", c.s, c.t, got)
		}
		if got := c.t.Add(c.want); got != c.s {
			t.Errorf("%d.Add(%d) = %d, want %d", c.t, c.want, got, c.s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s, n := Seq(rapid.Uint16().Draw(t, "s")), rapid.IntRange(-32768, 32767).Draw(t, "n")
		if got := s.Add(n).Diff(s); got != n {
			t.Fatalf("%d.Add(%d).Diff = %d", s, n, got)
		}
	})
}

// Around each wrap, in order, reordered and with losses.
func TestUnwrapperWraps(t *testing.T) {
	for _, first := range []uint64{0, 1, 32767, 32768, 65533, 65534, 65535} {
		for _, firstTS := range []uint32{0, 1 << 31, 1<<32 - 200} {
			var u Unwrapper
			rng := rand.New(rand.NewPCG(first, uint64(firstTS)))
			check := func(i uint64) {
				t.Helper()
				n := first + i
				if got := u.Unwrap(Seq(n), firstTS+uint32(i)*9); got != unwrapBase+n {
					t.Fatalf("first %d, firstTS %d: packet %d → %d", first, firstTS, n, int64(got)-unwrapBase)
				}
			}
			for i := uint64(0); i < 5*65536; i++ {
				check(i)
				switch rng.IntN(8) {
				case 0:
					check(i - min(i, uint64(rng.IntN(500)))) // late or again
				case 1:
					i += uint64(rng.IntN(2000)) // lost
				}
			}
		}
	}
}

// Packets from before the first one have their place too.
func TestUnwrapperBeforeFirst(t *testing.T) {
	var u Unwrapper
	if _, ok := u.Highest(); ok {
		t.Error("highest of none")
	}
	if got := u.Unwrap(3, 30); got != unwrapBase+3 {
		t.Fatalf("first %d", got)
	}
	if got := u.Unwrap(65530, 21); got != unwrapBase-6 {
		t.Errorf("earlier one: %d", int64(got)-unwrapBase)
	}
	if top, ok := u.Highest(); !ok || top != unwrapBase+3 {
		t.Errorf("highest %d %v", top, ok)
	}
}

// An outage of any length up to 100 s at 120 Mbit/s, where the number goes
// round once in 5.75 s, with the rate after it up to 1 % off.
func TestUnwrapperAcrossOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perPacket := rapid.IntRange(7, 2000).Draw(t, "ticks per packet") // 135 Mbit/s … 0.5 Mbit/s
		n := uint64(rapid.Uint16().Draw(t, "first"))
		ts := rapid.Uint32().Draw(t, "ts")
		var u Unwrapper
		base := n
		for range 20_000 {
			if got := u.Unwrap(Seq(n), ts); got != unwrapBase+n {
				t.Fatalf("before: %d, want %d", int64(got)-unwrapBase, n)
			}
			n++
			ts += uint32(perPacket)
		}
		lost := uint64(rapid.IntRange(0, 100*ClockRate/perPacket).Draw(t, "lost"))
		off := rapid.Float64Range(-0.01, 0.01).Draw(t, "rate off by")
		n += lost
		ts += uint32(float64(lost) * float64(perPacket) * (1 + off))
		// What looks like a source that paused is taken for one.
		if lost >= 1<<16-1 && (lost+1)%65536 <= resumeWithin {
			return
		}
		for range 100 {
			if got := u.Unwrap(Seq(n), ts); got != unwrapBase+n {
				t.Fatalf("after %d of %d lost: %d, want %d", lost, n-base, int64(got)-unwrapBase, n)
			}
			n++
			ts += uint32(perPacket)
		}
	})
}

// A source that pauses for minutes and goes on with the next number.
func TestUnwrapperAcrossPause(t *testing.T) {
	var u Unwrapper
	n, ts := uint64(65000), uint32(0)
	for range 10 {
		for range 20_000 {
			if got := u.Unwrap(Seq(n), ts); got != unwrapBase+n {
				t.Fatalf("%d, want %d", int64(got)-unwrapBase, n)
			}
			n++
			ts += 10
		}
		ts += 300 * ClockRate
	}
}

// A few packets in a burst are no measure of the rate.
func TestUnwrapperGapAfterBurst(t *testing.T) {
	var u Unwrapper
	for i := range uint64(100) {
		u.Unwrap(Seq(i), uint32(i))
	}
	if got := u.Unwrap(300, 2*ClockRate); got != unwrapBase+300 {
		t.Errorf("%d, want 300", int64(got)-unwrapBase)
	}
}

// The pause is known by a few numbers ahead, the first of which may be lost, and
// by a timestamp ahead: a packet from long ago whose number lies ahead is an old
// one.
func TestUnwrapperPauseOrPast(t *testing.T) {
	begin := func() (u Unwrapper) {
		for n := range uint64(100_000) { // 10 ticks a packet
			u.Unwrap(Seq(n), uint32(n)*10)
		}
		return u
	}
	const newest, newestTS = 99_999, 999_990
	for _, tc := range []struct {
		name string
		n    int64 // true number, or what is to be made of it
		ts   int64
	}{
		{"60 lost after a pause of an hour", newest + 60, newestTS + 3600*ClockRate},
		{"from a turn ago, with its number ahead by 30", newest + 30 - 65536, newestTS + (30-65536)*10},
		{"from a turn ago, its clock a little off", newest + 30 - 65536, newestTS - 3*ClockRate},
	} {
		u := begin()
		if got := u.Unwrap(Seq(tc.n), uint32(tc.ts)); got != uint64(unwrapBase+tc.n) {
			t.Errorf("%s: %d, want %d", tc.name, int64(got)-unwrapBase, tc.n)
		}
	}
	// Later is higher, although the rate is not known.
	var u Unwrapper
	u.Unwrap(100, 0)
	if got := u.Unwrap(40_100, 2*ClockRate); got != unwrapBase+40_100 {
		t.Errorf("%d, want 40100", int64(got)-unwrapBase)
	}
	// And although it fell by far.
	u = begin()
	if got := u.Unwrap(Seq(uint16(newest&0xffff)-100), newestTS+3*ClockRate); got != unwrapBase+newest-100+65536 {
		t.Errorf("%d, want %d", int64(got)-unwrapBase, newest-100+65536)
	}
}

func FuzzUnwrapper(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 255, 255, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var u Unwrapper
		for ; len(b) >= 4; b = b[4:] {
			seq, ts := Seq(b[0])<<8|Seq(b[1]), uint32(b[2])<<24|uint32(b[3])<<12
			if got := u.Unwrap(seq, ts); Seq(got) != seq {
				t.Fatalf("index %d of sequence number %d", got, seq)
			}
		}
	})
}

func BenchmarkUnwrap(b *testing.B) {
	var u Unwrapper
	n := uint32(0)
	for b.Loop() {
		u.Unwrap(Seq(n), n*90)
		n++
	}
}
