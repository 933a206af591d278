package uplink

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"quartet/capture/mpegts"
	"quartet/fec"
	"quartet/uplink/rtp"
)

// tick is the period of the packet loop. Waking up is what costs: at 2 ms a box
// of four paths took twice the processor time it takes at 5 ms. It delays
// nothing: messages bear the instant they were due, and the far end hands them on
// by that; a tick is only taken off the time for retransmissions.
const tick = 5 * time.Millisecond

// SenderConfig is what a Sender is made of.
type SenderConfig struct {
	Now  func() time.Duration // monotonic
	Plan Plan

	// Pacer smooths the input by its PCR. nil: the instants that come with the
	// packets are already those of a paced source.
	Pacer *mpegts.PacerConfig

	PacketsPerMessage int        // TS packets in a message, 1…7
	Key               rtp.TagKey // tags what is sent
	AcceptKeys        []rtp.TagKey
	Paths             []PathConfig

	// Tap looks at the transport stream that is sent: the payload of each
	// message, with the instant at which it is due. It must not keep the bytes,
	// nor wait, nor call the Sender; its error is ignored. nil: nobody looks.
	Tap mpegts.Writer
}

// Sender is the box's packet loop. A source writes transport stream into it from
// one goroutine; Run ticks it from another; each Path has its own. It implements
// mpegts.Writer.
type Sender struct {
	// set at start, never changed
	now   func() time.Duration
	ssrc  uint32
	paths []*Path
	tap   mpegts.Writer // nil: none
	holds time.Duration // by the pacer and the packetizer, of a packet on its way
	ticks atomic.Uint64 // not under mu: who asks must not wait for a loop that hangs

	mu         sync.Mutex // guards all below; held for one packet or one tick
	pacer      *mpegts.Pacer
	packetizer *rtp.Packetizer
	encoder    *fec.Encoder
	tagger     *rtp.Tagger
	digest     rtp.Digest
	columns    []*columnFEC
	plan       Plan
	perMessage int
	message    []byte // packet + tag, reused
	sent       sentCounts
	stats      SenderStats
}

// sentCounts is what sender reports count, modulo 2³²: source packets and the
// bytes of their payload.
type sentCounts struct {
	packets uint32
	octets  uint32
}

// NewSender returns a Sender; nothing runs until Run.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if cfg.Now == nil {
		return nil, errors.New("uplink: SenderConfig.Now is nil")
	}
	if len(cfg.Paths) == 0 {
		return nil, errors.New("uplink: no paths: a contribution needs at least one destination")
	}
	var random [16]byte
	rand.Read(random[:])
	s := &Sender{
		now: cfg.Now, perMessage: cfg.PacketsPerMessage, plan: cfg.Plan, tap: cfg.Tap,
		ssrc:    binary.BigEndian.Uint32(random[0:]),
		message: make([]byte, 0, messageBytes),
		tagger:  rtp.NewTagger(cfg.Key),
	}
	s.holds = rtp.DefaultMaxHold
	if cfg.Pacer != nil {
		s.pacer = mpegts.NewPacer(*cfg.Pacer)
		s.holds += cfg.Pacer.Latency
	}
	// SSRC and first sequence number are random at each start (DESIGN.md,
	// epochs): a gateway tells a restart by them.
	var err error
	s.packetizer, err = rtp.NewPacketizer(rtp.PacketizerConfig{
		SSRC: s.ssrc, FirstSeq: binary.BigEndian.Uint16(random[4:]), TimestampOffset: binary.BigEndian.Uint32(random[8:]),
		PacketsPerMessage: cfg.PacketsPerMessage, Emit: s.packet,
	})
	if err != nil {
		return nil, err
	}
	streams := 0
	for i, pc := range cfg.Paths {
		p := newPath(pc, cfg.Now, newReporter(s, i, streams, pc, cfg.Key, cfg.AcceptKeys))
		if pc.Profile == ProfileRTPFEC {
			streams++
		}
		if pc.Profile == ProfileRTP && pc.Columns > 0 {
			c, err := newColumnFEC(p, pc)
			if err != nil {
				return nil, fmt.Errorf("path %s: %w", pc.Name, err)
			}
			s.columns = append(s.columns, c)
		}
		s.paths = append(s.paths, p)
	}
	if streams > 0 {
		if cfg.Plan.Streams != streams {
			return nil, fmt.Errorf("uplink: the plan is for %d streams and there are %d rtp-fec paths", cfg.Plan.Streams, streams)
		}
		if s.encoder, err = s.newEncoder(streams); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Sender) newEncoder(streams int) (*fec.Encoder, error) {
	ssrc, seq := make([]uint32, streams), make([]uint16, streams)
	for i := range streams {
		var r [6]byte
		rand.Read(r[:])
		ssrc[i], seq[i] = binary.BigEndian.Uint32(r[:]), binary.BigEndian.Uint16(r[4:])
	}
	return fec.NewEncoder(fec.EncoderConfig{
		Params: s.plan.Params(), RepairPT: fec.RepairPT, SSRC: ssrc, Seq: seq,
		MaxPacket: rtp.MaxSourcePacket, Emit: s.repair,
	})
}

