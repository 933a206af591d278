package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quartet/device/durable"
	"quartet/device/durable/powercut"
	"quartet/device/seal"
)

// telemetry sends one request home and tells who home saw.
func telemetry(b *bed, url string) (string, error) {
	config, err := b.HomeTLS()
	if err != nil {
		return "", err
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer c.CloseIdleConnections()
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	who, err := io.ReadAll(resp.Body)
	return string(who), err
}

// home answers with the name in the client's certificate.
var home = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
})

// S7: telemetry goes to a server of the configured CA, with the certificate for
// the key that was made here, and nowhere else.
func TestS7Home(t *testing.T) {
	b := newBed(t)
	ca, stranger := newAuthority(t, "home"), newAuthority(t, "stranger")
	good := quietServer(t, home, ca.server(t, nil), ca, true)
	if _, err := telemetry(b, good); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("without a certificate: %v", err)
	}
	csr, err := b.CSR()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Install(ca.fromCSR(t, csr, nil), ca.pem()); err != nil {
		t.Fatal(err)
	}
	for restart := range 2 {
		if who, err := telemetry(b, good); err != nil || who != "Q26-0042" {
			t.Fatalf("restart %d: home saw %q, %v", restart, who, err)
		}
		b.open(t)
	}
	for name, tc := range map[string]struct {
		cert tls.Certificate
		want string
	}{
		"wrong CA": {stranger.server(t, nil), "unknown authority"},
		"expired": {ca.server(t, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = today.AddDate(0, -2, 0), today.Add(-time.Minute)
		}), "expired"},
		"not yet valid": {ca.server(t, func(c *x509.Certificate) { c.NotBefore = today.Add(time.Hour) }), "not yet valid"},
		"another host":  {ca.server(t, func(c *x509.Certificate) { c.IPAddresses = nil; c.DNSNames = []string{"other.example"} }), "127.0.0.1"},
		"a client's":    {ca.server(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "usage"},
	} {
		if who, err := telemetry(b, quietServer(t, home, tc.cert, ca, true)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("a server with a certificate of %s: home saw %q, %v", name, who, err)
		}
	}
	// Home that trusts another CA for its devices refuses this one.
	if _, err := telemetry(b, quietServer(t, home, ca.server(t, nil), stranger, true)); err == nil {
		t.Error("a device of another CA was let in")
	}
	// A client that was made before a renewal shows the new certificate at its next
	// connection.
	config, err := b.HomeTLS()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Install(ca.fromCSR(t, csr, func(c *x509.Certificate) { c.Subject.CommonName = "renewed" }), ca.pem()); err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer c.CloseIdleConnections()
	resp, err := c.Get(good)
	if err != nil {
		t.Fatal(err)
	}
	who, _ := io.ReadAll(resp.Body)
	if resp.Body.Close(); string(who) != "renewed" {
		t.Errorf("home saw %q after a renewal", who)
	}
	// When its own has expired the box says so itself.
	b.wall.set(today.AddDate(1, 0, 0), true)
	if _, err := telemetry(b, good); err == nil || !strings.Contains(err.Error(), "has expired on 2027-02-24") {
		t.Errorf("with an expired certificate: %v", err)
	}
}

