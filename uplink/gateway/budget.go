package gateway

import (
	"fmt"
	"time"

	"quartet/fec"
)

// latencyNeeded is the least D at which nothing that the paths bring is late:
// the largest of SRT latency + stagger + skew over the paths that deliver,
// plus the FEC bound, plus a tick. The note is in words and empty when D
// suffices.
func (c *contribution) latencyNeeded(st *fec.DecoderStats) (time.Duration, string) {
	var worst time.Duration
	var which *path
	var skew time.Duration
	for _, p := range c.paths {
		if !p.on {
			continue
		}
		s := max(0, time.Duration(statsOf(st, p.index).SkewMS*float64(time.Millisecond)))
		if d := p.offset + s; which == nil || d > worst {
			worst, which, skew = d, p, s
		}
	}
	if which == nil {
		return 0, ""
	}
	bound := c.fecBound()
	need := worst + bound + c.tick
	if need <= c.latency {
		return need, ""
	}
	up := (need + time.Millisecond - 1).Truncate(time.Millisecond)
	return need, fmt.Sprintf(
		"latency %v is too small: input %s needs SRT latency + stagger %v and skew %v, parity %v: "+
			"packets repaired last come too late; set latency_ms to %d or more here and on the box, or lower SRT latency or stagger",
		c.latency, which.in.Name, which.offset, skew.Round(100*time.Microsecond), bound.Round(time.Millisecond), up.Milliseconds())
}

// fecBound is 2 × the shorter of the block's duration and the box's
// max_block; 0 without parity. The block's duration follows from the packet
// rate that the box tells, or from what is released.
func (c *contribution) fecBound() time.Duration {
	s := c.settings
	if s == nil || s.R == 0 || s.K == 0 {
		return 0
	}
	rate := float64(s.BitRate)
	if rate == 0 {
		rate = float64(c.filler.rate())
	}
	p := fec.Params{K: int(s.K), R: int(s.R), Streams: max(1, int(s.Streams)), MaxBlock: s.MaxBlock}
	return p.Bound(rate / (8 * tsPacket * float64(max(1, s.PacketsPerMessage))))
}

// checkLatency says once when D turns out too small, and once when it
// suffices again.
func (c *contribution) checkLatency(st *fec.DecoderStats) {
	_, note := c.latencyNeeded(st)
	switch {
	case note != "" && !c.tight:
		c.log.Warn(note)
	case note == "" && c.tight:
		c.log.Info("latency suffices again", "latency", c.latency)
	}
	c.tight = note != ""
}
