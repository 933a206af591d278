//go:build browser

package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a tab waits for what it should see. It is long: machines
// that test are busy. What has to be fast is measured where it is said.
const patience = 30 * time.Second

// openBrowser starts Chromium; it ends with the test.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	bin, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: make deps-browser", err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(bin), chromedp.NoSandbox, chromedp.Flag("headless", "new"), chromedp.DisableGPU,
		chromedp.Flag("lang", "en-US"), chromedp.Flag("accept-lang", "en-US"), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("ignore-certificate-errors", true), chromedp.WSURLReadTimeout(time.Minute),
	)
	ctx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return ctx
}

// tab is a tab with a person at it, who has cookies of their own.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu         sync.Mutex
	requests   []string // "GET https://…"
	complaints []string // exceptions, violations of the policy
}

func open(t *testing.T, browser context.Context, base string) *tab {
	t.Helper()
	p := &tab{t: t, base: base}
	ctx, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	t.Cleanup(end)
	p.ctx = ctx
	// The first run opens the tab, which lasts as long as this context.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("a tab: %v", err)
	}
	for _, domain := range []string{"Network", "Log", "Runtime", "Page"} {
		p.call(domain+".enable", nil, nil)
	}
	p.size(1366, 900)
	return p
}

func (p *tab) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.Method+" "+e.Request.URL)
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		p.complaints = append(p.complaints, text)
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == cdplog.EntrySourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
			p.complaints = append(p.complaints, e.Entry.Text)
		}
	}
}

// params of a command of the browser's.
type params map[string]any

// call gives the browser a command (Chrome DevTools Protocol).
func (p *tab) call(method string, in params, out any) {
	p.t.Helper()
	if err := p.tryCall(method, in, out); err != nil {
		p.t.Fatalf("browser: %s: %v", method, err)
	}
}

func (p *tab) tryCall(method string, in params, out any) error {
	if in == nil {
		in = params{}
	}
	if out == nil {
		out = &struct{}{}
	}
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error { return t.Call(ctx, method, in, out) }))
}

func (p *tab) size(w, h int) {
	p.t.Helper()
	p.call("Emulation.setDeviceMetricsOverride", params{"width": w, "height": h, "deviceScaleFactor": 1, "mobile": false}, nil)
}

func (p *tab) scheme(name string) {
	p.t.Helper()
	p.call("Emulation.setEmulatedMedia", params{"features": []params{
		{"name": "prefers-color-scheme", "value": name}, {"name": "prefers-reduced-motion", "value": "reduce"}}}, nil)
}

// visit goes to an address below base.
func (p *tab) visit(path string) {
	p.t.Helper()
	var out struct {
		ErrorText string `json:"errorText"`
	}
	p.call("Page.navigate", params{"url": p.base + path}, &out)
	if out.ErrorText != "" {
		p.t.Fatalf("%s: %s", p.base+path, out.ErrorText)
	}
}

// view opens a view and waits for its heading.
func (p *tab) view(id, heading string) {
	p.t.Helper()
	p.js("location.hash = '#/" + id + "'")
	p.until("the view "+id, fmt.Sprintf("[...document.querySelectorAll('h1')].some(h => h.textContent === %s)", quote(heading)))
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

// tools are what a person does without thinking.
const tools = `
const seen = e => !!e && e.getClientRects().length > 0;
const named = e => (e.getAttribute("aria-label") || e.textContent || "").trim().replace(/\s+/g, " ");
const here = () => document.querySelector("dialog[open]") || document;
const button = text => [...here().querySelectorAll("button, a, summary")].filter(seen).find(e => named(e) === text);
const field = (label, n = 0) => { const l = [...here().querySelectorAll("label")].filter(e => seen(e) && e.textContent.trim() === label)[n]; return l && (document.getElementById(l.htmlFor) || l.querySelector("input, select")); };
`

// js evaluates an expression in the page, with the tools, and waits for a promise.
func (p *tab) js(expr string) json.RawMessage {
	p.t.Helper()
	var out json.RawMessage
	if err := p.try(expr, &out); err != nil {
		p.t.Fatalf("%s: %v", expr, err)
	}
	return out
}

func (p *tab) try(expr string, out *json.RawMessage) error {
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	code := "(async () => {" + tools + "const value = await (" + expr + "); return value === undefined ? null : value; })()"
	err := p.tryCall("Runtime.evaluate", params{"expression": code, "awaitPromise": true, "returnByValue": true}, &answer)
	if err == nil && answer.Exception != nil {
		err = fmt.Errorf("%s %s", answer.Exception.Text, answer.Exception.Exception.Description)
	}
	*out = answer.Result.Value
	return err
}

func (p *tab) text() string {
	p.t.Helper()
	var s string
	_ = json.Unmarshal(p.js("document.body.innerText"), &s)
	return s
}

// until waits for an expression to be true.
func (p *tab) until(what, expr string) {
	p.t.Helper()
	var out json.RawMessage
	end := time.Now().Add(patience)
	for {
		err := p.try("!!("+expr+")", &out)
		if err == nil && string(out) == "true" {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s did not come (%v); the page says:\n%s", what, err, p.text())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// sees waits for a text on the page.
func (p *tab) sees(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q", text), fmt.Sprintf("document.body.innerText.replace(/\\s+/g, ' ').includes(%s)", quote(text)))
}

// misses waits for a text to be gone.
func (p *tab) misses(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("the end of %q", text), fmt.Sprintf("!document.body.innerText.replace(/\\s+/g, ' ').includes(%s)", quote(text)))
}

// press presses a button or follows a link, by its name.
func (p *tab) press(name string) {
	p.t.Helper()
	p.until("the button "+name, fmt.Sprintf("button(%s) && !button(%[1]s).disabled", quote(name)))
	p.js(fmt.Sprintf("button(%s).click()", quote(name)))
}

// fill writes into a field, by its label, as the keyboard would.
func (p *tab) fill(label, value string) { p.t.Helper(); p.fillNth(label, 0, value) }

func (p *tab) fillNth(label string, n int, value string) {
	p.t.Helper()
	p.until("the field "+label, fmt.Sprintf("field(%s, %d) && !field(%[1]s, %[2]d).disabled", quote(label), n))
	p.js(fmt.Sprintf("(() => { const f = field(%s, %d); f.focus(); f.select && f.select(); })()", quote(label), n))
	if value == "" {
		p.key("Delete", 46)
		return
	}
	p.insert(value)
}

// choose picks an option of a select.
func (p *tab) choose(label, value string) {
	p.t.Helper()
	p.until("the field "+label, fmt.Sprintf("field(%s)", quote(label)))
	p.js(fmt.Sprintf("(() => { const f = field(%s); f.value = %s; f.dispatchEvent(new Event('change', {bubbles: true})); })()", quote(label), quote(value)))
}

// insert writes where the focus is.
func (p *tab) insert(text string) {
	p.t.Helper()
	p.call("Input.insertText", params{"text": text}, nil)
}

// key presses and releases a key.
func (p *tab) key(name string, code int) {
	p.t.Helper()
	down := params{"type": "keyDown", "key": name, "code": name, "windowsVirtualKeyCode": code}
	if name == "Enter" {
		down["text"] = "\r"
	}
	p.call("Input.dispatchKeyEvent", down, nil)
	p.call("Input.dispatchKeyEvent", params{"type": "keyUp", "key": name, "code": name, "windowsVirtualKeyCode": code}, nil)
}

// clean fails for what the browser complained of.
func (p *tab) clean() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.complaints {
		p.t.Errorf("the browser complains: %s", c)
	}
}

// asked is what the page has requested.
func (p *tab) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}
