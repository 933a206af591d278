package mpegts

import (
	"math"
	"time"
)

// Source time is counted in 1/256 of a 27 MHz tick, unwrapped, from an
// arbitrary start, so that packets between two PCRs can be told apart without
// rounding away their spacing.
const srcPerTick = 256

const srcPerNS = srcPerTick * PCRHz / 1e9

func srcNS(src int64) float64      { return float64(src) / srcPerNS }
func nsSrc(ns float64) int64       { return int64(ns * srcPerNS) }
func durSrc(d time.Duration) int64 { return nsSrc(float64(d)) }

// Limits beyond which a PCR does not continue the one before.
const (
	jumpLimit     = 100 * time.Millisecond // TR 101 290 2.3b
	flaggedLimit  = 10 * time.Millisecond  // with discontinuity_indicator set
	stallLimit    = time.Second
	evenSlack     = 100 * time.Microsecond // of a CBR stream's PCRs against packet count
	cbrOn, cbrTop = 8, 16                  // even intervals that make a stream CBR, and the most that count
)

// sourceClock follows the PCRs of one PID as they arrive: it unwraps them into
// source time, learns the spacing of packets, and estimates how source time
// maps to ours.
type sourceClock struct {
	pid   PID
	have  bool // a PCR was seen: the last* fields hold
	broke bool // discontinuity_indicator since the last PCR

	lastPCR   PCR
	lastSrc   int64
	lastIndex uint64
	lastAt    time.Duration

	// packets since the last PCR, that one included
	n     int64
	sumAt float64 // of arrival − lastAt, ns

	spacing float64 // source time per packet, 0 unknown
	sumN    float64 // decaying sums it comes from, in a CBR stream
	sumD    float64
	even    int // score
	cbr     bool

	winN, winD float64 // rate of a VBR stream, over a second
	vbrRate    float64

	est    estimate
	dev    float64 // mean square of PCR arrival against the estimate, ns²
	jumps  uint64
	resets uint64
}

// lost reports whether PCRs have failed to come for clockLost up to now.
func (c *sourceClock) lost(now time.Duration) bool {
	return !c.have || now-c.lastAt > clockLost
}

// count takes note of a packet's arrival.
func (c *sourceClock) count(at time.Duration) {
	c.n++
	c.sumAt += float64(at - c.lastAt)
}

// look sees whether the packet, which has an adaptation field, carries a PCR
// of the clock, and returns its mark.
func (c *sourceClock) look(index uint64, at time.Duration, p Packet, anyPID bool) (mark, bool) {
	if p.TransportError() {
		return mark{}, false
	}
	pid := p.PID()
	if pid != c.pid {
		if !anyPID || !c.lost(at) {
			return mark{}, false
		}
	} else if p.Discontinuity() {
		c.broke = true
	}
	pcr, ok := p.PCR()
	if !ok {
		return mark{}, false
	}
	if c.have && pid == c.pid {
		return c.next(index, at, pcr)
	}
	// The first of all, or of another PID after silence.
	src := int64(0)
	if c.have {
		src = c.lastSrc + max(durSrc(at-c.lastAt), 1)
		c.resets++
	}
	c.pid = pid
	c.est.restart(src, at)
	c.note(index, at, pcr, src)
	return mark{index: index, src: src, fresh: true}, true
}

// next takes a PCR that follows another of the same PID.
func (c *sourceClock) next(index uint64, at time.Duration, pcr PCR) (mark, bool) {
	n := int64(index - c.lastIndex)
	d := pcr.Diff(c.lastPCR) * srcPerTick
	if d == 0 {
		return mark{}, false // a repeated packet
	}
	gap := durSrc(at - c.lastAt)
	byCount := int64(c.spacing * float64(n))
	off := abs(d - gap)
	if c.cbr {
		off = min(off, abs(d-byCount))
	}
	limit := durSrc(jumpLimit)
	if c.broke {
		limit = durSrc(flaggedLimit)
	}
	if d < 0 || off > limit {
		return c.jump(index, at, pcr, n, gap, byCount), true
	}

	src := c.lastSrc + d
	m := mark{index: index, src: src}
	m.even = c.learn(n, d)
	if abs(d-gap) > durSrc(stallLimit) {
		c.est.restart(src, at)
		c.resets++
		m.fresh = true
	} else if c.cbr && m.even {
		mean := c.sumAt / float64(n)
		c.est.observe(c.lastSrc+d*(n-1)/(2*n), float64(c.lastAt)+mean)
	} else {
		c.est.observe(src, float64(at))
	}
	r := float64(at) - c.est.at(src)
	c.dev += (r*r - c.dev) / 32
	c.note(index, at, pcr, src)
	return m, true
}

// jump joins a new time base to source time: by counting packets where their
// spacing is known, else by arrival.
func (c *sourceClock) jump(index uint64, at time.Duration, pcr PCR, n, gap, byCount int64) mark {
	c.jumps++
	src := c.lastSrc + byCount
	if !c.cbr || abs(byCount-gap) > durSrc(jumpLimit) {
		src = c.est.source(float64(at))
	}
	src = max(src, c.lastSrc+n)
	c.est.loosen()
	c.note(index, at, pcr, src)
	return mark{index: index, src: src}
}

// note makes a PCR the last one.
func (c *sourceClock) note(index uint64, at time.Duration, pcr PCR, src int64) {
	c.have, c.broke = true, false
	c.lastPCR, c.lastSrc, c.lastIndex, c.lastAt = pcr, src, index, at
	c.n, c.sumAt = 0, 0
}

// learn takes n packets that span the source time d, and reports whether that
// is what their spacing so far says.
func (c *sourceClock) learn(n, d int64) bool {
	fn, fd := float64(n), float64(d)
	even := c.spacing > 0 && math.Abs(c.spacing*fn-fd) <= srcPerNS*float64(evenSlack)+fd*1e-3
	switch {
	case even:
		c.even = min(c.even+1, cbrTop)
		c.sumN, c.sumD = c.sumN*0.9+fn, c.sumD*0.9+fd
		c.spacing = c.sumD / c.sumN
	default:
		c.even = max(c.even-4, 0)
		if c.cbr && c.even >= cbrOn/2 {
			break // packets lost on the way here, most likely
		}
		t := fd / fn
		if c.spacing > 0 {
			t = (c.spacing + t) / 2
		}
		c.spacing, c.sumN, c.sumD = t, fn, t*fn
	}
	c.cbr = c.even >= cbrOn || c.cbr && c.even >= cbrOn/2
	c.winN, c.winD = c.winN+fn, c.winD+fd
	if c.winD >= srcPerTick*PCRHz {
		r := c.winN * packetBits / (c.winD / (srcPerTick * PCRHz))
		if c.vbrRate > 0 {
			r = c.vbrRate + (r-c.vbrRate)/4
		}
		c.vbrRate = r
		c.winN, c.winD = 0, 0
	}
	return even
}

// rate returns bits of TS per second of source time, 0 before it is known.
func (c *sourceClock) rate() float64 {
	switch {
	case !c.cbr && c.vbrRate > 0:
		return c.vbrRate
	case c.spacing > 0:
		return packetBits * srcPerTick * PCRHz / c.spacing
	}
	return 0
}

func (c *sourceClock) jitter() float64 { return math.Sqrt(c.dev) }

func abs(v int64) int64 { return max(v, -v) }
