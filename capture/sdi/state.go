package sdi

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// Signal is what there is at a device.
type Signal string

// Signals.
const (
	Unknown     Signal = "unknown"     // not looked at yet
	Missing     Signal = "missing"     // no such device, or it was unplugged
	Refused     Signal = "refused"     // the device cannot be opened, or does not capture video
	Busy        Signal = "busy"        // somebody else streams from it
	NoSignal    Signal = "no-signal"   // nothing comes in
	Unlocked    Signal = "unlocked"    // something comes in, and the card cannot lock to it
	Unsupported Signal = "unsupported" // the card locks, and cannot take the format
	Locked      Signal = "locked"      // State.Timings are those of the signal
	Present     Signal = "present"     // a device without digital timings: what frames it gives is seen when they come
)

// Good tells whether frames can be expected.
func (s Signal) Good() bool { return s == Locked || s == Present }

// State is what is known of a device.
type State struct {
	Signal  Signal
	Timings Timings       // of a Locked signal
	Detail  string        // what exactly, in words; may be empty
	Card    string        // what the device calls itself
	Input   string        // and its input
	Since   time.Duration // on the clock that was given
}

// Format says the signal's format as people do; "" where it is not known.
func (s *State) Format() string {
	if s.Signal != Locked {
		return ""
	}
	return s.Timings.String()
}

// Text says what is the matter, in a sentence.
func (s *State) Text() string {
	t := map[Signal]string{
		Unknown: "not looked at yet", Missing: "there is no such device", Refused: "the device cannot be used", Busy: "another program uses the device",
		NoSignal: "no signal", Unlocked: "the card does not lock to the signal", Unsupported: "the card cannot take this format",
		Locked: s.Format(), Present: "a device without digital timings",
	}[s.Signal]
	if s.Detail != "" && !s.Signal.Good() {
		t += ": " + s.Detail
	}
	return t
}

// Remedy says what to do about it; "" where nothing is wrong.
func (s *State) Remedy() string {
	return map[Signal]string{
		Missing:     "Check that the card is plugged in and its driver loaded (v4l2-ctl --list-devices), and the number in input.url.",
		Refused:     "Give the user of quartetd access to the device (group video), and choose a node that captures video.",
		Busy:        "End the other program that streams from it (fuser -v shows which).",
		NoSignal:    "Check the source and its cable, and that the right input of the card is chosen.",
		Unlocked:    "The signal is there and is not clean: try a shorter or better cable, and the source's own output; SDI of a higher rate needs better cable.",
		Unsupported: "Set the source to a format that the card takes.",
	}[s.Signal]
}

// answer is what a device said when it was asked.
type answer struct {
	signal  Signal
	timings Timings
	detail  string
}

// ask asks a device.
func ask(d Device, limits Limits) (answer, error) {
	t, err := d.Query()
	switch {
	case err == nil:
		if why := limits.fits(t); why != "" {
			return answer{Unsupported, t, why}, nil
		}
		return answer{Locked, t, ""}, nil
	case errors.Is(err, ErrNoSignal):
		return answer{signal: NoSignal}, nil
	case errors.Is(err, ErrUnlocked):
		return answer{signal: Unlocked}, nil
	case errors.Is(err, ErrRange):
		return answer{signal: Unsupported, detail: "its timings are out of the card's range"}, nil
	case errors.Is(err, ErrBusy), errors.Is(err, unix.EBUSY):
		return answer{}, nil // some cards cannot measure while they capture: no news
	case !errors.Is(err, ErrNone):
		return answer{}, err
	}
	in, err := d.Input()
	switch {
	case errors.Is(err, ErrGone):
		return answer{}, err
	case err != nil:
		return answer{signal: Present}, nil // it has no inputs to ask about
	case in.Status&(inNoPower|inNoSignal|inNoCarrier) != 0:
		return answer{signal: NoSignal, detail: statusWords(in.Status)}, nil
	case in.Status&(inNoSync|inNoHLock|inNoVLock) != 0:
		return answer{signal: Unlocked, detail: statusWords(in.Status)}, nil
	}
	return answer{signal: Present}, nil
}

func statusWords(status uint32) string {
	s := ""
	for _, w := range []struct {
		bit  uint32
		word string
	}{{inNoPower, "no power"}, {inNoSignal, "no signal"}, {inNoCarrier, "no carrier"}, {inNoSync, "no synchronisation"}, {inNoHLock, "no horizontal lock"}, {inNoVLock, "no vertical lock"}} {
		if status&w.bit != 0 {
			if s != "" {
				s += ", "
			}
			s += w.word
		}
	}
	return s
}

// opened is what failing to open a device means.
func opened(err error) answer {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, ErrGone):
		return answer{signal: Missing}
	case errors.Is(err, unix.EBUSY):
		return answer{signal: Busy}
	}
	return answer{signal: Refused, detail: err.Error()}
}

// Tracker turns answers into a state that does not flap. Pure; not safe for
// concurrent use.
type Tracker struct {
	state State
	seen  answer // the last
	at    time.Duration
	times int
}

const (
	// steady is how long, over two answers at the least, a card must say the same
	// of a signal: while it locks it says many things.
	steady = 50 * time.Millisecond
	// ask again after so long: while the state is not steady, and while it is, for
	// cards that send no events.
	askSoon  = 25 * time.Millisecond
	askLater = 200 * time.Millisecond
	// openAgain is the wait before a device that is not there is looked for again.
	openAgain = 200 * time.Millisecond
)

// NewTracker returns a Tracker that knows nothing.
func NewTracker() *Tracker { return &Tracker{state: State{Signal: Unknown}} }

// State returns what is known.
func (t *Tracker) State() State { return t.state }

// observe takes an answer. It tells whether the state has changed, and how long
// to wait until the next question at the most.
func (t *Tracker) observe(now time.Duration, a answer) (changed bool, wait time.Duration) {
	if a.signal == "" {
		return false, askLater
	}
	if t.times > 0 && a.signal == t.seen.signal && (a.signal != Locked || a.timings.same(t.seen.timings)) {
		t.times++
	} else {
		t.seen, t.at, t.times = a, now, 1
	}
	if t.is(a) {
		t.state.Detail = a.detail
		return false, askLater
	}
	atOnce := a.signal == Missing || a.signal == Refused || a.signal == Busy || t.state.Signal == Unknown && !a.signal.Good()
	if !atOnce && (t.times < 2 || now-t.at < steady) {
		return false, askSoon
	}
	t.state.Signal, t.state.Timings, t.state.Detail, t.state.Since = a.signal, a.timings, a.detail, now
	return true, askLater
}

func (t *Tracker) is(a answer) bool {
	return t.state.Signal == a.signal && (a.signal != Locked || a.timings.same(t.state.Timings))
}

// name keeps what the device calls itself.
func (t *Tracker) name(c Capability, in Input) {
	t.state.Card, t.state.Input = c.Card, in.Name
	if c.Bus != "" {
		t.state.Card = fmt.Sprintf("%s (%s)", c.Card, c.Bus)
	}
}
