package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/identity"
	"quartet/device/network"
	"quartet/device/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{nil, 2, "", "Usage:"},
		{[]string{"--help"}, 0, "Usage:", ""},
		{[]string{"run", "--help"}, 0, "Usage:", ""},
		{[]string{"version"}, 0, "quartet-manage ", ""},
		{[]string{"openapi"}, 0, `"openapi": "3.1.0"`, ""},
		{[]string{"dance"}, 2, "", `unknown command "dance"`},
		{[]string{"run", "x"}, 2, "", `unexpected argument "x"`},
		{[]string{"run", "--dada", "x"}, 2, "", "dada"},
		{[]string{"run", "--log-level", "loud"}, 2, "", "write debug, info, warn or error"},
		{[]string{"run", "--log-format", "xml"}, 2, "", "write text or json"},
	} {
		var o, e bytes.Buffer
		if code := command(c.args, &o, &e); code != c.code || !strings.Contains(o.String(), c.out) || !strings.Contains(e.String(), c.err) {
			t.Errorf("%q: %d\n%.200s\n%s", c.args, code, o.String(), e.String())
		}
	}
}

// The settings that the page's interface describes are those that the network
// helper takes: the same names with the same ranges.
func TestNetworkSettings(t *testing.T) {
	var same func(ours, theirs reflect.Type, at string)
	same = func(ours, theirs reflect.Type, at string) {
		for ours.Kind() == reflect.Slice {
			ours, theirs = ours.Elem(), theirs.Elem()
		}
		if ours.Kind() != theirs.Kind() {
			t.Errorf("%s: %s and %s", at, ours, theirs)
			return
		}
		if ours.Kind() != reflect.Struct {
			return
		}
		if ours.NumField() != theirs.NumField() {
			t.Errorf("%s: %d and %d fields", at, ours.NumField(), theirs.NumField())
			return
		}
		for i := range ours.NumField() {
			a, b := ours.Field(i), theirs.Field(i)
			for _, tag := range []string{"json", "default", "range", "enum", "required", "format"} {
				def := func(f reflect.StructField) string {
					if v := f.Tag.Get(tag); tag != "default" || v != "false" {
						return v
					}
					return ""
				}
				if def(a) != def(b) {
					t.Errorf("%s.%s: %s is %q here and %q there", at, a.Name, tag, a.Tag.Get(tag), b.Tag.Get(tag))
				}
			}
			same(a.Type, b.Type, at+"."+a.Name)
		}
	}
	same(reflect.TypeFor[web.NetworkSettings](), reflect.TypeFor[network.Settings](), "settings")
}

func TestPlanner(t *testing.T) {
	q := config.Default[web.PlanRequest]()
	p, err := planner{}.Plan(q)
	if err != nil || p.LatencyMS != 500 || p.Streams != 4 {
		t.Errorf("%+v %v", p, err)
	}
	q.LatencyMS = 20
	_, err = planner{}.Plan(q)
	issues, ok := err.(config.Issues)
	if !ok || issues[0].Path != "latency_ms" || issues[0].Remedy == "" {
		t.Errorf("%v", err)
	}
}

func TestJournal(t *testing.T) {
	out := `{"MESSAGE":"level=WARN msg=x","_SYSTEMD_UNIT":"quartetd.service","__REALTIME_TIMESTAMP":"1764180000000000"}
not json
{"MESSAGE":[104,105],"__REALTIME_TIMESTAMP":"1"}
{"MESSAGE":"plain","_SYSTEMD_UNIT":"quartet-netd.service","__REALTIME_TIMESTAMP":"1764180000000001"}
`
	list := parseJournal([]byte(out))
	if len(list) != 2 || list[0].Level != "warn" || list[0].Unit != "quartetd" || list[1].Level != "info" || list[0].Time.IsZero() {
		t.Errorf("%+v", list)
	}
	ring := &lineRing{out: io.Discard}
	for i := range 3 * ringLines {
		fmt.Fprintf(ring, "level=INFO msg=%d\n", i)
	}
	if n := len(ring.lines); n > ringLines || !strings.HasSuffix(ring.lines[n-1].Text, fmt.Sprint(3*ringLines-1)) {
		t.Errorf("%d lines", n)
	}
}

// media is quartetd as its control socket shows it.
type media struct {
	file string // of the document

	mu     sync.Mutex
	calls  []string
	refuse error
	paths  []control.Path // nil: one that is up
}

func (m *media) did(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, what)
	return m.refuse
}

