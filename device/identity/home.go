package identity

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// ErrNotEnrolled is returned by what needs the device certificate on a box that
// has none.
var ErrNotEnrolled = errors.New("the box has no certificate yet: enrol it, or install one")

// CSR returns a request (PKCS #10, PEM) for the device certificate, signed with
// the device key. Its subject names the serial number.
func (i *Identity) CSR() ([]byte, error) {
	der, err := i.csr(nil)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// csr is CSR in DER. For a renewal it asks for the names of the certificate that
// there is, as RFC 7030 §4.2.2 wants it.
func (i *Identity) csr(current *x509.Certificate) ([]byte, error) {
	t := x509.CertificateRequest{
		Subject:            pkix.Name{CommonName: i.serial, SerialNumber: i.serial, Organization: []string{"Quartet"}},
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	if current != nil {
		t.RawSubject = current.RawSubject
		t.DNSNames, t.IPAddresses, t.EmailAddresses, t.URIs = current.DNSNames, current.IPAddresses, current.EmailAddresses, current.URIs
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &t, i.deviceKey)
	if err != nil {
		return nil, fmt.Errorf("identity: make the request: %w", err)
	}
	return der, nil
}

// BadCertificate is a certificate that is not taken. Field is certificate or ca.
type BadCertificate struct {
	Field   string
	Problem string // continues a sentence: "is for another key"
	Remedy  string
}

// Error implements error.
func (b *BadCertificate) Error() string { return b.Field + " " + b.Problem + "; " + b.Remedy }

// Install takes a device certificate and the CAs of home, both PEM. The
// certificate (with those between it and its CA behind it) must be for this
// box's key, valid now, for client authentication, and from one of the CAs.
// Telemetry then trusts servers of these CAs and no other. Errors:
// *BadCertificate, or that of the write; nothing is changed then.
func (i *Identity) Install(certificate, ca []byte) error {
	chain, err := parseCertificates(certificate)
	if err != nil {
		return &BadCertificate{"certificate", err.Error(), "give the certificate that the CA made of this box's request, in PEM"}
	}
	roots, err := parseCertificates(ca)
	if err != nil {
		return &BadCertificate{"ca", err.Error(), "give the certificate of the CA, in PEM"}
	}
	if err := i.judge(chain, roots); err != nil {
		return err
	}
	i.enrolling.Lock()
	defer i.enrolling.Unlock()
	return i.install(chain, roots, nil)
}

// install keeps what was judged to be good. enrolling is held.
func (i *Identity) install(chain, home []*x509.Certificate, est *estState) error {
	err := i.change(func(s *state) {
		s.Certificate, s.HomeCA, s.EST = encodeCertificates(chain...), encodeCertificates(home...), est
	})
	if err != nil {
		return fmt.Errorf("identity: keep the certificate: %w", err)
	}
	i.mu.Lock()
	i.renewal = renewal{}
	i.mu.Unlock()
	i.log.Info("device certificate installed", "subject", chain[0].Subject.String(), "issuer", chain[0].Issuer.String(), "until", chain[0].NotAfter)
	return nil
}

// judge tells whether a certificate is good for this box.
func (i *Identity) judge(chain, roots []*x509.Certificate) error {
	bad := func(problem, remedy string) error { return &BadCertificate{"certificate", problem, remedy} }
	leaf, now := chain[0], i.cfg.Clock.Now()
	pub, ok := leaf.PublicKey.(*ecdsa.PublicKey)
	switch {
	case !ok || !pub.Equal(i.deviceKey.Public()):
		return bad("is for another key: of another device, or from before a factory reset", "have a new one made of this box's request")
	case leaf.IsCA:
		return bad("is that of a CA", "put the device's own certificate first")
	case now.Before(leaf.NotBefore):
		return bad(fmt.Sprintf("is not valid before %s, and the box has %s", day(leaf.NotBefore), day(now)), "set the clock, or have it made anew")
	case now.After(leaf.NotAfter):
		return bad("has expired on "+day(leaf.NotAfter), "have a new one made")
	}
	o := x509.VerifyOptions{Roots: pool(roots), Intermediates: pool(chain[1:]), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := leaf.Verify(o); err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage {
			return bad("is not for client authentication", "have it made with that extended key usage")
		}
		return bad("is not from any of the CAs given: "+err.Error(), "give the CA that made it, and those between behind the certificate")
	}
	return nil
}

// PairCertificate is a certificate of the device key that the box signs itself,
// for those who know the key (Status.DeviceKey): the other box of a pair. It
// stays good whatever CA the box is enrolled with, and whatever time it is.
func (i *Identity) PairCertificate() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pair != nil {
		return i.pair, nil
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: i.serial, Organization: []string{"Quartet"}},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, section 4.1.2.5: no end
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, i.deviceKey.Public(), i.deviceKey)
	if err != nil {
		return nil, fmt.Errorf("identity: make the pair's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("identity: make the pair's certificate: %w", err)
	}
	i.pair = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.deviceKey, Leaf: leaf}
	return i.pair, nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func pool(list []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range list {
		p.AddCert(c)
	}
	return p
}

// HomeTLS is how telemetry speaks to home: TLS 1.2 or later, with the device
// certificate, to servers whose certificate is from home's CAs; the system's
// own CAs count for nothing. A renewed certificate is used from the next
// connection on; home's CAs are those of now, so ask again after an
// installation or enrolment. ErrNotEnrolled if there is no certificate; the
// error also says if it has expired.
func (i *Identity) HomeTLS() (*tls.Config, error) {
	i.mu.Lock()
	s := i.state
	i.mu.Unlock()
	if s.Certificate == "" {
		return nil, ErrNotEnrolled
	}
	home, err := parseCertificates([]byte(s.HomeCA))
	if err != nil {
		return nil, fmt.Errorf("identity: home's CA %w", err)
	}
	return i.clientTLS(home)
}

// clientTLS is a configuration with the device certificate that trusts roots.
func (i *Identity) clientTLS(roots []*x509.Certificate) (*tls.Config, error) {
	if _, err := i.clientCertificate(nil); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    pool(roots),
		Time:       i.cfg.Clock.Now,
		// Not Certificates: that would be left out if the server names other CAs,
		// and the error would come later and say less.
		GetClientCertificate: i.clientCertificate,
	}, nil
}

// clientCertificate is the device certificate, if it may be shown.
func (i *Identity) clientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	i.mu.Lock()
	s := i.state
	i.mu.Unlock()
	chain, err := parseCertificates([]byte(s.Certificate))
	if err != nil {
		return nil, fmt.Errorf("identity: the device certificate %w", err)
	}
	if now := i.cfg.Clock.Now(); now.After(chain[0].NotAfter) {
		return nil, fmt.Errorf("identity: the device certificate has expired on %s: enrol the box again", day(chain[0].NotAfter))
	}
	cert := &tls.Certificate{PrivateKey: i.deviceKey, Leaf: chain[0]}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert, nil
}
