// Package genlock locks the encoder's time to its input's.
//
// An SDI source, a sound card and this machine have crystals of their own; 100
// millionths apart they lose 8.6 s a day. Here the picture's clock is the
// master: every captured frame gets the next PTS of an exact grid, so none is
// dropped or shown twice, and media time is what that grid says. Sound that has
// another clock is resampled to media time; sound that has the same one passes
// unchanged. While there is no picture, media time runs on at the rate it had
// last (holdover), and the grid with it.
//
// Line fits the rate and phase of a clock; Video decides which frame goes out,
// and when; Sound makes blocks of sound for media time; Resampler moves samples
// to where they belong; Feed brings a transport stream's clock, whose packets come
// as they like, onto system time. All of it is pure: instants come in, decisions come
// out; nothing here knows GStreamer, and a day passes in seconds of a test.
//
// Two time lines: system time is the kernel's monotonic clock; media time is
// what PTS count, from 0.
package genlock
