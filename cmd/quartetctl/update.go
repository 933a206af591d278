package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"quartet/device/durable"
	"quartet/updater"
)

// updateSocketFlag defines --socket and returns the updater that it names.
func updateSocketFlag(f *flag.FlagSet) func(e *env) updater.Service {
	socket := f.String("socket", "", "`PATH` of the updater's socket")
	return func(e *env) updater.Service {
		for _, path := range []string{*socket, e.getenv("QUARTET_UPDATE_SOCKET")} {
			if path != "" {
				return updater.NewClient(path)
			}
		}
		return updater.NewClient(updater.DefaultSocket)
	}
}

// actor is who acts, for history and audit: on the command line of the box,
// the login's name.
func actor(e *env) string {
	for _, v := range []string{"SUDO_USER", "LOGNAME", "USER"} {
		if name := clean(e.getenv(v)); name != "" {
			return name + " (command line)"
		}
	}
	return "command line"
}

const updateSocketText = `

The updater's socket: --socket, else the environment variable
QUARTET_UPDATE_SOCKET, else ` + updater.DefaultSocket + `.`

var updateStatusCommand = command{
	name:  "update status",
	short: "show what runs, what is newer, and what it waits for",
	long: `
Shows the version that runs, the update that is known, how far it is, what it
waits for, and what is wrong.` + updateSocketText,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		service := updateSocketFlag(f)
		asJSON := f.Bool("json", false, "print JSON, as GET /v1/update answers")
		return func(e *env, _ []string) error {
			ctx, cancel := context.WithTimeout(e.ctx, patience)
			defer cancel()
			s, err := service(e).Status(ctx)
			return showUpdate(e, s, err, *asJSON)
		}
	},
}

// showUpdate prints the updater's state.
func showUpdate(e *env, s updater.Status, err error, asJSON bool) error {
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(e, s, true)
	}
	const indent = "            "
	row := func(name, format string, args ...any) {
		fmt.Fprintf(e.out, "%-12s%s\n", name, wrap(clean(fmt.Sprintf(format, args...)), indent, max(e.screen.width-len(indent), 30)))
	}
	when := func(t time.Time) string { return t.Local().Format(time.DateTime) }
	row("runs", "%s on %s, board %s, slot %s", s.Version, s.Serial, s.Board, s.Slot)
	for _, sl := range s.Slots {
		row("slot "+sl.Boot, "%s %s %s", cmp.Or(sl.Version, "?"), sl.State, sl.Status)
	}
	switch u := s.Update; {
	case u == nil && s.Repository:
		row("update", "none: nothing newer is offered")
	case u == nil:
		row("update", "none; no repository is configured")
	default:
		from := "ring " + u.Ring
		if u.Upload {
			from = "uploaded"
		}
		if u.Downgrade {
			from += ", a signed way back"
		}
		row("update", "%s (%s, %.1f MB, found %s)", u.Version, from, float64(u.Bytes)/1e6, when(u.Found))
		if u.Notes != "" {
			row("notes", "%s", u.Notes)
		}
	}
	row("phase", "%s", s.Phase)
	if t := s.Trial; t != nil {
		row("trial", "%s → %s: %s %s %s", t.From, t.To, t.Stage, t.Outcome, t.Text)
	}
	if p := s.Progress; p != nil && p.Total > 0 {
		row("progress", "%s %.0f %% %s", p.What, 100*float64(p.Done)/float64(p.Total), p.Text)
	}
	if s.Waits != nil {
		row("waits", "%s", s.Waits.Text)
	}
	if !s.DeferUntil.IsZero() {
		row("deferred", "to %s, by %s", when(s.DeferUntil), s.DeferredBy)
	}
	windows := strings.Join(s.Windows, "; ")
	if windows == "" {
		windows = "at any time"
	}
	row("window", "%s (%s), mode %s", windows, s.Zone, s.Mode)
	if !s.LastCheck.IsZero() {
		row("checked", "%s", when(s.LastCheck))
	}
	if s.CheckError != "" {
		row("", "%s", s.CheckError)
	}
	if b := s.Sibling; b != nil && b.Denied != "" {
		row("sibling", "%s", b.Denied)
	}
	for _, r := range s.Refused {
		row("refused", "%s", r.Text)
	}
	for _, a := range s.Alarms {
		text := wrap(clean(fmt.Sprintf("%s: %s [%s]", a.Severity, a.Text, a.Code)), indent, max(e.screen.width-len(indent), 30))
		fmt.Fprintf(e.out, "%-12s%s\n", "alarm", e.screen.paint(red, text))
		row("", "→ %s", a.Remedy)
	}
	return nil
}

