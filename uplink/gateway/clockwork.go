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
// would wake threads by way of the scheduler, hundreds of times a second: that
// cost more than all the rest of the work. And because waking up is what costs,
// a worker gets contributions until it has enough to do, and only then the next
// one wakes as well.
type clockwork struct {
	workers []*worker // set at start, never changed
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu sync.Mutex // guards every worker's load
}

const (
	// packed is the most contributions that a worker gets while another has
	// fewer.
	packed = 8
	// enough is the share of its time from which a worker gets no more, and
	// tooMuch that from which it hands one on to another, in percent.
	enough, tooMuch = 50, 75
	// shareOver is what a worker's share is measured over.
	shareOver = 250 * time.Millisecond
)

// worker turns some of the contributions.
type worker struct {
	// set at start, never changed
	work *clockwork
	now  func() time.Duration
	tick time.Duration
	wake chan struct{}

	load  int          // contributions, with those in more; guarded by work.mu
	share atomic.Int32 // of its time that it worked of late, percent

	mu   sync.Mutex
	more []*contribution // to be taken over

	// owned by run
	own   []*contribution
	since time.Duration // when measuring the share began
	spent time.Duration // at work since then
	ts    unix.Timespec // of the system call under way
}

// newClockwork starts the workers; close ends them.
func newClockwork(now func() time.Duration, tick time.Duration) *clockwork {
	ctx, stop := context.WithCancel(context.Background())
	w := &clockwork{stop: stop}
	// A worker keeps its processor of Go's scheduler while it sleeps: give the
	// others as many as they had.
	for range moreProcs() {
		k := w.add(now, tick)
		w.wg.Go(func() { k.run(ctx) })
	}
	return w
}

func (w *clockwork) add(now func() time.Duration, tick time.Duration) *worker {
	k := &worker{work: w, now: now, tick: tick, wake: make(chan struct{}, 1)}
	w.workers = append(w.workers, k)
	return k
}

// close ends the workers. No contribution may be with them any more.
func (w *clockwork) close() {
	w.stop()
	w.wg.Wait()
	lessProcs(len(w.workers))
}

var procs struct {
	mu    sync.Mutex
	added int // by moreProcs, of the processors of Go's scheduler
}

// moreProcs doubles the processors of Go's scheduler, and returns how many it
// has without any that were added here: by default as many as the machine has,
// or as the limit of a control group allows. A limit that changes later is not
// followed.
func moreProcs() int {
	procs.mu.Lock()
	defer procs.mu.Unlock()
	all := runtime.GOMAXPROCS(0)
	n := max(1, all-procs.added)
	procs.added += n
	runtime.GOMAXPROCS(all + n)
	return n
}

// lessProcs takes processors away again.
func lessProcs(n int) {
	procs.mu.Lock()
	defer procs.mu.Unlock()
	procs.added -= n
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - n)
}

// turn lets a worker turn c until its packets flow no longer, it has ended, or
// the worker has too much to do. Meanwhile c belongs to the worker.
func (w *clockwork) turn(c *contribution) {
	k := w.choose()
	defer func() {
		w.mu.Lock()
		k.load--
		w.mu.Unlock()
	}()
	k.mu.Lock()
	k.more = append(k.more, c)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
	<-c.back
}

// choose finds the worker for one contribution more and adds it to its load: the
// first that has not enough to do, or else the one with the fewest.
func (w *clockwork) choose() *worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.spare()
	if k == nil {
		k = w.workers[0]
		for _, other := range w.workers[1:] {
			if other.load < k.load {
				k = other
			}
		}
	}
	k.load++
	return k
}

// spare is the first worker that has not enough to do, or nil. It needs w.mu.
func (w *clockwork) spare() *worker {
	for _, k := range w.workers {
		if k.load < packed && k.share.Load() < enough {
			return k
		}
	}
	return nil
}

// relief tells whether there is a worker that has not enough to do.
func (w *clockwork) relief() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spare() != nil
}

func (k *worker) run(ctx context.Context) {
	for {
		k.mu.Lock()
		k.own = append(k.own, k.more...)
		clear(k.more)
		k.more = k.more[:0]
		k.mu.Unlock()
		if len(k.own) == 0 {
			k.share.Store(0)
			select {
			case <-k.wake:
				k.since, k.spent = k.now(), 0
				continue
			case <-ctx.Done():
				return
			}
		}
		k.sleep()
		began := k.now()
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
		now := k.now()
		if k.measure(now, now-began) && len(k.own) > 1 && k.work.relief() {
			// It takes its next turn by itself, and then goes to another worker.
			last := len(k.own) - 1
			k.own[last].back <- struct{}{}
			k.own[last] = nil
			k.own = k.own[:last]
		}
	}
}

// measure takes the time that a tick's work took, and tells once in a while, if
// it is so, that it is too much.
func (k *worker) measure(now, spent time.Duration) bool {
	k.spent += spent
	over := now - k.since
	if over < shareOver {
		return false
	}
	share := int32(100 * k.spent / over)
	k.share.Store(share)
	k.since, k.spent = now, 0
	return share >= tooMuch
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
