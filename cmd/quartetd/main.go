// Command quartetd is the box's media plane: it reads one feed and sends it as
// redundant streams, as its configuration says.
//
// Reading order: main.go (flags, log, signals), build.go (the chain, from the
// configuration's words to the parts), box.go (running it), reload.go (changing
// it), monitor.go (watching the stream at both ends), watch.go and streams.go
// (conditions), status.go (what the control socket shows).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"quartet/cmd/internal/logging"
	"quartet/cmd/internal/secrets"
	"quartet/device/config"
	"quartet/device/notify"
	"quartet/uplink/srt"
)

var version = "unknown" // set by the linker

const usage = `quartetd sends one feed as redundant streams with Reed-Solomon FEC over SRT.

Usage:
  quartetd run --config FILE --data DIR   read FILE and send until SIGTERM
  quartetd check --config FILE            say what is wrong with FILE, and the plan if nothing is
  quartetd version                        print the version

Options of run and check:
  --key FILE   the key that opens sealed secrets of the configuration
               (default ` + secrets.KeyFile + `; needed only for those)

Signals:
  SIGHUP            read the configuration again and change only what it changes
  SIGTERM, SIGINT   send what is under way, then end (exit 0 within 3 s)

Over the control socket it can also be told to start again in the same process
(POST /v1/restart), for changes that SIGHUP refuses.

Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage or configuration.
An example of a configuration: quartetctl config example box
`

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2

	exitAgain = -1 // not an exit status: the program is to start again in its own place
)

// stopWithin is when a process that was told to stop ends even if a part of it
// does not.
const stopWithin = 2500 * time.Millisecond

func main() {
	env := os.Environ() // with what the service manager wrote there, before it is taken out
	code := command(os.Args[1:], os.Stdout, os.Stderr)
	if code == exitAgain {
		code = again(os.Args, env)
	}
	os.Exit(code)
}

// again starts this program anew in the same process, so that whoever supervises
// it sees neither an end nor another id. It returns only if that fails.
func again(args, env []string) int {
	program, err := os.Executable()
	if err == nil {
		err = syscall.Exec(program, args, env)
	}
	fmt.Fprintln(os.Stderr, "quartetd: cannot start again:", err)
	return exitFailed
}

func command(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "", "")
	data := flags.String("data", "", "")
	key := flags.String("key", secrets.KeyFile, "")
	switch args[0] {
	case "-h", "--help", "help":
		fmt.Fprint(stdout, usage)
		return 0
	case "version", "--version":
		fmt.Fprintln(stdout, "quartetd", version)
		return 0
	case "run", "check":
	default:
		fmt.Fprintf(stderr, "quartetd: unknown command %q: use run, check or version (quartetd --help)\n", args[0])
		return exitUsage
	}
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "quartetd %s: %v (quartetd --help)\n", args[0], err)
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "quartetd %s: unexpected argument %q (quartetd --help)\n", args[0], flags.Arg(0))
		return exitUsage
	case *file == "":
		fmt.Fprintf(stderr, "quartetd %s: --config is missing: give the file of the configuration (quartetd --help)\n", args[0])
		return exitUsage
	case args[0] == "run" && *data == "":
		fmt.Fprintln(stderr, "quartetd run: --data is missing: give a folder for the box's state (quartetd --help)")
		return exitUsage
	}
	next, warnings, err := load(*file, *key)
	if err != nil && args[0] == "run" {
		// The one before is better than no picture; what writes documents keeps it.
		if before, w, e := load(*file+".previous", *key); e == nil {
			before.restored = err.Error()
			next, warnings, err = before, w, nil
		}
	}
	for _, w := range warnings {
		fmt.Fprintf(stderr, "%s: warning: %v\n", *file, w)
	}
	if err != nil {
		fmt.Fprintln(stderr, "quartetd:", err)
		return exitUsage
	}
	if args[0] == "check" {
		fmt.Fprintln(stdout, "ok:", next.set.plan)
		for _, n := range next.set.plan.Notes {
			fmt.Fprintln(stdout, "note:", n)
		}
		return 0
	}
	return run(next, *file, *key, *data, stderr)
}

