package updater

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// DefaultSocket is where a box serves its updater.
const DefaultSocket = "/run/quartet/update.sock"

const (
	maxRequest = 16 << 10
	maxReply   = 4 << 20
	drainTime  = 500 * time.Millisecond
)

// Server serves a Service on a Unix socket:
//
//	GET  /v1/update            Status
//	POST /v1/update/check      Status
//	POST /v1/update/now        NowRequest → Status
//	POST /v1/update/defer      DeferRequest → Status
//	POST /v1/update/cancel     CancelRequest → Status
//	POST /v1/update/upload     ?actor=NAME, the file → Status
//	GET  /v1/update/history    ?limit=N → [Entry]
//
// Errors are {"error":"…"} with status 4xx. Who may open the socket may use
// it: its mode is 0660. Who acts is what the caller says.
type Server struct {
	path     string
	listener net.Listener
	file     os.FileInfo // of the socket, to remove no other
	http     *http.Server
	requests sync.WaitGroup
}

// Listen makes the socket; Run serves it. A socket that a process left behind
// is replaced; one that somebody still serves is an error.
func Listen(path string, s Service, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l, info, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("update socket %s: %w", path, err)
	}
	srv := &Server{path: path, listener: l, file: info}
	h := Handler(s)
	srv.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			srv.requests.Add(1)
			defer srv.requests.Done()
			h.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		// No ReadTimeout: an upload takes as long as its source.
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return srv, nil
}

func listen(path string) (net.Listener, os.FileInfo, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, nil, err
		}
	case err != nil:
		return nil, nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, nil, errors.New("is there and is not a socket; remove it, or choose another path")
	default:
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return nil, nil, errors.New("is served by another process; stop that first, or choose another path")
		}
	}
	// Under another name until its mode is right, so that nobody connects before.
	temporary := path + "~"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	l.SetUnlinkOnClose(false)
	info, err := os.Lstat(temporary)
	if err = errors.Join(err, os.Chmod(temporary, 0o660)); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		l.Close()
		os.Remove(temporary)
		return nil, nil, err
	}
	return l, info, nil
}

// Run serves until ctx ends, then ends the requests and removes the socket.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.Background(), drainTime)
		if s.http.Shutdown(end) != nil {
			s.http.Close()
		}
		cancel()
		err = <-served
	}
	s.requests.Wait()
	if info, e := os.Lstat(s.path); e == nil && os.SameFile(info, s.file) {
		os.Remove(s.path)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("update socket %s: %w", s.path, err)
	}
	return nil
}

// Handler serves a Service over HTTP, without any question of who is asking:
// put it behind a socket's mode, or behind a login.
func Handler(s Service) http.Handler {
	mux := http.NewServeMux()
	status := func(f func(r *http.Request) (Status, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			st, err := f(r)
			reply(w, st, err)
		}
	}
	mux.HandleFunc("GET /v1/update", status(func(r *http.Request) (Status, error) { return s.Status(r.Context()) }))
	mux.HandleFunc("POST /v1/update/check", status(func(r *http.Request) (Status, error) { return s.Check(r.Context()) }))
	mux.HandleFunc("POST /v1/update/now", status(func(r *http.Request) (Status, error) {
		req, err := body[NowRequest](r)
		if err != nil {
			return Status{}, err
		}
		return s.Now(r.Context(), req)
	}))
	mux.HandleFunc("POST /v1/update/defer", status(func(r *http.Request) (Status, error) {
		req, err := body[DeferRequest](r)
		if err != nil {
			return Status{}, err
		}
		return s.Defer(r.Context(), req)
	}))
	mux.HandleFunc("POST /v1/update/cancel", status(func(r *http.Request) (Status, error) {
		req, err := body[CancelRequest](r)
		if err != nil {
			return Status{}, err
		}
		return s.Cancel(r.Context(), req)
	}))
	mux.HandleFunc("POST /v1/update/upload", func(w http.ResponseWriter, r *http.Request) {
		st, err := s.Upload(r.Context(), r.URL.Query().Get("actor"), patient{r.Body, http.NewResponseController(w)})
		reply(w, st, err)
	})
	mux.HandleFunc("GET /v1/update/history", func(w http.ResponseWriter, r *http.Request) {
		limit := 0
		if l := r.URL.Query().Get("limit"); l != "" {
			n, err := strconv.Atoi(l)
			if err != nil || n < 0 {
				reply(w, nil, fmt.Errorf("limit: %q is no number", l[:min(len(l), 20)]))
				return
			}
			limit = n
		}
		h, err := s.History(r.Context(), limit)
		if h == nil {
			h = []Entry{}
		}
		reply(w, h, err)
	})
	return mux
}

