package tr101290

import (
	"slices"
	"time"

	"quartet/capture/mpegts"
)

const (
	// maxClocks is how many PIDs with PCRs are followed.
	maxClocks = 128
	// pcrSlack is by how much earlier a PCR may arrive than the PCRs say: more is
	// a jump of the clock, not a long interval.
	pcrSlack = 250 * time.Millisecond
	// pcrGone is when a PCR that does not come is missing, without waiting for
	// the next one. Shorter waits are judged by the PCRs' own difference, so
	// that a network's jitter is not taken for the stream's fault.
	pcrGone = 500 * time.Millisecond
)

// clock is what is known of a PID's PCRs.
type clock struct {
	pid       mpegts.PID
	judged    bool // a program's clock: 2.3 and 2.4 apply
	known     bool // last and at hold
	announced bool // discontinuity_indicator has come since the last PCR
	last      mpegts.PCR
	at        time.Duration // arrival of last
	gap       absence       // 2.3a, while no PCR comes

	count     uint64
	near      uint64 // intervals of more than 40 ms, within the limit
	announce  uint64 // breaks that were announced
	intervals spreads

	ticks int64         // since base, by the PCRs
	base  time.Duration // arrival of the first PCR of the time base
	phase spreads       // arrival minus PCR, ns

	accuracy accuracy
}

// pcr takes a PCR.
func (m *Monitor) pcr(pid mpegts.PID, s *pidState, v mpegts.PCR, flag bool) {
	if s.clock == 0 && !m.newClock(pid, s, false) {
		return
	}
	c := m.clocks[s.clock-1]
	c.count++
	flag = flag || c.announced
	elapsed := m.now - c.at
	d := v.Diff(c.last)
	c.last, c.at, c.announced = v, m.now, false
	switch {
	case !c.known:
		c.rebase(m)
		m.wake(m.now + pcrGone)
	case flag:
		// A new time base: only arrival tells how long it took.
		c.announce++
		c.late(m, elapsed)
		c.rebase(m)
	default:
		c.interval(m, d, elapsed)
	}
	c.known = true
	m.restart(&c.gap, PCRRepetitionError)
}

// interval judges the difference from PCR to PCR, in ticks of 27 MHz.
func (c *clock) interval(m *Monitor, d int64, elapsed time.Duration) {
	step := mpegts.TicksToDuration(d)
	jump := step < 0 || step > elapsed+pcrSlack
	if d < 0 || step > pcrJump {
		if c.judged {
			m.fail(PCRDiscontinuityIndicatorError, c.pid)
		}
		if jump {
			c.late(m, elapsed)
			c.rebase(m)
			return
		}
	}
	c.late(m, step)
	c.intervals.add(d)
	if step > pcrNear && step <= m.cfg.PCRRepetition {
		c.near++
	}
	c.ticks += d
	c.phase.add(int64(m.now - c.base - mpegts.TicksToDuration(c.ticks)))
	c.accuracy.add(m, c, d)
}

// late judges the time from PCR to PCR (2.3a).
func (c *clock) late(m *Monitor, took time.Duration) {
	if c.judged && !c.gap.open && took > m.cfg.PCRRepetition {
		m.fail(PCRRepetitionError, c.pid)
	}
}

// rebase begins a new time base with the PCR at hand.
func (c *clock) rebase(m *Monitor) {
	c.ticks, c.base = 0, m.now
	c.phase.clear()
	c.accuracy.restart(m)
}

// rest waits for a first PCR again.
func (c *clock) rest(m *Monitor) {
	c.known, c.announced = false, false
	c.accuracy.restart(m)
	m.restart(&c.gap, PCRRepetitionError)
}

// newClock gives a PID a clock. If all are taken, one whose clock is a
// program's gets that of one whose clock is not.
func (m *Monitor) newClock(pid mpegts.PID, s *pidState, judged bool) bool {
	i := slices.Index(m.clocks, nil)
	if i < 0 && len(m.clocks) < maxClocks {
		i = len(m.clocks)
		m.clocks = append(m.clocks, nil)
	}
	if i < 0 && judged {
		i = slices.IndexFunc(m.clocks, func(c *clock) bool { return !c.judged })
		if i >= 0 {
			m.dropClock(&m.pids[m.clocks[i].pid])
		}
	}
	if i < 0 {
		return false
	}
	c := &clock{pid: pid}
	c.rest(m)
	m.clocks[i] = c
	s.clock = uint16(i + 1)
	return true
}

func (m *Monitor) dropClock(s *pidState) {
	m.end(&m.clocks[s.clock-1].gap, PCRRepetitionError)
	m.clocks[s.clock-1] = nil
	s.clock = 0
}
