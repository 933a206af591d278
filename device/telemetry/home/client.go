package home

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Signals, as they stand in the address.
const (
	SignalMetrics = "metrics"
	SignalLogs    = "logs"
)

// Verdict is what home made of a request.
type Verdict uint8

// The verdicts.
const (
	Accepted Verdict = iota // and perhaps some of it rejected
	Again                   // later
	TooLarge                // in smaller pieces
	Refused                 // for good
)

// Outcome is a verdict and what is known besides.
type Outcome struct {
	Verdict  Verdict
	Status   int           // HTTP status; 0: there was no answer
	Reason   string        // in words; empty if all is well
	Wait     time.Duration // home asks for a pause; 0: it does not
	Rejected int64         // points or records that an accepted request was not accepted for
	Date     time.Time     // home's clock, zero if it does not tell; exact to a second
}

// Settings say where home is.
type Settings struct {
	// Endpoint is the address before /v1/metrics, such as
	// https://telemetry.example:4318.
	Endpoint string
	// TLS returns what a connection is made with; it is asked for each, so that a
	// renewed certificate is taken. It must name the roots to trust and hold the
	// box's certificate.
	TLS func() (*tls.Config, error)
	// Timeout is how long an answer may take. 0: 30 s.
	Timeout time.Duration
	// Agent is the User-Agent.
	Agent string
	// Transport replaces the network, for tests. nil: TLS.
	Transport http.RoundTripper
}

// Client sends requests.
type Client struct {
	base *url.URL
	set  Settings
	http *http.Client

	mu   sync.Mutex
	gzip *gzip.Writer
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// ParseEndpoint checks the address of a home.
func ParseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no address: write https://HOST:4318", s)
	case u.Scheme != "https":
		return nil, fmt.Errorf("%q: telemetry goes over https only, so that it goes to nobody else: write https://HOST:4318", s)
	case u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("%q names no host: write https://HOST:4318", s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q: user, query and fragment are not sent: write https://HOST:4318; the box proves itself by its certificate", u.Redacted())
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("%q: port %s: write 1 to 65535", s, p)
		}
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// NewClient returns a client; nothing is opened before the first request.
func NewClient(set Settings) (*Client, error) {
	u, err := ParseEndpoint(set.Endpoint)
	if err != nil {
		return nil, err
	}
	if set.Timeout == 0 {
		set.Timeout = 30 * time.Second
	}
	c := &Client{base: u, set: set}
	rt := set.Transport
	if rt == nil {
		rt = &http.Transport{DialTLSContext: c.dial, MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second,
			ResponseHeaderTimeout: set.Timeout, DisableCompression: true}
	}
	c.http = &http.Client{Transport: rt, Timeout: set.Timeout,
		// A redirect would lead to somebody whom nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Reconnect closes idle connections, so that the next request proves itself
// with the certificate of now.
func (c *Client) Reconnect() { c.http.CloseIdleConnections() }

// ErrIdentity is wrapped by errors that say that the box has no identity to
// prove itself with.
var ErrIdentity = errors.New("no identity for telemetry")

// checkTLS refuses what would let telemetry go to a stranger.
func checkTLS(conf *tls.Config) error {
	switch {
	case conf == nil:
		return fmt.Errorf("%w: enrol the box first", ErrIdentity)
	case conf.InsecureSkipVerify:
		return fmt.Errorf("%w: verification of home is switched off", ErrIdentity)
	case conf.RootCAs == nil:
		return fmt.Errorf("%w: no CA is configured to know home by", ErrIdentity)
	case len(conf.Certificates) == 0 && conf.GetClientCertificate == nil:
		return fmt.Errorf("%w: no certificate: enrol the box first", ErrIdentity)
	}
	return nil
}

// dial makes a connection on which both ends have proven themselves.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.set.TLS == nil {
		return nil, checkTLS(nil)
	}
	conf, err := c.set.TLS()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
	}
	if err := checkTLS(conf); err != nil {
		return nil, err
	}
	conf = conf.Clone()
	conf.ServerName = c.base.Hostname()
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	conf.NextProtos = []string{"http/1.1"}
	conf.ClientSessionCache = nil // a resumed session would outlive a certificate
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: conf}
	return d.DialContext(ctx, network, addr)
}

