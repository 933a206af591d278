// Command quartetctl is the operator's tool: it shows what a running quartetd
// does, asks it for the few things that can be asked, and answers questions
// about configuration and FEC without one.
//
// Exit codes, the same for every command:
//
//	0  done; the answer is good
//	1  the answer is not good, or there is none: a document is invalid, quartetd
//	   does not answer, a preflight failed
//	2  the command line is wrong
//
// main.go holds the table of commands and nothing of what they do; each
// command is a file.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"quartet/board"
	"quartet/board/models"
)

var version = "unknown" // set by the linker

// commands is the table: names of two words are subcommands.
var commands = []command{
	statusCommand,
	probeCommand,
	thumbnailCommand,
	eventsCommand,
	conditionsCommand,
	reloadCommand,
	preflightCommand,
	configCheckCommand,
	configExampleCommand,
	configSchemaCommand,
	configExplainCommand,
	fecMatrixCommand,
	planCommand,
	provisionCommand,
	updateStatusCommand,
	updateCheckCommand,
	updateNowCommand,
	updateDeferCommand,
	updateCancelCommand,
	updateUploadCommand,
	updateHistoryCommand,
	updateGuardCommand,
	repoInitCommand,
	repoStatusCommand,
	repoAddCommand,
	repoPromoteCommand,
	repoDemoteCommand,
	repoRingCommand,
	repoDowngradeCommand,
	repoRemoveCommand,
	repoSignCommand,
	repoRotateCommand,
	repoPackCommand,
	repoRootCommand,
	demoCommand,
	versionCommand,
}

// command is one row of the table.
type command struct {
	name  string // "status", "config check"
	args  string // "FILE…": what stands after the flags
	short string // one line for the list
	long  string // paragraphs for --help, without the flags
	// flags defines the command's flags and returns what runs it, given what
	// stands after them.
	flags func(f *flag.FlagSet) func(e *env, args []string) error
}

// env is the world of a command; tests make their own.
type env struct {
	ctx    context.Context
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string
	now    func() time.Time
	board  func() (*board.Board, error) // this machine's, as models.Open
	screen screen                       // what out is
}

// usageError is a mistake on the command line: exit code 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errNotGood ends a command that has already said all: exit code 1.
var errNotGood = errors.New("not good")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{ctx: ctx, in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now,
		board: func() (*board.Board, error) { return models.Open("/") }}
	e.screen = newScreen(os.Stdout, e.getenv)
	code := run(e, os.Args[1:])
	stop()
	os.Exit(code)
}

// run finds the command, runs it and returns the exit code.
func run(e *env, args []string) int {
	if len(args) == 0 {
		overview(e.err)
		return 2
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		if len(args) > 1 {
			return run(e, append(args[1:], "--help"))
		}
		overview(e.out)
		return 0
	}
	c, rest, err := find(args)
	if err == nil {
		err = c.run(e, rest)
	}
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(e.err, "quartetctl:", err)
		return 2
	case !errors.Is(err, errNotGood):
		fmt.Fprintln(e.err, "quartetctl:", err)
	}
	return 1
}

// find returns the command that args start with, and the rest of them.
func find(args []string) (*command, []string, error) {
	group := false
	for i := range commands {
		words := strings.Fields(commands[i].name)
		if words[0] != args[0] {
			continue
		}
		if len(words) == 1 {
			return &commands[i], args[1:], nil
		}
		group = true
		if len(args) > 1 && args[1] == words[1] {
			return &commands[i], args[2:], nil
		}
	}
	if !group {
		return nil, nil, usagef("unknown command %q; quartetctl --help lists them", args[0])
	}
	var names []string
	for _, c := range commands {
		if w := strings.Fields(c.name); w[0] == args[0] {
			names = append(names, c.name)
		}
	}
	if len(args) > 1 && isHelp(args[1]) {
		return &command{name: args[0], flags: func(*flag.FlagSet) func(*env, []string) error {
			return func(e *env, _ []string) error {
				fmt.Fprintf(e.out, "Usage: quartetctl %s COMMAND\n\nCommands:\n", args[0])
				list(e.out, args[0]+" ")
				return nil
			}
		}}, nil, nil
	}
	if len(args) == 1 {
		return nil, nil, usagef("%s: a command is missing; write %s", args[0], strings.Join(names, " or "))
	}
	return nil, nil, usagef("unknown command %q; write %s", args[0]+" "+args[1], strings.Join(names, " or "))
}

func isHelp(s string) bool { return s == "-h" || s == "-help" || s == "--help" }

// run parses the flags and runs the command.
func (c *command) run(e *env, args []string) error {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	body := c.flags(f)
	rest, err := parse(f, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(e.out, f)
		return nil
	case err != nil:
		text := strings.Replace(err.Error(), "flag provided but not defined: -", "unknown flag --", 1)
		return usagef("%s: %s; quartetctl %s --help lists the flags", c.name, text, c.name)
	case c.args == "" && len(rest) > 0:
		return usagef("%s takes no argument, and there is %q", c.name, rest[0])
	}
	return body(e, rest)
}

// parse is FlagSet.Parse with flags allowed after arguments, too.
func parse(f *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		used := len(args) - f.NArg()
		if used > 0 && args[used-1] == "--" {
			return append(rest, f.Args()...), nil
		}
		if f.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
}

// help prints what --help shows.
func (c *command) help(w io.Writer, f *flag.FlagSet) {
	usage := "Usage: quartetctl " + c.name
	flags := false
	f.VisitAll(func(*flag.Flag) { flags = true })
	if flags {
		usage += " [flags]"
	}
	if c.args != "" {
		usage += " " + c.args
	}
	fmt.Fprintf(w, "%s\n\n%s\n", usage, strings.TrimSpace(c.long))
	if !flags {
		return
	}
	fmt.Fprintln(w, "\nFlags:")
	const column = 22
	f.VisitAll(func(fl *flag.Flag) {
		kind, text := flag.UnquoteUsage(fl)
		dash := "--"
		if len(fl.Name) == 1 {
			dash = "-"
		}
		head := strings.TrimSpace(dash + fl.Name + " " + kind)
		if d := fl.DefValue; d != "" && d != "false" && d != "0" {
			text += " (default " + d + ")"
		}
		fmt.Fprintf(w, "  %-*s%s\n", column-2, head, wrap(text, strings.Repeat(" ", column), 80-column))
	})
}

func overview(w io.Writer) {
	fmt.Fprint(w, `quartetctl shows and steers a Quartet box, and answers questions about its
configuration.

Usage: quartetctl COMMAND [flags] [arguments]

Commands:
`)
	list(w, "")
	fmt.Fprint(w, `
quartetctl COMMAND --help tells more about each.

Exit codes: 0 done; 1 the answer is not good or there is none (an invalid
document, no quartetd, a failed preflight); 2 the command line is wrong.

Commands that talk to quartetd use its socket: --socket, else the environment
variable QUARTET_SOCKET, else `+defaultSocket+`.
`)
}

// list prints the commands whose names start with prefix.
func list(w io.Writer, prefix string) {
	for _, c := range commands {
		if strings.HasPrefix(c.name, prefix) {
			fmt.Fprintf(w, "  %-16s %s\n", c.name, c.short)
		}
	}
}
