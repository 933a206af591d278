package mpegts

import "time"

// PacerConfig says how a Pacer works.
type PacerConfig struct {
	// Latency is how long packets are held on average, against the mean of
	// their arrival: the jitter that is taken out without a trace. When more
	// is seen to be needed, the hold grows by itself, up to MaxLatency.
	// 0 means 20 ms.
	Latency time.Duration
	// MaxLatency bounds how long any packet is held. 0 means twice Latency,
	// and at least 100 ms; it is raised to Latency when below.
	MaxLatency time.Duration
	// PCRPID is the PID whose PCR is the clock (in a multi-program stream: of
	// the program that matters). 0 means the first PID seen with a PCR, and
	// another one when that falls silent for a second.
	PCRPID PID
	// MaxRateBPS bounds the memory: the buffer holds what arrives at this rate
	// (bits of TS per second) in MaxLatency. 0 means 120 Mbit/s.
	MaxRateBPS float64
}

// PacerStats tells what a Pacer does.
type PacerStats struct {
	Packets       uint64  `json:"packets"`        // emitted
	Buffered      int     `json:"buffered"`       // packets held now
	DelayMS       float64 `json:"delay_ms"`       // how long the last emitted packet was held
	HoldMS        float64 `json:"hold_ms"`        // hold aimed at: Latency, or more where jitter needs it
	RateBPS       float64 `json:"rate_bps"`       // bits of TS per second of the source's clock (of ours without PCR); the last one known when input stops; 0 at first
	CBR           bool    `json:"cbr"`            // packets are evenly spaced between PCRs
	PCRPID        PID     `json:"pcr_pid"`        // the clock in use; 0 = none, arrival is smoothed
	Locked        bool    `json:"locked"`         // the clock is known to better than half a millisecond
	ClockPPM      float64 `json:"clock_ppm"`      // how much faster than ours the source's clock runs
	JitterMS      float64 `json:"jitter_ms"`      // standard deviation of the arrival of PCRs against the source's clock
	Jumps         uint64  `json:"jumps"`          // PCR discontinuities, announced or not
	Relocks       uint64  `json:"relocks"`        // times the clock was taken up anew after a stall or a gap
	Late          uint64  `json:"late"`           // packets that arrived after their instant and went at once
	EarlyReleases uint64  `json:"early_releases"` // packets released early to keep within MaxLatency and MaxRateBPS
	Dropped       uint64  `json:"dropped"`        // packets lost because Pop was not called for longer than the buffer holds
}

// Bounds of the steering of the emission line.
const (
	steerLocked    = 30 * time.Second // time constant
	steerUnlocked  = 2 * time.Second
	slewLocked     = 500e-6 // at most this far off the source's rate
	slewUnlocked   = 1e-2
	clockLost      = time.Second // without a PCR for this long, arrival is smoothed
	jitterWindow   = 10 * time.Second
	holdMargin     = 500 * time.Microsecond
	arrivalWindow  = 500 * time.Millisecond
	packetBits     = PacketSize * 8
	minBuffer      = 256  // packets
	bufferHeadroom = 1024 // packets that may wait for Pop beyond the bound, and as many again as the bound
)

// Pacer takes packets as they arrive and gives each of them back at the instant
// at which the source sent it, by the source's own clock: a dejitter buffer of
// bounded delay, driven by a phase-locked loop on the PCRs of one PID
// (ISO/IEC 13818-1 2.4.2 and annex D).
//
// Where a packet lies between two PCRs is known by counting packets: exact in a
// stream of constant rate, also beyond the last PCR; in one of variable rate,
// packets are spread evenly up to the next PCR once that is in the buffer, and
// by the last rate until then. PCRs that wrap, jump or are announced to break
// go on along the same time line: nothing stalls, nothing bursts. Without a PCR,
// packets leave at the rate at which they came, Latency later.
//
// No packet is held for longer than MaxLatency; a packet that comes after its
// instant goes at once, and moves the line of all that follow, so that one
// hiccup is one step and not many.
//
// No goroutine, no clock; not safe for concurrent use; no allocation once the
// buffer has grown to what the rate needs.
type Pacer struct {
	// set at start, never changed
	latency, maxLatency time.Duration
	wantPID             PID
	soft, hard          int // packets: released early above soft, dropped above hard

	// the buffer: packets head ≤ i < tail, at i & mask
	buf        []byte
	arrived    []time.Duration
	mask       uint64
	head, tail uint64
	marks      markQueue // the PCRs among them

	clock  sourceClock
	newest time.Duration // of Push

	// arrival rate
	winStart   time.Duration
	winPackets int
	arrivalT   float64 // ns per packet, 0 unknown

	// emission
	line     line
	onLine   bool  // line holds, and pos is the last emitted packet's place on it
	pos      int64 // source time of packet head-1
	last     time.Duration
	started  bool // a packet was emitted: last holds
	hold     float64
	peaks    peakWindow // of arrival against the clock, ns
	peakAt   time.Duration
	due      time.Duration // cached plan for packet head
	plan     plan
	planned  bool
	stats    PacerStats
	lastHeld time.Duration
}

// line maps source time to our time: at + (src − src0)·slope.
type line struct {
	src   int64
	at    time.Duration
	slope float64
}

func (l *line) time(src int64) time.Duration {
	return l.at + time.Duration(srcNS(src-l.src)*l.slope)
}

func (l *line) source(at time.Duration) int64 {
	return l.src + nsSrc(float64(at-l.at)/l.slope)
}

