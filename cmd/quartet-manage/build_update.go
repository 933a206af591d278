package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quartet/device/config"
	"quartet/device/durable"
	"quartet/device/web"
	"quartet/updater"
	"quartet/updater/sibling"
	"quartet/updater/trust"
)

// updateParts is what the updater needs of the box.
type updateParts struct {
	serial, boot string
	bus          updater.Installer
	probe        updater.Probe
	clock        updater.Clock
	reboot       func(ctx context.Context) error
	uptime       func() time.Duration             // of the machine
	certificate  func() (*tls.Certificate, error) // that the sibling knows
	onAir        func() bool
}

// openUpdater fills in what hosts the updater. It does not fail: a box that
// cannot update itself streams as well, and says why.
func (u *updates) openUpdater(o options, p updateParts, log *slog.Logger) {
	i, err := readImage(o.image)
	u.board, u.hold = i.board, o.hold
	if err == nil {
		u.up, err = newUpdater(o, i, p, u.changed, log)
	}
	if err != nil {
		u.why = err
		if errors.Is(err, errNoImage) {
			log.Info("no updates", "why", err)
		} else {
			log.Error("this box cannot update itself", "err", err)
		}
		return
	}
	u.why = i.rootless
	// What it finds out at its start is news already.
	if h, err := u.up.History(context.Background(), 1); err == nil && len(h) > 0 {
		u.seen = h[0]
	}
	u.pair = &pairing{serial: p.serial, folder: durable.At(updateFolder(o)), certificate: p.certificate, onAir: p.onAir, up: u.up, log: log}
}

// updateFolder is where the updater keeps its state.
func updateFolder(o options) string { return filepath.Join(o.data, "update") }

// trustFolder is what the box has seen of the repository: it outlives a factory
// reset, so that nobody can be offered an older repository after one.
func trustFolder(o options) string { return filepath.Join(updateFolder(o), "trust.v1") }

func newUpdater(o options, i image, p updateParts, changed func(), log *slog.Logger) (*updater.Updater, error) {
	folder, err := durable.Open(updateFolder(o))
	if err != nil {
		return nil, err
	}
	trusted, err := durable.Open(trustFolder(o))
	if err != nil {
		return nil, err
	}
	bundles := filepath.Join(o.data, "bundles")
	if err := os.MkdirAll(bundles, 0o700); err != nil {
		return nil, err
	}
	var meta updater.Metadata = untrusting{i.rootless}
	if i.rootless == nil {
		if meta, err = trust.NewClient(trusted, i.root); err != nil {
			return nil, err
		}
	}
	if p.boot == "" || p.boot == "unknown" {
		return nil, errors.New("the kernel tells no boot id, so nobody can tell one start of the box from another")
	}
	return updater.New(updater.Config{
		Serial: p.serial, Board: i.board, Compatible: i.compatible, Version: i.version, Floor: i.floor, BootID: p.boot, Up: p.uptime,
		Folder: folder, Witness: durable.At(o.configDir), Bundles: bundles, Metadata: meta, Installer: p.bus, Probe: p.probe, Clock: p.clock, Reboot: p.reboot,
		Changed: changed, Log: log,
	})
}

// Judge implements web.Updater.
func (u *updates) Judge(s web.UpdateSettings) error {
	_, err := policyOf(s)
	return err
}

// policyOf turns settings into what they mean. Its error is of type
// config.Issues, with paths below update.
func policyOf(s web.UpdateSettings) (p updater.Policy, err error) {
	var issues config.Issues
	bad := func(path, value, problem, remedy string) {
		if value != "" {
			value = fmt.Sprintf("%.80q", value)
		}
		issues = append(issues, config.Issue{Path: "update." + path, Value: value, Problem: problem, Remedy: remedy})
	}
	p = updater.Policy{Mode: updater.Mode(s.Mode), Need: time.Duration(s.NeedMin) * time.Minute, Every: time.Duration(s.EveryMin) * time.Minute,
		RateStreaming: int64(s.StreamingKbps) * 1000 / 8, RateIdle: int64(s.IdleKbps) * 1000 / 8}
	if s.Repository != "" {
		if u, err := url.Parse(s.Repository); err == nil && u.User != nil {
			bad("repository", "", "holds a user or password", "leave it out: what protects updates is their signatures")
		} else if _, err := trust.NewHTTP(s.Repository, http.DefaultTransport); err != nil {
			bad("repository", s.Repository, "is not an address of a repository", "write https://host/path")
		}
	}
	for i, text := range s.Windows {
		at := fmt.Sprintf("windows[%d]", i)
		w, err := updater.ParseWindow(text)
		switch {
		case err != nil:
			bad(at, text, "is not a maintenance window", `write "sun 02:00-05:00", "mon-fri 23:30-01:00" or "02:00-05:00"`)
		case w.Length < p.Need:
			bad(at, text, fmt.Sprintf("is shorter than the %d minutes that an update needs", s.NeedMin), "write a longer one, or lower update.need_min")
		default:
			p.Windows = append(p.Windows, w)
		}
	}
	// "Local" would be whatever the process has.
	if p.Zone, err = time.LoadLocation(s.Zone); err != nil || s.Zone == "Local" || s.Zone == "" {
		bad("zone", s.Zone, "is not a time zone", "write an IANA name such as Europe/Berlin, or UTC")
	}
	b := s.Sibling
	if b.Role == "none" {
		for _, f := range []struct{ name, value string }{{"serial", b.Serial}, {"address", b.Address}, {"pin", b.Pin}} {
			if f.value != "" {
				bad("sibling."+f.name, f.value, "is set, and the box is not one of a pair", "set update.sibling.role to A or B, or leave it out")
			}
		}
	} else {
		if b.Serial == "" || strings.Trim(b.Serial, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-") != "" {
			bad("sibling.serial", b.Serial, "is not a serial number", "write that of the other box, which its page shows")
		}
		if _, err := sibling.NewClient(b.Address, tls.Certificate{}, ""); err != nil {
			bad("sibling.address", b.Address, "is not an address of a box", "write host or host:port of its page")
		}
		if _, err := sibling.ParsePin(b.Pin); err != nil {
			bad("sibling.pin", b.Pin, "is not a fingerprint of a box", "copy the 64 hexadecimal digits that the other box's page shows under Update")
		}
	}
	if issues == nil {
		if err := p.Check(); err != nil { // what the fields allow each, and not together
			bad("mode", s.Mode, err.Error(), "correct what it names")
		}
	}
	if issues != nil {
		return p, issues
	}
	return p, nil
}

