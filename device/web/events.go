package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"quartet/device/control"
)

// Times of an event stream.
const (
	overviewEvery = time.Second
	staleWrite    = 5 * time.Second // a reader that takes nothing for so long is dropped
	heartbeat     = 15 * time.Second
	mediaPatience = 2 * time.Second // for an answer of the media plane
)

// Event is a condition that was raised, changed or cleared, or a note.
type Event struct {
	control.Event
	Source string `json:"source" doc:"part that raised it: media, manage"`
}

// getEvents serves a stream. It ends with the session, of whose idle time it
// does not count as use.
func (s *Server) getEvents(c *call) error {
	if !s.hub.enter() {
		p := fail(http.StatusServiceUnavailable, typeBusy, "as many pages are open as the box serves", "close another one")
		p.RetryAfter = 10
		writeProblem(c.w, p)
		return p
	}
	defer s.hub.leave()
	out := http.NewResponseController(c.w)
	_ = out.SetReadDeadline(time.Time{}) // the server's is for requests
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)

	r := s.hub.reader()
	if b, err := s.view.current(c.r.Context()); err == nil {
		if s.write(c, out, event("overview", b)) != nil {
			return nil
		}
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	ends := time.NewTicker(time.Second)
	defer ends.Stop()
	for {
		frames, bye, more := s.hub.after(&r)
		if bye == nil {
			if _, err := s.cfg.Access.Peek(c.token); err != nil {
				bye = &Bye{Reason: "expired"}
			}
		}
		if bye != nil {
			b, _ := json.Marshal(bye)
			_ = s.write(c, out, event("bye", b))
			return nil
		}
		for _, f := range frames {
			if s.write(c, out, f) != nil {
				return nil
			}
		}
		select {
		case <-more:
		case <-ends.C:
		case <-beat.C:
			if s.write(c, out, []byte(": still here\n\n")) != nil {
				return nil
			}
		case <-c.r.Context().Done():
			return nil
		}
	}
}

func (s *Server) write(c *call, out *http.ResponseController, b []byte) error {
	_ = out.SetWriteDeadline(time.Now().Add(staleWrite))
	if _, err := c.w.Write(b); err != nil {
		return err
	}
	return out.Flush()
}

// watch keeps overview and conditions current until ctx ends: the overview each
// second as long as somebody looks, conditions always.
func (s *Server) watch(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.follow(ctx)
	}()
	tick := time.NewTicker(overviewEvery)
	defer tick.Stop()
	var seen uint64
	for n := 0; ctx.Err() == nil; n++ {
		// Nobody looking, a look every five seconds is enough for conditions. The
		// page takes values for fresh for three.
		if s.hub.watched() && (n%2 == 0 || !s.shed.Load()) || n%5 == 0 {
			if b, err := s.view.refresh(ctx); err == nil {
				s.hub.show(b)
			}
		}
		seen = s.ownEvents(seen)
		s.turns.Add(1)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	<-done
}

// ownEvents hands on what happened to the management's own conditions.
func (s *Server) ownEvents(after uint64) uint64 {
	s.monitor.Tick(s.since())
	list, _, _ := s.monitor.Ring().After(after)
	for _, e := range list {
		after = e.Seq
		v := control.Views([]healthCondition{e.Condition}, s.wall)[0]
		s.hub.add("condition", Event{control.Event{Time: s.wall(e.Time), Kind: e.Kind, Condition: v}, "manage"})
	}
	return after
}

func (s *Server) wall(d time.Duration) time.Time { return s.start.Add(d) }

// follow hands on the media plane's events, and comes back when it was started
// again.
func (s *Server) follow(ctx context.Context) {
	after := ""
	for wait := time.Second; ctx.Err() == nil; {
		err := s.cfg.Media.Events(ctx, after, true, func(e control.Event, _ uint64) error {
			if after != "" || time.Since(e.Time) < 10*time.Second { // not the whole past at the start
				s.hub.add("condition", Event{e, "media"})
			}
			after, wait = e.ID, time.Second
			return nil
		})
		if err != nil {
			wait = min(2*wait, 10*time.Second)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
