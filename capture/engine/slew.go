package engine

import "time"

const (
	// slewFor is the time in which an error of the output's clock against the
	// engine's media time is made up.
	slewFor = 20.0 // s
	// slewMost bounds what is made up, as a part of the rate.
	slewMost = 15e-6
	// slewStep is an error that is no drift: the engine's time has jumped.
	slewStep = 100 * time.Millisecond
)

// slew is the clock of what is sent: this process's, at the rate of the input's
// clock. The engine's PTS count frames of the input; a PCR that did not follow
// would leave them behind, 8.6 s a day at 100 millionths. While nobody says
// what the input's clock does, it runs on at the rate it had.
type slew struct {
	real, shown time.Duration // the line's origin
	off         float64       // d shown / d real − 1
	ref         time.Duration // media time − shown, of this run of the engine
	follows     bool
}

// at returns what the clock shows at an instant of this process.
func (s *slew) at(real time.Duration) time.Duration {
	d := real - s.real
	return s.shown + d + time.Duration(float64(d)*s.off)
}

// back returns the instant at which the clock shows it.
func (s *slew) back(shown time.Duration) time.Duration {
	return s.real + time.Duration(float64(shown-s.shown)/(1+s.off))
}

// follow says that media time was media at an instant, and runs so much faster
// than this process's.
func (s *slew) follow(real, media time.Duration, off float64) {
	ahead := media - s.at(real)
	if d := ahead - s.ref; !s.follows || d > slewStep || d < -slewStep {
		s.ref, s.follows = ahead, true
	}
	s.shown, s.real = s.at(real), real
	s.off = off + min(max((ahead-s.ref).Seconds()/slewFor, -slewMost), slewMost)
}

// lose says that the run of the engine has ended.
func (s *slew) lose() { s.follows = false }
