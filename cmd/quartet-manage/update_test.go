package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/web"
	"quartet/updater"
	"quartet/updater/rauc/raucfake"
	"quartet/updater/repository"
	"quartet/updater/trust"
)

// machineWithSlots is a box whose updates are real but for RAUC and the restart.
type machineWithSlots struct {
	*box
	rauc   *raucfake.Box
	home   *repository.Repository
	server *httptest.Server
	wanted chan struct{} // a restart
	boots  int
	mute   string // a version that connects and carries nothing
}

// image writes what the image of a version brings.
func (m *machineWithSlots) image(version string) {
	m.t.Helper()
	root, err := m.home.Root()
	if err != nil {
		m.t.Fatal(err)
	}
	dir := filepath.Join(m.dir, "image")
	err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, rootFile), root, 0o644),
		os.WriteFile(filepath.Join(dir, imageFile), fmt.Appendf(nil, `{"board": "generic", "version": %q, "floor": "1.0.0"}`, version), 0o644))
	if err != nil {
		m.t.Fatal(err)
	}
}

// power starts the machine: the boot loader chooses a slot, and its version runs.
func (m *machineWithSlots) power() {
	m.t.Helper()
	if slot, whole := m.rauc.PowerOn(); slot == "" || !whole {
		m.t.Fatal("nothing boots")
	}
	m.boots++
	m.o.boot = fmt.Sprint("boot-", m.boots)
	m.image(m.rauc.Running())
	bps := int64(8e6)
	if m.rauc.Running() == m.mute {
		bps = 0
	}
	m.media.mu.Lock()
	m.media.paths = []control.Path{{Name: "1a", State: control.PathUp, Profile: config.ProfileTS, BitrateBPS: bps, Reachable: true}}
	m.media.mu.Unlock()
	// An admin has set the clock: the one of the test's machine may not be kept.
	clock, err := openTimeOfDay(m.o.data, m.o.boot)
	if err == nil {
		err = clock.wasSet(time.Now())
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// run is box's, with a login: sessions end with the process.
func (m *machineWithSlots) run() {
	m.t.Helper()
	m.box.run()
	m.cookie = ""
	m.do("POST", "/session", fmt.Sprintf(`{"user": "anna", "password": %q}`, password), 200, nil)
}

// bundle makes one of a version for a board.
func (m *machineWithSlots) bundle(board, version string) string {
	m.t.Helper()
	name := filepath.Join(m.t.TempDir(), "b.raucb")
	if err := os.WriteFile(name, raucfake.Bundle("quartet-"+board, version, bytes.Repeat([]byte(version), 20_000)), 0o644); err != nil {
		m.t.Fatal(err)
	}
	return name
}

func (m *machineWithSlots) publish(version string, c trust.Custom) {
	m.t.Helper()
	_, err := m.home.Add(m.bundle("generic", version), c)
	if err == nil {
		_, err = m.home.Promote(version, "all", 0)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// until asks the interface until something holds, and starts the machine anew
// whenever the updater wants it.
func (m *machineWithSlots) until(what string, ok func(u web.UpdateInfo) bool) (u web.UpdateInfo) {
	m.t.Helper()
	end := time.Now().Add(time.Minute)
	for time.Now().Before(end) {
		u = web.UpdateInfo{}
		m.do("GET", "/update", "", 200, &u)
		if ok(u) {
			return u
		}
		select {
		case <-m.wanted:
			m.stop()
			m.power()
			m.run()
		case <-time.After(20 * time.Millisecond):
		}
	}
	m.t.Fatalf("not %s: %+v\n%s", what, u, m.log.String())
	return u
}

// settings are those that the test works with.
func (m *machineWithSlots) configure(update string, want int, to any) {
	m.t.Helper()
	etag := m.do("GET", "/settings", "", 200, nil).Get("Etag")
	m.do("PUT", "/settings", fmt.Sprintf(`{"name": "studio-1", "telemetry": {"enabled": false}, "update": %s}`, update), want, to, "If-Match", etag)
}

func newMachine(t *testing.T) *machineWithSlots {
	t.Helper()
	m := &machineWithSlots{rauc: raucfake.New("quartet-generic", "1.0.0"), wanted: make(chan struct{}, 1)}
	home, err := repository.Init(t.TempDir(), "", repository.InitOptions{RootKeys: 1}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	m.home, m.server = home, httptest.NewServer(http.FileServer(http.Dir(home.Public())))
	t.Cleanup(m.server.Close)
	m.box = startWith(t, func(b *box) {
		m.box = b
		b.o.installer, b.o.hold = m.rauc, time.Second
		b.o.reboot = func(context.Context) error {
			select {
			case m.wanted <- struct{}{}:
			default:
			}
			return nil
		}
		m.power()
	})
	m.do("POST", "/claim", fmt.Sprintf(`{"code": %q, "user": "anna", "password": %q}`, m.code, password), 201, nil)
	m.do("PUT", "/config", `{"version": 1, "name": "studio-1", "input": {"type": "udp", "url": "udp://:5000"}, "output": {},
 "paths": [{"name": "1a", "profile": "ts", "url": "srt://192.0.2.1:9000"}]}`, 200, nil, "If-Match", "none")
	return m
}

// conditions are the codes that are active.
func (m *machineWithSlots) conditions() (codes []string) {
	m.t.Helper()
	var c web.Conditions
	m.do("GET", "/conditions", "", 200, &c)
	for _, c := range c.List {
		if c.Active {
			codes = append(codes, string(c.Code))
		}
	}
	return codes
}

// TestUpdate is a box's life with updates, over the real interface, the real
// socket and a real static server: one is found, downloaded, installed, restarted
// into and confirmed; one that carries no media goes back by itself and is not
// tried again; what is not for this box is refused with words.
func TestUpdate(t *testing.T) {
	m := newMachine(t)
	u := m.until("ready", func(u web.UpdateInfo) bool { return len(u.Slots) == 2 })
	if !u.Available || u.Running != "1.0.0" || u.Board != "generic" || u.Repository || u.Phase != "idle" || len(u.Pin) != 64 || u.Slots[0].State != "running" || u.Slots[1].State != "bad" {
		t.Errorf("%+v", u)
	}
	// Nobody is asked yet, and that is said.
	var p web.Problem
	m.do("POST", "/update/check", "", 409, &p)
	if p.Type != "refused" || !strings.Contains(p.Detail, "no repository") || p.Remedy == "" {
		t.Errorf("%+v", p)
	}
	// Settings that make no sense name their fields, and change nothing.
	m.configure(`{"repository": "ftp://x", "windows": ["late"], "zone": "Mars", "sibling": {"role": "A", "serial": "a b", "address": "x/y", "pin": "12"}}`, 422, &p)
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Path)
		if e.Problem == "" || e.Remedy == "" {
			t.Errorf("%+v", e)
		}
	}
	if want := "update.repository update.windows[0] update.zone update.sibling.serial update.sibling.address update.sibling.pin"; strings.Join(fields, " ") != want {
		t.Errorf("%v", fields)
	}

	m.publish("1.1.0", trust.Custom{Notes: "quieter fans"})
	m.configure(fmt.Sprintf(`{"repository": %q, "mode": "manual", "zone": "Europe/Berlin"}`, m.server.URL), 200, nil)
	u = m.until("offered", func(u web.UpdateInfo) bool { return u.Offer != nil && u.Waits != nil })
	if u.Offer.Version != "1.1.0" || u.Offer.Notes != "quieter fans" || u.Waits.Why != "operator" || u.Mode != "manual" || u.Zone != "Europe/Berlin" || u.LastCheck == nil {
		t.Errorf("%+v", u)
	}
	// The command line's socket says the same.
	cli := updater.NewClient(m.o.update)
	if s, err := cli.Status(t.Context()); err != nil || s.Update == nil || s.Update.Version != "1.1.0" || s.Serial != "Q7-0001" {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := cli.Defer(t.Context(), updater.DeferRequest{Actor: "root (command line)", Until: time.Now().Add(time.Hour)}); err != nil {
		t.Error(err)
	}
	m.do("POST", "/update/defer", `{}`, 200, nil)
	m.do("POST", "/update/now", `{}`, 200, nil)
	u = m.until("at 1.1.0", func(u web.UpdateInfo) bool {
		return u.Running == "1.1.0" && u.Trial == nil && u.Phase == "idle" && u.Offer == nil
	})
	var events []string
	for _, e := range slices.Backward(u.History) {
		events = append(events, e.Event)
	}
	if got := strings.Join(events, " "); got != "found deferred deferred now downloaded installing installed restarting confirmed" {
		t.Error(got)
	}
	if u.Slots[1].State != "running" || u.Slots[1].Version != "1.1.0" || m.rauc.Installs() != 1 || m.boots != 2 {
		t.Errorf("%+v, %d starts", u.Slots, m.boots)
	}

	// The next one comes up, connects, and carries nothing: it goes back.
	m.publish("1.2.0", trust.Custom{})
	m.mute = "1.2.0"
	m.configure(fmt.Sprintf(`{"repository": %q, "mode": "automatic"}`, m.server.URL), 200, nil)
	m.do("POST", "/update/check", "", 200, nil)
	m.until("on trial", func(u web.UpdateInfo) bool {
		return u.Running == "1.2.0" && u.Phase == "trial" && u.Trial.To == "1.2.0"
	})
	u = m.until("back at 1.1.0", func(u web.UpdateInfo) bool { return u.Running == "1.1.0" && u.Trial == nil && u.Phase == "idle" })
	// And is not tried again, because the old version does better.
	for i, event := range []string{"held-against", "failed"} {
		if h := u.History[i]; h.Event != event || h.To != "1.2.0" || !strings.Contains(h.Text, "1a was up before") {
			t.Errorf("%+v, want %s", h, event)
		}
	}
	m.do("POST", "/update/check", "", 200, nil)
	u = m.until("blocked", func(u web.UpdateInfo) bool { return len(u.Refused) == 1 })
	if r := u.Refused[0]; r.Version != "1.2.0" || !strings.Contains(r.Text, "did not work on this box") {
		t.Errorf("%+v", r)
	}
	for end := time.Now().Add(20 * time.Second); !slices.Contains(m.conditions(), "update-failed"); {
		if time.Now().After(end) {
			t.Fatalf("conditions %v", m.conditions())
		}
		time.Sleep(50 * time.Millisecond)
	}

	// What is not for this box.
	from, err := trust.ParseVersion("1.5.0")
	if err != nil {
		t.Fatal(err)
	}
	m.publish("2.0.0", trust.Custom{MinVersion: from})
	m.do("POST", "/update/check", "", 200, nil)
	u = m.until("refused", func(u web.UpdateInfo) bool { return len(u.Refused) == 2 })
	if i := slices.IndexFunc(u.Refused, func(r web.UpdateRefused) bool { return r.Version == "2.0.0" }); i < 0 || !strings.Contains(u.Refused[i].Text, "1.5.0") {
		t.Errorf("%+v", u.Refused)
	}
	// And files: one for another board, an altered one, none at all.
	upload := func(body []byte, want int) (p web.Problem) {
		t.Helper()
		m.do("POST", "/update/upload", string(body), want, &p, "Content-Type", "application/octet-stream")
		return p
	}
	if _, err := m.home.Add(m.bundle("rock5b", "3.0.0"), trust.Custom{}); err != nil {
		t.Fatal(err)
	}
	pack := func(version string) []byte {
		t.Helper()
		var b bytes.Buffer
		if _, err := m.home.Pack(version, &b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if p := upload(pack("3.0.0"), 409); !strings.Contains(p.Detail, "rock5b") || p.Remedy == "" {
		t.Errorf("%+v", p)
	}
	altered := pack("1.1.0")
	altered[len(altered)-5000] ^= 1
	if p := upload(altered, 409); p.Type != "refused" {
		t.Errorf("%+v", p)
	}
	if p := upload([]byte("PK\x03\x04 something else"), 409); !strings.Contains(p.Detail, "no update") || !strings.Contains(p.Remedy, "quartetctl repo pack") {
		t.Errorf("%+v", p)
	}
	// One that is for it waits for its window, and can be taken back.
	if _, err := m.home.Add(m.bundle("generic", "1.3.0"), trust.Custom{}); err != nil {
		t.Fatal(err)
	}
	m.configure(`{"mode": "manual"}`, 200, nil)
	m.do("POST", "/update/upload", string(pack("1.3.0")), 200, nil, "Content-Type", "application/octet-stream")
	m.until("uploaded", func(u web.UpdateInfo) bool {
		return u.Offer != nil && u.Offer.Upload && u.Waits != nil && !u.Repository
	})
	m.do("POST", "/update/cancel", "", 200, nil)
	m.until("taken back", func(u web.UpdateInfo) bool { return u.Offer == nil })

	var log web.Audit
	m.do("GET", "/audit?limit=500", "", 200, &log)
	var actions []string
	for _, r := range log.Records {
		if strings.HasPrefix(r.Action, "update.") {
			actions = append(actions, r.Actor+" "+r.Action+" "+r.Outcome)
		}
	}
	for _, want := range []string{"root (command line) update.defer ok", "anna update.now ok", "anna update.defer ok", "anna update.upload refused", "anna update.upload ok",
		"anna update.cancel ok", "updater update.installed ok", "updater update.restarting ok", "updater update.confirmed ok", "updater update.failed failed"} {
		if !slices.Contains(actions, want) {
			t.Errorf("no %q in %v", want, actions)
		}
	}
	// Metrics are a sample of every few seconds: one taken as the box came up
	// again may be older than what RAUC answered.
	var lacks string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		text := m.metrics()
		lacks = ""
		for _, s := range []string{"quartet_update_info", `quartet_update_slot_good{slot="B"`, "quartet_update_phase"} {
			if !strings.Contains(text, s) {
				lacks = s
			}
		}
		if lacks == "" {
			break
		}
	}
	if lacks != "" {
		t.Errorf("metrics have no %s", lacks)
	}
}

func (m *machineWithSlots) metrics() string {
	m.t.Helper()
	req, err := http.NewRequest(http.MethodGet, strings.TrimSuffix(m.url, "/api/v1")+"/metrics", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("Cookie", m.cookie)
	resp, err := m.http.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// Without RAUC, without an image, with one that is wrong: the rest of the box
// works, and says what is missing.
func TestWithoutUpdates(t *testing.T) {
	m := newMachine(t)
	m.stop()
	m.o.installer = nil // the bus, on which there is nobody
	m.run()
	active := func(code string) {
		t.Helper()
		for end := time.Now().Add(40 * time.Second); !slices.Contains(m.conditions(), code); {
			if time.Now().After(end) {
				t.Fatalf("%s is not active: %v", code, m.conditions())
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	active("update-rauc")
	var u web.UpdateInfo
	m.do("GET", "/update", "", 200, &u)
	if !u.Available || len(u.Slots) != 0 {
		t.Errorf("%+v", u)
	}
	m.stop()
	if err := os.WriteFile(filepath.Join(m.o.image, imageFile), []byte(`{"board": "generic", "version": "one"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	m.run()
	u = web.UpdateInfo{}
	m.do("GET", "/update", "", 200, &u)
	var p web.Problem
	m.do("POST", "/update/now", `{}`, 409, &p)
	if u.Available || !strings.Contains(u.Reason, imageFile) || !strings.Contains(p.Detail, "version") {
		t.Errorf("%+v %+v", u, p)
	}
	active("update-off")
	m.stop()
	if err := os.RemoveAll(m.o.image); err != nil {
		t.Fatal(err)
	}
	m.run()
	m.do("GET", "/update", "", 200, &u)
	if u.Available || !strings.Contains(u.Reason, "not a Quartet image") {
		t.Errorf("%+v", u)
	}
	if c := m.conditions(); slices.Contains(c, "update-off") || slices.Contains(c, "update-rauc") {
		t.Errorf("%v", c)
	}
	m.do("GET", "/status", "", 200, nil)
}

// What is wrong with an image is said with its file, field and value.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	if _, err := readImage(dir); !errors.Is(err, errNoImage) {
		t.Error(err)
	}
	for text, want := range map[string]string{
		`{"board": "generic", "version": "one"}`:                       `version: "one"`,
		`{"board": "generic"}`:                                         "version",
		`{"version": "1.0.0"}`:                                         "board",
		`{"board": "generic", "version": "1.0.0", "floor": "2.0.0"}`:   "floor: 2.0.0 is newer",
		`{"board": "generic", "version": "1.0.0", "floor": "x"}`:       `floor: "x"`,
		`{"board": "generic", "version": "1.0.0", "flavour": "sweet"}`: "flavour",
	} {
		if err := os.WriteFile(filepath.Join(dir, imageFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readImage(dir); err == nil || errors.Is(err, errNoImage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	// As the image's build writes it where there is no floor.
	if err := os.WriteFile(filepath.Join(dir, imageFile), []byte("{\n  \"board\": \"qemu-virt\",\n  \"version\": \"1.0.0\",\n  \"floor\": \"\"\n}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if i, err := readImage(dir); err != nil || i.rootless == nil || !i.floor.IsZero() || i.board != "qemu-virt" {
		t.Errorf("%+v %v", i, err)
	}
}

// An image without root.json takes nothing, and says so; its slot is kept good all
// the same, or the boot loader would give it up.
func TestRootless(t *testing.T) {
	m := newMachine(t)
	m.stop()
	m.power()
	if err := os.Remove(filepath.Join(m.o.image, rootFile)); err != nil {
		t.Fatal(err)
	}
	before := len(m.rauc.Marks())
	m.run()
	m.configure(fmt.Sprintf(`{"repository": %q}`, m.server.URL), 200, nil)
	var p web.Problem
	m.do("POST", "/update/check", "", 409, &p)
	if !strings.Contains(p.Detail, "names nobody") || !strings.Contains(p.Detail, rootFile) || p.Remedy == "" {
		t.Errorf("%+v", p)
	}
	for end := time.Now().Add(20 * time.Second); len(m.rauc.Marks()) == before || !slices.Contains(m.conditions(), "update-off"); {
		if time.Now().After(end) {
			t.Fatalf("marks %v, conditions %v", m.rauc.Marks(), m.conditions())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Two boxes of a pair, over their pages' own ports: the one asks, the other
// grants; strangers get nothing.
func TestSiblings(t *testing.T) {
	a := newMachine(t)
	b := newMachine(t)
	// One serial each: the label's is the same in these tests.
	b.stop()
	label, err := os.ReadFile(filepath.Join(b.o.configDir, "provision.v1.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(b.o.configDir, "provision.v1.json"), bytes.ReplaceAll(label, []byte("Q7-0001"), []byte("Q7-0002")), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.run()
	at := func(m *machineWithSlots) string {
		return strings.TrimSuffix(strings.TrimPrefix(m.url, "https://"), "/api/v1")
	}
	pin := func(m *machineWithSlots) string {
		var u web.UpdateInfo
		m.do("GET", "/update", "", 200, &u)
		return u.Pin
	}
	pair := func(m, other *machineWithSlots, role, serial, pin string) {
		t.Helper()
		m.configure(fmt.Sprintf(`{"repository": %q, "sibling": {"role": %q, "serial": %q, "address": %q, "pin": %q}}`, m.server.URL, role, serial, at(other), pin), 200, nil)
	}
	a.publish("1.1.0", trust.Custom{})
	// The other box knows nothing of a pair: no lease.
	pair(a, b, "A", "Q7-0002", pin(b))
	u := a.until("waiting", func(u web.UpdateInfo) bool { return u.Waits != nil && u.Waits.Why == "sibling" })
	if u.Sibling == nil || u.Sibling.Denied == "" {
		t.Errorf("%+v", u.Sibling)
	}
	// It is paired with somebody else: refused by its key.
	pair(b, a, "B", "Q7-0001", strings.Repeat("ab", 32))
	a.do("POST", "/update/now", `{}`, 200, nil)
	a.until("refused", func(u web.UpdateInfo) bool {
		return u.Sibling != nil && strings.Contains(u.Sibling.Denied, "another key")
	})
	// With the right one it grants it, because it is on the air.
	pair(b, a, "B", "Q7-0001", pin(a))
	a.do("POST", "/update/now", `{}`, 200, nil)
	a.until("at 1.1.0", func(u web.UpdateInfo) bool { return u.Running == "1.1.0" && u.Trial == nil && u.Phase == "idle" })
}

// Settings that cannot be applied at a start do not open the door: nobody knows
// whether the other box is on the air. Saved anew, they count.
func TestSettingsThatCannotBeApplied(t *testing.T) {
	m := newMachine(t)
	pin := strings.Repeat("ab", 32)
	m.configure(fmt.Sprintf(`{"repository": %q, "sibling": {"role": "A", "serial": "Q7-0002", "address": "127.0.0.1:9", "pin": %q}}`, m.server.URL, pin), 200, nil)
	m.stop()
	lease := filepath.Join(updateFolder(m.o), "sibling.v1.json")
	if err := os.RemoveAll(lease); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(lease, 0o700); err != nil { // which nobody can read as a file
		t.Fatal(err)
	}
	m.run()
	var u web.UpdateInfo
	m.do("GET", "/update", "", 200, &u)
	if u.Mode != "manual" || u.Sibling == nil {
		t.Fatalf("%+v", u)
	}
	m.publish("1.1.0", trust.Custom{})
	m.do("POST", "/update/now", `{"override_sibling": true, "reason": "test"}`, 200, nil)
	m.until("waiting", func(u web.UpdateInfo) bool {
		return u.Sibling != nil && strings.Contains(u.Sibling.Denied, "cannot be applied")
	})
	if err := os.Remove(lease); err != nil {
		t.Fatal(err)
	}
	m.configure(`{"mode": "automatic"}`, 200, nil)
	m.do("GET", "/update", "", 200, &u)
	if u.Mode != "automatic" || u.Sibling != nil {
		t.Errorf("%+v", u)
	}
}

// What a path's numbers say.
func TestPathOf(t *testing.T) {
	arrives := &control.Arrival{AgeMS: 100, Received: 7}
	for what, c := range map[string]struct {
		path          control.Path
		up, reachable bool
	}{
		"it reports that nothing arrives":    {control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, BitrateBPS: 1, Arrival: &control.Arrival{AgeMS: 100}, Reachable: true}, false, true},
		"it sends, nobody reports":           {control.Path{State: control.PathUp, Profile: config.ProfileTS, BitrateBPS: 1}, true, true},
		"nothing leaves":                     {control.Path{State: control.PathUp, Profile: config.ProfileTS, Reachable: true}, false, true},
		"the gateway reports":                {control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, BitrateBPS: 1, Arrival: arrives}, true, true},
		"only short packets come through":    {control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, BitrateBPS: 1, Arrival: &control.Arrival{AgeMS: 100, Received: 7, LossPercent: 95}, Reachable: true}, false, true},
		"every third packet is lost":         {control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, BitrateBPS: 1, Arrival: &control.Arrival{AgeMS: 100, Received: 7, LossPercent: 33}}, true, true},
		"the gateway has fallen silent":      {control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, BitrateBPS: 1, Arrival: &control.Arrival{AgeMS: 5000, Received: 7}, Reachable: true}, false, true},
		"the gateway has not reported yet":   {control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, BitrateBPS: 1, Reachable: true}, false, true},
		"it withholds its stream on purpose": {control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, Shed: true, Arrival: arrives}, true, true},
		"refused":                            {control.Path{State: control.PathConnecting, Reachable: true}, false, true},
		"no answer":                          {control.Path{State: control.PathConnecting}, false, false},
	} {
		if p := pathOf(&c.path, true, (&probe{}).passes(&c.path, time.Now())); p.Up != c.up || p.Reachable != c.reachable {
			t.Errorf("%s: %+v", what, p)
		}
	}
}

// Management that answers and whose own loop stands still does not feed its
// watchdog: it is no working one.
func TestTurning(t *testing.T) {
	turns, begun := uint64(0), time.Now()
	p := &probe{turns: func() uint64 { return turns }}
	for _, c := range []struct {
		at    time.Duration
		turns uint64
		want  bool
	}{{0, 0, false}, {2 * time.Second, 1, true}, {16 * time.Second, 1, true}, {17 * time.Second, 1, false}, {19 * time.Second, 2, true}} {
		turns = c.turns
		if got := p.turning(begun.Add(c.at)); got != c.want {
			t.Errorf("after %v, at turn %d: %t", c.at, c.turns, got)
		}
	}
}

// What a far end receives has to grow: reports alone are no media.
func TestArrives(t *testing.T) {
	p, begun := &probe{}, time.Now()
	for _, c := range []struct {
		at       time.Duration
		received uint64
		arrives  bool
	}{
		{0, 0, false}, {2 * time.Second, 0, false}, {4 * time.Second, 100, true}, {6 * time.Second, 200, true}, {7 * time.Second, 200, true},
		{8 * time.Second, 200, false}, {10 * time.Second, 5, true}, // a gateway that was started anew
	} {
		path := control.Path{Name: "1a", Arrival: &control.Arrival{Received: c.received}}
		if got := p.arrives(&path, begun.Add(c.at)); got != c.arrives {
			t.Errorf("after %v, %d received: %v", c.at, c.received, got)
		}
	}
}

// On the air is who sends what arrives: a far end that only reports is not enough,
// whatever it had received before.
func TestOnAir(t *testing.T) {
	looks := func(a, b control.Status) func(context.Context) (control.Status, error) {
		n := 0
		return func(context.Context) (control.Status, error) {
			n++
			if n == 1 {
				return a, nil
			}
			return b, nil
		}
	}
	at := func(input string, received ...uint64) control.Status {
		s := control.Status{Input: control.Input{State: input}}
		for i, r := range received {
			s.Paths = append(s.Paths, control.Path{Name: fmt.Sprint(i), State: control.PathUp, BitrateBPS: 1e6, Profile: config.ProfileRTPFEC,
				Arrival: &control.Arrival{Received: r}})
		}
		return s
	}
	silent := at(control.InputOK, 5)
	silent.Paths[0].Arrival = nil
	for name, c := range map[string]struct {
		a, b control.Status
		want bool
	}{
		"arrives":                 {at(control.InputOK, 5), at(control.InputOK, 9), true},
		"one of two arrives":      {at(control.InputOK, 5, 5), at(control.InputOK, 5, 6), true},
		"only reports":            {at(control.InputOK, 5), at(control.InputOK, 5), false},
		"no report":               {silent, silent, false},
		"first report just now":   {silent, at(control.InputOK, 5), false},
		"no signal":               {at(control.InputLost, 5), at(control.InputLost, 9), false},
		"signal lost in between":  {at(control.InputOK, 5), at(control.InputLost, 9), false},
		"a gateway started anew":  {at(control.InputOK, 500), at(control.InputOK, 5), false},
		"no path in the document": {at(control.InputOK), at(control.InputOK), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			if got := onAir(t.Context(), looks(c.a, c.b)); got != c.want {
				t.Errorf("%s: %t", name, got)
			}
		})
	}
	if onAir(t.Context(), func(context.Context) (control.Status, error) { return control.Status{}, errors.New("no answer") }) {
		t.Error("a media plane that does not answer is on the air")
	}
}

// A line that always loses something is no strain; more than usual is.
func TestStrained(t *testing.T) {
	p := &probe{}
	look := func(loss float64, dropped uint64) bool {
		return p.strained(&control.Status{Paths: []control.Path{{Name: "1a", SendLossPercent: loss, QueueDropped: dropped}}})
	}
	for i, c := range []struct {
		loss    float64
		dropped uint64
		want    bool
	}{{3, 7, false}, {3, 7, false}, {4, 7, false}, {9, 7, true}, {3, 7, false}, {3, 8, true}, {3, 8, false}} {
		if got := look(c.loss, c.dropped); got != c.want {
			t.Errorf("look %d: %t", i, got)
		}
	}
	if !p.strained(&control.Status{Active: []control.Condition{{Code: "path-overload"}}}) {
		t.Error("an overloaded path is no strain")
	}
}

// What a look at the box makes of it: a box that nobody has set up is as it should
// be; one whose media plane is silent is not.
func TestProbe(t *testing.T) {
	away := errors.New("no answer")
	for what, c := range map[string]struct {
		media, document, page error
		claimed               bool
		want                  updater.Media
	}{
		"new":                    {away, fs.ErrNotExist, nil, false, updater.Media{Answers: true, Management: true}},
		"claimed, not set up":    {away, fs.ErrNotExist, nil, true, updater.Media{Answers: true, Management: true}},
		"on the air":             {nil, nil, nil, true, updater.Media{Answers: true, Expected: true, Input: true, Management: true}},
		"media plane away":       {away, nil, nil, true, updater.Media{Expected: true, Management: true}},
		"page away":              {nil, nil, away, true, updater.Media{Answers: true, Expected: true, Input: true}},
		"document that is wrong": {away, away, nil, true, updater.Media{Expected: true, Management: true}},
	} {
		p := &probe{claimed: func() bool { return c.claimed }, document: func() error { return c.document }, page: func(context.Context) error { return c.page },
			media: func(context.Context) (control.Status, error) {
				return control.Status{Input: control.Input{State: control.InputOK}}, c.media
			}}
		if m, err := p.Media(t.Context()); err != nil || !reflect.DeepEqual(m, c.want) {
			t.Errorf("%s: %+v, %v", what, m, err)
		}
	}
}

// A few short packets among full ones that are lost are no stream, however the
// looks fall between them.
func TestArrivesWithoutGaps(t *testing.T) {
	p, begun := &probe{}, time.Now()
	look := func(at time.Duration, received, lost uint64) bool {
		return p.arrives(&control.Path{Name: "1a", Arrival: &control.Arrival{Received: received, LostHere: lost}}, begun.Add(at))
	}
	look(0, 1000, 0)
	for n := range uint64(10) { // one packet every two seconds; its loss is counted between the looks
		at := time.Duration(n+1) * 2 * time.Second
		if look(at, 1001+n, 200*(n+1)) {
			t.Errorf("after %v one packet in 200 counts as a stream", at)
		}
	}
	if !look(22*time.Second, 2000, 2300) { // 989 of 1,289
		t.Error("a quarter lost, and it does not count")
	}
	if !look(24*time.Second, 10, 0) {
		t.Error("a gateway that was started anew does not count")
	}
}

// Where nobody reports: what SRT drops, and connections that are made anew.
func TestLeaves(t *testing.T) {
	p := &probe{}
	for n, c := range []struct {
		sent, dropped, connects uint64
		want                    bool
	}{
		{100, 0, 1, true}, {200, 40, 1, true}, {300, 120, 1, false}, {400, 120, 1, true},
		{500, 0, 2, false}, {600, 0, 2, true}, {10, 0, 1, false}, {20, 0, 1, true}, {5, 0, 1, true},
	} {
		if got := p.leaves(&control.Path{Name: "1a", Sent: c.sent, SendDropped: c.dropped, Connects: c.connects}); got != c.want {
			t.Errorf("look %d, %+v: %t", n, c, got)
		}
	}
}

// A box that passes through and has no feed sends nothing after a restart, though
// it filled in before.
func TestNothingToSend(t *testing.T) {
	path := control.Path{State: control.PathUp, Profile: config.ProfileRTPFEC, Arrival: &control.Arrival{AgeMS: 100}}
	var s control.Status
	for _, c := range []struct {
		state  string
		engine bool
		up     bool
	}{{control.InputWaiting, false, true}, {control.InputLost, false, true}, {control.InputOK, false, false}, {control.InputLost, true, false}} {
		s.Input.State, s.Input.Engine = c.state, nil
		if c.engine { // it has a slate
			s.Input.Engine = &control.Engine{}
		}
		if got := pathOf(&path, fed(&s), false); got.Up != c.up {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
