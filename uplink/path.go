package uplink

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Profile is what a path carries.
type Profile uint8

const (
	ProfileRTPFEC Profile = iota // RTP, repair packets and tags, for quartet-gateway
	ProfileTS                    // n×188 bytes per SRT message, for any SRT receiver
	ProfileRTP                   // plain RTP over UDP, optionally with ST 2022-1
)

func (p Profile) String() string {
	switch p {
	case ProfileRTPFEC:
		return "rtp-fec"
	case ProfileTS:
		return "ts"
	case ProfileRTP:
		return "rtp"
	}
	return "unknown"
}

// State of a path.
type State string

const (
	StateConnecting State = "connecting" // dialling, or waiting before the next try
	StateListening  State = "listening"  // waiting for the far end to call
	StateUp         State = "up"
	StateStopped    State = "stopped"
)

const (
	// A path looks after its socket this often when its Sender does not tick.
	housekeeping = 50 * time.Millisecond
	// Socket statistics and sender reports.
	reportEvery = 200 * time.Millisecond
	// First wait after a failed dial, and the longest one. Each wait is jittered
	// downwards by up to half, so that paths never retry in step.
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = time.Second
	// A link that breaks sooner than this counts as a failed dial: far ends that
	// take a call only to hang up are not called five times a second.
	steady = 2 * time.Second
	// An rtp-fec link whose far end reports nothing for so long gets a second
	// connection beside it.
	unreported = time.Second
	// batchMessages is how many messages one call into the socket carries.
	batchMessages = 64
)

// PathConfig is one destination of a Sender.
type PathConfig struct {
	Name    string
	Leg     int
	Profile Profile
	Dialer  Dialer
	Stagger time.Duration // added to each packet's instant
	MaxAge  time.Duration // packets that waited longer in the queue are useless and dropped; 0: 1 s
	Queue   int           // messages; 0: 2048

	// Profile ts: TS packets in a message, 1…7; 0: as many as a source packet has.
	PacketsPerMessage int
	// Profile rtp: ST 2022-1 matrix; Columns 0 = none.
	Columns, Rows int
	RowFEC        bool

	// What the sender report tells the gateway.
	SRTLatency time.Duration
}

// Path carries a Sender's messages to one far end: it dials, sends, reads
// reports, and dials again for ever. One goroutine, in Run, owns the socket.
type Path struct {
	// set at start, never changed
	cfg   PathConfig
	now   func() time.Duration
	queue *queue
	wake  chan struct{} // the Sender has queued something
	redo  chan Dialer   // Replace

	up     atomic.Bool
	unsent atomic.Uint64 // messages not queued because no link was up
	shed   atomic.Bool   // nothing is queued; see SetLoad
	bare   atomic.Bool   // no repair packets are queued
	spared atomic.Uint64 // messages not queued for these two reasons
	rekey  atomic.Pointer[keys]

	// owned by Run
	batch   *batch
	dialer  Dialer
	link    Link
	since   time.Duration // link is up since
	holds   time.Duration // link hands over what it receives this long after
	voided  bool          // link is of an earlier dialer (Replace)
	tardy   tardiness
	pending *pendingDial
	reports reporter
	ending  context.Context // Run's
	closing sync.WaitGroup  // links on their way out

	mu    sync.Mutex
	stats PathStats
}

// pendingDial is a dial in the background; its goroutine ends when it has sent
// its result or been cancelled.
type pendingDial struct {
	cancel context.CancelFunc
	result chan dialResult // buffered
	dialer Dialer
	at     time.Duration
}

type dialResult struct {
	link Link
	err  error
}

func newPath(cfg PathConfig, now func() time.Duration, rep reporter) *Path {
	if cfg.MaxAge <= 0 {
		cfg.MaxAge = time.Second
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 2048
	}
	p := &Path{
		cfg: cfg, now: now, dialer: cfg.Dialer, reports: rep,
		queue: newQueue(cfg.Queue), batch: newBatch(batchMessages),
		wake: make(chan struct{}, 1), redo: make(chan Dialer, 1),
	}
	p.stats = PathStats{Name: cfg.Name, Leg: cfg.Leg, Profile: cfg.Profile.String(), Stagger: durationMS(cfg.Stagger), State: StateConnecting}
	return p
}

// Replace gives the path another dialer (new address, passphrase or settings).
// The present link goes on until the new one is up, so nothing is lost; the new
// one is tried for until it is. The path closes d.
func (p *Path) Replace(d Dialer) {
	for {
		select {
		case p.redo <- d:
			return
		default:
			p.dropRedo() // an older request that Run has not seen yet is void
		}
	}
}

func (p *Path) dropRedo() {
	select {
	case d := <-p.redo:
		d.Close()
	default:
	}
}

