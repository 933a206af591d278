//go:build qemu

package qemu

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
)

// box is a claimed box that sends, with its other side.
type box struct {
	*guest
	page   *page
	studio *studio
	code   string // the label's
	serial string
}

var labelCode = regexp.MustCompile(`Claim code\s+(\S+)`)

// provisioned boots a box and gives it what production does: serial number and
// claim code. extra are arguments for QEMU.
func provisioned(t *testing.T, disk, serial string, extra ...string) *box {
	t.Helper()
	g := boot(t, disk, extra...)
	g.up(startLimit)
	label := g.run("quartetctl provision --file /etc/quartet/provision.v1.json --serial " + serial + " --product 'Quartet lab' && systemctl restart quartet-manage quartet-netd")
	m := labelCode.FindStringSubmatch(label)
	if m == nil {
		t.Fatalf("no claim code on the label:\n%s", label)
	}
	return &box{guest: g, page: g.page(), code: m[1], serial: serial}
}

// TestStage is the everyday stage: one box from its first start on.
func TestStage(t *testing.T) {
	disk := newDisk(t)
	begun := time.Now()
	b := provisioned(t, disk, "LAB-0001")
	t.Logf("power to a box that can be asked: %.0f s", time.Since(begun).Seconds())

	b.step(t, "starts", func(t *testing.T) { b.starts(t) })
	if !b.step(t, "page", func(t *testing.T) { b.claims(t) }) {
		return
	}
	b.studio = newStudio(t)
	b.step(t, "streams", func(t *testing.T) { b.streams(t); b.compare(t, 30*time.Second) })
	b.step(t, "S10", func(t *testing.T) { b.security(t) })
	b.step(t, "S9", func(t *testing.T) { b.openPorts(t) })
	h := newHome(t)
	b.step(t, "update", func(t *testing.T) { b.updates(t, h) })
	b.step(t, "F21", func(t *testing.T) { b.broken(t, h, "1.2.0", "failed", "fell-back") })
	b.step(t, "S8", func(t *testing.T) { b.refuses(t, h) })
	b.step(t, "S13", func(t *testing.T) { b.resets(t) })
}

// step is one subtest: what fails in it is its own failure.
func (b *box) step(t *testing.T, name string, f func(t *testing.T)) bool {
	return t.Run(name, func(step *testing.T) {
		b.as(step)
		defer b.as(t)
		f(step)
	})
}

// as has the box report to a test.
func (b *box) as(t testing.TB) {
	b.t, b.page.t = t, t
	if b.studio != nil {
		b.studio.t = t
	}
}

// starts looks at what started.
func (b *box) starts(t *testing.T) {
	if boots := b.boots(); boots != "a" {
		t.Errorf("U-Boot started %q, want slot a once", boots)
	}
	if failed := b.run("systemctl --failed --no-legend --plain"); failed != "" {
		t.Errorf("units failed:\n%s", failed)
	}
	// Root is the slot, opened by dm-verity, and nothing can be written.
	if out := b.run("cat /proc/mounts | grep ' / '"); !strings.Contains(out, "squashfs ro") {
		t.Errorf("the root is %s", out)
	}
	if out := b.run("dmsetup table root"); !strings.Contains(out, " verity 1 ") {
		t.Errorf("the root's device is %s, not verity's", out)
	}
	// Nobody can log in: no getty, no password, no SSH.
	if out := b.run("systemctl list-units --plain --no-legend --state=active '*getty*.service' 'ssh*.s*' 'debug-shell.service'"); out != "" {
		t.Errorf("there is a login:\n%s", out)
	}
	if out := b.run("cut -d: -f2 /etc/shadow | sort -u"); strings.Trim(out, "!*\n") != "" {
		t.Errorf("a password is in /etc/shadow: %q", out)
	}
	if strings.Contains(b.console(), "login:") {
		t.Error("the console asks for a login")
	}
	t.Logf("%s", b.run("systemd-analyze time; free -m; cat /proc/loadavg; df -h / /etc/quartet /var"))
}

// claims makes the first user with the label's code.
func (b *box) claims(t *testing.T) {
	state := b.page.answers(2 * time.Minute)
	if state.Claimed || state.Serial != b.serial {
		t.Fatalf("a new box says %+v", state)
	}
	if code, err := b.page.do("POST", "/api/v1/claim", map[string]string{"code": "0000-0000-0000-0000", "user": user, "password": password}, nil); err == nil {
		t.Fatalf("a wrong code claims the box (%d)", code)
	}
	b.page.claim(b.code)
	want := "quartet-" + strings.ToLower(b.serial) + ".local"
	if !strings.Contains(strings.ToLower(strings.Join(b.page.names, " ")), want) {
		t.Errorf("the certificate is for %v, not %s", b.page.names, want)
	}
}

// streams has the box send a looped file over its paths.
func (b *box) streams(t *testing.T) {
	b.put(loopTS, b.studio.loop())
	b.page.must("PUT", "/api/v1/config", json.RawMessage(config.Encode(&b.studio.doc)), nil, "If-Match", `"none"`)
	b.studio.flowing(3 * time.Minute)
}