// silence is how long a file may keep everybody else's waiting without a word.
const silence = 30 * time.Second

// patient reads a file that may take long, as long as it goes on coming.
type patient struct {
	body    io.Reader
	control *http.ResponseController
}

func (p patient) Read(b []byte) (int, error) {
	// What is not supported is a test's recorder: then there are no deadlines.
	if err := p.control.SetReadDeadline(time.Now().Add(silence)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.body.Read(b)
	if err != nil { // what is done with it now may take longer: the deadline would end the request
		_ = p.control.SetReadDeadline(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing more of the file has come for %v; bring it again", silence)
	}
	return n, err
}

// body reads a request strictly.
func body[T any](r *http.Request) (v T, err error) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return v, err
	}
	if len(b) > maxRequest {
		return v, fmt.Errorf("the request has more than %d bytes", maxRequest)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("the request cannot be read: %w", err)
	}
	return v, nil
}

type failure struct {
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, v any, err error) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if err != nil {
		v = failure{err.Error()}
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the reader went away
}

// Client is a Service behind a Unix socket.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the server on a socket.
func NewClient(path string) *Client {
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// do sends a request and reads the answer into v.
func (c *Client) do(ctx context.Context, method, target string, body io.Reader, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://updater"+target, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return c.explain(err)
	}
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(b, &f) != nil || f.Error == "" {
			f.Error = resp.Status + " " + strings.TrimSpace(string(b[:min(len(b), 200)]))
		}
		return errors.New(f.Error)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("the answer of %s cannot be read: %w", c.path, err)
	}
	return nil
}

// explain says what to do when the socket cannot be reached.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no updater answers on %s: is quartet-manage running?", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no updater answers on %s: permission denied; use sudo, or join the group that owns the socket", c.path)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("no updater answers on %s: %w", c.path, err)
}

func (c *Client) status(ctx context.Context, method, target string, request any) (st Status, err error) {
	var r io.Reader
	if request != nil {
		b, err := json.Marshal(request)
		if err != nil {
			return st, err
		}
		r = bytes.NewReader(b)
	}
	return st, c.do(ctx, method, target, r, &st)
}

// Status implements Service.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return c.status(ctx, http.MethodGet, "/v1/update", nil)
}

// Check implements Service.
func (c *Client) Check(ctx context.Context) (Status, error) {
	return c.status(ctx, http.MethodPost, "/v1/update/check", nil)
}

// Now implements Service.
func (c *Client) Now(ctx context.Context, r NowRequest) (Status, error) {
	return c.status(ctx, http.MethodPost, "/v1/update/now", r)
}

// Defer implements Service.
func (c *Client) Defer(ctx context.Context, r DeferRequest) (Status, error) {
	return c.status(ctx, http.MethodPost, "/v1/update/defer", r)
}

// Cancel implements Service.
func (c *Client) Cancel(ctx context.Context, r CancelRequest) (Status, error) {
	return c.status(ctx, http.MethodPost, "/v1/update/cancel", r)
}

// Upload implements Service.
func (c *Client) Upload(ctx context.Context, actor string, r io.Reader) (st Status, err error) {
	return st, c.do(ctx, http.MethodPost, "/v1/update/upload?"+url.Values{"actor": {actor}}.Encode(), r, &st)
}

// History implements Service.
func (c *Client) History(ctx context.Context, limit int) (h []Entry, err error) {
	return h, c.do(ctx, http.MethodGet, fmt.Sprintf("/v1/update/history?limit=%d", limit), nil, &h)
}

var _, _ Service = (*Updater)(nil), (*Client)(nil)
