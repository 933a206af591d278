package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quartet/updater"
	"quartet/updater/rauc/raucfake"
)

// TestRepo walks a repository through its life, as docs/updates.md tells it.
func TestRepo(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	e := func() *env { return &env{now: func() time.Time { return now }} }
	dir := filepath.Join(t.TempDir(), "home")
	bundle := filepath.Join(t.TempDir(), "b.raucb")
	put := func(version string) {
		t.Helper()
		if err := os.WriteFile(bundle, raucfake.Bundle("quartet-generic", version, []byte(version)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	good := func(want string, args ...string) {
		t.Helper()
		if r := call(t, e(), args...); r.code != 0 || r.err != "" || !strings.Contains(r.out, want) {
			t.Fatalf("%v: %d\n%s%s\nwant %q", args, r.code, r.out, r.err, want)
		}
	}
	bad := func(code int, want string, args ...string) {
		t.Helper()
		if r := call(t, e(), args...); r.code != code || !strings.Contains(r.err+r.out, want) {
			t.Fatalf("%v: %d\n%s%s\nwant %d with %q", args, r.code, r.out, r.err, code, want)
		}
	}
	good("move the root keys", "repo", "init", dir)
	bad(1, "already", "repo", "init", dir)
	put("1.1.0")
	good("version 1.1.0 for generic", "repo", "add", dir, bundle, "--notes", "quieter fans", "--min-version", "1.0.0")
	bad(1, "already", "repo", "add", dir, bundle)
	bad(2, "no version", "repo", "add", dir, bundle, "--min-version", "x")
	bad(1, "not 1.2.0", "repo", "add", dir, bundle, "--version", "1.2.0")
	bad(1, "so for the board generic, and cannot be for rock5b", "repo", "add", dir, bundle, "--board", "rock5b")
	bad(1, "no RAUC bundle", "repo", "add", dir, filepath.Join(dir, "repository.json"))
	good("3 entries", "repo", "ring", dir, "canary", "Q4-0001", "LAB-*", "5%")
	bad(1, "is not allowed", "repo", "ring", dir, "canary", "a b")
	good("offered to ring canary", "repo", "promote", dir, "1.1.0", "canary", "--spread", "24")
	bad(1, "there is no ring", "repo", "promote", dir, "1.1.0", "moon")
	bad(1, "there is no bundle", "repo", "promote", dir, "7.0.0", "all")
	good("canary (over 24 h from 2026-06-01", "repo", "status", dir, "--check")
	put("1.2.0")
	good("version 1.2.0", "repo", "add", dir, bundle)
	good("offered to ring all", "repo", "promote", dir, "1.2.0", "all")
	good("the way back from 1.2.0", "repo", "downgrade", dir, "1.1.0", "1.2.0", "--reason", "no sound")
	bad(1, "newer than", "repo", "downgrade", dir, "1.2.0", "1.1.0", "--reason", "x")
	good("any more", "repo", "demote", dir, "1.2.0", "all")
	packed := filepath.Join(t.TempDir(), "update.quartet")
	good("to be uploaded before 2026-06-15", "repo", "pack", dir, "1.2.0", packed)
	if b, err := os.ReadFile(packed); err != nil || !bytes.HasPrefix(b, []byte("quartet-update 1 ")) {
		t.Errorf("%.20q, %v", b, err)
	}
	now = now.AddDate(0, 0, 8)
	bad(1, "timestamp expires on", "repo", "status", dir, "--check")
	good("Signed: timestamp.", "repo", "sign", dir)
	good("timestamp", "repo", "status", dir, "--check")
	good("Signed: root, targets, snapshot, timestamp.", "repo", "sign", dir, "--root", "--all")
	good("timestamp-2.pem", "repo", "rotate", dir, "timestamp")
	good("root-4.pem", "repo", "rotate", dir, "root")
	good(`"version":4`, "repo", "root", dir)
	// Without root keys at hand nobody makes a new root, and all else goes on.
	safe := t.TempDir()
	keys, _ := filepath.Glob(filepath.Join(dir, "keys", "root-*.pem"))
	for _, k := range keys {
		if err := os.Rename(k, filepath.Join(safe, filepath.Base(k))); err != nil {
			t.Fatal(err)
		}
	}
	bad(1, "too few", "repo", "rotate", dir, "targets")
	good("Signed", "repo", "sign", dir)
	// The daily job's machine has no targets key, and tells when it is missed.
	job := t.TempDir()
	snapshot, _ := filepath.Glob(filepath.Join(dir, "keys", "snapshot-*.pem"))
	timestamp, _ := filepath.Glob(filepath.Join(dir, "keys", "timestamp-*.pem"))
	for _, k := range append(snapshot, timestamp...) {
		b, err := os.ReadFile(k)
		if err == nil {
			err = os.WriteFile(filepath.Join(job, filepath.Base(k)), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	now = now.AddDate(0, 0, 91)
	good("warning: targets is left as it is and expires on 2026-12-06", "repo", "sign", dir, "--keys", job)
	bad(1, "targets cannot be signed here", "repo", "sign", dir, "--keys", job, "--all")
	good("Signed: targets, snapshot, timestamp.", "repo", "sign", dir)
	good("is removed", "repo", "remove", dir, "1.2.0")
	bad(1, "is no repository", "repo", "status", t.TempDir())
	bad(2, "takes", "repo", "promote", dir)
}

type fakeUpdater struct {
	asked    []string
	deferred time.Time
}

func (f *fakeUpdater) Status(context.Context) (updater.Status, error) {
	return updater.Status{
		Serial: "Q4-0001", Board: "generic", Version: "1.0.0", Slot: "rootfs.0", Phase: updater.Ready, Mode: updater.Automatic, Zone: "Europe/Berlin",
		Windows: []string{"sun 02:00-05:00"}, Repository: true, Update: &updater.Update{Version: "1.1.0", Ring: "all", Bytes: 3e7, Notes: "quieter fans"},
		Waits:   &updater.Waits{Why: updater.Outside, Text: "the maintenance window begins at Sun 2026-06-07 02:00 CEST"},
		Slots:   []updater.SlotView{{Name: "rootfs.0", Boot: "A", State: "booted", Status: "good", Version: "1.0.0"}},
		Refused: []updater.Refused{{Version: "1.2.0", Code: "other-ring", Text: "1.2.0 is not promoted to a ring that has Q4-0001"}},
		Alarms:  []updater.Alarm{{Code: "update-sibling", Severity: updater.Major, Text: "an update has waited for the sibling", Remedy: "bring it back"}},
	}, nil
}
func (f *fakeUpdater) Check(ctx context.Context) (updater.Status, error) {
	f.asked = append(f.asked, "check")
	return f.Status(ctx)
}
func (f *fakeUpdater) Now(ctx context.Context, r updater.NowRequest) (updater.Status, error) {
	f.asked = append(f.asked, "now "+r.Actor+" "+r.Reason)
	return f.Status(ctx)
}
func (f *fakeUpdater) Defer(ctx context.Context, r updater.DeferRequest) (updater.Status, error) {
	f.asked, f.deferred = append(f.asked, "defer"), r.Until
	return f.Status(ctx)
}
func (f *fakeUpdater) Cancel(ctx context.Context, r updater.CancelRequest) (updater.Status, error) {
	f.asked = append(f.asked, "cancel "+r.Actor)
	return f.Status(ctx)
}
func (f *fakeUpdater) Upload(ctx context.Context, _ string, r io.Reader) (updater.Status, error) {
	b, err := io.ReadAll(r)
	f.asked = append(f.asked, "upload "+string(b))
	if err != nil {
		return updater.Status{}, err
	}
	return f.Status(ctx)
}
func (f *fakeUpdater) History(context.Context, int) ([]updater.Entry, error) {
	return []updater.Entry{{Time: epoch, Event: "confirmed", From: "0.9.0", To: "1.0.0", Text: "what worked before works again"}}, nil
}

func TestUpdateCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "update.sock")
	f := &fakeUpdater{}
	srv, err := updater.Listen(path, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	ask := func(args ...string) result {
		t.Helper()
		return call(t, &env{
			in: strings.NewReader("FILE"), now: func() time.Time { return now },
			getenv: func(k string) string { return map[string]string{"QUARTET_UPDATE_SOCKET": path, "SUDO_USER": "ann"}[k] },
		}, args...)
	}
	r := ask("update", "status")
	for _, want := range []string{"1.0.0 on Q4-0001", "1.1.0 (ring all, 30.0 MB", "quieter fans", "slot A      1.0.0 booted good", "begins at Sun", "not promoted", "major: an update has waited", "→ bring it back"} {
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("status %d has no %q:\n%s%s", r.code, want, r.out, r.err)
		}
	}
	if r := ask("update", "status", "--json"); r.code != 0 || !strings.Contains(r.out, `"phase": "ready"`) {
		t.Errorf("%d\n%s", r.code, r.out)
	}
	if r := ask("update", "history"); r.code != 0 || !strings.Contains(r.out, "confirmed       0.9.0 → 1.0.0") {
		t.Errorf("%d\n%s%s", r.code, r.out, r.err)
	}
	for args, code := range map[string]int{
		"update check": 0, "update now": 0, "update now --override-sibling": 2, "update now --override-sibling --reason repair": 0,
		"update defer 5d": 0, "update defer soon": 2, "update defer": 2, "update defer --clear": 0, "update cancel": 0, "update upload -": 0, "update upload": 2,
	} {
		if r := ask(strings.Fields(args)...); r.code != code {
			t.Errorf("%s: %d\n%s%s", args, r.code, r.out, r.err)
		}
	}
	asked := strings.Join(f.asked, ";")
	for _, want := range []string{"check", "now ann (command line) ", "now ann (command line) repair", "defer", "cancel ann (command line)", "upload FILE"} {
		if !strings.Contains(asked, want) {
			t.Errorf("asked %q, want %q in it", asked, want)
		}
	}
	ask("update", "defer", "5d")
	if want := now.AddDate(0, 0, 5); !f.deferred.Equal(want) {
		t.Errorf("deferred to %v, want %v", f.deferred, want)
	}
	// The guard needs no updater.
	dir := t.TempDir()
	if r := call(t, nil, "update", "guard", dir, "1.1.0"); r.code != 0 {
		t.Errorf("no trial: %d %s", r.code, r.err)
	}
	for text, want := range map[string][2]int{
		`{"id":"a","stage":"trial","from_slot":"rootfs.0","to_slot":"rootfs.1","to_version":"1.1.0"}`:                                     {1, 0},
		`{"id":"a","stage":"decided","from_slot":"rootfs.0","to_slot":"rootfs.1","to_version":"1.1.0","verdict":{"outcome":"confirmed"}}`: {0, 0},
		`{"id":"a","stage":"decided","from_slot":"rootfs.0","to_slot":"rootfs.1","to_version":"1.1.0","verdict":{"outcome":"failed"}}`:    {1, 0},
		`{`: {1, 1},
	} {
		if err := os.WriteFile(filepath.Join(dir, "trial.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for i, version := range []string{"1.1.0", "1.0.0"} {
			if r := call(t, nil, "update", "guard", "--up", "4m", dir, version); r.code != want[i] {
				t.Errorf("%s, %s: %d\n%s%s", text, version, r.code, r.out, r.err)
			}
		}
	}
	text := `{"id":"a","stage":"restarting","from_slot":"rootfs.0","to_slot":"rootfs.1","to_version":"1.1.0"}`
	if err := os.WriteFile(filepath.Join(dir, "trial.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for ends, want := range map[string]int{"2": 0, "3": 1} {
		if r := call(t, nil, "update", "guard", "--up", "20s", "--ends", ends, dir, "1.1.0"); r.code != want {
			t.Errorf("%s ends: %d\n%s%s", ends, r.code, r.out, r.err)
		}
	}
	if r := call(t, nil, "update", "status", "--socket", path+"x"); r.code != 1 || !strings.Contains(r.err, "no updater answers") {
		t.Errorf("%d %s", r.code, r.err)
	}
}
