package fec

import (
	"fmt"
	"slices"
	"time"
)

// EncoderConfig is what an Encoder needs at its start.
type EncoderConfig struct {
	Params
	// RepairPT is the RTP payload type of repair packets; 0 means the default.
	RepairPT uint8
	// SSRC and Seq are each repair stream's SSRC and first sequence number.
	// Their length is the largest number of streams that SetParams may choose.
	SSRC []uint32
	Seq  []uint16
	// MaxPacket is the longest source packet in bytes; 0 means
	// DefaultMaxPacket.
	MaxPacket int
	// Emit receives each repair packet of stream 0…Streams-1 and the instant
	// it is scheduled for, which is not after the now of the call that led to
	// it. pkt is valid only during the call; Emit must not call the Encoder.
	Emit func(stream int, at time.Duration, pkt []byte)
}

// Encoder makes the repair packets of a source stream. Parity accumulates as
// the packets pass, so that no packet costs more than another. It holds two
// blocks: the open one, and the closed one whose repair packets are being
// spread over the time that the next block is expected to take.
type Encoder struct {
	// set at start, never changed
	emit      func(stream int, at time.Duration, pkt []byte)
	repairPT  uint8
	ssrc      []uint32
	maxPacket int

	cur    *coding       // in force
	next   *coding       // takes effect when the next block opens
	open   *codedBlock   // accumulating, or nil
	closed *codedBlock   // emitting, or nil
	seq    []uint16      // next sequence number of each repair stream
	adui   []byte        // the packet being added, padded
	spread time.Duration // of the last block's repair packets
	opened time.Duration // when the last block opened
	stats  EncoderStats
}

// NewEncoder checks the configuration and returns an Encoder.
func NewEncoder(c EncoderConfig) (*Encoder, error) {
	if c.RepairPT == 0 {
		c.RepairPT = RepairPT
	}
	if c.MaxPacket == 0 {
		c.MaxPacket = DefaultMaxPacket
	}
	switch {
	case c.Emit == nil:
		return nil, fmt.Errorf("fec: EncoderConfig.Emit is nil: give it a function")
	case c.RepairPT > 127 || c.RepairPT == SourcePT:
		return nil, fmt.Errorf("fec: RepairPT = %d: choose a dynamic payload type, 96…127", c.RepairPT)
	case c.MaxPacket < rtpHeader || c.MaxPacket > packetLimit:
		return nil, fmt.Errorf("fec: MaxPacket = %d: choose %d…%d bytes", c.MaxPacket, rtpHeader, packetLimit)
	case len(c.SSRC) != len(c.Seq):
		return nil, fmt.Errorf("fec: %d SSRC and %d Seq: give one of each per stream", len(c.SSRC), len(c.Seq))
	}
	e := &Encoder{
		emit: c.Emit, repairPT: c.RepairPT, maxPacket: c.MaxPacket,
		ssrc: slices.Clone(c.SSRC), seq: slices.Clone(c.Seq),
		adui: make([]byte, alignSymbol(aduHeader+c.MaxPacket)),
	}
	if err := e.SetParams(c.Params); err != nil {
		return nil, err
	}
	e.cur, e.next = e.next, nil
	return e, nil
}

// SetParams changes the protection from the next block on. It does the work of
// making the new code here, not when a packet passes.
func (e *Encoder) SetParams(p Params) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if p.R > 0 && p.Streams > len(e.ssrc) {
		return fmt.Errorf("fec: Streams = %d: the encoder was given %d SSRC", p.Streams, len(e.ssrc))
	}
	p.MaxBlock = p.maxBlock()
	in := e.cur
	if e.next != nil {
		in = e.next
	}
	if in != nil && in.params == p {
		return nil
	}
	e.next = newCoding(p, e.maxPacket)
	return nil
}

// Params returns the parameters that the next block opens with.
func (e *Encoder) Params() Params {
	if e.next != nil {
		return e.next.params
	}
	return e.cur.params
}

