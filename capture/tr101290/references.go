package tr101290

import (
	"slices"
	"time"

	"quartet/capture/mpegts"
)

const (
	// maxCuePIDs is how many PIDs of splice information are read.
	maxCuePIDs = 16
	// rebuildPause is the least time from one rebuild to the next; many
	// components make it longer (rebuildEach), so that a stream whose tables
	// never stay the same does not take the processor.
	rebuildPause = 10 * time.Millisecond
	rebuildEach  = 20 * time.Microsecond
	// tablesPatience is how long after the beginning PIDs may be unknown
	// because a PMT has not come yet: half a second for the PAT, as much for
	// the PMT, and as much for bad luck.
	tablesPatience = 1500 * time.Millisecond
)

// watch waits for packets of a PID that a PMT names (1.6).
type watch struct {
	absence
	pid    mpegts.PID
	period time.Duration
}

// references collects what the tables name, while it is put together.
type references struct {
	m       *Monitor
	feeds   []*feed
	watches []watch
	pmts    []pmtWatch
	stamps  []stamp
	cues    int
}

// rebuild makes of the tables what is expected of each PID. What has been
// waited for goes on being waited for.
func (m *Monitor) rebuild() {
	m.generation = m.tables.Generation()
	m.programs = m.tables.Programs()
	old := slices.Clone(m.referenced)
	for _, pid := range old {
		m.pids[pid].flags &^= pidReferenced | pidPMT
	}
	m.referenced = m.referenced[:0]
	for _, c := range m.clocks {
		if c != nil {
			c.judged = false
		}
	}

	r := references{m: m}
	for _, x := range [...]struct {
		pid   mpegts.PID
		roles uint16
	}{
		{mpegts.PATPID, rolePAT}, {mpegts.CATPID, roleCAT}, {m.tables.NetworkPID(), roleNIT}, {mpegts.SDTPID, roleSDT},
		{mpegts.EITPID, roleEIT}, {mpegts.RSTPID, roleRST}, {mpegts.TDTPID, roleTDT},
	} {
		r.name(x.pid)
		r.read(x.pid, x.roles)
	}
	for _, pid := range m.tables.AccessPIDs() {
		r.name(pid)
	}
	components, complete := 0, len(m.programs) > 0
	for i := range m.programs {
		p := &m.programs[i]
		r.program(p)
		components += len(p.Components)
		complete = complete && p.HasPMT
	}
	if complete {
		m.complete = min(m.complete, m.now)
	}
	r.replace()
	for _, pid := range old {
		if s := &m.pids[pid]; s.flags&pidReferenced == 0 {
			s.since = m.now
			m.settle(s)
		}
	}
	for _, pid := range m.referenced {
		m.unreport(&m.pids[pid])
		m.settle(&m.pids[pid])
	}
	for _, c := range m.clocks {
		if c != nil && !c.judged {
			m.end(&c.gap, PCRRepetitionError)
		}
	}
	m.rebuildAt = m.now + rebuildPause + time.Duration(components)*rebuildEach
	m.nextScan = m.now
}

// name takes that a table names a PID.
func (r *references) name(pid mpegts.PID) {
	s := &r.m.pids[pid]
	if pid == mpegts.NullPID || s.flags&pidReferenced != 0 {
		return
	}
	s.flags |= pidReferenced
	r.m.referenced = append(r.m.referenced, pid)
}

// read has the sections of a PID put together.
func (r *references) read(pid mpegts.PID, roles uint16) {
	s := &r.m.pids[pid]
	i := int(s.feed) - 1
	if i >= 0 && i < len(r.feeds) && r.feeds[i].pid == pid {
		r.feeds[i].roles |= roles
		return
	}
	f := &feed{pid: pid}
	if i >= 0 {
		f = r.m.feeds[i]
	}
	f.roles = roles
	r.feeds = append(r.feeds, f)
	s.feed = uint16(len(r.feeds))
}

