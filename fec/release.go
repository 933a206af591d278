package fec

import (
	"math/bits"
	"time"
)

// release delivers, in order, all that is due by now.
func (d *Decoder) release(e *epoch, now time.Duration) {
	for {
		at, ok := e.headRelease(d.latency)
		if !ok || at > now {
			return
		}
		if s := e.win.at(e.win.head); s.buf >= 0 {
			d.give(e, s, at)
		} else {
			d.lose(e, e.gap-e.win.head, now)
		}
	}
}

// force delivers all packets before seq without regard to their time.
func (d *Decoder) force(e *epoch, now time.Duration, seq uint64) {
	w := &e.win
	for w.head < min(seq, w.next) {
		if s := w.at(w.head); s.buf >= 0 {
			at, _ := e.headRelease(d.latency)
			d.stats.Forced++
			d.give(e, s, min(at, now))
			continue
		}
		e.headTS() // finds the gap's end
		d.lose(e, min(e.gap, seq)-w.head, now)
	}
	if w.head < seq {
		d.lose(e, seq-w.head, now)
	}
}

// give delivers the head, which is at hand, and then accounts it: each path
// that counts either brought it in time, or did not, and then another path or
// parity did.
func (d *Decoder) give(e *epoch, s *slot, at time.Duration) {
	parity := s.arrived == 0
	d.last = max(d.last, at)
	d.out = Delivery{
		Packet: e.win.packet(s), Seq: s.seq, Count: 1, Release: d.last, SSRC: e.ssrc,
		Arrived: s.arrived, First: int(s.first), Recovered: parity, Epoch: e.anew,
	}
	s.how |= released
	e.lastTS = e.headTS()
	e.fresh, e.anew, e.clock.locked = false, false, true
	d.deliver(&d.out)
	for m := e.counts & d.active; m != 0; m &= m - 1 {
		i := bits.TrailingZeros64(m)
		p := &d.paths[i].stats
		switch {
		case s.seq < e.paths[i].from:
		case s.arrived>>i&1 != 0:
			p.InTime++
		case parity:
			p.LostHere++
			p.ByParity++
		default:
			p.LostHere++
			p.ByOtherPath++
		}
	}
	d.stats.Delivered++
	d.stats.DeliveredBytes += uint64(s.size)
	if parity {
		d.stats.RecoveredParity++
	}
	e.advance(s.seq + 1)
}

// lose delivers n lost packets from the head on, not later than now, and then
// accounts them.
func (d *Decoder) lose(e *epoch, n uint64, now time.Duration) {
	w := &e.win
	first, end := w.head, w.head+n
	step := uint64(1)
	if n > MaxLostRun {
		step = n
	}
	for seq := first; seq < end; seq += step {
		at := now
		if e.gap > seq {
			at = min(now, e.release(e.between(seq, 1), d.latency))
			e.lastTS = e.between(seq, step)
		}
		d.last = max(d.last, at)
		d.out = Delivery{Seq: seq, Count: step, Release: d.last, SSRC: e.ssrc, First: -1, Lost: true, Epoch: e.anew}
		e.anew = false
		d.deliver(&d.out)
	}
	for m := e.counts & d.active; m != 0; m &= m - 1 {
		i := bits.TrailingZeros64(m)
		if from := max(first, e.paths[i].from); from < end {
			d.paths[i].stats.LostHere += end - from
			d.paths[i].stats.Unrecovered += end - from
		}
	}
	d.stats.Lost += n
	for seq := first; seq < min(end, w.limit); seq++ {
		s := w.at(seq)
		s.how |= released
		if s.how&cameLate == 0 {
			s.how |= wasLost
		} else {
			d.stats.Late++
		}
	}
	e.fresh = false
	e.advance(end)
}
