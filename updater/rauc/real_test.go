package rauc_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"quartet/updater/rauc"
)

// environment stands for the boot loader's tools: its variables in a file.
const (
	fwPrintenv = `#!/bin/sh
f=$(dirname "$0")/env
if [ "$1" = -n ]; then v=$(grep "^$2=" "$f") || exit 1; echo "${v#*=}"; exit; fi
grep "^$1=" "$f"
`
	fwSetenv = `#!/bin/sh
f=$(dirname "$0")/env
grep -v "^$1=" "$f" > "$f.new"; echo "$1=$2" >> "$f.new"; mv "$f.new" "$f"
`
)

// realRAUC is Debian's rauc as a service on a bus of this test's own, with two
// slots that are files and U-Boot variables in a file.
type realRAUC struct {
	t      *testing.T
	dir    string
	client *rauc.Client
	cert   string
	key    string
}

func (r *realRAUC) write(name, text string, mode os.FileMode) string {
	r.t.Helper()
	name = filepath.Join(r.dir, name)
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
	return name
}

// keyPair makes a signing key and its certificate.
func (r *realRAUC) keyPair(name string) (cert, key string) {
	r.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		r.t.Fatal(err)
	}
	p8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.write(name+".cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644),
		r.write(name+".key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8})), 0o600)
}

func newRealRAUC(t *testing.T) *realRAUC {
	t.Helper()
	path := program(t, "rauc", "rauc")
	program(t, "mksquashfs", "squashfs-tools")
	r := &realRAUC{t: t, dir: t.TempDir()}
	r.cert, r.key = r.keyPair("dev")
	r.write("fw_printenv", fwPrintenv, 0o755)
	r.write("fw_setenv", fwSetenv, 0o755)
	r.write("env", "BOOT_ORDER=A B\nBOOT_A_LEFT=3\nBOOT_B_LEFT=3\n", 0o644)
	for _, img := range []string{"a.img", "b.img"} {
		r.write(img, strings.Repeat("\x00", 2<<20), 0o644)
	}
	conf := r.write("system.conf", fmt.Sprintf(`[system]
compatible=quartet-generic
bootloader=uboot
bundle-formats=plain verity
statusfile=%[1]s/status
activate-installed=false
mountprefix=%[1]s/mnt
[keyring]
path=%[2]s
[slot.rootfs.0]
device=%[1]s/a.img
type=raw
bootname=A
[slot.rootfs.1]
device=%[1]s/b.img
type=raw
bootname=B
`, r.dir, r.cert), 0o644)
	address := bus(t)
	client, conn := connect(t, address)
	r.client = client
	owners := make(chan *dbus.Signal, 16)
	conn.Signal(owners)
	if err := conn.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, "de.pengutronix.rauc")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--conf="+conf, "--override-boot-slot=A", "service")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(os.Environ(), "DBUS_STARTER_BUS_TYPE=session", "DBUS_SESSION_BUS_ADDRESS="+address, "PATH="+r.dir+":"+os.Getenv("PATH"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("rauc says:\n%s", log.Bytes())
		}
	})
	for patience := time.After(30 * time.Second); ; {
		select {
		case s := <-owners:
			if strings.HasSuffix(s.Name, ".NameOwnerChanged") {
				return r
			}
		case <-patience:
			t.Fatal("rauc does not come up on the bus")
		}
	}
}

// bundle has rauc make a bundle.
func (r *realRAUC) bundle(compatible, version, format, cert, key string) string {
	r.t.Helper()
	in := filepath.Join(r.dir, "in-"+compatible+version+format+filepath.Base(key))
	if err := os.Mkdir(in, 0o755); err != nil {
		r.t.Fatal(err)
	}
	image := filepath.Join(in, "rootfs.img")
	noise := make([]byte, 128<<10) // so that it does not shrink to nothing
	rand.Read(noise)
	if err := os.WriteFile(image, append([]byte("image "+version+"\n"), noise...), 0o644); err != nil {
		r.t.Fatal(err)
	}
	manifest := fmt.Sprintf("[update]\ncompatible=%s\nversion=%s\n\n[bundle]\nformat=%s\n\n[image.rootfs]\nfilename=rootfs.img\n", compatible, version, format)
	if err := os.WriteFile(filepath.Join(in, "manifest.raucm"), []byte(manifest), 0o644); err != nil {
		r.t.Fatal(err)
	}
	out := in + ".raucb"
	if said, err := exec.CommandContext(r.t.Context(), "rauc", "--cert", cert, "--key", key, "bundle", in, out).CombinedOutput(); err != nil {
		r.t.Fatalf("rauc bundle: %v\n%s", err, said)
	}
	return out
}