func (m *media) Status() control.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.paths != nil {
		return control.Status{Name: "studio-1", Input: control.Input{State: control.InputOK}, Paths: m.paths}
	}
	return control.Status{Name: "studio-1", Paths: []control.Path{{Name: "1a", State: control.PathUp}}}
}
func (m *media) Probe(string) (control.Probe, error) { return control.Probe{}, control.ErrNoPlace }
func (m *media) Reload(context.Context) (control.Reload, error) {
	return control.Reload{Changed: []string{"plan"}}, m.did("reload")
}
func (m *media) Restart(context.Context) error { return m.did("restart") }
func (m *media) Thumbnail() (control.Thumbnail, error) {
	return control.Thumbnail{}, control.ErrNoThumbnail
}
func (m *media) Preflight(context.Context, string) (control.Preflight, error) {
	return control.Preflight{}, control.ErrNoPath
}

// log is where a process of ours logs to.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// box is a management plane that runs, with quartetd's socket beside it.
type box struct {
	t      *testing.T
	dir    string
	media  *media
	log    logged
	url    string
	code   string
	http   *http.Client
	cookie string
	ended  chan bool // wiped
	stop   context.CancelFunc
	o      options
}

func start(t *testing.T) *box { return startWith(t, func(*box) {}) }

// startWith has a chance to prepare what run will find.
func startWith(t *testing.T, prepare func(b *box)) *box {
	t.Helper()
	dir, err := os.MkdirTemp("", "quartet-manage") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &box{t: t, dir: dir, media: &media{file: filepath.Join(dir, "etc", "box.v1.json")}, ended: make(chan bool, 16)}
	p, code, err := identity.NewProvision("Q7-0001", "Quartet", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.code = code
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := p.Write(filepath.Join(dir, "etc", "provision.v1.json"), false); err != nil {
		t.Fatal(err)
	}
	server, err := control.Listen(control.Config{Socket: filepath.Join(dir, "c.sock"), Media: b.media, Health: health.New(health.Catalogue()),
		Wall: func(time.Duration) time.Time { return time.Now() }, Instance: "i"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	b.o = options{configDir: filepath.Join(dir, "etc"), data: filepath.Join(dir, "data"), key: filepath.Join(dir, "key", "seal.key"),
		control: filepath.Join(dir, "c.sock"), netd: filepath.Join(dir, "n.sock"), listen: "127.0.0.1:0",
		image: filepath.Join(dir, "image"), update: filepath.Join(dir, "u.sock"), bus: "unix:path=" + filepath.Join(dir, "no.bus")}
	b.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	prepare(b)
	b.run()
	t.Cleanup(func() {
		b.stop()
		cancel()
		wg.Wait()
		b.http.CloseIdleConnections()
	})
	return b
}

// run starts the management plane, and returns when its page answers.
func (b *box) run() {
	b.t.Helper()
	managed, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	lines := &lineRing{out: &b.log}
	seen := len(b.log.String())
	go func() {
		defer close(done)
		wiped, err := run(managed, b.o, slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelDebug})), lines)
		if err != nil {
			b.t.Error(err)
		}
		b.ended <- wiped
	}()
	b.stop = func() {
		stop()
		<-done
	}
	address := regexp.MustCompile(`page=(127\.0\.0\.1:\d+)`)
	for range 2000 {
		if m := address.FindStringSubmatch(b.log.String()[seen:]); m != nil {
			b.url = "https://" + m[1] + "/api/v1"
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.t.Fatalf("it does not start:\n%s", b.log.String())
}

// do sends a request and reads the answer into to.
func (b *box) do(method, path, body string, want int, to any, header ...string) http.Header {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if b.cookie != "" {
		req.Header.Set("Cookie", b.cookie)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		b.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, text, err)
	}
	for _, c := range resp.Cookies() {
		b.cookie = c.Name + "=" + c.Value
	}
	if to != nil {
		if err := json.Unmarshal(text, to); err != nil {
			b.t.Fatalf("%s: %v", text, err)
		}
	}
	return resp.Header
}

const (
	passphrase = "canary-passphrase-7"
	key        = "ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a"
	password   = "canary password 7"
)

// TestBox is a box's first day with the real parts: claim, the first document,
// sealed on disk and taken over by the media plane, a refused one, the audit
// log, and the factory reset that leaves nothing.
func TestBox(t *testing.T) {
	b := start(t)
	b.do("POST", "/claim", fmt.Sprintf(`{"code": %q, "user": "anna", "password": %q}`, b.code, password), 201, nil)
	doc := `{"version": 1, "name": "studio-1", "input": {"type": "udp", "url": "udp://:5000"}, "output": {"key": "` + key + `"},
 "paths": [{"name": "1a", "url": "srt://192.0.2.1:9000", "passphrase": "` + passphrase + `"}]}`
	var saved web.Saved
	b.do("PUT", "/config", doc, 200, &saved, "If-Match", "none")
	if !saved.Applied || !slices.Equal(b.media.calls, []string{"reload"}) {
		t.Errorf("%+v %v", saved, b.media.calls)
	}
	disk, err := os.ReadFile(b.media.file)
	if err != nil || bytes.Contains(disk, []byte(passphrase)) || bytes.Contains(disk, []byte(key)) || bytes.Count(disk, []byte("sealed:v1:")) != 2 {
		t.Errorf("%s %v", disk, err)
	}
	// Nothing is written again that is not changed: the same secrets stay sealed as they are.
	etag := b.do("GET", "/config", "", 200, nil).Get("Etag")
	b.do("PATCH", "/config", `{"output": {"latency_ms": 700}}`, 200, nil, "If-Match", etag)
	after, _ := os.ReadFile(b.media.file)
	if !bytes.Contains(after, []byte("700")) || sealedText(disk) != sealedText(after) {
		t.Errorf("%s\n%s", disk, after)
	}
	// The real planner says no.
	etag = b.do("GET", "/config", "", 200, nil).Get("Etag")
	var p web.Problem
	b.do("PATCH", "/config", `{"output": {"latency_ms": 20}}`, 422, &p, "If-Match", etag)
	if len(p.Errors) == 0 || p.Errors[0].Path != "output.latency_ms" || p.Errors[0].Remedy == "" {
		t.Errorf("%+v", p)
	}
	// And so does the media plane.
	b.media.mu.Lock()
	b.media.refuse = fmt.Errorf("paths[0]: the port is taken")
	b.media.mu.Unlock()
	b.do("PATCH", "/config", `{"output": {"latency_ms": 800}}`, 409, &p, "If-Match", etag)
	if now, _ := os.ReadFile(b.media.file); !bytes.Equal(now, after) {
		t.Errorf("%s", now)
	}
	b.media.mu.Lock()
	b.media.refuse = nil
	b.media.mu.Unlock()

	var o web.Overview
	b.do("GET", "/status", "", 200, &o)
	if o.Box == nil || o.System.TotalMiB == 0 || o.System.BootID == "" || o.Network.Error == "" || o.Telemetry.State != "off" {
		t.Errorf("%+v", o)
	}
	b.do("GET", "/network", "", 503, nil) // no helper here
	b.do("GET", "/identity", "", 200, nil)
	b.do("POST", "/identity/csr", "", 200, nil)
	b.do("GET", "/telemetry", "", 200, nil)
	b.do("GET", "/history", "", 200, nil)
	b.do("PUT", "/identity/certificate", `{"certificate": "x", "ca": "y"}`, 422, &p)
	if p.Errors[0].Path != "certificate" {
		t.Errorf("%+v", p)
	}
	var audit web.Audit
	b.do("GET", "/audit", "", 200, &audit)
	var actions []string
	for _, r := range audit.Records {
		actions = append(actions, r.Action+" "+r.Outcome)
	}
	if want := []string{"claim ok", "config.save ok", "config.save ok", "config.save refused", "identity.csr ok"}; !slices.Equal(actions, want) {
		t.Errorf("%v", actions)
	}

	// S6 and S13: what was handed over is in no file and no log; after the reset
	// there are no files but the label's.
	search := func() {
		err := filepath.WalkDir(b.dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			for _, secret := range []string{passphrase, key, password, b.code} {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("%s holds %s", path, secret)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		for _, secret := range []string{passphrase, key, password, b.code, b.cookie[strings.IndexByte(b.cookie, '=')+1:]} {
			if secret != "" && strings.Contains(b.log.String(), secret) {
				t.Errorf("the log holds %s", secret)
			}
		}
	}
	search()
	b.do("POST", "/factory-reset", `{"serial": "Q7-0001"}`, 202, nil)
	if !<-b.ended {
		t.Error("it ended without knowing of the reset")
	}
	search()
	var left []string
	for _, folder := range []string{"data", "etc", "key"} {
		err := filepath.WalkDir(filepath.Join(b.dir, folder), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				left = append(left, filepath.Base(path))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(left, []string{"provision.v1.json"}) {
		t.Errorf("after the reset there is %v", left)
	}
	if !slices.Contains(b.media.calls, "restart") {
		t.Errorf("%v", b.media.calls)
	}
}

// sealedText is the sealed secrets of a document.
func sealedText(doc []byte) string {
	return strings.Join(regexp.MustCompile(`sealed:v1:[\w-]+`).FindAllString(string(doc), -1), " ")
}
