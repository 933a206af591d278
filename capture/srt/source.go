package srt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"quartet/capture/mpegts"
	"quartet/uplink/srt"
)

const (
	// tick is the period at which messages are fetched: waking up is what costs,
	// and their instants do not depend on it.
	tick = 5 * time.Millisecond
	// batchSize is how many messages one call takes.
	batchSize = 64
	// takeover is the silence after which a caller makes room for the next one:
	// it may be the same, whose first connection has died unseen.
	takeover = 500 * time.Millisecond
	// doorEvery is the number of ticks between two looks for such a caller.
	doorEvery = 10

	// firstRetry and lastRetry bound the wait before the next call; it doubles
	// from one to the other, jittered by a quarter, and starts anew after a
	// connection that held for steady.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 3 * time.Second
	steady     = 5 * time.Second
)

// Config is what a Source is made of.
type Config struct {
	// URL says who calls whom, where, and with which settings. A listener with a
	// stream id refuses callers that bring another.
	URL srt.URL
	// Now is the monotonic clock. It is also called from libsrt's thread.
	Now func() time.Duration
	// Log takes what an operator should know. nil: nothing is logged.
	Log *slog.Logger
	// OnListen is told when the port of a listener is open.
	OnListen func(local netip.AddrPort)
}

// State is what a Source is doing.
type State string

const (
	Stopped   State = "stopped"
	Listening State = "listening" // no caller
	Calling   State = "calling"   // or waiting to call again
	Connected State = "connected"
)

// Stats is what a Source knows since Run began.
type Stats struct {
	State       State              `json:"state"`
	Mode        string             `json:"mode"`      // caller or listener
	Address     string             `json:"address"`   // configured
	Local       string             `json:"local"`     // of the listener or of the connection
	Peer        string             `json:"peer"`      // "" while not connected
	StreamID    string             `json:"stream_id"` // of the connection; a caller's own word
	KeyLength   int                `json:"key_length_bytes"`
	LatencyMS   float64            `json:"latency_ms"`  // negotiated
	Connections uint64             `json:"connections"` // since the start
	Refused     uint64             `json:"refused"`     // callers refused: stream id, or another one is connected
	Failures    uint64             `json:"failures"`    // calls that failed
	Error       string             `json:"error"`       // why the last call failed or connection ended; "" while connected
	Messages    uint64             `json:"messages"`
	Bytes       uint64             `json:"bytes"`
	Framer      mpegts.FramerStats `json:"framer"`
	SRT         *srt.Stats         `json:"srt,omitempty"` // of the connection
}

// Source receives one input. It implements capture.Source.
type Source struct {
	// set at start, never changed
	cfg Config

	// read by libsrt's thread when a caller knocks
	busy     atomic.Bool
	activity atomic.Int64 // time of the last message or of the connection
	refused  atomic.Uint64

	mu   sync.Mutex // guards all below
	pub  Stats
	conn *srt.Conn // nil while not connected
}

// New returns a Source, or an error that names the field. Nothing is opened
// until Run.
func New(c Config) (*Source, error) {
	if c.Now == nil {
		return nil, errors.New("srt: Config.Now is nil")
	}
	if c.URL.Addr == "" {
		return nil, errors.New("srt: the address is missing: write srt://host:port or srt://:port")
	}
	if err := c.URL.Options.Validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{cfg: c}
	s.pub = Stats{State: Stopped, Mode: c.URL.Mode.String(), Address: c.URL.Addr}
	return s, nil
}

// Run receives until ctx ends (nil) or w fails (its error). A listener that
// cannot open its port fails at once; calls and connections that fail are
// repeated without end.
func (s *Source) Run(ctx context.Context, w mpegts.Writer) error {
	s.mu.Lock()
	s.pub = Stats{State: Stopped, Mode: s.cfg.URL.Mode.String(), Address: s.cfg.URL.Addr}
	s.mu.Unlock()
	s.refused.Store(0)
	defer s.note(func(p *Stats) { p.State = Stopped })
	r := &receiver{source: s, w: w, batch: srt.NewBatch(batchSize)}
	r.framer = mpegts.NewFramer(mpegts.WriterFunc(r.write))
	if s.cfg.URL.Mode == srt.Listening {
		return s.listen(ctx, r)
	}
	return s.call(ctx, r)
}

