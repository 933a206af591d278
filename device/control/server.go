package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"quartet/device/health"
)

const (
	maxConnections = 64
	drain          = 500 * time.Millisecond // how long requests may take to end
	heartbeat      = 15 * time.Second       // of a quiet event stream
)

// ErrNoPath is returned by Media.Preflight for a path that does not exist.
var ErrNoPath = errors.New("no such path")

// ErrNoPlace is returned by Media.Probe for a place that does not exist.
var ErrNoPlace = errors.New("no such place")

// RestartNeeded is returned by Media.Reload when a change cannot be made while
// running.
type RestartNeeded struct{ Fields []string }

// Error implements error.
func (r *RestartNeeded) Error() string {
	return strings.Join(r.Fields, ", ") + " cannot change while running: restart quartetd"
}

// ErrNoThumbnail is returned by Media.Thumbnail while there is no picture.
var ErrNoThumbnail = errors.New("no picture")

// Media is what the server asks of the media plane. Its methods are called
// from several goroutines.
type Media interface {
	// Status returns the state of the box; the server fills in the conditions.
	Status() Status
	// Probe returns all that is known of the stream at a place, AtInput or
	// AtOutput. ErrNoPlace for another.
	Probe(where string) (Probe, error)
	// Thumbnail returns the latest small picture; an error that wraps
	// ErrNoThumbnail if there is none.
	Thumbnail() (Thumbnail, error)
	// Reload reads the configuration again, and logs what it changed. Its error
	// is shown to the caller.
	Reload(ctx context.Context) (Reload, error)
	// Restart ends this process, to be started again with the configuration that is
	// there now; an error of that is returned and nothing ends. It returns before
	// the end.
	Restart(ctx context.Context) error
	// Preflight tries out a path, until ctx ends. ErrNoPath if there is none of that name.
	Preflight(ctx context.Context, path string) (Preflight, error)
	// Rest has nobody watch picture and sound of what is passed through, for a time
	// from now on: the box is too hot. 0 ends it. Media are not touched.
	Rest(d time.Duration)
}

// Health is what the server asks of the list of conditions; *health.Monitor.
type Health interface {
	Active() []health.Condition
	All() []health.Condition
	Worst() health.Severity
	Ring() *health.Ring
}

// Config is what a Server is made of.
type Config struct {
	Socket string // path of the Unix socket
	Media  Media
	Health Health
	// Wall turns a process time into a wall-clock time.
	Wall func(time.Duration) time.Time
	// Instance tells this run of the process from others, so that a reader of
	// events that comes back after a restart gets all of them.
	Instance string
	Log      *slog.Logger // nil: nothing is logged
}

// Server serves the control socket.
type Server struct {
	// set at start, never changed
	cfg      Config
	listener net.Listener
	file     os.FileInfo // of the socket, to remove no other
	http     *http.Server
	stopping chan struct{} // closed by Run when the event streams are to end

	inFlight sync.WaitGroup // requests; Run joins them
}

// Listen makes the socket; Run serves it. A socket left behind by a process
// that ended without removing it is replaced; one that somebody still serves
// is an error.
func Listen(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l, info, err := listen(cfg.Socket)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, listener: netutil.LimitListener(l, maxConnections), file: info, stopping: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/probe", s.probe)
	mux.HandleFunc("GET /v1/thumbnail", s.thumbnail)
	mux.HandleFunc("GET /v1/conditions", s.conditions)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("POST /v1/reload", s.reload)
	mux.HandleFunc("POST /v1/restart", s.restart)
	mux.HandleFunc("POST /v1/preflight", s.preflight)
	mux.HandleFunc("POST /v1/rest", s.rest)
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.inFlight.Add(1)
			defer s.inFlight.Done()
			mux.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second, // a preflight takes its time
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// listen opens the socket under a temporary name and moves it into place once
// its mode is right, so that nobody can connect before.
func listen(path string) (net.Listener, os.FileInfo, error) {
	fail := func(err error) (net.Listener, os.FileInfo, error) {
		return nil, nil, fmt.Errorf("control.socket %s: %w", path, err)
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fail(err)
		}
	case err != nil:
		return fail(err)
	case info.Mode().Type() != fs.ModeSocket:
		return fail(errors.New("is there and is not a socket; remove it, or choose another path"))
	default:
		if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
			c.Close()
			return fail(errors.New("is served by another process; stop that quartetd first, or choose another path"))
		}
	}
	temporary := path + "~"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	info, err := os.Lstat(temporary)
	if err == nil {
		err = os.Chmod(temporary, 0o660)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		l.Close()
		os.Remove(temporary)
		return fail(err)
	}
	return l, info, nil
}

