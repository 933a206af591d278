package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestKeepSecrets(t *testing.T) {
	present, _, err := ParseBox([]byte(`{"version": 1, "name": "b", "input": {"type": "udp", "url": "udp://:5000"},
 "output": {"key": "` + strings.Repeat("ab", 32) + `"}, "paths": [
 {"name": "a", "url": "srt://192.0.2.1:9000", "passphrase": "passphrase \"one\""},
 {"name": "b", "url": "srt://192.0.2.2:9000", "passphrase": "passphrase two"},
 {"name": "c", "url": "srt://192.0.2.3:9000"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	shown := Show(present)
	if s := string(shown); strings.Count(s, SecretSet) != 3 || strings.Contains(s, "passphrase two") || strings.Contains(s, "abab") {
		t.Fatalf("%s", s)
	}
	filled, missing := KeepSecrets(shown, present)
	if back, _, err := ParseBox(filled); err != nil || missing != nil || string(Encode(back)) != string(Encode(present)) {
		t.Errorf("%s %v %v", filled, missing, err)
	}
	for _, c := range []struct {
		doc     string
		want    string
		missing []string
	}{
		{`{"paths": [{"passphrase": "(set)", "name": "b"}, {"name": "a", "passphrase": "(set)"}]}`,
			`{"paths": [{"passphrase": "passphrase two", "name": "b"}, {"name": "a", "passphrase": "passphrase \"one\""}]}`, nil},
		{`{"paths": [{"name": "z", "passphrase": "(set)"}, {"name": "b"}, {"name": "c"}]}`, // renamed
			`{"paths": [{"name": "z", "passphrase": "passphrase \"one\""}, {"name": "b"}, {"name": "c"}]}`, nil},
		{`{"paths": [{"name": "z", "passphrase": "(set)"}]}`, `{"paths": [{"name": "z", "passphrase": "(set)"}]}`, []string{"paths[0].passphrase"}},
		{`{"paths": [{"name": "c", "passphrase": "\u0028set)"}]}`, `{"paths": [{"name": "c", "passphrase": "\u0028set)"}]}`, []string{"paths[0].passphrase"}},
		{`{"output": {"key": "\u0028set)", "next_key": "(set)"}}`, `{"output": {"key": "` + strings.Repeat("ab", 32) + `", "next_key": "(set)"}}`, []string{"output.next_key"}},
		{`{"name": "(set)", "paths": [{"stream_id": "(set)"}]}`, `{"name": "(set)", "paths": [{"stream_id": "(set)"}]}`, nil}, // no secrets
		{`{"paths": "(set)", "output": ["(set)"], "input": {"passphrase": 7}}`, `{"paths": "(set)", "output": ["(set)"], "input": {"passphrase": 7}}`, nil},
		{`{"cut off`, `{"cut off`, nil},
	} {
		got, missing := KeepSecrets([]byte(c.doc), present)
		if string(got) != c.want || !slices.Equal(missing, c.missing) {
			t.Errorf("%s:\n%s %v", c.doc, got, missing)
		}
		if none, m := KeepSecrets([]byte(c.doc), nil); string(none) != c.doc || len(m) < len(c.missing) {
			t.Errorf("%s, with nothing there: %s %v", c.doc, none, m)
		}
	}
	if got := string(DropSecrets([]byte(`{"name": "(set)", "output": {"key": "(set)"}, "paths": [{"passphrase": "(set)", "ttl": 7}]}`))); strings.Count(got, SecretSet) != 1 || !strings.Contains(got, "7") {
		t.Error(got)
	}
}

// FuzzKeepSecrets: what is no longer SecretSet afterwards is a secret of the
// document that was there, and nothing else has changed.
func FuzzKeepSecrets(f *testing.F) {
	present, _, err := ParseBox(boxNamed("b"))
	if err != nil {
		f.Fatal(err)
	}
	present.Paths[0].Passphrase = "a passphrase"
	f.Add(Show(present))
	f.Add([]byte(`{"paths": [{"name": "a", "passphrase": "(set)"}, {"passphrase": "(set)"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, missing := KeepSecrets(doc, present)
		if json.Valid(doc) != json.Valid(got) {
			t.Fatalf("%q became %q", doc, got)
		}
		again, still := KeepSecrets(got, present)
		if string(again) != string(got) || len(still) != len(missing) {
			t.Fatalf("%q, then %q: %v, %v", got, again, missing, still)
		}
		DropSecrets(got)
	})
}

func TestDecode(t *testing.T) {
	type inner struct {
		N int `json:"n" range:"1..9" default:"3"`
	}
	type request struct {
		Name  string   `json:"name" required:"yes" len:"1..4"`
		List  []string `json:"list" len:"0..2"`
		Any   Raw      `json:"any"`
		Inner inner    `json:"inner"`
	}
	var r request
	if err := Decode([]byte(`{"name": "a", "list": ["longer than four"], "any": {"x": [1, "two"]}}`), &r); err != nil || r.Inner.N != 3 || string(r.Any) != `{"x": [1, "two"]}` || len(r.List) != 1 {
		t.Errorf("%+v %v", r, err)
	}
	for text, path := range map[string]string{
		`{}`:                                  "name",
		`{"name": "abcde"}`:                   "name",
		`{"name": "a", "list": ["", "", ""]}`: "list",
		`{"name": "a", "list": [7]}`:          "list[0]",
		`{"name": "a", "any": null}`:          "any",
		`{"name": "a", "any": {"x": [{"y": 1, "y": 2}]}}`: "any.x[0].y",
		`{"name": "a", "inner": {"n": 10}}`:               "inner.n",
		`{"name": "a", "Inner": {}}`:                      "Inner",
		`[]`:                                              "",
	} {
		var issues Issues
		if err := Decode([]byte(text), &request{}); !errors.As(err, &issues) || issues[0].Path != path || issues[0].Remedy == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := Syntax([]byte(`{"a": {"b": 1, "b": 2}}`)); err == nil {
		t.Error("a name twice is taken")
	}
}

// TestStoreTry: what turned out to be of no use is gone again, with the document
// before it back in its place.
func TestStoreTry(t *testing.T) {
	d := newDisk()
	s := newStore(d, KindBox)
	undo, err := s.Try(boxNamed("one"))
	if err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil || len(d.files) != 0 {
		t.Errorf("the first one: %v %v", err, d.files)
	}
	for _, name := range []string{"one", "two"} {
		if err := s.Save(boxNamed(name)); err != nil {
			t.Fatal(err)
		}
	}
	if undo, err = s.Try(boxNamed("three")); err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	now, _, _ := s.Load()
	before, err := s.Previous()
	if string(now) != string(boxNamed("two")) || string(before) != string(boxNamed("one")) || err != nil {
		t.Errorf("%s\n%s %v", now, before, err)
	}
	if _, err := s.Try([]byte("{}")); err == nil {
		t.Error("an invalid document is tried")
	}
	if err := s.Wipe(); err != nil || len(d.files) != 0 {
		t.Errorf("%v %v", err, d.files)
	}
}
