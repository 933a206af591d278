package telemetry

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// Clock is the machine's clock; system.Clock.
type Clock interface {
	// Monotonic is the time since the boot.
	Monotonic() time.Duration
	// Wall is the time of day as far as the machine knows it.
	Wall() time.Time
	// Synchronised tells whether somebody keeps the clock.
	Synchronised() bool
}

// How a time of day was found. It goes home with each record.
const (
	ClockSynchronised = "synchronised" // by a clock that is kept, by NTP or PTP
	ClockHome         = "home"         // by home's clock, exact to a second
	ClockEstimated    = "estimated"    // not after the next boot of the machine, and near it
	ClockUnset        = "unset"        // not known yet: the record is held
)

const (
	// A clock that jumps is believed again when it has been steady for so long.
	settle = 20 * time.Second
	// step is how much a clock moves for it to be a jump.
	step = 500 * time.Millisecond
	// disagreement with home from which on home is believed: certificates vouch
	// for its clock, nothing for that of NTP.
	disagreement = 90 * time.Second
	// homeDate is older than this: it says nothing any more.
	homeDateAge = time.Hour
	maxBoots    = 32
	maxAnchors  = 16
)

// anchor ties the monotonic clock of a boot to the time of day.
type anchor struct {
	Mono   time.Duration `json:"mono"`
	Offset time.Duration `json:"offset"` // time of day as Unix time, minus Mono
	Source string        `json:"source"`
}

// boot is one run of the machine.
type boot struct {
	ID      string        `json:"id"`
	Last    time.Duration `json:"last"` // until when it is known to have run
	Anchors []anchor      `json:"anchors,omitempty"`
}

// timeline says what time of day things happened. Records bear the monotonic
// time, on which nothing can be turned; the time of day is put to them when they
// are sent, by what is known then. So it does not matter whether the clock was
// set when they were made.
type timeline struct {
	mu    sync.Mutex
	boots []boot // oldest first; the last one is this

	offset   time.Duration // of the machine's clock at the last look
	started  bool
	steadyAt time.Duration // since when it has been steady
	home     time.Duration // offset of home's clock
	homeAt   time.Duration // when that was known; 0: never
	changed  bool          // since it was saved
	kept     bool          // by somebody, and steady
	disputed bool
}

// load takes over what an earlier process knew.
func (l *timeline) load(b []byte, id string) {
	var boots []boot
	if json.Unmarshal(b, &boots) == nil {
		l.boots = boots
	}
	if n := len(l.boots); n == 0 || l.boots[n-1].ID != id {
		// A boot that is already in the list, and not at its end, cannot be.
		l.boots = slices.DeleteFunc(l.boots, func(b boot) bool { return b.ID == id })
		l.boots = append(l.boots, boot{ID: id})
		l.changed = true
	}
	if n := len(l.boots); n > maxBoots {
		l.boots = slices.Delete(l.boots, 0, n-maxBoots)
	}
}

// save returns what is to be kept, nil if nothing has changed.
func (l *timeline) save() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Until its clock is set a boot is placed by its end, so that is kept up to
	// date.
	if !l.changed && len(l.boots[len(l.boots)-1].Anchors) > 0 {
		return nil
	}
	l.changed = false
	b, err := json.Marshal(l.boots)
	if err != nil {
		return nil
	}
	return b
}

// look is called each second.
func (l *timeline) look(c Clock) {
	mono, wall, kept := c.Monotonic(), c.Wall(), c.Synchronised()
	l.mu.Lock()
	defer l.mu.Unlock()
	offset := time.Duration(wall.UnixNano()) - mono
	if !l.started {
		// Started long after the boot, it is not known to have jumped.
		l.started, l.steadyAt = true, mono-settle
	} else if d := offset - l.offset; d > step || d < -step {
		l.steadyAt = mono
	}
	l.offset = offset
	l.boots[len(l.boots)-1].Last = mono
	l.kept = kept && mono-l.steadyAt >= settle
	l.decide(mono)
}

// decide chooses between this machine's clock and home's, and notes the choice
// if it is another than before.
func (l *timeline) decide(mono time.Duration) {
	homeKnown := l.homeAt > 0 && mono-l.homeAt < homeDateAge
	l.disputed = false
	source, best := ClockSynchronised, l.offset
	if homeKnown {
		d := l.offset - l.home
		if l.disputed = l.kept && (d > disagreement || d < -disagreement); l.disputed || !l.kept {
			source, best = ClockHome, l.home
		}
	}
	if !l.kept && !homeKnown {
		return
	}
	tolerance := 200 * time.Millisecond
	if source == ClockHome {
		tolerance = 3 * time.Second // it is told to a second
	}
	this := &l.boots[len(l.boots)-1]
	if n := len(this.Anchors); n > 0 {
		a := this.Anchors[n-1]
		if d := best - a.Offset; a.Source == source && d <= tolerance && d >= -tolerance {
			return
		}
		if n == maxAnchors {
			this.Anchors = slices.Delete(this.Anchors, 1, 2)
		}
	}
	this.Anchors = append(this.Anchors, anchor{mono, best, source})
	l.changed = true
}

// saw takes home's clock from an answer.
func (l *timeline) saw(date time.Time, mono time.Duration) {
	if date.IsZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// The header is cut to the second: half of one on the mean.
	l.home, l.homeAt = time.Duration(date.UnixNano())+time.Second/2-mono, mono
	if l.started {
		l.decide(mono) // before the next record is sent
	}
}

// at says what time of day an instant of a boot was and how that is known; with
// ClockUnset it is not.
func (l *timeline) at(id string, mono time.Duration) (time.Time, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.boots, func(b boot) bool { return b.ID == id })
	if i < 0 {
		// It is older than all that are known, or its mark is lost.
		for _, b := range l.boots {
			if len(b.Anchors) > 0 {
				return unix(b.Anchors[0].Offset), ClockEstimated
			}
		}
		return time.Time{}, ClockUnset
	}
	if a := l.boots[i].Anchors; len(a) > 0 {
		// What was measured last holds, also for what was before: a clock that was
		// trusted too early is corrected. But a clock that was kept is not judged by
		// home's, which is told to a second.
		best := a[len(a)-1]
		for j := len(a) - 1; j >= 0; j-- {
			if a[j].Source == ClockSynchronised && near(a[j].Offset, best.Offset) {
				best = a[j]
				break
			}
		}
		return unix(best.Offset + mono), best.Source
	}
	for _, b := range l.boots[i+1:] {
		if len(b.Anchors) > 0 {
			// It ended before this one began.
			return unix(b.Anchors[0].Offset - max(0, l.boots[i].Last-mono)), ClockEstimated
		}
	}
	return time.Time{}, ClockUnset
}

func near(a, b time.Duration) bool { return a-b < disagreement && b-a < disagreement }

// until notes that a boot ran until an instant at least.
func (l *timeline) until(id string, mono time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.boots {
		if l.boots[i].ID == id {
			l.boots[i].Last = max(l.boots[i].Last, mono)
		}
	}
}

// state says how the time of this boot is known.
func (l *timeline) state() (source string, disputed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.boots[len(l.boots)-1].Anchors; len(a) > 0 {
		return a[len(a)-1].Source, l.disputed
	}
	return ClockUnset, false
}

func unix(d time.Duration) time.Time { return time.Unix(0, int64(d)).UTC() }
