package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"quartet/uplink/srt"
)

// ports are the SRT ports that boxes and peers call. One port serves any
// number of streams: the stream id in the handshake says which input a caller
// is, and that input's passphrase decides whether it is let in. The stream id
// travels in clear and proves nothing.
type ports struct {
	// set at start, never changed
	log *slog.Logger

	mu     sync.RWMutex // taken at handshakes and changes only
	routes map[route]*target
	open   map[string]*port
}

// route is how a caller is told apart.
type route struct{ listen, streamID string }

// target is where a caller belongs.
type target struct {
	to     *contribution
	input  int // index into to's inputs
	answer srt.Answer
	away   *turnedAway
}

// turnedAway are the callers of an input that were not let in.
type turnedAway struct {
	count  atomic.Uint64
	last   atomic.Pointer[string] // address of the newest, without its port
	logged atomic.Int64           // when the last one was logged, Unix time in s
}

// logAwayEvery is the shortest time between two log lines about one input's
// callers that are not let in: a box tries about once a second.
const logAwayEvery = 60 // s

// note counts a caller and says so in the log.
func (a *turnedAway) note(log *slog.Logger, t *target, r srt.Request) {
	a.count.Add(1)
	host := r.Peer.Addr().String()
	a.last.Store(&host)
	now := time.Now().Unix()
	if now-a.logged.Load() < logAwayEvery {
		return
	}
	a.logged.Store(now)
	log.Warn("a caller was not let in: its passphrase is not this input's, or it has none",
		"contribution", t.to.cfg.Name, "input", t.to.cfg.Inputs[t.input].Name, "from", r.Peer)
}

// port is one open listener.
type port struct {
	listen string
	l      *srt.Listener
	stop   context.CancelFunc
	done   chan struct{}

	accepted, unknown atomic.Uint64
}

// PortStats is how one SRT port does.
type PortStats struct {
	Listen   string `json:"listen"`
	Address  string `json:"address"`        // bound, with the port chosen if 0 was asked for
	Accepted uint64 `json:"accepted_total"` // connections handed to an input
	Refused  uint64 `json:"refused_total"`  // callers with a stream id that no input has
}

func newPorts(log *slog.Logger) *ports {
	return &ports{log: log, routes: map[route]*target{}, open: map[string]*port{}}
}

// set replaces all routes and opens and closes ports to match, where opts are
// the settings that sockets accepted on a port inherit. Connections that exist
// are not touched. A port that cannot be opened is an error; the others are
// opened nevertheless.
func (p *ports) set(ctx context.Context, routes map[route]*target, opts map[string]srt.Options) error {
	p.mu.Lock()
	p.routes = routes
	var gone []*port
	for listen, q := range p.open {
		if _, keep := opts[listen]; !keep {
			gone = append(gone, q)
			delete(p.open, listen)
		}
	}
	p.mu.Unlock()
	for _, q := range gone {
		q.close()
	}
	var errs []error
	for listen, o := range opts {
		p.mu.RLock()
		_, have := p.open[listen]
		p.mu.RUnlock()
		if have {
			continue
		}
		if err := p.listen(ctx, listen, o); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (p *ports) listen(ctx context.Context, listen string, o srt.Options) error {
	q := &port{listen: listen, done: make(chan struct{})}
	l, err := srt.Listen(listen, o, func(r srt.Request) srt.Answer { return p.answer(q, r) })
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	q.l = l
	ctx, q.stop = context.WithCancel(ctx)
	p.mu.Lock()
	p.open[listen] = q
	p.mu.Unlock()
	go func() {
		defer close(q.done)
		p.accept(ctx, q)
	}()
	p.log.Info("listening", "address", l.Addr())
	return nil
}

// answer decides on a handshake. It runs on a thread of libsrt.
func (p *ports) answer(q *port, r srt.Request) srt.Answer {
	p.mu.RLock()
	t := p.routes[route{q.listen, r.StreamID}]
	p.mu.RUnlock()
	if t == nil {
		q.unknown.Add(1)
		return srt.Answer{Reject: srt.RejectNotFound}
	}
	return t.answer
}

// accept hands connections to their contributions until ctx ends.
func (p *ports) accept(ctx context.Context, q *port) {
	var handing sync.WaitGroup
	defer handing.Wait()
	for {
		limit, stop := context.WithTimeout(ctx, lookForAway)
		conn, err := q.l.Accept(limit)
		stop()
		p.lookForAway(q)
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				continue
			}
			if ctx.Err() == nil {
				p.log.Error("listening ended", "address", q.listen, "err", err)
			}
			return
		}
		p.mu.RLock()
		t := p.routes[route{q.listen, conn.StreamID()}]
		p.mu.RUnlock()
		// Beside the loop: a contribution that hangs must not keep the port's
		// other callers out.
		handing.Go(func() {
			limit, stop := context.WithTimeout(ctx, handOver)
			defer stop()
			if t == nil || !t.to.attach(limit, t.input, conn) {
				_ = conn.Close()
				return
			}
			q.accepted.Add(1)
		})
	}
}

// lookForAway is how often the callers that were not let in are looked for.
const lookForAway = time.Second

func (p *ports) lookForAway(q *port) {
	for _, r := range q.l.TurnedAway() {
		p.mu.RLock()
		t := p.routes[route{q.listen, r.StreamID}]
		p.mu.RUnlock()
		if t != nil {
			t.away.note(p.log, t, r)
		}
	}
}

// handOver is how long a contribution has to take a connection.
const handOver = 2 * time.Second

func (q *port) close() {
	q.stop()
	_ = q.l.Close()
	<-q.done
}

// close closes all ports. Connections live on.
func (p *ports) close() {
	p.mu.Lock()
	open := p.open
	p.open = map[string]*port{}
	p.mu.Unlock()
	for _, q := range open {
		q.close()
	}
}

// addr is where listen is bound.
func (p *ports) addr(listen string) netip.AddrPort {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if q := p.open[listen]; q != nil {
		return q.l.Addr()
	}
	return netip.AddrPort{}
}

func (p *ports) stats() []PortStats {
	p.mu.RLock()
	defer p.mu.RUnlock()
	out := make([]PortStats, 0, len(p.open))
	for _, q := range p.open {
		out = append(out, PortStats{
			Listen: q.listen, Address: q.l.Addr().String(),
			Accepted: q.accepted.Load(), Refused: q.unknown.Load(),
		})
	}
	return out
}

// openWithin retries opening the ports for a while: the process that this one
// replaces may still hold them.
const openWithin = 4 * time.Second
