package web

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// described is the OpenAPI document, to hold answers against.
type described struct{ doc map[string]any }

func describedSchemas(t testing.TB) described {
	t.Helper()
	var d described
	if err := json.Unmarshal(OpenAPI("test"), &d.doc); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows a path of names.
func (d described) at(names ...string) any {
	var v any = d.doc
	for _, n := range names {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[n]
	}
	return v
}

// check holds an answer against what the route promises.
func (d described) check(t *testing.T, r *route, w *httptest.ResponseRecorder) {
	t.Helper()
	promised, ok := d.at("paths", r.path, strings.ToLower(r.method), "responses", fmt.Sprint(w.Code)).(map[string]any)
	if !ok {
		t.Fatalf("%d is not among the answers of %s %s", w.Code, r.method, r.path)
	}
	content, _ := promised["content"].(map[string]any)
	if content == nil {
		if w.Body.Len() > 0 {
			t.Errorf("an answer without content has %q", w.Body)
		}
		return
	}
	kind, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
	media, ok := content[kind].(map[string]any)
	if !ok {
		t.Fatalf("%s is not among the content of %s %s: %v", kind, r.method, r.path, content)
	}
	if !strings.Contains(kind, "json") || r.endpoint.media != "" {
		return
	}
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	for _, problem := range d.validate(media["schema"], v, "") {
		t.Errorf("%s %s: %s", r.method, r.path, problem)
	}
}

// validate is as much of JSON Schema 2020-12 as the description uses.
func (d described) validate(schema, v any, at string) (problems []string) {
	s, ok := schema.(map[string]any)
	if !ok {
		return []string{at + ": no schema"}
	}
	bad := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	if ref, ok := s["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		if name == "BoxDocument" {
			return nil // a part of it may be shown
		}
		return d.validate(d.at("components", "schemas", name), v, at)
	}
	if any, ok := s["anyOf"].([]any); ok {
		var all []string
		for _, one := range any {
			p := d.validate(one, v, at)
			if p == nil {
				return nil
			}
			all = append(all, p...)
		}
		return all
	}
	if types := s["type"]; types != nil {
		list, ok := types.([]any)
		if !ok {
			list = []any{types}
		}
		fits := false
		for _, t := range list {
			fits = fits || isType(t, v)
		}
		if !fits {
			bad("%v is not %v", v, types)
			return problems
		}
	}
	if enum, ok := s["enum"].([]any); ok && v != nil {
		found := false
		for _, e := range enum {
			found = found || e == v
		}
		if !found {
			bad("%v is none of %v", v, enum)
		}
	}
	switch v := v.(type) {
	case string:
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
				bad("%v", err)
			}
		}
	case []any:
		for i, e := range v {
			problems = append(problems, d.validate(s["items"], e, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case map[string]any:
		props, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for _, r := range required {
			if _, ok := v[r.(string)]; !ok {
				bad("%v is missing", r)
			}
		}
		for name, e := range v {
			switch p, extra := props[name], s["additionalProperties"]; {
			case p != nil:
				problems = append(problems, d.validate(p, e, at+"."+name)...)
			case extra == false:
				bad("%s is not described", name)
			case extra != nil && extra != true:
				problems = append(problems, d.validate(extra, e, at+"."+name)...)
			}
		}
	}
	return problems
}

func isType(t, v any) bool {
	switch v := v.(type) {
	case nil:
		return t == "null"
	case bool:
		return t == "boolean"
	case float64:
		return t == "number" || t == "integer" && v == float64(int64(v))
	case string:
		return t == "string"
	case []any:
		return t == "array"
	}
	return t == "object"
}

// The description has each route and no reference that leads nowhere.
func TestOpenAPI(t *testing.T) {
	d := describedSchemas(t)
	if d.doc["openapi"] != "3.1.0" {
		t.Error(d.doc["openapi"])
	}
	ids := map[string]bool{}
	for _, r := range routes() {
		op, ok := d.at("paths", r.path, strings.ToLower(r.method)).(map[string]any)
		if !ok {
			t.Errorf("%s %s is missing", r.method, r.path)
			continue
		}
		id, _ := op["operationId"].(string)
		if ids[id] || id == "" {
			t.Errorf("operationId %q stands twice", id)
		}
		ids[id] = true
		if op["summary"] == "" || op["x-role"] == "" {
			t.Errorf("%s %s: no summary or role", r.method, r.path)
		}
		if r.endpoint.body != nil && op["requestBody"] == nil {
			t.Errorf("%s %s: no body", r.method, r.path)
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && d.at(append([]string{}, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)...) == nil {
				t.Errorf("%s leads nowhere", ref)
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(d.doc)
}

// TestOpenAPIDocument keeps docs/openapi.json, which the page's sources and other
// people's programs are made from, the same as what the box serves:
// go test ./device/web -run TestOpenAPIDocument -args -write
func TestOpenAPIDocument(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "openapi.json")
	want := append(OpenAPI("1"), '\n')
	if *write {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != string(want) {
		t.Errorf("%s is not what the box serves (%v): run this test with -args -write", file, err)
	}
}
