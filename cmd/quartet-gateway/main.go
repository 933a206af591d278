// Command quartet-gateway receives the redundant streams of any number of
// boxes at a cloud leg, merges and repairs each contribution, and hands it on.
//
// Reading order: main.go (flags, log, signals), build.go (from the
// configuration's words to the parts), lines.go (what is pasted into a box).
// The packets' way begins in uplink/gateway.
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
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"quartet/cmd/internal/logging"
	"quartet/cmd/internal/socket"
	"quartet/device/config"
	"quartet/uplink/gateway"
	"quartet/uplink/srt"
)

var version = "unknown" // set by the linker

const usage = `quartet-gateway receives redundant streams, merges and repairs them, and hands them on.

Usage:
  quartet-gateway run --config FILE     read FILE and work until SIGTERM
  quartet-gateway check --config FILE   say what is wrong with FILE, if anything
  quartet-gateway version               print the version

Flags of run and check:
  --check               with run: the same as the command check
  --host NAME           name or address under which boxes reach this gateway,
                        for the srt:// lines that are pasted into a box
                        (default: the listener's address, else the host name)
  --print-secrets       print those lines whole. Without it passphrase and key
                        are left out, because standard output often ends in a
                        log collector
  --lines-file FILE     write the whole lines to FILE (mode 0600)

Signals:
  SIGHUP            read the configuration again and change only what it changes:
                    new keys and passphrases take effect without a break
  SIGTERM, SIGINT   release what is held, then end (exit 0 within 3 s)

Watch it over HTTP (http.listen, default 127.0.0.1:9464):
  /status  /metrics  /healthz  /readyz

Exit status: 0 ended as asked, 1 failed while running, 2 wrong usage or configuration.
An example of a configuration: quartetctl config example gateway
`

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

// stopWithin is when a process that was told to stop ends even if a part of it
// does not.
const stopWithin = 2500 * time.Millisecond

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

// arguments are the flags of run and check.
type arguments struct {
	file, host, linesFile string
	secrets, check        bool
}

func command(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	fail := func(format string, a ...any) int {
		_, _ = fmt.Fprintf(stderr, "quartet-gateway: "+format+" (quartet-gateway --help)\n", a...)
		return exitUsage
	}
	switch args[0] {
	case "-h", "--help", "help":
		_, _ = io.WriteString(stdout, usage)
		return 0
	case "version", "--version":
		_, _ = fmt.Fprintln(stdout, "quartet-gateway", version)
		return 0
	case "run", "check":
	default:
		return fail("unknown command %q: use run, check or version", args[0])
	}
	var a arguments
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.file, "config", "", "")
	flags.StringVar(&a.host, "host", "", "")
	flags.StringVar(&a.linesFile, "lines-file", "", "")
	flags.BoolVar(&a.secrets, "print-secrets", false, "")
	flags.BoolVar(&a.check, "check", args[0] == "check", "")
	switch err := flags.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, usage)
		return 0
	case err != nil:
		return fail("%s: %v", args[0], err)
	case flags.NArg() > 0:
		return fail("%s: unexpected argument %q", args[0], flags.Arg(0))
	case a.file == "":
		return fail("%s: --config is missing: give the file of the configuration", args[0])
	}

	doc, cfg, err := load(a.file, stderr)
	if err == nil {
		err = printLines(stdout, doc, a)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "quartet-gateway:", err)
		return exitUsage
	}
	if a.check {
		_, _ = fmt.Fprintln(stdout, "ok:", summary(cfg))
		return 0
	}
	return run(doc, cfg, a.file, stderr)
}

// load reads and checks a configuration; warnings go to w.
func load(file string, w io.Writer) (*config.Gateway, gateway.Config, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, gateway.Config{}, fmt.Errorf("configuration: %w", err)
	}
	doc, warnings, err := config.ParseGateway(b)
	for _, i := range warnings {
		_, _ = fmt.Fprintf(w, "%s: warning: %v\n", file, i)
	}
	if err == nil {
		if issues := socket.CheckGateway(doc); len(issues) > 0 {
			err = issues
		}
	}
	var issues config.Issues
	if errors.As(err, &issues) {
		issues.Locate(b)
		lines := make([]string, len(issues))
		for i := range issues {
			lines[i] = file + ": " + issues[i].String()
		}
		return nil, gateway.Config{}, errors.New(strings.Join(lines, "\n"))
	}
	if err != nil {
		return nil, gateway.Config{}, fmt.Errorf("%s: %w", file, err)
	}
	cfg, err := build(doc)
	if err == nil {
		err = cfg.Check()
	}
	if err != nil {
		return nil, cfg, fmt.Errorf("%s: %w", file, err)
	}
	return doc, cfg, nil
}

func run(doc *config.Gateway, cfg gateway.Config, file string, stderr io.Writer) int {
	log := logging.New(doc.Log, stderr)
	// libsrt writes from its own threads.
	srt.SetLogger(log)
	// Packets allocate nothing; what is collected comes from reports and
	// scrapes. Half the default pace keeps the collector out of the way.
	debug.SetGCPercent(200)
	srt.Startup()
	defer srt.Cleanup()

	start := time.Now()
	cfg.Log, cfg.Now, cfg.Version = log, func() time.Duration { return time.Since(start) }, version
	g, err := gateway.New(cfg)
	if err != nil {
		log.Error("start", "err", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	log.Info("quartet-gateway runs", "version", version, "gateway", doc.Name, "what", summary(cfg), "libsrt", srt.Version())
	var late <-chan time.Time
	asked := ctx.Done()
	for {
		select {
		case err := <-ended:
			if err != nil {
				log.Error("quartet-gateway ends", "err", err)
				return exitFailed
			}
			log.Info("quartet-gateway ends", "uptime", time.Since(start).Round(time.Second).String())
			return 0
		case <-asked:
			asked, late = nil, time.After(stopWithin)
			stop() // a second signal ends the process at once
		case <-late:
			log.Error("quartet-gateway did not stop in time: ending without the rest")
			os.Exit(exitFailed)
		case <-hup:
			reload(g, file, log, stderr)
		}
	}
}

// reload puts a changed configuration into force, or says why not.
func reload(g *gateway.Gateway, file string, log *slog.Logger, stderr io.Writer) {
	_, cfg, err := load(file, stderr)
	if err != nil {
		log.Error("configuration not applied; what ran goes on", "err", err)
		return
	}
	if err := g.Apply(cfg); err != nil {
		log.Error("configuration applied but for this", "err", err)
		return
	}
	log.Info("configuration applied", "what", summary(cfg))
}

// summary says in a few words what a configuration makes.
func summary(cfg gateway.Config) string {
	in, peers, outs := 0, 0, 0
	for _, k := range cfg.Contributions {
		in += len(k.Inputs)
		peers += len(k.Peers)
		outs += len(k.Outputs)
	}
	return fmt.Sprintf("%d contributions, %d inputs, %d peers, %d outputs", len(cfg.Contributions), in, peers, outs)
}
