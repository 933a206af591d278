package image

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// seconds returns the time of a unit's setting, which must stand there once.
func seconds(t *testing.T, unit, key string) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`(?m)^`+key+`=(\S+)$`).FindAllStringSubmatch(read(t, overlay+"/usr/lib/systemd/system/"+unit), -1)
	if len(m) != 1 {
		t.Fatalf("%s: %s stands there %d times", unit, key, len(m))
	}
	d, err := time.ParseDuration(m[0][1])
	if err != nil {
		t.Fatalf("%s: %s: %v", unit, key, err)
	}
	return d
}

// TestStartsThatHang: a start that never comes to the box's services ends by
// itself, but not one that waits for a broken disk; and it ends before the trial's
// guard would have gone back.
func TestStartsThatHang(t *testing.T) {
	const target, check = "basic.target.d/quartet.conf", "systemd-fsck@.service.d/quartet.conf"
	if !strings.Contains(read(t, overlay+"/usr/lib/systemd/system/"+target), "\n[Unit]\nJobTimeoutSec=190s\nJobTimeoutAction=reboot-force\n") {
		t.Errorf("%s does not restart, or not from the first job on", target)
	}
	limit := seconds(t, target, "JobTimeoutSec")
	checked := seconds(t, check, "TimeoutStartSec") + seconds(t, check, "TimeoutStopSec")

	var device time.Duration
	for line := range strings.Lines(read(t, overlay+"/etc/fstab")) {
		if !strings.HasPrefix(line, "/dev/") {
			continue
		}
		m := regexp.MustCompile(`[, ]x-systemd\.device-timeout=(\w+)[, ]`).FindStringSubmatch(line)
		if m == nil || !strings.Contains(line, "nofail,") || !strings.HasSuffix(line, " 0 2\n") {
			t.Fatalf("fstab: waits for ever, is needed, or is not checked: %s", line)
		}
		d, err := time.ParseDuration(m[1])
		if err != nil {
			t.Fatal(err)
		}
		device = max(device, d)
	}
	const mount, rest = 90 * time.Second, 10 * time.Second // DefaultTimeoutStartSec; the start of a sound box
	if least := device + checked + mount + rest; device == 0 || limit < least {
		t.Errorf("a box with a broken disk may take %v, and is restarted after %v, for ever", least, limit)
	}

	// The guard's word, in its source, for an updater that has not begun.
	source, err := os.ReadFile("../../updater/guard.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`\n\tguardBegun += ([0-9]+) \* time\.Second`).FindSubmatch(source)
	if m == nil {
		t.Fatal("updater/guard.go has no guardBegun in seconds")
	}
	begun, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	if limit > time.Duration(begun)*time.Second {
		t.Errorf("a version on trial that hangs before its services is given %v; one whose updater does not begin %d s", limit, begun)
	}

	// Nobody sits at the console that these two modes wait at.
	for _, mode := range []string{"emergency", "rescue"} {
		text := read(t, overlay+"/usr/lib/systemd/system/"+mode+".service.d/quartet.conf")
		for _, want := range []string{"\nSuccessAction=reboot-force\n", "\nFailureAction=reboot-force\n", "\nExecStart=\nExecStart=/usr/bin/sleep 10\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s mode stays: no %q", mode, want)
			}
		}
	}
}

// TestPartitionsAreRepaired: a partition that is broken is not left out for ever, and
// what the repair finds stays no longer than the start.
func TestPartitionsAreRepaired(t *testing.T) {
	if !strings.Contains(read(t, "scripts/make-fit"), " fsck.repair=yes ") {
		t.Error("make-fit: the kernel's command line lacks fsck.repair=yes: systemd repairs only what loses nothing")
	}
	for _, name := range defconfigs(t) {
		// fsck itself comes with systemd.
		if !strings.Contains(read(t, "configs/"+name), "\nBR2_PACKAGE_E2FSPROGS=y\n") {
			t.Errorf("%s: without e2fsprogs there is no fsck.ext4", name)
		}
	}
	kept := read(t, overlay+"/usr/lib/tmpfiles.d/quartet-kept.conf")
	for _, m := range regexp.MustCompile(`(?m)^/dev/\S+ +(\S+)`).FindAllStringSubmatch(read(t, overlay+"/etc/fstab"), -1) {
		if !regexp.MustCompile(`(?m)^R! +` + regexp.QuoteMeta(m[1]) + `/lost\+found/\* `).MatchString(kept) {
			t.Errorf("%s/lost+found: a key among what a repair found would outlive a factory reset", m[1])
		}
	}
}

