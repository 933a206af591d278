package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"time"

	"quartet/device/control"
	"quartet/device/health"
)

var eventsCommand = command{
	name:  "events",
	short: "show what happened, and with --follow what happens",
	long: `
Prints the events that the running box keeps (the last thousand or so), oldest
first, and with --follow those to come, until interrupted. After a restart of
quartetd, --follow has to be started again.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		client := socketFlag(f)
		follow := f.Bool("follow", false, "go on with what happens from now on")
		asJSON := f.Bool("json", false, "print one JSON object a line")
		after := f.String("after", "", "begin after the event of this `ID` (see --json)")
		return func(e *env, _ []string) error {
			c := client(e)
			defer c.Close()
			err := c.Events(e.ctx, *after, *follow, func(ev control.Event, missed uint64) error {
				if missed > 0 {
					fmt.Fprintf(e.err, "quartetctl: %d earlier events are not kept any more\n", missed)
				}
				if *asJSON {
					return printJSON(e, ev, false)
				}
				_, err := fmt.Fprintln(e.out, eventLine(ev, e.screen))
				return err
			})
			if e.ctx.Err() != nil {
				return nil
			}
			return err
		}
	},
}

// eventLine is an event for people.
func eventLine(ev control.Event, sc screen) string {
	c := ev.Condition
	const indent = "                                       "
	severity := fmt.Sprintf("%-8s", c.Severity)
	if ev.Kind == health.Raised {
		severity = sc.severity(c.Severity, severity)
	}
	head := fmt.Sprintf("%s  %-7s  ", ev.Time.Local().Format(time.DateTime), ev.Kind)
	text := clean(c.Text)
	if c.Unit != "" {
		text += fmt.Sprintf(" (%.3g %s)", c.Value, clean(c.Unit))
	}
	return head + severity + " " + wrap(fmt.Sprintf("%s: %s [%s]", clean(c.Resource), text, clean(string(c.Code))), indent, max(sc.width-len(indent), 30))
}

func printJSON(e *env, v any, indent bool) error {
	j := json.NewEncoder(e.out)
	j.SetEscapeHTML(false)
	if indent {
		j.SetIndent("", "  ")
	}
	return j.Encode(v)
}

var conditionsCommand = command{
	name:  "conditions",
	short: "show what is wrong and what to do about it",
	long: `
Prints the active conditions, worst first, each with what to do; consequences
of others come last. With --all also those that have cleared.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		client := socketFlag(f)
		all := f.Bool("all", false, "cleared ones, too")
		asJSON := f.Bool("json", false, "print JSON, as GET /v1/conditions answers")
		check := f.Bool("check", false, "exit with 1 if one of severity major or critical is active")
		return func(e *env, _ []string) error {
			c := client(e)
			defer c.Close()
			ctx, cancel := context.WithTimeout(e.ctx, patience)
			defer cancel()
			l, err := c.Conditions(ctx)
			if err != nil {
				return err
			}
			if *asJSON {
				if err := printJSON(e, l, true); err != nil {
					return err
				}
			} else {
				var b strings.Builder
				for _, c := range l.List {
					if c.Active || *all {
						condition(&b, c, e.now(), e.screen)
					}
				}
				if b.Len() == 0 {
					b.WriteString("No conditions.\n")
				}
				fmt.Fprint(e.out, b.String())
			}
			if *check && severityOf(l.List) >= health.Major {
				return errNotGood
			}
			return nil
		}
	},
}

var reloadCommand = command{
	name:  "reload",
	short: "have quartetd read its configuration file again",
	long: `
Has the running quartetd read its configuration file again. Only what differs is
changed; a document with an error is refused as a whole, and the one before
stays in use.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		client := socketFlag(f)
		return func(e *env, _ []string) error {
			c := client(e)
			defer c.Close()
			ctx, cancel := context.WithTimeout(e.ctx, 30*time.Second)
			defer cancel()
			r, err := c.Reload(ctx)
			if err != nil {
				return err
			}
			for _, w := range r.Warnings {
				fmt.Fprintln(e.err, "warning:", clean(w))
			}
			if len(r.Changed) == 0 {
				fmt.Fprintln(e.out, "Nothing changed.")
			}
			for _, what := range r.Changed {
				fmt.Fprintln(e.out, clean(what))
			}
			return nil
		}
	},
}

var preflightCommand = command{
	name:  "preflight",
	args:  "PATH",
	short: "try out a path: name, connection, key, largest packet",
	long: `
Has the running quartetd try out one of its paths, step by step: is the name
found, does the far end answer and accept the passphrase, does it authenticate
our packets, and how large may they be. The path's stream goes on meanwhile.
Exits with 1 if a step failed.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		client := socketFlag(f)
		asJSON := f.Bool("json", false, "print JSON")
		return func(e *env, args []string) error {
			if len(args) != 1 {
				return usagef("preflight takes the name of one path, and there are %d arguments; quartetctl status lists the paths", len(args))
			}
			c := client(e)
			defer c.Close()
			ctx, cancel := context.WithTimeout(e.ctx, time.Minute)
			defer cancel()
			p, err := c.Preflight(ctx, args[0])
			if err != nil {
				return err
			}
			if *asJSON {
				err = printJSON(e, p, true)
			} else {
				err = printPreflight(e, p)
			}
			if err == nil && !p.OK {
				err = errNotGood
			}
			return err
		}
	},
}

func printPreflight(e *env, p control.Preflight) error {
	sc := e.screen
	for _, s := range p.Steps {
		mark := sc.paint(green, "ok  ")
		if !s.OK {
			mark = sc.paint(red, "FAIL")
		}
		const indent = "                  "
		fmt.Fprintf(e.out, "%s  %-10s  %s\n", mark, clean(s.Name), wrap(clean(s.Text), indent, sc.width-len(indent)))
		if s.Remedy != "" && !s.OK {
			fmt.Fprintln(e.out, indent+wrap(clean(s.Remedy), indent, sc.width-len(indent)))
		}
	}
	if p.LargestBytes > 0 {
		fmt.Fprintln(e.out, wrap(fmt.Sprintf("The longest message that arrived has %d bytes: ts_packets_per_message up to %d fits.",
			p.LargestBytes, p.TSPacketsPerMessage), "", sc.width))
	}
	return nil
}
