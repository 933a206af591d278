package gateway

import (
	"time"

	"quartet/fec"
	"quartet/uplink/rtp"
)

// deliver is called by the decoder for each packet as it is released, or lost.
func (c *contribution) deliver(d *fec.Delivery) {
	if d.Epoch {
		c.begin(d)
	}
	if d.Packet == nil {
		c.lost += d.Count
		return
	}
	h, ts, err := rtp.ParseSource(d.Packet)
	if err != nil {
		c.unusable++ // only a box with the key could have made it
		return
	}
	c.top.Unwrap(h.Seq, h.Timestamp)
	c.digest.AddSum(h, rtp.Sum(d.Packet))
	if c.batch.full() {
		c.flush(c.now())
	}
	c.batch.add(d.Packet, len(d.Packet)-len(ts))
}

// begin notes a new source, or an old one whose clock was set anew.
func (c *contribution) begin(d *fec.Delivery) {
	if c.epochs > 0 && d.SSRC == c.ssrc {
		c.log.Warn("the source's clock or numbering jumped: release clock set anew", "ssrc", hex32(d.SSRC))
		return
	}
	c.epochs++
	c.log.Info("source begins", "ssrc", hex32(d.SSRC), "epoch", c.epochs)
	c.ssrc, c.top = d.SSRC, rtp.Unwrapper{}
	if c.epochs > 1 {
		c.report.from.begin(c.dec.Stats()) // this delivery does not count yet
	}
}

// flush hands the batch to the outputs.
func (c *contribution) flush(now time.Duration) {
	if len(c.batch.rtp) == 0 {
		return
	}
	n := 0
	for _, ts := range c.batch.ts {
		n += len(ts)
		if c.monitor != nil {
			_ = c.monitor.WriteTS(now, ts) // never fails
		}
	}
	c.filler.released(now, n)
	if c.state != Streaming {
		c.found(now)
	}
	for _, o := range c.outs {
		o.write(c.batch)
	}
	c.batch.reset()
}

// found marks the feed as there.
func (c *contribution) found(now time.Duration) {
	if c.state == Lost {
		c.log.Info("input returned", "after", (now - c.lostAt).Round(time.Millisecond))
	} else {
		c.log.Info("streaming", "latency", c.latency)
	}
	c.state = Streaming
}

// quiet is the silence at the release after which the monitor must be told the
// time.
const quiet = 100 * time.Millisecond

// tellTime tells the monitor the time while nothing is released.
func (c *contribution) tellTime(now time.Duration) {
	if c.monitor != nil && now-c.filler.last > quiet {
		c.monitor.Tick(now)
	}
}

// watch says what was lost, at most once a second, notices a lost feed, and
// fills it where an output wants that.
func (c *contribution) watch(now time.Duration) {
	if c.lost > 0 && now >= c.sayLost {
		c.log.Warn("packets lost: on no path, and not recovered", "packets", c.lost)
		c.lost, c.sayLost = 0, now+time.Second
	}
	c.tellTime(now)
	if c.state == Streaming && now-c.filler.last > c.cfg.LossAfter {
		c.state, c.lostAt = Lost, now
		c.log.Warn("input lost: nothing to release", "for", c.cfg.LossAfter, "fills", c.fills())
	}
	if c.filling(now) {
		if n := c.filler.due(now, len(c.nulls)); n > 0 {
			for _, o := range c.outs {
				if o.onLoss() == Null {
					o.fill(c.nulls[:n])
				}
			}
		}
	}
}

// fills tells whether any output wants null packets while the feed is lost.
func (c *contribution) fills() bool {
	for _, o := range c.outs {
		if o.onLoss() == Null {
			return true
		}
	}
	return false
}

// filling tells whether null packets are being sent at now.
func (c *contribution) filling(now time.Duration) bool {
	return c.state == Lost && !c.stopping && (c.cfg.NullFor == 0 || now-c.lostAt < c.cfg.NullFor) && c.fills()
}
