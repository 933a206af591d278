package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tr101290"
	"quartet/device/control"
)

var probeCommand = command{
	name:  "probe",
	args:  "[input|output|URL]",
	short: "show what the stream is and what is wrong with it",
	long: `
Shows what the running box knows of its transport stream: the checks of ETSI
TR 101 290, services, PIDs, clocks and cues, as the stream comes in (input, also
without a word) or as it is sent (output). An error at both ends is the feed's,
one at the output alone is the box's. docs/monitoring.md says what each check
means and what to do.

With a URL it needs no box: it takes the feed at udp://, rtp://, srt:// or
file:///path itself, written as input.url is, watches it for the time of --for,
and shows the same. A file is played at its own rate.

  STATE     ERROR: it is so, or was within the last seconds; ok: it is not; -:
            the stream has nothing that the check applies to
  PID       of the last error
  JITTER    arrival against PCR, peak to peak, network and pacing included
  ACCURACY  worst PCR of the last seconds, by its place in the stream; -: the
            stream's rate is not constant`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		client := socketFlag(f)
		asJSON := f.Bool("json", false, "print JSON, as GET /v1/probe answers")
		check := f.Bool("check", false, "exit with 1 if a check of first or second priority is active")
		length := f.Duration("for", 5*time.Second, "with a URL: how long to watch")
		return func(e *env, args []string) error {
			where, url := control.AtInput, ""
			switch {
			case len(args) > 1:
				return usagef("probe takes input, output or a URL, and there are %d arguments", len(args))
			case len(args) == 1 && strings.Contains(args[0], "://"):
				url = args[0]
			case len(args) == 1 && args[0] != control.AtInput && args[0] != control.AtOutput:
				return usagef("probe takes input, output or a URL, and there is %q", args[0])
			case len(args) == 1:
				where = args[0]
			}
			if *length < 100*time.Millisecond || *length > time.Hour {
				return usagef("--for takes 100ms to 1h, and there is %v", *length)
			}
			p, err := askProbe(e, client, where, url, *length)
			if err != nil {
				return err
			}
			var s tr101290.Stats
			if err := json.Unmarshal(p.Stream, &s); err != nil {
				return fmt.Errorf("the answer of quartetd cannot be read (is it of this version?): %w", err)
			}
			if *asJSON {
				err = printJSON(e, p, true)
			} else {
				_, err = io.WriteString(e.out, probeTable(p, &s, e.screen))
			}
			if err == nil && *check && slices.ContainsFunc(s.Checks, func(c tr101290.CheckStats) bool { return c.Active && c.Priority < 3 }) {
				err = errNotGood
			}
			return err
		}
	},
}

// askProbe asks the box, or looks itself.
func askProbe(e *env, client func(*env) *control.Client, where, url string, length time.Duration) (control.Probe, error) {
	if url != "" {
		return probeURL(e, url, length)
	}
	c := client(e)
	defer c.Close()
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	return c.Probe(ctx, where)
}

// prober writes what a monitor knows for people.
type prober struct {
	strings.Builder
	sc screen
	s  *tr101290.Stats
}

func probeTable(p control.Probe, s *tr101290.Stats, sc screen) string {
	w := prober{sc: sc, s: s}
	w.head(p)
	if s.Started {
		w.checks()
		w.services()
		w.pids()
		w.clocks()
		w.cues()
	}
	return w.String()
}

func (w *prober) line(format string, a ...any) { fmt.Fprintf(w, format+"\n", a...) }

func (w *prober) title(format string, a ...any) {
	w.line("\n%s", w.sc.paint(bold, strings.TrimRight(fmt.Sprintf(format, a...), " ")))
}

// row writes a line of a table without blanks at its end.
func (w *prober) row(color, format string, a ...any) {
	w.line("%s", w.sc.paint(color, strings.TrimRight(fmt.Sprintf(format, a...), " ")))
}

// ago is how long before the end of what is known an instant was.
func (w *prober) ago(at time.Duration) string { return span(w.s.At-at) + " ago" }