// Add takes the next source packet of the stream: RTP, payload type 33, in
// sequence. A gap in the sequence or another SSRC closes the open block early.
// Repair packets that are due by now are emitted first. pkt is not kept.
func (e *Encoder) Add(now time.Duration, pkt []byte) error {
	e.Tick(now)
	h, err := parseSource(pkt)
	switch {
	case err != nil:
		return err
	case h.pt != SourcePT:
		return fmt.Errorf("fec: payload type %d: source packets have %d", h.pt, SourcePT)
	case len(pkt) > e.maxPacket:
		return fmt.Errorf("fec: packet of %d bytes: MaxPacket is %d", len(pkt), e.maxPacket)
	}
	e.stats.Source++
	e.stats.SourceBytes += uint64(len(pkt))
	if b := e.open; b != nil && (h.seq != b.isn+uint16(b.n) || h.ssrc != b.ssrc) {
		e.stats.Discontinuities++
		e.close(now, now)
	}
	if e.open == nil {
		if e.next != nil {
			e.cur, e.next = e.next, nil
		}
		if e.cur.params.R == 0 {
			return nil
		}
		e.open = e.cur.spare(e.closed)
		e.open.begin(now, h)
		e.open.before, e.opened = now-e.opened, now
	}
	b := e.open
	b.last, b.ts = now, h.ts
	b.longest = max(b.longest, len(pkt))
	b.add(e.adui[:alignSymbol(putADUI(e.adui, pkt))])
	if b.n == b.set.params.K {
		e.close(now, now)
	}
	return nil
}

// Tick closes a block whose time is over and emits the repair packets that are
// due.
func (e *Encoder) Tick(now time.Duration) {
	if e.closed != nil {
		e.emitDue(now)
	}
	if b := e.open; b != nil && now-b.opened >= b.set.params.MaxBlock {
		e.close(now, b.opened+b.set.params.MaxBlock)
		e.emitDue(now)
	}
}

// Next returns when Tick has something to do, if it has.
func (e *Encoder) Next() (time.Duration, bool) {
	var at time.Duration
	ok := false
	if b := e.closed; b != nil {
		at, ok = b.due(), true
	}
	if b := e.open; b != nil {
		if t := b.opened + b.set.params.MaxBlock; !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// close ends the open block at the instant at ≤ now and schedules its repair
// packets. What is left of the block before it goes out now.
func (e *Encoder) close(now, at time.Duration) {
	b := e.open
	e.open = nil
	if e.closed != nil {
		e.stats.Hurried += uint64(e.closed.total - e.closed.sent)
		for e.closed != nil {
			e.send(min(now, e.closed.due()))
		}
	}
	p := b.set.params
	e.spread = b.duration(at, e.spread)
	e.stats.Blocks++
	if b.n < p.K {
		e.stats.ShortBlocks++
	}
	e.stats.BlockMS = float64(e.spread) / float64(time.Millisecond)
	b.schedule(at, e.spread)
	e.closed = b
}

func (e *Encoder) emitDue(now time.Duration) {
	for e.closed != nil && e.closed.due() <= now {
		e.send(e.closed.due())
	}
}

// send emits the next repair packet of the closed block.
func (e *Encoder) send(at time.Duration) {
	b := e.closed
	q := b.sent
	stream := q % b.set.params.Streams
	h := RepairHeader{
		PT: e.repairPT, Seq: e.seq[stream], Timestamp: b.ts,
		SSRC: e.ssrc[stream], SourceSSRC: b.ssrc,
		ISN: b.isn, K: uint8(b.set.params.K), N: uint8(b.n), ESI: uint8(b.set.params.K + q),
	}
	e.seq[stream]++
	pkt := b.packets[q][:repairHeader+aduHeader+b.longest]
	h.Put(pkt)
	e.stats.Repair++
	e.stats.RepairBytes += uint64(len(pkt))
	if b.sent++; b.sent == b.total {
		e.closed = nil
	}
	e.emit(stream, at, pkt)
	clear(b.rows[q])
	if e.closed == nil {
		for _, row := range b.rows[b.total:] {
			clear(row)
		}
	}
}

// Stats returns the counters since the start.
func (e *Encoder) Stats() EncoderStats {
	s := e.stats
	s.K, s.R, s.Streams = e.cur.params.K, e.cur.params.R, e.cur.params.Streams
	return s
}

// EncoderStats counts what an Encoder did.
type EncoderStats struct {
	Source          uint64  `json:"source"` // source packets added
	SourceBytes     uint64  `json:"source_bytes"`
	Repair          uint64  `json:"repair"` // repair packets emitted
	RepairBytes     uint64  `json:"repair_bytes"`
	Blocks          uint64  `json:"blocks"`          // closed
	ShortBlocks     uint64  `json:"short_blocks"`    // closed with n < K
	Discontinuities uint64  `json:"discontinuities"` // gaps in the source's sequence
	Hurried         uint64  `json:"hurried"`         // repair packets sent before their time because the next block closed
	BlockMS         float64 `json:"block_ms"`        // duration of the last block
	K               int     `json:"k"`
	R               int     `json:"r"`
	Streams         int     `json:"streams"`
}
