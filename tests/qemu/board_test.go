//go:build qemu

package qemu

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The PL061's lines, as board/qemuvirt and image/parts have them.
const (
	pl061       = 0x0903_0000
	lineReset   = 0
	lineClaim   = 1
	lineRed     = 2
	lineRelay   = 5
	lineGreen   = 6
	lineBlue    = 7
	nvmeCelsius = 50 // QEMU's NVMe disk says 323 K, always
)

// front is the outside of the box's GPIO chip: fingers and eyes. It works on the
// chip through QEMU's qtest socket, so what it sees is what the kernel has
// written into the chip's register, and what it sets comes as the chip's input.
type front struct {
	t    testing.TB
	sock *lines
	chip string // QOM path
}

func newFront(t *testing.T, g *guest, socket string) *front {
	t.Helper()
	f := &front{t: t, sock: dial(socket)}
	if f.sock == nil {
		t.Fatal("QEMU's qtest socket cannot be reached")
	}
	t.Cleanup(func() { f.sock.Close() })
	var nodes []struct{ Name, Type string }
	if err := json.Unmarshal(g.monitor("qom-list", map[string]any{"path": "/machine/unattached"}), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Type == "child<pl061>" {
			f.chip = "/machine/unattached/" + n.Name
		}
	}
	if f.chip == "" {
		t.Fatalf("QEMU's machine has no PL061: %+v", nodes)
	}
	return f
}

// ask sends a command of the qtest protocol; the answer is what follows OK.
func (f *front) ask(format string, args ...any) string {
	f.t.Helper()
	command := fmt.Sprintf(format, args...)
	f.sock.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintln(f.sock, command); err != nil {
		f.t.Fatalf("qtest, %s: %v", command, err)
	}
	for {
		s, err := f.sock.r.ReadString('\n')
		if err != nil {
			f.t.Fatalf("qtest, %s: %v", command, err)
		}
		switch word, rest, _ := strings.Cut(strings.TrimSpace(s), " "); word {
		case "OK":
			return rest
		case "FAIL", "ERR":
			f.t.Fatalf("qtest, %s: %s", command, s)
		}
	}
}

// set drives an input line of the chip.
func (f *front) set(line int, high bool) {
	f.t.Helper()
	level := 0
	if high {
		level = 1
	}
	f.ask("set_irq_in %s unnamed-gpio-in %d %d", f.chip, line, level)
}

// levels are those of all lines.
func (f *front) levels() byte {
	f.t.Helper()
	n, err := strconv.ParseUint(f.ask("readl %#x", pl061+0x3fc), 0, 64)
	if err != nil {
		f.t.Fatal(err)
	}
	return byte(n)
}

func (f *front) high(line int) bool { return f.levels()>>line&1 != 0 }

// look watches the light for three seconds and says in the words of
// docs/add-a-board.md what it shows: "yellow fast", "dark". An emulated kernel
// keeps a rhythm roughly, so it is told by the changes that were seen: in three
// seconds slow has 3, fast has 12.
func (f *front) look() string {
	f.t.Helper()
	names := map[byte]string{1: "red", 2: "green", 3: "yellow", 4: "blue", 7: "white"}
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	var colours, one byte // the parts that were ever lit, and the first of them
	changes, samples, lit, before := 0, 0, 0, false
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); samples++ {
		v := f.levels()
		now := v>>lineRed&1 | v>>lineGreen&1<<1 | v>>lineBlue&1<<2
		colours |= now
		if now != 0 {
			lit++
		}
		// Parts of a mixture have timers of their own, which an emulated processor
		// lets drift: the rhythm is that of one part.
		if one == 0 {
			one = now & -now
		}
		on := now&one != 0
		if samples > 0 && on != before {
			changes++
		}
		before = on
		<-tick.C
	}
	switch name := names[colours]; {
	case colours == 0:
		return "dark"
	case name == "":
		return fmt.Sprintf("parts %03b", colours)
	case changes == 0 && lit == samples:
		return name + " steady"
	case changes >= 2 && changes <= 4:
		return name + " slow"
	case changes >= 8:
		return name + " fast"
	default:
		return fmt.Sprintf("%s, %d changes", name, changes)
	}
}

func (f *front) shows(want string, limit time.Duration) {
	f.t.Helper()
	var seen string
	begun := time.Now()
	for {
		if seen = f.look(); seen == want {
			f.t.Logf("%6.1f s: the light is %s", time.Since(begun).Seconds(), want)
			return
		}
		if time.Since(begun) > limit {
			f.t.Fatalf("not within %v: the light is %s; it is %s", limit, want, seen)
		}
	}
}

