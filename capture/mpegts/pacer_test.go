package mpegts

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// sim runs a stream through a Pacer in virtual time.
type sim struct {
	t       *testing.T
	p       *Pacer
	tick    time.Duration // of Pop
	now     time.Duration
	arrive  time.Duration // of the last Push
	sent    []time.Duration
	out     []time.Duration
	arrived []time.Duration
	maxHeld time.Duration
}

func newSim(t *testing.T, cfg PacerConfig) *sim {
	return &sim{t: t, p: NewPacer(cfg), tick: time.Millisecond}
}

func (s *sim) emit(at time.Duration, ts []byte) {
	s.t.Helper()
	if len(ts) != PacketSize {
		s.t.Fatalf("emit got %d bytes", len(ts))
	}
	if n := len(s.out); n > 0 && at < s.out[n-1] {
		s.t.Fatalf("packet %d: instant went back by %v", n, s.out[n-1]-at)
	}
	if at > s.now {
		s.t.Fatalf("packet %d: emitted %v before its instant", len(s.out), at-s.now)
	}
	held := at - s.arrived[len(s.out)]
	s.maxHeld = max(s.maxHeld, held)
	if held < 0 {
		s.t.Fatalf("packet %d: instant %v before arrival", len(s.out), -held)
	}
	s.out = append(s.out, at)
}

// push lets n packets, sent at the times sent, arrive at the instant at.
func (s *sim) push(at time.Duration, ts []byte, sent []time.Duration) {
	at = max(at, s.arrive)
	s.advance(at)
	s.arrive = at
	s.p.Push(at, ts)
	s.sent = append(s.sent, sent...)
	for range sent {
		s.arrived = append(s.arrived, at)
	}
	s.p.Pop(s.now, s.emit)
}

func (s *sim) advance(to time.Duration) {
	for s.now+s.tick <= to {
		s.now += s.tick
		s.p.Pop(s.now, s.emit)
	}
	s.now = max(s.now, to)
}

func (s *sim) drain() {
	s.advance(s.now + time.Second)
	if len(s.out) != len(s.sent) {
		s.t.Fatalf("%d packets in, %d out", len(s.sent), len(s.out))
	}
}

// run sends g for a duration of source time in datagrams of seven packets.
// ppm is how much faster our clock is than the source's; delay gives each
// datagram's way through the network.
func (s *sim) run(g *genStream, d time.Duration, ppm float64, delay func(sent time.Duration) time.Duration) {
	end := g.t + d.Seconds()
	for g.t < end {
		var ts []byte
		var sent []time.Duration
		for range 7 {
			var at time.Duration
			ts, at = g.next(ts)
			sent = append(sent, at)
		}
		last := sent[len(sent)-1]
		at := time.Duration(float64(last) * (1 + ppm*1e-6))
		s.push(at+delay(last), ts, sent)
	}
}

