package tr101290

import (
	"cmp"
	"slices"
	"time"

	"quartet/capture/mpegts"
)

// maxListed is how many PIDs Stats lists.
const maxListed = 1024

// Checks returns the state of all checks, indexed by Check. It is cheap: for
// those who only want to know whether all is well.
func (m *Monitor) Checks() [CheckCount]CheckStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.checks()
}

func (m *Monitor) checks() (list [CheckCount]CheckStats) {
	for c := range list {
		t := &m.tallies[c]
		list[c] = CheckStats{
			Check: Check(c), Clause: checks[c].clause, Priority: checks[c].priority,
			Measured: m.measured(Check(c)), Active: t.active(m.now, m.cfg.Hold),
			Count: t.count, First: t.first, Last: t.last, PID: t.pid,
		}
		if t.count == 0 {
			list[c].PID = mpegts.NullPID
		}
	}
	return list
}

// measured reports whether there is something that a check applies to.
func (m *Monitor) measured(c Check) bool {
	if !m.started || c.Priority() == 3 && !m.cfg.Priority3 {
		return false
	}
	any := func(ok func(*clock) bool) bool {
		return slices.ContainsFunc(m.clocks, func(c *clock) bool { return c != nil && c.judged && ok(c) })
	}
	switch c {
	case PMTError2:
		return len(m.pmts) > 0
	case PIDError:
		return len(m.watches) > 0
	case PCRRepetitionError, PCRDiscontinuityIndicatorError:
		return any(func(*clock) bool { return true })
	case PCRAccuracyError:
		return any(func(c *clock) bool { return c.accuracy.measured(m.now) })
	case PTSError:
		return slices.ContainsFunc(m.stamps, func(s stamp) bool { return s.waiting })
	}
	return true
}

// raw is what is copied under the lock.
type raw struct {
	checks [CheckCount]CheckStats
	pids   []rawPID
	clocks []clockCopy
	cues   cues
}

type rawPID struct {
	pid    mpegts.PID
	state  pidState
	errors uint32
	pts    spread
}

type clockCopy struct {
	pid                       mpegts.PID
	judged                    bool
	count, near, announce     uint64
	intervals, phase          spread
	constant                  bool
	rate, min, max            float64
	accuracyCount, accuracyNo uint64
}

// Stats returns all that is known. What is copied while WriteTS has to wait is
// about 100 bytes a PID and 60 KiB of cues; the rest is made of the copy.
func (m *Monitor) Stats() Stats {
	m.mu.Lock()
	pids, clocks := min(len(m.list), maxListed), len(m.clocks)
	m.mu.Unlock()
	// Without the lock: a stream of few PIDs needs a tenth of what the largest does.
	r := &raw{pids: make([]rawPID, 0, pids), clocks: make([]clockCopy, 0, clocks)}
	m.mu.Lock()
	s := Stats{
		At: m.now, Started: m.started, Synced: m.started && m.lost == 0, Since: m.resumed,
		Packets: uint64(m.index), NullPackets: m.pids[mpegts.NullPID].packets,
		RateBPS: int64(m.last.rate + 0.5), NullShare: m.last.null,
		TSID: -1, NetworkPID: m.tables.NetworkPID(), Services: m.programs,
		CRC: CRCStats{
			m.crc[crcPAT], m.crc[crcCAT], m.crc[crcPMT], m.crc[crcNIT],
			m.crc[crcBAT], m.crc[crcSDT], m.crc[crcEIT], m.crc[crcTOT],
		},
		CueStats: m.cues.stats, OtherPIDs: max(0, len(m.list)-maxListed),
	}
	if id, ok := m.tables.TransportStreamID(); ok {
		s.TSID = int(id)
	}
	t := m.tables.Stats()
	s.OverLimit, s.Refused = t.OverLimit, t.Refused
	access := m.tables.AccessPIDs()
	r.checks = m.checks()
	for _, pid := range m.list[:min(len(m.list), maxListed)] {
		p := rawPID{pid: pid, state: m.pids[pid], errors: m.cc.PIDErrors(pid)}
		if p.state.stamp != 0 {
			p.pts = m.stamps[p.state.stamp-1].spacing.both()
		}
		r.pids = append(r.pids, p)
	}
	for _, c := range m.clocks {
		if c != nil {
			r.clocks = append(r.clocks, c.copy(m.now))
		}
	}
	r.cues = m.cues
	m.mu.Unlock()

	s.Checks = r.checks[:]
	uses := usesOf(s.Services, s.NetworkPID, access)
	s.PIDs = make([]PIDStats, 0, len(r.pids))
	for i := range r.pids {
		s.PIDs = append(s.PIDs, r.pids[i].export(uses))
	}
	slices.SortFunc(s.PIDs, func(a, b PIDStats) int { return cmp.Compare(a.PID, b.PID) })
	s.Clocks = make([]ClockStats, 0, len(r.clocks))
	for i := range r.clocks {
		s.Clocks = append(s.Clocks, r.clocks[i].export(s.Services))
	}
	slices.SortFunc(s.Clocks, func(a, b ClockStats) int { return cmp.Compare(a.PID, b.PID) })
	s.Cues = r.cues.export(func(pid mpegts.PID) int { return uses[pid].program })
	return s
}

