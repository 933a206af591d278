package fec

import "time"

const (
	clockRate = 90000 // RTP timestamp, Hz
	// oneCycle is where unwrapped numbers begin, so that a packet from before
	// the first one still has a number.
	oneCycle = 1 << 16
	// nearby: within this many ticks the nearest sequence number is right
	// even at rates far above any contribution.
	nearby = clockRate
	// rateSpan is how many ticks a packet rate is measured over, and rateFirst
	// how many the first measure needs.
	rateSpan  = clockRate / 2
	rateFirst = clockRate / 50
	// jumpSlack is how far a sequence number may be ahead of what the
	// timestamp says before it needs a witness.
	jumpSlack = 4096
	// jumpReach is how near the witness must be.
	jumpReach = 64
	// pauseReach: a packet this close behind the newest one follows it, however
	// long that is ago: its sender paused. After an outage of many turns that
	// is wrong once in a thousand times, and then only the count of the lost.
	pauseReach = 64
)

// unwrapper turns 16-bit sequence numbers and 32-bit timestamps into 64-bit
// ones. A timestamp wraps in 13 hours: the time passed says which turn it is.
// A sequence number wraps in 5.7 s at 120 Mbit/s: the timestamp and the packet
// rate say which turn it is.
type unwrapper struct {
	// the newest packet seen
	seq uint64
	ts  int64
	at  time.Duration

	rate    float64 // packets per tick; 0 until measured
	settled bool    // rate was measured over rateSpan
	rateSeq uint64  // where the measurement began
	rateTS  int64

	witness uint64 // a jump that waits to be confirmed; 0 none

	// the last packet that came far ahead of the release clock
	earlySeq uint64
	earlyTS  int64
}

// start begins with the first packet.
func (u *unwrapper) start(seq uint16, ts uint32, now time.Duration) {
	u.restart(oneCycle+uint64(seq), 1<<32+int64(ts), now)
}

// restart goes on from an unwrapped packet after a jump.
func (u *unwrapper) restart(seq uint64, ts int64, now time.Duration) {
	*u = unwrapper{seq: seq, ts: ts, at: now, rateSeq: seq, rateTS: ts}
}

// timestamp unwraps ts of a packet that arrives now.
func (u *unwrapper) timestamp(ts uint32, now time.Duration) int64 {
	expect := u.ts + ticks(now-u.at)
	return expect + int64(int32(ts-uint32(expect)))
}

// expect returns the sequence number that belongs to an unwrapped timestamp.
func (u *unwrapper) expect(ts int64) int64 {
	return int64(u.seq) + int64(float64(ts-u.ts)*u.rate)
}

// sequence unwraps seq of a packet with the unwrapped timestamp ts.
func (u *unwrapper) sequence(seq uint16, ts int64) uint64 {
	if d := seq - uint16(u.seq); d > 0 && d <= pauseReach && ts >= u.ts {
		return u.seq + uint64(d)
	}
	expect := u.expect(ts)
	n := expect + int64(int16(seq-uint16(expect)))
	// Far from the newest packet the rate may mislead; order cannot.
	if n <= int64(u.seq) && ts-u.ts > nearby {
		n += 1 << 16
	} else if n >= int64(u.seq) && u.ts-ts > nearby {
		n -= 1 << 16
	}
	return uint64(max(n, 0))
}

// plausible reports whether a packet may be as far ahead as it says. One that
// is further ahead than the packet rate explains needs a second one close to
// it: a single stray packet must not move the window.
func (u *unwrapper) plausible(seq uint64, ts int64) bool {
	if seq <= u.seq+jumpSlack {
		return true
	}
	tolerance := jumpSlack + int64(float64(max(ts-u.ts, 0))*u.rate)
	if int64(seq)-u.expect(ts) <= tolerance {
		return true
	}
	ok := u.witness != 0 && seq > u.witness && seq <= u.witness+jumpReach
	u.witness = seq
	return ok
}

// again reports whether a packet that came far ahead of the release clock
// follows another such one: then it is the clock that is behind. The timestamp
// of a single stray one must not become the reference.
func (u *unwrapper) again(seq uint64, ts int64) bool {
	d, dt := int64(seq-u.earlySeq), ts-u.earlyTS
	u.earlySeq, u.earlyTS = seq, ts
	return d > -jumpReach && d <= jumpReach && dt > -nearby && dt < nearby
}

// accept notes a packet that was found good.
func (u *unwrapper) accept(seq uint64, ts int64, now time.Duration) {
	if ts <= u.ts || seq <= u.seq {
		return
	}
	pause := ts-u.ts > rateSpan
	u.seq, u.ts, u.at = seq, ts, now
	u.witness = 0
	if pause {
		u.rateSeq, u.rateTS = seq, ts // no rate is measured over a pause or an outage
		return
	}
	d := ts - u.rateTS
	if d >= rateSpan || !u.settled && d >= rateFirst {
		u.rate = float64(seq-u.rateSeq) / float64(d)
	}
	if d >= rateSpan {
		u.rateSeq, u.rateTS, u.settled = seq, ts, true
	}
}

// ticks converts a duration into timestamp ticks.
func ticks(d time.Duration) int64 {
	return int64(d/100000)*9 + int64(d%100000)*9/100000
}

// span converts ticks into a duration.
func span(t int64) time.Duration {
	return time.Duration(t/9*100000 + t%9*100000/9)
}