func (s *Source) note(set func(*Stats)) {
	s.mu.Lock()
	set(&s.pub)
	s.mu.Unlock()
}

// call connects, again and again.
func (s *Source) call(ctx context.Context, r *receiver) error {
	wait := time.Duration(0)
	said := ""
	for ctx.Err() == nil {
		s.note(func(p *Stats) { p.State = Calling })
		c, err := srt.Dial(ctx, s.cfg.URL.Addr, s.cfg.URL.Options)
		if err == nil {
			began := s.cfg.Now()
			if err := s.serve(ctx, r, c, nil); err != nil {
				return err
			}
			if s.cfg.Now()-began >= steady {
				wait = 0
			}
			said = ""
		} else if ctx.Err() == nil {
			s.note(func(p *Stats) { p.Failures++; p.Error = err.Error() })
			if said != err.Error() {
				said = err.Error()
				s.cfg.Log.Warn("input cannot connect", "address", s.cfg.URL.Addr, "error", err)
			}
		}
		wait = min(max(2*wait, firstRetry), lastRetry)
		select {
		case <-ctx.Done():
		case <-time.After(wait + time.Duration((rand.Float64()-0.5)/2*float64(wait))):
		}
	}
	return nil
}

// listen takes one caller after the other.
func (s *Source) listen(ctx context.Context, r *receiver) error {
	l, err := srt.Listen(s.cfg.URL.Addr, s.cfg.URL.Options, s.decide)
	if err != nil {
		return err
	}
	defer l.Close()
	s.note(func(p *Stats) { p.Local = l.Addr().String() })
	if s.cfg.OnListen != nil {
		s.cfg.OnListen(l.Addr())
	}
	for {
		s.note(func(p *Stats) { p.State = Listening })
		c, err := s.accept(ctx, l)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		for c != nil {
			next := &door{listener: l}
			if err := s.serve(ctx, r, c, next); err != nil {
				return err
			}
			c = next.caller
		}
	}
}

// accept waits for a caller, and notes those that are not let in.
func (s *Source) accept(ctx context.Context, l *srt.Listener) (*srt.Conn, error) {
	for {
		limit, stop := context.WithTimeout(ctx, time.Second)
		c, err := l.Accept(limit)
		stop()
		for _, r := range l.TurnedAway() {
			s.refused.Add(1)
			text := "a caller from " + r.Peer.Addr().String() + " was not let in: its passphrase is another one, or it has none"
			s.note(func(p *Stats) { p.Error = text })
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			continue
		}
		return c, err
	}
}

// decide runs on libsrt's thread.
func (s *Source) decide(q srt.Request) srt.Answer {
	switch {
	case s.cfg.URL.Options.StreamID != "" && q.StreamID != s.cfg.URL.Options.StreamID:
		s.refused.Add(1)
		return srt.Answer{Reject: srt.RejectNotFound}
	case s.busy.Load() && !s.silent():
		s.refused.Add(1)
		return srt.Answer{Reject: srt.RejectConflict}
	}
	return srt.Answer{OK: true}
}

// silent tells whether the connection may be replaced.
func (s *Source) silent() bool {
	return s.cfg.Now()-time.Duration(s.activity.Load()) >= takeover
}

// door is where the next caller may wait while one is connected.
type door struct {
	listener *srt.Listener
	caller   *srt.Conn // takes the place of the one before
}