var updateCheckCommand = command{
	name:  "update check",
	short: "ask the repository now",
	long: `
Asks the repository now and shows what became of it. What is found waits for its
time as ever.` + updateSocketText,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		service := updateSocketFlag(f)
		return func(e *env, _ []string) error {
			s, err := service(e).Check(e.ctx)
			return showUpdate(e, s, err, false)
		}
	},
}

var updateNowCommand = command{
	name:  "update now",
	short: "update outside the maintenance window",
	long: `
Lets the update begin at once: outside the window, though it was deferred, and
before the box's place in its ring. It does not overrule signatures, the time of
day, or the sibling.

With --override-sibling the box goes without the sibling's lease: if the sibling
is off the air, so is the site while this box restarts. It needs a --reason,
which goes into history and audit.` + updateSocketText,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		service := updateSocketFlag(f)
		override := f.Bool("override-sibling", false, "go without the sibling's lease")
		reason := f.String("reason", "", "`TEXT`: why")
		return func(e *env, _ []string) error {
			if *override && *reason == "" {
				return usagef("update now --override-sibling needs --reason TEXT")
			}
			s, err := service(e).Now(e.ctx, updater.NowRequest{Actor: actor(e), OverrideSibling: *override, Reason: *reason})
			return showUpdate(e, s, err, false)
		}
	},
}

var updateDeferCommand = command{
	name:  "update defer",
	args:  "[DURATION|TIME]",
	short: "put updates off, up to 30 days",
	long: `
Puts updates off for a duration ("36h", "5d") or until a time in the form
2026-12-24T18:00:00+01:00. With --clear they may happen again.` + updateSocketText,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		service := updateSocketFlag(f)
		undo := f.Bool("clear", false, "take it back")
		return func(e *env, args []string) error {
			r := updater.DeferRequest{Actor: actor(e)}
			switch {
			case *undo && len(args) == 0:
			case *undo || len(args) != 1:
				return usagef("update defer takes a duration or a time, or --clear")
			default:
				until, err := deferTime(args[0], e.now())
				if err != nil {
					return err
				}
				r.Until = until
			}
			s, err := service(e).Defer(e.ctx, r)
			return showUpdate(e, s, err, false)
		}
	},
}

// deferTime reads "5d", "36h" or an instant.
func deferTime(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	var days int
	if n, err := fmt.Sscanf(s, "%dd", &days); err == nil && n == 1 && s == fmt.Sprintf("%dd", days) && days > 0 && days < 1000 {
		return now.AddDate(0, 0, days), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, usagef("update defer: %q is no duration and no time; write 36h, 5d or 2026-12-24T18:00:00+01:00", s)
}

var updateCancelCommand = command{
	name:  "update cancel",
	short: "take back an uploaded update, or the word now",
	long: `
Removes an uploaded update, or takes back "now", until the update has begun. To
put updates off, see update defer.` + updateSocketText,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		service := updateSocketFlag(f)
		return func(e *env, _ []string) error {
			s, err := service(e).Cancel(e.ctx, updater.CancelRequest{Actor: actor(e)})
			return showUpdate(e, s, err, false)
		}
	},
}

