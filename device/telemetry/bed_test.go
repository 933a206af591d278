package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry/spool"
	"quartet/device/telemetry/system"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a disk that keeps everything, unless it is broken.
type memory struct {
	mu     sync.Mutex
	files  map[string][]byte
	broken error
}

func (d *memory) do(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return d.broken
	}
	return f()
}

func (d *memory) breakIt(err error) {
	d.mu.Lock()
	d.broken = err
	d.mu.Unlock()
}

func (d *memory) List() (list []spool.Info, err error) {
	err = d.do(func() error {
		for name, b := range d.files {
			list = append(list, spool.Info{Name: name, Size: int64(len(b))})
		}
		return nil
	})
	return list, err
}

func (d *memory) Create(name string) (spool.File, error) {
	return memoryFile{d, name}, d.do(func() error { d.files[name] = nil; return nil })
}

func (d *memory) Open(name string) (spool.Reader, error) {
	var r memoryReader
	err := d.do(func() error {
		b, ok := d.files[name]
		if !ok {
			return fs.ErrNotExist
		}
		r.Reader = bytes.NewReader(b)
		return nil
	})
	return r, err
}

func (d *memory) Truncate(name string, size int64) error {
	return d.do(func() error { d.files[name] = d.files[name][:size]; return nil })
}

func (d *memory) Rename(from, to string) error {
	return d.do(func() error { d.files[to] = d.files[from]; delete(d.files, from); return nil })
}

func (d *memory) Remove(name string) error {
	return d.do(func() error { delete(d.files, name); return nil })
}

func (d *memory) Sync() error { return d.do(func() error { return nil }) }

func (d *memory) size() (sum int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.files {
		sum += int64(len(b))
	}
	return sum
}

type memoryFile struct {
	d    *memory
	name string
}

func (f memoryFile) Write(b []byte) (int, error) {
	return len(b), f.d.do(func() error { f.d.files[f.name] = append(f.d.files[f.name], b...); return nil })
}
func (f memoryFile) Sync() error  { return f.d.do(func() error { return nil }) }
func (f memoryFile) Close() error { return nil }

type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }

// clock is a machine's clock within a bubble of virtual time.
type clock struct {
	mu    sync.Mutex
	begin time.Time
	boot  string
	skew  time.Duration
	kept  bool
}

func newClock(kept bool) *clock {
	return &clock{begin: time.Now().Add(-20 * time.Second), boot: "boot-1", kept: kept}
}

func (c *clock) Monotonic() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.begin)
}

func (c *clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.skew)
}

func (c *clock) Synchronised() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

func (c *clock) set(skew time.Duration, kept bool) {
	c.mu.Lock()
	c.skew, c.kept = skew, kept
	c.mu.Unlock()
}

func (c *clock) Read() system.Reading {
	return system.Reading{BootID: c.boot, Uptime: c.Monotonic(), Sensors: []system.Sensor{{Kind: system.Power, ID: "supply", Value: 6}}}
}

// media is quartetd.
type media struct {
	mu     sync.Mutex
	status control.Status
	err    error
	events []control.Event
	more   chan struct{}
}

func newMedia() *media {
	return &media{more: make(chan struct{}), status: control.Status{Name: "studio", Input: control.Input{State: control.InputOK, BitrateBPS: 10e6},
		Paths: []control.Path{{Name: "1a", Leg: 1, State: control.PathUp, RTTMS: 20}}}}
}

func (m *media) change(f func(*control.Status)) {
	m.mu.Lock()
	f(&m.status)
	m.mu.Unlock()
}

func (m *media) Status(context.Context) (control.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	s.Paths = append([]control.Path{}, s.Paths...)
	return s, m.err
}

// raise makes an event.
func (m *media) raise(kind health.EventKind, code health.Code, wall time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, control.Event{ID: fmt.Sprintf("i1.%d", len(m.events)+1), Time: wall, Kind: kind,
		Condition: control.Condition{ID: string(code) + "@path/1a", Code: code, Resource: "path/1a", Severity: health.Major, Text: "Not connected"}})
	close(m.more)
	m.more = make(chan struct{})
}

