package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"quartet/device/access"
	"quartet/device/config"
	"quartet/device/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Secrets that must never be seen again once they have been handed over.
const (
	canaryPassphrase = "canary-passphrase-0001"
	canaryKey        = "ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a27ca9a"
	canaryPassword   = "canary password 0002"
	canaryToken      = "canary-est-token-0003"
	claimCode        = "CANA-RYCL-AIMC-ODE4"
)

var canaries = []string{canaryPassphrase, canaryKey, canaryPassword, canaryToken, claimCode}

// boxDocument is a valid box document with secrets.
func boxDocument(name string) []byte {
	return []byte(`{"version": 1, "name": "` + name + `",
 "input": {"type": "udp", "url": "udp://239.1.1.1:5000"},
 "output": {"key": "` + canaryKey + `"},
 "paths": [
  {"name": "1a", "leg": 1, "url": "srt://192.0.2.1:9000", "passphrase": "` + canaryPassphrase + `", "interface": "eth0"},
  {"name": "2a", "leg": 2, "url": "srt://192.0.2.2:9000", "passphrase": "` + canaryPassphrase + `2", "interface": "eth0"}]}`)
}

// fakes are the parts of a box without one.
type fakes struct {
	mu      sync.Mutex
	now     time.Time
	calls   []string // that changed something
	audit   []AuditRecord
	reload  error
	status  error
	network NetworkSettings
	trial   string
	picture []byte
	enrol   error
	refusal error // of the updater
	stuck   error // of the network's reset
	events  chan control.Event
}

func (f *fakes) called(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakes) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakes) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fakes) refuse(reload, status error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reload, f.status = reload, status
}

type fakeMedia struct{ *fakes }

func (f fakeMedia) Status(context.Context) (control.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	raised := time.Date(2026, 11, 26, 11, 0, 0, 0, time.UTC)
	return control.Status{Name: "studio-1", Version: "test", Worst: "minor",
		Paths:  []control.Path{{Name: "1a", Leg: 1, Interface: "eth0", State: control.PathUp}, {Name: "2a", Leg: 2, Interface: "eth0", State: control.PathUp}},
		Active: []control.Condition{{ID: "path-loss@path/1a", Code: "path-loss", Resource: "path/1a", Severity: 2, Text: "loss", Active: true, First: raised, Raised: raised, Changed: raised}},
	}, f.status
}

func (f fakeMedia) Conditions(ctx context.Context) (control.Conditions, error) {
	s, err := f.Status(ctx)
	return control.Conditions{Worst: s.Worst, List: s.Active}, err
}

