package network

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// BoardSerial is the serial number of a box that was not provisioned: the
// board's own by its device tree, else the address of its first network port
// without the colons. root is the root of the file system, "/" on a box. "" if
// there is nothing at all. Whoever names the box asks here, so that all call it
// the same; it looks at nothing that only root may read (as DMI's numbers are).
func BoardSerial(root string) string {
	if b, err := os.ReadFile(filepath.Join(root, "proc/device-tree/serial-number")); err == nil {
		if s := PlainSerial(b); s != "" {
			return s
		}
	}
	// A port with a device behind it: no bridge, no VLAN. The same at each start,
	// because the names are.
	ports, _ := filepath.Glob(filepath.Join(root, "sys/class/net/*/device"))
	slices.Sort(ports)
	for _, p := range ports {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(p), "address"))
		if s := strings.ReplaceAll(PlainSerial(b), ":", ""); err == nil && len(s) == 12 && strings.Trim(s, "0") != "" {
			return s
		}
	}
	return ""
}

// PlainSerial is a serial number on a line of its own, as the kernel shows it.
// What board makers leave in place of one is none.
func PlainSerial(b []byte) string {
	s := strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
	if len(s) > 64 || strings.ContainsAny(s, "\n{}\x00") {
		return ""
	}
	switch strings.ToLower(s) {
	case "none", "not specified", "to be filled by o.e.m.", "default string", "system serial number", "0":
		return ""
	}
	return s
}
