package peers

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"quartet/tests/stall"
)

const (
	// still is how long a machine may leave this process alone and count as
	// one that had time: a few slices of a busy scheduler.
	still = 100 * ms
	// trials is how often a test is tried on a machine that had not.
	trials = 3
)

// timed runs a test that depends on real time. When it fails, and the machine
// stood still meanwhile, that proves nothing about the programs, and it is tried
// again. A failure on a machine that had time counts at once, and so does the
// last one.
func timed(t *testing.T, test func(t testing.TB)) {
	t.Helper()
	for n := 1; ; n++ {
		r := &trial{TB: t}
		stood := r.run(test)
		if r.failed && stood >= still && n < trials && t.Context().Err() == nil {
			t.Logf("tried again: the machine stood still for %v; attempt %d said:", stood.Round(ms), n)
			for _, s := range r.said {
				t.Log("\t", s)
			}
			continue
		}
		for _, s := range r.said {
			t.Log(s)
		}
		if r.failed {
			t.Errorf("failed at attempt %d; the machine stood still for at most %v", n, stood.Round(ms))
		}
		return
	}
}

// trial is one attempt of a test: a testing.TB whose failure is not yet the
// test's.
type trial struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failed   bool
	said     []string
	cleanups []func()
}

// run returns the longest time for which this process did not run.
func (r *trial) run(test func(t testing.TB)) (stood time.Duration) {
	ctx, cancel := context.WithCancel(r.TB.Context())
	defer cancel()
	r.ctx = ctx
	w := stall.Start()
	r.inside(func() { test(r) })
	cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return w.Stop()
		}
		f := r.cleanups[n-1]
		r.cleanups = slices.Delete(r.cleanups, n-1, n)
		r.mu.Unlock()
		r.inside(f)
	}
}

// inside runs f where FailNow may end it.
func (r *trial) inside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (r *trial) say(s string) {
	_, file, line, _ := runtime.Caller(2)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf("%s:%d: %s", filepath.Base(file), line, s))
}

func (r *trial) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *trial) Context() context.Context { return r.ctx }

func (r *trial) Fail() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *trial) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *trial) FailNow()                          { r.Fail(); runtime.Goexit() }
func (r *trial) Log(args ...any)                   { r.say(fmt.Sprintln(args...)) }
func (r *trial) Logf(format string, args ...any)   { r.say(fmt.Sprintf(format, args...)) }
func (r *trial) Error(args ...any)                 { r.say(fmt.Sprintln(args...)); r.Fail() }
func (r *trial) Errorf(format string, args ...any) { r.say(fmt.Sprintf(format, args...)); r.Fail() }
func (r *trial) Fatal(args ...any)                 { r.say(fmt.Sprintln(args...)); r.FailNow() }
func (r *trial) Fatalf(format string, args ...any) { r.say(fmt.Sprintf(format, args...)); r.FailNow() }
