package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"quartet/updater/repository"
	"quartet/updater/trust"
)

// keysFlag defines --keys and returns what opens a repository.
func keysFlag(f *flag.FlagSet) func(e *env, dir string) (*repository.Repository, error) {
	keys := f.String("keys", "", "`FOLDER` of the keys (default: keys in the repository)")
	return func(e *env, dir string) (*repository.Repository, error) {
		return repository.Open(dir, *keys, e.now)
	}
}

// exactly checks the number of arguments of a repo command.
func exactly(name, args string, n int, got []string) error {
	if len(got) != n {
		return usagef("%s takes %s, and there are %d arguments", name, args, len(got))
	}
	return nil
}

var repoInitCommand = command{
	name:  "repo init",
	args:  "DIR",
	short: "make a repository of updates, with new keys",
	long: `
Makes a repository in the folder DIR: DIR/public is what a file server serves,
DIR/keys has the keys, DIR/repository.json the rings (canary, early and all).
Move the root keys to a safe place afterwards, each to another one: they are
needed once a year and when a key has to be replaced. The image needs
DIR/public/metadata/1.root.json, or a later one (quartetctl repo root).`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		keys := f.String("keys", "", "`FOLDER` for the keys (default: keys in the repository)")
		n := f.Int("root-keys", 3, "make `N` root keys")
		threshold := f.Int("root-threshold", 2, "as many of them must sign")
		return func(e *env, args []string) error {
			if err := exactly("repo init", "the name of a folder", 1, args); err != nil {
				return err
			}
			if *threshold < 1 || *n < *threshold {
				return usagef("repo init: of %d root keys %d cannot sign", *n, *threshold)
			}
			r, err := repository.Init(args[0], *keys, repository.InitOptions{RootKeys: *n, RootThreshold: *threshold}, e.now)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.out, "%s is a repository. Serve %s, and move the root keys to safe places.\n", args[0], r.Public())
			return nil
		}
	},
}

var repoAddCommand = command{
	name:  "repo add",
	args:  "DIR BUNDLE",
	short: "add a RAUC bundle to a repository",
	long: `
Copies a bundle into the repository. Version, board and manifest hash are read
from it (format=verity). One whose compatible is quartet-BOARD is for that board
and no other; where it is anything else, --board names the boards whose images
have it. No box takes a bundle before it is promoted to a ring.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		var c trust.Custom
		f.Func("version", "`VERSION`, where the bundle does not tell", versionInto(&c.Version))
		f.Func("min-version", "the oldest `V` that may go there in one step", versionInto(&c.MinVersion))
		f.Func("max-version", "the newest `V` that may go there", versionInto(&c.MaxVersion))
		boards := f.String("board", "", "`BOARDS` that it is for, with commas between, where the bundle does not tell")
		days := f.Int("expires-days", 0, "no box takes it after `N` days; 0: no end")
		notes := f.String("notes", "", "`TEXT` about what is new, for people")
		return func(e *env, args []string) error {
			if err := exactly("repo add", "a repository and a bundle", 2, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			if *boards != "" {
				c.Boards = strings.Split(*boards, ",")
			}
			if *days > 0 {
				c.Expires = e.now().AddDate(0, 0, *days)
			}
			c.Notes = *notes
			rel, err := r.Add(args[1], c)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.out, "%s: version %s for %s, %d bytes. Promote it: quartetctl repo promote %s %s RING\n",
				rel.Name, rel.Version, strings.Join(rel.Boards, ", "), rel.Length, args[0], rel.Version)
			return nil
		}
	},
}

func versionInto(v *trust.Version) func(string) error {
	return func(s string) (err error) {
		*v, err = trust.ParseVersion(s)
		return err
	}
}

var repoPromoteCommand = command{
	name:  "repo promote",
	args:  "DIR BUNDLE RING",
	short: "offer a bundle to a ring",
	long: `
Offers a bundle, by its name or version, to the boxes of a ring. With --spread
they begin over so many hours, each at an instant of its own.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		spread := f.Int("spread", 0, "over `HOURS`")
		return func(e *env, args []string) error {
			if err := exactly("repo promote", "a repository, a bundle and a ring", 3, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			rel, err := r.Promote(args[1], args[2], *spread)
			if err == nil {
				fmt.Fprintf(e.out, "%s is offered to ring %s.\n", rel.Name, args[2])
			}
			return err
		}
	},
}

