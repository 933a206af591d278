package main

import (
	"sync/atomic"
	"time"

	"quartet/capture/mpegts"
)

// monitor counts what is wrong with the feed on its way from the input to the
// sender, which it hands everything on to.
type monitor struct {
	next       mpegts.Writer     // set at start, never changed
	continuity mpegts.Continuity // owned by the goroutine that writes

	errors, transport atomic.Uint64 // for those who look on
}

// WriteTS implements mpegts.Writer.
func (m *monitor) WriteTS(at time.Duration, ts []byte) error {
	for i := 0; i+mpegts.PacketSize <= len(ts); i += mpegts.PacketSize {
		m.continuity.Check(mpegts.Packet(ts[i : i+mpegts.PacketSize]))
	}
	st := m.continuity.Stats()
	m.errors.Store(st.Errors)
	m.transport.Store(st.TransportErrors)
	return m.next.WriteTS(at, ts)
}
