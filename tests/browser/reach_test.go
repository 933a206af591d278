//go:build browser

package browser

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"quartet/device/telemetry"
	"quartet/device/web"
)

// views of the page, with their headings.
var views = [][2]string{
	{"live", "Live"}, {"input", "Input & encoder"}, {"destinations", "Destinations"}, {"history", "History"}, {"network", "Network"},
	{"telemetry", "Telemetry"}, {"identity", "Identity"}, {"update", "Update"}, {"users", "Users"}, {"audit", "Audit log"},
	{"logs", "Logs"}, {"maintenance", "Maintenance"}, {"about", "About"}, {"account", "Your account"},
}

// settled waits until a view has what it shows.
func (p *tab) settled() {
	p.t.Helper()
	p.until("the view's content", "!document.querySelector('.loading')")
}

// tabTo presses Tab until the focus is on something of that name.
func (p *tab) tabTo(name string) {
	p.t.Helper()
	for range 150 {
		p.key("Tab", 9)
		var at struct {
			Name    string
			Visible bool
		}
		if err := json.Unmarshal(p.js(`(() => {
			const e = document.activeElement;
			const label = e.id && document.querySelector('label[for="' + CSS.escape(e.id) + '"]');
			const s = getComputedStyle(e), r = e.getBoundingClientRect();
			return {Name: e.getAttribute("aria-label") || (label || e).textContent.trim().replace(/\s+/g, " "),
				Visible: e === document.body || e.tagName === "IFRAME" || (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 && r.width > 0 && r.bottom > 0 && r.top < innerHeight)};
		})()`), &at); err != nil {
			p.t.Fatal(err)
		}
		if !at.Visible {
			p.t.Errorf("the focus on %q is not to be seen", at.Name)
		}
		if at.Name == name {
			return
		}
	}
	p.t.Fatalf("Tab does not lead to %q", name)
}

// keyboardOnly signs in, changes a path, tries it out and signs out, without a
// pointer.
func keyboardOnly(t *testing.T, p *tab, b *box) {
	p.visit("/")
	p.sees("Sign in")
	p.until("the focus on the first field", "document.activeElement === field('User name')")
	p.insert("ada")
	p.tabTo("Password")
	p.insert(password)
	p.key("Enter", 13)
	p.until("the live view", "document.querySelector('.shell')")
	p.tabTo("Skip to the content")
	p.tabTo("Destinations")
	p.key("Enter", 13)
	p.until("the view", "[...document.querySelectorAll('h1')].some(h => h.textContent === 'Destinations')")
	p.until("the focus in the content", "document.activeElement === document.getElementById('main')")
	p.settled()
	p.tabTo("1a")
	p.key("Enter", 13)
	p.until("the path's fields", "field('Capacity')")
	p.tabTo("Capacity")
	p.insert("8000")
	p.tabTo("Save")
	p.key("Enter", 13)
	p.saved()
	if !strings.Contains(b.stored(), `"max_bitrate_kbps": 8000`) {
		t.Errorf("not saved:\n%s", b.stored())
	}
	// A dialog keeps the focus, Escape closes it, and the focus comes back.
	p.tabTo("Remove this path")
	p.key("Enter", 13)
	p.until("a dialog", "document.querySelector('dialog[open]')")
	for range 4 {
		p.key("Tab", 9)
		if string(p.js("document.querySelector('dialog').contains(document.activeElement) || document.activeElement === document.body")) != "true" {
			t.Error("the focus left the dialog")
		}
	}
	p.key("Escape", 27)
	p.until("the dialog gone", "!document.querySelector('dialog[open]')")
	p.until("the focus where it was", "named(document.activeElement) === 'Remove this path'")
}

type violation struct {
	ID    string
	Help  string
	Nodes []struct {
		Target         []any
		FailureSummary string
	}
}

