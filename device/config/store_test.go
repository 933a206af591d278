package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// boxNamed returns a small valid box document that differs by name.
func boxNamed(name string) []byte {
	return []byte(`{"version": 1, "name": "` + name + `", "input": {"type": "udp", "url": "udp://:5000"},
 "output": {}, "paths": [{"name": "a", "profile": "ts", "url": "srt://127.0.0.1:9000"}]}`)
}

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config")
	s, err := NewStore(dir, KindBox)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Load of an empty folder: %v", err)
	}
	one, two := boxNamed("one"), boxNamed("two")
	for _, doc := range [][]byte{one, two} {
		if err := s.Save(doc); err != nil {
			t.Fatal(err)
		}
		if got, problem, err := s.Load(); err != nil || problem != nil || !bytes.Equal(got, doc) {
			t.Fatalf("Load after Save: %q, %v, %v", got, problem, err)
		}
	}
	if err := s.Save([]byte(`{"version": 1}`)); err == nil {
		t.Fatal("an invalid document was saved")
	}
	file := filepath.Join(dir, "box.v1.json")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o640 {
		t.Fatalf("mode of %s: %v, %v", file, st.Mode(), err)
	}

	// The current document torn: the previous one takes its place for good.
	if err := os.WriteFile(file, two[:len(two)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	got, problem, err := s.Load()
	if err != nil || problem == nil || !bytes.Equal(got, one) {
		t.Fatalf("Load of a torn document: %q, %v, %v", got, problem, err)
	}
	if got, problem, err := s.Load(); err != nil || problem != nil || !bytes.Equal(got, one) {
		t.Fatalf("Load after the repair: %q, %v, %v", got, problem, err)
	}
	if torn, _ := os.ReadFile(file + ".damaged"); !bytes.Equal(torn, two[:len(two)/2]) {
		t.Error("the torn document was not kept")
	}

	// Both torn: an error that says what is wrong, and nothing is overwritten.
	os.WriteFile(file, []byte("{"), 0o600)
	os.WriteFile(file+".previous", nil, 0o600)
	if _, _, err := s.Load(); err == nil || !strings.Contains(err.Error(), "line 1:2") {
		t.Fatalf("Load with both torn: %v", err)
	}
}

// TestStorePowerCut (fault F19) cuts the power at every step of a Save, with
// every outcome that a journalling file system may leave, and starts again.
func TestStorePowerCut(t *testing.T) {
	one, two, three := boxNamed("one"), boxNamed("two"), boxNamed("three")
	cuts := 0
	for step := 0; ; step++ {
		d := newDisk()
		s := newStore(d, KindBox)
		for _, doc := range [][]byte{one, two} {
			if err := s.Save(doc); err != nil {
				t.Fatal(err)
			}
		}
		d.fuse = step
		saved := s.Save(three)
		for _, after := range d.crashes() {
			cuts++
			s := newStore(after, KindBox)
			got, _, err := s.Load()
			switch {
			case err != nil:
				t.Fatalf("cut at step %d: the box does not start: %v", step, err)
			case bytes.Equal(got, three):
			case bytes.Equal(got, two):
				if saved == nil {
					t.Fatalf("cut after step %d: a saved document is gone", step)
				}
			default:
				t.Fatalf("cut at step %d: %q is neither the old nor the new one", step, got)
			}
			if err := s.Save(one); err != nil {
				t.Fatalf("cut at step %d: cannot save afterwards: %v", step, err)
			}
			if got, _, err := s.Load(); err != nil || !bytes.Equal(got, one) {
				t.Fatalf("cut at step %d: %q, %v after another Save", step, got, err)
			}
		}
		if saved == nil {
			break
		}
	}
	if cuts < 20 {
		t.Fatalf("only %d cuts tried", cuts)
	}
}

// TestStoreReadOnly: a folder that cannot be written still starts the box, and
// Save says so.
func TestStoreReadOnly(t *testing.T) {
	d := newDisk()
	s := newStore(d, KindBox)
	if err := s.Save(boxNamed("one")); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(boxNamed("two")); err != nil {
		t.Fatal(err)
	}
	d.files["box.v1.json"] = []byte("torn")
	d.fuse = 0
	got, problem, err := s.Load()
	if err != nil || problem == nil || !bytes.Equal(got, boxNamed("one")) {
		t.Fatalf("Load from a read-only folder: %q, %v, %v", got, problem, err)
	}
	if err := s.Save(boxNamed("three")); err == nil {
		t.Fatal("Save to a read-only folder succeeded")
	}
}

// disk is a folder whose power fails after fuse operations. Like a journalling
// file system it keeps metadata in order, but what was not synced may be lost.
type disk struct {
	files   map[string][]byte // as running programs see them
	durable map[string][]byte // as of the last sync
	pending []map[string][]byte
	fuse    int
}

var errPower = errors.New("no power")

func newDisk() *disk {
	return &disk{files: map[string][]byte{}, durable: map[string][]byte{}, fuse: 1 << 30}
}

// step records a state that a crash may leave.
func (d *disk) step() { d.pending = append(d.pending, maps.Clone(d.files)) }

func (d *disk) burn() bool { d.fuse--; return d.fuse < 0 }

func (d *disk) read(name string) ([]byte, error) {
	b, ok := d.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

func (d *disk) write(name string, data []byte) error {
	if d.burn() {
		for _, n := range []int{0, 1, len(data) / 2, len(data) - 1} { // cut within the write
			d.files[name] = slices.Clone(data[:n])
			d.step()
		}
		d.files[name] = make([]byte, len(data)) // length kept, content not
		d.step()
		return errPower
	}
	d.files[name] = slices.Clone(data)
	d.step()
	return nil
}

func (d *disk) rename(from, to string) error {
	if d.burn() {
		return errPower
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	d.step()
	return nil
}

func (d *disk) remove(name string) error {
	if d.burn() {
		return errPower
	}
	delete(d.files, name)
	d.step()
	return nil
}

func (d *disk) sync() error {
	if d.burn() {
		return errPower
	}
	d.durable, d.pending = maps.Clone(d.files), nil
	return nil
}

// crashes returns the folder in every state that a power cut now may leave.
func (d *disk) crashes() []*disk {
	list := []*disk{}
	for _, state := range append([]map[string][]byte{d.durable}, d.pending...) {
		list = append(list, &disk{files: maps.Clone(state), durable: maps.Clone(state), fuse: 1 << 30})
	}
	return list
}