// compare counts for a while: nothing may be missing at any gateway, and what
// they put out is the same.
func (b *box) compare(t *testing.T, long time.Duration) {
	t.Helper()
	s := b.studio
	var lost, whole, incomplete [4]uint64
	for i, r := range s.receivers {
		v, err := s.status(i)
		if err != nil {
			t.Fatal(err)
		}
		lost[i], whole[i], incomplete[i] = v.Merged.Lost, v.Digest.Complete, v.Digest.Incomplete
		r.forget()
	}
	select {
	case <-time.After(long):
	case <-t.Context().Done():
	}
	for i := range s.receivers {
		eventually(t, time.Minute, "two more whole digest windows", func() bool {
			v, err := s.status(i)
			return err == nil && v.Digest.Complete >= whole[i]+2
		})
	}
	for i, r := range s.receivers {
		v, err := s.status(i)
		if err != nil {
			t.Fatal(err)
		}
		n := r.look()
		t.Logf("gateway %d: %d packets, %d missing, %d wrong; lost %d, repaired %d, digest windows complete %d, incomplete %d; margin %.0f ms",
			i, n.packets, n.gaps, n.wrong, v.Merged.Lost-lost[i], v.Merged.RecoveredParity, v.Digest.Complete-whole[i], v.Digest.Incomplete-incomplete[i], v.Merged.MarginMS)
		// The first window of a start begins in the middle, and is given up.
		if n.gaps != 0 || n.wrong != 0 || v.Merged.Lost != lost[i] || v.Digest.Incomplete > incomplete[i]+1 {
			t.Errorf("gateway %d lost something", i)
		}
		if want := int(long.Seconds() * float64(s.rate) / 8 / 1316 * 9 / 10); n.packets < want {
			t.Errorf("gateway %d: %d packets in %v, want %d or more", i, n.packets, long, want)
		}
		if i == 0 {
			continue
		}
		if common, differ := same(s.receivers[0], r); differ != 0 || common < n.packets*8/10 {
			t.Errorf("gateways 0 and %d: of %d packets in common %d differ", i, common, differ)
		}
	}
}

// security asks systemd about every unit of ours (S10).
func (b *box) security(t *testing.T) {
	units := strings.Fields(b.run("cd /usr/lib/systemd/system && ls -d quartet*.service | grep -v quartet-lab"))
	if len(units) < 6 {
		t.Fatalf("only %v", units)
	}
	for _, u := range units {
		out, _ := b.try("systemd-analyze security --no-pager "+u+" | tail -n 1", 2*time.Minute)
		m := exposure.FindStringSubmatch(out)
		if m == nil {
			t.Errorf("%s: %s", u, out)
			continue
		}
		level, _ := strconv.ParseFloat(m[1], 64)
		t.Logf("%s %.1f", u, level)
		if level > 2.5 {
			t.Errorf("S10: %s has an exposure of %.1f, want 2.5 or less", u, level)
		}
	}
}

var exposure = regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`)

// openPorts compares what listens in the box with docs/ports.md (S9): from the
// inside what is open to others, from the outside what answers.
func (b *box) openPorts(t *testing.T) {
	out := b.run("ss -Hlntup")
	allowed := map[string]bool{"tcp 443": true, "tcp 80": true, "udp 68": true, "udp 546": true, "udp 5353": true}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		at := strings.LastIndexByte(f[4], ':')
		host, port := f[4][:at], f[4][at+1:]
		if strings.HasPrefix(host, "127.") || strings.HasPrefix(host, "[::1]") {
			continue
		}
		// The sockets of SRT callers and the clock's are open, and closed to all
		// others by the firewall: below.
		caller := f[0] == "udp" && (strings.Contains(line, `"quartetd"`) || strings.Contains(line, `"systemd-timesyn`))
		if !allowed[f[0]+" "+port] && !caller {
			t.Errorf("S9: %s is open and not in docs/ports.md", line)
		}
	}
	rules := b.run("nft list ruleset")
	for _, want := range []string{"policy drop", "dport { 80, 443 }"} {
		if !strings.Contains(rules, want) {
			t.Errorf("S9: the firewall has no %q:\n%s", want, rules)
		}
	}
}

// resets has the box destroy its secrets, and looks for them on the raw disk
// (S13).
func (b *box) resets(t *testing.T) {
	canaries := map[string]string{
		"a path's passphrase":  b.studio.doc.Paths[0].Passphrase.Reveal(),
		"the contribution key": b.studio.doc.Output.Key.Reveal(),
		"the admin's password": password,
	}
	b.page.must("POST", "/api/v1/factory-reset", map[string]string{"serial": b.serial}, nil)
	eventually(t, 3*time.Minute, "the box is unclaimed", func() bool {
		var state struct{ Claimed bool }
		_, err := b.page.again().do("GET", "/api/v1/state", nil, &state)
		return err == nil && !state.Claimed
	})
	b.run("sync")
	b.cut()
	disk, err := os.Open(b.disk)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	raw := map[string][][]byte{}
	for what, text := range canaries {
		raw[what] = [][]byte{[]byte(text)}
		if bin, err := hex.DecodeString(text); err == nil {
			raw[what] = append(raw[what], bin)
		}
	}
	if found := scan(t, disk, raw); len(found) > 0 {
		t.Errorf("S13: on the raw disk after a factory reset: %v", found)
	}
}

// scan reads a disk from end to end and names what is on it.
func scan(t testing.TB, r io.Reader, canaries map[string][][]byte) (found []string) {
	t.Helper()
	const overlap = 256
	buf := make([]byte, overlap+4<<20)
	kept := 0
	for {
		n, err := io.ReadFull(r, buf[kept:])
		for what, forms := range canaries {
			for _, c := range forms {
				if bytes.Contains(buf[:kept+n], c) && !slices.Contains(found, what) {
					found = append(found, what)
				}
			}
		}
		if err != nil {
			if err != io.EOF && err != io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
			return found
		}
		copy(buf, buf[len(buf)-overlap:])
		kept = overlap
	}
}
