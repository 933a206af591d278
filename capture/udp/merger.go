package udp

import (
	"bytes"
	"fmt"
	"math/bits"
	"time"

	"quartet/uplink/rtp"
)

// MergerConfig is what a Merger is made of.
type MergerConfig struct {
	// Legs is how many copies of the stream arrive, 1 to 4.
	Legs int
	// Delay is, for one leg, how long a packet waits for an earlier one that is
	// missing; packets in order are handed on at once. For more legs it is the
	// constant time between a packet's arrival on the leg heard first and its
	// release: the skew between legs that is bridged (ST 2022-7 classes: A 10 ms,
	// B 50 ms, C 450 ms). With two legs, the instants handed on are arrival plus
	// Delay, so that a leg that goes away or comes back leaves no step in time.
	Delay time.Duration
	// MaxPackets bounds the packets held, rounded up to a power of two; a jump in
	// sequence of less than half of it counts as loss. 0: 4096. At most 16384.
	MaxPackets int
	// MaxBytes bounds the bytes held. 0: 32 MiB.
	MaxBytes int
	// Emit takes packets in order: the whole RTP packet and its payload, a view
	// of it, both valid during the call.
	Emit func(at time.Duration, pkt, payload []byte)
}

const (
	maxLegs           = 4
	defaultMaxPackets = 4096
	maxMaxPackets     = 1 << 14
	defaultMaxBytes   = 32 << 20
)

// MergerStats is what a Merger counted since the start.
type MergerStats struct {
	Delivered uint64     `json:"delivered"`      // packets handed on
	Lost      uint64     `json:"lost"`           // missing on all legs when they were due
	Restarts  uint64     `json:"restarts"`       // new SSRC, or a jump in sequence that is no loss
	Overflows uint64     `json:"overflows"`      // released early because the buffer was full
	Held      int        `json:"held"`           // packets held now
	SSRC      uint32     `json:"ssrc"`           // of the running stream
	Legs      []LegStats `json:"legs,omitempty"` // in the order of the addresses
}

// LegStats is what a Merger counted of one leg. A leg counts from its first
// packet of the running stream.
type LegStats struct {
	Received     uint64  `json:"received"`      // RTP packets
	LostHere     uint64  `json:"lost_here"`     // not arrived on this leg when due
	ByOtherLeg   uint64  `json:"by_other_leg"`  // of these, arrived on another leg
	Unrecovered  uint64  `json:"unrecovered"`   // of these, arrived on none
	Late         uint64  `json:"late"`          // arrived after they were due
	Duplicates   uint64  `json:"duplicates"`    // arrived twice on this leg
	Reordered    uint64  `json:"reordered"`     // arrived after a later one
	Disagreeing  uint64  `json:"disagreeing"`   // same sequence number, other content
	OtherStreams uint64  `json:"other_streams"` // refused: of another or an earlier stream
	SkewMS       float64 `json:"skew_ms"`       // behind the leading leg
}

type slot struct {
	idx     uint64
	ts      uint32
	pt      uint8
	first   int8  // leg of the copy that came first
	arrived uint8 // bit mask of legs
	state   slotState
	start   int32 // of the payload
	end     int32
	at      [maxLegs]time.Duration // arrival of each leg's copy
	place   time.Duration          // on the time line, once released
	by      int8                   // leg that gives the place
	buf     []byte                 // while held
}

type slotState uint8

const (
	slotHeld slotState = iota + 1
	slotDone
	slotLost
)

type mergeLeg struct {
	started bool // first is valid
	first   uint64
	top     uint64 // one behind its highest index
	heard   time.Duration
	clock   legClock

	cand struct { // the first packet of what may be a new stream
		on  bool
		h   rtp.Header
		at  time.Duration
		buf []byte
		pay [2]int32
	}
	stats LegStats
}

// Merger puts the RTP packets of one stream, which arrive on one or more legs,
// back into one sequence: in order, each once, late ones dropped. It is pure:
// instants come in with the packets and with Tick. Its memory is bounded and in
// a steady stream it does not allocate.
//
// A stream is known by its SSRC and by sequence numbers that count up. Another
// SSRC, a jump too far to be loss, or numbers already used under other
// timestamps begin a new stream once two packets in a row show them; the end of
// the old one still comes out, but once replaced it stays refused while the
// new one is heard, so that two senders that contradict each other cannot
// alternate.
type Merger struct {
	// set at start, never changed
	cfg   MergerConfig
	mask  uint64
	early bool // one leg: what is in order goes out at once

	slots     []slot
	free      [][]byte
	heldBytes int
	held      int
	low       uint64 // lowest index held, while held > 0

	begun          bool   // something was released
	head           uint64 // next index to release
	gapFrom, gapTo uint64 // indices between two epochs, never sent
	cur, prev      epoch
	changed        time.Duration // when cur began
	legs           []mergeLeg
	lastOut        time.Duration

	time  timeline
	stats MergerStats
}

