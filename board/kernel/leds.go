package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"quartet/board"
)

// led shows its colours with one device of the LED class each.
type led struct {
	root Root
	dirs map[board.Colour]string
}

// LED is a light made of devices of the LED class, by colour, such as
// {board.Red: "red:status"} (Documentation/leds/leds-class). Those that are not
// there are left out; without any, it is nil.
func (r Root) LED(devices map[board.Colour]string) board.LED {
	l := &led{root: r, dirs: map[board.Colour]string{}}
	for c, name := range devices {
		if dir := r.Path("sys/class/leds", name); exists(filepath.Join(dir, "brightness")) {
			l.dirs[c] = dir
		}
	}
	if len(l.dirs) == 0 {
		return nil
	}
	return l
}

// nearest says which of the colours that are there show a colour: a mixture of
// others where that makes it, else one that means at least as much trouble, for
// a light must not say "normal" when it is not.
var nearest = map[board.Colour][][]board.Colour{
	board.Red:    {{board.Red}, {board.Yellow}, {board.White}, {board.Blue}, {board.Green}},
	board.Yellow: {{board.Yellow}, {board.Red, board.Green}, {board.Red}, {board.White}, {board.Blue}, {board.Green}},
	board.Green:  {{board.Green}, {board.White}, {board.Blue}, {board.Yellow}, {board.Red}},
	board.Blue:   {{board.Blue}, {board.White}, {board.Yellow}, {board.Red}, {board.Green}},
	board.White:  {{board.White}, {board.Red, board.Green, board.Blue}, {board.Blue}, {board.Yellow}, {board.Green}, {board.Red}},
}

func (l *led) choose(c board.Colour) map[board.Colour]bool {
	for _, mix := range nearest[c] {
		use := map[board.Colour]bool{}
		for _, part := range mix {
			if l.dirs[part] != "" {
				use[part] = true
			}
		}
		if len(use) == len(mix) {
			return use
		}
	}
	return nil
}

func (l *led) Show(light board.Light) error {
	use := l.choose(light.Colour)
	var errs []error
	for c, dir := range l.dirs {
		if err := l.set(dir, use[c], light.Rhythm); err != nil {
			errs = append(errs, fmt.Errorf("LED %s: %w", filepath.Base(dir), err))
		}
	}
	return errors.Join(errs...)
}

// set changes one device. The timer trigger keeps the rhythm in the kernel; to
// switch a trigger off puts the light out, so its brightness comes last.
func (l *led) set(dir string, on bool, rhythm board.Rhythm) error {
	file := func(name string) string { return filepath.Join(dir, name) }
	lit, dark := rhythm.Period()
	if on && lit > 0 {
		// Once more would put the light out and make the two files anew.
		if now, err := l.root.text(file("trigger")); err != nil || !strings.Contains(now, "[timer]") {
			if err := l.root.write(file("trigger"), "timer"); err != nil {
				return err
			}
		}
		if err := l.root.writeSoon(file("delay_on"), decimal(int(lit.Milliseconds()))); err != nil {
			return err
		}
		return l.root.writeSoon(file("delay_off"), decimal(int(dark.Milliseconds())))
	}
	if err := l.root.write(file("trigger"), "none"); err != nil {
		return err
	}
	if !on {
		return l.root.write(file("brightness"), "0")
	}
	most, err := l.root.number(file("max_brightness"))
	if err != nil {
		most = 255
	}
	return l.root.write(file("brightness"), strconv.FormatInt(most, 10))
}

// The files of a trigger are root's when the kernel makes them; udev gives them to
// the program's group a moment later, on a busy emulated processor after a second.
// Who may not use the light at all has failed before, at the trigger itself.
const (
	givenTries = 120
	givenWait  = 25 * time.Millisecond
)

func (r Root) writeSoon(path, text string) (err error) {
	for range givenTries {
		if err = r.write(path, text); !errors.Is(err, fs.ErrPermission) {
			return err
		}
		time.Sleep(givenWait)
	}
	return err
}

func decimal(n int) string { return strconv.Itoa(n) }
