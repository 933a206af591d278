package engine

import (
	"os"
	"sync"
	"time"

	"quartet/capture/mpegts"
)

// pipeBytes is what waits for a process that is slow, at the most: a third of a
// second at 50 Mbit/s.
const pipeBytes = 2 << 20

// pipe brings a transport stream into a process without ever waiting for it: it
// takes copies, and drops what finds no room.
type pipe struct {
	wake chan struct{} // set at start, never changed

	mu      sync.Mutex // guards all below; held for one copy
	open    bool
	waiting []byte
	spare   []byte
	dropped uint64 // packets
}

func newPipe() *pipe { return &pipe{wake: make(chan struct{}, 1)} }

// WriteTS implements mpegts.Writer. It neither waits nor fails.
func (p *pipe) WriteTS(_ time.Duration, ts []byte) error {
	p.mu.Lock()
	switch {
	case !p.open:
	case len(p.waiting)+len(ts) > pipeBytes:
		p.dropped += uint64(len(ts) / mpegts.PacketSize)
	default:
		p.waiting = append(p.waiting, ts...)
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// lost is how many packets found no room so far.
func (p *pipe) lost() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

// pump writes to f until that fails or ended is closed.
func (p *pipe) pump(f *os.File, ended <-chan struct{}) {
	p.mu.Lock()
	p.open, p.waiting = true, p.waiting[:0]
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.open = false
		p.mu.Unlock()
	}()
	for {
		select {
		case <-ended:
			return
		case <-p.wake:
		}
		p.mu.Lock()
		p.waiting, p.spare = p.spare[:0], p.waiting
		b := p.spare
		p.mu.Unlock()
		// spare is not touched before the next turn.
		if _, err := f.Write(b); err != nil {
			return
		}
	}
}
