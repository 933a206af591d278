package updater

import (
	"fmt"
	"time"
)

// Mode says how much a box does by itself.
type Mode string

const (
	Automatic Mode = "automatic" // all of it, in the windows
	Fetch     Mode = "download"  // it downloads, and waits for "now"
	Manual    Mode = "manual"    // it only tells, and waits for "now"
)

// Policy is the operator's wish. The zero value is of use: automatic, at any
// time, in UTC.
type Policy struct {
	Mode    Mode
	Windows []Window       // none: at any time
	Zone    *time.Location // the windows' clock; nil: UTC
	// Need is how much of a window has to be left to begin: an installation, a
	// restart and a trial. 0: 15 minutes.
	Need time.Duration
	// Every is how often the repository is asked. 0: 6 hours.
	Every time.Duration
	// Rates of the download in bytes a second, while the box streams and while
	// it does not. 0: 250,000 and 2,500,000; below zero: no limit.
	RateStreaming, RateIdle int64
	// SiblingPatience is how long a lease may not be had before an alarm is
	// raised. 0: 7 days.
	SiblingPatience time.Duration
	// HomePatience is how long the repository may not be read before an alarm
	// is raised. 0: 7 days.
	HomePatience time.Duration
	// MaxDefer is how far ahead an operator may defer. 0: 30 days.
	MaxDefer time.Duration
	// Trial: how long all must be well before it counts (0: 20 s), and how
	// long a trial may take from the start of the process (0: 60 s). A broken
	// version is away within this and two boots. One that nobody can blame for
	// what is missing has two thirds more: networks take their time.
	Hold, Deadline time.Duration
}

// patience is how long a trial may take that is not the box's fault.
func (p Policy) patience() time.Duration { return p.Deadline * 5 / 3 }

func (p Policy) withDefaults() Policy {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if p.Mode == "" {
		p.Mode = Automatic
	}
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	set(&p.Need, 15*time.Minute)
	set(&p.Every, 6*time.Hour)
	set(&p.SiblingPatience, 7*24*time.Hour)
	set(&p.HomePatience, 7*24*time.Hour)
	set(&p.MaxDefer, 30*24*time.Hour)
	set(&p.Hold, 20*time.Second)
	set(&p.Deadline, 60*time.Second)
	if p.RateStreaming == 0 {
		p.RateStreaming = 250_000
	}
	if p.RateIdle == 0 {
		p.RateIdle = 2_500_000
	}
	return p
}

// Check finds what is wrong with a policy.
func (p Policy) Check() error {
	p = p.withDefaults()
	switch {
	case p.Mode != Automatic && p.Mode != Fetch && p.Mode != Manual:
		return fmt.Errorf("mode: %q is not allowed; write %s, %s or %s", p.Mode, Automatic, Fetch, Manual)
	case len(p.Windows) > 32:
		return fmt.Errorf("windows: %d are too many; write at most 32", len(p.Windows))
	case p.Every < 5*time.Minute || p.Every > 7*24*time.Hour:
		return fmt.Errorf("every: %v is not allowed; 5 minutes to 7 days", p.Every)
	case p.Need < time.Minute:
		return fmt.Errorf("need: %v is not allowed; write a minute or more", p.Need)
	case p.Hold < time.Second || p.Deadline < p.Hold:
		return fmt.Errorf("hold, deadline: %v and %v do not fit; the deadline comes after the hold", p.Hold, p.Deadline)
	}
	for _, w := range p.Windows {
		if w.Length < p.Need {
			return fmt.Errorf("windows: %q is shorter than the %v that an update needs; write a longer one", w, p.Need)
		}
		if w.Days == [7]bool{} {
			return fmt.Errorf("windows: %q has no day", w)
		}
	}
	return nil
}

// Why says in one word what an update waits for.
type Why string

const (
	Nothing      Why = ""
	ClockUnset   Why = "clock"    // the time of day is not known to be right
	Stale        Why = "expired"  // what was signed about it has expired: it may have been withdrawn since
	Deferred     Why = "deferred" // an operator said so
	Spread       Why = "spread"   // other boxes of the ring go first
	Outside      Why = "window"   // no maintenance window is open, or too little of it is left
	WantsWord    Why = "operator" // the policy leaves it to an operator
	SiblingFirst Why = "sibling"  // no lease
	RetryLater   Why = "retry"    // it has failed, and is tried again
	MediaStrain  Why = "media"    // media come first
)

