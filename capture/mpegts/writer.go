package mpegts

import "time"

// Writer takes a transport stream. It is what every input writes to.
type Writer interface {
	// WriteTS takes n whole packets (len(ts) = n·188, each starting with
	// SyncByte) that arrived, or are due, at the instant at. Instants never go
	// back from call to call. The callee must neither change ts nor keep it
	// after it has returned.
	WriteTS(at time.Duration, ts []byte) error
}

// WriterFunc makes a function a Writer.
type WriterFunc func(at time.Duration, ts []byte) error

// WriteTS calls f.
func (f WriterFunc) WriteTS(at time.Duration, ts []byte) error { return f(at, ts) }

// NullPacket is a packet of stuffing (ISO/IEC 13818-1 2.4.1: PID 0x1FFF, its
// content and continuity counter mean nothing). Do not write to it.
var NullPacket = func() (p [PacketSize]byte) {
	p[0], p[1], p[2], p[3] = SyncByte, byte(NullPID>>8), byte(NullPID&0xFF), 0x10
	for i := 4; i < len(p); i++ {
		p[i] = 0xFF
	}
	return p
}()

// AppendNull appends n null packets to dst. It allocates only when dst has no
// room.
func AppendNull(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, NullPacket[:]...)
	}
	return dst
}
