package image

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const overlay = "board/common/overlay"

// TestRAUC: what docs/updates.md asks of the image's system.conf.
func TestRAUC(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(tree, "scripts/rauc-conf"), "imx8mp-evk", "1.2.0").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	for _, want := range []string{"compatible=quartet-imx8mp-evk", "min-bundle-version=1.2.0", "activate-installed=false", "bundle-formats=verity",
		"bootloader=uboot", "boot-attempts=3", "boot-attempts-primary=2", "data-directory=/var/lib/rauc", "check-purpose=codesign", "bootname=A", "bootname=B"} {
		if !slices.Contains(lines, want) {
			t.Errorf("system.conf lacks %s", want)
		}
	}
	if strings.Contains(string(out), "\n@") || regexp.MustCompile(`=@\w+@`).Match(out) {
		t.Error("system.conf has places that nobody fills in")
	}
	script := read(t, "board/common/uboot/quartet.env")
	if !strings.Contains(script, "quartet_again=echo \"Quartet: no start left, counting anew\"; setenv BOOT_A_LEFT 3; setenv BOOT_B_LEFT 3;") {
		t.Error("the boot loader counts anew to something else than RAUC's boot-attempts")
	}
	for _, bad := range [][2]string{{"x/y", "1.0.0"}, {"rock5b", "1 0"}, {"", "1.0.0"}} {
		if out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(tree, "scripts/rauc-conf"), bad[0], bad[1]).CombinedOutput(); err == nil {
			t.Errorf("%q: %s", bad, out)
		}
	}
}

// TestNobodyLogsIn: no login on the console, none over the network, no password
// (security S14).
func TestNobodyLogsIn(t *testing.T) {
	preset := read(t, overlay+"/usr/lib/systemd/system-preset/50-quartet.preset")
	for _, u := range []string{"getty@.service", "serial-getty@.service", "console-getty.service", "debug-shell.service"} {
		if !strings.Contains(preset, "\ndisable "+u+"\n") {
			t.Errorf("the preset does not disable %s", u)
		}
	}
	post := read(t, "board/common/post-build.sh") + read(t, "board/common/post-fakeroot.sh")
	for _, what := range []string{"systemd-getty-generator", "systemd-debug-generator", "getty@ serial-getty@ console-getty container-getty@", "/usr/sbin/sshd", "usr/sbin/dropbear", "etc/shadow", "PRIVATE KEY", "/6000"} {
		if !strings.Contains(post, strings.TrimPrefix(what, "/")) {
			t.Errorf("post-build does not look after %s", what)
		}
	}
	for _, name := range defconfigs(t) {
		text := read(t, "configs/"+name)
		for _, want := range []string{"# BR2_TARGET_ENABLE_ROOT_LOGIN is not set", "# BR2_TARGET_GENERIC_GETTY is not set", "# BR2_TARGET_GENERIC_REMOUNT_ROOTFS_RW is not set", "BR2_DOWNLOAD_FORCE_CHECK_HASHES=y"} {
			if !slices.Contains(strings.Split(text, "\n"), want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
		if m := regexp.MustCompile(`(?m)^BR2_\w*(OPENSSH|DROPBEAR|TELNET|GETTY_PORT|ROOT_PASSWD|GDB|STRACE)\w*=.*$`).FindString(text); m != "" {
			t.Errorf("%s: %s", name, m)
		}
	}
}

func defconfigs(t *testing.T) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(tree, "configs/*_defconfig"))
	if err != nil || len(found) != len(boards(t)) {
		t.Fatalf("%d defconfigs for %d boards, %v", len(found), len(boards(t)), err)
	}
	for _, f := range found {
		names = append(names, filepath.Base(f))
	}
	return names
}

