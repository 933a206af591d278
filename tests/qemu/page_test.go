//go:build qemu

package qemu

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"
)

// page is the box's interface, seen from this machine. It takes the first
// certificate's key and no other from then on, as a person does who compares
// fingerprints.
type page struct {
	t      testing.TB
	base   string
	key    [sha256.Size]byte // of the certificate
	names  []string          // in it
	client *http.Client
}

const (
	user     = "admin"
	password = "eleven grey herons"
)

func (g *guest) page() *page {
	jar, _ := cookiejar.New(nil)
	p := &page{t: g.t, base: fmt.Sprintf("https://127.0.0.1:%d", g.ports[443])}
	p.client = &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// Signed by the box itself: the key is what identifies it.
			InsecureSkipVerify:    true,
			VerifyPeerCertificate: p.verify,
		},
	}}
	g.t.Cleanup(p.client.CloseIdleConnections)
	return p
}

func (p *page) verify(raw [][]byte, _ [][]*x509.Certificate) error {
	c, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return err
	}
	key := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	if p.key == ([sha256.Size]byte{}) {
		p.key, p.names = key, c.DNSNames
	}
	if p.key != key {
		return errors.New("the page has another key than before")
	}
	return nil
}

// do sends a request and reads the answer into out, if there is one.
func (p *page) do(method, path string, in, out any, header ...string) (int, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, body)
	if err != nil {
		return 0, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := p.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return 0, err
	}
	if a.StatusCode >= 300 {
		return a.StatusCode, fmt.Errorf("%s %s: %s: %s", method, path, a.Status, b)
	}
	if out != nil {
		return a.StatusCode, json.Unmarshal(b, out)
	}
	return a.StatusCode, nil
}

// must is do, or the end of the test.
func (p *page) must(method, path string, in, out any, header ...string) {
	p.t.Helper()
	if _, err := p.do(method, path, in, out, header...); err != nil {
		p.t.Fatal(err)
	}
}

// answers waits until the page is there.
func (p *page) answers(limit time.Duration) (state struct {
	Claimed         bool
	Serial, Version string
}) {
	p.t.Helper()
	eventually(p.t, limit, "the page answers", func() bool {
		_, err := p.do("GET", "/api/v1/state", nil, &state)
		return err == nil
	})
	return state
}

func (p *page) claim(code string) {
	p.t.Helper()
	p.must("POST", "/api/v1/claim", map[string]string{"code": code, "user": user, "password": password}, nil)
}

// again is the page for somebody who has not been there: another key is taken.
func (p *page) again() *page {
	q := &page{t: p.t, base: p.base}
	q.client = &http.Client{Timeout: p.client.Timeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, VerifyPeerCertificate: q.verify},
	}}
	return q
}
