package telemetry

import (
	"bytes"
	"cmp"
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry/history"
	"quartet/device/telemetry/home"
	"quartet/device/telemetry/measure"
	"quartet/device/telemetry/spool"
	"quartet/device/telemetry/system"
)

// Box is what telemetry asks of the media plane; *control.Client.
type Box interface {
	Status(ctx context.Context) (control.Status, error)
	Events(ctx context.Context, after string, follow bool, handle func(e control.Event, missed uint64) error) error
}

// Machine is the machine around it; system.Host.
type Machine interface{ Read() system.Reading }

// Health is management's own list of conditions; *health.Monitor. Its catalogue
// must have Catalogue's definitions.
type Health interface {
	Set(now time.Duration, code health.Code, resource string, active bool, detail string)
	Active() []health.Condition
	Ring() *health.Ring
}

// Settings are what an administrator sets.
type Settings struct {
	Enabled  bool
	Endpoint string        // https://HOST:4318
	Interval time.Duration // of metrics; 0: 10 s
}

// Bounds of Settings.Interval.
const (
	DefaultInterval = 10 * time.Second
	LeastInterval   = time.Second
	LongestInterval = 5 * time.Minute
)

// Check says what is wrong with settings, with the field's name.
func (s *Settings) Check() error {
	if s.Interval != 0 && (s.Interval < LeastInterval || s.Interval > LongestInterval) {
		return fmt.Errorf("interval_s: is %g: write %g to %g", s.Interval.Seconds(), LeastInterval.Seconds(), LongestInterval.Seconds())
	}
	if s.Endpoint == "" {
		if s.Enabled {
			return errors.New("endpoint: is empty, and telemetry is enabled: write https://HOST:4318, or disable it")
		}
		return nil
	}
	if _, err := home.ParseEndpoint(s.Endpoint); err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	return nil
}

// Product says who sends.
type Product struct {
	Serial  string
	Name    string // as the operator named the box
	Version string
	Model   string
}

// Sizes of the logs on disk.
const (
	// Cap is what metrics may take: 14 days of 1,900 series at 10 s, 100 of 260.
	Cap      = 512 << 20
	capEvent = 32 << 20
	capQuar  = 8 << 20
	// keepSent is what stays of sent metrics, so that the history of a day is there
	// after a restart.
	keepSent   = 40 << 20
	keepEvents = 1 << 20
)

// Config is what Telemetry is made of.
type Config struct {
	Dir     string // of telemetry alone; made if it is not there
	Box     Box
	Machine Machine
	Clock   Clock
	// TLS returns what connections to home are made with: the CA that home is known
	// by and this box's certificate. See home.Settings.
	TLS     func() (*tls.Config, error)
	Product func() Product
	// Health is management's list of conditions, HealthNow its clock, Wall what
	// turns that into a time of day. Health may be nil.
	Health    Health
	HealthNow func() time.Duration
	Wall      func(time.Duration) time.Time
	// Update and Board tell of them; nil, or a nil answer: there is none.
	Update   func() *measure.Update
	Board    func() *measure.Board
	Settings Settings
	Log      *slog.Logger

	// For tests. nil: the folder, and the network.
	FS        func(name string) spool.FS
	Transport http.RoundTripper
	Self      func() (cpu, resident float64) // system.Self
	// Look is how often the media plane is asked. 0: 1 s.
	Look time.Duration
}

// Telemetry is the box's voice. Make one with New, then Run it.
type Telemetry struct {
	// set at start, never changed
	cfg     Config
	log     *slog.Logger
	clock   Clock
	boot    string
	started time.Duration // monotonic
	metrics *spool.Log
	events  *spool.Log
	refused *spool.Log
	state   spool.FS
	line    timeline
	history *history.History

	preamble atomic.Pointer[[]byte] // of samples appended now
	latest   atomic.Pointer[measure.Sample]
	wake     [2]chan struct{} // couriers of metrics and events
	changed  chan struct{}    // settings

	// owned by Run's look
	union     measure.Union
	judge     reliability
	energy    measure.Energy
	energyAt  time.Duration
	sampledAt time.Duration
	savedAt   time.Duration
	savedHour int64
	head      struct { // the oldest record that is queued
		epoch spool.Epoch
		seq   uint64
		boot  string
		mono  time.Duration
	}
	boxStart time.Duration // of quartetd, monotonic; -1: not known
	oldest   time.Duration // age of the oldest record that is queued
	lost     uint64        // records that were lost at the last look

	mu          sync.Mutex
	settings    Settings
	status      control.Status // the last, and when; zero: never
	statusAt    time.Duration
	boxErr      error
	reports     []measure.Reliability
	energyNow   measure.Energy
	couriers    [2]*home.Courier
	contact     time.Duration // when home last accepted anything; -1: never
	lastErr     string
	lastRefusal string
	refusedAt   time.Duration // -1: never
	heldSince   time.Duration // since when the clock is not trusted; -1: it is
	origin      string        // of the last event of quartetd
}

