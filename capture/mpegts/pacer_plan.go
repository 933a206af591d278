package mpegts

import "time"

// prepare decides when the packet at head is due.
func (p *Pacer) prepare() {
	if p.planned {
		return
	}
	p.planned = true
	a := p.arrived[p.head&p.mask]
	pl, due := p.place(a)
	if due < a && !pl.fresh {
		if pl.mark && float64(a)-p.clock.est.at(pl.src) > float64(p.maxLatency) {
			// Later than any hold could make up for: the clock itself has moved.
			pl.fresh = true
			due = a + p.latency
		} else {
			pl.late = due < a-time.Microsecond
			due = a
		}
	}
	if due > a && p.started && !pl.fresh {
		// What is behind must get out in time too: share the time that is left.
		if limit, end := p.backlog(pl); end > limit && due > p.last {
			f := float64(max(limit-p.last, 0)) / float64(end-p.last)
			due = p.last + time.Duration(float64(due-p.last)*f)
			pl.early = true
		}
	}
	if bound := a + p.maxLatency; due > bound {
		due, pl.early = bound, true
	}
	if int(p.tail-p.head) > p.soft && due > p.newest {
		due, pl.early = p.newest, true
	}
	due = max(due, a)
	if p.started {
		due = max(due, p.last)
	}
	p.plan, p.due = pl, due
}

// place finds the head packet's place in source time and its instant.
func (p *Pacer) place(a time.Duration) (plan, time.Duration) {
	m, ahead := p.marks.front()
	switch {
	case ahead && m.index == p.head:
		pl := plan{src: m.src, mark: true, exact: true, onLine: true}
		if m.fresh || !p.onLine {
			pl.fresh = true
			return pl, p.byArrival(a)
		}
		return pl, p.line.time(m.src)
	case !p.onLine || !ahead && p.clock.lost(p.newest):
		return plan{}, p.byArrival(a)
	}
	pl := plan{onLine: true}
	if ahead {
		// Share what is left up to the next PCR evenly.
		pl.src = p.pos + max(m.src-p.pos, 0)/int64(m.index-p.head+1)
		pl.exact = m.even && p.clock.cbr
	} else {
		pl.src = p.pos + int64(p.clock.spacing)
	}
	return pl, p.line.time(pl.src)
}

// byArrival is the instant of the head packet, which arrived at a, without a
// clock: packets leave at the mean rate of arrival, gently steered to the hold
// wanted.
func (p *Pacer) byArrival(a time.Duration) time.Duration {
	if !p.started || p.arrivalT == 0 || p.last+p.latency < a {
		return a + p.latency
	}
	next := float64(p.last-a) + p.arrivalT
	f := 1 + 0.1*(float64(p.latency)-next)/float64(p.latency)
	return p.last + time.Duration(p.arrivalT*min(max(f, 0.5), 2))
}

// backlog returns by when the packets behind head must be out, and when the
// last of them is due as things stand: as far as their places are known, or
// guessed where head's own is no better than a guess.
func (p *Pacer) backlog(pl plan) (limit, end time.Duration) {
	t := p.tail - 1
	limit = p.arrived[t&p.mask] + p.maxLatency
	if !pl.onLine {
		return limit, p.last + time.Duration(float64(t-p.head+1)*p.arrivalT)
	}
	src, i := pl.src, p.head
	m, ahead := p.marks.back()
	if ahead {
		src, i = max(src, m.src), m.index
	}
	if ahead && !p.clock.cbr {
		return p.arrived[i&p.mask] + p.maxLatency, p.line.time(src)
	}
	return limit, p.line.time(src + int64(float64(t-i)*p.clock.spacing))
}

