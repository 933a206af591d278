package fec

import "time"

// pushSource takes a source packet.
func (d *Decoder) pushSource(path int, now time.Duration, h sourceHeader, pkt []byte) {
	e := d.epochOf(now, h)
	if e == nil {
		return
	}
	e.pushed = now
	e.clock.slew(now, d.active)
	if now-e.lastOK > max(clockWindow, d.latency+time.Second) {
		// Nothing in the clock's window: what B was says little by now, and a
		// step in silence is not heard.
		e.clock.reset()
		e.lastOK, e.anew = now, true
	}
	ts := e.unwrap.timestamp(h.ts, now)
	if d.outlived(e, ts) {
		d.stats.RefusedEpoch++
		return
	}
	seq := e.unwrap.sequence(h.seq, ts)
	sample := now - span(ts) - d.paths[path].offset
	ahead := e.clock.ahead(sample)
	if ahead > maxAhead || !e.unwrap.plausible(seq, ts) {
		d.stats.Implausible++
		d.unusable(e, now, h)
		return
	}
	e.clock.sample(path, now, sample)
	e.seen(path, seq, sample)

	due := e.release(ts, d.latency)
	switch {
	case seq < e.win.head && !(due >= now && e.lower(seq)):
		d.afterwards(e, path, now, seq, ts, h, pkt)
		return
	case due < now && (e != d.cur || seq < e.win.next || now-due > maxOverdue):
		d.paths[path].stats.Received++
		d.paths[path].stats.Late++
		if seq < e.win.head+e.win.span {
			e.win.reserve(seq + 1)
			e.win.at(seq).how |= cameLate
		}
		d.unusable(e, now, h)
		return
	}
	if e.fresh && e.win.head == e.win.next {
		e.advance(seq) // nothing is at hand: it begins here
	}
	if seq >= e.win.head+e.win.span {
		if e == d.cand {
			if !e.confirmed {
				d.stats.Overflow++
				return
			}
			d.force(d.cur, now, d.cur.win.next)
			d.promote(now)
		}
		d.force(e, now, seq-e.win.span+1)
	}
	e.win.reserve(seq + 1)
	if ahead < nearbyTime || e.unwrap.again(seq, ts) {
		e.unwrap.accept(seq, ts, now)
	}
	e.lastOK, e.bad = now, 0
	if due >= now {
		e.overdue.since = never
	} else {
		// Late, but nothing newer is here: better late than lost.
		d.stats.Overdue++
		e.wait(now, now-due)
	}
	d.inTime(e, path, now, e.win.at(seq), ts, pkt)
}

// wait notes a packet that came later than its instant by an amount, and before
// any newer one. When for a while none came in time, every path became slower:
// then the release waits for them, so that parity has its time again.
func (e *epoch) wait(now, by time.Duration) {
	o := &e.overdue
	if o.since == never {
		o.since, o.least = now, by
	}
	o.least = min(o.least, by)
	if now-o.since >= overdueFor {
		e.clock.later(o.least)
		o.since = never
	}
}

// inTime takes a source packet whose turn is still to come.
func (d *Decoder) inTime(e *epoch, path int, now time.Duration, s *slot, ts int64, pkt []byte) {
	p := &d.paths[path].stats
	bit := uint64(1) << path
	if s.arrived&bit != 0 {
		p.Duplicates++
		d.stats.Duplicates++
		return
	}
	p.Received++
	if s.arrived == 0 {
		if !d.store(e, s, now, ts, pkt) {
			return
		}
		s.first = int8(path)
		p.First++
		d.margin.add(now, e.release(ts, d.latency)-now)
		if e == d.cand && max(s.seq, e.base)-min(s.seq, e.base) <= confirmReach {
			e.vote(now, 1)
		}
	}
	s.arrived |= bit
}

