// Package srt receives a transport stream over SRT: as listener, which keeps its
// port while callers come and go, or as caller, which calls again by itself. One
// sender at a time is taken.
//
// The way of the data: a connection's messages (uplink/srt.Conn.Recv, a batch
// every 5 ms) → mpegts.Framer → mpegts.Writer. The instant of a message is the
// one at which libsrt's latency made it due, so it follows the sender's clock
// however the reads fall.
package srt
