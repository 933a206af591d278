package mpegts

// Verdict is what the continuity counter of one packet says.
type Verdict uint8

const (
	// InOrder: the counter follows, or the packet is the first of its PID, or
	// has no meaning (null packet), or a discontinuity was announced.
	InOrder Verdict = iota
	// Duplicate: the packet repeats its predecessor once, which is legal.
	Duplicate
	// Broken: packets are missing, out of order, or repeated more than once.
	Broken
	// Unreadable: transport_error_indicator is set; nothing is concluded.
	Unreadable
)

// ContinuityStats counts what a Continuity saw.
type ContinuityStats struct {
	Packets         uint64 `json:"packets"`          // all, with null packets
	NullPackets     uint64 `json:"null_packets"`     //
	Errors          uint64 `json:"errors"`           // packets judged Broken (TR 101 290 1.4)
	Missing         uint64 `json:"missing"`          // packets lost at the least: the counter shows loss modulo 16
	Duplicates      uint64 `json:"duplicates"`       // legal repeats
	Discontinuities uint64 `json:"discontinuities"`  // breaks announced by discontinuity_indicator
	TransportErrors uint64 `json:"transport_errors"` // transport_error_indicator (TR 101 290 2.1)
	PIDs            int    `json:"pids"`             // different PIDs seen, without the null PID
}

// Continuity checks the continuity counter of every PID (ISO/IEC 13818-1
// 2.4.3.3, ETSI TR 101 290 1.4): it counts up with every packet that has a
// payload, stands still with those that have none, may repeat once, and may
// jump where discontinuity_indicator is set. The zero value is ready for use;
// it is 40 KiB and does not allocate.
type Continuity struct {
	last   [PIDCount]uint8 // bits 0–3 counter, bit 4 seen, bit 5 already repeated once
	errors [PIDCount]uint32
	stats  ContinuityStats
}

const (
	ccSeen     = 0x10
	ccRepeated = 0x20
	ccKnown    = 0x40 // the PID was seen at some time, though its counter may be unknown
)

// Check judges the next packet of the stream and counts it.
func (c *Continuity) Check(p Packet) Verdict {
	c.stats.Packets++
	h := uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])
	pid := h >> 8 & 0x1FFF
	if pid == uint32(NullPID) {
		c.stats.NullPackets++
		return InOrder
	}
	state := &c.last[pid]
	if h&0x800000 != 0 {
		c.stats.TransportErrors++
		*state &^= ccSeen // whatever follows on this PID starts anew
		return Unreadable
	}
	s, cc := *state, uint8(h&0x0F)
	// The common case: payload, and one more than last time.
	if h&0x10 != 0 && s&ccSeen != 0 && cc == (s+1)&0x0F {
		*state = cc | ccSeen | ccKnown
		return InOrder
	}
	return c.unusual(p, state, s, cc, pid)
}

func (c *Continuity) unusual(p Packet, state *uint8, s, cc uint8, pid uint32) Verdict {
	*state = cc | ccSeen | ccKnown
	switch {
	case s&ccSeen == 0:
		if s&ccKnown == 0 {
			c.stats.PIDs++
		}
		return InOrder
	case p.Discontinuity():
		c.stats.Discontinuities++
		return InOrder
	case !p.HasPayload():
		if cc == s&0x0F {
			*state |= s & ccRepeated
			return InOrder
		}
		c.stats.Missing += uint64((cc - s) & 0x0F)
	case cc == s&0x0F:
		*state |= ccRepeated
		if s&ccRepeated == 0 {
			c.stats.Duplicates++
			return Duplicate
		}
	default:
		c.stats.Missing += uint64((cc - s - 1) & 0x0F)
	}
	c.stats.Errors++
	c.errors[pid]++
	return Broken
}

// PIDErrors returns how many packets of a PID were judged Broken.
func (c *Continuity) PIDErrors(pid PID) uint32 { return c.errors[pid&0x1FFF] }

// Forget drops the expected counters, so that a new or resumed stream starts
// without an error. Counts stay.
func (c *Continuity) Forget() {
	for i := range c.last {
		c.last[i] &= ccKnown
	}
}

// Stats returns the counts since the start.
func (c *Continuity) Stats() ContinuityStats { return c.stats }