var repoDemoteCommand = command{
	name:  "repo demote",
	args:  "DIR BUNDLE RING",
	short: "take a bundle away from a ring",
	long: `
Offers a bundle to the boxes of a ring no more. Those that have it keep it; to
bring them back, sign a way back: quartetctl repo downgrade.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		return func(e *env, args []string) error {
			if err := exactly("repo demote", "a repository, a bundle and a ring", 3, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			rel, err := r.Demote(args[1], args[2])
			if err == nil {
				fmt.Fprintf(e.out, "%s is not offered to ring %s any more.\n", rel.Name, args[2])
			}
			return err
		}
	},
}

var repoRingCommand = command{
	name:  "repo ring",
	args:  "DIR RING [SERIAL…]",
	short: "say which boxes are in a ring",
	long: `
Sets the boxes of a ring, here and in what is promoted to it already. A SERIAL
may also be PREFIX*, * for all, or N% for a hundredth part of all boxes that
stays the same ones. Without one, the ring is empty.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		return func(e *env, args []string) error {
			if len(args) < 2 {
				return usagef("repo ring takes a repository, a ring and serials, and there are %d arguments", len(args))
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			if err := r.SetRing(args[1], args[2:]); err != nil {
				return err
			}
			fmt.Fprintf(e.out, "Ring %s: %d entries.\n", args[1], len(args)-2)
			return nil
		}
	},
}

var repoDowngradeCommand = command{
	name:  "repo downgrade",
	args:  "DIR BUNDLE VERSION…",
	short: "sign a bundle as the way back from newer versions",
	long: `
Signs that boxes with one of the VERSIONs go back to a bundle that is in the
repository, and that boxes which have gone back do not take them again. Floors
of images hold nevertheless.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		reason := f.String("reason", "", "`TEXT`: why, for people")
		return func(e *env, args []string) error {
			if len(args) < 3 || *reason == "" {
				return usagef("repo downgrade takes a repository, a bundle, the versions to come back from, and --reason TEXT")
			}
			var from []trust.Version
			for _, s := range args[2:] {
				v, err := trust.ParseVersion(s)
				if err != nil {
					return usagef("repo downgrade: %v", err)
				}
				from = append(from, v)
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			rel, err := r.Downgrade(args[1], from, *reason)
			if err == nil {
				fmt.Fprintf(e.out, "%s is the way back from %s.\n", rel.Name, strings.Join(args[2:], ", "))
			}
			return err
		}
	},
}

var repoRemoveCommand = command{
	name:  "repo remove",
	args:  "DIR BUNDLE",
	short: "take a bundle out of a repository",
	long: `
Takes a bundle out of the metadata, and deletes its file. Boxes that have it
keep it.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		return func(e *env, args []string) error {
			if err := exactly("repo remove", "a repository and a bundle", 2, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			rel, err := r.Remove(args[1])
			if err == nil {
				fmt.Fprintf(e.out, "%s is removed.\n", rel.Name)
			}
			return err
		}
	},
}

var repoSignCommand = command{
	name:  "repo sign",
	args:  "DIR",
	short: "sign a repository again, before it expires",
	long: `
Signs timestamp.json anew, and snapshot and targets where half of their time is
over. Run it once a day. Where the keys for these two are elsewhere, it signs
the rest and warns, until they expire. --all signs them in any case; --root
makes a new root of the same keys, which needs the root keys.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		all := f.Bool("all", false, "snapshot and targets, too")
		root := f.Bool("root", false, "the root, too")
		return func(e *env, args []string) error {
			if err := exactly("repo sign", "a repository", 1, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			var signed []string
			if *root {
				if err := r.SignRoot(); err != nil {
					return err
				}
				signed = append(signed, "root")
			}
			done, err := r.Sign(*all)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.out, "Signed: %s.\n", strings.Join(append(signed, done.Roles...), ", "))
			for _, w := range done.Left {
				fmt.Fprintf(e.out, "%s %s\n", e.screen.paint(yellow, "warning:"), clean(w))
			}
			return nil
		}
	},
}

var repoRotateCommand = command{
	name:  "repo rotate",
	args:  "DIR ROLE",
	short: "replace the keys of a role",
	long: `
Makes new keys for root, targets, snapshot or timestamp, has the root say so,
and signs anew what they sign. It needs the root keys (of root itself the old
ones and the new). Boxes follow by themselves, also those that were off
meanwhile. The old keys' files stay; destroy them.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		return func(e *env, args []string) error {
			if err := exactly("repo rotate", "a repository and a role", 2, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			files, err := r.Rotate(args[1])
			for _, f := range files {
				fmt.Fprintln(e.out, f)
			}
			return err
		}
	},
}

