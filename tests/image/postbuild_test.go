package image

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPostBuild: the root file system gets what says what it is and whom it
// believes, loses every way in, and is refused where something is left.
func TestPostBuild(t *testing.T) {
	needs(t, "openssl", "python3")
	keys := realKeys(t)
	abs, err := filepath.Abs(tree)
	if err != nil {
		t.Fatal(err)
	}
	// run fills a root file system, has change alter it, and finishes it.
	run := func(t *testing.T, change func(root string), facts ...string) (string, string, error) {
		root, base := t.TempDir(), t.TempDir()
		for name, text := range map[string]string{
			"etc/machine-id": "x", "usr/lib/x": "",
			"usr/lib/systemd/system-generators/systemd-getty-generator": "", "usr/bin/login": "", "usr/bin/quartetd": "",
			"etc/systemd/system/getty.target.wants/getty@tty1.service": "",
		} {
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(root, name), text)
		}
		if change != nil {
			change(root)
		}
		all := append([]string{"BOARD=rock5b", "VERSION=1.4.0", "TAG=v1.4.0", "FLOOR=1.2.0", "KEYS=" + keys, "RELEASE=yes"}, facts...)
		last := map[string]string{} // the last word counts
		var order []string
		for _, f := range all {
			k, _, _ := strings.Cut(f, "=")
			if _, ok := last[k]; !ok {
				order = append(order, k)
			}
			last[k] = f
		}
		var b strings.Builder
		for _, k := range order {
			b.WriteString(last[k] + "\n")
		}
		write(t, filepath.Join(base, "quartet.facts"), b.String())
		cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(tree, "board/common/post-build.sh"), root)
		cmd.Env = append(os.Environ(), "BR2_EXTERNAL_QUARTET_PATH="+abs, "BASE_DIR="+base)
		out, err := cmd.CombinedOutput()
		return root, string(out), err
	}

	root, out, err := run(t, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var is struct{ Board, Version, Floor string }
	b, err := os.ReadFile(filepath.Join(root, "usr/share/quartet/image.json"))
	if err != nil || json.Unmarshal(b, &is) != nil || is.Board != "rock5b" || is.Version != "1.4.0" || is.Floor != "1.2.0" {
		t.Errorf("image.json: %s %v", b, err)
	}
	for name, want := range map[string]string{
		"usr/share/quartet/image.env": "VERSION=1.4.0\n", "usr/lib/os-release": "IMAGE_VERSION=1.4.0\n", "usr/share/quartet/root.json": "{}",
		"etc/rauc/system.conf": "compatible=quartet-rock5b\n", "etc/rauc/keyring.pem": "BEGIN CERTIFICATE", "etc/fw_env.config": "by-partlabel/env",
	} {
		if b, err := os.ReadFile(filepath.Join(root, name)); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for _, gone := range []string{"usr/bin/login", "usr/lib/systemd/system-generators/systemd-getty-generator", "etc/systemd/system/getty.target.wants/getty@tty1.service"} {
		if _, err := os.Lstat(filepath.Join(root, gone)); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, masked := range []string{"getty@", "serial-getty@", "console-getty", "debug-shell"} {
		if to, err := os.Readlink(filepath.Join(root, "etc/systemd/system", masked+".service")); err != nil || to != "/dev/null" {
			t.Errorf("%s: %q, %v", masked, to, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(root, "etc/machine-id")); err != nil || len(b) > 0 {
		t.Errorf("machine-id %q, %v", b, err)
	}

	put := func(name, text string, mode os.FileMode) func(string) {
		return func(root string) {
			name := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, name, text)
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		what   string
		change func(string)
		facts  []string
	}{
		{"/usr/sbin/sshd is in the image", put("usr/sbin/sshd", "", 0o755), nil},
		{"private keys in the image", put("usr/share/x.pem", "-----BEGIN PRIVATE KEY-----\n", 0o644), nil},
		{"private keys in the image", put("etc/ssl/x", "-----BEGIN RSA PRIVATE KEY-----\n", 0o600), nil},
		{"no such folder", nil, []string{"BOARD=toaster"}},
		{"MAJOR.MINOR.PATCH", nil, []string{"VERSION=unpacked"}},
		{"at the tag v0.0.0-dev", nil, []string{"VERSION=0.0.0-dev", "TAG="}},
		{"at the tag v1.5.0", nil, []string{"VERSION=1.5.0"}},
		{"names the oldest version", nil, []string{"FLOOR=0.0.0"}},
		{"is missing", nil, []string{"KEYS=" + t.TempDir()}},
	} {
		if _, out, err := run(t, c.change, c.facts...); err == nil || !strings.Contains(out, c.what) {
			t.Errorf("want %q, got %v %s", c.what, err, out)
		}
	}
	// What a release refuses, a development build does with.
	if _, out, err := run(t, nil, "RELEASE=", "FLOOR=0.0.0", "VERSION=1.4.0-3-g1234567", "TAG="); err != nil {
		t.Errorf("a development build: %v %s", err, out)
	}
}

// TestPostFakeroot: nothing runs as somebody else, nobody has a password.
func TestPostFakeroot(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{"etc", "usr/bin", "usr/libexec"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name, text string, mode os.FileMode) {
		write(t, filepath.Join(root, name), text)
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	run := func() (string, error) {
		out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(tree, "board/common/post-fakeroot.sh"), root).CombinedOutput()
		return string(out), err
	}
	file("usr/bin/mount", "", 0o755|os.ModeSetuid)
	file("usr/bin/write", "", 0o755|os.ModeSetgid)
	file("usr/libexec/dbus-daemon-launch-helper", "", 0o750|os.ModeSetuid)
	file("etc/shadow", "root:*:::::::\nlocked:!x:::::::\nquartetd:*:::::::\n", 0o600)
	if out, err := run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]os.FileMode{"usr/bin/mount": 0o755, "usr/bin/write": 0o755, "usr/libexec/dbus-daemon-launch-helper": 0o750 | os.ModeSetuid} {
		if i, err := os.Stat(filepath.Join(root, name)); err != nil || i.Mode() != want {
			t.Errorf("%s: %v, %v", name, i.Mode(), err)
		}
	}
	for _, text := range []string{"root:$5$x$y:::::::\n", "root::::::::\n", "root:*:::::::\nguest::::::::\n"} {
		file("etc/shadow", text, 0o600)
		if out, err := run(); err == nil || !strings.Contains(out, "have a password") {
			t.Errorf("%q: %v %s", text, err, out)
		}
	}
}
