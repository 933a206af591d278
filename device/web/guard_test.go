package web

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestS5: nothing changes on GET (TestS14 sees to that), a request from another
// site is 403, a foreign Host 421.
func TestS5CrossSiteAndForeignHost(t *testing.T) {
	b := newBed(t)
	for _, r := range routes() {
		if !r.unsafe() {
			continue
		}
		for _, header := range []map[string]string{
			{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
		} {
			q := b.valid(&r, Admin)
			for k, v := range header {
				q.header[k] = v
			}
			before := b.fingerprint()
			if w := b.do(q); w.Code != http.StatusForbidden || problem(t, w).Type != "cross-site" {
				t.Errorf("%s %s with %v: %d %s", r.method, r.path, header, w.Code, w.Body)
			}
			if b.fingerprint() != before {
				t.Fatalf("%s %s with %v changed something", r.method, r.path, header)
			}
		}
	}
	for _, path := range []string{"/rescue/claim", "/rescue/login", "/rescue/rollback", "/rescue/reboot", "/rescue/network"} {
		r := httptest.NewRequest("POST", "https://192.0.2.7"+path, strings.NewReader("user=anna"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://evil.example")
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for host, want := range map[string]int{
		"192.0.2.7": 200, "192.0.2.7:8443": 200, "[2001:db8::1]": 200, "[2001:db8::1]:8443": 200, "localhost:8443": 200,
		"quartet-q1.local": 200, "QUARTET-Q1.LOCAL.": 200, "evil.example": 421, "quartet-q1.local.evil.example": 421, "192.0.2.7.evil.example": 421, "": 421,
	} {
		for _, path := range []string{"/api/v1/state", "/", "/rescue", "/metrics", "/healthz"} {
			r := httptest.NewRequest("GET", "https://192.0.2.7"+path, nil)
			r.Host = host
			w := httptest.NewRecorder()
			b.server.Handler().ServeHTTP(w, r)
			if (w.Code == 421) != (want == 421) {
				t.Errorf("Host %q %s: %d", host, path, w.Code)
			}
		}
	}
	// A name of the settings counts from then on.
	b.must(request{method: "PUT", path: "/settings", role: Admin, body: examples["PUT /settings"].body, header: map[string]string{"If-Match": b.revision("/settings")}})
	r := httptest.NewRequest("GET", "https://encoder-7.example.net/api/v1/state", nil)
	w := httptest.NewRecorder()
	b.server.Handler().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

// TestS18Headers: a strict policy on every answer, good or bad.
func TestS18Headers(t *testing.T) {
	b := newBed(t)
	for _, path := range []string{"/", "/rescue", "/api/v1/state", "/api/v1/status", "/nowhere.js", "/api/v1/nowhere", "/metrics", "/rescue.css"} {
		r := httptest.NewRequest("GET", "https://192.0.2.7"+path, nil)
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, r)
		h := w.Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %s", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http:") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy %q", path, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "", "Server": ""} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
	}
}

// TestS17: what a stranger may need to know.
func TestS17SecurityTXT(t *testing.T) {
	b := newBed(t)
	b.server.cfg.SecurityContact, b.server.cfg.SupportUntil = "mailto:security@example.net", "2031-12-31"
	r := httptest.NewRequest("GET", "https://192.0.2.7/.well-known/security.txt", nil)
	w := httptest.NewRecorder()
	b.server.Handler().ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "Contact: mailto:security@example.net\nExpires: 2031-12-31T") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var about About
	b.get("/about", Viewer, &about)
	if until, err := time.Parse(time.DateOnly, about.SupportUntil); err != nil || until.Before(time.Now()) {
		t.Errorf("%q %v", about.SupportUntil, err)
	}
	if len(about.Components) < 4 {
		t.Errorf("%+v", about.Components)
	}
}

func TestMetricsToken(t *testing.T) {
	b := newBed(t)
	get := func(header, value string) int {
		r := httptest.NewRequest("GET", "https://192.0.2.7/metrics", nil)
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, r)
		return w.Code
	}
	if get("Authorization", "Bearer ") != 401 || get("Cookie", cookieName+"="+b.token(Viewer)) != 200 {
		t.Error("no token, or a session")
	}
	token := func() string {
		w := b.must(request{method: "POST", path: "/metrics-token", role: Admin})
		return strings.Split(w.Body.String(), `"`)[3]
	}
	one := token()
	if get("Authorization", "Bearer "+one) != 200 || get("Authorization", "Bearer "+one+"x") != 401 {
		t.Error("the token")
	}
	two := token()
	if get("Authorization", "Bearer "+one) != 401 || get("Authorization", "Bearer "+two) != 200 {
		t.Error("the new token")
	}
	b.must(request{method: "DELETE", path: "/metrics-token", role: Admin})
	if get("Authorization", "Bearer "+two) != 401 {
		t.Error("an ended token")
	}
}

// certificate makes one for tests.
func certificate(t testing.TB) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "box"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve runs a bed's server on sockets of its own.
func (b *bed) serve() (secure, plain string) {
	b.t.Helper()
	c := certificate(b.t)
	b.server.cfg.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c, nil }
	var list [2]net.Listener
	for i := range list {
		var err error
		if list[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			b.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Run(ctx, list[0], list[1]) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	return list[0].Addr().String(), list[1].Addr().String()
}

// client trusts anybody: certificates are identity's matter.
func client(t testing.TB, version uint16) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version}, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// TestS3: TLS 1.2 and 1.3, no older; plain HTTP redirects and does nothing else.
func TestS3TLSOnly(t *testing.T) {
	b := newFreshBed(t)
	secure, plain := b.serve()
	for version, works := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		resp, err := client(t, version).Get("https://" + secure + "/api/v1/state")
		if (err == nil) != works {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			if resp.Proto != "HTTP/2.0" || resp.TLS.Version != version {
				t.Errorf("%s %s", resp.Proto, tls.VersionName(resp.TLS.Version))
			}
			resp.Body.Close()
		}
	}
	for _, id := range []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA} {
		if c, err := tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}); err == nil {
			c.Close()
			t.Errorf("%s is taken", tls.CipherSuiteName(id))
		}
	}
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		for _, path := range []string{"/", "/api/v1/state", "/rescue?x=1", "/metrics"} {
			req, _ := http.NewRequest(method, "http://"+plain+path, strings.NewReader(""))
			resp, err := client(t, 0).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusPermanentRedirect || resp.Header.Get("Location") != "https://"+secure+path || strings.Contains(string(body), "claimed") {
				t.Errorf("%s %s: %d %s %s", method, path, resp.StatusCode, resp.Header.Get("Location"), body)
			}
		}
	}
	req, _ := http.NewRequest("GET", "http://"+plain+"/", nil)
	req.Host = "evil.example"
	resp, err := client(t, 0).Do(req)
	if err != nil || resp.StatusCode != 421 {
		t.Errorf("%v %v", resp, err)
	}
	resp.Body.Close()
}

