package units

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quartet/device/network"
)

// overlay is what the image has beside its packages.
const overlay = "../../buildroot/board/common/overlay"

// programs are ours that units start.
var programs = []string{"quartetd", "quartet-manage", "quartet-netd"}

// setting is one line of a unit.
type setting struct{ section, key, value string }

// units reads all of ours by name.
func units(t *testing.T) map[string][]setting {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(overlay, "usr/lib/systemd/system/quartet*"))
	if err != nil || len(names) < 5 {
		t.Fatalf("%d units, %v", len(names), err)
	}
	all := map[string][]setting{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		section := ""
		for i, line := range strings.Split(string(b), "\n") {
			switch line = strings.TrimSpace(line); {
			case line == "" || line[0] == '#':
			case line[0] == '[':
				section = strings.Trim(line, "[]")
			default:
				key, value, ok := strings.Cut(line, "=")
				if !ok {
					t.Errorf("%s:%d: %q is not key=value", name, i+1, line)
				}
				all[filepath.Base(name)] = append(all[filepath.Base(name)], setting{section, key, value})
			}
		}
	}
	return all
}

// get is the last value of a key, "" if there is none.
func get(u []setting, key string) (value string) {
	for _, s := range u {
		if s.key == key {
			value = s.value
		}
	}
	return value
}

