package mpegts

import "time"

// The clocks of ISO/IEC 13818-1 2.4.2.
const (
	// PCRHz is the rate of the system clock, in ticks per second.
	PCRHz = 27_000_000
	// PTSHz is the rate of PTS and DTS, in ticks per second.
	PTSHz = 90_000
	// PTSModulus is where PTS and DTS wrap: 33 bits, 26.5 hours.
	PTSModulus = 1 << 33
	// PCRModulus is where a PCR wraps, at the same instant as PTS.
	PCRModulus = PTSModulus * 300
)

// PCR is a program clock reference: ticks of 27 MHz modulo PCRModulus
// (ISO/IEC 13818-1 2.4.3.5: base·300 + extension). Values are always below
// PCRModulus; arithmetic goes through the methods, which know the wrap.
type PCR uint64

// Diff returns p − a in ticks of 27 MHz, taking the shorter way round the wrap:
// −PCRModulus/2 ≤ result < PCRModulus/2.
func (p PCR) Diff(a PCR) int64 {
	return wrapDiff(uint64(p), uint64(a), PCRModulus)
}

// Add returns p moved by ticks of 27 MHz, which may be negative or longer than
// a wrap.
func (p PCR) Add(ticks int64) PCR {
	return PCR(wrapAdd(uint64(p), ticks, PCRModulus))
}

// Duration returns the time from PCR zero to p, rounded down to a nanosecond.
func (p PCR) Duration() time.Duration { return TicksToDuration(int64(p)) }

// Timestamp returns p in units of PTS (90 kHz), rounded down.
func (p PCR) Timestamp() Timestamp { return Timestamp(p / 300) }

// Timestamp is a PTS or DTS: ticks of 90 kHz modulo PTSModulus
// (ISO/IEC 13818-1 2.4.3.7).
type Timestamp uint64

// Diff returns t − a in ticks of 90 kHz, taking the shorter way round the wrap.
func (t Timestamp) Diff(a Timestamp) int64 {
	return wrapDiff(uint64(t), uint64(a), PTSModulus)
}

// Add returns t moved by ticks of 90 kHz, which may be negative or longer than
// a wrap.
func (t Timestamp) Add(ticks int64) Timestamp {
	return Timestamp(wrapAdd(uint64(t), ticks, PTSModulus))
}

// Duration returns the time from timestamp zero to t.
func (t Timestamp) Duration() time.Duration {
	return time.Duration(t) * (time.Second / 10_000) / (PTSHz / 10_000)
}

// TicksToDuration converts a count of 27 MHz ticks, rounded towards zero. It is
// exact to the nanosecond for any count up to ±9·10¹⁵ (10 years).
func TicksToDuration(ticks int64) time.Duration {
	const us = PCRHz / 1_000_000 // ticks per microsecond
	return time.Duration(ticks/us)*time.Microsecond + time.Duration(ticks%us*1000/us)
}

// DurationToTicks converts a time to 27 MHz ticks, rounded towards zero. It is
// the exact inverse of TicksToDuration only to within one tick (37 ns).
func DurationToTicks(d time.Duration) int64 {
	const us = PCRHz / 1_000_000
	return int64(d/time.Microsecond)*us + int64(d%time.Microsecond)*us/1000
}

func wrapDiff(a, b, mod uint64) int64 {
	d := (a%mod + mod - b%mod) % mod
	if d >= mod/2 {
		return int64(d) - int64(mod)
	}
	return int64(d)
}

func wrapAdd(a uint64, n int64, mod uint64) uint64 {
	n %= int64(mod)
	if n < 0 {
		n += int64(mod)
	}
	return (a%mod + uint64(n)) % mod
}
