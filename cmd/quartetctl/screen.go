package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"quartet/device/health"
)

// screen is what the output is shown on.
type screen struct {
	tty     bool // a terminal: --watch repaints it
	color   bool
	width   int // columns to write for; 80 where it is not known, or too few
	columns int // as the terminal is; 0 where it is not known
	rows    int // 0 where it is not known

	size func() (columns, rows int, err error) // of the terminal; nil: it does not change
}

// newScreen looks at a file. NO_COLOR and TERM=dumb turn colour off, COLUMNS
// says the width where there is no terminal.
func newScreen(f *os.File, getenv func(string) string) screen {
	s := screen{width: 80}
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n >= 40 {
		s.width = n
	}
	measure := func() (columns, rows int, err error) {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0, 0, err
		}
		return int(size.Col), int(size.Row), nil
	}
	if _, _, err := measure(); err != nil {
		return s
	}
	s.size = measure
	s.tty = true
	s.color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	s.measure()
	return s
}

// measure looks at the terminal's size, which changes while it is used.
func (s *screen) measure() {
	if s.size == nil {
		return
	}
	columns, rows, err := s.size()
	if err != nil {
		return // what was known is still the best guess
	}
	s.columns, s.rows = columns, rows
	if columns >= 40 {
		s.width = columns
	}
}

// The few colours, as ANSI parameters.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint gives a text a colour, if there are any.
func (s screen) paint(color, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// severity is the colour of a severity.
func (s screen) severity(v health.Severity, text string) string {
	switch {
	case v >= health.Major:
		return s.paint(red, text)
	case v >= health.Warning:
		return s.paint(yellow, text)
	}
	return text
}

// clean makes a text from elsewhere fit for a terminal: no control characters,
// no line breaks.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// fit shortens a text to a number of columns.
func fit(text string, columns int) string {
	r := []rune(text)
	if len(r) <= columns {
		return text
	}
	return string(r[:max(columns-1, 0)]) + "…"
}

// clip shortens a text of several lines to the screen's height, as it is now,
// and says what is left out: more than that would scroll the first lines away.
// A line that is wider than the terminal takes several rows of it.
func (s *screen) clip(text string) string {
	s.measure()
	lines := strings.SplitAfter(text, "\n")
	lines = lines[:len(lines)-1] // behind the last line break is nothing
	taken, keep := 0, 0          // rows, and the lines that leave one for the note and one for the cursor
	for i, l := range lines {
		taken += s.rowsOf(l[:len(l)-1])
		if taken <= s.rows-2 {
			keep = i + 1
		}
	}
	if s.rows < 2 || taken < s.rows {
		return text
	}
	note := fmt.Sprintf("… %d more lines; quartetctl status shows all", len(lines)-keep)
	if s.columns > 0 {
		note = fit(note, s.columns)
	}
	return strings.Join(lines[:keep], "") + s.paint(dim, note) + "\n"
}

// rowsOf is the number of the terminal's rows that a line takes.
func (s *screen) rowsOf(line string) int {
	if s.columns == 0 {
		return 1
	}
	return max(1, (width(line)+s.columns-1)/s.columns)
}

// wrap breaks a text into lines of at most columns, the second and later ones
// after an indent that is not counted.
func wrap(text, indent string, columns int) string {
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(text) {
		n := width(word)
		switch {
		case at == 0:
		case at+1+n > columns:
			b.WriteString("\n" + indent)
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// width is the number of columns of a text; colours take none.
func width(text string) int {
	n := 0
	escape := false
	for _, r := range text {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}

// short writes a count in at most six columns: 123456, 1.235M, 12.35G.
func short(n uint64) string {
	switch {
	case n < 1e6:
		return strconv.FormatUint(n, 10)
	case n < 1e9:
		return four(float64(n)/1e6) + "M"
	case n < 1e12:
		return four(float64(n)/1e9) + "G"
	}
	return four(float64(n)/1e12) + "T"
}

// four writes a number below 1000 with four digits.
func four(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.3f", x)
	case x < 100:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.1f", x)
}

// bitrate writes a rate in at most six columns: 950k, 10.0M.
func bitrate(bps int64) string {
	switch {
	case bps <= 0:
		return "0"
	case bps < 1e6:
		return fmt.Sprintf("%dk", bps/1000)
	}
	return fmt.Sprintf("%.1fM", float64(bps)/1e6)
}

// bitrateWords writes a rate for a sentence: 10.0 Mbit/s.
func bitrateWords(bps int64) string {
	s := bitrate(bps)
	if n := len(s) - 1; s[n] == 'k' || s[n] == 'M' {
		return s[:n] + " " + s[n:] + "bit/s"
	}
	return s + " bit/s"
}

// percent writes a share in at most five columns.
func percent(p float64) string {
	switch {
	case p <= 0:
		return "0%"
	case p < 0.01:
		return "<.01%"
	case p < 10:
		return fmt.Sprintf("%.2f%%", p)
	case p < 99.95:
		return fmt.Sprintf("%.1f%%", p)
	}
	return "100%"
}

// ms writes milliseconds: 0.4 ms, 23 ms.
func ms(v float64) string {
	if v < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64) + " ms"
	}
	return fmt.Sprintf("%.0f ms", v)
}

// span writes a duration as people say it: 45 s, 12 min, 3 h 12 min, 5 d 3 h.
func span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}