// S7: what is installed is for this box's key, valid, for clients, and from the
// CA that is given with it. What is refused changes nothing.
func TestS7Install(t *testing.T) {
	b, other := newBed(t), newBed(t)
	ca, stranger := newAuthority(t, "home"), newAuthority(t, "stranger")
	csr, _ := b.CSR()
	otherCSR, _ := other.CSR()
	private, err := x509.MarshalPKCS8PrivateKey(newTestKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		cert, ca []byte
		field    string
		problem  string
	}{
		"another device's": {ca.fromCSR(t, otherCSR, nil), ca.pem(), "certificate", "another key"},
		"expired": {ca.fromCSR(t, csr, func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = today.AddDate(0, -1, 0), today.Add(-time.Second)
		}), ca.pem(), "certificate", "expired"},
		"not yet":      {ca.fromCSR(t, csr, func(c *x509.Certificate) { c.NotBefore = today.Add(time.Hour) }), ca.pem(), "certificate", "not valid before"},
		"a wrong CA's": {stranger.fromCSR(t, csr, nil), ca.pem(), "certificate", "not from any of the CAs"},
		"a server's": {ca.fromCSR(t, csr, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
			ca.pem(), "certificate", "not for client authentication"},
		"a CA's":        {ca.fromCSR(t, csr, func(c *x509.Certificate) { c.IsCA = true }), ca.pem(), "certificate", "is that of a CA"},
		"nothing":       {nil, ca.pem(), "certificate", "holds no certificate"},
		"no CA":         {ca.fromCSR(t, csr, nil), []byte("x"), "ca", "holds no certificate"},
		"a private key": {[]byte("-----BEGIN PRIVATE KEY-----\n" + base64.StdEncoding.EncodeToString(private) + "\n-----END PRIVATE KEY-----\n"), ca.pem(), "certificate", "holds a private key"},
		"garbage":       {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), ca.pem(), "certificate", "cannot be read"},
		"too long":      {make([]byte, maxPEM+1), ca.pem(), "certificate", "more than"},
	} {
		var bad *BadCertificate
		if err := b.Install(tc.cert, tc.ca); !errors.As(err, &bad) || bad.Field != tc.field || !strings.Contains(bad.Problem, tc.problem) || bad.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
		if b.Status().Certificate != nil {
			t.Fatalf("%s: is installed", name)
		}
	}
	// An intermediate CA comes behind the certificate.
	key := newTestKey(t)
	between := &authority{key: key, cert: ca.sign(t, key.Public(), func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.KeyUsage, c.ExtKeyUsage = "between", true, x509.KeyUsageCertSign, nil
	})}
	leaf := between.fromCSR(t, csr, nil)
	if err := b.Install(leaf, ca.pem()); err == nil {
		t.Error("a chain with a gap was taken")
	}
	if err := b.Install(append(leaf, between.pem()...), ca.pem()); err != nil {
		t.Error(err)
	}
	good := quietServer(t, home, ca.server(t, nil), ca, true)
	if who, err := telemetry(b, good); err != nil || who != "Q26-0042" {
		t.Errorf("with a chain: %q, %v", who, err)
	}
}

