package relay

import "time"

// maxQueued bounds the packets in flight in one direction; more are dropped as
// overflow.
const maxQueued = 1 << 15

// Pipe is a Channel with the packets that are in flight: a path in virtual
// time. It is pure and not safe for concurrent use.
type Pipe struct {
	ch    *Channel
	pool  *pool
	queue queue
	n     uint64 // number of the next packet
	stats DirectionStats
	last  uint64 // greatest order number delivered
}

// NewPipe returns an empty pipe through ch, which it owns from now on.
func NewPipe(ch *Channel) *Pipe { return &Pipe{ch: ch, pool: new(pool)} }

// Set changes the impairment from the next packet on.
func (p *Pipe) Set(i Impairment) error { return p.ch.Set(i) }

// Impairment returns what is set.
func (p *Pipe) Impairment() Impairment { return p.ch.Impairment() }

// Send lets a datagram enter at now, which must not go back. The pipe does not
// keep pkt; a datagram over 2048 bytes is dropped and counted as truncated.
func (p *Pipe) Send(now time.Duration, pkt []byte) {
	if len(pkt) > maxDatagram {
		p.truncated(len(pkt))
		return
	}
	k := p.pool.get()
	k.n = copy(k.buf[:], pkt)
	p.admit(now, k)
}

// Pop delivers everything due by now, in order of delivery. pkt is valid during
// the call only.
func (p *Pipe) Pop(now time.Duration, deliver func(at time.Duration, pkt []byte)) {
	for k := p.queue.pop(now); k != nil; k = p.queue.pop(now) {
		p.leave(k)
		deliver(k.due, k.buf[:k.n])
		p.pool.put(k)
	}
}

// Next returns when the next packet is due.
func (p *Pipe) Next() (time.Duration, bool) { return p.queue.next() }

// Stats returns the counters; those of delivery count in Pop.
func (p *Pipe) Stats() DirectionStats { return p.stats }

func (p *Pipe) truncated(size int) {
	p.n++
	p.stats.enter(size)
	p.stats.Dropped.Truncated++
}

// admit decides about k, which belongs to the pipe from now on.
func (p *Pipe) admit(now time.Duration, k *packet) {
	p.stats.enter(k.n)
	f := p.ch.Decide(p.n, now, k.n)
	p.n++
	if f.Drop == Pass && p.queue.len() >= maxQueued {
		f.Drop = Overflow
	}
	if f.Drop != Pass {
		p.stats.Dropped.count(f.Drop)
		p.pool.put(k)
		return
	}
	if f.Flip >= 0 {
		k.buf[f.Flip/8] ^= 0x80 >> (f.Flip % 8)
		p.stats.Flipped++
	}
	k.due = f.At
	p.queue.push(k)
	if f.Dup {
		p.stats.Duplicated++
		c := p.pool.get()
		c.n, c.sess, c.due = copy(c.buf[:], k.buf[:k.n]), k.sess, f.DupAt
		p.queue.push(c)
	}
}

// leave counts a packet that is being delivered.
func (p *Pipe) leave(k *packet) {
	p.stats.PacketsOut++
	p.stats.BytesOut += uint64(k.n)
	if k.seq < p.last {
		p.stats.Reordered++
	} else {
		p.last = k.seq
	}
}
