package sibling

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"quartet/device/durable"
)

// Role is a box's place in the pair.
type Role string

const (
	RoleA Role = "A" // goes first when both ask at once
	RoleB Role = "B"
)

// DefaultTTL is how long a lease lasts: longer than an installation's end, a
// restart and a trial take together, and renewed meanwhile.
const DefaultTTL = 20 * time.Minute

// file is where a Pair keeps its leases. Its number is the schema's.
const file = "sibling.v1.json"

// Request asks for a lease, or for more time with the one of the same id.
type Request struct {
	ID     string `json:"id"`      // of the lease: 32 hexadecimal digits
	Holder string `json:"holder"`  // serial of the one who asks
	Role   Role   `json:"role"`    // of the one who asks
	TTL    int    `json:"ttl_s"`   // seconds
	Return bool   `json:"release"` // the lease is given back
}

// Answer is what the other box says.
type Answer struct {
	Granted bool   `json:"granted"`
	Reason  Reason `json:"reason,omitempty"` // why not
	Text    string `json:"text,omitempty"`
}

// Reason says in one word why a lease is not granted.
type Reason string

const (
	NotStreaming Reason = "not-streaming" // the other box is not on the air itself
	Updating     Reason = "updating"      // it is about to restart itself
	AsksItself   Reason = "asks-itself"   // and goes first
	Lent         Reason = "lent"          // it has granted another lease
	SameRole     Reason = "same-role"     // both boxes say they are A, or B
	Stranger     Reason = "stranger"      // not the box it is paired with
	Malformed    Reason = "malformed"
	NoAnswer     Reason = "no-answer"
	Broken       Reason = "broken" // it cannot write its disk
)

// Denied is the error of a lease that was not got.
type Denied struct {
	Reason Reason
	Text   string
	Err    error // the network's, for NoAnswer
}

func (d *Denied) Error() string { return d.Text }
func (d *Denied) Unwrap() error { return d.Err }

// Ask carries a request to the other box. Its error means that there was no
// answer.
type Ask func(ctx context.Context, r Request) (Answer, error)

// Config is what a Pair is made of.
type Config struct {
	Serial string // of this box
	Role   Role
	Peer   string // serial of the other box
	TTL    time.Duration
	Folder durable.Folder
	Ask    Ask
	// Streaming tells whether this box is on the air now. It is called from
	// the goroutines of requests, and may take a second for its look.
	Streaming func() bool
	// Busy tells whether this box is between the decision to restart for an
	// update and its end; then it grants nothing, lease or not. It must not
	// block.
	Busy func() bool
	// Now is monotonic: it is not moved by setting the time of day. Its zero
	// is the process's start.
	Now func() time.Duration
	Log *slog.Logger // nil: nothing is logged
}

// Pair is this box's side of the lease. It may be used by several goroutines.
type Pair struct {
	cfg Config

	mu      sync.Mutex
	state   state
	held    time.Duration // until when Held is true; only with state.Held
	granted time.Duration // until when nothing else is done; only with state.Granted
	asking  int           // requests of our own under way
	yielded bool          // while asking: the other was let go first
}

// state is what survives a restart.
type state struct {
	Schema  int     `json:"schema"`
	Held    *record `json:"held,omitempty"`    // got from the other
	Granted *record `json:"granted,omitempty"` // given to the other
}

type record struct {
	ID     string `json:"id"`
	Holder string `json:"holder"`
	TTL    int    `json:"ttl_s"`
}

