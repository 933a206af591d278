package fec

import (
	"math/rand/v2"
	"testing"
	"time"
)

func paths(n int, f func(i int, p *simPath)) []simPath {
	ps := make([]simPath, n)
	for i := range ps {
		ps[i] = simPath{stream: i, delay: 20 * time.Millisecond}
		if f != nil {
			f(i, &ps[i])
		}
	}
	return ps
}

// rate10 is 10 Mbit/s in packets of seven TS packets.
const rate10 = 10e6 / 8 / (7 * 188)

func TestCleanStream(t *testing.T) {
	for _, n := range []int{1, 2, 4} {
		o := newSim(t, simConfig{
			params: Params{K: 64, R: 6, Streams: n}, rate: rate10, length: 3 * time.Second,
			latency: 300 * time.Millisecond, paths: paths(n, nil), ssrc: 1, seq: 65000, ts: 1 << 31,
		}).run()
		o.clean(t)
		if o.stats.Late+o.stats.Implausible+o.stats.Disagreeing+o.stats.Malformed != 0 {
			t.Errorf("%d paths: %+v", n, o.stats)
		}
	}
}

// F3: all paths out for 20 ms at once, at every phase of a block; parity alone
// repairs it.
func TestF3_AllPathsOut20ms(t *testing.T) {
	for phase := range 40 {
		from := time.Second + time.Duration(phase)*1700*time.Microsecond
		o := newSim(t, simConfig{
			seed: uint64(phase), params: Params{K: 64, R: 6, Streams: 4, MaxBlock: 70 * time.Millisecond}, rate: rate10,
			length: 2 * time.Second, latency: 200 * time.Millisecond, ssrc: 7, seq: uint16(phase * 1000),
			paths: paths(4, func(_ int, p *simPath) { p.lose = outage(from, from+20*time.Millisecond) }),
		}).run()
		o.clean(t)
		if o.stats.RecoveredParity < 15 {
			t.Errorf("phase %d: %d recovered by parity, want the outage's", phase, o.stats.RecoveredParity)
		}
	}
}

// The longest outage common to all paths that four streams of diverse parity
// repair for certain, whatever its place in a block: most of a block's share.
func TestLongestCommonOutage(t *testing.T) {
	for _, c := range []struct {
		r    int
		want time.Duration
	}{{6, 24 * time.Millisecond}, {16, 64 * time.Millisecond}} {
		for phase := range 30 {
			from := time.Second + time.Duration(phase)*2300*time.Microsecond
			o := newSim(t, simConfig{
				params: Params{K: 64, R: c.r, Streams: 4}, rate: rate10, length: 1500 * time.Millisecond,
				latency: 200 * time.Millisecond, ssrc: 7, seq: uint16(phase * 1000), size: 20,
				paths: paths(4, func(_ int, p *simPath) { p.lose = outage(from, from+c.want) }),
			}).run()
			if o.clean(t); t.Failed() {
				t.Fatalf("64+%d, outage of %v from %v on", c.r, c.want, from)
			}
		}
	}
}

// The code changes while running, in K, rows and streams, with loss on both
// paths: nothing is lost at the boundaries.
func TestParamsChangeWhileRunning(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		o := newSim(t, simConfig{
			seed: seed, params: Params{K: 32, R: 6, Streams: 2}, rate: rate10, length: 4 * time.Second,
			latency: 300 * time.Millisecond, ssrc: 7, seq: 65000, size: 60,
			paths: paths(2, func(i int, p *simPath) {
				n := i
				p.lose = func(time.Duration) bool { n++; return n > 200 && n%60 < 3 }
			}),
			reparams: func(n int, e *Encoder) {
				if n%37 != 0 || n < 300 {
					return
				}
				k := 20 + rng.IntN(100)
				r := (k + 4) / 5
				if err := e.SetParams(Params{K: k, R: r, Streams: 2, MaxBlock: time.Duration(30+rng.IntN(50)) * time.Millisecond}); err != nil {
					t.Fatal(err)
				}
			},
		}).run()
		o.clean(t)
		if o.enc.ShortBlocks == 0 || o.stats.RecoveredParity == 0 {
			t.Errorf("nothing tested: %+v", o.enc)
		}
	}
}

// The input stops in the middle of a block, again and again, and the last
// packets before each stop are lost on every path: the timer's short block
// brings them back.
func TestInputStopsAndItsTailIsLost(t *testing.T) {
	for seed := range uint64(20) {
		period := time.Duration(300+17*seed) * time.Millisecond
		stop := period - 150*time.Millisecond
		o := newSim(t, simConfig{
			seed: seed, params: Params{K: 64, R: 8, Streams: 2}, rate: rate10, length: 4 * time.Second,
			latency: 250 * time.Millisecond, ssrc: 7, seq: 65000, size: 60,
			quiet: func(at time.Duration) bool { return at%period > stop },
			paths: paths(2, func(_ int, p *simPath) {
				p.lose = func(at time.Duration) bool {
					return at > time.Second && at%period > stop-3*time.Millisecond && at%period <= stop
				}
			}),
		}).run()
		o.clean(t)
		if o.stats.RecoveredParity < 10 {
			t.Errorf("%d recovered", o.stats.RecoveredParity)
		}
	}
}

