package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// table writes a Markdown table.
func table(b *bytes.Buffer, head []string, rows [][]string) {
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(slices.Repeat([]string{"---"}, len(head)))
	for _, r := range rows {
		line(r)
	}
	fmt.Fprintln(b)
}

func (r *report) markdown(b *bytes.Buffer, o options) {
	fmt.Fprintf(b, "# Quartet, measured against srt-live-transmit and librist\n\n")
	if r.Quick {
		fmt.Fprintf(b, "**A quick look (`--quick`): the figures are too few to show anything.**\n\n")
	}
	m := r.Machine
	fmt.Fprintf(b, "%s, %s. %s, %d cores, Linux %s, %s, nice %d, load at the start %s. Ratios carry over to other machines, absolute figures do not.\n\n",
		r.Started.UTC().Format("2006-01-02 15:04 MST"), r.Took, m.CPU, m.Cores, m.Kernel, m.Go, m.Nice, m.Load)
	for _, e := range r.Errors {
		fmt.Fprintf(b, "**Not measured:** %s\n\n", e)
	}
	r.goalsText(b)
	r.lossText(b, o)
	r.virtualText(b)
	r.costText(b)
	r.rampText(b)
	r.packetText(b)
	fmt.Fprintf(b, "## Programs\n\n")
	for _, s := range append(slices.Clone(m.Programs), m.Libraries...) {
		fmt.Fprintf(b, "- %s\n", s)
	}
	fmt.Fprintf(b, "\n`ldd` shows no libsrt in Debian's srt-live-transmit: the archive of the same source package is linked in, with GnuTLS. "+
		"Quartet loads that package's GnuTLS library. Peers' commands in part one (receiver, then sender):\n\n```\n%s\n```\n", strings.Join(r.Settings.Commands, "\n"))
}

// goalsText sums the verdicts up and lists those that are not met.
func (r *report) goalsText(b *bytes.Buffer) {
	fmt.Fprintf(b, "## Goals\n\n")
	verdicts := []string{met, open, missed, none}
	counts := map[string]map[string]int{}
	var order []string
	for _, g := range r.Goals {
		if counts[g.Goal] == nil {
			counts[g.Goal] = map[string]int{}
			order = append(order, g.Goal)
		}
		counts[g.Goal][g.Verdict]++
	}
	var rows [][]string
	for _, name := range order {
		row := []string{name}
		for _, v := range verdicts {
			n := ""
			if counts[name][v] > 0 {
				n = fmt.Sprint(counts[name][v])
			}
			row = append(row, n)
		}
		rows = append(rows, row)
	}
	table(b, append([]string{"goal (comparisons)"}, verdicts...), rows)
	fmt.Fprintf(b, "\"%s\": the figures agree with the goal, or miss it by no more than chance, and are too few to show it at 95 %%. \"%s\": the peer lost nothing either.\n\n", open, none)
	rows = nil
	for _, g := range r.Goals {
		if g.Verdict == missed || g.Verdict == open {
			rows = append(rows, []string{g.Verdict, g.Goal, g.Where, g.Found})
		}
	}
	if len(rows) > 0 {
		table(b, []string{"verdict", "goal", "where", "found"}, rows)
	}
}

