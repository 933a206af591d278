package web

import (
	"fmt"
	"sync"
)

// ringFrames is how many conditions and notices are kept for event streams that
// are behind.
const ringFrames = 256

// hub hands frames of server-sent events to any number of streams, each at its
// own pace: it keeps the last overview and the last few other frames, and wakes
// whoever waits. A stream that is too slow misses frames; nothing waits for it.
type hub struct {
	mu       sync.Mutex
	frames   []frame // frame n stands at n % ringFrames
	next     uint64  // number of the next one
	overview []byte  // the last one, as a frame
	ovNumber uint64  // of the overview
	watchers int
	bye      *Bye // nil until the server ends
	woken    chan struct{}
}

type frame struct{ text []byte }

func newHub() *hub {
	return &hub{frames: make([]frame, ringFrames), next: 1, woken: make(chan struct{})}
}

// event writes a frame (WHATWG HTML §9.2).
func event(kind string, data []byte) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", kind, trimNewline(data))
}

func trimNewline(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return b
}

func (h *hub) wakeLocked() {
	close(h.woken)
	h.woken = make(chan struct{})
}

// wake has every stream look at its session.
func (h *hub) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wakeLocked()
}

// add appends a frame for everybody.
func (h *hub) add(kind string, v any) {
	b, err := encode(v)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames[h.next%ringFrames] = frame{event(kind, b)}
	h.next++
	h.wakeLocked()
}

func (h *hub) notice(n Notice) { h.add("notice", n) }

// show replaces the overview.
func (h *hub) show(b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.overview = event("overview", b)
	h.ovNumber++
	h.wakeLocked()
}

// close ends all streams.
func (h *hub) close(b Bye) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bye = &b
	h.wakeLocked()
}

// enter takes a place for a stream; false if there is none.
func (h *hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers >= maxWatchers || h.bye != nil {
		return false
	}
	h.watchers++
	return true
}

func (h *hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers--
}

func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watchers > 0
}

// reader is how far a stream has read.
type reader struct{ next, overview uint64 }

// reader starts at now: what is the case is in the overview.
func (h *hub) reader() reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	return reader{next: h.next}
}

// after returns what a stream has not seen, and a channel that is closed when
// there is more.
func (h *hub) after(r *reader) (frames [][]byte, bye *Bye, more <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.next > ringFrames && r.next < h.next-ringFrames {
		r.next = h.next - ringFrames
	}
	for ; r.next < h.next; r.next++ {
		frames = append(frames, h.frames[r.next%ringFrames].text)
	}
	if h.ovNumber > r.overview {
		r.overview = h.ovNumber
		frames = append(frames, h.overview)
	}
	return frames, h.bye, h.woken
}
