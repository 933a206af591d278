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

// smooth reports the longest pause and the most packets within 5 ms among the
// packets emitted in [from, to).
func (s *sim) smooth(from, to time.Duration) (pause time.Duration, burst int) {
	lo := 0
	for i, o := range s.out {
		if o < from || o >= to {
			lo = i + 1
			continue
		}
		if i > 0 && s.out[i-1] >= from {
			pause = max(pause, o-s.out[i-1])
		}
		for s.out[lo] <= o-5*time.Millisecond {
			lo++
		}
		burst = max(burst, i-lo+1)
	}
	return pause, burst
}

// TestPacerClockBreaks: whatever the PCR does, packets keep leaving evenly.
func TestPacerClockBreaks(t *testing.T) {
	const rate = 10e6
	per5ms := int(math.Ceil(rate * 0.005 / packetBits))
	gap := time.Duration(packetBits / rate * 1e9)
	for _, c := range []struct {
		name  string
		jump  int64 // ticks
		flag  bool
		jumps uint64
	}{
		{"wrap", 0, false, 0},
		{"flag without a jump", 0, true, 0},
		{"forward an hour", 3600 * PCRHz, false, 1},
		{"back an hour, announced", -3600 * PCRHz, true, 1},
		{"back 10 ms", -PCRHz/100 - PCRHz*3/100, false, 1},
		{"forward 150 ms", PCRHz * 15 / 100, false, 1},
		{"forward 50 ms, announced", PCRHz * 5 / 100, true, 1},
		{"half a wrap", PCRModulus / 2, false, 1},
	} {
		for _, jitter := range []time.Duration{0, 15 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s/%v", c.name, jitter), func(t *testing.T) {
				s := newSim(t, PacerConfig{})
				g := &genStream{pid: 0x100, rate: rate, pcrEvery: 200, base: PCRModulus - 15*PCRHz}
				delay := uniform(3, jitter)
				s.run(g, 15*time.Second, 50, delay)
				if g.base = g.base.Add(c.jump); c.flag {
					g.flagNext = true
				}
				s.run(g, 10*time.Second, 50, delay)
				s.drain()
				r, _ := s.residual(12 * time.Second)
				pause, burst := s.smooth(12*time.Second, 24*time.Second)
				st := s.p.Stats()
				t.Logf("residual %v, pause %v, %d packets in 5 ms (even: %d), %+v", r, pause, burst, per5ms, st)
				if st.Jumps != c.jumps {
					t.Errorf("%d jumps, want %d", st.Jumps, c.jumps)
				}
				if r > time.Millisecond || pause > 2*gap || burst > per5ms+2 || st.Relocks != 0 {
					t.Errorf("residual %v, pause %v, %d packets in 5 ms", r, pause, burst)
				}
			})
		}
	}
}

// TestPacerPCREveryPacketHostile: PCRs without sense cost smoothness, nothing else.
func TestPacerPCREveryPacketHostile(t *testing.T) {
	s := newSim(t, PacerConfig{})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		at := time.Duration(i) * time.Millisecond
		s.push(at, pcrPacket(0x100, PCR(r.Uint64N(PCRModulus))), []time.Duration{at})
	}
	s.drain()
	pause, burst := s.smooth(time.Second, 19*time.Second)
	if pause > 20*time.Millisecond || burst > 25 || s.maxHeld > 100*time.Millisecond {
		t.Errorf("pause %v, %d packets in 5 ms, hold %v", pause, burst, s.maxHeld)
	}
}

