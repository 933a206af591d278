package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quartet/board/panel"
	"quartet/cmd/internal/secrets"
	"quartet/device/access"
	"quartet/device/audit"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/identity"
	"quartet/device/network"
	"quartet/device/seal"
	"quartet/device/telemetry"
	"quartet/device/telemetry/measure"
	"quartet/device/telemetry/system"
	"quartet/device/web"
	"quartet/device/web/ui"
	"quartet/updater"
	"quartet/updater/sibling"
)

const product = "Quartet"

// plane is the management plane, put together and not yet running.
type plane struct {
	reset     identity.ResetConfig
	server    *web.Server
	identity  *identity.Identity
	telemetry *telemetry.Telemetry
	audit     *audit.Log
	control   string // quartetd's socket
	media     *control.Client
	network   *netd
	front     *front
	updates   *updates
	probe     *probe
	speaks    *updater.Server // the updater's socket; nil: the box has none
	rauc      *raucBus        // nil: a test's own
	page      *ownPage        // since run has opened the sockets
	log       *slog.Logger
	wiped     chan struct{} // a factory reset is done
}

// build makes all parts, in the order in which one needs another:
//
//	key ─▶ identity ─▶ users ─▶ telemetry ─▶ audit ─▶ updater ─▶ web
//
// What is missing or damaged costs what it is for, and is said: the page comes up
// whatever happens, because it is where one sees what is wrong.
func build(o options, log *slog.Logger, lines *lineRing) (*plane, error) {
	if o.provision == "" {
		o.provision = filepath.Join(o.configDir, "provision.v1.json")
	}
	ofNetwork := filepath.Join(o.configDir, "network") // quartet-netd's
	p := &plane{log: log, wiped: make(chan struct{}, 1), reset: identity.ResetConfig{Dir: o.data, Key: o.key,
		Folders: []string{o.configDir}, Keep: []string{o.provision, ofNetwork, trustFolder(o),
			// A trial goes on: a reset is no verdict.
			filepath.Join(updateFolder(o), updater.TrialFile), filepath.Join(o.configDir, updater.WitnessFile)}}}
	// First, since it has the fan at full speed: whatever fails below, the media go on
	// and nobody watches how hot they make the box.
	p.front = openFront("/", log)
	// p.reset itself is for once more, after the parts have ended: the network is reset
	// once.
	reset := p.reset
	reset.Network = ofNetwork
	if identity.ResetBegun(o.data) {
		log.Warn("a factory reset was cut short: it is done to its end now")
		if err := identity.FactoryReset(reset); err != nil {
			return nil, err
		}
	}
	problem := func(what string, err error) {
		if err != nil {
			log.Error(what, "err", err)
		}
	}
	start := time.Now()
	since := func() time.Duration { return time.Since(start) }
	wall := func(d time.Duration) time.Time { return start.Add(d) }
	monitor := health.New(append(web.Catalogue(), telemetry.Catalogue()...))
	machine := &machine{host: system.Host{Disks: []string{o.data}}}
	boot := cmp.Or(o.boot, machine.Read().BootID)

	sealer, err := seal.Open(o.key)
	if err != nil {
		return nil, err
	}
	now, err := openTimeOfDay(o.data, boot)
	if err != nil {
		return nil, err
	}
	clock, err := identity.OpenClock(identity.ClockConfig{Dir: o.data, Synchronised: now.Synchronised})
	if err != nil {
		return nil, err
	}
	problem("clock", clock.Problem())
	hostname, err := os.Hostname()
	problem("host name", err)
	var names []string // of the settings; asked for through the server once it is there
	p.identity, err = identity.Open(identity.Config{Dir: o.data, Provision: o.provision, Board: network.BoardSerial("/"), Sealer: sealer, Clock: clock,
		Names:     func() []string { return names },
		Addresses: ownAddresses, Log: log})
	if err != nil {
		return nil, err
	}
	problem("identity", p.identity.Problem())
	if hostname != "" && hostname != "localhost" {
		names = []string{strings.ToLower(hostname), strings.ToLower(hostname) + ".local"}
	}

	ac := access.Config{Dir: o.data}
	if p.identity.Provisioned() {
		ac.ClaimCode = p.identity.ClaimCode
	}
	users, err := access.Open(ac)
	if err != nil {
		return nil, err
	}
	problem("users", users.Problem())

	documents, err := config.NewStore(o.configDir, config.KindBox)
	if err != nil {
		return nil, err
	}
	if o.control == "" {
		o.control = controlSocket(documents, sealer)
	}
	p.control = o.control
	p.media = control.NewClient(o.control)

	who := who{id: p.identity, reset: reset, installed: func() {}}
	p.front.monitor, p.front.since = monitor, since
	p.front.uptime = func() time.Duration { return time.Duration(machine.Read().UptimeS * float64(time.Second)) }
	p.telemetry, err = telemetry.New(telemetry.Config{
		Dir: filepath.Join(o.data, "telemetry"), Box: p.media, Machine: machine.host, Clock: now,
		TLS:     p.identity.HomeTLS,
		Product: func() telemetry.Product { return p.product() },
		Update:  func() *measure.Update { return p.updates.measure() },
		Board:   p.front.measure,
		Health:  monitor, HealthNow: since, Wall: wall, Log: log,
	})
	if err != nil {
		return nil, err
	}
	who.installed = p.telemetry.Reconnect

	p.audit, err = audit.Open(audit.Config{Dir: filepath.Join(o.data, "audit"), Boot: boot, Uptime: system.Clock{}.Monotonic,
		OnRecord: func(r audit.Record) {
			p.telemetry.Audit(telemetry.AuditRecord{Actor: r.Actor, Role: r.Role, Source: r.Source, Action: r.Action, Target: r.Target, Outcome: r.Outcome, Detail: r.Detail})
		}})
	if err != nil {
		return nil, err
	}

	helper := &netd{client: network.NewClient(o.netd), last: map[string]reading{}, set: now.wasSet, data: o.data, settings: ofNetwork, log: log}
	p.network = helper
	unwritten := func(err error) { log.Error("audit", "err", err) }
	p.updates = &updates{version: version, monitor: monitor, since: since, journal: p.audit, journals: unwritten, log: log, poke: make(chan struct{}, 1)}
	parts := updateParts{serial: p.identity.Serial(), boot: boot, bus: o.installer, clock: now, reboot: helper.client.Reboot,
		certificate: p.identity.PairCertificate, onAir: p.onAir}
	p.probe = &probe{media: p.media.Status, claimed: users.Claimed, document: func() error { _, _, err := documents.Load(); return err },
		page: func(ctx context.Context) error { return p.page.Ask(ctx) }, turns: func() uint64 { return p.server.Turns() }}
	parts.probe = p.probe
	parts.uptime = func() time.Duration { return time.Duration(machine.Read().UptimeS * float64(time.Second)) }
	if o.reboot != nil {
		parts.reboot = o.reboot
	}
	if parts.bus == nil {
		p.rauc = &raucBus{address: o.bus}
		parts.bus = p.rauc
	}
	p.updates.openUpdater(o, parts, log)
	if p.updates.up != nil {
		// Without its socket the command line is missing, and no more.
		p.speaks, err = updater.Listen(o.update, spoken{p.updates.up, p.audit, unwritten}, log)
		problem("the updater's socket", err)
	}

	c := web.Config{
		Product: product, Version: version, Serial: p.identity.Serial(), BootID: boot, SecurityContact: securityContact, SupportUntil: supportUntil,
		Access: users, Audit: auditLog{p.audit, unwritten},
		Documents: documents, Secrets: sealing{sealer}, Media: p.media, Planner: planner{},
		Network: helper, Updater: p.updates,
		Telemetry: newVoice(p.telemetry), Identity: who, Board: p.front, Logs: lines, Machine: machine.Read,
		Data: o.data, Names: p.identity.HostNames, Certificate: who.pageCertificate,
		Health: monitor, Start: start, Log: log,
		Wiped: func() {
			select {
			case p.wiped <- struct{}{}:
			default:
			}
		},
	}
	if p.updates.pair != nil {
		c.Peer, c.PeerPath, c.PeerCalls = p.updates.pair, sibling.Path, sibling.Calls
		c.PeerCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.identity.PairCertificate() }
	}
	switch files, ok := ui.Files(); {
	case o.page != "":
		c.UI = os.DirFS(o.page)
	case ok:
		c.UI = files
	default:
		log.Info("the page was not built into this program: / shows the rescue page (make page)")
	}
	if p.server, err = web.New(c); err != nil {
		return nil, err
	}
	p.front.state, p.front.reset, p.front.release, p.front.shed = p.state, p.server.FactoryReset, p.server.ReleaseClaim, p.shed
	return p, nil
}

