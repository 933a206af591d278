package web

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"quartet/device/config"
)

var write = flag.Bool("write", false, "write files that are made from the sources")

// mutation is a valid request with one thing wrong.
type mutation struct {
	what, path string // path of the field that the answer must name
	body       string
}

// TestBadInput (must-show 6): every field of every request with a wrong type, out
// of range, too long, null, twice, and with an unknown name beside it is a 4xx
// with the field's path and a remedy, and nothing has changed.
func TestBadInput(t *testing.T) {
	b := newBed(t)
	n := 0
	for _, r := range routes() {
		if r.endpoint.body == nil {
			continue
		}
		q := b.valid(&r, Admin)
		var list []mutation
		if r.endpoint.body == reflect.TypeFor[Document]() {
			list = documentMutations(t, r.method == http.MethodPatch)
		} else {
			list = structMutations(t, r.endpoint.body, q.body)
		}
		if len(list) == 0 {
			t.Errorf("%s %s: nothing tried", r.method, r.path)
		}
		check := r.path == "/config/check"
		for _, m := range append(list, brokenTexts...) {
			n++
			q.body = m.body
			before := b.fingerprint()
			w := b.do(q)
			name := fmt.Sprintf("%s %s, %s", r.method, r.path, m.what)
			if check && w.Code == 200 { // its answer lists the errors
				var v Checked
				if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || v.OK || !names(v.Errors, m.path) {
					t.Errorf("%s: want %q in %s", name, m.path, w.Body)
				}
			} else if w.Code < 400 || w.Code > 499 {
				t.Errorf("%s: %d %s for %s", name, w.Code, w.Body, m.body)
			} else if p := problem(t, w); !names(p.Errors, m.path) && (m.path != "" || p.Remedy == "") {
				t.Errorf("%s: want %q in %s for %s", name, m.path, w.Body, m.body)
			}
			if after := b.fingerprint(); after != before {
				t.Fatalf("%s changed something:\n%s\n%s", name, before, after)
			}
			if strings.Contains(w.Body.String(), canaryPassword) || strings.Contains(w.Body.String(), canaryKey) {
				t.Errorf("%s: a secret in %s", name, w.Body)
			}
		}
	}
	for _, r := range routes() {
		if r.endpoint.query == nil {
			continue
		}
		for _, m := range queryMutations(r.endpoint.query) {
			n++
			q := b.valid(&r, Admin)
			q.path += "?" + m.body
			before := b.fingerprint()
			w := b.do(q)
			if w.Code < 400 || w.Code > 499 || !names(problem(t, w).Errors, m.path) {
				t.Errorf("%s %s, %s: %d %s for %s", r.method, r.path, m.what, w.Code, w.Body, m.body)
			}
			if b.fingerprint() != before {
				t.Fatalf("%s %s, %s changed something", r.method, r.path, m.what)
			}
		}
	}
	t.Logf("%d wrong requests", n)
	if n < 500 {
		t.Errorf("only %d wrong requests", n)
	}
}

// names tells whether an issue names a path, and what to do.
func names(issues []config.Issue, path string) bool {
	return slices.ContainsFunc(issues, func(i config.Issue) bool { return i.Path == path && i.Problem != "" && i.Remedy != "" })
}

// brokenTexts are no requests at all.
var brokenTexts = []mutation{
	{"text that is no JSON", "", "hello"},
	{"a list", "", "[]"},
	{"cut off", "", `{"a": `},
	{"text behind", "", `{} {}`},
	{"deep", "", strings.Repeat(`{"a":`, 1000)},
	{"bytes", "", "\x00\xff\xfe"},
	{"large", "", `{"a": "` + strings.Repeat("x", 2<<20) + `"}`},
}

