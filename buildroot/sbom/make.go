package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Inputs is what a document is made from.
type Inputs struct {
	Version  string
	Time     time.Time
	Programs []string    // files
	Page     []Component // what the page bundles; nil: no page
	Library  *Component  // a library whose source is known; nil: libraries by name alone
}

// page is the program that has the page in it.
const page = "quartet-manage"

// Make looks into the programs. The document is sorted and the same for the same
// programs. An error names the program.
func Make(in Inputs) (*Document, error) {
	firmware := Component{Type: "firmware", Ref: "quartet", Name: "quartet", Version: in.Version, Licenses: []Licence{{"Apache-2.0"}}}
	parts := map[string]Component{}
	needs := map[string][]string{}
	for _, name := range in.Programs {
		c, needed, err := program(name, in.Library)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, twice := parts[c.Ref]; twice {
			return nil, fmt.Errorf("%s: there is another program of this name", name)
		}
		if c.Name == page {
			needed = append(needed, in.Page...)
		}
		parts[c.Ref] = c
		needs["quartet"] = append(needs["quartet"], c.Ref)
		needs[c.Ref] = []string{}
		for _, n := range needed {
			parts[n.Ref] = n
			needs[c.Ref] = append(needs[c.Ref], n.Ref)
		}
	}
	d := &Document{Format: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata: Metadata{Timestamp: in.Time.Format(time.RFC3339), Component: firmware}}
	for _, c := range parts {
		d.Components = append(d.Components, c)
	}
	slices.SortFunc(d.Components, func(a, b Component) int { return cmp.Compare(a.Ref, b.Ref) })
	for ref, on := range needs {
		slices.Sort(on)
		d.Dependencies = append(d.Dependencies, Dependency{ref, slices.Compact(on)})
	}
	slices.SortFunc(d.Dependencies, func(a, b Dependency) int { return cmp.Compare(a.Ref, b.Ref) })
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // RFC 9562, version 8: made from a hash
	d.Serial = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	return d, nil
}

// program is one program and what it is linked from.
func program(name string, library *Component) (c Component, needed []Component, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return c, nil, err
	}
	info, err := buildinfo.ReadFile(name)
	if err != nil {
		return c, nil, fmt.Errorf("it is no program of Go's, or its build information is gone: %w", err)
	}
	sum := sha256.Sum256(b)
	c = Component{Type: "application", Ref: "program:" + filepath.Base(name), Name: filepath.Base(name),
		Hashes: []Hash{{"SHA-256", hex.EncodeToString(sum[:])}}}
	for _, s := range info.Settings {
		if slices.Contains([]string{"GOARCH", "GOOS", "CGO_ENABLED"}, s.Key) {
			c.Properties = append(c.Properties, Property{"go:" + s.Key, s.Value})
		}
	}
	version := strings.TrimPrefix(info.GoVersion, "go")
	version, _, _ = strings.Cut(version, " ")
	needed = append(needed, Component{Type: "library", Ref: "pkg:golang/stdlib@" + version, Name: "stdlib", Version: version,
		PURL: "pkg:golang/stdlib@" + version, CPE: "cpe:2.3:a:golang:go:" + version + ":*:*:*:*:*:*:*", Licenses: []Licence{{"BSD-3-Clause"}}})
	for _, m := range info.Deps {
		needed = append(needed, module(m))
	}
	libraries, err := loaded(name)
	if err != nil {
		return c, nil, err
	}
	for _, so := range libraries {
		if library != nil && strings.HasPrefix(so, library.Name+".so") {
			needed = append(needed, *library)
			continue
		}
		needed = append(needed, Component{Type: "library", Ref: "library:" + so, Name: so,
			Properties: []Property{{"quartet:linking", "dynamic; version and licence: see the list of the image's packages"}}})
	}
	return c, needed, nil
}

// module is a Go module as it was linked: what replaces it, if something does.
func module(m *debug.Module) Component {
	for m.Replace != nil {
		m = m.Replace
	}
	url := "pkg:golang/" + m.Path + "@" + m.Version
	c := Component{Type: "library", Ref: url, Name: m.Path, Version: m.Version, PURL: url}
	if m.Sum != "" { // of the module's files, in Go's own way
		c.Properties = []Property{{"go:sum", m.Sum}}
	}
	return c
}

// loaded are the shared libraries that a program names itself.
func loaded(name string) ([]string, error) {
	f, err := elf.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ImportedLibraries()
}
