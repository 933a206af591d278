package tr101290

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

func TestTransportError(t *testing.T) {
	try(t, []trial{
		{"nine packets", Config{}, func(g *gen) {
			g.times(9, func() { g.once(mpegts.NullPID, func(p mpegts.Packet) bool { p.SetTransportError(true); return true }) })
		}, tallies{TransportError: 9}},
		{"nothing of it is believed", Config{Priority3: true}, func(g *gen) {
			g.times(5, func() {
				p := packed(0, section(0x55, 1, 0, 0, 0, []byte{1, 2, 3, 4}))[0]
				p.SetTransportError(true)
				p[3] |= 0xC0
				g.write(p)
				g.n++
			})
		}, tallies{TransportError: 5}},
	})
}

func TestCRC(t *testing.T) {
	damage := func(pid mpegts.PID, table byte) func(g *gen) {
		return func(g *gen) {
			hit := 0
			g.edit = func(p mpegts.Packet) bool {
				if hit < 3 && p.PID() == pid && p.PUSI() && p[5] == table {
					p[10] ^= 0x40
					hit++
				}
				return true
			}
			g.run(35 * time.Second)
			g.edit = nil
			if hit != 3 {
				g.t.Errorf("%d sections damaged", hit)
			}
		}
	}
	for _, c := range []struct {
		name  string
		pid   mpegts.PID
		table byte
		crc   CRCStats
	}{
		{"PAT", 0, 0x00, CRCStats{PAT: 3}},
		{"CAT", 1, 0x01, CRCStats{CAT: 3}},
		{"PMT", pidPMT1, 0x02, CRCStats{PMT: 3}},
		{"NIT", 0x10, 0x40, CRCStats{NIT: 3}},
		{"NIT other", 0x10, 0x41, CRCStats{NIT: 3}},
		{"BAT", 0x11, 0x4A, CRCStats{BAT: 3}},
		{"SDT", 0x11, 0x42, CRCStats{SDT: 3}},
		{"SDT other", 0x11, 0x46, CRCStats{SDT: 3}},
		{"EIT", 0x12, 0x4E, CRCStats{EIT: 3}},
		{"EIT schedule", 0x12, 0x50, CRCStats{EIT: 3}},
		{"TOT", 0x14, 0x73, CRCStats{TOT: 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGen(t, Config{})
			g.run(time.Second)
			damage(c.pid, c.table)(g)
			g.want(tallies{CRCError: 3})
			if got := g.m.Stats().CRC; got != c.crc {
				t.Errorf("%+v, want %+v", got, c.crc)
			}
			if got := g.m.Checks()[CRCError].PID; got != c.pid {
				t.Errorf("PID %#x", got)
			}
		})
	}
	try(t, []trial{{"TDT and RST have none", Config{}, func(g *gen) {
		g.edit = func(p mpegts.Packet) bool {
			if pid := p.PID(); (pid == mpegts.TDTPID || pid == mpegts.RSTPID) && p[5] != 0x73 {
				p[10]++
			}
			return true
		}
		g.run(20 * time.Second)
		g.edit = nil
	}, nil}, {"a private section with a wrong one is not ours", Config{}, func(g *gen) {
		s := section(0x91, 1, 0, 0, 0, []byte{1, 2, 3, 4})
		s[9]++
		g.queue = append(g.queue, packed(pidPMT1, s)...)
	}, nil}})
}

