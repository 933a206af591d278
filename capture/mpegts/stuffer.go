package mpegts

import "time"

// Bounds of a Stuffer.
const (
	// stufferPCR is how often a PCR comes at the least: ISO/IEC 13818-1 allows
	// 100 ms, DVB (ETSI TS 101 154) 40 ms.
	stufferPCR = 35 * time.Millisecond
	// stufferBehind is how late Tick may be before time is skipped and not made
	// up for: a burst that long helps nobody.
	stufferBehind = 200 * time.Millisecond
	// stufferHold bounds what waits for its slot.
	stufferHold = time.Second
)

// StufferConfig is what a Stuffer is made of.
type StufferConfig struct {
	// RateBPS is the constant rate of the output, in bits of TS per second.
	RateBPS int64
	// PCRPID is the PID that carries the clock.
	PCRPID PID
	// PCRInterval is the longest time between two PCRs. 0: 35 ms.
	PCRInterval time.Duration
	// Base is the clock's value at the start.
	Base PCR
}

// StufferStats counts what a Stuffer sent.
type StufferStats struct {
	Packets uint64 `json:"packets"`      // all
	Nulls   uint64 `json:"null_packets"` // stuffing
	PCRs    uint64 `json:"pcrs"`         //
	OwnPCRs uint64 `json:"own_pcrs"`     // in packets made for them
	Dropped uint64 `json:"dropped"`      // did not fit in the hold: more came than the rate carries
	Jumps   uint64 `json:"jumps"`        // time was skipped, and the PCR says so
	Waiting int    `json:"waiting"`      // packets that wait for their slot
}

// Stuffer makes a stream of variable rate one of constant rate. Time is cut
// into slots of one packet; each carries the next packet that waits, a PCR of
// its own where one is due, or stuffing. The PCRs are written anew from the
// slot's number, so they are exact to one tick (37 ns) whatever the source's
// were, and continuity counters are counted anew, so any packets may follow any
// others. The rate may change between two slots.
//
// PTS and DTS are not touched: who pushes has to place them on this clock, see
// Clock. No goroutine, no clock; not safe for concurrent use; it allocates
// nothing once its buffer has grown.
type Stuffer struct {
	// set at start, never changed
	w     Writer
	pid   PID
	every int64 // ticks
	base  PCR

	// the line: slot n is at start + n packets at rate
	rate  int64
	start time.Duration
	ticks int64 // the clock at start, from base
	n     int64

	lastPCR int64
	noPCR   bool // none has been sent yet
	mark    bool // the next PCR says that the clock has jumped
	cc      [PIDCount]uint8
	counts  [PIDCount]bool // the PID has had a payload
	buf     []byte         // packets head ≤ i < tail
	head    int
	first   []byte // those of PushFirst
	done    int    // of first
	packet  [PacketSize]byte
	stats   StufferStats
}

// NewStuffer returns a Stuffer whose first slot is at now.
func NewStuffer(cfg StufferConfig, now time.Duration, w Writer) *Stuffer {
	if cfg.PCRInterval <= 0 {
		cfg.PCRInterval = stufferPCR
	}
	return &Stuffer{w: w, pid: cfg.PCRPID, every: DurationToTicks(cfg.PCRInterval), base: cfg.Base,
		rate: max(cfg.RateBPS, packetBits), start: now, noPCR: true}
}

// Clock returns what the stream's clock shows at an instant: ticks of 27 MHz
// since the start. The PCR is that much after StufferConfig.Base.
func (s *Stuffer) Clock(at time.Duration) int64 { return s.ticks + DurationToTicks(at-s.start) }

// Rate returns the rate in bits of TS per second.
func (s *Stuffer) Rate() int64 { return s.rate }

// SetRate changes the rate from the next slot on.
func (s *Stuffer) SetRate(bps int64) {
	if bps = max(bps, packetBits); bps != s.rate {
		s.start, s.ticks, s.n = s.slot(), s.slotTicks(), 0
		s.rate = bps
	}
}

// Push takes packets that are to go in the next slots. It keeps nothing of ts.
// What does not fit into a second's worth is dropped and counted.
func (s *Stuffer) Push(ts []byte) {
	if s.head == len(s.buf) {
		s.buf, s.head = s.buf[:0], 0
	} else if s.head > len(s.buf)/2 && len(s.buf)+len(ts) > cap(s.buf) {
		s.buf = s.buf[:copy(s.buf, s.buf[s.head:])]
		s.head = 0
	}
	room := int(scale(s.rate, int64(stufferHold), packetBits*int64(time.Second)))
	n := min(len(ts)/PacketSize, max(room-s.Waiting(), 0))
	s.stats.Dropped += uint64(len(ts)/PacketSize - n)
	s.buf = append(s.buf, ts[:n*PacketSize]...)
}

