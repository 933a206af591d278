// Package fields finds settings that are accepted and ignored: it changes the
// fields of a configuration document one at a time and looks at what a program
// makes of it.
package fields

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"quartet/device/config"
)

// Build makes a program's settings of a document, which may be wrong. Both
// document and settings are compared with reflect.DeepEqual; warnings are those
// about the document.
type Build func(doc []byte) (document, settings any, warnings config.Issues, err error)

// Result tells of each field of a document, by its path as config.Fields writes
// it, what became of its changes.
type Result struct {
	Effect  map[string]bool     // some change changed what was made
	Ignored map[string][]string // places where accepted changes changed nothing

	seen map[string]bool // places and what is around them
}

// candidates are values of every kind that a field may take: the document's own
// rules sort out what fits.
var candidates = []any{
	0, 1, 2, 3, 4, 5, 6, 7, 9, 16, 20, 24, 30, 32, 50, 64, 99, 120, 137, 250, 450, 700, 1200, 1400, 2500, 9000, -2, -15, -30, 98.5, 25_000, 30_000, 60_000, 120_000, 262_144, 20_000_000, 0.5, 40.5,
	true, false,
	"udp", "rtp", "srt", "file", "ts", "rtp-fec", "caller", "listener", "null", "stop", "none", "st2022-1", "box", "peer",
	"slate", "black", "contribution-quality", "hevc", "x264enc", "50", "4:3", "4:2:2", 8, 10, "veryfast", "mp2", "deu", "hw:9", "sdi:///dev/video9",
	"debug", "json", "other", "192.0.2.99", "fec,cols:10", "0x1f0,8000", "correct-horse-battery-2", "/tmp/other",
	strings.Repeat("5a", 32),
	"udp://239.9.9.9:5999", "rtp://239.9.9.9:5999", "rtp://192.0.2.98:5999", "srt://192.0.2.98:5999", "srt://:5998", "file:///tmp/other.ts", "192.0.2.97:5997", "127.0.0.1:5996",
}

// Check changes each field of base in turn, in every place that base has it, and
// adds what it finds to r.
func (r *Result) Check(t *testing.T, kind config.Kind, base any, build Build) {
	t.Helper()
	doc := config.Encode(base)
	same, made, _, err := build(doc)
	if err != nil {
		t.Fatalf("the document to start from is wrong: %v\n%s", err, doc)
	}
	if r.Effect == nil {
		r.Effect, r.Ignored, r.seen = map[string]bool{}, map[string][]string{}, map[string]bool{}
	}
	all := config.Fields(kind)
	for i, f := range all {
		if inner(all, i) {
			continue
		}
		var tree any
		if err := json.Unmarshal(doc, &tree); err != nil {
			t.Fatal(err)
		}
		for _, p := range places(tree, f.Path, "") {
			if around := p + surroundings(tree, p); !r.seen[around] {
				r.seen[around] = true
				r.change(doc, f, p, same, made, build)
			}
		}
	}
}

// surroundings is what a field's meaning may depend on: the section that it is
// in, the output of a box, of its encoder the input, and of that who looks at it.
func surroundings(tree any, place string) string {
	m, ok := tree.(map[string]any)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(place, ".")
	section := m[strings.TrimRight(name, "[]0123456789")]
	if list, ok := section.([]any); ok {
		i, _ := strconv.Atoi(name[strings.IndexByte(name, '[')+1 : len(name)-1])
		section = list[i]
	}
	around := []any{section, m["output"]}
	switch name {
	case "encoder", "confidence":
		around = append(around, m["input"])
	case "input":
		around = append(around, m["confidence"])
	}
	text, err := json.Marshal(around)
	if err != nil {
		return ""
	}
	return string(text)
}

// inner tells whether field i is an object or a list, whose fields follow.
func inner(all []config.FieldDoc, i int) bool {
	return i+1 < len(all) && (strings.HasPrefix(all[i+1].Path, all[i].Path+".") || strings.HasPrefix(all[i+1].Path, all[i].Path+"[]"))
}

