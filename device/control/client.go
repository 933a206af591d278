package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// maxReply bounds what a client reads in one piece.
const maxReply = 16 << 20

// Client talks to a Server.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client of a socket. Nothing is opened before the first
// request.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Error is an answer of the server that is not a success.
type Error struct {
	Code int    // HTTP status
	Text string // in words
	// NeedsRestart names the fields that cannot change while running, if that is
	// why a reload was refused.
	NeedsRestart []string
}

func (e *Error) Error() string { return e.Text }

// ErrUnreachable is wrapped by errors that say that nobody answers.
var ErrUnreachable = errors.New("quartetd does not answer")

// Status asks for the state of the box.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.ask(ctx, http.MethodGet, "/v1/status", &s)
}

// Probe asks for all that is known of the stream at a place.
func (c *Client) Probe(ctx context.Context, where string) (p Probe, err error) {
	return p, c.ask(ctx, http.MethodGet, "/v1/probe?at="+url.QueryEscape(where), &p)
}

// Thumbnail asks for the latest small picture.
func (c *Client) Thumbnail(ctx context.Context) (t Thumbnail, err error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/thumbnail")
	if err != nil {
		return t, err
	}
	defer resp.Body.Close()
	if t.JPEG, err = io.ReadAll(io.LimitReader(resp.Body, maxReply)); err != nil {
		return t, fmt.Errorf("the answer of %s cannot be read: %w", c.socket, err)
	}
	t.Time, err = http.ParseTime(resp.Header.Get("Last-Modified"))
	return t, err
}

// Conditions asks for the list of conditions.
func (c *Client) Conditions(ctx context.Context) (l Conditions, err error) {
	return l, c.ask(ctx, http.MethodGet, "/v1/conditions", &l)
}

// Reload has the configuration file read again.
func (c *Client) Reload(ctx context.Context) (r Reload, err error) {
	return r, c.ask(ctx, http.MethodPost, "/v1/reload", &r)
}

// Restart has quartetd start again with its configuration file, for changes that
// a Reload cannot make. It returns once the file has been checked and the end
// is under way; Status answers again when it is back.
func (c *Client) Restart(ctx context.Context) error {
	var ok struct{}
	return c.ask(ctx, http.MethodPost, "/v1/restart", &ok)
}

// Preflight has a path tried out.
func (c *Client) Preflight(ctx context.Context, path string) (p Preflight, err error) {
	return p, c.ask(ctx, http.MethodPost, "/v1/preflight?path="+url.QueryEscape(path), &p)
}

// Events hands over events, oldest first: those that are kept and, with
// follow, those to come, until ctx ends, the server stops or handle returns an
// error. after is the ID of the last event that is known already. missed is
// the number of events before this one that are not kept any more.
func (c *Client) Events(ctx context.Context, after string, follow bool, handle func(e Event, missed uint64) error) error {
	q := url.Values{"follow": {fmt.Sprint(follow)}}
	if after != "" {
		q.Set("after", after)
	}
	resp, err := c.do(ctx, http.MethodGet, "/v1/events?"+q.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return readEvents(resp.Body, handle)
}

// readEvents parses an event stream of the server.
func readEvents(r io.Reader, handle func(e Event, missed uint64) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	var kind, data string
	var missed struct{ Count uint64 }
	for lines.Scan() {
		line := lines.Text()
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "event":
			kind = value
		case field == "data":
			data += value
		case line == "" && data != "":
			var e Event
			var err error
			if kind == "missed" {
				err = json.Unmarshal([]byte(data), &missed)
			} else if err = json.Unmarshal([]byte(data), &e); err == nil {
				err = handle(e, missed.Count)
				missed.Count = 0
			}
			if err != nil {
				return err
			}
			kind, data = "", ""
		}
	}
	return lines.Err()
}

// Rest has nobody watch picture and sound for so many seconds from now on.
func (c *Client) Rest(ctx context.Context, d time.Duration) error {
	var none struct{}
	return c.ask(ctx, http.MethodPost, fmt.Sprintf("/v1/rest?seconds=%d", int(d.Seconds())), &none)
}

// ask sends a request and reads its answer into v.
func (c *Client) ask(ctx context.Context, method, target string, v any) error {
	resp, err := c.do(ctx, method, target)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(v); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", c.socket, err)
	}
	return nil
}

// do sends a request; an answer that is no success is an *Error.
func (c *Client) do(ctx context.Context, method, target string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://quartetd"+target, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	var f failure
	if json.Unmarshal(b, &f) != nil || f.Error == "" {
		f.Error = strings.TrimSpace(resp.Status + " " + string(b))
	}
	return nil, &Error{Code: resp.StatusCode, Text: f.Error, NeedsRestart: f.NeedsRestart}
}

// explain says what to do when the socket cannot be reached.
func (c *Client) explain(err error) error {
	var remedy string
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist):
		remedy = "there is no such socket; is quartetd running, and is this the path of control.socket in its configuration?"
	case errors.Is(err, syscall.ECONNREFUSED):
		remedy = "nobody serves the socket; is quartetd running?"
	case errors.Is(err, fs.ErrPermission):
		remedy = "permission denied; use sudo, or join the group that owns the socket"
	default:
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err
		}
		remedy = err.Error()
	}
	return fmt.Errorf("%w on %s: %s", ErrUnreachable, c.socket, remedy)
}
