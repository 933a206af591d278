package uplink

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const msec = time.Millisecond

func TestPlanSharesTheLatencyOut(t *testing.T) {
	base := Demand{BitrateBPS: 10_000_000, PacketsPerMessage: 7, Latency: 250 * msec, OverheadPercent: 10, Streams: 4, RTT: 20 * msec, Stagger: 15 * msec}
	for _, tc := range []struct {
		name   string
		change func(*Demand)
		check  func(Plan) bool
		want   string
	}{
		{"short round trips", func(*Demand) {}, func(p Plan) bool {
			return p.ARQRounds >= 8 && p.Reserve > 15*msec && p.Rows > 0 && p.MaxBlock <= 25*msec
		}, "most for SRT and short blocks"},
		{"middling round trips", func(d *Demand) { d.RTT = 60 * msec }, func(p Plan) bool { return p.ARQRounds >= 3 && p.MaxBlock >= 10*msec && p.Reserve == 0 }, "three round trips, short blocks and no reserve"},
		{"two round trips", func(d *Demand) { d.RTT = 100 * msec }, func(p Plan) bool { return p.ARQRounds >= 2 && p.Rows > 0 }, "two round trips and the shortest blocks"},
		{"long round trips", func(d *Demand) { d.RTT = 220 * msec }, func(p Plan) bool { return p.SRTLatency >= 20*msec && p.FECBound > 100*msec }, "nearly all for parity"},
		{"abundant latency", func(d *Demand) { d.Latency = 2 * time.Second }, func(p Plan) bool { return p.MaxBlock >= 60*msec }, "long blocks"},
		{"one stream", func(d *Demand) { d.Streams, d.Stagger = 1, 0 }, func(p Plan) bool {
			return p.Rows == 0 && p.SRTLatency == 246*msec && p.Reserve == 0 && len(p.Notes) > 0
		}, "no parity, and why"},
		{"one stream, no time to ask", func(d *Demand) { d.Streams, d.RTT = 1, 300*msec }, func(p Plan) bool { return p.Rows > 0 && p.FECBound > 100*msec }, "parity"},
		{"no parity", func(d *Demand) { d.OverheadPercent = 0 }, func(p Plan) bool { return p.Rows == 0 && p.FECBound == 0 && p.SRTLatency+p.Reserve == 227*msec }, "all for SRT and the reserve"},
		{"own K and rows", func(d *Demand) { d.K, d.Rows = 20, 3 }, func(p Plan) bool { return p.K == 20 && p.Rows == 3 }, "as given"},
		{"none by rows -1", func(d *Demand) { d.K, d.Rows = 20, -1 }, func(p Plan) bool { return p.Rows == 0 }, "no parity"},
		{"high rate", func(d *Demand) { d.BitrateBPS = 120_000_000 }, func(p Plan) bool { return p.K <= 128 && p.K+4*p.Rows <= 255 }, "K within the code"},
		{"slow stream", func(d *Demand) { d.BitrateBPS = 500_000 }, func(p Plan) bool { return p.K >= 1 && p.MaxBlock <= MaxBlock }, "blocks closed by the timer"},
		{"peers and skew cost", func(d *Demand) { d.PeerHop, d.Skew = 20*msec, 10*msec }, func(p Plan) bool { return p.SRTLatency+p.FECBound+p.Reserve == 197*msec }, "30 ms less to share"},
	} {
		d := base
		tc.change(&d)
		p, err := NewPlan(d)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if !tc.check(p) {
			t.Errorf("%s: %v; want %s", tc.name, p, tc.want)
		}
	}
}

