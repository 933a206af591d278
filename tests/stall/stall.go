// Package stall measures how long this process is not scheduled: what a test in
// real time, or the demo, has to know before it blames the code for a loss.
package stall

import "time"

// Period is how often the watch looks.
const Period = 2 * time.Millisecond

// Watch measures how late a timer of this process fires.
type Watch struct {
	quit chan struct{}
	max  chan time.Duration
}

// Start begins to measure; Stop must be called.
func Start() *Watch {
	w := &Watch{make(chan struct{}), make(chan time.Duration, 1)}
	go func() {
		worst := time.Duration(0)
		for {
			begun := time.Now()
			select {
			case <-w.quit:
				w.max <- worst
				return
			case <-time.After(Period):
				worst = max(worst, time.Since(begun)-Period)
			}
		}
	}()
	return w
}

// Stop ends the watch and returns the longest time for which the process was not
// scheduled.
func (w *Watch) Stop() time.Duration {
	close(w.quit)
	return <-w.max
}
