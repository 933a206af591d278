package fec

import (
	"time"

	"github.com/klauspost/reedsolomon"
)

// coding is one set of parameters with its code and the two blocks that it
// works in.
type coding struct {
	params Params
	column [][]byte // per source symbol, its coefficient in each row
	blocks [2]*codedBlock
}

func newCoding(p Params, maxPacket int) *coding {
	c := &coding{params: p}
	rows := p.R * p.Streams
	if rows == 0 {
		return c
	}
	c.column = make([][]byte, p.K)
	for i := range c.column {
		c.column[i] = make([]byte, rows)
		for j := range rows {
			c.column[i][j] = gf().coefficient(p.K, p.K+j, i)
		}
	}
	for i := range c.blocks {
		c.blocks[i] = newCodedBlock(c, rows, alignSymbol(aduHeader+maxPacket))
	}
	return c
}

// spare returns the block that is not in use.
func (c *coding) spare(used *codedBlock) *codedBlock {
	if c.blocks[0] == used {
		return c.blocks[1]
	}
	return c.blocks[0]
}

// codedBlock is a block on the sender's side: its parity rows, and, once
// closed, when they go out. The rows are zero when the block opens.
type codedBlock struct {
	// set at start, never changed
	set     *coding
	packets [][]byte // per row: room for the header, then the row
	rows    [][]byte // the same memory without the header, padded

	// the block
	isn     uint16
	ssrc    uint32
	ts      uint32 // of the last source packet
	n       int    // source packets so far
	longest int    // source packet, bytes
	opened  time.Duration
	last    time.Duration // when the last source packet came
	before  time.Duration // from the opening of the block before to this one's; 0 unknown

	// set when closed
	start  time.Duration
	spread time.Duration
	total  int // repair packets of all streams
	sent   int
}

func newCodedBlock(c *coding, rows, symbol int) *codedBlock {
	b := &codedBlock{set: c, packets: make([][]byte, rows), rows: make([][]byte, rows)}
	// One slab; the symbols are aligned, the header stands before each.
	stride := symbolAlign + symbol
	slab := make([]byte, rows*stride)
	for i := range rows {
		row := slab[i*stride : (i+1)*stride : (i+1)*stride]
		b.packets[i] = row[symbolAlign-repairHeader:]
		b.rows[i] = row[symbolAlign:]
	}
	return b
}

// begin readies the block for its first source packet.
func (b *codedBlock) begin(now time.Duration, h sourceHeader) {
	b.isn, b.ssrc = h.seq, h.ssrc
	b.n, b.longest = 0, 0
	b.opened, b.last = now, now
}

// add accumulates one padded ADUI. What lies beyond it in the rows stays: the
// rest of the ADUI is zero.
func (b *codedBlock) add(adui []byte) {
	for j, c := range b.set.column[b.n] {
		reedsolomon.LowLevel{}.GalMulSliceXor(c, adui, b.rows[j])
	}
	b.n++
}

// duration estimates how long the block took and so how long the next one will
// take, if it was closed at the instant at. Where packets came in a burst the
// result falls by no more than half of the last one, so that a burst of
// sources does not make a burst of parity.
func (b *codedBlock) duration(at, last time.Duration) time.Duration {
	d := at - b.opened
	switch {
	case d >= b.set.params.MaxBlock:
		return b.set.params.MaxBlock // closed by the timer
	case b.n > 1:
		d = (b.last - b.opened) * time.Duration(b.n) / time.Duration(b.n-1)
	default:
		d = b.before
	}
	return min(max(d, last/2), b.set.params.MaxBlock)
}

// schedule spreads the repair packets evenly from the instant start on: in the
// order of their ESI, so that the streams take turns and every interval holds
// the same share of each. The first and the last keep half a step's distance
// from the ends.
func (b *codedBlock) schedule(start, spread time.Duration) {
	p := b.set.params
	b.start, b.spread = start, spread
	b.sent, b.total = 0, p.RowsFor(b.n)*p.Streams
}

// due returns when the next repair packet goes out.
func (b *codedBlock) due() time.Duration {
	return b.start + b.spread*time.Duration(2*b.sent+1)/time.Duration(2*b.total)
}