// Run serves the path until ctx ends. It returns when every goroutine and socket
// of the path is gone.
func (p *Path) Run(ctx context.Context) error {
	defer func() {
		p.dropPending()
		p.closeLink()
		p.dialer.Close()
		p.dropRedo()
		p.closing.Wait()
		p.note(StateStopped, "")
	}()
	p.ending = ctx
	backoff := firstBackoff
	hasty := firstBackoff // the same for links that break at once
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	var retry <-chan time.Time
	lastReport := time.Duration(-1 << 62)
	p.dialNow(ctx)

	for {
		var dialled <-chan dialResult
		if p.pending != nil {
			dialled = p.pending.result
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-tick.C:
		case <-retry:
			retry = nil
			if p.link == nil || p.voided || p.dialer.Listening() || p.silent(p.now()) || p.tardy.found {
				p.dialNow(ctx)
			}
		case d := <-p.redo:
			p.dropPending()
			old := p.dialer
			p.dialer = d
			if old.Listening() {
				old.Close() // the port may be the same
			}
			p.voided = p.link != nil
			retry, backoff, hasty = nil, firstBackoff, firstBackoff
			p.tardy = tardiness{}
			p.dialNow(ctx)
		case r := <-dialled:
			p.endPending()
			if r.err != nil {
				if ctx.Err() != nil {
					return nil
				}
				p.failed(r.err)
				retry = time.After(jittered(backoff))
				backoff = min(2*backoff, lastBackoff)
				break
			}
			backoff = firstBackoff
			p.adopt(r.link)
			lastReport = time.Duration(-1 << 62)
			if p.dialer.Listening() {
				p.dialNow(ctx) // the next caller takes this one's place
			}
		}
		if p.link == nil {
			continue
		}
		if k := p.rekey.Swap(nil); k != nil {
			p.reports.rekey(k.key, k.accept)
		}
		now := p.now()
		err := p.flush(now)
		if err == nil {
			err = p.link.Recv(p.reports.receive)
		}
		if err == nil && now-lastReport >= reportEvery {
			lastReport = now
			err = p.report(now)
		}
		if err != nil {
			if now-p.since >= steady {
				hasty = firstBackoff
			}
			p.broken(err)
			if p.pending == nil && retry == nil {
				retry = time.After(jittered(hasty))
				hasty = min(2*hasty, lastBackoff)
			}
			continue
		}
		if p.pending == nil && retry == nil && (p.silent(now) || p.late(now)) {
			p.dialNow(ctx)
		}
	}
}

// flush sends what is due.
func (p *Path) flush(now time.Duration) error {
	for {
		p.queue.pop(now, p.cfg.MaxAge, p.batch)
		if len(p.batch.msgs) == 0 {
			return nil
		}
		full := len(p.batch.msgs) == cap(p.batch.msgs)
		n, err := p.link.Send(p.batch.msgs, p.batch.ports, p.batch.aged(now))
		p.count(n)
		p.batch.sent(n)
		if err != nil {
			if errors.Is(err, ErrWouldBlock) {
				p.stall()
				return nil // the rest stays in the batch, the queue drops its oldest
			}
			return err
		}
		if !full {
			return nil
		}
	}
}

// silent tells whether an rtp-fec far end has stopped reporting.
func (p *Path) silent(now time.Duration) bool {
	if p.cfg.Profile != ProfileRTPFEC || p.dialer.Listening() {
		return false
	}
	last := max(p.reports.lastReport(), p.since+p.holds)
	if p.redialled() {
		// A second connection has not helped: try again, but not in a hurry.
		return now-p.since >= 5*unreported && now-last >= 5*unreported
	}
	return now-last >= unreported
}

func (p *Path) dialNow(ctx context.Context) {
	if p.pending != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	d := &pendingDial{cancel: cancel, result: make(chan dialResult, 1), dialer: p.dialer, at: p.now()}
	p.pending = d
	if p.link == nil {
		if p.dialer.Listening() {
			p.note(StateListening, "")
		} else {
			p.note(StateConnecting, "-")
		}
	}
	go func() {
		l, err := d.dialer.Dial(ctx)
		d.result <- dialResult{l, err}
	}()
}

func (p *Path) endPending() {
	p.pending.cancel()
	p.pending = nil
}

// dropPending cancels a dial and waits for its goroutine.
func (p *Path) dropPending() {
	if p.pending == nil {
		return
	}
	p.pending.cancel()
	if r := <-p.pending.result; r.link != nil {
		r.link.Close()
	}
	p.pending = nil
}

func (p *Path) failed(err error) {
	p.mu.Lock()
	p.stats.FailedDials++
	var refused interface{ FarEnd() bool } // *srt.RejectError
	p.stats.Answered = errors.As(err, &refused) && refused.FarEnd()
	switch {
	case p.link == nil:
		p.stats.Reason = err.Error()
	case p.voided:
		p.stats.Reason = "goes on as before, for its new settings do not connect: " + err.Error()
	}
	p.mu.Unlock()
}

// note records a state; reason "-" keeps the one before.
func (p *Path) note(s State, reason string) {
	p.mu.Lock()
	p.stats.State = s
	if reason != "-" {
		p.stats.Reason = reason
	}
	p.mu.Unlock()
}

func (p *Path) redialled() bool { return p.reports.again }

func (p *Path) count(n int) {
	if n == 0 {
		return
	}
	bytes := 0
	for _, m := range p.batch.msgs[:n] {
		bytes += len(m)
	}
	p.mu.Lock()
	p.stats.Sent += uint64(n)
	p.stats.SentBytes += uint64(bytes)
	p.mu.Unlock()
}

func (p *Path) stall() {
	p.mu.Lock()
	p.stats.Stalls++
	p.mu.Unlock()
}

// jittered takes up to half off a wait.
func jittered(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/2+1))
}

func durationMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
