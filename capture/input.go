package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"quartet/capture/mpegts"
)

const (
	// firstRetry and lastRetry bound the wait before a failed source is started
	// again; it doubles from one to the other, jittered by a quarter.
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second
	// steady is how long a source must have run to count as sound again.
	steady = 10 * time.Second
	// minSleep bounds how often the loop wakes while null packets are sent.
	minSleep = 5 * time.Millisecond
)

// InputConfig is what an Input is made of.
type InputConfig struct {
	Source Source
	Guard  GuardConfig
	Now    func() time.Duration // monotonic
}

// Input is a Source that wraps another one: it watches the feed by a Guard and
// starts the source again when it fails. The writer given to Run is called by
// one goroutine at a time.
type Input struct {
	// set at start, never changed
	cfg InputConfig

	mu    sync.Mutex // guards all below; held for one write or one tick
	guard *Guard
	run   sourceRun
	err   error // the writer's; ends Run
}

// sourceRun is the part of Stats that belongs to the source's starts.
type sourceRun struct {
	starts  uint64
	failure string
	again   time.Duration
}

// NewInput returns an Input; nothing runs until Run.
func NewInput(cfg InputConfig) (*Input, error) {
	if cfg.Source == nil {
		return nil, errors.New("capture: InputConfig.Source is nil")
	}
	if cfg.Now == nil {
		return nil, errors.New("capture: InputConfig.Now is nil")
	}
	if err := cfg.Guard.check(); err != nil {
		return nil, err
	}
	return &Input{cfg: cfg}, nil
}

// WriteTS implements mpegts.Writer for the source.
func (in *Input) WriteTS(at time.Duration, ts []byte) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	err := in.guard.WriteTS(at, ts)
	if err != nil {
		in.err = err
	}
	return err
}

// Run delivers the feed to w until ctx ends, the source ends by itself, or w
// fails; only the last is an error. A source that fails is started again, at
// first after about 200 ms.
func (in *Input) Run(ctx context.Context, w mpegts.Writer) error {
	g, err := NewGuard(in.cfg.Guard, in.cfg.Now(), w)
	if err != nil {
		return err
	}
	in.mu.Lock()
	in.guard, in.err, in.run = g, nil, sourceRun{}
	in.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in.supervise(ctx)
	}()
	defer func() {
		cancel()
		<-ended
	}()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ended:
			return in.failure()
		case <-timer.C:
		}
		wait, err := in.tick()
		if err != nil {
			return fmt.Errorf("capture: writer: %w", err)
		}
		timer.Reset(wait)
	}
}

// tick returns how long to sleep.
func (in *Input) tick() (time.Duration, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	now := in.cfg.Now()
	if err := in.guard.Tick(now); err != nil {
		in.err = err
		return 0, err
	}
	return max(in.guard.Next()-now, minSleep), nil
}

func (in *Input) failure() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err != nil {
		return fmt.Errorf("capture: writer: %w", in.err)
	}
	return nil
}

// supervise runs the source until it ends well, ctx ends or the writer fails.
func (in *Input) supervise(ctx context.Context) {
	wait := time.Duration(0)
	for ctx.Err() == nil {
		began := in.cfg.Now()
		in.note(func(r *sourceRun) { r.starts++; r.again = 0 })
		err := in.cfg.Source.Run(ctx, in)
		if err == nil || ctx.Err() != nil || in.failure() != nil {
			return
		}
		if in.cfg.Now()-began >= steady {
			wait = 0
		}
		wait = min(max(2*wait, firstRetry), lastRetry)
		jittered := wait + time.Duration((rand.Float64()-0.5)/2*float64(wait))
		in.note(func(r *sourceRun) { r.failure = err.Error(); r.again = jittered })
		in.event(Event{Kind: SourceFailed, At: in.cfg.Now(), Err: err})
		select {
		case <-ctx.Done():
		case <-time.After(jittered):
		}
	}
}

func (in *Input) note(set func(*sourceRun)) {
	in.mu.Lock()
	set(&in.run)
	in.mu.Unlock()
}

// event hands e on in order with the Guard's.
func (in *Input) event(e Event) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.guard.cfg.OnEvent(e)
}

// Stats returns the counts since Run began.
func (in *Input) Stats() Stats {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.guard == nil {
		return Stats{LastPacketMS: -1}
	}
	s := in.guard.Stats()
	s.SourceStarts = in.run.starts
	if in.run.again > 0 {
		s.SourceFailure = in.run.failure
		s.SourceAgainMS = milliseconds(in.run.again)
	}
	return s
}
