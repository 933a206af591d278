package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// run is the program: 0 when the whole report was written, 1 when something
// could not be measured, 2 on a wrong command line or a missing program.
func run(ctx context.Context, args []string) int {
	o, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = o.needed()
	}
	if err == nil {
		err = os.MkdirAll(o.out, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	r := &report{Started: time.Now(), Quick: o.quick, Settings: settingsOf(o)}
	r.Machine = lookAtMachine(o, 0)
	// Last, so that a program asked for its version is not in anyone's way.
	if o.nice != 0 {
		r.Machine.Nice = hasten(o.nice)
	}
	say("machine: %d cores, load %s, nice %d", r.Machine.Cores, r.Machine.Load, r.Machine.Nice)
	r.measure(ctx, o)
	if err := r.write(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	say("report: %s", filepath.Join(o.out, "report.md"))
	for _, e := range r.Errors {
		say("not measured: %s", e)
	}
	if len(r.Errors) > 0 {
		return 1
	}
	return 0
}

// needed checks for the programs before hours are spent.
func (o *options) needed() error {
	need := map[string]string{}
	if o.parts["loss"] || o.parts["cost"] {
		need["srt-live-transmit"] = "install srt-tools"
		need[filepath.Join(o.bin, "quartetd")] = "run make build, or give --bin"
	}
	if o.parts["loss"] {
		need["ristsender"], need["ristreceiver"] = "install rist-tools", "install rist-tools"
	}
	if o.parts["ramp"] {
		need["taskset"] = "install util-linux"
		need[filepath.Join(o.bin, "quartet-gateway")] = "run make build, or give --bin"
	}
	var errs []error
	for program, remedy := range need {
		if _, err := exec.LookPath(program); err != nil {
			errs = append(errs, fmt.Errorf("%s is missing: %s", program, remedy))
		}
	}
	return errors.Join(errs...)
}

// measure runs the parts. One that fails leaves the others alone; after each,
// what is there so far is written.
func (r *report) measure(ctx context.Context, o options) {
	for _, part := range partNames {
		if !o.parts[part] || ctx.Err() != nil {
			continue
		}
		var err error
		switch part {
		case "packet":
			r.Packet, err = measurePacketPath(ctx, o)
		case "virtual":
			r.Virtual, err = simulateAll(ctx, o)
		case "cost":
			r.Cost, err = measureCost(ctx, o)
		case "ramp":
			r.Ramp, err = measureRamp(ctx, o)
		case "loss":
			r.Loss, err = measureLoss(ctx, o)
		}
		if err == nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil {
			r.Errors = append(r.Errors, fmt.Sprintf("%s: %v", part, err))
		}
		if err := r.write(o); err != nil {
			r.Errors = append(r.Errors, err.Error())
		}
	}
}