// afterwards takes a source packet whose turn is over.
func (d *Decoder) afterwards(e *epoch, path int, now time.Duration, seq uint64, ts int64, h sourceHeader, pkt []byte) {
	p := &d.paths[path].stats
	s := e.win.at(seq)
	bit := uint64(1) << path
	if s != nil && s.arrived&bit != 0 {
		p.Duplicates++
		d.stats.Duplicates++
		d.unusable(e, now, h)
		return
	}
	p.Received++
	p.Late++
	if s != nil {
		s.arrived |= bit
		if s.how&wasLost != 0 {
			s.how &^= wasLost
			d.stats.Late++
		}
		if seq >= e.win.tail && s.buf < 0 {
			// Too late for itself, not for the other packets of its block.
			d.store(e, s, now, ts, pkt)
		}
	}
	d.unusable(e, now, h)
}

// store keeps the first copy of a source packet.
func (d *Decoder) store(e *epoch, s *slot, now time.Duration, ts int64, pkt []byte) bool {
	missing := s.buf < 0
	if !e.win.store(s, ts, pkt) {
		d.stats.Overflow++
		return false
	}
	e.joined(s)
	if missing && s.block >= 0 {
		d.stats.Disagreeing += e.blocks.arrived(s.block, len(pkt))
		d.solve(e, s.block, now)
	}
	return true
}

// pushRepair takes a repair packet.
func (d *Decoder) pushRepair(now time.Duration, h *RepairHeader, symbol []byte) {
	e := d.cur
	if e == nil || e.ssrc != h.SourceSSRC {
		if e = d.cand; e == nil || e.ssrc != h.SourceSSRC {
			d.stats.RepairsUnneeded++
			return
		}
	}
	ts := e.unwrap.timestamp(h.Timestamp, now)
	last := e.unwrap.sequence(h.ISN+uint16(h.N)-1, ts)
	if last < uint64(h.N) {
		d.stats.Implausible++
		return
	}
	i, v := e.blocks.add(last-uint64(h.N)+1, h, symbol)
	switch v {
	case rowKept:
		d.stats.K = int(h.K)
		if e == d.cand {
			e.vote(now, 2)
		}
		d.solve(e, i, now)
	case rowUnneeded:
		d.stats.K = int(h.K)
		d.stats.RepairsUnneeded++
	case rowDuplicate:
		d.stats.RepairsDuplicate++
	case rowDisagrees:
		d.stats.Disagreeing++
	case rowOutside:
		d.stats.Implausible++
	case rowOverMemory:
		d.stats.Overflow++
	}
}

// solve recovers what block i misses, if it has the rows.
func (d *Decoder) solve(e *epoch, i int32, now time.Duration) {
	if !e.blocks.ready(i) {
		return
	}
	slots, v := e.blocks.solve(i, e.ssrc)
	switch v {
	case rowDisagrees:
		d.stats.BadRecovery++
	case rowOverMemory:
		d.stats.Overflow++
	}
	for _, s := range slots {
		h, _ := parseSource(e.win.packet(s)) // the table has checked it
		s.ts = e.unwrap.timestamp(h.ts, now)
		e.joined(s)
		d.margin.add(now, e.release(s.ts, d.latency)-now)
	}
}

// unusable counts a packet that came too late, or from a time or place in the
// stream that cannot be. When a while brings nothing else, the sender's clock
// or numbering jumped, or every path became slower than D: then the epoch
// begins anew.
func (d *Decoder) unusable(e *epoch, now time.Duration, h sourceHeader) {
	if e.bad == 0 {
		e.badSince = now
	}
	e.bad++
	if e.bad < restartCount || now-e.badSince < restartAfter {
		return
	}
	if e == d.cur {
		d.force(e, now, e.win.next)
	}
	// The same number at the next place that it has after the head; if that is
	// not half a cycle on, what lies between was lost.
	head := e.win.head
	skip := h.seq - uint16(head)
	seq := head + uint64(skip)
	if e == d.cur && skip < 1<<15 {
		d.force(e, now, seq+1)
	}
	e.floor = e.win.head
	e.unwrap.restart(seq, e.unwrap.timestamp(h.ts, now), now)
	e.clock.reset()
	e.begin(seq + 1)
	e.lastTS = e.unwrap.ts
	e.lastOK, e.bad = now, 0
	d.stats.Restarts++
}