// over is a context that has ended: Accept with it does not wait.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// knock looks for a caller that may take over, and sends others away.
func (d *door) knock(s *Source) bool {
	if d == nil {
		return false
	}
	for {
		c, err := d.listener.Accept(over)
		if err != nil {
			return false
		}
		if s.silent() {
			d.caller = c
			return true
		}
		s.refused.Add(1)
		c.Close()
	}
}

// serve receives from one connection until it ends, ctx ends or a caller takes
// its place, and closes it. Its error is the writer's.
func (s *Source) serve(ctx context.Context, r *receiver, c *srt.Conn, d *door) error {
	s.activity.Store(int64(s.cfg.Now()))
	s.busy.Store(true)
	s.mu.Lock()
	s.conn = c
	s.pub.State, s.pub.Error = Connected, ""
	s.pub.Connections++
	s.pub.Peer, s.pub.StreamID = c.RemoteAddr().String(), c.StreamID()
	if d == nil {
		s.pub.Local = c.LocalAddr().String()
	}
	s.pub.KeyLength, s.pub.LatencyMS = c.KeyLength(), float64(c.Latency())/float64(time.Millisecond)
	s.mu.Unlock()
	s.cfg.Log.Info("input connected", "peer", c.RemoteAddr().String(), "stream_id", c.StreamID(), "key_length", c.KeyLength(), "latency", c.Latency())

	err := r.receive(ctx, c, d)
	var ended *endError
	if errors.As(err, &ended) {
		s.cfg.Log.Warn("input disconnected", "peer", c.RemoteAddr().String(), "reason", ended.Error())
		err = nil
	}
	s.busy.Store(false)
	s.mu.Lock()
	s.conn = nil
	s.pub.Peer, s.pub.StreamID, s.pub.KeyLength, s.pub.LatencyMS = "", "", 0, 0
	if ended != nil {
		s.pub.Error = ended.Error()
	}
	s.mu.Unlock()
	c.Close()
	return err
}

// endError says why a connection is over.
type endError struct{ err error }

func (e *endError) Error() string { return e.err.Error() }

// receiver is owned by Run.
type receiver struct {
	source *Source
	w      mpegts.Writer
	framer *mpegts.Framer
	batch  *srt.Batch
	last   time.Duration // instants do not go backwards
}

func (r *receiver) write(at time.Duration, ts []byte) error {
	r.last = max(r.last, at)
	return r.w.WriteTS(r.last, ts)
}

var errTakeover = errors.New("silent while another caller came: it has taken over")

// receive returns nil when ctx ends, an *endError when the connection is over,
// or the writer's error.
func (r *receiver) receive(ctx context.Context, c *srt.Conn, d *door) error {
	r.framer.Reset()
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := r.drain(c); err != nil {
			return err
		}
		if n%doorEvery == 0 && d.knock(r.source) {
			return &endError{errTakeover}
		}
	}
}

// drain hands on every message that is due.
func (r *receiver) drain(c *srt.Conn) error {
	s := r.source
	for {
		n, err := c.Recv(r.batch)
		if err != nil {
			return &endError{err}
		}
		if n == 0 {
			return nil
		}
		now := s.cfg.Now()
		s.activity.Store(int64(now))
		size := 0
		for i := range n {
			m := r.batch.Msg(i)
			size += len(m)
			if err := r.framer.Datagram(now-r.batch.Late(i), m); err != nil {
				return fmt.Errorf("srt: writer: %w", err)
			}
		}
		s.mu.Lock()
		s.pub.Messages += uint64(n)
		s.pub.Bytes += uint64(size)
		s.pub.Framer = r.framer.Stats()
		s.mu.Unlock()
		if n < batchSize {
			return nil
		}
	}
}

// Stats returns what is known now; with a connection, libsrt is asked.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	st, c := s.pub, s.conn
	s.mu.Unlock()
	st.Refused = s.refused.Load()
	if c != nil {
		if counters, err := c.Stats(); err == nil {
			st.SRT = &counters
		}
	}
	return st
}
