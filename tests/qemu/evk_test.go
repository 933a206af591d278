//go:build qemu

package qemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/board"
	"quartet/tests/chain"
)

// kit is NXP's evaluation kit for the i.MX 8M Plus, emulated, with Debian's
// kernel and the kit's own device tree. board/models' TestHardware is all that
// runs on it.
type kit struct {
	*guest
	answers chan string // of the program, and what the kernel says
	serial  net.Conn
}

const (
	gpio3   = 0x3022_0000 // its data register; line 16 is the light D2
	lineD2  = 16
	sensor  = "/machine/peripheral/sensor"
	eepromB = 4096
)

// newKit starts the kit with a memory's contents in a file.
func newKit(t *testing.T, eeprom string) *kit {
	t.Helper()
	dir, err := os.MkdirTemp("", "quartet-kit-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &kit{guest: &guest{t: t, dir: dir}, answers: make(chan string, 1000)}
	files := filepath.Join(*imageDir, "evk")
	root := filepath.Join(files, "qemu/usr")
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	loaders, _ := filepath.Glob(filepath.Join(root, "lib*/ld-linux-*"))
	if loaders == nil {
		loaders, _ = filepath.Glob(filepath.Join(root, "lib", triplet, "ld-linux-*"))
	}
	if loaders == nil {
		t.Fatalf("%s has no QEMU: use make test-qemu-full", files)
	}
	k.Process = chain.StartProcess(t, k.file("log"), loaders[0],
		"--library-path", filepath.Join(root, "lib", triplet)+":"+filepath.Join(root, "lib"),
		filepath.Join(root, "bin/qemu-system-aarch64"), "-L", filepath.Join(root, "share/qemu"),
		"-M", "imx8mp-evk", "-smp", "2", "-m", "1G", "-accel", "tcg,thread=multi", "-display", "none", "-nodefaults",
		"-kernel", filepath.Join(files, "Image"), "-dtb", filepath.Join(files, "evk.dtb"), "-initrd", filepath.Join(files, "initramfs.zst"),
		"-append", "console=ttymxc1 loglevel=4 panic=1",
		"-serial", "null", "-serial", "unix:"+k.file("serial")+",server=on,wait=off",
		"-qmp", "unix:"+k.file("qmp")+",server=on,wait=off",
		"-device", "tmp105,id=sensor,bus=i2c-bus.2,address=0x48",
		"-drive", "file="+eeprom+",format=raw,if=none,id=eeprom",
		"-device", fmt.Sprintf("at24c-eeprom,bus=i2c-bus.2,address=0x50,drive=eeprom,rom-size=%d", eepromB))
	k.eventually(20*time.Second, "QEMU's sockets", func() bool {
		if k.Ended() {
			t.Fatalf("QEMU ended: %s", k.Log())
		}
		if k.qmp == nil {
			k.qmp = dial(k.file("qmp"))
		}
		if k.serial == nil {
			k.serial, _ = net.Dial("unix", k.file("serial"))
		}
		return k.qmp != nil && k.serial != nil
	})
	t.Cleanup(func() {
		k.Kill(syscall.SIGKILL)
		k.qmp.Close()
		k.serial.Close()
	})
	k.monitor("qmp_capabilities", nil)
	go func() {
		in := bufio.NewScanner(k.serial)
		for in.Scan() {
			k.answers <- strings.TrimSpace(in.Text())
		}
		close(k.answers)
	}()
	return k
}

// answer waits for the program's next word.
func (k *kit) answer(limit time.Duration, into any) {
	k.t.Helper()
	deadline := time.After(limit)
	var seen []string
	for {
		select {
		case s, ok := <-k.answers:
			if !ok {
				k.t.Fatalf("the kit has ended:\n%s\n%s", strings.Join(seen, "\n"), k.Log())
			}
			seen = append(seen, s)
			text, is := strings.CutPrefix(s, "hw: ")
			if !is {
				continue
			}
			var failed struct{ Error string }
			if json.Unmarshal([]byte(text), &failed) == nil && failed.Error != "" {
				k.t.Fatalf("the kit: %s", failed.Error)
			}
			if into != nil {
				if err := json.Unmarshal([]byte(text), into); err != nil {
					k.t.Fatalf("%s: %v", text, err)
				}
			}
			return
		case <-deadline:
			k.t.Fatalf("no answer within %v:\n%s", limit, strings.Join(seen, "\n"))
		}
	}
}

// ask has the program do something.
func (k *kit) ask(command string, into any) {
	k.t.Helper()
	if _, err := fmt.Fprintf(k.serial, "%s\n", command); err != nil {
		k.t.Fatal(err)
	}
	k.answer(30*time.Second, into)
}

// lit reads the light's line from the GPIO's register.
func (k *kit) lit() bool {
	k.t.Helper()
	var out string
	if err := json.Unmarshal(k.monitor("human-monitor-command", map[string]any{"command-line": fmt.Sprintf("xp /1wx %#x", gpio3)}), &out); err != nil {
		k.t.Fatal(err)
	}
	_, value, _ := strings.Cut(out, ":")
	n, err := strconv.ParseUint(strings.TrimSpace(value), 0, 32)
	if err != nil {
		k.t.Fatalf("%q: %v", out, err)
	}
	return n>>lineD2&1 != 0
}

func (k *kit) heat(celsius float64) {
	k.t.Helper()
	k.monitor("qom-set", map[string]any{"path": sensor, "property": "temperature", "value": int(celsius * 1000)})
}

// TestKit runs the board package on NXP's kit: its model is chosen by the kit's
// own device tree, its light is the kit's D2, a TMP105 on I²C gets warm, an
// EEPROM on I²C keeps the identity, and the i.MX watchdog resets a kit that hangs.
// (Why it was reset, QEMU's watchdog forgets; the processor's own keeps it.)
func TestKit(t *testing.T) {
	needFull(t)
	eeprom := filepath.Join(t.TempDir(), "eeprom")
	if err := os.WriteFile(eeprom, make([]byte, eepromB), 0o600); err != nil {
		t.Fatal(err)
	}
	k := newKit(t, eeprom)
	k.heat(41.5)
	k.answer(5*time.Minute, nil)
	var model string
	if k.ask("model", &model); model != "imx8mp-evk" {
		t.Errorf("the model is %q", model)
	}

	type climate struct {
		Level   string
		Sensors []struct {
			Name           string
			Celsius, Limit float64
		}
	}
	feels := func(limit time.Duration, celsius float64, level string) {
		t.Helper()
		k.heat(celsius)
		var c climate
		begun := time.Now()
		for {
			k.ask("temperatures", &c)
			if len(c.Sensors) == 1 && math.Abs(c.Sensors[0].Celsius-celsius) <= 0.125 && c.Level == level {
				t.Logf("%.1f s: %s %.2f °C of %.0f: %s", time.Since(begun).Seconds(), c.Sensors[0].Name, c.Sensors[0].Celsius, c.Sensors[0].Limit, level)
				return
			}
			if time.Since(begun) > limit {
				t.Fatalf("at %.1f °C: %+v, want %s", celsius, c, level)
			}
			time.Sleep(500 * time.Millisecond)
		}
	}
	feels(30*time.Second, 41.5, "cool")
	feels(30*time.Second, 66, "warm") // 80 °C is what the sensor starts with as its limit
	feels(30*time.Second, 78, "hot")
	feels(30*time.Second, 72, "hot") // not yet cooler by the 5 °C that it takes
	feels(30*time.Second, 30.25, "cool")
	feels(30*time.Second, -12, "cool")

	for _, c := range []struct {
		light string
		want  bool
	}{{"yellow steady", true}, {"off steady", false}, {"red steady", true}, {"off steady", false}} {
		k.ask("light "+c.light, nil)
		if k.lit() != c.want {
			t.Errorf("light %s: D2 is lit: %t", c.light, !c.want)
		}
	}
	k.ask("light green fast", nil)
	changes, before := 0, k.lit()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now := k.lit(); now != before {
			changes, before = changes+1, now
		}
	}
	if changes < 8 || changes > 16 { // 12
		t.Errorf("fast: D2 has changed %d times in 3 s, want 12", changes)
	}

	k.ask("write LAB-8M", nil)
	var id board.Identity
	if k.ask("identity", &id); id.Serial != "LAB-8M" || id.Model != "imx8mp-evk" {
		t.Errorf("the memory holds %+v", id)
	}
	k.ask("hang", nil)
	begun := time.Now()
	k.answer(5*time.Minute, nil) // it has started anew
	t.Logf("the watchdog has reset the kit; ready again after %.1f s", time.Since(begun).Seconds())
	id = board.Identity{}
	if k.ask("identity", &id); id.Serial != "LAB-8M" {
		t.Errorf("after the reset the memory holds %+v", id)
	}
	// And what the chip has is what the factory would read.
	data, err := os.ReadFile(eeprom)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := board.ParseIdentity(data); err != nil || id.Serial != "LAB-8M" {
		t.Errorf("the chip has %+v, %v", id, err)
	}
}
