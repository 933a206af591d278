package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const usage = `Usage: bench [flags]

Measure Quartet against srt-live-transmit and librist, and write report.md and
report.json. --quick gives a first look in about three minutes; its figures are
too few to show anything.

Flags:
`

// parts of the benchmark, in the order they run.
var partNames = []string{"packet", "virtual", "cost", "ramp", "loss"}

// options are the command line.
type options struct {
	bin, out string
	parts    map[string]bool
	quick    bool
	resume   bool
	nice     int

	rateBPS  int64
	latency  time.Duration
	overhead int // percent of parity per stream
	rtts     []time.Duration
	links    []link
	systems  []system

	seeds    int
	seconds  time.Duration
	warmup   time.Duration
	streams  int // path streams at once
	attempts int
	stall    time.Duration
	delay    time.Duration
	lateness float64 // share of packets that the relay may send over 1 ms late

	virtual int // packets for each system and cell

	pairs    int
	costTime time.Duration
	rampTime time.Duration
	ramp     []int
}

// parse reads the command line. What --quick sets, other flags override.
func parse(args []string, errs io.Writer) (options, error) {
	o := options{parts: map[string]bool{}}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	var parts, rtts, links, systems, ramp string
	var mbps float64
	var latencyMS int
	f.StringVar(&o.bin, "bin", "build", "`folder` of quartetd and quartet-gateway")
	f.StringVar(&o.out, "out", "build/bench", "`folder` for the report and the runs")
	f.StringVar(&parts, "parts", strings.Join(partNames, ","), "what to measure, comma separated")
	f.BoolVar(&o.quick, "quick", false, "few and short runs, about three minutes in all")
	f.BoolVar(&o.resume, "resume", false, "keep the runs of part loss that --out holds already, if they were made with the same settings")
	f.IntVar(&o.nice, "nice", -10, "`priority` for real-time runs, if the system allows it; 0 leaves it")
	f.Float64Var(&mbps, "rate", 10, "rate of the stream in `Mbit/s`")
	f.IntVar(&latencyMS, "latency", 250, "total latency in `ms`, the same for every system")
	f.IntVar(&o.overhead, "overhead", 25, "Quartet's parity, `percent` per stream (SRT's packet filter has 30)")
	f.StringVar(&rtts, "rtt", "20,60,100", "round trips in `ms`, comma separated")
	f.StringVar(&links, "links", "loss5,loss10,burst,common", "kinds of bad network, comma separated")
	f.StringVar(&systems, "systems", "all", "systems, comma separated: all, families (quartet, srt, rist) or ids")
	f.IntVar(&o.seeds, "seeds", 10, "`seeds` for each cell")
	f.DurationVar(&o.seconds, "seconds", 8*time.Second, "`time` measured for each seed")
	f.DurationVar(&o.warmup, "warmup", 3*time.Second, "`time` under impairment before that")
	f.IntVar(&o.streams, "streams", 10, "path `streams` that run at once; fewer on a slow machine")
	f.IntVar(&o.attempts, "attempts", 3, "`tries` for a run that the machine spoils")
	f.DurationVar(&o.stall, "stall", 25*time.Millisecond, "longest stall of this program in a run that counts")
	f.DurationVar(&o.delay, "delay", 20*time.Millisecond, "longest `time` beyond the configured latency that a system may hold packets in a run that counts")
	f.Float64Var(&o.lateness, "late", 0.05, "largest `share` of packets that the relay sends over 1 ms late in a run that counts")
	f.IntVar(&o.virtual, "virtual", 2_000_000, "source `packets` of each system and cell in virtual time")
	f.IntVar(&o.pairs, "pairs", 6, "`pairs` of runs for the cost")
	f.DurationVar(&o.costTime, "cost-seconds", 15*time.Second, "`time` measured in each run for the cost")
	f.DurationVar(&o.rampTime, "ramp-seconds", 8*time.Second, "`time` measured at each step of the ramp")
	f.StringVar(&ramp, "ramp", "1,2,4,6,8,10,12,14,16,20,24", "contributions at one gateway, step by step")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(errs, usage)
			f.SetOutput(errs)
			f.PrintDefaults()
		}
		return o, err
	}
	if o.quick {
		quick := map[string]string{
			"rtt": "60", "links": "loss10,common", "seeds": "1", "seconds": "6s", "warmup": "3s", "attempts": "1",
			"virtual": "60000", "pairs": "2", "cost-seconds": "4s", "ramp": "2,4", "ramp-seconds": "3s",
		}
		f.Visit(func(g *flag.Flag) { delete(quick, g.Name) })
		for name, v := range quick {
			f.Set(name, v)
		}
	}
	return o, o.finish(f, parts, rtts, links, systems, ramp, mbps, latencyMS)
}

