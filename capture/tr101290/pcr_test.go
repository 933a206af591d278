package tr101290

import (
	"math/rand/v2"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// TestJitter: arrival jitter is told, and is not taken for anything else.
func TestJitter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, width := range []time.Duration{0, 5 * ms, 80 * ms} {
		g := newGen(t, Config{})
		n := 0
		g.edit = func(mpegts.Packet) bool {
			if n++; n%300 == 0 { // every 150 ms
				g.late = time.Duration(r.Int64N(int64(width) + 1))
			}
			return true
		}
		g.run(20 * time.Second)
		g.want(nil)
		for _, c := range g.m.Stats().Clocks {
			// Arrivals cannot overtake each other, so that the spread is a little
			// less than what was drawn.
			if top := float64(width) / 1e6; c.JitterMS > top+0.1 || c.JitterMS < top*0.7 {
				t.Errorf("%v of jitter: PID %#x, %v ms", width, c.PID, c.JitterMS)
			}
			if c.Interval.Max > 42 {
				t.Errorf("%v of jitter: PID %#x, %+v", width, c.PID, c.Interval)
			}
		}
	}
}

// TestClocksAreForPrograms: PCRs on PIDs that are nobody's clock do not take the
// place of those that are.
func TestClocksAreForPrograms(t *testing.T) {
	g := newGen(t, Config{})
	g.off("PAT")
	for i := range mpegts.PID(2 * maxClocks) {
		g.send(clockPacket(0x1000 + i))
	}
	g.run(200 * ms)
	if n := len(g.m.Stats().Clocks); n != maxClocks {
		t.Errorf("%d clocks", n)
	}
	g.on("PAT")
	g.run(20 * time.Second)
	s := g.m.Stats()
	found := 0
	for _, c := range s.Clocks {
		if len(c.Programs) == 1 && c.Count > 500 && c.Constant {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d clocks of programs", found)
	}
	consistent(t, g.m)
	g.run(70 * time.Second)
	if n := len(g.m.Stats().Clocks); n != 2 {
		t.Errorf("%d clocks, a minute later", n)
	}
}

// TestMedian: of what can be put in any order.
func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{5, 1, 3}, 3}, {[]float64{9, 1, 5, 3}, 4}} {
		if got := median(c.in); got != c.want {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
}
