package repository_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quartet/device/durable/powercut"
	"quartet/updater/rauc/raucfake"
	"quartet/updater/repository"
	"quartet/updater/trust"
)

// begin is when the repositories of these tests begin.
var begin = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// daily is a repository as the machine with the daily job has it: with the keys
// of some roles alone.
type daily struct {
	t    *testing.T
	dir  string
	keys string
	now  time.Time
	box  *trust.Client
}

func newDaily(t *testing.T, roles ...string) *daily {
	t.Helper()
	d := &daily{t: t, dir: t.TempDir(), keys: t.TempDir(), now: begin}
	r, err := repository.Init(d.dir, "", repository.InitOptions{}, func() time.Time { return d.now })
	if err != nil {
		t.Fatal(err)
	}
	d.bring(roles...)
	root, err := r.Root()
	if err != nil {
		t.Fatal(err)
	}
	if d.box, err = trust.NewClient(powercut.New(), root); err != nil {
		t.Fatal(err)
	}
	return d
}

// bring copies the keys of roles to the machine.
func (d *daily) bring(roles ...string) {
	d.t.Helper()
	for _, role := range roles {
		name := role + "-1.pem"
		b, err := os.ReadFile(filepath.Join(d.dir, "keys", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(d.keys, name), b, 0o600)
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

// sign runs the job on a day.
func (d *daily) sign(day int, all bool) (repository.Signed, error) {
	d.t.Helper()
	d.now = begin.AddDate(0, 0, day)
	r, err := repository.Open(d.dir, d.keys, func() time.Time { return d.now })
	if err != nil {
		d.t.Fatal(err)
	}
	return r.Sign(all)
}

// taken has a box look at the repository.
func (d *daily) taken() {
	d.t.Helper()
	if _, err := d.box.Refresh(d.t.Context(), trust.Folder(filepath.Join(d.dir, "public")), d.now); err != nil {
		d.t.Errorf("%s: %v", d.now.Format(time.DateOnly), err)
	}
}

// The daily job without the targets key keeps boxes content until the targets
// expire, and tells of it in time.
func TestDailyJobWithoutTargetsKey(t *testing.T) {
	d := newDaily(t, "snapshot", "timestamp")
	for day := 1; day < 180; day += 7 {
		done, err := d.sign(day, false)
		if err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		if slices.Contains(done.Roles, "targets") || done.Roles[len(done.Roles)-1] != "timestamp" {
			t.Errorf("day %d: signed %v", day, done.Roles)
		}
		text := strings.Join(done.Left, "\n")
		if day > 90 != (len(done.Left) == 1) || day > 90 && (!strings.Contains(text, "targets is left") || !strings.Contains(text, "2026-11-28 12:00:00 UTC") || !strings.Contains(text, "repo sign")) {
			t.Errorf("day %d: left %q", day, done.Left)
		}
		d.taken()
	}
	// Who asks for it by name is not told that it went well.
	if done, err := d.sign(179, true); err == nil || !strings.Contains(err.Error(), "targets cannot be signed here") {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := d.sign(180, false); err == nil || !strings.Contains(err.Error(), "targets has expired on 2026-11-28") {
		t.Errorf("%+v, %v", done, err)
	}
	d.bring("targets")
	if done, err := d.sign(181, false); err != nil || !slices.Equal(done.Roles, []string{"targets", "snapshot", "timestamp"}) || len(done.Left) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	d.taken()
}

// Without the snapshot's key neither it nor the targets, which it names, are
// signed; the timestamp is, and without its own key nothing is.
func TestDailyJobWithoutSnapshotKey(t *testing.T) {
	d := newDaily(t, "targets", "timestamp")
	for _, tc := range []struct{ day, left int }{{13, 0}, {26, 0}, {39, 1}, {52, 1}} {
		done, err := d.sign(tc.day, false)
		if err != nil || !slices.Equal(done.Roles, []string{"timestamp"}) || len(done.Left) != tc.left {
			t.Fatalf("day %d: %+v, %v", tc.day, done, err)
		}
		d.taken()
	}
	if done, err := d.sign(61, false); err == nil || !strings.Contains(err.Error(), "snapshot has expired") {
		t.Errorf("%+v, %v", done, err)
	}
	alone := newDaily(t, "targets", "snapshot")
	if done, err := alone.sign(1, false); err == nil || !strings.Contains(err.Error(), "timestamp needs 1 of the keys") {
		t.Errorf("%+v, %v", done, err)
	}
}

// A bundle is for the boards whose boxes take it: that of its compatible, or of
// images that name one of their own.
func TestBoardsOfABundle(t *testing.T) {
	for _, tc := range []struct {
		compatible string
		boards     []string
		want       string // boards, or what the refusal says
	}{
		{"quartet-generic", nil, "generic"},
		{"quartet-generic", []string{"generic"}, "generic"},
		{"quartet-generic", []string{"rock5b"}, "so for the board generic, and cannot be for rock5b"},
		{"quartet-generic", []string{"generic", "rock5b"}, "cannot be for generic, rock5b: boxes take only what has their own compatible; leave the boards out"},
		{"studio", nil, "name the boards whose images have that compatible (--board)"},
		{"studio", []string{"generic", "rock5b"}, "generic rock5b"},
	} {
		dir := t.TempDir()
		r, err := repository.Init(dir, "", repository.InitOptions{}, func() time.Time { return begin })
		if err != nil {
			t.Fatal(err)
		}
		bundle := filepath.Join(t.TempDir(), "a.raucb")
		if err := os.WriteFile(bundle, raucfake.Bundle(tc.compatible, "1.1.0", []byte("x")), 0o600); err != nil {
			t.Fatal(err)
		}
		rel, err := r.Add(bundle, trust.Custom{Boards: tc.boards})
		got := strings.Join(rel.Boards, " ")
		if err != nil {
			got = err.Error()
		}
		if got != tc.want && (err == nil || !strings.Contains(got, tc.want)) {
			t.Errorf("%s for %v: %s, want %s", tc.compatible, tc.boards, got, tc.want)
		}
	}
}
