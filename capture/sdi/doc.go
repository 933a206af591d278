// Package sdi watches the signal at a V4L2 capture device: whether there is one,
// whether the card has locked to it, and what it is.
//
// It speaks to the kernel by ioctls of its own (linux/videodev2.h), beside
// whoever takes the frames: any number of file descriptors may ask a device
// about its signal while one streams. Device is the seam: node is the kernel's,
// and tests replay recordings. Tracker is pure and turns what a device says into
// a State; Watcher is the shell around it that owns the device, follows it when
// it is unplugged, and sets the timings of the signal before a capture begins.
//
// What a card says and what it delivers are two things: a picture is there only
// when frames come, which the media engine sees. The signal's loss is seen here
// first, and by its name.
package sdi
