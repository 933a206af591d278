package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"quartet/device/config"
)

// form sends a form of the rescue page, as a browser without scripts does.
func (b *bed) form(path, cookie string, fields ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	v := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	method, body := "POST", strings.NewReader(v.Encode())
	if path == "/rescue" || path == "/" {
		method = "GET"
	}
	r := httptest.NewRequest(method, "https://192.0.2.7"+path, body).WithContext(b.t.Context())
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: cookieName, Value: cookie})
	}
	w := httptest.NewRecorder()
	b.server.Handler().ServeHTTP(w, r)
	return w
}

// TestRescue: claim, log in, network with confirmation, return to the document
// before, all without a script; roles and audit as everywhere.
func TestRescue(t *testing.T) {
	b := newFreshBed(t)
	w := b.form("/", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `action="/rescue/claim"`) || strings.Contains(w.Body.String(), "<script") || strings.Contains(w.Body.String(), "style=") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w = b.form("/rescue/claim", "", "code", "wrong", "user", "anna", "password", canaryPassword)
	if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), `role="alert"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = b.form("/rescue/claim", "", "code", claimCode, "user", "anna", "password", canaryPassword)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/rescue" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	admin := cookie(t, w).Value
	if err := b.access.AddUser(t.Context(), "vera", canaryPassword, "viewer"); err != nil {
		t.Fatal(err)
	}
	w = b.form("/rescue/login", "", "user", "vera", "password", canaryPassword)
	viewer := cookie(t, w).Value
	w = b.form("/rescue", viewer)
	if !strings.Contains(w.Body.String(), "Logged in as vera") || strings.Contains(w.Body.String(), `action="/rescue/network"`) || !strings.Contains(w.Body.String(), "Path 1a") {
		t.Errorf("%s", w.Body)
	}
	for _, path := range []string{"/rescue/network", "/rescue/rollback", "/rescue/reboot", "/rescue/confirm", "/rescue/revert"} {
		if w := b.form(path, viewer, "interface", "eth0", "mode", "dhcp"); w.Code != http.StatusForbidden {
			t.Errorf("%s as viewer: %d", path, w.Code)
		}
		if w := b.form(path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s as nobody: %d", path, w.Code)
		}
	}
	if len(b.calls) != 0 {
		t.Errorf("%v", b.calls)
	}

	w = b.form("/rescue/network", admin, "interface", "eth0", "mode", "static", "address", "192.0.2.10/24", "gateway", "192.0.2.1")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `value="trial-token"`) || !strings.Contains(w.Body.String(), "https://192.0.2.10/rescue") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if i := b.network.Interfaces[0]; i.Name != "eth0" || i.DHCP4 || i.Addresses[0] != "192.0.2.10/24" || i.MTU != 1500 || !i.MDNS {
		t.Errorf("%+v", i)
	}
	if w := b.form("/rescue/network", admin, "interface", "bad", "mode", "static"); w.Code != 422 || !strings.Contains(w.Body.String(), "address") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.form("/rescue/confirm", admin, "token", "trial-token"); w.Code != http.StatusSeeOther {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	for _, name := range []string{"one", "two"} {
		if err := b.store.Save(boxDocument(name)); err != nil {
			t.Fatal(err)
		}
	}
	b.advance(2 * fresh)
	page := b.form("/rescue", admin).Body.String()
	_, rest, _ := strings.Cut(page, `name="revision" value="`)
	revision, _, _ := strings.Cut(rest, `"`)
	if w := b.form("/rescue/rollback", admin, "revision", revision); w.Code != http.StatusSeeOther {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := b.stored().Name; got != "one" {
		t.Errorf("the document is %q", got)
	}
	var actions []string
	for _, r := range b.audit {
		actions = append(actions, r.Action+" "+r.Outcome)
	}
	for _, want := range []string{"claim refused", "claim ok", "login ok", "network.apply ok", "network.apply refused", "network.confirm ok", "config.rollback ok"} {
		if !strings.Contains(strings.Join(actions, ","), want) {
			t.Errorf("no %q in %v", want, actions)
		}
	}
	if w := b.form("/rescue/logout", admin); w.Code != http.StatusSeeOther {
		t.Errorf("%d", w.Code)
	}
	if !strings.Contains(b.form("/rescue", admin).Body.String(), `action="/rescue/login"`) {
		t.Error("still logged in")
	}
	if got := config.Default[NetworkInterface](); got.MTU != 1500 {
		t.Errorf("%+v", got)
	}
}
