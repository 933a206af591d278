package confidence

import "time"

// Span is a stretch of media time in which something was the case.
type Span struct {
	Active bool          // it is the case, and has been for the hold time
	Start  time.Duration // of the present one, else of the last that reached the hold time
	Length time.Duration // so far, or of the whole
	Count  uint64        // how many have reached the hold time
}

// held watches a state until it has lasted.
type held struct {
	hold    time.Duration // set at start, never changed
	on      bool
	since   time.Duration // if on
	reached bool          // the present one has lasted for hold
	span    Span
}

// set takes the state at t; it holds until the next call.
func (h *held) set(t time.Duration, on bool) {
	if on && !h.on {
		h.on, h.since, h.reached = true, t, false
	}
	if !h.on {
		return
	}
	if length := t - h.since; h.reached || length >= h.hold && (on || length > 0) {
		if !h.reached {
			h.reached = true
			h.span.Count++
		}
		h.span.Active, h.span.Start, h.span.Length = on, h.since, length
	}
	if !on {
		h.on, h.reached, h.span.Active = false, false, false
	}
}

// restart ends the present span at t, and begins the next.
func (h *held) restart(t time.Duration) {
	h.set(t, false)
	h.set(t, true)
}
