package fec

import (
	"math"
	"math/bits"
	"time"
)

const (
	// clockWindow is the sliding window of the release clock.
	clockWindow = 10 * time.Second
	buckets     = 64
	bucketSpan  = clockWindow / buckets
	// slewDivisor bounds the slewing of B to 200 ppm.
	slewDivisor = 5000
	never       = time.Duration(math.MaxInt64)
)

// minWindow is the minimum of samples over the last 10 s, in steps of 1/64 of
// it.
type minWindow struct {
	min    time.Duration // over all buckets; never when there is none
	bucket int64         // number of the newest bucket
	slot   [buckets]time.Duration
}

func (m *minWindow) reset() {
	m.min = never
	for i := range m.slot {
		m.slot[i] = never
	}
}

// roll drops what is older than the window.
func (m *minWindow) roll(now time.Duration) {
	b := int64(now / bucketSpan)
	if b <= m.bucket {
		return
	}
	if m.min != never {
		for i := max(m.bucket+1, b-buckets+1); i <= b; i++ {
			m.slot[i%buckets] = never
		}
		m.min = never
		for _, v := range m.slot {
			m.min = min(m.min, v)
		}
	}
	m.bucket = b
}

func (m *minWindow) add(now, v time.Duration) {
	m.roll(now)
	s := &m.slot[m.bucket%buckets]
	*s = min(*s, v)
	m.min = min(m.min, v)
}

// releaseClock keeps B, the instant at which timestamp 0 would be delivered by
// the fastest path without its configured delay. A packet is released at
// B + timestamp + D.
//
// When for a while all packets come after their instants, B steps to where the
// least late of them was in time (later).
//
// B follows the smallest (delivery − timestamp − offset) that any active path
// showed in the last 10 s, by no more than 200 ppm. So a path that appears
// with a smaller delay, or the loss of the fastest path, does not move the
// output. B is set only while nothing has been released by it.
type releaseClock struct {
	b      time.Duration
	target time.Duration // never: no sample in the window
	set    bool          // b is valid
	locked bool          // something was released: b may only slew
	slewed time.Duration // when b was last moved
	bucket int64         // when the target was last computed afresh
	paths  [MaxStreams]minWindow
}

// reset forgets everything.
func (c *releaseClock) reset() {
	for i := range c.paths {
		c.paths[i].reset()
	}
	c.b, c.target, c.set, c.locked = 0, never, false, false
}

// later moves B by what every packet of late was overdue, and forgets the
// samples from before.
func (c *releaseClock) later(by time.Duration) {
	for i := range c.paths {
		c.paths[i].reset()
	}
	c.b += by
	c.target = never
}

// forget drops what is known of one path.
func (c *releaseClock) forget(path int, active uint64) {
	c.paths[path].reset()
	c.aim(active)
}

// sample notes what a packet showed: v = delivery − timestamp − offset.
func (c *releaseClock) sample(path int, now, v time.Duration) {
	c.paths[path].add(now, v)
	c.target = min(c.target, v)
	switch {
	case !c.set:
		c.b, c.set, c.slewed = v, true, now
	case !c.locked:
		c.b = min(c.b, v)
	}
}

// ahead returns how much earlier a packet came than B has it.
func (c *releaseClock) ahead(sample time.Duration) time.Duration {
	if !c.set {
		return 0
	}
	return c.b - sample
}

// aim computes the target from the active paths.
func (c *releaseClock) aim(active uint64) {
	c.target = never
	for m := active; m != 0; m &= m - 1 {
		c.target = min(c.target, c.paths[bits.TrailingZeros64(m)].min)
	}
}

// slew moves B towards its target.
func (c *releaseClock) slew(now time.Duration, active uint64) {
	if b := int64(now / bucketSpan); b != c.bucket {
		c.bucket = b
		for m := active; m != 0; m &= m - 1 {
			c.paths[bits.TrailingZeros64(m)].roll(now)
		}
		c.aim(active)
	}
	// Steps of at least a millisecond, so that 200 ppm of them are not
	// rounded away.
	dt := now - c.slewed
	if dt < time.Millisecond {
		return
	}
	c.slewed = now
	if !c.locked || c.target == never {
		return
	}
	step := dt / slewDivisor
	c.b += min(max(c.target-c.b, -step), step)
}

// best returns the smallest sample of any of the paths in the window.
func (c *releaseClock) best(active uint64) time.Duration {
	b := never
	for m := active; m != 0; m &= m - 1 {
		b = min(b, c.paths[bits.TrailingZeros64(m)].min)
	}
	return b
}
