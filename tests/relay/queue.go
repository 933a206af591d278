package relay

import "time"

// maxDatagram is the longest datagram carried; longer ones are dropped as
// truncated.
const maxDatagram = 2048

// packet is a datagram on its way, owned by a pool or a queue.
type packet struct {
	due  time.Duration
	seq  uint64   // order of packets due at the same instant
	sess *session // of a Relay; nil in a Pipe
	n    int
	buf  [maxDatagram]byte
}

func (p *packet) before(q *packet) bool { return p.due < q.due || p.due == q.due && p.seq < q.seq }

// pool keeps packets for reuse; its owner is one goroutine.
type pool struct{ free []*packet }

func (p *pool) get() *packet {
	if n := len(p.free); n > 0 {
		k := p.free[n-1]
		p.free = p.free[:n-1]
		return k
	}
	return new(packet)
}

func (p *pool) put(k *packet) {
	k.sess = nil
	p.free = append(p.free, k)
}

// queue holds packets until they are due. Most are due later than all before
// them: those stand in a ring. Only the others go through a heap.
type queue struct {
	seq  uint64
	ring []*packet // length is a power of two
	head uint64
	tail uint64
	heap []*packet
}

func (q *queue) len() int { return int(q.tail-q.head) + len(q.heap) }

func (q *queue) push(p *packet) {
	p.seq = q.seq
	q.seq++
	if q.tail != q.head && p.before(q.slot(q.tail-1)) {
		q.pushHeap(p)
		return
	}
	if int(q.tail-q.head) == len(q.ring) {
		q.grow()
	}
	q.ring[q.tail&uint64(len(q.ring)-1)] = p
	q.tail++
}

func (q *queue) slot(i uint64) *packet { return q.ring[i&uint64(len(q.ring)-1)] }

func (q *queue) grow() {
	ring := make([]*packet, max(64, 2*len(q.ring)))
	for i := q.head; i != q.tail; i++ {
		ring[i&uint64(len(ring)-1)] = q.slot(i)
	}
	q.ring = ring
}

func (q *queue) next() (time.Duration, bool) {
	p := q.first()
	if p == nil {
		return 0, false
	}
	return p.due, true
}

func (q *queue) first() *packet {
	var p *packet
	if q.head != q.tail {
		p = q.slot(q.head)
	}
	if len(q.heap) > 0 && (p == nil || q.heap[0].before(p)) {
		p = q.heap[0]
	}
	return p
}

// pop removes and returns the first packet due by now, nil if there is none.
func (q *queue) pop(now time.Duration) *packet {
	p := q.first()
	if p == nil || p.due > now {
		return nil
	}
	if len(q.heap) > 0 && q.heap[0] == p {
		q.popHeap()
	} else {
		q.ring[q.head&uint64(len(q.ring)-1)] = nil
		q.head++
	}
	return p
}

func (q *queue) pushHeap(p *packet) {
	q.heap = append(q.heap, p)
	h := q.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *queue) popHeap() {
	n := len(q.heap) - 1
	q.heap[0], q.heap[n] = q.heap[n], nil
	q.heap = q.heap[:n]
	h := q.heap
	for i := 0; ; {
		k := 2*i + 1
		if k >= n {
			break
		}
		if k+1 < n && h[k+1].before(h[k]) {
			k++
		}
		if !h[k].before(h[i]) {
			break
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
}
