package tr101290

import (
	"time"

	"quartet/capture/mpegts"
)

// stamp watches the PTS of a picture or sound (2.5), by arrival. It waits from
// the first one that it sees: of a scrambled component it sees none.
type stamp struct {
	absence
	pid     mpegts.PID
	waiting bool // one has been seen
	spacing spreads
}

// seen takes a PTS.
func (s *stamp) seen(m *Monitor) {
	if !s.waiting {
		s.waiting = true
		s.since = m.now
		m.wake(m.now + ptsPeriod)
		return
	}
	s.spacing.add(int64(m.now - s.since))
	m.seen(&s.absence, PTSError, ptsPeriod, s.pid)
}

// rest waits for a first PTS again.
func (s *stamp) rest(m *Monitor) {
	s.waiting = false
	m.end(&s.absence, PTSError)
}

// spread is the range of a value.
type spread struct{ min, max, sum, n int64 }

func (s *spread) add(v int64) {
	if s.n == 0 || v < s.min {
		s.min = v
	}
	if s.n == 0 || v > s.max {
		s.max = v
	}
	s.sum += v
	s.n++
}

// spreads is a spread over the last spreadWindows to 2·spreadWindows windows.
type spreads struct{ old, new spread }

// spreadWindows is how many windows of rates make one of spreads.
const spreadWindows = 5

func (s *spreads) add(v int64) { s.new.add(v) }

func (s *spreads) roll() { s.old, s.new = s.new, spread{} }

func (s *spreads) clear() { *s = spreads{} }

// both returns the two windows as one.
func (s *spreads) both() spread {
	a, b := s.old, s.new
	switch {
	case a.n == 0:
		return b
	case b.n == 0:
		return a
	}
	return spread{min(a.min, b.min), max(a.max, b.max), a.sum + b.sum, a.n + b.n}
}

// rateWindow is what rates are averaged over.
const rateWindow = time.Second