// Decision is whether to go on.
type Decision struct {
	Go    bool
	Why   Why       // what it waits for, if not
	Text  string    // the same for people
	Until time.Time // when to look again; zero: when something changes
}

// Situation is what a decision depends on.
type Situation struct {
	Now        time.Time
	ClockGood  bool
	DeferUntil time.Time // zero: not deferred
	Said       bool      // an operator has said "now"
	Upload     bool      // an operator has brought it
	Begins     time.Time // the box's place in the spread
	RetryAfter time.Time // zero: not tried before
	Expires    time.Time // of what was signed about it; zero: never
}

// stale refuses what nobody vouches for any more; no operator's word changes that.
func (p Policy) stale(s Situation) (Decision, bool) {
	if s.Expires.IsZero() || s.Now.Before(s.Expires) {
		return Decision{}, false
	}
	return wait(Stale, time.Time{}, "what was signed about it expired at %s, and nothing newer is known: it may have been withdrawn since; it goes on once the repository has signed again, or a new file is brought", p.local(s.Expires)), true
}

func wait(why Why, until time.Time, format string, args ...any) Decision {
	return Decision{Why: why, Text: fmt.Sprintf(format, args...), Until: until}
}

// Download decides whether a bundle may be downloaded now: no window is
// needed, it disturbs nobody.
func (p Policy) Download(s Situation) Decision {
	p = p.withDefaults()
	if !s.ClockGood {
		return wait(ClockUnset, time.Time{}, "the time of day is not known to be right; it comes by itself with the network, or an admin sets it")
	}
	if d, stale := p.stale(s); stale {
		return d
	}
	switch {
	case s.Said:
		return Decision{Go: true}
	case s.Now.Before(s.RetryAfter):
		return wait(RetryLater, s.RetryAfter, "it is tried again at %s", p.local(s.RetryAfter))
	case p.Mode == Manual:
		return wait(WantsWord, time.Time{}, "an operator has to say now (quartetctl update now)")
	case s.Now.Before(s.Begins):
		return wait(Spread, s.Begins, "it is this box's turn at %s", p.local(s.Begins))
	}
	return Decision{Go: true}
}

// Install decides whether an update that is on the disk may be installed now.
// The sibling is asked afterwards.
func (p Policy) Install(s Situation) Decision {
	p = p.withDefaults()
	if !s.ClockGood {
		return wait(ClockUnset, time.Time{}, "the time of day is not known to be right; it comes by itself with the network, or an admin sets it")
	}
	if d, stale := p.stale(s); stale {
		return d
	}
	if s.Said {
		return Decision{Go: true}
	}
	switch {
	case s.Now.Before(s.DeferUntil):
		return wait(Deferred, s.DeferUntil, "an operator has deferred it to %s", p.local(s.DeferUntil))
	case s.Now.Before(s.RetryAfter):
		return wait(RetryLater, s.RetryAfter, "it is tried again at %s", p.local(s.RetryAfter))
	case p.Mode != Automatic:
		return wait(WantsWord, time.Time{}, "an operator has to say now (quartetctl update now)")
	case !s.Upload && s.Now.Before(s.Begins):
		return wait(Spread, s.Begins, "it is this box's turn at %s", p.local(s.Begins))
	}
	open, until, next := At(p.Windows, s.Now, p.Zone)
	switch {
	case open && (until.IsZero() || until.Sub(s.Now) >= p.Need):
		return Decision{Go: true}
	case next.IsZero():
		return wait(Outside, until, "too little is left of the maintenance window, and no other follows within a week")
	case open:
		return wait(Outside, next, "too little is left of the maintenance window; the next begins at %s", p.local(next))
	}
	return wait(Outside, next, "the maintenance window begins at %s", p.local(next))
}

// local is an instant on the windows' clock.
func (p Policy) local(t time.Time) string { return t.In(p.Zone).Format("Mon 2006-01-02 15:04 MST") }