func (r *references) program(p *mpegts.Program) {
	m := r.m
	r.name(p.PMTPID)
	r.read(p.PMTPID, rolePMT)
	m.pids[p.PMTPID].flags |= pidPMT
	w := pmtWatch{program: p.Number, pid: p.PMTPID, absence: absence{since: m.now}}
	for _, o := range m.pmts {
		if o.program == w.program && o.pid == w.pid {
			w = o
		}
	}
	r.pmts = append(r.pmts, w)
	if !p.HasPMT {
		return
	}
	for _, pid := range p.CAPIDs {
		r.name(pid)
	}
	if p.PCRPID != mpegts.NullPID {
		r.name(p.PCRPID)
		r.watch(p.PCRPID, m.cfg.PIDPeriod)
		s := &m.pids[p.PCRPID]
		if s.clock != 0 || m.newClock(p.PCRPID, s, true) {
			m.clocks[s.clock-1].judged = true
		}
	}
	for i := range p.Components {
		r.component(&p.Components[i])
	}
}

func (r *references) component(c *mpegts.Component) {
	r.name(c.PID)
	for _, pid := range c.CAPIDs {
		r.name(pid)
	}
	switch c.Kind {
	case mpegts.KindVideo, mpegts.KindAudio:
		r.watch(c.PID, r.m.cfg.PIDPeriod)
		if !c.Still {
			r.stamp(c.PID)
		}
		return
	case mpegts.KindCue:
		if r.cues < maxCuePIDs {
			r.cues++
			r.read(c.PID, roleCue)
		}
	}
	if r.m.cfg.DataPIDPeriod > 0 {
		r.watch(c.PID, r.m.cfg.DataPIDPeriod)
	}
}

// The index in a PID's state is that of the list in force until the list being
// built has the PID, then that of the latter.

// watch has a PID watched for.
func (r *references) watch(pid mpegts.PID, period time.Duration) {
	s := &r.m.pids[pid]
	i := int(s.watch) - 1
	if i >= 0 && i < len(r.watches) && r.watches[i].pid == pid {
		r.watches[i].period = min(r.watches[i].period, period)
		return
	}
	w := watch{absence: absence{since: r.m.now}, pid: pid}
	if i >= 0 {
		w = r.m.watches[i]
	}
	w.period = period
	r.watches = append(r.watches, w)
	s.watch = uint16(len(r.watches))
}

// stamp has a PID's PTS watched.
func (r *references) stamp(pid mpegts.PID) {
	s := &r.m.pids[pid]
	i := int(s.stamp) - 1
	if i >= 0 && i < len(r.stamps) && r.stamps[i].pid == pid {
		return
	}
	w := stamp{pid: pid}
	if i >= 0 {
		w = r.m.stamps[i]
	}
	r.stamps = append(r.stamps, w)
	s.stamp = uint16(len(r.stamps))
}

// replace puts what was collected in force, and ends the waiting for what is
// not named any more.
func (r *references) replace() {
	m := r.m
	m.feeds, r.feeds = r.feeds, m.feeds
	for _, f := range r.feeds {
		if s := &m.pids[f.pid]; int(s.feed) > len(m.feeds) || m.feeds[s.feed-1].pid != f.pid {
			s.feed = 0
			m.settle(s)
		}
	}
	m.watches, r.watches = r.watches, m.watches
	for i := range r.watches {
		w := &r.watches[i]
		if s := &m.pids[w.pid]; int(s.watch) > len(m.watches) || m.watches[s.watch-1].pid != w.pid {
			m.end(&w.absence, PIDError)
			s.watch = 0
		}
	}
	m.stamps, r.stamps = r.stamps, m.stamps
	for i := range r.stamps {
		w := &r.stamps[i]
		if s := &m.pids[w.pid]; int(s.stamp) > len(m.stamps) || m.stamps[s.stamp-1].pid != w.pid {
			m.end(&w.absence, PTSError)
			s.stamp = 0
		}
	}
	m.pmts, r.pmts = r.pmts, m.pmts
	for i := range r.pmts {
		w := &r.pmts[i]
		if !slices.ContainsFunc(m.pmts, func(n pmtWatch) bool { return n.program == w.program && n.pid == w.pid }) {
			m.end(&w.absence, PMTError2)
		}
	}
}
