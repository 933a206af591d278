//go:build qemu

package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLostPartitions starts a box whose data or configuration partition cannot be
// mounted: it can be reached all the same, behind its firewall, to be set up anew.
func TestLostPartitions(t *testing.T) {
	needFull(t)
	b := provisioned(t, newDisk(t), "LAB-0060")
	b.page.answers(3 * time.Minute)
	b.page.claim(b.code)
	b.studio = newStudio(t)
	b.streams(t)
	b.run("sync")
	b.cut()
	// In MiB: where the partition begins, as image/build.sh and docs/image.md have it,
	// and where in it ext4 has what it begins with, with the copies. Without these the
	// check at the start would make it whole again.
	for _, c := range []struct {
		lost   string
		at     int64
		copies []int64
	}{{"data", 1201, []int64{0, 128, 384, 640}}, {"config", 1169, []int64{0, 8, 24}}} {
		t.Run(c.lost, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk.img")
			copyDisk(t, b.disk, disk)
			f, err := os.OpenFile(disk, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range c.copies {
				if _, err := f.WriteAt(make([]byte, 4096), (c.at+at)<<20); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			g := boot(t, disk)
			g.up(startLimit)
			state := g.page().answers(3 * time.Minute)
			t.Logf("without %s: %+v", c.lost, state)
			if c.lost == "data" && state.Claimed {
				t.Error("the users were on the lost partition, and the box is claimed")
			}
			for unit, want := range map[string]string{"quartet-netd": "active", "quartet-firewall": "inactive", "quartet-manage": "active"} {
				if out := g.run("systemctl is-active " + unit + " || true"); out != want {
					t.Errorf("%s is %s, want %s: %s", unit, out, want, g.run("journalctl -u "+unit+" -n 20 --no-pager -o cat"))
				}
			}
			if out := g.run("nft list ruleset"); !strings.Contains(out, "policy drop") {
				t.Errorf("the firewall is not there: %s", out)
			}
			t.Logf("failed units: %s", g.run("systemctl --failed --plain --no-legend || true"))
		})
	}
}
