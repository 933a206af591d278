package tr101290

import (
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// counts are how many errors of each check a case must make; of all others none.
type tallies map[Check]uint64

// trial is a fault in a stream that is otherwise right.
type trial struct {
	name   string
	cfg    Config
	fault  func(g *gen)
	counts tallies
}

// try runs each case: two seconds of a clean stream, the fault, and a second
// and more thereafter.
func try(t *testing.T, trials []trial) {
	for _, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			g := newGen(t, c.cfg)
			g.run(2 * time.Second)
			g.want(nil)
			c.fault(g)
			g.run(1200 * ms)
			g.want(c.counts)
		})
	}
}

// once has f change the next packet of a PID; it is sent unless f says no.
func (g *gen) once(pid mpegts.PID, f func(p mpegts.Packet) bool) {
	done := false
	g.edit = func(p mpegts.Packet) bool {
		if done || p.PID() != pid {
			return true
		}
		done = true
		return f(p)
	}
	for !done {
		g.step()
	}
	g.edit = nil
}

// times does f n times, 50 ms apart.
func (g *gen) times(n int, f func()) {
	for range n {
		f()
		g.run(50 * ms)
	}
}

func lose(mpegts.Packet) bool { return false }

// spoil sends the next n packets with a bad sync byte.
func (g *gen) spoil(n int) {
	g.edit = func(p mpegts.Packet) bool { p[0] = 0x48; return true }
	for range n {
		g.step()
	}
	g.edit = nil
}

// quiet switches everything off but null packets for d. It stands where a test
// needs to lose packets that nobody misses.
func (g *gen) quiet() {
	for _, i := range g.items {
		i.off = true
	}
}

func (g *gen) loud() {
	for _, i := range g.items {
		if i.off {
			g.on(i.name)
		}
	}
}

func TestSync(t *testing.T) {
	try(t, []trial{
		{"1.2 single bad sync bytes", Config{}, func(g *gen) {
			g.quiet()
			for range 7 {
				g.spoil(1)
				g.step()
			}
			g.loud()
		}, tallies{SyncByteError: 7}},
		{"1.2 on a PID that counts", Config{}, func(g *gen) {
			g.once(pidVideo, func(p mpegts.Packet) bool { p[0] = 0; return true })
		}, tallies{SyncByteError: 1, ContinuityCountError: 1}},
		{"1.1 two in a row", Config{}, func(g *gen) {
			g.spoil(2)
			if !g.active(TSSyncLoss) || g.m.Stats().Synced {
				g.t.Error("not lost")
			}
			g.edit = nil
			for range 4 {
				g.step()
				if g.m.Stats().Synced {
					g.t.Error("regained too early")
				}
			}
			g.step()
			if !g.m.Stats().Synced {
				g.t.Error("not regained after five good sync bytes")
			}
		}, tallies{SyncByteError: 2, TSSyncLoss: 1}},
		{"1.1 good ones in between do not regain", Config{}, func(g *gen) {
			for range 20 {
				g.spoil(2)
				for range 4 {
					g.step()
				}
			}
		}, tallies{SyncByteError: 2, TSSyncLoss: 1}},
		{"1.1 three times", Config{}, func(g *gen) {
			g.times(3, func() { g.spoil(50) })
		}, tallies{SyncByteError: 6, TSSyncLoss: 3}},
		{"1.1 nothing arrives", Config{Priority3: true}, func(g *gen) { g.silence(12 * time.Second) }, tallies{TSSyncLoss: 1}},
		{"1.1 nothing arrives, unnoticed by Tick", Config{Silence: 200 * ms}, func(g *gen) {
			g.pause += 250 * ms
			g.tick = g.at()
			for _, i := range g.items {
				i.next += 250 * ms
			}
		}, tallies{TSSyncLoss: 1}},
		{"a pause that is none", Config{}, func(g *gen) { g.silence(60 * ms) }, nil},
	})
}