// loaded is a configuration that has been read, and the settings it makes.
type loaded struct {
	restored string // why it is the document before; empty: it is not
	doc      *config.Box
	set      parts
}

// load reads and checks a configuration, and opens its sealed secrets with the
// key in a file. Its error has one line for each thing that is wrong.
func load(file, key string) (l loaded, warnings config.Issues, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return l, nil, fmt.Errorf("configuration: %w", err)
	}
	if l.doc, warnings, err = config.OpenBox(b, secrets.Opener(key)); err == nil {
		var more config.Issues
		l.set, more, err = build(l.doc)
		more.Locate(b)
		warnings = append(warnings, more...)
	}
	var issues config.Issues
	if errors.As(err, &issues) {
		issues.Locate(b)
		lines := make([]string, len(issues))
		for i := range issues {
			lines[i] = file + ": " + issues[i].String()
		}
		err = errors.New(strings.Join(lines, "\n"))
	}
	return l, warnings, err
}

func run(l loaded, file, key, data string, stderr io.Writer) int {
	log := logging.New(l.doc.Log, stderr)
	if err := writable(data); err != nil {
		log.Error("data folder: give a folder that can be written with --data", "err", err)
		return exitFailed
	}
	told, err := notify.FromEnvironment()
	if err != nil {
		log.Error("quartetd cannot start", "err", err)
		return exitFailed
	}
	defer told.Close()
	// libsrt writes from its own threads.
	srt.SetLogger(log)
	// Packets allocate nothing; what is collected comes from reports and status, a
	// few hundred kilobytes a second. Collecting early costs next to nothing and
	// keeps the box within its 40 MB.
	debug.SetGCPercent(25)
	srt.Startup()
	defer srt.Cleanup()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)

	// The origin of "now": every instant in the media plane counts from here.
	start := time.Now()
	b, err := newBox(l.doc, l.set, boxOptions{
		file: file, key: key, data: data, now: func() time.Duration { return time.Since(start) }, start: start, log: log, socket: socketPath(l.doc, data), told: told, restored: l.restored,
		again: func() { end(errAgain) },
	})
	if err != nil {
		log.Error("quartetd cannot start", "err", err)
		return exitFailed
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	server, err := b.listenControl()
	if err != nil {
		b.close()
		log.Error("quartetd cannot start", "err", err)
		return exitFailed
	}
	log.Info("quartetd runs", "version", version, "box", l.doc.Name, "plan", l.set.plan.String(), "control", b.opts.socket)
	ended := make(chan error, 1)
	go func() { ended <- b.serve(ctx, server, hup) }()
	var late <-chan time.Time
	asked := ctx.Done()
	for {
		select {
		case err := <-ended:
			if err != nil {
				log.Error("quartetd ends", "err", err)
				return exitFailed
			}
			log.Info("quartetd ends", "uptime", time.Since(start).Round(time.Second).String())
			if errors.Is(context.Cause(ctx), errAgain) {
				return exitAgain
			}
			return 0
		case <-asked:
			asked, late = nil, time.After(stopWithin)
			told.Stopping()
			stop() // a second signal ends the process at once
		case <-late:
			log.Error("quartetd did not stop in time: ending without the rest")
			os.Exit(exitFailed)
		}
	}
}

// errAgain is why a process ends that is to start again.
var errAgain = errors.New("asked to start again")

// writable makes sure that dir is a folder that takes files.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// socketPath is where the control socket goes: where the configuration says, or
// in the data folder if that is left at its default and cannot be written.
func socketPath(doc *config.Box, data string) string {
	p := doc.Control.Socket
	if p != config.Default[config.Box]().Control.Socket || writable(filepath.Dir(p)) == nil {
		return p
	}
	return filepath.Join(data, "control.sock")
}
