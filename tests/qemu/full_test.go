//go:build qemu

package qemu

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
)

// sending is a claimed box that streams, over four paths or those that are named.
func sending(t *testing.T, serial string, paths ...string) *box {
	t.Helper()
	return sendingFrom(t, serial, newStudio(t, paths...))
}

// sendingFrom is the same for a studio that was made before.
func sendingFrom(t *testing.T, serial string, s *studio) *box {
	t.Helper()
	b := provisioned(t, newDisk(t), serial)
	b.page.answers(3 * time.Minute)
	b.page.claim(b.code)
	b.studio = s
	b.streams(t)
	return b
}

// media waits until the box's media plane says what is wanted.
func (b *box) media(limit time.Duration, what string, want func(*control.Status) bool) control.Status {
	b.t.Helper()
	var s control.Status
	b.eventually(limit, what, func() bool {
		out, ok := b.try("quartetctl status --json", 20*time.Second)
		s = control.Status{}
		return ok && json.Unmarshal([]byte(out), &s) == nil && want(&s)
	})
	return s
}

// TestF21 has more versions that do not work: one hangs the machine, one has no
// management, and so no updater that could judge it, and one cannot mount the
// partition that tells it of its trial.
func TestF21(t *testing.T) {
	needFull(t)
	// Half of the usual rate: the times are the updater's, and it shares the emulated
	// processors with the media plane.
	s := newStudio(t)
	s.rate /= 2
	b := sendingFrom(t, "LAB-0021", s)
	h := newHome(t)
	b.page.follow(h.url())
	b.step(t, "hang", func(t *testing.T) { b.broken(t, h, "1.3.0", "failed", "fell-back") })
	b.step(t, "no management", func(t *testing.T) { b.broken(t, h, "1.3.1", "failed", "fell-back") })
	b.step(t, "no data partition", func(t *testing.T) { b.broken(t, h, "1.3.2", "failed", "fell-back") })
}

// TestF21Mute has a version that starts and lets no media out. It has another
// schema, too, and leaves its own documents behind, with other addresses in them:
// the old version goes on with its own (F29). The box has one leg's two paths: what
// SRT sends again for four takes the emulated processors from the updater whose
// time this measures.
func TestF21Mute(t *testing.T) {
	needFull(t)
	b := sending(t, "LAB-0211", "1a", "1b")
	h := newHome(t)
	b.page.follow(h.url())
	const documents = "cd /etc/quartet && sha256sum box.v1.json"
	before := b.run(documents)
	b.broken(t, h, "1.4.0", "failed")
	if after := b.run(documents); after != before {
		t.Errorf("F29: the document was %s, is %s", before, after)
	}
	b.run("grep -q '\"version\": *2' /etc/quartet/box.v2.json") // or nothing was shown
}

// TestF22 takes every processor from the kernel: the hardware watchdog resets
// the box within 30 s, and it streams again within 60 s after that.
func TestF22(t *testing.T) {
	needFull(t)
	b := sending(t, "LAB-0022")
	before := b.boots()
	b.run("nohup sh -c 'sleep 2; echo -1 >/proc/sys/kernel/sched_rt_runtime_us; for n in 1 2 3 4; do chrt -f 99 sh -c \"while :; do :; done\" & done' >/dev/null 2>&1 &")
	begun := time.Now()
	b.eventually(2*time.Minute, "the watchdog resets the box", func() bool { return len(b.boots()) > len(before) })
	reset := time.Since(begun)
	b.studio.flowing(4 * time.Minute)
	t.Logf("F22: reset %.0f s after the hang, packets at the receivers %.0f s after that", reset.Seconds(), (time.Since(begun) - reset).Seconds())
	if reset > 32*time.Second {
		t.Errorf("F22: reset after %v, want 30 s", reset)
	}
}

// TestPowerCycles cuts the power ten times, without input and unclaimed: the
// slot stays the same, since each healthy start is marked good.
func TestPowerCycles(t *testing.T) {
	needFull(t)
	disk := newDisk(t)
	for i := range 10 {
		g := boot(t, disk)
		g.up(startLimit)
		g.page().answers(3 * time.Minute)
		if boots := g.boots(); boots != "a" {
			t.Fatalf("start %d: U-Boot started %q", i, boots)
		}
		g.eventually(2*time.Minute, "the slot is marked good", func() bool {
			out, ok := g.try("fw_printenv -n BOOT_A_LEFT", time.Minute)
			return ok && out == "3"
		})
		g.cut()
	}
	// The only slot in the order has no start left, as after a bad one was taken
	// out: it gets three more, and the other one comes after it.
	start := func(order, a, b, want, orderAfter string) {
		t.Helper()
		g := boot(t, disk)
		g.up(startLimit)
		if boots := g.boots(); boots != want {
			t.Errorf("U-Boot started %q, want %q", boots, want)
		}
		if out := g.run("fw_printenv -n BOOT_ORDER"); out != orderAfter {
			t.Errorf("the order is %q, want %q", out, orderAfter)
		}
		g.run(fmt.Sprintf("systemctl stop quartet-manage; fw_setenv BOOT_ORDER '%s'; fw_setenv BOOT_A_LEFT %s; fw_setenv BOOT_B_LEFT %s; sync", order, a, b))
		g.cut()
	}
	start("A", "0", "0", "a", "A B")
	start("A B", "0", "1", "a", "A B")
	start("A B", "3", "3", "b", "A B")
}

