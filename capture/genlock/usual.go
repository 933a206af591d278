package genlock

import "time"

const (
	// learnRate is by how much more, in seconds a second, the usual delay may
	// become. The time without anything counts as learnMost: what waits behind a
	// standstill and then comes in a rush is no habit.
	learnRate = 0.2
	learnMost = 50 * time.Millisecond
	// forgetIn is the time constant with which the usual delay becomes less.
	forgetIn = 8.0 // s
)

// usual learns how late what is captured comes, at the most. The first
// observation is believed at once, so that a slow device is not waited for long.
type usual struct {
	delay time.Duration
	at    time.Duration // of the last observation
	seen  bool
}

// saw takes one observation.
func (u *usual) saw(now, d time.Duration) {
	d = min(d, mostDelay)
	passed := max(now-u.at, 0)
	switch {
	case !u.seen:
		u.delay = max(u.delay, d)
	case d > u.delay:
		u.delay += min(d-u.delay, time.Duration(learnRate*float64(min(passed, learnMost))))
	default:
		u.delay -= time.Duration(float64(u.delay-d) * min(passed.Seconds()/forgetIn, 1))
	}
	u.at, u.seen = now, true
}
