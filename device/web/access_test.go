package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestS14EveryCallEveryRole: viewer sees, operator runs, admin configures; who
// may not is refused before anything is done.
func TestS14EveryCallEveryRole(t *testing.T) {
	b := newBed(t)
	for _, r := range routes() {
		if r.endpoint.media == "text/event-stream" {
			continue // TestEvents
		}
		for _, role := range []Role{Public, Viewer, Operator, Admin} {
			name := fmt.Sprintf("%s %s as %q", r.method, r.path, role)
			if role.may(r.role) && r.unsafe() {
				continue // TestEveryRoute
			}
			before := b.fingerprint()
			w := b.do(b.valid(&r, role))
			switch {
			case role.may(r.role):
				if w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
			case role == Public:
				if w.Code != http.StatusUnauthorized || problem(t, w).Type != typeNotLoggedIn {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
			default:
				if w.Code != http.StatusForbidden || problem(t, w).Type != typeForbidden {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
			}
			if after := b.fingerprint(); after != before {
				t.Errorf("%s changed something:\n%s\n%s", name, before, after)
			}
		}
	}
}

// fingerprint is everything a request may change, and must not by accident.
func (b *bed) fingerprint() string {
	b.t.Helper()
	doc, _, err := b.store.Load()
	if err != nil {
		doc = []byte(err.Error())
	}
	var users []string
	for _, u := range b.access.Users() {
		users = append(users, fmt.Sprint(u.Name, u.Role, u.PasswordSet))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(string(doc), b.calls, b.network, b.trial, users, b.server.settings.kept.get(), b.server.presets.kept.get())
}

// TestEveryRoute: each route's example succeeds for the least role that may, and
// its answer is what OpenAPI says. S12: an action leaves one record.
func TestEveryRoute(t *testing.T) {
	schemas := describedSchemas(t)
	shared := newBed(t)
	for _, r := range routes() {
		if r.endpoint.media == "text/event-stream" {
			continue
		}
		t.Run(r.method+r.path, func(t *testing.T) {
			b := shared
			switch r.method + " " + r.path {
			case "POST /claim":
				b = newFreshBed(t)
			case "DELETE /session", "PUT /session/password", "POST /factory-reset":
				b = newBed(t) // it ends sessions
			}
			b.prepare(&r)
			q := b.valid(&r, r.role)
			before := len(b.audit)
			w := b.do(q)
			if w.Code != r.success() {
				t.Fatalf("%d, want %d: %s", w.Code, r.success(), w.Body)
			}
			schemas.check(t, &r, w)
			records := b.audit[before:]
			switch {
			case r.audit == "" && len(records) > 0, r.audit != "" && len(records) != 1:
				t.Errorf("%d records: %+v", len(records), records)
			case r.audit != "":
				a := records[0]
				if a.Action != r.audit || a.Outcome != "ok" || a.Source != "192.0.2.1" || r.role != Public && (a.Actor != users[r.role] || a.Role != string(r.role)) {
					t.Errorf("%+v", a)
				}
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control: %q", w.Header().Get("Cache-Control"))
			}
			if r.etag && w.Header().Get("Etag") == "" {
				t.Error("no ETag")
			}
		})
	}
}

// Every route that changes something is a record in the audit log, but for those
// that change nothing.
func TestEveryChangeIsAudited(t *testing.T) {
	harmless := map[string]bool{"/config/check": true, "/destinations/parse": true, "/plan": true}
	for _, r := range routes() {
		if r.unsafe() && r.audit == "" && !harmless[r.path] {
			t.Errorf("%s %s has no audit", r.method, r.path)
		}
	}
}

func TestS1ClaimAndS4Session(t *testing.T) {
	b := newFreshBed(t)
	var st State
	b.get("/state", Public, &st)
	if st.Claimed || st.Serial != "Q1" {
		t.Errorf("%+v", st)
	}
	login := request{method: "POST", path: "/session", body: examples["POST /session"].body}
	if w := b.do(login); w.Code != http.StatusConflict || problem(t, w).Type != "unclaimed" {
		t.Errorf("login before the claim: %d %s", w.Code, w.Body)
	}
	claim := request{method: "POST", path: "/claim", body: strings.Replace(examples["POST /claim"].body, claimCode, "WRONG", 1)}
	if w := b.do(claim); w.Code != http.StatusForbidden {
		t.Errorf("claim with a wrong code: %d %s", w.Code, w.Body)
	}
	claim.body = examples["POST /claim"].body
	w := b.do(claim)
	c := cookie(t, w)
	if w.Code != http.StatusCreated || c == nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	raw := w.Header().Get("Set-Cookie")
	for _, want := range []string{"__Host-quartet=", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(raw, want) {
			t.Errorf("cookie %q lacks %s", raw, want)
		}
	}
	if strings.Contains(raw, "Domain") || strings.Contains(raw, "Max-Age") {
		t.Errorf("cookie %q", raw)
	}
	if w := b.do(claim); w.Code != http.StatusConflict {
		t.Errorf("second claim: %d", w.Code)
	}

	// A cookie from before a login is worth nothing after it.
	b.advance(time.Minute)
	login.header = map[string]string{"Cookie": cookieName + "=" + c.Value}
	w = b.do(login)
	second := cookie(t, w)
	if w.Code != 200 || second == nil || second.Value == c.Value {
		t.Fatalf("%d: the cookie did not change", w.Code)
	}
	who := func(token string) int {
		b.tokens[Admin] = token
		return b.do(request{method: "GET", path: "/session", role: Admin}).Code
	}
	if who(c.Value) != 401 || who(second.Value) != 200 {
		t.Error("the planted cookie is still good, or the new one is not")
	}

	// Idle: what a page asks for by itself does not keep the session.
	for range 14 {
		b.advance(time.Minute)
		b.do(request{method: "GET", path: "/status", role: Admin})
	}
	b.advance(2 * time.Minute)
	if who(second.Value) != 401 {
		t.Error("a session outlived 15 minutes without use")
	}

	// Logout everywhere.
	var tokens []string
	for range 2 {
		b.advance(time.Minute)
		delete(login.header, "Cookie")
		tokens = append(tokens, cookie(t, b.do(login)).Value)
	}
	b.tokens[Admin] = tokens[0]
	if w := b.do(request{method: "DELETE", path: "/session?everywhere=true", role: Admin}); w.Code != http.StatusNoContent || cookie(t, w).MaxAge >= 0 {
		t.Errorf("logout: %d %v", w.Code, w.Header())
	}
	if who(tokens[0]) != 401 || who(tokens[1]) != 401 {
		t.Error("a session outlived the logout everywhere")
	}
}

func cookie(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if c.Name == cookieName {
			return c
		}
	}
	return nil
}

// TestS2Guessing: 1,000 guesses from one address are slowed down, and the owner
// logs in from another.
func TestS2Guessing(t *testing.T) {
	b := newBed(t)
	guess := func(source string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "https://192.0.2.7/api/v1/session", strings.NewReader(`{"user": "anna", "password": "`+"wrong wrong"+`"}`))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = source
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, r)
		return w
	}
	tried, slowed := 0, 0
	for range 1000 {
		switch w := guess("203.0.113.9:4711"); w.Code {
		case http.StatusUnauthorized:
			tried++
		case http.StatusTooManyRequests:
			slowed++
			if p := problem(t, w); p.RetryAfter < 1 || w.Header().Get("Retry-After") == "" || p.Remedy == "" {
				t.Fatalf("%s", w.Body)
			}
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if tried > 5 || slowed < 995 {
		t.Errorf("%d tried, %d slowed down", tried, slowed)
	}
	if n := len(b.audit); n > 5 {
		t.Errorf("%d records: the flood washes the audit log", n)
	}
	if w := b.do(request{method: "POST", path: "/session", body: examples["POST /session"].body}); w.Code != 200 {
		t.Errorf("the owner is locked out: %d %s", w.Code, w.Body)
	}
}

func TestUsers(t *testing.T) {
	b := newBed(t)
	w := b.do(request{method: "DELETE", path: "/users/anna", role: Admin})
	if w.Code != http.StatusConflict {
		t.Errorf("the last admin: %d %s", w.Code, w.Body)
	}
	if w := b.do(request{method: "DELETE", path: "/users/nobody", role: Admin}); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// All or nothing: a password that is refused leaves the role as it was.
	w = b.do(request{method: "PUT", path: "/users/vera", role: Admin, body: `{"role": "admin", "password": "short"}`})
	if p := problem(t, w); w.Code != 422 || p.Errors[0].Path != "password" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if b.access.Users()[2].Role != "viewer" {
		t.Error("the role has changed")
	}
	// A new role counts at once, in the open session.
	b.must(request{method: "PUT", path: "/users/vera", role: Admin, body: `{"role": "operator"}`})
	b.must(request{method: "POST", path: "/plan", role: Viewer, body: `{}`})
	// One who types the password as the name does not find it in the audit log.
	b.do(request{method: "POST", path: "/session", body: `{"user": "` + canaryToken + `", "password": "x"}`})
	for _, r := range b.audit {
		if strings.Contains(fmt.Sprint(r), canaryToken) {
			t.Errorf("%+v", r)
		}
	}
	// One's own password: wrong old one, then right; the session goes on under a new token.
	if w := b.do(request{method: "PUT", path: "/session/password", role: Operator, body: `{"old": "wrong", "new": "another ` + canaryPassword + `"}`}); w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	b.advance(time.Minute)
	w = b.must(request{method: "PUT", path: "/session/password", role: Operator, body: examples["PUT /session/password"].body})
	if b.do(request{method: "GET", path: "/session", role: Operator}).Code != 401 {
		t.Error("the old session goes on")
	}
	b.tokens[Operator] = cookie(t, w).Value
	b.must(request{method: "GET", path: "/session", role: Operator})
}
