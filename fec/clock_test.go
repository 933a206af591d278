package fec

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The buckets give the minimum of the last 10 s, give or take a bucket.
func TestMinWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m minWindow
		m.reset()
		type sample struct{ at, v time.Duration }
		var all []sample
		now := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "start"))
		for range rapid.IntRange(1, 100).Draw(t, "n") {
			now += time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "step"))
			v := time.Duration(rapid.Int64Range(-1000, 1000).Draw(t, "v"))
			m.add(now, v)
			all = append(all, sample{now, v})
			most, least := never, never // of a window a bucket shorter, and the full one
			for _, s := range all {
				if now-s.at < clockWindow-bucketSpan {
					most = min(most, s.v)
				}
				if now-s.at <= clockWindow {
					least = min(least, s.v)
				}
			}
			if m.min > most || m.min < least {
				t.Fatalf("minimum %v, want %v…%v", m.min, least, most)
			}
		}
		m.roll(now + clockWindow)
		if m.min != never {
			t.Fatalf("minimum %v after the window passed", m.min)
		}
	})
}

// releases runs a simulation and returns, per delivered packet, its release
// minus its sending, in the network's time.
func releases(t *testing.T, c simConfig) (o outcome, delay []time.Duration, sentAt []time.Duration) {
	t.Helper()
	s := newSim(t, c)
	gap := time.Duration(float64(time.Second) / c.rate)
	var first uint64
	s.onOut = func(d *Delivery) {
		if first == 0 {
			first = uint64(oneCycle) + uint64(c.seq)
		}
		if d.Lost {
			return
		}
		sent := time.Duration(d.Seq-first) * gap
		at := time.Duration(float64(d.Release) / (1 + c.drift))
		delay = append(delay, at-sent)
		sentAt = append(sentAt, sent)
	}
	o = s.run()
	return o, delay, sentAt
}

// The release delay is D beyond the fastest path's delay, without jitter, and
// stays so with clocks that drift apart by 200 ppm for minutes.
func TestReleaseClockDrift(t *testing.T) {
	for _, ppm := range []float64{-200, 0, 200} {
		c := simConfig{
			seed: 3, params: Params{K: 32, R: 2, Streams: 2}, rate: 200, length: 5 * time.Minute,
			latency: 400 * time.Millisecond, ssrc: 1, seq: 7, drift: ppm * 1e-6, tick: 5 * time.Millisecond,
			paths: paths(2, func(i int, p *simPath) {
				p.delay = time.Duration(20+30*i) * time.Millisecond
				p.jitter = 8 * time.Millisecond
				if i == 0 {
					p.lose = gilbert(rand.New(rand.NewPCG(4, 9)), 0.02, 10*time.Millisecond)
				}
			}),
		}
		o, delay, at := releases(t, c)
		o.sound(t)
		if o.lost > 0 || o.stats.Late > 0 {
			t.Errorf("%v ppm: lost %d, late %d", ppm, o.lost, o.stats.Late)
		}
		lo, hi := never, time.Duration(0)
		for i, d := range delay {
			if at[i] > 20*time.Second {
				lo, hi = min(lo, d), max(hi, d)
			}
		}
		if lo < 410*time.Millisecond || hi > 430*time.Millisecond || hi-lo > 6*time.Millisecond {
			t.Errorf("%v ppm: delay %v…%v, want 420 ms, steady", ppm, lo, hi)
		}
		// No step: between neighbours at most the slewing of their distance
		// and a timestamp's rounding.
		for i := 1; i < len(delay); i++ {
			if d := delay[i] - delay[i-1]; d > 60*time.Microsecond || d < -60*time.Microsecond {
				t.Fatalf("%v ppm: the delay steps by %v at %v", ppm, d, at[i])
			}
		}
	}
}