func (m *media) Events(ctx context.Context, after string, _ bool, handle func(control.Event, uint64) error) error {
	n := 0
	fmt.Sscanf(after, "i1.%d", &n)
	for {
		m.mu.Lock()
		list, more := m.events[min(n, len(m.events)):], m.more
		m.mu.Unlock()
		for _, e := range list {
			if err := handle(e, 0); err != nil {
				return err
			}
			n++
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fakeHome takes what it is sent as a store would that knows doubles.
type fakeHome struct {
	mu       sync.Mutex
	answer   func(signal string, body []byte) (*http.Response, error) // nil: accepted
	records  map[string]time.Time                                     // identity of a record of metrics → its time
	clocks   map[string]int
	events   map[string]*logspb.LogRecord
	doubles  int
	requests int
	conflict bool // one identity with two times that differ by more than a second
}

func newHome() *fakeHome {
	return &fakeHome{records: map[string]time.Time{}, clocks: map[string]int{}, events: map[string]*logspb.LogRecord{}}
}

func reply(status int, header ...string) (*http.Response, error) {
	h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}, "Content-Type": {"application/x-protobuf"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: http.NoBody}, nil
}

var errAway = errors.New("connection refused")

func (h *fakeHome) set(answer func(string, []byte) (*http.Response, error)) {
	h.mu.Lock()
	h.answer = answer
	h.mu.Unlock()
}

func (h *fakeHome) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	answer := h.answer
	h.requests++
	h.mu.Unlock()
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	signal := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if answer != nil {
		resp, err := answer(signal, body)
		if resp == nil && err == nil { // it hangs
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		if err != nil || resp.StatusCode != 200 {
			return resp, err
		}
		h.take(signal, body)
		return resp, nil
	}
	h.take(signal, body)
	return reply(200)
}

// take stores a request.
func (h *fakeHome) take(signal string, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if signal == "logs" {
		var d logspb.LogsData
		if err := proto.Unmarshal(body, &d); err != nil {
			panic(err)
		}
		for _, rl := range d.ResourceLogs {
			for _, r := range rl.ScopeLogs[0].LogRecords {
				uid := attribute(r, "log.record.uid")
				if _, ok := h.events[uid]; ok {
					h.doubles++
				}
				h.events[uid] = r
			}
		}
		return
	}
	for _, p := range recordPoints(body) {
		a := p.Attributes
		id := fmt.Sprint(a[0].Value.GetStringValue(), "-", p.GetAsDouble())
		at := time.Unix(0, int64(p.TimeUnixNano))
		if was, ok := h.records[id]; ok {
			h.doubles++
			if d := at.Sub(was); d > time.Second || d < -time.Second {
				h.conflict = true
			}
			continue
		}
		h.records[id] = at
		h.clocks[a[2].Value.GetStringValue()]++
	}
}

// recordPoints are the points that name the records of a request. The rest is
// not decoded: two weeks are many points.
func recordPoints(body []byte) []*metricspb.NumberDataPoint {
	if len(body) == 0 {
		return nil
	}
	var d metricspb.MetricsData
	if err := proto.Unmarshal(body, &d); err != nil {
		panic(err)
	}
	for _, m := range d.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		if m.Name == "quartet.telemetry.record" {
			return m.GetGauge().DataPoints
		}
	}
	return nil
}

func attribute(r *logspb.LogRecord, name string) string {
	for _, a := range r.Attributes {
		if a.Key == name {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

func (h *fakeHome) eventsNamed(name string) (list []*logspb.LogRecord) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if e.EventName == name {
			list = append(list, e)
		}
	}
	return list
}

// bed is a telemetry in a bubble.
type bed struct {
	t      *testing.T
	clock  *clock
	media  *media
	home   *fakeHome
	disks  map[string]*memory
	health *health.Monitor
	change func(*Config)
	tel    *Telemetry
	stop   func()
}

func newBed(t *testing.T, kept bool) *bed {
	return &bed{t: t, clock: newClock(kept), media: newMedia(), home: newHome(), disks: map[string]*memory{}}
}

// start runs a telemetry until stop, or for good with what the disks have.
func (b *bed) start() {
	b.t.Helper()
	b.health = health.New(Catalogue())
	begin := time.Now()
	cfg := Config{Box: b.media, Machine: b.clock, Clock: b.clock, Health: b.health,
		HealthNow: func() time.Duration { return time.Since(begin) }, Wall: func(d time.Duration) time.Time { return begin.Add(d) },
		Product:   func() Product { return Product{Serial: "Q1", Version: "test"} },
		Settings:  Settings{Enabled: true, Endpoint: "https://home.example:4318"},
		Transport: b.home, Self: func() (float64, float64) { return 1, 1 << 20 },
		FS: func(name string) spool.FS {
			if b.disks[name] == nil {
				b.disks[name] = &memory{files: map[string][]byte{}}
			}
			return b.disks[name]
		}}
	if b.change != nil {
		b.change(&cfg)
	}
	tel, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.tel = tel
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tel.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Log(err)
		}
	}
}

func (b *bed) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// active tells whether a condition of telemetry is raised.
func (b *bed) active(code health.Code) bool {
	b.health.Tick(b.tel.cfg.HealthNow())
	for _, c := range b.health.Active() {
		if c.Code == code {
			return true
		}
	}
	return false
}

// wantAll: every record once, by identity, at the instant at which it was made.
func (b *bed) wantAll(n uint64) {
	b.t.Helper()
	b.home.mu.Lock()
	defer b.home.mu.Unlock()
	if uint64(len(b.home.records)) != n {
		b.t.Errorf("%d records of metrics at home, want %d", len(b.home.records), n)
	}
	if b.home.conflict {
		b.t.Error("a record came twice with different times")
	}
}