// finish checks what the flags say and fills in the rest.
func (o *options) finish(f *flag.FlagSet, parts, rtts, links, systems, ramp string, mbps float64, latencyMS int) error {
	if f.NArg() > 0 {
		return fmt.Errorf("argument %q is not a flag: see --help", f.Arg(0))
	}
	for p := range strings.SplitSeq(parts, ",") {
		known := false
		for _, n := range partNames {
			known = known || n == p
		}
		if !known {
			return fmt.Errorf("--parts: there is no %q: use %s", p, strings.Join(partNames, ", "))
		}
		o.parts[p] = true
	}
	r, err := numbers("--rtt", rtts, 0, 1000)
	if err != nil {
		return err
	}
	for _, ms := range r {
		o.rtts = append(o.rtts, time.Duration(ms)*time.Millisecond)
	}
	for id := range strings.SplitSeq(links, ",") {
		found := false
		for _, l := range allLinks() {
			if l.ID == id {
				o.links, found = append(o.links, l), true
			}
		}
		if !found {
			return fmt.Errorf("--links: there is no %q: use loss5, loss10, burst, common", id)
		}
	}
	if o.systems, err = chosen(systems); err != nil {
		return err
	}
	if o.ramp, err = numbers("--ramp", ramp, 1, 200); err != nil {
		return err
	}
	o.rateBPS, o.latency = int64(mbps*1e6), time.Duration(latencyMS)*time.Millisecond
	for _, c := range []struct {
		name      string
		v         float64
		low, high float64
	}{
		{"--rate", mbps, 0.5, 100}, {"--latency", float64(latencyMS), 60, 10000}, {"--overhead", float64(o.overhead), 1, 200},
		{"--seeds", float64(o.seeds), 1, 1000}, {"--seconds", o.seconds.Seconds(), 1, 3600}, {"--warmup", o.warmup.Seconds(), 0.5, 600},
		{"--streams", float64(o.streams), 4, 100}, {"--attempts", float64(o.attempts), 1, 100},
		{"--virtual", float64(o.virtual), 5000, 1e9}, {"--pairs", float64(o.pairs), 1, 100},
		{"--cost-seconds", o.costTime.Seconds(), 1, 600}, {"--ramp-seconds", o.rampTime.Seconds(), 1, 600},
	} {
		if c.v < c.low || c.v > c.high {
			return fmt.Errorf("%s is %v: use %v to %v", c.name, c.v, c.low, c.high)
		}
	}
	return nil
}

func numbers(flag, list string, low, high int) (n []int, err error) {
	for s := range strings.SplitSeq(list, ",") {
		v, err := strconv.Atoi(s)
		if err != nil || v < low || v > high {
			return nil, fmt.Errorf("%s: %q: use numbers from %d to %d, comma separated", flag, s, low, high)
		}
		n = append(n, v)
	}
	return n, nil
}

// cells of parts loss and virtual.
func (o *options) cells() (all []cell) {
	for _, rtt := range o.rtts {
		for _, l := range o.links {
			all = append(all, cell{rtt, l})
		}
	}
	return all
}

// say writes a line of progress.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
