package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quartet/tests/demo"
)

var demoCommand = command{
	name:  "demo",
	short: "play the whole chain on this machine, with a bad network",
	long: `
Starts a live test picture, a box with four paths and its page, a network in
trouble, two legs of two gateways each, and receivers that compare what comes
out with what went in. Everything runs on the loopback of this machine. Ctrl-C
ends it.

With --duration it ends by itself; the exit code is 0 only if no leg that still
had a live path lost a packet, and the pair of legs lost none at all.

$ quartetctl demo --duration 30s
$ quartetctl demo --input udp://239.1.1.1:5000?iface=eth1`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		o := demo.Options{}
		f.StringVar(&o.Bin, "bin", "", "`FOLDER` of the programs (default that of quartetctl)")
		f.Var(secondsFlag{&o.Duration}, "duration", "end after this `TIME`, such as 30s or 30; without it, at Ctrl-C")
		f.StringVar(&o.Input, "input", "", "`URL` of a feed of your own (udp:// or rtp://), or a V4L2 device (/dev/video0), instead of the test picture")
		f.Var(durationFlag{&o.Latency}, "latency", "total latency, a `TIME` (default 300ms)")
		f.Uint64Var(&o.Seed, "seed", 1, "`NUMBER` that the network's trouble follows from")
		f.StringVar(&o.Collector, "collector", "", "`PROGRAM` of an OpenTelemetry Collector, the box's telemetry home; without it the box stays unclaimed")
		f.StringVar(&o.Dir, "dir", "", "`FOLDER` for configurations, logs and a picture (default FOLDER of the programs/demo-run)")
		return func(e *env, _ []string) error {
			if o.Bin == "" {
				exe, err := os.Executable()
				if err != nil {
					return fmt.Errorf("%w; give --bin", err)
				}
				o.Bin = filepath.Dir(exe)
			}
			if o.Dir == "" {
				o.Dir = filepath.Join(o.Bin, "demo-run")
			}
			o.Out, o.Live = e.out, e.screen.tty
			return demo.Run(e.ctx, o)
		}
	},
}

// secondsFlag reads 30, 30s or 1m30s.
type secondsFlag struct{ d *time.Duration }

func (f secondsFlag) String() string {
	if f.d == nil || *f.d == 0 {
		return ""
	}
	return f.d.String()
}

func (f secondsFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		if d, err = time.ParseDuration(s + "s"); err != nil {
			return fmt.Errorf("write seconds, such as 30, or a time such as 1m30s")
		}
	}
	if d < 5*time.Second {
		return fmt.Errorf("the play needs at least 5 s")
	}
	*f.d = d
	return nil
}