// TestNumbersOfUsers: a folder on the data partition whose user has no fixed number
// is given to it at each start, with all that is in it.
func TestNumbersOfUsers(t *testing.T) {
	fixed := map[string]bool{"root": true}
	for _, m := range regexp.MustCompile(`(?m)^[ug] (\S+) +[0-9]+ `).FindAllStringSubmatch(read(t, overlay+"/usr/lib/sysusers.d/quartet.conf"), -1) {
		fixed[m[1]] = true
	}
	kept, seen := read(t, overlay+"/usr/lib/tmpfiles.d/quartet-kept.conf"), 0
	for line := range strings.Lines(read(t, overlay+"/usr/lib/tmpfiles.d/quartet.conf")) {
		f := strings.Fields(line)
		if len(f) < 6 || f[0] != "d" || !strings.HasPrefix(f[1], "/var/lib/") || fixed[f[3]] && fixed[f[4]] {
			continue
		}
		seen++
		if want := regexp.MustCompile(`(?m)^Z +` + regexp.QuoteMeta(f[1]) + ` +- +` + f[3] + ` +` + f[4] + ` +-$`); !want.MatchString(kept) {
			t.Errorf("%s: what an earlier image has left there belongs to another number: %s is missing", f[1], want)
		}
	}
	if seen == 0 {
		t.Error("no folder of a user without a fixed number: is timesyncd's gone?")
	}
}

// TestSocketBuffers: the kernel grants what the manual asks for, and libsrt's own
// buffers at least.
func TestSocketBuffers(t *testing.T) {
	source, err := os.ReadFile("../../uplink/srt/options.go")
	if err != nil {
		t.Fatal(err)
	}
	least := 1
	for _, name := range []string{"defaultBufPackets", "defaultMSS"} {
		m := regexp.MustCompile(`\n\t` + name + ` += ([0-9]+)\n`).FindSubmatch(source)
		if m == nil {
			t.Fatalf("uplink/srt/options.go has no %s", name)
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		least *= n
	}
	manual, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile("`net\\.core\\.rmem_max` and `net\\.core\\.wmem_max` of at least ([0-9]+)").FindSubmatch(manual)
	if asked == nil {
		t.Fatal("docs/operations.md does not say how much buffer a socket may have")
	}
	for _, name := range []string{"rmem_max", "wmem_max"} {
		m := regexp.MustCompile(`(?m)^net\.core\.` + name + ` = ([0-9]+)$`).FindStringSubmatch(read(t, overlay+"/usr/lib/sysctl.d/60-quartet.conf"))
		if m == nil || m[1] != string(asked[1]) {
			t.Errorf("%s: %v, and docs/operations.md asks for %s", name, m, asked[1])
			continue
		}
		if n, err := strconv.Atoi(m[1]); err != nil || n < least {
			t.Errorf("%s: %s, and libsrt asks for %d", name, m[1], least)
		}
	}
}

// TestSensorsAreBuiltIn: fans and temperatures are there from the start, not when
// udev comes to their modules.
func TestSensorsAreBuiltIn(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(tree, "board/*/linux.config"))
	if err != nil || len(files) != len(boards(t)) {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range append(files, filepath.Join(tree, "board/common/linux/linux.config")) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`(?m)^CONFIG_(SENSORS|PWM|GPIO|I2C|LEDS|THERMAL)_\w+=m$`).FindAllString(string(text), -1); m != nil {
			t.Errorf("%s: %q: as modules", f, m)
		}
	}
}
