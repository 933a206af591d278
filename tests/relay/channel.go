package relay

import (
	"time"
)

// Slot is the time within which common loss strikes as one.
const Slot = time.Millisecond

// Level of the jitter is drawn anew each jitterSlot and changes steadily between.
const jitterSlot = 10 * time.Millisecond

// Direction of a packet through a relay.
type Direction int

const (
	Up   Direction = iota // client to upstream
	Down                  // upstream to client
)

func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// Reason says why a packet was dropped.
type Reason uint8

const (
	Pass        Reason = iota // not dropped
	Size                      // longer than MTU
	Dead                      // direction is dead
	Black                     // blackout
	Queue                     // rate limit's queue full
	BurstOwn                  // burst of this relay
	BurstCommon               // burst of the group
	LossOwn                   // independent loss of this relay
	LossCommon                // independent loss of the group's slot
	Overflow                  // too many packets in flight; only a Pipe says so
	reasons
)

var reasonNames = [reasons]string{"pass", "size", "dead", "blackout", "queue", "burst", "burst_common", "loss", "loss_common", "overflow"}

func (r Reason) String() string { return reasonNames[r] }

// Fate of one packet.
type Fate struct {
	Drop  Reason        // Pass, or why it is lost; then nothing below counts
	At    time.Duration // when it is delivered
	Dup   bool          // a second copy is delivered at DupAt
	DupAt time.Duration
	Flip  int // bit to invert, counted from bit 7 of byte 0; −1 for none
}

// ChannelConfig describes one direction of one path.
type ChannelConfig struct {
	// Seed is the group's seed. Name and Direction tell channels of one seed
	// apart; common loss depends on Seed and Direction only.
	Seed      uint64
	Name      string
	Direction Direction
	// CommonOffset is added to the time when the common slot is computed:
	// channels of processes with different zeros of time agree through it.
	CommonOffset time.Duration
	Impairment   Impairment
}

// Channel decides the fate of packets. It has no clock and does no I/O, never
// allocates in Decide, and is not safe for concurrent use.
type Channel struct {
	// set at start, never changed
	offset time.Duration
	keys   struct{ loss, burst, slotBurst, common, commonBurst, jitter, reorder, reorderBy, dup, dupBy, flip, flipAt uint64 }

	// derived from the impairment
	imp                    Impairment
	lossOwn, lossCommon    uint64 // thresholds
	reorder, dup, flip     uint64
	byPacket, bySlot, both chain
	delay, jitter, queue   time.Duration

	// state
	busy time.Duration // the rate limit's link is busy until then
	last time.Duration // delivery of the last packet that kept its order
}

// NewChannel returns a channel, or an error that names the impairment's field.
func NewChannel(c ChannelConfig) (*Channel, error) {
	ch := &Channel{offset: c.CommonOffset}
	common := mix(mixString(c.Seed, "common"), uint64(c.Direction))
	own := mix(mixString(mixString(c.Seed, "own"), c.Name), uint64(c.Direction))
	k := &ch.keys
	k.common, k.commonBurst = mix(common, 0), mix(common, 1)
	for n, p := range []*uint64{&k.loss, &k.burst, &k.slotBurst, &k.jitter, &k.reorder, &k.reorderBy, &k.dup, &k.dupBy, &k.flip, &k.flipAt} {
		*p = mix(own, uint64(n))
	}
	return ch, ch.Set(c.Impairment)
}

