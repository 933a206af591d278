package genlock

import (
	"testing"
	"time"
)

// What waits behind a standstill and then comes in a rush teaches nothing: when
// the input is lost afterwards, slate and silence come as early as ever.
func TestRushIsNoHabit(t *testing.T) {
	for _, still := range []time.Duration{100, 250, 600} {
		still *= time.Millisecond
		v := NewVideo(Rate{25, 1}, 0)
		s := NewSound(v, 1)
		out := make([]float32, BlockSamples)
		loud := tone(997, 0, 0, BlockSamples)
		lateSlate, lateSound := time.Duration(0), time.Duration(0)
		from, lost := 3*time.Second, 5*time.Second
		var pending []time.Duration // of captures
		for now := time.Duration(0); now < 8*time.Second; now += 2 * time.Millisecond {
			if now < lost && now%(10*time.Millisecond) == 0 {
				pending = append(pending, now)
			}
			if now >= from && now < from+still {
				continue // nothing of us runs
			}
			for _, at := range pending {
				if at%(40*time.Millisecond) == 0 {
					v.Frame(now, at, Rate{25, 1}, nil)
				}
				s.Block(now, at-block, loud)
			}
			pending = pending[:0]
			for _, p := range v.Tick(now, nil) {
				if now > lost+time.Second {
					lateSlate = max(lateSlate, now-v.When(p.PTS))
				}
			}
			for {
				pts, ok := s.Next(now, out)
				if !ok {
					break
				}
				if now > lost+time.Second {
					lateSound = max(lateSound, now-v.When(pts+block))
				}
			}
		}
		t.Logf("%v: the slate comes %v late, silence %v", still, lateSlate, lateSound)
		if lateSlate > 40*time.Millisecond || lateSound > 40*time.Millisecond {
			t.Errorf("after a standstill of %v the slate comes %v late, silence %v", still, lateSlate, lateSound)
		}
	}
}

// What is late for good becomes usual within a second, and is forgotten.
func TestUsual(t *testing.T) {
	u := usual{delay: firstDelay}
	now := time.Duration(0)
	see := func(d, length time.Duration) time.Duration {
		for end := now + length; now < end; now += 40 * time.Millisecond {
			u.saw(now, d)
		}
		return u.delay
	}
	if d := see(300*time.Millisecond, 40*time.Millisecond); d != 300*time.Millisecond {
		t.Errorf("the first is not believed: %v", d)
	}
	if d := see(10*time.Millisecond, 40*time.Second); d > 15*time.Millisecond {
		t.Errorf("not forgotten: %v", d)
	}
	if d := see(150*time.Millisecond, time.Second); d != 150*time.Millisecond {
		t.Errorf("not learned: %v", d)
	}
	if d := see(time.Hour, time.Minute); d != mostDelay {
		t.Errorf("%v is more than the most", d)
	}
}
