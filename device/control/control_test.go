package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"quartet/device/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// media is a media plane without media.
type media struct {
	thumbnail func() (Thumbnail, error)
	reload    func() (Reload, error)
	rested    atomic.Int64
	preflight func(ctx context.Context, path string) (Preflight, error)
	restart   error
}

func (m *media) Status() Status {
	return Status{Name: "studio-1", Paths: []Path{{Name: "1a", Profile: "ts", State: PathUp, ArrivalUnknown: "profile ts has no reports"}}}
}

func (m *media) Probe(where string) (Probe, error) {
	switch where {
	case AtInput:
		return Probe{Where: where, Time: epoch, Stream: json.RawMessage(`{"started":true}`)}, nil
	case AtOutput:
		return Probe{}, errors.New("switched off")
	}
	return Probe{}, ErrNoPlace
}

func (m *media) Thumbnail() (Thumbnail, error) { return m.thumbnail() }

func (m *media) Reload(context.Context) (Reload, error) { return m.reload() }

func (m *media) Restart(context.Context) error { return m.restart }

func (m *media) Rest(d time.Duration) { m.rested.Store(int64(d)) }

func (m *media) Preflight(ctx context.Context, path string) (Preflight, error) {
	return m.preflight(ctx, path)
}

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func wall(d time.Duration) time.Time { return epoch.Add(d) }

type bed struct {
	socket string
	media  *media
	health *health.Monitor
	client *Client
	stop   func() error // ends the server and returns what Run returned
}