// Debian's RAUC (1.8 on Debian 12): what the client asks is understood, what it
// answers is understood, and its variables end as the fake's do. An installation
// needs root, loop devices and squashfs; where the machine lacks them, RAUC's
// refusal must come in words.
func TestDebiansRAUC(t *testing.T) {
	r := newRealRAUC(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	st, err := r.client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	booted, ok1 := st.Booted()
	other, ok2 := st.Other()
	if !ok1 || !ok2 || booted.Name != "rootfs.0" || booted.BootName != "A" || other.Name != "rootfs.1" || st.Primary != "rootfs.0" ||
		st.Compatible != "quartet-generic" || st.BootSlot != "A" || st.Installing() || booted.BootStatus != "good" {
		t.Errorf("%+v", st)
	}
	good := r.bundle("quartet-generic", "1.1.0", "verity", r.cert, r.key)
	b, err := r.client.Inspect(ctx, good)
	if err != nil || b.Compatible != "quartet-generic" || b.Version != "1.1.0" {
		t.Errorf("%+v, %v", b, err)
	}
	// Our reader of manifests agrees with RAUC.
	m, err := rauc.ReadManifest(good)
	if err != nil || m.Compatible != "quartet-generic" || m.Version != "1.1.0" || m.Format != "verity" || b.ManifestHash != "" && b.ManifestHash != m.Hash {
		t.Errorf("%+v, %v", m, err)
	}
	plain := r.bundle("quartet-generic", "1.2.0", "plain", r.cert, r.key)
	if _, err := rauc.ReadManifest(plain); err == nil || !strings.Contains(err.Error(), "format=verity") {
		t.Errorf("a plain bundle's manifest: %v", err)
	}

	// Refusals: another's signature, an altered manifest, another board.
	cert2, key2 := r.keyPair("evil")
	_, err = r.client.Inspect(ctx, r.bundle("quartet-generic", "6.6.6", "verity", cert2, key2))
	wantRefused(t, err)
	wantError(t, r.client.Install(ctx, r.bundle("quartet-generic", "6.6.7", "verity", cert2, key2), "", nil), rauc.Signature)
	raw, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.Replace(raw, []byte("version=1.1.0"), []byte("version=9.1.0"), 1)
	altered := r.write("altered.raucb", string(raw), 0o644)
	if m, err := rauc.ReadManifest(altered); err != nil || m.Version != "9.1.0" {
		t.Fatalf("%+v, %v: the test alters nothing", m, err)
	}
	_, err = r.client.Inspect(ctx, altered)
	wantRefused(t, err)
	wantError(t, r.client.Install(ctx, altered, "", nil), rauc.Signature)

	// Marks reach the boot loader's variables.
	if err := r.client.Mark(ctx, rauc.Active, rauc.Other); err != nil {
		t.Error(err)
	}
	r.wantEnv("BOOT_ORDER=B A", "BOOT_B_LEFT=3")
	if err := r.client.Mark(ctx, rauc.Bad, rauc.Other); err != nil {
		t.Error(err)
	}
	r.wantEnv("BOOT_B_LEFT=0")
	if err := r.client.Mark(ctx, rauc.Good, rauc.Booted); err != nil {
		t.Error(err)
	}
	r.wantEnv("BOOT_A_LEFT=3")
	if err := r.client.Mark(ctx, rauc.Good, "rootfs.7"); err == nil {
		t.Error("a slot that does not exist is marked")
	}

	// The hash that this RAUC does not know is asked for, and then left away.
	var steps []rauc.Progress
	err = r.client.Install(ctx, plain, strings.Repeat("0", 64), func(p rauc.Progress) { steps = append(steps, p) })
	var e *rauc.Error
	switch {
	case err == nil:
		img, rerr := os.ReadFile(filepath.Join(r.dir, "b.img"))
		if rerr != nil || !bytes.HasPrefix(img, []byte("image 1.2.0\n")) {
			t.Errorf("slot B has %.20q, %v", img, rerr)
		}
		if len(steps) == 0 {
			t.Error("no progress was told")
		}
		r.wantEnv("BOOT_B_LEFT=0") // activate-installed=false: only Mark activates
		if st, err := r.client.Status(ctx); err != nil || st.Installing() {
			t.Errorf("%+v, %v", st, err)
		} else if o, _ := st.Other(); o.Version != "1.2.0" {
			t.Errorf("%+v", st)
		}
		t.Log("a bundle was installed for real")
	case errors.As(err, &e) && e.Code != rauc.NoService && e.Said != "":
		t.Logf("this machine cannot mount bundles, so none was installed; RAUC's refusal is: %v", err)
	default:
		t.Errorf("installing: %v", err)
	}
}

// wantRefused: 1.8 does not say why it refuses to inspect.
func wantRefused(t *testing.T, err error) {
	t.Helper()
	var e *rauc.Error
	if !errors.As(err, &e) || e.Code != rauc.Signature && e.Code != rauc.Rejected {
		t.Errorf("%v, want it refused", err)
	}
}

func (r *realRAUC) wantEnv(lines ...string) {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "env"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range lines {
		if !strings.Contains("\n"+string(b), "\n"+l+"\n") {
			r.t.Errorf("the boot loader's variables have no %s:\n%s", l, b)
		}
	}
}