// NewMerger returns a Merger, or an error that names the field.
func NewMerger(c MergerConfig) (*Merger, error) {
	if c.MaxPackets == 0 {
		c.MaxPackets = defaultMaxPackets
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	switch {
	case c.Legs < 1 || c.Legs > maxLegs:
		return nil, fmt.Errorf("merger: Legs is %d: must be 1 to %d", c.Legs, maxLegs)
	case c.Delay < 0 || c.Delay > 5*time.Second:
		return nil, fmt.Errorf("merger: Delay is %v: must be 0 to 5s", c.Delay)
	case c.MaxPackets < 2*epochGap || c.MaxPackets > maxMaxPackets:
		return nil, fmt.Errorf("merger: MaxPackets is %d: must be %d to %d", c.MaxPackets, 2*epochGap, maxMaxPackets)
	case c.MaxBytes < 1<<16:
		return nil, fmt.Errorf("merger: MaxBytes is %d: must be at least %d", c.MaxBytes, 1<<16)
	case c.Emit == nil:
		return nil, fmt.Errorf("merger: Emit is nil")
	}
	n := uint64(1) << bits.Len(uint(c.MaxPackets-1))
	return &Merger{
		cfg: c, mask: n - 1, early: c.Legs == 1, slots: make([]slot, n),
		legs: make([]mergeLeg, c.Legs),
	}, nil
}

// Push takes an RTP packet that arrived on a leg at at. h and payload are what
// rtp.Parse says of pkt. It does not keep pkt.
func (m *Merger) Push(leg int, at time.Duration, h rtp.Header, pkt, payload []byte) {
	l := &m.legs[leg]
	l.stats.Received++
	l.heard = max(l.heard, at)
	end := len(pkt)
	if pkt[0]&0x20 != 0 {
		end -= int(pkt[end-1]) // padding, RFC 3550 §5.1
	}
	m.place(leg, at, h, pkt, [2]int32{int32(end - len(payload)), int32(end)})
}

// insert takes a packet whose index is known.
func (m *Merger) insert(leg int, idx uint64, at time.Duration, h rtp.Header, pkt []byte, pay [2]int32, idle bool) {
	l := &m.legs[leg]
	s := &m.slots[idx&m.mask]
	if idx < m.head && !m.begun && idx+epochGap >= m.head {
		m.head, m.cur.first = idx, idx // overtaken by the very first packet
	}
	if s.idx == idx && (s.state == slotHeld || s.state == slotDone && !idle) {
		switch {
		case s.ts != h.Timestamp:
			l.stats.Disagreeing++
			m.candidate(leg, at, h, pkt, pay)
		case s.pt != h.PayloadType, s.state == slotHeld && !bytes.Equal(s.buf[s.start:s.end], pkt[pay[0]:pay[1]]):
			l.stats.Disagreeing++
		default:
			m.copyOf(leg, s, at)
		}
		return
	}
	if idx < m.head {
		l.stats.Late++
		if idle {
			m.candidate(leg, at, h, pkt, pay)
		}
		return
	}
	if idx < l.top && l.started {
		l.stats.Reordered++
	}
	m.accept(leg, idx, at, h, pkt, pay)
}

// copyOf counts one more copy of a packet that is held or already released.
func (m *Merger) copyOf(leg int, s *slot, at time.Duration) {
	l := &m.legs[leg]
	m.joined(leg, s.idx, at)
	if s.arrived&(1<<leg) != 0 {
		l.stats.Duplicates++
		return
	}
	s.arrived |= 1 << leg
	s.at[leg] = at
	if s.state == slotDone {
		l.stats.Late++
		m.learn(leg, s)
	}
}

// accept takes the first copy of a packet that is still due.
func (m *Merger) accept(leg int, idx uint64, at time.Duration, h rtp.Header, pkt []byte, pay [2]int32) {
	for idx-m.head >= uint64(len(m.slots)) && idx > m.head || m.heldBytes+len(pkt) > m.cfg.MaxBytes {
		if m.held == 0 {
			m.lose(idx)
			break
		}
		m.stats.Overflows++
		m.release(at)
	}
	m.enter(idx, h)
	m.joined(leg, idx, at)
	if idx < m.head {
		return // the buffer had to make room beyond it
	}
	s := &m.slots[idx&m.mask]
	*s = slot{
		idx: idx, ts: h.Timestamp, pt: h.PayloadType, first: int8(leg), arrived: 1 << leg, state: slotHeld,
		start: pay[0], end: pay[1],
	}
	s.at[leg] = at
	if m.early && idx == m.head {
		s.state = slotDone
		m.account(s)
		m.head++
		m.emit(m.instant(s), pkt, pkt[s.start:s.end])
		m.inOrder(at)
		return
	}
	if n := len(m.free); n > 0 {
		s.buf, m.free = m.free[n-1], m.free[:n-1]
	}
	s.buf = append(s.buf[:0], pkt...)
	m.heldBytes += len(pkt)
	if m.held == 0 || idx < m.low {
		m.low = idx
	}
	m.held++
}

// inOrder hands on what follows without a gap.
func (m *Merger) inOrder(now time.Duration) {
	for m.held > 0 {
		if m.head >= m.gapFrom && m.head < m.gapTo {
			m.head = m.gapTo
		}
		if m.low != m.head {
			return
		}
		m.release(now)
	}
}

// instant returns the instant of a packet of a single leg that is handed on
// now: its arrival. One that was overtaken is due between its neighbours.
func (m *Merger) instant(s *slot) time.Duration {
	at := s.at[s.first]
	low := m.low
	if m.held > 0 && low == s.idx {
		if m.held == 1 {
			return at
		}
		for low++; m.slots[low&m.mask].idx != low || m.slots[low&m.mask].state != slotHeld; low++ {
		}
	}
	if m.held == 0 {
		return at
	}
	next := &m.slots[low&m.mask]
	nextAt := next.at[next.first]
	if at <= nextAt || nextAt <= m.lastOut {
		return min(at, max(nextAt, m.lastOut))
	}
	return m.lastOut + (nextAt-m.lastOut)/time.Duration(low-s.idx+1)
}

// release hands on the lowest packet held, not later than now; those missing
// before it are lost.
func (m *Merger) release(now time.Duration) {
	s := &m.slots[m.low&m.mask]
	var at time.Duration
	if m.early {
		at = m.instant(s)
	} else {
		s.place, s.by = m.locate(s)
		at = min(s.place+m.cfg.Delay, now)
	}
	m.lose(m.low)
	m.account(s)
	s.state = slotDone
	m.head = s.idx + 1
	m.held--
	m.heldBytes -= len(s.buf)
	buf := s.buf
	s.buf = nil
	for m.held > 0 {
		m.low++
		if n := &m.slots[m.low&m.mask]; n.idx == m.low && n.state == slotHeld {
			break
		}
	}
	if !m.early {
		m.located(s)
	}
	m.emit(at, buf, buf[s.start:s.end])
	m.free = append(m.free, buf)
}

// lose counts the indices from head up to end as lost.
func (m *Merger) lose(end uint64) {
	if end-m.head > uint64(len(m.slots)) {
		m.head = end - uint64(len(m.slots))
	}
	for ; m.head < end; m.head++ {
		if m.head >= m.gapFrom && m.head < m.gapTo {
			m.head = min(m.gapTo, end) - 1
			continue
		}
		m.stats.Lost++
		s := &m.slots[m.head&m.mask]
		s.idx, s.state = m.head, slotLost
		for i := range m.legs {
			if l := &m.legs[i]; l.started && m.head >= l.first {
				l.stats.LostHere++
				l.stats.Unrecovered++
			}
		}
	}
}

// account counts how a packet that is released got through.
func (m *Merger) account(s *slot) {
	m.stats.Delivered++
	for i := range m.legs {
		if l := &m.legs[i]; s.arrived&(1<<i) == 0 && l.started && s.idx >= l.first {
			l.stats.LostHere++
			l.stats.ByOtherLeg++
		}
	}
}

func (m *Merger) emit(at time.Duration, pkt, payload []byte) {
	m.begun = true
	m.lastOut = max(m.lastOut, at)
	m.cfg.Emit(m.lastOut, pkt, payload)
}

// Tick hands on all that is due at now.
func (m *Merger) Tick(now time.Duration) {
	if !m.early {
		m.steer(now)
	}
	for m.held > 0 {
		s := &m.slots[m.low&m.mask]
		due := m.due(s)
		if due > now {
			return
		}
		if !m.early {
			m.overdue(now, s.at[s.first]-due)
		}
		m.release(now)
		if m.early {
			m.inOrder(now)
		}
	}
}

// Next returns when Tick has something to hand on.
func (m *Merger) Next() (time.Duration, bool) {
	if m.held == 0 {
		return 0, false
	}
	return m.due(&m.slots[m.low&m.mask]), true
}

// Stats returns the counts since the start. It appends the legs to legs[:0],
// so that a caller who asks often need not allocate.
func (m *Merger) Stats(legs []LegStats) MergerStats {
	s := m.stats
	s.Held, s.SSRC = m.held, m.cur.ssrc
	lead := m.lead()
	s.Legs = legs[:0]
	for i := range m.legs {
		l := &m.legs[i]
		st := l.stats
		if l.clock.known {
			st.SkewMS = float64(l.clock.off-lead) / float64(time.Millisecond)
		}
		s.Legs = append(s.Legs, st)
	}
	return s
}
