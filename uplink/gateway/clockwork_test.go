package gateway

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// Contributions are packed: a worker more wakes only when those that are awake
// have enough to do.
func TestClockworkPacks(t *testing.T) {
	w := &clockwork{}
	for range 4 {
		w.add(nil, DefaultTick)
	}
	put := func(n int) {
		for range n {
			w.choose()
		}
	}
	want := func(what string, loads ...int) {
		t.Helper()
		for i, k := range w.workers {
			if k.load != loads[i] {
				t.Errorf("%s: worker %d has %d, want %d", what, i, k.load, loads[i])
			}
		}
	}
	put(packed)
	want("as many as one takes", packed, 0, 0, 0)
	put(2)
	want("more", packed, 2, 0, 0)
	w.workers[1].share.Store(enough)
	put(1)
	want("the second has enough to do", packed, 2, 1, 0)
	w.workers[1].share.Store(enough - 1)
	put(1)
	want("it has less", packed, 3, 1, 0)
	if !w.relief() {
		t.Error("two workers have not enough to do")
	}
	put(4*packed - 13)
	want("all that are packed", packed, packed, packed, packed-1)
	put(3)
	want("beyond that, evenly", packed+1, packed+1, packed, packed)
	if w.relief() {
		t.Error("all are full")
	}
}

// A worker's share is measured over a while.
func TestClockworkMeasures(t *testing.T) {
	k := &worker{}
	for now := DefaultTick; now < shareOver; now += DefaultTick {
		if k.measure(now, DefaultTick) {
			t.Fatalf("too much after %v", now)
		}
	}
	if !k.measure(shareOver, 0) || k.share.Load() < 90 {
		t.Errorf("%d %%", k.share.Load())
	}
	if k.measure(2*shareOver, shareOver/2) || k.share.Load() != 50 {
		t.Errorf("%d %%", k.share.Load())
	}
}

// Every clockwork has as many workers as the process had processors, however
// many there are, and leaves them as they were.
func TestClockworkProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	now := func() time.Duration { return 0 }
	a := newClockwork(now, DefaultTick)
	b := newClockwork(now, DefaultTick)
	if n := runtime.GOMAXPROCS(0); len(a.workers) != before || len(b.workers) != before || n != 3*before {
		t.Errorf("%d and %d workers, %d processors; %d before", len(a.workers), len(b.workers), n, before)
	}
	a.close()
	b.close()
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("%d processors, %d before", n, before)
	}
}

// slowConn keeps a worker at work for several ticks: the rest of a tick that it
// then sleeps never makes its share a small one, however late timers are.
type slowConn struct {
	*fakeConn
	turns atomic.Int64
}

func (c *slowConn) receive() (int, error) {
	time.Sleep(4 * DefaultTick)
	c.turns.Add(1)
	return 0, nil
}

// A worker with too much to do hands a contribution on, and both go on.
func TestClockworkHandsOn(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2)) // so that there are two workers
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }
	w := newClockwork(now, DefaultTick)
	defer w.close()
	ctx, stop := context.WithCancel(t.Context())
	var conns [2]*slowConn
	var all [2]*contribution
	for i := range all {
		c, err := newContribution(Contribution{
			Name: "v", Keys: [][]byte{newKey(t)}, Latency: 100 * time.Millisecond, Inputs: []Input{{Name: "a", Offset: -1}},
		}, now, DefaultTick, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		virtual := time.Duration(0)
		conns[i] = &slowConn{fakeConn: &fakeConn{now: &virtual}}
		c.addLink(c.paths[0], &link{conn: conns[i], gone: make(chan struct{})})
		c.heard, c.lastData, c.work = true, time.Hour, w
		c.report.next = 1 << 62
		all[i] = c
		go c.run(ctx)
	}
	defer func() {
		stop()
		for _, c := range all {
			<-c.done
		}
	}()
	loads := func() [2]int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return [2]int{w.workers[0].load, w.workers[1].load}
	}
	eventually(t, 10*time.Second, "each worker has one", func() bool { return loads() == [2]int{1, 1} })
	for _, c := range conns {
		n := c.turns.Load()
		eventually(t, 10*time.Second, "it goes on", func() bool { return c.turns.Load() > n+5 })
	}
}