var (
	idPattern     = regexp.MustCompile(`^[0-9a-f]{32}$`)
	serialPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// Open returns the pair's side with what it remembers. A lease that it has
// granted holds for its whole length from now on; one that it held has to be
// renewed before it counts.
func Open(cfg Config) (*Pair, error) {
	switch {
	case !serialPattern.MatchString(cfg.Serial) || !serialPattern.MatchString(cfg.Peer) || cfg.Serial == cfg.Peer:
		return nil, fmt.Errorf("sibling: %q and %q are no two serials", cfg.Serial, cfg.Peer)
	case cfg.Role != RoleA && cfg.Role != RoleB:
		return nil, fmt.Errorf("sibling: role %q is not allowed; write A for one box and B for the other", cfg.Role)
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	if cfg.TTL < time.Minute || cfg.TTL > 24*time.Hour {
		return nil, fmt.Errorf("sibling: a lease of %v is not allowed; 1 minute to 24 hours", cfg.TTL)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pair{cfg: cfg, state: state{Schema: 1}}
	data, err := cfg.Folder.Read(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return nil, fmt.Errorf("sibling: %w", err)
	}
	s, err := parseState(data)
	if err != nil {
		// What it said is lost, so the worst is assumed: a lease is out.
		cfg.Log.Error("the file of the sibling lease is damaged; nothing is done for the length of a lease", "error", err)
		s = state{Schema: 1, Granted: &record{ID: "00000000000000000000000000000000", Holder: cfg.Peer, TTL: int(cfg.TTL / time.Second)}}
	}
	p.state = s
	if g := s.Granted; g != nil {
		p.granted = cfg.Now() + g.ttl()
	}
	p.held = cfg.Now() // over
	return p, nil
}

func (r *record) ttl() time.Duration { return time.Duration(r.TTL) * time.Second }

// parseState reads the file of the leases.
func parseState(data []byte) (state, error) {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	if s.Schema != 1 {
		return s, fmt.Errorf("schema: %d is not 1", s.Schema)
	}
	for _, r := range []*record{s.Held, s.Granted} {
		if r != nil && (!idPattern.MatchString(r.ID) || !serialPattern.MatchString(r.Holder) || r.TTL < 1 || r.TTL > 86400) {
			return s, errors.New("a lease in it cannot be")
		}
	}
	return s, nil
}

// save writes the state; the lock is held.
func (p *Pair) save(s state) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = durable.Save(p.cfg.Folder, file, data)
	}
	if err != nil {
		return fmt.Errorf("sibling: %w", err)
	}
	p.state = s
	return nil
}

// lent tells whether a lease of the other's is out; the lock is held.
func (p *Pair) lent() bool { return p.state.Granted != nil && p.cfg.Now() < p.granted }

// holds tells whether this box has a lease that counts; the lock is held.
func (p *Pair) holds() bool { return p.state.Held != nil && p.cfg.Now() < p.held }

// Held tells whether this box holds a lease, and for how long still.
func (p *Pair) Held() (left time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.holds() {
		return 0, false
	}
	return p.held - p.cfg.Now(), true
}

// Lent tells whether the other box holds a lease of this one's, and for how
// long still at most.
func (p *Pair) Lent() (left time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.lent() {
		return 0, false
	}
	return p.granted - p.cfg.Now(), true
}

// Acquire gets the lease, or more time with it. After nil, this box may
// restart until Held says otherwise. Its error is a *Denied, the disk's or
// ctx's.
func (p *Pair) Acquire(ctx context.Context) error {
	p.mu.Lock()
	if p.lent() {
		left := (p.granted - p.cfg.Now()).Round(time.Second)
		p.mu.Unlock()
		return &Denied{Reason: Lent, Text: fmt.Sprintf("%s has the lease of this box for up to %v more: it updates first", p.cfg.Peer, left)}
	}
	var id string
	if p.state.Held != nil {
		id = p.state.Held.ID
	} else {
		b := make([]byte, 16)
		rand.Read(b)
		id = fmt.Sprintf("%x", b)
		// On the disk before anybody hears of it: after a restart it can be
		// given back.
		s := p.state
		s.Held = &record{ID: id, Holder: p.cfg.Serial, TTL: int(p.cfg.TTL / time.Second)}
		s.Granted = nil // ended, or we would not be here
		if err := p.save(s); err != nil {
			p.mu.Unlock()
			return err
		}
		p.held = p.cfg.Now()
	}
	p.asking++
	p.yielded = false
	asked := p.cfg.Now()
	p.mu.Unlock()

	a, err := p.cfg.Ask(ctx, Request{ID: id, Holder: p.cfg.Serial, Role: p.cfg.Role, TTL: int(p.cfg.TTL / time.Second)})

	p.mu.Lock()
	defer p.mu.Unlock()
	p.asking--
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &Denied{Reason: NoAnswer, Err: err,
			Text: fmt.Sprintf("the sibling %s does not answer, so it may be off the air: %v; bring it back, or override it", p.cfg.Peer, err)}
	case !a.Granted:
		return &Denied{Reason: a.Reason, Text: fmt.Sprintf("the sibling %s grants no lease: %s", p.cfg.Peer, a.Text)}
	case p.lent() || p.yielded:
		// While our request was under way the other one's came, and went first.
		return &Denied{Reason: Lent, Text: fmt.Sprintf("%s asked at the same time, and goes first", p.cfg.Peer)}
	case p.state.Held == nil || p.state.Held.ID != id:
		return &Denied{Reason: Broken, Text: "the lease was given back while it was asked for"}
	}
	p.held = asked + p.cfg.TTL - p.cfg.TTL/20 // two crystals are never quite equal
	return nil
}