// TestUnclaimed updates a box that nobody has set up: by a file, through its
// command line. Without the right time it would not know what has expired; that
// comes from a time server.
func TestUnclaimed(t *testing.T) {
	needFull(t)
	b := provisioned(t, newDisk(t), "LAB-0030")
	b.page.answers(3 * time.Minute)
	h := newHome(t)
	h.publish("1.1.0")
	b.timeServer(t)
	b.put("/var/lib/1.1.0.update", h.pack("1.1.0"))
	var out string
	ok := false
	b.eventually(time.Minute, "the file is taken", func() bool { // once it has seen that the time is right
		out, ok = b.try("quartetctl update upload /var/lib/1.1.0.update", 5*time.Minute)
		return ok || !strings.Contains(out, "time of day")
	})
	t.Logf("upload: %s", out)
	if !ok {
		t.Fatal("an unclaimed box takes no file from its own console")
	}
	b.eventually(10*time.Minute, "runs 1.1.0", func() bool {
		out, ok := b.try("quartetctl update status --json", 20*time.Second)
		return ok && strings.Contains(out, `"1.1.0"`) && strings.Contains(out, "confirmed")
	})
}

// TestNoInput updates a box that is set up and gets no feed: what did not work
// before need not work after, so the version is confirmed. With a feed it sends.
func TestNoInput(t *testing.T) {
	needFull(t)
	b := provisioned(t, newDisk(t), "LAB-0032")
	b.page.answers(3 * time.Minute)
	b.page.claim(b.code)
	b.studio = newStudio(t)
	doc := b.studio.doc
	doc.Input = config.Default[config.Input]()
	doc.Input.Type, doc.Input.URL = config.TypeUDP, "udp://0.0.0.0:5000"
	b.page.must("PUT", "/api/v1/config", json.RawMessage(config.Encode(&doc)), nil, "If-Match", `"none"`)
	h := newHome(t)
	b.page.follow(h.url())
	b.page.setTime(time.Now())
	h.publish("1.1.0")
	b.page.must("POST", "/api/v1/update/check", nil, nil)
	event, text := b.awaits(t, 15*time.Minute, "1.1.0", "confirmed", "inconclusive", "failed", "fell-back")
	t.Logf("%s: %s", event, text)
	if event != "confirmed" {
		t.Errorf("without a feed the trial is %s, want confirmed", event)
	}
	b.put(loopTS, b.studio.loop())
	var is struct{ Revision string }
	b.page.must("GET", "/api/v1/config", nil, &is)
	b.page.must("PUT", "/api/v1/config?restart=true", json.RawMessage(config.Encode(&b.studio.doc)), nil, "If-Match", `"`+is.Revision+`"`)
	b.media(time.Minute, "the feed is there", func(s *control.Status) bool {
		return s.Input.Type == config.TypeFile && s.Input.State == control.InputOK
	})
	time.Sleep(2 * time.Duration(doc.Output.LatencyMS) * time.Millisecond) // what was sent before is through
	b.studio.flowing(3 * time.Minute)
	b.compare(t, 15*time.Second)
}