// Post sends a request's body, compressed, and says what became of it.
func (c *Client) Post(ctx context.Context, signal string, body []byte) Outcome {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+"/v1/"+signal, bytes.NewReader(c.compress(body)))
	if err != nil {
		return Outcome{Verdict: Again, Reason: err.Error()}
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("User-Agent", c.set.Agent)
	resp, err := c.http.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return Outcome{Verdict: Again, Reason: err.Error()}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode/100 == 2 {
		// It was accepted, or not: sent again, it is a double with the same identity.
		return Outcome{Verdict: Again, Status: resp.StatusCode, Reason: "the answer was cut off: " + err.Error()}
	}
	return judge(resp.StatusCode, resp.Header, answer)
}

// compress returns a body as gzip. The compressor is large and used again.
func (c *Client) compress(body []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b bytes.Buffer
	if c.gzip == nil {
		c.gzip, _ = gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is right
	}
	c.gzip.Reset(&b)
	_, _ = c.gzip.Write(body) // memory does not fail
	_ = c.gzip.Close()
	return b.Bytes()
}

// judge says what an answer means (OTLP specification, "OTLP/HTTP Response").
func judge(status int, h http.Header, body []byte) Outcome {
	o := Outcome{Status: status}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		o.Date = date
	}
	if status/100 == 2 {
		if strings.HasPrefix(h.Get("Content-Type"), "application/x-protobuf") || h.Get("Content-Type") == "" {
			o.Rejected, o.Reason = parsePartial(body)
		}
		return o
	}
	o.Reason = strings.TrimSpace(fmt.Sprintf("%d %s: %s", status, http.StatusText(status), message(h, body)))
	o.Reason = strings.TrimSuffix(o.Reason, ":")
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		o.Verdict = Again
		o.Wait = retryAfter(h.Get("Retry-After"), o.Date)
	case http.StatusRequestEntityTooLarge:
		o.Verdict = TooLarge
	default:
		o.Verdict = Refused
	}
	return o
}

// longestWait bounds what a home can ask for.
const longestWait = time.Hour

// retryAfter reads the header Retry-After: seconds, or an instant, which is
// compared with home's own clock, not with ours.
func retryAfter(s string, date time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil {
		d = time.Duration(min(max(n, 0), int64(longestWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(s); err == nil && !date.IsZero() {
		d = at.Sub(date)
	}
	return min(max(d, 0), longestWait)
}

// parsePartial reads the answer to an accepted request:
// Export…ServiceResponse{partial_success = 1: {rejected_… = 1, error_message = 2}}.
func parsePartial(b []byte) (rejected int64, message string) {
	inner := field(b, 1, protowire.BytesType)
	if n, k := protowire.ConsumeVarint(field(inner, 1, protowire.VarintType)); k > 0 {
		rejected = max(int64(n), 0)
	}
	return rejected, printable(field(inner, 2, protowire.BytesType))
}

// message is what an error's body says: google.rpc.Status{message = 2}, or text.
func message(h http.Header, body []byte) string {
	if strings.HasPrefix(h.Get("Content-Type"), "application/x-protobuf") {
		return printable(field(body, 2, protowire.BytesType))
	}
	return printable(body)
}

// field returns the last occurrence of a field of a protobuf message; of a
// varint, its encoding.
func field(b []byte, number protowire.Number, kind protowire.Type) (found []byte) {
	for len(b) > 0 {
		n, t, k := protowire.ConsumeTag(b)
		if k < 0 {
			return found
		}
		b = b[k:]
		size := protowire.ConsumeFieldValue(n, t, b)
		if size < 0 {
			return found
		}
		if n == number && t == kind {
			if found = b[:size]; kind == protowire.BytesType {
				found, _ = protowire.ConsumeBytes(found)
			}
		}
		b = b[size:]
	}
	return found
}

// printable is the start of a text, without what would upset a log or a page.
func printable(b []byte) string {
	if !utf8.Valid(b[:min(len(b), 200)]) {
		return ""
	}
	s := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, string(b[:min(len(b), 200)]))
	return strings.Join(strings.Fields(s), " ")
}