// F4, the pure part: all paths out for 200 ms. What was sent meanwhile comes
// late, by retransmission, in a burst when the paths return, and still in time.
func TestF4_AllPathsOut200msThenRetransmitted(t *testing.T) {
	for seed := range uint64(20) {
		from := time.Second + time.Duration(seed)*13*time.Millisecond
		to := from + 200*time.Millisecond
		const rtt = 40 * time.Millisecond
		o := newSim(t, simConfig{
			seed: seed, params: Params{K: 64, R: 6, Streams: 4}, rate: rate10, length: 3 * time.Second,
			latency: 4*rtt + 200*time.Millisecond, ssrc: 7, seq: 64000,
			paths: paths(4, func(i int, p *simPath) {
				p.delay = rtt / 2
				p.jitter = 2 * time.Millisecond
				p.late = func(at time.Duration) time.Duration {
					if at < from || at >= to {
						return 0
					}
					return to - at + rtt + time.Duration(i)*5*time.Millisecond
				}
			}),
		}).run()
		o.clean(t)
	}
}

// F5: all paths out for 5 s, at rates where the sequence number makes no turn,
// one and several: the output resumes with the first packet.
func TestF5_AllPathsOut5s(t *testing.T) {
	for _, mbit := range []float64{1, 10, 50, 120} {
		rate := mbit * 1e6 / 8 / (7 * 188)
		from, to := 3*time.Second, 8*time.Second
		c := simConfig{
			params: Params{K: 64, R: 6, Streams: 2}, rate: rate, length: 10 * time.Second,
			latency: 300 * time.Millisecond, ssrc: 7, seq: 60000, ts: 1<<32 - 5*clockRate,
			paths: paths(2, func(_ int, p *simPath) { p.lose = outage(from, to) }),
		}
		s := newSim(t, c)
		var resumed time.Duration
		calls := 0
		s.onOut = func(d *Delivery) {
			if d.Lost {
				calls++
			} else if resumed == 0 && s.now > to {
				resumed = s.now
			}
		}
		o := s.run()
		o.sound(t)
		if o.delivered+o.lost != o.sent {
			t.Errorf("%v Mbit/s: %d delivered + %d lost of %d sent", mbit, o.delivered, o.lost, o.sent)
		}
		if most := int(5*rate) + 64; o.lost > most {
			t.Errorf("%v Mbit/s: %d lost, the outage took %d", mbit, o.lost, most)
		}
		if resumed == 0 || resumed > to+20*time.Millisecond+c.latency+50*time.Millisecond {
			t.Errorf("%v Mbit/s: resumed at %v, the paths were back at %v", mbit, resumed, to)
		}
		// One by one only what the packets that come push out of a full window,
		// until the first of them is due.
		if calls > 2*MaxLostRun+int(rate*c.latency.Seconds()) {
			t.Errorf("%v Mbit/s: %d lost packets were delivered one by one", mbit, calls)
		}
	}
}

// The source pauses for longer than a turn of the sequence number takes at its
// rate, and the first packets behind the pause are lost on the fast path, or on
// both: the next number follows the last one, and the slow path or parity brings
// what is missing.
func TestPauseAtHighRate(t *testing.T) {
	const rate = 120e6 / 8 / (7 * 188)
	for _, on := range []int{0, 1, 2} { // paths that lose 10 packets of the 12 that parity can replace
		from, to := 1500*time.Millisecond, 11500*time.Millisecond
		o := newSim(t, simConfig{
			params: Params{K: 64, R: 6 * (on / 2), Streams: 2}, rate: rate, length: 13 * time.Second,
			latency: 300 * time.Millisecond, ssrc: 7, seq: 50000, ts: 1<<32 - 5*clockRate,
			quiet: func(at time.Duration) bool { return at >= from && at < to },
			paths: paths(2, func(i int, p *simPath) {
				p.delay = time.Duration(10+40*i) * time.Millisecond
				if i < on {
					p.lose = outage(to, to+900*time.Microsecond)
				}
			}),
		}).run()
		o.clean(t)
		if recovered, other := o.stats.RecoveredParity, o.stats.Paths[0].ByOtherPath; on == 2 && recovered < 8 || on == 1 && other < 8 {
			t.Errorf("lost on %d paths: %d recovered, %d brought by the other path", on, recovered, other)
		}
	}
}