// product says who reports. The server is there by the time it is asked.
func (p *plane) product() telemetry.Product {
	t := telemetry.Product{Serial: p.identity.Serial(), Version: version, Model: product}
	if p.server != nil {
		t.Name = p.server.Name()
	}
	return t
}

// onAir tells whether the feed leaves the box at this instant, for the sibling.
func (p *plane) onAir() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return onAir(ctx, p.media.Status)
}

// betweenLooks is long enough for two reports of a gateway.
const betweenLooks = 500 * time.Millisecond

// onAir looks twice: a path whose far end has received no more in between has
// carried nothing, though it may report. One that withholds its stream carries
// nothing either.
func onAir(ctx context.Context, status func(context.Context) (control.Status, error)) bool {
	was, err := status(ctx)
	if err != nil || was.Input.State != control.InputOK {
		return false
	}
	received := make(map[string]uint64, len(was.Paths))
	for i := range was.Paths {
		if a := was.Paths[i].Arrival; a != nil {
			received[was.Paths[i].Name] = a.Received
		}
	}
	select {
	case <-time.After(betweenLooks):
	case <-ctx.Done():
		return false
	}
	is, err := status(ctx)
	return err == nil && is.Input.State == control.InputOK && slices.ContainsFunc(is.Paths, func(s control.Path) bool {
		before, reported := received[s.Name]
		if a := s.Arrival; a != nil && (!reported || a.Received <= before || a.LossPercent > deafLoss) {
			return false
		}
		return !s.Shed && pathOf(&s, true, true).Up
	})
}

