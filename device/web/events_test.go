package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"quartet/device/control"
)

// sse is an open event stream.
type sse struct {
	t      *testing.T
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

// watch opens an event stream of a served bed.
func (b *bed) watch(t *testing.T, addr string, role Role) (*sse, int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", "https://"+addr+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: cookieName, Value: b.tokens[role]})
	resp, err := client(t, 0).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	s := &sse{t: t, resp: resp, lines: bufio.NewScanner(resp.Body), cancel: cancel}
	s.lines.Buffer(nil, 1<<20)
	t.Cleanup(s.close)
	return s, resp.StatusCode
}

func (s *sse) close() {
	s.cancel()
	s.resp.Body.Close()
}

// next reads one event; kind "" at the end.
func (s *sse) next() (kind, data string) {
	for s.lines.Scan() {
		line := s.lines.Text()
		switch {
		case strings.HasPrefix(line, "event: "):
			kind = line[7:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		case line == "" && kind != "":
			return kind, data
		}
	}
	return "", ""
}

// until reads to an event of a kind.
func (s *sse) until(kind string) string {
	s.t.Helper()
	for {
		k, data := s.next()
		switch k {
		case kind:
			return data
		case "":
			s.t.Fatalf("the stream ended before an event %s", kind)
		}
	}
}

// TestEvents: the overview at once and each second, conditions and notices as
// they come, and bye when the session has ended for want of activity.
func TestEvents(t *testing.T) {
	b := newBed(t)
	addr, _ := b.serve()
	s, code := b.watch(t, addr, Viewer)
	if code != 200 || s.resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", code, s.resp.Header)
	}
	var o Overview
	if err := json.Unmarshal([]byte(s.until("overview")), &o); err != nil || o.Box == nil || len(o.SharedInterfaces) != 1 || len(o.Conditions) == 0 {
		t.Errorf("%+v %v", o, err)
	}
	b.events <- control.Event{ID: "i.1", Time: time.Now(), Kind: "raised", Condition: control.Condition{ID: "path-down@path/1a", Active: true}}
	if data := s.until("condition"); !strings.Contains(data, "path-down@path/1a") || !strings.Contains(data, `"source":"media"`) {
		t.Error(data)
	}
	b.must(request{method: "POST", path: "/identify", role: Operator, body: `{"seconds": 1}`})
	if data := s.until("notice"); !strings.Contains(data, `"actor":"olaf"`) {
		t.Error(data)
	}
	b.advance(time.Second)
	s.until("overview")
	b.advance(16 * time.Minute)
	b.server.hub.wake()
	if data := s.until("bye"); data != `{"reason":"expired"}` {
		t.Error(data)
	}
	if kind, _ := s.next(); kind != "" {
		t.Errorf("%s after bye", kind)
	}
}

// The stream of one who logs out, or is removed, ends.
func TestEventsEndWithTheSession(t *testing.T) {
	b := newBed(t)
	addr, _ := b.serve()
	s, _ := b.watch(t, addr, Viewer)
	s.until("overview")
	b.must(request{method: "DELETE", path: "/users/vera", role: Admin})
	s.until("bye")
	if _, code := b.watch(t, addr, Viewer); code != 401 {
		t.Errorf("%d", code)
	}
	// And with the server.
	s, _ = b.watch(t, addr, Operator)
	s.until("overview")
	b.server.hub.close(Bye{Reason: "restart"})
	if data := s.until("bye"); !strings.Contains(data, "restart") {
		t.Error(data)
	}
}

// 32 streams at once, and not one more; those that read nothing cost nobody
// anything, and their places come back.
func TestEventsAreBounded(t *testing.T) {
	b := newBed(t)
	addr, _ := b.serve()
	var streams []*sse
	for i := range maxWatchers {
		s, code := b.watch(t, addr, Viewer)
		if code != 200 {
			t.Fatalf("stream %d: %d", i, code)
		}
		streams = append(streams, s) // and never read
	}
	if s, code := b.watch(t, addr, Viewer); code != 503 || s.resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d", code)
	}
	// Two hundred megabytes for those who do not read: the reader gets all that is
	// new, and memory stays what the ring has.
	big := strings.Repeat("x", 100<<10)
	for i := range 60 {
		b.server.hub.notice(Notice{Action: fmt.Sprint(i), Text: big})
	}
	reader := streams[0]
	for want := 0; want < 60; {
		data := reader.until("notice")
		if !strings.Contains(data, fmt.Sprintf(`"action":"%d"`, want)) {
			t.Fatalf("notice %d: %.60s", want, data)
		}
		want++
	}
	for _, s := range streams {
		s.close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		b.server.hub.mu.Lock()
		n := b.server.hub.watchers
		b.server.hub.mu.Unlock()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d streams are still there", n)
		}
		b.server.hub.wake()
		time.Sleep(time.Millisecond) // the sockets' ends arrive
	}
}

// A reader of the hub that is behind misses the oldest.
func TestHub(t *testing.T) {
	h := newHub()
	r := h.reader()
	for i := range ringFrames + 10 {
		h.notice(Notice{Action: fmt.Sprint(i)})
	}
	h.show([]byte("{}"))
	h.show([]byte(`{"new": 1}`))
	frames, bye, more := h.after(&r)
	if bye != nil || len(frames) != ringFrames+1 || !strings.Contains(string(frames[0]), `"action":"10"`) || string(frames[ringFrames]) != "event: overview\ndata: {\"new\": 1}\n\n" {
		t.Errorf("%d frames, %q", len(frames), frames[0])
	}
	select {
	case <-more:
		t.Error("more")
	default:
	}
	if frames, _, _ := h.after(&r); len(frames) != 0 {
		t.Errorf("%d frames again", len(frames))
	}
	h.wake()
	<-more
}