func TestPCRRepetition(t *testing.T) {
	try(t, []trial{
		{"gap below the limit", Config{}, func(g *gen) { g.off("PCR2"); g.run(60 * ms); g.on("PCR2") }, nil},
		// What is too far apart also differs by too much: the standard makes it both.
		{"gaps above the limit", Config{}, func(g *gen) {
			g.times(4, func() { g.off("PCR2"); g.run(120 * ms); g.on("PCR2"); g.run(60 * ms) })
		}, tallies{PCRRepetitionError: 4, PCRDiscontinuityIndicatorError: 4}},
		{"the limit of 2005", Config{PCRRepetition: 40 * ms}, func(g *gen) {
			g.times(3, func() { g.off("PCR2"); g.run(50 * ms); g.on("PCR2"); g.run(60 * ms) })
		}, tallies{PCRRepetitionError: 3}},
		{"no PCR any more", Config{}, func(g *gen) {
			g.off("PCR2")
			g.run(3 * time.Second)
			if !g.active(PCRRepetitionError) {
				g.t.Error("not active")
			}
		}, tallies{PCRRepetitionError: 1}},
		{"away and back", Config{}, func(g *gen) {
			g.off("PCR2")
			g.run(3 * time.Second)
			g.on("PCR2")
		}, tallies{PCRRepetitionError: 1, PCRDiscontinuityIndicatorError: 1}},
		{"the network's delay is not the stream's fault", Config{}, func(g *gen) {
			for range 20 {
				g.late = 200 * ms
				g.run(300 * ms)
				g.late = 0
				g.run(300 * ms)
			}
		}, nil},
		{"PCRs of a PID that is no clock", Config{}, func(g *gen) {
			for range 10 {
				g.send(clockPacket(pidAudio))
				g.run(500 * ms)
			}
		}, nil},
	})
	g := newGen(t, Config{})
	g.run(time.Second)
	g.times(3, func() { g.off("PCR2"); g.run(50 * ms); g.on("PCR2"); g.run(60 * ms) })
	for _, c := range g.m.Stats().Clocks {
		if want := map[mpegts.PID]uint64{pidRadio: 3}[c.PID]; c.Over40MS != want {
			t.Errorf("PID %#x: %d intervals of more than 40 ms, want %d", c.PID, c.Over40MS, want)
		}
	}
}

func TestPCRDiscontinuity(t *testing.T) {
	jump := func(d time.Duration) func(g *gen) {
		return func(g *gen) { g.base = g.base.Add(mpegts.DurationToTicks(d)) }
	}
	announce := func(g *gen) { // with the next PCR of each clock
		done := map[mpegts.PID]bool{}
		g.edit = func(p mpegts.Packet) bool {
			if _, ok := p.PCR(); ok && !done[p.PID()] {
				done[p.PID()] = p.SetDiscontinuity(true)
			}
			return true
		}
		for len(done) < 2 {
			g.step()
		}
		g.edit = nil
	}
	const n = PCRDiscontinuityIndicatorError
	try(t, []trial{
		{"forward", Config{}, jump(time.Second), tallies{n: 2}},
		{"back", Config{}, jump(-time.Millisecond - 40*ms), tallies{n: 2}},
		{"back by hours", Config{}, jump(-7 * time.Hour), tallies{n: 2}},
		{"forward, announced", Config{}, func(g *gen) {
			jump(time.Second)(g)
			announce(g)
		}, nil},
		{"five times", Config{}, func(g *gen) {
			g.times(5, func() { jump(3 * time.Second)(g); g.run(100 * ms) })
		}, tallies{n: 10}},
	})
	g := newGen(t, Config{})
	g.run(2 * time.Second)
	jump(-50 * ms)(g)
	g.run(time.Second)
	jump(10 * time.Second)(g)
	g.run(time.Second)
	for _, c := range g.m.Stats().Clocks {
		if c.Interval.Min < 25 || c.Interval.Max > 45 || c.JitterMS > 1 {
			t.Errorf("the jumps are in the ranges: %+v", c)
		}
	}
}

// TestDiscontinuityBeforeThePCR: the flag may stand in an earlier packet of the
// PID, and holds for one PCR.
func TestDiscontinuityBeforeThePCR(t *testing.T) {
	g := newGen(t, Config{})
	g.run(2 * time.Second)
	p := dataPacket(pidVideo)
	p[3] |= 0x20
	p[4], p[5] = 1, 0x80
	g.send(p)
	p = dataPacket(pidRadio)
	p[3] |= 0x20
	p[4], p[5] = 1, 0x80
	g.send(p)
	g.base = g.base.Add(mpegts.PCRHz * 100)
	g.run(time.Second)
	g.want(nil)
	for _, c := range g.m.Stats().Clocks {
		if c.Discontinuities != 1 || c.JitterMS > 1 {
			t.Errorf("%+v", c)
		}
	}
	g.base = g.base.Add(mpegts.PCRHz * 100)
	g.run(time.Second)
	g.want(tallies{PCRDiscontinuityIndicatorError: 2})
}

// every n-th PCR of all is moved by d.
func (g *gen) skew(n int, d func() time.Duration) *int {
	count, hit := 0, new(int)
	g.pcr = func(v mpegts.PCR) mpegts.PCR {
		if count++; count%n != 0 {
			return v
		}
		*hit++
		return v.Add(int64(d().Seconds() * mpegts.PCRHz))
	}
	return hit
}