// root makes the root of a file system in which the units can be judged: ours,
// the system's, and programs that do nothing.
func root(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed: the units were not judged")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(overlay)); err != nil {
		t.Fatal(err)
	}
	for _, p := range append([]string{"../../bin/kill", "../../bin/systemctl"}, programs...) {
		name := filepath.Join(dir, "usr/bin", p)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ours := filepath.Join(dir, "usr/lib/systemd/system")
	system, err := filepath.Glob("/usr/lib/systemd/system/*.target")
	if err != nil || len(system) == 0 {
		t.Skipf("the system's own units are not there: %v", err)
	}
	for _, pattern := range []string{"*.target", "*.slice", "systemd-*.service"} {
		names, _ := filepath.Glob("/usr/lib/systemd/system/" + pattern)
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				continue // a link to a unit that is not installed
			}
			if err := os.WriteFile(filepath.Join(ours, filepath.Base(name)), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// TestS10Sandbox (security S10): each service of ours is judged at most 2.5.
func TestS10Sandbox(t *testing.T) {
	dir := root(t)
	for name := range units(t) {
		if !strings.HasSuffix(name, ".service") {
			continue
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "--root="+dir, "--offline=true", "--no-pager", "--threshold=25", "security", name).CombinedOutput()
		m := exposure.FindSubmatch(out)
		if m == nil {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		score, perr := strconv.ParseFloat(string(m[1]), 64)
		if perr != nil || score > 2.5 || err != nil {
			t.Errorf("%s: exposure %s, and may have 2.5; %v\n%s", name, m[1], err, out)
		}
		t.Logf("%s: exposure %s", name, m[1])
	}
}

// TestUnitsLoad: systemd has nothing to say about them.
func TestUnitsLoad(t *testing.T) {
	dir := root(t)
	args := []string{"--root=" + dir, "--no-pager", "--man=no", "verify"}
	for name := range units(t) {
		args = append(args, filepath.Join(dir, "usr/lib/systemd/system", name))
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	var said []string
	for line := range strings.Lines(string(out)) {
		// Of the system's own units it may say what it likes.
		if strings.Contains(line, "quartet") {
			said = append(said, line)
		}
	}
	if len(said) > 0 || err != nil && len(out) == 0 {
		t.Errorf("%v\n%s", err, strings.Join(said, ""))
	}
}

// TestProcessesKeepApart: what docs/architecture.md says of failure domains, in the
// units' words.
func TestProcessesKeepApart(t *testing.T) {
	all := units(t)
	media, manage, netd := all["quartetd.service"], all["quartet-manage.service"], all["quartet-netd.service"]
	for _, c := range []struct {
		unit      string
		u         []setting
		key, want string
	}{
		{"quartetd", media, "MemoryMax", "2G"}, {"quartetd", media, "OOMPolicy", "continue"}, {"quartetd", media, "WatchdogSec", "10s"},
		{"quartet-manage", manage, "MemoryMax", "128M"}, {"quartet-netd", netd, "MemoryMax", "48M"},
		{"quartetd", media, "User", "quartetd"}, {"quartet-manage", manage, "User", "quartet-manage"}, {"quartet-netd", netd, "User", "root"},
		{"quartetd", media, "CapabilityBoundingSet", ""}, {"quartet-manage", manage, "CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"},
		{"quartet-netd", netd, "CapabilityBoundingSet", "CAP_NET_ADMIN CAP_SYS_TIME"},
	} {
		if got := get(c.u, c.key); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.unit, c.key, got, c.want)
		}
	}
	number := func(u []setting, key string) int {
		n, err := strconv.Atoi(get(u, key))
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		return n
	}
	if m, n, g := number(media, "OOMScoreAdjust"), number(netd, "OOMScoreAdjust"), number(manage, "OOMScoreAdjust"); m >= n || n >= g {
		t.Errorf("when memory ends, %d, %d, %d: management must go first and media last", m, n, g)
	}
	if number(media, "CPUWeight") < 10*number(manage, "CPUWeight") {
		t.Error("management may take processor time that the media needs")
	}
	// F21: who judges a new version must come up beside a media plane that takes
	// every processor.
	if number(manage, "StartupCPUWeight") < number(media, "CPUWeight") {
		t.Error("a media plane that spins keeps management from starting")
	}
	for name, u := range all {
		if !strings.HasSuffix(name, ".service") {
			continue
		}
		if get(u, "LimitCORE") != "0" {
			t.Errorf("%s: a core would hold keys: set LimitCORE=0", name)
		}
		if get(u, "NoNewPrivileges") != "yes" || get(u, "ProtectSystem") != "strict" || get(u, "MemoryMax") == "" || get(u, "StartLimitIntervalSec") != "0" {
			t.Errorf("%s: NoNewPrivileges, ProtectSystem=strict, MemoryMax or StartLimitIntervalSec=0 is missing", name)
		}
		if get(u, "Type") == "notify" && (get(u, "Restart") != "always" || get(u, "WatchdogSec") == "" || get(u, "RestartSec") == "") {
			t.Errorf("%s: does not come back by itself when it ends or hangs", name)
		}
		for _, s := range u {
			// The media never waits for management, nor goes with it.
			if name == "quartetd.service" && slices.Contains([]string{"Requires", "BindsTo", "PartOf", "Requisite", "Wants"}, s.key) {
				t.Errorf("%s: %s=%s: the media depends on nobody", name, s.key, s.value)
			}
		}
	}
}

// TestUsersAndFolders: who runs is made, what may be written is there, and no
// one reaches what is another's.
func TestUsersAndFolders(t *testing.T) {
	lines := func(name string) (rows [][]string) {
		b, err := os.ReadFile(filepath.Join(overlay, name))
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			if f := strings.Fields(s.Text()); len(f) > 0 && f[0][0] != '#' {
				rows = append(rows, f)
			}
		}
		return rows
	}
	known := map[string]bool{"root": true, "video": true, "audio": true, "render": true, "systemd-journal": true, "systemd-timesync": true}
	member := map[string][]string{}
	for _, f := range lines("usr/lib/sysusers.d/quartet.conf") {
		switch f[0] {
		case "u", "g":
			known[f[1]] = true
		case "m":
			member[f[1]] = append(member[f[1]], f[2])
		default:
			t.Errorf("sysusers: %v", f)
		}
	}
	folders := map[string][]string{}
	for _, f := range lines("usr/lib/tmpfiles.d/quartet.conf") {
		if len(f) < 6 || f[0] != "d" || !known[f[3]] || !known[f[4]] {
			t.Errorf("tmpfiles: %v", f)
			continue
		}
		folders[f[1]] = f[2:5]
	}
	for name, u := range units(t) {
		for _, s := range u {
			switch s.key {
			case "User", "Group", "SupplementaryGroups":
				for who := range strings.FieldsSeq(s.value) {
					if !known[who] {
						t.Errorf("%s: %s=%s: nobody makes %s", name, s.key, s.value, who)
					}
				}
			case "ReadWritePaths":
				for p := range strings.FieldsSeq(s.value) {
					if p = strings.TrimPrefix(p, "-"); strings.HasPrefix(p, "/sys/") {
						continue // the kernel's; who may write what is in the udev rules
					}
					if folders[p] == nil {
						t.Errorf("%s: %s is not made by tmpfiles.d: the service would not start", name, p)
					}
				}
			}
		}
	}
	if slices.Contains(member["quartetd"], "quartet-netd") {
		t.Error("quartetd, which reads what strangers send, may change the network")
	}
	for p, want := range map[string]string{"/run/quartet": "1770 root quartet", "/etc/quartet": "3770 root quartet", "/etc/quartet/network": "0700 root root", "/var/lib/quartet": "0700 quartet-manage quartet"} {
		if got := strings.Join(folders[p], " "); got != want {
			t.Errorf("%s is %s, want %s", p, got, want)
		}
	}
}

// TestPanelRules: the lights, fans and lines that quartet-manage writes to are given
// to a group of its own, which it is in, and its sandbox lets it get there.
func TestPanelRules(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(overlay, "usr/lib/udev/rules.d/60-quartet-panel.rules"))
	if err != nil {
		t.Fatal(err)
	}
	const group = "quartet-panel"
	for _, subsystem := range []string{"leds", "hwmon", "gpio"} {
		rule := regexp.MustCompile(`(?m)^SUBSYSTEM=="` + subsystem + `".*` + group)
		if !rule.Match(b) {
			t.Errorf("no rule gives anything of %s to %s", subsystem, group)
		}
	}
	manage := units(t)["quartet-manage.service"]
	var writes []string
	for _, s := range manage {
		if s.key == "ReadWritePaths" {
			writes = append(writes, strings.Fields(s.value)...)
		}
	}
	if !slices.Contains(strings.Fields(get(manage, "SupplementaryGroups")), group) || !slices.Contains(writes, "-/sys/class/leds") || !slices.Contains(writes, "-/sys/devices") ||
		get(manage, "DeviceAllow") != "char-gpiochip rw" || get(manage, "PrivateDevices") == "yes" {
		t.Errorf("quartet-manage.service does not reach the panel: %v", writes)
	}
	for _, name := range []string{"quartetd.service", "quartet-netd.service"} {
		if slices.Contains(strings.Fields(get(units(t)[name], "SupplementaryGroups")), group) {
			t.Errorf("%s reaches the panel, and has no business there", name)
		}
	}
	if path, err := exec.LookPath("udevadm"); err == nil {
		out, err := exec.CommandContext(t.Context(), path, "verify", "--root="+overlayRoot(t), "--resolve-names=never").CombinedOutput()
		if err != nil && !strings.Contains(string(out), "Unknown command") {
			t.Errorf("udevadm: %v\n%s", err, out)
		}
	}
}

