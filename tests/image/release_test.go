package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRelease: a release is what a tag's archive was unpacked to, to the last file;
// that archive is delivered with it, and nothing is written where it would be packed
// itself, or where an earlier build has left something.
func TestRelease(t *testing.T) {
	needs(t, "openssl", "python3", "bash")
	keys, root := realKeys(t), t.TempDir()
	unpacked := filepath.Join(root, "quartet-1.4.0")
	for _, dir := range []string{"scripts", "configs"} {
		if err := os.CopyFS(filepath.Join(unpacked, "buildroot", dir), os.DirFS(filepath.Join(tree, dir))); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, text string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, name, text)
	}
	put("quartet-1.4.0/VERSION", "1.4.0\n")
	put("quartet-1.4.0/TAG", "v1.4.0\n")
	put("quartet-1.4.0/COMMIT", "1234\n")
	put("quartet-1.4.0/vendor/modules.txt", "")
	put("quartet-1.4.0/vendor/build/build.go", "package build\n")
	put("quartet-1.4.0/device/web/ui/package.json", "{}\n")
	if err := os.Symlink("COMMIT", filepath.Join(unpacked, "link")); err != nil {
		t.Fatal(err)
	}
	put("buildroot/utils/generate-cyclonedx", "")
	pack := func(to string) {
		out, err := exec.CommandContext(t.Context(), "tar", "-C", root, "-czf", filepath.Join(root, to), "quartet-1.4.0").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	pack("quartet-1.4.0.tar.gz")
	put("quartet-1.4.0/COMMIT", "5678\n")
	pack("other.tar.gz")
	put("quartet-1.4.0/COMMIT", "1234\n")
	release := func(more ...string) (string, error) {
		args := append([]string{filepath.Join(unpacked, "buildroot/scripts/release"), "--buildroot", filepath.Join(root, "buildroot"),
			"--keys", keys, "--floor", "1.2.0", "--defconfig", "quartet_imx8mp_evk", "--check"}, more...)
		out, err := exec.CommandContext(t.Context(), "bash", args...).CombinedOutput()
		return string(out), err
	}
	if out, err := release(); err != nil || !strings.Contains(out, "1.4.0 for imx8mp_evk may be built") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		want string
		more []string
	}{
		{"name the oldest version", []string{"--floor", "0.0.0"}},
		{"there is no such file", []string{"--defconfig", "quartet_toaster"}},
		{"no Buildroot checkout", []string{"--buildroot", root}},
		{"no such file; name the archive", []string{"--source", filepath.Join(root, "nothing.tar.gz")}},
		{"its COMMIT is another", []string{"--source", filepath.Join(root, "other.tar.gz")}},
		{"name a folder outside", []string{"--out", filepath.Join(unpacked, "build/x")}},
		{"name another folder", []string{"--out", root}},
		{"unknown", []string{"--now"}},
	} {
		if out, err := release(c.more...); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("want %q, got %v %s", c.want, err, out)
		}
	}
	// What no package takes may lie beside; what is another than in the archive not.
	put("quartet-1.4.0/build/quartetd", "built")
	put("quartet-1.4.0/buildroot/keys/ca.pem", "")
	put("quartet-1.4.0/device/web/ui/node_modules/x.js", "")
	if err := os.Chmod(filepath.Join(unpacked, "build/quartetd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := release("--out", filepath.Join(root, "new")); err != nil {
		t.Errorf("keys and what was built are in the way: %v %s", err, out)
	}
	at := func(name string) string { return filepath.Join(unpacked, name) }
	script := at("buildroot/scripts/make-fit")
	for _, c := range []struct {
		want         string
		change, undo func() error
	}{
		{"vendor/build/build.go differ", func() error { return os.WriteFile(at("vendor/build/build.go"), []byte("package other\n"), 0o600) },
			func() error { return os.WriteFile(at("vendor/build/build.go"), []byte("package build\n"), 0o600) }},
		{"vendor/build: more.go", func() error { return os.WriteFile(at("vendor/build/more.go"), nil, 0o600) }, func() error { return os.Remove(at("vendor/build/more.go")) }},
		{"vendor/build: build.go", func() error { return os.Rename(at("vendor/build/build.go"), filepath.Join(root, "kept")) },
			func() error { return os.Rename(filepath.Join(root, "kept"), at("vendor/build/build.go")) }},
		{"alone: ./buildroot/scripts/make-fit", func() error { return os.Chmod(script, 0o600) }, func() error { return os.Chmod(script, 0o755) }},
		{"link", func() error { return errors.Join(os.Remove(at("link")), os.Symlink("TAG", at("link"))) },
			func() error { return errors.Join(os.Remove(at("link")), os.Symlink("COMMIT", at("link"))) }},
	} {
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if out, err := release(); err == nil || !strings.Contains(out, "unpack it anew") || !strings.Contains(out, c.want) {
			t.Errorf("want %q, got %v %s", c.want, err, out)
		}
		if err := c.undo(); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := release(); err != nil {
		t.Fatalf("what was put right is not: %v %s", err, out)
	}
	put("release/1.4.0/imx8mp_evk/buildroot/build/quartet-1.4.0/.stamp_built", "")
	if out, err := release(); err == nil || !strings.Contains(out, "is not empty") {
		t.Errorf("a release is built upon an earlier one: %v %s", err, out)
	}
	if err := os.RemoveAll(filepath.Join(root, "release")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"TAG": "at the tag v1.4.0", "VERSION": "at the tag v1.5.0", "vendor/modules.txt": "is missing"} {
		old, err := os.ReadFile(filepath.Join(unpacked, name))
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "TAG":
			put("quartet-1.4.0/TAG", "\n")
		case "VERSION":
			put("quartet-1.4.0/VERSION", "1.5.0\n")
		default:
			os.Remove(filepath.Join(unpacked, name))
		}
		if out, err := release(); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: want %q, got %v %s", name, want, err, out)
		}
		put("quartet-1.4.0/"+name, string(old))
	}
}