// S7: the device's key is nowhere but sealed.
func TestS7KeyStaysInside(t *testing.T) {
	b := newBed(t)
	ca := newAuthority(t, "home")
	csr, _ := b.CSR()
	if err := b.Install(ca.fromCSR(t, csr, nil), ca.pem()); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(b.deviceKey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.deviceKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(b.Status())
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{"status": string(shown), "request": string(csr), "printed": fmt.Sprintf("%+v", b.Status())}
	files, err := filepath.Glob(filepath.Join(b.dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		places[f] = string(content)
	}
	for where, text := range places {
		for _, secret := range []string{string(der), string(raw), fmt.Sprintf("%x", raw), base64.StdEncoding.EncodeToString(der)[40:60], base64.RawURLEncoding.EncodeToString(raw)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the device's key", where)
			}
		}
	}
	// Without the sealing key nothing is left of it: new keys, and no certificate.
	was := b.Status()
	if err := seal.Destroy(b.key); err != nil {
		t.Fatal(err)
	}
	b.open(t)
	if now := b.Status(); now.DeviceKey == was.DeviceKey || now.Certificate != nil || b.Problem() == nil || !strings.Contains(b.Problem().Error(), "enrol the box again") {
		t.Errorf("%+v, %v", now, b.Problem())
	}
	if b.open(t); b.Problem() != nil {
		t.Errorf("at the start after: %v", b.Problem())
	}
}

// F19: the power is cut at every step of an installation: the certificate is the
// old or the new one, the key the same.
func TestF19Identity(t *testing.T) {
	b := newBed(t)
	ca := newAuthority(t, "home")
	cuts := 0
	for fuse := 0; ; fuse++ {
		disk := powercut.New()
		i, err := openIn(b.cfg, disk)
		if err != nil {
			t.Fatal(err)
		}
		csr, _ := i.CSR()
		one, two := ca.fromCSR(t, csr, nil), ca.fromCSR(t, csr, nil)
		if err := i.Install(one, ca.pem()); err != nil {
			t.Fatal(err)
		}
		before := i.Status()
		disk.Fuse(fuse)
		done := i.Install(two, ca.pem())
		if after := i.Status(); done != nil && after.Certificate.Serial != before.Certificate.Serial {
			t.Fatalf("step %d: failed, and counts all the same", fuse)
		}
		for _, d := range disk.Crashes() {
			cuts++
			again, err := openIn(b.cfg, d)
			if err != nil {
				t.Fatalf("cut at step %d: the box does not start: %v", fuse, err)
			}
			s := again.Status()
			if s.DeviceKey != before.DeviceKey || s.Certificate == nil || (s.Certificate.Serial == before.Certificate.Serial) && done == nil {
				t.Fatalf("cut at step %d (done: %v): %+v", fuse, done, s)
			}
		}
		if done == nil {
			break
		}
	}
	// And while the keys are made.
	for fuse := range 8 {
		disk := powercut.New()
		disk.Fuse(fuse)
		_, first := openIn(b.cfg, disk)
		for _, d := range disk.Crashes() {
			cuts++
			if _, err := openIn(b.cfg, d); err != nil {
				t.Fatalf("cut at step %d of the first start (%v): %v", fuse, first, err)
			}
		}
	}
	if cuts < 30 {
		t.Fatalf("only %d cuts tried", cuts)
	}
}

// A file that is damaged in both copies, or holds what nobody wrote, begins
// anew and says so.
func TestDamagedIdentity(t *testing.T) {
	b := newBed(t)
	for name, content := range map[string]string{"damaged": "x", "odd": `{"version": 1, "odd": 2}`, "newer": `{"version": 2}`} {
		disk := powercut.New()
		if name == "damaged" {
			disk.Set(identityFile, []byte(content))
			disk.Set(identityFile+".copy", []byte(content))
		} else if err := (durable.Twin{Folder: disk, Name: identityFile}).Save([]byte(content)); err != nil {
			t.Fatal(err)
		}
		i, err := openIn(b.cfg, disk)
		if err != nil || i.Problem() == nil {
			t.Fatalf("%s: %v", name, err)
		}
		if i, err = openIn(b.cfg, disk); err != nil || i.Problem() != nil {
			t.Fatalf("%s, at the next start: %v, %v", name, err, i.Problem())
		}
	}
	if _, err := Open(Config{Dir: t.TempDir()}); err == nil {
		t.Error("opened without a sealer")
	}
}

// EST: enrolled with a one-time token, and renewed with the certificate at two
// thirds of its life.
func TestEST(t *testing.T) {
	b, e := newBed(t), newEST(t)
	ctx := context.Background()
	if err := b.Renew(ctx); !errors.Is(err, ErrNotEnrolled) {
		t.Fatalf("renewal before enrolment: %v", err)
	}
	e.pending = 1
	var pending *Pending
	if err := b.Enrol(ctx, e.enrolment()); !errors.As(err, &pending) || pending.RetryAfter != 90*time.Second {
		t.Fatal(err)
	}
	if err := b.Enrol(ctx, e.enrolment()); err != nil {
		t.Fatal(err)
	}
	s := b.Status()
	if s.Certificate == nil || s.EST != e.url+"/.well-known/est" || len(s.HomeCA) != 1 || s.HomeCA[0].Subject != "CN=devices" {
		t.Fatalf("%+v", s)
	}
	if want := s.Certificate.NotBefore.Add(s.Certificate.NotAfter.Sub(s.Certificate.NotBefore) / 3 * 2); !s.RenewAfter.Equal(want) {
		t.Errorf("to be renewed after %v, not %v", s.RenewAfter, want)
	}
	if err := b.Enrol(ctx, e.enrolment()); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("the token was good twice: %v", err)
	}
	good := quietServer(t, home, e.ca.server(t, nil), e.ca, true)
	if who, err := telemetry(b, good); err != nil || who != "Q26-0042" {
		t.Fatalf("home saw %q, %v", who, err)
	}

	// Not due yet: nobody is asked.
	asked := len(e.seen)
	b.renewIfDue(ctx)
	if len(e.seen) != asked {
		t.Fatal("renewed before its time")
	}
	// Due, and after a restart: renewed, once, with the same key and subject. The
	// server's clock stays where its own certificate is valid.
	b.open(t)
	b.wall.set(s.RenewAfter.Add(time.Minute), true)
	e.change = func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = s.RenewAfter.Add(-time.Hour), s.RenewAfter.AddDate(0, 3, 0)
	}
	b.renewIfDue(ctx)
	b.renewIfDue(ctx)
	r := b.Status()
	if got := strings.Join(e.seen[asked:], " "); got != "cacerts simplereenroll" || r.RenewError != "" {
		t.Fatalf("asked for %q, error %q", got, r.RenewError)
	}
	if r.Certificate.Serial == s.Certificate.Serial || r.DeviceKey != s.DeviceKey || r.Certificate.Subject != s.Certificate.Subject {
		t.Fatalf("was %+v\nis  %+v", s.Certificate, r.Certificate)
	}
}