// TestLostStreamIsNotJudged: while the stream is lost all is quiet but 1.1.
func TestLostStreamIsNotJudged(t *testing.T) {
	g := newGen(t, everything)
	g.run(2 * time.Second)
	for range 20 {
		g.spoil(10000) // five seconds of it
	}
	if s := g.m.Stats(); s.Synced {
		t.Error("still there")
	}
	g.want(tallies{SyncByteError: 2, TSSyncLoss: 1})
	g.run(40 * time.Second)
	g.want(tallies{SyncByteError: 2, TSSyncLoss: 1})
}

// TestFraming: the counts of who finds the packets are taken over.
func TestFraming(t *testing.T) {
	g := newGen(t, Config{Hold: time.Second})
	f := mpegts.NewFramer(g.m)
	feed := func(f *mpegts.Framer, edit func(p mpegts.Packet, i int)) {
		t.Helper()
		from := g.at()
		other := newGen(t, Config{})
		other.m, other.cc, other.items, other.n, other.keep, other.pause = newMonitor(t, Config{}), g.cc, g.items, g.n, true, g.pause
		other.run(time.Second)
		for i := 0; i < len(other.raw); i += mpegts.PacketSize {
			edit(mpegts.Packet(other.raw[i:i+mpegts.PacketSize]), i/mpegts.PacketSize)
		}
		for i := 0; i < len(other.raw); i += mpegts.PacketSize {
			at := from + time.Duration(float64(i/mpegts.PacketSize)*packetBits/g.rate*1e9)
			if err := f.Stream(at, other.raw[i:i+mpegts.PacketSize]); err != nil {
				t.Fatal(err)
			}
			g.m.Framing(at, f.Stats())
		}
		g.n = other.n
	}
	feed(f, func(mpegts.Packet, int) {})
	g.want(nil)
	feed(f, func(p mpegts.Packet, i int) {
		if i%100 == 50 && p.PID() == mpegts.NullPID {
			p[0] = 0
		}
	})
	bad := f.Stats().SyncByteErrs
	if bad == 0 {
		t.Fatal("no packet was spoilt")
	}
	g.want(tallies{SyncByteError: bad})
	feed(f, func(p mpegts.Packet, i int) {
		if i == 500 || i == 501 {
			p[0] = 0
		}
	})
	g.want(tallies{SyncByteError: bad + 2, TSSyncLoss: 1})
	if s := g.m.Stats(); !s.Synced {
		t.Error("not regained")
	}
	// Several at once.
	st := f.Stats()
	st.SyncLosses += 3
	st.SyncByteErrs += 6
	g.m.Framing(g.at(), st)
	g.want(tallies{SyncByteError: bad + 8, TSSyncLoss: 4})
	st.Locked, st.SyncLosses = false, st.SyncLosses+1
	g.m.Framing(g.at(), st)
	if s := g.m.Stats(); s.Synced {
		t.Error("there, though nobody finds packets")
	}
	g.want(tallies{SyncByteError: bad + 8, TSSyncLoss: 5})
	// Another Framer begins at zero.
	feed(mpegts.NewFramer(g.m), func(mpegts.Packet, int) {})
	g.want(tallies{SyncByteError: bad + 8, TSSyncLoss: 5})
}

