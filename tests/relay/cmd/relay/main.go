// Command relay runs the impairment relay of package quartet/tests/relay: one
// relay from flags, or all relays of a scenario file. It writes JSON lines to
// standard output: where it listens, each step, the counters.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"quartet/tests/relay"
)

const usage = `Usage: relay [flags]

Pass UDP datagrams between clients and an upstream, badly. The same seed gives
the n-th packet the same fate in every run.

  relay --listen 127.0.0.1:7001 --upstream 127.0.0.1:9001 --seed 1 \
        --both '{"delay_ms": 20}' --up '{"burst": {"loss": 0.01, "mean_packets": 10}}'
  relay --scenario four-paths.json --stats 1s

Fields of an impairment (times in ms, rates as shares from 0 to 1):
  loss, loss_common                         independent loss; share common to all relays
  burst {loss, mean_packets|mean_ms, common}  loss in bursts
  delay_ms, jitter_ms                       constant delay; extra delay that wanders
  reorder, duplicate {rate, by_ms}          a share held back, or sent twice
  flip {rate, from}                         one bit inverted, from this byte on
  dead, blackouts [{start_ms, duration_ms, period_ms}]
  rate_bps, queue_ms                        rate limit and its queue
  mtu                                       longer IP packets vanish

A line of a scenario's "steps", without at_ms, changes running relays when it
is written to standard input with --commands.

Flags:
`

// options are the command line.
type options struct {
	scenario         string
	listen, upstream string
	name             string
	seed             uint64
	patch            relay.Patch
	epoch            string
	quantum, stats   time.Duration
	commands         bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: 0 after a stop by signal, 1 on failure, 2 on a wrong
// command line.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	o, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errs, "relay:", err)
		return 2
	}
	s, gc, err := o.build()
	if err != nil {
		fmt.Fprintln(errs, "relay:", err)
		return 2
	}
	if err := serve(ctx, o, s, gc, in, out); err != nil {
		fmt.Fprintln(errs, "relay:", err)
		return 1
	}
	return 0
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	raw := func(dst *json.RawMessage) func(string) error {
		return func(s string) error { *dst = json.RawMessage(s); return nil }
	}
	f := flag.NewFlagSet("relay", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.scenario, "scenario", "", "JSON `file` of relays and steps, instead of the flags for one relay")
	f.StringVar(&o.listen, "listen", "127.0.0.1:0", "`address` for clients; port 0 takes a free one")
	f.StringVar(&o.upstream, "upstream", "", "`address` that their datagrams go to")
	f.StringVar(&o.name, "name", "", "tells relays with one seed apart (default: the upstream's address)")
	f.Uint64Var(&o.seed, "seed", 1, "seed of every draw")
	f.Func("both", "impairment of both directions, a JSON `object`", raw(&o.patch.Both))
	f.Func("up", "what differs from client to upstream, a JSON `object`", raw(&o.patch.Up))
	f.Func("down", "what differs from upstream to client, a JSON `object`", raw(&o.patch.Down))
	f.StringVar(&o.epoch, "epoch", "", "zero of steps, blackouts and common loss, RFC 3339 or Unix `seconds`\n(default: now for steps and blackouts, 1970 for common loss)")
	f.DurationVar(&o.quantum, "quantum", 0, "rest between two rounds; more costs less CPU and adds as much delay (default 500µs)")
	f.DurationVar(&o.stats, "stats", 0, "write the counters each `interval`, not only at the end")
	f.BoolVar(&o.commands, "commands", false, "read steps from standard input, one JSON object a line")
	f.Usage = func() {}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(errs, usage)
			f.SetOutput(errs)
			f.PrintDefaults()
		}
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("argument %q is not a flag: see --help", f.Arg(0))
	}
	return o, nil
}

