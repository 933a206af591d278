package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"quartet/device/config"
	"quartet/device/control"
)

// asError is errors.As under a name that reads well with a pattern.
func asError[E error](err error, to *E) bool { return errors.As(err, to) }

// tag is an ETag of bytes.
func tag(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

func (n *NetworkSettings) revision() string {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err) // it always encodes
	}
	return tag(b)
}

func (s *Server) getNetwork(c *call) (NetworkConfig, error) {
	set, err := s.cfg.Network.Settings(c.r.Context())
	if err != nil {
		return NetworkConfig{}, err
	}
	state, err := s.cfg.Network.State(c.r.Context())
	if err != nil {
		state.Error = err.Error()
	}
	c.etag = set.revision()
	return NetworkConfig{Revision: c.etag, Settings: set, State: state}, nil
}

func (s *Server) putNetwork(c *call, q NetworkSettings) (NetworkTrial, error) {
	revision, err := c.ifMatch()
	if err != nil {
		return NetworkTrial{}, err
	}
	now, err := s.cfg.Network.Settings(c.r.Context())
	if err != nil {
		return NetworkTrial{}, err
	}
	if is := now.revision(); is != revision {
		return NetworkTrial{}, stale(is, "", nil)
	}
	trial, err := s.cfg.Network.Apply(c.r.Context(), q, localOf(c.r))
	trial.Addresses = s.urls(c, trial.Addresses)
	c.target, c.detail = "network", strings.Join(trial.Changed, ", ")
	return trial, err
}

// urls makes addresses of the page of bare IP addresses, on the port that this
// request came to.
func (s *Server) urls(c *call, addresses []string) (list []string) {
	port := "443"
	if a, ok := c.r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		port = portOf(a)
	}
	for _, a := range addresses {
		switch {
		case port != "443":
			a = net.JoinHostPort(a, port)
		case strings.Contains(a, ":"):
			a = "[" + a + "]"
		}
		list = append(list, "https://"+a+"/")
	}
	return list
}

func (s *Server) confirmNetwork(c *call, q Confirm) (None, error) {
	c.target = "network"
	return None{}, s.cfg.Network.Confirm(c.r.Context(), q.Token, localOf(c.r))
}

func (s *Server) revertNetwork(c *call) (None, error) {
	c.target = "network"
	return None{}, s.cfg.Network.Revert(c.r.Context())
}

func (s *Server) getSettings(c *call) (Settings, error) {
	set := s.settings.get()
	c.etag = set.revision()
	return Settings{Revision: c.etag, Settings: set}, nil
}

func (s *Server) putSettings(c *call, q ManageSettings) (Settings, error) {
	revision, err := c.ifMatch()
	if err != nil {
		return Settings{}, err
	}
	if err := errors.Join(q.validate(), s.cfg.Updater.Judge(q.Update)); err != nil {
		return Settings{}, joined(err)
	}
	c.target = "settings"
	state, err := s.settings.kept.change(func(was manageState) (manageState, error) {
		if is := was.Settings.revision(); is != revision {
			return was, stale(is, was.SavedBy, nil)
		}
		was.Settings, was.SavedBy = q, c.actor()
		return was, nil
	})
	if err != nil {
		return Settings{}, err
	}
	if err := s.cfg.Telemetry.Configure(q.Telemetry); err != nil {
		c.detail = "telemetry: " + err.Error()
	}
	if err := s.cfg.Updater.Configure(q.Update); err != nil {
		c.detail = strings.TrimPrefix(c.detail+"; update: "+err.Error(), "; ")
	}
	c.etag = state.Settings.revision()
	return Settings{Revision: c.etag, Settings: state.Settings}, nil
}

// joined makes one list of the issues that errors hold.
func joined(err error) error {
	var all config.Issues
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, e := range list.Unwrap() {
		var issues config.Issues
		if !errors.As(e, &issues) {
			return err
		}
		all = append(all, issues...)
	}
	return all
}

func (s *Server) postMetricsToken(c *call) (MetricsToken, error) {
	token := rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(token))
	c.detail = "new"
	_, err := s.settings.kept.change(func(was manageState) (manageState, error) {
		was.MetricsToken = hex.EncodeToString(sum[:])
		return was, nil
	})
	return MetricsToken{token}, err
}

func (s *Server) deleteMetricsToken(c *call) (None, error) {
	c.detail = "ended"
	_, err := s.settings.kept.change(func(was manageState) (manageState, error) {
		was.MetricsToken = ""
		return was, nil
	})
	return None{}, err
}

// metrics serves Prometheus, with a token or a session.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if _, _, err := s.sessionOf(r, true); err != nil {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		sum := sha256.Sum256([]byte(token))
		want := s.settings.kept.get().MetricsToken
		if !ok || want == "" || subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(want)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, fail(http.StatusUnauthorized, typeNotLoggedIn, "metrics take a token or a session", "an admin makes a token: POST /api/v1/metrics-token"))
			return
		}
	}
	s.cfg.Telemetry.Metrics().ServeHTTP(w, r)
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) getIdentity(*call) (IdentityInfo, error) { return s.cfg.Identity.Describe(), nil }