func TestPacerWithoutPCR(t *testing.T) {
	for _, jitter := range []time.Duration{0, 10 * time.Millisecond} {
		s := newSim(t, PacerConfig{})
		g := &genStream{pid: 0x100, rate: 8e6, pcrEvery: 1 << 30, noPCR: true}
		s.run(g, 20*time.Second, 0, uniform(3, jitter))
		s.drain()
		st := s.p.Stats()
		r, _ := s.residual(5 * time.Second)
		pause, burst := s.smooth(5*time.Second, 19*time.Second)
		t.Logf("jitter %v: residual %v pause %v burst %d hold %v %+v", jitter, r, pause, burst, s.maxHeld, st)
		if r > jitter/4+2*time.Millisecond || pause > 5*time.Millisecond || s.maxHeld > 60*time.Millisecond {
			t.Errorf("jitter %v: residual %v, pause %v, hold %v", jitter, r, pause, s.maxHeld)
		}
		if st.PCRPID != 0 || st.Locked || math.Abs(st.RateBPS/8e6-1) > 0.02 {
			t.Errorf("stats %+v", st)
		}
	}
}

// TestPacerLosesPCR: the clock's PID falls silent, another takes over, or the
// same comes back.
func TestPacerLosesPCR(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  PID
		back PID
		pid  PID // in use at the end
	}{
		{"another PID, any allowed", 0, 0x200, 0x200},
		{"another PID, not the chosen one", 0x100, 0x200, 0},
		{"same PID", 0x100, 0x100, 0x100},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(t, PacerConfig{PCRPID: c.cfg})
			g := &genStream{pid: 0x100, rate: 10e6, pcrEvery: 200}
			delay := uniform(3, 5*time.Millisecond)
			s.run(g, 10*time.Second, 0, delay)
			g.noPCR = true
			s.run(g, 5*time.Second, 0, delay)
			g.noPCR, g.pid = false, c.back
			s.run(g, 15*time.Second, 0, delay)
			s.drain()
			pause, burst := s.smooth(3*time.Second, 29*time.Second)
			st := s.p.Stats()
			t.Logf("pause %v burst %d %+v", pause, burst, st)
			if st.PCRPID != c.pid || pause > 10*time.Millisecond || burst > 80 || s.maxHeld > 60*time.Millisecond {
				t.Errorf("pause %v, %d in 5 ms, hold %v, stats %+v", pause, burst, s.maxHeld, st)
			}
		})
	}
}

// TestPacerChosenPID: of two programs with different clocks, the chosen one's
// PCRs leave on time.
func TestPacerChosenPID(t *testing.T) {
	s := newSim(t, PacerConfig{PCRPID: 0x200})
	a := &genStream{pid: 0x100, rate: 5e6, pcrEvery: 100, base: 77777}
	b := &genStream{pid: 0x200, rate: 5e6, pcrEvery: 100}
	delay := uniform(3, 10*time.Millisecond)
	var ts []byte
	var sent []time.Duration
	for b.t < 40 {
		a.base = PCR(77777).Add(int64(a.t * PCRHz * 300e-6)) // its clock runs fast
		ts, _ = a.next(ts)
		sent = append(sent, time.Duration(b.t*1e9))
		var at time.Duration
		ts, at = b.next(ts)
		if sent = append(sent, at); len(sent) == 14 {
			s.push(at+delay(at), ts, sent)
			ts, sent = nil, nil
		}
	}
	s.drain()
	r, ppm := s.residual(15 * time.Second)
	if st := s.p.Stats(); r > time.Millisecond || math.Abs(ppm) > 60 || st.PCRPID != 0x200 || math.Abs(st.ClockPPM) > 10 {
		t.Errorf("residual %v at %+.1f ppm, %+v", r, ppm, st)
	}
}

// TestPacerStall: the network holds everything back and then delivers it at
// once. Nothing is lost, nothing is held too long, and the excess is spread.
func TestPacerStall(t *testing.T) {
	for _, stall := range []time.Duration{60 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second} {
		t.Run(stall.String(), func(t *testing.T) {
			s := newSim(t, PacerConfig{})
			g := &genStream{pid: 0x100, rate: 10e6, pcrEvery: 200}
			const at = 10 * time.Second
			jitter := uniform(3, 5*time.Millisecond)
			s.run(g, 40*time.Second, 0, func(sent time.Duration) time.Duration {
				if d := at + stall - sent; sent > at && d > 0 {
					return d
				}
				return jitter(sent)
			})
			s.drain()
			st := s.p.Stats()
			r, _ := s.residual(35 * time.Second)
			_, burst := s.smooth(at+stall+200*time.Millisecond, 39*time.Second)
			t.Logf("residual at the end %v, burst %d, hold %v, %+v", r, burst, s.maxHeld, st)
			if s.maxHeld > 100*time.Millisecond || st.Dropped != 0 {
				t.Errorf("hold %v, %+v", s.maxHeld, st)
			}
			if r > time.Millisecond || burst > 45 {
				t.Errorf("residual %v, %d packets in 5 ms", r, burst)
			}
		})
	}
}

