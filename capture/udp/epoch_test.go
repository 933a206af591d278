package udp

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A restarted sender: new SSRC, or the same with other numbers.
func TestSenderRestarts(t *testing.T) {
	for _, c := range []struct {
		name string
		next sender
	}{
		{"new SSRC", sender{ssrc: 2, seq: 40000, ts: 77}},
		{"new SSRC, numbers nearby", sender{ssrc: 2, seq: 1400, ts: 77}},
		{"same SSRC, far", sender{ssrc: 1, seq: 40000, ts: 77}},
		{"same SSRC, from the same number", sender{ssrc: 1, seq: 500, ts: 700_000}},
		{"same SSRC, numbers just used", sender{ssrc: 1, seq: 500 + 980, ts: 900_000}},
	} {
		for _, skew := range []time.Duration{0, 30 * ms} {
			for legs := 1; legs <= 2; legs++ {
				t.Run(fmt.Sprintf("%s, %d legs, skew %v", c.name, legs, skew), func(t *testing.T) {
					b := newMergeBench(t, MergerConfig{Legs: legs, Delay: 50 * ms})
					s := sender{ssrc: 1, seq: 500, ts: 1000}
					rng := rand.New(rand.NewPCG(3, 3))
					send := func(n int) {
						for range n {
							at, p := s.next()
							lossy := rng.IntN(legs * 4) // one leg at most
							for leg := range legs {
								if legs == 2 && lossy == leg {
									continue
								}
								b.in = append(b.in, arrivalEvent{leg, at + time.Duration(leg)*skew, p})
							}
						}
					}
					send(1000)
					old := s
					s = c.next
					s.serial, s.now = old.serial, old.now+20*ms
					send(2000)
					b.run()
					got := map[uint32]bool{}
					for i, o := range b.out {
						if got[o.serial] || i > 0 && o.serial < b.out[i-1].serial {
							t.Fatalf("serial %d twice or out of order", o.serial)
						}
						got[o.serial] = true
					}
					// One leg loses nothing; with two, a first packet that came
					// on the later leg only may be missed.
					if missing := 3000 - len(got); missing > 2*(legs-1) {
						t.Errorf("%d packets missing", missing)
					}
					if st := b.stats(); st.Restarts != 1 || st.Lost > 2 {
						t.Errorf("stats %+v", st)
					}
				})
			}
		}
	}
}

// After silence anything may come: the same stream a long way on, or anew.
func TestReturnAfterSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		seq  uint16
		ts   uint32
		lost uint64
	}{
		{"goes on", 1000, 90_000, 0},
		{"lost 1000", 2000, 180_000, 1000},
		{"lost more than the buffer", 30_000, 2_700_000, 0},
		{"begins again", 0, 0, 0},
		{"begins again with a dead clock", 0, 0, 0},
	} {
		b := newMergeBench(t, MergerConfig{Legs: 1, Delay: 10 * ms})
		s := sender{ssrc: 1}
		dead := c.name == "begins again with a dead clock"
		send := func() {
			for range 1000 {
				at, p := s.next()
				if dead {
					clear(p[4:8])
				}
				b.in = append(b.in, arrivalEvent{0, at, p})
			}
		}
		send()
		s.seq, s.ts = c.seq, c.ts
		s.now += 3 * time.Second
		send()
		b.run()
		if st := b.stats(); st.Lost != c.lost || len(b.out) < 1999 {
			t.Errorf("%s: %d packets out of 2000, stats %+v", c.name, len(b.out), st)
		}
	}
}

// Two senders of different streams on the same legs contradict each other: one
// of them goes on undisturbed, and when it dies the other takes over.
func TestContradictingSenders(t *testing.T) {
	for _, ssrc := range []uint32{2, 1} {
		b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 50 * ms})
		a, z := sender{ssrc: 1, seq: 100}, sender{ssrc: ssrc, seq: 30_000, serial: 1_000_000}
		for i := range 10_000 {
			at, p := a.next()
			b.in = append(b.in, arrivalEvent{0, at, p})
			at, p = z.next()
			if i > 2000 && i < 8000 {
				b.in = append(b.in, arrivalEvent{1, at, p})
			}
		}
		b.run()
		st := b.stats()
		if st.Restarts > 2 {
			t.Errorf("SSRC 1 against %d: %d restarts", ssrc, st.Restarts)
		}
		if len(b.out) < 9000 {
			t.Errorf("SSRC 1 against %d: %d packets out: the streams killed each other", ssrc, len(b.out))
		}
	}
}

// A main and a standby sender, each with its SSRC, take turns.
func TestSendersTakeTurns(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 1, Delay: 10 * ms})
	s := [2]sender{{ssrc: 1, seq: 100}, {ssrc: 2, seq: 50_000}}
	var serial uint32
	for turn := range 6 {
		x := &s[turn%2]
		x.now = time.Duration(turn) * 3 * time.Second
		x.serial = serial
		for range 3000 {
			at, p := x.next()
			b.in = append(b.in, arrivalEvent{0, at, p})
		}
		serial = x.serial
	}
	b.run()
	b.checkSerials(serials(0, 18_000))
	if st := b.stats(); st.Restarts != 5 {
		t.Errorf("%d restarts, want 5", st.Restarts)
	}
}

// A leg far behind at the start brings packets from before the first.
func TestLaggingLegAtTheStartIsNoRestart(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 450 * ms})
	s := sender{ssrc: 1, seq: 100}
	for i := range 5000 {
		at, p := s.next()
		if i > 2000 {
			b.in = append(b.in, arrivalEvent{0, at, p})
		}
		if i > 1600 {
			b.in = append(b.in, arrivalEvent{1, at + 440*ms, p})
		}
	}
	b.run()
	if st := b.stats(); st.Restarts != 0 || st.Lost != 0 || len(b.out) < 2999 {
		t.Errorf("%d out, %+v", len(b.out), st)
	}
}

func TestStrayPacketsChangeNothing(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 20 * ms})
	rng := rand.New(rand.NewPCG(1, 1))
	s := sender{ssrc: 1, seq: 100}
	for range 5000 {
		at, p := s.next()
		b.in = append(b.in, arrivalEvent{0, at, p}, arrivalEvent{1, at, p})
		stray := sender{ssrc: rng.Uint32N(3), seq: uint16(rng.Uint32()), ts: rng.Uint32(), serial: 1 << 31, now: at + ms/2}
		at, p = stray.next()
		b.in = append(b.in, arrivalEvent{rng.IntN(2), at, p})
	}
	b.run()
	var ours []uint32
	for _, o := range b.out {
		if o.serial < 1<<31 {
			ours = append(ours, o.serial)
		}
	}
	// A stray number of the stream's own SSRC, from the near future, takes the
	// place of the true packet at the most: SRT or a source filter is the
	// answer to that.
	if len(ours) < 4500 || b.stats().Restarts > 2 {
		t.Errorf("%d of 5000 out, %+v", len(ours), b.stats())
	}
}