// change tries the candidates on one place.
func (r *Result) change(doc []byte, f config.FieldDoc, place string, same, made any, build Build) {
	accepted := false
	for _, v := range candidates {
		if !fits(v, f.Takes) {
			continue
		}
		var tree any
		if json.Unmarshal(doc, &tree) != nil {
			return
		}
		set(tree, place, v)
		changed, err := json.Marshal(tree)
		if err != nil {
			return
		}
		is, next, warnings, err := build(changed)
		if err != nil || reflect.DeepEqual(is, same) || told(warnings, place) {
			continue
		}
		// Where an absent field means 0, to write 0 may change nothing.
		accepted = accepted || v != 0
		if !reflect.DeepEqual(next, made) {
			r.Effect[f.Path] = true
			return
		}
	}
	if accepted {
		r.Ignored[f.Path] = append(r.Ignored[f.Path], place)
	}
}

// fits sorts out what a field cannot take by its JSON type.
func fits(v any, takes string) bool {
	switch v.(type) {
	case bool:
		return takes == "true or false"
	case int, float64:
		return strings.Contains(takes, "number") || takes[0] >= '0' && takes[0] <= '9'
	}
	return takes != "true or false" && !strings.Contains(takes, "number")
}

// told tells whether a warning says of a place that it has no effect.
func told(warnings config.Issues, place string) bool {
	for _, w := range warnings {
		if strings.HasPrefix(place, w.Path) && strings.Contains(w.Problem, "no effect") {
			return true
		}
	}
	return false
}

// places writes out the lists of a path: paths[].srt.mss_bytes becomes
// paths[0].srt.mss_bytes and so on. Objects that may be absent must be there.
func places(tree any, path, at string) []string {
	name, rest, nested := strings.Cut(path, ".")
	list := strings.HasSuffix(name, "[]")
	name = strings.TrimSuffix(name, "[]")
	m, ok := tree.(map[string]any)
	if !ok {
		return nil
	}
	here := strings.TrimPrefix(at+"."+name, ".")
	if !nested {
		return []string{here}
	}
	if !list {
		child, ok := m[name]
		if !ok && optional[name] {
			return nil
		}
		if !ok {
			child = map[string]any{}
		}
		return places(child, rest, here)
	}
	var all []string
	elems, _ := m[name].([]any)
	for i, e := range elems {
		all = append(all, places(e, rest, here+"["+strconv.Itoa(i)+"]")...)
	}
	return all
}

// optional are objects whose being there means something.
var optional = map[string]bool{"second": true, "st2022_1": true}

// set sets a place, making objects on the way.
func set(tree any, place string, v any) {
	name, rest, nested := strings.Cut(place, ".")
	index := -1
	if i := strings.IndexByte(name, '['); i >= 0 {
		index, _ = strconv.Atoi(strings.TrimSuffix(name[i+1:], "]"))
		name = name[:i]
	}
	m := tree.(map[string]any)
	switch {
	case index >= 0:
		set(m[name].([]any)[index], rest, v)
	case !nested:
		m[name] = v
	default:
		if m[name] == nil {
			m[name] = map[string]any{}
		}
		set(m[name], rest, v)
	}
}

// Report fails the test for each field that is ignored somewhere or has no
// effect anywhere, but for those that elsewhere names, with where their effect
// is.
func (r *Result) Report(t *testing.T, kind config.Kind, elsewhere map[string]string) {
	t.Helper()
	all := config.Fields(kind)
	known := map[string]bool{}
	for i, f := range all {
		known[f.Path] = true
		if inner(all, i) {
			continue
		}
		switch where := elsewhere[f.Path]; {
		case where != "":
			if r.Effect[f.Path] && len(r.Ignored[f.Path]) == 0 {
				t.Errorf("%s has an effect here: take it off the list", f.Path)
			}
		case len(r.Ignored[f.Path]) > 0:
			t.Errorf("%s is accepted and ignored at %s: make it do something, or refuse it there", f.Path, strings.Join(r.Ignored[f.Path], ", "))
		case !r.Effect[f.Path]:
			t.Errorf("%s has no effect in any of the documents tried, or is accepted in none", f.Path)
		}
	}
	for path := range elsewhere {
		if !known[path] {
			t.Errorf("%s is on the list and in no document", path)
		}
	}
}