// structMutations spoil each field of a struct type in turn.
func structMutations(t *testing.T, typ reflect.Type, valid string) (list []mutation) {
	t.Helper()
	base := func() map[string]any {
		var v map[string]any
		if err := json.Unmarshal([]byte(valid), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	var spoil func(typ reflect.Type, prefix string, set func(v map[string]any) map[string]any)
	spoil = func(typ reflect.Type, prefix string, within func(v map[string]any) map[string]any) {
		add := func(what, path string, change func(o map[string]any)) {
			v := base()
			change(within(v))
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, mutation{what + " " + path, path, string(b)})
		}
		add("an unknown name", prefix+"surprise", func(o map[string]any) { o["surprise"] = 1 })
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("json")
			path := prefix + name
			put := func(what string, v any) { add(what, path, func(o map[string]any) { o[name] = v }) }
			if f.Tag.Get("required") == "yes" {
				add("without", path, func(o map[string]any) { delete(o, name) })
			}
			put("null in", nil)
			add("the wrong case of", prefix+strings.ToUpper(name), func(o map[string]any) {
				o[strings.ToUpper(name)] = o[name]
				delete(o, name)
			})
			low, high, ranged := strings.Cut(f.Tag.Get("range"), "..")
			_, most, sized := strings.Cut(f.Tag.Get("len"), "..")
			number := func(s string) (n int) { _, _ = fmt.Sscan(s, &n); return n }
			switch e := f.Type; {
			case e == reflect.TypeFor[Document]():
				put("a string in", "text")
				put("a number in", 7)
				add("a secret in", path+".output.key", func(o map[string]any) { o[name] = map[string]any{"output": map[string]any{"key": canaryKey}} })
				add("a foreign part in", path+".paths", func(o map[string]any) { o[name] = map[string]any{"paths": []any{}} })
				add("a wrong value in", path+".output.latency_ms", func(o map[string]any) { o[name] = map[string]any{"output": map[string]any{"latency_ms": -1}} })
				add("an unknown name in", path+".output.surprise", func(o map[string]any) { o[name] = map[string]any{"output": map[string]any{"surprise": 1}} })
			case e.Kind() == reflect.Struct:
				put("a number in", 7)
				put("a list in", []any{})
				spoil(e, path+".", func(v map[string]any) map[string]any {
					o := within(v)
					sub, ok := o[name].(map[string]any)
					if !ok {
						sub = map[string]any{}
						o[name] = sub
					}
					return sub
				})
			case e.Kind() == reflect.Slice:
				put("a string in", "text")
				put("an object in", map[string]any{})
				if sized {
					put("too many in", slices.Repeat([]any{"x"}, number(most)+1))
				}
				if e.Elem().Kind() == reflect.Struct {
					spoil(e.Elem(), path+"[0].", func(v map[string]any) map[string]any {
						o := within(v)
						sub := map[string]any{}
						for j := range e.Elem().NumField() {
							if ef := e.Elem().Field(j); ef.Tag.Get("required") == "yes" {
								sub[ef.Tag.Get("json")] = "192.0.2.0"
							}
						}
						o[name] = []any{sub}
						return sub
					})
				} else {
					add("an object within", path+"[0]", func(o map[string]any) { o[name] = []any{map[string]any{}} })
				}
			case e.Kind() == reflect.Bool:
				put("a string in", "true")
				put("a number in", 1)
			case e.Kind() == reflect.Int, e.Kind() == reflect.Int64, e.Kind() == reflect.Float64:
				put("a string in", "7")
				put("an object in", map[string]any{})
				if e.Kind() != reflect.Float64 {
					put("a fraction in", 7.5)
				}
				if ranged {
					put("too little in", number(low)-1)
					put("too much in", number(high)+1)
				}
			default:
				put("a number in", 7)
				put("a list in", []any{"text"})
				if sized {
					put("too long", strings.Repeat("x", number(most)+1))
					if f.Tag.Get("required") == "yes" {
						put("nothing in", "")
					}
				}
				if f.Tag.Get("enum") != "" {
					put("another word in", "surprise")
				}
			}
		}
	}
	spoil(typ, "", func(v map[string]any) map[string]any { return v })
	return list
}

// queryMutations spoil each parameter of a query.
func queryMutations(typ reflect.Type) (list []mutation) {
	list = append(list, mutation{"an unknown name", "surprise", "surprise=1"})
	for i := range typ.NumField() {
		f := typ.Field(i)
		name := f.Tag.Get("json")
		put := func(what, value string) {
			list = append(list, mutation{what, name, name + "=" + url.QueryEscape(value)})
		}
		list = append(list, mutation{"twice", name, name + "=1&" + name + "=1"})
		low, high, ranged := strings.Cut(f.Tag.Get("range"), "..")
		switch f.Type.Kind() {
		case reflect.Bool:
			put("a word", "perhaps")
			put("a number", "1")
		case reflect.Int, reflect.Int64:
			put("a word", "seven")
			put("a fraction", "1.5")
			if ranged {
				put("too little", fmt.Sprint(low, "1")[:1]+"-1")
				put("too much", high+"0")
			}
		case reflect.String:
			if f.Tag.Get("enum") != "" {
				put("another word", "surprise")
			} else {
				put("too long", strings.Repeat("x", 3000))
			}
		}
	}
	return list
}

