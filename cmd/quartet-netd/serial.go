package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// serialOf finds the serial number that the box's name is made of: in the
// file that provisioning wrote (JSON with a field serial, or the number alone),
// else the board's own, else the address of its first network port. "" if there
// is nothing at all.
func serialOf(root, file string) string {
	if b, err := os.ReadFile(file); err == nil && len(b) <= 64<<10 {
		var p struct {
			Serial string `json:"serial"`
		}
		if json.Unmarshal(b, &p) == nil && p.Serial != "" {
			return p.Serial
		}
		if s := plain(b); s != "" {
			return s
		}
	}
	for _, name := range []string{"proc/device-tree/serial-number", "sys/class/dmi/id/product_serial"} {
		if b, err := os.ReadFile(filepath.Join(root, name)); err == nil {
			if s := plain(b); s != "" {
				return s
			}
		}
	}
	// A port with a device behind it: no bridge, no VLAN. The same at each start,
	// because the names are.
	ports, _ := filepath.Glob(filepath.Join(root, "sys/class/net/*/device"))
	slices.Sort(ports)
	for _, p := range ports {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(p), "address"))
		if s := strings.ReplaceAll(plain(b), ":", ""); err == nil && len(s) == 12 && strings.Trim(s, "0") != "" {
			return s
		}
	}
	return ""
}

// plain is a serial number on a line of its own; what board makers leave in
// place of one is none.
func plain(b []byte) string {
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
