package genlock

import (
	"math/rand/v2"
	"testing"
	"time"
)

// What the first seconds bring is phase: the rate moves by no more than 30
// millionths from what is true, however they jitter, and is found all the same.
func TestNoisyFirstSeconds(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, c := range []struct {
		name string
		off  float64
		late func(x time.Duration) time.Duration // as captured
	}{
		{"jitter", 0, func(time.Duration) time.Duration { return time.Duration(rng.IntN(20_000_000)) }},
		// What tsdemux's own clock does when the first packet was held up.
		{"a clock that finds its phase", 0, func(x time.Duration) time.Duration {
			return max(0, 15*time.Millisecond-x/20)
		}},
		{"a rush", 0, func(x time.Duration) time.Duration { return max(0, 500*time.Millisecond-x) }},
		{"a standstill", 0, func(x time.Duration) time.Duration {
			if x > 800*time.Millisecond && x < 1400*time.Millisecond {
				return 1400*time.Millisecond - x
			}
			return time.Duration(rng.IntN(1_000_000))
		}},
		{"fast", 100e-6, func(time.Duration) time.Duration { return time.Duration(rng.IntN(2_000_000)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l Line
			l.Begin(c.late(0), 0)
			low, high, found := min(c.off, 0)*1e6-30, max(c.off, 0)*1e6+30, time.Duration(0)
			worst := 0.0
			for x := 40 * time.Millisecond; x < 5*time.Minute; x += 40 * time.Millisecond {
				l.Observe(time.Duration(float64(x)/(1+c.off))+c.late(x), x)
				if l.PPM() < low || l.PPM() > high {
					t.Fatalf("at %v: %.1f ppm", x, l.PPM())
				}
				d := l.PPM() - c.off*1e6
				worst = max(worst, d, -d)
				if d > 5 || d < -5 {
					found = x
				}
			}
			t.Logf("at most %.1f ppm off; within 5 ppm from %v on", worst, found)
			if found > 3*time.Minute {
				t.Errorf("still %.1f ppm at %v", l.PPM(), found)
			}
		})
	}
}

// A way that has become longer for good is followed, as phase.
func TestOtherWay(t *testing.T) {
	var l Line
	rng := rand.New(rand.NewPCG(4, 5))
	l.Begin(0, 0)
	for i := 1; i < 6000; i++ {
		x := time.Duration(i) * 40 * time.Millisecond
		at := x + time.Duration(rng.IntN(1_000_000))
		if i > 3000 {
			at += 30 * time.Millisecond
		}
		late := l.Observe(at, x)
		if i > 3100 && late.Abs() > 5*time.Millisecond {
			t.Fatalf("%v late at frame %d", late, i)
		}
		if p := l.PPM(); p > 30 || p < -30 {
			t.Fatalf("%.1f ppm at frame %d", p, i)
		}
	}
}

// A clock that changes its rate, as crystals do when they warm up, and as the
// kernel does to this machine's when it learns the time, is followed.
func TestOtherRate(t *testing.T) {
	for _, step := range []float64{20e-6, -60e-6, 400e-6} {
		var l Line
		rng := rand.New(rand.NewPCG(4, 6))
		at, worst := 0.0, time.Duration(0)
		l.Begin(0, 0)
		for i := 1; i < 20000; i++ {
			off := 0.0
			if i > 7500 { // 5 min
				off = step
			}
			at += 0.04 / (1 + off)
			x := time.Duration(i) * 40 * time.Millisecond
			late := l.Observe(time.Duration(at*1e9)+time.Duration(rng.IntN(500_000)), x)
			if i > 7500 {
				worst = max(worst, late.Abs())
			}
		}
		t.Logf("%+.0f ppm: at most %v off, found %.1f ppm", step*1e6, worst, l.PPM())
		if d := l.PPM() - step*1e6; d > 5 || d < -5 || worst > 15*time.Millisecond {
			t.Errorf("%+.0f ppm: at most %v off, found %.1f ppm", step*1e6, worst, l.PPM())
		}
	}
}
