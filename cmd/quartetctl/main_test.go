package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"quartet/board"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	goleak.VerifyTestMain(m)
}

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// result is what a command line did.
type result struct {
	out, err string
	code     int
}

// call runs a command line without a terminal.
func call(t *testing.T, e *env, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	if e == nil {
		e = &env{}
	}
	if e.ctx == nil {
		e.ctx = t.Context()
	}
	if e.out == nil {
		e.out = &out
	}
	e.err = &errs
	if e.getenv == nil {
		e.getenv = func(string) string { return "" }
	}
	if e.now == nil {
		e.now = func() time.Time { return epoch.Add(time.Hour) }
	}
	if e.board == nil { // no board, as far as these tests go
		e.board = func() (*board.Board, error) {
			return &board.Board{Model: "generic", Close: func() error { return nil }}, nil
		}
	}
	if e.screen.width == 0 {
		e.screen = screen{width: 80}
	}
	code := run(e, args)
	return result{out.String(), errs.String(), code}
}

// golden compares a text with testdata/NAME.golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestHelp: the list and every command's help read well: no line over 80
// columns, no error, exit 0, and nothing is done.
func TestHelp(t *testing.T) {
	lines := []string{"--help", "help"}
	for _, c := range commands {
		lines = append(lines, c.name+" --help", "help "+c.name, c.name+" -h")
	}
	var all strings.Builder
	for _, l := range lines {
		r := call(t, nil, strings.Fields(l)...)
		if r.code != 0 || r.err != "" || !strings.Contains(r.out, "Usage: quartetctl ") {
			t.Errorf("%s: %+v", l, r)
		}
		for line := range strings.Lines(r.out) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
				t.Errorf("%s: %d columns: %s", l, n, line)
			}
		}
		if strings.HasSuffix(l, "--help") {
			fmt.Fprintf(&all, "$ quartetctl %s\n%s\n", l, r.out)
		}
	}
	golden(t, "help", all.String())
}

// TestUsage: a wrong command line is exit 2, with one clear line and nothing
// on standard output.
func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"bogus":                             `unknown command "bogus"; quartetctl --help lists them`,
		"help bogus":                        `unknown command "bogus"; quartetctl --help lists them`,
		"config":                            "config: a command is missing; write config check or config example or config schema or config explain",
		"config chekc x":                    `unknown command "config chekc"; write config check or config example or config schema or config explain`,
		"status --foo":                      "status: unknown flag --foo; quartetctl status --help lists the flags",
		"status x":                          `status takes no argument, and there is "x"`,
		"status --interval 1ms":             "status: --interval 1ms is too short; use 100ms or more",
		"status --interval x":               `status: invalid value "x" for flag -interval: parse error; quartetctl status --help lists the flags`,
		"probe elsewhere":                   `probe takes input, output or a URL, and there is "elsewhere"`,
		"probe input output":                "probe takes input, output or a URL, and there are 2 arguments",
		"preflight":                         "preflight takes the name of one path, and there are 0 arguments; quartetctl status lists the paths",
		"preflight a b":                     "preflight takes the name of one path, and there are 2 arguments; quartetctl status lists the paths",
		"config check":                      "config check takes the names of files, and there are none",
		"config example both":               `config example takes box or gateway, and there is "both"`,
		"config schema x y":                 `config schema takes box or gateway, and there is "x y"`,
		"config explain bogus":              `the box document has no field "bogus"; quartetctl config explain box lists them`,
		"config explain gateway a b":        "config explain takes one field, and there are 2",
		"fec matrix":                        "fec matrix: -k 0 -r 0: write -k 1 to 254 and -r 1 to 255 - k",
		"fec matrix -k 250 -r 6":            "fec matrix: -k 250 -r 6: write -k 1 to 254 and -r 1 to 255 - k",
		"fec matrix -k 4 -r":                "fec matrix: flag needs an argument: -r; quartetctl fec matrix --help lists the flags",
		"plan --rate fast":                  `plan: invalid value "fast" for flag -rate: write a rate such as 10M or 800k; quartetctl plan --help lists the flags`,
		"plan --rtt -5ms":                   `plan: invalid value "-5ms" for flag -rtt: write a time such as 60ms; quartetctl plan --help lists the flags`,
		"plan --loss lots":                  `plan: invalid value "lots" for flag -loss: write a percentage such as 2%; quartetctl plan --help lists the flags`,
		"config example box --dir /nowhere": `config example --dir writes both documents; leave out "box"`,
	} {
		r := call(t, nil, strings.Fields(line)...)
		if r.code != 2 || r.out != "" || r.err != "quartetctl: "+want+"\n" {
			t.Errorf("%s: %+v\nwant %s", line, r, want)
		}
	}
	if r := call(t, nil); r.code != 2 || r.out != "" || !strings.Contains(r.err, "Commands:") {
		t.Errorf("no command: %+v", r)
	}
	if r := call(t, nil, "config", "--help"); r.code != 0 || !strings.Contains(r.out, "config check") {
		t.Errorf("config --help: %+v", r)
	}
}