func TestPCRAccuracy(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name  string
		every int
		by    func() time.Duration
		share float64 // of the PCRs moved that are errors
	}{
		{"400 ns", 7, func() time.Duration { return 400 }, 0},
		{"-400 ns", 7, func() time.Duration { return -400 }, 0},
		{"13 ticks, 481 ns", 31, func() time.Duration { return 482 }, 0},
		{"15 ticks, 556 ns", 31, func() time.Duration { return 556 }, 1},
		{"600 ns", 7, func() time.Duration { return 600 }, 1},
		{"-600 ns", 11, func() time.Duration { return -600 }, 1},
		{"10 µs", 13, func() time.Duration { return 10 * time.Microsecond }, 1},
		{"-20 ms", 17, func() time.Duration { return -20 * ms }, 1},
		{"noise of 2 µs", 1, func() time.Duration { return time.Duration(r.NormFloat64() * 2000) }, 0.8},
		{"noise of 100 ns", 1, func() time.Duration { return time.Duration(r.NormFloat64() * 100) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGen(t, Config{})
			g.run(20 * ms)
			hit := g.skew(c.every, c.by)
			g.run(30 * time.Second)
			g.pcr = nil
			moved := *hit
			g.run(5 * time.Second) // so that all have been judged
			want, got := float64(moved)*c.share, float64(g.m.Checks()[PCRAccuracyError].Count)
			slack := 0.0
			if c.share != 0 && c.share != 1 {
				slack = want * 0.15
			}
			if got < want-slack || got > want+slack {
				t.Errorf("%v errors, want %v: %d PCRs moved", got, want, moved)
			}
			s := g.m.Stats()
			for _, k := range s.Clocks {
				if !k.Constant || k.AccuracyMaxNS > 25 || k.AccuracyMinNS < -25 {
					t.Errorf("%+v", k)
				}
			}
			if other := g.m.Checks()[PCRDiscontinuityIndicatorError].Count; other != 0 {
				t.Errorf("%d errors of 2.3b", other)
			}
		})
	}
}

// TestPCRAccuracyRange: what is told of it is what it is.
func TestPCRAccuracyRange(t *testing.T) {
	g := newGen(t, Config{})
	sign := time.Duration(1)
	g.skew(5, func() time.Duration {
		sign = -sign
		return 300*time.Nanosecond*(sign+1)/2 - 200*time.Nanosecond*(1-sign)/2
	})
	g.run(20 * time.Second)
	for _, c := range g.m.Stats().Clocks {
		if c.AccuracyMaxNS < 250 || c.AccuracyMaxNS > 350 || c.AccuracyMinNS > -150 || c.AccuracyMinNS < -250 {
			t.Errorf("%+v", c)
		}
	}
	g.want(nil)
}

