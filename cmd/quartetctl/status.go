package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
)

var defaultSocket = config.Default[config.Control]().Socket

// socketFlag defines --socket and returns the client that it names.
func socketFlag(f *flag.FlagSet) func(e *env) *control.Client {
	socket := f.String("socket", "", "`PATH` of quartetd's control socket")
	return func(e *env) *control.Client {
		for _, path := range []string{*socket, e.getenv("QUARTET_SOCKET"), defaultSocket} {
			if path != "" {
				return control.NewClient(path)
			}
		}
		return nil
	}
}

// patience is how long a client waits for an answer of the local socket.
const patience = 5 * time.Second

var statusCommand = command{
	name:  "status",
	short: "show input, plan, paths and conditions of the running box",
	long: `
Shows the running box: its input, the plan, one row for each path, and the
active conditions with what to do about them.

  RATE     bit rate sent, headers and repair packets included
  LOSS     lost on this path alone, before any repair: as the gateway reports,
           or, where none does, as SRT's retransmission requests tell
  ARRIVED  source packets that arrived over this path
  OTHER    missing here, delivered by another path
  PARITY   missing everywhere, repaired by parity
  LOST     not repaired
  SAME     whether what the gateway released equals what was sent

The line "stream" has the errors of first + second priority of ETSI TR 101 290;
quartetctl probe shows them one by one.

Profiles ts and rtp have no reports: their arrival is unknown.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		client := socketFlag(f)
		asJSON := f.Bool("json", false, "print JSON, as GET /v1/status answers; with --watch one line each time")
		watch := f.Bool("watch", false, "show it again and again, until interrupted")
		interval := f.Duration("interval", time.Second, "time between two looks, with --watch")
		return func(e *env, _ []string) error {
			if *interval < 100*time.Millisecond {
				return usagef("status: --interval %v is too short; use 100ms or more", *interval)
			}
			c := client(e)
			defer c.Close()
			if !*watch {
				s, err := look(e, c)
				if err != nil {
					return err
				}
				return show(e, e.out, s, *asJSON, false)
			}
			return watchStatus(e, c, *interval, *asJSON)
		}
	},
}

func look(e *env, c *control.Client) (control.Status, error) {
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	return c.Status(ctx)
}

func show(e *env, w io.Writer, s control.Status, asJSON, oneLine bool) error {
	if !asJSON {
		_, err := io.WriteString(w, table(s, e.screen))
		return err
	}
	j := json.NewEncoder(w)
	j.SetEscapeHTML(false)
	if !oneLine {
		j.SetIndent("", "  ")
	}
	return j.Encode(s)
}

// watchStatus shows the status until it is interrupted. A box that does not
// answer is shown as such: it may be restarting.
func watchStatus(e *env, c *control.Client, interval time.Duration, asJSON bool) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	repaint := e.screen.tty && !asJSON
	if repaint {
		fmt.Fprint(e.out, "\x1b[2J\x1b[?25l") // clear, hide the cursor
		defer fmt.Fprint(e.out, "\x1b[?25h")
	}
	for first := true; ; first = false {
		var b bytes.Buffer
		s, err := look(e, c)
		switch {
		case e.ctx.Err() != nil:
			return nil
		case err != nil && asJSON:
			fmt.Fprintln(e.err, "quartetctl:", err)
		case err != nil:
			fmt.Fprintln(&b, wrap(e.now().Format(time.TimeOnly)+"  "+err.Error(), "          ", e.screen.width))
		default:
			if err := show(e, &b, s, asJSON, true); err != nil {
				return err
			}
		}
		text := b.String()
		switch {
		case repaint: // home; clear what is left of each line, then of the screen
			text = "\x1b[H" + strings.ReplaceAll(e.screen.clip(text), "\n", "\x1b[K\n") + "\x1b[J"
		case !asJSON && !first:
			text = "\n" + text
		}
		if _, err := io.WriteString(e.out, text); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-e.ctx.Done():
			return nil
		}
	}
}

// table is the status for people.
func table(s control.Status, sc screen) string {
	var b strings.Builder
	line := func(label, text string) {
		fmt.Fprintf(&b, "%s%s\n", sc.paint(bold, fmt.Sprintf("%-7s", label)), wrap(text, "       ", sc.width-7))
	}
	line("box", fmt.Sprintf("%s, up %s, version %s, %s", clean(s.Name), span(seconds(s.UptimeS)), clean(s.Version), s.Time.Local().Format(time.DateTime)))
	line("input", inputLine(s.Input, sc))
	if s.Input.Engine != nil {
		line("engine", engineLine(s.Input.Engine, sc))
	}
	for _, l := range s.Input.Legs {
		line("", fmt.Sprintf("copy %s: %s, received %s, missing %s", clean(l.URL), stateWord(l.State, l.State == control.InputOK, sc), short(l.Received), short(l.Missing)))
	}
	if s.Input.Monitor != nil {
		line("stream", streamLine(s.Input.Monitor, s.Output.Monitor, sc))
	}
	if c := s.Input.Confidence; c != nil {
		line("video", pictureLine(c, sc))
		for i := range c.Sound {
			label := ""
			if i == 0 {
				label = "sound"
			}
			line(label, soundLine(i, &c.Sound[i], sc))
		}
	}
	line("plan", planLine(s.Plan, sc))
	for _, n := range s.Plan.Notes {
		line("", clean(n))
	}
	b.WriteByte('\n')
	paths(&b, s.Paths, sc)
	gateways(&b, s.Paths, sc)
	b.WriteByte('\n')
	if len(s.Active) == 0 {
		fmt.Fprintln(&b, sc.paint(green, "No conditions."))
	}
	for _, c := range s.Active {
		condition(&b, c, s.Time, sc)
	}
	return b.String()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func stateWord(word string, good bool, sc screen) string {
	if good {
		return sc.paint(green, clean(word))
	}
	return sc.paint(red, clean(word))
}

// engineLine says what is encoded, of which signal, and by whose clock.
func engineLine(e *control.Engine, sc screen) string {
	if !e.Up {
		return sc.paint(red, "down") + ": " + clean(e.Reason)
	}
	text := fmt.Sprintf("%s, on air %s", clean(e.Encoder), stateWord(e.OnAir, e.OnAir == "engine", sc))
	if g := e.Signal; g != nil {
		word := g.State
		if g.Format != "" {
			word = g.Format + " " + word
		}
		text += ", signal " + stateWord(word, g.State == "locked" || g.State == "present", sc)
	}
	if !e.InputPresent {
		return text
	}
	text += fmt.Sprintf(", clock %+.1f ppm", e.ClockPPM)
	if e.Repeated > 0 {
		text += fmt.Sprintf(", %s frames repeated", short(e.Repeated))
	}
	switch {
	case len(e.PeakDB) == 0:
	case !e.SoundPresent:
		text += ", sound " + sc.paint(red, "missing")
	case e.ResamplePPM != 0:
		text += fmt.Sprintf(", sound resampled by %+.1f ppm", e.ResamplePPM)
	default:
		text += ", sound in step"
	}
	return text + ", delay " + ms(e.DelayMS)
}

func inputLine(in control.Input, sc screen) string {
	text := fmt.Sprintf("%s: %s", clean(in.URL), stateWord(in.State, in.State == control.InputOK, sc))
	if in.Reason != "" {
		text += ": " + clean(in.Reason)
	}
	if in.State != control.InputOK && in.Filling {
		text += " (null packets are sent)"
	}
	if e := in.Engine; e != nil && e.HighestBPS > e.RateBPS {
		text += sc.paint(yellow, fmt.Sprintf(", encoded with %s of %s", bitrateWords(e.RateBPS), bitrateWords(e.HighestBPS)))
	}
	if in.Packets == 0 && in.State != control.InputOK {
		return text // nothing has come that could be counted
	}
	return text + fmt.Sprintf(", %s, jitter %s, errors: continuity %s, transport %s, sync %s", bitrateWords(in.BitrateBPS), ms(in.JitterMS),
		short(in.ContinuityErrors), short(in.TransportErrors), short(in.SyncLosses))
}

func planLine(p control.Plan, sc screen) string {
	if p.Problem != "" {
		return sc.paint(red, clean(p.Problem))
	}
	parity := "no parity"
	if p.Rows > 0 {
		parity = fmt.Sprintf("K %d + %d rows on each of %d streams (%.0f %%)", p.K, p.Rows, p.Streams, p.OverheadPercent)
		if p.OverheadNow > 1.25*p.OverheadPercent {
			parity += fmt.Sprintf(", really %.0f %% because the feed is slower than max_bitrate_kbps", p.OverheadNow)
		}
	}
	return fmt.Sprintf("%s; SRT %.0f + stagger %.0f + FEC %.0f + reserve %.0f of %.0f ms", parity, p.SRTLatencyMS, p.StaggerMS, p.FECBoundMS, p.ReserveMS, p.LatencyMS)
}

// paths prints one row for each path, 80 columns with names of up to 8.
func paths(b *strings.Builder, list []control.Path, sc screen) {
	name := 4
	for _, p := range list {
		name = max(name, utf8.RuneCountInString(p.Name))
	}
	if sc.tty {
		name = min(name, max(8, sc.width-72))
	}
	row := func(cells ...string) string {
		return fmt.Sprintf("%-*s %3s %-7s %-5s %6s %6s %5s %7s %6s %6s %6s %4s", name, cells[0], cells[1], cells[2], cells[3], cells[4],
			cells[5], cells[6], cells[7], cells[8], cells[9], cells[10], cells[11])
	}
	fmt.Fprintln(b, sc.paint(bold, row("PATH", "LEG", "PROFILE", "STATE", "RATE", "RTT", "LOSS", "ARRIVED", "OTHER", "PARITY", "LOST", "SAME")))
	for _, p := range list {
		up := p.State == control.PathUp
		cells := []string{fit(clean(p.Name), name), fmt.Sprint(p.Leg), clean(p.Profile), stateShort(p.State), "-", "-", "-", "-", "-", "-", "-", "-"}
		if up {
			cells[4] = bitrate(p.BitrateBPS)
			if p.RTTMS > 0 {
				cells[5] = strings.ReplaceAll(ms(p.RTTMS), " ", "")
			}
			if p.Profile != config.ProfileRTP {
				cells[6] = percent(p.SendLossPercent)
			}
			cells[7] = "unknown"
		}
		stale := up && p.Arrival != nil && p.Arrival.AgeMS > staleMS
		if stale {
			cells[6] = "-" // what was reported last says nothing of now
		}
		if a := p.Arrival; a != nil && !stale {
			if up {
				cells[6] = percent(a.LossPercent)
			}
			cells[7], cells[8], cells[9], cells[10] = short(a.Received), short(a.ByOther), short(a.ByParity), short(a.Unrecovered)
			switch {
			case a.Digest.Different > 0:
				cells[11] = "NO"
			case a.Digest.Compared > 0:
				cells[11] = "yes"
			}
		}
		text := row(cells...)
		switch {
		case !up, stale:
			text = sc.paint(red, text)
		case p.Arrival != nil && (p.Arrival.Unrecovered > 0 || p.Arrival.Digest.Different > 0):
			text = sc.paint(yellow, text)
		}
		fmt.Fprintln(b, text)
		if stale {
			fmt.Fprintf(b, "  no report for %s: whether anything arrives is unknown\n", span(seconds(p.Arrival.AgeMS/1000)))
		}
		if p.Reason != "" {
			fmt.Fprintln(b, "  "+wrap(clean(p.Reason), "  ", sc.width-2))
		}
		switch {
		case p.Shed:
			fmt.Fprintln(b, "  given nothing: it is too weak for the stream, and is tried again by itself")
		case p.ParityShed:
			fmt.Fprintln(b, "  without parity: it is too weak for both")
		}
		if p.QueueDropped+p.SendDropped > 0 {
			fmt.Fprintf(b, "  dropped before sending: %s in the queue, %s in the socket\n", short(p.QueueDropped), short(p.SendDropped))
		}
	}
}

// staleMS is the age from which on a report says nothing of the present: they
// come every 200 ms.
const staleMS = 2000

func stateShort(state string) string {
	switch state {
	case control.PathConnecting:
		return "down"
	case control.PathListening:
		return "wait"
	case control.PathStopped:
		return "stop"
	}
	return fit(clean(state), 5)
}

// gateways prints what the far end of each reported path released.
func gateways(b *strings.Builder, list []control.Path, sc screen) {
	first := true
	for _, p := range list {
		if p.Arrival == nil || p.Arrival.Merged.Delivered+p.Arrival.Merged.Lost == 0 || p.Arrival.AgeMS > staleMS {
			continue
		}
		if first {
			b.WriteByte('\n')
			first = false
		}
		m := p.Arrival.Merged
		lost := fmt.Sprintf("lost %s", short(m.Lost))
		if m.Lost > 0 {
			lost = sc.paint(red, lost)
		}
		fmt.Fprintln(b, wrap(fmt.Sprintf("gateway of %s: %s, released %s, by parity %s, %s, margin %s", clean(p.Name), bitrateWords(m.BitrateBPS),
			short(m.Delivered), short(m.ByParity), lost, ms(m.MarginMS)), "  ", sc.width-2))
	}
}

// condition prints one condition with what to do.
func condition(b *strings.Builder, c control.Condition, now time.Time, sc screen) {
	head := fmt.Sprintf("%-8s  ", strings.ToUpper(c.Severity.String()))
	const indent = "          "
	when := "for " + span(now.Sub(c.Raised))
	if !c.Active && c.Cleared != nil {
		head = fmt.Sprintf("%-8s  ", "cleared")
		when = span(now.Sub(*c.Cleared)) + " ago, after " + span(c.Cleared.Sub(c.Raised))
	}
	text := fmt.Sprintf("%s: %s", clean(c.Resource), clean(c.Text))
	if c.Unit != "" {
		text += fmt.Sprintf(" (%.3g %s)", c.Value, clean(c.Unit))
	}
	text += " [" + clean(string(c.Code)) + ", " + when
	if c.Count > 1 {
		text += fmt.Sprintf(", %d times", c.Count)
	}
	text = wrap(text+"]", indent, sc.width-len(head))
	if c.Active {
		head = sc.severity(c.Severity, head)
	}
	fmt.Fprintf(b, "%s%s\n", head, text)
	if c.Remedy != "" && c.Active && !c.Masked {
		fmt.Fprintf(b, "%s%s\n", indent, sc.paint(dim, wrap(clean(c.Remedy), indent, sc.width-len(indent))))
	}
}

// severityOf is the worst severity of active conditions.
func severityOf(list []control.Condition) health.Severity {
	worst := health.Info
	for _, c := range list {
		if c.Active {
			worst = max(worst, c.Severity)
		}
	}
	return worst
}
