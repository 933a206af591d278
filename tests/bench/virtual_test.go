package main

import (
	"testing"
	"time"

	"quartet/tests/relay"
	"quartet/uplink"
)

func virtualOptions() options {
	return options{rateBPS: 10_000_000, latency: 250 * time.Millisecond, overhead: 25}
}

func simulated(t *testing.T, rtt time.Duration, l link, sys simSystem, packets int) simOutcome {
	t.Helper()
	o, c := virtualOptions(), cell{rtt, l}
	plan, err := planFor(o, c, sys)
	if err != nil {
		t.Fatal(err)
	}
	out, err := simulate(o, c, sys, plan, 1, packets)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVirtualTimeLosesNothingWithoutImpairment(t *testing.T) {
	clean := link{"clean", "clean", func(time.Duration) relay.Impairment { return relay.Impairment{} }}
	for _, sys := range simSystems() {
		out := simulated(t, 60*time.Millisecond, clean, sys, 6000)
		plan := must(planFor(virtualOptions(), cell{60 * time.Millisecond, clean}, sys))
		if out.lost != 0 || out.total != 5000 {
			t.Errorf("%s: %v of %v lost, want 0 of 5000", sys.id, out.lost, out.total)
		}
		want := float64(6000*sys.paths) * (1 + plan.Overhead)
		if got := float64(out.wire); got < 0.97*want || got > 1.03*want {
			t.Errorf("%s: %v packets on the wire, want about %v", sys.id, got, want)
		}
	}
}

// Without retransmission the model must lose what the channel loses.
func TestVirtualTimeLosesWhatTheChannelLoses(t *testing.T) {
	loss5 := allLinks()[0]
	out := simulated(t, 60*time.Millisecond, loss5, simSystem{id: "bare", paths: 1, plain: true}, 61000)
	near(t, "one path", out.lost/out.total, 0.05, 0.005)
	out = simulated(t, 60*time.Millisecond, loss5, simSystem{id: "two copies", paths: 2}, 61000)
	near(t, "two copies", out.lost/out.total, 0.0025, 0.001)
}

// With one chance to retransmit, a packet is lost when it, and then its
// request or its second copy, are lost. RTT 100 ms and 103 ms of latency leave
// just one.
func TestVirtualTimeRetransmits(t *testing.T) {
	o, c := virtualOptions(), cell{100 * time.Millisecond, allLinks()[0]}
	o.latency = 103 * time.Millisecond
	out, err := simulate(o, c, simSystem{id: "srt", paths: 1, arq: true, plain: true}, must(planFor(o, c, simSystem{plain: true})), 1, 201000)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "one retransmission", out.lost/out.total, 0.05*(1-0.95*0.95), 0.0015)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestVirtualTimeParityHelps(t *testing.T) {
	o, c := virtualOptions(), cell{100 * time.Millisecond, allLinks()[1]}
	plan := uplink.Plan{SRTLatency: 120 * time.Millisecond, Streams: 2}
	copies := must(simulate(o, c, simSystem{id: "copies", paths: 2}, plan, 1, 51000))
	near(t, "two copies", copies.lost/copies.total, 0.01, 0.002)
	plan.K, plan.Rows, plan.MaxBlock = 40, 10, 50*time.Millisecond
	parity := must(simulate(o, c, simSystem{id: "parity", paths: 2, parity: true}, plan, 1, 51000))
	if parity.lost > copies.lost/100 {
		t.Errorf("parity left %v lost and copies alone %v: want less than a hundredth", parity.lost, copies.lost)
	}
}

func BenchmarkVirtualTime(b *testing.B) {
	o, c := virtualOptions(), cell{60 * time.Millisecond, allLinks()[2]}
	for _, sys := range simSystems() {
		plan, err := planFor(o, c, sys)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(sys.id, func(b *testing.B) {
			if _, err := simulate(o, c, sys, plan, 1, b.N); err != nil {
				b.Fatal(err)
			}
		})
	}
}
