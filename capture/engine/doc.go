// Package engine is the daemon's side of the media engine: it starts
// quartet-engine, the process around GStreamer, takes its transport stream,
// and makes of it one of constant rate that never ends, whatever happens to
// that process or to the signal at its input, which it has package sdi watch. It
// also holds what both sides speak: Config, Command, Event.
//
// The way of the data: the process writes TS of variable rate to a socket →
// mpegts.Framer → splicer (engine, slate or nothing; PTS and DTS moved onto
// the output's clock) → mpegts.Stuffer (slots, PCR, counters, stuffing) → the
// input's mpegts.Writer. splicer and Slate are pure; Source is the shell that
// has goroutines, clock and process.
package engine
