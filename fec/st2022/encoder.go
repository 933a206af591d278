package st2022

import (
	"fmt"
	"time"
)

// EncoderConfig describes an encoder.
type EncoderConfig struct {
	Params
	PT        uint8  // payload type of FEC packets; 0: 96
	SSRC      uint32 // of both FEC streams; ST 2022-1 does not use it
	ColumnSeq uint16 // first sequence number of the column stream
	RowSeq    uint16 // first sequence number of the row stream
	MaxPacket int    // longest source packet in bytes; 0: 1328

	// Emit gets every FEC packet, an RTP packet that is valid during the call.
	// at is its scheduled instant, not after the now of the call that emits it.
	Emit func(kind Kind, at time.Duration, pkt []byte)
}

// EncoderStats counts since the start.
type EncoderStats struct {
	SourcePackets uint64 `json:"source_packets"`
	ColumnPackets uint64 `json:"column_packets"`
	RowPackets    uint64 `json:"row_packets"`
	Matrices      uint64 `json:"matrices"`  // complete ones
	Abandoned     uint64 `json:"abandoned"` // matrices given up for a gap, a new SSRC or new parameters
}

// Encoder makes the FEC streams of one source stream.
type Encoder struct {
	// set at start, never changed
	pt        uint8
	ssrc      uint32
	emit      func(Kind, time.Duration, []byte)
	maxPacket int

	p       Params
	want    Params // of the next matrix
	columns []parity
	row     parity

	count   int // source packets in the open matrix
	base    uint16
	source  uint32 // SSRC
	started time.Duration
	ts      uint32 // newest source timestamp
	seq     [2]uint16

	// column packets of the last complete matrix, being spread over this one
	pending []parity
	spread  int // how many there are
	sent    int // how many of them are emitted
	closed  time.Duration
	lasted  time.Duration

	stats EncoderStats
}

// NewEncoder returns an encoder, or an error that names the field.
func NewEncoder(c EncoderConfig) (*Encoder, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.PT == 0 {
		c.PT = DefaultPT
	}
	if c.MaxPacket == 0 {
		c.MaxPacket = defaultMaxPacket
	}
	switch {
	case c.PT > 127:
		return nil, fmt.Errorf("st2022: PT is %d: give an RTP payload type up to 127", c.PT)
	case c.MaxPacket < rtpHeader || c.MaxPacket > maxMaxPacket:
		return nil, fmt.Errorf("st2022: MaxPacket is %d: give %d to %d bytes", c.MaxPacket, rtpHeader, maxMaxPacket)
	case c.Emit == nil:
		return nil, fmt.Errorf("st2022: Emit is nil: give a function that sends the FEC packets")
	}
	e := &Encoder{
		pt: c.PT, ssrc: c.SSRC, emit: c.Emit, maxPacket: c.MaxPacket,
		p: c.Params, want: c.Params,
		seq: [2]uint16{c.ColumnSeq, c.RowSeq},
		row: newParity(c.MaxPacket),
	}
	for range maxColumns {
		e.columns = append(e.columns, newParity(c.MaxPacket))
		e.pending = append(e.pending, newParity(c.MaxPacket))
	}
	return e, nil
}

// SetParams changes the matrix from the next one on.
func (e *Encoder) SetParams(p Params) error {
	if err := p.Validate(); err != nil {
		return err
	}
	e.want = p
	return nil
}

// Add takes the next source packet in sequence at now, and may emit FEC
// packets. It does not keep pkt. After a gap or with a new SSRC the open matrix
// is given up and a new one begins with pkt.
func (e *Encoder) Add(now time.Duration, pkt []byte) error {
	r, ok := parseRTP(pkt)
	if !ok {
		return fmt.Errorf("st2022: source packet of %d bytes is not RTP version 2: pass whole RTP packets", len(pkt))
	}
	if len(pkt) > e.maxPacket {
		return fmt.Errorf("st2022: source packet has %d bytes, MaxPacket is %d: raise MaxPacket", len(pkt), e.maxPacket)
	}
	e.Tick(now)
	if e.count > 0 && (r.seq != e.base+uint16(e.count) || r.ssrc != e.source) {
		e.abandon()
	}
	if e.count == 0 {
		if e.want != e.p {
			e.p = e.want
		}
		e.base, e.source, e.started = r.seq, r.ssrc, now
	}
	e.stats.SourcePackets++
	e.ts = r.ts
	l := e.p.Columns
	e.columns[e.count%l].add(r, pkt[rtpHeader:])
	if e.p.RowFEC {
		e.row.add(r, pkt[rtpHeader:])
	}
	e.count++
	if e.p.RowFEC && e.count%l == 0 {
		e.send(Row, now, &e.row, Header{SNBase: e.base + uint16(e.count-l), Offset: 1, NA: uint8(l)})
	}
	if e.count == l*e.p.Rows {
		e.closeMatrix(now)
	}
	return nil
}

// closeMatrix hands the columns over to be spread.
func (e *Encoder) closeMatrix(now time.Duration) {
	e.flush(now) // the last matrix's, when this one was faster
	e.stats.Matrices++
	e.columns, e.pending = e.pending, e.columns
	e.spread, e.sent = e.p.Columns, 0
	for c := range e.spread {
		e.pending[c].head = Header{SNBase: e.base + uint16(c), Kind: Column, Offset: uint8(e.p.Columns), NA: uint8(e.p.Rows)}
	}
	// From the first to the last packet one interval is missing.
	e.closed, e.lasted = now, (now-e.started)*time.Duration(e.count)/time.Duration(e.count-1)
	e.count = 0
	e.Tick(now)
}

func (e *Encoder) abandon() {
	for c := range e.p.Columns {
		e.columns[c].reset()
	}
	e.row.reset()
	e.count = 0
	e.stats.Abandoned++
}

// Tick emits the column packets that are due: the matrix's L packets leave
// evenly over as long as the matrix took, also when the input has stopped.
func (e *Encoder) Tick(now time.Duration) {
	for e.sent < e.spread && e.due() <= now {
		e.sendColumn(e.due())
	}
}

// flush emits all pending column packets.
func (e *Encoder) flush(now time.Duration) {
	for e.sent < e.spread {
		e.sendColumn(min(now, e.due()))
	}
}

func (e *Encoder) due() time.Duration {
	return e.closed + e.lasted*time.Duration(e.sent)/time.Duration(e.spread)
}

// Next is when Tick has something to do.
func (e *Encoder) Next() (time.Duration, bool) {
	if e.sent == e.spread {
		return 0, false
	}
	return e.due(), true
}

// Stats returns the counters.
func (e *Encoder) Stats() EncoderStats { return e.stats }

func (e *Encoder) sendColumn(at time.Duration) {
	c := &e.pending[e.sent]
	e.sent++
	e.send(Column, at, c, c.head)
}

// send completes the parity packet in place, emits it and empties it.
func (e *Encoder) send(k Kind, at time.Duration, p *parity, h Header) {
	h.Kind = k
	pkt := p.packet(h, rtp{seq: e.seq[k], ts: e.ts, ssrc: e.ssrc, mpt: e.pt})
	e.seq[k]++
	if k == Row {
		e.stats.RowPackets++
	} else {
		e.stats.ColumnPackets++
	}
	p.reset()
	e.emit(k, at, pkt)
}