func (c *clock) copy(now time.Duration) clockCopy {
	x := clockCopy{
		pid: c.pid, judged: c.judged, count: c.count, near: c.near, announce: c.announce,
		intervals: c.intervals.both(), phase: c.phase.both(),
		accuracyCount: c.accuracy.count, accuracyNo: c.accuracy.errors,
	}
	if c.accuracy.measured(now) {
		x.constant, x.rate, x.min, x.max = true, c.accuracy.rate, c.accuracy.min, c.accuracy.max
	}
	return x
}

func (c *clockCopy) export(services []mpegts.Program) ClockStats {
	x := ClockStats{
		PID: c.pid, Programs: []uint16{}, Count: c.count, Interval: c.intervals.interval(mpegts.PCRHz / 1000),
		Over40MS: c.near, Discontinuities: c.announce, JitterMS: float64(c.phase.max-c.phase.min) / 1e6,
		Constant: c.constant, RateBPS: c.rate, AccuracyMinNS: c.min, AccuracyMaxNS: c.max,
		AccuracyMeasured: c.accuracyCount, AccuracyErrors: c.accuracyNo,
	}
	for _, p := range services {
		if p.HasPMT && p.PCRPID == c.pid {
			x.Programs = append(x.Programs, p.Number)
		}
	}
	return x
}

// interval returns a spread as milliseconds, of which one is unit.
func (s spread) interval(unit float64) Interval {
	if s.n == 0 {
		return Interval{}
	}
	return Interval{float64(s.min) / unit, float64(s.sum) / float64(s.n) / unit, float64(s.max) / unit, s.n}
}

func (p *rawPID) export(uses map[mpegts.PID]use) PIDStats {
	u := uses[p.pid]
	return PIDStats{
		PID: p.pid, Use: u.name, Program: u.program,
		Referenced: p.state.flags&(pidReferenced|pidExempt) != 0,
		Packets:    p.state.packets, RateBPS: int64(p.state.rate + 0.5), Scrambled: p.state.scrambled,
		ContinuityErrors: uint64(p.errors), Last: p.state.at, PTSInterval: p.pts.interval(1e6),
	}
}

// use is what a PID is for.
type use struct {
	name    string
	program int
}

// usesOf says what each PID is for, by the tables. The first that says it is
// believed.
func usesOf(services []mpegts.Program, network mpegts.PID, access []mpegts.PID) map[mpegts.PID]use {
	uses := map[mpegts.PID]use{
		mpegts.PATPID: {"PAT", 0}, mpegts.CATPID: {"CAT", 0}, mpegts.TSDTPID: {"TSDT", 0}, network: {"NIT", 0},
		mpegts.SDTPID: {"SDT/BAT", 0}, mpegts.EITPID: {"EIT", 0}, mpegts.RSTPID: {"RST", 0}, mpegts.TDTPID: {"TDT/TOT", 0},
		mpegts.NullPID: {"null", 0}, psipPID: {"PSIP", 0},
	}
	add := func(pid mpegts.PID, name string, program uint16) {
		if _, ok := uses[pid]; !ok {
			uses[pid] = use{name, int(program)}
		}
	}
	for i := range services {
		p := &services[i]
		add(p.PMTPID, "PMT", p.Number)
		for _, c := range p.Components {
			name := c.Codec
			if name == "" {
				name = string(c.Kind)
			}
			add(c.PID, name, p.Number)
			for _, pid := range c.CAPIDs {
				add(pid, "ECM", p.Number)
			}
		}
		for _, pid := range p.CAPIDs {
			add(pid, "ECM", p.Number)
		}
		if p.HasPMT && p.PCRPID != mpegts.NullPID {
			add(p.PCRPID, "PCR", p.Number)
		}
	}
	for _, pid := range access {
		add(pid, "EMM", 0)
	}
	return uses
}