// build turns the command line into a scenario and what all relays share.
func (o options) build() (*relay.Scenario, relay.GroupConfig, error) {
	gc := relay.GroupConfig{Quantum: o.quantum}
	if o.epoch == "" {
		start := time.Now()
		gc.Now, gc.CommonOffset = relay.Epoch(start), time.Duration(start.UnixNano())
	} else {
		zero, err := time.Parse(time.RFC3339Nano, o.epoch)
		if unix, e := strconv.ParseFloat(o.epoch, 64); e == nil {
			zero, err = time.Unix(0, int64(unix*1e9)), nil
		}
		if err != nil {
			return nil, gc, fmt.Errorf("--epoch is %q: give RFC 3339 or Unix seconds", o.epoch)
		}
		gc.Now = relay.Epoch(zero)
	}
	if o.scenario != "" {
		text, err := os.ReadFile(o.scenario)
		if err != nil {
			return nil, gc, fmt.Errorf("--scenario: %w", err)
		}
		s, err := relay.ParseScenario(text)
		return s, gc, err
	}
	for flag, addr := range map[string]string{"--listen": o.listen, "--upstream": o.upstream} {
		if _, err := netip.ParseAddrPort(addr); err != nil {
			return nil, gc, fmt.Errorf("%s is %q: give IP address and port", flag, addr)
		}
	}
	spec := relay.RelaySpec{Name: o.name, Listen: o.listen, Upstream: o.upstream, Patch: o.patch}
	if spec.Name == "" {
		spec.Name = o.upstream
	}
	s := &relay.Scenario{Seed: o.seed, Relays: []relay.RelaySpec{spec}}
	_, err := s.Configs()
	return s, gc, err
}

// event is a line of the output.
type event struct {
	Event  string        `json:"event"`
	AtMS   int64         `json:"at_ms"`
	Note   string        `json:"note,omitempty"`
	Error  string        `json:"error,omitempty"`
	Relays []relay.Stats `json:"relays,omitempty"`
}

// serve runs the relays until ctx is done.
func serve(ctx context.Context, o options, s *relay.Scenario, gc relay.GroupConfig, in io.Reader, out io.Writer) error {
	g, err := s.Group(gc)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	say := func(e event) error {
		e.AtMS = g.Now().Milliseconds()
		return enc.Encode(e)
	}
	if err := say(event{Event: "listening", Relays: g.Stats()}); err != nil {
		g.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- g.Run(ctx) }()
	var lines chan string
	if o.commands {
		lines = make(chan string)
		// A read from a terminal cannot be called off: this goroutine ends
		// with its input or with the process.
		go readLines(ctx, in, lines)
	}
	var tick <-chan time.Time
	if o.stats > 0 {
		t := time.NewTicker(o.stats)
		defer t.Stop()
		tick = t.C
	}
	step := time.NewTimer(time.Hour)
	defer step.Stop()
	for next := 0; ; {
		for next < len(s.Steps) && stepAt(s, next) <= g.Now() {
			if err := say(event{Event: "step", Note: s.Steps[next].Note}); err != nil {
				return errors.Join(err, stop(cancel, ran))
			}
			next++
		}
		if next < len(s.Steps) {
			step.Reset(stepAt(s, next) - g.Now())
		}
		e := event{Event: "stats"}
		select {
		case err := <-ran:
			if err == nil {
				err = say(event{Event: "end", Relays: g.Stats()})
			}
			return err
		case <-step.C:
			continue
		case <-tick:
			e.Relays = g.Stats()
		case line, ok := <-lines:
			if !ok {
				lines = nil
				continue
			}
			e = command(g, line)
		}
		if err := say(e); err != nil {
			return errors.Join(err, stop(cancel, ran))
		}
	}
}

func stepAt(s *relay.Scenario, n int) time.Duration {
	return time.Duration(s.Steps[n].AtMS * float64(time.Millisecond))
}

// stop ends the relays and waits for them.
func stop(cancel func(), ran <-chan error) error {
	cancel()
	return <-ran
}

func readLines(ctx context.Context, in io.Reader, lines chan<- string) {
	defer close(lines)
	for sc := bufio.NewScanner(in); sc.Scan(); {
		select {
		case lines <- sc.Text():
		case <-ctx.Done():
			return
		}
	}
}

// command applies one line of standard input.
func command(g *relay.Group, line string) event {
	step, err := relay.ParseStep([]byte(line))
	if err == nil && step.AtMS != 0 {
		err = fmt.Errorf("at_ms is %v: a command acts at once, leave it out", step.AtMS)
	}
	if err == nil {
		err = g.Apply(step)
	}
	if err != nil {
		return event{Event: "refused", Error: err.Error()}
	}
	return event{Event: "command", Note: step.Note}
}
