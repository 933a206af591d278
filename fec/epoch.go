package fec

import "time"

const (
	// confirmScore makes a new SSRC believable: each new source packet counts
	// one, each new repair packet that names it two.
	confirmScore = 4
	// confirmReach is how far apart the source packets that count may be.
	confirmReach = 256
	// abandonAfter is how long an unconfirmed SSRC without packets keeps its
	// place from another one.
	abandonAfter = 200 * time.Millisecond
	// refuseFor is how long an SSRC is refused after it was replaced.
	refuseFor = 60 * time.Second
	// drainLimit is how much longer than D an old epoch may take to drain.
	drainLimit = time.Second
	// startLate is how late a new epoch may begin without being given a later
	// clock.
	startLate = 10 * time.Millisecond
	// nearbyTime is how far ahead of the release clock a packet may be and
	// still tell how the stream's numbers go on.
	nearbyTime = time.Second
	// maxAhead is how far ahead of the release clock a packet may be.
	maxAhead = 10 * time.Second
	// maxOverdue is how late a packet may be that no newer one has overtaken,
	// on any path, and still be released: what merges our output with that of
	// the other leg bridges about so much (MediaConnect: 200 ms by default).
	maxOverdue = 200 * time.Millisecond
	// overdueFor is how long only such packets come until the clock follows.
	overdueFor = 500 * time.Millisecond
	// Nothing but unusable packets for restartAfter, and restartCount of them,
	// show that the sender's clock or numbering jumped.
	restartAfter = 2 * time.Second
	restartCount = 32
)

// epoch is the reception of one SSRC.
type epoch struct {
	ssrc   uint32
	win    window
	blocks blockTable
	unwrap unwrapper
	clock  releaseClock
	paths  [MaxStreams]pathEpoch
	counts uint64 // bitmask of the paths that delivered here: they are accounted

	fresh  bool          // nothing released since the start or restart
	anew   bool          // nothing delivered since the clock was set anew
	floor  uint64        // below this, all was delivered before a restart
	gap    uint64        // first packet at hand after a missing head; 0 unknown
	lastTS int64         // of the packet before head, known or likely
	lastOK time.Duration // when a packet last came in time

	overdue struct {
		since time.Duration // when the first of those that came since one in time; never: none
		least time.Duration // how late the least late of them was
	}

	bad      int // unusable packets since lastOK
	badSince time.Duration

	// while it is a candidate
	base        uint64 // first sequence number
	score       int
	confirmed   bool
	confirmedAt time.Duration
	pushed      time.Duration // when the last packet came
}

// pathEpoch is what an epoch knows of one path.
type pathEpoch struct {
	from    uint64        // accounted from this packet on
	highest uint64        // newest packet
	sample  time.Duration // of the last packet
	jitter  time.Duration // RFC 3550 §6.4.1
}

func newEpoch(p *pool, span int) *epoch {
	e := &epoch{win: newWindow(p, span)}
	e.blocks.win = &e.win
	return e
}

// start makes the epoch ready for the SSRC of a first packet.
func (e *epoch) start(now time.Duration, h sourceHeader) {
	e.ssrc = h.ssrc
	e.counts = 0
	e.clock.reset()
	e.unwrap.start(h.seq, h.ts, now)
	e.begin(e.unwrap.seq)
	e.floor = 0
	e.lastTS = e.unwrap.ts
	e.score, e.confirmed, e.base = 0, false, e.unwrap.seq
	e.lastOK, e.pushed, e.bad = now, now, 0
}

// begin empties the window and begins anew at seq.
func (e *epoch) begin(seq uint64) {
	e.blocks.reset()
	e.win.start(seq)
	e.gap, e.fresh, e.anew = 0, true, true
	e.overdue.since = never
}

// stop gives back all buffers.
func (e *epoch) stop() { e.begin(0) }

// advance moves the head to seq and forgets the blocks that are over.
func (e *epoch) advance(seq uint64) {
	w := &e.win
	for s := w.head; s < min(seq, w.limit); s++ {
		if b := w.at(s).block; b >= 0 && e.blocks.blocks[b].end() == s+1 {
			e.blocks.finish(b)
		}
	}
	forget := w.limit // all, if the ring is skipped
	if seq <= w.limit {
		forget = max(seq, keep) - keep
	}
	for s := w.tail; s < forget; s++ {
		if b := w.at(s).block; b >= 0 && e.blocks.blocks[b].end() == s+1 {
			e.blocks.remove(b)
		}
	}
	w.advance(seq)
	if e.gap <= w.head {
		e.gap = 0
	}
}

// joined notes a packet that is now at hand.
func (e *epoch) joined(s *slot) {
	e.win.next = max(e.win.next, s.seq+1)
	if s.seq > e.win.head && s.seq < e.gap {
		e.gap = s.seq
	}
}

// headRelease returns when the head is due. A missing packet is given up when
// the one after it is due; without one at hand that is not known.
func (e *epoch) headRelease(d time.Duration) (time.Duration, bool) {
	if e.win.head >= e.win.next {
		return 0, false
	}
	ts := e.headTS()
	return e.release(ts, d), true
}

// release returns when a packet is due: B + timestamp + D.
func (e *epoch) release(ts int64, d time.Duration) time.Duration {
	return e.clock.b + span(ts) + d
}

// headTS returns the timestamp of the head, which is below next; if it is
// missing, that of the first packet at hand after it. Nothing waits for the head
// until then; and a timestamp interpolated between its neighbours' would lie in
// the middle of a pause of the source, where what was lost behind the pause must
// not be given up before parity or a slower path has brought it.
func (e *epoch) headTS() int64 {
	w := &e.win
	if w.at(w.head).buf >= 0 {
		return e.timestamp(w.head)
	}
	if e.gap == 0 {
		e.gap = w.head + 1
		for w.at(e.gap).buf < 0 {
			e.gap++
		}
	}
	return e.timestamp(e.gap)
}

// timestamp returns that of a packet at hand, or of the one behind it if that is
// lower: one wrong timestamp must not hold up the packets behind it.
func (e *epoch) timestamp(seq uint64) int64 {
	ts := e.win.at(seq).ts
	if n := e.win.at(seq + 1); n != nil && n.buf >= 0 {
		ts = min(ts, n.ts)
	}
	return ts
}

// between returns a likely timestamp of the n-th packet from the missing packet
// seq on, where lastTS is that of the packet before seq and gap is known.
func (e *epoch) between(seq, n uint64) int64 {
	after := e.timestamp(e.gap)
	return e.lastTS + max(after-e.lastTS, 0)*int64(n)/int64(e.gap-seq+1)
}

// lower lets the epoch begin with an earlier packet, as long as it has not
// begun to release.
func (e *epoch) lower(seq uint64) bool {
	if !e.fresh || seq < e.floor || !e.win.lower(seq) {
		return false
	}
	e.gap = 0
	return true
}

// seen notes a packet on a path.
func (e *epoch) seen(path int, seq uint64, sample time.Duration) {
	p := &e.paths[path]
	if bit := uint64(1) << path; e.counts&bit == 0 {
		e.counts |= bit
		*p = pathEpoch{from: max(seq, e.win.head), highest: seq, sample: sample}
		return
	}
	p.highest = max(p.highest, seq)
	diff := sample - p.sample
	p.sample = sample
	p.jitter += (max(diff, -diff) - p.jitter) / 16
}

// vote counts evidence that a candidate's stream is real.
func (e *epoch) vote(now time.Duration, points int) {
	if e.score += points; e.score >= confirmScore && !e.confirmed {
		e.confirmed, e.confirmedAt = true, now
	}
}
