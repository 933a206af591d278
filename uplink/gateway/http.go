package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// web is the gateway's HTTP server: /metrics for Prometheus, /status as JSON,
// /healthz and /readyz for an orchestrator. It reads only, and shows no
// secret. Nothing is counted for it on the packets' way: counters are asked of
// their owners when somebody looks.
type web struct {
	srv *http.Server
	l   net.Listener
	log *slog.Logger
}

func newWeb(addr string, g *Gateway) (*web, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("http: listen on %q: %w; choose another address or stop what uses it", addr, err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{g}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /status", g.serveStatus)
	mux.HandleFunc("GET /healthz", g.serveHealth)
	mux.HandleFunc("GET /readyz", g.serveReady)
	return &web{
		l: l, log: g.log,
		srv: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      20 * time.Second,
			IdleTimeout:       60 * time.Second,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
		},
	}, nil
}

// run serves until ctx ends.
func (w *web) run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.srv.Serve(w.l); !errors.Is(err, http.ErrServerClosed) {
			w.log.Error("http: server ended", "err", err)
		}
	}()
	<-ctx.Done()
	end, stop := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer stop()
	if w.srv.Shutdown(end) != nil {
		_ = w.srv.Close()
	}
	<-done
}

func (g *Gateway) serveStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(g.Status(r.Context()))
}

// serveHealth says whether every contribution's goroutine still turns: an
// orchestrator restarts the process otherwise. A far end that is away is no
// reason to.
func (g *Gateway) serveHealth(w http.ResponseWriter, r *http.Request) {
	if hung := g.hung(r.Context()); len(hung) > 0 {
		http.Error(w, "contributions that do not answer: "+strings.Join(hung, ", "), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// serveReady says whether all ports are open, so that boxes may be sent here.
// Whether a box sends is no part of it: it cannot before this says yes.
func (g *Gateway) serveReady(w http.ResponseWriter, _ *http.Request) {
	if !g.ready.Load() {
		http.Error(w, "not all ports are open", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}