// TestDefconfigs: they are what their parts say, no symbol is set twice, and
// every file that they name in this tree is there.
func TestDefconfigs(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(tree, "scripts/defconfigs"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	symbol := regexp.MustCompile(`^(?:# )?(BR2_\w+)[= ]`)
	file := regexp.MustCompile(`\$\(BR2_EXTERNAL_QUARTET_PATH\)/([^ "]+)`)
	for _, name := range defconfigs(t) {
		text := read(t, "configs/"+name)
		if made, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(made) != text {
			t.Errorf("%s is not what scripts/defconfigs makes: run it (%v)", name, err)
		}
		seen := map[string]string{}
		for _, line := range strings.Split(text, "\n") {
			m := symbol.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			if before, twice := seen[m[1]]; twice {
				t.Errorf("%s: %q, and before it %q", name, line, before)
			}
			seen[m[1]] = line
		}
		for _, m := range file.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(tree, m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if seen["BR2_PACKAGE_QUARTET_GPL"] != "" || strings.Contains(text, "X264") || strings.Contains(text, "X265") || strings.Contains(text, "FFMPEG_GPL") {
			t.Errorf("%s: encoders under the GPL come only if asked for", name)
		}
	}
}

// TestBoardsAreThemselves: what a board's folder was copied from is not left in
// it, above all not the name by which it takes updates.
func TestBoardsAreThemselves(t *testing.T) {
	line := regexp.MustCompile(`(?m)^(BR2_PACKAGE_QUARTET_BOARD|BR2_LINUX_KERNEL_INTREE_DTS_NAME|BR2_LINUX_KERNEL_CUSTOM_DTS_PATH|DTB|LOAD|ARGS)="?(.+?)"?$`)
	watchdog := regexp.MustCompile(`(?m)^CONFIG_\w+_(WDT|WATCHDOG)=y$`)
	folders, err := filepath.Glob(filepath.Join(tree, "board/*/image.conf"))
	if err != nil || len(folders) != len(defconfigs(t)) {
		t.Errorf("%d boards have an image.conf, and %d a defconfig (%v)", len(folders), len(defconfigs(t)), err)
	}
	for _, f := range folders {
		name := filepath.Base(filepath.Dir(f))
		is := map[string]string{}
		for _, file := range []string{"buildroot.config", "image.conf"} {
			for _, m := range line.FindAllStringSubmatch(read(t, "board/"+name+"/"+file), -1) {
				is[m[1]] = m[2]
			}
		}
		if got := is["BR2_PACKAGE_QUARTET_BOARD"]; got != name {
			t.Errorf("%s: BR2_PACKAGE_QUARTET_BOARD is %q: it would take another board's updates", name, got)
		}
		for _, k := range []string{"DTB", "LOAD", "ARGS"} {
			if is[k] == "" {
				t.Errorf("%s: image.conf has no %s", name, k)
			}
		}
		if is["DTB"] == "qemu" {
			continue
		}
		source := is["BR2_LINUX_KERNEL_INTREE_DTS_NAME"] + strings.TrimSuffix(is["BR2_LINUX_KERNEL_CUSTOM_DTS_PATH"], ".dts")
		if want := filepath.Base(source) + ".dtb"; is["DTB"] != want {
			t.Errorf("%s: image.conf has DTB=%s, and %s is built", name, is["DTB"], want)
		}
		if !watchdog.MatchString(read(t, "board/"+name+"/linux.config")) {
			t.Errorf("%s: linux.config has no watchdog", name)
		}
		if !strings.Contains(read(t, "board/"+name+"/uboot.config"), "\nCONFIG_WATCHDOG_AUTOSTART=y\n") {
			t.Errorf("%s: uboot.config starts no watchdog", name)
		}
	}
}

// TestKernelConfigs: no symbol stands twice in a fragment, and a board's last
// word contradicts nothing that every board needs.
func TestKernelConfigs(t *testing.T) {
	symbol := regexp.MustCompile(`(?m)^(?:(CONFIG_\w+)=(.*)|# (CONFIG_\w+) is not set)$`)
	parse := func(name string) map[string]string {
		all := map[string]string{}
		for _, m := range symbol.FindAllStringSubmatch(read(t, name), -1) {
			key, value := m[1]+m[3], m[2]
			if _, twice := all[key]; twice {
				t.Errorf("%s: %s: twice", name, key)
			}
			all[key] = value
		}
		return all
	}
	common, lean := parse("board/common/linux/linux.config"), parse("board/common/linux/lean.config")
	for k, v := range lean {
		if have, ok := common[k]; ok && have != v {
			t.Errorf("%s is %q for all, and %q where it is lean", k, have, v)
		}
	}
	for _, must := range []string{"DM_INIT", "DM_VERITY", "SQUASHFS", "SQUASHFS_ZSTD", "EXT4_FS", "BLK_DEV_LOOP", "SECCOMP_FILTER", "CGROUP_BPF", "NF_TABLES", "WATCHDOG", "WATCHDOG_HANDLE_BOOT_ENABLED", "LEDS_CLASS", "GPIO_CDEV", "VIDEO_DEV"} {
		if common["CONFIG_"+must] != "y" {
			t.Errorf("CONFIG_%s is not built in", must)
		}
	}
	for _, b := range boards(t) {
		for k, v := range parse("board/" + b + "/linux.config") {
			if have, ok := common[k]; ok && have != v {
				t.Errorf("%s: %s is %q, and %q for all", b, k, v, have)
			}
		}
		uboot := parse("board/common/uboot/uboot.config")
		for k, v := range parse("board/" + b + "/uboot.config") {
			if have, ok := uboot[k]; ok && have != v {
				t.Errorf("%s: U-Boot's %s is %q, and %q for all", b, k, v, have)
			}
		}
	}
}

// TestUsersAgree: Buildroot makes the users that sysusers.d names, with the same
// numbers, groups and homes.
func TestUsersAgree(t *testing.T) {
	type user struct{ number, home, groups string }
	want := map[string]user{}
	members := map[string][]string{}
	for _, line := range strings.Split(read(t, overlay+"/usr/lib/sysusers.d/quartet.conf"), "\n") {
		f := strings.Fields(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(line, "-"))
		switch {
		case len(f) < 3 || strings.HasPrefix(line, "#"):
		case f[0] == "g":
			want["@"+f[1]] = user{number: f[2]}
		case f[0] == "u":
			want[f[1]] = user{number: f[2], home: f[4]}
		case f[0] == "m":
			members[f[1]] = append(members[f[1]], f[2])
		}
	}
	for name, groups := range members {
		u := want[name]
		u.groups = strings.Join(groups, ",")
		want[name] = u
	}
	mk := read(t, "package/quartet/quartet.mk")
	table := mk[strings.Index(mk, "define QUARTET_USERS\n"):]
	table = table[:strings.Index(table, "endef")]
	got := map[string]user{}
	for _, line := range strings.Split(table, "\n")[1:] {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		if f[0] == "-" {
			got["@"+f[2]] = user{number: f[3]}
			continue
		}
		if f[1] != f[3] || f[4] != "*" || f[6] != "-" {
			t.Errorf("%s: own group of the same number, no password, no shell: %s", f[0], line)
		}
		got[f[0]] = user{number: f[1], home: f[5], groups: f[7]}
	}
	if len(want) < 4 {
		t.Fatalf("sysusers.d names %d users and groups", len(want))
	}
	for n, u := range want {
		if got[n] != u || u.number == "-" {
			t.Errorf("%s: sysusers.d has %+v, package/quartet %+v", n, u, got[n])
		}
	}
	for n := range got {
		if _, ok := want[n]; !ok {
			t.Errorf("%s: in package/quartet, and not in sysusers.d", n)
		}
	}
}

// TestPresetNamesUnits: what is enabled of ours is there and can be enabled;
// what can be enabled is.
func TestPresetNamesUnits(t *testing.T) {
	preset := read(t, overlay+"/usr/lib/systemd/system-preset/50-quartet.preset")
	enabled := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^enable (quartet\S+)$`).FindAllStringSubmatch(preset, -1) {
		enabled[m[1]] = true
	}
	installed := map[string]bool{}
	err := fs.WalkDir(os.DirFS(filepath.Join(tree, overlay)), "usr/lib/systemd/system", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), "quartet") && strings.Contains(read(t, overlay+"/"+p), "\n[Install]\n") {
			installed[d.Name()] = true
		}
		return err
	})
	if err != nil || len(installed) == 0 {
		t.Fatalf("%d units, %v", len(installed), err)
	}
	for u := range enabled {
		if !installed[u] {
			t.Errorf("%s is enabled, and there is no such unit with [Install]", u)
		}
	}
	for u := range installed {
		if !enabled[u] {
			t.Errorf("%s says when it starts, and is not enabled", u)
		}
	}
}

// TestPluginsOfTheEngine: every plugin that the engine's elements are in is in
// the image; the table is ours, the elements are read from the engine.
func TestPluginsOfTheEngine(t *testing.T) {
	plugin := map[string]string{
		"appsrc": "BASE_PLUGIN_APP", "appsink": "BASE_PLUGIN_APP", "mpegtsmux": "BAD_PLUGIN_MPEGTSMUX", "tsdemux": "BAD_PLUGIN_MPEGTSDEMUX",
		"h264parse": "BAD_PLUGIN_VIDEOPARSERS", "h265parse": "BAD_PLUGIN_VIDEOPARSERS", "mpegvideoparse": "BAD_PLUGIN_VIDEOPARSERS",
		"aacparse": "GOOD_PLUGIN_AUDIOPARSERS", "mpegaudioparse": "GOOD_PLUGIN_AUDIOPARSERS", "ac3parse": "GOOD_PLUGIN_AUDIOPARSERS",
		"level": "GOOD_PLUGIN_LEVEL", "imagefreeze": "GOOD_PLUGIN_IMAGEFREEZE", "jpegenc": "GOOD_JPEG", "pngdec": "GOOD_PNG",
		"capssetter": "GOOD_PLUGIN_DEBUGUTILS", "videotestsrc": "BASE_PLUGIN_VIDEOTESTSRC", "audiotestsrc": "BASE_PLUGIN_AUDIOTESTSRC",
		"videoconvert": "BASE_PLUGIN_VIDEOCONVERTSCALE", "videoscale": "BASE_PLUGIN_VIDEOCONVERTSCALE", "audioconvert": "BASE_PLUGIN_AUDIOCONVERT",
		"videorate": "BASE_PLUGIN_VIDEORATE", "interlace": "BAD_PLUGIN_INTERLACE", "deinterlace": "GOOD_PLUGIN_DEINTERLACE",
		"timeoverlay": "BASE_PLUGIN_PANGO", "timecodestamper": "BAD_PLUGIN_TIMECODE", "audiomixer": "BASE_PLUGIN_AUDIOMIXER",
		"v4l2src": "GOOD_PLUGIN_V4L2", "alsasrc": "BASE_PLUGIN_ALSA", "opusparse": "BAD_PLUGIN_OPUS", "fdsink": "",
	}
	text := read(t, "configs/fragments/media.config")
	engine, err := os.ReadFile("../../cmd/quartet-engine/encoders.go")
	if err != nil {
		t.Fatal(err)
	}
	elements := regexp.MustCompile(`(?:\{|add\()"([a-z0-9]+)", "(?:gstreamer1\.0|libgstreamer)`).FindAllStringSubmatch(string(engine), -1)
	if len(elements) < 20 {
		t.Fatalf("%d elements", len(elements))
	}
	for _, m := range elements {
		if strings.HasPrefix(m[1], "avdec_") || strings.HasPrefix(m[1], "avenc_") {
			if !strings.Contains(text, "\nBR2_PACKAGE_GST1_LIBAV=y\n") {
				t.Errorf("%s: gst1-libav is missing", m[1])
			}
			continue
		}
		p, known := plugin[m[1]]
		if strings.HasPrefix(m[1], "v4l2h26") || m[1] == "x264enc" || m[1] == "x265enc" {
			continue // hardware's, or asked for with BR2_PACKAGE_QUARTET_GPL
		}
		if !known {
			t.Errorf("%s: which plugin is it in? Add it here, and to media.config", m[1])
		} else if p != "" && !strings.Contains(text, "\nBR2_PACKAGE_GST1_PLUGINS_"+p+"=y\n") {
			t.Errorf("%s: BR2_PACKAGE_GST1_PLUGINS_%s is missing", m[1], p)
		}
	}
}

// TestSourcesOfPatches: our own hashes are of the versions that defconfigs name.
func TestSourcesOfPatches(t *testing.T) {
	boot := read(t, "configs/fragments/boot.config")
	for _, c := range []struct{ symbol, file, format string }{
		{"BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE", "patches/linux/linux.hash", "linux-%.tar.xz"},
		{"BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE", "patches/linux-headers/linux-headers.hash", "linux-%.tar.xz"},
		{"BR2_TARGET_UBOOT_CUSTOM_VERSION_VALUE", "patches/uboot/uboot.hash", "u-boot-%.tar.bz2"},
	} {
		m := regexp.MustCompile(`(?m)^` + c.symbol + `="(.*)"$`).FindStringSubmatch(boot)
		if m == nil || !strings.Contains(read(t, c.file), "  "+strings.Replace(c.format, "%", m[1], 1)+"\n") {
			t.Errorf("%s has no hash of %v", c.file, m)
		}
	}
}

// Nothing that a box needs to be reached depends on a partition that may be lost;
// systemd has the filter that the units' sandboxes want.
func TestNothingNeedsAPartition(t *testing.T) {
	units, err := filepath.Glob(filepath.Join(tree, overlay, "usr/lib/systemd/system/quartet*.service"))
	if err != nil || len(units) < 6 {
		t.Fatalf("%v, %v", units, err)
	}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			for _, word := range []string{"StateDirectory=", "RequiresMountsFor="} {
				if strings.HasPrefix(line, word) {
					t.Errorf("%s: %s requires the partition below it: the unit would not start without", filepath.Base(unit), strings.TrimSpace(line))
				}
			}
		}
	}
	busybox, err := os.ReadFile(filepath.Join(tree, "board/common/busybox/busybox.config"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CONFIG_MOUNTPOINT=y\n", "CONFIG_TIMEOUT=y\n"} { // for trial-guard
		if !strings.Contains(string(busybox), want) {
			t.Errorf("busybox.config lacks %s", want)
		}
	}
	for _, name := range defconfigs(t) {
		text, err := os.ReadFile(filepath.Join(tree, "configs", name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "BR2_PACKAGE_LIBSECCOMP=y\n") {
			t.Errorf("%s: without BR2_PACKAGE_LIBSECCOMP=y systemd has no SystemCallFilter", name)
		}
	}
}
