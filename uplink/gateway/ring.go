package gateway

import (
	"encoding/binary"
	"sync/atomic"
)

// ring is a bounded queue of messages between exactly one writer and one
// reader, without locks or allocation: the one hop between a contribution's
// goroutine and an output that may block (SRT, file).
//
// Messages lie in one block of memory, each after its 4-byte length and
// never split at the end, so that the reader can hand them on without a copy.
// When the ring is full the writer drops the new message: the reader is then
// behind by the whole ring, and what it holds is still in order.
type ring struct {
	// set at start, never changed
	buf  []byte
	wake chan struct{} // tells the reader that there is something new

	// Positions count bytes for ever; modulo len(buf) they are offsets.
	head atomic.Uint64 // owned by the writer
	tail atomic.Uint64 // owned by the reader

	// owned by the reader
	next uint64 // where release moves tail to
}

// wrapMark in place of a length says that the rest of the block is unused.
const wrapMark = 0xFFFFFFFF

const lenSize = 4

func newRing(size int) *ring {
	return &ring{buf: make([]byte, size&^7), wake: make(chan struct{}, 1)}
}

// put copies msg into the ring; false means that it did not fit.
func (r *ring) put(msg []byte) bool {
	size := uint64(len(r.buf))
	need := uint64(lenSize+len(msg)+7) &^ 7
	head, tail := r.head.Load(), r.tail.Load()
	at := head % size
	pad := uint64(0)
	if at+need > size {
		pad = size - at
	}
	if head+pad+need-tail > size {
		return false
	}
	if pad > 0 {
		binary.NativeEndian.PutUint32(r.buf[at:], wrapMark)
		head += pad
		at = 0
	}
	binary.NativeEndian.PutUint32(r.buf[at:], uint32(len(msg)))
	copy(r.buf[at+lenSize:], msg)
	r.head.Store(head + need)
	return true
}

// signal wakes the reader; the writer calls it once after a batch of puts.
func (r *ring) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// peek appends up to n waiting messages to dst. They are valid until release.
func (r *ring) peek(dst [][]byte, n int) [][]byte {
	size := uint64(len(r.buf))
	head, at := r.head.Load(), r.tail.Load()
	for ; n > 0 && at < head; n-- {
		off := at % size
		l := binary.NativeEndian.Uint32(r.buf[off:])
		if l == wrapMark {
			at += size - off
			off = 0
			l = binary.NativeEndian.Uint32(r.buf)
		}
		start := off + lenSize
		dst = append(dst, r.buf[start:start+uint64(l):start+uint64(l)])
		at += uint64(lenSize+l+7) &^ 7
	}
	r.next = at
	return dst
}

// release gives the memory of the messages of the last peek back to the
// writer.
func (r *ring) release() { r.tail.Store(r.next) }

// drop discards everything that waits and returns nothing.
func (r *ring) drop() {
	r.next = r.head.Load()
	r.release()
}

// used is the number of bytes waiting, with lengths and padding.
func (r *ring) used() int { return int(r.head.Load() - r.tail.Load()) }
