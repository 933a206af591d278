package tr101290

import (
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// TestLimits: what comes just in time is no error, a microsecond later it is,
// and so it is whether Tick or the packets bring the time.
func TestLimits(t *testing.T) {
	cfg := Config{Priority3: true, PIDPeriod: 3 * time.Second, DataPIDPeriod: 2 * time.Second, CATPeriod: 1500 * ms, Silence: 400 * ms}
	g := newGen(t, cfg) // for its tables
	g.item("PAT").make = func() []mpegts.Packet { return packed(0, section(0x00, 1, 0, 0, 0, entries(0, 0x10, 2, pidPMT2))) }
	pick := func(name string) []mpegts.Packet { return g.item(name).make() }
	for _, c := range []struct {
		check Check
		limit time.Duration
		what  []mpegts.Packet
	}{
		{PATError2, 500 * ms, pick("PAT")},
		{PMTError2, 500 * ms, pick("PMT2")},
		{PIDError, 3 * time.Second, []mpegts.Packet{dataPacket(pidRadio)}},
		{PTSError, 700 * ms, pick("radio")[:1]},
		{NITActualError, 10 * time.Second, pick("NIT")},
		{NITOtherError, 10 * time.Second, pick("NIT other")},
		{SDTActualError, 2 * time.Second, pick("SDT")},
		{SDTOtherError, 10 * time.Second, pick("SDT other")},
		{EITActualError, 2 * time.Second, pick("EIT 1p")},
		{EITActualError, 2 * time.Second, pick("EIT 1f")},
		{EITOtherError, 10 * time.Second, pick("EIT other 1p")},
		{SIRepetitionError, 10 * time.Second, pick("BAT")},
		{SIRepetitionError, 30 * time.Second, pick("TOT")},
		{TDTError, 30 * time.Second, pick("TDT")},
		{TSSyncLoss, 400 * ms, nil},
	} {
		for _, late := range []time.Duration{0, time.Microsecond} {
			for _, ticks := range []bool{false, true} {
				m := newMonitor(t, cfg)
				cc := map[mpegts.PID]uint8{}
				send := func(at time.Duration, list ...mpegts.Packet) {
					for _, p := range list {
						if p.HasPayload() {
							cc[p.PID()]++
						}
						p.SetCC(cc[p.PID()])
						if err := m.WriteTS(at, p); err != nil {
							t.Fatal(err)
						}
					}
				}
				null := mpegts.Packet(mpegts.AppendNull(nil, 1))
				now := time.Duration(0)
				for _, n := range []string{"PAT", "PMT2"} { // so that the program is known
					send(now, pick(n)...)
					now += 20 * ms
				}
				send(now, c.what...)
				from := m.Checks()[c.check].Count
				end := now + c.limit + late
				if c.what == nil {
					send(now, null)
					if ticks {
						m.Tick(end)
					} else {
						send(end, null)
					}
				} else {
					for now += 50 * ms; now < end; now += 50 * ms {
						if ticks {
							m.Tick(now)
						}
						send(now, null)
					}
					send(end, c.what...)
				}
				want := from
				if late > 0 {
					want++
				}
				// The other of present and following never comes.
				if got := m.Checks()[c.check].Count; c.check == EITActualError {
					if want++; got != want {
						t.Errorf("%v after %v: %d errors, want %d", c.check, c.limit+late, got, want)
					}
				} else if got != want {
					t.Errorf("%v after %v: %d errors, want %d", c.check, c.limit+late, got, want)
				}
			}
		}
	}
}

// TestUnreferencedLimit: half a second after the first packet is in time.
func TestUnreferencedLimit(t *testing.T) {
	for _, late := range []time.Duration{0, time.Microsecond} {
		g := newGen(t, everything)
		g.run(2 * time.Second)
		at := g.at()
		g.write(dataPacket(pidStray))
		g.n++
		g.run(490 * ms)
		p := dataPacket(pidStray)
		p.SetCC(1)
		if err := g.m.WriteTS(at+500*ms+late, p); err != nil {
			t.Fatal(err)
		}
		want := map[Check]uint64{UnreferencedPID: uint64(min(late, 1))}
		if got := g.m.Checks()[UnreferencedPID].Count; got != want[UnreferencedPID] {
			t.Errorf("%v late: %d errors", late, got)
		}
	}
}
