// Package faults holds the faults of the acceptance list, each as a test named
// by its number, run through real SRT on the loopback.
package faults

import (
	"testing"
	"time"

	"quartet/tests/chain"
	"quartet/tests/relay"
)

// F1: bursts (Gilbert–Elliott 1 %, 10 packets) on each path independently.
func TestF1_BurstsOnEveryPath(t *testing.T) {
	c := chain.New(t, chain.Config{
		Peers: true, Overhead: 12, Seed: 1,
		Relay: relay.Impairment{Burst: relay.Burst{Loss: 0.01, MeanPackets: 10}},
	})
	c.Feed(6 * time.Second)
	c.Settle()
	for i := range c.Gateways {
		if r := c.Check("gateway", nil, i); !r.Identical() {
			t.Errorf("gateway %d: %v", i, r)
		}
	}
}
