package home

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"
)

// Queue is where a Courier gets its load. Its methods are called from the
// courier's goroutine, one at a time.
type Queue interface {
	// Next returns the body of a request with at most n of the oldest records, and
	// how many they are; 0: there is nothing to send now. An error is tried again.
	Next(n int) (body []byte, count int, err error)
	// Accepted: home has what Next returned last.
	Accepted(o Outcome)
	// Refused: home does not want the one record that Next returned last.
	Refused(reason string)
}

// State is what a courier is doing.
type State string

// The states.
const (
	Idle      State = "idle"      // nothing is waiting
	Sending   State = "sending"   // and home answers
	Retrying  State = "retrying"  // home is away, or asks to wait
	Rejecting State = "rejecting" // home refuses everything
)

// CourierStats says how a courier is.
type CourierStats struct {
	State    State
	Reason   string // of Retrying and Rejecting
	Requests uint64
	Retries  uint64 // requests that were not answered, or are to be sent again
	Accepted uint64 // records
	Rejected int64  // points or records of accepted requests
	Refused  uint64 // records given up
	Sent     uint64 // bytes before compression
}

// Courier brings one signal home.
type Courier struct {
	Signal string
	Queue  Queue
	// Most is how many records a request has at most.
	Most int
	// Longest is how long it waits at most before it tries again. 0: 5 min.
	Longest time.Duration
	// Random returns a number in [0, 1): boxes must not come in step.
	Random func() float64
	// Seen is told of every answer of home. May be nil.
	Seen func(Outcome)

	mu    sync.Mutex
	stats CourierStats
}

const (
	firstWait = time.Second
	longest   = 5 * time.Minute
)

// Stats returns how the courier is.
func (c *Courier) Stats() CourierStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Resume makes the counters go on from where an earlier courier ended.
func (c *Courier) Resume(s CourierStats) {
	s.State, s.Reason = "", ""
	c.note(func(mine *CourierStats) { *mine = s })
}

func (c *Courier) note(f func(*CourierStats)) {
	c.mu.Lock()
	f(&c.stats)
	c.mu.Unlock()
}

// Run sends until ctx ends. wake says that there may be something to send.
func (c *Courier) Run(ctx context.Context, client *Client, wake <-chan struct{}) {
	limit := c.Most
	wait := firstWait
	// pause waits for longer each time, or for as long as home asks, give or take.
	pause := func(state State, o Outcome) {
		c.note(func(s *CourierStats) { s.State, s.Reason, s.Retries = state, o.Reason, s.Retries+1 })
		d := time.Duration(float64(wait) * (0.5 + c.Random()/2))
		if o.Wait > 0 {
			d = o.Wait + time.Duration(float64(min(o.Wait, time.Minute))*c.Random()/4)
		}
		wait = min(2*wait, cmp.Or(c.Longest, longest))
		sleep(ctx, d)
	}
	// An empty request comes first, and after each trouble: it costs home nothing,
	// and brings its clock, by which the times of what follows are checked.
	knock := true
	// A home may refuse a request because it is empty. Whether it refuses all is
	// then told by whether it ever took anything.
	dislikes, took := false, false
	for ctx.Err() == nil {
		if knock {
			o := c.post(ctx, client, nil)
			if ctx.Err() != nil {
				return
			}
			switch {
			case o.Verdict == Accepted:
				knock, dislikes = false, false
			case o.Verdict == Again:
				pause(Retrying, o)
			case o.Status == http.StatusBadRequest || o.Status == http.StatusUnprocessableEntity:
				knock, dislikes = false, true
			default:
				pause(Rejecting, o)
			}
			continue
		}
		body, n, err := c.Queue.Next(limit)
		if err != nil {
			pause(Retrying, Outcome{Reason: err.Error()})
			continue
		}
		if n == 0 {
			c.note(func(s *CourierStats) { s.State, s.Reason = Idle, "" })
			select {
			case <-wake:
			case <-ctx.Done():
			}
			continue
		}
		o := c.post(ctx, client, body)
		if ctx.Err() != nil {
			return
		}
		switch o.Verdict {
		case Accepted:
			c.Queue.Accepted(o)
			c.note(func(s *CourierStats) {
				s.State, s.Reason = Sending, ""
				s.Accepted += uint64(n)
				s.Rejected += o.Rejected
			})
			wait, limit, took = firstWait, min(2*limit, c.Most), true
		case Again:
			pause(Retrying, o)
			knock = true
		case TooLarge:
			if n > 1 {
				limit = n / 2
				continue
			}
			c.refuse(o)
		case Refused:
			// Is it what was sent, or would home refuse anything?
			if p := c.post(ctx, client, nil); p.Verdict != Accepted && !(dislikes && (took || n > 1) && p.Verdict == Refused) {
				state := Rejecting
				if p.Verdict == Again {
					state = Retrying
				}
				pause(state, Outcome{Reason: o.Reason, Wait: p.Wait})
				knock = true
				continue
			}
			if n > 1 {
				limit = n / 2
				continue
			}
			c.refuse(o)
		}
	}
}

func (c *Courier) post(ctx context.Context, client *Client, body []byte) Outcome {
	o := client.Post(ctx, c.Signal, body)
	c.note(func(s *CourierStats) { s.Requests++; s.Sent += uint64(len(body)) })
	if c.Seen != nil && ctx.Err() == nil {
		c.Seen(o)
	}
	return o
}

func (c *Courier) refuse(o Outcome) {
	c.Queue.Refused(o.Reason)
	c.note(func(s *CourierStats) { s.Refused++ })
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
