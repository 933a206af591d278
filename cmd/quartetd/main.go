// Command quartetd is the box's media plane: it reads one feed and sends it as
// redundant streams, as its configuration says.
//
// Reading order: main.go (flags, log, signals), build.go (the chain, from the
// configuration's words to the parts), box.go (running and reloading it),
// watch.go (conditions), status.go (what the control socket shows).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"quartet/cmd/internal/boxplan"
	"quartet/device/config"
	"quartet/uplink/srt"
)

var version = "unknown" // set by the linker

const usage = `quartetd sends one feed as redundant streams with Reed-Solomon FEC over SRT.

Usage:
  quartetd run --config FILE --data DIR   read FILE and send until SIGTERM
  quartetd check --config FILE            say what is wrong with FILE, and the plan if nothing is
  quartetd version                        print the version

Signals:
  SIGHUP            read the configuration again and change only what it changes
  SIGTERM, SIGINT   send what is under way, then end (exit 0 within 3 s)

Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage or configuration.
An example of a configuration: quartetctl config example box
`

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

func command(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "", "")
	data := flags.String("data", "", "")
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
	doc, err := load(*file, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "quartetd:", err)
		return exitUsage
	}
	if args[0] == "check" {
		plan, err := boxplan.Of(doc)
		if err != nil {
			fmt.Fprintln(stderr, "quartetd:", err)
			return exitUsage
		}
		fmt.Fprintln(stdout, "ok:", plan)
		for _, n := range plan.Notes {
			fmt.Fprintln(stdout, "note:", n)
		}
		return 0
	}
	return run(doc, *file, *data, stderr)
}

// load reads and checks a configuration; warnings go to w.
func load(file string, w io.Writer) (*config.Box, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	doc, warnings, err := config.ParseBox(b)
	for _, i := range warnings {
		fmt.Fprintf(w, "%s: warning: %v\n", file, i)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return doc, nil
}

func run(doc *config.Box, file, data string, stderr io.Writer) int {
	log := newLogger(doc.Log, stderr)
	if err := os.MkdirAll(data, 0o750); err != nil {
		log.Error("data folder", "err", err)
		return exitFailed
	}
	// The packet path allocates nothing; what is left is control traffic. A
	// small, rare collection keeps the heap flat without touching the packets.
	debug.SetGCPercent(200)
	srt.Startup()
	defer srt.Cleanup()

	// The origin of "now": every instant in the media plane counts from here.
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }

	b, err := newBox(doc, boxOptions{
		file: file, data: data, now: now, start: start, log: log,
		socket: socketPath(doc, data),
	})
	if err != nil {
		log.Error("start", "err", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	log.Info("quartetd runs", "version", version, "box", doc.Name, "plan", b.plan().String(), "control", b.opts.socket)
	if err := b.run(ctx, hup); err != nil {
		log.Error("quartetd ends", "err", err)
		return exitFailed
	}
	log.Info("quartetd ends", "uptime", time.Since(start).Round(time.Second).String())
	return 0
}

// socketPath is where the control socket goes: where the configuration says, or
// in the data folder if that is left at its default and cannot be written.
func socketPath(doc *config.Box, data string) string {
	p := doc.Control.Socket
	if p != config.Default[config.Box]().Control.Socket {
		return p
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o750); err == nil {
		if f, err := os.CreateTemp(filepath.Dir(p), ".probe-*"); err == nil {
			f.Close()
			os.Remove(f.Name())
			return p
		}
	}
	return filepath.Join(data, "control.sock")
}

func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
