// Package wiredecoder is a second receiver of the profile rtp-fec, as small as
// one can be. It was written from docs/wire-format.md alone, to show that the
// document is enough, and shares no code with the packages that the box and the
// gateway are made of: a test holds it to the standard library.
//
// The way of a message: Receiver.Push checks its tag (packet.go), reads it as a
// source or repair packet, merges it with what came on other streams
// (receiver.go), solves the blocks that can be solved (code.go), and hands the
// transport stream on, in sequence. Receiver.Report writes the smallest report
// that keeps a box content (report.go).
//
// What it leaves out: a release clock and timers. It measures the total latency
// in RTP timestamps and hands on at once what is in sequence. Probes are not
// answered either.
package wiredecoder
