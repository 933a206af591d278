package durable

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func folder(t *testing.T) (Folder, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a", "b")
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f, path
}

func TestReplaceOverwritesWhatWas(t *testing.T) {
	f, path := folder(t)
	if err := Replace(f, "x", []byte("the old secret")); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(path, "x"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode(), err)
	}
	// A second name keeps the old content in sight.
	shadow := filepath.Join(t.TempDir(), "shadow")
	if err := os.Link(filepath.Join(path, "x"), shadow); err != nil {
		t.Skip("no hard links here: ", err)
	}
	if err := Replace(f, "x", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if b, err := f.Read("x"); err != nil || string(b) != "new" {
		t.Fatal(string(b), err)
	}
	if b, _ := os.ReadFile(shadow); !bytes.Equal(b, make([]byte, len("the old secret"))) {
		t.Errorf("the old content is still there: %q", b)
	}
	if err := os.Remove(shadow); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(path, "x"), shadow); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing, and that is no error
		if err := f.Remove("x"); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(shadow); !bytes.Equal(b, make([]byte, 3)) {
		t.Errorf("the removed content is still there: %q", b)
	}
	if _, err := f.Read("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestWipeDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("stays"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := Wipe(link); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(target); string(b) != "stays" {
		t.Errorf("the link's target was overwritten: %q", b)
	}
	if _, err := os.Lstat(link); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the link is still there")
	}
}

func TestReadIsBounded(t *testing.T) {
	f, path := folder(t)
	if err := os.WriteFile(filepath.Join(path, "big"), make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read("big"); err == nil {
		t.Error("a file beyond the bound was read")
	}
}

func TestTwin(t *testing.T) {
	f, path := folder(t)
	w := Twin{Folder: f, Name: "x"}
	if _, _, err := w.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	content := []byte("line\nsha256 not really\n")
	if err := w.Save(content); err != nil {
		t.Fatal(err)
	}
	is := func(wantProblem bool) {
		t.Helper()
		data, problem, err := w.Load()
		if err != nil || !bytes.Equal(data, content) || (problem != nil) != wantProblem {
			t.Fatalf("%q, %v, %v", data, problem, err)
		}
	}
	is(false)
	for _, spoil := range []func(string) error{
		os.Remove,
		func(n string) error { return os.WriteFile(n, []byte("x"), 0o600) },
		func(n string) error { return os.Truncate(n, 0) },
	} {
		if err := spoil(filepath.Join(path, "x")); err != nil {
			t.Fatal(err)
		}
		is(true)
		is(false) // mended
		if err := spoil(filepath.Join(path, "x.copy")); err != nil {
			t.Fatal(err)
		}
		is(false)
		if b, _ := os.ReadFile(filepath.Join(path, "x.copy")); !bytes.HasPrefix(b, content) {
			t.Error("the copy was not mended")
		}
	}
	for _, n := range []string{"x", "x.copy"} {
		if err := os.WriteFile(filepath.Join(path, n), []byte("neither"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := w.Load(); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	if err := w.Destroy(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(path); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
