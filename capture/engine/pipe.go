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

// keepBytes is how large a buffer is kept: some 100 ms of 20 Mbit/s. What grew
// beyond that while the process stood still is given back.
const keepBytes = 256 << 10

// pipe brings a transport stream into a process without ever waiting for it: it
// takes copies, and drops what finds no room or has become too old to be of use.
type pipe struct {
	// set at start, never changed
	hold time.Duration // what waits is no older
	wake chan struct{}

	mu      sync.Mutex // guards all below; held for one copy
	open    bool
	waiting []byte
	since   time.Duration // when the oldest of it came
	spare   []byte
	dropped uint64 // packets
}

func newPipe(hold time.Duration) *pipe { return &pipe{hold: hold, wake: make(chan struct{}, 1)} }

// accept begins to take packets: the process is ready. Before, they would only
// grow old.
func (p *pipe) accept() {
	p.mu.Lock()
	p.open = true
	p.mu.Unlock()
}

// WriteTS implements mpegts.Writer. It neither waits nor fails.
func (p *pipe) WriteTS(at time.Duration, ts []byte) error {
	p.mu.Lock()
	if len(p.waiting) == 0 {
		p.since = at
	} else if at-p.since > p.hold {
		p.dropped += uint64(len(p.waiting) / mpegts.PacketSize)
		p.waiting, p.since = p.waiting[:0], at
	}
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

// pump writes to f until that fails or ended is closed; then packets are no
// longer accepted.
func (p *pipe) pump(f *os.File, ended <-chan struct{}) {
	defer func() {
		p.mu.Lock()
		p.open, p.waiting = false, p.waiting[:0]
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
		if cap(b) > keepBytes {
			p.mu.Lock()
			p.spare = nil
			p.mu.Unlock()
		}
	}
}