// A renewal that fails is tried again ever later, says why meanwhile, and the
// certificate stays.
func TestRenewalFails(t *testing.T) {
	b, e := newBed(t), newEST(t)
	ctx := context.Background()
	if err := b.Enrol(ctx, e.enrolment()); err != nil {
		t.Fatal(err)
	}
	was := b.Status()
	now := was.RenewAfter.Add(time.Minute)
	b.wall.set(now, true)
	e.other = newTestKey(t).Public() // the server certifies somebody else
	var waits []time.Duration
	last := now
	for range 24 * 60 {
		asked := len(e.seen)
		b.renewIfDue(ctx)
		if len(e.seen) > asked {
			waits = append(waits, now.Sub(last))
			last = now
		}
		now = now.Add(time.Minute)
		b.wall.set(now, true)
	}
	s := b.Status()
	if s.RenewError == "" || !strings.Contains(s.RenewError, "this box's key") || s.Certificate.Serial != was.Certificate.Serial {
		t.Fatalf("%+v", s)
	}
	want := []time.Duration{0, 5, 10, 20, 40, 80, 160, 320, 360}
	for i := range want {
		if i >= len(waits) || waits[i] != want[i]*time.Minute {
			t.Fatalf("tried again after %v", waits)
		}
	}
	e.other = nil
	e.change = func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 3, 0) }
	b.wall.set(now.Add(6*time.Hour), true)
	b.renewIfDue(ctx)
	if s := b.Status(); s.RenewError != "" || s.Certificate.Serial == was.Certificate.Serial {
		t.Fatalf("%+v", s)
	}
}

// What an EST server may do wrong, and what an admin may: nothing is installed,
// and the token goes to nobody else.
func TestESTRefusals(t *testing.T) {
	ctx := context.Background()
	b, e := newBed(t), newEST(t)
	stranger := newAuthority(t, "stranger")
	leaked := ""
	thief := quietServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, leaked, _ = r.BasicAuth()
	}), stranger.server(t, nil), nil, false)
	web := newAuthority(t, "web 2")
	odd := func(answer func(w http.ResponseWriter, r *http.Request)) Enrolment {
		return Enrolment{URL: quietServer(t, http.HandlerFunc(answer), web.server(t, nil), nil, false), Token: "one-time-only", CA: web.pem()}
	}
	with := func(change func(*Enrolment)) Enrolment {
		x := e.enrolment()
		change(&x)
		return x
	}
	for name, tc := range map[string]struct {
		e    Enrolment
		want string
	}{
		"no address":     {with(func(x *Enrolment) { x.URL = "http://127.0.0.1" }), "url is not https"},
		"user in it":     {with(func(x *Enrolment) { x.URL = "https://a:b@127.0.0.1" }), "url has more than"},
		"other path":     {with(func(x *Enrolment) { x.URL += "/api" }), "url has a path that is none of EST"},
		"no host":        {with(func(x *Enrolment) { x.URL = "https:///x" }), "url names no server"},
		"no token":       {with(func(x *Enrolment) { x.Token = "" }), "token is empty"},
		"wrong token":    {with(func(x *Enrolment) { x.Token = "guess" }), "the token is wrong"},
		"no CA":          {with(func(x *Enrolment) { x.CA = nil }), "ca holds no certificate"},
		"wrong CA":       {with(func(x *Enrolment) { x.CA = stranger.pem() }), "unknown authority"},
		"bad home CA":    {with(func(x *Enrolment) { x.HomeCA = []byte("x") }), "home_ca holds no certificate"},
		"another server": {with(func(x *Enrolment) { x.URL = thief }), "unknown authority"},
		"redirects":      {odd(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief, http.StatusTemporaryRedirect) }), "307"},
		"fails":          {odd(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", 500) }), "500"},
		"a page":         {odd(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }), "is \"text/html"},
		"garbage": {odd(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", pkcs7Answer)
			_, _ = io.WriteString(w, "AAAA")
		}), "is no CMS SignedData"},
		"endless": {odd(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", pkcs7Answer)
			_, _ = w.Write(make([]byte, 2*maxESTBody))
		}), "is longer than"},
	} {
		err := b.Enrol(ctx, tc.e)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "one-time-only") {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
	for name, change := range map[string]func(){
		"is for another key": func() { e.other = newTestKey(t).Public() },
		"has expired":        func() { e.change = func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Minute) } },
		"of the EST server (cacerts) holds none of a CA": func() {
			e.cas = []*x509.Certificate{e.ca.sign(t, newTestKey(t).Public(), nil)}
		},
		"is not from any of the CAs": func() { e.cas = []*x509.Certificate{stranger.cert} },
	} {
		e.tokens["Q26-0042"], e.other, e.change, e.cas = "one-time-only", nil, nil, []*x509.Certificate{e.ca.cert}
		change()
		var bad *BadCertificate
		if err := b.Enrol(ctx, e.enrolment()); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if leaked != "" {
		t.Error("the token went to another server")
	}
	if s := b.Status(); s.Certificate != nil || s.EST != "" {
		t.Errorf("%+v", s)
	}
}