var updateUploadCommand = command{
	name:  "update upload",
	args:  "FILE",
	short: "bring an update in one file",
	long: `
Hands the box an update in one file, made with quartetctl repo pack, for a site
without a way to the repository (- is standard input). It is checked like any
other: signatures, expiry, board, version. Then it waits for its window.` + updateSocketText,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		service := updateSocketFlag(f)
		return func(e *env, args []string) error {
			if len(args) != 1 {
				return usagef("update upload takes one file, and there are %d", len(args))
			}
			in := e.in
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer file.Close()
				in = file
			}
			s, err := service(e).Upload(e.ctx, actor(e), in)
			return showUpdate(e, s, err, false)
		}
	},
}

var updateHistoryCommand = command{
	name:  "update history",
	short: "show what happened, newest first",
	long: `
Prints the history of updates on this box, newest first.` + updateSocketText,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		service := updateSocketFlag(f)
		limit := f.Int("limit", 30, "print the last `N` lines; 0: all")
		asJSON := f.Bool("json", false, "print JSON")
		return func(e *env, _ []string) error {
			if *limit < 0 {
				return usagef("update history: --limit %d is below 0", *limit)
			}
			ctx, cancel := context.WithTimeout(e.ctx, patience)
			defer cancel()
			h, err := service(e).History(ctx, *limit)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(e, h, true)
			}
			if len(h) == 0 {
				fmt.Fprintln(e.out, "Nothing has happened yet.")
			}
			const indent = "                                     "
			for _, l := range h {
				versions := l.To
				if l.From != "" && l.To != "" {
					versions = l.From + " → " + l.To
				}
				text := strings.TrimSpace(versions + "  " + l.Text)
				if l.Actor != "" {
					text += " [" + l.Actor + "]"
				}
				fmt.Fprintf(e.out, "%s  %-14s  %s\n", l.Time.Local().Format(time.DateTime), clean(l.Event), wrap(clean(text), indent, max(e.screen.width-len(indent), 30)))
			}
			return nil
		}
	},
}

var updateGuardCommand = command{
	name:  "update guard",
	args:  "FOLDER VERSION",
	short: "tell whether a trial is left without a judge",
	long: `
Looks into the updater's FOLDER, and exits with 1 and a reason if VERSION, which
runs, is on trial there and its updater does not judge it: it ended again and
again before it could begin (--ends), it has not begun 200 seconds after the
start, it was to go back and has not, or nobody has confirmed the version 150
seconds after it began to judge. Where FOLDER's partition cannot be mounted,
--witness is the folder on another one that names the version on trial. For a
timer of the image that restarts the box then: the boot loader goes back. It
needs no updater.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		ends := f.Int("ends", 0, "how often the updater's program has ended against its will since the start")
		witness := f.String("witness", "", "`FOLDER` on another partition; not given: FOLDER is on its own")
		up := f.Duration("up", 0, "since the kernel's start; 0: as the kernel says")
		return func(e *env, args []string) error {
			if len(args) != 2 {
				return usagef("update guard takes a folder and a version, and there are %d arguments", len(args))
			}
			w := updater.Watch{Version: args[1], Up: *up, Ends: *ends}
			if w.Up == 0 {
				data, err := os.ReadFile("/proc/uptime")
				if err != nil {
					return err
				}
				seconds, _, _ := strings.Cut(string(data), " ")
				if w.Up, err = time.ParseDuration(seconds + "s"); err != nil {
					return fmt.Errorf("/proc/uptime: %w", err)
				}
			}
			boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
			if err != nil {
				return err
			}
			w.BootID = strings.TrimSpace(string(boot))
			if *witness != "" {
				w.Witness = durable.At(*witness)
			}
			why, err := updater.Left(durable.At(args[0]), w)
			if err != nil {
				return err
			}
			if why != "" {
				fmt.Fprintf(e.out, "version %s is on trial, and %s\n", clean(args[1]), why)
				return errNotGood
			}
			return nil
		}
	},
}
