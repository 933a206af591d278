// Package capture holds what all inputs have in common: the Source interface
// that each of its sub-packages implements (udp, srt, tsfile), and Input, which
// stands between a Source and the packet loop. Input starts the source again
// when it fails, says when the feed is lost and when it returns, and fills the
// gap with null packets or falls silent.
//
// The way of the data: Source.Run → Guard.WriteTS (time of the last packet,
// rate) → the next mpegts.Writer (pacer, packetizer). Guard is pure logic driven
// by Tick; Input is its goroutine and lock.
package capture

import (
	"context"
	"time"

	"quartet/capture/mpegts"
)

// Source is a transport stream's origin. Run delivers until ctx ends (nil), the
// source ends by itself (nil) or fails (an error that names what and where); it
// joins all it started before it returns. It calls w from one goroutine at a
// time, with instants that do not go backwards, and returns w's error if w
// fails. Run may be called again after it has returned.
type Source interface {
	Run(ctx context.Context, w mpegts.Writer) error
}

// EventKind names what happened to an input.
type EventKind string

const (
	// InputLost: no packet for GuardConfig.LostAfter, or none since the start.
	InputLost EventKind = "input_lost"
	// InputReturned: the first packet after InputLost.
	InputReturned EventKind = "input_returned"
	// InputSilenced: on_input_loss is stop, and null packets are no longer sent.
	InputSilenced EventKind = "input_silenced"
	// SourceFailed: the source ended with an error and will be started again.
	SourceFailed EventKind = "source_failed"
)

// Event is something that happened to an input.
type Event struct {
	Kind EventKind
	At   time.Duration // monotonic
	// Outage is the time since the last packet; InputLost, InputReturned,
	// InputSilenced. Before the first packet it counts from the start.
	Outage time.Duration
	// Rate is the rate in bit/s measured before the loss, 0 if there was none.
	Rate int64
	// Err is why the source failed; SourceFailed.
	Err error
}
