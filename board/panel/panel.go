// Package panel decides what the front of a box shows and what its buttons mean.
package panel

import (
	"time"

	"quartet/board"
)

// State is what the status light is made of.
type State struct {
	Worst    string // severity of the worst active condition: critical, major, minor, warning or info
	Claimed  bool
	Updating bool
	Known    bool // the media plane answers; false: nothing is known of it
	SetUp    bool // there is a document; without one there is no media plane to answer
}

// Status is the light for a state: green is said only of what is known to be
// well.
func Status(s State) board.Light {
	switch {
	case !s.Known && !s.SetUp:
		// A new box, and one that was reset: somebody has to claim it and set it up.
		// What is missing then (a critical condition) is missing by design.
		return board.Light{Colour: board.Blue, Rhythm: board.Slow}
	case !s.Known:
		return board.Light{Colour: board.Yellow, Rhythm: board.Fast}
	case s.Worst == "critical":
		return board.Light{Colour: board.Red, Rhythm: board.Fast}
	case !s.Claimed:
		return board.Light{Colour: board.Blue, Rhythm: board.Slow}
	case s.Worst == "major":
		return board.Light{Colour: board.Yellow, Rhythm: board.Steady}
	case s.Worst == "minor", s.Worst == "warning":
		return board.Light{Colour: board.Yellow, Rhythm: board.Slow}
	case s.Updating:
		return board.Light{Colour: board.Green, Rhythm: board.Slow}
	}
	return board.Light{Colour: board.Green, Rhythm: board.Steady}
}

// Identifying is the light while somebody looks for the box.
func Identifying() board.Light { return board.Light{Colour: board.White, Rhythm: board.Fast} }

// Healthy tells whether the relay is energised: while no viewer sees anything
// wrong, and that is known.
func Healthy(s State) bool { return s.Known && s.Worst != "critical" }

// Times of the factory-reset button and of the claim button.
const (
	ArmAfter   = 3 * time.Second  // held for so long: the light warns
	ResetAfter = 10 * time.Second // and for so long: at its release the box is reset
	// StuckAfter is when a button counts as stuck, and does nothing at its
	// release.
	StuckAfter = 30 * time.Second
)

// Hold follows one button. The zero value is a button that is not pressed.
type Hold struct {
	pressed bool
	at      time.Duration
}

// Event is what a button's hold has come to.
type Event uint8

// Events of a button.
const (
	Nothing Event = iota
	Tap           // pressed and released within ArmAfter
	Armed         // held: what follows is a reset
	Ready         // held for long enough
	Reset         // released then: what the button is for
	Abandon       // released before
	Stuck
)

// Change takes a press or a release.
func (h *Hold) Change(pressed bool, now time.Duration) Event {
	held := now - h.at
	was := h.pressed
	h.pressed = pressed
	if pressed {
		if !was {
			h.at = now
		}
		return Nothing
	}
	switch {
	case !was, held >= StuckAfter:
		return Nothing
	case held >= ResetAfter:
		return Reset
	case held >= ArmAfter:
		return Abandon
	}
	return Tap
}

// State is what the present hold amounts to, for the light.
func (h *Hold) State(now time.Duration) Event {
	switch held := now - h.at; {
	case !h.pressed || held < ArmAfter:
		return Nothing
	case held >= StuckAfter:
		return Stuck
	case held >= ResetAfter:
		return Ready
	}
	return Armed
}

// Colours of the light while a button is held: red destroys, blue asks somebody to
// claim the box.
const (
	ResetColour = board.Red
	ClaimColour = board.Blue
)

// Holding is the light while a button is held, and whether it has one.
func Holding(e Event, c board.Colour) (board.Light, bool) {
	switch e {
	case Armed:
		return board.Light{Colour: c, Rhythm: board.Slow}, true
	case Ready:
		return board.Light{Colour: c, Rhythm: board.Steady}, true
	}
	return board.Light{}, false
}
