package updater

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"quartet/device/durable"
)

const (
	guardEnds   = 3                 // of the updater's program in one boot before it has begun to judge
	guardBegun  = 200 * time.Second // after the kernel's start: it has begun by then
	guardJudged = 150 * time.Second // after it has begun: it has judged, within 100 s, a hold of 20 and slow looks
	guardLast   = 235 * time.Second // after the kernel's start, where nobody knows when it has begun
)

// Watch is what somebody who is not the updater sees of the version that runs.
type Watch struct {
	Version string        // of the image
	BootID  string        // of this boot
	Up      time.Duration // since the kernel's start
	Ends    int           // of the updater's program in this boot, against its will
	// Witness is Config.Witness where the updater's folder is not on its partition,
	// because that could not be mounted; else nil.
	Witness durable.Folder
}

// Left looks into the updater's folder whether a version on trial is left without
// a judge, and says why; "" if not. It is for a guard that restarts a box whose
// updater does not run, does not live, or cannot restart it: the boot loader then
// goes back.
func Left(f durable.Folder, w Watch) (why string, err error) {
	data, err := f.Read(TrialFile)
	if errors.Is(err, fs.ErrNotExist) && w.Witness != nil {
		on, err := w.Witness.Read(WitnessFile)
		if err == nil && strings.TrimSpace(string(on)) == w.Version {
			return "the data partition, which tells of it, cannot be mounted", nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return "", err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	t, err := ParseTrial(data)
	if err != nil {
		return "", err
	}
	if t.ToVersion.String() != w.Version || t.Stage == StageDecided && t.Verdict.Outcome == Confirmed {
		return "", nil
	}
	// From its beginning on the updater counts its ends by itself.
	begun := t.StartedIn == w.BootID && w.BootID != ""
	last := guardLast
	if begun && t.BeganS > 0 {
		// No later than the last look finds.
		last = min(time.Duration(t.BeganS*float64(time.Second)), guardBegun) + guardJudged
	}
	switch {
	case w.Up >= last:
		return fmt.Sprintf("nobody has confirmed it %.0f s after the start", w.Up.Seconds()), nil
	case t.Stage == StageDecided && w.Up >= guardBegun: // it was to go, and cannot restart the box
		return "its updater was to go back, and it is still here", nil
	case begun:
		return "", nil
	case w.Ends >= guardEnds:
		return fmt.Sprintf("its updater has ended %d times before it could begin", w.Ends), nil
	case w.Up >= guardBegun:
		return fmt.Sprintf("its updater has not begun %.0f s after the start", w.Up.Seconds()), nil
	}
	return "", nil
}