func (w *prober) head(p control.Probe) {
	s := w.s
	text := "nothing has come yet"
	switch {
	case s.Started && s.Synced:
		text = fmt.Sprintf("%s for %s, %s, null packets %s, ", w.sc.paint(green, "in sync"), span(s.At-s.Since), bitrateWords(s.RateBPS), percent(100*s.NullShare))
		if s.TSID >= 0 {
			text += fmt.Sprintf("transport stream %d, ", s.TSID)
		}
		text += short(s.Packets) + " packets so far"
	case s.Started:
		text = fmt.Sprintf("%s, %s packets so far", w.sc.paint(red, "lost"), short(s.Packets))
	}
	w.line("%s%s", w.sc.paint(bold, fmt.Sprintf("%-7s", clean(p.Where))), wrap(p.Time.Local().Format(time.DateTime)+": "+text, "       ", w.sc.width-7))
}

func (w *prober) checks() {
	w.title("%-6s%-36s%-6s%8s %6s  %s", "CHECK", "", "STATE", "ERRORS", "PID", "LAST")
	for _, c := range w.s.Checks {
		if c.Priority == 3 && !c.Measured {
			continue // switched off
		}
		state, color, pid, last := "-", "", "", ""
		switch {
		case c.Active:
			state, color = "ERROR", red
			if c.Priority > 1 {
				color = yellow
			}
		case c.Measured:
			state = "ok"
		}
		if c.Count > 0 {
			last = w.ago(c.Last)
			if c.PID != mpegts.NullPID {
				pid = fmt.Sprint(c.PID)
			}
		}
		w.row(color, "%-6s%-36s%-6s%8s %6s  %s", clean(c.Clause), c.Check, state, short(c.Count), pid, last)
	}
	if w.s.Refused > 0 {
		w.line("tables with a sound CRC that make no sense, left out: %s", short(w.s.Refused))
	}
}

func (w *prober) services() {
	if len(w.s.Services) == 0 {
		w.title("SERVICES: none known yet")
		return
	}
	w.title("SERVICES")
	for i := range w.s.Services {
		p := &w.s.Services[i]
		text := fmt.Sprintf("%d", p.Number)
		if p.Name != "" {
			text += " " + clean(p.Name)
		}
		if p.Provider != "" {
			text += " (" + clean(p.Provider) + ")"
		}
		text += fmt.Sprintf(": PMT on PID %d", p.PMTPID)
		switch {
		case !p.HasPMT:
			text += ", which has not come"
		case p.PCRPID == mpegts.NullPID:
			text += ", no clock"
		default:
			text += fmt.Sprintf(", clock on PID %d", p.PCRPID)
		}
		for _, c := range p.Components {
			codec := clean(c.Codec)
			if codec == "" {
				codec = fmt.Sprintf("stream type %#02x", c.StreamType)
			}
			text += fmt.Sprintf("; %d %s %s", c.PID, clean(string(c.Kind)), codec)
			if c.Language != "" {
				text += " " + clean(c.Language)
			}
			if len(c.CAPIDs) > 0 {
				text += " scrambled"
			}
		}
		w.line("%s", wrap(text, "  ", w.sc.width-2))
	}
}

func (w *prober) pids() {
	w.title("%6s  %-14s%8s %7s %8s %11s %9s %9s", "PID", "USE", "PROGRAM", "RATE", "PACKETS", "CONTINUITY", "SCRAMBLED", "PTS")
	for _, p := range w.s.PIDs {
		use, color := clean(p.Use), ""
		if use == "" {
			use = "?"
			if !p.Referenced {
				use = "? unreferenced"
			}
		}
		if p.ContinuityErrors > 0 {
			color = yellow
		}
		program, scrambled, pts := "", "", ""
		if p.Program > 0 {
			program = fmt.Sprint(p.Program)
		}
		if p.Scrambled > 0 {
			scrambled = short(p.Scrambled)
		}
		if p.PTSInterval.Count > 0 {
			pts = ms(p.PTSInterval.Mean)
		}
		w.row(color, "%6d  %-14s%8s %7s %8s %11s %9s %9s", p.PID, fit(use, 14), program, bitrate(p.RateBPS), short(p.Packets), short(p.ContinuityErrors), scrambled, pts)
	}
	if w.s.OtherPIDs > 0 {
		w.line("and %d more PIDs", w.s.OtherPIDs)
	}
}