// New opens the logs. A disk that fails is no error; settings that are wrong
// are.
func New(cfg Config) (*Telemetry, error) {
	if err := cfg.Settings.Check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.FS == nil {
		cfg.FS = func(name string) spool.FS { return spool.Folder(filepath.Join(cfg.Dir, name)) }
	}
	if cfg.Machine == nil {
		cfg.Machine = system.Host{Disks: []string{cfg.Dir}}
	}
	if cfg.Clock == nil {
		cfg.Clock = system.Clock{}
	}
	if cfg.Product == nil {
		cfg.Product = func() Product { return Product{} }
	}
	if cfg.Self == nil {
		cfg.Self = system.Self
	}
	cfg.Look = cmp.Or(cfg.Look, time.Second)
	t := &Telemetry{cfg: cfg, log: cfg.Log, clock: cfg.Clock, settings: cfg.Settings, changed: make(chan struct{}, 1),
		boxStart: -1, contact: -1, refusedAt: -1, heldSince: -1}
	t.wake = [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	t.started = t.clock.Monotonic()
	t.boot = cmp.Or(cfg.Machine.Read().BootID, "unknown")
	t.state = cfg.FS("state-v1")
	b, _ := spool.ReadFile(t.state, clockFile, 1<<20) // what is not there is not known
	t.line.load(b, t.boot)
	all, _ := spool.ReadFile(t.state, reliabilityAll, 16<<20)
	now, _ := spool.ReadFile(t.state, reliabilityNow, 1<<20)
	t.judge.load(all, now)
	t.history = history.New(24*time.Hour, t.resolve)
	t.metrics = spool.Open(spool.Config{FS: cfg.FS("metrics-v1"), Cap: Cap, Keep: keepSent, Probe: DefaultInterval, Random: crand.Read, Log: t.log,
		Preamble: func() []byte {
			if p := t.preamble.Load(); p != nil {
				return *p
			}
			return nil
		},
		Thin: func(k spool.Kind) bool { return k == kindSample }})
	t.events = spool.Open(spool.Config{FS: cfg.FS("events-v1"), Cap: capEvent, Keep: keepEvents, Random: crand.Read, Log: t.log})
	t.refused = spool.Open(spool.Config{FS: cfg.FS("quarantine-v1"), Cap: capQuar, Random: crand.Read, Log: t.log})
	t.remember()
	return t, nil
}

// remember fills the history from the log, and finds out which event of
// quartetd was the last.
func (t *Telemetry) remember() {
	var boot string
	var series []measure.Series
	var preamble []byte
	t.metrics.Each(keepSent, func(r spool.Record) {
		if preamble == nil || !bytes.Equal(preamble, r.Preamble) {
			b, s, err := parsePreamble(r.Preamble)
			if err != nil {
				return
			}
			boot, series, preamble = b, s, r.Preamble
		}
		s := sample{Boot: boot, Series: series}
		if s.parseSample(r.Data) == nil {
			t.line.until(boot, s.Mono)
			t.history.Add(history.Stamp{Boot: boot, Monotonic: s.Mono, Wall: s.Wall}, s.Series, s.Values)
		}
	})
	t.events.Each(capEvent, func(r spool.Record) {
		if e, err := parseEvent(r.Data); err == nil && e.Origin != "" {
			t.origin = e.Origin
		}
	})
}

// Run measures and sends until ctx ends; then it makes durable what it has.
func (t *Telemetry) Run(ctx context.Context) error {
	var group sync.WaitGroup
	group.Go(func() { t.follow(ctx) })
	if t.cfg.Health != nil {
		group.Go(func() { t.followHealth(ctx) })
	}
	group.Go(func() { t.send(ctx) })
	tick := time.NewTicker(t.cfg.Look)
	defer tick.Stop()
	t.look(ctx)
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			t.look(ctx)
		case <-ctx.Done():
		}
	}
	group.Wait()
	t.save(t.savedHour)
	return errors.Join(t.metrics.Close(), t.events.Close(), t.refused.Close())
}

