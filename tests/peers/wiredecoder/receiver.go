package wiredecoder

import "time"

// Stats counts what a Receiver did with the messages.
type Stats struct {
	Sources     uint64 // source packets with a right tag
	Repairs     uint64 // repair packets with a right tag
	BadTag      uint64
	Malformed   uint64 // right tag, and not a packet of the document
	Reports     uint64 // RTCP, which is passed over
	Duplicates  uint64 // copies of a packet already at hand
	Differing   uint64 // of these, those that were not the same: a mistake of somebody
	Late        uint64
	Recovered   uint64 // by parity
	Shortened   uint64 // of these, in blocks closed early
	Disagreeing uint64 // repair packets that contradict others of their block
	Refused     uint64 // of an SSRC that is over
	Delivered   uint64
	Lost        uint64
	Epochs      uint64
}

// Receiver merges and repairs any number of streams of one contribution. It is
// not safe for concurrent use.
type Receiver struct {
	key     []byte
	latency int64 // D, in ticks of 90 kHz
	deliver func(ts []byte)

	now     *epoch          // the one handed on
	next    *epoch          // the candidate for the time after
	over    map[uint32]bool // SSRC of epochs that have ended
	strange int             // packets in succession whose time cannot be
	paths   map[int]*path
	reports uint32 // sent
	Stats
}

// epoch is all packets of one SSRC (section 9). Sequence numbers and
// timestamps are unwrapped in it.
type epoch struct {
	ssrc    uint32
	packets map[int64]*packet // those to hand on, and the last ones handed on
	blocks  map[int64]*block  // by ISN
	turn    int64             // sequence number handed on next
	top     int64             // highest in packets
	begun   bool              // something has been handed on
	newest  point
	heard   time.Duration // when newest came
	old     point         // where the measurement of the packet rate began
	rate    float64       // packets per tick; 0: not measured
	points  int           // towards being believed

	delivered, byParity, lost uint64
	digest                    digest
}

// packet is a source packet with the paths that brought it, one bit each; none
// when parity did.
type packet struct {
	data []byte
	from uint64
}

// point of the stream: the packet seq is due at timestamp.
type point struct{ seq, timestamp int64 }

type block struct {
	k, n, e   int
	timestamp int64
	rows      map[int][]byte // by ESI
	refuted   bool           // e is too short for one of its source packets
}

// New returns a Receiver. latency is the total latency D; deliver is called
// with the transport stream of each packet in sequence and must not keep it.
func New(contributionKey []byte, latency time.Duration, deliver func(ts []byte)) *Receiver {
	return &Receiver{key: TagKey(contributionKey), latency: int64(latency) * 90_000 / int64(time.Second), deliver: deliver, over: map[uint32]bool{}, paths: map[int]*path{}}
}

// Push takes one SRT message that came on a path, 0 … 63, at an instant of any
// clock that runs on. The paths are numbered by the caller, for the reports; the
// repair does not look at them.
func (r *Receiver) Push(from int, now time.Duration, msg []byte) {
	pkt, ok := Check(r.key, msg)
	if !ok {
		r.BadTag++
		return
	}
	switch kindOf(pkt) {
	case sourceKind:
		h, ok := parseSource(pkt)
		if !ok {
			r.Malformed++
			return
		}
		r.Sources++
		if e := r.epoch(now, h.ssrc, h.seq, h.timestamp); e != nil {
			r.source(e, now, e.unwrap(now, h.seq, h.timestamp), pkt, from)
		}
	case repairKind:
		p, ok := parseRepair(pkt)
		if !ok {
			r.Malformed++
			return
		}
		r.Repairs++
		// The timestamp is that of the block's last packet.
		last := p.isn + uint16(p.n) - 1
		if e := r.epoch(now, p.ssrc, last, p.timestamp); e != nil {
			r.repair(e, now, e.unwrap(now, last, p.timestamp), p)
		}
	case rtcpKind:
		r.Reports++
		r.path(from).settings(pkt)
	default:
		r.Malformed++
	}
	r.handOn()
}

// proof is how many points make a candidate credible.
const proof = 4