// Params gives the encoder's part of a plan.
func (p Plan) Params() fec.Params {
	return fec.Params{K: p.K, R: p.Rows, Streams: p.Streams, MaxBlock: p.MaxBlock}
}

// Paths returns the paths in the order of the configuration.
func (s *Sender) Paths() []*Path { return s.paths }

// Run drives the packet loop and all paths until ctx ends and everything has
// been joined. On the way out it flushes what is complete.
func (s *Sender) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	pathCtx, stopPaths := context.WithCancel(context.WithoutCancel(ctx))
	for _, p := range s.paths {
		wg.Go(func() { _ = p.Run(pathCtx) }) // nil: the end of pathCtx
	}
	t := time.NewTimer(0)
	defer t.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.C:
			now := s.now()
			s.Tick(now)
			// At multiples of the tick, as the sources do: one waking up for both.
			t.Reset(tick - now%tick)
		}
	}
	s.drain()
	stopPaths()
	wg.Wait()
	return nil
}

// drain sends what the pacer, packetizer and encoder still hold, and gives the
// sockets the time of one SRT latency to deliver it, bounded to one second.
func (s *Sender) drain() {
	t := time.NewTicker(tick)
	defer t.Stop()
	_, plan, _, _ := s.reportable()
	under := plan.SRTLatency + plan.FECBound + plan.Stagger
	for _, p := range s.paths {
		under = max(under, p.cfg.SRTLatency+p.cfg.Stagger)
	}
	end := s.now() + min(s.holds+under, time.Second)
	flushed := false
	for s.now() < end {
		<-t.C
		s.Tick(s.now())
		if !flushed {
			s.mu.Lock()
			s.packetizer.Flush(s.now())
			s.mu.Unlock()
			flushed = true
		}
	}
}

// WriteTS takes n×188 bytes that arrived at at. The source's goroutine calls it.
func (s *Sender) WriteTS(at time.Duration, ts []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.TSPackets += uint64(len(ts) / mpegts.PacketSize)
	if s.pacer != nil {
		s.pacer.Push(at, ts)
		return nil
	}
	return s.packetizer.WriteTS(at, ts)
}

// Tick sends what is due at now. Run calls it every 5 ms.
func (s *Sender) Tick(now time.Duration) {
	s.mu.Lock()
	if s.pacer != nil {
		s.pacer.Pop(now, s.paced)
	}
	s.packetizer.Tick(now)
	if s.encoder != nil {
		s.encoder.Tick(now)
	}
	for _, c := range s.columns {
		c.encoder.Tick(now)
	}
	s.mu.Unlock()
	for _, p := range s.paths {
		p.notify()
	}
	s.ticks.Add(1)
}

