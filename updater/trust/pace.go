package trust

import (
	"context"
	"time"
)

// Limiter is a Pacer whose rate is asked for again and again.
type Limiter struct {
	// Rate is how many bytes a second may be read now: 0 none at all, below
	// zero any number.
	Rate func() int64
	// Again is how long it waits at a rate of 0 before it asks again. 0: 1 s.
	Again time.Duration

	next time.Time // when the next byte is due
}

// late is what is made up for of the time that a sleep or a read took too long:
// at a high rate that is most of the time.
const late = 100 * time.Millisecond

// Wait implements Pacer. What was not used for longer is not saved up, so that no
// burst follows a pause.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	for {
		rate := l.Rate()
		if rate < 0 {
			l.next = time.Time{}
			return ctx.Err()
		}
		now := time.Now()
		if rate == 0 {
			again := l.Again
			if again == 0 {
				again = time.Second
			}
			l.next = time.Time{}
			if err := sleep(ctx, again); err != nil {
				return err
			}
			continue
		}
		due := l.next
		if l.next.IsZero() {
			due = now
		} else if first := now.Add(-late); due.Before(first) {
			due = first
		}
		l.next = due.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		return sleep(ctx, due.Sub(now))
	}
}

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
