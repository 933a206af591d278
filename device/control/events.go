package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"quartet/device/health"
)

// events serves the event stream (server-sent events, WHATWG HTML §9.2). An
// event's id is INSTANCE.NUMBER; a reader that comes back with it gets what it
// missed, and everything that is kept if the process was started again since.
// What has been overwritten is told by an event "missed" with its count.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after := q.Get("after")
	if after == "" {
		after = r.Header.Get("Last-Event-ID")
	}
	follow := true
	if f := q.Get("follow"); f != "" {
		var err error
		if follow, err = strconv.ParseBool(f); err != nil {
			refuse(w, http.StatusBadRequest, fmt.Errorf("the parameter follow is %q; write true or false", f))
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	// The server's ReadTimeout is for requests; this answer has no end.
	_ = out.SetReadDeadline(time.Time{})

	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for seq := s.number(after); ; {
		list, missed, more := s.cfg.Health.Ring().After(seq)
		// A reader that does not read is dropped rather than waited for.
		_ = out.SetWriteDeadline(time.Now().Add(heartbeat))
		if missed > 0 {
			fmt.Fprintf(w, "event: missed\ndata: {\"count\": %d}\n\n", missed)
		}
		for _, e := range list {
			seq = e.Seq
			if s.write(w, e) != nil {
				return
			}
		}
		if !follow || out.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-beat.C:
			fmt.Fprint(w, ": still here\n\n")
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		}
	}
}

func (s *Server) write(w http.ResponseWriter, e health.Event) error {
	v := Event{ID: s.cfg.Instance + "." + strconv.FormatUint(e.Seq, 10), Time: s.cfg.Wall(e.Time), Kind: e.Kind,
		Condition: view(e.Condition, s.cfg.Wall)}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", v.ID, v.Kind, b)
	}
	return err
}

// number is the number in an event's id, 0 if it is not of this instance.
func (s *Server) number(id string) uint64 {
	rest, ok := strings.CutPrefix(id, s.cfg.Instance+".")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(rest, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
