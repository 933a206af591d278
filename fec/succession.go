package fec

import "time"

// epochOf returns the epoch that a source packet belongs to, making it a
// candidate if it is new, or nil if the packet is refused.
func (d *Decoder) epochOf(now time.Duration, h sourceHeader) *epoch {
	switch {
	case d.cur == nil:
		d.cur = d.begin(now, h)
		d.stats.Epochs++
		return d.cur
	case d.cur.ssrc == h.ssrc:
		return d.cur
	case d.cand != nil && d.cand.ssrc == h.ssrc:
		return d.cand
	case d.refuses(h.ssrc, now):
		d.stats.RefusedEpoch++
		return nil
	case d.cand != nil && (d.cand.confirmed || now-d.cand.pushed < abandonAfter):
		// One at a time: whoever came first has its chance.
		d.stats.RefusedEpoch++
		return nil
	}
	if d.cand != nil {
		d.retire(d.cand)
	}
	d.cand = d.begin(now, h)
	return d.cand
}

// begin starts an epoch in memory that is kept for it.
func (d *Decoder) begin(now time.Duration, h sourceHeader) *epoch {
	e := d.spare
	if d.spare = nil; e == nil {
		e = newEpoch(&d.pool, d.span)
	}
	e.start(now, h)
	return e
}

// retire keeps an epoch's memory for the next one.
func (d *Decoder) retire(e *epoch) {
	e.stop()
	d.spare = e
}

// outlived reports whether e is the old epoch and the packet with timestamp ts
// was sent after the first one of a confirmed new epoch: its sender should be
// gone.
func (d *Decoder) outlived(e *epoch, ts int64) bool {
	c := d.cand
	if c == nil || e != d.cur || !c.confirmed || c.win.head >= c.win.next {
		return false
	}
	base := e.clock.b
	if e.clock.target != never {
		base = e.clock.target
	}
	return base+span(ts) > c.release(c.headTS(), 0)
}

// succeed puts the confirmed candidate in the place of the current epoch when
// its first packet is due and the current one has delivered all it has.
func (d *Decoder) succeed(now time.Duration) {
	c := d.cand
	at, ok := c.headRelease(d.latency)
	if !c.confirmed || !ok || now < at {
		return
	}
	drained := d.cur.win.head == d.cur.win.next
	if !drained && now < c.confirmedAt+d.latency+drainLimit {
		return
	}
	if late := now - at; late > startLate {
		// It had to wait; it is not to begin with a burst.
		c.clock.b += late
	}
	d.promote(now)
	d.release(d.cur, now)
}

// promote replaces the current epoch by the candidate.
func (d *Decoder) promote(now time.Duration) {
	d.refuse(d.cur.ssrc, now)
	d.stats.Cut += d.cur.win.next - d.cur.win.head
	d.retire(d.cur)
	d.cur, d.cand = d.cand, nil
	d.stats.Epochs++
}

// refuse keeps an SSRC from coming back, in the place of the oldest refusal.
func (d *Decoder) refuse(ssrc uint32, now time.Duration) {
	at := 0
	for i, r := range d.refused {
		if r.ssrc == ssrc {
			at = i
			break
		}
		if r.until < d.refused[at].until {
			at = i
		}
	}
	d.refused[at] = refusal{ssrc, now + refuseFor}
}

func (d *Decoder) refuses(ssrc uint32, now time.Duration) bool {
	for _, r := range d.refused {
		if r.ssrc == ssrc && now < r.until {
			return true
		}
	}
	return false
}
