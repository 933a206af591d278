package faults

import (
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/tests/chain"
	"quartet/tests/relay"
)

// Every path falls to half of what it carried: within a second the encoder is
// slower, and from two seconds on nothing is lost any more. A real quartetd with
// a real encoder, real SRT.
func TestAdaptiveRateFollowsACliff(t *testing.T) {
	chain.Try(t, func(t testing.TB) {
		const rate = 4_000_000
		chain.Program(t, "./cmd/quartet-engine") // beside quartetd
		c, b := chain.NewBox(t, chain.Config{Peers: true, Overhead: 10, RateBPS: rate, Latency: 500 * time.Millisecond, Seed: 350}, func(d *config.Box) {
			d.Input.Type, d.Input.URL = config.TypeTest, "test://bars"
			d.Encoder.Width, d.Encoder.Height, d.Encoder.BitrateKbps, d.Encoder.Threads = 320, 180, rate/1000, 1
		})
		c.Eventually(60*time.Second, "the test picture", func() bool {
			in := b.Status().Input
			return in.Engine != nil && in.State == control.InputOK && in.Engine.OnAir == "engine"
		})
		b.WaitUp()
		time.Sleep(3 * time.Second)
		if e := b.Status().Input.Engine; e.RateBPS != rate || e.HighestBPS != rate {
			t.Fatalf("adapts in calm: %+v; %s", e, b.Alarms())
		}
		for _, r := range c.Relays {
			r.SetBoth(c.Impaired(relay.Impairment{RateBPS: rate * 1.1 / 2}))
		}
		cliff := time.Now()
		took := c.Eventually(3*time.Second, "a lower rate", func() bool { return b.Status().Input.Engine.RateBPS < rate*55/100 })
		t.Logf("the rate is lowered %v after the cliff", took.Round(10*time.Millisecond))
		if took > time.Second {
			t.Errorf("the rate is lowered after %v", took)
		}
		// What was sent two seconds after it is released a latency later, and
		// reported soon after.
		time.Sleep(time.Until(cliff.Add(2*time.Second + c.Cfg.Latency + 300*time.Millisecond)))
		lost := func() (lost, delivered []uint64) {
			for _, p := range b.Status().Paths {
				lost, delivered = append(lost, p.Arrival.Merged.Lost), append(delivered, p.Arrival.Merged.Delivered)
			}
			return lost, delivered
		}
		before, first := lost()
		time.Sleep(6 * time.Second)
		after, last := lost()
		st := b.Status()
		t.Logf("after it %d bit/s; lost %v in the first two seconds, then %v; %s", st.Input.Engine.RateBPS, before, after, b.Alarms())
		_ = b.Client().Events(t.Context(), "", false, func(e control.Event, _ uint64) error {
			if e.Kind == health.Note && e.Time.After(cliff) {
				t.Logf("%5.2f s  %s", e.Time.Sub(cliff).Seconds(), e.Condition.Text)
			}
			return nil
		})
		for i := range before {
			if after[i] != before[i] {
				t.Errorf("gateway %d loses %d packets behind two seconds", i, after[i]-before[i])
			}
			if last[i] < first[i]+500 {
				t.Errorf("gateway %d has delivered %d packets only", i, last[i]-first[i])
			}
		}
		if !b.Alarm("encoder-rate-reduced", "box") {
			t.Errorf("no alarm: %s", b.Alarms())
		}
	})
}
