package access

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"
)

const (
	window     = time.Minute
	maxWrong   = 5  // tries of a source in a window that were wrong, or are under way
	maxRight   = 20 // tries of a source in a window that were right: each costs the box as much
	maxSources = 4096
	maxKnown   = 64 // sources from which somebody logged in
	maxWaiting = 16 // of each kind, for their turn at argon2id
)

// throttle counts tries by source. Store.mu guards it.
type throttle struct {
	sources map[netip.Prefix]*list.Element // of order; its Value is *tries
	order   list.List                      // the source that has been quiet for longest first
	known   map[netip.Prefix]time.Time     // source → last login that was right
}

// tries are those of one source in the last minute, oldest first.
type tries struct {
	source       netip.Prefix
	wrong, right []time.Time
}

func newThrottle() throttle {
	return throttle{sources: map[netip.Prefix]*list.Element{}, known: map[netip.Prefix]time.Time{}}
}

// attempt is a try that was let through.
type attempt struct {
	source netip.Prefix
	at     time.Time
	known  bool // somebody logged in from there before
}

// sourceOf is whom a try counts against: an IPv4 address, or the /64 of an IPv6
// address, which one host may fill. All hosts of a link share fe80::/64, so
// there it is the address.
func sourceOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() && !a.IsLinkLocalUnicast() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address: all of those together
	}
	return p
}

// begin counts a try before it is looked at, so that many at once do not slip
// through, and refuses it if there were too many. It counts as wrong until
// succeeded says otherwise.
func (s *Store) begin(source netip.Addr) (attempt, error) {
	a := attempt{source: sourceOf(source), at: s.cfg.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, a.known = s.throttle.known[a.source]
	t := s.throttle.of(a.source, a.at)
	switch {
	case len(t.wrong) >= maxWrong:
		return a, slowDown(window - a.at.Sub(t.wrong[0]))
	case len(t.right) >= maxRight:
		return a, slowDown(window - a.at.Sub(t.right[0]))
	}
	t.wrong = append(t.wrong, a.at)
	return a, nil
}

// slowDown rounds up to whole seconds, as HTTP's Retry-After has them.
func slowDown(d time.Duration) *SlowDown {
	return &SlowDown{RetryAfter: max(time.Second, (d + time.Second - 1).Truncate(time.Second))}
}

// undo takes back a try that was not looked at in the end.
func (s *Store) undo(a attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttle.of(a.source, a.at).takeBack(a.at)
}

func (t *tries) takeBack(at time.Time) {
	for i, other := range t.wrong {
		if other.Equal(at) {
			t.wrong = append(t.wrong[:i], t.wrong[i+1:]...)
			return
		}
	}
}

// succeeded takes back that a try was wrong. Those before it still count: else
// a user with a password could guess another's between two logins.
func (s *Store) succeeded(a attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.throttle.of(a.source, a.at)
	t.takeBack(a.at)
	t.right = append(t.right, a.at)
	known := s.throttle.known
	if _, there := known[a.source]; !there && len(known) >= maxKnown {
		delete(known, oldest(known))
	}
	known[a.source] = a.at
}

// of returns the tries of a source in the minute before now. When the table is
// full, the source that has been quiet for longest is forgotten; more sources
// than that are held back by the queue, not by this. It takes as long however
// many there are: a flood of sources must not become one of work.
func (th *throttle) of(source netip.Prefix, now time.Time) *tries {
	for e := th.order.Front(); e != nil; e = th.order.Front() {
		old := e.Value.(*tries)
		if old.forget(now); len(old.wrong)+len(old.right) > 0 {
			break
		}
		th.drop(e)
	}
	e := th.sources[source]
	if e == nil {
		if len(th.sources) >= maxSources {
			th.drop(th.order.Front())
		}
		e = th.order.PushBack(&tries{source: source})
		th.sources[source] = e
	}
	th.order.MoveToBack(e)
	t := e.Value.(*tries)
	t.forget(now)
	return t
}

func (th *throttle) drop(e *list.Element) {
	delete(th.sources, e.Value.(*tries).source)
	th.order.Remove(e)
}

// forget drops what is older than the window.
func (t *tries) forget(now time.Time) {
	t.wrong, t.right = recent(t.wrong, now), recent(t.right, now)
}

func recent(times []time.Time, now time.Time) []time.Time {
	n := 0
	for n < len(times) && now.Sub(times[n]) >= window {
		n++
	}
	return append(times[:0], times[n:]...)
}

// oldest is the known source that nobody logged in from for longest.
func oldest(known map[netip.Prefix]time.Time) (key netip.Prefix) {
	first := true
	for p, at := range known {
		if first || at.Before(known[key]) {
			first, key = false, p
		}
	}
	return key
}

// gate lets one password at a time be hashed, so that logins never take more
// than 19 MiB and one processor. Who comes from a source that logged in before
// goes first: a flood from many sources does not keep the owner out.
type gate struct {
	mu      sync.Mutex
	busy    bool
	waiting [2][]chan struct{} // known sources, others; each closed when its turn has come
}

// enter waits for its turn. leave must be called after it. *SlowDown if too
// many wait.
func (g *gate) enter(ctx context.Context, known bool) (leave func(), err error) {
	lane := 1
	if known {
		lane = 0
	}
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return g.leave, nil
	}
	if len(g.waiting[lane]) >= maxWaiting {
		g.mu.Unlock()
		return nil, &SlowDown{RetryAfter: 2 * time.Second}
	}
	turn := make(chan struct{})
	g.waiting[lane] = append(g.waiting[lane], turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return g.leave, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	for i, c := range g.waiting[lane] {
		if c == turn {
			g.waiting[lane] = append(g.waiting[lane][:i], g.waiting[lane][i+1:]...)
			g.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	g.mu.Unlock()
	g.leave() // its turn came at the same moment: hand it on
	return nil, ctx.Err()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for lane := range g.waiting {
		if len(g.waiting[lane]) > 0 {
			close(g.waiting[lane][0])
			g.waiting[lane] = g.waiting[lane][1:]
			return
		}
	}
	g.busy = false
}
