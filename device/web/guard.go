package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// policy is the page's content security policy: everything from the box itself,
// nothing inline, in nobody's frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard is what every request passes: headers of the answer, Host, origin, and
// a place among those that are served at once.
func (s *Server) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Embedder-Policy", "require-corp")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		defer func() {
			// A mistake in a handler costs its request, not the page.
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
					panic(p)
				}
				s.log.Error("a request failed", "method", r.Method, "path", clip(r.URL.Path), "panic", fmt.Sprint(p))
				writeProblem(w, fail(http.StatusInternalServerError, typeInternal, "the box could not do it", "see the logs of quartet-manage"))
			}
		}()
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if !s.ownHost(host) {
			writeProblem(w, fail(http.StatusMisdirectedRequest, "foreign-host", "this box does not answer to the name "+string(quote(clip(host))),
				"use its address or its own name; an admin adds others in the settings"))
			return
		}
		if err := cross.Check(r); err != nil {
			writeProblem(w, fail(http.StatusForbidden, "cross-site", "the request comes from another site's page", "use the box's own page"))
			return
		}
		if r.URL.Path != "/api/v1/events" { // counted by itself
			select {
			case s.slots <- struct{}{}:
				defer func() { <-s.slots }()
			default:
				p := fail(http.StatusServiceUnavailable, typeBusy, "the box answers as many requests as it can", "try again in a moment")
				p.RetryAfter = 1
				writeProblem(w, p)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost tells whether a name is one of the box's: a literal address, which no
// name service can turn against it, or a name of its own.
func (s *Server) ownHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(trimBrackets(host), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "localhost" {
		return true
	}
	names := s.settings.get().Page.Names
	if s.cfg.Names != nil {
		names = append(slices.Clone(names), s.cfg.Names()...)
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSuffix(n, "."), host) })
}

func trimBrackets(host string) string {
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// sourceOf is the address that a request comes from.
func sourceOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// localOf is the address of the box that a request came to.
func localOf(r *http.Request) netip.Addr {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			return ap.Addr().Unmap().WithZone("")
		}
	}
	return netip.Addr{}
}