func (r *report) lossText(b *bytes.Buffer, o options) {
	if r.Loss == nil {
		return
	}
	s := r.Settings
	fmt.Fprintf(b, "## Residual loss, real time\n\n")
	fmt.Fprintf(b, "%.3g Mbit/s in packets of 1316 bytes; total latency %d ms for every system (SRT's and RIST's buffer; Quartet's input hold of %d ms and latency_ms together, with skew_ms and peer_hop_ms 0, because all paths are alike and end in one gateway); "+
		"Quartet's parity %d %% per stream, where the planner sends any (\"r = 0\": none); both directions impaired; %d seeds of %.0f s, the first %.0f s under impairment not counted; nothing encrypted. "+
		"Path n has the same seed in every system. Bounds: 95 %%, the wider of Wilson's over all packets and Student's t over the seeds; of no loss, the rule of three. "+
		"\"wire\": UDP payload towards the receiver, all paths, as the relay counted it, for each byte of transport stream; \"per path\" is that divided by the paths, less 1; \"back\": feedback. "+
		"Delay is from entering the sender to leaving the receiver, one-way delay included.\n\n",
		float64(s.RateBPS)/1e6, s.LatencyMS, s.HoldMS, s.Overhead, s.Seeds, s.Seconds, s.Warmup)
	l := r.Loss
	fmt.Fprintf(b, "%d runs count; %d were spoilt by the machine and %d failed, which were repeated while tries were left. ", l.Runs, l.Spoilt, l.Failed)
	if l.Runs > 0 {
		fmt.Fprintf(b, "In those that count: longest stall %.0f ms, at most %.1f %% of packets over 1 ms late in the relay, processors at least %.0f %% idle.", l.StallMS, 100*l.Late, 100*l.IdleMin)
	}
	fmt.Fprintf(b, "\n\n")
	if n := len(l.Missing); n > 0 {
		fmt.Fprintf(b, "Seeds are missing in %d cases: %s%s.\n\n", n, strings.Join(l.Missing[:min(n, 8)], "; "), more(n > 8))
	}
	if len(l.Why) > 0 {
		fmt.Fprintf(b, "The last reasons: %s.\n\n", strings.Join(l.Why, "; "))
	}
	r.overview(b, o)
	for i := range l.Cells {
		c := &l.Cells[i]
		fmt.Fprintf(b, "### RTT %d ms, %s\n\n", c.RTTMS, titleOf(c.Link))
		var rows [][]string
		for _, k := range c.Systems {
			title := k.System
			for _, sys := range o.systems {
				if sys.ID == k.System {
					title = sys.Title
				}
			}
			if k.Seeds == 0 {
				rows = append(rows, []string{title, "no run counts", "", "", "", "", "", "", "", ""})
				continue
			}
			rows = append(rows, []string{
				title, k.Residual.String(), fmt.Sprintf("%.0f of %.0f", k.Lost, k.Total), fmt.Sprintf("%d, %.0f", k.Runs, k.MaxRun),
				fmt.Sprintf("%d of %d", k.Spoken, k.Seeds), fmt.Sprintf("%.2f ×", k.Wire), fmt.Sprintf("%.1f %%", 100*k.PerPath), fmt.Sprintf("%.1f %%", 100*k.Back),
				fmt.Sprintf("%.0f / %.0f", k.P50MS, k.P99MS), k.Plan,
			})
		}
		table(b, []string{"system", "residual loss (95 %)", "packets", "gaps, longest", "seeds with loss", "wire", "per path", "back", "delay p50 / p99 ms", "plan"}, rows)
	}
}

func more(there bool) string {
	if there {
		return "; and others, see the tables"
	}
	return ""
}

func titleOf(id string) string {
	for _, l := range allLinks() {
		if l.ID == id {
			return l.Title
		}
	}
	return id
}

// overview is one line a system and one column a cell.
func (r *report) overview(b *bytes.Buffer, o options) {
	head := []string{"residual loss"}
	for _, c := range r.Loss.Cells {
		head = append(head, fmt.Sprintf("%d ms %s", c.RTTMS, c.Link))
	}
	var rows [][]string
	for _, sys := range o.systems {
		row := []string{sys.Title}
		for i := range r.Loss.Cells {
			row = append(row, short(r.Loss.Cells[i].find(sys.ID)))
		}
		rows = append(rows, row)
	}
	table(b, head, rows)
}

func short(s *systemResult) string {
	switch {
	case s == nil:
		return "–"
	case s.Lost == 0:
		return fmt.Sprintf("<%.0e", s.Residual.High)
	}
	return fmt.Sprintf("%.1e", s.Residual.Value)
}

func (r *report) virtualText(b *bytes.Buffer) {
	v := r.Virtual
	if v == nil {
		return
	}
	fmt.Fprintf(b, "## Residual loss, virtual time\n\n")
	fmt.Fprintf(b, "**No figure here was measured in real time.** The project's own encoder, decoder, planner and relay channels run in virtual time, %d packets for each system and cell, %d seeds. "+
		"SRT is a model: a packet is asked for when a later one has come and again each max(20 ms, RTT/2); whatever is asked for is sent again at once (as RETRANSMITALGO 0); requests and repeats meet the same network; "+
		"a packet is handed on exactly its latency later, or given up. No reordering, no timer granularity, no flow control, no processing time. \"SRT as modelled\" has the whole latency, and shows how far to trust the model beside the real one above. "+
		"With wide staggers every path has what its stagger leaves of the latency. \"sent\": packets on the wire, all paths, for each source packet.\n\n", v.Packets, v.Seeds)
	for _, c := range v.Cells {
		fmt.Fprintf(b, "### Virtual: RTT %d ms, %s\n\n", c.RTTMS, titleOf(c.Link))
		var rows [][]string
		for _, s := range c.Systems {
			rows = append(rows, []string{s.Title, s.Residual.String(), fmt.Sprintf("%.0f of %.0f", s.Lost, s.Total), fmt.Sprintf("%d, %d", s.Runs, s.MaxRun), fmt.Sprintf("%.2f ×", s.Sent), s.Plan})
		}
		table(b, []string{"system (virtual)", "residual loss (95 %)", "packets", "gaps, longest", "sent", "plan"}, rows)
	}
}