// Set changes the impairment from the next packet on. What is in the rate
// limit's queue stays there. On an error nothing changes.
func (c *Channel) Set(i Impairment) error {
	if err := i.Validate(); err != nil {
		return err
	}
	c.imp = i
	// P(common or own) is to be the whole loss.
	common, own := split(i.Loss, i.LossCommon)
	c.lossCommon, c.lossOwn = threshold(common), threshold(own)
	common, own = split(i.Burst.Loss, i.Burst.Common)
	c.byPacket, c.bySlot, c.both = chain{}, chain{}, chain{}
	if i.Burst.MeanMS > 0 {
		mean := i.Burst.MeanMS * float64(time.Millisecond/Slot)
		c.bySlot = newChain(c.keys.slotBurst, own, mean)
		c.both = newChain(c.keys.commonBurst, common, mean)
	} else {
		c.byPacket = newChain(c.keys.burst, own, i.Burst.MeanPackets)
	}
	c.reorder, c.dup, c.flip = threshold(i.Reorder.Rate), threshold(i.Duplicate.Rate), threshold(i.Flip.Rate)
	c.delay, c.jitter, c.queue = ms(i.DelayMS), ms(i.JitterMS), ms(i.QueueMS)
	if c.queue == 0 {
		c.queue = ms(defaultQueueMS)
	}
	return nil
}

func split(loss, share float64) (common, own float64) {
	common = loss * share
	if common >= 1 {
		return 1, 0
	}
	return common, (loss - common) / (1 - common)
}

// Impairment returns what is set.
func (c *Channel) Impairment() Impairment { return c.imp }

// Decide returns the fate of the n-th packet, a datagram of size bytes that
// enters at now. Losses of the rate limit, and the order that delays keep,
// depend on the packets before it; all else on n and now only. Call it with
// rising n and now that does not go back.
func (c *Channel) Decide(n uint64, now time.Duration, size int) Fate {
	f := Fate{At: now, Flip: -1}
	if f.Drop = c.drop(n, now, size, &f.At); f.Drop != Pass {
		return f
	}
	f.At += c.delay
	if c.jitter > 0 {
		f.At += c.jitterAt(now)
	}
	if draw(c.keys.reorder, n) < c.reorder {
		f.At += time.Duration(unit(c.keys.reorderBy, n) * c.imp.Reorder.ByMS * float64(time.Millisecond))
	} else {
		f.At = max(f.At, c.last)
		c.last = f.At
	}
	if draw(c.keys.dup, n) < c.dup {
		f.Dup = true
		f.DupAt = f.At + time.Duration(unit(c.keys.dupBy, n)*c.imp.Duplicate.ByMS*float64(time.Millisecond))
	}
	if from := c.imp.Flip.From; size > from && draw(c.keys.flip, n) < c.flip {
		f.Flip = from*8 + int(unit(c.keys.flipAt, n)*float64((size-from)*8))
	}
	return f
}

func (c *Channel) drop(n uint64, now time.Duration, size int, at *time.Duration) Reason {
	i := &c.imp
	if i.MTU > 0 && size+ipOverhead > i.MTU {
		return Size
	}
	if i.Dead {
		return Dead
	}
	for _, b := range i.Blackouts {
		if b.at(now) {
			return Black
		}
	}
	if i.RateBPS > 0 {
		done := max(now, c.busy) + time.Duration(float64((size+ipOverhead)*8)/i.RateBPS*float64(time.Second))
		if done-now > c.queue {
			return Queue
		}
		c.busy, *at = done, done
	}
	slot, ownSlot := uint64((now+c.offset)/Slot), uint64(now/Slot)
	switch {
	case c.both.lost(slot):
		return BurstCommon
	case c.bySlot.lost(ownSlot), c.byPacket.lost(n):
		return BurstOwn
	case draw(c.keys.common, slot) < c.lossCommon:
		return LossCommon
	case draw(c.keys.loss, n) < c.lossOwn:
		return LossOwn
	}
	return Pass
}

// jitterAt is a line between levels drawn for the slots of 10 ms.
func (c *Channel) jitterAt(now time.Duration) time.Duration {
	slot := uint64(now / jitterSlot)
	a, b := unit(c.keys.jitter, slot), unit(c.keys.jitter, slot+1)
	part := float64(now%jitterSlot) / float64(jitterSlot)
	return time.Duration((a + (b-a)*part) * float64(c.jitter))
}