// start runs a server on a socket of its own.
func start(t *testing.T) *bed {
	t.Helper()
	b := &bed{socket: filepath.Join(t.TempDir(), "c.sock"), media: &media{}, health: health.New(health.Catalogue())}
	s, err := Listen(Config{Socket: b.socket, Media: b.media, Health: b.health, Wall: wall, Instance: "i1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.client = NewClient(b.socket)
	stopped := false
	b.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		b.client.Close()
		return <-done
	}
	t.Cleanup(func() { b.stop() })
	return b
}

func TestStatus(t *testing.T) {
	b := start(t)
	b.health.Set(time.Second, health.GatewayLossy, health.Path("1a"), true, "3 packets")
	got, err := b.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := b.media.Status()
	want.Worst = "critical"
	want.Active = Views(b.health.Active(), wall)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c := got.Active[0]; c.ID != "gateway-lossy@path/1a" || !c.Raised.Equal(epoch.Add(time.Second)) || c.Cleared != nil || c.Severity != health.Critical {
		t.Errorf("%+v", c)
	}
}

func TestConditions(t *testing.T) {
	b := start(t)
	b.health.Set(0, health.GatewayLossy, health.Path("1a"), true, "")
	b.health.Set(time.Second, health.GatewayLossy, health.Path("1a"), false, "")
	b.health.Tick(9 * time.Second)
	l, err := b.client.Conditions(t.Context())
	if err != nil || l.Worst != "info" || len(l.List) != 1 || l.List[0].Active || !l.List[0].Cleared.Equal(epoch.Add(9*time.Second)) {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestProbe(t *testing.T) {
	b := start(t)
	p, err := b.client.Probe(t.Context(), AtInput)
	if want, _ := b.media.Probe(AtInput); err != nil || cmp.Diff(want, p) != "" {
		t.Errorf("%+v, %v", p, err)
	}
	for where, code := range map[string]int{AtOutput: http.StatusConflict, "": http.StatusBadRequest, "a&b": http.StatusBadRequest} {
		_, err := b.client.Probe(t.Context(), where)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%q: %v", where, err)
		}
	}
}

func TestRestart(t *testing.T) {
	b := start(t)
	if err := b.client.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	b.media.restart = errors.New("name is missing")
	if e := (*Error)(nil); !errors.As(b.client.Restart(t.Context()), &e) || e.Code != http.StatusUnprocessableEntity || e.Text != "name is missing" {
		t.Errorf("%+v", e)
	}
}

// What cannot change while running is told apart from what is wrong.
func TestReloadNeedsRestart(t *testing.T) {
	b := start(t)
	b.media.reload = func() (Reload, error) { return Reload{}, &RestartNeeded{[]string{"input", "name"}} }
	_, err := b.client.Reload(t.Context())
	if e := (*Error)(nil); !errors.As(err, &e) || !slices.Equal(e.NeedsRestart, []string{"input", "name"}) || !strings.Contains(e.Text, "restart quartetd") {
		t.Errorf("%+v", err)
	}
}

func TestThumbnail(t *testing.T) {
	b := start(t)
	b.media.thumbnail = func() (Thumbnail, error) { return Thumbnail{[]byte("a picture"), epoch}, nil }
	if p, err := b.client.Thumbnail(t.Context()); err != nil || string(p.JPEG) != "a picture" || !p.Time.Equal(epoch) {
		t.Errorf("%+v, %v", p, err)
	}
	for err, code := range map[error]int{fmt.Errorf("%w yet", ErrNoThumbnail): http.StatusNotFound, errors.New("other"): http.StatusConflict} {
		b.media.thumbnail = func() (Thumbnail, error) { return Thumbnail{}, err }
		_, got := b.client.Thumbnail(t.Context())
		if e := (*Error)(nil); !errors.As(got, &e) || e.Code != code || e.Text != err.Error() {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestReload(t *testing.T) {
	b := start(t)
	b.media.reload = func() (Reload, error) { return Reload{Warnings: []string{"w"}}, nil }
	if r, err := b.client.Reload(t.Context()); err != nil || r.Changed == nil || len(r.Warnings) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	b.media.reload = func() (Reload, error) { return Reload{}, errors.New("name (line 1:2): is missing") }
	_, err := b.client.Reload(t.Context())
	if e := (*Error)(nil); !errors.As(err, &e) || e.Code != http.StatusUnprocessableEntity || e.Text != "name (line 1:2): is missing" {
		t.Errorf("%v", err)
	}
}

func TestRest(t *testing.T) {
	b := start(t)
	if err := b.client.Rest(t.Context(), 15*time.Second); err != nil || b.media.rested.Load() != int64(15*time.Second) {
		t.Errorf("%v, %v", b.media.rested.Load(), err)
	}
	err := b.client.Rest(t.Context(), time.Hour)
	if e := (*Error)(nil); !errors.As(err, &e) || e.Code != http.StatusBadRequest || !strings.Contains(e.Text, "seconds") {
		t.Errorf("%v", err)
	}
}

func TestPreflight(t *testing.T) {
	b := start(t)
	b.media.preflight = func(_ context.Context, path string) (Preflight, error) {
		if path != "1 a&b" {
			return Preflight{}, ErrNoPath
		}
		return Preflight{Path: path, OK: true, Steps: []Step{{Name: "connect", OK: true, Text: "connected"}}}, nil
	}
	if p, err := b.client.Preflight(t.Context(), "1 a&b"); err != nil || !p.OK || len(p.Steps) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	_, err := b.client.Preflight(t.Context(), "9z")
	if e := (*Error)(nil); !errors.As(err, &e) || e.Code != http.StatusNotFound || !strings.Contains(e.Text, `no such path "9z"`) {
		t.Errorf("%v", err)
	}
	_, err = b.client.Preflight(t.Context(), "")
	if e := (*Error)(nil); !errors.As(err, &e) || e.Code != http.StatusBadRequest {
		t.Errorf("%v", err)
	}
}

// TestMethods: reading changes nothing, and what is not offered is refused.
func TestMethods(t *testing.T) {
	b := start(t)
	for target, want := range map[string]int{"GET /v1/reload": 405, "POST /v1/status": 405, "GET /v1/nothing": 404, "GET /v1/events?follow=maybe": 400} {
		method, path, _ := strings.Cut(target, " ")
		_, err := b.client.do(t.Context(), method, path)
		if e := (*Error)(nil); !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// TestEvents: what is kept comes first, then what happens; a reader that
// comes back misses nothing.
func TestEvents(t *testing.T) {
	b := start(t)
	b.health.Note(0, "start", "box", "one")
	b.health.Note(time.Second, "start", "box", "two")
	var got []string
	var last string
	enough := errors.New("enough")
	collect := func(n int) func(Event, uint64) error {
		return func(e Event, missed uint64) error {
			got = append(got, fmt.Sprint(e.Condition.Text, " ", missed))
			last = e.ID
			if len(got) == 2 {
				b.health.Note(2*time.Second, "x", "box", "three")
			}
			if len(got) == n {
				return enough
			}
			return nil
		}
	}
	if err := b.client.Events(t.Context(), "", true, collect(3)); err != enough {
		t.Fatal(err)
	}
	b.health.Note(3*time.Second, "x", "box", "four")
	if err := b.client.Events(t.Context(), last, false, collect(99)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one 0", "two 0", "three 0", "four 0"}, got); diff != "" {
		t.Error(diff)
	}
	// Another instance's id: everything that is kept.
	got = nil
	if err := b.client.Events(t.Context(), "i0.4", false, collect(99)); err != nil || len(got) != 4 {
		t.Error(err, got)
	}
	// More than the ring holds: 2005 were written, 4 of them are known.
	for i := range 2000 {
		b.health.Note(time.Duration(i), "x", "box", "many")
	}
	got = nil
	if err := b.client.Events(t.Context(), last, false, collect(99999)); err != nil || len(got) != 1024 || got[0] != "many 977" {
		t.Error(err, len(got), got[0])
	}
}

// TestShutdown: open event streams and hanging requests do not delay the end,
// and the socket is gone after it.
func TestShutdown(t *testing.T) {
	b := start(t)
	entered := make(chan struct{})
	b.media.preflight = func(ctx context.Context, _ string) (Preflight, error) {
		close(entered)
		<-ctx.Done()
		return Preflight{}, ctx.Err()
	}
	b.health.Note(0, "start", "box", "one")
	reading, ended := make(chan struct{}), make(chan error, 2)
	go func() {
		ended <- b.client.Events(context.Background(), "", true, func(Event, uint64) error { close(reading); return nil })
	}()
	go func() {
		c := NewClient(b.socket)
		defer c.Close()
		_, err := c.Preflight(context.Background(), "1a")
		if err == nil {
			err = errors.New("a preflight that was cut off succeeded")
		} else {
			err = nil
		}
		ended <- err
	}()
	<-reading
	<-entered
	begin := time.Now()
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(b.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	_, err := b.client.Status(t.Context())
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "there is no such socket") {
		t.Error(err)
	}
}

// TestSocketFile: mode, a socket left behind, one in use, and a file that is
// no socket.
func TestSocketFile(t *testing.T) {
	b := start(t)
	if info, err := os.Stat(b.socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := Listen(Config{Socket: b.socket}); err == nil || !strings.Contains(err.Error(), "served by another process") {
		t.Errorf("a second server: %v", err)
	}

	stale := filepath.Join(t.TempDir(), "deep", "s.sock")
	os.Mkdir(filepath.Dir(stale), 0o755)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	c := NewClient(stale)
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "nobody serves") {
		t.Errorf("a stale socket: %v", err)
	}
	s, err := Listen(Config{Socket: stale, Media: b.media, Health: b.health, Wall: wall})
	if err != nil {
		t.Fatal(err)
	}
	// Another server took the name meanwhile: its socket stays.
	os.Remove(stale)
	os.WriteFile(stale, nil, 0o600)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(stale); err != nil {
		t.Errorf("a file of another was removed: %v", err)
	}
	if _, err := Listen(Config{Socket: stale}); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("a file in the socket's place: %v", err)
	}
}

// FuzzReadEvents: a stream of any bytes does not break the client.
func FuzzReadEvents(f *testing.F) {
	f.Add("id: i.1\nevent: raised\ndata: {\"id\":\"i.1\",\"kind\":\"raised\"}\n\n: x\n\nevent: missed\ndata: {\"count\": 3}\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		_ = readEvents(strings.NewReader(s), func(Event, uint64) error { return nil })
	})
}
