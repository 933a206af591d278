//go:build qemu

package qemu

import (
	"os"
	"testing"
	"time"
)

// TestVivid runs capture/sdi's TestVivid in the box, against the kernel's vivid
// with one HDMI input: lock, signal lost, no lock, out of range, another format.
func TestVivid(t *testing.T) {
	needFull(t)
	test, err := os.ReadFile(program("sdi.test.arm64"))
	if err != nil {
		t.Fatalf("%v: use make test-qemu-full", err)
	}
	g := boot(t, newDisk(t))
	g.up(startLimit)
	g.run("modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x3")
	node := g.run("cd /sys/class/video4linux && grep -l vivid */name | head -n 1 | cut -d/ -f1")
	if node == "" {
		t.Fatal("vivid has made no video device")
	}
	// Not below /var, from which nothing is executed.
	g.put("/run/sdi.test", test)
	g.run("chmod 755 /run/sdi.test")
	out, ok := g.try("/run/sdi.test -test.v -test.run '^TestVivid$' -device /dev/"+node, 3*time.Minute)
	t.Logf("%s", out)
	if !ok {
		t.Error("capture/sdi does not follow vivid's signal")
	}
}