// epoch finds the epoch of an SSRC, or begins one at the given packet.
func (r *Receiver) epoch(now time.Duration, ssrc uint32, seq uint16, timestamp uint32) *epoch {
	switch e := r.now; {
	case r.over[ssrc]:
		r.Refused++
		return nil
	case e == nil:
		r.Epochs++
		r.now = newEpoch(now, ssrc, seq, timestamp)
		return r.now
	case e.ssrc == ssrc:
		if off := int32(timestamp - uint32(e.expect(now))); off <= tenSeconds && off >= -tenSeconds {
			r.strange = 0
			return e
		}
		// Section 13: a packet whose time cannot be is dropped. When only such
		// come, the sender's clock has jumped, and the epoch begins anew.
		if r.strange++; r.strange < 32 {
			return nil
		}
		r.strange = 0
		r.drain(e, e.newest.timestamp)
		r.now = newEpoch(now, ssrc, seq, timestamp)
		return r.now
	case r.next != nil && r.next.ssrc == ssrc:
		return r.next
	case r.next != nil && r.next.points >= proof:
		return nil // one candidate at a time
	}
	r.next = newEpoch(now, ssrc, seq, timestamp)
	return r.next
}

const (
	tick       = 90_000 // in a second
	tenSeconds = 10 * tick
)

func newEpoch(now time.Duration, ssrc uint32, seq uint16, timestamp uint32) *epoch {
	at := point{int64(seq), int64(timestamp)}
	return &epoch{ssrc: ssrc, packets: map[int64]*packet{}, blocks: map[int64]*block{}, turn: at.seq, top: at.seq - 1, newest: at, heard: now, old: at}
}

// expect is the timestamp of a packet that comes as the newest one did.
func (e *epoch) expect(now time.Duration) int64 {
	return e.newest.timestamp + int64((now-e.heard).Seconds()*tick)
}

// unwrap places a packet by the newest one (section 8).
func (e *epoch) unwrap(now time.Duration, seq uint16, timestamp uint32) point {
	expect := e.expect(now)
	p := point{timestamp: expect + int64(int32(timestamp-uint32(expect)))}
	step := p.timestamp - e.newest.timestamp
	if ahead := seq - uint16(e.newest.seq); ahead >= 1 && ahead <= 64 && step >= 0 {
		p.seq = e.newest.seq + int64(ahead) // the sender has paused, or not
		return p
	}
	guess := e.newest.seq
	if step > tick/2 || step < -tick/2 {
		guess += int64(float64(step) * e.rate)
	}
	p.seq = guess + int64(int16(seq-uint16(guess)))
	switch {
	case step > tick && p.seq <= e.newest.seq:
		p.seq += 1 << 16
	case step < -tick && p.seq >= e.newest.seq:
		p.seq -= 1 << 16
	}
	return p
}

// seen moves the newest point on, and measures the rate over half a second or
// more without a pause.
func (e *epoch) seen(now time.Duration, p point) {
	if p.seq <= e.newest.seq || p.timestamp <= e.newest.timestamp {
		return
	}
	pause := p.timestamp-e.newest.timestamp > tick/2
	e.newest, e.heard = p, now
	switch span := p.timestamp - e.old.timestamp; {
	case pause:
		e.old = p
	case span >= tick/2:
		e.rate = float64(p.seq-e.old.seq) / float64(span)
		e.old = p
	}
}

// source merges a source packet.
func (r *Receiver) source(e *epoch, now time.Duration, at point, pkt []byte, from int) {
	p := r.path(from)
	p.saw(e, at)
	if have := e.packets[at.seq]; have != nil {
		if string(have.data) != string(pkt) {
			r.Differing++
		}
		if at.seq >= e.turn {
			have.from |= 1 << from
		}
		r.Duplicates++
		return
	}
	if at.seq < e.turn && e.begun {
		r.Late++
		p.late++
		return
	}
	e.add(at, &packet{append([]byte(nil), pkt...), 1 << from})
	e.seen(now, at)
	e.points++
	for isn, b := range e.blocks {
		if at.seq < isn || at.seq >= isn+int64(b.n) {
			continue
		}
		if 3+len(pkt) > b.e {
			r.Disagreeing += uint64(len(b.rows))
			b.rows, b.refuted = nil, true
			continue
		}
		r.solve(e, isn, b)
	}
}

func (e *epoch) add(at point, p *packet) {
	e.packets[at.seq] = p
	e.top = max(e.top, at.seq)
	if !e.begun {
		e.turn = min(e.turn, at.seq)
	}
}

