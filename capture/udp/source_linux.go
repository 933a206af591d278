package udp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"quartet/capture/mpegts"
	"quartet/fec/st2022"
)

const (
	// tick is the period at which the sockets are drained. Waking up is what
	// costs: at 2 ms this goroutine took 4 % of a core, at 5 ms less than half,
	// whatever the rate. Arrival instants are the kernel's, so a pacer that holds
	// packets longer than this adds no delay for it.
	tick = 5 * time.Millisecond
	// rounds bounds the batches that one socket gets in one tick; more than a
	// receive buffer of the default size holds.
	rounds = 64
	// reopenAfter is the silence after which a leg that depends on an interface
	// is opened anew: the interface may have been removed and come back, or a
	// switch have forgotten the membership.
	reopenAfter = 5 * time.Second
	firstRetry  = 250 * time.Millisecond
	lastRetry   = 2 * time.Second
	// publishEvery is the number of ticks between two updates of Stats.
	publishEvery = 4

	// DefaultWait is how long a packet of a single RTP leg waits for one before
	// it that is missing. With tick it stays below the 20 ms for which the pacer
	// behind holds packets, so that a loss is no hiccup.
	DefaultWait = 10 * time.Millisecond
	// DefaultWindow is the skew between two legs that is bridged: class B of
	// ST 2022-7.
	DefaultWindow = 50 * time.Millisecond
	// DefaultFECWindow is the time given to ST 2022-1 repair; a matrix of 10 × 10
	// at 10 Mbit/s needs 0.21 s.
	DefaultFECWindow = 250 * time.Millisecond
	maxWindow        = 2 * time.Second
)

// Config is what a Source is made of.
type Config struct {
	// Legs is one address, or two to four that carry the same RTP stream
	// (ST 2022-7).
	Legs []Address
	// Window is, for one leg, how long a packet waits for an earlier one that is
	// missing, and for more legs the constant delay within which their skew is
	// bridged, up to 2 s. 0: DefaultWait, or DefaultWindow for more legs.
	Window time.Duration
	// FECWindow is the constant delay for ST 2022-1 repair, up to 2 s. 0:
	// DefaultFECWindow.
	FECWindow time.Duration
	// Now is the monotonic clock.
	Now func() time.Duration
	// Log takes what an operator should know. nil: nothing is logged.
	Log *slog.Logger
	// OnListen is told when a leg's socket is open.
	OnListen func(leg int, local netip.AddrPort)
}

// Stats is what a Source knows, at most 20 ms old.
type Stats struct {
	Format string             `json:"format"` // ts or rtp; "" before the first datagram
	Framer mpegts.FramerStats `json:"framer"`
	RTP    *MergerStats       `json:"rtp,omitempty"` // nil for plain TS, and for one leg with FEC
	FEC    *FECStats          `json:"fec,omitempty"`
	Legs   []LegStatus        `json:"legs"`
}

// LegStatus is what is known of one leg's sockets.
type LegStatus struct {
	Address     string  `json:"address"`
	Local       string  `json:"local"`   // "" while not open
	Sender      string  `json:"sender"`  // "" before the first
	Error       string  `json:"error"`   // why it is not open
	LastMS      float64 `json:"last_ms"` // age of the last datagram; -1: none
	Reopened    uint64  `json:"reopened"`
	RcvBufAsked int     `json:"rcvbuf_asked_bytes"`
	RcvBuf      int     `json:"rcvbuf_bytes"` // granted by the kernel
	KernelDrops uint64  `json:"kernel_drops"` // datagrams lost because the receive buffer was full
	datagramCounters
}

// Source receives one input. It implements capture.Source.
type Source struct {
	// set at start, never changed
	cfg     Config
	silence time.Duration // reopenAfter

	mu  sync.Mutex // guards pub
	pub Stats
}

