package capture

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"quartet/capture/mpegts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a Source that runs one function after the other.
type script struct {
	steps []func(ctx context.Context, w mpegts.Writer) error
	runs  int
}

func (s *script) Run(ctx context.Context, w mpegts.Writer) error {
	s.runs++
	if s.runs > len(s.steps) {
		return nil
	}
	return s.steps[s.runs-1](ctx, w)
}

func clock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

// steadyFeed sends a datagram each millisecond for n ms (n < 0: until ctx ends).
func steadyFeed(now func() time.Duration, n int, end error) func(context.Context, mpegts.Writer) error {
	return func(ctx context.Context, w mpegts.Writer) error {
		t := time.NewTicker(ms)
		defer t.Stop()
		for i := 0; i != n; i++ {
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
			}
			if err := w.WriteTS(now(), datagram(7)); err != nil {
				return err
			}
		}
		return end
	}
}

// eventLog collects events from the Input's goroutines.
type eventLog struct {
	mu   sync.Mutex
	list []Event
}

func (l *eventLog) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, e)
}

func (l *eventLog) kinds() (k []EventKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.list {
		k = append(k, e.Kind)
	}
	return k
}

func TestInputRestartsAFailedSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		broken := errors.New("interface eth1 is gone")
		src := &script{steps: []func(context.Context, mpegts.Writer) error{
			steadyFeed(now, 1000, broken),
			func(context.Context, mpegts.Writer) error { return broken },
			func(context.Context, mpegts.Writer) error { return broken },
			steadyFeed(now, -1, nil),
		}}
		var log eventLog
		in, err := NewInput(InputConfig{Source: src, Now: now, Guard: GuardConfig{OnEvent: log.add}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var out sink
		done := make(chan error)
		go func() { done <- in.Run(ctx, &out) }()
		time.Sleep(1300 * ms) // the first retry comes 150 to 250 ms after the failure
		if s := in.Stats(); s.SourceStarts != 2 || s.SourceFailure == "" {
			t.Errorf("300 ms after the failure: %+v", s)
		}
		time.Sleep(5 * time.Second)
		if s := in.Stats(); !s.Present || s.SourceFailure != "" || s.SourceStarts != 4 || s.NullPackets == 0 {
			t.Errorf("after the return: %+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		var feed []EventKind
		failures := 0
		for _, k := range log.kinds() {
			if k == SourceFailed {
				failures++
			} else {
				feed = append(feed, k)
			}
		}
		if want := []EventKind{InputLost, InputReturned}; failures != 3 || !slices.Equal(feed, want) {
			t.Errorf("%d failures, want 3; events %v, want %v", failures, feed, want)
		}
		if out.backwards != 0 || out.packets == 0 || out.nulls == 0 {
			t.Errorf("out %+v", out.packets)
		}
	})
}

func TestInputEndsWithItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		src := &script{steps: []func(context.Context, mpegts.Writer) error{steadyFeed(now, 100, nil)}}
		in, err := NewInput(InputConfig{Source: src, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		var out sink
		if err := in.Run(t.Context(), &out); err != nil {
			t.Error(err)
		}
		if out.packets != 700 {
			t.Errorf("%d packets, want 700", out.packets)
		}
	})
}

func TestInputEndsWhenTheWriterFails(t *testing.T) {
	full := errors.New("disk full")
	for name, feed := range map[string]bool{"in a packet": true, "in a null packet": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := clock()
				src := &script{steps: []func(context.Context, mpegts.Writer) error{
					func(ctx context.Context, w mpegts.Writer) error {
						if feed {
							return w.WriteTS(now(), datagram(7))
						}
						<-ctx.Done()
						return nil
					},
				}}
				in, err := NewInput(InputConfig{Source: src, Now: now, Guard: GuardConfig{IdleRate: 1e6}})
				if err != nil {
					t.Fatal(err)
				}
				if err := in.Run(t.Context(), &sink{err: full}); !errors.Is(err, full) {
					t.Errorf("Run: %v, want %v", err, full)
				}
			})
		})
	}
}

func TestInputConfigIsChecked(t *testing.T) {
	now := func() time.Duration { return 0 }
	for _, cfg := range []InputConfig{
		{Now: now}, {Source: &script{}}, {Source: &script{}, Now: now, Guard: GuardConfig{OnLoss: "x"}},
	} {
		if _, err := NewInput(cfg); err == nil {
			t.Errorf("%+v accepted", cfg)
		}
	}
}
