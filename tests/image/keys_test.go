package image

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// tool runs a script of the tree and returns what it says.
func tool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	args[0] = filepath.Join(tree, "scripts", args[0])
	out, err := exec.CommandContext(t.Context(), "sh", args...).CombinedOutput()
	return string(out), err
}

// needs says plainly what was not looked at where a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: not tried", p)
		}
	}
}

// realKeys returns a folder with keys as a release has them, made as
// docs/image.md says; small ones, and once, for the tests' time.
func realKeys(t *testing.T) string {
	t.Helper()
	made, err := releaseKeys()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range made {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

var releaseKeys = sync.OnceValues(func() (map[string]string, error) {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	script := `set -e; cd "$1"
printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=critical,codeSigning\n' >bundle.ext
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=Acme CA" -addext keyUsage=critical,keyCertSign -keyout ../ca.$$ -out ca.pem
openssl req -new -newkey rsa:2048 -nodes -subj "/CN=Acme bundles" -keyout bundle.key -out bundle.csr
openssl x509 -req -in bundle.csr -CA ca.pem -CAkey ../ca.$$ -set_serial 1 -days 3650 -extfile bundle.ext -out bundle.pem
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=Acme kernels" -keyout fit.key -out fit.crt
rm ../ca.$$ bundle.csr bundle.ext; echo "{}" >root.json; "$2" fit.crt fit >fit.dtsi`
	dtsi, err := filepath.Abs(filepath.Join(tree, "scripts/fit-key-dtsi"))
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("sh", "-c", script, "sh", dir, dtsi).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	made := map[string]string{}
	for _, name := range []string{"ca.pem", "bundle.pem", "bundle.key", "fit.crt", "fit.key", "fit.dtsi", "root.json"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		made[name] = string(b)
	}
	return made, nil
})

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReleaseRefusesDevelopmentKeys (security S13's like for keys): development
// keys build, and release nothing; neither do keys that do not belong together.
func TestReleaseRefusesDevelopmentKeys(t *testing.T) {
	needs(t, "openssl", "python3")
	dev := filepath.Join(t.TempDir(), "keys")
	if out, err := tool(t, "dev-keys", dev, "2048"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := tool(t, "check-keys", dev); err != nil {
		t.Fatalf("development keys build nothing: %s", out)
	}
	if out, err := tool(t, "check-keys", "--release", dev); err == nil || !strings.Contains(out, "development key") {
		t.Errorf("a release takes development keys: %v %s", err, out)
	}
	if out, err := tool(t, "dev-keys", dev); err == nil {
		t.Errorf("keys were made over keys: %s", out)
	}
	good := realKeys(t)
	if out, err := tool(t, "check-keys", "--release", good); err != nil {
		t.Fatalf("a release refuses keys of its own: %s", out)
	}
	for _, c := range []struct {
		what, file string
		from       string // a file of the development keys; "" removes
	}{
		{"development key", "ca.pem", "ca.pem"}, {"bundle.pem is not signed", "bundle.pem", "bundle.pem"}, {"fit.dtsi is not of fit.crt", "fit.crt", "fit.crt"},
		{"does not belong", "fit.key", "fit.key"}, {"does not belong", "bundle.key", "bundle.key"}, {"root.json is missing", "root.json", ""}, {"fit.dtsi is missing", "fit.dtsi", ""},
		{"lacks the extended key usage", "bundle.pem", "../ca"}, {"belongs into a safe", "ca.key", "ca.key"},
		{"has it a passphrase", "fit.key", "encrypted"}, {"has it a passphrase", "bundle.key", "encrypted"},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		switch c.from {
		case "":
			if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
		case "encrypted":
			name := filepath.Join(dir, c.file)
			out, err := exec.CommandContext(t.Context(), "openssl", "pkey", "-in", name, "-aes256", "-passout", "pass:x", "-out", name+".new").CombinedOutput()
			if err == nil {
				err = os.Rename(name+".new", name)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		case "../ca": // the CA's own certificate, which is for signing others
			b, err := os.ReadFile(filepath.Join(good, "ca.pem"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, c.file), string(b))
		default:
			b, err := os.ReadFile(filepath.Join(dev, c.from))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, c.file), string(b))
			if c.file == "ca.pem" { // and what it signed
				for _, f := range []string{"bundle.pem", "bundle.key"} {
					b, err := os.ReadFile(filepath.Join(dev, f))
					if err != nil {
						t.Fatal(err)
					}
					write(t, filepath.Join(dir, f), string(b))
				}
			}
		}
		if out, err := tool(t, "check-keys", "--release", dir); err == nil || !strings.Contains(out, c.what) {
			t.Errorf("%s from %q: want %q, got %v %s", c.file, c.from, c.what, err, out)
		}
	}
}

// TestKeysAreNeverCommitted: git ignores the folder that dev-keys writes to.
func TestKeysAreNeverCommitted(t *testing.T) {
	if !strings.Contains(read(t, ".gitignore"), "/keys/\n") {
		t.Error("buildroot/.gitignore does not name /keys/")
	}
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", tree).Output()
	if err != nil {
		t.Skip("no checkout of git's")
	}
	for _, f := range strings.Fields(string(out)) {
		if strings.HasSuffix(f, ".key") || strings.HasSuffix(f, ".pem") || strings.HasSuffix(f, ".crt") {
			t.Errorf("%s is committed", f)
		}
	}
}

// TestSlot: a root file system gets its tree and table, the kernel's FIT both
// slots' command lines with the root hash, and a changed FIT is seen.
func TestSlot(t *testing.T) {
	needs(t, "openssl", "python3", "veritysetup", "mkimage", "dtc", "fdtput", "fdtget")
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("rootfs"), strings.Repeat("Quartet ", 3000)) // no multiple of 4096
	if out, err := tool(t, "make-verity", in("rootfs"), in("verity"), in("table")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(in("table"))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b))
	if len(f) != 15 || f[1] != "48" || f[2] != "verity" || f[4] != "@DEVICE@" || f[8] != "6" || f[9] != "6" || len(f[11]) != 64 || len(f[12]) != 64 {
		t.Fatalf("table %q", f)
	}
	args := []string{"verify", "--no-superblock", "--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096", "--data-blocks=6", "--hash-offset=24576", "--salt=" + f[12], in("verity"), in("verity"), f[11]}
	if out, err := exec.CommandContext(t.Context(), "veritysetup", args...).CombinedOutput(); err != nil {
		t.Errorf("the root hash does not fit: %v\n%s", err, out)
	}
	image, err := os.ReadFile(in("verity"))
	if err != nil {
		t.Fatal(err)
	}
	image[5000] ^= 1
	write(t, in("verity"), string(image))
	if out, err := exec.CommandContext(t.Context(), "veritysetup", args...).CombinedOutput(); err == nil {
		t.Errorf("a changed block is not seen: %s", out)
	}

	keys := realKeys(t)
	write(t, in("kernel"), "kernel")
	write(t, in("board.dts"), "/dts-v1/; / { chosen { rng-seed = <1 2>; }; };")
	if out, err := exec.CommandContext(t.Context(), "dtc", "-o", in("board.dtb"), in("board.dts")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := tool(t, "make-fit", "--kernel", in("kernel"), "--load", "0x40400000", "--dtb", in("board.dtb"), "--table", in("table"), "--args", "console=ttyX0", "--keys", keys, "--out", in("fit.itb")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	get := func(path, property string) string {
		out, err := exec.CommandContext(t.Context(), "fdtget", "-t", "s", in("fit.itb"), path, property).Output()
		if err != nil {
			t.Errorf("%s %s: %v", path, property, err)
		}
		return strings.TrimSpace(string(out))
	}
	for _, slot := range []string{"a", "b"} {
		if k, d := get("/configurations/slot-"+slot, "kernel"), get("/configurations/slot-"+slot, "fdt"); k != "kernel" || d != "fdt-"+slot {
			t.Errorf("slot %s: %s, %s", slot, k, d)
		}
		if h := get("/configurations/slot-"+slot+"/signature", "key-name-hint"); h != "fit" {
			t.Errorf("slot %s is signed with %q", slot, h)
		}
		fdt := in(slot + ".dtb")
		if out, err := exec.CommandContext(t.Context(), "dumpimage", "-T", "flat_dt", "-p", map[string]string{"a": "1", "b": "2"}[slot], "-o", fdt, in("fit.itb")).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := exec.CommandContext(t.Context(), "fdtget", "-t", "s", fdt, "/chosen", "bootargs").Output()
		if err != nil {
			t.Fatal(err)
		}
		line := string(out)
		for _, want := range []string{"PARTLABEL=rootfs-" + slot + " PARTLABEL=rootfs-" + slot + " 4096 4096 6 6 sha256 " + f[11], "rauc.slot=" + strings.ToUpper(slot), "root=/dev/dm-0 ro", "dm-mod.waitfor=PARTLABEL=rootfs-" + slot, "panic=5", "fsck.repair=yes", "console=ttyX0"} {
			if !strings.Contains(line, want) {
				t.Errorf("slot %s: the kernel's command line lacks %q: %s", slot, want, line)
			}
		}
		if err := exec.CommandContext(t.Context(), "fdtget", fdt, "/chosen", "rng-seed").Run(); err == nil {
			t.Errorf("slot %s: the tree brings a seed along", slot)
		}
	}
	if out, err := tool(t, "make-fit", "--kernel", in("kernel"), "--load", "0x40400000", "--dtb", in("board.dtb"), "--table", in("table"), "--keys", in("none"), "--out", in("x.itb")); err == nil {
		t.Errorf("a FIT without a key to sign with: %s", out)
	}
}
