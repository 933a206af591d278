package health

import "sync"

// Ring keeps the last events and hands them to any number of readers, each at
// its own pace. A reader that is too slow misses the oldest, and is told how
// many; it delays nobody.
type Ring struct {
	mu     sync.Mutex
	events []Event // event n stands at n % len
	next   uint64  // Seq of the next event
	woken  chan struct{}
}

// NewRing returns a ring of the given number of events.
func NewRing(size int) *Ring {
	return &Ring{events: make([]Event, max(size, 1)), next: 1, woken: make(chan struct{})}
}

// add numbers an event and appends it.
func (r *Ring) add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Seq = r.next
	r.events[e.Seq%uint64(len(r.events))] = e
	r.next++
	close(r.woken)
	r.woken = make(chan struct{})
}

// After returns the events after number seq (0: all that are kept), oldest
// first, how many were already overwritten, and a channel that is closed when
// there are more. A reader's loop:
//
//	for seq := uint64(0); ; {
//		list, missed, more := ring.After(seq)
//		…use them…
//		if len(list) > 0 { seq = list[len(list)-1].Seq }
//		select { case <-more: case <-ctx.Done(): return }
//	}
//
// A seq from the future (of an earlier run of the process) counts as 0.
func (r *Ring) After(seq uint64) (list []Event, missed uint64, more <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq >= r.next {
		seq = 0
	}
	oldest := uint64(1)
	if n := uint64(len(r.events)); r.next > n {
		oldest = r.next - n
	}
	first := max(seq+1, oldest)
	for i := first; i < r.next; i++ {
		list = append(list, r.events[i%uint64(len(r.events))])
	}
	return list, first - seq - 1, r.woken
}

// Last returns the number of the newest event, 0 if there was none.
func (r *Ring) Last() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - 1
}
