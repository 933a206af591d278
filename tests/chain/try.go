package chain

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"quartet/tests/stall"
)

// stalled is the scheduling delay from which on a run in real time says more
// about the machine than about the code: the margins of the plans are of this
// size.
const stalled = 25 * time.Millisecond

// tries is how often a test is tried on a machine that does not keep time.
const tries = 5

// calmWithin is how long a void run waits for the machine to become calm, and
// calmFor what it takes for calm.
const (
	calmWithin = 15 * time.Second
	calmFor    = 500 * time.Millisecond
)

// Try runs a test in real time. If it fails and this process was not scheduled
// for stalled or longer meanwhile, the run is void; when the machine has become
// calmer it is tried again, and the log says so. A failure on a machine that kept
// time is a failure at once. So is one in the last try: a machine that never
// keeps time cannot show that the code is right.
func Try(t *testing.T, test func(t testing.TB)) {
	t.Helper()
	for n := 1; ; n++ {
		w := stall.Start()
		a := &attempt{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer a.cleanUp()
			test(a)
		}()
		<-done
		longest := w.Stop()
		switch {
		case !a.failed:
			return
		case longest < stalled:
			t.Errorf("failed in try %d; longest stall of this process %v:\n%s", n, longest, a.text)
			return
		case n == tries:
			t.Errorf("failed in each of %d tries, and this machine does not keep time (longest stall of this process in the last: %v); run it alone:\n%s", n, longest, a.text)
			return
		}
		t.Logf("try %d is void: this process was not scheduled for %v; it had failed with:\n%s", n, longest, a.text)
		awaitCalm()
	}
}

// awaitCalm returns when the machine keeps time, or after calmWithin.
func awaitCalm() {
	for end := time.Now().Add(calmWithin); time.Now().Before(end); {
		w := stall.Start()
		time.Sleep(calmFor)
		if w.Stop() < stalled {
			return
		}
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
