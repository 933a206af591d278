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
