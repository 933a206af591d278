package identity

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"quartet/device/access"
	"quartet/device/audit"
	"quartet/device/seal"
)

// S13: after a factory reset no secret is left in any file, nor in what files
// were: second names, made before it, show what became of their content.
func TestS13FactoryReset(t *testing.T) {
	b := newBed(t)
	ctx := context.Background()
	configDir := filepath.Join(t.TempDir(), "config")
	c := ResetConfig{Dir: b.dir, Key: b.key, Folders: []string{configDir, filepath.Join(t.TempDir(), "not there")}}

	// The state of a box in use.
	users, err := access.Open(access.Config{Dir: b.dir, ClaimCode: b.ClaimCode})
	if err != nil {
		t.Fatal(err)
	}
	source := netip.MustParseAddr("192.0.2.1")
	if err := users.Claim(ctx, source, b.code, "ada", "four quiet otters sing"); err != nil {
		t.Fatal(err)
	}
	log, err := audit.Open(audit.Config{Dir: filepath.Join(b.dir, "audit")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(audit.Record{Action: "claim", Outcome: audit.Done, Detail: "canary-audit-7f3a"}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	ca := newAuthority(t, "home")
	csr, _ := b.CSR()
	if err := b.Install(ca.fromCSR(t, csr, nil), ca.pem()); err != nil {
		t.Fatal(err)
	}
	sealed := b.cfg.Sealer.Seal([]byte("canary-passphrase"), "paths[].passphrase")
	key, err := os.ReadFile(b.key)
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{
		filepath.Join(configDir, "box.v1.json"):                   `{"key": "canary-written-by-hand", "passphrase": "` + sealed + `"}`,
		filepath.Join(configDir, "presets", "live", "mine.json"):  "canary-preset",
		filepath.Join(b.dir, "telemetry", "seg-1.log"):            string(bytes.Repeat([]byte("canary-telemetry "), 20000)),
		filepath.Join(b.dir, "telemetry", "deeper", "empty file"): "",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(b.provision, filepath.Join(configDir, "link")); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(configDir, "factory", "provision.v1.json")
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.provision, kept); err != nil {
		t.Fatal(err)
	}
	b.provision, c.Keep = kept, []string{kept}

	shadows := t.TempDir()
	n := 0
	for _, root := range []string{b.dir, configDir, filepath.Dir(b.key)} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || path == kept {
				return err
			}
			n++
			return os.Link(path, filepath.Join(shadows, fmt.Sprint(n)))
		})
		if err != nil {
			t.Skip("no hard links here: ", err)
		}
	}
	if n < 10 {
		t.Fatalf("only %d files", n)
	}

	if ResetBegun(b.dir) {
		t.Fatal("begun before it was asked for")
	}
	if err := FactoryReset(c); err != nil {
		t.Fatal(err)
	}
	canaries := [][]byte{[]byte("canary"), []byte("otters"), []byte("argon2id"), []byte("sealed:v1:"), []byte("BEGIN CERTIFICATE"), key, key[:16], []byte("ada")}
	var left []string
	for _, root := range []string{b.dir, configDir, filepath.Dir(b.key), shadows} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if root != shadows {
				left = append(left, path)
			}
			content, err := os.ReadFile(path)
			for _, canary := range canaries {
				if bytes.Contains(content, canary) {
					t.Errorf("%s still holds %q", path, canary)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(left) != 1 || left[0] != kept {
		t.Errorf("left: %v", left)
	}
	if ResetBegun(b.dir) {
		t.Error("not ended")
	}

	// S1: back to the claim step, with the label's code; the box is the same, its
	// keys are not.
	was := b.Status()
	b.open(t)
	if err := b.Problem(); err != nil || b.Serial() != was.Serial || b.Status().DeviceKey == was.DeviceKey || b.Status().Certificate != nil {
		t.Fatalf("%+v, %v", b.Status(), err)
	}
	if users, err = access.Open(access.Config{Dir: b.dir, ClaimCode: b.ClaimCode}); err != nil || users.Claimed() || users.Problem() != nil {
		t.Fatal(err)
	}
	if err := users.Claim(ctx, source, b.code, "bea", "seven green lamps hum"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.cfg.Sealer.Unseal(sealed, "paths[].passphrase"); err == nil {
		t.Error("a secret from before is still readable")
	}
}

// A reset that the power cut short is found at the next start, and ended then.
func TestFactoryResetIsEnded(t *testing.T) {
	dir, keyFolder := t.TempDir(), t.TempDir()
	key := filepath.Join(keyFolder, "seal.key")
	if _, err := seal.Open(key); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", resetMark} { // as a cut leaves it: some are gone
		if err := os.WriteFile(filepath.Join(dir, name), []byte("canary"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !ResetBegun(dir) {
		t.Fatal("not found")
	}
	c := ResetConfig{Dir: dir, Key: key}
	if err := FactoryReset(c); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{dir, keyFolder} {
		if left, _ := os.ReadDir(folder); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
	if ResetBegun(dir) {
		t.Error("begun for ever")
	}
	// Twice is no error.
	if err := FactoryReset(c); err != nil {
		t.Error(err)
	}
}

// What cannot be removed is named, everything else goes, and the mark stays.
func TestFactoryResetGoesOn(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "a folder in the key's place")
	if err := os.MkdirAll(filepath.Join(key, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	if err := os.WriteFile(filepath.Join(state, "secret"), []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := FactoryReset(ResetConfig{Dir: state, Key: key}); err == nil {
		t.Error("a key that is a folder was destroyed")
	}
	if _, err := os.Stat(filepath.Join(state, "secret")); err == nil {
		t.Error("an error with the key stopped everything else")
	}
	if !ResetBegun(state) {
		t.Error("the mark is gone")
	}
}

// The network's settings are another process's: a reset leaves them, and says so
// until they are gone, whatever happens in between.
func TestFactoryResetLeavesTheNetworkDue(t *testing.T) {
	dir, etc := t.TempDir(), t.TempDir()
	c := ResetConfig{Dir: dir, Key: filepath.Join(t.TempDir(), "seal.key"), Folders: []string{etc}, Network: filepath.Join(etc, "network")}
	reset := func() {
		t.Helper()
		if err := FactoryReset(c); err != nil {
			t.Fatal(err)
		}
	}
	if reset(); NetworkResetDue(dir) {
		t.Error("due where nobody keeps any settings")
	}
	settings := filepath.Join(c.Network, "network.v1.json")
	if err := os.Mkdir(c.Network, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if reset(); !NetworkResetDue(dir) || ResetBegun(dir) {
		t.Errorf("due %t, begun %t", NetworkResetDue(dir), ResetBegun(dir))
	}
	if _, err := os.Stat(settings); err != nil {
		t.Error(err)
	}
	// The same once more, for what was written meanwhile: it is no second reset of
	// the network, and does not forget the first.
	c.Keep, c.Network = []string{c.Network}, ""
	if reset(); !NetworkResetDue(dir) {
		t.Error("forgotten")
	}
	if err := NetworkResetDone(dir); err != nil || NetworkResetDue(dir) {
		t.Errorf("still due, %v", err)
	}
	if reset(); NetworkResetDue(dir) {
		t.Error("due once more")
	}
	if err := NetworkResetDone(dir); err != nil {
		t.Errorf("twice: %v", err)
	}
}
