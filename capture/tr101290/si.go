package tr101290

import (
	"time"

	"quartet/capture/mpegts"
)

const (
	// maxSubTables is how many sections and sub-tables of service information
	// are watched at a time; those beyond are not judged.
	maxSubTables = 2048
	// siForget is how many of its periods a section may be away before it is
	// no longer waited for.
	siForget = 10
)

// si is what is known of service information (third priority).
type si struct {
	nit, sdt, tdt absence
	eit           [2]absence // sections 0 and 1: present and following
	subs          map[uint64]int
	list          []subTable
}

// subTable is a section that must come again (3.2 and the like), or with
// pairKey a sub-table: the gap between its sections, and for EIT
// present/following whether both are there.
type subTable struct {
	absence
	key    uint64
	last   time.Duration // when it came last
	period time.Duration // it must come again within; 0: need not
	also   Check         // besides SIRepetitionError; noCheck: none
	pair   bool          // a sub-table of present/following
	came   [2]time.Duration
}

// pairKey marks the key of a sub-table.
const pairKey = 1 << 63

const noCheck = Check(CheckCount)

func newSI() si { return si{subs: map[uint64]int{}} }

// siPeriods says within which time each section of a table comes again, and
// which check that is besides SI_repetition_error (ETSI TS 101 211 4.4).
func siPeriods(table byte) (period time.Duration, also Check) {
	switch table {
	case tidNIT, tidBAT:
		return 10 * time.Second, noCheck
	case tidNITOther:
		return 10 * time.Second, NITOtherError
	case tidSDT, tidEIT:
		return 2 * time.Second, noCheck
	case tidSDTOther:
		return 10 * time.Second, SDTOtherError
	case tidEITOther:
		return 10 * time.Second, EITOtherError
	case tidTDT, tidTOT:
		return 30 * time.Second, noCheck
	}
	return 0, noCheck
}

// service judges a section of service information that is not damaged.
func (m *Monitor) service(f *feed, b []byte, syntax bool) {
	table := b[0]
	var allowed bool
	actual := NITActualError
	switch {
	case f.roles&rolePMT != 0:
		return // whatever it is, it may be there
	case f.roles&roleNIT != 0:
		allowed = table == tidNIT || table == tidNITOther || f.pid != mpegts.NITPID
		if table == tidNIT {
			m.seen(&m.si.nit, NITActualError, nitPeriod, f.pid)
		}
	case f.roles&roleSDT != 0:
		actual, allowed = SDTActualError, table == tidSDT || table == tidSDTOther || table == tidBAT
		if table == tidSDT {
			m.seen(&m.si.sdt, SDTActualError, sdtPeriod, f.pid)
		}
	case f.roles&roleEIT != 0:
		actual, allowed = EITActualError, table >= tidEIT && table <= tidEITLast
		if table == tidEIT && syntax && b[6] < 2 {
			m.seen(&m.si.eit[b[6]], EITActualError, eitPeriod, f.pid)
		}
	case f.roles&roleRST != 0:
		actual, allowed = RSTError, table == tidRST
	case f.roles&roleTDT != 0:
		actual, allowed = TDTError, table == tidTDT || table == tidTOT
		if table == tidTDT {
			m.seen(&m.si.tdt, TDTError, tdtPeriod, f.pid)
		}
	default:
		return
	}
	if !allowed && table != tidStuffing {
		m.fail(actual, f.pid)
		return
	}
	m.repetition(f.pid, b, syntax, actual)
}

// repetition judges when a section comes: not too soon after another of its
// sub-table, not too long after itself.
func (m *Monitor) repetition(pid mpegts.PID, b []byte, syntax bool, actual Check) {
	table := b[0]
	period, also := siPeriods(table)
	if period == 0 && table != tidRST {
		return // a schedule, or stuffing
	}
	key, number := uint64(table)<<48, byte(0)
	if syntax {
		number = b[6]
		key |= uint64(b[3])<<40 | uint64(b[4])<<32
		if (table == tidSDTOther || table == tidEITOther) && len(b) >= 14 {
			key |= uint64(b[8])<<24 | uint64(b[9])<<16 // of which transport stream, or network
		}
	}
	if g := m.subTable(key | pairKey); g != nil {
		if g.last != never && m.now-g.last < m.cfg.SIGap {
			m.fail(SIRepetitionError, pid)
			if table == tidNIT || table == tidSDT || table == tidEIT || table == tidRST || table == tidTDT {
				m.fail(actual, pid)
			}
		}
		if table == tidEIT || table == tidEITOther {
			m.present(g, pid, number, period)
		}
		g.last = m.now
	}
	if period == 0 {
		return
	}
	if s := m.subTable(key | uint64(number)); s != nil {
		if s.last == never {
			s.period, s.also, s.since = period, also, m.now
		}
		late := !s.open && m.now-s.since > period
		if late && also != noCheck {
			m.fail(also, pid)
		}
		m.close(s)
		m.seen(&s.absence, SIRepetitionError, period, pid)
		s.last = m.now
		m.wake(m.now + period)
	}
}

