package main

import (
	"fmt"
	"strings"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tr101290"
	"quartet/device/health"
)

const (
	// settling is how long after an outage of the feed what is sent is not
	// compared with what comes, and how long an error may take from one end to
	// the other: longer than the pacer holds packets, and than a check stays
	// active.
	settling = 6 * time.Second
	// oursFor is how long an error of our own is shown.
	oursFor = 2 * time.Second
	// namedChecks is how many checks a condition's text names.
	namedChecks = 3
)

type checkList = [tr101290.CheckCount]tr101290.CheckStats

// ends is what the monitors say at one moment. out was taken first, so that an
// error that is at the output is at the input too.
type ends struct{ in, out checkList }

// checks is nil where monitoring is switched off.
func (c *chain) checks() *ends {
	if c.in == nil {
		return nil
	}
	e := &ends{}
	e.out = c.out.Checks()
	e.in = c.in.Checks()
	return e
}

// lookAtStreams sets the conditions of the stream at both ends.
func (w *watcher) lookAtStreams(now time.Duration, s *sample) {
	e := s.streams
	if e == nil {
		return
	}
	for code, priority := range map[health.Code]int{health.InputTSPriority1: 1, health.InputTSPriority2: 2} {
		bad := describe(&e.in, func(c *tr101290.CheckStats) (uint64, bool) { return c.Count, c.Active && c.Priority == priority })
		w.health.Set(now, code, health.ResourceInput, bad != "", bad)
	}
	w.ours.compare(now, e, s.present, s.input.Losses)
	bad := describe(&e.out, func(c *tr101290.CheckStats) (uint64, bool) {
		o := &w.ours.checks[c.Check]
		return o.count, o.count > 0 && now-o.last < oursFor
	})
	w.health.Set(now, health.OutputTSErrors, health.ResourceOutput, bad != "", bad)
}

// describe names the checks that which picks: "1.4 Continuity_count_error, PID
// 257, 12 errors; …". It is empty if there are none.
func describe(list *checkList, which func(*tr101290.CheckStats) (count uint64, ok bool)) string {
	var words []string
	more := 0
	for i := range list {
		c := &list[i]
		n, ok := which(c)
		switch {
		case !ok:
		case len(words) == namedChecks:
			more++
		default:
			text := c.Clause + " " + c.Check.String()
			if c.PID != mpegts.NullPID {
				text += fmt.Sprintf(", PID %d", c.PID)
			}
			if text += fmt.Sprintf(", %d errors", n); n == 1 {
				text = strings.TrimSuffix(text, "s")
			}
			words = append(words, text)
		}
	}
	if more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, "; ")
}

// ours finds the errors of what is sent that the feed did not come with.
type ours struct {
	from   time.Duration // not compared before
	losses uint64        // of the feed, as last seen
	silent uint64        // times that the feed was away, by check 1.1
	checks [tr101290.CheckCount]own
}

// own is a check's part of it.
type own struct {
	explained int64         // errors at the output beyond those at the input, as far as looked into
	below     time.Duration // when there were as many last; later there are fewer
	count     uint64        // errors of our own
	last      time.Duration // when the last was found
}

// compare looks at both ends at one moment. Errors that come with the feed show
// at the output later, or not at all; what shows there only is ours.
func (o *ours) compare(now time.Duration, e *ends, present bool, losses uint64) {
	away := &e.in[tr101290.TSSyncLoss]
	if !present || losses != o.losses || away.Count != o.silent || away.Active {
		// What is filled in has no tables, no clock, no pictures; and behind an
		// outage each end begins anew at its own instant.
		o.losses, o.silent, o.from = losses, away.Count, now+settling
	}
	for i := range o.checks {
		in, out, c := &e.in[i], &e.out[i], &o.checks[i]
		beyond := int64(out.Count) - int64(in.Count)
		switch {
		case out.Priority > 2:
		case now < o.from:
			c.explained, c.below = beyond, now
		case beyond > c.explained:
			if !byArrival(out.Check) || !in.Active {
				c.count += uint64(beyond - c.explained)
				c.last = now
			}
			c.explained, c.below = beyond, now
		case beyond == c.explained:
			c.below = now
		case now-c.below > settling: // those of the feed that never come out
			c.explained, c.below = beyond, now
		}
	}
}

// byArrival tells whether a check goes by instants or by positions, which differ
// between the two ends, so that the same fault may count differently.
func byArrival(c tr101290.Check) bool {
	switch c {
	case tr101290.ContinuityCountError, tr101290.TransportError, tr101290.CRCError, tr101290.PCRDiscontinuityIndicatorError:
		return false
	}
	return true
}
