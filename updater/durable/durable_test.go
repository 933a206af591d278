package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"

	"quartet/updater/durable"
	"quartet/updater/durable/powercut"
)

// The power goes at every step of a save, with every kind of half-done write:
// the old content is there, or the new, whole.
func TestPowerCutAtEveryStep(t *testing.T) {
	before, after := bytes.Repeat([]byte("old"), 100), bytes.Repeat([]byte("newer"), 100)
	seen := map[string]bool{}
	for _, torn := range []powercut.Torn{powercut.TornEmpty, powercut.TornHalf, powercut.TornWhole} {
		for _, kept := range []bool{false, true} {
			for steps := 1; ; steps++ {
				c := powercut.New()
				if err := durable.Save(c, "a", before); err != nil {
					t.Fatal(err)
				}
				c.Steps, c.Torn = steps, torn
				err := durable.Save(c, "a", after)
				if c.Steps > 0 { // the save needs fewer steps
					break
				}
				if !errors.Is(err, powercut.Err) {
					t.Fatalf("step %d: %v", steps, err)
				}
				c.Restore(kept)
				b, err := c.Read("a")
				switch {
				case err != nil:
					t.Errorf("step %d, torn %d: %v", steps, torn, err)
				case bytes.Equal(b, before):
					seen["old"] = true
				case bytes.Equal(b, after):
					seen["new"] = true
				default:
					t.Errorf("step %d, torn %d: a mixture of %d bytes", steps, torn, len(b))
				}
			}
		}
	}
	if !seen["old"] || !seen["new"] {
		t.Errorf("seen %v, want both", seen)
	}
}

func TestDir(t *testing.T) {
	d, err := durable.Open(t.TempDir() + "/a/b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read of nothing: %v", err)
	}
	for _, text := range []string{"one", "two", "two"} {
		if err := durable.Save(d, "x", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := d.Read("x"); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
	if i, err := os.Stat(d.Path("x")); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
	for range 2 {
		if err := durable.Remove(d, "x"); err != nil {
			t.Error(err)
		}
	}
	if l, err := os.ReadDir(string(d)); err != nil || len(l) != 0 {
		t.Errorf("left: %v, %v", l, err)
	}
}