// residual fits out = a + b·sent over packets emitted after from, and returns
// the largest distance from that line and its rate in ppm.
func (s *sim) residual(from time.Duration) (time.Duration, float64) {
	var n, sx, sy, sxx, sxy float64
	var x0, y0 time.Duration
	for i, o := range s.out {
		if o < from {
			continue
		}
		if n == 0 {
			x0, y0 = s.sent[i], o
		}
		x, y := float64(s.sent[i]-x0), float64(o-y0)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	b := (n*sxy - sx*sy) / (n*sxx - sx*sx)
	a := (sy - b*sx) / n
	worst := 0.0
	for i, o := range s.out {
		if o >= from {
			worst = max(worst, math.Abs(float64(o-y0)-a-b*float64(s.sent[i]-x0)))
		}
	}
	return time.Duration(worst), (b - 1) * 1e6
}

func uniform(seed uint64, width time.Duration) func(time.Duration) time.Duration {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(time.Duration) time.Duration {
		return 5*time.Millisecond + time.Duration(r.Int64N(int64(width)+1))
	}
}

// TestPacerTakesJitterOut: tens of milliseconds of jitter in, less than one
// out, at any rate and clock offset.
func TestPacerTakesJitterOut(t *testing.T) {
	for _, c := range []struct {
		rate, ppm float64
		jitter    time.Duration
		want      time.Duration
	}{
		{2e6, 0, 0, 200 * time.Microsecond},
		{2e6, -200, 30 * time.Millisecond, 500 * time.Microsecond},
		{10e6, 200, 30 * time.Millisecond, 500 * time.Microsecond},
		{10e6, 500, 10 * time.Millisecond, 500 * time.Microsecond},
		{22.39e6, -500, 30 * time.Millisecond, 500 * time.Microsecond},
		{22.39e6, 0, 50 * time.Millisecond, 500 * time.Microsecond},
	} {
		t.Run(fmt.Sprintf("%.0fMbps/%+.0fppm/%v", c.rate/1e6, c.ppm, c.jitter), func(t *testing.T) {
			s := newSim(t, PacerConfig{})
			g := &genStream{pid: 0x100, rate: c.rate, pcrEvery: int(c.rate / packetBits * 0.03), base: PCRModulus - 20*PCRHz}
			s.run(g, 50*time.Second, c.ppm, uniform(7, c.jitter))
			s.drain()
			r, b := s.residual(15 * time.Second)
			st := s.p.Stats()
			t.Logf("residual %v, rate %+.1f ppm, longest hold %v, %+v", r, b, s.maxHeld, st)
			if r > c.want {
				t.Errorf("residual jitter %v, want at most %v", r, c.want)
			}
			if !st.Locked || !st.CBR || math.Abs(st.ClockPPM+c.ppm) > 10 || math.Abs(st.RateBPS-c.rate) > 100 {
				t.Errorf("stats %+v", st)
			}
			if s.maxHeld > 100*time.Millisecond || st.Jumps+st.Relocks+st.Dropped+st.EarlyReleases != 0 {
				t.Errorf("longest hold %v, stats %+v", s.maxHeld, st)
			}
		})
	}
}

// TestPacerTopRate: at the highest rate the buffer is made for, nothing leaves
// early.
func TestPacerTopRate(t *testing.T) {
	s := newSim(t, PacerConfig{})
	g := &genStream{pid: 0x100, rate: 120e6, pcrEvery: 2000}
	s.run(g, 12*time.Second, 100, uniform(7, 10*time.Millisecond))
	s.drain()
	r, _ := s.residual(8 * time.Second)
	if st := s.p.Stats(); r > 500*time.Microsecond || st.EarlyReleases+st.Dropped != 0 || s.maxHeld > 50*time.Millisecond {
		t.Errorf("residual %v, longest hold %v, %+v", r, s.maxHeld, st)
	}
}

// vbr is a stream of frames of very different sizes.
type vbr struct {
	g     *genStream
	r     *rand.Rand
	burst bool // packets of a frame leave all at once
}

const frame = 40 * time.Millisecond

// run sends frames; sent times are those of an even spread over each frame.
func (v *vbr) run(s *sim, d time.Duration, delay func(time.Duration) time.Duration) (pcr []int) {
	for end := v.g.t + d.Seconds(); v.g.t < end; {
		n := 20 + v.r.IntN(60)
		if v.r.IntN(12) == 0 {
			n += 500
		}
		start := v.g.t
		v.g.pcrEvery, v.g.since = n, 0
		v.g.rate = float64(n) * packetBits / frame.Seconds()
		pcr = append(pcr, len(s.sent))
		for i := 0; i < n; {
			var ts []byte
			var sent []time.Duration
			for ; len(sent) < 7 && i < n; i++ {
				var at time.Duration
				ts, at = v.g.next(ts)
				sent = append(sent, at)
			}
			at := sent[len(sent)-1]
			if v.burst {
				at = time.Duration(start * 1e9)
			}
			s.push(at+delay(at), ts, sent)
		}
		v.g.t = start + frame.Seconds()
	}
	return pcr
}

// only keeps of the packets those listed.
func (s *sim) only(index []int) *sim {
	o := &sim{t: s.t}
	for _, i := range index {
		o.sent, o.out = append(o.sent, s.sent[i]), append(o.out, s.out[i])
	}
	return o
}

func TestPacerVBR(t *testing.T) {
	for _, burst := range []bool{false, true} {
		for _, jitter := range []time.Duration{0, 15 * time.Millisecond} {
			t.Run(fmt.Sprintf("burst=%v/%v", burst, jitter), func(t *testing.T) {
				s := newSim(t, PacerConfig{Latency: 50 * time.Millisecond, MaxLatency: 150 * time.Millisecond})
				v := &vbr{g: &genStream{pid: 0x100}, r: rand.New(rand.NewPCG(3, 4)), burst: burst}
				pcr := v.run(s, 120*time.Second, uniform(5, jitter))
				s.drain()
				st := s.p.Stats()
				clock, _ := s.only(pcr).residual(60 * time.Second)
				last := pcr[len(pcr)-1] // what follows the last PCR has to be guessed
				known := &sim{t: t, sent: s.sent[:last], out: s.out[:last]}
				all, _ := known.residual(60 * time.Second)
				t.Logf("PCRs within %v, all packets %v, longest hold %v, %+v", clock, all, s.maxHeld, st)
				if st.CBR || clock > time.Millisecond {
					t.Errorf("PCR packets stray by %v, CBR %v", clock, st.CBR)
				}
				if all > frame/4 || s.maxHeld > 150*time.Millisecond {
					t.Errorf("packets stray by %v, longest hold %v", all, s.maxHeld)
				}
				if want := st.RateBPS; math.Abs(want-float64(len(s.out))*packetBits/120)/want > 0.4 {
					t.Errorf("rate %v", st.RateBPS)
				}
			})
		}
	}
}
