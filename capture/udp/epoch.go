package udp

import (
	"time"

	"quartet/uplink/rtp"
)

const (
	// quiet is the silence after which whatever comes next may be a new stream.
	quiet = 500 * time.Millisecond
	// epochGap is the room between the indices of two streams, for packets of
	// either that come out of order.
	epochGap = 64
	// A packet farther ahead than jumpPackets is believed once another follows
	// it: a single stray one must not make all before it late.
	jumpPackets = 128
	// maxTSStep is how far timestamps of one stream may be apart, 10 s.
	maxTSStep = 10 * rtp.ClockRate
	// candidateStep is how far the second packet of a new stream may be from the
	// first, and candidateLife how much later it may come.
	candidateStep = 16
	candidateLife = 2 * time.Second
)

// epoch is one run of a stream: sequence numbers that count up under one SSRC.
type epoch struct {
	on    bool
	ssrc  uint32
	shift uint16 // sequence number = low 16 bits of index + shift
	first uint64 // lowest index
	top   uint64 // one behind the highest index
	ts    uint32 // timestamp of the newest packet
	limit uint64 // once replaced: packets from here on are refused
	heard time.Duration
}

// index returns the index nearest to the epoch's newest packet.
func (e *epoch) index(seq rtp.Seq) uint64 {
	newest := e.top - 1
	return newest + uint64(int64(int16(uint16(seq)-e.shift-uint16(newest))))
}

// distance is how far a timestamp is from the epoch's newest, in ticks.
func (e *epoch) distance(ts uint32) int64 {
	return max(int64(int32(ts-e.ts)), -int64(int32(ts-e.ts)))
}

// follow notes the newest packet.
func (e *epoch) follow(idx uint64, h rtp.Header) {
	if idx >= e.top {
		e.top, e.ts = idx+1, h.Timestamp
	}
}

// holds tells whether a packet fits the epoch, and its index. Half the slots
// each way are near enough.
func (e *epoch) holds(h rtp.Header, half uint64) (uint64, bool) {
	if !e.on || h.SSRC != e.ssrc {
		return 0, false
	}
	idx := e.index(h.Seq)
	return idx, idx+half > e.top && idx < e.top+half && e.distance(h.Timestamp) <= maxTSStep
}

// place finds the epoch and the index that a packet belongs to.
func (m *Merger) place(leg int, at time.Duration, h rtp.Header, pkt []byte, pay [2]int32) {
	l := &m.legs[leg]
	if !m.cur.on {
		m.begin(h, at)
	}
	half := uint64(len(m.slots)) / 2
	idle := at-m.cur.heard > quiet
	idx, ours := m.cur.holds(h, half)
	if m.prev.on && h.SSRC == m.prev.ssrc && !idle && at-m.prev.heard < alive {
		old, theirs := m.prev.holds(h, half)
		if theirs && ours && m.prev.distance(h.Timestamp) >= m.cur.distance(h.Timestamp) {
			theirs = false
		}
		if theirs || !ours && h.SSRC != m.cur.ssrc {
			m.prev.heard = at
			if theirs && old < m.prev.limit && old >= m.head {
				m.insert(leg, old, at, h, pkt, pay, false)
				return
			}
			if theirs {
				m.prev.follow(old, h) // to know it when it goes on
			}
			l.stats.OtherStreams++
			return
		}
	}
	switch {
	case !ours, ours && idx >= m.cur.top+jumpPackets:
		m.candidate(leg, at, h, pkt, pay)
	case idx+epochGap < m.cur.first && !idle:
		l.stats.Late++ // a leg that lags: from before the first packet
	case idx+epochGap < m.cur.first:
		m.candidate(leg, at, h, pkt, pay)
	default:
		m.insert(leg, idx, at, h, pkt, pay, idle)
	}
}

// candidate keeps a packet that does not fit; a second one that follows it is
// believed (RFC 3550 appendix A.1): as the stream after a long loss, or as a new
// one.
func (m *Merger) candidate(leg int, at time.Duration, h rtp.Header, pkt []byte, pay [2]int32) {
	l := &m.legs[leg]
	c := &l.cand
	step := h.Seq.Diff(c.h.Seq)
	if c.on && c.h.SSRC == h.SSRC && step > 0 && step <= candidateStep && at-c.at < candidateLife && m.believe(leg, at, h, pkt, pay) {
		return
	}
	if c.on {
		l.stats.OtherStreams++
	}
	c.on, c.h, c.at, c.pay = true, h, at, pay
	c.buf = append(c.buf[:0], pkt...)
}

func (m *Merger) believe(leg int, at time.Duration, h rtp.Header, pkt []byte, pay [2]int32) bool {
	c := &m.legs[leg].cand
	idx, ours := m.cur.holds(c.h, uint64(len(m.slots))/2)
	if !ours || idx < m.cur.top {
		// A stream that has only just replaced another is not given up for one
		// more.
		if m.stats.Restarts > 0 && at-m.changed < quiet && at-m.cur.heard < quiet {
			return false
		}
		m.begin(c.h, c.at)
		idx = m.cur.first
	}
	c.on = false
	m.accept(leg, idx, c.at, c.h, c.buf, c.pay)
	m.place(leg, at, h, pkt, pay)
	return true
}

// begin starts an epoch with the packet h.
func (m *Merger) begin(h rtp.Header, at time.Duration) {
	first := uint64(1) << 32
	if m.cur.on {
		m.stats.Restarts++
		m.prev = m.cur
		m.prev.limit = m.cur.top + epochGap/2
		first = m.cur.top + epochGap
		m.gapFrom, m.gapTo = m.cur.top, first
	} else {
		m.head = first
	}
	m.cur = epoch{on: true, ssrc: h.SSRC, shift: uint16(h.Seq) - uint16(first), first: first, top: first, ts: h.Timestamp, heard: at}
	m.changed = at
	for i := range m.legs {
		m.legs[i].started = false
	}
	if m.early && m.held == 0 {
		m.head = first // nothing of the old stream is waited for
	}
}

// enter notes the epoch of a packet that is news, and its newest index.
func (m *Merger) enter(idx uint64, h rtp.Header) {
	e := &m.cur
	if idx < m.cur.first {
		if m.prev.on && idx < m.prev.limit {
			e = &m.prev
			m.gapFrom = max(m.gapFrom, idx+1)
		} else {
			m.cur.first = idx // overtaken by the first packet of its epoch
			m.gapTo = min(m.gapTo, idx)
		}
	}
	e.follow(idx, h)
}

// joined notes that a leg carries the running stream, from idx on.
func (m *Merger) joined(leg int, idx uint64, at time.Duration) {
	l := &m.legs[leg]
	l.cand.on = false
	if idx < m.cur.first {
		return // the end of the epoch before
	}
	if !l.started {
		l.started, l.first, l.top = true, idx, idx+1
	}
	l.top = max(l.top, idx+1)
	m.cur.heard = max(m.cur.heard, at)
}
