package updater

import (
	"fmt"
	"strings"
)

// Outcome is how a trial ends.
type Outcome string

const (
	Undecided    Outcome = ""             // it goes on
	Confirmed    Outcome = "confirmed"    // what worked before works again
	Broken       Outcome = "failed"       // something does not that did before
	Inconclusive Outcome = "inconclusive" // nobody can tell: no destination, or no input, is there
	FellBack     Outcome = "fell-back"    // the boot loader gave it up before it could be judged
)

// Verdict is an outcome with its reason.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	Text    string  `json:"text"`
	// Doubt: of a broken one, that what is wrong may have changed with any version:
	// a passphrase at the far end, a path that somebody has removed. The old version
	// shows it (Aftermath).
	Doubt bool `json:"doubt,omitempty"`
}

// well tells whether a look at the media shows all that worked before the
// restart.
func well(before, now Media) bool {
	if before.Answers && !now.Answers || !now.Management {
		return false
	}
	if before.Input && !now.Input || before.Expected && !now.Expected {
		return false
	}
	for _, b := range before.Paths {
		if p, ok := find(now.Paths, b.Name); b.Up && (!ok || !p.Up) {
			return false
		}
	}
	return true
}

func find(paths []Path, name string) (Path, bool) {
	for _, p := range paths {
		if p.Name == name {
			return p, true
		}
	}
	return Path{}, false
}

// conclude judges a trial whose time is up and which is not well.
//
// It is broken when something is wrong that only the box can be blamed for:
// media plane or management do not answer, the configuration is gone, a path
// does not come up though its far end answers. It is inconclusive when what is
// missing is out of the box's hands as far as it can see: no destination is
// reachable at all, those that do not come up are the unreachable ones, or the
// input has no signal. Both go back to the old version; what does not answer at all
// is held against the new one at once, all else if the old version then does what
// the new one could not (boot.go).
func conclude(before, now Media) Verdict {
	broken := func(format string, args ...any) Verdict {
		return Verdict{Outcome: Broken, Text: fmt.Sprintf(format, args...), Doubt: before.Answers && now.Answers && now.Management}
	}
	switch {
	case before.Answers && !now.Answers:
		return broken("the media plane does not answer")
	case !now.Management:
		return broken("page and API do not answer")
	case before.Expected && !now.Expected:
		return broken("the box was configured before and is not any more")
	}
	var down, dark []string
	reachable := false
	for _, p := range now.Paths {
		reachable = reachable || p.Reachable || p.Up
	}
	for _, b := range before.Paths {
		if !b.Up {
			continue
		}
		p, ok := find(now.Paths, b.Name)
		switch {
		case !ok:
			return broken("path %s was up before and is not there any more", b.Name)
		case p.Up:
		case p.Reachable:
			down = append(down, b.Name)
		default:
			dark = append(dark, b.Name)
		}
	}
	switch {
	case len(down) > 0 && (now.Input || !before.Input):
		return broken("%s was up before, and does not come up though the far end answers", strings.Join(down, ", "))
	case len(dark) > 0 && !reachable:
		return Verdict{Outcome: Inconclusive, Text: "no destination is reachable"}
	case len(dark) > 0:
		return Verdict{Outcome: Inconclusive, Text: fmt.Sprintf("%s was up before, and its far end is not reachable now", strings.Join(dark, ", "))}
	case before.Input && !now.Input:
		return Verdict{Outcome: Inconclusive, Text: "the input has no signal now, and had one before"}
	}
	return broken("it was not well for long enough")
}