// axe runs axe-core over every view, light and dark, wide and narrow.
func axe(t *testing.T, p *tab, browser context.Context, b *box) {
	source, err := os.ReadFile(filepath.Join(ui, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatalf("%v: make page", err)
	}
	run := func(p *tab, where string) {
		t.Helper()
		// Through the browser's own door, so that the page's policy stays as it is.
		if string(p.js("!!window.axe")) != "true" {
			p.js("(() => {" + string(source) + "; return true; })()")
		}
		var list []violation
		if err := json.Unmarshal(p.js("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => ({Target: n.target, FailureSummary: n.failureSummary}))})))"), &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list {
			for _, n := range v.Nodes {
				t.Errorf("%s: %s (%s) at %v: %s", where, v.ID, v.Help, n.Target, n.FailureSummary)
			}
		}
	}
	outside := open(t, browser, strings.Replace(b.base, home, "10.77.0.2", 1))
	outside.visit("/")
	outside.sees("Sign in")
	run(outside, "login")
	for _, scheme := range []string{"light", "dark"} {
		p.scheme(scheme)
		for _, v := range views {
			p.view(v[0], v[1])
			p.settled()
			if v[0] == "destinations" {
				p.press("1a")
			}
			p.js("document.querySelectorAll('details').forEach(d => { d.open = true; })")
			run(p, v[0]+", "+scheme)
		}
	}
	p.scheme("light")
	p.size(390, 844)
	for _, v := range views[:5] {
		p.view(v[0], v[1])
		p.settled()
		run(p, v[0]+", phone")
	}
	p.size(1366, 900)
	p.view("maintenance", "Maintenance")
	p.press("Reboot")
	run(p, "a dialog")
	p.press("Cancel")
	p.visit("/")
	p.until("the live view", "document.querySelector('.shell')")
}

// narrow looks at each view as at 400 % of a window 1280 wide, and on a phone:
// nothing may need scrolling sideways but what scrolls by itself.
func narrow(t *testing.T, p *tab) {
	for _, size := range [][2]int{{320, 256}, {390, 844}} {
		p.size(size[0], size[1])
		for _, v := range views {
			p.view(v[0], v[1])
			p.settled()
			var wide struct {
				Width int
				By    string
			}
			if err := json.Unmarshal(p.js(`(() => {
				const w = document.documentElement.scrollWidth;
				const by = [...document.querySelectorAll("main *, header *")].find(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, .log, .block, .visually-hidden, thead"));
				return {Width: w, By: by ? by.outerHTML.slice(0, 200) : ""};
			})()`), &wide); err != nil {
				t.Fatal(err)
			}
			if wide.Width > size[0] {
				t.Errorf("%s is %d wide in a window of %d: %s", v[0], wide.Width, size[0], wide.By)
			}
		}
	}
	// The menu opens and leads on.
	p.press("Menu")
	p.press("History")
	p.until("the view", "[...document.querySelectorAll('h1')].some(h => h.textContent === 'History')")
	p.size(1366, 900)
}

// german switches the language, which lasts, and back.
func german(t *testing.T, p *tab) {
	p.view("destinations", "Destinations")
	p.js("(() => { const s = document.querySelector('.language select'); s.value = 'de'; s.dispatchEvent(new Event('change', {bubbles: true})); })()")
	p.sees("Ziele")
	p.until("the document's language", "document.documentElement.lang === 'de'")
	p.visit("/")
	p.sees("Eingang & Encoder")
	// Back as soon as the choice is drawn: what changes before the page has begun
	// to watch must not be missed.
	var script struct {
		Identifier string `json:"identifier"`
	}
	p.call("Page.addScriptToEvaluateOnNewDocument", params{"source": `
		new MutationObserver((_, o) => {
			const s = document.querySelector(".language select");
			if (!s) return;
			o.disconnect();
			s.value = "en";
			s.dispatchEvent(new Event("change", {bubbles: true}));
		}).observe(document, {childList: true, subtree: true});`}, &script)
	p.visit("/")
	p.sees("Input & encoder")
	p.call("Page.removeScriptToEvaluateOnNewDocument", params{"identifier": script.Identifier}, nil)
	p.visit("/")
	p.until("the live view", "document.querySelector('.shell')")
}

// policy is S18, and that the page uses nothing but the interface that is
// described.
func policy(t *testing.T, b *box, tabs []*tab) {
	r, err := client.Get(b.base + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	csp := r.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy lacks %s: %s", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "http:") || strings.Contains(csp, "*") {
		t.Errorf("the policy is lax: %s", csp)
	}
	if html, err := io.ReadAll(r.Body); err != nil || !bytes.Contains(html, []byte("/assets/index-")) {
		t.Errorf("the page is not built into quartet-manage (%v)", err)
	}

	var described struct {
		Paths map[string]map[string]json.RawMessage
	}
	d, err := client.Get(b.base + "/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Body.Close()
	if err := json.NewDecoder(d.Body).Decode(&described); err != nil {
		t.Fatal(err)
	}
	known := func(method, path string) bool {
		for p, methods := range described.Paths {
			re := regexp.MustCompile("^(/api/v1)?" + regexp.MustCompile(`\\\{[^}]+\\\}`).ReplaceAllString(regexp.QuoteMeta(p), "[^/]+") + "$")
			if _, ok := methods[strings.ToLower(method)]; ok && re.MatchString(path) {
				return true
			}
		}
		return false
	}
	count := 0
	for _, p := range tabs {
		for _, line := range p.asked() {
			method, address, _ := strings.Cut(line, " ")
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case u.Scheme == "blob" || u.Scheme == "data":
			case u.Scheme != "https" || !strings.HasPrefix(u.Hostname(), "10.77.0."):
				t.Errorf("the page asked elsewhere: %s", line)
			case strings.HasPrefix(u.Path, "/api/"):
				count++
				if !known(method, u.Path) {
					t.Errorf("the page used what is not described: %s", line)
				}
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d requests were seen", count)
	}
	t.Logf("%d requests to the interface, none elsewhere", count)
}

// TestManagementConditionsAreTranslated: those of the management's parts, as
// those of the media plane in sources_test.go.
func TestManagementConditionsAreTranslated(t *testing.T) {
	translated(t, slices.Concat(web.Catalogue(), telemetry.Catalogue()))
}

// TestSize: the whole page, all languages and views, gzipped.
func TestSize(t *testing.T) {
	total := 0
	err := fs.WalkDir(os.DirFS(filepath.Join(ui, "dist")), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
		if _, err := w.Write(mustRead(t, filepath.Join(ui, "dist", name))); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		total += z.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f kB gzipped", float64(total)/1000)
	if total > 150_000 || total < 20_000 {
		t.Errorf("the page is %d bytes gzipped; it must be built and at most 150 kB", total)
	}
}

func mustRead(t *testing.T, name string) []byte {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// firstView measures from the start of the navigation to the first live number,
// at a quarter of the processor's speed.
func firstView(t *testing.T, p *tab) {
	var script struct {
		Identifier string `json:"identifier"`
	}
	p.call("Page.addScriptToEvaluateOnNewDocument", params{"source": `new MutationObserver((_, o) => {
		const n = document.querySelector("tr.path td .number");
		if (n && /\d/.test(n.textContent)) { window.firstValue = performance.now(); o.disconnect(); }
	}).observe(document, {subtree: true, childList: true, characterData: true});`}, &script)
	p.call("Emulation.setCPUThrottlingRate", params{"rate": 4}, nil)
	best := time.Hour
	for range 3 {
		p.visit("/")
		p.until("the first value", "window.firstValue > 0")
		var ms float64
		if err := json.Unmarshal(p.js("window.firstValue"), &ms); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Duration(ms*float64(time.Millisecond)))
	}
	p.call("Emulation.setCPUThrottlingRate", params{"rate": 1}, nil)
	p.call("Page.removeScriptToEvaluateOnNewDocument", params{"identifier": script.Identifier}, nil)
	t.Logf("first live value after %d ms at a quarter of the speed", best.Milliseconds())
	if *quiet && best > time.Second {
		t.Errorf("must be within 1 s")
	}
}