// TestPacerPause: the source stops, clock and all, and goes on later.
func TestPacerPause(t *testing.T) {
	for _, pause := range []time.Duration{60 * time.Millisecond, 400 * time.Millisecond, 20 * time.Second} {
		t.Run(pause.String(), func(t *testing.T) {
			s := newSim(t, PacerConfig{})
			g := &genStream{pid: 0x100, rate: 10e6, pcrEvery: 200}
			jitter := uniform(3, 5*time.Millisecond)
			s.run(g, 10*time.Second, 0, jitter)
			later := func(d time.Duration) time.Duration { return jitter(d) + pause }
			s.run(g, 20*time.Second, 0, later)
			s.drain()
			st := s.p.Stats()
			from := 10*time.Second + pause
			r, _ := s.residual(from + 10*time.Second)
			stop, burst := s.smooth(from+100*time.Millisecond, from+19*time.Second)
			t.Logf("residual %v, pause %v, burst %d, hold %v, %+v", r, stop, burst, s.maxHeld, st)
			if r > time.Millisecond || stop > 3*time.Millisecond || burst > 45 || s.maxHeld > 100*time.Millisecond {
				t.Errorf("residual %v, pause %v, %d in 5 ms, hold %v", r, stop, burst, s.maxHeld)
			}
		})
	}
}

// TestPacerLoss: packets missing on the way here do not disturb the others.
func TestPacerLoss(t *testing.T) {
	s := newSim(t, PacerConfig{})
	g := &genStream{pid: 0x100, rate: 10e6, pcrEvery: 200}
	delay := uniform(3, 10*time.Millisecond)
	r := rand.New(rand.NewPCG(8, 8))
	var pcr []int
	for g.t < 60 {
		var ts []byte
		var sent []time.Duration
		at := -1
		for i := range 7 {
			if g.since == 0 {
				at = i
			}
			var d time.Duration
			ts, d = g.next(ts)
			sent = append(sent, d)
		}
		last := sent[6]
		if r.IntN(1000) == 0 { // 20 datagrams gone
			for range 140 {
				g.next(nil)
			}
		}
		if r.IntN(100) == 0 {
			continue
		}
		if at >= 0 {
			pcr = append(pcr, len(s.sent)+at)
		}
		s.push(last+delay(last), ts, sent)
	}
	s.drain()
	clock, _ := s.only(pcr).residual(20 * time.Second)
	all, _ := s.residual(20 * time.Second)
	st := s.p.Stats()
	t.Logf("PCRs within %v, all packets %v, hold %v, %+v", clock, all, s.maxHeld, st)
	if clock > time.Millisecond || s.maxHeld > 60*time.Millisecond || st.Jumps+st.Relocks != 0 {
		t.Errorf("PCRs within %v, hold %v, %+v", clock, s.maxHeld, st)
	}
}

// TestPacerOverrun: more than the buffer is meant for goes out early; without
// Pop memory stays bounded.
func TestPacerOverrun(t *testing.T) {
	s := newSim(t, PacerConfig{MaxRateBPS: 8e6})
	g := &genStream{pid: 0x100, rate: 10e6, pcrEvery: 200}
	s.run(g, 2*time.Second, 0, uniform(3, 0))
	g.rate = 100e6
	s.run(g, 2*time.Second, 0, uniform(3, 0))
	s.drain()
	if st := s.p.Stats(); st.Dropped != 0 || st.EarlyReleases == 0 || st.Packets != uint64(len(s.sent)) {
		t.Errorf("%+v", st)
	}

	p := NewPacer(PacerConfig{MaxRateBPS: 8e6})
	ts := AppendNull(nil, 100)
	for range 1000 {
		p.Push(0, ts)
	}
	st := p.Stats()
	if st.Dropped == 0 || st.Buffered > 8192 || st.Dropped+uint64(st.Buffered) != 100_000 {
		t.Errorf("without Pop: %+v", st)
	}
	n := 0
	p.Pop(time.Hour, func(time.Duration, []byte) { n++ })
	if n != st.Buffered {
		t.Errorf("%d of %d packets came out", n, st.Buffered)
	}
}

