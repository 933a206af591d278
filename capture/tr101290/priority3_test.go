package tr101290

import (
	"testing"
	"time"

	"quartet/capture/mpegts"
)

func TestPriority3IsOffByDefault(t *testing.T) {
	g := newGen(t, Config{})
	g.off("NIT", "SDT", "EIT 1p", "EIT 1f", "EIT 2p", "EIT 2f", "TDT")
	g.every("stray", 10*ms, func() []mpegts.Packet { return many(pidStray, 1) })
	g.run(40 * time.Second)
	g.want(nil)
	for _, c := range g.m.Checks() {
		if c.Measured != (c.Priority < 3) {
			t.Errorf("%+v", c)
		}
	}
}

func TestServiceInformation(t *testing.T) {
	on := Config{Priority3: true}
	wrong := section(0x99, 1, 0, 0, 0, []byte{1, 2, 3, 4})
	sprinkle := func(pid mpegts.PID, s []byte, n int) func(g *gen) {
		return func(g *gen) { g.times(n, func() { g.queue = append(g.queue, packed(pid, s)...) }) }
	}
	away := func(d time.Duration, names ...string) func(g *gen) {
		return func(g *gen) { g.off(names...); g.run(d); g.on(names...) }
	}
	// twice sends an item and the same section again after d.
	twice := func(name string, d time.Duration, n int) func(g *gen) {
		return func(g *gen) {
			i := g.item(name)
			for range n {
				for due := i.next; g.at() <= due; {
					g.step()
				}
				g.run(d)
				g.queue = append(g.queue, i.make()...)
				g.run(100 * ms)
			}
		}
	}
	try(t, []trial{
		{"3.1.a another table", on, sprinkle(mpegts.NITPID, wrong, 3), tallies{NITActualError: 3}},
		{"3.1.a away, below the limit", on, away(4*time.Second, "NIT"), nil},
		{"3.1.a away, above the limit", on, away(11*time.Second, "NIT"), tallies{NITActualError: 1, SIRepetitionError: 1}},
		{"3.1.a too dense", on, twice("NIT", 10*ms, 2), tallies{NITActualError: 2, SIRepetitionError: 2}},
		{"3.1.a dense enough", on, twice("NIT", 40*ms, 2), nil},
		{"3.1.a dense, as allowed", Config{Priority3: true, SIGap: 5 * ms}, twice("NIT", 10*ms, 2), nil},
		{"3.1.b away", on, away(11*time.Second, "NIT other"), tallies{NITOtherError: 1, SIRepetitionError: 1}},
		{"3.2 BAT away", on, away(11*time.Second, "BAT"), tallies{SIRepetitionError: 1}},
		{"3.2 TOT away", on, away(31*time.Second, "TOT"), tallies{SIRepetitionError: 1}},
		{"3.5.a another table", on, sprinkle(mpegts.SDTPID, wrong, 4), tallies{SDTActualError: 4}},
		{"3.5.a away, below the limit", on, away(900*ms, "SDT"), nil},
		{"3.5.a away, above the limit", on, away(2500*ms, "SDT"), tallies{SDTActualError: 1, SIRepetitionError: 1}},
		{"3.5.a too dense", on, twice("SDT", 10*ms, 5), tallies{SDTActualError: 5, SIRepetitionError: 5}},
		{"3.5.b away", on, away(11*time.Second, "SDT other"), tallies{SDTOtherError: 1, SIRepetitionError: 1}},
		{"3.6.a another table", on, sprinkle(mpegts.EITPID, wrong, 2), tallies{EITActualError: 2}},
		{"3.6.a following away everywhere", on, away(2900*ms, "EIT 1f", "EIT 2f"),
			tallies{EITActualError: 1, SIRepetitionError: 2, EITPFError: 2}},
		{"3.6.a of one service away", on, away(2900*ms, "EIT 1p", "EIT 1f"), tallies{SIRepetitionError: 2}},
		{"3.6.a too dense", on, twice("EIT 1p", 10*ms, 3), tallies{EITActualError: 3, SIRepetitionError: 3}},
		{"3.6.a of two services at once is legal", on, func(g *gen) {
			g.times(5, func() {
				g.queue = append(g.queue, g.item("EIT 1p").make()...)
				g.queue = append(g.queue, g.item("EIT 2p").make()...)
			})
			g.run(40 * ms)
		}, nil},
		{"3.6.b away", on, away(11*time.Second, "EIT other 1p", "EIT other 1f"), tallies{EITOtherError: 2, SIRepetitionError: 2}},
		{"3.6.c no following", on, func(g *gen) {
			away(4*time.Second, "EIT 1f")(g)
			g.run(6 * time.Second)
			if g.active(EITPFError) {
				g.t.Error("active, though both are back")
			}
		}, tallies{EITPFError: 1, SIRepetitionError: 1}},
		{"3.6.c a new service without following", on, func(g *gen) {
			s := section(0x4E, 9, 0, 0, 1, []byte{0, 1, 0, 1, 1, 0x4E})
			g.every("EIT 9p", time.Second, func() []mpegts.Packet { return packed(mpegts.EITPID, s) })
			g.item("EIT 9p").next = g.at()
			g.run(10 * time.Second)
			if !g.active(EITPFError) {
				g.t.Error("not active")
			}
		}, tallies{EITPFError: 1}},
		{"3.7 another table", on, sprinkle(mpegts.RSTPID, wrong, 3), tallies{RSTError: 3}},
		{"3.7 too dense", on, twice("RST", 10*ms, 2), tallies{RSTError: 2, SIRepetitionError: 2}},
		{"3.8 another table", on, sprinkle(mpegts.TDTPID, wrong, 3), tallies{TDTError: 3}},
		{"3.8 away, below the limit", on, away(15*time.Second, "TDT"), nil},
		{"3.8 away, above the limit", on, away(31*time.Second, "TDT"), tallies{TDTError: 1, SIRepetitionError: 1}},
		{"3.8 too dense", on, twice("TDT", 10*ms, 2), tallies{TDTError: 2, SIRepetitionError: 2}},
		{"stuffing is legal everywhere", on, func(g *gen) {
			for _, pid := range []mpegts.PID{mpegts.NITPID, mpegts.SDTPID, mpegts.EITPID, mpegts.RSTPID, mpegts.TDTPID} {
				g.queue = append(g.queue, packed(pid, []byte{0x72, 0x70, 4, 1, 2, 3, 4})...)
			}
		}, nil},
	})
}