// A client that says nothing, or too much, costs a connection for some seconds.
func TestLimits(t *testing.T) {
	b := newFreshBed(t)
	secure, _ := b.serve()
	c, err := tls.Dial("tcp", secure, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /api/v1/state HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	line, _ := bufio.NewReader(c).ReadString('\n')
	if !strings.Contains(line, "431") {
		t.Errorf("headers of 64 KiB: %q", line)
	}

	// As many requests as there are places, and one more.
	for range maxRequests {
		b.server.slots <- struct{}{}
	}
	w := b.do(request{method: "GET", path: "/state"})
	if w.Code != 503 || problem(t, w).RetryAfter != 1 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for range maxRequests {
		<-b.server.slots
	}
	if w := b.do(request{method: "GET", path: "/state"}); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The page is served compressed, once and for all, and as a whole for any place
// in it; what is not there is 404.
func TestFiles(t *testing.T) {
	b := newFreshBed(t)
	files, err := newFiles(fstest.MapFS{
		"index.html":        {Data: []byte("<!doctype html>" + strings.Repeat("<p>text</p>", 100))},
		"assets/app-abc.js": {Data: []byte(strings.Repeat("console.log(1);", 100))},
		"icon.svg":          {Data: []byte("<svg/>")},
		".keep":             {},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.server.files.byName = files.byName
	get := func(path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "https://192.0.2.7"+path, nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/", "/config", "/paths/1a"} {
		w := get(path, "Accept-Encoding", "gzip")
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > 200 {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if w := get(path, "If-None-Match", w.Header().Get("Etag")); w.Code != http.StatusNotModified {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get("/assets/app-abc.js"); w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, path := range []string{"/nowhere.js", "/.keep", "/../../etc/passwd.x", "/assets/"} {
		if w := get(path); w.Code == 200 && strings.Contains(path, ".") {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// A refusal says what else to do, and what an address takes.
func TestRefusalsHaveRemedies(t *testing.T) {
	b := newBed(t)
	for _, q := range []request{
		{method: "DELETE", path: "/config"}, {method: "GET", path: "/nonesuch"}, {method: "DELETE", path: "/presets/nonesuch"},
		{method: "DELETE", path: "/users/nonesuch"}, {method: "DELETE", path: "/users/" + users[Admin]},
		{method: "POST", path: "/users", body: `{"name":"` + users[Admin] + `","role":"viewer","password":"` + canaryPassword + `"}`},
	} {
		q.role = Admin
		w := b.do(q)
		if p := problem(t, w); w.Code < 400 || w.Code > 499 || p.Remedy == "" {
			t.Errorf("%s %s: %d %s", q.method, q.path, w.Code, w.Body)
		}
		if allow := w.Header().Get("Allow"); (w.Code == 405) != (allow != "") {
			t.Errorf("%s %s: %d, Allow: %q", q.method, q.path, w.Code, allow)
		} else if w.Code == 405 && allow != "GET, PUT, PATCH" {
			t.Errorf("%s %s allows %s", q.method, q.path, allow)
		}
	}
}