// TestPCRAccuracyWhereItCannotBe: no clock is blamed for what is not its fault.
func TestPCRAccuracyWhereItCannotBe(t *testing.T) {
	var r *rand.Rand
	for _, c := range []struct {
		name     string
		disturb  func(g *gen)
		measured bool
	}{
		{"variable rate", func(g *gen) {
			// Null packets are left out, so that places tell nothing.
			g.edit = func(p mpegts.Packet) bool { return p.PID() != mpegts.NullPID }
			g.run(30 * time.Second)
		}, false},
		{"variable rate with some stuffing", func(g *gen) {
			g.edit = func(p mpegts.Packet) bool { return p.PID() != mpegts.NullPID || r.IntN(8) == 0 }
			g.run(30 * time.Second)
		}, false},
		{"packets are lost all the time", func(g *gen) {
			for range 100 {
				g.edit = lose
				for range 1 + r.IntN(14) {
					g.step()
				}
				g.edit = nil
				g.run(300 * ms)
			}
			g.run(5 * time.Second)
		}, true},
		{"packets are lost now and then", func(g *gen) {
			for range 10 {
				g.edit = func(mpegts.Packet) bool { return false }
				for range 7 {
					g.step()
				}
				g.edit = nil
				g.run(3 * time.Second)
			}
		}, true},
		{"arrival jitters", func(g *gen) {
			g.edit = func(mpegts.Packet) bool { g.late = time.Duration(r.IntN(20)) * ms; return true }
			g.run(30 * time.Second)
		}, true},
		{"the rate changes", func(g *gen) {
			for i := range 40 {
				g.pause, g.n = g.at(), 0
				g.rate = 3e6 + float64(i%5)*2e5
				g.run(700*ms + time.Duration(r.IntN(1500))*ms)
			}
			g.run(5 * time.Second)
		}, true},
		{"the rate changes a little", func(g *gen) {
			for i := range 40 {
				g.pause, g.n = g.at(), 0
				g.rate = 3e6 * (1 + float64(i%3)*0.004)
				g.run(700*ms + time.Duration(r.IntN(1500))*ms)
			}
			g.run(5 * time.Second)
		}, true},
		{"single packets are lost at a high rate", func(g *gen) {
			g.pause, g.n, g.rate = g.at(), 0, 40e6
			for range 10 {
				g.once(pidVideo, lose)
				g.run(3 * time.Second)
			}
		}, true},
		{"constant, and not stuffed", func(g *gen) {
			g.edit = fill
			g.run(20 * time.Second)
		}, true},
		{"nearly constant, and not stuffed", func(g *gen) {
			g.edit = fill
			g.run(3 * time.Second)
			for range 600 {
				g.pause, g.n = g.at(), 0
				g.rate = 3e6 * (1 + (r.Float64()-0.5)*0.004)
				g.run(33 * ms)
			}
		}, false},
		{"nearly constant, and stuffed", func(g *gen) {
			for range 600 {
				g.pause, g.n = g.at(), 0
				g.rate = 3e6 * (1 + (r.Float64()-0.5)*0.004)
				g.run(33 * ms)
			}
			g.rate = 3e6
			g.m.tallies[PCRAccuracyError], g.m.clocks[0].accuracy.errors, g.m.clocks[1].accuracy.errors = tally{}, 0, 0 // rightly, there were
		}, true},
		{"the stream pauses", func(g *gen) {
			for range 10 {
				g.silence(55 * ms)
				g.run(3 * time.Second)
			}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r = rand.New(rand.NewPCG(3, 4))
			g := newGen(t, Config{})
			g.run(2 * time.Second)
			c.disturb(g)
			for _, k := range g.m.Stats().Clocks {
				if k.AccuracyErrors != 0 || k.Constant != c.measured || (k.RateBPS != 0) != c.measured {
					t.Errorf("%+v", k)
				}
			}
			if k := g.m.Checks()[PCRAccuracyError]; k.Measured != c.measured || k.Count != 0 {
				t.Errorf("%+v", k)
			}
		})
	}
}

// fill turns null packets into others.
func fill(p mpegts.Packet) bool {
	if p.PID() == mpegts.NullPID {
		p.SetPID(0x1FFE)
		p[3] &^= 0x10 // no payload, so that the counter stands
	}
	return true
}

// TestLineIsTheBest: of a noisy clock, as good a line is found as there is.
func TestLineIsTheBest(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const packets, ticks, noise, rounds = 60, 810_000, 3.0, 400
	var sum float64
	for range rounds {
		var a accuracy
		for i := range a.points {
			a.points[i] = point{int64(i)*ticks + int64(math.Round(r.NormFloat64()*noise)), int64(i) * packets}
		}
		if errors, next := a.judge(blockPCRs, judgedPCRs); errors > 1 || next < judgedPCRs {
			t.Fatalf("%d errors, the next block begins at %d", errors, next)
		}
		off := packetBits*mpegts.PCRHz/a.rate*packets - ticks // a PCR's interval
		sum += off * off
	}
	// Least squares over n points at unit distance: variance 12/n(n²−1).
	const n = blockPCRs
	if got, best := math.Sqrt(sum/rounds), noise*math.Sqrt(12.0/(n*(n*n-1))); got > best*1.2 {
		t.Errorf("the slope is off by %v ticks, the best there is by %v", got, best)
	}
}

// TestPCRAccuracyOfDriftingClocks: each program may have a clock of its own,
// up to 30 ppm from the multiplexer's (ISO/IEC 13818-1 2.4.2.1), and it may
// drift by 0.075 Hz a second.
func TestPCRAccuracyOfDriftingClocks(t *testing.T) {
	for _, ppm := range []float64{-30, 0, 30} {
		g := newGen(t, Config{})
		g.pcr = func(v mpegts.PCR) mpegts.PCR {
			d := float64(v.Diff(g.base))
			s := d / mpegts.PCRHz
			return v.Add(int64(d*ppm/1e6 + 0.075*s*s/2))
		}
		g.run(60 * time.Second)
		g.want(nil)
		for _, c := range g.m.Stats().Clocks {
			if want := 3e6 / (1 + ppm/1e6 + 0.075*60/mpegts.PCRHz); !c.Constant || c.RateBPS < want-1 || c.RateBPS > want+1 || c.AccuracyMeasured < 1000 {
				t.Errorf("%+v, want %.1f bit/s", c, want)
			}
		}
	}
}