// Run serves until ctx ends, then lets requests end, removes the socket and
// returns nil.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		close(s.stopping)
		end, cancel := context.WithTimeout(context.Background(), drain)
		if s.http.Shutdown(end) != nil {
			s.http.Close()
		}
		cancel()
		err = <-served
	}
	s.inFlight.Wait()
	if info, e := os.Lstat(s.cfg.Socket); e == nil && os.SameFile(info, s.file) {
		os.Remove(s.cfg.Socket)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control.socket %s: %w", s.cfg.Socket, err)
	}
	return nil
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	st := s.cfg.Media.Status()
	st.Active = Views(s.cfg.Health.Active(), s.cfg.Wall)
	st.Worst = s.cfg.Health.Worst().String()
	if st.Paths == nil {
		st.Paths = []Path{}
	}
	reply(w, http.StatusOK, st)
}

func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	where := r.URL.Query().Get("at")
	p, err := s.cfg.Media.Probe(where)
	switch {
	case errors.Is(err, ErrNoPlace):
		refuse(w, http.StatusBadRequest, fmt.Errorf("%w %q; add ?at=%s or ?at=%s", ErrNoPlace, where, AtInput, AtOutput))
	case err != nil:
		refuse(w, http.StatusConflict, err)
	default:
		reply(w, http.StatusOK, p)
	}
}

// thumbnail answers with a JPEG; Last-Modified says when it was made.
func (s *Server) thumbnail(w http.ResponseWriter, _ *http.Request) {
	t, err := s.cfg.Media.Thumbnail()
	switch {
	case errors.Is(err, ErrNoThumbnail):
		refuse(w, http.StatusNotFound, err)
		return
	case err != nil:
		refuse(w, http.StatusConflict, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "image/jpeg")
	h.Set("Content-Length", strconv.Itoa(len(t.JPEG)))
	h.Set("Last-Modified", t.Time.UTC().Format(http.TimeFormat))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(t.JPEG) // the reader went away
}

func (s *Server) conditions(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, Conditions{Worst: s.cfg.Health.Worst().String(), List: Views(s.cfg.Health.All(), s.cfg.Wall)})
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	result, err := s.cfg.Media.Reload(r.Context())
	if err != nil {
		s.cfg.Log.Warn("reload refused", "error", err)
		f := failure{Error: err.Error()}
		var restart *RestartNeeded
		if errors.As(err, &restart) {
			f.NeedsRestart = restart.Fields
		}
		reply(w, http.StatusUnprocessableEntity, f)
		return
	}
	if result.Changed == nil {
		result.Changed = []string{}
	}
	reply(w, http.StatusOK, result)
}

func (s *Server) restart(w http.ResponseWriter, r *http.Request) {
	if err := s.cfg.Media.Restart(r.Context()); err != nil {
		s.cfg.Log.Warn("restart refused", "error", err)
		refuse(w, http.StatusUnprocessableEntity, err)
		return
	}
	reply(w, http.StatusOK, struct{}{})
}

func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Query().Get("path")
	if path == "" {
		refuse(w, http.StatusBadRequest, errors.New("the parameter path is missing; add ?path=NAME"))
		return
	}
	result, err := s.cfg.Media.Preflight(r.Context(), path)
	switch {
	case errors.Is(err, ErrNoPath):
		refuse(w, http.StatusNotFound, fmt.Errorf("%w %q; GET /v1/status lists them", ErrNoPath, path))
	case err != nil:
		refuse(w, http.StatusConflict, err)
	default:
		reply(w, http.StatusOK, result)
	}
}

// longestRest bounds a rest: who asked for it may have died since.
const longestRest = 60

func (s *Server) rest(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("seconds"))
	if err != nil || n < 0 || n > longestRest {
		refuse(w, http.StatusBadRequest, fmt.Errorf("seconds: %.20q is not allowed; write 0 to %d", r.URL.Query().Get("seconds"), longestRest))
		return
	}
	s.cfg.Media.Rest(time.Duration(n) * time.Second)
	reply(w, http.StatusOK, struct{}{})
}

func reply(w http.ResponseWriter, code int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the reader went away
}

// failure is the body of an error.
type failure struct {
	Error        string   `json:"error"`
	NeedsRestart []string `json:"needs_restart,omitempty"`
}

func refuse(w http.ResponseWriter, code int, err error) { reply(w, code, failure{Error: err.Error()}) }
