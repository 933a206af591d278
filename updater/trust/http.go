package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Opener is a Source that hands out bundles.
type Opener interface {
	Source
	// Open begins to read a file at an offset. start is where it really
	// begins, which is the offset or 0. The body has to be closed.
	Open(ctx context.Context, name string, offset int64) (body io.ReadCloser, start int64, err error)
}

// Busy is the error of a server that asks to come back later (429, 503).
type Busy struct {
	Status string
	After  time.Duration // 0: it did not say
}

func (b *Busy) Error() string {
	if b.After > 0 {
		return fmt.Sprintf("the server answers %s and asks to come back in %v", b.Status, b.After)
	}
	return "the server answers " + b.Status
}

// HTTP is a repository on a web server that serves files and nothing else.
type HTTP struct {
	base   *url.URL
	client *http.Client
}

const (
	// patience is how long a server may be silent.
	patience = 30 * time.Second
	// smallBuffer keeps what the kernel takes in ahead of a slow reader short:
	// with a large one, a rate limit would arrive as bursts.
	smallBuffer = 64 << 10
)

// NewHTTP returns a repository below an address. Plain http is allowed: trust
// comes from signatures, not from the server. The transport is NewTransport's,
// or a caller's own.
func NewHTTP(address string, transport http.RoundTripper) (*HTTP, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no address of a repository; write https://host/path", address)
	}
	return &HTTP{base: u, client: &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > 5 {
			return errors.New("more than five redirections")
		}
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return errors.New("a redirection from https to http")
		}
		return nil
	}}}, nil
}

// NewTransport returns a transport whose connections keep little in the
// kernel, and ask the network to put them behind everything else (DSCP CS1).
func NewTransport() *http.Transport {
	d := &net.Dialer{Timeout: 15 * time.Second, Control: func(network, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			// Each is a courtesy: a system that knows it not serves as well.
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer)
			if strings.HasSuffix(network, "6") {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS, 0x20)
			} else {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS, 0x20)
			}
		})
	}}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext, DisableCompression: true, ForceAttemptHTTP2: false,
		TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: patience, IdleConnTimeout: patience, MaxConnsPerHost: 2,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func (h *HTTP) request(ctx context.Context, name string, offset int64) (*http.Response, error) {
	u := h.base.JoinPath(name)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	// What a proxy keeps is good for bundles, whose name is their hash, and for
	// numbered metadata; the one file that changes under its name is not.
	if strings.HasSuffix(name, "/"+fileTimestamp) {
		req.Header.Set("Cache-Control", "no-cache")
	}
	resp, err := h.client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusPartialContent && offset > 0:
		return resp, nil
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0:
		resp.Body.Close()
		return nil, errRange
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden: // object stores say 403 for what is not there
		return nil, ErrNotFound
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		b := &Busy{Status: resp.Status}
		if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32); err == nil {
			b.After = min(time.Duration(n)*time.Second, 24*time.Hour)
		}
		return nil, b
	}
	return nil, fmt.Errorf("the server answers %s", resp.Status)
}

// errRange: what we have is not the beginning of what the server has.
var errRange = errors.New("the server has less than was downloaded already")

// Get implements Source.
func (h *HTTP) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	resp, err := h.request(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return readLimited(resp.Body, name, limit)
}

func readLimited(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, refuse(Malformed, askHome, "%s has more than the %d bytes that are allowed", name, limit)
	}
	return b, nil
}

// Open implements Opener.
func (h *HTTP) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	resp, err := h.request(ctx, name, offset)
	if err != nil {
		return nil, 0, err
	}
	start := int64(0)
	if resp.StatusCode == http.StatusPartialContent {
		if start, err = rangeStart(resp.Header.Get("Content-Range")); err == nil && start != offset {
			err = fmt.Errorf("the server sends from byte %d, and was asked for %d", start, offset)
		}
		if err != nil {
			resp.Body.Close()
			return nil, 0, err
		}
	}
	return resp.Body, start, nil
}

// rangeStart reads the first number of a Content-Range.
func rangeStart(s string) (int64, error) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	from, _, dash := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(from, 10, 64)
	if !ok || !dash || err != nil || n < 0 {
		return 0, fmt.Errorf("the server's Content-Range %q cannot be read", clip(s))
	}
	return n, nil
}
