package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// What the updater refuses is told in its words, with what to do; so are fields.
func TestUpdateRefusals(t *testing.T) {
	b := newBed(t)
	b.refusal = &Refusal{Text: "the file is no update", Remedy: "make it with quartetctl repo pack"}
	w := b.do(request{method: "POST", path: "/update/upload", role: Admin, body: "x", kind: "application/octet-stream"})
	if p := problem(t, w); w.Code != http.StatusConflict || p.Type != "refused" || p.Detail != "the file is no update" || p.Remedy == "" {
		t.Errorf("%+v", p)
	}
	if r := b.audit[len(b.audit)-1]; r.Action != "update.upload" || r.Outcome != "refused" {
		t.Errorf("%+v", r)
	}
	w = b.do(request{method: "POST", path: "/update/upload", role: Admin, body: "{}"})
	if p := problem(t, w); w.Code != http.StatusUnsupportedMediaType || p.Remedy == "" {
		t.Errorf("%+v", p)
	}
	for body, path := range map[string]string{`{"override_sibling": true}`: "reason", `{"override_sibling": 1}`: "override_sibling"} {
		if p := problem(t, b.do(request{method: "POST", path: "/update/now", role: Admin, body: body})); p.Errors[0].Path != path {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if p := problem(t, b.do(request{method: "POST", path: "/update/defer", role: Operator, body: `{"until": "soon"}`})); p.Errors[0].Path != "until" {
		t.Errorf("%+v", p)
	}
	if p := problem(t, b.do(request{method: "POST", path: "/time", role: Admin, body: `{"time": "noon"}`})); p.Errors[0].Path != "time" {
		t.Errorf("%+v", p)
	}
	// Two parts' complaints about settings come together.
	settings := `{"name": "studio-1", "telemetry": {"enabled": true}, "update": {"zone": "Mars"}}`
	p := problem(t, b.do(request{method: "PUT", path: "/settings", role: Admin, body: settings, header: map[string]string{"If-Match": b.revision("/settings")}}))
	if len(p.Errors) != 2 || p.Errors[0].Path != "telemetry.endpoint" || p.Errors[1].Path != "update.zone" {
		t.Errorf("%+v", p)
	}
}

// An upload may be of any size, and there is one at a time.
func TestUpload(t *testing.T) {
	b := newBed(t)
	secure, _ := b.serve()
	cookie := cookieName + "=" + b.token(Admin)
	send := func(body io.Reader) (int, error) {
		req, err := http.NewRequest(http.MethodPost, "https://"+secure+"/api/v1/update/upload", body)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set("Cookie", cookie)
		resp, err := client(t, tls.VersionTLS13).Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	const size = 5 << 20
	if code, err := send(bytes.NewReader(make([]byte, size))); code != http.StatusOK || err != nil {
		t.Fatal(code, err)
	}
	if want := fmt.Sprintf("update upload anna %d", size); !strings.Contains(strings.Join(b.calls, ";"), want) {
		t.Errorf("%v, want %s", b.calls, want)
	}
	r, hold := io.Pipe()
	first := make(chan int, 1)
	go func() {
		code, err := send(r)
		if err != nil {
			t.Error(err)
		}
		first <- code
	}()
	if _, err := hold.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for !b.server.uploading.Load() {
		if _, err := hold.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if code, err := send(strings.NewReader("y")); code != http.StatusConflict || err != nil {
		t.Errorf("a second one: %d %v", code, err)
	}
	hold.Close()
	if code := <-first; code != http.StatusOK {
		t.Errorf("the first one: %d", code)
	}
}

// A box that is too hot does without previews and plots, and nothing else.
func TestShed(t *testing.T) {
	b := newBed(t)
	b.picture = []byte("\xff\xd8picture")
	for _, hot := range []bool{true, false} {
		b.server.Shed(hot)
		for _, path := range []string{"/thumbnail", "/history"} {
			w := b.do(request{method: "GET", path: path, role: Viewer})
			if hot && (w.Code != http.StatusServiceUnavailable || problem(t, w).Type != "shed") || !hot && w.Code != http.StatusOK {
				t.Errorf("%s, hot %t: %d %s", path, hot, w.Code, w.Body)
			}
		}
		if w := b.do(request{method: "GET", path: "/status", role: Viewer}); w.Code != http.StatusOK {
			t.Errorf("status: %d", w.Code)
		}
	}
}

// Who stands before the box gets back in with the code of the label, and the
// streams go on; or resets all of it.
func TestAtTheBoxItself(t *testing.T) {
	b := newBed(t)
	token := b.token(Admin)
	if err := b.server.ReleaseClaim("button"); err != nil {
		t.Fatal(err)
	}
	if b.access.Claimed() || len(b.calls) != 0 {
		t.Errorf("claimed %t, %v", b.access.Claimed(), b.calls)
	}
	if _, err := b.access.Peek(token); err == nil {
		t.Error("a session goes on")
	}
	if _, _, err := b.store.Load(); err != nil {
		t.Errorf("the document: %v", err)
	}
	if err := b.server.FactoryReset(t.Context(), "button"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.store.Load(); err == nil {
		t.Error("the document is still there")
	}
	var actions []string
	for _, r := range b.audit {
		actions = append(actions, r.Actor+" "+r.Action+" "+r.Outcome)
	}
	if got := strings.Join(actions, ", "); got != "button claim.release ok, button factory-reset ok" {
		t.Error(got)
	}
}

// Another box that calls is asked for its certificate and shown the pair's; a
// browser is asked for none.
func TestPeers(t *testing.T) {
	b := newBed(t)
	page, peer := certificate(t), certificate(t)
	var mu sync.Mutex
	var seen []*x509.Certificate
	cfg := b.server.cfg
	cfg.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return page, nil }
	cfg.PeerCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return peer, nil }
	cfg.PeerPath, cfg.PeerCalls = "/peer", func(h *tls.ClientHelloInfo) bool { return len(h.SupportedProtos) > 0 && h.SupportedProtos[0] == "peer" }
	cfg.Peer = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = r.TLS.PeerCertificates
	})
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, l, nil) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		protos []string
		path   string
		shown  *tls.Certificate
		asked  int
	}{{[]string{"peer", "http/1.1"}, "/peer", peer, 1}, {nil, "/peer", page, 0}, {nil, "/healthz", page, 0}} {
		own := certificate(t)
		tr := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: c.protos, Certificates: []tls.Certificate{*own}}}
		mu.Lock()
		seen = nil
		mu.Unlock()
		resp, err := (&http.Client{Transport: tr}).Get("https://" + l.Addr().String() + c.path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		mu.Lock()
		if resp.StatusCode != http.StatusOK || len(seen) != c.asked || !bytes.Equal(resp.TLS.PeerCertificates[0].Raw, c.shown.Certificate[0]) {
			t.Errorf("%v %s: %d, %d certificates", c.protos, c.path, resp.StatusCode, len(seen))
		}
		mu.Unlock()
	}
}