func (f fakeMedia) Events(ctx context.Context, _ string, _ bool, handle func(control.Event, uint64) error) error {
	for {
		select {
		case e := <-f.events:
			if err := handle(e, 0); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f fakeMedia) Reload(context.Context) (control.Reload, error) {
	f.called("reload")
	f.mu.Lock()
	defer f.mu.Unlock()
	return control.Reload{Changed: []string{"plan"}}, f.reload
}

func (f fakeMedia) Restart(context.Context) error {
	f.called("restart")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reload
}

func (f fakeMedia) Preflight(_ context.Context, path string) (control.Preflight, error) {
	if path != "1a" {
		return control.Preflight{}, &control.Error{Code: 404, Text: "no such path"}
	}
	return control.Preflight{Path: path, OK: true, Steps: []control.Step{{Name: "connect", OK: true, Text: "connected"}}}, nil
}

func (f fakeMedia) Thumbnail(context.Context) (control.Thumbnail, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.picture == nil {
		return control.Thumbnail{}, &control.Error{Code: 404, Text: "no picture yet"}
	}
	return control.Thumbnail{JPEG: f.picture}, nil
}

type fakePlanner struct{}

func (fakePlanner) Check(doc *config.Box) (control.Plan, config.Issues, error) {
	if doc.Output.LatencyMS < 40 {
		return control.Plan{}, nil, config.Issues{{Path: "output.latency_ms", Value: fmt.Sprint(doc.Output.LatencyMS), Problem: "is too short", Remedy: "write 40 or more"}}
	}
	return control.Plan{K: 100, LatencyMS: float64(doc.Output.LatencyMS)}, nil, nil
}

func (fakePlanner) Plan(q PlanRequest) (control.Plan, error) {
	return control.Plan{K: 100, LatencyMS: float64(q.LatencyMS)}, nil
}

func (fakePlanner) NeedsRestart(old, doc *config.Box) (list []string) {
	if !reflect.DeepEqual(old.Input, doc.Input) {
		list = append(list, "input")
	}
	if len(old.Paths) != len(doc.Paths) {
		list = append(list, "the number of paths")
	}
	return list
}

type fakeNetwork struct{ *fakes }

func (f fakeNetwork) Settings(context.Context) (NetworkSettings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.network, nil
}

func (f fakeNetwork) State(context.Context) (NetworkState, error) {
	return NetworkState{Links: []Link{{Name: "eth0", Up: true, Carrier: true}}, Synchronised: true}, nil
}

func (f fakeNetwork) Apply(_ context.Context, s NetworkSettings, _ netip.Addr) (NetworkTrial, error) {
	f.called("network")
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(s.Interfaces) > 0 && s.Interfaces[0].Name == "bad" {
		return NetworkTrial{}, config.Issues{{Path: "interfaces[0].name", Problem: "does not exist", Remedy: "write eth0"}}
	}
	f.network, f.trial = s, "trial-token"
	return NetworkTrial{Token: f.trial, Deadline: f.now.Add(2 * time.Minute), Remaining: 120, Addresses: []string{"192.0.2.10"}, Changed: []string{"eth0"}}, nil
}

func (f fakeNetwork) Confirm(_ context.Context, token string, _ netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trial == "" || token != f.trial {
		return fmt.Errorf("%w: no such trial", ErrConflict)
	}
	f.trial = ""
	return nil
}

func (f fakeNetwork) Revert(context.Context) error       { f.called("revert"); return nil }
func (f fakeNetwork) Reboot(context.Context) error       { f.called("reboot"); return nil }
func (f fakeNetwork) FactoryReset(context.Context) error { f.called("network reset"); return f.stuck }
func (f fakeNetwork) SetTime(_ context.Context, t time.Time, force bool) error {
	f.called("set time %s %t", t.UTC(), force)
	return nil
}

type fakeTelemetry struct{ *fakes }

func (f fakeTelemetry) State() TelemetryState { return TelemetryState{State: "off"} }
func (f fakeTelemetry) Availability() []Availability {
	return []Availability{{Resource: "path/1a", WindowS: 3600, Percent: 100, Target: 99.999}}
}
func (f fakeTelemetry) History(q HistoryQuery) (History, error) {
	one := 1.0
	return History{From: time.Unix(q.From, 0).UTC(), StepS: q.Step, Series: map[string]Series{"input.bitrate": {Unit: "bit/s", Points: []*float64{&one, nil}}}}, nil
}
func (f fakeTelemetry) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })
}
func (f fakeTelemetry) Configure(TelemetrySettings) error { return nil }
func (f fakeTelemetry) FactoryReset() error               { f.called("telemetry reset"); return nil }

type fakeIdentity struct{ *fakes }

func (f fakeIdentity) Describe() IdentityInfo {
	return IdentityInfo{Serial: "Q1", Product: "Quartet", Enrol: Enrolment{State: "none"}}
}
func (f fakeIdentity) CSR() ([]byte, error) {
	return []byte("-----BEGIN CERTIFICATE REQUEST-----\n"), nil
}
func (f fakeIdentity) Install(certificate, _ []byte) error {
	f.called("install")
	if !bytes.HasPrefix(certificate, []byte("-----BEGIN")) {
		return invalid("certificate", "", "is not PEM", "paste the certificate with its BEGIN and END lines")
	}
	return nil
}
func (f fakeIdentity) Enrol(context.Context, Enrol) error { f.called("enrol"); return f.enrol }
func (f fakeIdentity) FactoryReset() error                { f.called("identity reset"); return nil }

type fakeUpdater struct{ *fakes }

