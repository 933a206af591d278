package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quartet/device/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	built = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	today = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
)

// wallClock is the system's clock, in the hands of a test.
type wallClock struct {
	mu     sync.Mutex
	t      time.Time
	synced bool
}

func (w *wallClock) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.t
}

func (w *wallClock) set(t time.Time, synced bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t, w.synced = t, synced
}

func (w *wallClock) synchronised() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synced
}

// bed is a box's identity in folders of its own.
type bed struct {
	*Identity
	cfg       Config
	wall      *wallClock
	dir, key  string
	provision string
	code      string // of the label
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{wall: &wallClock{t: today, synced: true}, dir: filepath.Join(t.TempDir(), "state")}
	b.key = filepath.Join(t.TempDir(), "seal.key")
	b.provision = filepath.Join(t.TempDir(), "provision.v1.json")
	p, code, err := NewProvision("Q26-0042", "Quartet 4", today)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(b.provision, false); err != nil {
		t.Fatal(err)
	}
	b.code = code
	b.open(t)
	if err := b.Problem(); err != nil {
		t.Fatal(err)
	}
	return b
}

// open starts the box, as after a restart.
func (b *bed) open(t testing.TB) {
	t.Helper()
	s, err := seal.Open(b.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenClock(ClockConfig{Dir: b.dir, Build: built, Now: b.wall.now, Synchronised: b.wall.synchronised})
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Dir, b.cfg.Provision, b.cfg.Sealer, b.cfg.Clock = b.dir, b.provision, s, c
	if b.Identity, err = Open(b.cfg); err != nil {
		t.Fatal(err)
	}
}

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	mu   sync.Mutex
	n    int64
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{key: newTestKey(t)}
	a.cert = a.sign(t, a.key.Public(), func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.KeyUsage, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		c.NotAfter = today.AddDate(10, 0, 0)
	})
	return a
}

func newTestKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign makes a certificate of 90 days for a client, unless change says
// otherwise.
func (a *authority) sign(t testing.TB, pub crypto.PublicKey, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	a.mu.Lock()
	a.n++
	n := a.n
	a.mu.Unlock()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "Q26-0042"},
		NotBefore: today.Add(-time.Hour), NotAfter: today.Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	if change != nil {
		change(c)
	}
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (a *authority) pem() []byte { return []byte(encodeCertificates(a.cert)) }

