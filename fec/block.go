package fec

import (
	"encoding/binary"

	"github.com/klauspost/reedsolomon"
)

// block is what a receiver knows of one block: it exists from its first repair
// packet on, until its last source packet is forgotten.
type block struct {
	isn     uint64 // unwrapped
	ts      uint32 // of the last source packet
	k, n    uint8
	symbol  uint16 // E, bytes
	missing uint16 // source packets not at hand
	rows    uint16 // parity rows at hand
	first   int32  // list of the buffers that hold them, or -1
	done    bool   // takes no more rows: complete, given up or released
	refuted bool   // E is too short for one of its source packets
	seen    [4]uint64
}

func (b *block) end() uint64 { return b.isn + uint64(b.n) }

// verdict is what became of a repair packet.
type verdict uint8

const (
	rowKept       verdict = iota
	rowUnneeded           // its block is complete, released, or has rows enough
	rowDuplicate          // this row is known
	rowDisagrees          // with another repair packet or with a source packet
	rowOutside            // beyond the window
	rowOverMemory         // no buffer left
)

// blockTable keeps the parity rows of a window and recovers packets with them.
// A block holds no more rows than it has source packets, and blocks do not
// overlap, so that rows need no more memory than the window's packets.
type blockTable struct {
	win    *window
	blocks []block
	free   []int32

	// work space of solve
	solver solver
	esi    [MaxSymbols]uint8
	idx    [MaxSymbols]uint8
	row    [MaxSymbols]int32
	out    [MaxSymbols]int32
	sums   [MaxSymbols][]byte
	got    [MaxSymbols]*slot
}

// reset forgets all blocks.
func (t *blockTable) reset() {
	for i := range t.blocks {
		t.finish(int32(i))
	}
	t.blocks, t.free = t.blocks[:0], t.free[:0]
}

// finish gives back a block's rows; it takes no more.
func (t *blockTable) finish(i int32) {
	b := &t.blocks[i]
	b.done = true
	for r := b.first; r >= 0; r = t.win.pool.meta[r].next {
		t.win.pool.put(r)
	}
	b.first, b.rows = -1, 0
}

// remove forgets a block.
func (t *blockTable) remove(i int32) {
	t.finish(i)
	t.free = append(t.free, i)
}

// add takes a repair packet whose block begins at isn. The first one of a block
// says what the block is; those that differ from it are dropped. On rowKept the
// block may have become solvable: see ready.
func (t *blockTable) add(isn uint64, h *RepairHeader, symbol []byte) (int32, verdict) {
	w := t.win
	end := isn + uint64(h.N)
	switch {
	case end <= w.head || isn < w.tail:
		return -1, rowUnneeded // or from before the first packet: not solvable
	case end > w.head+w.span:
		return -1, rowOutside
	}
	w.reserve(end)
	i := w.at(isn).block
	if i < 0 {
		if i = t.open(isn, h, len(symbol)); i < 0 {
			return -1, rowDisagrees
		}
	}
	b := &t.blocks[i]
	if b.isn != isn || b.k != h.K || b.n != h.N || int(b.symbol) != len(symbol) || b.ts != h.Timestamp {
		return -1, rowDisagrees
	}
	bit := uint64(1) << (h.ESI & 63)
	switch {
	case b.refuted:
		return -1, rowDisagrees
	case b.seen[h.ESI>>6]&bit != 0:
		return -1, rowDuplicate
	case b.done || b.rows >= uint16(b.n):
		return -1, rowUnneeded
	}
	r := w.pool.get()
	if r < 0 {
		return -1, rowOverMemory
	}
	b.seen[h.ESI>>6] |= bit
	buf := w.pool.buf(r)
	copy(buf, symbol)
	clear(buf[len(symbol):alignSymbol(len(symbol))])
	w.pool.meta[r] = bufferMeta{next: b.first, esi: h.ESI}
	b.first = r
	b.rows++
	return i, rowKept
}

// open makes the block of a first repair packet, if it does not overlap
// another and its packets fit its symbols.
func (t *blockTable) open(isn uint64, h *RepairHeader, symbol int) int32 {
	b := block{isn: isn, ts: h.Timestamp, k: h.K, n: h.N, symbol: uint16(symbol), first: -1}
	for seq := isn; seq < b.end(); seq++ {
		s := t.win.at(seq)
		switch {
		case s.block >= 0:
			return -1
		case s.buf < 0:
			b.missing++
		case aduHeader+int(s.size) > symbol:
			return -1
		}
	}
	b.done = b.missing == 0
	var i int32
	if n := len(t.free); n > 0 {
		i = t.free[n-1]
		t.free = t.free[:n-1]
		t.blocks[i] = b
	} else {
		i = int32(len(t.blocks))
		t.blocks = append(t.blocks, b)
	}
	for seq := isn; seq < b.end(); seq++ {
		t.win.at(seq).block = i
	}
	return i
}