func TestFECMatrix(t *testing.T) {
	r := call(t, nil, "fec", "matrix", "-k", "4", "-r", "2")
	if r.code != 0 || r.out != "ESI 4: 40 78 36 0f\nESI 5: e7 d2 57 63\n" {
		t.Errorf("%+v", r)
	}
}

func TestPlan(t *testing.T) {
	for _, line := range []string{"plan --rate 10M --rtt 60ms --loss 2% --latency 300 --overhead 10%", "plan --rate 800kbit/s --rtt 5 --latency 1s --overhead 0", "plan --json"} {
		r := call(t, nil, strings.Fields(line)...)
		if r.code != 0 || r.err != "" || !strings.Contains(r.out, "atency") {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if r := call(t, nil, "plan", "--latency", "30ms"); r.code != 1 || !strings.Contains(r.err, "output.latency_ms") {
		t.Errorf("%+v", r)
	}
	for text, want := range map[string]int64{"10M": 1e7, "10Mbit/s": 1e7, "800k": 8e5, "1.5G": 15e8, "64000": 64000, "5kbps": 5000} {
		var bps int64
		if err := (rateFlag{&bps}).Set(text); err != nil || bps != want {
			t.Errorf("%s: %d, %v", text, bps, err)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	if r := call(t, nil, "config", "example", "--dir", dir); r.code != 0 || strings.Count(r.out, "\n") != 2 {
		t.Fatalf("%+v", r)
	}
	if r := call(t, nil, "config", "example", "--dir", dir); r.code != 1 || !strings.Contains(r.err, "exists") {
		t.Errorf("an existing file: %+v", r)
	}
	box, gateway := filepath.Join(dir, "box.json"), filepath.Join(dir, "gateway.json")
	r := call(t, nil, "config", "check", box, gateway)
	if r.code != 0 || !strings.Contains(r.out, "valid box document") || !strings.Contains(r.out, "valid gateway document") || !strings.Contains(r.out, "plan: K ") {
		t.Errorf("%+v", r)
	}
	bad := `{"version": 1, "paths": [{"name": "a", "url": "srt://h:9000", "latency_ms": -1}]}`
	r = call(t, &env{in: strings.NewReader(bad)}, "config", "check", "-")
	golden(t, "check", r.out)
	if r.code != 1 || r.err != "" {
		t.Errorf("%+v", r)
	}
	warn := `{"version":1,"name":"a","input":{"type":"udp","url":"udp://:5000"},"output":{},"paths":[{"name":"a","profile":"ts","url":"srt://h:80"}]}`
	r = call(t, &env{in: strings.NewReader(warn)}, "config", "check", "-")
	if r.code != 0 || strings.Count(r.out, "warning:") != 2 {
		t.Errorf("%+v", r)
	}
	if r = call(t, &env{in: strings.NewReader(warn)}, "config", "check", "--strict", "-"); r.code != 1 {
		t.Errorf("%+v", r)
	}
	tight := strings.Replace(warn, `"output":{}`, `"output":{"latency_ms":20}`, 1)
	if r = call(t, &env{in: strings.NewReader(tight)}, "config", "check", "-"); r.code == 0 && strings.Contains(r.out, "error") {
		t.Errorf("%+v", r)
	}
	if r = call(t, nil, "config", "check", filepath.Join(dir, "none")); r.code != 1 || !strings.Contains(r.err, "no such file") {
		t.Errorf("%+v", r)
	}
}

// A document that a box has sealed is checked as far as that goes, and says how
// far.
func TestConfigCheckOfASealedDocument(t *testing.T) {
	sealed := `{"version":1,"name":"a","input":{"type":"udp","url":"udp://:5000"},"output":{"key":"sealed:v1:AAAA"},` +
		`"paths":[{"name":"a","url":"srt://h:9000","passphrase":"sealed:v1:BBBB"}]}`
	r := call(t, &env{in: strings.NewReader(sealed)}, "config", "check", "--strict", "-")
	if r.code != 0 || !strings.Contains(r.out, "-: note: sealed, and so not checked: output.key, paths[0].passphrase\n") || !strings.Contains(r.out, "plan: ") {
		t.Errorf("%+v", r)
	}
	wrong := strings.Replace(sealed, "9000", "0", 1)
	if r = call(t, &env{in: strings.NewReader(wrong)}, "config", "check", "-"); r.code != 1 || !strings.Contains(r.out, "paths[0].url") {
		t.Errorf("%+v", r)
	}
}

// TestExample: what is printed is valid, and its secrets are never the same.
func TestExample(t *testing.T) {
	for _, kind := range []string{"box", "gateway"} {
		a, b := call(t, nil, "config", "example", kind), call(t, nil, "config", "example", kind)
		k, warnings, err := config.Check([]byte(a.out))
		if err != nil || string(k) != kind || len(warnings) > 0 || a.out == b.out {
			t.Errorf("%s: %v %v %v", kind, k, warnings, err)
		}
		if r := call(t, nil, "config", "schema", kind); r.code != 0 || !strings.Contains(r.out, "json-schema.org") {
			t.Errorf("%+v", r)
		}
		if r := call(t, nil, "config", "explain", kind); r.code != 0 || !strings.Contains(r.out, "log.level\n") {
			t.Errorf("%+v", r)
		}
	}
	r := call(t, nil, "config", "explain", "paths[].name")
	if r.out != "paths[].name\n    Name of the path in status, logs and alarms.\n    (1 to 32 letters, digits, dots, dashes or underscores, the first a letter or\n    digit; required)\n" {
		t.Errorf("%q", r.out)
	}
	if r := call(t, nil, "version"); r.code != 0 || r.out != "quartetctl "+version+"\n" {
		t.Errorf("%+v", r)
	}
}

// box is a media plane without media.
type box struct {
	reload, probe error
	blind         bool // there is no picture
}

func (b *box) Status() control.Status {
	return control.Status{
		Name: "studio-1", Version: "0.1.0", Time: epoch.Add(time.Hour), UptimeS: 11520,
		Input: control.Input{Type: "udp", URL: "udp://239.1.1.1:5000", State: control.InputOK, BitrateBPS: 9_980_000, JitterMS: 0.42, ContinuityErrors: 3,
			Monitor: &control.Monitor{
				Synced: true, Packets: 1e6, NullShare: 0.031, Priority1: 3, Priority2: 1,
				Checks:   []control.StreamCheck{{Name: "TS_sync_loss"}, {Name: "Continuity_count_error", Active: true, Count: 3}},
				Services: []control.StreamService{{Number: 1, Name: "Studio One"}}, Clocks: []control.StreamClock{{PID: 257, IntervalMS: 20}},
				Cues: []control.StreamCue{{Command: "splice_insert"}},
			}},
		Output: control.Output{Monitor: &control.Monitor{Synced: true}},
		Plan: control.Plan{K: 64, Rows: 6, Streams: 2, SRTLatencyMS: 304, StaggerMS: 15, ReserveMS: 41, FECBoundMS: 140, LatencyMS: 500, OverheadPercent: 9.4,
			Notes: []string{"SRT has 6.7 round trips for retransmissions: overhead_percent 0 would do nearly as well here"}},
		Paths: []control.Path{
			{Name: "1a", Leg: 1, Profile: "rtp-fec", State: control.PathUp, BitrateBPS: 11_200_000, RTTMS: 23.4, QueueDropped: 12,
				Arrival: &control.Arrival{Received: 123456, ByOther: 1200, ByParity: 30, LossPercent: 1.23,
					Merged: control.Merged{Delivered: 124686, ByParity: 30, MarginMS: 45, BitrateBPS: 9_980_000}, Digest: control.Digest{Compared: 120, Equal: 120}}},
			{Name: "1b-backup-line", Leg: 1, Profile: "rtp-fec", State: control.PathUp, BitrateBPS: 11_100_000, RTTMS: 8.31,
				Arrival: &control.Arrival{Received: 9_876_543_210, ByOther: 1, Unrecovered: 7, LossPercent: 0.004,
					Merged: control.Merged{Delivered: 9_876_543_210, Lost: 7, MarginMS: 3, BitrateBPS: 9_980_000}, Digest: control.Digest{Compared: 120, Equal: 118, Different: 2}}},
			{Name: "2a", Leg: 2, Profile: "ts", State: control.PathUp, BitrateBPS: 10_400_000, RTTMS: 120, SendLossPercent: 12.3, ArrivalUnknown: "profile ts has no reports"},
			{Name: "2b", Leg: 2, Profile: "rtp-fec", State: control.PathConnecting, Reason: "wrong passphrase\x1b[31m: the far end refused the key; compare the passphrases of both ends, and try again"},
			{Name: "2c", Leg: 2, Profile: "rtp", State: control.PathUp, BitrateBPS: 10_200_000},
			{Name: "2d", Leg: 2, Profile: "ts", State: control.PathListening},
		},
	}
}

func (b *box) Reload(context.Context) (control.Reload, error) {
	return control.Reload{Changed: []string{"path 2b: passphrase"}, Warnings: []string{"paths[1].interface: shared"}}, b.reload
}

func (b *box) Restart(context.Context) error { return nil }

func (*box) Rest(time.Duration) {}

func (b *box) Preflight(_ context.Context, path string) (control.Preflight, error) {
	if path != "2b" {
		return control.Preflight{}, control.ErrNoPath
	}
	return control.Preflight{Path: path, LargestBytes: 1188, TSPacketsPerMessage: 6, Steps: []control.Step{
		{Name: "name", OK: true, Text: "gw2b.example.net is 192.0.2.7"},
		{Name: "size", Text: "messages of more than 1188 bytes do not arrive", Remedy: "Set output.ts_packets_per_message to 6, or raise the MTU of the tunnel on the way."},
	}}, nil
}

// serve runs a control server and returns its socket and its parts.
func serve(t *testing.T) (string, *box, *health.Monitor) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "c.sock")
	b, m := &box{}, health.New(health.Catalogue())
	m.Set(0, health.PathDown, health.Path("2b"), true, "wrong passphrase")
	m.Set(0, health.LegUnprotected, health.Leg(2), true, "")
	m.Tick(10 * time.Minute)
	m.Measure(20*time.Minute, health.PathLoss, health.Path("1a"), 1.23, "")
	m.Tick(21 * time.Minute)
	m.Measure(30*time.Minute, health.PathLoss, health.Path("1a"), 0.1, "")
	m.Tick(31 * time.Minute)
	s, err := control.Listen(control.Config{Socket: socket, Media: b, Health: m, Wall: epoch.Add, Instance: "i"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket, b, m
}

func TestStatusTable(t *testing.T) {
	socket, _, _ := serve(t)
	r := call(t, nil, "status", "--socket", socket)
	golden(t, "status", r.out)
	if r.code != 0 || r.err != "" || strings.Contains(r.out, "\x1b") {
		t.Errorf("%+v", r)
	}
	// A terminal of 80 columns: no line is longer, names are shortened, and
	// colour changes nothing else.
	plain := call(t, &env{screen: screen{tty: true, width: 80}}, "status", "--socket", socket)
	for line := range strings.Lines(plain.out) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(plain.out, "1b-back…") {
		t.Error(plain.out)
	}
	colour := call(t, &env{screen: screen{tty: true, color: true, width: 80}}, "status", "--socket", socket)
	if bare := regexp.MustCompile(`\x1b\[[0-9]+m`).ReplaceAllString(colour.out, ""); bare != plain.out || bare == colour.out {
		t.Errorf("colour changes the text:\n%s", cmp.Diff(plain.out, bare))
	}
	viaEnv := call(t, &env{getenv: func(k string) string { return map[string]string{"QUARTET_SOCKET": socket}[k] }}, "status", "--json")
	if viaEnv.code != 0 || !strings.Contains(viaEnv.out, `"by_parity_total": 30`) || !strings.Contains(viaEnv.out, `"severity": "major"`) {
		t.Errorf("%+v", viaEnv)
	}
}

// TestWatch: it paints again until it is interrupted, also over a box that is
// away, and then ends with 0.
func TestWatch(t *testing.T) {
	socket, _, _ := serve(t)
	for name, sc := range map[string]screen{"terminal": {tty: true, width: 80}, "pipe": {width: 80}} {
		ctx, cancel := context.WithCancel(t.Context())
		w := &countdown{left: 4, end: cancel}
		r := call(t, &env{ctx: ctx, out: w, screen: sc}, "status", "--watch", "--interval", "100ms", "--socket", socket)
		if r.code != 0 || r.err != "" {
			t.Errorf("%s: %+v", name, r)
		}
		if clears := strings.Count(w.String(), "\x1b[H"); sc.tty != (clears > 0) {
			t.Errorf("%s: %d repaints", name, clears)
		}
		if sc.tty && !strings.HasSuffix(w.String(), "\x1b[?25h") {
			t.Error("the cursor stays hidden")
		}
		if strings.Count(w.String(), "studio-1") < 2 {
			t.Errorf("%s: shown less than twice", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &countdown{left: 2, end: cancel}
	if r := call(t, &env{ctx: ctx, out: w}, "status", "--watch", "--interval", "100ms", "--socket", "/nowhere/c.sock"); r.code != 0 || !strings.Contains(w.String(), "does not answer") {
		t.Errorf("%+v %s", r, w)
	}
}

// countdown is an output that interrupts the command after some writes.
type countdown struct {
	text bytes.Buffer
	left int
	end  func()
}

func (c *countdown) Write(p []byte) (int, error) {
	if c.left--; c.left == 0 {
		c.end()
	}
	return c.text.Write(p)
}

func (c *countdown) String() string { return c.text.String() }

func TestConditions(t *testing.T) {
	socket, _, m := serve(t)
	r := call(t, nil, "conditions", "--all", "--socket", socket)
	golden(t, "conditions", r.out)
	if r.code != 0 {
		t.Errorf("%+v", r)
	}
	if r := call(t, nil, "conditions", "--check", "--socket", socket); r.code != 1 || strings.Contains(r.out, "cleared") || r.err != "" {
		t.Errorf("%+v", r)
	}
	if r := call(t, nil, "conditions", "--json", "--socket", socket); r.code != 0 || !strings.Contains(r.out, `"worst": "major"`) {
		t.Errorf("%+v", r)
	}
	m.Forget(time.Hour, health.Path("2b"))
	m.Forget(time.Hour, health.Leg(2))
	if r := call(t, nil, "conditions", "--check", "--socket", socket); r.code != 0 || r.out != "No conditions.\n" {
		t.Errorf("%+v", r)
	}
}

func TestEvents(t *testing.T) {
	socket, _, _ := serve(t)
	r := call(t, nil, "events", "--socket", socket)
	golden(t, "events", r.out)
	if r.code != 0 || r.err != "" {
		t.Errorf("%+v", r)
	}
	r = call(t, nil, "events", "--json", "--after", "i.2", "--socket", socket)
	if strings.Count(r.out, "\n") != 2 || !strings.Contains(r.out, `"id":"i.3"`) {
		t.Errorf("%+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &countdown{left: 4, end: cancel}
	if r := call(t, &env{ctx: ctx, out: w}, "events", "--follow", "--socket", socket); r.code != 0 || r.err != "" {
		t.Errorf("%+v", r)
	}
}

func TestReload(t *testing.T) {
	socket, b, _ := serve(t)
	r := call(t, nil, "reload", "--socket", socket)
	if r.code != 0 || r.out != "path 2b: passphrase\n" || r.err != "warning: paths[1].interface: shared\n" {
		t.Errorf("%+v", r)
	}
	b.reload = errors.New("name (line 1:2): is missing")
	if r := call(t, nil, "reload", "--socket", socket); r.code != 1 || r.err != "quartetctl: name (line 1:2): is missing\n" {
		t.Errorf("%+v", r)
	}
}

func TestPreflight(t *testing.T) {
	socket, _, _ := serve(t)
	r := call(t, nil, "preflight", "2b", "--socket", socket)
	golden(t, "preflight", r.out)
	if r.code != 1 || r.err != "" {
		t.Errorf("%+v", r)
	}
	if r := call(t, nil, "preflight", "--socket", socket, "9z"); r.code != 1 || !strings.Contains(r.err, `no such path "9z"`) {
		t.Errorf("%+v", r)
	}
	if r := call(t, nil, "preflight", "--json", "2b", "--socket", socket); r.code != 1 || !strings.Contains(r.out, `"largest_bytes": 1188`) {
		t.Errorf("%+v", r)
	}
}

// TestAway: without a quartetd there is one clear line, and exit 1.
func TestAway(t *testing.T) {
	for _, line := range []string{"status", "events", "conditions", "reload", "preflight 1a", "probe"} {
		r := call(t, nil, append(strings.Fields(line), "--socket", "/nowhere/c.sock")...)
		if r.code != 1 || r.out != "" || !strings.HasPrefix(r.err, "quartetctl: quartetd does not answer on /nowhere/c.sock: there is no such socket") {
			t.Errorf("%s: %+v", line, r)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		short(0): "0", short(999999): "999999", short(1234567): "1.235M", short(99_950_000): "99.95M", short(123_456_789_012): "123.5G", short(5e12): "5.000T",
		bitrate(0): "0", bitrate(999_999): "999k", bitrate(123_456_789): "123.5M",
		percent(0): "0%", percent(0.001): "<.01%", percent(0.25): "0.25%", percent(99.99): "100%", percent(45.67): "45.7%",
		ms(0.44): "0.4 ms", ms(9.96): "10 ms", span(90 * time.Second): "90 s", span(-1): "0 s", span(3 * time.Minute): "3 min", span(50 * time.Hour): "2 d 2 h",
		clean("a\x1b[31m\nb\xffc"): "a [31m b c", fit("abcdef", 4): "abc…", fit("abc", 4): "abc",
		wrap("one two three", "  ", 7): "one two\n  three", wrap("", "  ", 7): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if s := newScreen(os.Stdin, func(string) string { return "120" }); s.width < 40 {
		t.Error(s)
	}
}
