package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quartet/uplink/srt"
)

// Gateway is one process's worth of contributions. It keeps no state but what
// is on the way: started anew, it joins each running stream within one block
// and the latency.
type Gateway struct {
	// set at start, never changed
	log   *slog.Logger
	now   func() time.Duration
	start time.Duration
	ports *ports
	ready atomic.Bool
	up    chan struct{} // closed when all ports are open

	changing sync.Mutex // held by Apply, and by Run while it starts and stops
	tick     time.Duration
	work     *clockwork // both set by Run

	mu      sync.Mutex // guards what follows; never held for long
	cfg     Config
	running map[string]*running
	ctx     context.Context // of Run
	web     *web
	stopped bool
}

// running is a contribution at work.
type running struct {
	c    *contribution
	cfg  Contribution // as configured
	stop context.CancelFunc

	start func() // sets it to work; nil when it is
}

// New checks cfg and prepares a gateway; Run starts it.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, log: cfg.Log, now: cfg.Now, running: map[string]*running{}, up: make(chan struct{})}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		began := time.Now()
		g.now = func() time.Duration { return time.Since(began) }
	}
	g.start = g.now()
	g.ports = newPorts(g.log)
	return g, nil
}

// Up is closed when every port is open and the gateway works.
func (g *Gateway) Up() <-chan struct{} { return g.up }

// Addr is where the port configured as listen is bound; invalid before Up.
func (g *Gateway) Addr(listen string) netip.AddrPort { return g.ports.addr(listen) }

// HTTPAddr is where the HTTP server listens; empty without one.
func (g *Gateway) HTTPAddr() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.web == nil {
		return ""
	}
	return g.web.l.Addr().String()
}

// Run works until ctx ends, then releases what it still holds (maxDrain at
// most) and returns nil. It fails at once if the HTTP address is taken, and
// after openWithin if an SRT port is; until all ports are open no contribution
// works.
func (g *Gateway) Run(ctx context.Context) error {
	srt.Startup()
	defer srt.Cleanup()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup

	g.changing.Lock()
	g.mu.Lock()
	g.ctx = ctx
	cfg := g.cfg
	g.mu.Unlock()
	if cfg.HTTP != "" {
		w, err := newWeb(cfg.HTTP, g)
		if err != nil {
			g.changing.Unlock()
			return err
		}
		g.mu.Lock()
		g.web = w
		g.mu.Unlock()
		g.log.Info("http", "address", w.l.Addr().String())
		// The server outlives the drain, so that it can be watched.
		webCtx, stopWeb := context.WithCancel(context.WithoutCancel(ctx))
		wg.Go(func() { w.run(webCtx) })
		defer wg.Wait()
		defer stopWeb()
	}
	g.warnAboutKernel(&cfg)
	g.tick = cmp.Or(cfg.Tick, DefaultTick)
	g.work = newClockwork(g.now, g.tick)
	defer g.work.close()
	err := g.bring(ctx, cfg)
	if err == nil {
		err = g.openPorts(ctx)
		err = g.retryPorts(ctx, err)
	}
	if err == nil {
		// Not before: while another process has a port, it may have the outputs,
		// too. Who calls meanwhile waits.
		g.begin()
		g.ready.Store(true)
		close(g.up)
	} else {
		g.mu.Lock()
		g.stopped = true // Apply comes too late
		g.mu.Unlock()
	}
	g.changing.Unlock()
	if err == nil {
		<-ctx.Done()
	}
	g.shutDown(cancel)
	return err
}

// retryPorts goes on trying to open the ports for openWithin.
func (g *Gateway) retryPorts(ctx context.Context, err error) error {
	for since := g.now(); err != nil && g.now()-since < openWithin && ctx.Err() == nil; {
		// The process that this one replaces may still hold a port.
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
			err = g.openPorts(ctx)
		}
	}
	return err
}

