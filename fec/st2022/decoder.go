package st2022

import (
	"fmt"
	"math/bits"
	"time"
)

// DecoderConfig describes a decoder.
type DecoderConfig struct {
	// Latency is the time from a packet's arrival to its delivery. Repair of
	// everything a matrix can repair needs the time of Params.Span packets.
	Latency time.Duration
	// MaxPackets bounds the source packets that wait for delivery; the decoder
	// keeps up to twice as many, rounded up to a power of two. 0: 1024.
	MaxPackets int
	// MaxPacket is the longest source packet in bytes; longer ones are
	// malformed. 0: 1328.
	MaxPacket int
	// Deliver gets every source packet in order of sequence, once, delivered
	// or lost. The Delivery and its packet are valid during the call.
	Deliver func(*Delivery)
}

// Delivery is one place in the source stream.
type Delivery struct {
	Packet    []byte        // RTP packet; nil when lost
	Seq       uint64        // unwrapped; the low 16 bits are RTP's
	Release   time.Duration // when it was due
	SSRC      uint32
	Recovered bool // by parity
	Lost      bool
	Epoch     bool // first of a stream: at the start, with a new SSRC or after a jump
}

// DecoderStats counts since the start.
type DecoderStats struct {
	SourcePackets uint64 `json:"source_packets"` // received, whatever became of them
	ColumnPackets uint64 `json:"column_packets"`
	RowPackets    uint64 `json:"row_packets"`
	Delivered     uint64 `json:"delivered"` // with Recovered
	Recovered     uint64 `json:"recovered"`
	Lost          uint64 `json:"lost"`
	Duplicates    uint64 `json:"duplicates"`
	Late          uint64 `json:"late"`        // arrived after their delivery was due
	Strange       uint64 `json:"strange"`     // of another SSRC or far outside the window, until they are believed
	Malformed     uint64 `json:"malformed"`   // source or FEC packets that are none
	FECOutside    uint64 `json:"fec_outside"` // FEC packets too old, too new or too wide for the window
	FECDropped    uint64 `json:"fec_dropped"` // unused FEC packets given up for newer ones
	Refused       uint64 `json:"refused"`     // repairs whose result contradicts itself
	Forced        uint64 `json:"forced"`      // delivered before they were due: the window was full
	Epochs        uint64 `json:"epochs"`
}

const (
	defaultMaxPackets = 1024
	maxMaxPackets     = 1 << 14 // half a sequence number's circle, with history
	maxFEC            = 128     // FEC packets kept; a matrix has at most 40
	probation         = 3       // packets of a new stream before it is believed
	// A recovered timestamp is no farther from the newest than this, 10 s.
	maxTSDistance = 10 * 90000
)

type slot struct {
	seq   uint64
	due   time.Duration
	n     int32 // bytes; 0: empty
	timed bool  // due counts: it arrived, or nothing later had when it was recovered
	fixed bool  // recovered
}

// Decoder repairs and orders one source stream.
type Decoder struct {
	// set at start, never changed
	latency time.Duration
	deliver func(*Delivery)
	max     int // longest packet
	half    uint64

	slots []slot
	bufs  []byte // of the slots, max bytes each

	running bool
	begun   bool // something was delivered
	epoch   bool // the next delivery is the first of its epoch
	ssrc    uint32
	head    uint64 // next to deliver
	newest  uint64
	ts      uint32 // of the newest
	mpt     byte
	last    time.Duration // release of the last delivered

	fecs    []fec // waiting ones first, then at least one to read into
	waiting int

	strange  [probation][]byte // packets of what may be a new stream
	lengths  [probation]int
	strangeN int

	out   Delivery
	stats DecoderStats
}