// TestBoard has the front and the inside of a box, each through the kernel's
// driver for QEMU's device: buttons, relay and a light of three colours on the
// PL061, a sensor (that of an NVMe disk, through hwmon), the watchdog.
func TestBoard(t *testing.T) {
	needFull(t)
	dir, err := os.MkdirTemp("", "quartet-front-") // short: there is a socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	nvme, socket := filepath.Join(dir, "nvme.img"), filepath.Join(dir, "qtest")
	if err := os.WriteFile(nvme, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(nvme, 16<<20); err != nil {
		t.Fatal(err)
	}
	b := provisioned(t, newDisk(t), "LAB-0050",
		"-qtest", "unix:"+socket+",server=on,wait=off", "-qtest-log", "none",
		"-drive", "file="+nvme+",format=raw,if=none,id=nvme", "-device", "nvme,serial=lab,drive=nvme")
	f := newFront(t, b.guest, socket)
	b.page.answers(3 * time.Minute)
	b.studio = newStudio(t)
	step := func(name string, do func(t *testing.T)) {
		b.step(t, name, func(t *testing.T) {
			f.t = t
			defer func() { f.t = b.t }()
			do(t)
		})
	}

	step("watchdog", func(t *testing.T) {
		out := b.run("for w in /sys/class/watchdog/watchdog*; do echo \"$(cat $w/identity): $(cat $w/state) $(cat $w/timeout)\"; done")
		if !strings.Contains(out, "i6300ESB timer: active 20") {
			t.Errorf("watchdogs: %s; want i6300ESB's active, with 20 s", out)
		}
	})
	step("temperature", func(t *testing.T) {
		var s struct {
			System struct {
				Temperature *float64 `json:"temperature_c"`
			} `json:"system"`
		}
		b.page.claim(b.code)
		b.page.must("GET", "/api/v1/status", nil, &s)
		kernel := b.run("cat /sys/class/hwmon/hwmon*/temp1_input")
		if s.System.Temperature == nil {
			t.Fatalf("the page has no temperature; the kernel has %s m°C", kernel)
		}
		if v := *s.System.Temperature; v < nvmeCelsius-1 || v > nvmeCelsius+1 {
			t.Errorf("the page has %.1f °C, the kernel %s m°C, QEMU %d °C", v, kernel, nvmeCelsius)
		}
	})
	step("light and relay", func(t *testing.T) {
		f.shows("blue slow", time.Minute) // claimed, not set up
		if f.high(lineRelay) {
			t.Error("the relay is energised, and nothing is sent")
		}
		b.streams(t)
		eventually(t, time.Minute, "the relay is energised", func() bool { return f.high(lineRelay) })
		b.run("systemctl stop quartetd.path quartetd.service") // the path would start it again
		f.shows("yellow fast", time.Minute)
		if f.high(lineRelay) {
			t.Error("without a media plane the relay is energised")
		}
		b.run("systemctl start quartetd.path")
		eventually(t, time.Minute, "the relay is energised again", func() bool { return f.high(lineRelay) })
		b.page.must("POST", "/api/v1/identify", map[string]int{"seconds": 120}, nil)
		f.shows("white fast", 20*time.Second)
		b.page.must("POST", "/api/v1/identify", map[string]int{"seconds": 0}, nil)
		eventually(t, 30*time.Second, "the light is not white any more", func() bool { return !strings.HasPrefix(f.look(), "white") })
	})
	step("claim button", func(t *testing.T) {
		f.set(lineClaim, true)
		time.Sleep(500 * time.Millisecond) // a tap
		f.set(lineClaim, false)
		f.shows("white fast", 20*time.Second)
	})
	step("reset button", func(t *testing.T) {
		f.set(lineReset, true)
		time.Sleep(4 * time.Second) // a hold that warns, and is let go before the tenth second
		if seen := f.look(); seen != "red slow" {
			t.Errorf("held for 4 to 7 s: the light is %s, want red slow", seen)
		}
		f.set(lineReset, false)
		var state struct{ Claimed bool }
		b.page.must("GET", "/api/v1/state", nil, &state)
		if !state.Claimed {
			t.Fatal("held for too short a time, and the box is reset")
		}
		f.set(lineReset, true)
		f.shows("red steady", 25*time.Second)
		f.set(lineReset, false)
		eventually(t, 3*time.Minute, "the box is unclaimed", func() bool {
			_, err := b.page.again().do("GET", "/api/v1/state", nil, &state)
			return err == nil && !state.Claimed
		})
	})
}
