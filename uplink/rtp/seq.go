package rtp

// Seq is an RTP sequence number (RFC 3550 §5.1): 16 bits that wrap. Compare
// two of them with Diff or Before, never with < or -.
type Seq uint16

// Diff returns the shortest signed distance from t to s, −32768…32767
// packets; it is positive when s comes after t. Exactly half a wrap apart
// counts as before.
func (s Seq) Diff(t Seq) int { return int(int16(s - t)) }

// Before reports whether s comes before t.
func (s Seq) Before(t Seq) bool { return s.Diff(t) < 0 }

// Add returns the sequence number n packets after s (before it if n < 0).
func (s Seq) Add(n int) Seq { return s + Seq(n) } // wraps

// unwrapBase is added to the first number an Unwrapper sees, so that packets
// from before it keep a positive index. Its low 32 bits are zero: the low 32
// bits of an index are the extended sequence number of RFC 3550 §6.4.1.
const unwrapBase = 1 << 32

// gapTicks is the step of the RTP timestamp, 0.5 s, up to which the nearest
// sequence number is taken to be the right one. Going once round in less would
// need 131,072 packets a second: 197 Mbit/s even with one TS packet in each.
const gapTicks = ClockRate / 2

// rateTicks is the span of the RTP timestamp, 1 s, over which Unwrapper
// measures the packet rate. The first gap may come after a tenth of it; before
// that the nearest number is taken.
const rateTicks = ClockRate

// resumeWithin is how many numbers ahead, behind a gap, count as a source that
// paused and whose first packets may be lost. Chance makes a gap of unknown
// length look like this in 1 of 1024 cases. (fec.Decoder goes by the same.)
const resumeWithin = 64

// orderTicks is the step of the RTP timestamp, 1 s, beyond which the number must
// go the same way, whatever the rate says.
const orderTicks = ClockRate

// Unwrapper extends sequence numbers of one SSRC to 64 bits. The zero value is
// ready; start a new one for a new SSRC.
//
// Within half a second of the newest packet the nearest index is taken. Over a
// longer gap the number may have gone round unseen (at 120 Mbit/s half a wrap
// is 2.9 s), so the index nearest to where the packet rate measured before the
// gap leads by the RTP timestamp is taken. It is right as long as the rate over
// the gap differs from the rate before it by less than half a wrap; and a packet
// that is more than a second newer never has a lower index than the newest one,
// nor one that is older a higher. A number that follows the newest one within 64,
// and is newer by its timestamp, is taken as it is: after a pause of the source
// the count goes on where it stopped.
type Unwrapper struct {
	started  bool
	top      uint64 // highest index so far
	topTS    uint32 // its RTP timestamp
	anchor   uint64 // where the running rate measurement began
	anchorTS uint32
	rate     float64 // packets per tick; 0 = not yet known
}

// Unwrap returns the index of the packet with the given sequence number and
// RTP timestamp. The low 16 bits of the index are the sequence number; the
// first index is 1<<32 + seq.
func (u *Unwrapper) Unwrap(seq Seq, ts uint32) uint64 {
	if !u.started {
		u.started = true
		u.top = unwrapBase + uint64(seq)
		u.topTS = ts
		u.anchor, u.anchorTS = u.top, ts
		return u.top
	}
	diff := int64(seq.Diff(Seq(u.top)))
	ticks := int32(ts - u.topTS)
	gap := ticks > gapTicks || ticks < -gapTicks
	if gap {
		diff = u.acrossGap(diff, ticks)
	}
	index := uint64(int64(u.top) + diff)
	if diff <= 0 {
		return index
	}
	u.top, u.topTS = index, ts
	if gap {
		u.anchor, u.anchorTS = index, ts
		return index
	}
	if span := ts - u.anchorTS; span >= rateTicks {
		u.rate = float64(index-u.anchor) / float64(span)
		u.anchor, u.anchorTS = index, ts
	}
	return index
}

// Highest returns the highest index so far, and whether there was one.
func (u *Unwrapper) Highest() (uint64, bool) { return u.top, u.started }

// acrossGap corrects the nearest distance diff by whole wraps, given the step
// of the RTP timestamp.
func (u *Unwrapper) acrossGap(diff int64, ticks int32) int64 {
	if diff > 0 && diff <= resumeWithin && ticks > 0 {
		return diff
	}
	nearest := diff
	rate := u.rate
	if span := u.topTS - u.anchorTS; rate == 0 && span >= rateTicks/10 {
		rate = float64(u.top-u.anchor) / float64(span)
	}
	expected := int64(rate * float64(ticks)) // 0 if the rate is not known
	diff += floorDiv(expected-diff+1<<15, 1<<16) << 16
	switch {
	case diff <= 0 && ticks > orderTicks:
		diff += 1 << 16
	case diff >= 0 && ticks < -orderTicks:
		diff -= 1 << 16
	}
	if diff < 0 && uint64(-diff) > u.top {
		return nearest
	}
	return diff
}

// floorDiv returns the quotient of a and b > 0, rounded down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
