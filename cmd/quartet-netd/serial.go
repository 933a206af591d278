package main

import (
	"encoding/json"
	"os"

	"quartet/device/network"
)

// serialOf finds the serial number that the box's name is made of: in the
// file that provisioning wrote (JSON with a field serial, or the number alone),
// else the board's own. "" if there is nothing at all.
func serialOf(root, file string) string {
	if b, err := os.ReadFile(file); err == nil && len(b) <= 64<<10 {
		var p struct {
			Serial string `json:"serial"`
		}
		if json.Unmarshal(b, &p) == nil && p.Serial != "" {
			return p.Serial
		}
		if s := network.PlainSerial(b); s != "" {
			return s
		}
	}
	return network.BoardSerial(root)
}
