package raucfake

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"quartet/updater/rauc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The boot loader's script: three tries for each slot in their order, then all
// counters anew.
func TestPowerOn(t *testing.T) {
	b := New("quartet-generic", "1.0.0")
	boot := func(want string, whole bool) {
		t.Helper()
		if slot, w := b.PowerOn(); slot != want || w != whole {
			t.Errorf("it boots %s (%t), want %s (%t)", slot, w, want, whole)
		}
	}
	for range 3 {
		boot("A", true)
	}
	boot("A", true) // all counters were at zero
	if b.Left("A") != 2 || b.Left("B") != 3 {
		t.Errorf("%d and %d left", b.Left("A"), b.Left("B"))
	}
	name := filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(name, Bundle("quartet-generic", "1.1.0", nil), 0o600); err != nil {
		t.Fatal(err)
	}
	// The power goes while the other slot is written: it is not booted.
	errCut := errors.New("cut")
	b.Step = func(what string) error {
		if what == "write 60" {
			return errCut
		}
		return nil
	}
	if err := b.Install(t.Context(), name, "", nil); err == nil {
		t.Error("a cut installation has ended well")
	}
	boot("A", true)
	b.Step = nil
	if err := b.Install(t.Context(), name, "", nil); err != nil {
		t.Fatal(err)
	}
	boot("A", true)
	if err := b.Mark(t.Context(), rauc.Active, rauc.Other); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		boot("B", true)
	}
	if err := b.Mark(t.Context(), rauc.Good, "rootfs.0"); err != nil {
		t.Fatal(err)
	}
	boot("A", true) // B was never marked good
}
