package tr101290

import (
	"time"

	"quartet/capture/mpegts"
)

// Bits of the first four bytes of a packet.
const (
	headError      = 0x800000 // transport_error_indicator
	headStart      = 0x400000 // payload_unit_start_indicator
	headScrambling = 0xC0
	headAdaptation = 0x20
)

const (
	// lowPIDs are reserved or have a fixed meaning (ETSI EN 300 468 table 1):
	// none of them can be unreferenced.
	lowPIDs = 0x20
	// psipPID carries the tables of ATSC A/65, which no PMT names.
	psipPID mpegts.PID = 0x1FFB
	// forgetAfter is how long a PID that nothing names may be away before it
	// leaves the list.
	forgetAfter = time.Minute
	// gone is how long an unreferenced PID may be away and still be the same
	// error when it comes again.
	gone = 5 * time.Second
)

// Flags of a PID.
const (
	pidSeen       = 1 << iota // it is in the list
	pidReferenced             // a table names it
	pidExempt                 // it need not be named
	pidReported               // it was counted as unreferenced, and goes on
	pidPlain                  // its packets hold nothing of interest but adaptation fields and timestamps
	pidPMT                    // a program_map_PID
)

// pidState is what is known of a PID: one line of the processor's cache.
type pidState struct {
	packets   uint64
	window    uint64        // packets at the window's start
	scrambled uint64        // packets with transport_scrambling_control not 00
	at        time.Duration // when the last packet came
	since     time.Duration // when the first came, or since when nothing names it
	rate      float32       // bit/s in the last window
	feed      uint16        // index + 1 of the section assembler
	clock     uint16        // index + 1 of the PCR's state
	stamp     uint16        // index + 1 of the PTS's state
	watch     uint16        // index + 1 of the watch for its absence
	flags     uint8
	_         [11]byte
}

// meet takes the first packet of a PID.
func (m *Monitor) meet(pid mpegts.PID, s *pidState) {
	s.flags |= pidSeen
	s.since = m.now
	m.list = append(m.list, pid)
	m.settle(s)
}

// settle says whether packets of a PID must be looked at one by one.
func (m *Monitor) settle(s *pidState) {
	s.flags &^= pidPlain
	known := !m.cfg.Priority3 || s.flags&(pidReferenced|pidExempt|pidReported) != 0
	if s.flags&pidSeen != 0 && s.feed == 0 && known {
		s.flags |= pidPlain
	}
}

// look takes what a packet holds besides its header.
func (m *Monitor) look(p mpegts.Packet, h uint32, pid mpegts.PID, s *pidState) {
	if s.flags&pidSeen == 0 {
		m.meet(pid, s)
	}
	if s.flags&(pidPlain|pidReferenced|pidExempt|pidReported) == 0 && m.now-max(s.since, m.complete) > unreferenced {
		m.fail(UnreferencedPID, pid)
		m.tallies[UnreferencedPID].open++
		s.flags |= pidReported
		m.settle(s)
	}
	if s.feed != 0 {
		m.feed = m.feeds[s.feed-1]
		m.feed.sections.Push(p, m.emit)
	}
	if h&headAdaptation != 0 {
		if pcr, ok := p.PCR(); ok {
			m.pcr(pid, s, pcr, p.Discontinuity())
		} else if s.clock != 0 && p.Discontinuity() {
			m.clocks[s.clock-1].announced = true
		}
	}
	if s.stamp != 0 && h&headStart != 0 {
		if _, ok := p.PTS(); ok {
			m.stamps[s.stamp-1].seen(m)
		}
	}
}

// scrambled takes a packet whose transport_scrambling_control is not 00.
func (m *Monitor) scrambled(pid mpegts.PID, s *pidState) {
	s.scrambled++
	if pid == mpegts.PATPID {
		m.fail(PATError2, pid)
	}
	if s.flags&pidPMT != 0 {
		m.fail(PMTError2, pid)
	}
	if s.stamp != 0 {
		m.stamps[s.stamp-1].rest(m) // its timestamps cannot be seen
	}
	m.scrambledAt = m.now
	switch {
	case !m.scrambling:
		m.scrambling = true
		m.restart(&m.cat, CATError)
		m.wake(m.now + m.cfg.CATPeriod)
	case !m.cat.open && m.now-m.cat.since > m.cfg.CATPeriod:
		m.fail(CATError, mpegts.CATPID)
		m.begin(&m.cat, CATError)
	}
}

// unreport takes that an unreferenced PID is named now, or gone.
func (m *Monitor) unreport(s *pidState) {
	if s.flags&pidReported != 0 {
		s.flags &^= pidReported
		t := &m.tallies[UnreferencedPID]
		t.open--
		t.live = m.now
	}
}

// forget drops PIDs that are away and that nothing names, so that damaged
// headers do not fill the list.
func (m *Monitor) forget() {
	kept := m.list[:0]
	for _, pid := range m.list {
		s := &m.pids[pid]
		away := m.now - s.at
		if away > gone && s.flags&pidReported != 0 {
			m.unreport(s)
			s.since = m.now
			m.settle(s)
		}
		if away <= forgetAfter || s.flags&pidReferenced != 0 {
			kept = append(kept, pid)
			continue
		}
		if s.clock != 0 {
			m.dropClock(s)
		}
		if s.flags&pidExempt != 0 {
			s.flags, s.rate = pidExempt, 0 // counts go on: those of the null PID are told
			continue
		}
		*s = pidState{}
	}
	m.list = kept
}
