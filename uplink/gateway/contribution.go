package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"quartet/capture/tr101290"
	"quartet/fec"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// contribution merges the streams of one feed and hands it on. One goroutine
// (run) owns everything in it, and lends it to a worker of the clockwork while
// packets flow; others reach it through the inbox only. On each
// tick it drains all connections, pushes what came into the decoder, releases
// what is due and hands the released packets to the outputs in one batch.
type contribution struct {
	// set at start, never changed
	cfg   Contribution
	now   func() time.Duration
	tick  time.Duration
	log   *slog.Logger
	inbox chan func()   // unbuffered: what is taken is done
	done  chan struct{} // closed when run has returned
	work  *clockwork    // turns it while packets flow; nil: its own timer does
	back  chan struct{} // from work: see clockwork.turn

	// owned by run
	dec      *fec.Decoder
	verify   *rtp.Verifier
	taggers  []*rtp.Tagger // one per key, in the verifier's order
	paths    []*path
	peers    []*peer
	outs     []output
	recv     *srt.Batch
	batch    *batch
	monitor  *tr101290.Monitor // of what is released; nil: none
	nulls    [][]byte
	fwd      [][]byte // messages of one receive call that go to the peers
	digest   rtp.Digest
	latency  time.Duration // D in force
	toldD    time.Duration // D as the box says, 0: not yet
	toldBy   uint32        // SSRC of the box that said so
	toldAt   uint64        // when it said so, by its clock (rtp.NTP)
	shorten  time.Duration // when a shorter D may come into force; 0: none is waiting
	settings *rtp.Settings // newest from any path
	state    FeedState
	filler   filler
	heard    bool          // a message with a right tag has come
	lastData time.Duration // when the last one came
	lostAt   time.Duration // when the feed counted as lost
	unusable uint64        // released by the decoder, but no source packets
	lost     uint64        // lost and not yet logged
	sayLost  time.Duration // when that may be logged
	epochs   uint64
	ssrc     uint32 // of what is released
	top      rtp.Unwrapper
	report   reporter
	tight    bool            // D was too small at the last look
	ending   <-chan struct{} // until it is stopping
	stopping bool
	until    time.Duration // when draining ends
	pace     pace
	planned  time.Duration // when the next turn should be
	late     peak          // how late turns began: what the scheduler costs

	nextCheck time.Duration // of the peers' connections

	closing sync.WaitGroup // connections on their way out
}

// FeedState is whether the feed is there.
type FeedState string

// The states of a feed.
const (
	Waiting   FeedState = "waiting"   // nothing has been released yet
	Streaming FeedState = "streaming" // packets are released
	Lost      FeedState = "lost"      // nothing to release for LossAfter
)

const (
	// maxWindow is the largest window that fec.Decoder takes, packets.
	maxWindow = 1 << 17
	// idleTick is the tick of a contribution that is connected but hears nothing.
	idleTick = 20 * time.Millisecond
	// idleAfter is the silence after which it is idle.
	idleAfter = time.Second
	// recvBatch is the most messages one crossing into libsrt brings.
	recvBatch = 128
	// drainRounds bounds how many full batches one connection may bring per
	// tick, so that a burst on one does not hold up the others.
	drainRounds = 4
	// postedAtOnce bounds what is taken from the inbox between two ticks:
	// whatever is posted, the packets go on.
	postedAtOnce = 64
	// maxToldLatency bounds D when it is left to the box: memory is sized for
	// it.
	maxToldLatency = 5 * time.Second
	// redialTime is what a box may take to replace its connections by those of
	// another latency.
	redialTime = time.Second
	// untoldLatency is D while the box has not said and nothing is configured.
	untoldLatency = 500 * time.Millisecond
)

