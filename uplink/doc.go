// Package uplink sends one transport stream over several paths at once.
//
// The way of a packet: a source writes TS packets into a Sender; the Sender
// smooths them by their PCR (mpegts.Pacer), packs them into RTP
// (rtp.Packetizer), tags each message once (rtp.Tagger), adds Reed-Solomon rows
// (fec.Encoder) and puts every message into the bounded queue of each Path. That
// queue is the only hop between goroutines: each Path owns its goroutine, socket,
// back-off and counters, so that a stalled far end costs its own path and nothing
// else.
//
// NewPlan turns what the user asks for (total latency, overhead) into what the
// parts need (K, rows, SRT latency), or says why it cannot be done.
package uplink
