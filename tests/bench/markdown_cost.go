package main

import (
	"bytes"
	"fmt"
	"strings"
)

// ratio gives an estimate with its bounds for people.
func ratio(e Estimate, unit string) string {
	return fmt.Sprintf("%.2f%s (%.2f to %.2f)", e.Value, unit, e.Low, e.High)
}

func (r *report) costText(b *bytes.Buffer) {
	c := r.Cost
	if c == nil {
		return
	}
	fmt.Fprintf(b, "## Cost\n\n")
	fmt.Fprintf(b, "One stream of %d Mbit/s over UDP into quartetd, four AES-256 `rtp-fec` paths to four quartet-gateway processes, against four srt-live-transmit processes that take the same stream over UDP and send it with AES-256 to four more. "+
		"Latency %d ms, no relay, no loss. A GB is 10⁹ bytes of transport stream, counted once for each of the four streams: parity, tags and reports are cost. "+
		"CPU is user and system time of the processes, over %.0f s. Medians with the 95 %% interval of order statistics; ratios are to srt-live-transmit in the same round, and the order changes each round. "+
		"%d runs were spoilt by the machine and repeated if tries were left; delay and loss are those of calm runs.\n\n", costRateBPS/1_000_000, costLatency.Milliseconds(), r.costSeconds(), c.Spoilt)
	if len(c.Failed) > 0 {
		fmt.Fprintf(b, "Failed: %s.\n\n", strings.Join(c.Failed, "; "))
	}
	var rows [][]string
	for _, s := range c.Sides {
		if s.Runs == 0 {
			rows = append(rows, []string{s.Title, "no run", "", "", "", "", "", "", ""})
			continue
		}
		delay, lost := "no calm run", ""
		if s.Calm > 0 {
			delay = fmt.Sprintf("%+.1f / %+.1f (worst %+.1f)", s.BeyondP50, s.BeyondP99, s.WorstP99)
			lost = fmt.Sprintf("%d of %d", s.Lost, s.Sent)
		}
		rows = append(rows, []string{
			s.Title, fmt.Sprintf("%d (%d)", s.Runs, s.Calm), ratio(s.SendCPU, ""), ratio(s.SendRatio, " ×"), ratio(s.RecvCPU, ""), ratio(s.RecvRatio, " ×"),
			fmt.Sprintf("%.0f (%.0f) / %.0f (%.0f)", s.SendPeak, s.SendAnon, s.RecvPeak, s.RecvAnon),
			delay, lost,
		})
	}
	table(b, []string{"", "runs (calm)", "send CPU-s/GB", "send ratio", "receive CPU-s/GB", "receive ratio", "peak RSS MB (anonymous) send / receive, each process", "delay beyond latency p50 / p99 ms", "TS packets lost"}, rows)
	fmt.Fprintf(b, "quartetd's input hold (`jitter_ms`, %d ms) is part of its delay beyond the latency here; the goal of 5 ms is judged without it.\n\n", costHold.Milliseconds())
}

// costSeconds is the length of a run, from the bytes it carried.
func (r *report) costSeconds() float64 {
	for _, x := range r.Cost.Runs {
		return x.GB * 1e9 * 8 / costRateBPS / costPaths
	}
	return 0
}

func (r *report) rampText(b *bytes.Buffer) {
	p := r.Ramp
	if p == nil {
		return
	}
	fmt.Fprintf(b, "## Contributions on one core of a gateway\n\n")
	fmt.Fprintf(b, "One quartet-gateway process is kept on one core; each contribution is %d Mbit/s over %d paths with AES-256 and %d %% of parity (a gateway of a leg hears its own path and its peer's), latency %d ms, output over UDP. "+
		"The senders run in this program on the other cores (%d in all). A step fails with a lost packet, or with a delay of more than %d ms beyond the latency at p99.\n\n",
		rampRateBPS/1_000_000, rampPaths, rampParity, rampLatency.Milliseconds(), p.Cores, rampP99MS)
	var rows [][]string
	for _, s := range p.Steps {
		why := "carried"
		if !s.OK {
			why = s.Why
		}
		rows = append(rows, []string{
			fmt.Sprint(s.Contributions), fmt.Sprintf("%.0f %%", 100*s.Core), fmt.Sprintf("%.1f", s.CPUPerGB), fmt.Sprintf("%+.1f / %+.1f", s.BeyondP50, s.BeyondP99),
			fmt.Sprintf("%d of %d", s.Lost, s.Sent), fmt.Sprintf("%.0f (%.0f)", s.Memory.PeakMB, s.Memory.AnonMB), fmt.Sprintf("%.0f %%", 100*s.Generator), why,
		})
	}
	table(b, []string{"contributions", "of one core", "CPU-s/GB received", "delay beyond latency p50 / p99 ms", "TS packets lost", "peak RSS MB (anonymous)", "generator's CPU", ""}, rows)
	fmt.Fprintf(b, "Measured: %d contributions. What ended the ramp: %s. ", p.Most, p.Limit)
	if p.Most > 0 {
		fmt.Fprintf(b, "**Extrapolated** from the share of the core at that step to %.0f %% of a core: %.0f contributions.\n", 100*rampLoad, p.Extra)
	}
	for _, f := range p.Failed {
		fmt.Fprintf(b, "\nFailed: %s.\n", f)
	}
	fmt.Fprintln(b)
}

func (r *report) packetText(b *bytes.Buffer) {
	p := r.Packet
	if p == nil {
		return
	}
	fmt.Fprintf(b, "## Packet path\n\nPacketize, tag, encode (64 + 6 × 4) and queue on four paths, `%s` of ./uplink, %d runs: median %.0f ns per packet (%.0f to %.0f), %.0f allocations, %.0f bytes allocated.\n\n",
		packetBenchmark, len(p.NSPerPacket), p.Median, quantile(p.NSPerPacket, 0), quantile(p.NSPerPacket, 1), p.Allocs, p.Bytes)
}
