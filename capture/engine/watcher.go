package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"quartet/capture/confidence"
)

const (
	// watchStalled is how long a watching process may say nothing. It gets only
	// the time that nobody else wants, so it may take long for anything.
	watchStalled = 20 * time.Second
	// firstWatchWait and lastWatchWait bound the wait before a process that ended
	// is started again; it doubles from one to the other, and begins anew behind a
	// run of steadyWatch.
	firstWatchWait     = time.Second
	lastWatchWait      = 60 * time.Second
	steadyWatch        = 60 * time.Second
	defaultWatchMemory = 400 // MiB
	watchHold          = 5 * time.Second
)

// WatcherConfig is what a Watcher is made of.
type WatcherConfig struct {
	WatchConfig
	Program   string   // path of quartet-engine
	Args      []string // before its own; for tests
	Data      string   // folder for GStreamer's list of plugins
	MemoryMiB int      // where the process is ended and started again; 0: 400
	Now       func() time.Duration
	Log       *slog.Logger
}

// Watcher looks at picture and sound of a feed that is passed through. A process
// of its own, of the lowest priority, decodes key frames and sound; it may die,
// hang or leak, and costs the feed nothing. Watcher is an mpegts.Writer that
// never waits: what that process is too slow for is dropped.
type Watcher struct {
	// set at start, never changed
	cfg  WatcherConfig
	pipe *pipe

	mu      sync.Mutex // guards all below
	st      WatcherStats
	reports bool
	told    time.Duration // last event
	since   time.Duration // of the report
	picture []byte
	pictAt  time.Duration
	proc    *process
	rests   time.Duration // until then nobody watches
}

// WatcherStats is what is known.
type WatcherStats struct {
	Up        bool               `json:"up"` // the process runs
	Starts    uint64             `json:"starts"`
	Reason    string             `json:"reason,omitempty"` // why there is nothing to report, in words
	MemoryMiB int                `json:"memory_mib"`
	Dropped   uint64             `json:"dropped"` // packets that it was too slow for
	Report    *confidence.Report `json:"report,omitempty"`
	AgeMS     float64            `json:"age_ms"` // of the report
}

// NewWatcher checks the configuration; nothing runs until Run.
func NewWatcher(cfg WatcherConfig) (*Watcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MemoryMiB == 0 {
		cfg.MemoryMiB = defaultWatchMemory
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := needs(cfg.Program, cfg.Data, cfg.Now); err != nil {
		return nil, err
	}
	return &Watcher{cfg: cfg, pipe: newPipe(watchHold)}, nil
}

// WriteTS implements mpegts.Writer: it takes a copy, and neither waits nor fails.
func (w *Watcher) WriteTS(at time.Duration, ts []byte) error { return w.pipe.WriteTS(at, ts) }

// errRests: nobody watches for the moment, on purpose.
var errRests = errors.New("engine: picture and sound are not watched for the moment: the box is too hot")

// Rest has nobody watch for a time from now on, for a box that is too hot; 0 ends
// it. Whoever wants it to last asks again.
func (w *Watcher) Rest(d time.Duration) {
	w.mu.Lock()
	w.rests = w.cfg.Now() + d
	w.mu.Unlock()
}

func (w *Watcher) resting() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg.Now() < w.rests
}

// Run keeps a process running until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	wait, said := firstWatchWait, ""
	for ctx.Err() == nil {
		began := w.cfg.Now()
		err := errRests
		if !w.resting() {
			err = w.runOnce(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errRests) {
			wait = firstWatchWait
		}
		w.mu.Lock()
		w.st.Reason = err.Error()
		w.mu.Unlock()
		if text := err.Error(); text != said { // the same failure is said once
			w.cfg.Log.Warn("picture and sound are not watched for the moment", "err", err)
			said = text
		}
		if w.cfg.Now()-began >= steadyWatch {
			wait, said = firstWatchWait, ""
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		wait = min(2*wait, lastWatchWait)
	}
	return nil
}

// runOnce runs one process until it ends or has to be ended.
func (w *Watcher) runOnce(ctx context.Context) error {
	args := append(append([]string{}, w.cfg.Args...), "--watch")
	p, err := start(w.cfg.Program, args, &w.cfg.WatchConfig, registry(w.cfg.Data), niceIdle)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.st.Up = true
	w.st.Starts++
	w.told = w.cfg.Now()
	w.proc = p
	w.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { w.pipe.pump(p.feed, p.exited) })
	wg.Go(func() { p.events(w.event) })
	wg.Go(func() { p.pictures(w.keepPicture) })
	why := w.watch(ctx, p)
	p.kill()
	<-p.exited
	wg.Wait()
	w.mu.Lock()
	w.st.Up, w.reports, w.proc = false, false, nil
	w.mu.Unlock()
	err = p.close()
	if why != nil {
		return why
	}
	return err
}

// watch returns when the process has ended (nil), or why it has to.
func (w *Watcher) watch(ctx context.Context, p *process) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.exited:
			return nil
		case <-t.C:
		}
		memory := p.residentMiB()
		w.mu.Lock()
		quiet := w.cfg.Now() - w.told
		w.st.MemoryMiB = memory
		w.mu.Unlock()
		switch {
		case w.resting():
			return errRests
		case quiet > watchStalled:
			return fmt.Errorf("engine: the watching process has said nothing for %v: killed", quiet.Round(time.Second))
		case memory > w.cfg.MemoryMiB:
			return fmt.Errorf("engine: the watching process takes %d MiB of memory, more than %d: killed", memory, w.cfg.MemoryMiB)
		}
	}
}

// event takes what the process tells.
func (w *Watcher) event(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = w.cfg.Now()
	switch e.Is {
	case IsReady:
		w.pipe.accept()
	case IsConfidence:
		w.st.Report, w.since, w.reports = e.Report, w.told, true
		w.st.Reason = e.Text
	case IsError:
		w.st.Reason = e.Text
	}
}

func (w *Watcher) keepPicture(jpeg []byte) {
	w.mu.Lock()
	w.picture, w.pictAt = jpeg, w.cfg.Now()
	w.mu.Unlock()
}

// Stats returns what is known now. The report is not to be changed.
func (w *Watcher) Stats() WatcherStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.st
	st.Dropped = w.pipe.lost()
	st.AgeMS = inMS(w.cfg.Now() - w.since)
	if !w.reports {
		st.Report = nil
	}
	return st
}

// Picture returns the latest thumbnail and when it came; nil before the first. It
// must not be written to.
func (w *Watcher) Picture() ([]byte, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.picture, w.pictAt
}
