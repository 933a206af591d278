package identity

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

func page(t *testing.T, b *bed) *x509.Certificate {
	t.Helper()
	c, err := b.PageCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

// The page is served with a certificate that a browser that trusts it accepts
// by every name and address of the box.
func TestPage(t *testing.T) {
	b := newBed(t)
	b.cfg.Names = func() []string { return []string{"Encoder.Example.net.", "bad name", ""} }
	b.cfg.Addresses = func() []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::ffff:127.0.0.1"), netip.IPv4Unspecified()}
	}
	b.open(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", b.PageTLS())
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }),
		ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second,
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(listener) })
	defer serving.Wait()
	defer s.Close()
	leaf := page(t, b)
	if want := []string{"encoder.example.net", "quartet-q26-0042", "quartet-q26-0042.local"}; !slices.Equal(leaf.DNSNames, want) {
		t.Errorf("names %v", leaf.DNSNames)
	}
	if len(leaf.IPAddresses) != 2 || leaf.IPAddresses[1].String() != "fe80::1" {
		t.Errorf("addresses %v", leaf.IPAddresses)
	}
	if err := leaf.VerifyHostname("QUARTET-Q26-0042.local"); err != nil {
		t.Error(err)
	}
	if leaf.IsCA || leaf.KeyUsage&x509.KeyUsageCertSign != 0 {
		t.Error("who trusts the page's certificate would trust others that it signs")
	}
	if !slices.Equal(b.HostNames()[:2], []string{"quartet-q26-0042.local", "quartet-q26-0042"}) {
		t.Error(b.HostNames())
	}
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
			MinVersion: version, MaxVersion: version, RootCAs: pool([]*x509.Certificate{leaf}), Time: func() time.Time { return today }}}}
		resp, err := c.Get("https://" + listener.Addr().String())
		if (err == nil) != ok {
			t.Errorf("TLS %x: %v", version, err)
		}
		if err == nil {
			if proto, _ := io.ReadAll(resp.Body); string(proto) != "HTTP/2.0" {
				t.Errorf("TLS %x: %s", version, proto)
			}
			resp.Body.Close()
		}
		c.CloseIdleConnections()
	}
}

// The certificate stays over restarts, and is made anew, for the same key, when
// it has to be.
func TestPageRenewal(t *testing.T) {
	b := newBed(t)
	address := netip.MustParseAddr("192.0.2.7")
	b.cfg.Addresses = func() []netip.Addr { return []netip.Addr{address} }
	b.open(t)
	first := page(t, b)
	if !first.NotBefore.Equal(built.Add(-24*time.Hour)) || !first.NotAfter.Equal(today.Add(pageLife)) {
		t.Errorf("from %v to %v", first.NotBefore, first.NotAfter)
	}
	b.open(t)
	same := func(c *x509.Certificate) bool { return c.SerialNumber.Cmp(first.SerialNumber) == 0 }
	if !same(page(t, b)) {
		t.Error("a restart made a new certificate: every visitor is warned again")
	}
	anew := func(why string) {
		t.Helper()
		c := page(t, b)
		if same(c) || !first.PublicKey.(*ecdsa.PublicKey).Equal(c.PublicKey) {
			t.Errorf("%s: not made anew, or for another key", why)
		}
		if now := b.cfg.Clock.Now(); !now.After(c.NotBefore) || !now.Before(c.NotAfter) {
			t.Errorf("%s: at %v it is from %v to %v", why, now, c.NotBefore, c.NotAfter)
		}
		if c.NotAfter.Sub(c.NotBefore) > 825*24*time.Hour {
			t.Errorf("%s: browsers do not take a life of %v", why, c.NotAfter.Sub(c.NotBefore))
		}
		first = c
	}
	address = netip.MustParseAddr("192.0.2.8")
	if !same(page(t, b)) {
		t.Error("the addresses are asked for at every handshake")
	}
	now := today.Add(pageRecheck)
	b.wall.set(now, true)
	anew("a new address")
	now = now.Add(pageLife * 2 / 3)
	b.wall.set(now, true)
	anew("two thirds over")
	b.wall.set(now.AddDate(5, 0, 0), true)
	anew("the clock jumped five years ahead")
	// Not set: the visitor's clock may be ahead by up to two years.
	b.wall.set(time.Unix(0, 0), false)
	b.open(t)
	anew("the clock is not set")
	if first.NotAfter.Sub(b.cfg.Clock.Now()) < 800*24*time.Hour {
		t.Errorf("until %v", first.NotAfter)
	}
}

// Handshakes at once agree on one certificate in the end, and on one key always.
func TestPageAtOnce(t *testing.T) {
	b := newBed(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c, err := b.PageCertificate()
			if err != nil || !b.pageKey.PublicKey.Equal(c.Leaf.PublicKey) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	kept := b.Status().Page
	if got := describe(page(t, b)); got.Serial != kept.Serial {
		t.Errorf("in use %s, kept %s", got.Serial, kept.Serial)
	}
}