func TestPAT(t *testing.T) {
	other := section(0x55, 1, 0, 0, 0, []byte{1, 2, 3, 4})
	try(t, []trial{
		{"gap below the limit", Config{}, func(g *gen) { g.off("PAT"); g.run(350 * ms); g.on("PAT") }, nil},
		{"gap above the limit", Config{}, func(g *gen) { g.off("PAT"); g.run(550 * ms); g.on("PAT") }, tallies{PATError2: 1}},
		{"a long gap is one", Config{}, func(g *gen) { g.off("PAT"); g.run(9 * time.Second); g.on("PAT") }, tallies{PATError2: 1}},
		{"three gaps", Config{}, func(g *gen) {
			g.times(3, func() { g.off("PAT"); g.run(700 * ms); g.on("PAT") })
		}, tallies{PATError2: 3}},
		{"another table", Config{}, func(g *gen) {
			g.queue = append(g.queue, packed(0, other)...)
			g.queue = append(g.queue, packed(0, other)...)
		}, tallies{PATError2: 2}},
		{"scrambled", Config{}, func(g *gen) {
			g.times(2, func() { g.once(0, func(p mpegts.Packet) bool { p[3] |= 0x80; return true }) })
		}, tallies{PATError2: 2}},
		{"a damaged PAT does not count as one", Config{}, func(g *gen) {
			g.edit = func(p mpegts.Packet) bool {
				if p.PID() == 0 {
					p[12]++
				}
				return true
			}
			g.run(600 * ms)
			g.edit = nil
		}, tallies{PATError2: 1, CRCError: 6}},
		{"a PAT that is not yet valid does not count as one", Config{}, func(g *gen) {
			next := section(0x00, 1, 1, 0, 0, entries(1, pidPMT1))
			next = next[:len(next)-4]
			next[5] &^= 1
			next = withCRC(next)
			g.off("PAT")
			g.times(12, func() { g.queue = append(g.queue, packed(0, next)...) })
			g.on("PAT")
		}, tallies{PATError2: 1}},
		{"a program is added", Config{}, func(g *gen) {
			g.item("PAT").make = func() []mpegts.Packet {
				return packed(0, section(0x00, 1, 1, 0, 0, entries(0, 0x10, 1, pidPMT1, 2, pidPMT2, 3, 0x500)))
			}
			g.run(400 * ms)
			g.want(nil)
		}, tallies{PMTError2: 1}},
	})
}

func TestContinuity(t *testing.T) {
	try(t, []trial{
		{"one lost", Config{}, func(g *gen) { g.once(pidVideo, lose) }, tallies{ContinuityCountError: 1}},
		{"eleven lost, one by one", Config{}, func(g *gen) { g.times(11, func() { g.run(17 * ms); g.once(pidVideo, lose) }) }, tallies{ContinuityCountError: 11}},
		{"several lost in a row are one", Config{}, func(g *gen) {
			for range 3 {
				g.once(pidVideo, lose)
			}
		}, tallies{ContinuityCountError: 1}},
		{"sent twice is legal", Config{}, func(g *gen) {
			g.once(pidVideo, func(p mpegts.Packet) bool { g.write(p); g.n++; return true })
		}, nil},
		{"sent three times is not", Config{}, func(g *gen) {
			g.once(pidVideo, func(p mpegts.Packet) bool { g.write(p); g.n++; g.write(p); g.n++; return true })
		}, tallies{ContinuityCountError: 1}},
		{"swapped", Config{}, func(g *gen) {
			var held mpegts.Packet
			g.once(pidVideo, func(p mpegts.Packet) bool { held = append(held, p...); return false })
			g.once(pidVideo, func(p mpegts.Packet) bool { g.write(p); g.write(held); return false })
		}, tallies{ContinuityCountError: 3}}, // the later too early, the earlier too late, and the next after it
		{"announced", Config{}, func(g *gen) {
			g.off("PCR2")
			g.once(pidRadio, lose)
			g.once(pidRadio, func(p mpegts.Packet) bool { return lose(p) })
			g.edit = func(p mpegts.Packet) bool { return p.PID() != pidRadio }
			g.run(20 * ms)
			g.edit = nil
			g.on("PCR2")
			g.once(pidRadio, func(p mpegts.Packet) bool {
				if !p.HasAdaptation() {
					p[3] |= 0x20
					p[4], p[5] = 1, 0
				}
				return p.SetDiscontinuity(true)
			})
		}, nil},
		{"null packets do not count", Config{}, func(g *gen) {
			g.times(5, func() { g.once(mpegts.NullPID, func(p mpegts.Packet) bool { p.SetCC(9); return true }) })
		}, nil},
	})
}