func TestPlanRefusesWithFieldValueAndRemedy(t *testing.T) {
	base := Demand{BitrateBPS: 10_000_000, PacketsPerMessage: 7, Latency: 250 * msec, OverheadPercent: 10, Streams: 4, RTT: 20 * msec}
	for _, tc := range []struct {
		change func(*Demand)
		words  []string
	}{
		{func(d *Demand) { d.Latency = 20 * msec }, []string{"output.latency_ms = 20 ms", "44 ms or more"}},
		{func(d *Demand) { d.Latency = 40 * msec }, []string{"output.latency_ms = 40 ms", "overhead_percent to 0"}},
		{func(d *Demand) { d.K, d.Rows = 100, 60 }, []string{"output.fec = k 100, rows 60", "lower rows to 38"}},
		{func(d *Demand) { d.K, d.OverheadPercent = 128, 50 }, []string{"output.fec = k 128, rows 64", "lower overhead_percent to 24 or k to 85"}},
		{func(d *Demand) { d.MaxBlock = 150 * msec; d.K, d.Rows = 128, 4 }, []string{"output.fec.max_block_ms", "or raise output.latency_ms"}},
		{func(d *Demand) { d.Rows = 4 }, []string{"output.fec.rows = 4", "without k"}},
		{func(d *Demand) { d.BitrateBPS = 0 }, []string{"output.max_bitrate_kbps = 0"}},
		{func(d *Demand) { d.PacketsPerMessage = 8 }, []string{"ts_packets_per_message = 8", "set it to 7"}},
		{func(d *Demand) { d.OverheadPercent = -1 }, []string{"overhead_percent = -1"}},
	} {
		d := base
		tc.change(&d)
		p, err := NewPlan(d)
		var pe *PlanError
		if !errors.As(err, &pe) {
			t.Errorf("%+v: plan %v, error %v; want a refusal", d, p, err)
			continue
		}
		for _, w := range tc.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
}

// Whatever the overhead asked for, rows and K that the planner chose itself are
// never a reason to refuse, and the parity is what was asked for but for whole
// rows.
func TestPlanRoundsWithinTheCode(t *testing.T) {
	for _, streams := range []int{1, 2, 4, 8, 64} {
		for _, rate := range []int64{500_000, 10_000_000, 20_000_000, 120_000_000} {
			for percent := 1; percent <= 200; percent++ {
				rtt := 50 * msec
				if streams == 1 { // which gets parity only where retransmission does not work
					rtt = 600 * msec
				}
				p, err := NewPlan(Demand{
					BitrateBPS: rate, PacketsPerMessage: 7, Latency: 500 * msec, OverheadPercent: float64(percent), Streams: streams, RTT: rtt,
				})
				if err != nil {
					t.Errorf("%d streams, %d bit/s, %d %%: %v", streams, rate, percent, err)
					continue
				}
				if err := p.Params().Validate(); err != nil {
					t.Error(err)
				}
				if rows := p.Overhead * float64(p.K); rows < float64(percent)/100*float64(p.K)-1 || rows > max(1, float64(percent)/100*float64(p.K)+1) {
					t.Errorf("%d streams, %d bit/s: %v; %d %% was asked for", streams, rate, p, percent)
				}
				if 1.5*float64(percent)/100 < p.Overhead && len(p.Notes) == 0 {
					t.Errorf("%v instead of %d %%, and no note", p, percent)
				}
			}
		}
	}
}

// What NewPlan grants fits: every part of the latency is paid for, the code has
// room for all rows, and no part is shorter than it can be.
func TestPlanAlwaysFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Demand{
			BitrateBPS:        rapid.Int64Range(10_000, 200_000_000).Draw(t, "rate"),
			PacketsPerMessage: rapid.IntRange(1, 7).Draw(t, "packets"),
			Latency:           time.Duration(rapid.IntRange(1, 3000).Draw(t, "latency")) * msec,
			OverheadPercent:   float64(rapid.IntRange(0, 200).Draw(t, "overhead")),
			Streams:           rapid.IntRange(0, 8).Draw(t, "streams"),
			RTT:               time.Duration(rapid.IntRange(0, 500).Draw(t, "rtt")) * msec,
			Skew:              time.Duration(rapid.IntRange(0, 100).Draw(t, "skew")) * msec,
			Stagger:           time.Duration(rapid.IntRange(0, 50).Draw(t, "stagger")) * msec,
			PeerHop:           time.Duration(rapid.IntRange(0, 50).Draw(t, "peer")) * msec,
		}
		p, err := NewPlan(d)
		if err != nil {
			var pe *PlanError
			if !errors.As(err, &pe) || pe.Field == "" || pe.Remedy == "" {
				t.Fatalf("error without field or remedy: %v", err)
			}
			return
		}
		slack := margin
		if d.Streams == 1 {
			slack = marginAlone
		}
		if sum := p.SRTLatency + p.FECBound + p.Reserve + d.Stagger + d.Skew + d.PeerHop + slack; sum > d.Latency {
			t.Fatalf("%v takes %v of %v", p, sum, d.Latency)
		}
		if p.SRTLatency < minSRTLatency {
			t.Fatalf("%v: SRT latency below %v", p, minSRTLatency)
		}
		if p.Reserve < 0 || p.Reserve > 0 && (d.Streams < 2 || p.SRTLatency < reserveRounds*d.RTT+roundSlack) {
			t.Fatalf("%v: a reserve from what retransmissions need", p)
		}
		if p.Rows > 0 && (p.K+p.Streams*p.Rows > 255 || p.K < 1 || p.MaxBlock < minBlock || p.FECBound != 2*p.MaxBlock) {
			t.Fatalf("%v does not fit the code", p)
		}
		if p.Streams > 0 {
			if err := p.Params().Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Who does what the remedy for too short a latency says is refused no more.
func TestPlanRemedyIsEnough(t *testing.T) {
	for _, d := range []Demand{
		{OverheadPercent: 10}, {OverheadPercent: 0}, {OverheadPercent: 25, Stagger: 15 * time.Millisecond},
		{OverheadPercent: 10, Stagger: 15 * time.Millisecond, Skew: 10 * time.Millisecond, PeerHop: 20 * time.Millisecond, RTT: 60 * time.Millisecond},
	} {
		for streams := range 5 {
			d.BitrateBPS, d.PacketsPerMessage, d.Streams, d.Latency = 10_000_000, 7, streams, 10*time.Millisecond
			_, err := NewPlan(d)
			var e *PlanError
			if !errors.As(err, &e) {
				t.Fatalf("%+v: %v", d, err)
			}
			var least float64
			if _, err := fmt.Sscanf(e.Remedy, "set it to %f ms", &least); err != nil {
				t.Fatalf("%q: %v", e.Remedy, err)
			}
			d.Latency = time.Duration(least * float64(time.Millisecond))
			if _, err := NewPlan(d); err != nil {
				t.Errorf("%d streams, after doing as told: %v", streams, err)
			}
		}
	}
}