// Ticks counts the turns of the packet loop, with traffic or without: the
// service's watchdog goes by it. It never waits.
func (s *Sender) Ticks() uint64 { return s.ticks.Load() }

// paced takes TS packets from the pacer.
func (s *Sender) paced(at time.Duration, ts []byte) {
	if err := s.packetizer.WriteTS(at, ts); err != nil {
		s.stats.Refused++
	}
}

// packet takes one RTP source packet from the packetizer: it is tagged once and
// queued on every path.
func (s *Sender) packet(at time.Duration, pkt []byte) {
	s.stats.Packets++
	s.stats.Bytes += uint64(len(pkt))
	s.sent.packets++
	s.sent.octets += uint32(len(pkt) - rtp.HeaderSize)
	s.digest.Add(pkt)
	if s.tap != nil {
		_ = s.tap.WriteTS(at, pkt[rtp.HeaderSize:])
	}
	if s.encoder != nil {
		s.tag(pkt)
	}
	for _, p := range s.paths {
		switch p.cfg.Profile {
		case ProfileRTPFEC:
			p.push(at, PortMedia, s.message)
		case ProfileTS:
			p.pushTS(at, pkt[rtp.HeaderSize:])
		case ProfileRTP:
			p.push(at, PortMedia, pkt)
		}
	}
	for _, c := range s.columns {
		if err := c.encoder.Add(at, pkt); err != nil {
			s.stats.Refused++
		}
	}
	if s.encoder != nil {
		if err := s.encoder.Add(at, pkt); err != nil {
			s.stats.Refused++
		}
	}
}

// tag makes s.message of a packet.
func (s *Sender) tag(pkt []byte) {
	s.message = append(s.message[:0], pkt...)
	s.message = s.tagger.AppendTag(s.message, s.message)
}

// repair takes one repair packet from the encoder, for one stream.
func (s *Sender) repair(stream int, at time.Duration, pkt []byte) {
	s.stats.Repairs++
	s.tag(pkt)
	for _, p := range s.paths {
		if p.cfg.Profile == ProfileRTPFEC && p.reports.stream == stream {
			if p.bare.Load() {
				p.spared.Add(1)
				return
			}
			p.push(at, PortMedia, s.message)
			return
		}
	}
}

// SetPlan changes K, rows and timers at the next block boundary, with no
// reconnect. The number of streams stays as it is; a changed SRT latency takes
// effect as each path is given a dialer with it (Path.Replace).
func (s *Sender) SetPlan(p Plan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Streams != s.plan.Streams {
		return fmt.Errorf("uplink: the number of streams cannot change while running (%d → %d)", s.plan.Streams, p.Streams)
	}
	if s.encoder != nil {
		if err := s.encoder.SetParams(p.Params()); err != nil {
			return err
		}
	}
	s.plan = p
	return nil
}

// SetPacketsPerMessage changes how many TS packets a message carries, from the
// next message on: fewer for a path with a small MTU. It holds for all paths,
// because they carry the same packets.
func (s *Sender) SetPacketsPerMessage(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.packetizer.SetPacketsPerMessage(n); err != nil {
		return err
	}
	s.perMessage = n
	return nil
}

// SetKey changes the key that messages are tagged with, and those accepted in
// reports. The gateway must know the new key already.
func (s *Sender) SetKey(key rtp.TagKey, accept []rtp.TagKey) {
	s.mu.Lock()
	s.tagger = rtp.NewTagger(key)
	s.mu.Unlock()
	for _, p := range s.paths {
		p.rekey.Store(&keys{key, accept})
	}
}

// reportable is what sender reports tell.
func (s *Sender) reportable() (sent sentCounts, plan Plan, perMessage int, rate uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pacer != nil {
		rate = uint64(s.pacer.Stats().RateBPS)
	}
	return s.sent, s.plan, s.perMessage, rate
}