func newContribution(cfg Contribution, now func() time.Duration, tick time.Duration, log *slog.Logger) (*contribution, error) {
	cfg = cfg.withDefaults()
	c := &contribution{
		cfg: cfg, now: now, tick: tick,
		log:     log.With("contribution", cfg.Name),
		inbox:   make(chan func()),
		done:    make(chan struct{}),
		back:    make(chan struct{}),
		recv:    srt.NewBatch(recvBatch),
		batch:   newBatch(),
		nulls:   nullMessages(batchPackets),
		fwd:     make([][]byte, 0, recvBatch),
		latency: cfg.Latency,
		state:   Waiting,
	}
	if c.latency == 0 {
		c.latency = untoldLatency
	}
	if err := c.setKeys(cfg.Keys); err != nil {
		return nil, err
	}
	var err error
	c.dec, err = fec.NewDecoder(fec.DecoderConfig{
		Latency:    c.held(),
		MaxPackets: windowPackets(cfg),
		MaxPacket:  rtp.MaxSourcePacket,
		Deliver:    c.deliver,
	})
	if err != nil {
		return nil, fmt.Errorf("contribution %q: %w", cfg.Name, err)
	}
	if cfg.Monitor {
		if c.monitor, err = tr101290.New(tr101290.Config{}); err != nil {
			return nil, fmt.Errorf("contribution %q: %w", cfg.Name, err)
		}
	}
	c.report.ssrc = rand.Uint32()
	for i := range cfg.Inputs {
		c.paths = append(c.paths, newPath(c, i))
	}
	for i := range cfg.Peers {
		c.peers = append(c.peers, newPeer(c, i))
	}
	for _, o := range cfg.Outputs {
		c.outs = append(c.outs, o.open(&outputEnv{log: c.log, maxBitrate: cfg.MaxBitrate}))
	}
	return c, nil
}

// held is what the decoder is told of D: packets are released at the tick nearest
// to when they are due, not at the one after.
func (c *contribution) held() time.Duration { return max(0, c.latency-c.tick/2) }

// setKeys replaces the accepted keys. It belongs to run, or to newContribution.
func (c *contribution) setKeys(keys [][]byte) error {
	var tk []rtp.TagKey
	for _, k := range keys {
		t, err := rtp.DeriveTagKey(k)
		if err != nil {
			return fmt.Errorf("contribution %q: %w", c.cfg.Name, err)
		}
		tk = append(tk, t)
	}
	var err error
	if c.verify == nil {
		c.verify, err = rtp.NewVerifier(tk...)
	} else {
		err = c.verify.SetKeys(tk...)
	}
	if err != nil {
		return fmt.Errorf("contribution %q: %w", c.cfg.Name, err)
	}
	c.taggers = c.taggers[:0:0]
	for _, k := range tk {
		c.taggers = append(c.taggers, rtp.NewTagger(k))
	}
	return nil
}

// windowPackets bounds the decoder's memory: twice the latency, and half a
// second for paths that are far behind, at the highest rate with full packets.
func windowPackets(cfg Contribution) int {
	d := cfg.Latency
	if d == 0 {
		d = maxToldLatency
	}
	pps := cfg.MaxBitrate / (8 * rtp.MaxTSPackets * tsPacket)
	n := int(float64(pps) * (2*d + 500*time.Millisecond).Seconds())
	return min(max(1024, n), maxWindow)
}

// post runs f on the contribution's goroutine, between two ticks. It is false
// when that goroutine is gone.
func (c *contribution) post(f func()) bool {
	select {
	case c.inbox <- f:
		return true
	case <-c.done:
		return false
	}
}

// ask is post that waits until f has run, or ctx ends.
func (c *contribution) ask(ctx context.Context, f func()) bool {
	ran := make(chan struct{})
	select {
	case c.inbox <- func() { f(); close(ran) }:
		<-ran
		return true
	case <-c.done:
	case <-ctx.Done():
	}
	return false
}

// attach gives input i a new connection; false means that nobody will close
// it but the caller.
func (c *contribution) attach(ctx context.Context, i int, conn *srt.Conn) bool {
	return c.ask(ctx, func() { c.addLink(c.paths[i], &link{conn: srtConn{conn, c.recv}, gone: make(chan struct{})}) })
}

// run works until ctx ends and what was in the decoder by then is released.
func (c *contribution) run(ctx context.Context) {
	defer close(c.done)
	var wg sync.WaitGroup
	outCtx, stopOuts := context.WithCancel(context.Background())
	for _, o := range c.outs {
		wg.Go(func() { o.run(outCtx) })
	}
	for _, p := range c.paths {
		if p.caller != nil {
			wg.Go(func() { p.caller.run(ctx) })
		}
	}
	for _, p := range c.peers {
		wg.Go(func() { p.caller.run(ctx) })
	}
	c.loop(ctx)
	for _, p := range c.peers {
		p.disconnect(errStopping)
	}
	stopOuts()
	// Callers may still be handing over a connection: take it and close it.
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	for {
		select {
		case f := <-c.inbox:
			f()
		case <-ended:
			c.closing.Wait()
			return
		}
	}
}