// overlayRoot is the overlay by its full path.
func overlayRoot(t *testing.T) string {
	t.Helper()
	p, err := filepath.Abs(overlay)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWatchdogChain: PID 1 feeds the hardware's watchdog, and each service of ours
// that stays feeds PID 1's by its work.
func TestWatchdogChain(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(overlay, "usr/lib/systemd/system.conf.d/quartet.conf"))
	if err != nil || !regexp.MustCompile(`(?m)^RuntimeWatchdogSec=20s$`).Match(b) || !regexp.MustCompile(`(?m)^RebootWatchdogSec=`).Match(b) {
		t.Errorf("PID 1 does not feed the hardware's watchdog: %v\n%s", err, b)
	}
	fed := 0
	for name, u := range units(t) {
		if get(u, "Type") != "notify" {
			continue
		}
		if fed++; get(u, "WatchdogSec") == "" || get(u, "NotifyAccess") != "main" || get(u, "Restart") != "always" {
			t.Errorf("%s is not watched", name)
		}
	}
	if fed != 3 {
		t.Errorf("%d services are watched, want quartetd, quartet-manage and quartet-netd", fed)
	}
}

// TestUsersAreMade: systemd takes the list of users.
func TestUsersAreMade(t *testing.T) {
	if _, err := exec.LookPath("systemd-sysusers"); err != nil {
		t.Skip("systemd-sysusers is not installed: the users were not tried")
	}
	dir := root(t)
	// Those that every system has.
	if err := os.WriteFile(filepath.Join(dir, "usr/lib/sysusers.d/basic.conf"), []byte("g video 44 -\ng audio 29 -\ng render 109 -\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-sysusers", "--root="+dir, "--dry-run").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Creating user 'quartetd'") || !strings.Contains(string(out), "Creating user 'quartet-manage'") || strings.Contains(string(out), "not a valid") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPreset: what can be enabled is.
func TestPreset(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(overlay, "usr/lib/systemd/system-preset/50-quartet.preset"))
	if err != nil {
		t.Fatal(err)
	}
	for name, u := range units(t) {
		installs := slices.ContainsFunc(u, func(s setting) bool { return s.section == "Install" })
		if enabled := strings.Contains(string(b), "\nenable "+name+"\n"); enabled != installs {
			t.Errorf("%s: enabled by the preset: %t, has a section Install: %t", name, enabled, installs)
		}
	}
}

var portRow = regexp.MustCompile(`(?m)^\| (tcp|udp) (\d+) \|`)

// TestS9PublishedPorts (security S9): the list for the world, the ruleset and
// the program agree. The scan in device/network finds the ports open that the
// ruleset opens, and no other.
func TestS9PublishedPorts(t *testing.T) {
	b, err := os.ReadFile("../../docs/ports.md")
	if err != nil {
		t.Fatal(err)
	}
	var published, built []string
	for _, m := range portRow.FindAllStringSubmatch(string(b), -1) {
		published = append(published, m[1]+" "+m[2])
	}
	for _, p := range network.FixedPorts() {
		built = append(built, p.String())
	}
	slices.Sort(published)
	slices.Sort(built)
	if !slices.Equal(published, built) {
		t.Errorf("docs/ports.md publishes %v, the box opens %v", published, built)
	}
	rules := network.Firewall(nil)
	var opened []string
	for _, m := range regexp.MustCompile(`(tcp|udp) dport (\{[^}]*\}|\d+)`).FindAllStringSubmatch(rules, -1) {
		for n := range strings.FieldsFuncSeq(m[2], func(r rune) bool { return strings.ContainsRune("{}, ", r) }) {
			opened = append(opened, m[1]+" "+n)
		}
	}
	slices.Sort(opened)
	if opened = slices.Compact(opened); !slices.Equal(opened, built) {
		t.Errorf("the ruleset opens %v, the list is %v", opened, built)
	}
	if n := strings.Count(rules, "policy drop"); n != 2 {
		t.Errorf("%d chains drop what is not named, want input and forward", n)
	}
	for _, conf := range []struct{ file, line, why string }{
		{"usr/lib/systemd/resolved.conf.d/quartet.conf", "LLMNR=no", "UDP and TCP 5355"},
		{"usr/lib/systemd/resolved.conf.d/quartet.conf", "MulticastDNS=yes", "the box's name"},
	} {
		b, err := os.ReadFile(filepath.Join(overlay, conf.file))
		if err != nil || !strings.Contains(string(b), "\n"+conf.line+"\n") {
			t.Errorf("%s: no %s (%s): %v", conf.file, conf.line, conf.why, err)
		}
	}
	if t.Failed() {
		t.Logf("ruleset:\n%s", rules)
	}
}
