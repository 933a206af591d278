package rtp

import (
	"math"
	"time"

	"github.com/pion/rtcp"
)

// Reception keeps the receiver's statistics of one path that an RTCP reception
// report block tells (RFC 3550 §6.4.1, appendices A.3 and A.8). The zero value
// is ready. A new SSRC starts it again.
type Reception struct {
	begun    bool
	ssrc     uint32
	unwrap   Unwrapper
	base     uint64 // index of the first packet
	received uint64 // duplicates included, as RFC 3550 has it

	transit int64 // arrival − timestamp of the last packet, ticks; its origin is arbitrary
	jitter  int64 // ticks · 16

	expectedPrior, receivedPrior uint64 // at the last block

	hasSR bool
	lsr   uint32        // middle 32 bits of the NTP time of the last sender report
	srAt  time.Duration // when it arrived
}

// Add counts a source packet that arrived at the instant at.
func (r *Reception) Add(h Header, at time.Duration) {
	if !r.begun || h.SSRC != r.ssrc {
		*r = Reception{begun: true, ssrc: h.SSRC}
		r.base = r.unwrap.Unwrap(h.Seq, h.Timestamp)
		r.transit = Ticks(at) - int64(h.Timestamp)
		r.received = 1
		return
	}
	r.received++
	r.base = min(r.base, r.unwrap.Unwrap(h.Seq, h.Timestamp))
	transit := Ticks(at) - int64(h.Timestamp)
	d := int64(int32(transit - r.transit)) // across a wrap of the timestamp
	r.transit = transit
	if d < 0 {
		d = -d
	}
	r.jitter += d - (r.jitter+8)>>4
}

// SenderReport notes a sender report that arrived at the instant at.
func (r *Reception) SenderReport(s SenderInfo, at time.Duration) {
	r.hasSR, r.lsr, r.srAt = true, uint32(s.NTP>>16), at
}

// HighestSeq returns the extended highest sequence number received; 0 before
// the first packet.
func (r *Reception) HighestSeq() uint32 {
	top, _ := r.unwrap.Highest()
	return uint32(top) // the low 32 bits
}

// Jitter returns the interarrival jitter.
func (r *Reception) Jitter() time.Duration { return TicksDuration(r.jitter >> 4) }

// Block returns the reception report block of the instant now, and false before
// the first packet. Its fraction lost covers the time since the last call.
func (r *Reception) Block(now time.Duration) (rtcp.ReceptionReport, bool) {
	if !r.begun {
		return rtcp.ReceptionReport{}, false
	}
	top, _ := r.unwrap.Highest()
	expected := top - r.base + 1
	lost := int64(expected - r.received) // negative with duplicates
	interval := int64(expected - r.expectedPrior)
	lostInterval := interval - int64(r.received-r.receivedPrior)
	r.expectedPrior, r.receivedPrior = expected, r.received
	b := rtcp.ReceptionReport{
		SSRC:               r.ssrc,
		TotalLost:          uint32(min(max(lost, -1<<23), 1<<23-1)) & 0xffffff, // 24 bits, signed
		LastSequenceNumber: uint32(top),
		Jitter:             uint32(min(r.jitter>>4, math.MaxUint32)),
	}
	if interval > 0 && lostInterval > 0 {
		b.FractionLost = uint8(min(lostInterval*256/interval, 255))
	}
	if r.hasSR {
		b.LastSenderReport = r.lsr
		b.Delay = uint32(ntpShort(now - r.srAt))
	}
	return b, true
}

// NTP returns an instant as the 64-bit NTP timestamp of a sender report: whole
// seconds in the upper half, their fraction in the lower. RFC 3550 §6.4.1
// allows the time elapsed since the session began in place of the wall clock,
// which the box may not know.
func NTP(now time.Duration) uint64 {
	sec := floorDiv(int64(now), int64(time.Second))
	rest := uint64(int64(now) - sec*int64(time.Second))
	return uint64(sec)<<32 | rest<<32/uint64(time.Second)
}

// RoundTrip returns the round-trip time that a reception report block tells at
// the instant it arrives (RFC 3550 §6.4.1), given that NTP made the timestamp
// of the sender report. It is false if the far end has had no sender report, or
// the block makes no sense.
func RoundTrip(now time.Duration, b rtcp.ReceptionReport) (time.Duration, bool) {
	if b.LastSenderReport == 0 && b.Delay == 0 {
		return 0, false
	}
	rtt := int32(uint32(NTP(now)>>16) - b.LastSenderReport - b.Delay)
	if rtt < 0 {
		return 0, false
	}
	return time.Duration(rtt) * time.Second >> 16, true
}

// ntpShort returns d in units of 1/65536 s, 0…2³²−1.
func ntpShort(d time.Duration) int64 {
	d = max(d, 0)
	sec, rest := int64(d/time.Second), int64(d%time.Second)
	return min(sec<<16+rest<<16/int64(time.Second), math.MaxUint32)
}

// TotalLost returns the cumulative number of packets lost that a reception
// report block tells: a signed field of 24 bits, negative when more duplicates
// arrived than packets were lost (RFC 3550 §6.4.1).
func TotalLost(b rtcp.ReceptionReport) int {
	return int(int32(b.TotalLost<<8) >> 8)
}