func TestPMT(t *testing.T) {
	try(t, []trial{
		{"gap below the limit", Config{}, func(g *gen) { g.off("PMT1"); g.run(350 * ms); g.on("PMT1") }, nil},
		{"gap above the limit", Config{}, func(g *gen) { g.off("PMT1"); g.run(550 * ms); g.on("PMT1") }, tallies{PMTError2: 1}},
		{"both away", Config{}, func(g *gen) { g.off("PMT1", "PMT2"); g.run(3 * time.Second); g.on("PMT1", "PMT2") }, tallies{PMTError2: 2}},
		{"scrambled", Config{}, func(g *gen) {
			g.times(3, func() { g.once(pidPMT2, func(p mpegts.Packet) bool { p[3] |= 0xC0; return true }) })
		}, tallies{PMTError2: 3}},
		{"a private section on its PID is legal", Config{Priority3: true}, func(g *gen) {
			g.queue = append(g.queue, packed(pidPMT1, section(0x91, 1, 0, 0, 0, []byte{1, 2, 3, 4}))...)
		}, nil},
		{"a private section on its PID is no PMT", Config{}, func(g *gen) {
			g.off("PMT1")
			g.times(15, func() {
				g.queue = append(g.queue, packed(pidPMT1, section(0x91, 1, 0, 0, 0, []byte{1, 2, 3, 4}))...)
			})
			g.on("PMT1")
		}, tallies{PMTError2: 1}},
		{"two programs on one PID, one missing", Config{}, func(g *gen) {
			g.item("PAT").make = func() []mpegts.Packet {
				return packed(0, section(0x00, 1, 1, 0, 0, entries(1, pidPMT1, 2, pidPMT2, 4, pidPMT1)))
			}
		}, tallies{PMTError2: 1}},
		{"of a program that is gone", Config{}, func(g *gen) {
			g.item("PAT").make = func() []mpegts.Packet { return packed(0, section(0x00, 1, 1, 0, 0, entries(1, pidPMT1))) }
			g.off("PMT2", "radio", "PCR2")
			g.run(10 * time.Second)
		}, nil},
	})
}

func TestPIDError(t *testing.T) {
	try(t, []trial{
		{"sound away, below the period", Config{}, func(g *gen) { g.off("audio"); g.run(4700 * ms); g.on("audio") }, tallies{PTSError: 1}},
		{"sound away, above the period", Config{}, func(g *gen) { g.off("audio"); g.run(5300 * ms); g.on("audio") }, tallies{PTSError: 1, PIDError: 1}},
		{"shorter period", Config{PIDPeriod: 300 * ms}, func(g *gen) {
			g.times(3, func() { g.off("audio"); g.run(400 * ms); g.on("audio"); g.run(200 * ms) })
		}, tallies{PIDError: 3}},
		{"still away", Config{PIDPeriod: time.Second}, func(g *gen) {
			g.off("radio", "PCR2")
			g.run(20 * time.Second)
			if !g.active(PIDError) {
				g.t.Error("not active")
			}
		}, tallies{PIDError: 1, PTSError: 1, PCRRepetitionError: 1}},
		{"a clock on a PID of its own away", Config{}, func(g *gen) {
			g.item("PMT2").make = func() []mpegts.Packet {
				return packed(pidPMT2, section(0x02, 2, 1, 0, 0, cat([]byte{0xE5, 0x00, 0xF0, 0}, component(0x04, pidRadio))))
			}
			g.off("PCR2")
			g.every("PCR3", 35*ms, func() []mpegts.Packet {
				p := clockPacket(0x500)
				p[3] &^= 0x10 // no payload
				return []mpegts.Packet{p}
			})
			g.on("PCR3")
			g.run(4 * time.Second)
			g.want(nil)
			g.off("PCR3")
			g.run(6 * time.Second)
		}, tallies{PIDError: 1, PCRRepetitionError: 1}},
		{"teletext and cues may be away", Config{}, func(g *gen) { g.run(20 * time.Second) }, nil},
		{"unless asked for", Config{DataPIDPeriod: 3 * time.Second}, func(g *gen) { g.run(20 * time.Second) }, tallies{PIDError: 2}},
	})
}
