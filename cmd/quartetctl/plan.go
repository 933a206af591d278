package main

import (
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"quartet/uplink"
)

var planCommand = command{
	name:  "plan",
	short: "show how a total latency would be used",
	long: `
Shows how the planner divides a total latency between SRT's retransmissions, the
stagger and the FEC block, and what parity it chooses, or why it cannot. Nothing
needs to run.

$ quartetctl plan --rate 10M --rtt 60ms --loss 2% --latency 300ms --overhead 9%`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		d := uplink.Demand{BitrateBPS: 10_000_000, RTT: 50 * time.Millisecond, LossPercent: 1, Latency: 500 * time.Millisecond,
			OverheadPercent: 10, Streams: 4, Stagger: 15 * time.Millisecond, PacketsPerMessage: 7}
		f.Var(rateFlag{&d.BitrateBPS}, "rate", "highest bit `RATE` of the feed, such as 10M or 800k")
		f.Var(durationFlag{&d.RTT}, "rtt", "longest round-trip `TIME` of the paths, such as 60ms")
		f.Var(percentFlag{&d.LossPercent}, "loss", "`PERCENT` of packets that a path loses")
		f.Var(durationFlag{&d.Latency}, "latency", "total latency, a `TIME`")
		f.Var(percentFlag{&d.OverheadPercent}, "overhead", "repair packets of each stream, in `PERCENT`; 0 for none")
		f.IntVar(&d.Streams, "streams", d.Streams, "rtp-fec paths of the contribution")
		f.Var(durationFlag{&d.Stagger}, "stagger", "largest stagger among the paths, a `TIME`")
		f.Var(durationFlag{&d.Skew}, "skew", "largest difference of delay among the paths, a `TIME`")
		f.Var(durationFlag{&d.PeerHop}, "peer-hop", "latency between two gateways, a `TIME`")
		f.IntVar(&d.PacketsPerMessage, "ts-packets", d.PacketsPerMessage, "transport stream packets in a message, 1 to 7")
		asJSON := f.Bool("json", false, "print JSON")
		return func(e *env, _ []string) error {
			p, err := uplink.NewPlan(d)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(e, p, true)
			}
			printPlan(e, d, p)
			return nil
		}
	},
}

func printPlan(e *env, d uplink.Demand, p uplink.Plan) {
	ms := func(t time.Duration) string { return fmt.Sprintf("%.4g ms", float64(t)/float64(time.Millisecond)) }
	row := func(name, format string, args ...any) {
		const indent = "                    "
		fmt.Fprintf(e.out, "%-18s  %s\n", name, wrap(fmt.Sprintf(format, args...), indent, e.screen.width-len(indent)))
	}
	row("total latency", "%s", ms(p.Latency))
	if p.ARQRounds > 0 {
		row("  SRT latency", "%s, %.1f round trips", ms(p.SRTLatency), p.ARQRounds)
	} else {
		row("  SRT latency", "%s", ms(p.SRTLatency))
	}
	if p.Spare > 0 {
		row("    to spare", "%s of it", ms(p.Spare))
	}
	row("  stagger", "%s", ms(p.Stagger))
	row("  FEC bound", "%s", ms(p.FECBound))
	if p.Reserve > 0 {
		row("  reserve", "%s", ms(p.Reserve))
	}
	if p.Rows > 0 {
		row("code", "K %d, %d rows on each of %d streams (%.1f %%), blocks of up to %s", p.K, p.Rows, p.Streams, 100*p.Overhead, ms(p.MaxBlock))
	} else {
		row("code", "no parity")
	}
	row("rate of a stream", "%.2f Mbit/s with headers and parity, before retransmissions (feed %.2f Mbit/s)", float64(p.WireBPS)/1e6, float64(d.BitrateBPS)/1e6)
	for _, n := range p.Notes {
		row("note", "%s", n)
	}
}

// rateFlag reads 10M, 800k, 10Mbit/s, 10000000.
type rateFlag struct{ bps *int64 }

func (r rateFlag) String() string {
	if r.bps == nil {
		return ""
	}
	return bitrate(*r.bps)
}

func (r rateFlag) Set(s string) error {
	number := strings.TrimSuffix(strings.TrimSuffix(s, "bit/s"), "bps")
	factor := 1.0
	if i := len(number) - 1; i > 0 {
		if x := strings.IndexByte("kMG", number[i]); x >= 0 {
			factor, number = math.Pow(1000, float64(x+1)), number[:i]
		}
	}
	x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(x > 0) || x*factor > 1e12 {
		return fmt.Errorf("write a rate such as 10M or 800k")
	}
	*r.bps = int64(x * factor)
	return nil
}

// durationFlag reads 60ms, 1.5s, or a bare number of milliseconds.
type durationFlag struct{ d *time.Duration }

func (f durationFlag) String() string {
	if f.d == nil || *f.d == 0 {
		return ""
	}
	return f.d.String()
}

func (f durationFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if n, e := strconv.ParseUint(s, 10, 31); e == nil {
		d, err = time.Duration(n)*time.Millisecond, nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("write a time such as 60ms")
	}
	*f.d = d
	return nil
}

// percentFlag reads 2, 2% or 0.5.
type percentFlag struct{ p *float64 }

func (f percentFlag) String() string {
	if f.p == nil {
		return ""
	}
	return strconv.FormatFloat(*f.p, 'g', -1, 64)
}

func (f percentFlag) Set(s string) error {
	x, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || !(x >= 0 && x <= 1000) {
		return fmt.Errorf("write a percentage such as 2%%")
	}
	*f.p = x
	return nil
}
