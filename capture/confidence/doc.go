// Package confidence says whether picture and sound are right: loudness by EBU
// R 128 with true peak, levels, silence and clipping of the sound; black, still
// pictures and colour bars. Each fault is found with a threshold and a hold
// time, and told with its start and length.
//
// It is pure logic: samples and small pictures come with their media time, no
// clock, no goroutine, no I/O, and no allocation for a block or a picture.
// docs/confidence.md lists thresholds, accuracy and what they cost.
//
// In reading order:
//
//	span.go      a state that has lasted: start, length, hold
//	loudness.go  ITU-R BS.1770-5, EBU Tech 3341 and 3342
//	truepeak.go  ITU-R BS.1770-5 annex 2
//	sound.go     pairs of channels: levels, silence, clipping, and the above
//	picture.go   black, still
//	bars.go      colour bars
//	report.go    what is told, as JSON
package confidence