// New returns a Source, or an error that names the field. Nothing is opened
// until Run.
func New(c Config) (*Source, error) {
	if len(c.Legs) == 0 || len(c.Legs) > maxLegs {
		return nil, fmt.Errorf("udp: Legs has %d addresses: give 1 to %d", len(c.Legs), maxLegs)
	}
	if c.Now == nil {
		return nil, errors.New("udp: Config.Now is nil")
	}
	if c.Window == 0 {
		c.Window = DefaultWait
		if len(c.Legs) > 1 {
			c.Window = DefaultWindow
		}
	}
	if c.FECWindow == 0 {
		c.FECWindow = DefaultFECWindow
	}
	if c.Window < 0 || c.Window > maxWindow {
		return nil, fmt.Errorf("udp: Window is %v: must be at most %v", c.Window, maxWindow)
	}
	if c.FECWindow < 0 || c.FECWindow > maxWindow {
		return nil, fmt.Errorf("udp: FECWindow is %v: must be at most %v", c.FECWindow, maxWindow)
	}
	for i, a := range c.Legs {
		if err := a.Validate(); err != nil {
			return nil, fmt.Errorf("udp: address %d, %s: %w", i+1, a, err)
		}
		for j, b := range c.Legs[:i] {
			if a.Port != 0 && a.Port == b.Port && a.Host == b.Host && a.Interface == b.Interface && (a.Source == b.Source || !a.Multicast()) {
				return nil, fmt.Errorf("udp: addresses %d and %d are both %s: the second copy must come another way", j+1, i+1, a)
			}
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Source{cfg: c, silence: reopenAfter}, nil
}

// leg is one address while Run runs; owned by Run.
type leg struct {
	addr    Address
	media   *socket
	fec     []*socket     // columns, rows
	again   time.Duration // when to open it, while media is nil
	backoff time.Duration
	since   time.Duration // last datagram, or last opening
	last    time.Duration // last datagram
	heard   bool
	drops   uint64 // of sockets closed meanwhile
	peer    peer   // whose text is status.Sender
	status  LegStatus
}

// Run receives until ctx ends (nil) or w fails (its error). It fails at once,
// and leaves it to its caller to say so, when not one leg can be opened; a leg
// that fails later, or is the only one that fails, is opened again without end.
func (s *Source) Run(ctx context.Context, w mpegts.Writer) error {
	r, err := newReceiver(receiverConfig{addrs: s.cfg.Legs, window: s.cfg.Window, fecWindow: s.cfg.FECWindow}, w)
	if err != nil {
		return err
	}
	legs := make([]*leg, len(s.cfg.Legs))
	defer func() {
		for _, l := range legs {
			l.close()
		}
		s.publish(r, legs)
	}()
	var errs []error
	for i, a := range s.cfg.Legs {
		legs[i] = &leg{addr: a}
		legs[i].status.Address = a.String()
	}
	for i, l := range legs {
		if err := s.open(i, l); err != nil {
			errs = append(errs, fmt.Errorf("udp: %s: %w", l.addr, err))
		}
	}
	if len(errs) == len(legs) {
		return errors.Join(errs...) // to be said by whoever runs this again and again
	}
	for _, l := range legs {
		if l.status.Error != "" {
			s.warnClosed(l)
		}
	}
	b := newBatch()
	t := time.NewTimer(0)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		// Everything that arrived by now will have been read before anything that
		// is due by now is given up, also when this process has to wait between
		// two sockets.
		now := s.cfg.Now()
		// At multiples of the tick, as the packet loop does: one waking up for both.
		t.Reset(tick - now%tick)
		for i, l := range legs {
			s.service(r, i, l, b)
		}
		if err := r.tick(now); err != nil {
			return err
		}
		if n%publishEvery == 0 {
			s.publish(r, legs)
		}
	}
}

// open opens all sockets of a leg, and notes when to try again if it cannot.
func (s *Source) open(i int, l *leg) error {
	now := s.cfg.Now()
	l.since = now
	err := l.open()
	if err != nil {
		l.backoff = min(max(2*l.backoff, firstRetry), lastRetry)
		l.again = now + l.backoff
		l.status.Error = err.Error()
		return err
	}
	l.backoff, l.status.Error = 0, ""
	asked := l.addr.RcvBuf
	if asked == 0 {
		asked = DefaultRcvBuf
	}
	if l.status.RcvBufAsked == 0 && l.media.granted < asked {
		s.cfg.Log.Warn("receive buffer is smaller than asked: bursts may be lost; raise net.core.rmem_max",
			"address", l.addr.String(), "asked_bytes", asked, "granted_bytes", l.media.granted)
	}
	l.status.RcvBufAsked, l.status.RcvBuf = asked, l.media.granted
	l.status.Local = l.media.local.String()
	if s.cfg.OnListen != nil {
		s.cfg.OnListen(i, l.media.local)
	}
	return nil
}

// reopen opens a leg again and says why it cannot, the same reason once.
func (s *Source) reopen(i int, l *leg) {
	before := l.status.Error
	if err := s.open(i, l); err != nil && err.Error() != before {
		s.warnClosed(l)
	}
}

func (s *Source) warnClosed(l *leg) {
	s.cfg.Log.Warn("input leg cannot be opened", "address", l.addr.String(), "error", l.status.Error)
}

func (l *leg) open() error {
	a := l.addr
	media, err := openSocket(a, 0)
	if err != nil {
		return err
	}
	l.media = media
	l.addr.Port = media.local.Port() // a port once chosen stays
	if !a.FEC {
		return nil
	}
	for _, offset := range []int{st2022.ColumnPort, st2022.RowPort} {
		f, err := openSocket(l.addr, offset)
		if err != nil {
			l.close()
			return fmt.Errorf("fec: %w", err)
		}
		l.fec = append(l.fec, f)
	}
	return nil
}

func (l *leg) close() {
	if l.media != nil {
		l.drops += uint64(l.media.drops)
		l.media.close()
	}
	for _, f := range l.fec {
		f.close()
	}
	l.media, l.fec, l.status.Local = nil, nil, ""
}

// service drains a leg's sockets, or opens them when it is time to.
func (s *Source) service(r *receiver, i int, l *leg, b *batch) {
	now := s.cfg.Now()
	if l.media == nil {
		if now >= l.again {
			s.reopen(i, l)
		}
		return
	}
	var err error
	for _, f := range l.fec { // before the media, so that what they protect is here too
		err = errors.Join(err, s.drain(f, b, func(d *datagram) { r.recovery(i, d) }))
	}
	err = errors.Join(err, s.drain(l.media, b, func(d *datagram) {
		l.heard, l.last, l.since = true, d.at, d.at
		r.media(i, d)
	}))
	switch {
	case err != nil:
		s.cfg.Log.Warn("input leg failed", "address", l.addr.String(), "error", err)
		l.close()
		l.status.Error = err.Error()
		l.again = now + firstRetry
	case now-l.since > s.silence && (l.addr.Multicast() || l.addr.Interface != ""):
		l.close()
		l.status.Reopened++
		s.reopen(i, l)
	}
}

// clocks reads the monotonic and the wall clock at one instant: again, if the
// process had to wait between the two.
func (s *Source) clocks() (now time.Duration, wall int64) {
	for range 4 {
		now, wall = s.cfg.Now(), time.Now().UnixNano()
		if s.cfg.Now()-now < 100*time.Microsecond {
			break
		}
	}
	return now, wall
}

// drain takes what waits in a socket.
func (s *Source) drain(k *socket, b *batch, take func(*datagram)) error {
	for range rounds {
		now, wall := s.clocks()
		got, err := b.read(k, now, wall)
		for i := range got {
			take(&got[i])
		}
		if err != nil || len(got) < batchSize {
			return err
		}
	}
	return nil
}