// shutDown closes the ports, then lets every contribution drain.
func (g *Gateway) shutDown(cancel context.CancelFunc) {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.ready.Store(false)
	g.log.Info("stopping: releasing what is held", "at_most", maxDrain)
	g.mu.Lock()
	g.stopped = true
	g.mu.Unlock()
	all := g.all()
	cancel()
	g.ports.close()
	for _, r := range all {
		r.stop()
		<-r.c.done
	}
}

// Apply changes a running gateway to cfg and touches only what differs: new
// keys and passphrases go into force without a break (a connection keeps the
// passphrase it was made with), contributions are added and removed, and one
// that differs in anything else is restarted alone. The HTTP address, the tick
// and the settings of a port that is open stay as they were at the start.
func (g *Gateway) Apply(cfg Config) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	g.mu.Lock()
	ctx, stopped := g.ctx, g.stopped
	g.mu.Unlock()
	if ctx == nil || stopped {
		return errors.New("gateway: not running")
	}
	g.mu.Lock()
	before := slices.Collect(maps.Values(g.running))
	g.mu.Unlock()
	err := g.bring(ctx, cfg)
	g.begin()
	err = errors.Join(err, g.openPorts(ctx))
	if slices.ContainsFunc(before, func(r *running) bool { return r.ended() }) {
		// What a contribution held is the most of this process's memory, and the
		// runtime would keep it. This takes some 10 ms beside the packets' way; ten
		// times a second it moved no tick that could be told from a busy machine's.
		debug.FreeOSMemory()
	}
	return err
}

// bring makes the contributions equal to cfg: what is no longer wanted ends, and
// what is new waits for begin. It needs g.changing. One that cannot be made is an
// error; the others are there nevertheless.
func (g *Gateway) bring(ctx context.Context, cfg Config) error {
	g.mu.Lock()
	old := g.running
	g.mu.Unlock()
	next := map[string]*running{}
	var errs []error
	for _, k := range cfg.Contributions {
		r := old[k.Name]
		switch {
		case r != nil && reflect.DeepEqual(withoutSecrets(r.cfg), withoutSecrets(k)):
			if !reflect.DeepEqual(r.cfg, k) {
				errs = append(errs, r.change(k))
				g.log.Info("keys changed", "contribution", k.Name)
			}
			next[k.Name] = r
			continue
		case r != nil:
			g.log.Info("contribution restarts with its new configuration", "contribution", k.Name)
			r.stop()
			<-r.c.done
		}
		c, err := newContribution(k, g.now, g.tick, g.log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.work = g.work
		runCtx, stop := context.WithCancel(ctx)
		next[k.Name] = &running{c: c, cfg: k, stop: stop, start: func() {
			go c.run(runCtx) // joined through c.done
		}}
	}
	for name, r := range old {
		if next[name] == nil {
			r.stop()
			<-r.c.done
		}
	}
	g.mu.Lock()
	g.running, g.cfg = next, cfg
	g.mu.Unlock()
	return errors.Join(errs...)
}

// ended tells whether the contribution works no longer.
func (r *running) ended() bool {
	select {
	case <-r.c.done:
		return true
	default:
		return false
	}
}

// begin sets all contributions to work. It needs g.changing.
func (g *Gateway) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.running {
		if r.start != nil {
			r.start()
			r.start = nil
		}
	}
}

// withoutSecrets is a contribution without what can change while it runs.
func withoutSecrets(k Contribution) Contribution {
	k.Keys = nil
	k.Inputs = slices.Clone(k.Inputs)
	for i := range k.Inputs {
		k.Inputs[i].SRT.Passphrase = ""
	}
	k.Peers = slices.Clone(k.Peers)
	for i := range k.Peers {
		k.Peers[i].SRT.Passphrase = ""
	}
	return k
}

