package rauc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"go.uber.org/goleak"

	"quartet/updater/rauc"
	"quartet/updater/rauc/raucfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program finds a program that these tests need.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	return path
}

// bus starts a message bus of this test's own and returns its address.
func bus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "bus.conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=` + filepath.Join(dir, "bus") + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "dbus-daemon", "dbus-daemon"), "--config-file="+conf, "--nofork", "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func connect(t *testing.T, address string) (*rauc.Client, *dbus.Conn) {
	t.Helper()
	c, conn, err := rauc.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return c, conn
}

// served puts a box on a bus and returns a client of it.
func served(t *testing.T, b *raucfake.Box) *rauc.Client {
	t.Helper()
	address := bus(t)
	_, conn := connect(t, address)
	s, err := raucfake.Serve(conn, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, _ := connect(t, address)
	return c
}

func bundleFile(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a.raucb")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func wantError(t *testing.T, err error, code rauc.Code) {
	t.Helper()
	var e *rauc.Error
	if !errors.As(err, &e) || e.Code != code || e.Text == "" {
		t.Errorf("%v, want RAUC's %s in words", err, code)
	}
}

// A whole update over the bus, with the RAUC of each Debian that counts.
func TestInstall(t *testing.T) {
	for _, release := range []int{108, 113, 115} {
		t.Run(fmt.Sprint(release), func(t *testing.T) {
			b := raucfake.New("quartet-generic", "1.0.0")
			b.Release = release
			c := served(t, b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			path := bundleFile(t, raucfake.Bundle("quartet-generic", "1.1.0", []byte("payload")))
			m, err := rauc.ReadManifest(path)
			if err != nil || m.Version != "1.1.0" || m.Compatible != "quartet-generic" || m.Format != "verity" {
				t.Fatalf("%+v, %v", m, err)
			}
			info, err := c.Inspect(ctx, path)
			if err != nil || info.Version != "1.1.0" || info.Compatible != "quartet-generic" || release > 108 && (info.ManifestHash != m.Hash || info.Format != "verity") {
				t.Errorf("%+v, %v", info, err)
			}
			var steps []rauc.Progress
			if err := c.Install(ctx, path, m.Hash, func(p rauc.Progress) { steps = append(steps, p) }); err != nil {
				t.Fatal(err)
			}
			if len(steps) == 0 || !strings.Contains(fmt.Sprint(steps), "Copying image to rootfs.1") {
				t.Errorf("progress: %v", steps)
			}
			st, err := c.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			booted, _ := st.Booted()
			other, _ := st.Other()
			if booted.Name != "rootfs.0" || other.Name != "rootfs.1" || other.Version != "1.1.0" || st.Primary != "rootfs.0" || st.Installing() || st.Compatible != "quartet-generic" {
				t.Errorf("%+v", st)
			}
			if err := c.Mark(ctx, rauc.Active, other.Name); err != nil {
				t.Fatal(err)
			}
			if st, err := c.Status(ctx); err != nil || st.Primary != "rootfs.1" {
				t.Errorf("primary %s, %v", st.Primary, err)
			}
			if slot, whole := b.PowerOn(); slot != "B" || !whole || b.Left("B") != 1 {
				t.Errorf("it boots %s (%t), %d left", slot, whole, b.Left("B"))
			}
			if err := c.Mark(ctx, rauc.Good, rauc.Booted); err != nil || b.Left("B") != 3 {
				t.Errorf("%d left, %v", b.Left("B"), err)
			}
			wantError(t, c.Mark(ctx, rauc.Good, "rootfs.7"), rauc.Failed)
		})
	}
}

// What RAUC refuses is refused with words.
func TestRefusals(t *testing.T) {
	b := raucfake.New("quartet-generic", "1.0.0")
	c := served(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	good := raucfake.Bundle("quartet-generic", "1.1.0", []byte("payload"))
	flipped := append([]byte{}, good...)
	flipped[10] ^= 1
	wantError(t, c.Install(ctx, bundleFile(t, flipped), "", nil), rauc.Payload)
	wantError(t, c.Install(ctx, bundleFile(t, raucfake.Bundle("quartet-rock5b", "1.1.0", nil)), "", nil), rauc.Compatible)
	wantError(t, c.Install(ctx, bundleFile(t, good), strings.Repeat("0", 64), nil), rauc.OtherBundle)
	b.Fail = "Failed updating slot rootfs.1: No space left on device"
	wantError(t, c.Install(ctx, bundleFile(t, good), "", nil), rauc.Space)
	if st, err := c.Status(ctx); err != nil || !strings.Contains(st.LastError, "No space") {
		t.Errorf("%+v, %v", st, err)
	}
	_, err := c.Inspect(ctx, bundleFile(t, good[:100]))
	wantError(t, err, rauc.Signature)
	lonely, _ := connect(t, bus(t))
	_, err = lonely.Status(ctx)
	wantError(t, err, rauc.NoService)
	_, _, err = rauc.Connect("unix:path=/does/not/exist")
	wantError(t, err, rauc.NoService)
}

// RAUC's own words, from its sources, and what they are taken for.
func TestExplain(t *testing.T) {
	for said, want := range map[string]struct {
		code  rauc.Code
		final bool
	}{
		"Compatible mismatch: Expected 'quartet-generic' but bundle manifest has 'quartet-rock5b'":         {rauc.Compatible, true},
		"Version mismatch: Expected at least '1.2.0' but bundle manifest has '1.1.0'":                      {rauc.Version, true},
		"signature verification failed: Verify error: certificate has expired":                             {rauc.Signature, true},
		"Refusing to install bundle with unexpected hash (expected ab, got cd)":                            {rauc.OtherBundle, true},
		"Refusing to install plain bundle when using require-manifest-hash":                                {rauc.Format, true},
		"Already processing a different method":                                                            {rauc.Busy, false},
		"Unsupported key: require-manifest-hash":                                                           {rauc.UnknownKey, false},
		"Slot (67108864 bytes) is too small for image (134217728 bytes).":                                  {rauc.Space, false},
		"Failed marking slot rootfs.1 as good:  Failed to run fw_setenv: Child process exited with code 1": {rauc.Boot, false},
		"could not ensure exclusive bundle access (F_SETLEASE): EAGAIN: existing open file descriptor":     {rauc.Unsafe, false},
		"Payload size (13) is not a multiple of 4KiB. See https://rauc.readthedocs.io/en/latest/faq.html":  {rauc.Format, true},
		"Installation error: Failed updating slot rootfs.1: failed to write: No space left on device":      {rauc.Space, false},
		"Signature size (4702111234474983745) exceeds bundle size":                                         {rauc.Format, true},
		"Bundle rejected: this box has no VPU":                                                             {rauc.Rejected, true},
		"Signature size is 0":                                                                              {rauc.Format, true},
		"Invalid bundle format: Signature size (70000) exceeds max-bundle-signature-size (65536)":          {rauc.Format, true},
		"Bundle format 'plain' not allowed":                                                                {rauc.Format, true},
		"Invalid bundle format: Failed to parse signature":                                                 {rauc.Signature, true},
		"Bundle rejected: Hook returned: 'permission denied by the licence'":                               {rauc.Rejected, true},
		// What the box cannot read says nothing of the bundle. GLib's words and the
		// system's follow RAUC's.
		"Invalid bundle format: Failed to open bundle for reading: Error opening file /b/a.raucb: Too many open files":        {rauc.Box, false},
		"Invalid bundle format: Failed to open bundle for reading: Error opening file /b/a.raucb: Permission denied":          {rauc.Box, false},
		"Invalid bundle format: Failed to open bundle for reading: Error opening file /b/a.raucb: No such file or directory":  {rauc.Box, false},
		"Invalid bundle format: Failed to query bundle file info: Error getting file info: Stale file handle":                 {rauc.Box, false},
		"Invalid bundle format: Failed to seek to end of bundle: Error seeking in file: Input/output error":                   {rauc.Payload, false},
		"Invalid bundle format: Failed to read signature size from bundle: Error reading from file: Input/output error":       {rauc.Payload, false},
		"Invalid bundle format: Failed to read signature size from bundle: Error reading from file: Structure needs cleaning": {rauc.Box, false},
		"Invalid bundle format: Failed to read signature from bundle: Error reading from file: Cannot allocate memory":        {rauc.Box, false},
		"Installation error: Failed mounting bundle: Failed to open /dev/loop-control: Too many open files":                   {rauc.Box, false},
		"Installation error: Failed updating slot rootfs.1: Failed to open slot device /dev/vda2: No such device or address":  {rauc.Box, false},
		"Install-check hook failed: Failed to execute child process: Cannot allocate memory":                                  {rauc.Box, false},
		"something new": {rauc.Failed, false},
		"":              {rauc.Failed, false},
	} {
		e := rauc.Explain(said)
		if e.Code != want.code || e.Final() != want.final || e.Text == "" || said != "" && !strings.Contains(e.Error(), said[:10]) {
			t.Errorf("%q: %+v (final %t), want %s (final %t)", said, e, e.Final(), want.code, want.final)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte("[update]\ncompatible=a\nversion=1\n[bundle]\nformat=verity\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := rauc.ParseManifest(b); err == nil && (m.Compatible == "" || m.Version == "" || len(m.Hash) != 64) {
			t.Errorf("%q: %+v", b, m)
		}
	})
}

func FuzzReadManifest(f *testing.F) {
	f.Add(raucfake.Bundle("quartet-generic", "1.0.0", []byte("x"))[4000:])
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = rauc.ReadManifest(name)
	})
}
