// Package stall measures how long this process is not scheduled: what a test in
// real time, or the demo, has to know before it blames the code for a loss.
package stall

import (
	"sync/atomic"
	"time"
)

// Period is how often the watch looks.
const Period = 2 * time.Millisecond

// Watch measures how late a timer of this process fires.
type Watch struct {
	quit, done chan struct{}
	longest    atomic.Int64 // ns
}

// Start begins to measure; Stop must be called.
func Start() *Watch {
	w := &Watch{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			begun := time.Now()
			select {
			case <-w.quit:
				return
			case <-time.After(Period):
				if late := int64(time.Since(begun) - Period); late > w.longest.Load() {
					w.longest.Store(late)
				}
			}
		}
	}()
	return w
}

// Longest is the longest time so far for which the process was not scheduled.
func (w *Watch) Longest() time.Duration { return time.Duration(w.longest.Load()) }

// Stop ends the watch and returns Longest.
func (w *Watch) Stop() time.Duration {
	close(w.quit)
	<-w.done
	return w.Longest()
}
