package powercut

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"quartet/device/durable"
)

var _ durable.Folder = (*Disk)(nil)

// F19, of durable itself: whatever step the power goes at, a Twin loads the old
// content or the new one, and what Save confirmed is there.
func TestF19Twin(t *testing.T) {
	cuts := 0
	for step := 0; ; step++ {
		d := New()
		w := durable.Twin{Folder: d, Name: "x"}
		if err := w.Save([]byte("old")); err != nil {
			t.Fatal(err)
		}
		d.Fuse(step)
		saved := w.Save([]byte("new one"))
		for _, after := range d.Crashes() {
			cuts++
			w := durable.Twin{Folder: after, Name: "x"}
			got, _, err := w.Load()
			if err != nil || string(got) != "new one" && (string(got) != "old" || saved == nil) {
				t.Fatalf("step %d, saved: %v: %q, %v", step, saved, got, err)
			}
			if again, problem, err := w.Load(); err != nil || problem != nil || string(again) != string(got) {
				t.Fatalf("step %d: mended to %q, %v, %v", step, again, problem, err)
			}
		}
		if saved == nil {
			break
		}
	}
	for step := 0; ; step++ {
		d := New()
		w := durable.Twin{Folder: d, Name: "x"}
		if err := w.Save([]byte("old")); err != nil {
			t.Fatal(err)
		}
		d.Fuse(step)
		gone := w.Destroy()
		for _, after := range d.Crashes() {
			cuts++
			got, _, err := durable.Twin{Folder: after, Name: "x"}.Load()
			if whole := err == nil && string(got) == "old"; whole == (gone == nil) && gone == nil || !whole && err == nil {
				t.Fatalf("step %d, destroyed: %v: %q, %v", step, gone, got, err)
			}
			if gone == nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("step %d: %v after a Destroy", step, err)
			}
		}
		if gone == nil {
			break
		}
	}
	if cuts < 30 {
		t.Fatalf("only %d cuts tried", cuts)
	}
}

// F19, of Save and Remove: the same.
func TestF19SaveAndRemove(t *testing.T) {
	for what, do := range map[string]func(*Disk) error{
		"save":   func(d *Disk) error { return durable.Save(d, "x", []byte("new one")) },
		"remove": func(d *Disk) error { return durable.Remove(d, "x") },
	} {
		seen := map[string]bool{}
		for step := 0; ; step++ {
			d := New()
			if err := durable.Save(d, "x", []byte("old")); err != nil {
				t.Fatal(err)
			}
			d.Fuse(step)
			done := do(d)
			if d.Off() != (done != nil) {
				t.Fatalf("%s, step %d: off %t, %v", what, step, d.Off(), done)
			}
			for i := range d.Crashes() {
				after := d.Crashes()[i]
				b, err := after.Read("x")
				text := string(b)
				if errors.Is(err, fs.ErrNotExist) {
					text = "gone"
				}
				seen[text] = true
				switch {
				case what == "save" && text != "old" && text != "new one", what == "save" && done == nil && text != "new one",
					what == "remove" && done == nil && text != "gone":
					t.Errorf("%s, step %d: %q", what, step, text)
				}
			}
			d.Restore(-1)
			if d.Off() || durable.Save(d, "x", []byte("again")) != nil {
				t.Errorf("%s, step %d: no power", what, step)
			}
			if done == nil {
				break
			}
		}
		if len(seen) < 2 {
			t.Errorf("%s: seen %v", what, seen)
		}
	}
	d := New()
	if err := durable.Save(d, "x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	d.Fuse(0) // what is there already needs no power
	if err := durable.Save(d, "x", []byte("old")); err != nil {
		t.Error(err)
	}
}

// The disk itself loses what was not synced, and only that.
func TestDisk(t *testing.T) {
	d := New()
	if err := d.Write("a", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	d.Fuse(1)
	if err := d.Rename("a", "b"); err != nil {
		t.Fatal(err)
	}
	if err := d.Write("c", []byte("torn")); !errors.Is(err, ErrPower) {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, after := range d.Crashes() {
		text := ""
		for _, name := range []string{"a", "b", "c"} {
			if b, err := after.Read(name); err == nil {
				text += fmt.Sprintf("%s=%q ", name, b)
			}
		}
		seen[text] = true
	}
	for _, want := range []string{`a="kept" `, `b="kept" `, `b="kept" c="" `, `b="kept" c="to" `, `b="kept" c="\x00\x00\x00\x00" `} {
		if !seen[want] {
			t.Errorf("no crash leaves %s; there are %v", want, seen)
		}
	}
}
