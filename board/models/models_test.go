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
