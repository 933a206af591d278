package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRelease: a release is what a tag's archive was unpacked to, that archive is
// delivered with it, and nothing is written where it would be packed itself.
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
	put("buildroot/utils/generate-cyclonedx", "")
	pack := func(to string) {
		out, err := exec.CommandContext(t.Context(), "tar", "-C", root, "-czf", filepath.Join(root, to), "quartet-1.4.0/COMMIT", "quartet-1.4.0/TAG").CombinedOutput()
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