// TestServiceInformationNeverThere: what must be there and never is, is one
// error each.
func TestServiceInformationNeverThere(t *testing.T) {
	g := newGen(t, everything)
	for _, i := range g.items {
		if len(i.name) > 2 && (i.name[:3] == "NIT" || i.name[:3] == "SDT" || i.name[:3] == "EIT" || i.name[:3] == "TDT") {
			i.off = true
		}
	}
	g.run(40 * time.Second)
	g.want(tallies{NITActualError: 1, SDTActualError: 1, EITActualError: 2, TDTError: 1})
	for _, c := range []Check{NITActualError, SDTActualError, EITActualError, TDTError} {
		if !g.active(c) {
			t.Errorf("%v is not active", c)
		}
	}
}

// TestOtherNetworkPID: the PAT may put the NIT elsewhere.
func TestOtherNetworkPID(t *testing.T) {
	g := newGen(t, everything)
	g.item("PAT").make = func() []mpegts.Packet {
		return packed(0, section(0x00, 1, 0, 0, 0, entries(0, 0x35, 1, pidPMT1, 2, pidPMT2)))
	}
	for _, n := range []string{"NIT", "NIT other"} {
		i := g.item(n)
		f := i.make
		i.make = func() []mpegts.Packet {
			l := f()
			for _, p := range l {
				p.SetPID(0x35)
			}
			return l
		}
	}
	g.run(30 * time.Second)
	g.want(nil)
}

func TestUnreferenced(t *testing.T) {
	stray := func(g *gen) {
		g.every("stray", 10*ms, func() []mpegts.Packet { return many(pidStray, 1) })
		g.item("stray").next = g.at()
	}
	on := Config{Priority3: true}
	try(t, []trial{
		{"stays", on, func(g *gen) {
			stray(g)
			g.run(450 * ms)
			g.want(nil)
			g.run(10 * time.Second)
			if !g.active(UnreferencedPID) || g.m.Checks()[UnreferencedPID].PID != pidStray {
				g.t.Error("not active")
			}
		}, tallies{UnreferencedPID: 1}},
		{"a packet that strayed", on, func(g *gen) { stray(g); g.run(15 * ms); g.off("stray") }, nil},
		{"comes again", on, func(g *gen) {
			stray(g)
			for range 3 {
				g.run(time.Second)
				g.off("stray")
				g.run(12 * time.Second)
				g.on("stray")
			}
			g.off("stray")
		}, tallies{UnreferencedPID: 3}},
		{"private", Config{Priority3: true, PrivatePIDs: []mpegts.PID{pidStray}}, stray, nil},
		{"with a fixed meaning", on, func(g *gen) {
			for _, pid := range []mpegts.PID{0x02, 0x03, 0x15, 0x1E, 0x1F, 0x1FFB} {
				g.every("low", 10*ms, func() []mpegts.Packet { return many(pid, 1) })
			}
			g.run(3 * time.Second)
		}, nil},
		{"no longer named", on, func(g *gen) {
			g.item("PMT2").make = func() []mpegts.Packet {
				return packed(pidPMT2, section(0x02, 2, 1, 0, 0, []byte{0xFF, 0xFF, 0xF0, 0}))
			}
			g.run(5 * time.Second)
		}, tallies{UnreferencedPID: 1}},
		{"named late", on, func(g *gen) {
			stray(g)
			g.run(2 * time.Second)
			g.item("PMT2").make = func() []mpegts.Packet {
				return packed(pidPMT2, section(0x02, 2, 1, 0, 0, cat([]byte{0xE2, 0x01, 0xF0, 0}, component(0x04, pidRadio), component(0x06, pidStray))))
			}
			g.run(6 * time.Second)
			if g.active(UnreferencedPID) {
				g.t.Error("still active")
			}
		}, tallies{UnreferencedPID: 1}},
	})
}

// TestUnreferencedAtTheStart: who comes into a running stream does not know the
// tables yet.
func TestUnreferencedAtTheStart(t *testing.T) {
	g := newGen(t, everything)
	for _, n := range []string{"PAT", "PMT1", "PMT2"} {
		i := g.item(n)
		i.every = 450 * ms
		i.next = map[string]time.Duration{"PAT": 440 * ms, "PMT1": 430 * ms, "PMT2": 435 * ms}[n]
	}
	g.run(5 * time.Second)
	g.want(nil)
	if len(g.m.Stats().Services) != 2 {
		t.Error("the services are not known")
	}
}
