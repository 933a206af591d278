package main

import (
	"time"

	"quartet/capture/genlock"
	"quartet/capture/mpegts"
)

// streamClock says of packets when they came, as evenly as the stream's clock
// runs (genlock.Feed). tsdemux sets its own clock by the time of each packet with
// a PCR; as they really come, it would pull it by as much as they jitter.
type streamClock struct {
	pid   mpegts.PID // NullPID: the programme has no clock, the arrival counts
	feed  genlock.Feed
	known bool
	first mpegts.PCR    // stream time zero
	early time.Duration // of what was told against the arrival, of the last PCR
}

// use begins with the clock of a PID, for a new decoder. What is known of the
// same one is kept.
func (c *streamClock) use(pid mpegts.PID) {
	if pid != c.pid {
		*c = streamClock{pid: pid}
	}
	c.feed.Align()
}

// place takes packets that came at an instant and hands them on in pieces, each
// with the time that it is said to have come at: a PCR begins a piece. A PCR that
// is not believed is taken out: tsdemux would set its clock by it. emit may be nil,
// and must not keep them.
func (c *streamClock) place(at time.Duration, ts []byte, emit func(at time.Duration, ts []byte)) {
	from, told := 0, at+c.early
	for i := 0; i+mpegts.PacketSize <= len(ts); i += mpegts.PacketSize {
		p := mpegts.Packet(ts[i : i+mpegts.PacketSize])
		if p.PID() != c.pid || c.pid == mpegts.NullPID {
			continue
		}
		pcr, ok := p.PCR()
		if !ok {
			continue
		}
		when, ok := c.pcr(at, pcr)
		if !ok {
			p[5] &^= 0x1F // PCR_flag and those of what follows: all that counts as stuffing
			continue
		}
		if i > from && emit != nil {
			emit(told, ts[from:i])
		}
		from = i
		told = when
		c.early = told - at
	}
	if from < len(ts) && emit != nil {
		emit(told, ts[from:])
	}
}

// pcr is when a PCR is said to have come; false: it is not to be believed.
func (c *streamClock) pcr(at time.Duration, pcr mpegts.PCR) (time.Duration, bool) {
	if !c.known {
		c.known, c.first = true, pcr
	}
	near := mpegts.DurationToTicks(c.feed.Expect(at))
	ticks := near + pcr.Diff(c.first.Add(near))
	return c.feed.Arrived(at, mpegts.TicksToDuration(ticks))
}
