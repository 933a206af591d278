package fec

import (
	"math/rand/v2"
	"testing"
	"time"
)

// residual simulates paths that lose by Gilbert–Elliott processes, a share
// corr of each path's loss being common to all, and returns the share of
// source packets that are lost for good. With streams = 1 all paths carry the
// same parity rows, with streams = paths different ones.
func residual(t *testing.T, packets, n, streams, r int, loss float64, burst time.Duration, corr float64, seed uint64) float64 {
	t.Helper()
	common := gilbert(rand.New(rand.NewPCG(seed, 100)), loss*corr, burst)
	s := newSim(t, simConfig{
		seed: seed, params: Params{K: 64, R: r, Streams: streams, MaxBlock: 100 * time.Millisecond}, rate: rate10,
		length: time.Duration(float64(packets) / rate10 * float64(time.Second)), latency: 250 * time.Millisecond,
		size: 20, tick: 5 * time.Millisecond, ssrc: 5, seq: 1,
		paths: paths(n, func(i int, p *simPath) {
			p.stream = i % streams
			own := gilbert(rand.New(rand.NewPCG(seed, uint64(i))), loss*(1-corr)/(1-loss*corr), burst)
			p.lose = func(at time.Duration) bool {
				both := common(at)
				return own(at) || both
			}
		}),
	})
	o := s.run()
	o.sound(t)
	if o.stats.Late+o.stats.Implausible+o.stats.BadRecovery+o.stats.Disagreeing != 0 {
		t.Errorf("%+v", o.stats)
	}
	return float64(o.lost) / float64(o.lost+o.delivered)
}

// The residual loss of the real encoder and decoder is of the order that
// independent simulations of the code found (10 Mbit/s, 1316-byte payloads, no
// retransmission). The packets are few, so only orders are compared: within a
// factor of 2.5 where enough is lost, and below a bound where hardly anything
// is.
func TestGilbertElliottResidual(t *testing.T) {
	type row struct {
		name                                   string
		loss                                   float64
		burst                                  time.Duration
		corr                                   float64
		r                                      int
		one, st2022, same2, diverse2, diverse4 float64
	}
	for _, c := range []row{
		{"2 %, 5 ms, independent, 64+6", 0.02, 5 * time.Millisecond, 0, 6, 1.3e-2, 4.0e-4, 9.2e-5, 1.4e-5, 5e-8},
		{"2 %, 5 ms, 30 % common, 64+6", 0.02, 5 * time.Millisecond, 0.3, 6, 1.3e-2, 6.2e-3, 3.6e-3, 1.5e-3, 1.9e-4},
		{"5 %, 10 ms, 30 % common, 64+16", 0.05, 10 * time.Millisecond, 0.3, 16, 2.6e-2, 1.6e-2, 6.8e-3, 1.9e-3, 1.3e-4},
	} {
		const packets = 80000
		got := row{
			one:      residual(t, packets, 1, 1, c.r, c.loss, c.burst, c.corr, 11),
			st2022:   residual(t, packets, 2, 1, 0, c.loss, c.burst, c.corr, 11),
			same2:    residual(t, packets, 2, 1, c.r, c.loss, c.burst, c.corr, 11),
			diverse2: residual(t, packets, 2, 2, c.r, c.loss, c.burst, c.corr, 11),
			diverse4: residual(t, packets, 4, min(4, (MaxSymbols-64)/c.r), c.r, c.loss, c.burst, c.corr, 11),
		}
		t.Logf("%s: 1 path %.1e, ST 2022-7 %.1e, 2 paths same rows %.1e, diverse %.1e, 4 diverse %.1e", c.name, got.one, got.st2022, got.same2, got.diverse2, got.diverse4)
		check := func(what string, got, want float64) {
			const f = 2.5
			if few := 100.0 / packets; got > f*want+few || got < want/f-few {
				t.Errorf("%s, %s: %.1e, want about %.1e", c.name, what, got, want)
			}
		}
		check("1 path", got.one, c.one)
		check("ST 2022-7", got.st2022, c.st2022)
		check("2 paths, same rows", got.same2, c.same2)
		check("2 paths, diverse rows", got.diverse2, c.diverse2)
		check("4 paths, diverse rows", got.diverse4, c.diverse4)
		if got.diverse2 > got.same2 || got.same2 > got.st2022 || got.diverse4 > got.diverse2 {
			t.Errorf("%s: diverse rows are to be better than equal ones, and those than none", c.name)
		}
	}
}
