package updater

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Window is a maintenance window: on some days of the week, from a time of the
// local clock, for a length of real time.
//
// It begins at the first instant of its day at which the clock shows its
// start. Where the clock skips that (summer time begins), it begins with the
// first instant after the gap; where the clock shows it twice (summer time
// ends), at the first time. Its length is real time, so it is never shorter or
// longer than it says, whatever the clock does meanwhile.
type Window struct {
	Days   [7]bool // by time.Weekday
	Start  int     // minutes after midnight, 0…1439
	Length time.Duration
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseWindow reads "sun,mon 02:00-05:00", "mon-fri 23:30-01:00" (until the
// next day) or "02:00-05:00" (every day).
func ParseWindow(s string) (Window, error) {
	bad := func(problem string) (Window, error) {
		if len(s) > 80 {
			s = s[:80] + "…"
		}
		return Window{}, fmt.Errorf(`window: %q: %s; write "sun 02:00-05:00", "mon-fri 23:30-01:00" or "02:00-05:00"`, s, problem)
	}
	var w Window
	if len(s) > 200 {
		return bad("it is too long")
	}
	fields := strings.Fields(strings.ToLower(s))
	switch len(fields) {
	case 1:
		w.Days = [7]bool{true, true, true, true, true, true, true}
	case 2:
		for part := range strings.SplitSeq(fields[0], ",") {
			from, to, isRange := strings.Cut(part, "-")
			a, b := day(from), day(to)
			if !isRange {
				b = a
			}
			if a < 0 || b < 0 {
				return bad(fmt.Sprintf("%q is no day", part))
			}
			for i := a; ; i = (i + 1) % 7 {
				w.Days[i] = true
				if i == b {
					break
				}
			}
		}
	default:
		return bad("days and times are missing, or there is more")
	}
	from, to, ok := strings.Cut(fields[len(fields)-1], "-")
	start, err1 := clockTime(from)
	end, err2 := clockTime(to)
	if !ok || err1 != nil || err2 != nil {
		return bad("its times are not HH:MM-HH:MM")
	}
	if start == 24*60 {
		return bad("it begins at 24:00: write 00:00, and the day after")
	}
	minutes := (end - start + 24*60) % (24 * 60)
	if minutes == 0 {
		minutes = 24 * 60
	}
	w.Start, w.Length = start, time.Duration(minutes)*time.Minute
	return w, nil
}

func day(s string) int {
	for i, n := range dayNames {
		if s == n {
			return i
		}
	}
	return -1
}

// clockTime reads HH:MM; 24:00 is the end of a day.
func clockTime(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	hours, err1 := strconv.ParseUint(h, 10, 8)
	minutes, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || len(h) != 2 || len(m) != 2 || err1 != nil || err2 != nil || minutes > 59 || hours > 24 || hours == 24 && minutes > 0 {
		return 0, fmt.Errorf("%q is no time of day", s)
	}
	return int(hours*60 + minutes), nil
}

// String is what ParseWindow reads.
func (w Window) String() string {
	var days []string
	for i, on := range w.Days {
		if on {
			days = append(days, dayNames[i])
		}
	}
	end := (w.Start + int(w.Length/time.Minute)) % (24 * 60)
	times := fmt.Sprintf("%02d:%02d-%02d:%02d", w.Start/60, w.Start%60, end/60, end%60)
	if len(days) == 7 {
		return times
	}
	return strings.Join(days, ",") + " " + times
}

// MarshalText implements encoding.TextMarshaler.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Window) UnmarshalText(b []byte) error {
	v, err := ParseWindow(string(b))
	if err == nil {
		*w = v
	}
	return err
}

// begin is the instant at which a window that starts so many minutes after
// midnight begins on a day.
func begin(year int, month time.Month, d, minutes int, loc *time.Location) time.Time {
	// The wall clock as if it were UTC's, and then by each of the offsets that
	// hold around it: an instant whose clock shows what was asked for is it.
	wall := time.Date(year, month, d, 0, minutes, 0, 0, time.UTC)
	var first time.Time
	var before int // offset that holds a day earlier
	for i, around := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(around).In(loc).Zone()
		if i == 0 {
			before = offset
		}
		t := wall.Add(-time.Duration(offset) * time.Second).In(loc)
		if t.Day() == wall.Day() && t.Hour() == wall.Hour() && t.Minute() == wall.Minute() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	if !first.IsZero() {
		return first
	}
	// Skipped. By the old offset it lies behind the change, which is where the
	// zone that holds there begins.
	t := wall.Add(-time.Duration(before) * time.Second).In(loc)
	if start, _ := t.ZoneBounds(); !start.IsZero() {
		return start
	}
	return t
}

// At tells whether a window is open at an instant, and until when; if none is,
// when the next one begins. No windows at all: always open, without an end.
func At(windows []Window, t time.Time, loc *time.Location) (open bool, until, next time.Time) {
	if len(windows) == 0 {
		return true, time.Time{}, time.Time{}
	}
	local := t.In(loc)
	for _, w := range windows {
		// One of the day before may last until now; days whose midnight is
		// skipped are why a window is looked for by date and not by adding.
		for d := -2; d <= 8; d++ {
			day := time.Date(local.Year(), local.Month(), local.Day()+d, 12, 0, 0, 0, time.UTC)
			if !w.Days[day.Weekday()] {
				continue
			}
			from := begin(day.Year(), day.Month(), day.Day(), w.Start, loc)
			end := from.Add(w.Length)
			switch {
			case !t.Before(from) && t.Before(end):
				open = true
				if end.After(until) {
					until = end
				}
			case from.After(t) && (next.IsZero() || from.Before(next)):
				next = from
			}
		}
	}
	return open, until, next
}