// change puts new keys and passphrases into force.
func (r *running) change(k Contribution) error {
	var err error
	r.c.ask(context.Background(), func() { err = r.c.setKeys(k.Keys) })
	for i, p := range r.c.paths {
		if p.caller != nil {
			p.caller.setPassphrase(k.Inputs[i].SRT.Passphrase)
		}
	}
	for i, p := range r.c.peers {
		p.caller.setPassphrase(k.Peers[i].SRT.Passphrase)
	}
	r.cfg = k
	return err
}

// openPorts sets the routes of what runs and opens what is not open yet.
func (g *Gateway) openPorts(ctx context.Context) error {
	g.mu.Lock()
	routes := map[route]*target{}
	opts := map[string]srt.Options{}
	for _, l := range g.cfg.Listeners {
		opts[l.Address] = l.SRT
	}
	for _, r := range g.running {
		for i := range r.cfg.Inputs {
			in := &r.cfg.Inputs[i]
			if in.Listen == "" {
				continue
			}
			routes[route{in.Listen, in.SRT.StreamID}] = &target{to: r.c, input: i, answer: answerFor(&r.cfg, in, opts[in.Listen]), away: &r.c.paths[i].away}
		}
	}
	g.mu.Unlock()
	return g.ports.set(ctx, routes, opts)
}

// answerFor is what a caller with an input's stream id gets: the input's
// passphrase and latency, and buffers that hold the feed, parity and
// retransmissions for the longest latency that makes sense, all of D, unless
// the listener is set otherwise.
func answerFor(k *Contribution, in *Input, listener srt.Options) srt.Answer {
	o := srt.Options{FC: listener.FC, RcvBuf: listener.RcvBuf, SndBuf: listener.SndBuf, Latency: max(in.SRT.Latency, k.Latency)}
	if k.Latency == 0 {
		o.Latency = max(in.SRT.Latency, maxToldLatency)
	}
	if o.SndBuf == 0 {
		o.SndBuf = smallBuffer
	}
	o = o.Sized(2*k.withDefaults().MaxBitrate, assumedRTT)
	return srt.Answer{
		OK: true, Passphrase: in.SRT.Passphrase, // the caller chooses the key's length
		Latency: in.SRT.Latency, FC: o.FC, RcvBuf: o.RcvBuf, SndBuf: o.SndBuf,
	}
}

const (
	// assumedRTT is the round trip that buffers are sized for.
	assumedRTT = 200 * time.Millisecond
	// smallBuffer is libsrt's send buffer on connections that carry reports
	// only, bytes.
	smallBuffer = 256 * 1500
)

// warnAboutKernel says when the kernel's limits cannot hold what the ports
// receive.
func (g *Gateway) warnAboutKernel(cfg *Config) {
	sum := map[string]int64{}
	for i := range cfg.Contributions {
		k := cfg.Contributions[i].withDefaults()
		for _, in := range k.Inputs {
			sum[in.Listen] += k.MaxBitrate
		}
	}
	delete(sum, "")
	rmem, wmem := srt.KernelLimits()
	for listen, bps := range sum {
		if err := srt.CheckKernel(bps, rmem, wmem); err != nil {
			g.log.Warn("the kernel may drop packets of a port", "address", listen, "err", fmt.Sprint(err))
		}
	}
}

// all returns the contributions at work, by name.
func (g *Gateway) all() []*running {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]*running, 0, len(g.running))
	for _, r := range g.running {
		if r.start == nil {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *running) int {
		if a.c.cfg.Name < b.c.cfg.Name {
			return -1
		}
		return 1
	})
	return out
}

// hung names the contributions whose goroutine does not answer within a
// second.
func (g *Gateway) hung(ctx context.Context) []string {
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	all := g.all()
	ok := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() { ok[i] = r.c.ask(ctx, func() {}) })
	}
	wg.Wait()
	var names []string
	for i, r := range all {
		if !ok[i] {
			names = append(names, r.c.cfg.Name)
		}
	}
	return names
}
