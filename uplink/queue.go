package uplink

import (
	"sync"
	"time"
)

// messageBytes is the longest message: SRT's payload size on rtp-fec paths.
const messageBytes = 1456

// Port says which of a path's flows a message belongs to. SRT has one; a path of
// profile rtp sends ST 2022-1 columns and rows to the media port + 2 and + 4.
type Port uint8

const (
	PortMedia  Port = 0
	PortColumn Port = 2
	PortRow    Port = 4
)

// queue is a path's bounded queue, the only hop between goroutines. The Sender
// pushes, the Path pops what is due. When it is full the oldest message is
// dropped and counted: for live television the newest is worth the most.
// Messages are copied in and out, so neither side waits on the other's socket.
type queue struct {
	mu      sync.Mutex
	slots   []slot
	order   []uint16 // ring of slots in order of arrival
	free    []uint16 // stack: the slot used last is used next, while it is in the cache
	head    int      // oldest in order
	n       int
	dropped uint64 // pushed out by newer ones
	stale   uint64 // too old when popped
	pushed  uint64
	peak    int
}

type slot struct {
	due  time.Duration
	size uint16
	port Port
	buf  [messageBytes]byte
}

// batch is what a pop fills; its memory is owned by the path's goroutine.
type batch struct {
	msgs  [][]byte // views into mem
	ports []Port
	dues  []time.Duration
	ages  []time.Duration // made of dues for each call of Send
	mem   []byte
}

// maxQueue is the longest queue: slots are numbered by uint16.
const maxQueue = 1 << 16

// newQueue makes room for messages, at most maxQueue.
func newQueue(messages int) *queue {
	messages = min(messages, maxQueue)
	q := &queue{slots: make([]slot, messages), order: make([]uint16, messages), free: make([]uint16, messages)}
	q.refill()
	return q
}

func (q *queue) refill() {
	q.free = q.free[:len(q.slots)]
	for i := range q.free {
		q.free[i] = uint16(len(q.free) - 1 - i)
	}
}

// oldest takes the oldest slot off the ring and frees it.
func (q *queue) oldest() *slot {
	i := q.order[q.head]
	if q.head++; q.head == len(q.order) {
		q.head = 0
	}
	q.n--
	q.free = append(q.free, i)
	return &q.slots[i]
}

func newBatch(messages int) *batch {
	return &batch{msgs: make([][]byte, 0, messages), ports: make([]Port, 0, messages),
		dues: make([]time.Duration, 0, messages), ages: make([]time.Duration, messages), mem: make([]byte, messages*messageBytes)}
}

// push queues a message for sending at due. It never blocks for long and never
// allocates; msg is copied.
func (q *queue) push(due time.Duration, port Port, msg []byte) {
	q.mu.Lock()
	if q.n == len(q.slots) {
		q.oldest()
		q.dropped++
	}
	i := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	at := q.head + q.n
	if at >= len(q.order) {
		at -= len(q.order)
	}
	q.order[at] = i
	s := &q.slots[i]
	s.due, s.port = due, port
	s.size = uint16(copy(s.buf[:], msg))
	q.n++
	q.pushed++
	q.peak = max(q.peak, q.n)
	q.mu.Unlock()
}

// pop moves messages due at now into b, after what b still holds, until b is
// full. Those due more than maxAge ago are dropped and counted.
func (q *queue) pop(now, maxAge time.Duration, b *batch) {
	q.mu.Lock()
	for q.n > 0 && len(b.msgs) < cap(b.msgs) {
		s := &q.slots[q.order[q.head]]
		if s.due > now {
			break
		}
		if now-s.due > maxAge {
			q.stale++
		} else {
			i := len(b.msgs)
			m := b.mem[i*messageBytes : i*messageBytes+int(s.size) : (i+1)*messageBytes]
			copy(m, s.buf[:s.size])
			b.msgs = append(b.msgs, m)
			b.ports = append(b.ports, s.port)
			b.dues = append(b.dues, s.due)
		}
		q.oldest()
	}
	q.mu.Unlock()
}

// clear drops everything and returns how much that was.
func (q *queue) clear() (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped = q.n
	q.head, q.n = 0, 0
	q.refill()
	return dropped
}

type queueStats struct {
	pushed, dropped, stale uint64
	length, peak           int
}

func (q *queue) stats() queueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return queueStats{q.pushed, q.dropped, q.stale, q.n, q.peak}
}

// aged is by how much each message is late at now.
func (b *batch) aged(now time.Duration) []time.Duration {
	for i, due := range b.dues {
		b.ages[i] = now - due
	}
	return b.ages[:len(b.dues)]
}

// sent removes the first n messages of b.
func (b *batch) sent(n int) {
	if n == 0 {
		return
	}
	if n == len(b.msgs) {
		b.msgs, b.ports, b.dues = b.msgs[:0], b.ports[:0], b.dues[:0]
		return
	}
	// Rare: the socket took a part. Move the rest to the front so that slot i
	// of mem belongs to message i again.
	for i := n; i < len(b.msgs); i++ {
		m := b.mem[(i-n)*messageBytes : (i-n)*messageBytes+len(b.msgs[i]) : (i-n+1)*messageBytes]
		copy(m, b.msgs[i])
		b.msgs[i-n], b.ports[i-n], b.dues[i-n] = m, b.ports[i], b.dues[i]
	}
	left := len(b.msgs) - n
	b.msgs, b.ports, b.dues = b.msgs[:left], b.ports[:left], b.dues[:left]
}
