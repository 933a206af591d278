package relay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Config describes a relay.
type Config struct {
	// Name tells relays of a group apart, also in their draws: two relays with
	// the same seed and name have the same fate. Empty: the upstream's text.
	Name string
	// Listen is the address for clients, port 0 allowed; Upstream is where
	// their datagrams go.
	Listen   netip.AddrPort
	Upstream netip.AddrPort
	// Impairment of each direction at the start.
	Up, Down Impairment
	// Schedule is what changes later, in order of time.
	Schedule []Change
}

// Change sets one direction's impairment at a time counted from the group's zero.
type Change struct {
	At         time.Duration
	Direction  Direction
	Impairment Impairment
}

// GroupConfig is what relays have in common. The zero value serves.
type GroupConfig struct {
	Seed uint64
	// Now is the time since the group's zero, which schedules, blackouts and
	// slots count from. It must not go back. Nil: time since NewGroup.
	Now func() time.Duration
	// CommonOffset is added to Now for the slots of common loss.
	CommonOffset time.Duration
	// Quantum is how long the group rests between two rounds, so that one
	// system call serves several packets: it is also the delay added at most.
	// 0: 500 µs.
	Quantum time.Duration
}

const (
	defaultQuantum = 500 * time.Microsecond
	maxSessions    = 256
	idleTimeout    = 60 * time.Second
)

// Group is a set of relays served by one goroutine.
type Group struct {
	// set at start, never changed
	cfg   GroupConfig
	start time.Time

	mu      sync.Mutex // guards everything below and the relays' state
	relays  []*Relay
	running bool
	closed  bool

	wake int // eventfd
	pool pool
}

// NewGroup returns an empty group. Call Run or Close.
func NewGroup(c GroupConfig) (*Group, error) {
	if c.Quantum < 0 || c.Quantum > 100*time.Millisecond {
		return nil, fmt.Errorf("relay: Quantum is %v: give 0 to 100 ms", c.Quantum)
	}
	if c.Quantum == 0 {
		c.Quantum = defaultQuantum
	}
	g := &Group{cfg: c, start: time.Now()}
	if c.Now == nil {
		g.cfg.Now = func() time.Duration { return time.Since(g.start) }
	}
	var err error
	if g.wake, err = newWake(); err != nil {
		return nil, fmt.Errorf("relay: eventfd: %w", err)
	}
	return g, nil
}

// Now is the group's time.
func (g *Group) Now() time.Duration { return g.cfg.Now() }

var errRunning = errors.New("relay: the group runs or is closed: add relays before Run")

