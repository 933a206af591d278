package collector

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry"
	"quartet/device/telemetry/measure"
	"quartet/device/telemetry/system"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var program = flag.String("collector", "", "the Collector's program; make test-collector builds it")

// clock is this machine's, taken for kept whether it is or not: the machine of a
// test need not have NTP.
type clock struct{ system.Clock }

func (clock) Synchronised() bool { return true }

// box is a media plane that raises an alarm now and then.
type box struct{ alarms chan control.Event }

func (b box) Status(context.Context) (control.Status, error) {
	return control.Status{Name: "studio", Input: control.Input{State: control.InputOK, BitrateBPS: 10_000_000},
		Paths: []control.Path{{Name: "1a", Leg: 1, State: control.PathUp, RTTMS: 23.456}, {Name: "2a", Leg: 2, State: control.PathUp}}}, nil
}

func (b box) Events(ctx context.Context, _ string, _ bool, handle func(control.Event, uint64) error) error {
	for {
		select {
		case e := <-b.alarms:
			if err := handle(e, 0); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestCollector: a box sends to a real Collector over mutual TLS; the Collector
// is restarted in the middle; every record is in its file, once by identity, and
// a box of another CA gets nothing in.
func TestCollector(t *testing.T) {
	if *program == "" {
		t.Skip("it needs a Collector: make test-collector builds one and runs this")
	}
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(*program, t.TempDir(), ca, Options{Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	cert, err := ca.Issue("Q1", false)
	if err != nil {
		t.Fatal(err)
	}
	b := box{make(chan control.Event)}
	tel := run(t, ca, cert, c.Address, b)
	stranger, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Issue("Q2", false)
	if err != nil {
		t.Fatal(err)
	}
	other := run(t, ca, foreign, c.Address, box{make(chan control.Event)})

	alarm := func(n int) {
		b.alarms <- control.Event{ID: fmt.Sprint("i.", n), Time: time.Now(), Kind: health.Raised,
			Condition: control.Condition{ID: "path-down@path/1a", Code: "path-down", Resource: "path/1a", Severity: health.Major, Text: fmt.Sprint("alarm ", n)}}
	}
	const before, away, after = 6, 6, 6 // seconds, each with an alarm
	for i := range before {
		alarm(i)
		wait(t, time.Second)
	}
	if err := c.Stop(); err != nil {
		t.Fatalf("%v\n%s", err, c.Log.String())
	}
	for i := range away {
		alarm(before + i)
		wait(t, time.Second)
	}
	if s := tel.Status(); s.QueuedRecords == 0 || s.LastError == "" {
		t.Errorf("while the Collector was away: %+v", s)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range after {
		alarm(before + away + i)
		wait(t, time.Second)
	}
	var s telemetry.Status
	for range 90 { // the longest pause between tries was short by then
		if s = tel.Status(); s.QueuedRecords <= 1 && s.QueuedEvents == 0 {
			break
		}
		wait(t, time.Second)
	}
	if s.QueuedRecords > 1 || s.QueuedEvents != 0 {
		t.Fatalf("not everything was sent: %+v", s)
	}
	if s := other.Status(); s.Sent != 0 || s.SentEvents != 0 || s.LastError == "" {
		t.Errorf("a box of another CA: %+v", s)
	}
	if err := c.Stop(); err != nil {
		t.Fatalf("%v\n%s", err, c.Log.String())
	}

	records, doubles := map[float64]bool{}, 0
	names := map[string]bool{}
	var last float64
	lines(t, filepath.Join(c.Store, "metrics"), func() proto.Message { return &metricspb.MetricsData{} }, func(m proto.Message) {
		for _, rm := range m.(*metricspb.MetricsData).ResourceMetrics {
			for _, x := range rm.ScopeMetrics[0].Metrics {
				names[x.Name] = true
				if x.Name != measure.Record.Name {
					continue
				}
				for _, p := range x.GetGauge().DataPoints {
					if records[p.GetAsDouble()] {
						doubles++
					}
					records[p.GetAsDouble()] = true
					last = max(last, p.GetAsDouble())
					if d := time.Since(time.Unix(0, int64(p.TimeUnixNano))); d < 0 || d > 5*time.Minute {
						t.Errorf("a record is %v old", d)
					}
				}
			}
		}
	})
	if len(records) != int(last) || last < before+away+after {
		t.Errorf("%d records of %v", len(records), last)
	}
	for name := range names {
		if _, ok := measure.Lookup(name); !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
	alarms := map[string]int{}
	lines(t, filepath.Join(c.Store, "logs"), func() proto.Message { return &logspb.LogsData{} }, func(m proto.Message) {
		for _, rl := range m.(*logspb.LogsData).ResourceLogs {
			for _, r := range rl.ScopeLogs[0].LogRecords {
				alarms[r.Body.GetStringValue()]++
			}
		}
	})
	for i := range before + away + after {
		if alarms[fmt.Sprint("alarm ", i)] == 0 {
			t.Errorf("alarm %d is lost", i)
		}
	}
	t.Logf("%d records, %d doubles by identity, %d metrics, %d kinds of alarm text", len(records), doubles, len(names), len(alarms))
}

// run runs a telemetry for the time of the test.
func run(t *testing.T, ca *CA, cert tls.Certificate, address string, b telemetry.Box) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(telemetry.Config{Dir: t.TempDir(), Box: b, Clock: clock{},
		TLS: func() (*tls.Config, error) {
			return &tls.Config{RootCAs: ca.Pool, Certificates: []tls.Certificate{cert}}, nil
		},
		Product:  func() telemetry.Product { return telemetry.Product{Serial: "Q1", Version: "test"} },
		Settings: telemetry.Settings{Enabled: true, Endpoint: "https://" + address, Interval: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tel.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tel
}

func wait(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// lines reads a file of JSON lines as the file exporter writes them.
func lines(t *testing.T, name string, empty func() proto.Message, handle func(proto.Message)) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 64<<20)
	n := 0
	for s.Scan() {
		m := empty()
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(s.Bytes(), m); err != nil {
			t.Fatal(err)
		}
		handle(m)
		n++
	}
	if err := s.Err(); err != nil || n == 0 {
		t.Fatalf("%s: %d lines, %v", name, n, err)
	}
}

// TestDeployedConfiguration: the example of docs/fleet.md is one that a Collector
// takes, and a slip in it is not overlooked.
func TestDeployedConfiguration(t *testing.T) {
	if *program == "" {
		t.Skip("it needs a Collector: make test-collector builds one and runs this")
	}
	const example = "../../docs/deploy/collector.yaml"
	if out, err := exec.CommandContext(t.Context(), *program, "validate", "--config", example).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", example, err, out)
	}
	b, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	slip := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(slip, bytes.Replace(b, []byte("client_ca_file"), []byte("client_ca"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), *program, "validate", "--config", slip).CombinedOutput(); err == nil {
		t.Errorf("a slip passes:\n%s", out)
	}
}
