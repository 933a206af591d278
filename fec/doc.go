// Package fec protects a stream of RTP packets against loss, and merges the
// copies of that stream that arrive over several paths into one.
//
// The code is the systematic Reed-Solomon code of RFC 5510 §8 over GF(2⁸),
// carried in repair packets of Quartet's own layout (see [RepairHeader]).
// Everything here is pure logic: packets and the current time go in, packets
// come out through a callback. There is no goroutine, no clock and no I/O; all
// times are monotonic time since an arbitrary start ("now"). A value of these
// types must not be used by two goroutines at once.
//
// A packet's way through the sender:
//
//	Encoder.Add ─▶ open block: each parity row += coefficient · packet
//	                 │ K packets, or MaxBlock elapsed
//	                 ▼
//	             closed block ─▶ Encoder.Tick: one repair packet after the
//	                             other, over the time the next block takes
//
// and through the receiver:
//
//	Decoder.Push ─▶ epoch (one per SSRC: who is current, who is refused)
//	               ─▶ unwrapper (16-bit sequence, 32-bit timestamp ─▶ 64 bit)
//	               ─▶ releaseClock (is it in time? how far is this path behind?)
//	               ─▶ window (ring by sequence number, one copy kept)
//	               ─▶ blockTable (parity rows; solves as soon as it can)
//	Decoder.Tick ─▶ in order, each packet at B + timestamp + D ─▶ Deliver
//
// Diverse parity: stream s of S carries the rows ESI = K + s + S·j. No two
// streams carry the same row, so a receiver of any subset of the streams
// solves with every row that arrived on any of them, and need not know S.
package fec