// TestPacerLongRun: hours, over the wrap of the PCR, on a machine that has been
// up for half a year.
func TestPacerLongRun(t *testing.T) {
	s := newSim(t, PacerConfig{})
	s.tick = 100 * time.Millisecond
	const up = 180 * 24 * time.Hour
	s.now = up
	g := &genStream{pid: 0x100, rate: 7 * packetBits / 0.1, pcrEvery: 7, base: PCRModulus - 2*3600*PCRHz}
	delay := uniform(3, 5*time.Millisecond)
	var worst time.Duration
	for h := range 5 {
		s.run(g, time.Hour, 100, func(d time.Duration) time.Duration { return up + delay(d) })
		if h > 0 {
			r, _ := s.residual(0)
			worst = max(worst, r)
		}
		n := len(s.out)
		s.arrived, s.sent, s.out = s.arrived[n:], s.sent[n:], s.out[:0]
	}
	st := s.p.Stats()
	t.Logf("strays by %v, %+v", worst, st)
	if worst > time.Millisecond || st.Jumps+st.Relocks != 0 {
		t.Errorf("strays by %v, %+v", worst, st)
	}
}

func TestPacerNext(t *testing.T) {
	p := NewPacer(PacerConfig{Latency: 10 * time.Millisecond})
	if _, ok := p.Next(); ok {
		t.Error("an empty Pacer has something due")
	}
	p.Push(time.Second, NullPacket[:])
	at, ok := p.Next()
	if !ok || at != time.Second+10*time.Millisecond {
		t.Errorf("due at %v, %v", at, ok)
	}
	got := 0
	p.Pop(at-1, func(time.Duration, []byte) { got++ })
	if got != 0 {
		t.Error("emitted before it is due")
	}
	p.Pop(at, func(time.Duration, []byte) { got++ })
	if got != 1 {
		t.Errorf("%d packets at the instant", got)
	}
}

func TestPacerAllocs(t *testing.T) {
	p := NewPacer(PacerConfig{})
	g := &genStream{pid: 0x100, rate: 50e6, pcrEvery: 300}
	var ts []byte
	for range 70000 {
		ts, _ = g.next(ts)
	}
	var now time.Duration
	i := 0
	emit := func(time.Duration, []byte) {}
	step := func() {
		p.Push(now, ts[i*7*PacketSize:(i+1)*7*PacketSize])
		i = (i + 1) % 10000
		now += time.Duration(7 * packetBits / 50e6 * 1e9)
		p.Next()
		p.Pop(now, emit)
	}
	for range 10000 {
		step()
	}
	if n := testing.AllocsPerRun(20000, step); n != 0 {
		t.Errorf("%v allocations per datagram", n)
	}
}

func BenchmarkPacer(b *testing.B) {
	p := NewPacer(PacerConfig{})
	g := &genStream{pid: 0x100, rate: 50e6, pcrEvery: 300}
	var ts []byte
	for range 7000 {
		ts, _ = g.next(ts)
	}
	var now time.Duration
	i := 0
	emit := func(time.Duration, []byte) {}
	b.SetBytes(7 * PacketSize)
	b.ReportAllocs()
	for b.Loop() {
		p.Push(now, ts[i*7*PacketSize:(i+1)*7*PacketSize])
		i = (i + 1) % 1000
		now += time.Duration(7 * packetBits / 50e6 * 1e9)
		p.Pop(now, emit)
	}
}