// F6: 450 ms of skew between the paths, each losing much on its own: together
// they lose nothing, and memory stays bounded.
func TestF6_Skew450ms(t *testing.T) {
	for seed := range uint64(10) {
		s := newSim(t, simConfig{
			seed: seed, params: Params{K: 64, R: 0, Streams: 2}, rate: rate10, length: 5 * time.Second,
			latency: 500 * time.Millisecond, ssrc: 7, seq: 1, packets: 1024,
			paths: paths(2, func(i int, p *simPath) {
				p.delay = 5*time.Millisecond + time.Duration(i)*450*time.Millisecond
			}),
		})
		// Packet by packet at most one of the paths loses it.
		n := -1
		s.cfg.paths[0].lose = func(time.Duration) bool { n++; return n%10 < 5 }
		s.cfg.paths[1].lose = func(time.Duration) bool { return n%10 >= 6 }
		o := s.run()
		o.clean(t)
		if o.stats.MemoryBytes > 3*1024*1400 {
			t.Errorf("%d bytes of packets", o.stats.MemoryBytes)
		}
		if skew := o.stats.Paths[1].SkewMS; skew < 445 || skew > 455 {
			t.Errorf("skew %v ms, want 450", skew)
		}
		p := o.stats.Paths
		if p[0].LostHere == 0 || p[0].LostHere != p[0].ByOtherPath || p[1].LostHere != p[1].ByOtherPath {
			t.Errorf("accounts: %+v", p)
		}
	}
}

// F7: 50 ms of reordering, 1 % duplicates, and bit flips. The tag in front of
// the decoder makes a flipped packet a lost one; here half of them get through
// to it, in the headers of repair packets, which is worse than can be.
func TestF7_ReorderDuplicateFlip(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(t, simConfig{
			seed: seed, params: Params{K: 32, R: 4, Streams: 4}, rate: rate10, length: 4 * time.Second,
			latency: 300 * time.Millisecond, ssrc: 7, seq: 65500, ts: 1<<32 - 90000,
		})
		s.cfg.paths = paths(4, func(_ int, p *simPath) {
			p.jitter = 50 * time.Millisecond
			p.dup = 0.01
			p.mangle = func(b []byte) []byte {
				if s.rng.Float64() > 1e-3 {
					return b
				}
				if b[1]&0x7f == SourcePT || s.rng.IntN(2) == 0 {
					return b[:0] // refused by its tag
				}
				b[s.rng.IntN(repairHeader)] ^= 1 << s.rng.IntN(8)
				return b
			}
		})
		for i := range s.cfg.paths {
			s.dec.SetPath(i, 0, true)
		}
		o := s.run()
		o.clean(t)
		if o.stats.Duplicates == 0 || o.stats.Malformed == 0 {
			t.Errorf("no duplicate or no damage: %+v", o.stats)
		}
	}
}

// F25: the sequence number and the timestamp wrap at every phase of a block,
// with loss, and the path behind.
func TestF25_SequenceAndTimestampWrap(t *testing.T) {
	for seed := range uint64(40) {
		before := uint16(40 + seed*7)
		o := newSim(t, simConfig{
			seed: seed, params: Params{K: 20, R: 5, Streams: 2}, rate: rate10, length: time.Second,
			latency: 300 * time.Millisecond, ssrc: 7, seq: -before,
			ts: -uint32(float64(before) * clockRate / rate10 * float64(1+seed%2)),
			paths: paths(2, func(i int, p *simPath) {
				p.jitter = 5 * time.Millisecond
				p.delay = time.Duration(10+i*60) * time.Millisecond
				n := 0
				p.lose = func(time.Duration) bool { n++; return n > 20 && n%20 < 3 }
			}),
		}).run()
		o.clean(t)
	}
}

// F25: the source restarts with another SSRC, while one path is behind.
func TestF25_SourceRestart(t *testing.T) {
	for seed := range uint64(30) {
		const latency = 300 * time.Millisecond
		s := newSim(t, simConfig{
			seed: seed, params: Params{K: 32, R: 4, Streams: 2}, rate: rate10,
			latency: latency,
			paths: paths(2, func(i int, p *simPath) {
				p.delay = time.Duration(10+i*150) * time.Millisecond
			}),
		})
		down := time.Duration(seed%6) * 120 * time.Millisecond
		var at []time.Duration
		s.onOut = func(d *Delivery) {
			if d.Epoch {
				at = append(at, d.Release)
			}
		}
		start := time.Duration(0)
		for i := range 3 {
			s.stream(start, 2*time.Second, uint32(100+i), uint16(s.rng.Uint32()), s.rng.Uint32())
			start += 2*time.Second + down
		}
		s.until(s.now + 2*time.Second)
		o := s.out
		o.stats = s.dec.Stats()
		o.clean(t)
		if o.epochs != 3 || o.stats.Epochs != 3 || o.stats.Cut != 0 || o.stats.Forced != 0 {
			t.Errorf("down %v: epochs %d, %+v", down, o.epochs, o.stats)
		}
		for i := 1; i < len(at); i++ {
			if want := 2*time.Second + down; at[i]-at[i-1] < want-5*time.Millisecond || at[i]-at[i-1] > want+5*time.Millisecond {
				t.Errorf("down %v: epoch %d began %v after the one before, want %v", down, i, at[i]-at[i-1], want)
			}
		}
	}
}
