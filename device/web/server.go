package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"quartet/device/access"
	"quartet/device/config"
	"quartet/device/health"
)

// Bounds of the server: what is beyond is refused or waits, and costs no more.
const (
	maxConnections = 128 // of the HTTPS listener
	maxRequests    = 48  // at once, event streams aside
	maxWatchers    = 32  // event streams at once
	maxHeader      = 16 << 10
	headerTime     = 5 * time.Second
	readTime       = 20 * time.Second
	writeTime      = 70 * time.Second // a preflight takes its time
	idleTime       = 75 * time.Second
	handlerTime    = 60 * time.Second
	drainTime      = 2 * time.Second
)

const cookieName = "__Host-quartet"

// Config is what a Server is made of. Every part must be there; fakes and
// placeholders say for themselves what they cannot do.
type Config struct {
	Product string
	Version string
	// SecurityContact is where to tell of a weakness: a mailto: or https: address.
	SecurityContact string
	// SupportUntil is the last day of security updates, YYYY-MM-DD.
	SupportUntil string
	Serial       string
	BootID       string

	Access    *access.Store
	Audit     AuditLog
	Documents *config.Store // of the box document
	Secrets   Secrets       // nil: secrets lie on disk as they are
	Media     Media
	Planner   Planner
	Network   Network
	Telemetry Telemetry
	Identity  Identity
	Board     Board
	Updater   Updater
	Logs      LogSource
	// Machine measures the system; nil: nothing is known of it.
	Machine func() System
	// UI are the files of the page; nil: the rescue page alone.
	UI fs.FS
	// Data is a folder for presets and settings.
	Data string
	// Names are further names that the box answers to, beside addresses and those
	// of its settings; called for each request.
	Names func() []string
	// Certificate is the page's; called for each connection.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Health is the list of the management's own conditions, Catalogue's among its
	// definitions; Start is where its process times begin. Nil: a list of its own.
	Health *health.Monitor
	Start  time.Time
	// Peer serves other boxes' calls, at PeerPath, on connections whose hello PeerCalls knows: those are asked for a certificate,
	// and shown PeerCertificate. Nil: there are none.
	Peer            http.Handler
	PeerPath        string
	PeerCalls       func(*tls.ClientHelloInfo) bool
	PeerCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Wiped is called when a factory reset has removed everything and the process
	// is to start afresh. Nil: nothing.
	Wiped func()

	Now func() time.Time
	Log *slog.Logger
}

// Server is the management interface.
type Server struct {
	// set at start, never changed
	cfg     Config
	log     *slog.Logger
	mux     *http.ServeMux
	handler http.Handler
	start   time.Time
	openapi []byte
	files   *files
	rescue  *rescue

	docs     *documents
	settings *settings
	presets  *presets
	hub      *hub
	monitor  *health.Monitor
	view     *viewer
	slots    chan struct{} // a place for each request
	turns    atomic.Uint64

	uploading atomic.Bool
	shed      atomic.Bool
}

// New makes a server; nothing is opened before Run but the files of Config.Data.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, log: cfg.Log, mux: http.NewServeMux(), start: cfg.Start, openapi: OpenAPI(cfg.Version),
		slots: make(chan struct{}, maxRequests), monitor: cfg.Health, hub: newHub()}
	if s.monitor == nil {
		s.monitor, s.start = health.New(Catalogue()), cfg.Now()
	}
	var err error
	if s.settings, err = openSettings(cfg.Data, cfg.Serial); err != nil {
		return nil, err
	}
	if s.presets, err = openPresets(cfg.Data); err != nil {
		return nil, err
	}
	if s.files, err = newFiles(cfg.UI); err != nil {
		return nil, err
	}
	s.rescue = newRescue(s)
	s.docs = newDocuments(cfg, s.monitor, s.since)
	s.view = newViewer(s)
	for _, r := range routes() {
		s.mux.Handle(r.method+" /api/v1"+r.path, s.serve(&r))
	}
	s.mux.HandleFunc("/api/", s.unknown)
	s.mux.HandleFunc("GET /metrics", s.metrics)
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /.well-known/security.txt", s.securityTXT)
	s.rescue.register(s.mux)
	s.mux.Handle("/", s.files.handler(s.rescue))
	s.handler = s.peers(s.guard(s.mux))
	if err := cfg.Telemetry.Configure(s.settings.get().Telemetry); err != nil {
		s.log.Warn("telemetry", "err", err)
	}
	if err := cfg.Updater.Configure(s.settings.get().Update); err != nil {
		s.log.Warn("update", "err", err)
	}
	return s, nil
}

