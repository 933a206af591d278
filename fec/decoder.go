package fec

import (
	"fmt"
	"time"
)

// DecoderConfig is what a Decoder needs at its start.
type DecoderConfig struct {
	// Latency is D: a packet is released this long after the fastest path,
	// without its configured offset, would deliver it.
	Latency time.Duration
	// RepairPT is the RTP payload type of repair packets; 0 means the default.
	RepairPT uint8
	// MaxPackets bounds the packets that wait for their release, and with
	// that the memory: about MaxPackets·MaxPacket bytes of packets and at most
	// as much of parity, taken as they are needed. 0 means what 50 Mbit/s
	// fill in Latency and a second.
	MaxPackets int
	// MaxPacket is the longest source packet in bytes; 0 means
	// DefaultMaxPacket. Longer ones are dropped as malformed.
	MaxPacket int
	// Deliver receives every packet, in sequence, when it is due. It must not
	// call the Decoder, except Stats, which does not count the delivery yet.
	Deliver func(*Delivery)
}

// Delivery is the outcome of one source packet, or of a run of lost ones. It
// is valid only during the call.
type Delivery struct {
	Packet  []byte        // RTP source packet; nil if lost
	Seq     uint64        // unwrapped; its low 16 bits are the RTP sequence number
	Count   uint64        // packets that this stands for: 1, more for a run of more than MaxLostRun lost ones
	Release time.Duration // B + timestamp + D; never before the previous one's
	SSRC    uint32
	Arrived uint64 // bitmask of the paths whose copy came in time
	First   int    // path that delivered it first, or -1
	// Recovered: no path's copy came in time, parity gave the packet.
	Recovered bool
	Lost      bool
	// Epoch: the first of a new SSRC, or the first after the sender's clock or
	// numbering jumped. The release clock was set anew.
	Epoch bool
}

// MaxLostRun is the longest run of lost packets that is delivered one by one.
// A longer one, such as after an outage, is one Delivery with its Count.
const MaxLostRun = 1024

const (
	minPackets   = 512
	maxPackets   = 1 << 17
	defaultRate  = 50_000_000 / 8 / (7 * 188) // packets/s
	maxLatency   = time.Minute
	refusedSSRCs = 8
)

// Decoder merges the copies of a stream that arrive over several paths,
// recovers what is lost on all of them, and releases the packets in order on a
// clock of its own. See the package comment.
type Decoder struct {
	// set at start, never changed
	deliver   func(*Delivery)
	repairPT  uint8
	maxPacket int
	span      int
	pool      pool

	latency time.Duration
	active  uint64 // bitmask of the paths that are on
	paths   [MaxStreams]path
	cur     *epoch // delivering, or nil
	cand    *epoch // candidate that may follow, or nil
	spare   *epoch // for the next candidate
	refused [refusedSSRCs]refusal
	last    time.Duration // newest Release
	out     Delivery
	margin  minWindow
	stats   DecoderStats
}

// path is a path as the caller configured it, with its counters.
type path struct {
	offset time.Duration
	stats  PathStats
}

type refusal struct {
	ssrc  uint32
	until time.Duration
}