// Configure implements web.Updater: settings come into force at once, and the
// media do not notice. Where they cannot, and none have before, the box updates
// itself no more than a box may of whose windows and sibling nobody knows.
func (u *updates) Configure(s web.UpdateSettings) error {
	if u.up == nil {
		_, err := policyOf(s)
		return err
	}
	err := u.configure(s)
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil:
		u.configured = true
	case !u.configured:
		u.up.SetSibling(closed{err, time.Now().Add(sibling.DefaultTTL)})
		_ = u.up.SetPolicy(updater.Policy{Mode: updater.Manual})
	}
	return err
}

// closed stands for a sibling that nobody knows. It may have a lease of this box
// from before, as long as one lasts.
type closed struct {
	why  error
	lent time.Time // until then
}

func (c closed) Acquire(context.Context) error {
	reason := sibling.Broken
	if time.Now().Before(c.lent) {
		reason = sibling.Lent
	}
	return &sibling.Denied{Reason: reason, Err: c.why,
		Text: fmt.Sprintf("the settings of updates cannot be applied, so nobody knows whether this box is one of a pair: %v; save them anew", c.why)}
}
func (closed) Release(context.Context) error       { return nil }
func (closed) Held() (left time.Duration, ok bool) { return 0, false }

func (u *updates) configure(s web.UpdateSettings) error {
	p, err := policyOf(s)
	if err != nil {
		return err
	}
	if u.hold > 0 {
		p.Hold, p.Deadline = u.hold, 3*u.hold
	}
	if err := u.up.SetPolicy(p); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.repository != s.Repository {
		var home trust.Opener
		if u.transport != nil {
			u.transport.CloseIdleConnections()
		}
		u.transport = trust.NewTransport()
		if s.Repository != "" {
			if home, err = trust.NewHTTP(s.Repository, u.transport); err != nil {
				return err
			}
		}
		u.repository = s.Repository
		u.up.SetRepository(home)
	}
	return u.pair.configure(s.Sibling, !u.configured)
}

// pairing is this box's side of a pair: the lease that it asks of its sibling,
// and the one that it grants.
type pairing struct {
	// set at start, never changed
	serial      string
	folder      durable.Folder
	certificate func() (*tls.Certificate, error)
	onAir       func() bool
	up          *updater.Updater
	log         *slog.Logger

	mu       sync.Mutex // guards what follows
	settings web.SiblingSettings
	handler  http.Handler // nil: the box is not one of a pair
}

// configure pairs the box, with another one, or with none. first: the updater may
// have been told of another one than settings has.
func (p *pairing) configure(s web.SiblingSettings, first bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !first && (s == p.settings || s.Role == "none" && p.handler == nil) {
		return nil
	}
	if s.Role == "none" {
		p.settings, p.handler = s, nil
		p.up.SetSibling(nil)
		return nil
	}
	pin, err := sibling.ParsePin(s.Pin)
	if err != nil {
		return err
	}
	own, err := p.certificate()
	if err != nil {
		return err
	}
	client, err := sibling.NewClient(s.Address, *own, pin)
	if err != nil {
		return err
	}
	start := time.Now()
	pair, err := sibling.Open(sibling.Config{Serial: p.serial, Role: sibling.Role(s.Role), Peer: s.Serial, Folder: p.folder, Ask: client.Ask,
		Streaming: p.onAir, Busy: p.up.Busy, Now: func() time.Duration { return time.Since(start) }, Log: p.log})
	if err != nil {
		return err
	}
	p.settings, p.handler = s, sibling.Handler(pair, pin)
	p.up.SetSibling(pair)
	return nil
}

// ServeHTTP answers the sibling.
func (p *pairing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	h := p.handler
	p.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h.ServeHTTP(w, r)
}
