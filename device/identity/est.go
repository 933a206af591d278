package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Enrolment is what an admin gives to have the box enrolled by EST (RFC 7030).
type Enrolment struct {
	// URL of the EST server: https://est.example.net, or with a label:
	// https://est.example.net/.well-known/est/boxes.
	URL string
	// Token is a one-time password, sent by HTTP basic authentication with the
	// serial number as user name. It is not kept.
	Token string
	// CA is whom the EST server's certificate must be from, in PEM.
	CA []byte
	// HomeCA is whom telemetry's server must be from, in PEM. Empty: the CAs that
	// the EST server says, also when those change.
	HomeCA []byte
}

// Pending is an enrolment that the EST server has taken note of, and that a
// person there has to approve: enrol again later, with the same token.
type Pending struct{ RetryAfter time.Duration }

// Error implements error.
func (p *Pending) Error() string {
	return fmt.Sprintf("the EST server has the request, and somebody has to approve it: enrol again in %s", p.RetryAfter)
}

// BadEnrolment is an enrolment that cannot work as it was given. Field is url,
// token, ca or home_ca.
type BadEnrolment struct{ Field, Problem, Remedy string }

// Error implements error.
func (b *BadEnrolment) Error() string { return b.Field + " " + b.Problem + "; " + b.Remedy }

const (
	estTimeout  = 30 * time.Second
	maxESTBody  = 256 << 10
	maxRetry    = 24 * time.Hour
	pkcs7Answer = "application/pkcs7-mime"
)

// Enrol gets a certificate from an EST server, checks it as Install does, and
// keeps it; from then on Run renews it. Errors: *BadEnrolment, *Pending,
// *BadCertificate (what the server made is no good), or one that says what the
// server answered.
func (i *Identity) Enrol(ctx context.Context, e Enrolment) error {
	base, err := estBase(e.URL)
	if err != nil {
		return &BadEnrolment{"url", err.Error(), "write https://server, or with the server's label https://server/.well-known/est/label"}
	}
	roots, err := parseCertificates(e.CA)
	if err != nil {
		return &BadEnrolment{"ca", err.Error(), "give the certificate of the EST server's CA, in PEM"}
	}
	if e.Token == "" || len(e.Token) > 512 || strings.ContainsFunc(e.Token, func(c rune) bool { return c < 0x20 || c == 0x7F }) {
		return &BadEnrolment{"token", "is empty, too long or holds a control character", "write the one-time token that the CA gave for this box"}
	}
	var home []*x509.Certificate
	if len(e.HomeCA) > 0 {
		if home, err = parseCertificates(e.HomeCA); err != nil {
			return &BadEnrolment{"home_ca", err.Error(), "give the certificate of the telemetry server's CA, in PEM"}
		}
	}
	i.enrolling.Lock()
	defer i.enrolling.Unlock()
	c := i.estClient(base, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool(roots), Time: i.cfg.Clock.Now})
	defer c.http.CloseIdleConnections()
	c.user, c.token = i.serial, e.Token
	cas, chain, err := i.fetch(ctx, c, "simpleenroll", nil)
	if err != nil {
		return err
	}
	s := &estState{URL: base, CA: encodeCertificates(roots...), FollowCA: home == nil}
	if home == nil {
		home = cas
	}
	return i.install(chain, home, s)
}

// Renew gets a new certificate for the same key with the one that there is.
// Errors: ErrNotEnrolled (also if it was installed by hand), and those of
// Enrol.
func (i *Identity) Renew(ctx context.Context) error {
	i.enrolling.Lock()
	defer i.enrolling.Unlock()
	i.mu.Lock()
	st := i.state
	i.mu.Unlock()
	if st.Certificate == "" || st.EST == nil {
		return ErrNotEnrolled
	}
	current, err := parseCertificates([]byte(st.Certificate))
	if err != nil {
		return fmt.Errorf("identity: the device certificate %w", err)
	}
	roots, err := parseCertificates([]byte(st.EST.CA))
	if err != nil {
		return fmt.Errorf("identity: the EST server's CA %w", err)
	}
	config, err := i.clientTLS(roots)
	if err != nil {
		return err
	}
	c := i.estClient(st.EST.URL, config)
	defer c.http.CloseIdleConnections()
	cas, chain, err := i.fetch(ctx, c, "simplereenroll", current[0])
	if err != nil {
		return err
	}
	home := cas
	if !st.EST.FollowCA {
		if home, err = parseCertificates([]byte(st.HomeCA)); err != nil {
			return fmt.Errorf("identity: home's CA %w", err)
		}
	}
	return i.install(chain, home, st.EST)
}