// present takes a section of present/following (3.6.c): the other one of the two
// must have come within its period.
func (m *Monitor) present(g *subTable, pid mpegts.PID, number byte, period time.Duration) {
	if number > 1 {
		return
	}
	if !g.pair || m.now-g.last > period { // new, or both were away
		g.pair, g.period, g.came = true, period, [2]time.Duration{m.now, m.now}
		m.restart(&g.absence, EITPFError)
	}
	g.came[number] = m.now
	switch late := m.now-g.came[1-number] > period; {
	case late && !g.open:
		m.fail(EITPFError, pid)
		m.begin(&g.absence, EITPFError)
	case !late:
		m.end(&g.absence, EITPFError)
	}
}

// subTable returns what is known under a key, new if need be: last is never
// then. It returns nil when there are too many.
func (m *Monitor) subTable(key uint64) *subTable {
	if i, ok := m.si.subs[key]; ok {
		return &m.si.list[i]
	}
	if len(m.si.list) >= maxSubTables {
		return nil
	}
	m.si.subs[key] = len(m.si.list)
	m.si.list = append(m.si.list, subTable{key: key, last: never})
	return &m.si.list[len(m.si.list)-1]
}

// close ends the second check of an absence; the first is ended by the caller.
func (m *Monitor) close(s *subTable) {
	if s.open && s.also != noCheck {
		t := &m.tallies[s.also]
		t.open--
		t.live = m.now
	}
}

// resume begins anew.
func (s *si) resume(m *Monitor) {
	m.restart(&s.nit, NITActualError)
	m.restart(&s.sdt, SDTActualError)
	m.restart(&s.tdt, TDTError)
	m.restart(&s.eit[0], EITActualError)
	m.restart(&s.eit[1], EITActualError)
	for i := range s.list {
		s.drop(m, i)
	}
	s.list = s.list[:0]
	clear(s.subs)
}

// drop ends the waiting for an entry.
func (s *si) drop(m *Monitor, i int) {
	e := &s.list[i]
	if e.key&pairKey != 0 {
		m.end(&e.absence, EITPFError)
		return
	}
	m.close(e)
	m.end(&e.absence, SIRepetitionError)
}

// scan looks for what should have come and has not.
func (s *si) scan(m *Monitor) {
	m.missing(&s.nit, NITActualError, nitPeriod, mpegts.NITPID)
	m.missing(&s.sdt, SDTActualError, sdtPeriod, mpegts.SDTPID)
	m.missing(&s.eit[0], EITActualError, eitPeriod, mpegts.EITPID)
	m.missing(&s.eit[1], EITActualError, eitPeriod, mpegts.EITPID)
	m.missing(&s.tdt, TDTError, tdtPeriod, mpegts.TDTPID)
	for i := 0; i < len(s.list); i++ {
		e := &s.list[i]
		if keep := max(e.period, time.Second) * siForget; m.now-e.last > keep {
			s.drop(m, i)
			s.remove(i)
			i--
			continue
		} else if e.open {
			m.wake(e.last + keep)
		}
		switch {
		case e.pair && m.now-e.last > e.period: // both are away: another check's matter
			m.end(&e.absence, EITPFError)
		case e.pair && e.open:
			m.wake(e.last + e.period)
		case e.key&pairKey == 0 && !e.open:
			pid := siPID(e.key)
			m.missing(&e.absence, SIRepetitionError, e.period, pid)
			if e.open && e.also != noCheck {
				m.fail(e.also, pid)
				m.tallies[e.also].open++
			}
		}
	}
}

// remove takes entry i out of the list.
func (s *si) remove(i int) {
	n := len(s.list) - 1
	delete(s.subs, s.list[i].key)
	if i < n {
		s.list[i] = s.list[n]
		s.subs[s.list[i].key] = i
	}
	s.list = s.list[:n]
}

// siPID is the PID of the table of a key.
func siPID(key uint64) mpegts.PID {
	switch byte(key >> 48) {
	case tidNIT, tidNITOther:
		return mpegts.NITPID
	case tidSDT, tidSDTOther, tidBAT:
		return mpegts.SDTPID
	case tidEIT, tidEITOther:
		return mpegts.EITPID
	}
	return mpegts.TDTPID
}