var repoStatusCommand = command{
	name:  "repo status",
	args:  "DIR",
	short: "show bundles, rings and what expires",
	long: `
Shows the bundles of a repository, who is offered them, and when its files
expire. With --check it exits with 1 if something expires within --days, or is
missing: for a cron job that tells somebody.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		check := f.Bool("check", false, "exit with 1 if there is a warning")
		days := f.Int("days", 7, "warn `N` days ahead")
		return func(e *env, args []string) error {
			if err := exactly("repo status", "a repository", 1, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			return repoStatus(e, r, *days, *check)
		}
	},
}

func repoStatus(e *env, r *repository.Repository, days int, check bool) error {
	list, err := r.Releases()
	if err != nil {
		return err
	}
	for _, rel := range list {
		var rings []string
		for name, ring := range rel.Rings {
			text := name
			if ring.SpreadHours > 0 {
				text += fmt.Sprintf(" (over %d h from %s)", ring.SpreadHours, ring.From.Format(time.DateTime))
			}
			rings = append(rings, text)
		}
		slices.Sort(rings)
		if len(rings) == 0 {
			rings = []string{"no ring"}
		}
		fmt.Fprintf(e.out, "%-12s %s, %.1f MB, for %s: %s\n", rel.Version, rel.Name, float64(rel.Length)/1e6, strings.Join(rel.Boards, ", "), strings.Join(rings, ", "))
		if d := rel.Downgrade; d != nil {
			fmt.Fprintf(e.out, "%-12s the way back from %v: %s\n", "", d.From, clean(d.Reason))
		}
	}
	rings := r.Rings()
	var names []string
	for n := range rings {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		text := strings.Join(rings[n], " ")
		if text == "" {
			text = "(empty)"
		}
		fmt.Fprintf(e.out, "ring %-7s %s\n", n, fit(text, max(e.screen.width-14, 30)))
	}
	for _, x := range r.Expiries() {
		fmt.Fprintf(e.out, "%-12s version %d, expires %s\n", x.Role, x.Version, x.At.Format(time.DateTime+" MST"))
	}
	warnings, err := r.Warnings(days)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		fmt.Fprintf(e.out, "%s %s\n", e.screen.paint(yellow, "warning:"), clean(w))
	}
	if check && len(warnings) > 0 {
		return errNotGood
	}
	return nil
}

var repoPackCommand = command{
	name:  "repo pack",
	args:  "DIR BUNDLE FILE",
	short: "write a bundle with its metadata into one file",
	long: `
Writes an update into one FILE (- is standard output), which a site without a
way out takes with quartetctl update upload or through the page. It can be taken
until the timestamp expires: sign the repository first.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		return func(e *env, args []string) error {
			if err := exactly("repo pack", "a repository, a bundle and a file", 3, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			if args[2] == "-" {
				_, err = r.Pack(args[1], e.out)
				return err
			}
			var rel trust.Release
			err = writeWhole(args[2], func(w io.Writer) (err error) {
				rel, err = r.Pack(args[1], w)
				return err
			})
			if err == nil {
				for _, x := range r.Expiries()[:1] {
					fmt.Fprintf(e.out, "%s: version %s, to be uploaded before %s.\n", args[2], rel.Version, x.At.Format(time.DateTime+" MST"))
				}
			}
			return err
		}
	},
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		os.Remove(name + ".new")
		return err
	}
	return os.Rename(name+".new", name)
}

var repoRootCommand = command{
	name:  "repo root",
	args:  "DIR",
	short: "print the root.json that an image needs",
	long: `
Prints the newest root.json of a repository. Images bring it along as the
beginning of all trust; boxes follow later ones by themselves.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		open := keysFlag(f)
		return func(e *env, args []string) error {
			if err := exactly("repo root", "a repository", 1, args); err != nil {
				return err
			}
			r, err := open(e, args[0])
			if err != nil {
				return err
			}
			b, err := r.Root()
			if err == nil {
				_, err = e.out.Write(b)
			}
			return err
		}
	},
}
