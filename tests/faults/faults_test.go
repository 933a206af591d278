// Package faults holds the faults of the acceptance list, each as a test named
// by its number, run through real SRT on the loopback. "Zero loss" is that the
// transport stream of each gateway with a live path is byte-identical to the
// input. The purely mathematical part of F3, F6, F7 and F25 is tested in virtual
// time under many seeds in package fec.
package faults

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"quartet/tests/chain"
	"quartet/tests/ledger"
	"quartet/tests/relay"
	"quartet/uplink"
	"quartet/uplink/rtp"
)

func TestMain(m *testing.M) {
	if what := os.Getenv(loadVariable); what != "" {
		loadProgram(what)
	}
	code := m.Run()
	chain.RemovePrograms()
	os.Exit(code)
}

// everyGatewayIdentical checks each gateway by itself.
func everyGatewayIdentical(t testing.TB, c *chain.Chain, gateways ...int) {
	t.Helper()
	if len(gateways) == 0 {
		for i := range c.Gateways {
			gateways = append(gateways, i)
		}
	}
	for _, i := range gateways {
		if r := c.Check(fmt.Sprint("gateway ", i), nil, i); !r.Identical() {
			t.Errorf("gateway %d is not identical: %v", i, r)
		}
	}
}

// F1: burst loss (Gilbert–Elliott 1 %, 10 packets) on each path independently.
func TestF1_BurstsOnEveryPath(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{
			Peers: true, Overhead: 12, Seed: 1,
			Relay: relay.Impairment{Burst: relay.Burst{Loss: 0.01, MeanPackets: 10}},
		})
		c.Feed(6 * time.Second)
		c.Settle()
		everyGatewayIdentical(t, c)
		for i, r := range c.Relays {
			if d := r.Stats().Up.Dropped; d.Burst == 0 {
				t.Errorf("relay %d dropped nothing: the fault was not there", i)
			}
		}
	})
}

// F2, its loss part: one path dead, one leg dead, three of four dead. The
// gateways that still have a path, directly or through their peer, lose nothing.
func TestF2_DeadPaths(t *testing.T) {
	for _, tc := range []struct {
		name     string
		dead     []int
		identity []int // gateways with a live path
	}{
		{"one path", []int{0}, []int{0, 1, 2, 3}},
		{"one leg", []int{0, 1}, []int{2, 3}},
		{"three of four", []int{0, 1, 2}, []int{2, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain.Try(t, func(t testing.TB) {
				c := chain.New(t, chain.Config{Peers: true, Overhead: 12, Seed: 2})
				c.Feed(1500 * time.Millisecond)
				for _, i := range tc.dead {
					c.Relays[i].SetBoth(relay.Impairment{Dead: true})
				}
				c.Feed(4 * time.Second)
				for _, i := range tc.dead {
					c.Relays[i].SetBoth(c.Impaired(relay.Impairment{}))
					if d := c.Relays[i].Stats().Up.Dropped; d.Dead == 0 {
						t.Errorf("relay %d dropped nothing: the fault was not there", i)
					}
				}
				c.Feed(4 * time.Second)
				c.Settle()
				everyGatewayIdentical(t, c, tc.identity...)
				for _, p := range c.Sender.Paths() {
					if st := p.Stats(); st.State != uplink.StateUp {
						t.Errorf("path %s is %s 4 s after its return: %s", st.Name, st.State, st.Reason)
					}
				}
			})
		})
	}
}