// fetch asks for the CAs and for a certificate, and judges that. The chain
// holds the certificate and those between it and its CA.
func (i *Identity) fetch(ctx context.Context, c estClient, operation string, current *x509.Certificate) (cas, chain []*x509.Certificate, err error) {
	cas, err = c.do(ctx, http.MethodGet, "cacerts", nil)
	if err != nil {
		return nil, nil, err
	}
	request, err := i.csr(current)
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.do(ctx, http.MethodPost, operation, request)
	if err != nil {
		return nil, nil, err
	}
	// The order within the bag means nothing: the device's is the one for its key.
	var between []*x509.Certificate
	for _, cert := range append(answer, cas...) {
		if pub, ok := cert.PublicKey.(*ecdsa.PublicKey); ok && pub.Equal(i.deviceKey.Public()) {
			chain = append(chain, cert)
		} else if cert.IsCA && !selfSigned(cert) {
			between = append(between, cert)
		}
	}
	if len(chain) != 1 {
		return nil, nil, &BadCertificate{"certificate", fmt.Sprintf("of the EST server: %d of %d are for this box's key", len(chain), len(answer)),
			"look at the EST server's log: it must certify the key of the request"}
	}
	chain = append(chain, between...)
	var anchors []*x509.Certificate
	for _, cert := range cas {
		if cert.IsCA {
			anchors = append(anchors, cert)
		}
	}
	if len(anchors) == 0 {
		return nil, nil, &BadCertificate{"ca", "of the EST server (cacerts) holds none of a CA", "look at the EST server's configuration"}
	}
	return anchors, chain, i.judge(chain, anchors)
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// estBase completes the address of an EST server.
func estBase(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > 512:
		return "", errors.New("is no address")
	case u.Scheme != "https":
		return "", errors.New("is not https")
	case u.Host == "" || u.Hostname() == "":
		return "", errors.New("names no server")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("has more than a server and a path")
	}
	path := strings.TrimSuffix(u.Path, "/")
	if path == "" {
		path = "/.well-known/est"
	}
	if !strings.HasPrefix(path, "/.well-known/est") {
		return "", errors.New("has a path that is none of EST")
	}
	return "https://" + u.Host + path, nil
}

// estClient speaks to one EST server.
type estClient struct {
	base        string
	http        *http.Client
	user, token string
}

func (i *Identity) estClient(base string, config *tls.Config) estClient {
	return estClient{base: base, http: &http.Client{
		Timeout:   estTimeout,
		Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, Proxy: nil},
		// A token must not follow to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do does one operation and returns the certificates of the answer.
func (c estClient) do(ctx context.Context, method, operation string, csr []byte) ([]*x509.Certificate, error) {
	var body io.Reader
	if csr != nil {
		body = strings.NewReader(base64.StdEncoding.EncodeToString(csr))
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/"+operation, body)
	if err != nil {
		return nil, fmt.Errorf("identity: EST: %w", err)
	}
	if csr != nil {
		req.Header.Set("Content-Type", "application/pkcs10")
		req.Header.Set("Content-Transfer-Encoding", "base64")
		if c.token != "" {
			req.SetBasicAuth(c.user, c.token)
		}
	}
	req.Header.Set("Accept", pkcs7Answer)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("identity: EST: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxESTBody+1))
	if err != nil {
		return nil, fmt.Errorf("identity: EST: read the answer to %s: %w", operation, err)
	}
	switch {
	case resp.StatusCode == http.StatusAccepted && csr != nil:
		return nil, &Pending{RetryAfter: retryAfter(resp.Header)}
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("identity: EST: the server refused %s (%s): the token is wrong, used up, or for another serial number", operation, resp.Status)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("identity: EST: the server answered %s with %s", operation, resp.Status)
	case len(b) > maxESTBody:
		return nil, fmt.Errorf("identity: EST: the answer to %s is longer than %d bytes", operation, maxESTBody)
	case !strings.HasPrefix(resp.Header.Get("Content-Type"), pkcs7Answer):
		return nil, fmt.Errorf("identity: EST: the answer to %s is %q, not %s", operation, resp.Header.Get("Content-Type"), pkcs7Answer)
	}
	list, err := parseCertsOnly(b)
	if err != nil {
		return nil, fmt.Errorf("identity: EST: the answer to %s %w", operation, err)
	}
	return list, nil
}

// retryAfter reads the header in seconds, which is what EST servers send.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 1 {
		return time.Minute
	}
	return min(time.Duration(n)*time.Second, maxRetry)
}
