package rtp

import (
	"errors"
	"fmt"
	"time"

	"quartet/capture/mpegts"
)

// DefaultMaxHold is how long the packetizer waits at most for a source packet
// to fill, if the configuration says nothing: 7 TS packets take as long at
// 526 kbit/s.
const DefaultMaxHold = 20 * time.Millisecond

// PacketizerConfig is what a Packetizer needs to know.
type PacketizerConfig struct {
	SSRC              uint32        // of the epoch; random at each start (RFC 3550 §8.1)
	FirstSeq          uint16        // random at each start
	TimestampOffset   uint32        // RTP timestamp of the instant 0; random at each start
	PacketsPerMessage int           // TS packets in a source packet, 1…7; 0 = 7
	MaxHold           time.Duration // how long the first TS packet of a source packet waits at most; 0 = DefaultMaxHold

	// Emit is called for each source packet in sequence. at is the instant
	// given to the call that completed it. It must not keep pkt after return,
	// and must not call the Packetizer.
	Emit func(at time.Duration, pkt []byte)
}

// PacketizerStats counts what a Packetizer did since it was made.
type PacketizerStats struct {
	TSPackets     uint64 `json:"ts_packets"`     // accepted
	SourcePackets uint64 `json:"source_packets"` // emitted
	SourceBytes   uint64 `json:"source_bytes"`   // their length, RTP headers included
	TSBytes       uint64 `json:"ts_bytes"`       // their payload; the octet count of a sender report
	Partial       uint64 `json:"partial"`        // emitted with fewer TS packets than a full one has
	Refused       uint64 `json:"refused"`        // calls of WriteTS that returned an error
	Backwards     uint64 `json:"backwards"`      // calls of WriteTS with an instant before the last one
}

// Packetizer collects TS packets into RTP source packets (RFC 2250 §2):
// payload type 33, whole TS packets only, and as timestamp the paced instant of
// the first TS packet on the 90 kHz clock. The marker bit is never set: our RTP
// clock is the local one and has no discontinuity, whatever the input does. A
// Packetizer is one epoch: a new SSRC takes a new Packetizer.
type Packetizer struct {
	// set at start, never changed
	ssrc    uint32
	offset  uint32
	maxHold time.Duration
	emit    func(at time.Duration, pkt []byte)

	perMsg int           // TS packets in a full source packet
	seq    Seq           // of the next source packet
	first  time.Duration // instant of the first TS packet in buf
	last   time.Duration // newest instant
	begun  bool          // last is valid
	fill   int           // bytes of buf in use; HeaderSize = empty
	buf    [MaxSourcePacket]byte
	stats  PacketizerStats
}

var _ mpegts.Writer = (*Packetizer)(nil)

// NewPacketizer returns an empty Packetizer, or an error that names the field
// of cfg that is out of range.
func NewPacketizer(cfg PacketizerConfig) (*Packetizer, error) {
	if cfg.Emit == nil {
		return nil, errors.New("rtp: packetizer: Emit is nil: set the function that takes source packets")
	}
	if cfg.MaxHold < 0 {
		return nil, fmt.Errorf("rtp: packetizer: MaxHold %v is negative: set 0 for %v or more", cfg.MaxHold, DefaultMaxHold)
	}
	if cfg.MaxHold == 0 {
		cfg.MaxHold = DefaultMaxHold
	}
	if cfg.PacketsPerMessage == 0 {
		cfg.PacketsPerMessage = MaxTSPackets
	}
	p := &Packetizer{
		ssrc:    cfg.SSRC,
		offset:  cfg.TimestampOffset,
		maxHold: cfg.MaxHold,
		emit:    cfg.Emit,
		seq:     Seq(cfg.FirstSeq),
		fill:    HeaderSize,
	}
	if err := p.SetPacketsPerMessage(cfg.PacketsPerMessage); err != nil {
		return nil, err
	}
	return p, nil
}

// WriteTS takes n×188 bytes, n ≥ 0, that are due at the instant at, and emits
// every source packet that they complete. It is mpegts.Writer: ts is not kept.
// If ts is not whole TS packets with sync bytes nothing of it is taken, and the
// error wraps ErrMalformed. An instant before the last one is taken as the
// last one.
func (p *Packetizer) WriteTS(at time.Duration, ts []byte) error {
	if len(ts) == 0 {
		return nil
	}
	if err := CheckTS(ts); err != nil {
		p.stats.Refused++
		return err
	}
	if p.begun && at < p.last {
		p.stats.Backwards++
		at = p.last
	}
	p.last, p.begun = at, true
	p.Tick(at)
	p.stats.TSPackets += uint64(len(ts) / mpegts.PacketSize)
	full := HeaderSize + p.perMsg*mpegts.PacketSize
	if p.fill > HeaderSize && p.fill >= full { // made smaller meanwhile
		p.send(at)
	}
	for len(ts) > 0 {
		if p.fill == HeaderSize {
			p.first = at
		}
		n := copy(p.buf[p.fill:full], ts)
		p.fill += n
		ts = ts[n:]
		if p.fill == full {
			p.send(at)
		}
	}
	return nil
}

// Tick emits what has waited for MaxHold or longer, although it is not full.
func (p *Packetizer) Tick(now time.Duration) {
	if due, ok := p.Next(); ok && now >= due {
		p.Flush(now)
	}
}

// Next returns the instant at which Tick has something to do, and false if
// nothing waits.
func (p *Packetizer) Next() (time.Duration, bool) {
	if p.fill == HeaderSize {
		return 0, false
	}
	return p.first + p.maxHold, true
}

// Flush emits what waits at once, full or not.
func (p *Packetizer) Flush(now time.Duration) {
	if p.fill > HeaderSize {
		p.send(now)
	}
}

// SetPacketsPerMessage changes how many TS packets a full source packet has,
// 1…7, at once; what waits and has as many already goes out with the next
// call of WriteTS.
func (p *Packetizer) SetPacketsPerMessage(n int) error {
	if n < 1 || n > MaxTSPackets {
		return fmt.Errorf("rtp: packetizer: %d TS packets per message: want 1 to %d", n, MaxTSPackets)
	}
	p.perMsg = n
	return nil
}

// Timestamp returns the RTP timestamp of an instant, as a sender report needs
// it (RFC 3550 §6.4.1).
func (p *Packetizer) Timestamp(at time.Duration) uint32 {
	return p.offset + uint32(Ticks(at)) // modulo 2^32
}

// SSRC returns the synchronisation source of the packets.
func (p *Packetizer) SSRC() uint32 { return p.ssrc }

// NextSeq returns the sequence number of the next source packet.
func (p *Packetizer) NextSeq() Seq { return p.seq }

// Stats returns the counts so far.
func (p *Packetizer) Stats() PacketizerStats { return p.stats }

// send emits buf as it is and empties it.
func (p *Packetizer) send(at time.Duration) {
	Header{
		PayloadType: PayloadTypeTS,
		Seq:         p.seq,
		Timestamp:   p.Timestamp(p.first),
		SSRC:        p.ssrc,
	}.Put(p.buf[:])
	pkt := p.buf[:p.fill]
	p.seq = p.seq.Add(1)
	p.fill = HeaderSize
	p.stats.SourcePackets++
	p.stats.SourceBytes += uint64(len(pkt))
	p.stats.TSBytes += uint64(len(pkt) - HeaderSize)
	if len(pkt) < HeaderSize+p.perMsg*mpegts.PacketSize {
		p.stats.Partial++
	}
	p.emit(at, pkt)
}
