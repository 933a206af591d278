package tr101290

import "quartet/capture/mpegts"

const packetBits = mpegts.PacketSize * 8

// scan looks for what should have come and has not. It runs when the earliest
// limit can have passed, which missing and wake keep: whatever comes in time
// only moves a limit on, so none is overlooked between two runs.
func (m *Monitor) scan() {
	m.nextScan = never
	m.missing(&m.pat, PATError2, tablePeriod, mpegts.PATPID)
	for i := range m.pmts {
		w := &m.pmts[i]
		m.missing(&w.absence, PMTError2, tablePeriod, w.pid)
	}
	for i := range m.watches {
		m.scanPID(&m.watches[i])
	}
	for _, c := range m.clocks {
		if c != nil && c.judged {
			m.missing(&c.gap, PCRRepetitionError, max(pcrGone, m.cfg.PCRRepetition), c.pid)
		}
	}
	for i := range m.stamps {
		if s := &m.stamps[i]; s.waiting {
			m.missing(&s.absence, PTSError, ptsPeriod, s.pid)
		}
	}
	if m.scrambling {
		if m.now-m.scrambledAt > m.cfg.CATPeriod { // no CAT is expected any more
			m.scrambling = false
			m.end(&m.cat, CATError)
		} else {
			m.wake(m.scrambledAt + m.cfg.CATPeriod)
		}
	}
	if m.cfg.Priority3 {
		m.si.scan(m)
	}
}

// scanPID looks for packets of a PID that a PMT names (1.6). The hot path does
// no more for it than to keep the time of the last packet.
func (m *Monitor) scanPID(w *watch) {
	if at := m.pids[w.pid].at; at > w.since {
		m.end(&w.absence, PIDError)
		w.since = at
	}
	m.missing(&w.absence, PIDError, w.period, w.pid)
	if w.open {
		m.wake(m.now + w.period/8) // whether it is back
	}
}

// roll ends the window of rates when it is over.
func (m *Monitor) roll() {
	elapsed := m.now - m.windowStart
	if elapsed < rateWindow {
		return
	}
	perPacket := packetBits / elapsed.Seconds()
	for _, pid := range m.list {
		s := &m.pids[pid]
		s.rate = float32(float64(s.packets-s.window) * perPacket)
		s.window = s.packets
	}
	now := counts{uint64(m.index), m.pids[mpegts.NullPID].packets}
	n := now.packets - m.window.packets
	m.last = lastWindow{rate: float64(n) * perPacket}
	if n > 0 {
		m.last.null = float64(now.nulls-m.window.nulls) / float64(n)
	}
	m.window, m.windowStart, m.parsed = now, m.now, 0
	if m.windows++; m.windows%spreadWindows == 0 {
		for i := range m.stamps {
			m.stamps[i].spacing.roll()
		}
		for _, c := range m.clocks {
			if c != nil {
				c.intervals.roll()
				c.phase.roll()
			}
		}
	}
	m.forget()
}