// Home's CA may be another one than the devices', and stays when the
// certificate is renewed.
func TestESTWithAnotherHome(t *testing.T) {
	b, e := newBed(t), newEST(t)
	ctx := context.Background()
	collector := newAuthority(t, "collector")
	x := e.enrolment()
	x.HomeCA = collector.pem()
	if err := b.Enrol(ctx, x); err != nil {
		t.Fatal(err)
	}
	good := quietServer(t, home, collector.server(t, nil), e.ca, true)
	for renewed := range 2 {
		if who, err := telemetry(b, good); err != nil || who != "Q26-0042" {
			t.Fatalf("renewed %d times: home saw %q, %v", renewed, who, err)
		}
		if _, err := telemetry(b, quietServer(t, home, e.ca.server(t, nil), e.ca, true)); err == nil {
			t.Fatal("a server of the devices' CA was taken for home")
		}
		if err := b.Renew(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// Run renews what is due at the start, keeps the time, and ends.
func TestRun(t *testing.T) {
	b, e := newBed(t), newEST(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := b.Enrol(ctx, e.enrolment()); err != nil {
		t.Fatal(err)
	}
	was := b.Status()
	now := was.RenewAfter.Add(time.Minute)
	b.wall.set(now, true)
	e.mu.Lock()
	e.change = func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 3, 0) }
	e.mu.Unlock()
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	for b.Status().Certificate.Serial == was.Certificate.Serial {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b.wall.set(time.Unix(0, 0), false) // the battery is empty
	b.open(t)
	if floor := b.cfg.Clock.Floor(); !floor.Equal(now.Truncate(time.Second)) {
		t.Errorf("floor %v, last time %v", floor, now)
	}
}

func FuzzParseCertsOnly(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "cacerts.p7")) // of openssl crl2pkcs7 -nocrl
	if err != nil {
		f.Fatal(err)
	}
	if list, err := parseCertsOnly(b); err != nil || len(list) != 2 || list[0].Subject.CommonName != "one" || list[1].Subject.CommonName != "two" {
		f.Fatalf("what OpenSSL writes: %v, %v", list, err)
	}
	f.Add(b)
	f.Add([]byte("MAA="))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseCertsOnly(b)
		if err == nil && (len(list) == 0 || list[0] == nil) {
			t.Error("nothing, and no error")
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "certificates.pem"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseCertificates(b)
		if err == nil && len(list) == 0 {
			t.Error("nothing, and no error")
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"version": 1, "device_key": "sealed:v1:AAAA", "page_key": ""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeState(b); err == nil && s.Version != 1 {
			t.Error(s.Version)
		}
	})
}
