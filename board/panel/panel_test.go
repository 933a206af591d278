package panel

import (
	"testing"
	"time"

	"quartet/board"
)

// No state that is not known to be well is green.
func TestStatusIsGreenOnlyWhenAllIsWell(t *testing.T) {
	for _, worst := range []string{"", "info", "warning", "minor", "major", "critical"} {
		for _, claimed := range []bool{false, true} {
			for _, known := range []bool{false, true} {
				for _, updating := range []bool{false, true} {
					s := State{Worst: worst, Claimed: claimed, Known: known, Updating: updating}
					well := known && claimed && (worst == "" || worst == "info")
					if got := Status(s); (got.Colour == board.Green) != well {
						t.Errorf("%+v shows %v", s, got.Colour)
					}
					if Healthy(s) != (known && worst != "critical") {
						t.Errorf("%+v: healthy %v", s, Healthy(s))
					}
				}
			}
		}
	}
	blue, yellow := board.Light{Colour: board.Blue, Rhythm: board.Slow}, board.Light{Colour: board.Yellow, Rhythm: board.Fast}
	for _, c := range []struct {
		what string
		s    State
		want board.Light
	}{
		// Without a document quartetd does not run, which is a critical condition.
		{"a new box", State{Worst: "critical"}, blue},
		{"claimed, not set up", State{Worst: "critical", Claimed: true}, blue},
		{"set up, not claimed (it was released)", State{Worst: "warning", Known: true, SetUp: true}, blue},
		{"its media plane is dead", State{Worst: "critical", Claimed: true, SetUp: true}, yellow},
		{"the same, and the claim was released", State{Worst: "critical", SetUp: true}, yellow},
	} {
		if got := Status(c.s); got != c.want {
			t.Errorf("%s shows %v %v, want %v %v", c.what, got.Colour, got.Rhythm, c.want.Colour, c.want.Rhythm)
		}
	}
	if got := Status(State{Known: true, Worst: "critical"}); got.Colour != board.Red {
		t.Errorf("critical and unclaimed shows %v: what viewers see comes first", got.Colour)
	}
}

func TestHold(t *testing.T) {
	for _, tc := range []struct {
		held        time.Duration
		while, then Event
	}{
		{time.Second, Nothing, Tap},
		{4 * time.Second, Armed, Abandon},
		{11 * time.Second, Ready, Reset},
		{31 * time.Second, Stuck, Nothing},
	} {
		var h Hold
		h.Change(true, time.Minute)
		h.Change(true, time.Minute+tc.held/2) // a bounce
		if got := h.State(time.Minute + tc.held); got != tc.while {
			t.Errorf("held for %v: %v, want %v", tc.held, got, tc.while)
		}
		if _, lit := Holding(h.State(time.Minute+tc.held), ResetColour); lit != (tc.while == Armed || tc.while == Ready) {
			t.Errorf("held for %v: light %v", tc.held, lit)
		}
		if got := h.Change(false, time.Minute+tc.held); got != tc.then {
			t.Errorf("released after %v: %v, want %v", tc.held, got, tc.then)
		}
		if got := h.Change(false, time.Minute+tc.held); got != Nothing {
			t.Errorf("released twice: %v", got)
		}
	}
}
