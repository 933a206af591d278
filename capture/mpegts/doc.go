// Package mpegts is the transport-stream layer of Quartet: what a 188-byte
// packet of ISO/IEC 13818-1 (H.222.0) is, how packets are found in a stream of
// bytes, and at which instant each of them is due.
//
// It has no goroutine, no clock and no I/O. Every instant is a time.Duration
// on one monotonic time line with an arbitrary start, given by the caller.
// Nothing on the packet path allocates, locks or logs; what happens is counted
// and told by Stats methods.
//
// The way of the data through an input:
//
//	bytes, datagrams ─▶ Framer ─▶ Writer … Pacer ─▶ emit(at, packet)
//	                      (sync)               (PCR clock)
//
// Beside that way stand observers that are fed with the same packets:
// Continuity (ISO/IEC 13818-1 2.4.3.3) and Tables (PAT, PMT, SDT; the only user
// of go-astits, and only for complete sections of PSI/SI PIDs). A looped file
// uses Timeline, which says when each packet of the file is due, and Restamper,
// which makes the seam between two passes invisible.
package mpegts
