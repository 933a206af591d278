package engine

import (
	"math/rand/v2"
	"testing"
	"time"
)

// F26, the daemon's part: for a day, media time runs away by 100 millionths,
// and the output's clock stays with it.
func TestF26OutputClock(t *testing.T) {
	for _, off := range []float64{100e-6, -100e-6} {
		var c slew
		rng := rand.New(rand.NewPCG(26, 2))
		var worst, last time.Duration
		for at := time.Duration(0); at < 24*time.Hour; at += HeartbeatEvery {
			media := 3*time.Hour + at + time.Duration(float64(at)*off)
			shown := c.at(at)
			if at > 0 {
				if d := shown - last - HeartbeatEvery; d > 50*time.Microsecond || d < -50*time.Microsecond {
					t.Fatalf("at %v: the clock steps by %v", at, d)
				}
				if back := c.back(shown); (back - at).Abs() > 2 {
					t.Fatalf("at %v: back is %v", at, back)
				}
				worst = max(worst, (media - 3*time.Hour - shown).Abs())
			}
			last = shown
			c.follow(at, media, off+(rng.Float64()-0.5)*4e-6)
		}
		t.Logf("%+.0f ppm: at most %v off", off*1e6, worst)
		if worst > time.Millisecond {
			t.Errorf("%+.0f ppm: the output's clock is %v off, want 1 ms", off*1e6, worst)
		}
	}
	// Between two runs it goes on; another run has another beginning.
	c := slew{off: 20e-6}
	c.lose()
	before := c.at(time.Hour)
	c.follow(time.Hour, 5*time.Second, 20e-6)
	if c.at(time.Hour) != before || c.off != 20e-6 {
		t.Errorf("%+v", c)
	}
}
