package udp

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestALegDiesAndReturnsWithoutATrace(t *testing.T) {
	for _, skew := range [][2]time.Duration{{0, 30 * ms}, {30 * ms, 0}} {
		for dead := range 2 {
			b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 50 * ms})
			s := sender{ssrc: 9, now: time.Second}
			b.now = s.now
			for i := range 20000 {
				at, p := s.next()
				for leg := range 2 {
					if leg == dead && i >= 5000 && i < 12000 {
						continue
					}
					b.in = append(b.in, arrivalEvent{leg, at + skew[leg], p})
				}
			}
			b.run()
			b.checkSerials(serials(0, 20000))
			// The time line may move back by slewPPM while the leading leg's
			// offset is below 0: 100 µs a second.
			checkDelay(t, b.out, time.Second, 3*ms)
			st := b.stats()
			if st.Legs[dead].ByOtherLeg != 7000 || st.Lost != 0 || st.Restarts != 0 {
				t.Errorf("skew %v, leg %d dead: %+v", skew, dead, st)
			}
		}
	}
}

// The leg that led dies, and the one left comes later than Delay: its packets
// have been late all the time. The time line must follow it.
func TestLeaderDiesAndTheOtherIsBeyondTheWindow(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 50 * ms})
	s := sender{ssrc: 9, now: time.Second}
	b.now = s.now
	for i := range 10000 {
		at, p := s.next()
		if i < 3000 {
			b.in = append(b.in, arrivalEvent{0, at, p})
		}
		b.in = append(b.in, arrivalEvent{1, at + 300*ms, p})
	}
	b.run()
	b.checkSerials(serials(0, 10000))
	st := b.stats()
	if st.Legs[1].Late < 2900 || st.Restarts != 0 {
		t.Errorf("stats %+v", st)
	}
	checkDelay(t, b.out[6000:], time.Second, 3*ms)
	if d := b.out[9999].at - time.Second - 9999*interval; d < 299*ms || d > 310*ms {
		t.Errorf("delay %v, want that of the leg left, 300ms", d)
	}
}

// A path becomes longer for a while, by more than jitter: the other leg goes
// on, and the releases with it.
func TestALongerPathLeavesNoStep(t *testing.T) {
	for longer := range 2 {
		b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 50 * ms})
		s := sender{ssrc: 9, now: time.Second}
		b.now = s.now
		rng := rand.New(rand.NewPCG(2, 2))
		for i := range 20000 {
			at, p := s.next()
			lost := rng.IntN(20)
			for leg := range 2 {
				delay := time.Duration(rng.Int64N(int64(ms)))
				if leg == longer && i >= 5000 && i < 12000 {
					delay += 30 * ms
				}
				if lost != leg {
					b.in = append(b.in, arrivalEvent{leg, at + delay, p})
				}
			}
		}
		b.run()
		if st := b.stats(); len(b.out) != 20000 || st.Lost+st.Restarts != 0 {
			t.Errorf("leg %d longer: %d out, %+v", longer, len(b.out), st)
		}
		checkDelay(t, b.out, time.Second, 4*ms)
	}
}

// A path that becomes shorter makes packets wait longer than Delay; the time
// line moves back without a jump.
func TestTimeLineSlewsBack(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 50 * ms})
	s := sender{ssrc: 9}
	const n = 200_000
	for i := range n {
		at, p := s.next()
		b.in = append(b.in, arrivalEvent{0, at + 20*ms, p})
		if skew := 20 * ms; i < 5000 {
			b.in = append(b.in, arrivalEvent{1, at + skew, p})
		} else {
			b.in = append(b.in, arrivalEvent{1, at, p})
		}
	}
	b.run()
	b.checkSerials(serials(0, n))
	first, last := b.out[4000].at-4000*interval, b.out[n-1].at-(n-1)*interval
	if moved := first - last; moved < 15*ms || moved > 21*ms {
		t.Errorf("moved back by %v in 195 s, want slewPPM's 19.5 ms", moved)
	}
	for i := 1; i < n; i++ {
		if d := b.out[i].at - b.out[i-1].at; d < 940*time.Microsecond && i > 100 {
			t.Fatalf("packet %d: %v after the one before", i, d)
		}
	}
}
