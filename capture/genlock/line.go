package genlock

import (
	"math"
	"time"
)

const (
	// maxOff is the largest deviation that is followed. Crystals are less off: SDI's
	// may be by 10 millionths (SMPTE ST 292-1), a transport stream's by 30 (ISO/IEC
	// 13818-1), sound cards' are by some 100; but the kernel moves this machine's
	// clock by up to 500 until it has the time.
	maxOff = 600e-6
	// spread is what a clock may be off before anything is known of it: so little
	// that the first observations, whatever their jitter, are taken as phase.
	spread = 30e-6
	// What crystals do by themselves.
	offWander   = 0.05e-6 * 0.05e-6 // a second
	phaseWander = 5e-6 * 5e-6       // s², a second
	// noiseStart is what an observation is worth until some have been seen;
	// noiseFloor, what none is better than. Several that are late in a row are
	// late together: each counts for less.
	noiseStart   = 2e-3 * 2e-3   // s²
	noiseFloor   = 50e-6 * 50e-6 // s²
	noiseCaution = 4
	// outlier is from how many deviations on an observation says nothing: it was
	// held up. When so many in a row are as far off on the same side, it is the way
	// that has become another, and the phase with it.
	outlier  = 3
	otherWay = 16
)

// Line is a clock seen through another: x = f(t), where t is system time and x
// the time that the clock shows. Observations fit rate and phase by a Kalman
// filter of these two states: the more they jitter, the less each of them moves
// the line, and the rate is believed as fast as they tell it and no faster. The
// zero value must be begun before use.
type Line struct {
	t0  time.Duration
	x0  float64 // seconds at t0
	off float64 // the clock's deviation: dx/dt − 1

	// Covariance of phase (s) and deviation, and the observations' own.
	p11, p12, p22 float64
	noise         float64
	bias          float64 // running mean of what is observed, against the line
	n             int     // observations since Begin
	far           int     // outliers in a row, on the side of its sign
	least         float64 // the smallest of them
}

// Begin says that the clock shows x at t. The rate that was found before is
// kept: crystals do not change over a pause.
func (l *Line) Begin(t, x time.Duration) {
	l.t0, l.x0 = t, x.Seconds()
	if l.noise == 0 {
		l.noise = noiseStart
		l.p22 = spread * spread
	}
	l.p11, l.p12, l.bias, l.n, l.far = noiseCaution*l.noise, 0, 0, 0, 0
}

// At returns what the clock shows at t.
func (l *Line) At(t time.Duration) time.Duration {
	return time.Duration(math.Round((l.x0 + (t-l.t0).Seconds()*(1+l.off)) * 1e9))
}

// When returns the instant at which the clock shows x.
func (l *Line) When(x time.Duration) time.Duration {
	return l.t0 + time.Duration(math.Round((x.Seconds()-l.x0)/(1+l.off)*1e9))
}

// PPM returns the deviation found, in millionths of the system clock.
func (l *Line) PPM() float64 { return l.off * 1e6 }

// Observe says that the clock showed x at t, as far as can be told: t may
// jitter. It returns by how much t was later than expected.
func (l *Line) Observe(t, x time.Duration) (late time.Duration) {
	expected := l.When(x)
	late = t - expected
	dt := x.Seconds() - l.x0
	if dt <= 0 {
		return late
	}
	l.p11 += dt*(2*l.p12+dt*l.p22) + phaseWander*dt
	l.p12 += dt * l.p22
	l.p22 = min(l.p22+offWander*dt, spread*spread)

	// Positive: the clock is faster than expected, x comes early.
	raw := -late.Seconds()
	s := l.p11 + noiseCaution*max(l.noise, noiseFloor)
	limit := outlier * math.Sqrt(s)
	e := min(max(raw, -limit), limit)
	l.n++
	l.bias += (e - l.bias) / float64(min(l.n, 16))
	l.noise += ((e-l.bias)*(e-l.bias) - l.noise) / float64(min(l.n+8, 64))
	l.t0, l.x0 = expected, x.Seconds()
	if e != raw {
		l.outlying(raw)
		return late
	}
	l.far = 0

	// The line goes on through the point that was expected, moved by a share of
	// the error; its slope by a smaller one.
	k1, k2 := l.p11/s, l.p12/s
	l.x0 += k1 * e
	l.off = min(max(l.off+k2*e, -maxOff), maxOff)
	l.p22 -= k2 * l.p12
	l.p12 -= k1 * l.p12
	l.p11 -= k1 * l.p11
	return late
}

// outlying takes an observation that is too far off to be believed.
func (l *Line) outlying(e float64) {
	side := 1
	if e < 0 {
		side = -1
	}
	if l.far*side <= 0 || math.Abs(e) < math.Abs(l.least) {
		l.least = e
	}
	if l.far*side < 0 {
		l.far = 0
	}
	if l.far += side; l.far == otherWay*side {
		l.x0 += l.least
		l.p11 += noiseCaution * l.noise
		l.p22 = spread * spread // if it is the rate that has changed, it shows here, too
		l.far = 0
	}
}
