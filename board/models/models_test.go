package models

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenChoosesByTheDeviceTree(t *testing.T) {
	for _, tc := range []struct{ words, model, err string }{
		{"fsl,imx8mp-evk\x00fsl,imx8mp\x00", "imx8mp-evk", ""},
		{"radxa,rock-5b\x00rockchip,rk3588\x00", "rock5b", ""},
		{"linux,dummy-virt\x00", "qemu-virt", "BTN_RESET"}, // the folder has no GPIO chip
		{"acme,box\x00", "generic", ""},
		{"", "generic", ""},
	} {
		root := t.TempDir()
		if tc.words != "" {
			dir := filepath.Join(root, "proc/device-tree")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "compatible"), []byte(tc.words), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Open(root)
		if b == nil || b.Model != tc.model {
			t.Fatalf("%q: %+v, want %s", tc.words, b, tc.model)
		}
		if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: error %v, want %q in it", tc.words, err, tc.err)
		}
		if b.Close() != nil {
			t.Error("Close")
		}
	}
}

// What a driver shows only after Open is found by the next look.
func TestAgain(t *testing.T) {
	root := t.TempDir()
	b, err := Open(root)
	if err != nil || len(b.Temperatures)+len(b.Fans) != 0 {
		t.Fatalf("%+v, %v", b, err)
	}
	dir := filepath.Join(root, "sys/class/hwmon/hwmon0")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"name": "emc2305\n", "temp1_input": "40000\n", "fan1_input": "3000\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if Again(root, b); len(b.Temperatures) != 1 || len(b.Fans) != 1 {
		t.Errorf("%+v", b)
	}
}