// NewDecoder returns a decoder, or an error that names the field.
func NewDecoder(c DecoderConfig) (*Decoder, error) {
	if c.MaxPackets == 0 {
		c.MaxPackets = defaultMaxPackets
	}
	if c.MaxPacket == 0 {
		c.MaxPacket = defaultMaxPacket
	}
	switch {
	case c.Latency < 0:
		return nil, fmt.Errorf("st2022: Latency is %v: give 0 or more", c.Latency)
	case c.MaxPackets < 2*maxMatrix || c.MaxPackets > maxMaxPackets:
		return nil, fmt.Errorf("st2022: MaxPackets is %d: give %d to %d", c.MaxPackets, 2*maxMatrix, maxMaxPackets)
	case c.MaxPacket < rtpHeader+1 || c.MaxPacket > maxMaxPacket:
		return nil, fmt.Errorf("st2022: MaxPacket is %d: give %d to %d bytes", c.MaxPacket, rtpHeader+1, maxMaxPacket)
	case c.Deliver == nil:
		return nil, fmt.Errorf("st2022: Deliver is nil: give a function that takes the packets")
	}
	half := uint64(1) << bits.Len(uint(c.MaxPackets-1))
	d := &Decoder{
		latency: c.Latency, deliver: c.Deliver, max: c.MaxPacket, half: half,
		slots: make([]slot, 2*half), bufs: make([]byte, 2*int(half)*c.MaxPacket),
		fecs: make([]fec, maxFEC+1),
	}
	for i := range d.fecs {
		d.fecs[i].buf = make([]byte, c.MaxPacket-rtpHeader)
	}
	for i := range d.strange {
		d.strange[i] = make([]byte, c.MaxPacket)
	}
	return d, nil
}

// PushSource takes a packet of the media port at now. It does not keep pkt.
func (d *Decoder) PushSource(now time.Duration, pkt []byte) {
	d.stats.SourcePackets++
	r, ok := parseRTP(pkt)
	if !ok || len(pkt) > d.max {
		d.stats.Malformed++
		return
	}
	if !d.running {
		d.restart(r)
	}
	seq := d.unwrap(r.seq)
	if r.ssrc != d.ssrc || seq+d.half < d.head || seq >= d.newest+d.half {
		d.probe(now, r, pkt)
		return
	}
	d.strangeN = 0
	d.take(now, seq, r, pkt)
}

// take puts a packet of the running stream into its slot.
func (d *Decoder) take(now time.Duration, seq uint64, r rtp, pkt []byte) {
	if seq < d.head && !d.begun && d.newest-seq < d.half {
		d.head = seq // overtaken by the first packet
	}
	if d.has(seq) {
		d.stats.Duplicates++
		return
	}
	if seq < d.head {
		d.stats.Late++
		return
	}
	for seq-d.head >= d.half {
		d.stats.Forced++
		d.release(d.due())
	}
	s := d.put(seq, len(pkt))
	copy(d.buf(seq), pkt)
	s.due, s.timed = now+d.latency, true
	if seq >= d.newest {
		d.newest, d.ts, d.mpt = seq, r.ts, r.mpt
	} else {
		// It is not due after what it was overtaken by.
		s.due = min(s.due, d.slot(d.nextTimed(seq+1)).due)
	}
	if d.waiting > 0 {
		d.filled(now, seq)
	}
}

// PushFEC takes a packet of the column or row port at now; the header tells
// which. It does not keep pkt.
func (d *Decoder) PushFEC(now time.Duration, pkt []byte) {
	r, ok := parseRTP(pkt)
	if !ok {
		d.stats.Malformed++
		return
	}
	h, err := ParseHeader(pkt[rtpHeader:])
	payload := pkt[min(len(pkt), rtpHeader+fecHeader):]
	if err != nil || len(payload) > d.max-rtpHeader {
		d.stats.Malformed++
		return
	}
	if h.Kind == Row {
		d.stats.RowPackets++
	} else {
		d.stats.ColumnPackets++
	}
	base := d.unwrap(h.SNBase)
	span := uint64(h.NA-1) * uint64(h.Offset)
	if !d.running || base+d.half < d.head || base+span >= d.head+d.half {
		d.stats.FECOutside++
		return
	}
	f := &d.fecs[d.waiting]
	f.set(base, r, h, payload)
	for i := range d.waiting {
		g := &d.fecs[i]
		if g.base == f.base && g.offset == f.offset && g.na == f.na {
			return
		}
	}
	missing, at := d.missing(f)
	if missing == 0 {
		return
	}
	d.waiting++
	if missing == 1 {
		if d.repair(now, d.waiting-1, at) {
			d.filled(now, at)
		}
	} else if d.waiting > maxFEC {
		d.evict()
	}
}

// Tick delivers everything due by now.
func (d *Decoder) Tick(now time.Duration) {
	if !d.running {
		return
	}
	for d.head <= d.newest {
		due := d.due()
		if due > now {
			return
		}
		d.release(due)
	}
}

// Next is when Tick has something to do.
func (d *Decoder) Next() (time.Duration, bool) {
	if !d.running || d.head > d.newest {
		return 0, false
	}
	return d.due(), true
}

// Stats returns the counters.
func (d *Decoder) Stats() DecoderStats { return d.stats }
