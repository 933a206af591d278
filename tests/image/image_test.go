package image

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tree is BR2_EXTERNAL.
const tree = "../../buildroot"

// boards that have an image; generic is every other machine's, and has none.
func boards(t *testing.T) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(tree, "board/*/buildroot.config"))
	if err != nil || len(found) < 3 {
		t.Fatalf("%d boards, %v", len(found), err)
	}
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tree, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// partition is a row of genimage's layout, in bytes.
type partition struct{ offset, size int64 }

var (
	block    = regexp.MustCompile(`(?s)partition ([a-z-]+) \{(.*?)\}`)
	setting  = regexp.MustCompile(`(offset|size) = ([0-9]+)([KMG]?)`)
	suffixes = map[string]int64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
)

func partitions(t *testing.T, text string) map[string]partition {
	t.Helper()
	all := map[string]partition{}
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		var p partition
		for _, s := range setting.FindAllStringSubmatch(m[2], -1) {
			n, err := strconv.ParseInt(s[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if n *= suffixes[s[3]]; s[1] == "offset" {
				p.offset = n
			} else {
				p.size = n
			}
		}
		all[m[1]] = p
	}
	return all
}

// TestPartitionsAgree: the disk's layout, RAUC's slots, the boot loader's
// script, its environment's place and fstab name the same partitions.
func TestPartitionsAgree(t *testing.T) {
	layout := read(t, "board/common/genimage.cfg.in")
	disk := partitions(t, strings.ReplaceAll(layout, "@DATA@", "4G"))
	want := []string{"boot-a", "boot-b", "config", "data", "env", "rootfs-a", "rootfs-b"}
	var names []string
	for n := range disk {
		names = append(names, n)
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Fatalf("partitions %q, want %q", names, want)
	}
	slices.SortFunc(names, func(a, b string) int { return int(disk[a].offset>>20 - disk[b].offset>>20) })
	for i, n := range names[1:] {
		if before := disk[names[i]]; before.offset+before.size != disk[n].offset {
			t.Errorf("%s ends at %d, %s begins at %d", names[i], before.offset+before.size, n, disk[n].offset)
		}
	}
	for _, class := range []string{"boot", "rootfs"} {
		if disk[class+"-a"].size != disk[class+"-b"].size {
			t.Errorf("the two slots of %s differ in size", class)
		}
	}

	// What is mounted, updated and started.
	device := regexp.MustCompile(`by-partlabel/([a-z-]+)`)
	used := map[string]bool{}
	for _, f := range []string{"board/common/rauc/system.conf.in", "board/common/overlay/etc/fstab"} {
		for _, m := range device.FindAllStringSubmatch(read(t, f), -1) {
			used[m[1]] = true
			if _, ok := disk[m[1]]; !ok {
				t.Errorf("%s: there is no partition %s", f, m[1])
			}
		}
	}
	script := read(t, "board/common/uboot/quartet.env")
	for _, slot := range []string{"a", "b"} {
		if !strings.Contains(script, "setenv quartet_part boot-"+slot+"; setenv quartet_conf slot-"+slot+";") {
			t.Errorf("the boot loader does not start slot %s from boot-%s", slot, slot)
		}
		if fit := read(t, "scripts/make-fit"); !strings.Contains(fit, "slot-$slot") || !strings.Contains(fit, "PARTLABEL=rootfs-$slot") {
			t.Error("make-fit names the slots in another way")
		}
	}
	for _, n := range want {
		if n != "env" && !used[n] {
			t.Errorf("nobody uses partition %s", n)
		}
	}
	for file, class := range map[string]string{"scripts/make-fit": "boot-a", "board/common/post-image.sh": "rootfs-a"} {
		if limit := "$((" + strconv.FormatInt(disk[class].size>>20, 10) + " << 20))"; !strings.Contains(read(t, file), limit) {
			t.Errorf("%s does not hold its file to %s, the partition's size", file, limit)
		}
	}
}

// TestEnvironmentsAgree: for each board, U-Boot and Linux look for the
// environment at the same place, which is in the partition env and behind the
// boot loader.
func TestEnvironmentsAgree(t *testing.T) {
	env := partitions(t, strings.ReplaceAll(read(t, "board/common/genimage.cfg.in"), "@DATA@", "4G"))["env"]
	number := func(text, pattern string) int64 {
		m := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("no %s", pattern)
		}
		n, err := strconv.ParseInt(m[1], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, b := range boards(t) {
		uboot, lines := read(t, "board/"+b+"/uboot.config"), read(t, "board/"+b+"/u-boot.env")
		var copies []int64
		for _, m := range regexp.MustCompile(`(?m)^/dev/disk/by-partlabel/env\s+(0x[0-9a-f]+)\s+(0x[0-9a-f]+)$`).FindAllStringSubmatch(read(t, "board/"+b+"/fw_env.config"), -1) {
			at, _ := strconv.ParseInt(m[1], 0, 64)
			size, _ := strconv.ParseInt(m[2], 0, 64)
			if want := number(uboot, `^CONFIG_ENV_SIZE=(\S+)$`); size != want {
				t.Errorf("%s: Linux reads %d bytes, U-Boot %d", b, size, want)
			}
			if at+size > env.size {
				t.Errorf("%s: a copy at %d does not fit into the partition", b, at)
			}
			copies = append(copies, env.offset+at)
		}
		if strings.Contains(uboot, "CONFIG_ENV_IS_IN_MMC=y") {
			want := []int64{number(uboot, `^CONFIG_ENV_OFFSET=(\S+)$`), number(uboot, `^CONFIG_ENV_OFFSET_REDUND=(\S+)$`)}
			if !slices.Equal(copies, want) {
				t.Errorf("%s: Linux has copies at %d, U-Boot at %d", b, copies, want)
			}
			if dev := number(uboot, `^CONFIG_ENV_MMC_DEVICE_INDEX=(\S+)$`); dev != number(lines, `^quartet_dev=(\d+)$`) {
				t.Errorf("%s: environment and slots are on different disks", b)
			}
			if !strings.Contains(uboot, "CONFIG_ENV_REDUNDANT=y") {
				t.Errorf("%s: one copy of the environment can be torn", b)
			}
		} else {
			blocks := regexp.MustCompile(`virtio read 0x[0-9a-f]+ (0x[0-9a-f]+) 0x80`).FindAllStringSubmatch(lines, -1)
			if len(blocks) != 2 || len(copies) != 1 {
				t.Fatalf("%s: %d copies in the script, %d of Linux", b, len(blocks), len(copies))
			}
			first, _ := strconv.ParseInt(blocks[0][1], 0, 64)
			second, _ := strconv.ParseInt(blocks[1][1], 0, 64)
			if first*512 != copies[0] || second*512 < copies[0]+0x10000 || (second+0x80)*512 > env.offset+env.size {
				t.Errorf("%s: copies in blocks %#x and %#x", b, first, second)
			}
		}
		for n, p := range partitions(t, read(t, "board/"+b+"/bootloader.cfg")) {
			if p.size == 0 || p.offset+p.size > env.offset {
				t.Errorf("%s: %s may reach into the environment", b, n)
			}
		}
	}
}

// variables are the lines of an environment.
func variables(t *testing.T, names ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, n := range names {
		for s := bufio.NewScanner(strings.NewReader(read(t, n))); s.Scan(); {
			line := s.Text()
			if line == "" || line[0] == '#' {
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if !ok || strings.HasSuffix(line, `\`) || strings.ContainsAny(key, " \t") {
				t.Errorf("%s: %q: one line each, key=value", n, line)
			}
			if _, twice := all[key]; twice {
				t.Errorf("%s: %s: twice", n, key)
			}
			all[key] = value
		}
	}
	return all
}

// TestBootLoader: every variable that a command runs exists, nothing waits for
// a key, and only RAUC's variables are ever taken from disk.
func TestBootLoader(t *testing.T) {
	common := read(t, "board/common/uboot/uboot.config")
	for _, line := range []string{"CONFIG_BOOTDELAY=-2", "CONFIG_FIT_SIGNATURE=y", "# CONFIG_LEGACY_IMAGE_FORMAT is not set", "CONFIG_ENV_WRITEABLE_LIST=y", "# CONFIG_NET is not set"} {
		if !slices.Contains(strings.Split(common, "\n"), line) {
			t.Errorf("uboot.config: %s is missing", line)
		}
	}
	if patch := read(t, "patches/uboot/0001-env-take-only-RAUC-s-variables-from-disk.patch"); !strings.Contains(patch, `+#define CFG_ENV_FLAGS_LIST_STATIC "BOOT_ORDER:sw,BOOT_A_LEFT:xw,BOOT_B_LEFT:xw"`) {
		t.Error("the patch does not name RAUC's variables")
	}
	for _, b := range boards(t) {
		env := variables(t, "board/common/uboot/quartet.env", "board/"+b+"/u-boot.env")
		if env["bootdelay"] != "-2" || !strings.HasSuffix(env["bootcmd"], "; reset") {
			t.Errorf("%s: bootdelay %q, bootcmd %q", b, env["bootdelay"], env["bootcmd"])
		}
		set := map[string]bool{"BOOT_ORDER": true, "BOOT_A_LEFT": true, "BOOT_B_LEFT": true, "quartet_slot": true, "quartet_start": true, "quartet_size": true, "quartet_part": true, "quartet_conf": true}
		for k, v := range env {
			for _, m := range regexp.MustCompile(`\brun (\w+)`).FindAllStringSubmatch(v, -1) {
				if _, ok := env[m[1]]; !ok {
					t.Errorf("%s: %s runs %s, which is not there", b, k, m[1])
				}
			}
			for _, m := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(v, -1) {
				if _, ok := env[m[1]]; !ok && !set[m[1]] {
					t.Errorf("%s: %s uses %s, which is not there", b, k, m[1])
				}
			}
			if strings.Count(v, "if ")-strings.Count(v, "elif ") != len(regexp.MustCompile(`\bfi\b`).FindAllString(v, -1)) {
				t.Errorf("%s: %s: if and fi do not match", b, k)
			}
		}
		if strings.Contains(env["quartet_import"], "env import") && !strings.HasSuffix(env["quartet_import"], " BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT") {
			t.Errorf("%s: the import takes more than RAUC's variables", b)
		}
	}
}
