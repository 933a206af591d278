package sibling

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Path is where the other box's requests come in.
const Path = "/sibling/v1/lease"

// Protocol is the word in a client's hello (ALPN) that tells a server that also
// serves others, a box's page for one, that a sibling calls: only those are to be
// asked for a certificate, because a browser would ask its user for one. What is
// spoken then is HTTP/1.1.
const Protocol = "quartet-sibling"

// Calls tells whether a hello is a sibling's.
func Calls(h *tls.ClientHelloInfo) bool { return slices.Contains(h.SupportedProtos, Protocol) }

// maxMessage bounds what is read of a request or an answer.
const maxMessage = 4 << 10

// Pin is the SHA-256 of a certificate's public key (RFC 7469, section 2.4, in
// hexadecimal). It stays when the certificate is renewed for the same key.
type Pin string

// PinOf returns the pin of a certificate.
func PinOf(c *x509.Certificate) Pin {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return Pin(hex.EncodeToString(sum[:]))
}

// ParsePin reads a pin; colons, spaces and upper case, as people copy them,
// are taken.
func ParsePin(s string) (Pin, error) {
	s = strings.ToLower(strings.NewReplacer(":", "", " ", "").Replace(strings.TrimSpace(s)))
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
		return "", errors.New("this is no fingerprint of a box; copy the 64 hexadecimal digits that the other box shows")
	}
	return Pin(s), nil
}

// is tells whether the first of a peer's certificates has the pin.
func (p Pin) is(certs []*x509.Certificate) bool {
	return len(certs) > 0 && p != "" && subtle.ConstantTimeCompare([]byte(PinOf(certs[0])), []byte(p)) == 1
}

// ServerTLS is what a listener for Handler needs: this box's certificate, and
// the wish for the other's, which Handler compares.
func ServerTLS(own tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}}
}

// clientTLS believes nobody but the holder of the pinned key.
func clientTLS(own tls.Certificate, peer Pin) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{Protocol, "http/1.1"},
		// Neither names nor authorities count here: VerifyConnection compares
		// the key itself, for resumed connections, too.
		InsecureSkipVerify: true, //nolint:gosec // G402: see VerifyConnection
		VerifyConnection: func(s tls.ConnectionState) error {
			if !peer.is(s.PeerCertificates) {
				return errors.New("the box that answers is not the one that was paired: its key is another")
			}
			return nil
		},
	}
}

// Handler serves Path for the box with the pinned key. It is put on a server
// with TLS that asks for a client's certificate (ServerTLS).
func Handler(p *Pair, peer Pin) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || !peer.is(r.TLS.PeerCertificates) {
			answer(w, http.StatusForbidden, Answer{Reason: Stranger, Text: "this box is paired with another key"})
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
		if err != nil {
			answer(w, http.StatusBadRequest, Answer{Reason: Malformed, Text: "the request cannot be read"})
			return
		}
		req, err := ParseRequest(body)
		if err != nil {
			answer(w, http.StatusBadRequest, Answer{Reason: Malformed, Text: err.Error()})
			return
		}
		answer(w, http.StatusOK, p.Answer(req))
	})
	return mux
}

func answer(w http.ResponseWriter, code int, a Answer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(a) // the other went away
}

// ParseRequest reads a request.
func ParseRequest(b []byte) (Request, error) {
	var r Request
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("the request cannot be read: %w", err)
	}
	if !idPattern.MatchString(r.ID) || !serialPattern.MatchString(r.Holder) || r.TTL < 1 || r.TTL > 86400 || r.Role != RoleA && r.Role != RoleB {
		return r, errors.New("the request cannot be read: id, holder, role or ttl_s is not allowed")
	}
	return r, nil
}

// Client carries requests to the other box over HTTPS.
type Client struct {
	url  string
	http *http.Client
}

// NewClient returns a client for the box at an address, "10.0.0.7" or
// "quartet-q4-0002.local:8443", that has the pinned key.
func NewClient(address string, own tls.Certificate, peer Pin) (*Client, error) {
	u, err := url.Parse("https://" + address)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("sibling: %q is no address of a box; write HOST or HOST:PORT", address)
	}
	return &Client{url: u.String() + Path, http: &http.Client{
		Timeout: 15 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: clientTLS(own, peer), TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Ask implements Config.Ask.
func (c *Client) Ask(ctx context.Context, r Request) (Answer, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(b))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err = io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	if err := json.Unmarshal(b, &a); err != nil || resp.StatusCode != http.StatusOK && a.Granted || !a.Granted && a.Reason == "" {
		return Answer{}, fmt.Errorf("it answers %s, and not as a box does", resp.Status)
	}
	if len(a.Text) > 500 {
		a.Text = a.Text[:500]
	}
	return a, nil
}
