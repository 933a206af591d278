package genlock

import "time"

const (
	// Of the clock references of each feedWindow only the one that was held up
	// least says something about the clock: what waits behind a standstill, and
	// what comes in bursts, says nothing.
	feedWindow = time.Second
	// An error of phase is made up within feedFor, but by no more than feedSlew.
	feedFor  = 20.0 // s
	feedSlew = 10e-6
	// feedStep is an error that is not to be waited for: the way of the packets has
	// become another.
	feedStep = 200 * time.Millisecond
	// A reference that is feedJump off is of another time base, or damaged: it is
	// the former when feedAgree in a row, over feedSpan, agree within feedSlack.
	// Until then, what is less than feedHeld behind is taken for held up.
	feedJump  = time.Second
	feedHeld  = 5 * time.Second
	feedAgree = 3
	feedSpan  = 60 * time.Millisecond
	feedSlack = 50 * time.Millisecond
)

// Feed brings a transport stream's clock onto system time: it says of each clock
// reference when it came, as if packets came evenly. A constant delay is as good
// as any other, so phase is never corrected by a step, and rate only as far as
// it is known. The zero value is ready. Not safe for concurrent use.
type Feed struct {
	line    Line // the stream's time by arrival, of the references that were held up least
	running bool
	settled bool // a window has passed

	// what is told: at for the stream's time x, and (1+off) s a second from there
	at, x time.Duration
	off   float64
	ref   time.Duration // what is told − line

	since         time.Duration // stream time at which the window began
	have          bool          // the rest of these hold
	late          time.Duration // of the one that was held up least
	lateAt, lateX time.Duration

	last       time.Duration // what was told last − its arrival
	odd        int           // references in a row of another time base
	oddT, oddX time.Duration // arrival and time of the first
	oddAt      time.Duration // what was told of it
}

// PPM returns the deviation of the stream's clock, in millionths of the system
// clock.
func (f *Feed) PPM() float64 { return f.line.PPM() }

// Expect returns what the stream's clock shows at t, as far as is known.
func (f *Feed) Expect(t time.Duration) time.Duration {
	if !f.running {
		return 0
	}
	return f.line.At(t)
}

// Align lets what is told begin anew where references come that are not held up.
func (f *Feed) Align() {
	if f.running {
		f.at, f.ref = f.line.When(f.x), 0
	}
}

// Arrived takes a clock reference of stream time x, unwrapped, that came at t,
// and returns when it would have come had nothing held it up. A reference that is
// damaged, as far as can be told, or the first of another time base is not to be
// believed: then ok is false.
func (f *Feed) Arrived(t, x time.Duration) (at time.Duration, ok bool) {
	if !f.running {
		f.begin(t, t, x)
		f.running = true
		return t, true
	}
	if d := x - f.line.At(t); d > feedJump || d < -feedJump {
		return f.strange(t, x)
	}
	f.odd = 0
	if late := t - f.line.When(x); !f.have || late < f.late {
		f.have, f.late, f.lateAt, f.lateX = true, late, t, x
	}
	if x-f.since >= feedWindow {
		f.observe(x)
	}
	at = f.when(x)
	f.last = at - t
	return at, true
}

// begin starts a time base: a reference that came at t is told to have come at
// at.
func (f *Feed) begin(t, at, x time.Duration) {
	f.line.Begin(t, x)
	f.at, f.x, f.ref, f.last = at, x, at-t, at-t
	f.since, f.have, f.settled, f.odd = x, false, false, 0
}

// when is what is told of x.
func (f *Feed) when(x time.Duration) time.Duration {
	d := x - f.x
	return f.at + d + time.Duration(float64(d)*f.off)
}

// observe ends a window.
func (f *Feed) observe(x time.Duration) {
	if f.have && !f.settled {
		// What came before may have been held up, all of it.
		f.line.Begin(f.lateAt, f.lateX)
		f.ref = f.when(f.lateX) - f.lateAt
		f.settled = true
	} else if f.have {
		f.line.Observe(f.lateAt, f.lateX)
	}
	f.since, f.have = x, false
	f.at, f.x = f.when(x), x
	e := f.line.When(x) + f.ref - f.at
	if e > feedStep || e < -feedStep {
		f.at, e = f.at+e, 0
	}
	f.off = 1/(1+f.line.off) - 1 + min(max(e.Seconds()/feedFor, -feedSlew), feedSlew)
}

// strange takes a reference of another time base.
func (f *Feed) strange(t, x time.Duration) (at time.Duration, ok bool) {
	behind := f.line.At(t) - x
	if d := (x - f.oddX) - (t - f.oddT); f.odd == 0 || x <= f.oddX || d > feedSlack || d < -feedSlack {
		f.odd, f.oddT, f.oddX, f.oddAt = 1, t, x, t+f.last
	}
	at = f.oddAt + (x - f.oddX)
	if behind > 0 && behind < feedHeld {
		at = f.when(x)
	}
	if f.odd++; f.odd > feedAgree && t-f.oddT >= feedSpan {
		f.begin(f.oddT, f.oddAt, f.oddX)
		return f.when(x), true
	}
	return at, false
}