func (f fakeUpdater) State(context.Context) Update {
	at := begun.Add(time.Hour)
	return Update{Available: true, Running: "1.0.0", Board: "generic", Phase: "ready", Mode: "automatic", Windows: []string{"sun 02:00-05:00"}, Zone: "Europe/Berlin",
		Slots: []Slot{{Name: "A", State: "running", Version: "1.0.0", Next: true}, {Name: "B", State: "bad"}},
		Offer: &UpdateOffer{Version: "1.1.0", Ring: "all", Bytes: 1 << 20, Found: begun}, Progress: &UpdateProgress{What: "download", Percent: 50, Done: 1, Total: 2},
		Waits: &UpdateWait{Why: "window", Text: "the maintenance window begins later", Until: &at}, Trial: &UpdateTrial{From: "1.0.0", To: "1.1.0", Stage: "restarting"},
		Repository: true, LastCheck: &at, Sibling: &UpdateSibling{Denied: "no"}, Refused: []UpdateRefused{{Version: "2.0.0", Code: "ring", Text: "not here"}}, ClockGood: true}
}
func (f fakeUpdater) History(_ context.Context, limit int) ([]UpdateEntry, error) {
	return []UpdateEntry{{Time: begun, Event: "found", To: "1.1.0"}}[:min(limit, 1)], nil
}
func (f fakeUpdater) Check(context.Context) error { f.called("update check"); return f.refusal }
func (f fakeUpdater) Now(_ context.Context, actor string, q UpdateNow) error {
	f.called("update now %s %+v", actor, q)
	return f.refusal
}
func (f fakeUpdater) Defer(_ context.Context, actor string, until time.Time) error {
	f.called("update defer %s %s", actor, until.UTC())
	return f.refusal
}
func (f fakeUpdater) Cancel(_ context.Context, actor string) error {
	f.called("update cancel %s", actor)
	return f.refusal
}
func (f fakeUpdater) Upload(_ context.Context, actor string, r io.Reader) error {
	n, err := io.Copy(io.Discard, r)
	f.called("update upload %s %d", actor, n)
	return errors.Join(f.refusal, err)
}
func (f fakeUpdater) Judge(s UpdateSettings) error {
	if s.Zone == "Mars" {
		return config.Issues{{Path: "update.zone", Problem: "is not a time zone", Remedy: "write an IANA name"}}
	}
	return nil
}
func (f fakeUpdater) Configure(UpdateSettings) error { return nil }

type fakeBoard struct{ *fakes }

func (f fakeBoard) Identify(d time.Duration) error { f.called("identify %s", d); return nil }

type fakeAudit struct{ *fakes }

func (f fakeAudit) Append(r AuditRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Number = int64(len(f.audit) + 1)
	f.audit = append(f.audit, r)
}

func (f fakeAudit) Query(after int64, limit int) ([]AuditRecord, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.Clone(f.audit)
	if after > 0 {
		list = list[min(int(after), len(list)):]
		return list[:min(limit, len(list))], nil
	}
	return list[max(0, len(list)-limit):], nil
}
func (f fakeAudit) FactoryReset() error { f.called("audit reset"); return nil }

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) Lines(context.Context, LogsQuery) (Logs, error) {
	var list Logs
	for line := range strings.Lines(l.String()) {
		list.Lines = append(list.Lines, LogLine{Unit: "quartet-manage", Level: "info", Text: strings.TrimSpace(line)})
	}
	return list, nil
}

// bed is a server with fakes behind it.
type bed struct {
	*fakes
	t      testing.TB
	server *Server
	access *access.Store
	store  *config.Store
	log    *logBuffer
	tokens map[Role]string
}

// passwords and users of a bed, by role.
var users = map[Role]string{Viewer: "vera", Operator: "olaf", Admin: "anna"}