// plan is what is decided about the packet at head.
type plan struct {
	src    int64 // its place in source time, when onLine
	onLine bool
	mark   bool // it carries a PCR of the clock
	fresh  bool // the line starts anew here
	exact  bool // src is not a guess
	late   bool
	early  bool
}

// NewPacer returns an empty Pacer.
func NewPacer(cfg PacerConfig) *Pacer {
	p := &Pacer{latency: cfg.Latency, maxLatency: cfg.MaxLatency, wantPID: cfg.PCRPID}
	if p.latency <= 0 {
		p.latency = 20 * time.Millisecond
	}
	if p.maxLatency <= 0 {
		p.maxLatency = max(100*time.Millisecond, 2*p.latency)
	}
	p.maxLatency = max(p.maxLatency, p.latency)
	rate := cfg.MaxRateBPS
	if rate <= 0 {
		rate = 120e6
	}
	p.soft = max(int(rate*p.maxLatency.Seconds()/packetBits), minBuffer)
	p.hard = 2*p.soft + bufferHeadroom
	p.hold = float64(p.latency)
	p.clock.pid = p.wantPID
	p.grow(minBuffer)
	return p
}

// Push takes n packets (n·188 bytes, aligned) that arrived at the instant at.
// It keeps nothing of ts. Instants that go back count as the latest one.
func (p *Pacer) Push(at time.Duration, ts []byte) {
	at = max(at, p.newest)
	p.newest = at
	n := len(ts) / PacketSize
	p.measureArrival(at, n)
	for ; len(ts) >= PacketSize; ts = ts[PacketSize:] {
		if int(p.tail-p.head) > int(p.mask) {
			p.room()
		}
		pkt := Packet(ts[:PacketSize:PacketSize])
		i := p.tail & p.mask
		copy(p.buf[i*PacketSize:], pkt)
		p.arrived[i] = at
		p.tail++
		if pkt[3]&0x20 != 0 {
			if m, ok := p.clock.look(p.tail-1, at, pkt, p.wantPID == 0); ok {
				p.marks.push(m)
				p.planned = false
			}
		}
		p.clock.count(at)
	}
	if int(p.tail-p.head) > p.soft {
		p.planned = false
	}
}

// room makes place for one more packet.
func (p *Pacer) room() {
	if n := len(p.arrived) * 2; len(p.arrived) < p.hard {
		p.grow(n)
		return
	}
	p.stats.Dropped++
	p.head++
	p.onLine, p.planned = false, false
	p.marks.discard(p.head)
}

func (p *Pacer) grow(n int) {
	buf, arrived := make([]byte, n*PacketSize), make([]time.Duration, n)
	mask := uint64(n - 1)
	for i := p.head; i != p.tail; i++ {
		o, w := i&p.mask, i&mask
		copy(buf[w*PacketSize:(w+1)*PacketSize], p.buf[o*PacketSize:])
		arrived[w] = p.arrived[o]
	}
	p.buf, p.arrived, p.mask = buf, arrived, mask
}

// measureArrival keeps the mean spacing of packets by arrival.
func (p *Pacer) measureArrival(at time.Duration, n int) {
	if d := at - p.winStart; p.winPackets == 0 || d > 4*arrivalWindow {
		p.winStart, p.winPackets = at, 0 // first, or after a gap
	} else if d >= arrivalWindow || p.arrivalT == 0 && d >= arrivalWindow/5 {
		t := float64(d) / float64(p.winPackets)
		if p.arrivalT != 0 {
			t = p.arrivalT + (t-p.arrivalT)*0.3
		}
		p.arrivalT = t
		p.winStart, p.winPackets = at, 0
	}
	p.winPackets += n
}

// Pop emits, in order, every packet that is due at now or before: one packet
// per call of emit, ts valid during the call only. at is the packet's instant,
// not after now, and never goes back. emit must not call the Pacer.
func (p *Pacer) Pop(now time.Duration, emit func(at time.Duration, ts []byte)) {
	for p.head != p.tail {
		p.prepare()
		if p.due > now {
			return
		}
		i := p.head & p.mask
		held := p.due - p.arrived[i]
		p.commit(p.arrived[i])
		p.lastHeld = held
		p.head++
		p.stats.Packets++
		emit(p.last, p.buf[i*PacketSize:(i+1)*PacketSize:(i+1)*PacketSize])
	}
}

// Next returns when the next packet is due, false when none is held. A Push
// can bring it forward.
func (p *Pacer) Next() (time.Duration, bool) {
	if p.head == p.tail {
		return 0, false
	}
	p.prepare()
	return p.due, true
}

// Stats returns the state and the counts since the start.
func (p *Pacer) Stats() PacerStats {
	s := p.stats
	c := &p.clock
	s.Buffered = int(p.tail - p.head)
	s.DelayMS = float64(p.lastHeld) / 1e6
	s.HoldMS = p.hold / 1e6
	s.RateBPS = p.Rate()
	s.CBR = c.cbr
	if c.have && !c.lost(p.newest) {
		s.PCRPID = c.pid
		s.Locked = c.est.locked()
	}
	s.ClockPPM = -c.est.freq * 1e6
	s.JitterMS = c.jitter() / 1e6
	s.Jumps, s.Relocks = c.jumps, s.Relocks+c.resets
	return s
}

// Rate returns the rate of the stream in bits of TS per second, null packets
// included: by its clock, or by arrival when it has none. It keeps the last
// value when the stream stops; 0 means not known yet.
func (p *Pacer) Rate() float64 {
	if r := p.clock.rate(); r > 0 && !(p.clock.lost(p.newest) && p.arrivalT > 0) {
		return r
	}
	if p.arrivalT > 0 {
		return packetBits * 1e9 / p.arrivalT
	}
	return 0
}