// Whatever path comes first, however far the other is behind or ahead, and
// whenever it starts: nothing is lost, nothing is released later than D after
// its path's own delivery would have it, and the output does not step.
func TestJoinPathsAtDifferentTimes(t *testing.T) {
	for _, behind := range []time.Duration{-450 * time.Millisecond, -20 * time.Millisecond, 20 * time.Millisecond, 450 * time.Millisecond} {
		for _, second := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 3 * time.Second, 15 * time.Second} {
			const latency = 500 * time.Millisecond
			c := simConfig{
				params: Params{K: 20, R: 2, Streams: 2}, rate: 400, length: 20 * time.Second,
				latency: latency, ssrc: 1, seq: 65000,
				paths: paths(2, func(i int, p *simPath) {
					p.delay = 460 * time.Millisecond
					if i == 1 {
						p.delay += behind
						p.from = second
					}
				}),
			}
			o, delay, at := releases(t, c)
			o.sound(t)
			if o.lost > 0 || o.delivered != o.sent || o.stats.Late+o.stats.Forced+o.stats.Restarts > 0 {
				o.stats.Paths = nil
				t.Errorf("%v behind from %v on: %d of %d delivered, %+v", behind, second, o.delivered, o.sent, o.stats)
			}
			for i := 1; i < len(delay); i++ {
				// Before the first release the clock may still be set.
				if d := delay[i] - delay[i-1]; d > 30*time.Microsecond || d < -30*time.Microsecond {
					t.Fatalf("%v behind from %v on: the delay steps by %v at %v", behind, second, d, at[i])
				}
			}
			if hi := delay[len(delay)-1]; hi > 460*time.Millisecond+latency+5*time.Millisecond {
				t.Errorf("%v behind from %v on: delay %v", behind, second, hi)
			}
		}
	}
}

// The first packets come in a burst, after a connection's set-up held them: B
// is that of the ones that were not held.
func TestStartWithABurst(t *testing.T) {
	c := simConfig{
		params: Params{K: 20, R: 2, Streams: 1}, rate: 400, length: 5 * time.Second,
		latency: 300 * time.Millisecond, ssrc: 1, seq: 1,
		paths: paths(1, func(_ int, p *simPath) {
			p.late = func(at time.Duration) time.Duration { return max(0, 200*time.Millisecond-at) }
		}),
	}
	o, delay, _ := releases(t, c)
	o.clean(t)
	for _, d := range delay {
		if d < 318*time.Millisecond || d > 322*time.Millisecond {
			t.Fatalf("delay %v, want that of an unheld packet, 320 ms", d)
		}
	}
}

// A gateway that joins a running stream delivers all from its first packet on,
// without loss as soon as a block has begun after it.
func TestJoinRunningStream(t *testing.T) {
	for seed := range uint64(30) {
		join := time.Second + time.Duration(seed)*7*time.Millisecond
		s := newSim(t, simConfig{
			seed: seed, params: Params{K: 64, R: 6, Streams: 2}, rate: rate10, length: 3 * time.Second,
			latency: 250 * time.Millisecond, ssrc: 1, seq: 65000,
			paths: paths(2, func(i int, p *simPath) {
				p.from = join
				p.jitter = 3 * time.Millisecond
				n := i
				p.lose = func(time.Duration) bool { n++; return n%50 < 2 }
			}),
		})
		gap := float64(time.Second) / rate10
		block := time.Duration(64 * gap)
		var late []uint64
		s.onOut = func(d *Delivery) {
			sent := time.Duration(float64(uint16(d.Seq)-65000) * gap) // the count begins anew at 65536
			if d.Lost && sent > join+block {
				late = append(late, d.Seq)
			}
		}
		o := s.run()
		o.sound(t)
		if len(late) > 0 {
			t.Errorf("join at %v: lost %v after the first block", join, late)
		}
		if want := int(float64(3*time.Second-join) / gap); o.delivered < want-66 || o.delivered > want+1 {
			t.Errorf("join at %v: %d delivered, want about %d", join, o.delivered, want)
		}
	}
}

