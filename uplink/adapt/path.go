package adapt

import "time"

// Sample is what is known of a path at one moment. Counters count from the
// path's connection or from the start; one that goes back has begun anew.
type Sample struct {
	Name string
	Leg  int
	Up   bool // connected
	// Tells: the path has a way back (SRT). One that has none is never judged, and
	// is no measure for the encoder.
	Tells  bool
	Parity bool // it carries repair packets, if it is let

	// At is when the counters were read, by the connection's own clock. A sample
	// with the At of the one before is that one.
	At      time.Duration
	Dropped uint64        // messages that its queue or its socket has dropped as too late
	Bytes   uint64        // sent, headers and retransmissions included
	Total   uint64        // packets sent, likewise
	Acked   uint64        // bytes that the far end has acknowledged; may go back a little
	Buffer  time.Duration // time that its send buffer spans
	RTT     time.Duration
	Sent    uint64 // packets, without those sent again
	Lost    uint64 // packets that the far end asked for again
	// Estimate is libsrt's own of the line in bit/s; 0: none. It is believed only
	// where it holds back a rise, and only if it has not been disproved.
	Estimate int64
	// The gateway's reports: source packets that were in time on this path, and
	// those that have not come, not even late, so that Missed may go back a little.
	// Reported is false where there are none.
	Reported         bool
	Received, Missed uint64
}

// What strains a path. A random loss of a few percent is what retransmission and
// parity are for; these are signs of a line that is full.
const (
	// window is what a path is judged by.
	window = 400 * time.Millisecond
	// backlog is how much longer than the round trip the send buffer may be: what
	// is in it was not acknowledged, so it was lost or waits.
	backlog = 80 * time.Millisecond
	// swollen is by how much the round trip may be above the shortest of late.
	swollen = 80 * time.Millisecond
	// lossy is the share of packets asked for again that no line has by chance.
	lossy = 0.12
	// missed is the share of source packets that do not arrive on the path.
	missed = 0.05
	// enduring is how many samples must bring new misses: more than a window, which
	// a program that was not scheduled, here or at the gateway, does not fill. A
	// line that is full shows it sooner by other signs.
	enduring = 3
	// baseFor is how long the shortest round trip is remembered.
	baseFor = 10 * time.Second
)

// path is what is remembered of one.
type path struct {
	last   Sample
	ring   [8]Sample // the last samples, for the window
	n      int
	base   time.Duration // shortest round trip
	baseAt time.Duration

	carried  float64 // bit/s over the window
	strained bool
	signs    int           // samples in a row that show a full line: one alone may be this machine's doing
	misses   int           // likewise that tell of new misses
	over     bool          // it carries less than it is given
	since    time.Duration // strained, or else calm, since
	known    float64       // bit/s that the path carries for certain: capacity, found under strain; 0: not found

	parity   bool          // is let through
	carries  bool          // it is given anything at all
	restore  time.Duration // when to try again what was shed
	patience time.Duration // before the next try; doubles with each that fails
	tried    time.Duration // when something was given back last; 0: nothing is on trial
}

// look takes the next sample; given is what the path has to carry, in bit/s.
func (p *path) look(now time.Duration, s Sample, given float64) {
	if s.Up && p.last.Up && s.At == p.last.At {
		return
	}
	if !s.Up || s.Bytes < p.last.Bytes || s.At < p.last.At || s.Sent < p.last.Sent {
		// Another connection: nothing holds over.
		p.n = 0
		p.base, p.signs, p.misses, p.strained, p.over, p.since = 0, 0, 0, false, false, now
		p.last = s
		if !s.Up {
			return
		}
	}
	p.last = s
	if p.base == 0 || s.RTT > 0 && s.RTT <= p.base || now-p.baseAt > baseFor && !p.strained {
		p.base, p.baseAt = s.RTT, now
	}
	copy(p.ring[1:], p.ring[:])
	p.ring[0] = s
	p.n = min(p.n+1, len(p.ring))
	// The oldest sample that is in the window, or the one just before.
	old := p.ring[p.n-1]
	for _, q := range p.ring[:p.n] {
		if s.At-q.At >= window {
			old = q
			break
		}
	}
	span := (s.At - old.At).Seconds()
	if span < window.Seconds()/2 {
		return
	}
	p.carried = carried(&old, &s)
	was := p.strained
	full := p.isFull(&old)
	sent := float64(s.Bytes-old.Bytes) * 8 / span
	missing := p.isMissed(&old)
	switch {
	case !full && !missing:
		p.signs, p.misses = 0, 0
	case sent <= 0.8*given: // it is this machine that has stood still
	case full:
		p.signs++
	case s.Missed > p.ring[min(1, p.n-1)].Missed:
		p.misses++ // else the window still shows what it has shown: one burst is no trend
	}
	p.strained = p.signs > 1 || p.misses >= enduring
	p.over = full && p.carried < 0.9*given
	if p.strained != was {
		p.since = now
	}
	switch {
	case full && (p.known == 0 || p.over):
		p.known = p.carried
	case full: // the line is full with less than was thought
		p.known = min(p.known, max(p.carried, given))
	case !p.strained && p.known > 0 && p.carried > p.known:
		p.known = p.carried // it carries more than was thought
	}
}

// carried is what came through between two samples, in bit/s: what was sent, less
// the share that was missed, or what was acknowledged if that is less, but at
// least half of the former: a loss is known late, and an acknowledgement waits
// for the packet that is missing.
func carried(old, s *Sample) float64 {
	bits := float64(s.Bytes-old.Bytes) * 8 / (s.At - old.At).Seconds()
	if total := s.Total - min(old.Total, s.Total); total > 0 {
		bits *= max(0, 1-float64(s.Lost-min(old.Lost, s.Lost))/float64(total))
	}
	if s.Acked > old.Acked {
		bits = min(bits, max(bits/2, float64(s.Acked-old.Acked)*8/(s.At-old.At).Seconds()))
	}
	return bits
}

// isMissed tells whether the gateway misses what this path should have brought,
// compared with a window before. It tells late: of what was due a latency ago.
func (p *path) isMissed(old *Sample) bool {
	s := &p.last
	if !s.Tells || !p.carries || !s.Reported || !old.Reported || s.Received < old.Received || s.Missed < old.Missed {
		return false
	}
	n := s.Received - old.Received + s.Missed - old.Missed
	return n > 20 && float64(s.Missed-old.Missed) > missed*float64(n)
}

// isFull tells whether the line is full, compared with a window before.
func (p *path) isFull(old *Sample) bool {
	s := &p.last
	if !s.Tells || !p.carries {
		return false
	}
	if s.Dropped > old.Dropped {
		return true
	}
	if sent := s.Sent - old.Sent; sent > 20 && float64(s.Lost-min(old.Lost, s.Lost)) > lossy*float64(sent) {
		return true
	}
	// What waits in the buffer beyond a round trip, and grows.
	waits := s.Buffer - s.RTT
	if waits > backlog && s.Buffer > old.Buffer+10*time.Millisecond {
		return true
	}
	return s.RTT > p.base+swollen && s.RTT > old.RTT
}
