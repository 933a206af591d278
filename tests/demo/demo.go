// Package demo shows the whole chain on one machine: a live test picture, a box
// with four paths, a network that is in trouble all the time, two legs of two
// gateways each, and a receiver of each leg that checks every packet against
// what went in.
//
// The way of the data:
//
//	quartet-engine ─▶ feed ─ UDP ─▶ quartetd ─ SRT ×4 ─▶ relays ─▶ quartet-gateway ×4 ─ RTP ─▶ receivers
//	                    └───────────── ledger: what went in ◀── compared ──┘
//
// quartetd, quartet-gateway and quartet-manage, which serves the box's page, are
// the real programs in processes of their own, and so is the OpenTelemetry
// Collector that the box reports to; the relays and the receivers run here.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"quartet/tests/collector"
	"quartet/tests/ledger"
	"quartet/tests/relay"
	"quartet/tests/stall"
)

// Options of a demo.
type Options struct {
	Bin      string        // folder of the programs
	Duration time.Duration // 0: until interrupted
	Input    string        // udp:// or rtp:// address of a feed of the user's own, or a V4L2 device /dev/videoN; "": the test picture
	Latency  time.Duration // total; 0: 300 ms
	// Collector is the program of an OpenTelemetry Collector, which is then the
	// box's telemetry home; "": there is none, and the box stays unclaimed.
	Collector string
	Dir       string // for configurations, logs and the picture; emptied first
	Seed      uint64 // of the network's trouble
	Out       io.Writer
	Live      bool // Out is a terminal: redraw the table in place
}

// ErrLost is returned when a packet was lost that should not have been.
var ErrLost = errors.New("packets were lost that should have come through")

// gatewayNames in the order of the paths: leg and gateway of the leg.
var gatewayNames = []string{"1a", "1b", "2a", "2b"}

// demo is a run.
type demo struct {
	opts  Options
	start time.Time

	group   *relay.Group
	relays  []*relay.Relay
	ledger  *ledger.Ledger
	outs    []*receiver
	box     *process
	manage  *process // the page
	feed    *feed
	home    *collector.Collector // nil: none
	stall   *stall.Watch
	gws     []*process
	plan    plan
	trouble string // what the network suffers from now, in words
	mu      sync.Mutex
	cuts    []ledger.Span // leg 2 was cut off entirely

	checked time.Duration // input up to here is in sums and forgotten
	sums    [3]ledger.Result
}

// Run runs the demo until its time is over or ctx ends, and prints a summary.
// The error is ErrLost if the chain failed its promise.
func Run(ctx context.Context, o Options) error {
	if o.Latency == 0 {
		o.Latency = 300 * time.Millisecond
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	o.Dir = dir
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	// A socket's path may be no longer than some 100 bytes.
	run, err := os.MkdirTemp("", "quartet-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(run)
	d := &demo{opts: o, start: time.Now(), ledger: ledger.New()}
	d.plan.control = filepath.Join(run, "control.sock")
	// Network and receivers outlive ctx: Ctrl-C ends the feed, and what is under
	// way then still comes out and is compared.
	d.stall = stall.Start()
	defer d.stall.Stop()
	play, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()

	if err := d.setUp(); err != nil {
		return err
	}
	defer d.stopAll()
	wg.Go(func() { d.group.Run(play) })
	for _, r := range d.outs {
		wg.Go(func() { r.run(play) })
	}
	if err := d.startPrograms(ctx); err != nil {
		return err
	}
	if err := d.waitUntilUp(ctx); err != nil {
		return err
	}
	if err := d.startHome(ctx); err != nil {
		return fmt.Errorf("telemetry home: %w", err)
	}
	d.feed, err = startFeed(ctx, &o, d.plan.feed, d.ledger, d.now, filepath.Join(o.Dir, "feed.log"))
	if err != nil {
		return err
	}
	feed := d.feed
	d.printHead()
	select {
	case <-ctx.Done():
	case <-feed.flowing:
	case <-feed.done:
	case <-time.After(20 * time.Second):
		feed.stop()
		if o.Input != "" {
			return fmt.Errorf("input: %s: no packet came within 20 s: is it sent to this machine, and to this address and interface?", o.Input)
		}
		return fmt.Errorf("no packet from the test picture within 20 s (log: %s)", feed.log)
	}

	began := d.now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var failed error
	for ctx.Err() == nil && failed == nil {
		elapsed := d.now() - began
		if o.Duration > 0 && elapsed >= o.Duration {
			break
		}
		d.setTrouble(elapsed)
		select {
		case <-ctx.Done():
		case <-feed.done:
			failed = fmt.Errorf("the feed ended: %w (log: %s)", feed.err, feed.log)
		case p := <-d.exited():
			failed = fmt.Errorf("%s ended by itself: %w (log: %s)", p.name, p.err, p.log)
		case <-tick.C:
			d.printTable(elapsed)
			if d.now()-d.checked > time.Minute {
				d.check(5*time.Second + d.opts.Latency) // what is older has come out or is lost
			}
		}
	}
	feed.stop()
	d.endTrouble()
	// What is under way comes out within the latency.
	time.Sleep(d.opts.Latency + 700*time.Millisecond)
	lost := d.printSummary()
	d.stopAll() // home last, and so complete
	d.printHome()
	return errors.Join(failed, lost)
}

func (d *demo) now() time.Duration { return time.Since(d.start) }

// setUp opens the sockets of receivers and relays and writes the configurations.
func (d *demo) setUp() error {
	if err := d.plan.choosePorts(); err != nil {
		return err
	}
	for i, name := range gatewayNames {
		r, err := newReceiver(d.plan.rtp[i], d.ledger.Output("gateway "+name), d.now)
		if err != nil {
			return err
		}
		d.outs = append(d.outs, r)
	}
	g, err := relay.NewGroup(relay.GroupConfig{Seed: d.opts.Seed})
	if err != nil {
		return err
	}
	d.group = g
	for i, name := range gatewayNames {
		r, err := g.Add(relay.Config{
			Name: name, Listen: netip.MustParseAddrPort("127.0.0.1:0"), Upstream: d.plan.srt[i],
			Up: quiet, Down: quiet,
		})
		if err != nil {
			return err
		}
		d.relays = append(d.relays, r)
	}
	return d.writeConfigs()
}

// stopAll ends the programs, gateways last so that they hand on what the box
// still sends.
func (d *demo) stopAll() {
	for _, p := range []*process{d.manage, d.box} {
		if p != nil {
			p.stop()
		}
	}
	var wg sync.WaitGroup
	for _, g := range d.gws {
		wg.Go(g.stop)
	}
	wg.Wait()
	d.group.Close()
	if d.home != nil {
		_ = d.home.Stop() // it may have ended with us, at Ctrl-C
	}
}

// waitUntilUp waits until the box has all four paths.
func (d *demo) waitUntilUp(ctx context.Context) error {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("the four paths are not up after 20 s; logs are in %s", d.opts.Dir)
		case p := <-d.exited():
			return fmt.Errorf("%s ended at start: %w\n%s", p.name, p.err, p.tail())
		case <-tick.C:
			if s, err := d.status(ctx); err == nil && s.pathsUp() == len(gatewayNames) {
				return nil
			}
		}
	}
}

// lock makes a folder one demo's own.
func lock(dir string) (unlock func(), err error) {
	f, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another demo runs in %s: end it, or give this one a folder of its own with --dir (make demo DEMO_FLAGS='--dir FOLDER')", dir)
	}
	return func() { f.Close() }, nil
}
