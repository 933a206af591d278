package home

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quartet/device/telemetry/measure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature}
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func forServer(c *x509.Certificate) {
	c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

func forBox(c *x509.Certificate) {
	c.Subject.CommonName, c.ExtKeyUsage = "Q1", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
}

// TestS7OnlyHome: telemetry goes to a server of the configured CA only, and the
// box proves itself with its own certificate.
func TestS7OnlyHome(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	box := ours.issue(t, forBox)
	type world struct {
		server tls.Certificate
		client func() (*tls.Config, error)
	}
	with := func(pool *x509.CertPool, certs ...tls.Certificate) func() (*tls.Config, error) {
		return func() (*tls.Config, error) { return &tls.Config{RootCAs: pool, Certificates: certs}, nil }
	}
	home := ours.issue(t, forServer)
	for name, c := range map[string]struct {
		world
		fails string // part of the reason; empty: it works
	}{
		"right":                   {world{home, with(ours.pool, box)}, ""},
		"home of another CA":      {world{other.issue(t, forServer), with(ours.pool, box)}, "certificate signed by unknown authority"},
		"home has expired":        {world{ours.issue(t, func(c *x509.Certificate) { forServer(c); c.NotAfter = time.Now().Add(-time.Minute) }), with(ours.pool, box)}, "expired"},
		"home of another name":    {world{ours.issue(t, func(c *x509.Certificate) { forServer(c); c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }), with(ours.pool, box)}, "valid for 10.0.0.1"},
		"another box plays home":  {world{ours.issue(t, func(c *x509.Certificate) { forServer(c); forBox(c) }), with(ours.pool, box)}, "incompatible key usage"},
		"box of another CA":       {world{home, with(ours.pool, other.issue(t, forBox))}, "certificate"},
		"box has expired":         {world{home, with(ours.pool, ours.issue(t, func(c *x509.Certificate) { forBox(c); c.NotAfter = time.Now().Add(-time.Minute) }))}, "certificate"},
		"box without certificate": {world{home, with(ours.pool)}, "no certificate"},
		"no CA configured":        {world{home, with(nil, box)}, "no CA"},
		"verification off": {world{home, func() (*tls.Config, error) {
			return &tls.Config{InsecureSkipVerify: true, RootCAs: ours.pool, Certificates: []tls.Certificate{box}}, nil
		}}, "switched off"},
		"not enrolled":       {world{home, func() (*tls.Config, error) { return nil, errors.New("no key") }}, "no key"},
		"no identity at all": {world{home, nil}, "enrol"},
	} {
		t.Run(name, func(t *testing.T) {
			reached := 0
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached++
				if len(r.TLS.PeerCertificates) != 1 || r.TLS.PeerCertificates[0].Subject.CommonName != "Q1" {
					t.Error("home sees another box")
				}
				io.Copy(io.Discard, r.Body)
			}))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{c.server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool}
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			defer s.Close()
			client, err := NewClient(Settings{Endpoint: s.URL, TLS: c.client, Timeout: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			o := client.Post(t.Context(), SignalMetrics, []byte("secret"))
			if c.fails == "" {
				if o.Verdict != Accepted || reached != 1 || o.Date.IsZero() {
					t.Errorf("%+v", o)
				}
				return
			}
			if o.Verdict != Again || reached != 0 || !strings.Contains(o.Reason, c.fails) {
				t.Errorf("%+v, reached %d times; want %q", o, reached, c.fails)
			}
		})
	}
}

// TestRenewal: a new certificate is used from the next connection on.
func TestRenewal(t *testing.T) {
	ca := newAuthority(t, "ca")
	serial := int64(10)
	var seen []int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.TLS.PeerCertificates[0].SerialNumber.Int64())
		io.Copy(io.Discard, r.Body)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, forServer)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool}
	s.StartTLS()
	defer s.Close()
	client, err := NewClient(Settings{Endpoint: s.URL + "/", TLS: func() (*tls.Config, error) {
		serial++
		n := big.NewInt(serial)
		return &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{ca.issue(t, func(c *x509.Certificate) { forBox(c); c.SerialNumber = n })}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		client.Post(t.Context(), SignalLogs, nil)
	}
	client.Reconnect()
	client.Post(t.Context(), SignalLogs, nil)
	client.Close()
	if len(seen) != 3 || seen[0] != 11 || seen[1] != 11 || seen[2] != 12 {
		t.Error(seen)
	}
}

func TestJudge(t *testing.T) {
	date := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	text := http.Header{"Content-Type": {"text/plain"}, "Date": {date.Format(http.TimeFormat)}}
	after := func(s string) http.Header {
		return http.Header{"Retry-After": {s}, "Date": {date.Format(http.TimeFormat)}}
	}
	status := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "bad\x00 point")
	for _, c := range []struct {
		status int
		header http.Header
		body   string
		want   Outcome
	}{
		{200, text, "", Outcome{Status: 200, Date: date}},
		{202, http.Header{}, "", Outcome{Status: 202}},
		{429, after("7"), "", Outcome{Verdict: Again, Status: 429, Wait: 7 * time.Second, Reason: "429 Too Many Requests", Date: date}},
		{503, after(date.Add(time.Minute).Format(http.TimeFormat)), "", Outcome{Verdict: Again, Status: 503, Wait: time.Minute, Reason: "503 Service Unavailable", Date: date}},
		{503, after("99999999999"), "", Outcome{Verdict: Again, Status: 503, Wait: time.Hour, Reason: "503 Service Unavailable", Date: date}},
		{502, after("-3"), "", Outcome{Verdict: Again, Status: 502, Reason: "502 Bad Gateway", Date: date}},
		{504, text, "upstream\n\nis away", Outcome{Verdict: Again, Status: 504, Reason: "504 Gateway Timeout: upstream is away", Date: date}},
		{413, http.Header{}, "", Outcome{Verdict: TooLarge, Status: 413, Reason: "413 Request Entity Too Large"}},
		{400, http.Header{"Content-Type": {"application/x-protobuf"}}, string(status), Outcome{Verdict: Refused, Status: 400, Reason: "400 Bad Request: bad point"}},
		{500, http.Header{}, "", Outcome{Verdict: Refused, Status: 500, Reason: "500 Internal Server Error"}},
		{302, http.Header{"Location": {"https://evil"}}, "", Outcome{Verdict: Refused, Status: 302, Reason: "302 Found"}},
	} {
		if got := judge(c.status, c.header, []byte(c.body)); got != c.want {
			t.Errorf("%d: %+v, want %+v", c.status, got, c.want)
		}
	}
}