// arrived notes that a missing source packet of block i is now at hand, and
// returns how many rows it refutes: it is longer than their E allows.
func (t *blockTable) arrived(i int32, size int) (refuted uint64) {
	b := &t.blocks[i]
	b.missing--
	if aduHeader+size > int(b.symbol) {
		b.refuted, refuted = true, uint64(b.rows)
	}
	if b.missing == 0 || b.refuted {
		t.finish(i)
	}
	return refuted
}

// ready reports whether block i can be solved.
func (t *blockTable) ready(i int32) bool {
	b := &t.blocks[i]
	return !b.done && b.missing > 0 && b.rows >= b.missing
}

// solve recovers the missing packets of block i, which must be ready, and
// returns those that were not yet released; their timestamps are still to be
// set. Either all recovered symbols are plausible packets of the stream, or
// none is used: the verdict is rowDisagrees then. The result is valid until
// the next call.
func (t *blockTable) solve(i int32, ssrc uint32) ([]*slot, verdict) {
	b := &t.blocks[i]
	m := t.collect(b)
	v := rowKept
	if !t.compute(b, m) {
		v = rowOverMemory
	}
	for c := 0; v == rowKept && c < m; c++ {
		if !t.verify(b, t.sums[c], uint16(b.isn)+uint16(t.idx[c]), ssrc) {
			v = rowDisagrees
		}
	}
	got := t.got[:0]
	for c := range m {
		s := t.win.at(b.isn + uint64(t.idx[c]))
		switch {
		case v == rowKept && s.how&released == 0:
			s.buf = t.out[c]
			s.size = binary.BigEndian.Uint16(t.sums[c][1:])
			s.how |= byParity
			b.missing--
			got = append(got, s)
		case t.out[c] >= 0:
			t.win.pool.put(t.out[c])
		}
	}
	t.finish(i)
	return got, v
}

// collect lists the missing source symbols and as many rows, and returns how
// many there are.
func (t *blockTable) collect(b *block) (m int) {
	for i := range int(b.n) {
		if t.win.at(b.isn+uint64(i)).buf < 0 {
			t.idx[m] = uint8(i)
			m++
		}
	}
	r := b.first
	for j := range m {
		t.row[j] = r
		t.esi[j] = t.win.pool.meta[r].esi
		r = t.win.pool.meta[r].next
	}
	return m
}

// compute solves the block for its m missing symbols, into t.sums. It turns
// the rows at hand into syndromes: what is left of them when the packets at
// hand are taken out.
func (t *blockTable) compute(b *block, m int) bool {
	f, low, pool := gf(), reedsolomon.LowLevel{}, t.win.pool
	for i := range int(b.n) {
		s := t.win.at(b.isn + uint64(i))
		if s.buf < 0 {
			continue
		}
		adui := t.win.adui(s)
		for r := range m {
			low.GalMulSliceXor(f.coefficient(int(b.k), int(t.esi[r]), i), adui, pool.buf(t.row[r]))
		}
	}
	size := alignSymbol(int(b.symbol))
	t.solver.prepare(int(b.k), t.esi[:m], t.idx[:m])
	ok := true
	for c := range m {
		t.out[c] = pool.get()
		if t.out[c] < 0 {
			ok = false
			continue
		}
		sum := pool.buf(t.out[c])[:size]
		clear(sum)
		for r := range m {
			low.GalMulSliceXor(t.solver.factor(c, r, t.esi[:m], t.idx[:m]), pool.buf(t.row[r])[:size], sum)
		}
		t.sums[c] = sum
	}
	return ok
}

// verify reports whether a recovered symbol is a source packet of the stream
// with this sequence number, from no later than the end of its block.
func (t *blockTable) verify(b *block, adui []byte, seq uint16, ssrc uint32) bool {
	n := int(binary.BigEndian.Uint16(adui[1:]))
	if adui[0] != 0 || n < rtpHeader || aduHeader+n > int(b.symbol) {
		return false
	}
	for _, pad := range adui[aduHeader+n:] {
		if pad != 0 {
			return false
		}
	}
	h, err := parseSource(adui[aduHeader : aduHeader+n])
	age := int32(b.ts - h.ts)
	return err == nil && h.pt == SourcePT && h.ssrc == ssrc && h.seq == seq &&
		age >= 0 && age <= maxBlockTicks
}