func (w *prober) clocks() {
	if len(w.s.Clocks) == 0 {
		return
	}
	w.title("%6s  %-12s%7s %28s %9s %10s", "CLOCK", "PROGRAM", "PCRS", "INTERVAL least mean longest", "JITTER", "ACCURACY")
	for _, c := range w.s.Clocks {
		programs := "none"
		if len(c.Programs) > 0 {
			programs = strings.Trim(fmt.Sprint(c.Programs), "[]")
		}
		interval, accuracy := "-", "-"
		if c.Interval.Count > 0 {
			interval = fmt.Sprintf("%.1f %.1f %.1f ms", c.Interval.Min, c.Interval.Mean, c.Interval.Max)
		}
		if c.Constant {
			accuracy = fmt.Sprintf("%.0f ns", max(-c.AccuracyMinNS, c.AccuracyMaxNS))
		}
		w.row("", "%6d  %-12s%7s %28s %9s %10s", c.PID, fit(programs, 12), short(c.Count), interval, ms(c.JitterMS), accuracy)
	}
}

func (w *prober) cues() {
	if c := w.s.CueStats; len(w.s.Cues) == 0 && c == (tr101290.CueStats{}) {
		return
	}
	w.title("CUES (SCTE 35)")
	for i := range w.s.Cues {
		w.line("%s", wrap(w.ago(w.s.Cues[i].At)+": "+cueWords(&w.s.Cues[i]), "  ", w.sc.width-2))
	}
	if c := w.s.CueStats; c != (tr101290.CueStats{}) {
		w.line("%s heartbeats (splice_null), %s damaged, %s malformed", short(c.Heartbeats), short(c.CRCErrors), short(c.Malformed))
	}
}

// cueWords says what a cue is: "splice_insert, event 7, out, at PTS 12345, 30.0 s".
func cueWords(c *tr101290.Cue) string {
	if c.Encrypted {
		return fmt.Sprintf("PID %d, encrypted", c.PID)
	}
	words := []string{fmt.Sprintf("PID %d", c.PID), clean(c.Command)}
	if c.EventID != nil {
		words = append(words, fmt.Sprintf("event %d", *c.EventID))
		switch {
		case c.Cancel:
			words = append(words, "cancelled")
		case c.OutOfNetwork:
			words = append(words, "out")
		default:
			words = append(words, "in")
		}
	}
	if c.Immediate {
		words = append(words, "at once")
	}
	if c.PTS != nil {
		words = append(words, fmt.Sprintf("at PTS %d", *c.PTS))
	}
	if c.DurationMS != nil {
		words = append(words, fmt.Sprintf("%.1f s", *c.DurationMS/1000))
	}
	for _, s := range c.Segments {
		name := clean(s.Type)
		if name == "" {
			name = fmt.Sprintf("segmentation type %#02x", s.TypeID)
		}
		words = append(words, name)
	}
	if c.Repeats > 0 {
		words = append(words, fmt.Sprintf("repeated %d times", c.Repeats))
	}
	return strings.Join(words, ", ")
}

// streamLine is what the status says of the stream: what it is, and errors at
// both ends.
func streamLine(in, out *control.Monitor, sc screen) string {
	what := "nothing known yet"
	if n := len(in.Services) + in.OtherServices; n > 0 {
		what = fmt.Sprintf("%d services", n)
		if n == 1 {
			what = "1 service"
		}
	}
	if in.Packets > 0 {
		what += ", null packets " + percent(100*in.NullShare)
	}
	if len(in.Clocks) > 0 {
		what += ", PCR every " + ms(in.Clocks[0].IntervalMS)
	}
	text := what + "; TR 101 290: input " + errorWords(in, sc)
	if out != nil {
		text += ", output " + errorWords(out, sc)
	}
	return text
}

// errorWords is how many errors of first and second priority there have been,
// and which check is active.
func errorWords(m *control.Monitor, sc screen) string {
	text := sc.paint(green, "no errors")
	if m.Priority1+m.Priority2 > 0 {
		text = short(m.Priority1) + " + " + short(m.Priority2) + " errors"
	}
	for _, c := range m.Checks {
		if c.Active && c.Priority < 3 {
			return text + " (now " + sc.paint(red, clean(c.Name)) + ")"
		}
	}
	return text
}