// A handshake that was held up makes SRT hand over everything on that connection
// later. The path dials again, beside it, and then brings its packets in time;
// meanwhile nothing is lost.
func TestLateHandshake(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{Paths: 2, OneGate: true, Overhead: 12, Seed: 4})
		feed := background(func() { c.Feed(20 * time.Second) })
		p := c.Sender.Paths()[1]
		late := func() uint64 {
			if a := p.Stats().Arrival; a != nil {
				return a.Late
			}
			return 0
		}
		c.Relays[1].SetBoth(relay.Impairment{Dead: true})
		c.Eventually(8*time.Second, "the path is down", func() bool { return p.Stats().State != uplink.StateUp })
		connects := p.Stats().Connects
		slow := c.Impaired(relay.Impairment{})
		slow.DelayMS += 350
		c.Relays[1].Set(relay.Up, slow)
		c.Relays[1].Set(relay.Down, c.Impaired(relay.Impairment{}))
		c.Eventually(5*time.Second, "the path is back", func() bool { return p.Stats().Connects > connects })
		c.Relays[1].SetBoth(c.Impaired(relay.Impairment{}))
		took := c.Eventually(8*time.Second, "a second connection", func() bool { return p.Stats().Connects > connects+1 })
		time.Sleep(time.Second)
		before := late()
		if before < 500 {
			t.Errorf("%d late packets: the fault was not there", before)
		}
		time.Sleep(2 * time.Second)
		if n := late(); n > before+100 {
			t.Errorf("%d packets more were late in 2 s on the second connection", n-before)
		}
		feed()
		c.Settle()
		everyGatewayIdentical(t, c)
		t.Logf("another connection after %v, %d packets late until then", took.Round(10*time.Millisecond), before)
	})
}

// F3, through real SRT: all paths out for 20 ms at once; 10 Mbit/s, K = 64, r =
// 6, one decoder with four streams, stagger 0, round trip longer than the SRT
// latency, so that parity alone can repair.
func TestF3_CommonBlackout20msByParityAlone(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		plan := uplink.Plan{K: 64, Rows: 6, Streams: 4, MaxBlock: 70 * time.Millisecond, FECBound: 140 * time.Millisecond,
			SRTLatency: 60 * time.Millisecond, Latency: 260 * time.Millisecond}
		c := chain.New(t, chain.Config{
			OneGate: true, Seed: 3, RTT: 160 * time.Millisecond, Latency: plan.Latency, Plan: &plan,
			Stagger: []time.Duration{0, 0, 0, 0},
		})
		feed := background(func() { c.Feed(6 * time.Second) })
		now := c.Group.Now()
		var outs []relay.Blackout
		for i := range 8 {
			outs = append(outs, relay.Blackout{StartMS: ms(now) + 1000 + 500*float64(i), DurationMS: 20})
		}
		for _, r := range c.Relays {
			r.SetBoth(c.Impaired(relay.Impairment{Blackouts: outs}))
		}
		feed()
		c.Settle()
		everyGatewayIdentical(t, c)
		st := c.Gateways[0].Status()
		if st.Merged.RecoveredParity == 0 {
			t.Error("nothing was repaired by parity: the fault was not there")
		}
		t.Logf("repaired by parity: %d packets in 8 blackouts of 20 ms", st.Merged.RecoveredParity)
	})
}

// F4: all paths out for 200 ms; zero loss when latency ≥ 4×RTT + 200 ms.
func TestF4_CommonBlackout200ms(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		const rtt = 40 * time.Millisecond
		plan := uplink.Plan{K: 1, Rows: 0, Streams: 4, MaxBlock: 70 * time.Millisecond,
			SRTLatency: 4*rtt + 200*time.Millisecond, Latency: 4*rtt + 200*time.Millisecond + 40*time.Millisecond}
		c := chain.New(t, chain.Config{Peers: true, Seed: 4, RTT: rtt, Latency: plan.Latency + 30*time.Millisecond, Plan: &plan})
		feed := background(func() { c.Feed(6 * time.Second) })
		now := c.Group.Now()
		for _, r := range c.Relays {
			r.SetBoth(c.Impaired(relay.Impairment{Blackouts: []relay.Blackout{{StartMS: ms(now) + 1000, DurationMS: 200, PeriodMS: 2000}}}))
		}
		feed()
		c.Settle()
		everyGatewayIdentical(t, c)
		for i, r := range c.Relays {
			// 950 packets a second, and three blackouts.
			if d := r.Stats().Up.Dropped; d.Blackout < 300 {
				t.Errorf("relay %d dropped %d packets: the fault was not there", i, d.Blackout)
			}
		}
	})
}

