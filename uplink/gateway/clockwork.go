package gateway

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clockwork turns the contributions whose packets flow, tick by tick. It has a
// worker for each processor; one sleeps in the kernel between two ticks and then
// turns all its contributions in a row. A timer of Go's for each contribution
// would wake threads by way of the scheduler, five hundred times a second: that
// cost more than all the rest of the work.
type clockwork struct {
	workers []*worker
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

// worker turns some of the contributions.
type worker struct {
	// set at start, never changed
	now  func() time.Duration
	tick time.Duration
	wake chan struct{}

	load atomic.Int32 // contributions, with those in more

	mu   sync.Mutex
	more []*contribution // to be taken over

	// owned by run
	own []*contribution
	ts  unix.Timespec // of the system call under way
}

// newClockwork starts the workers; close ends them.
func newClockwork(now func() time.Duration, tick time.Duration) *clockwork {
	ctx, stop := context.WithCancel(context.Background())
	w := &clockwork{stop: stop}
	// A worker keeps its processor of Go's scheduler while it sleeps: give the
	// others as many as they had.
	n := runtime.NumCPU()
	moreProcs(n)
	for range n {
		k := &worker{now: now, tick: tick, wake: make(chan struct{}, 1)}
		w.workers = append(w.workers, k)
		w.wg.Go(func() { k.run(ctx) })
	}
	return w
}

// close ends the workers. No contribution may be with them any more.
func (w *clockwork) close() {
	w.stop()
	w.wg.Wait()
	moreProcs(-len(w.workers))
}

var procs sync.Mutex

// moreProcs changes the number of processors of Go's scheduler.
func moreProcs(n int) {
	procs.Lock()
	defer procs.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}

// turn lets a worker turn c until its packets flow no longer, or it has ended.
// Meanwhile c belongs to the worker.
func (w *clockwork) turn(c *contribution) {
	k := w.workers[0]
	for _, other := range w.workers[1:] {
		if other.load.Load() < k.load.Load() {
			k = other
		}
	}
	k.load.Add(1)
	defer k.load.Add(-1)
	k.mu.Lock()
	k.more = append(k.more, c)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
	<-c.back
}

func (k *worker) run(ctx context.Context) {
	for {
		k.mu.Lock()
		k.own = append(k.own, k.more...)
		k.more = k.more[:0]
		k.mu.Unlock()
		if len(k.own) == 0 {
			select {
			case <-k.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		k.sleep()
		kept := k.own[:0]
		for _, c := range k.own {
			if c.beat() {
				kept = append(kept, c)
			} else {
				c.back <- struct{}{}
			}
		}
		clear(k.own[len(kept):])
		k.own = kept
	}
}

// sleep returns at the next multiple of the tick. The runtime is not told, so
// that it does not hand the worker's processor to others and back each time.
func (k *worker) sleep() {
	now := k.now()
	for until := now + k.tick - now%k.tick; now < until; now = k.now() {
		k.ts = unix.NsecToTimespec(int64(until - now))
		// It may end early, by a signal.
		_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&k.ts)), 0, 0)
	}
}
