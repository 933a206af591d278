package tr101290

import (
	"time"

	"quartet/capture/mpegts"
)

// tally counts the errors of one check.
type tally struct {
	count       uint64
	first, last time.Duration
	live        time.Duration // when it was last the case
	open        int           // absences that go on
	pid         mpegts.PID    // of the last error
}

// active reports whether the check's condition is there, or was hold ago.
func (t *tally) active(now, hold time.Duration) bool {
	return t.open > 0 || t.count > 0 && now-t.live < hold
}

// fail counts an error of pid; NullPID stands for none.
func (m *Monitor) fail(c Check, pid mpegts.PID) { m.failN(c, pid, 1) }

func (m *Monitor) failN(c Check, pid mpegts.PID, n uint64) {
	t := &m.tallies[c]
	if t.count == 0 {
		t.first = m.now
	}
	t.count += n
	t.last, t.live, t.pid = m.now, m.now, pid
}

// absence watches for something that must come again within a limit. While
// open, the error is counted and goes on.
type absence struct {
	since time.Duration // when it came last, or when the waiting began
	open  bool
}

// seen takes that it has come.
func (m *Monitor) seen(a *absence, c Check, limit time.Duration, pid mpegts.PID) {
	if !a.open && m.now-a.since > limit {
		m.fail(c, pid)
	}
	m.restart(a, c)
}

// missing looks whether it is overdue, and otherwise has scan look again when
// it would be.
func (m *Monitor) missing(a *absence, c Check, limit time.Duration, pid mpegts.PID) {
	switch {
	case a.open:
	case m.now-a.since > limit:
		m.fail(c, pid)
		m.begin(a, c)
	default:
		m.wake(a.since + limit)
	}
}

func (m *Monitor) begin(a *absence, c Check) {
	a.open = true
	m.tallies[c].open++
}

// end closes an absence: it has come, or is not expected any more.
func (m *Monitor) end(a *absence, c Check) {
	if a.open {
		a.open = false
		m.tallies[c].open--
		m.tallies[c].live = m.now
	}
}

// restart waits anew from now on.
func (m *Monitor) restart(a *absence, c Check) {
	m.end(a, c)
	a.since = m.now
}

// wake has scan run when the instant at has passed.
func (m *Monitor) wake(at time.Duration) { m.nextScan = min(m.nextScan, at) }