// F5, its output part: all paths out for 5 s; the output resumes within 1 s and
// the latency after their return.
func TestF5_CommonBlackout5s(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{Peers: true, Overhead: 12, Seed: 5})
		feed := background(func() { c.Feed(10500 * time.Millisecond) })
		time.Sleep(1500 * time.Millisecond)
		for _, r := range c.Relays {
			r.SetBoth(relay.Impairment{Dead: true})
		}
		out := c.Now()
		time.Sleep(5 * time.Second)
		for _, r := range c.Relays {
			r.SetBoth(c.Impaired(relay.Impairment{}))
		}
		back := c.Now()
		for i, g := range c.Gateways {
			c.Eventually(4*time.Second, fmt.Sprint("gateway ", i, " sends again"), func() bool { return g.LastAt() > back })
			took := g.LastAt() - back
			t.Logf("gateway %d: first packet %v after the return", i, took.Round(time.Millisecond))
			if took > time.Second+c.Cfg.Latency {
				t.Errorf("gateway %d resumed after %v, want within 1 s + %v", i, took, c.Cfg.Latency)
			}
		}
		feed()
		c.Settle()
		for i := range c.Gateways {
			excused := []ledger.Span{{From: out - c.Cfg.Latency, To: back + time.Second + c.Cfg.Latency}}
			if r := c.Check(fmt.Sprint("gateway ", i), excused, i); !r.Identical() {
				t.Errorf("gateway %d: %v", i, r)
			}
		}
	})
}

// F6: 450 ms of skew between paths (ST 2022-7 class C).
func TestF6_Skew450ms(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{
			OneGate: true, Paths: 2, Overhead: 12, Seed: 6, Latency: 900 * time.Millisecond,
			Plan: &uplink.Plan{K: 32, Rows: 4, Streams: 2, MaxBlock: 60 * time.Millisecond, FECBound: 120 * time.Millisecond,
				SRTLatency: 200 * time.Millisecond, Latency: 900 * time.Millisecond},
		})
		// The second path comes in 450 ms behind the first, and each of them is
		// away for a while, so that the other must carry alone.
		late := c.Impaired(relay.Impairment{})
		late.DelayMS += 450
		c.Relays[1].Set(relay.Up, late)
		// SRT takes a delay that sets in later for a delay of these packets, and
		// makes up for it out of its latency; one that was there at the handshake is
		// the path's.
		c.Sender.Paths()[1].Replace(uplink.NewSRTCaller(c.Relays[1].Addr().String(), c.Options(1)))
		c.Eventually(5*time.Second, "path 1 is connected over the late way", func() bool {
			st := c.Sender.Paths()[1].Stats()
			return st.Connects == 2 && st.State == uplink.StateUp
		})
		time.Sleep(time.Second) // the connection before is closed
		c.Feed(3 * time.Second)
		if in := c.Gateways[0].Status().Inputs[1]; in.Path.SkewMS < 400 {
			t.Errorf("path 1 comes in %.0f ms behind: the fault was not there", in.Path.SkewMS)
		}
		c.Relays[0].SetBoth(relay.Impairment{Dead: true})
		c.Feed(2 * time.Second)
		c.Relays[0].SetBoth(c.Impaired(relay.Impairment{}))
		c.Feed(4 * time.Second)
		c.Relays[1].SetBoth(relay.Impairment{Dead: true})
		c.Feed(2 * time.Second)
		c.Settle()
		everyGatewayIdentical(t, c)
	})
}