// TestPair has both boxes of a pair want an update at the same time (F28): one
// goes first, and the other waits until that one is confirmed, though its
// management is started anew meanwhile.
func TestPair(t *testing.T) {
	needFull(t)
	// A path each: two boxes share this machine.
	boxes := []*box{sending(t, "LAB-0281", "1a"), sending(t, "LAB-0282", "1a")}
	pins := make([]string, 2)
	for i, b := range boxes {
		var u struct{ Pin string }
		b.page.must("GET", "/api/v1/update", nil, &u)
		pins[i] = u.Pin
	}
	h := newHome(t)
	for i, b := range boxes {
		other := boxes[1-i]
		b.page.setTime(time.Now())
		b.page.follow(h.url(), map[string]any{"role": []string{"A", "B"}[i], "serial": other.serial,
			"address": fmt.Sprintf("10.0.2.2:%d", other.ports[443]), "pin": pins[1-i]})
	}
	h.publish("1.1.0")
	for _, b := range boxes {
		b.page.must("POST", "/api/v1/update/check", nil, nil)
	}
	// From the first byte in its other slot to its end a box is under way.
	underWay := map[string]bool{"installing": true, "installed": true, "restarting": true, "trial": true, "going-back": true}
	var phases, waits [2]string
	var done, waited [2]bool
	again := false
	eventually(t, 30*time.Minute, "both are confirmed", func() bool {
		for i, b := range boxes {
			u, err := b.page.update()
			if err != nil { // it restarts: it is where it was
				if strings.Contains(err.Error(), "401") {
					b.page.do("POST", "/api/v1/session", map[string]string{"user": user, "password": password}, nil)
				}
				continue
			}
			why := ""
			if u.Waits != nil {
				why = u.Waits.Why + ": " + u.Waits.Text
				waited[i] = waited[i] || u.Waits.Why == "sibling"
			}
			if u.Phase != phases[i] || why != waits[i] {
				t.Logf("%s: %s, waits %q", b.serial, u.Phase, why)
			}
			phases[i], waits[i] = u.Phase, why
			_, done[i] = u.event("confirmed", "1.1.0")
			for _, e := range []string{"failed", "inconclusive", "fell-back"} {
				if text, ok := u.event(e, "1.1.0"); ok {
					t.Fatalf("%s: %s: %s", b.serial, e, text)
				}
			}
		}
		if underWay[phases[0]] && underWay[phases[1]] {
			t.Fatalf("F28: one is %s while the other is %s", phases[0], phases[1])
		}
		for i, b := range boxes {
			if !again && phases[i] == "restarting" {
				// What the other has lent outlives it.
				again = true
				boxes[1-i].run("systemctl restart quartet-manage")
				t.Logf("%s restarts; management of %s is started anew", b.serial, boxes[1-i].serial)
			}
		}
		return done[0] && done[1]
	})
	if waited[0] == waited[1] {
		t.Errorf("F28: waited for the sibling: %v; one of the two has to", waited)
	}
	if !again {
		t.Error("management was not started anew while a lease was out")
	}
	for _, b := range boxes {
		b.studio.flowing(2 * time.Minute)
		var u struct{ Sibling *struct{ Held bool } }
		b.page.must("GET", "/api/v1/update", nil, &u)
		if u.Sibling == nil || u.Sibling.Held {
			t.Errorf("%s: the lease is not given back: %+v", b.serial, u.Sibling)
		}
	}
}

// TestWANDown pulls the cable right before the restart into a good version: no
// destination can be reached, the trial is inconclusive, the box is back on the
// old one, and takes the new one once the network is there again.
func TestWANDown(t *testing.T) {
	needFull(t)
	b := sending(t, "LAB-0031")
	h := newHome(t)
	b.page.follow(h.url())
	b.page.setTime(time.Now())
	h.publish("1.1.0")
	b.page.must("POST", "/api/v1/update/check", nil, nil)
	b.awaits(t, 10*time.Minute, "1.1.0", "restarting")
	before := b.boots()
	b.eventually(3*time.Minute, "U-Boot starts the new version", func() bool { return len(b.boots()) > len(before) })
	b.network(false)
	b.eventually(10*time.Minute, "back on the old version", func() bool { return len(b.boots()) >= len(before)+2 })
	b.network(true)
	b.studio.flowing(4 * time.Minute)
	event, text := b.awaits(t, 3*time.Minute, "1.1.0", "inconclusive", "failed", "confirmed", "fell-back")
	t.Logf("%s: %s", event, text)
	if event != "inconclusive" {
		t.Errorf("without a network the trial is %s, want inconclusive", event)
	}
}