// loop takes the contribution's turns until it has ended.
func (c *contribution) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	c.ending, c.planned = ctx.Done(), c.now()
	for {
		select {
		case <-c.ending:
			c.wind()
		case f := <-c.inbox:
			f()
		case <-timer.C:
		}
		c.step()
		if c.pace.flows && c.work != nil {
			c.work.turn(c)
		}
		if c.pace.ended {
			return
		}
		if c.pace.after > 0 {
			timer.Reset(c.pace.after)
		}
	}
}

// pace is when a contribution takes its next turn.
type pace struct {
	after time.Duration // 0: when something is posted
	flows bool          // it is wanted at every tick
	ended bool
}

// whenever is a turn that is not planned.
const whenever = 1 << 62

// step takes a turn, and sets the pace.
func (c *contribution) step() {
	now := c.now()
	c.late.note(now, now-c.planned)
	c.turn(now)
	c.planned = whenever
	if c.stopping {
		if _, more := c.dec.Next(); !more || now >= c.until {
			c.pace = pace{ended: true}
			return
		}
	}
	now = c.now()
	c.pace = c.next(now)
	if c.pace.after > 0 {
		c.planned = now + c.pace.after
	}
}

// beat is a turn at a tick of the clockwork; false gives the contribution back
// to its own goroutine.
func (c *contribution) beat() bool {
	select {
	case <-c.ending:
		c.wind()
	default:
	}
	for range postedAtOnce {
		select {
		case f := <-c.inbox:
			f()
			continue
		default:
		}
		break
	}
	c.step()
	return c.pace.flows
}

// wind begins the end: the connections are closed, and what is held is released.
func (c *contribution) wind() {
	c.ending = nil
	c.stopping = true
	c.until = c.now() + min(c.latency, maxDrain)
	c.closeLinks()
}

// peak is the largest value of the last 10 to 20 seconds.
type peak struct {
	since    time.Duration
	now, was time.Duration
}

func (p *peak) note(now, v time.Duration) {
	if now-p.since > 10*time.Second {
		p.since, p.was, p.now = now, p.now, 0
	}
	p.now = max(p.now, v)
}

func (p *peak) value() time.Duration { return max(p.now, p.was) }

// maxDrain bounds how long a stopping contribution goes on releasing.
const maxDrain = 1200 * time.Millisecond

// next is the pace from now on. While packets flow, turns lie on multiples of
// the tick, so that contributions share the processor's wake-ups.
func (c *contribution) next(now time.Duration) pace {
	_, waiting := c.dec.Next()
	switch {
	case waiting || c.heard && now-c.lastData < idleAfter || c.filling(now):
		return pace{after: c.tick - now%c.tick, flows: true}
	case c.connected() || c.state == Streaming:
		return pace{after: idleTick - now%idleTick}
	case c.peering():
		return pace{after: peerCheck - now%peerCheck}
	}
	return pace{}
}

// turn does what is to be done at now.
func (c *contribution) turn(now time.Duration) {
	for _, p := range c.paths {
		for i := len(p.links) - 1; i >= 0; i-- {
			c.drain(p, p.links[i], now)
		}
	}
	c.dec.Tick(now)
	c.flush(now)
	c.watch(now)
	if now >= c.report.next && c.connected() {
		c.sendReports(now)
	}
	if now >= c.nextCheck {
		c.nextCheck = now + peerCheck
		for _, p := range c.peers {
			p.check()
		}
	}
}

// drain takes what has come on a connection.
func (c *contribution) drain(p *path, l *link, now time.Duration) {
	for range drainRounds {
		n, err := l.conn.receive()
		if err != nil {
			c.dropLink(p, l, err)
			return
		}
		if n > 0 {
			c.take(p, l, n, now)
		}
		if n < recvBatch {
			return
		}
	}
}
