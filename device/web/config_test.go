package web

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quartet/device/config"
)

func (b *bed) saved(w *httptest.ResponseRecorder) (s Saved) {
	b.t.Helper()
	if w.Code != 200 {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// stored is the document on disk.
func (b *bed) stored() *config.Box {
	b.t.Helper()
	doc, _, err := b.store.Load()
	if err != nil {
		b.t.Fatal(err)
	}
	box, _, err := config.ParseBox(doc)
	if err != nil {
		b.t.Fatal(err)
	}
	return box
}

func (b *bed) patch(role Role, query, body, revision string) *httptest.ResponseRecorder {
	return b.do(request{method: "PATCH", path: "/config" + query, role: role, body: body, header: map[string]string{"If-Match": revision}})
}

// Reading shows no secret; what was read can be written back, and its secrets
// stay; a path keeps its own when it moves or gets a new name.
func TestConfigSecretsStay(t *testing.T) {
	b := newBed(t)
	var c ConfigView
	w := b.get("/config", Viewer, &c)
	if strings.Count(string(c.Document), config.SecretSet) != 3 || !c.Saved || w.Header().Get("Etag") != `"`+c.Revision+`"` {
		t.Fatalf("%s", w.Body)
	}
	var doc map[string]any
	if err := json.Unmarshal(c.Document, &doc); err != nil {
		t.Fatal(err)
	}
	paths := doc["paths"].([]any)
	slices.Reverse(paths)
	paths[1].(map[string]any)["name"] = "renamed"
	text, _ := json.Marshal(doc)
	// Swapped and renamed at once: which one "renamed" was cannot be known.
	w = b.do(request{method: "PUT", path: "/config", role: Admin, body: string(text), header: map[string]string{"If-Match": c.Revision}})
	if p := problem(t, w); w.Code != 422 || !names(p.Errors, "paths[1].passphrase") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	paths[1].(map[string]any)["name"] = "1a"
	text, _ = json.Marshal(doc)
	b.saved(b.do(request{method: "PUT", path: "/config", role: Admin, body: string(text), header: map[string]string{"If-Match": c.Revision}}))
	if s := b.stored(); s.Output.Key != canaryKey || s.Paths[0].Passphrase != canaryPassphrase+"2" || s.Paths[1].Passphrase != canaryPassphrase {
		t.Errorf("%+v", s.Paths)
	}
	slices.Reverse(paths)
	paths[0].(map[string]any)["name"] = "renamed"
	slices.Reverse(paths)
	text, _ = json.Marshal(doc)
	b.saved(b.do(request{method: "PUT", path: "/config", role: Admin, body: string(text), header: map[string]string{"If-Match": b.revision("/config")}}))
	if s := b.stored(); s.Paths[1].Name != "renamed" || s.Paths[1].Passphrase != canaryPassphrase {
		t.Errorf("%+v", s.Paths)
	}
}

// letters is a Secrets that anybody can open.
type letters struct{}

const sealedAs = "sealed:v1:"

func (letters) Unseal(_ string, s config.Secret) (config.Secret, error) {
	return config.Secret(strings.TrimPrefix(s.Reveal(), sealedAs)), nil
}

func (letters) Document(b *config.Box, _ []byte) ([]byte, error) {
	text := config.Encode(b)
	err := b.MapSecrets(func(_ string, s config.Secret) (config.Secret, error) {
		text = bytes.ReplaceAll(text, []byte(strconv.Quote(s.Reveal())), []byte(strconv.Quote(sealedAs+s.Reveal())))
		return s, nil
	})
	return text, err
}

// S6: the document that a person wrote has plain secrets; once the box has saved
// another, neither that nor the one to return to does.
func TestS6PlainSecretsDoNotStay(t *testing.T) {
	b := newBed(t)
	b.server.docs.secrets = letters{}
	b.saved(b.patch(Admin, "", `{"output":{"latency_ms":470}}`, b.revision("/config")))
	now, _, err := b.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	before, err := b.store.Previous()
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string][]byte{"document": now, "document before": before} {
		if n := len(config.SealedSecrets(doc)); n != 3 || bytes.Contains(doc, []byte(`"`+canaryKey)) {
			t.Errorf("%s: %d secrets are sealed:\n%s", name, n, doc)
		}
	}
	if bytes.Contains(before, []byte("470")) {
		t.Errorf("not the one before:\n%s", before)
	}
	// And it can be returned to.
	b.saved(b.do(request{method: "POST", path: "/config/rollback", role: Admin, header: map[string]string{"If-Match": b.revision("/config")}}))
	var c ConfigView
	if b.get("/config", Viewer, &c); bytes.Contains(c.Document, []byte("470")) || strings.Count(string(c.Document), config.SecretSet) != 3 {
		t.Errorf("%s", c.Document)
	}
}

// Two admins: who comes second is told by whom and when, and nothing is lost.
func TestTwoAdminsInConflict(t *testing.T) {
	b := newBed(t)
	first := b.revision("/config")
	b.must(request{method: "POST", path: "/users", role: Admin, body: `{"name": "emil", "role": "admin", "password": "` + canaryPassword + `"}`})
	s := b.saved(b.patch(Admin, "", `{"output": {"latency_ms": 700}}`, first))
	w := b.patch(Admin, "", `{"output": {"latency_ms": 900}}`, first)
	p := problem(t, w)
	if w.Code != http.StatusPreconditionFailed || p.Type != typeStale || p.Revision != s.Revision || p.ChangedBy != users[Admin] || p.ChangedAt == nil {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := b.stored().Output.LatencyMS; got != 700 {
		t.Errorf("latency_ms is %d", got)
	}
	for _, path := range []string{"/config", "/config/import"} {
		if w := b.do(request{method: "PATCH", path: "/config", role: Admin, body: `{}`}); w.Code != http.StatusPreconditionRequired {
			t.Errorf("%s without If-Match: %d", path, w.Code)
		}
	}
	// The same of the settings.
	r := b.revision("/settings")
	put := func() *httptest.ResponseRecorder {
		return b.do(request{method: "PUT", path: "/settings", role: Admin, body: examples["PUT /settings"].body, header: map[string]string{"If-Match": r}})
	}
	if w := put(); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := put(); w.Code != http.StatusPreconditionFailed || problem(t, w).ChangedBy != users[Admin] {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// What the media plane refuses is taken back as a whole, the document before it
// included; one that does not run gets it later.
func TestReloadRefused(t *testing.T) {
	b := newBed(t)
	b.saved(b.patch(Admin, "", `{"output": {"latency_ms": 600}}`, b.revision("/config")))
	before, _, _ := b.store.Load()
	previous, _ := b.store.Previous()
	revision := b.revision("/config")
	b.refuse(errRefused, nil)
	w := b.patch(Admin, "", `{"output": {"latency_ms": 700}}`, revision)
	if p := problem(t, w); w.Code != http.StatusConflict || !strings.Contains(p.Detail, "the port is taken") || p.Remedy == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	after, _, _ := b.store.Load()
	if p, _ := b.store.Previous(); !bytes.Equal(after, before) || !bytes.Equal(p, previous) || b.revision("/config") != revision {
		t.Error("the documents have changed")
	}
	if r := b.audit[len(b.audit)-1]; r.Action != "config.save" || r.Outcome != "refused" {
		t.Errorf("%+v", r)
	}
	b.refuse(errAway, errAway)
	s := b.saved(b.patch(Admin, "", `{"output": {"latency_ms": 700}}`, revision))
	if s.Applied || s.Note == "" || b.stored().Output.LatencyMS != 700 {
		t.Errorf("%+v", s)
	}
}

// What cannot change while running is refused, unless the caller allows the
// restart.
func TestRestart(t *testing.T) {
	b := newBed(t)
	body := `{"input": {"url": "udp://239.1.1.2:5000"}}`
	w := b.patch(Admin, "", body, b.revision("/config"))
	if p := problem(t, w); w.Code != http.StatusConflict || p.Type != typeRestart || !slices.Equal(p.Restart, []string{"input"}) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var c Checked
	w = b.do(request{method: "POST", path: "/config/check", role: Operator, body: strings.Replace(string(boxDocument("studio-1")), "239.1.1.1", "239.1.1.2", 1)})
	if json.Unmarshal(w.Body.Bytes(), &c) != nil || !c.OK || !slices.Equal(c.NeedsRestart, []string{"input"}) || c.Plan == nil {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(b.calls) != 0 {
		t.Errorf("%v", b.calls)
	}
	if s := b.saved(b.patch(Admin, "?restart=true", body, b.revision("/config"))); !s.Restarted || !slices.Equal(b.calls, []string{"restart"}) {
		t.Errorf("%+v %v", s, b.calls)
	}
}

// The first document of a new box, from what GET /config shows.
func TestFirstDocument(t *testing.T) {
	b := newBed(t)
	if err := b.store.Wipe(); err != nil {
		t.Fatal(err)
	}
	b.refuse(errAway, errAway)
	var c ConfigView
	b.get("/config", Viewer, &c)
	if c.Saved || c.Revision != "none" {
		t.Errorf("%+v", c)
	}
	w := b.patch(Admin, "", `{}`, c.Revision)
	if p := problem(t, w); w.Code != 422 || !names(p.Errors, "paths") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	line := "srt://192.0.2.1:9000?streamid=s&passphrase=" + canaryPassphrase + "&key=" + canaryKey
	s := b.saved(b.patch(Admin, "", `{"paths": [{"name": "1a", "url": "`+line+`"}]}`, c.Revision))
	if s.Applied || b.stored().Output.Key != canaryKey || strings.Contains(b.stored().Paths[0].URL, "?") {
		t.Errorf("%+v", s)
	}
}

func TestExportImportRollback(t *testing.T) {
	b := newBed(t)
	w := b.do(request{method: "GET", path: "/config/export", role: Admin})
	if !strings.HasPrefix(w.Header().Get("Content-Disposition"), `attachment; filename="quartet-studio-1-`) {
		t.Error(w.Header())
	}
	exported := w.Body.String()
	b.saved(b.patch(Admin, "", `{"output": {"latency_ms": 900}}`, b.revision("/config")))
	imported := func(query, doc string) *httptest.ResponseRecorder {
		return b.do(request{method: "POST", path: "/config/import" + query, role: Admin, body: doc, header: map[string]string{"If-Match": b.revision("/config")}})
	}
	b.saved(imported("", exported))
	if s := b.stored(); s.Output.LatencyMS != 500 || s.Output.Key != canaryKey || s.Paths[1].Passphrase != canaryPassphrase+"2" {
		t.Errorf("%+v", s)
	}
	b.saved(b.do(request{method: "POST", path: "/config/rollback", role: Admin, header: map[string]string{"If-Match": b.revision("/config")}}))
	if got := b.stored().Output.LatencyMS; got != 900 {
		t.Errorf("after the rollback latency_ms is %d", got)
	}

	// A document of another box: paths that this one does not have.
	other := strings.NewReplacer(`"1a"`, `"x"`, `"2a"`, `"y"`).Replace(exported)
	b.saved(imported("", other)) // as many, with new names
	more := strings.Replace(other, `"paths": [`, `"paths": [{"name": "z", "url": "srt://192.0.2.3:9000", "passphrase": "(set)"},`, 1)
	w = imported("?restart=true", more)
	if p := problem(t, w); w.Code != 422 || !names(p.Errors, "paths[0].passphrase") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if s := b.saved(imported("?restart=true&drop_secrets=true", more)); !slices.Equal(s.MissingSecrets, []string{"paths[0].passphrase"}) || b.stored().Paths[0].Passphrase != "" {
		t.Errorf("%+v", s)
	}

	for _, doc := range []string{"", "hello", "{}", `{"version": 9}`, exported[:200], strings.Repeat(" ", 1<<20) + exported} {
		if w := imported("", doc); w.Code < 400 || w.Code > 499 {
			t.Errorf("a bad file: %d %s", w.Code, w.Body)
		}
	}
}

func TestPresets(t *testing.T) {
	b := newBed(t)
	// The built-in ones fit a document.
	for _, p := range builtin() {
		if err := b.server.checkPreset(p.Document); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		merged, err := mergePatch(boxDocument("studio-1"), p.Document)
		if err != nil {
			t.Fatal(err)
		}
		merged, _ = mergePatch(merged, []byte(`{"input": {"type": "test", "url": "test://bars"}}`))
		if _, _, err := config.ParseBox(merged); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	w := b.do(request{method: "PUT", path: "/presets/poor-lines", role: Admin, body: examples["PUT /presets/{name}"].body})
	if w.Code != http.StatusConflict {
		t.Errorf("a built-in one: %d", w.Code)
	}
	for i := range maxPresets {
		b.must(request{method: "PUT", path: fmt.Sprintf("/presets/p%d", i), role: Admin, body: examples["PUT /presets/{name}"].body})
	}
	if w := b.do(request{method: "PUT", path: "/presets/one-more", role: Admin, body: examples["PUT /presets/{name}"].body}); w.Code != http.StatusConflict {
		t.Errorf("too many: %d", w.Code)
	}
	s := b.saved(b.do(request{method: "POST", path: "/presets/p0/apply", role: Admin, header: map[string]string{"If-Match": b.revision("/config")}}))
	if b.stored().Output.LatencyMS != 400 || !s.Applied {
		t.Errorf("%+v", s)
	}
}

func TestParseLine(t *testing.T) {
	b := newBed(t)
	for line, want := range map[string]Destination{
		"srt://gw:9000": {OK: true, Path: &ParsedPath{Profile: "ts", URL: "srt://gw:9000", Host: "gw", Port: 9000, Mode: "caller"}},
		"srt://:9000?key=" + canaryKey + "&passphrase=" + canaryPassphrase + "&pbkeylen=16&latency=200": {OK: true, Secrets: []string{"passphrase", "key"},
			Path: &ParsedPath{Profile: "rtp-fec", URL: "srt://:9000", Port: 9000, Mode: "listener", KeyLength: 16, LatencyMS: 200}},
		"rtp://239.1.1.1:5000": {OK: true, Path: &ParsedPath{Profile: "rtp", URL: "rtp://239.1.1.1:5000", Host: "239.1.1.1", Port: 5000, Mode: "caller"}},
		"file:///etc/passwd":   {},
		"hello":                {},
		"srt://gw":             {},
		"srt://gw:9000?x=1":    {},
	} {
		body, _ := json.Marshal(Line{line})
		w := b.must(request{method: "POST", path: "/destinations/parse", role: Operator, body: string(body)})
		var d Destination
		if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		if d.OK != want.OK || fmt.Sprint(d.Path) != fmt.Sprint(want.Path) && (d.Path == nil || want.Path == nil || *d.Path != *want.Path) || len(d.Secrets) != len(want.Secrets) {
			t.Errorf("%s: %s", line, w.Body)
		}
		if !d.OK && (len(d.Errors) != 1 || d.Errors[0].Path != "line" || d.Errors[0].Remedy == "") {
			t.Errorf("%s: %s", line, w.Body)
		}
	}
}

// TestS6Canaries: secrets that were handed over are in no answer, export, bundle
// or log afterwards.
func TestS6Canaries(t *testing.T) {
	b := newBed(t)
	var seen bytes.Buffer
	note := func(where string, text []byte) {
		for _, c := range canaries {
			if bytes.Contains(text, []byte(c)) {
				t.Errorf("%s holds %s", where, c)
			}
		}
		seen.Write(text)
	}
	for _, r := range routes() {
		if r.endpoint.media == "text/event-stream" || r.path == "/factory-reset" || strings.HasPrefix(r.path, "/session") {
			continue
		}
		if r.unsafe() {
			b.prepare(&r)
		}
		q := b.valid(&r, Admin)
		w := b.do(q)
		note(r.method+" "+r.path, w.Body.Bytes())
		note(r.method+" "+r.path+" headers", []byte(fmt.Sprint(w.Header())))
		if r.endpoint.body != nil && q.body != "" {
			// And when it is refused: cut off behind the secret, or with a mistake before.
			for _, spoilt := range []string{q.body[:len(q.body)-2], strings.Replace(q.body, "{", `{"surprise": 1, `, 1)} {
				q.body = spoilt
				note("a refusal of "+r.method+" "+r.path, b.do(q).Body.Bytes())
			}
		}
		if r.path == "/support-bundle" {
			z, err := zip.NewReader(bytes.NewReader(w.Body.Bytes()), int64(w.Body.Len()))
			if err != nil {
				t.Fatal(err)
			}
			var files []string
			for _, f := range z.File {
				rc, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(rc)
				if err != nil {
					t.Fatal(err)
				}
				rc.Close()
				files = append(files, f.Name)
				note("bundle "+f.Name, text)
			}
			for _, want := range []string{"overview.json", "conditions.json", "config.json", "network.json", "log.txt", "audit.json", "versions.txt", "README.txt"} {
				if !slices.Contains(files, want) {
					t.Errorf("the bundle lacks %s: %v", want, files)
				}
			}
		}
	}
	note("the log", []byte(b.log.String()))
	note("the audit log", []byte(fmt.Sprint(b.audit)))
	if seen.Len() < 200_000 {
		t.Errorf("only %d bytes looked at", seen.Len())
	}
}

// Factory reset asks for the serial number, destroys the keys first, and the box
// waits to be claimed.
func TestFactoryReset(t *testing.T) {
	b := newBed(t)
	w := b.do(request{method: "POST", path: "/factory-reset", role: Admin, body: `{"serial": "Q2"}`})
	if p := problem(t, w); w.Code != 422 || !names(p.Errors, "serial") || len(b.calls) > 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.must(request{method: "POST", path: "/factory-reset", role: Admin, body: `{"serial": "Q1"}`})
	if b.calls[0] != "identity reset" || !slices.Contains(b.calls, "restart") {
		t.Errorf("%v", b.calls)
	}
	var st State
	b.get("/state", Public, &st)
	if st.Claimed || b.do(request{method: "GET", path: "/status", role: Admin}).Code != 401 {
		t.Error("still claimed, or still logged in")
	}
	if _, _, err := b.store.Load(); err == nil {
		t.Error("the document is still there")
	}
}

// A network that could not be reset is no success: the answer says what is gone
// and what is not, and the box starts afresh all the same, since its keys are gone.
// A machine on which nobody keeps a network is another matter.
func TestFactoryResetWithoutTheNetwork(t *testing.T) {
	for _, c := range []struct {
		stuck error
		want  int
	}{
		{fmt.Errorf("%w: quartet-netd does not answer", ErrUnavailable), 503},
		{fmt.Errorf("%w: remove network.v1.json: input/output error", ErrUnavailable), 503},
		{errors.New("something else"), 503},
		{fmt.Errorf("%w: no helper", ErrNotHere), 202},
	} {
		b := newBed(t)
		b.stuck = c.stuck
		wiped := 0
		b.server.cfg.Wiped = func() { wiped++ }
		w := b.do(request{method: "POST", path: "/factory-reset", role: Admin, body: `{"serial": "Q1"}`})
		if w.Code != c.want || wiped != 1 || b.calls[0] != "identity reset" || !slices.Contains(b.calls, "restart") || b.access.Claimed() {
			t.Errorf("%v: %d %s, wiped %d times, %v", c.stuck, w.Code, w.Body, wiped, b.calls)
		}
		if w.Code == 202 {
			continue
		}
		if p := problem(t, w); !strings.Contains(p.Detail, c.stuck.Error()) || !strings.Contains(p.Detail, "keys, users and settings are destroyed") || p.Remedy == "" {
			t.Errorf("%v: %+v", c.stuck, p)
		}
	}
}
