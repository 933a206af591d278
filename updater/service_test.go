package updater

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeService remembers what it was asked.
type fakeService struct {
	now    NowRequest
	until  DeferRequest
	cancel CancelRequest
	actor  string
	upload []byte
}

func (f *fakeService) Status(context.Context) (Status, error) {
	return Status{Version: "1.0.0", Phase: Idle}, nil
}
func (f *fakeService) Check(context.Context) (Status, error) {
	return Status{}, errors.New("the repository cannot be read; check the way to it")
}
func (f *fakeService) Now(_ context.Context, r NowRequest) (Status, error) {
	f.now = r
	return Status{Phase: Ready}, nil
}
func (f *fakeService) Defer(_ context.Context, r DeferRequest) (Status, error) {
	f.until = r
	return Status{}, nil
}
func (f *fakeService) Cancel(_ context.Context, r CancelRequest) (Status, error) {
	f.cancel = r
	return Status{}, nil
}
func (f *fakeService) Upload(_ context.Context, actor string, r io.Reader) (Status, error) {
	b, err := io.ReadAll(r)
	f.actor, f.upload = actor, b
	return Status{Phase: Ready}, err
}
func (f *fakeService) History(_ context.Context, limit int) ([]Entry, error) {
	return []Entry{{Event: "found"}, {Event: "confirmed"}}[:min(limit, 2)], nil
}

// Client and Server carry a Service over a socket: every call, errors as words,
// an upload of any size.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s", "update.sock")
	f := &fakeService{}
	srv, err := Listen(path, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, f, nil); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", i, err)
	}
	c := NewClient(path)
	if st, err := c.Status(ctx); err != nil || st.Version != "1.0.0" {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := c.Check(ctx); err == nil || err.Error() != "the repository cannot be read; check the way to it" {
		t.Errorf("check: %v", err)
	}
	want := NowRequest{Actor: "ann", OverrideSibling: true, Reason: "the other is in repair"}
	if _, err := c.Now(ctx, want); err != nil || f.now != want {
		t.Errorf("%+v, %v", f.now, err)
	}
	until := DeferRequest{Actor: "ann", Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	if _, err := c.Defer(ctx, until); err != nil || f.until != until {
		t.Errorf("%+v, %v", f.until, err)
	}
	if _, err := c.Cancel(ctx, CancelRequest{Actor: "ann"}); err != nil || f.cancel.Actor != "ann" {
		t.Errorf("%+v, %v", f.cancel, err)
	}
	big := bytes.Repeat([]byte("x"), 3<<20)
	if st, err := c.Upload(ctx, "ann & bob", bytes.NewReader(big)); err != nil || st.Phase != Ready || f.actor != "ann & bob" || !bytes.Equal(f.upload, big) {
		t.Errorf("%+v, %v, %q, %d bytes", st, err, f.actor, len(f.upload))
	}
	if h, err := c.History(ctx, 1); err != nil || len(h) != 1 {
		t.Errorf("%+v, %v", h, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "is quartet-manage running") {
		t.Errorf("without a server: %v", err)
	}
	// A socket that a process left behind is replaced.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	again, err := Listen(path, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.listener.Close()
	if err := os.WriteFile(path+"x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path+"x", f, nil); err == nil {
		t.Error("a file is taken for a socket")
	}
}

// What is asked wrongly is refused with the word that is wrong.
func TestHandlerRefuses(t *testing.T) {
	h := Handler(&fakeService{})
	for _, tc := range []struct {
		method, target, body, want string
		code                       int
	}{
		{"POST", "/v1/update/now", `{"actor":"a","force":true}`, "force", 422},
		{"POST", "/v1/update/now", "", "cannot be read", 422},
		{"POST", "/v1/update/defer", `{"until":"tomorrow"}`, "cannot be read", 422},
		{"POST", "/v1/update/now", strings.Repeat(" ", maxRequest+1), "more than", 422},
		{"GET", "/v1/update/history?limit=-1", "", "limit", 422},
		{"GET", "/v1/update/now", "", "", 405},
		{"GET", "/v1/updates", "", "", 404},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tc.method, tc.target, strings.NewReader(tc.body)))
		var f failure
		if tc.code == 422 && json.Unmarshal(w.Body.Bytes(), &f) != nil || w.Code != tc.code || !strings.Contains(f.Error, tc.want) {
			t.Errorf("%s %s: %d %s", tc.method, tc.target, w.Code, w.Body)
		}
	}
}
