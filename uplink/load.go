package uplink

import (
	"time"

	"quartet/capture/mpegts"
)

// push queues a message; see queue.push. Without a link it only counts: what
// would be sent after a reconnect is too late anyway.
func (p *Path) push(at time.Duration, port Port, msg []byte) {
	if !p.up.Load() {
		p.unsent.Add(1)
		return
	}
	if p.shed.Load() {
		p.spared.Add(1)
		return
	}
	p.queue.push(at+p.cfg.Stagger, port, msg)
}

// SetLoad says what the path carries: nothing, without carries; no repair packets,
// without parity. Its connection and its reports go on. A path begins with both.
func (p *Path) SetLoad(carries, parity bool) {
	p.shed.Store(!carries)
	p.bare.Store(!parity)
}

// pushTS queues the TS packets of a source packet, in messages as long as the
// path takes them.
func (p *Path) pushTS(at time.Duration, ts []byte) {
	size := len(ts)
	if n := p.cfg.PacketsPerMessage; n > 0 {
		size = n * mpegts.PacketSize
	}
	for len(ts) > 0 {
		n := min(size, len(ts))
		p.push(at, PortMedia, ts[:n])
		ts = ts[n:]
	}
}

// notify tells Run that messages are queued.
func (p *Path) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}
