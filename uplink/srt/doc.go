// Package srt is Quartet's door to SRT (libsrt 1.5): sockets that call and listen,
// send and receive whole messages in batches, and say in words why something
// failed. All cgo of the uplink is here; the package imports nothing of Quartet.
//
// The way of the data: [Conn.Send] copies k messages into one block and crosses
// into C once; libsrt keeps them until they are acknowledged or too late. At the
// far end [Conn.Recv] crosses once and brings back every message whose time has
// come into a [Batch]. Neither waits, neither allocates.
//
// Set-up goes through haivision/srtgo (library start, socket creation, options,
// the listener's callback); dialling, accepting, sending, receiving, statistics
// and closing are calls of our own in shim.c, because each has to be free of
// waiting, or cancellable, or guarded against a concurrent Close.
//
// What the package sets on every socket, and why, is told at [Options]. Buffers
// are sized by [Options.Sized] and judged by [Options.Check]: a receive buffer
// shorter than the latency makes libsrt 1.5.1 stop for good.
//
// A program calls [Startup] when it begins and [Cleanup] before it ends.
package srt