// TestPCRAccuracyStep: a clock that steps and stays is one error.
func TestPCRAccuracyStep(t *testing.T) {
	g := newGen(t, Config{})
	g.run(2 * time.Second)
	for range 5 {
		g.base = g.base.Add(mpegts.PCRHz / 200_000) // 5 µs
		g.run(7 * time.Second)
	}
	g.want(tallies{PCRAccuracyError: 10}) // of two clocks
}

func TestPTS(t *testing.T) {
	try(t, []trial{
		{"gap below the limit", Config{}, func(g *gen) { g.off("audio"); g.run(550 * ms); g.on("audio") }, nil},
		{"gap above the limit", Config{}, func(g *gen) { g.off("audio"); g.run(750 * ms); g.on("audio") }, tallies{PTSError: 1}},
		{"five gaps", Config{}, func(g *gen) {
			g.times(5, func() { g.off("video"); g.run(800 * ms); g.on("video") })
		}, tallies{PTSError: 5}},
		{"packets, but no PTS", Config{}, func(g *gen) {
			g.edit = func(p mpegts.Packet) bool {
				if p.PID() == pidVideo && p.PUSI() {
					p[11] &^= 0x80
				}
				return true
			}
			g.run(10 * time.Second)
			g.edit = nil
		}, tallies{PTSError: 1}},
		{"scrambled: it cannot be seen", Config{CATPeriod: time.Minute}, func(g *gen) {
			g.edit = func(p mpegts.Packet) bool {
				if p.PID() == pidVideo {
					p[3] |= 0x80
				}
				return true
			}
			g.run(10 * time.Second)
			g.edit = nil
		}, nil},
		{"still pictures may be rare", Config{}, func(g *gen) {
			g.item("PMT2").make = func() []mpegts.Packet {
				return packed(pidPMT2, section(0x02, 2, 1, 0, 0, cat([]byte{0xE2, 0x01, 0xF0, 0}, component(0x02, pidRadio, 0x02, 3, 0x01, 0, 0))))
			}
			g.run(200 * ms)
			g.off("radio")
			g.run(3 * time.Second)
			g.on("radio")
		}, nil},
		{"wrap", Config{}, func(g *gen) {
			g.base = g.base.Add(int64(mpegts.PCRModulus-mpegts.PCRHz/2) - int64(g.clock()))
		}, tallies{PCRDiscontinuityIndicatorError: 2}},
	})
}

func TestCAT(t *testing.T) {
	scramble := func(p mpegts.Packet) bool {
		if p.PID() == pidAudio {
			p[3] |= 0xC0
		}
		return true
	}
	try(t, []trial{
		{"scrambled with a CAT", Config{}, func(g *gen) { g.edit = scramble; g.run(20 * time.Second) }, nil},
		{"scrambled without", Config{}, func(g *gen) {
			g.off("CAT")
			g.edit = scramble
			g.run(20 * time.Second)
			if !g.active(CATError) {
				g.t.Error("not active")
			}
		}, tallies{CATError: 1}},
		{"the CAT comes late", Config{CATPeriod: 500 * ms}, func(g *gen) {
			g.edit = scramble
			g.times(3, func() { g.off("CAT"); g.run(700 * ms); g.on("CAT"); g.run(100 * ms) })
		}, tallies{CATError: 3}},
		{"neither", Config{}, func(g *gen) { g.off("CAT"); g.run(20 * time.Second) }, nil},
		{"scrambling ends", Config{}, func(g *gen) {
			g.off("CAT")
			g.edit = scramble
			g.run(time.Second)
			g.edit = nil
			g.run(20 * time.Second)
		}, nil},
		{"another table", Config{}, func(g *gen) {
			g.times(3, func() { g.queue = append(g.queue, packed(1, section(0x55, 1, 0, 0, 0, []byte{1, 2, 3, 4}))...) })
		}, tallies{CATError: 3}},
	})
	g := newGen(t, Config{})
	g.edit = scramble
	g.run(3 * time.Second)
	for _, p := range g.m.Stats().PIDs {
		if want := map[bool]uint64{true: p.Packets}[p.PID == pidAudio]; p.Scrambled != want {
			t.Errorf("%+v", p)
		}
	}
}