// repair takes a repair packet whose block ends with the packet at last.
func (r *Receiver) repair(e *epoch, now time.Duration, last point, p repair) {
	isn, timestamp := last.seq-int64(p.n)+1, last.timestamp
	if e.begun && isn+int64(p.n) <= e.turn {
		return // all of it has been handed on
	}
	b := e.blocks[isn]
	if b == nil {
		for other, o := range e.blocks {
			if isn < other+int64(o.n) && other < isn+int64(p.n) {
				r.Disagreeing++
				return
			}
		}
		for seq := isn; seq < isn+int64(p.n); seq++ {
			if have := e.packets[seq]; have != nil && 3+len(have.data) > len(p.symbol) {
				r.Disagreeing++
				return
			}
		}
		b = &block{k: p.k, n: p.n, e: len(p.symbol), timestamp: timestamp, rows: map[int][]byte{}}
		e.blocks[isn] = b
	}
	if b.k != p.k || b.n != p.n || b.e != len(p.symbol) || b.timestamp != timestamp || b.refuted {
		r.Disagreeing++
		return
	}
	if b.rows[p.esi] != nil || len(b.rows) == b.n {
		return
	}
	b.rows[p.esi] = append([]byte(nil), p.symbol...)
	e.points += 2
	e.seen(now, last)
	r.solve(e, isn, b)
}

// solve recovers what is missing of a block if it can be.
func (r *Receiver) solve(e *epoch, isn int64, b *block) {
	missing := 0
	for i := range b.n {
		if e.packets[isn+int64(i)] == nil {
			missing++
		}
	}
	if missing == 0 || missing > len(b.rows) {
		return
	}
	symbols := make([][]byte, b.n)
	for i := range symbols {
		if pkt := e.packets[isn+int64(i)]; pkt != nil {
			symbols[i] = adui(pkt.data)
		}
	}
	found := Solve(b.k, symbols, b.rows)
	for i, s := range found {
		pkt, ok := packetOf(s)
		if !ok {
			return
		}
		h, ok := parseSource(pkt)
		if age := uint32(b.timestamp) - h.timestamp; !ok || h.ssrc != e.ssrc || h.seq != uint16(isn+int64(i)) || age > tenSeconds {
			return
		}
		found[i] = pkt
	}
	for i, pkt := range found {
		at := point{seq: isn + int64(i)}
		if at.timestamp = e.timestamp(pkt); at.seq < e.turn && e.begun {
			continue // its turn has passed
		}
		e.add(at, &packet{data: pkt})
		r.Recovered++
		if b.n < b.k {
			r.Shortened++
		}
	}
}

// handOn hands on what is there in sequence. A packet that is missing holds up
// those behind it until they are D old, by the newest timestamp.
func (r *Receiver) handOn() {
	e, n := r.now, r.next
	if e == nil {
		return
	}
	r.drain(e, e.newest.timestamp-r.latency)
	if n != nil && n.points >= proof && n.packets[n.turn] != nil && n.newest.timestamp-n.timestamp(n.packets[n.turn].data) >= r.latency {
		// The candidate's own first packet is due.
		r.drain(e, e.newest.timestamp)
		r.over[e.ssrc] = true
		r.now, r.next = n, nil
		r.Epochs++
		r.handOn()
	}
}

// kept packets behind the turn: a block that is not through may still need them.
const kept = 256

// drain hands on an epoch's packets up to the first gap, and beyond gaps those
// with timestamps up to due. The very first packet waits for its time, so that
// parity can still bring earlier ones.
func (r *Receiver) drain(e *epoch, due int64) {
	for e.turn <= e.top {
		at := e.turn
		for e.packets[at] == nil {
			at++
		}
		p := e.packets[at]
		if (at > e.turn || !e.begun) && e.timestamp(p.data) > due {
			return
		}
		for seq := e.turn; seq < at; seq++ {
			r.account(e, seq, nil)
		}
		r.account(e, at, p)
		r.deliver(p.data[rtpSize:])
		for seq := e.turn - kept; seq <= at-kept; seq++ {
			delete(e.packets, seq)
		}
		e.turn, e.begun = at+1, true
		for isn, b := range e.blocks {
			if isn+int64(b.n) <= e.turn {
				delete(e.blocks, isn)
			}
		}
	}
}

// timestamp of a packet of the epoch, unwrapped.
func (e *epoch) timestamp(pkt []byte) int64 {
	h, _ := parseSource(pkt)
	return e.newest.timestamp + int64(int32(h.timestamp-uint32(e.newest.timestamp)))
}

// Flush hands on all that is left, at the end.
func (r *Receiver) Flush() {
	for _, e := range []*epoch{r.now, r.next} {
		if e != nil {
			r.drain(e, e.newest.timestamp)
		}
	}
}