// restFor is how long the media plane's look at picture and sound rests at a time:
// should this process die, it comes back by itself.
const restFor = 15 * time.Second

// shed does without what viewers do not need, while the box is too hot. It is
// called again and again.
func (p *plane) shed(on bool) {
	p.server.Shed(on)
	if !on {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.media.Rest(ctx, restFor); err != nil {
		p.log.Debug("previews of the media plane", "err", err)
	}
}

// close gives back what does not end with its Run.
func (p *plane) close() error {
	err := p.audit.Close()
	if p.page != nil {
		p.page.close()
	}
	p.updates.close()
	if p.rauc != nil {
		err = errors.Join(err, p.rauc.Close())
	}
	p.media.Close()
	return err
}

// state is what the status light is made of.
func (p *plane) state(context.Context) panel.State { return lightOf(p.server.Glance()) }

// lightOf takes from an overview what the light is made of.
func lightOf(o web.Overview, claimed bool) panel.State {
	return panel.State{Worst: o.Worst, Claimed: claimed, Known: o.Box != nil, SetUp: o.ConfigRevision != "none",
		Updating: o.Update.Progress != nil || o.Update.Trial != nil}
}

// controlSocket is where the document says that quartetd listens.
func controlSocket(store *config.Store, sealer *seal.Sealer) string {
	socket := config.Default[config.Box]().Control.Socket
	b, _, err := store.Load()
	if err != nil {
		return socket
	}
	if doc, _, err := config.OpenBox(b, secrets.With(sealer)); err == nil {
		socket = doc.Control.Socket
	}
	return socket
}

// ownAddresses are the machine's, for the page's certificate.
func ownAddresses() (list []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap().WithZone(""))
		}
	}
	return list
}

// listen opens the page's sockets.
func listen(ctx context.Context, o options) (secure, plain net.Listener, err error) {
	var lc net.ListenConfig
	if secure, err = lc.Listen(ctx, "tcp", o.listen); err != nil {
		return nil, nil, fmt.Errorf("--listen: %w", err)
	}
	if o.http != "" {
		if plain, err = lc.Listen(ctx, "tcp", o.http); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("--http: %w", err), secure.Close())
		}
	}
	return secure, plain, nil
}

func printOpenAPI(w io.Writer) int {
	if _, err := fmt.Fprintln(w, string(web.OpenAPI(version))); err != nil {
		return exitFailed
	}
	return 0
}
