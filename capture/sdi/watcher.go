package sdi

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// setWithin is how long a capture that was told to stop may keep the device,
// before it is taken for another program's.
const setWithin = 1500 * time.Millisecond

// Config is what a Watcher is made of.
type Config struct {
	Path string // of the device
	Open Opener // nil: OpenNode
	// Start is called when a signal can be captured: its timings are set, nobody
	// streams. Stop is called when it cannot, or is about to change. Both must
	// return soon; neither is called twice in a row.
	Start func(State)
	Stop  func(State)
	Now   func() time.Duration // monotonic
	Log   *slog.Logger         // nil: nothing is logged
}

// Watcher follows a device's signal and says when to capture.
type Watcher struct {
	cfg Config // set at start, never changed

	mu    sync.Mutex
	state State

	// owned by Run
	tracker *Tracker
	running bool
}

// NewWatcher returns a Watcher; nothing is opened until Run.
func NewWatcher(cfg Config) *Watcher {
	if cfg.Open == nil {
		cfg.Open = OpenNode
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Watcher{cfg: cfg, tracker: NewTracker(), state: State{Signal: Unknown}}
}

// State returns what is known of the signal.
func (w *Watcher) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Run watches until ctx ends, which it notices within a quarter of a second.
func (w *Watcher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		d, err := w.cfg.Open(w.cfg.Path)
		if err == nil {
			err = w.watch(ctx, d)
			d.Close()
		}
		if ctx.Err() != nil {
			return
		}
		if changed, _ := w.tracker.observe(w.cfg.Now(), opened(err)); changed {
			w.changed()
		}
		pause(ctx, openAgain)
	}
}

// pause waits for d or for ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

var errNoCapture = errors.New("it does not capture video")

// watch follows an open device until it is gone.
func (w *Watcher) watch(ctx context.Context, d Device) error {
	c, err := d.Capability()
	if err != nil {
		return err
	}
	if !c.Capture {
		return errNoCapture
	}
	in, err := d.Input()
	if errors.Is(err, ErrGone) {
		return err
	}
	w.tracker.name(c, in)
	limits, err := d.Limits()
	if errors.Is(err, ErrGone) {
		return err
	}
	if err := d.Subscribe(); err != nil {
		w.cfg.Log.Info("the device sends no events; it is asked", "device", w.cfg.Path, "err", err)
	}
	for ctx.Err() == nil {
		a, err := ask(d, limits)
		if err != nil {
			return err
		}
		changed, wait := w.tracker.observe(w.cfg.Now(), a)
		if changed {
			if err := w.follow(ctx, d); err != nil {
				return err
			}
		}
		if _, err := d.Wait(wait); err != nil {
			return err
		}
	}
	return nil
}

// changed tells of a new state, after a capture that it ends.
func (w *Watcher) changed() {
	s := w.tracker.State()
	w.stop(s)
	w.mu.Lock()
	was := w.state.Signal
	w.state = s
	w.mu.Unlock()
	if s.Signal != was || s.Signal == Locked {
		w.cfg.Log.Info("signal", "device", w.cfg.Path, "is", string(s.Signal), "text", s.Text())
	}
}

func (w *Watcher) stop(s State) {
	if w.running {
		w.running = false
		w.cfg.Stop(s)
	}
}

// follow does what a new state asks for: a capture that runs ends; before the
// next, the signal's timings become the device's. A signal that cannot be
// captured is not called locked.
func (w *Watcher) follow(ctx context.Context, d Device) error {
	s := w.tracker.State()
	w.stop(s)
	if s.Signal == Locked {
		if err := w.set(ctx, d, s.Timings); err != nil {
			return err
		}
	}
	w.changed()
	if s = w.tracker.State(); s.Signal.Good() && ctx.Err() == nil {
		w.running = true
		w.cfg.Start(s)
	}
	return nil
}

// set makes the signal's timings the device's. A capture of ours that is about
// to end may hold them for a moment.
func (w *Watcher) set(ctx context.Context, d Device, t Timings) error {
	if now, err := d.Current(); err == nil && now.same(t) {
		return nil
	}
	for end := w.cfg.Now() + setWithin; ctx.Err() == nil; {
		err := d.Set(t)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrGone):
			return err
		case !errors.Is(err, ErrBusy):
			w.take(answer{Unsupported, t, "the card refuses " + t.String() + ": " + err.Error()})
			return nil
		case w.cfg.Now() >= end:
			w.take(answer{signal: Busy})
			return nil
		}
		pause(ctx, askSoon)
	}
	return nil
}

// take puts an answer into force that did not come from asking.
func (w *Watcher) take(a answer) {
	w.tracker.state.Signal, w.tracker.state.Timings, w.tracker.state.Detail, w.tracker.state.Since = a.signal, a.timings, a.detail, w.cfg.Now()
	w.tracker.times = 0
}