// Add binds a relay's listening socket; datagrams that come before Run wait in it.
func (g *Group) Add(c Config) (*Relay, error) {
	if c.Name == "" {
		c.Name = c.Upstream.String()
	}
	if !c.Upstream.IsValid() || c.Upstream.Port() == 0 {
		return nil, fmt.Errorf("relay %s: Upstream is %q: give address and port", c.Name, c.Upstream)
	}
	if !c.Listen.IsValid() {
		return nil, fmt.Errorf("relay %s: Listen is %q: give address and port, port 0 for a free one", c.Name, c.Listen)
	}
	r := &Relay{group: g, cfg: c, sessions: make(map[netip.AddrPort]*session)}
	for d, i := range []Impairment{c.Up, c.Down} {
		ch, err := NewChannel(ChannelConfig{Seed: g.cfg.Seed, Name: c.Name, Direction: Direction(d), CommonOffset: g.cfg.CommonOffset, Impairment: i})
		if err != nil {
			return nil, fmt.Errorf("relay %s, %s: %w", c.Name, Direction(d), err)
		}
		r.pipes[d] = Pipe{ch: ch, pool: &g.pool}
	}
	for n, s := range c.Schedule {
		if s.Direction != Up && s.Direction != Down {
			return nil, fmt.Errorf("relay %s: Schedule[%d].Direction is %d: give Up or Down", c.Name, n, s.Direction)
		}
		if err := s.Impairment.Validate(); err != nil {
			return nil, fmt.Errorf("relay %s: Schedule[%d]: %w", c.Name, n, err)
		}
		if n > 0 && s.At < c.Schedule[n-1].At {
			return nil, fmt.Errorf("relay %s: Schedule[%d].At is %v, before the change above it: sort by time", c.Name, n, s.At)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running || g.closed {
		return nil, errRunning
	}
	if err := r.bind(); err != nil {
		return nil, fmt.Errorf("relay %s: listen on %s: %w", c.Name, c.Listen, err)
	}
	g.relays = append(g.relays, r)
	return r, nil
}

// Run serves the group's relays until ctx is done, then closes their sockets
// and returns nil. It runs once. Meanwhile the process has one more GOMAXPROCS.
func (g *Group) Run(ctx context.Context) error {
	g.mu.Lock()
	if g.running || g.closed {
		g.mu.Unlock()
		return errRunning
	}
	g.running = true
	g.mu.Unlock()
	defer g.close()
	defer context.AfterFunc(ctx, func() { g.kick() })()
	return g.loop(ctx)
}

// Close frees a group that Run was never called for.
func (g *Group) Close() {
	g.mu.Lock()
	running := g.running
	g.mu.Unlock()
	if !running {
		g.close()
	}
}

// Relay is one path of a group.
type Relay struct {
	group    *Group
	cfg      Config
	addr     netip.AddrPort
	fd       int
	upstream sockaddr

	// guarded by group.mu
	pipes    [2]Pipe
	next     int // in cfg.Schedule
	sessions map[netip.AddrPort]*session
	lastSeen *session // the client of the last datagram
	evicted  uint64
	kernel   uint64 // drops of sockets that are closed
}

// Addr is where clients send to.
func (r *Relay) Addr() netip.AddrPort { return r.addr }

// Name of the relay.
func (r *Relay) Name() string { return r.cfg.Name }

// Set changes one direction from the next datagram on.
func (r *Relay) Set(d Direction, i Impairment) error {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	if err := r.pipes[d&1].Set(i); err != nil {
		return fmt.Errorf("relay %s, %s: %w", r.cfg.Name, d, err)
	}
	return nil
}

// SetBoth changes both directions.
func (r *Relay) SetBoth(i Impairment) error { return errors.Join(r.Set(Up, i), r.Set(Down, i)) }

// Impairment returns what is set for a direction.
func (r *Relay) Impairment(d Direction) Impairment {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	return r.pipes[d&1].Impairment()
}

// Stats returns the counters since the start.
func (r *Relay) Stats() Stats {
	r.group.mu.Lock()
	defer r.group.mu.Unlock()
	s := Stats{
		Name: r.cfg.Name, Listen: r.addr.String(), Upstream: r.cfg.Upstream.String(),
		Sessions: len(r.sessions), Evicted: r.evicted,
		Up: r.pipes[Up].Stats(), Down: r.pipes[Down].Stats(),
		KernelDrops: r.kernel,
	}
	if !r.group.closed {
		s.KernelDrops += kernelDrops(r.fd)
		for _, c := range r.sessions {
			s.KernelDrops += kernelDrops(c.fd)
		}
	}
	return s
}

// Stats of all relays of the group, in the order they were added.
func (g *Group) Stats() []Stats {
	g.mu.Lock()
	relays := g.relays
	g.mu.Unlock()
	all := make([]Stats, len(relays))
	for n, r := range relays {
		all[n] = r.Stats()
	}
	return all
}

// applySchedule sets what is due; it returns when the next change is.
func (r *Relay) applySchedule(now time.Duration) (time.Duration, bool) {
	for ; r.next < len(r.cfg.Schedule); r.next++ {
		c := &r.cfg.Schedule[r.next]
		if c.At > now {
			return c.At, true
		}
		_ = r.pipes[c.Direction].Set(c.Impairment) // validated by Add
	}
	return 0, false
}
