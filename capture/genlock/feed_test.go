package genlock

import (
	"math/rand/v2"
	"testing"
	"time"
)

// way brings clock references to a Feed: 35 ms apart, of a clock that is off,
// with jitter, through a machine that stands still at times.
type way struct {
	off    float64
	jitter time.Duration                       // at the most; evenly spread
	still  []time.Duration                     // from, to, from, to: what comes between comes at the end
	more   func(x time.Duration) time.Duration // longer way
	rng    *rand.Rand
	last   time.Duration
}

const refsApart = 35 * time.Millisecond

func (w *way) arrives(x time.Duration) time.Duration {
	t := time.Hour + time.Duration(float64(x)/(1+w.off)) + time.Duration(w.rng.Int64N(int64(w.jitter)+1))
	if w.more != nil {
		t += w.more(x)
	}
	for i := 0; i+1 < len(w.still); i += 2 {
		if t >= time.Hour+w.still[i] && t < time.Hour+w.still[i+1] {
			t = time.Hour + w.still[i+1]
		}
	}
	w.last = max(w.last, t)
	return w.last
}

// However packets come, what is told of them runs evenly: its rate is never
// further off than 30 millionths (ISO/IEC 13818-1 §2.4.2.1) from nominal or from
// the stream's own, and finds the stream's own.
func TestFeed(t *testing.T) {
	stands := []time.Duration{100 * time.Millisecond, 450 * time.Millisecond, 900 * time.Millisecond, 1600 * time.Millisecond, 30 * time.Second, 31 * time.Second, 50 * time.Second, 53 * time.Second}
	for _, c := range []struct {
		name   string
		off    float64
		jitter time.Duration
		still  []time.Duration
		more   func(x time.Duration) time.Duration
	}{
		{"quiet", 0, time.Millisecond, nil, nil},
		{"fast", 50e-6, time.Millisecond, nil, nil},
		{"slow", -50e-6, 5 * time.Millisecond, nil, nil},
		{"a busy machine", 0, 10 * time.Millisecond, stands, nil},
		{"a bad network", 20e-6, 40 * time.Millisecond, stands, nil},
		{"begins in a rush", 0, time.Millisecond, []time.Duration{0, 300 * time.Millisecond}, nil},
		{"another way", 0, 3 * time.Millisecond, nil, func(x time.Duration) time.Duration {
			if x > time.Minute {
				return 80 * time.Millisecond
			}
			return 0
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f Feed
			w := &way{off: c.off, jitter: c.jitter, still: c.still, more: c.more, rng: rand.New(rand.NewPCG(7, 1))}
			low, high := min(-c.off, 0)-30e-6, max(-c.off, 0)+30e-6
			var last, x time.Duration
			worst := 0.0
			for ; x < 10*time.Minute; x += refsApart {
				told, _ := f.Arrived(w.arrives(x), x)
				if x > 0 {
					rate := float64(told-last)/float64(refsApart) - 1
					if slack := 2.0 / float64(refsApart); rate < low-slack || rate > high+slack {
						t.Fatalf("at %v: what is told is pulled by %.1f ppm", x, rate*1e6)
					}
					if late := told - time.Hour - time.Duration(float64(x)/(1+c.off)); late > 400*time.Millisecond || late < -100*time.Millisecond {
						t.Fatalf("at %v: told %v late", x, late)
					}
					worst = max(worst, rate+c.off, -rate-c.off)
				}
				last = told
			}
			t.Logf("at most %.1f ppm off; found %.2f ppm", worst*1e6, f.PPM())
			if d := f.PPM() - c.off*1e6; d > 5 || d < -5 {
				t.Errorf("found %.1f ppm, want %.1f", f.PPM(), c.off*1e6)
			}
			f.Align()
			last, _ = f.Arrived(w.arrives(x), x)
			if late := last - time.Hour - time.Duration(float64(x)/(1+c.off)); late < -10*time.Millisecond || late > 10*time.Millisecond+c.jitter && c.more == nil {
				t.Errorf("aligned, it is told %v late", late)
			}
		})
	}
}

// A day with a clock 100 millionths off: what is told does not run away.
func TestF26FeedDay(t *testing.T) {
	for _, off := range []float64{100e-6, -100e-6} {
		var f Feed
		w := &way{off: off, jitter: 4 * time.Millisecond, rng: rand.New(rand.NewPCG(26, 3))}
		var first, late time.Duration
		for x := time.Duration(0); x < 24*time.Hour; x += refsApart {
			told, _ := f.Arrived(w.arrives(x), x)
			late = told - time.Hour - time.Duration(float64(x)/(1+off))
			if x == 0 {
				first = late
			}
			if d := late - first; d > 8*time.Millisecond || d < -8*time.Millisecond {
				t.Fatalf("at %v: told %v later than at first", x, d)
			}
		}
		if d := f.PPM() - off*1e6; d > 1 || d < -1 {
			t.Errorf("found %.2f ppm", f.PPM())
		}
	}
}

// A damaged reference says nothing, a new time base goes on where the old one was.
func TestFeedTimeBase(t *testing.T) {
	var f Feed
	rng := rand.New(rand.NewPCG(1, 9))
	var last time.Duration
	base := time.Duration(0)
	for i := range 2000 {
		x := time.Duration(i) * refsApart
		at := time.Hour + x + time.Duration(rng.IntN(2_000_000))
		switch {
		case i == 1000:
			base = 5 * time.Hour
		case i == 1500:
			base = -2 * time.Hour
		}
		told, ok := f.Arrived(at, base+x)
		if known := (i < 1000 || i > 1003) && (i < 1500 || i > 1505); known && !ok || i == 1000 && ok {
			t.Fatalf("reference %d is believed: %v", i, ok)
		}
		if d := told - last - refsApart; i > 0 && (d > 5*time.Millisecond || d < -5*time.Millisecond) {
			t.Fatalf("reference %d: told %v after the one before", i, told-last)
		} else if i > 0 && (i < 1000 || i > 1003) && (i < 1500 || i > 1505) && (d > time.Microsecond*2 || d < -time.Microsecond*2) {
			t.Fatalf("reference %d: a step of %v", i, d)
		}
		last = told
		if i%7 == 3 {
			// Damaged, each another: it is told as it comes.
			odd, ok := f.Arrived(at, base+x+time.Duration(rng.Int64N(int64(20*time.Hour)))+2*time.Second)
			if d := odd - told; ok || d > 5*time.Millisecond || d < -5*time.Millisecond {
				t.Fatalf("reference %d: a damaged one is told %v later, and believed: %v", i, d, ok)
			}
		}
	}
	if p := f.PPM(); p > 10 || p < -10 {
		t.Errorf("found %.1f ppm", p)
	}
}

// A stream that was away comes back on the same clock.
func TestFeedAway(t *testing.T) {
	var f Feed
	w := &way{off: 30e-6, jitter: 2 * time.Millisecond, rng: rand.New(rand.NewPCG(2, 2))}
	for x := time.Duration(0); x < 5*time.Minute; x += refsApart {
		f.Arrived(w.arrives(x), x)
	}
	x := 20 * time.Minute
	told, _ := f.Arrived(w.arrives(x), x)
	if late := told - time.Hour - time.Duration(float64(x)/(1+30e-6)); late < -3*time.Millisecond || late > 5*time.Millisecond {
		t.Errorf("told %v late", late)
	}
}