// NewDecoder checks the configuration and returns a Decoder without paths.
func NewDecoder(c DecoderConfig) (*Decoder, error) {
	if c.RepairPT == 0 {
		c.RepairPT = RepairPT
	}
	if c.MaxPacket == 0 {
		c.MaxPacket = DefaultMaxPacket
	}
	if c.MaxPackets == 0 {
		c.MaxPackets = max(minPackets, int((c.Latency+time.Second).Seconds()*defaultRate))
	}
	switch {
	case c.Deliver == nil:
		return nil, fmt.Errorf("fec: DecoderConfig.Deliver is nil: give it a function")
	case c.Latency < 0 || c.Latency > maxLatency:
		return nil, fmt.Errorf("fec: Latency = %v: choose 0…%v", c.Latency, maxLatency)
	case c.RepairPT > 127 || c.RepairPT == SourcePT:
		return nil, fmt.Errorf("fec: RepairPT = %d: choose a dynamic payload type, 96…127", c.RepairPT)
	case c.MaxPackets < minPackets || c.MaxPackets > maxPackets:
		return nil, fmt.Errorf("fec: MaxPackets = %d: choose %d…%d", c.MaxPackets, minPackets, maxPackets)
	case c.MaxPacket < rtpHeader || c.MaxPacket > packetLimit:
		return nil, fmt.Errorf("fec: MaxPacket = %d: choose %d…%d bytes", c.MaxPacket, rtpHeader, packetLimit)
	}
	d := &Decoder{
		deliver: c.Deliver, repairPT: c.RepairPT, maxPacket: c.MaxPacket,
		span: c.MaxPackets, latency: c.Latency,
	}
	// Two windows' packets are never full at once by more than one of them and
	// its parity; the rest is what is kept for parity.
	d.pool.size = alignSymbol(aduHeader + c.MaxPacket)
	d.pool.limit = 2*(c.MaxPackets+keep) + MaxSymbols
	d.margin.reset()
	gf()
	return d, nil
}

// SetPath tells the decoder of a path, 0…63: its offset is what the path was
// made to delay (SRT latency and stagger). A path that is off is not listened
// to and not accounted; switched on again it counts from its first packet.
func (d *Decoder) SetPath(path int, offset time.Duration, on bool) {
	if path < 0 || path >= MaxStreams {
		return
	}
	bit := uint64(1) << path
	p := &d.paths[path]
	if was := d.active&bit != 0; was == on && p.offset == offset {
		return
	}
	p.offset = offset
	d.active &^= bit
	if on {
		d.active |= bit
	}
	for _, e := range [...]*epoch{d.cur, d.cand} {
		if e == nil {
			continue
		}
		e.clock.forget(path, d.active)
		if !on {
			e.counts &^= bit
		}
	}
}

// SetLatency changes D at once: the packets at hand are due earlier or later
// by the difference.
func (d *Decoder) SetLatency(latency time.Duration) {
	d.latency = min(max(latency, 0), maxLatency)
}

// Push takes a packet that path delivered now: a source or a repair packet,
// its tag checked and cut off. pkt is not kept. Packets are delivered by Tick;
// by Push only those that must make room when the window overflows or when the
// sender's clock jumped. It is false if pkt is malformed: neither of the two by
// its form.
func (d *Decoder) Push(path int, now time.Duration, pkt []byte) (formed bool) {
	if path < 0 || path >= MaxStreams || d.active>>path&1 == 0 {
		d.stats.Inactive++
		return true // not looked at
	}
	h, err := parseSource(pkt)
	switch {
	case err == nil && h.pt == SourcePT && len(pkt) <= d.maxPacket:
		d.pushSource(path, now, h, pkt)
	case err == nil && h.pt == d.repairPT:
		r, symbol, err := ParseRepair(pkt)
		if err != nil || len(symbol) > aduHeader+d.maxPacket {
			d.stats.Malformed++
			return false
		}
		d.paths[path].stats.Repairs++
		d.stats.Repairs++
		d.pushRepair(now, &r, symbol)
	default:
		d.stats.Malformed++
		return false
	}
	return true
}

// Tick releases, in order, everything that is due by now.
func (d *Decoder) Tick(now time.Duration) {
	if d.cur == nil {
		return
	}
	d.cur.clock.slew(now, d.active)
	d.release(d.cur, now)
	if d.cand != nil {
		d.cand.clock.slew(now, d.active)
		d.succeed(now)
	}
}

// Next returns when the next packet is due, if that is known. It may be past.
func (d *Decoder) Next() (time.Duration, bool) {
	if d.cur == nil {
		return 0, false
	}
	if at, ok := d.cur.headRelease(d.latency); ok {
		return at, true
	}
	if d.cand != nil && d.cand.confirmed {
		return d.cand.headRelease(d.latency)
	}
	return 0, false
}
