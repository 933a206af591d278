package mpegts

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

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

// TestPacerWrongClock: PCRs that run at half or twice the speed of time cannot
// be followed, yet packets keep leaving, none of them late or in a burst.
func TestPacerWrongClock(t *testing.T) {
	for _, speed := range []float64{0.5, 0.99, 1.01, 2} {
		s := newSim(t, PacerConfig{})
		g := &genStream{pid: 0x100, rate: 10e6, pcrEvery: 200}
		for g.t < 30 {
			var ts []byte
			var sent []time.Duration
			for range 7 {
				g.base = PCR(0).Add(int64(g.t * (speed - 1) * PCRHz))
				var at time.Duration
				ts, at = g.next(ts)
				sent = append(sent, at)
			}
			s.push(sent[6], ts, sent)
		}
		s.drain()
		pause, burst := s.smooth(time.Second, 29*time.Second)
		t.Logf("speed %v: pause %v, burst %d, hold %v, %+v", speed, pause, burst, s.maxHeld, s.p.Stats())
		if pause > 40*time.Millisecond || burst > 180 || s.maxHeld > 100*time.Millisecond {
			t.Errorf("speed %v: pause %v, %d packets in 5 ms, hold %v", speed, pause, burst, s.maxHeld)
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