// claimed is a folder with the users of a claimed box, made once: hashing
// passwords is slow on purpose.
var claimed = sync.OnceValues(func() (fs.FS, error) {
	dir, err := os.MkdirTemp("", "quartet-web-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	a, err := access.Open(access.Config{Dir: dir, Now: func() time.Time { return begun }, ClaimCode: func(code string) bool { return code == claimCode }})
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	err = errors.Join(a.Claim(ctx, netip.MustParseAddr("192.0.2.200"), claimCode, users[Admin], canaryPassword),
		a.AddUser(ctx, users[Viewer], canaryPassword, access.Viewer), a.AddUser(ctx, users[Operator], canaryPassword, access.Operator))
	if err != nil {
		return nil, err
	}
	files := fstest.MapFS{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files[e.Name()] = &fstest.MapFile{Data: b, Mode: 0o600}
	}
	return files, nil
})

// begun is when a bed's clock starts.
var begun = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// newBed makes a claimed box with a document; who is needed logs in.
func newBed(t testing.TB) *bed {
	t.Helper()
	files, err := claimed()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	b := newBedIn(t, dir)
	if err := b.store.Save(boxDocument("studio-1")); err != nil {
		t.Fatal(err)
	}
	return b
}

// token is the session of somebody of a role.
func (b *bed) token(role Role) string {
	b.t.Helper()
	if b.tokens[role] == "" {
		b.tokens[role] = b.login(role)
	}
	return b.tokens[role]
}

// newFreshBed makes a box as it comes out of its package.
func newFreshBed(t testing.TB) *bed {
	t.Helper()
	return newBedIn(t, t.TempDir())
}

// newBedIn makes a box with the users in a folder.
func newBedIn(t testing.TB, dir string) *bed {
	t.Helper()
	f := &fakes{now: begun, events: make(chan control.Event),
		network: NetworkSettings{Version: 1, Timezone: "UTC", Others: "auto"}}
	b := &bed{fakes: f, t: t, log: &logBuffer{}, tokens: map[Role]string{}}
	var err error
	b.access, err = access.Open(access.Config{Dir: dir, Now: f.Now, ClaimCode: func(code string) bool { return code == claimCode }})
	if err != nil {
		t.Fatal(err)
	}
	if b.store, err = config.NewStore(t.TempDir(), config.KindBox); err != nil {
		t.Fatal(err)
	}
	b.server, err = New(Config{
		Product: "Quartet", Version: "test", Serial: "Q1", BootID: "boot",
		Access: b.access, Audit: fakeAudit{f}, Documents: b.store, Media: fakeMedia{f}, Planner: fakePlanner{}, Network: fakeNetwork{f},
		Telemetry: fakeTelemetry{f}, Identity: fakeIdentity{f}, Board: fakeBoard{f}, Updater: fakeUpdater{f}, Logs: b.log, Data: t.TempDir(),
		Names: func() []string { return []string{"quartet-q1.local"} },
		Now:   f.Now, Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// login opens a session; the throttle sees a source of its own for each role.
func (b *bed) login(role Role) string {
	b.t.Helper()
	source := netip.AddrFrom4([4]byte{198, 51, 100, byte(role.rank())})
	token, _, err := b.access.Login(b.t.Context(), source, users[role], canaryPassword)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// request is one to the server, as a program sends it.
type request struct {
	method, path string // path under /api/v1
	role         Role
	body         string
	kind         string // media type; "": JSON
	header       map[string]string
}

func (b *bed) do(q request) *httptest.ResponseRecorder {
	b.t.Helper()
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r := httptest.NewRequest(q.method, "https://192.0.2.7/api/v1"+q.path, body).WithContext(b.t.Context())
	if q.body != "" {
		r.Header.Set("Content-Type", cmp.Or(q.kind, "application/json"))
	}
	if q.role != Public {
		r.AddCookie(&http.Cookie{Name: cookieName, Value: b.token(q.role)})
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	b.server.Handler().ServeHTTP(w, r)
	return w
}

// get asks for something and reads the answer.
func (b *bed) get(path string, role Role, to any) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.do(request{method: "GET", path: path, role: role})
	if w.Code != 200 {
		b.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), to); err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
	return w
}

// revision is the ETag of something.
func (b *bed) revision(path string) string {
	b.t.Helper()
	return b.do(request{method: "GET", path: path, role: Admin}).Header().Get("Etag")
}

// problem reads a problem.
func problem(t testing.TB, w *httptest.ResponseRecorder) Problem {
	t.Helper()
	var p Problem
	if ct := w.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("%d %s %s: not a problem", w.Code, ct, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Title == "" || p.Type == "" {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return p
}

// example is a valid request of a route.
type example struct {
	path string // with names filled in
	body string
	kind string
}

// examples has one for each route that takes something, by method and path.
var examples = map[string]example{
	"POST /claim":                {body: `{"code": "` + claimCode + `", "user": "anna", "password": "` + canaryPassword + `"}`},
	"POST /session":              {body: `{"user": "anna", "password": "` + canaryPassword + `"}`},
	"PUT /session/password":      {body: `{"old": "` + canaryPassword + `", "new": "another ` + canaryPassword + `"}`},
	"POST /users":                {body: `{"name": "emil", "role": "viewer", "password": "` + canaryPassword + `"}`},
	"PUT /users/{name}":          {path: "/users/emil", body: `{"role": "operator"}`},
	"DELETE /users/{name}":       {path: "/users/emil"},
	"PUT /config":                {body: string(boxDocument("studio-2"))},
	"PATCH /config":              {body: `{"output": {"latency_ms": 700}}`},
	"POST /config/check":         {body: string(boxDocument("studio-2"))},
	"POST /config/import":        {body: string(boxDocument("studio-2"))},
	"PUT /presets/{name}":        {path: "/presets/mine", body: `{"description": "mine", "document": {"output": {"latency_ms": 400}}}`},
	"DELETE /presets/{name}":     {path: "/presets/mine"},
	"POST /presets/{name}/apply": {path: "/presets/contribution-low-latency/apply"},
	"POST /destinations/parse":   {body: `{"line": "srt://gw.example.net:9000?streamid=x&passphrase=` + canaryPassphrase + `&key=` + canaryKey + `"}`},
	"POST /preflight":            {body: `{"path": "1a"}`},
	"POST /plan":                 {body: `{"latency_ms": 300}`},
	"PUT /network":               {body: `{"version": 1, "interfaces": [{"name": "eth0", "dhcp4": true}]}`},
	"POST /network/confirm":      {body: `{"token": "trial-token"}`},
	"PUT /settings":              {body: `{"name": "studio-1", "language": "de", "telemetry": {"enabled": false}, "update": {"repository": "https://updates.example.net", "windows": ["sun 02:00-05:00"]}, "page": {"names": ["encoder-7.example.net"]}, "support": {"contact": "noc@example.net"}}`},
	"PUT /identity/certificate":  {body: `{"certificate": "-----BEGIN CERTIFICATE-----", "ca": "-----BEGIN CERTIFICATE-----"}`},
	"POST /identity/enrol":       {body: `{"url": "https://ca.example.net", "token": "` + canaryToken + `", "ca": "-----BEGIN CERTIFICATE-----"}`},
	"POST /identify":             {body: `{"seconds": 10}`},
	"POST /time":                 {body: `{"time": "2026-12-24T18:00:00+01:00"}`},
	"POST /update/now":           {body: `{"override_sibling": true, "reason": "the other is in repair"}`},
	"POST /update/defer":         {body: `{"until": "2026-12-24T18:00:00+01:00"}`},
	"POST /update/upload":        {body: "quartet-update 1 …", kind: "application/octet-stream"},
	"POST /factory-reset":        {body: `{"serial": "Q1"}`},
}

// valid makes a valid request of a route.
func (b *bed) valid(r *route, role Role) request {
	e := examples[r.method+" "+r.path]
	q := request{method: r.method, path: r.path, role: role, body: e.body, kind: e.kind, header: map[string]string{}}
	if e.path != "" {
		q.path = e.path
	}
	if r.ifMatch {
		at, _, _ := strings.Cut(strings.TrimPrefix(r.path, "/"), "/")
		if at == "presets" {
			at = "config"
		}
		q.header["If-Match"] = b.revision("/" + at)
	}
	return q
}

// prepare brings a bed into the state in which a route's example succeeds.
func (b *bed) prepare(r *route) {
	b.t.Helper()
	switch r.method + " " + r.path {
	case "POST /config/rollback":
		b.must(request{method: "PATCH", path: "/config", role: Admin, body: `{"output": {"latency_ms": 600}}`, header: map[string]string{"If-Match": b.revision("/config")}})
	case "PUT /users/{name}", "DELETE /users/{name}":
		if len(b.access.Users()) == len(users) {
			b.must(request{method: "POST", path: "/users", role: Admin, body: examples["POST /users"].body})
		}
	case "DELETE /presets/{name}":
		b.must(request{method: "PUT", path: "/presets/mine", role: Admin, body: examples["PUT /presets/{name}"].body})
	case "POST /network/confirm":
		b.trial = "trial-token"
	case "GET /thumbnail":
		b.picture = []byte("\xff\xd8picture")
	}
}

func (b *bed) must(q request) *httptest.ResponseRecorder {
	b.t.Helper()
	w := b.do(q)
	if w.Code >= 300 {
		b.t.Fatalf("%s %s: %d %s", q.method, q.path, w.Code, w.Body)
	}
	return w
}

var errRefused = &control.Error{Code: 422, Text: "paths[0]: the port is taken"}

var errAway = fmt.Errorf("%w on /run/x: nobody serves the socket", control.ErrUnreachable)