func (s *Server) postCSR(c *call) (CSR, error) {
	c.target = "device certificate"
	b, err := s.cfg.Identity.CSR()
	return CSR{string(b)}, err
}

func (s *Server) putCertificate(c *call, q InstallCertificate) (IdentityInfo, error) {
	c.target = "device certificate"
	if err := s.cfg.Identity.Install([]byte(q.Certificate), []byte(q.CA)); err != nil {
		return IdentityInfo{}, err
	}
	return s.cfg.Identity.Describe(), nil
}

func (s *Server) enrol(c *call, q Enrol) (IdentityInfo, error) {
	c.target = "device certificate"
	if err := s.cfg.Identity.Enrol(c.r.Context(), q); err != nil {
		return IdentityInfo{}, err
	}
	return s.cfg.Identity.Describe(), nil
}

func (s *Server) getLogs(c *call, q LogsQuery) (Logs, error) {
	return s.cfg.Logs.Lines(c.r.Context(), q)
}

func (s *Server) identify(_ *call, q Identify) (None, error) {
	return None{}, s.cfg.Board.Identify(time.Duration(q.Seconds) * time.Second)
}

func (s *Server) reboot(c *call) (Started, error) {
	if err := s.cfg.Network.Reboot(c.r.Context()); err != nil {
		return Started{}, err
	}
	return Started{"the box starts again; it is back within a minute or two"}, nil
}

// factoryReset is asked for on the page.
func (s *Server) factoryReset(c *call, q FactoryReset) (Started, error) {
	if q.Serial != s.cfg.Serial {
		return Started{}, invalid("serial", string(quote(clip(q.Serial))), "is not the serial number of this box", "write the one on the label and on the page")
	}
	// The record first, while there is a log to send home.
	s.cfg.Audit.Append(AuditRecord{Time: s.cfg.Now(), Boot: s.cfg.BootID, Actor: c.actor(), Role: string(c.session.Role), Source: c.source.String(),
		Action: c.route.audit, Outcome: "ok", Detail: "started"})
	c.unaudited = true
	http.SetCookie(c.w, sessionCookie("", -1))
	if err := s.reset(c.r.Context()); err != nil {
		return Started{}, err
	}
	return Started{"keys, users and settings are destroyed; claim the box with the code on its label"}, nil
}

// FactoryReset is the same for somebody at the box itself: the front's button.
func (s *Server) FactoryReset(ctx context.Context, actor string) error {
	s.cfg.Audit.Append(AuditRecord{Time: s.cfg.Now(), Boot: s.cfg.BootID, Actor: actor, Action: "factory-reset", Outcome: "ok", Detail: "started"})
	return s.reset(ctx)
}

// ReleaseClaim removes all users and sessions and nothing else, so that whoever
// stands before the box and has the code of its label can claim it anew: for a
// lost password. The streams go on.
func (s *Server) ReleaseClaim(actor string) error {
	err := s.cfg.Access.Reset()
	r := AuditRecord{Time: s.cfg.Now(), Boot: s.cfg.BootID, Actor: actor, Action: "claim.release", Outcome: "ok"}
	if err != nil {
		r.Outcome, r.Detail = "failed", err.Error()
	}
	s.cfg.Audit.Append(r)
	s.hub.wake()
	return err
}

// reset destroys keys first: should the power fail in between, what is left
// cannot be read.
func (s *Server) reset(ctx context.Context) error {
	errs := []error{s.cfg.Identity.FactoryReset(), s.cfg.Documents.Wipe(), s.cfg.Access.Reset(),
		s.settings.kept.destroy(s.settings.first), s.presets.kept.destroy(map[string]savedPreset{}),
		s.cfg.Telemetry.FactoryReset(), s.cfg.Audit.FactoryReset()}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	network := s.cfg.Network.FactoryReset(ctx)
	if errors.Is(network, ErrNotHere) {
		network = nil
	}
	// The media plane ends its streams: it starts again without a document.
	_ = s.cfg.Media.Restart(ctx)
	s.hub.wake()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the reset is not complete: %w", errors.Join(err, network))
	}
	if s.cfg.Wiped != nil {
		s.cfg.Wiped()
	}
	if network != nil {
		return fail(http.StatusServiceUnavailable, typeUnavailable,
			"the reset is not complete: keys, users and settings are destroyed, and those of the network are still there: "+network.Error(),
			"leave the box on: it starts afresh, and tries again until they are gone; if they stay, see the logs of quartet-netd")
	}
	return nil
}

func (s *Server) getAbout(*call) (About, error) {
	return About{Product: s.cfg.Product, Version: s.cfg.Version, GoVersion: runtime.Version(), SupportUntil: s.cfg.SupportUntil,
		SecurityContact: s.cfg.SecurityContact, Support: s.settings.get().Support.Contact, Components: components()}, nil
}

func (s *Server) getOpenAPI(*call) (json.RawMessage, error) { return s.openapi, nil }

// securityTXT is RFC 9116.
func (s *Server) securityTXT(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Contact: %s\nExpires: %sT23:59:59Z\nPreferred-Languages: en\n", s.cfg.SecurityContact, s.cfg.SupportUntil)
}

var (
	_ Media = (*control.Client)(nil)
	_ error = config.Issues(nil)
)
