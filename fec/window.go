package fec

// pool lends buffers of one size. It grows in chunks as they are needed, up to
// a bound, and never shrinks, so that a steady stream allocates nothing.
type pool struct {
	size   int // bytes of a buffer
	limit  int // buffers
	chunks [][]byte
	free   []int32
	meta   []bufferMeta
}

// bufferMeta describes the parity row in a buffer, as an element of its
// block's list.
type bufferMeta struct {
	next int32 // none: -1
	esi  uint8
}

const poolChunk = 64 // buffers allocated together

// get borrows a buffer with undefined contents; -1 when the bound is reached.
func (p *pool) get() int32 {
	if len(p.free) == 0 {
		n := len(p.meta)
		if n >= p.limit {
			return -1
		}
		p.chunks = append(p.chunks, make([]byte, poolChunk*p.size))
		p.meta = append(p.meta, make([]bufferMeta, poolChunk)...)
		if cap(p.free) < len(p.meta) {
			p.free = make([]int32, 0, 2*len(p.meta))
		}
		for i := range poolChunk {
			p.free = append(p.free, int32(n+poolChunk-1-i))
		}
	}
	i := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return i
}

func (p *pool) put(i int32) { p.free = append(p.free, i) }

func (p *pool) used() int { return len(p.meta) - len(p.free) }

func (p *pool) buf(i int32) []byte {
	at := int(i) % poolChunk * p.size
	return p.chunks[i/poolChunk][at : at+p.size : at+p.size]
}

// slot is what a receiver knows of one source packet.
type slot struct {
	seq     uint64 // which packet this is: the ring reuses slots
	ts      int64  // unwrapped timestamp, 90 kHz
	arrived uint64 // bitmask of the paths that delivered it
	buf     int32  // its ADUI, or -1
	block   int32  // its block, or -1
	size    uint16 // packet length in bytes; 0 as long as it is missing
	first   int8   // path that delivered it first, or -1
	how     uint8
}

// How a packet came to be in its slot, and what became of it.
const (
	byParity = 1 << iota // its bytes were recovered
	released             // its turn is over
	wasLost              // released as lost
	cameLate             // came before it was released as lost, but too late
)

// keep is the number of released packets whose bytes are kept: a block's
// parity is of use to its last packets when its first ones are already gone.
const keep = MaxK + 2

// window is the ring of slots between the oldest packet still of use and the
// newest known one:
//
//	tail ≤ head ≤ next ≤ limit
//
// The bytes of tail…head-1 are kept for parity only; head is released next;
// next-1 is the newest packet at hand; slots up to limit are ready for use.
// Below tail the ring remembers the slots without their bytes, as long as they
// are not reused, so that late copies and duplicates can be told apart.
type window struct {
	pool  *pool
	slots []slot // a power of two
	span  uint64 // head + span bounds limit

	tail, head, next, limit uint64
}

func newWindow(p *pool, span int) window {
	n := 1
	for n < 2*span+keep {
		n *= 2
	}
	return window{pool: p, slots: make([]slot, n), span: uint64(span)}
}

// start empties the window and begins at seq.
func (w *window) start(seq uint64) {
	for s := w.tail; s < w.limit; s++ {
		w.drop(s)
	}
	for i := range w.slots {
		w.slots[i].seq = ^uint64(0)
	}
	w.tail, w.head, w.next, w.limit = seq, seq, seq, seq
}

// at returns the slot of seq, or nil if the window does not hold it.
func (w *window) at(seq uint64) *slot {
	s := &w.slots[seq&uint64(len(w.slots)-1)]
	if s.seq != seq {
		return nil
	}
	return s
}

// reserve makes the slots below seq ready. seq ≤ head + span.
func (w *window) reserve(seq uint64) {
	for ; w.limit < seq; w.limit++ {
		w.clear(w.limit)
	}
}

// lower moves the start of an untouched window down to seq, if there is room.
func (w *window) lower(seq uint64) bool {
	if w.limit-seq > w.span {
		return false
	}
	for s := seq; s < w.head; s++ {
		w.clear(s)
	}
	if w.next == w.head {
		w.next = seq // nothing is at hand
	}
	w.tail, w.head = seq, seq
	return true
}

func (w *window) clear(seq uint64) {
	w.slots[seq&uint64(len(w.slots)-1)] = slot{seq: seq, buf: -1, block: -1, first: -1}
}

// store puts a packet into its slot, over one that parity recovered. It
// reports false when no buffer is left.
func (w *window) store(s *slot, ts int64, pkt []byte) bool {
	if s.buf < 0 {
		if s.buf = w.pool.get(); s.buf < 0 {
			return false
		}
	}
	putADUI(w.pool.buf(s.buf), pkt)
	s.ts, s.size = ts, uint16(len(pkt))
	s.how &^= byParity
	w.next = max(w.next, s.seq+1)
	return true
}

// packet returns the bytes of a slot that holds a packet.
func (w *window) packet(s *slot) []byte {
	return w.pool.buf(s.buf)[aduHeader : aduHeader+int(s.size)]
}

// adui returns the packet of a slot as a padded source symbol.
func (w *window) adui(s *slot) []byte {
	return w.pool.buf(s.buf)[:alignSymbol(aduHeader+int(s.size))]
}

// advance moves the head up to seq and forgets the bytes of packets that no
// block can need.
func (w *window) advance(seq uint64) {
	w.head = max(w.head, seq)
	w.next = max(w.next, seq)
	if w.limit < seq {
		// More than the ring was skipped: nothing of it remains.
		for s := w.tail; s < w.limit; s++ {
			w.drop(s)
		}
		w.tail, w.limit = seq, seq
	}
	for ; w.tail+keep < w.head; w.tail++ {
		w.drop(w.tail)
	}
}

// drop gives back the bytes of a slot.
func (w *window) drop(seq uint64) {
	s := &w.slots[seq&uint64(len(w.slots)-1)]
	if s.seq != seq {
		return
	}
	if s.buf >= 0 {
		w.pool.put(s.buf)
		s.buf = -1
	}
}