// TestEncode: what is sent is what OpenTelemetry's own types read.
func TestEncode(t *testing.T) {
	at := time.Unix(1700000000, 5)
	series := []measure.Series{{Name: "g", Unit: "s", Labels: []measure.Label{{Name: "path", Value: "1a"}}}, {Name: "c", Unit: "{packet}", Kind: measure.Counter, Since: measure.Box}}
	m := Metrics{Epoch: "e", Number: 7, Time: at, Boot: "b", Clock: "synchronised", Series: series, Values: []float64{0.5, 9}}
	m.Starts[measure.Box] = at.Add(-time.Minute)
	later := m
	later.Number, later.Time = 8, at.Add(10*time.Second)
	b, err := EncodeMetrics([]Attr{{"service.name", "quartet"}, {"n", int64(3)}, {"f", 0.5}, {"t", true}}, []Metrics{m, later})
	if err != nil {
		t.Fatal(err)
	}
	var d metricspb.MetricsData
	if err := proto.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	list := d.ResourceMetrics[0].ScopeMetrics[0].Metrics
	if len(list) != 3 || len(d.ResourceMetrics[0].Resource.Attributes) != 4 {
		t.Fatalf("%v", &d)
	}
	g, c, r := list[0].GetGauge().DataPoints, list[1].GetSum(), list[2].GetGauge().DataPoints
	if len(g) != 2 || g[1].TimeUnixNano != uint64(later.Time.UnixNano()) || g[0].GetAsDouble() != 0.5 || g[0].Attributes[0].Value.GetStringValue() != "1a" {
		t.Errorf("%v", g)
	}
	if !c.IsMonotonic || c.AggregationTemporality != 2 || c.DataPoints[0].StartTimeUnixNano != uint64(at.Add(-time.Minute).UnixNano()) || c.DataPoints[1].GetAsDouble() != 9 {
		t.Errorf("%v", c)
	}
	if r[1].GetAsDouble() != 8 || r[1].Attributes[0].Value.GetStringValue() != "e" {
		t.Errorf("%v", r)
	}
	b, err = EncodeEvents(nil, []Event{{UID: "u", Name: "n", Time: at, Severity: 17, Word: "major", Text: "text", Attrs: []Attr{{"a", "b"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var l logspb.LogsData
	if err := proto.Unmarshal(b, &l); err != nil {
		t.Fatal(err)
	}
	e := l.ResourceLogs[0].ScopeLogs[0].LogRecords[0]
	if e.Body.GetStringValue() != "text" || e.EventName != "n" || len(e.Attributes) != 2 || e.Attributes[1].Value.GetStringValue() != "u" {
		t.Errorf("%v", e)
	}
	if nanos(time.Time{}) != 0 || nanos(time.Unix(-5, 0)) != 0 {
		t.Error("times before 1970 are sent")
	}
}

// TestCancel: a courier ends at once, whatever it waits for.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		client, err := NewClient(Settings{Endpoint: "https://127.0.0.1:9", TLS: func() (*tls.Config, error) { return nil, errors.New("none") }})
		if err != nil {
			t.Fatal(err)
		}
		c := &Courier{Signal: SignalLogs, Random: func() float64 { return 1 }, Most: 1}
		done := make(chan struct{})
		go func() { c.Run(ctx, client, nil); close(done) }()
		synctest.Wait()
		begin := time.Now()
		cancel()
		<-done
		if s := c.Stats(); s.State != Retrying || !strings.Contains(s.Reason, "none") || !time.Now().Equal(begin) {
			t.Errorf("%+v", s)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(200, "7", []byte{10, 2, 8, 3})
	f.Add(400, "Mon", []byte("text"))
	f.Fuzz(func(t *testing.T, status int, after string, body []byte) {
		for _, kind := range []string{"application/x-protobuf", "text/html"} {
			o := judge(status, http.Header{"Content-Type": {kind}, "Retry-After": {after}, "Date": {after}}, body)
			if o.Wait < 0 || o.Wait > longestWait || o.Rejected < 0 || len(o.Reason) > 700 {
				t.Errorf("%+v", o)
			}
		}
		if u, err := ParseEndpoint(after); err == nil && (u.Scheme != "https" || u.Hostname() == "") {
			t.Error(after)
		}
	})
}