// since is the process time of the conditions.
func (s *Server) since() time.Duration { return s.cfg.Now().Sub(s.start) }

// Name is the box's, as its settings have it.
func (s *Server) Name() string { return s.settings.get().Name }

// Glance is the last overview, to be read only, and whether the box is claimed.
func (s *Server) Glance() (o Overview, claimed bool) {
	s.view.mu.Lock()
	o = s.view.last
	s.view.mu.Unlock()
	return o, s.cfg.Access.Claimed()
}

// Turns counts the turns of the loop that keeps the overview: what the watchdog
// goes by.
func (s *Server) Turns() uint64 { return s.turns.Load() }

// peers leads the calls of other boxes past what is for people: they bring a
// certificate, which their handler compares, and no session.
func (s *Server) peers(next http.Handler) http.Handler {
	if s.cfg.Peer == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == s.cfg.PeerPath {
			s.cfg.Peer.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Shed has the page do without what costs most, because the box is hot:
// previews, plots, and an overview each second. The media come first.
func (s *Server) Shed(on bool) { s.shed.Store(on) }

// Handler is the whole server without its sockets.
func (s *Server) Handler() http.Handler { return s.handler }

// TLS is how the page is encrypted: 1.2 at least, with forward secrecy and an
// AEAD, 1.3 where the browser has it.
func (s *Server) TLS() *tls.Config {
	page := s.pageTLS()
	if s.cfg.Peer != nil {
		peer := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: s.cfg.PeerCertificate, ClientAuth: tls.RequestClientCert, NextProtos: []string{"http/1.1"}}
		page.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			if s.cfg.PeerCalls(h) {
				return peer, nil
			}
			return nil, nil //nolint:nilnil // the page's own, as crypto/tls has it
		}
	}
	return page
}

func (s *Server) pageTLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: s.cfg.Certificate,
		NextProtos:     []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,
		},
	}
}

// Run serves HTTPS on secure and, unless plain is nil, redirects from plain,
// until ctx ends. It closes both listeners.
func (s *Server) Run(ctx context.Context, secure, plain net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errorLog := slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
	page := &http.Server{
		Handler: s.handler, TLSConfig: s.TLS(), ErrorLog: errorLog,
		ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 64, MaxReadFrameSize: 16 << 10,
			MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 128 << 10},
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var wg sync.WaitGroup
	ended := make(chan error, 2)
	wg.Go(func() { ended <- page.ServeTLS(netutil.LimitListener(secure, maxConnections), "", "") })
	servers := []*http.Server{page}
	if plain != nil {
		port := portOf(secure.Addr())
		redirect := &http.Server{Handler: s.redirect(port), ErrorLog: errorLog, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime,
			WriteTimeout: headerTime, IdleTimeout: headerTime, MaxHeaderBytes: maxHeader}
		servers = append(servers, redirect)
		wg.Go(func() { ended <- redirect.Serve(netutil.LimitListener(plain, 32)) })
	}
	wg.Go(func() { s.watch(ctx) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	s.hub.close(Bye{Reason: "restart"})
	for _, h := range servers {
		end, stop := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		if h.Shutdown(end) != nil {
			h.Close()
		}
		stop()
	}
	cancel()
	wg.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// redirect sends browsers to HTTPS, and does nothing else.
func (s *Server) redirect(port string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !s.ownHost(host) {
			http.Error(w, "this box has another name", http.StatusMisdirectedRequest)
			return
		}
		if ip, err := netip.ParseAddr(trimBrackets(host)); err == nil && ip.Is6() {
			host = "[" + ip.String() + "]"
		}
		if port != "443" {
			host = host + ":" + port
		}
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}

func portOf(a net.Addr) string {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "443"
	}
	return port
}