// server makes a server's certificate for the loopback.
func (a *authority) server(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newTestKey(t)
	c := a.sign(t, key.Public(), func(c *x509.Certificate) {
		c.ExtKeyUsage, c.IPAddresses = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, []net.IP{net.IPv4(127, 0, 0, 1)}
		if change != nil {
			change(c)
		}
	})
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

// fromCSR makes a certificate of what a box asks for.
func (a *authority) fromCSR(t testing.TB, request []byte, change func(*x509.Certificate)) []byte {
	t.Helper()
	block, _ := pem.Decode(request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		t.Fatalf("no request: %s", request)
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || r.CheckSignature() != nil || r.Subject.CommonName != "Q26-0042" {
		t.Fatalf("request of %v: %v", r.Subject, err)
	}
	return []byte(encodeCertificates(a.sign(t, r.PublicKey, change)))
}

// quietServer is an HTTPS server on the loopback. It asks for a client
// certificate of clients, and demands it if must is set.
func quietServer(t testing.TB, h http.Handler, cert tls.Certificate, clients *authority, must bool) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven,
		Time: func() time.Time { return today }}
	if clients != nil {
		s.TLS.ClientCAs = pool([]*x509.Certificate{clients.cert})
	}
	if must {
		s.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// estServer is an EST server (RFC 7030) with one-time tokens.
type estServer struct {
	t     testing.TB
	ca    *authority // of the devices
	cas   []*x509.Certificate
	url   string
	trust []byte // PEM, of its own certificate's CA

	mu      sync.Mutex
	tokens  map[string]string // serial → token, once
	pending int               // how many requests are put off
	change  func(*x509.Certificate)
	other   crypto.PublicKey // certified in the place of the request's, if set
	seen    []string         // operations
}

func newEST(t testing.TB) *estServer {
	t.Helper()
	e := &estServer{t: t, ca: newAuthority(t, "devices"), tokens: map[string]string{"Q26-0042": "one-time-only"}}
	e.cas = []*x509.Certificate{e.ca.cert}
	web := newAuthority(t, "web")
	e.trust = web.pem()
	e.url = quietServer(t, e, web.server(t, nil), e.ca, false)
	return e
}

func (e *estServer) enrolment() Enrolment {
	return Enrolment{URL: e.url, Token: "one-time-only", CA: e.trust}
}

func (e *estServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	operation, ok := strings.CutPrefix(r.URL.Path, "/.well-known/est/")
	e.seen = append(e.seen, operation)
	switch {
	case !ok:
		http.NotFound(w, r)
	case operation == "cacerts" && r.Method == http.MethodGet:
		e.answer(w, e.cas...)
	case operation == "simpleenroll" && r.Method == http.MethodPost:
		user, token, _ := r.BasicAuth()
		if want, there := e.tokens[user]; !there || want != token {
			w.Header().Set("WWW-Authenticate", `Basic realm="est"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		if e.pending > 0 {
			e.pending--
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		if e.certify(w, r, nil) {
			delete(e.tokens, user)
		}
	case operation == "simplereenroll" && r.Method == http.MethodPost:
		if len(r.TLS.PeerCertificates) == 0 || r.Header.Get("Authorization") != "" {
			http.Error(w, "no certificate, or a password", http.StatusForbidden)
			return
		}
		e.certify(w, r, r.TLS.PeerCertificates[0])
	default:
		http.NotFound(w, r)
	}
}

func (e *estServer) certify(w http.ResponseWriter, r *http.Request, current *x509.Certificate) bool {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	der, err2 := base64.StdEncoding.DecodeString(string(body))
	csr, err3 := x509.ParseCertificateRequest(der)
	if err != nil || err2 != nil || err3 != nil || csr.CheckSignature() != nil || r.Header.Get("Content-Type") != "application/pkcs10" {
		http.Error(w, "no request", http.StatusBadRequest)
		return false
	}
	if current != nil && string(csr.RawSubject) != string(current.RawSubject) {
		http.Error(w, "another subject", http.StatusBadRequest)
		return false
	}
	pub := csr.PublicKey
	if e.other != nil {
		pub = e.other
	}
	e.answer(w, e.ca.sign(e.t, pub, func(c *x509.Certificate) {
		c.Subject = csr.Subject
		if e.change != nil {
			e.change(c)
		}
	}))
	return true
}

func (e *estServer) answer(w http.ResponseWriter, list ...*x509.Certificate) {
	b, err := encodeCertsOnly(list...)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
	w.Header().Set("Content-Transfer-Encoding", "base64")
	for len(b) > 76 { // lines, as OpenSSL writes them
		_, _ = w.Write(append(b[:76:76], '\r', '\n'))
		b = b[76:]
	}
	_, _ = w.Write(b)
}

// encodeCertsOnly is parseCertsOnly's inverse: what the server answers with.
func encodeCertsOnly(list ...*x509.Certificate) ([]byte, error) {
	var raw []byte
	for _, c := range list {
		raw = append(raw, c.Raw...)
	}
	empty := asn1.RawValue{FullBytes: []byte{0x31, 0}} // SET {}
	data, err := asn1.Marshal(contentInfo{ContentType: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}})
	if err != nil {
		return nil, err
	}
	inner, err := asn1.Marshal(signedData{
		Version: 1, DigestAlgorithms: empty, ContentInfo: asn1.RawValue{FullBytes: data},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: raw},
		SignerInfos:  empty,
	})
	if err != nil {
		return nil, err
	}
	der, err := asn1.Marshal(contentInfo{ContentType: oidSignedData, Content: asn1.RawValue{
		Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
	if err != nil {
		return nil, err
	}
	return []byte(base64.StdEncoding.EncodeToString(der)), nil
}
