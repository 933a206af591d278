package architecture

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is where a file has become two.
const maxLines = 500

func TestFilesAreShort(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		for _, f := range p.source {
			if f.lines >= maxLines {
				t.Errorf("%s has %d lines: split it before it has %d", f.path, f.lines, maxLines)
			}
		}
		for _, f := range p.tests { // tables make tests long; that alone is no fault
			if f.lines >= 2*maxLines {
				t.Logf("warning: %s has %d lines", f.path, f.lines)
			}
		}
	}
}

// machine matches a path that exists on somebody's machine only. It is put
// together here so that it does not match itself.
var machine = regexp.MustCompile(`(^|[\s"'=(:` + "`" + `])/(` + strings.Join([]string{
	"work", "root", "workspace", "Users/[A-Za-z]", "home/[a-z][a-z0-9_-]*",
}, "|") + `)/[A-Za-z0-9.]`)

// allowedPaths are those that a container has by its own right.
var allowedPaths = regexp.MustCompile(`/home/(dev|quartet)\b`)

func TestNoPathsOfAMachine(t *testing.T) {
	m := repository(t)
	for _, name := range m.texts(t) {
		b, err := os.ReadFile(filepath.Join(m.root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			continue // not a text
		}
		for i, line := range strings.Split(string(b), "\n") {
			if found := machine.FindString(line); found != "" && !allowedPaths.MatchString(line) {
				t.Errorf("%s:%d: %q is a path of one machine: write it relative, or let the user give it", name, i+1, strings.TrimSpace(found))
			}
		}
	}
}

// texts lists the repository's files: those that git tracks, else all but
// hidden folders and build/.
func (m *module) texts(t *testing.T) (names []string) {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = m.root
	if out, err := cmd.Output(); err == nil && len(out) > 0 {
		names = strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
		return slices.DeleteFunc(names, func(n string) bool { return n == "go.sum" })
	}
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(m.root, path)
		if d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || rel == "build") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() && rel != "go.sum" {
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
