package demo

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"quartet/device/control"
	"quartet/tests/ledger"
)

func (d *demo) printf(format string, args ...any) { fmt.Fprintf(d.opts.Out, format, args...) }

func (d *demo) printHead() {
	s, err := d.status(context.Background())
	if err != nil {
		return
	}
	d.printf("Quartet demo: one box, four SRT paths with Reed-Solomon FEC, two legs of two gateways.\n")
	d.printf("  plan      K %d + %d rows per stream (%.0f %%), SRT %.0f ms + stagger %.0f ms + FEC %.0f ms + reserve %.0f ms of %.0f ms\n",
		s.Plan.K, s.Plan.Rows, s.Plan.OverheadPercent, s.Plan.SRTLatencyMS, s.Plan.StaggerMS, s.Plan.FECBoundMS, s.Plan.ReserveMS, s.Plan.LatencyMS)
	who := "claim code " + d.plan.claim
	if d.home != nil {
		who = fmt.Sprintf("sign in as %s with %s", homeUser, d.plan.password)
	}
	d.printf("  page      %s   %s   (its certificate is its own: tell the browser to go on)\n", d.pageURL(), who)
	if d.home != nil {
		d.printf("  home      an OpenTelemetry Collector at https://%s; what it stores: %s\n", d.home.Address, d.home.Store)
	}
	d.printf("  picture   ffplay udp://%s        (gateway 1a's output)\n", d.plan.picture)
	d.printf("  status    quartetctl status --socket %s --watch\n", d.plan.control)
	for i, name := range gatewayNames {
		d.printf("  gateway   %s  http://%s/status  /metrics\n", name, d.plan.http[i])
	}
	d.printf("\n")
}

// tableLines is how many lines printTable prints, so that it can go back up.
const tableLines = 9