// After hours of silence the two clocks have drifted further apart than D: the
// stream resumes at once, on a clock set anew.
func TestResumeAfterHours(t *testing.T) {
	for _, ppm := range []float64{-150, 150} {
		from, to := 5*time.Second, 3*time.Hour
		c := simConfig{
			params: Params{K: 20, R: 2, Streams: 1}, rate: 100, length: to + 10*time.Second,
			latency: 300 * time.Millisecond, ssrc: 1, seq: 1, drift: ppm * 1e-6, tick: 10 * time.Millisecond,
			paths: paths(1, nil), quiet: func(at time.Duration) bool { return at > from && at < to },
		}
		var release []time.Duration
		s := newSim(t, c)
		s.onOut = func(d *Delivery) { release = append(release, d.Release-s.local(s.now)) }
		o := s.run()
		o.clean(t)
		for i, r := range release {
			if r > 0 || r < -11*time.Millisecond {
				t.Fatalf("%v ppm: packet %d of %d was released %v from its time", ppm, i, len(release), r)
			}
		}
		if o.stats.Epochs != 1 || o.stats.Late > 0 {
			t.Errorf("%v ppm: %+v", ppm, o.stats)
		}
	}
}

// All paths become slower than D allows, and stay so: after two seconds the
// clock follows. A path that was late by the same amount while another was in
// time changes nothing.
func TestAllPathsSlowerThanD(t *testing.T) {
	for _, one := range []bool{false, true} {
		s := newSim(t, simConfig{
			params: Params{K: 20, R: 2, Streams: 2}, rate: 400, length: 12 * time.Second,
			latency: 200 * time.Millisecond, ssrc: 1, seq: 1,
			paths: paths(2, func(i int, p *simPath) {
				p.late = func(at time.Duration) time.Duration {
					if at > 3*time.Second && (i == 0 || !one) {
						return time.Second
					}
					return 0
				}
			}),
		})
		var down, up time.Duration
		s.onOut = func(d *Delivery) {
			if d.Lost && down == 0 {
				down = s.now
			}
			if !d.Lost && down > 0 && up == 0 {
				up = s.now
			}
		}
		o := s.run()
		o.sound(t)
		if one {
			o.clean(t)
			if o.stats.Restarts != 0 {
				t.Errorf("%+v", o.stats)
			}
			continue
		}
		if o.stats.Restarts != 1 || o.delivered < 8*400 || up > 7*time.Second {
			t.Errorf("restarts %d, delivered %d of %d, up at %v", o.stats.Restarts, o.delivered, o.sent, up)
		}
	}
}

// The stream begins over a path whose queue holds everything for 3 s, and then
// drains: B is 3 s too high for hours, the packets wait, nothing
// is lost, also at a varying rate and through turns of the sequence number.
func TestClockFarBehind(t *testing.T) {
	s := newSim(t, simConfig{
		params: Params{K: 20, R: 0, Streams: 1}, rate: 2000, length: 90 * time.Second, tick: 5 * time.Millisecond,
		latency: 300 * time.Millisecond, ssrc: 1, seq: 1, size: 20, packets: 10000,
		quiet: func(at time.Duration) bool { return at/(20*time.Second)%2 == 1 && at/(500*time.Microsecond)%10 != 0 },
		paths: paths(1, func(_ int, p *simPath) {
			p.late = func(at time.Duration) time.Duration {
				return min(3*time.Second, max(0, 3*time.Second-(at-2*time.Second)*9/10))
			}
		}),
	})
	o := s.run()
	o.clean(t)
	if o.stats.Restarts+o.stats.Implausible+o.stats.Forced > 0 || o.stats.MarginMS < 3200 {
		t.Errorf("%+v", o.stats)
	}
}

// A longer latency while running shifts the output, without loss.
func TestSetLatency(t *testing.T) {
	s := newSim(t, simConfig{
		params: Params{K: 20, R: 2, Streams: 2}, rate: 400, length: 4 * time.Second,
		latency: 100 * time.Millisecond, ssrc: 1, seq: 1, paths: paths(2, nil),
	})
	gap := time.Duration(float64(time.Second) / 400)
	s.onOut = func(d *Delivery) {
		n := d.Seq - oneCycle - 1
		if n == 800 {
			s.dec.latency = 0 // what follows shows SetLatency's effect
			s.dec.SetLatency(250 * time.Millisecond)
		}
		want := 120 * time.Millisecond
		if n > 800 {
			want = 270 * time.Millisecond
		}
		if got := d.Release - time.Duration(n)*gap; got < want-time.Millisecond || got > want+time.Millisecond {
			t.Fatalf("packet %d: delay %v, want %v", n, got, want)
		}
	}
	o := s.run()
	o.clean(t)
}