// documentMutations spoil each field of a box document, by its schema. patch:
// the field alone, else within a whole document.
func documentMutations(t *testing.T, patch bool) (list []mutation) {
	t.Helper()
	var schema struct {
		Defs map[string]struct {
			Properties map[string]map[string]any
		} `json:"$defs"`
	}
	if err := json.Unmarshal(config.Schema(config.KindBox), &schema); err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(boxDocument("studio-2"), &whole); err != nil {
		t.Fatal(err)
	}
	var spoil func(def, prefix string, wrap func(any) map[string]any)
	spoil = func(def, prefix string, wrap func(any) map[string]any) {
		add := func(name string, v any, what string) {
			doc := wrap(map[string]any{name: v})
			if !patch {
				doc = patched(cloneMap(t, whole), doc)
			}
			b, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, mutation{what + " " + prefix + name, prefix + name, string(b)})
		}
		add("surprise", 1, "an unknown name")
		for _, name := range slices.Sorted(maps.Keys(schema.Defs[def].Properties)) {
			p := schema.Defs[def].Properties[name]
			ref, _ := p["$ref"].(string)
			switch {
			case ref != "":
				add(name, 7, "a number in")
				spoil(strings.TrimPrefix(ref, "#/$defs/"), prefix+name+".", func(v any) map[string]any { return wrap(map[string]any{name: v}) })
			case p["type"] == "array":
				add(name, "text", "a string in")
			case p["type"] == "string":
				add(name, 7, "a number in")
				add(name, strings.Repeat("\x01x", 3000), "too much in")
			case p["type"] == "boolean":
				add(name, "true", "a string in")
			default:
				add(name, "7", "a string in")
				if most, ok := p["maximum"].(float64); ok {
					add(name, most+1, "too much in")
				}
				if least, ok := p["minimum"].(float64); ok {
					add(name, least-1, "too little in")
				}
			}
		}
	}
	spoil("Box", "", func(v any) map[string]any { return v.(map[string]any) })
	// Formats that nothing is too long for do not refuse length.
	return slices.DeleteFunc(list, func(m mutation) bool {
		return strings.HasPrefix(m.what, "too much in ") && strings.Contains(m.body, "slate_image")
	})
}

func cloneMap(t *testing.T, v map[string]any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// What is no JSON by its own declaration is refused before it is read.
func TestContentType(t *testing.T) {
	b := newBed(t)
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "application/merge-patch+json", ""} {
		w := b.do(request{method: "POST", path: "/plan", role: Admin, body: `{}`, header: map[string]string{"Content-Type": kind}})
		if w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %s", kind, w.Code, w.Body)
		}
	}
	if w := b.do(request{method: "POST", path: "/plan", role: Admin, body: `{}`, header: map[string]string{"Content-Type": "application/json; charset=utf-8"}}); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.do(request{method: "POST", path: "/reboot", role: Admin, body: `{}`}); w.Code != http.StatusBadRequest {
		t.Errorf("a body where there is none: %d %s", w.Code, w.Body)
	}
	if w := b.do(request{method: "POST", path: "/plan", role: Admin, body: `{"a": "` + strings.Repeat("x", smallBody) + `"}`}); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d %s", w.Code, w.Body)
	}
}

// FuzzRequest sends anything to every route as an admin: no answer is the box's
// own mistake.
func FuzzRequest(f *testing.F) {
	list := slices.DeleteFunc(routes(), func(r route) bool {
		return r.endpoint.media == "text/event-stream" || strings.Contains(r.path, "password") || r.path == "/claim" || r.path == "/session" || strings.HasPrefix(r.path, "/users") || r.path == "/factory-reset"
	})
	for i, r := range list {
		f.Add(uint8(i), "", []byte(examples[r.method+" "+r.path].body), "mine")
	}
	f.Add(uint8(3), "series=a,b&from=1&to=2&step=1", []byte(nil), "..%2f")
	b := newBed(f)
	revision := b.revision("/config")
	f.Fuzz(func(t *testing.T, n uint8, query string, body []byte, name string) {
		r := list[int(n)%len(list)]
		target := "https://192.0.2.7/api/v1" + strings.ReplaceAll(r.path, "{name}", url.PathEscape(name))
		u, err := url.Parse(target)
		if err != nil || u.Path == "" {
			return
		}
		u.RawQuery = query
		req := httptest.NewRequest(r.method, "https://192.0.2.7/", strings.NewReader(string(body)))
		req.URL = u
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("If-Match", revision)
		req.AddCookie(&http.Cookie{Name: cookieName, Value: b.tokens[Admin]})
		w := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(w, req)
		if w.Code >= 500 && w.Code != 503 {
			t.Fatalf("%s %s: %d %s", r.method, u, w.Code, w.Body)
		}
	})
}
