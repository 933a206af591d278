package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func document(t *testing.T) (*Document, string) {
	t.Helper()
	// A small one of ours, under the name of the program that has the page.
	name := filepath.Join(t.TempDir(), page)
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", name, "../../cmd/quartet-netd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var err error
	in := Inputs{Version: "1.4.0", Time: time.Unix(1700000000, 0).UTC(), Programs: []string{name}}
	if in.Page, err = readLock("../../device/web/ui/package-lock.json"); err != nil {
		t.Fatal(err)
	}
	if in.Library, err = readPackage("../package/libsrt"); err != nil {
		t.Fatal(err)
	}
	d, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	return d, name
}

// TestS16EqualsWhatIsLinked (security S16): the modules of the document are those
// that go version -m finds in the program, no more and no fewer.
func TestS16EqualsWhatIsLinked(t *testing.T) {
	d, name := document(t)
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) >= 3 && f[0] == "dep" {
			want = append(want, "pkg:golang/"+f[1]+"@"+f[2])
		}
	}
	if len(want) < 2 {
		t.Fatalf("the program is linked from %d modules: %s", len(want), out)
	}
	var got []string
	for _, c := range d.Components {
		if strings.HasPrefix(c.PURL, "pkg:golang/") && c.Name != "stdlib" {
			got = append(got, c.PURL)
			if !slices.ContainsFunc(c.Properties, func(p Property) bool { return p.Name == "go:sum" && strings.HasPrefix(p.Value, "h1:") }) {
				t.Errorf("%s has no sum", c.PURL)
			}
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("in the document: %q\nin the program: %q", got, want)
	}
}

// TestStructure holds the document against what CycloneDX 1.6 demands of the
// members that we use.
func TestStructure(t *testing.T) {
	d, _ := document(t)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc["bomFormat"] != "CycloneDX" || doc["specVersion"] != "1.6" || doc["version"] != 1.0 {
		t.Errorf("%v %v %v", doc["bomFormat"], doc["specVersion"], doc["version"])
	}
	if s := d.Serial; !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).MatchString(s) {
		t.Errorf("serialNumber %q", s)
	}
	if _, err := time.Parse(time.RFC3339, d.Metadata.Timestamp); err != nil {
		t.Error(err)
	}
	refs := map[string]bool{d.Metadata.Component.Ref: true}
	kinds := []string{"application", "library", "firmware"}
	for _, c := range append(d.Components, d.Metadata.Component) {
		if !slices.Contains(kinds, c.Type) || c.Name == "" || c.Ref == "" {
			t.Errorf("component %+v", c)
		}
		if refs[c.Ref] && c.Ref != d.Metadata.Component.Ref {
			t.Errorf("%s: twice", c.Ref)
		}
		refs[c.Ref] = true
		for _, h := range c.Hashes {
			length := map[string]int{"SHA-256": 64, "SHA-512": 128}[h.Algorithm]
			if len(h.Content) != length || strings.Trim(h.Content, "0123456789abcdef") != "" {
				t.Errorf("%s: %s %q", c.Ref, h.Algorithm, h.Content)
			}
		}
		if c.PURL != "" && !regexp.MustCompile(`^pkg:[a-z]+/[^ @]+@[^ @]+$`).MatchString(c.PURL) {
			t.Errorf("purl %q", c.PURL)
		}
	}
	reached := map[string]bool{"quartet": true}
	for _, dep := range d.Dependencies {
		if !refs[dep.Ref] {
			t.Errorf("dependency of %q, which is no component", dep.Ref)
		}
		for _, on := range dep.On {
			reached[on] = true
			if !refs[on] {
				t.Errorf("%q depends on %q, which is no component", dep.Ref, on)
			}
		}
	}
	for r := range refs {
		if !reached[r] {
			t.Errorf("%q is nobody's dependency", r)
		}
	}
	for _, want := range []string{"pkg:npm/preact@", "pkg:npm/uplot@", "pkg:golang/stdlib@", "program:" + page} {
		if !slices.ContainsFunc(d.Components, func(c Component) bool { return strings.HasPrefix(c.Ref, want) }) {
			t.Errorf("%s is missing", want)
		}
	}
	if slices.ContainsFunc(d.Components, func(c Component) bool { return c.Name == "vite" }) {
		t.Error("vite is for development, and not in the page")
	}
	again, _ := document(t)
	if again.Serial != d.Serial {
		t.Error("the same programs give another document")
	}
}

// TestLibraryFromItsPackage: what is known of libsrt stands in its Buildroot
// package alone.
func TestLibraryFromItsPackage(t *testing.T) {
	c, err := readPackage("../package/libsrt")
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "libsrt" || c.Version == "" || c.Licenses[0].Expression != "MPL-2.0" || len(c.Hashes) != 1 ||
		c.CPE != "cpe:2.3:a:haivision:srt:"+c.Version+":*:*:*:*:*:*:*" || c.PURL != "pkg:github/haivision/srt@v"+c.Version {
		t.Errorf("%+v", c)
	}
}

func TestRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(Inputs{Programs: []string{file}}); err == nil || !strings.Contains(err.Error(), "no program of Go's") {
		t.Errorf("a script: %v", err)
	}
	for _, lock := range []string{`{"lockfileVersion":1}`, `{`, `{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1","integrity":"sha512-AA"}}}`} {
		if _, err := parseLock([]byte(lock)); err == nil {
			t.Errorf("%s: no error", lock)
		}
	}
}

func FuzzLock(f *testing.F) {
	b, err := os.ReadFile("../../device/web/ui/package-lock.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"lockfileVersion":3,"packages":{"node_modules/@a/b":{"version":"1"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseLock(b)
		for _, c := range list {
			if err == nil && c.Ref == "" {
				t.Errorf("%+v", c)
			}
		}
	})
}
