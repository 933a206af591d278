// Package tr101290 watches a transport stream as ETSI TR 101 290 clause 5.2
// says, and tells what the stream is: services, components, rates, clocks,
// cues.
//
// A Monitor is an observer beside the way of the packets. It has no goroutine,
// no clock and no I/O: packets come with the instant of their arrival, and
// Tick brings the time while none come. It allocates when a PID or a table is
// new or has changed, never for a packet as such, and its memory is bounded
// whatever the stream does. docs/monitoring.md lists each check with its
// threshold, its meaning and what to do, and what is not checked and why.
//
// The way of a packet, in reading order:
//
//	monitor.go     WriteTS, Tick: sync, continuity, and whether there is more to see
//	pid.go         what is known of a PID; what a packet of it may hold
//	pcr.go         2.3a, 2.3b: spacing and breaks of clocks; arrival jitter
//	accuracy.go    2.4: PCR against the packet's position in a stream of constant rate
//	pts.go         2.5
//	sections.go    1.3.a, 1.5.a, 2.2, 2.6: tables, put together by capture/mpegts
//	si.go          3.x: service information
//	references.go  what the tables name, and so what is missed (1.6) or unknown (3.4)
//	scan.go        what should have come and has not
//	scte35.go      splice information, kept in cues.go
//	stats.go       what is told, copied by snapshot.go
//
// How errors are counted: what is wrong with one packet or section is one
// error. What is missing is one error when its limit has passed, however long
// it stays away after that; the check is active until it is back. While the
// stream is lost (1.1) nothing else is judged, and everything begins anew when
// it is back.
package tr101290
