package chain

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// stalled is the scheduling delay from which on a run in real time says more
// about the machine than about the code: the margins of the plans are of this
// size.
const stalled = 25 * time.Millisecond

// hopeless is the stall beyond which a machine cannot judge a network of some
// hundred milliseconds at all.
const hopeless = 100 * time.Millisecond

// Try runs a test in real time. If it fails and this process was not scheduled
// for stalled or longer meanwhile, the run is void and tried again, at most
// twice more; the log says so. A failure on a machine that kept time is a
// failure at once. A machine that stood still for hopeless or longer in the third
// try, too, gives no verdict: the test is skipped as void, and says so.
func Try(t *testing.T, test func(t testing.TB)) {
	t.Helper()
	for n := 1; ; n++ {
		w := watchStalls()
		a := &attempt{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer a.cleanUp()
			test(a)
		}()
		<-done
		stall := w.stop()
		switch {
		case !a.failed:
			return
		case n == 3 && stall >= hopeless:
			t.Skipf("VOID, neither passed nor failed: three tries, and this machine does not keep time (longest stall of this process %v); run it alone:\n%s", stall, a.text)
		case stall < stalled || n == 3:
			t.Errorf("failed in try %d; longest stall of this process %v:\n%s", n, stall, a.text)
			return
		}
		t.Logf("try %d is void: this process was not scheduled for %v; it had failed with:\n%s", n, stall, a.text)
	}
}

// attempt is one try: it keeps failures to itself.
type attempt struct {
	testing.TB
	mu     sync.Mutex
	failed bool
	text   string
	ends   []func()
}

func (a *attempt) fail(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = true
	a.text += s + "\n"
}

func (a *attempt) Error(args ...any)                 { a.fail(fmt.Sprint(args...)) }
func (a *attempt) Errorf(format string, args ...any) { a.fail(fmt.Sprintf(format, args...)) }
func (a *attempt) Fatal(args ...any)                 { a.fail(fmt.Sprint(args...)); runtime.Goexit() }
func (a *attempt) Fatalf(format string, args ...any) {
	a.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
func (a *attempt) Failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// Cleanup runs f at the end of the try, not of the test.
func (a *attempt) Cleanup(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ends = append(a.ends, f)
}

func (a *attempt) cleanUp() {
	for i := len(a.ends) - 1; i >= 0; i-- {
		a.ends[i]()
	}
}

// stallWatch measures how late this process's timers fire.
type stallWatch struct {
	quit chan struct{}
	max  chan time.Duration
}

func watchStalls() *stallWatch {
	w := &stallWatch{make(chan struct{}), make(chan time.Duration, 1)}
	go func() {
		const period = 2 * time.Millisecond
		worst := time.Duration(0)
		for {
			begun := time.Now()
			select {
			case <-w.quit:
				w.max <- worst
				return
			case <-time.After(period):
				worst = max(worst, time.Since(begun)-period)
			}
		}
	}()
	return w
}

func (w *stallWatch) stop() time.Duration {
	close(w.quit)
	return <-w.max
}