// PushFirst takes packets that go before all that Push has taken. The packets of
// a PID must all take the same way, or their order is lost.
func (s *Stuffer) PushFirst(ts []byte) {
	if s.done == len(s.first) {
		s.first, s.done = s.first[:0], 0
	}
	room := int(scale(s.rate, int64(stufferHold), packetBits*int64(time.Second)))
	n := min(len(ts)/PacketSize, max(room-s.Waiting(), 0))
	s.stats.Dropped += uint64(len(ts)/PacketSize - n)
	s.first = append(s.first, ts[:n*PacketSize]...)
}

// Waiting returns how many packets wait for their slot.
func (s *Stuffer) Waiting() int {
	return (len(s.buf) - s.head + len(s.first) - s.done) / PacketSize
}

// Discard forgets what waits.
func (s *Stuffer) Discard() { s.buf, s.head, s.first, s.done = s.buf[:0], 0, s.first[:0], 0 }

// Next returns when the next slot is.
func (s *Stuffer) Next() time.Duration { return s.slot() }

func (s *Stuffer) slot() time.Duration {
	return s.start + time.Duration(scale(packetBits*int64(time.Second), s.n, s.rate))
}

func (s *Stuffer) slotTicks() int64 { return s.ticks + scale(packetBits*PCRHz, s.n, s.rate) }

// Skip lets the time up to now pass without a packet. The next PCR says that
// there was a break.
func (s *Stuffer) Skip(now time.Duration) {
	if late := now - s.slot(); late > 0 {
		s.ticks, s.start, s.n = s.slotTicks()+DurationToTicks(late), now, 0
		if !s.noPCR && !s.mark {
			s.mark = true
			s.stats.Jumps++
		}
	}
}

// Tick sends what is due at now, one packet at a time, each with its slot's
// instant. Its error is the writer's.
func (s *Stuffer) Tick(now time.Duration) error {
	if now-s.slot() > stufferBehind {
		s.Skip(now)
	}
	for at := s.slot(); at <= now; at = s.slot() {
		p := s.next()
		s.n++
		s.stats.Packets++
		if err := s.w.WriteTS(at, p); err != nil {
			return err
		}
	}
	return nil
}

// next returns what goes into the slot.
func (s *Stuffer) next() Packet {
	now := s.slotTicks()
	p := Packet(s.packet[:])
	first := s.done < len(s.first)
	if s.head < len(s.buf) && !first {
		copy(p, s.buf[s.head:s.head+PacketSize])
		if _, ok := p.PCR(); ok && p.PID() == s.pid {
			s.stamp(p, now)
			s.head += PacketSize
			s.count(p)
			return p
		}
	}
	if s.noPCR || now-s.lastPCR >= s.every {
		s.clockPacket(p)
		s.stamp(p, now)
		s.stats.OwnPCRs++
		return p
	}
	if first {
		copy(p, s.first[s.done:s.done+PacketSize])
		s.done += PacketSize
		s.count(p)
		return p
	}
	if s.head < len(s.buf) {
		s.head += PacketSize
		s.count(p)
		return p
	}
	s.stats.Nulls++
	copy(p, NullPacket[:])
	return p
}

// count gives a packet its counter.
func (s *Stuffer) count(p Packet) {
	pid := p.PID()
	if pid == NullPID {
		return
	}
	if p.HasPayload() {
		if s.counts[pid] {
			s.cc[pid] = (s.cc[pid] + 1) & 0x0F
		}
		s.counts[pid] = true
	}
	p.SetCC(s.cc[pid])
}

// clockPacket makes p a packet that holds nothing but a PCR. Without payload,
// its counter stands still (ISO/IEC 13818-1 2.4.3.3).
func (s *Stuffer) clockPacket(p Packet) {
	for i := range p {
		p[i] = 0xFF
	}
	p[0], p[1], p[2], p[3], p[4], p[5] = SyncByte, byte(s.pid>>8), byte(s.pid), 0x20, 183, 0x10
	cc := s.cc[s.pid]
	if !s.counts[s.pid] {
		cc = 0x0F // the first payload's is 0
	}
	p.SetCC(cc)
}

func (s *Stuffer) stamp(p Packet, ticks int64) {
	putPCR(p[6:12], s.base.Add(ticks))
	p.SetDiscontinuity(s.mark)
	s.lastPCR, s.noPCR, s.mark = ticks, false, false
	s.stats.PCRs++
}

// Stats returns the counts since the start.
func (s *Stuffer) Stats() StufferStats {
	st := s.stats
	st.Waiting = s.Waiting()
	return st
}