// Apply changes the settings while it runs.
func (t *Telemetry) Apply(s Settings) error {
	if err := s.Check(); err != nil {
		return err
	}
	t.mu.Lock()
	t.settings = s
	t.mu.Unlock()
	t.poke(t.changed)
	return nil
}

// Reconnect makes new connections, because the identity has changed.
func (t *Telemetry) Reconnect() { t.poke(t.changed) }

func (t *Telemetry) poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send runs the couriers, anew whenever the settings change.
func (t *Telemetry) send(ctx context.Context) {
	for ctx.Err() == nil {
		t.mu.Lock()
		s := t.settings
		t.mu.Unlock()
		inner, cancel := context.WithCancel(ctx)
		var group sync.WaitGroup
		if s.Enabled {
			client, err := home.NewClient(home.Settings{Endpoint: s.Endpoint, TLS: t.cfg.TLS, Agent: "quartet/" + t.cfg.Product().Version, Transport: t.cfg.Transport})
			if err != nil { // Check has seen it before
				t.log.Error("telemetry cannot be sent", "error", err)
			} else {
				t.carry(inner, &group, client)
			}
		}
		select {
		case <-t.changed:
		case <-ctx.Done():
		}
		cancel()
		group.Wait()
	}
}

// carry starts the couriers. Alarms have one of their own, so that they do not
// queue behind two weeks of metrics.
func (t *Telemetry) carry(ctx context.Context, group *sync.WaitGroup, client *home.Client) {
	seen := func(o home.Outcome) {
		t.line.saw(o.Date, t.clock.Monotonic())
		t.mu.Lock()
		defer t.mu.Unlock()
		if o.Verdict == home.Accepted {
			t.contact, t.lastErr = t.clock.Monotonic(), ""
		} else {
			t.lastErr = o.Reason
		}
	}
	metrics := &home.Courier{Signal: home.SignalMetrics, Queue: &sampleQueue{reader: reader{log: t.metrics}, t: t}, Most: mostSamples, Random: rand.Float64, Seen: seen}
	events := &home.Courier{Signal: home.SignalLogs, Queue: &eventQueue{reader: reader{log: t.events}, t: t}, Most: mostEvents,
		Longest: time.Minute, Random: rand.Float64, Seen: seen}
	t.mu.Lock()
	for i, c := range []*home.Courier{metrics, events} {
		if old := t.couriers[i]; old != nil {
			c.Resume(old.Stats())
		}
		t.couriers[i] = c
	}
	t.mu.Unlock()
	for i, c := range []*home.Courier{metrics, events} {
		group.Go(func() {
			c.Run(ctx, client, t.wake[i])
			client.Close()
		})
	}
}

// resource says who sends, as OpenTelemetry has it.
func (t *Telemetry) resource() []home.Attr {
	p := t.cfg.Product()
	list := []home.Attr{{Name: "service.name", Value: "quartet"}}
	for _, a := range []home.Attr{{Name: "service.instance.id", Value: p.Serial}, {Name: "service.version", Value: p.Version},
		{Name: "host.name", Value: p.Name}, {Name: "device.model.identifier", Value: p.Model}} {
		if a.Value != "" {
			list = append(list, a)
		}
	}
	return list
}

// resolve says what time of day a stamp was, as well as it is known.
func (t *Telemetry) resolve(s history.Stamp) time.Time {
	if at, clock := t.line.at(s.Boot, s.Monotonic); clock != ClockUnset {
		return at
	}
	return s.Wall
}

// Files of the state folder.
const (
	clockFile      = "clock.json"
	reliabilityAll = "reliability.json"     // once an hour
	reliabilityNow = "reliability-now.json" // the last hour, each minute
)

// save makes the small files durable.
func (t *Telemetry) save(hour int64) {
	write := func(name string, b []byte) {
		if b == nil {
			return
		}
		if err := spool.WriteFile(t.state, name, b); err != nil {
			t.log.Warn("telemetry: cannot write "+name, "error", err)
		}
	}
	write(clockFile, t.line.save())
	if hour != t.savedHour {
		t.savedHour = hour
		write(reliabilityAll, t.judge.saveAll())
	}
	write(reliabilityNow, t.judge.saveNow())
}
