package gateway

import (
	"math/rand/v2"
	"time"
)

// backoff is the wait before the next attempt to reach a far end: the first
// is at most 250 ms, each later one up to twice as long, at most maxBackoff.
// Every wait is drawn from its upper half at random, so that callers which
// lost the same far end at the same time do not return in step.
type backoff struct{ tries int }

const (
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 2 * time.Second
)

func (b *backoff) next() time.Duration {
	d := min(firstBackoff<<min(b.tries, 8), maxBackoff)
	b.tries++
	return d/2 + rand.N(d/2)
}

func (b *backoff) reset() { b.tries = 0 }