// Release gives the lease back. Without an answer it ends by itself at the
// other box; this box forgets it in any case.
func (p *Pair) Release(ctx context.Context) error {
	p.mu.Lock()
	h := p.state.Held
	if h == nil {
		p.mu.Unlock()
		return nil
	}
	p.held = p.cfg.Now()
	p.mu.Unlock()
	_, err := p.cfg.Ask(ctx, Request{ID: h.ID, Holder: p.cfg.Serial, Role: p.cfg.Role, TTL: h.TTL, Return: true})
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.state
	if s.Held != nil && s.Held.ID == h.ID {
		s.Held = nil
	}
	return errors.Join(err, p.save(s))
}

// Answer decides on a request of the other box.
func (p *Pair) Answer(r Request) Answer {
	no := func(why Reason, format string, args ...any) Answer {
		return Answer{Reason: why, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case !idPattern.MatchString(r.ID) || r.TTL < 1 || r.TTL > 86400:
		return no(Malformed, "the request cannot be read")
	case r.Holder != p.cfg.Peer:
		return no(Stranger, "this box is paired with %s", p.cfg.Peer)
	case r.Role == p.cfg.Role:
		return no(SameRole, "both boxes are role %s; make one A and the other B", r.Role)
	}
	var streaming, busy bool
	if !r.Return {
		// Outside the lock: they may look at others. Busy last: it changes at once.
		streaming = p.cfg.Streaming()
		busy = p.cfg.Busy()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.lent() && p.state.Granted.ID == r.ID
	if r.Return {
		if p.state.Granted != nil && p.state.Granted.ID == r.ID {
			s := p.state
			s.Granted = nil
			if err := p.save(s); err != nil {
				p.cfg.Log.Error("the sibling's lease could not be taken back", "error", err)
				return no(Broken, "the disk of %s cannot be written", p.cfg.Serial)
			}
		}
		return Answer{Granted: true}
	}
	switch {
	case p.lent() && !known:
		return no(Lent, "%s has granted another lease", p.cfg.Serial)
	case p.holds() || busy:
		return no(Updating, "%s is updating itself", p.cfg.Serial)
	case p.asking > 0 && p.cfg.Role == RoleA:
		return no(AsksItself, "%s wants to update itself, and goes first", p.cfg.Serial)
	case !streaming:
		return no(NotStreaming, "%s is not on the air", p.cfg.Serial)
	}
	s := p.state
	s.Granted = &record{ID: r.ID, Holder: r.Holder, TTL: r.TTL}
	if p.asking == 0 {
		s.Held = nil // ended
	}
	if err := p.save(s); err != nil {
		p.cfg.Log.Error("no lease is granted", "error", err)
		return no(Broken, "the disk of %s cannot be written", p.cfg.Serial)
	}
	p.granted = p.cfg.Now() + s.Granted.ttl()
	if p.asking > 0 {
		p.yielded = true
	}
	return Answer{Granted: true}
}