func (d *demo) printTable(elapsed time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s, err := d.status(ctx)
	if err != nil {
		d.printf("box does not answer: %v\n", err)
		return
	}
	var b strings.Builder
	if d.opts.Live && elapsed > time.Second {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", tableLines)
	}
	d.mu.Lock()
	fmt.Fprintf(&b, "%4.0f s  input %5.2f Mbit/s   network: %s\n", elapsed.Seconds(), float64(s.Input.BitrateBPS)/1e6, d.trouble)
	d.mu.Unlock()
	fmt.Fprintf(&b, "      %-5s %-11s %8s %7s %9s %9s %9s %9s %9s\n", "path", "state", "Mbit/s", "RTT ms", "sent", "lost", "by path", "by parity", "lost all")
	for _, p := range s.Paths {
		a := p.Arrival
		if a == nil {
			a = &control.Arrival{}
		}
		fmt.Fprintf(&b, "      %-5s %-11s %8.2f %7.1f %9d %9d %9d %9d %9d\n", p.Name, p.State, float64(p.BitrateBPS)/1e6, p.RTTMS,
			p.Sent, a.LostHere, a.ByOther, a.ByParity, a.Unrecovered)
	}
	fmt.Fprintf(&b, "      out  ")
	for i, o := range d.outs {
		fmt.Fprintf(&b, "  %s %d", gatewayNames[i], o.out.Matched())
	}
	fmt.Fprintf(&b, "  TS packets identical\n")
	alarms := []string{}
	if t := d.feed.trouble(); t != "" {
		alarms = append(alarms, "THE SLATE IS SENT, "+d.opts.Input+" gives no picture: "+t)
	}
	for _, c := range s.Active {
		if !c.Masked {
			alarms = append(alarms, c.Resource+" "+string(c.Code))
		}
	}
	fmt.Fprintf(&b, "      alarms  %s\n\n", orNone(strings.Join(alarms, ", ")))
	d.printf("%s", b.String())
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// printSummary prints what came of it, and returns ErrLost if the promise was
// broken: a leg that had a live path lost something, or the pair of legs did.
func (d *demo) printSummary() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	s, err := d.status(ctx)
	alone := false // a gateway lacks what its leg's other one had
	d.printf("\nSummary\n")
	if err == nil {
		d.printf("  %-5s %10s %10s %12s %10s %13s %14s %8s\n", "path", "sent", "lost here", "by other path", "by parity", "unrecoverable", "digests equal", "RTT ms")
		for _, p := range s.Paths {
			if p.Arrival == nil {
				d.printf("  %-5s %10d   %s\n", p.Name, p.Sent, orNone(p.Reason))
				continue
			}
			a := p.Arrival
			d.printf("  %-5s %10d %10d %12d %10d %13d %8d of %-3d %8.1f\n", p.Name, p.Sent, a.LostHere, a.ByOther, a.ByParity, a.Unrecovered,
				a.Digest.Equal, a.Digest.Compared, p.RTTMS)
			alone = alone || a.Unrecovered > 0
			if a.Digest.Different > 0 {
				err = fmt.Errorf("path %s: %d digest windows differ", p.Name, a.Digest.Different)
			}
		}
	}
	d.check(100 * time.Millisecond)
	d.printf("\n  %-10s %10s %14s %20s %10s %10s %18s\n", "", "TS packets", "unrecoverable", "missing while cut", "altered", "repeated", "delay ms (p99)")
	for _, r := range d.sums {
		d.printf("  %-10s %10d %14d %20d %10d %10d %10.1f (%.1f)\n", r.Name, r.Entered, r.Missing, r.Excused, r.Foreign, r.Again,
			ms(r.DelayMedian), ms(r.DelayP99))
	}
	if t := d.feed.trouble(); t != "" {
		d.printf("\n  What was sent is the slate: %s gives no picture: %s\n", d.opts.Input, t)
	}
	if e := d.outs[0].save(d.file("leg1.ts")); e == nil {
		d.pictureOf(d.file("leg1.ts"), d.file("picture.png"))
	}
	for _, r := range d.sums {
		if !r.Identical() {
			d.printf("\nFAILED: %v\n", r)
			if longest := d.stall.Longest(); longest >= 100*time.Millisecond {
				d.printf("This machine stood still for up to %.0f ms, which looks like a network that does: run it again when it is less busy.\n", ms(longest))
			}
			return fmt.Errorf("%w: %v", ErrLost, r)
		}
	}
	if err != nil {
		return err
	}
	d.printf("\nEvery packet of each leg that had a live path came out as it went in.\n")
	if alone && d.sums[0].Missing+d.sums[1].Missing == 0 {
		d.printf("What a gateway calls unrecoverable (upper table, in packets of the wire) the other gateway of its leg had, or the leg was cut off.\n")
	}
	return nil
}

// check compares the input since the last time, but for the tail that may still
// be on its way, and forgets it: legs 1 and 2, and both taken together.
func (d *demo) check(tail time.Duration) {
	last, ok := d.ledger.Last()
	if !ok {
		return
	}
	end := last - tail // of all three, while the feed goes on
	o := func(gateways ...int) (outs []*ledger.Output) {
		for _, i := range gateways {
			outs = append(outs, d.outs[i].out)
		}
		return outs
	}
	d.mu.Lock()
	cuts := slices.Clone(d.cuts)
	d.mu.Unlock()
	for i := range cuts {
		if cuts[i].To == 0 {
			cuts[i].To = 1 << 62
		}
	}
	d.sums[0].Add(d.ledger.CheckUntil("leg 1", d.checked, end, nil, o(0, 1)...))
	d.sums[1].Add(d.ledger.CheckUntil("leg 2", d.checked, end, cuts, o(2, 3)...))
	d.sums[2].Add(d.ledger.CheckUntil("both legs", d.checked, end, nil, o(0, 1, 2, 3)...))
	d.checked = end + 1
	d.ledger.Forget(d.checked)
}

// pictureOf decodes one frame of what came out.
func (d *demo) pictureOf(ts, png string) {
	out, err := exec.Command("ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-sseof", "-3", "-i", ts, "-frames:v", "1", png).CombinedOutput()
	if err != nil {
		d.printf("\n  no picture: %v %s\n", err, strings.TrimSpace(string(out)))
		return
	}
	d.printf("\n  one frame of leg 1's output: %s\n", png)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