// TestF20 cuts the power at random moments of an update: while it is downloaded,
// installed, activated and started for the first time. The disk as it is then is
// copied, which is what a cut leaves, and each copy must start, with a slot that
// can be started left over.
func TestF20(t *testing.T) {
	needFull(t)
	b := sending(t, "LAB-0020", "1a") // less to do for who copies disks meanwhile
	h := newHome(t)
	b.page.follow(h.url())
	b.page.setTime(time.Now())
	h.publish("1.1.0")
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(20, 20))
	var copies []string
	phases := map[string]string{}
	// A sixth of the download, and so on: what one leaves, the next has. The last is
	// for the first start.
	share := map[string]int{"download": *cuts / 6, "installing": *cuts / 2, "installed": *cuts * 2 / 3, "restarting": *cuts * 5 / 6}
	take := func(phase string) {
		most, ok := share[phase]
		if !ok {
			most = *cuts
		}
		if len(copies) >= most {
			return
		}
		// What QEMU has been given is on the disk; what the box has not written
		// yet is lost.
		b.monitor("stop", nil)
		file := filepath.Join(dir, fmt.Sprintf("cut-%02d.img", len(copies)))
		copyDisk(t, b.disk, file)
		b.monitor("cont", nil)
		copies = append(copies, file)
		phases[file] = phase
	}
	b.page.must("POST", "/api/v1/update/check", nil, nil)
	begun := time.Now()
	started := len(b.boots())
	phase := "download"
	// While it restarts nobody answers, and that must not take all of the time.
	b.page.client.Timeout = 2 * time.Second
	eventually(t, 15*time.Minute, "the update is over", func() bool {
		if len(b.boots()) > started {
			phase = "first start"
		}
		if u, err := b.page.update(); err == nil {
			switch {
			case u.Phase == "installing" || u.Phase == "installed" || u.Phase == "restarting":
				phase = u.Phase
			}
			if _, ok := u.event("confirmed", "1.1.0"); ok {
				return true
			}
		} else if strings.Contains(err.Error(), "401") {
			b.page.do("POST", "/api/v1/session", map[string]string{"user": user, "password": password}, nil)
		}
		if random.IntN(3) < 2 {
			take(phase)
		}
		return false
	})
	t.Logf("the update took %.0f s, %d moments kept", time.Since(begun).Seconds(), len(copies))
	b.cut()
	if len(copies) < *cuts {
		t.Errorf("F20: %d moments, want %d: the update was over too soon", len(copies), *cuts)
	}
	// One at a time: two of them, on two processors, take four times as long.
	for i, file := range copies {
		t.Run(fmt.Sprintf("cut %02d, %s", i, phases[file]), func(t *testing.T) {
			g := boot(t, file)
			g.up(startLimit)
			g.page().answers(4 * time.Minute)
			version := g.run("sed -n 's/^VERSION=//p' /usr/share/quartet/image.env")
			// On a busy machine RAUC may not have started when it is asked, and give up
			// in the middle of it.
			good, slots := regexp.MustCompile(`BOOT_STATUS_\d+='?"?good`), ""
			g.eventually(4*time.Minute, "RAUC has a slot that is good", func() bool {
				slots, _ = g.try("rauc status --output-format=shell | grep -E 'BOOT_STATUS|SLOT_STATE' | tr '\\n' ' '", time.Minute)
				return good.MatchString(slots)
			})
			t.Logf("starts %s, U-Boot %q, %s", version, g.boots(), slots)
			g.cut()
			os.Remove(file)
		})
	}
}

// TestNetwork changes the address with the real networkd, over that address: what
// nobody confirms goes back by itself, what is confirmed over the new one stays.
func TestNetwork(t *testing.T) {
	needFull(t)
	const fresh = "10.0.2.99"
	b := provisioned(t, newDisk(t), "LAB-0040")
	b.page.answers(3 * time.Minute)
	b.page.claim(b.code)
	name := b.run("ls /sys/class/net | grep -v lo | head -n 1")
	has := func(address string) bool {
		out, _ := b.try("ip -4 addr show dev "+name, 20*time.Second)
		return strings.Contains(out, address+"/")
	}
	change := func() (trial struct {
		Token string
		Moved bool
	}) {
		var n struct {
			Revision string
			Settings map[string]any
		}
		b.page.must("GET", "/api/v1/network", nil, &n)
		n.Settings["interfaces"] = []any{map[string]any{"name": name, "dhcp4": false, "addresses": []string{fresh + "/24"}, "gateway": "10.0.2.2"}}
		b.page.must("PUT", "/api/v1/network", n.Settings, &trial, "If-Match", `"`+n.Revision+`"`)
		b.eventually(time.Minute, "the new address is there", func() bool { return has(fresh) && !has("10.0.2.15") })
		if trial.Token == "" || !trial.Moved {
			t.Fatalf("the answer is %+v", trial)
		}
		return trial
	}
	change()
	b.eventually(4*time.Minute, "the old address is back", func() bool { return has("10.0.2.15") && !has(fresh) })
	b.page.answers(time.Minute)

	trial := change()
	b.page.base = "https://127.0.0.1:" + strconv.Itoa(b.forward(fresh, 443))
	b.page.must("POST", "/api/v1/network/confirm", map[string]string{"token": trial.Token}, nil)
	time.Sleep(130 * time.Second) // beyond the trial
	if !has(fresh) || has("10.0.2.15") {
		t.Error("what was confirmed is gone")
	}
	b.page.answers(time.Minute)
}