// F7: 50 ms of reordering, 1 % duplicates, bit flips in 1e-4 of the packets with
// the UDP checksum made right again.
func TestF7_ReorderDuplicatesFlips(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{
			Peers: true, Overhead: 12, Seed: 7, Latency: 400 * time.Millisecond,
			Relay: relay.Impairment{
				Reorder: relay.Chance{Rate: 0.05, ByMS: 50}, Duplicate: relay.Chance{Rate: 0.01, ByMS: 5}, Flip: relay.Flip{Rate: 1e-4, From: 16},
			},
		})
		c.Feed(15 * time.Second)
		c.Settle()
		everyGatewayIdentical(t, c)
		flipped := uint64(0)
		for _, r := range c.Relays {
			flipped += r.Stats().Up.Flipped
		}
		if flipped == 0 {
			t.Error("no bit was flipped: the fault was not there")
		}
	})
}

// F27: contribution key and passphrases rotated while running.
func TestF27_KeysRotatedWhileRunning(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{Peers: true, Overhead: 12, Seed: 27})
		feed := background(func() { c.Feed(9 * time.Second) })
		time.Sleep(time.Second)

		next := []byte("the next contribution key, 32 by")
		tag, err := rtp.DeriveTagKey(next)
		if err != nil {
			t.Fatal(err)
		}
		old, err := rtp.DeriveTagKey(chain.Key)
		if err != nil {
			t.Fatal(err)
		}
		// 1. The gateways learn the next key. 2. The box uses it. 3. The gateways
		// forget the old one.
		for _, g := range c.Gateways {
			g.Reconfigure(func(k *chain.Contribution) { k.Keys = [][]byte{next, chain.Key} })
		}
		time.Sleep(time.Second)
		c.Sender.SetKey(tag, []rtp.TagKey{old})
		time.Sleep(time.Second)
		for _, g := range c.Gateways {
			g.Reconfigure(func(k *chain.Contribution) { k.Keys = [][]byte{next} })
		}
		c.Sender.SetKey(tag, nil)
		time.Sleep(time.Second)

		// The passphrase of each path: the gateway first, a connection keeps the one
		// it was made with; then the box makes a second connection beside the first.
		const other = "another passphrase"
		for path, g := range c.Gateways {
			g.Reconfigure(func(k *chain.Contribution) { k.Inputs[0].SRT.Passphrase = other })
			o := c.Options(path)
			o.Passphrase = other
			c.Sender.Paths()[path].Replace(uplink.NewSRTCaller(c.Relays[path].Addr().String(), o))
		}
		feed()
		c.Settle()
		everyGatewayIdentical(t, c)
		for _, p := range c.Sender.Paths() {
			if st := p.Stats(); st.Connects != 2 || st.Disconnects != 0 {
				t.Errorf("path %s: %d connects, %d disconnects; want 2 and 0", st.Name, st.Connects, st.Disconnects)
			}
		}
	})
}

// F25, through real SRT: the sender is restarted with a new SSRC.
func TestF25_SourceRestart(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		c := chain.New(t, chain.Config{Peers: true, Overhead: 12, Seed: 25})
		c.Feed(2 * time.Second)
		stopped := c.Now()
		c.RestartSender()
		c.Feed(3 * time.Second)
		restarted := c.Now() - 3*time.Second
		c.Settle()
		for i := range c.Gateways {
			r := c.Check(fmt.Sprint("gateway ", i), []ledger.Span{{From: stopped - 50*time.Millisecond, To: restarted + 50*time.Millisecond}}, i)
			if !r.Identical() {
				t.Errorf("gateway %d: %v", i, r)
			}
			if st := c.Gateways[i].Status(); st.Merged.Epochs != 2 {
				t.Errorf("gateway %d saw %d epochs, want 2", i, st.Merged.Epochs)
			}
		}
	})
}

// background runs f beside the test; the function it returns waits for its end.
func background(f func()) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(f)
	return wg.Wait
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