// commit makes the plan of the head packet, which arrived at a, history.
func (p *Pacer) commit(a time.Duration) {
	pl := p.plan
	p.planned = false
	p.last, p.started = p.due, true
	if pl.late {
		p.stats.Late++
	}
	if pl.early {
		p.stats.EarlyReleases++
	}
	if pl.mark {
		p.marks.pop()
	}
	switch {
	case !pl.onLine:
		p.onLine = false
		return
	case pl.fresh:
		if float64(a)-p.clock.est.at(pl.src) > float64(p.maxLatency) {
			p.clock.est.restart(pl.src, a)
			p.stats.Relocks++
		}
		p.line = line{pl.src, p.due, 1 + p.clock.est.freq}
		p.peaks = peakWindow{}
	case (pl.late && pl.mark) || (pl.early && (pl.mark || p.clock.cbr)):
		p.line.src, p.line.at = pl.src, p.due
	case pl.late && !p.clock.cbr:
		// A guessed place that did not hold: the guess moves, not the line.
		src := p.line.source(p.due)
		if m, ok := p.marks.front(); ok {
			src = min(src, m.src)
		}
		pl.src = max(pl.src, src)
	}
	p.onLine, p.pos = true, pl.src
	if pl.exact && a != p.peakAt {
		p.peakAt = a
		p.peaks.add(a, float64(a)-p.clock.est.at(pl.src))
	}
	if pl.mark {
		p.steer(pl.src)
	}
}

// steer bends the line, from src on, towards the clock's estimate plus the
// hold.
func (p *Pacer) steer(src int64) {
	est := &p.clock.est
	p.hold = max(float64(p.latency), min(p.peaks.max()+float64(holdMargin), float64(p.maxLatency)))
	now := p.line.time(src)
	off := est.at(src) + p.hold - float64(now)
	tau, slew := float64(steerUnlocked), slewUnlocked
	if est.locked() {
		tau, slew = float64(steerLocked), slewLocked
	}
	p.line = line{src, now, 1 + est.freq + min(max(off/tau, -slew), slew)}
}

// peakWindow keeps the largest of the values of the last one to two windows.
type peakWindow struct {
	since     time.Duration
	cur, prev float64
	n         int // values in cur
	hasPrev   bool
}

func (w *peakWindow) add(at time.Duration, v float64) {
	if w.n > 0 && at-w.since > jitterWindow {
		w.prev, w.hasPrev = w.cur, true
		w.n = 0
	}
	if w.n == 0 {
		w.since, w.cur = at, v
	}
	w.cur = max(w.cur, v)
	w.n++
}

func (w *peakWindow) max() float64 {
	switch {
	case w.n > 0 && w.hasPrev:
		return max(w.cur, w.prev)
	case w.n > 0:
		return w.cur
	case w.hasPrev:
		return w.prev
	}
	return 0
}

// mark is a PCR of the clock's PID in the buffer.
type mark struct {
	index uint64 // of its packet
	src   int64  // source time, unwrapped
	fresh bool   // the time line starts anew here
	even  bool   // the packets before it, back to the last mark, are evenly spaced
}

// markQueue is a ring of marks in the order of their packets.
type markQueue struct {
	ring       []mark
	head, tail uint64
}

func (q *markQueue) push(m mark) {
	if int(q.tail-q.head) == len(q.ring) {
		ring := make([]mark, max(64, 2*len(q.ring)))
		for i := q.head; i != q.tail; i++ {
			ring[i&uint64(len(ring)-1)] = q.ring[i&uint64(len(q.ring)-1)]
		}
		q.ring = ring
	}
	q.ring[q.tail&uint64(len(q.ring)-1)] = m
	q.tail++
}

func (q *markQueue) front() (mark, bool) {
	if q.head == q.tail {
		return mark{}, false
	}
	return q.ring[q.head&uint64(len(q.ring)-1)], true
}

func (q *markQueue) back() (mark, bool) {
	if q.head == q.tail {
		return mark{}, false
	}
	return q.ring[(q.tail-1)&uint64(len(q.ring)-1)], true
}

func (q *markQueue) pop() { q.head++ }

// discard forgets marks of packets before index.
func (q *markQueue) discard(index uint64) {
	for m, ok := q.front(); ok && m.index < index; m, ok = q.front() {
		q.pop()
	}
}
