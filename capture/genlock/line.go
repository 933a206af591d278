package genlock

import (
	"math"
	"time"
)

const (
	// maxOff is the largest deviation that is believed to be a crystal's; SDI
	// allows 10 millionths (SMPTE ST 292-1), sound cards have some 100. What is
	// further off has another rate than it says, and is not followed.
	maxOff = 1000e-6
	// A loop begins wide, to find a rate within seconds, and narrows while it
	// holds, so that jitter of arrival moves it less and less.
	widest   = 0.1  // Hz
	narrow   = 0.01 // Hz
	narrowed = 60.0 // s until then
	// outlier bounds what one observation may say.
	outlier = 5e-3 // s
)

// Line is a clock seen through another: x = f(t), where t is system time and x
// the time that the clock shows. Observations fit rate and phase with a
// second-order loop. The zero value must be begun before use.
type Line struct {
	t0  time.Duration
	x0  float64 // seconds at t0
	off float64 // the clock's deviation: dx/dt − 1
	age float64 // seconds of observation since Begin
}

// Begin says that the clock shows x at t. The rate that was found before is
// kept: crystals do not change over a pause.
func (l *Line) Begin(t, x time.Duration) { l.t0, l.x0, l.age = t, x.Seconds(), 0 }

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
	l.age += dt
	bandwidth := max(narrow, widest*math.Pow(narrow/widest, min(l.age/narrowed, 1)))
	w := 2 * math.Pi * bandwidth
	// Positive: the clock is faster than expected, x comes early.
	e := min(max(-late.Seconds(), -outlier), outlier)
	phase := min(math.Sqrt2*w*dt, 0.5)
	// The line goes on through the point that was expected, moved by a share of
	// the error; its slope by a smaller one.
	l.t0, l.x0 = expected, x.Seconds()+phase*e
	l.off = min(max(l.off+w*w*dt*e, -maxOff), maxOff)
	return late
}
