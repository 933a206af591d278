package trust_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tufconfig "github.com/theupdateframework/go-tuf/v2/metadata/config"
	tufupdater "github.com/theupdateframework/go-tuf/v2/metadata/updater"
	"go.uber.org/goleak"

	"quartet/device/durable/powercut"
	"quartet/updater/rauc/raucfake"
	"quartet/updater/repository"
	"quartet/updater/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is when the repositories of these tests begin. Today and not a fixed
// day, because go-tuf's own client looks at the clock.
var start = time.Now().UTC().Truncate(time.Second)

// home is a repository with a clock.
type home struct {
	t   testing.TB
	dir string
	now time.Time
	*repository.Repository
}

func newHome(t testing.TB) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir(), now: start}
	r, err := repository.Init(h.dir, "", repository.InitOptions{}, func() time.Time { return h.now })
	if err != nil {
		t.Fatal(err)
	}
	h.Repository = r
	return h
}

// reopen reads the repository from its folder, as the next command does.
func (h *home) reopen() {
	h.t.Helper()
	r, err := repository.Open(h.dir, "", func() time.Time { return h.now })
	if err != nil {
		h.t.Fatal(err)
	}
	h.Repository = r
}

func (h *home) source() trust.Folder { return trust.Folder(h.Public()) }

// bundle writes a bundle file.
func (h *home) bundle(board, version string, size int) string {
	h.t.Helper()
	payload := make([]byte, size)
	rng := rand.New(rand.NewPCG(uint64(size), 1))
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	name := filepath.Join(h.t.TempDir(), board+"-"+version+".raucb")
	if err := os.WriteFile(name, raucfake.Bundle("quartet-"+board, version, payload), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return name
}

// add adds a bundle and promotes it to all boxes.
func (h *home) add(version string, c trust.Custom) trust.Release {
	h.t.Helper()
	rel, err := h.Add(h.bundle("generic", version, 8192), c)
	if err == nil {
		rel, err = h.Promote(rel.Name, "all", 0)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return rel
}

func (h *home) root(n int) []byte {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.Public(), "metadata", fmt.Sprintf("%d.root.json", n)))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// client is a new box's, with the first root.
func (h *home) client() *trust.Client {
	h.t.Helper()
	c, err := trust.NewClient(powercut.New(), h.root(1))
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func version(t testing.TB, s string) trust.Version {
	t.Helper()
	v, err := trust.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func refresh(t *testing.T, c *trust.Client, src trust.Source, now time.Time) *trust.Repository {
	t.Helper()
	r, err := c.Refresh(t.Context(), src, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantCode(t *testing.T, err error, codes ...trust.Code) {
	t.Helper()
	for _, c := range codes {
		if trust.CodeOf(err) == c {
			return
		}
	}
	t.Errorf("error %v (%q), want one of %v", err, trust.CodeOf(err), codes)
}

// A client of go-tuf's own reads what package repository writes: it is TUF and
// not only ours.
func TestAnotherClientReadsIt(t *testing.T) {
	h := newHome(t)
	rel := h.add("1.2.0", trust.Custom{})
	if _, err := h.Rotate("timestamp"); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(h.Public())))
	defer srv.Close()
	cfg, err := tufconfig.New(srv.URL+"/metadata", h.root(1))
	if err != nil {
		t.Fatal(err)
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.RemoteTargetsURL, cfg.PrefixTargetsWithHash = t.TempDir(), t.TempDir(), srv.URL+"/targets", true
	up, err := tufupdater.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Refresh(); err != nil {
		t.Fatal(err)
	}
	info, err := up.GetTargetInfo(rel.Name)
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := up.DownloadTarget(info, "", "")
	if err != nil || int64(len(b)) != rel.Length {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// The rules of Choose, each with words.
func TestChoose(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	h.add("1.2.0", trust.Custom{MinVersion: version(t, "1.1.0")})
	if _, err := h.Add(h.bundle("rock5b", "1.9.0", 4096), trust.Custom{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(h.bundle("generic", "1.3.0", 4096), trust.Custom{}); err != nil {
		t.Fatal(err)
	}
	if err := h.SetRing("canary", []string{"Q4-0007", "LAB-*"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Promote("1.3.0", "canary", 0); err != nil {
		t.Fatal(err)
	}
	c := h.client()
	repo := refresh(t, c, h.source(), h.now)
	for _, tc := range []struct {
		box   trust.Box
		want  string
		codes map[string]trust.Code
	}{
		{trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.0.0")}, "1.1.0",
			map[string]trust.Code{"1.9.0": trust.WrongBoard, "1.3.0": trust.OtherRing, "1.2.0": trust.TooOld}},
		{trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.1.0")}, "1.2.0", map[string]trust.Code{"1.1.0": trust.Same}},
		{trust.Box{Serial: "Q4-0007", Board: "generic", Version: version(t, "1.1.0")}, "1.3.0", map[string]trust.Code{"1.2.0": trust.Older}},
		{trust.Box{Serial: "LAB-3", Board: "generic", Version: version(t, "1.1.0")}, "1.3.0", nil},
		{trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.5.0")}, "", map[string]trust.Code{"1.2.0": trust.Older}},
		{trust.Box{Serial: "Q4-0001", Board: "rock5b", Version: version(t, "1.5.0")}, "", map[string]trust.Code{"1.2.0": trust.WrongBoard, "1.9.0": trust.OtherRing}},
		{trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.0.0"), Floor: version(t, "1.2.0")}, "", map[string]trust.Code{"1.1.0": trust.BelowFloor}},
		{trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.3.0-rc.1")}, "", nil},
	} {
		offer, refused := repo.Choose(tc.box, h.now, nil)
		got := ""
		if offer != nil {
			got = offer.Version.String()
		}
		if got != tc.want {
			t.Errorf("%+v: offered %q, want %q", tc.box, got, tc.want)
		}
		for v, code := range tc.codes {
			found := false
			for _, r := range refused {
				if r.Version.String() == v {
					found = true
					if r.Code != code || !strings.Contains(r.Text, v) && code != trust.Older {
						t.Errorf("%+v: %s refused as %q (%s), want %q", tc.box, v, r.Code, r.Text, code)
					}
				}
			}
			if !found {
				t.Errorf("%+v: %s is not among the refused", tc.box, v)
			}
		}
	}
	// A bundle whose time is over.
	rel := h.add("1.4.0", trust.Custom{Expires: h.now.Add(48 * time.Hour)})
	repo = refresh(t, c, h.source(), h.now)
	box := trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.2.0")}
	if offer, _ := repo.Choose(box, h.now, nil); offer == nil || offer.SHA256 != rel.SHA256 {
		t.Errorf("offer %+v", offer)
	}
	wantCode(t, repo.Judge(rel, box, h.now.Add(48*time.Hour)), trust.Expired)
}

// A release says up to which version it can be reached.
func TestMaxVersion(t *testing.T) {
	h := newHome(t)
	rel := h.add("2.0.0", trust.Custom{MaxVersion: version(t, "1.9.0")})
	repo := refresh(t, h.client(), h.source(), h.now)
	box := trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.9.0")}
	if err := repo.Judge(rel, box, h.now); err != nil {
		t.Errorf("from the highest version that may: %v", err)
	}
	box.Version = version(t, "1.9.1")
	wantCode(t, repo.Judge(rel, box, h.now), trust.TooNew)
}

// A way back that is signed for another board withdraws nothing here.
func TestWayBackOfAnotherBoard(t *testing.T) {
	h := newHome(t)
	h.add("1.2.0", trust.Custom{})
	other, err := h.Add(h.bundle("rock5b", "1.1.0", 4096), trust.Custom{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Promote(other.Name, "all", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Downgrade("1.1.0", []trust.Version{version(t, "1.2.0")}, "its fan stops"); err != nil {
		t.Fatal(err)
	}
	repo := refresh(t, h.client(), h.source(), h.now)
	box := trust.Box{Serial: "Q4-0001", Board: "generic", Version: version(t, "1.0.0")}
	if offer, refused := repo.Choose(box, h.now, nil); offer == nil || offer.Version.String() != "1.2.0" {
		t.Errorf("offer %+v, refused %v, want 1.2.0", offer, refused)
	}
	box.Board = "rock5b"
	if offer, _ := repo.Choose(box, h.now, nil); offer == nil || offer.Version.String() != "1.1.0" {
		t.Errorf("the other board is offered %+v, want 1.1.0", offer)
	}
}

// Of two rings that have a box, the earlier one counts, whichever is first by name.
func TestBeginsWithTheEarliestRing(t *testing.T) {
	early, late := time.Date(2026, 6, 1, 2, 0, 0, 0, time.UTC), time.Date(2026, 6, 8, 2, 0, 0, 0, time.UTC)
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		r := trust.Release{Custom: trust.Custom{Rings: map[string]trust.Ring{
			names[0]: {Serials: []string{"Q4-*"}, From: early},
			names[1]: {Serials: []string{"Q4-0001"}, From: late},
			"other":  {Serials: []string{"Q5-*"}, From: early.Add(-time.Hour)},
		}}}
		if at := r.Begins("Q4-0001"); !at.Equal(early) {
			t.Errorf("begins %v, want %v", at, early)
		}
	}
	if at := (trust.Release{}).Begins("Q4-0001"); !at.IsZero() {
		t.Errorf("without a ring it begins %v", at)
	}
}

// A signed way back is taken, once, and what it leads away from is not taken
// again.
func TestSignedDowngrade(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	h.add("1.2.0", trust.Custom{})
	c := h.client()
	bad, good := trust.Box{Serial: "Q1", Board: "generic", Version: version(t, "1.2.0")}, trust.Box{Serial: "Q1", Board: "generic", Version: version(t, "1.1.0")}
	if offer, _ := refresh(t, c, h.source(), h.now).Choose(bad, h.now, nil); offer != nil {
		t.Errorf("offered %s without a signed way back", offer.Version)
	}
	if _, err := h.Downgrade("1.1.0", []trust.Version{version(t, "1.2.0")}, "1.2.0 loses sound"); err != nil {
		t.Fatal(err)
	}
	repo := refresh(t, c, h.source(), h.now)
	offer, _ := repo.Choose(bad, h.now, nil)
	if offer == nil || !offer.Downgrade || offer.Version.String() != "1.1.0" {
		t.Fatalf("offer %+v, want 1.1.0 as the way back", offer)
	}
	offer, refused := repo.Choose(good, h.now, nil)
	if offer != nil {
		t.Errorf("%s is offered to one that went back from it", offer.Version)
	}
	if !strings.Contains(fmt.Sprint(refused), "loses sound") {
		t.Errorf("refused without the reason: %v", refused)
	}
	floor := bad
	floor.Floor = version(t, "1.1.1")
	if offer, _ := repo.Choose(floor, h.now, nil); offer != nil {
		t.Errorf("offered %s below the floor", offer.Version)
	}
	if _, err := h.Downgrade("1.2.0", []trust.Version{version(t, "1.1.0")}, "wrong way"); err == nil {
		t.Error("a way back to something newer was signed")
	}
}

// Rings grow with their percentage and stay the same otherwise, and the spread
// puts boxes at instants of their own.
func TestRingsAndSpread(t *testing.T) {
	in := map[string]int{}
	for i := range 2000 {
		serial := fmt.Sprintf("Q4-%04d", i)
		ten, half := trust.MatchSerial("10%", serial), trust.MatchSerial("50%", serial)
		if ten && !half {
			t.Fatalf("%s is in 10%% and not in 50%%", serial)
		}
		if ten {
			in["10%"]++
		}
		if half {
			in["50%"]++
		}
		if !trust.MatchSerial("100%", serial) || trust.MatchSerial("0%", serial) || !trust.MatchSerial("*", serial) || !trust.MatchSerial("Q4-*", serial) || trust.MatchSerial("Q5*", serial) {
			t.Fatalf("%s is matched wrongly", serial)
		}
	}
	if in["10%"] < 150 || in["10%"] > 250 || in["50%"] < 900 || in["50%"] > 1100 {
		t.Errorf("of 2000 boxes: %v", in)
	}
	h := newHome(t)
	rel := h.add("1.1.0", trust.Custom{})
	rel, err := h.Promote(rel.Name, "all", 24)
	if err != nil {
		t.Fatal(err)
	}
	var early int
	for i := range 1000 {
		at := rel.Begins(fmt.Sprintf("Q4-%04d", i)).Sub(h.now)
		if at < 0 || at >= 24*time.Hour {
			t.Fatalf("begins after %v", at)
		}
		if at < 6*time.Hour {
			early++
		}
	}
	if early < 200 || early > 300 {
		t.Errorf("%d of 1000 boxes begin in the first quarter", early)
	}
}

// Nothing older than what was seen is believed: not the timestamp, not the
// snapshot behind a good timestamp key, also after a restart.
func TestRollbackOfMetadata(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	old := os.DirFS(copyFolder(t, h.Public()))
	h.add("1.2.0", trust.Custom{})
	folder := powercut.New()
	c, err := trust.NewClient(folder, h.root(1))
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, c, h.source(), h.now)
	again, err := trust.NewClient(folder, h.root(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*trust.Client{c, again} {
		_, err = c.Refresh(t.Context(), fsSource{old}, h.now)
		wantCode(t, err, trust.Rollback)
		refresh(t, c, h.source(), h.now) // the present one still goes
	}
}

func copyFolder(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

type fsSource struct{ fs.FS }

func (f fsSource) Get(_ context.Context, name string, _ int64) ([]byte, error) {
	b, err := fs.ReadFile(f.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, trust.ErrNotFound
	}
	return b, err
}

// Each file's expiry is enforced, with its name in the words.
func TestExpiry(t *testing.T) {
	for _, tc := range []struct {
		after time.Duration
		file  string
	}{{15 * 24 * time.Hour, "timestamp"}, {61 * 24 * time.Hour, "snapshot"}, {181 * 24 * time.Hour, "targets"}, {366 * 24 * time.Hour, "root"}} {
		h := newHome(t)
		h.add("1.1.0", trust.Custom{})
		begin := h.now
		if tc.file != "timestamp" {
			// What is above it is signed in time.
			h.now = begin.Add(tc.after - 24*time.Hour)
			if err := h.SignOnly(tc.file == "root", tc.file == "root" || tc.file == "targets"); err != nil {
				t.Fatal(err)
			}
		}
		_, err := h.client().Refresh(t.Context(), h.source(), begin.Add(tc.after))
		wantCode(t, err, trust.Expired)
		if err == nil || !strings.Contains(err.Error(), tc.file) {
			t.Errorf("after %v: %v, want %s in it", tc.after, err, tc.file)
		}
		warn, werr := h.Warnings(7)
		if werr != nil || !strings.Contains(strings.Join(warn, "\n"), tc.file) && tc.file != "timestamp" {
			t.Errorf("%s: warnings %v, %v", tc.file, warn, werr)
		}
	}
}

// Keys that are elsewhere: nothing is replaced by halves.
func TestRotationWithoutKeys(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	folder := filepath.Join(h.dir, "keys")
	keys, err := filepath.Glob(filepath.Join(folder, "timestamp*"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	if err := os.Rename(keys[0], filepath.Join(t.TempDir(), "key")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"snapshot", "targets"} {
		h.reopen()
		if _, err := h.Rotate(role); err == nil || !strings.Contains(err.Error(), "timestamp needs 1 of the keys") {
			t.Errorf("%s: %v", role, err)
		}
	}
	after, err := os.ReadDir(folder)
	if err != nil || len(after) != len(before) {
		t.Errorf("%d keys, %d before, %v", len(after), len(before), err)
	}
	if repo := refresh(t, h.client(), h.source(), h.now); repo.Root != 1 {
		t.Errorf("root %d", repo.Root)
	}
}

// Root keys change with the signatures of old and new; a box that was away
// follows; a root that only the new keys sign is refused.
func TestRootRotation(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	folder := powercut.New()
	c, err := trust.NewClient(folder, h.root(1))
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, c, h.source(), h.now)
	for _, role := range []string{"root", "targets", "snapshot", "timestamp", "root"} {
		h.reopen()
		if _, err := h.Rotate(role); err != nil {
			t.Fatalf("%s: %v", role, err)
		}
	}
	if _, err := h.Sign(true); err != nil {
		t.Fatal(err)
	}
	if repo := refresh(t, c, h.source(), h.now); repo.Root != 6 || len(repo.Releases) != 1 {
		t.Errorf("root %d with %d releases", repo.Root, len(repo.Releases))
	}
	if repo := refresh(t, h.client(), h.source(), h.now); repo.Root != 6 {
		t.Errorf("a new box is at root %d", repo.Root)
	}
	// A new image brings a newer anchor than what is kept.
	newer, err := trust.NewClient(folder, h.root(6))
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, newer, h.source(), h.now)

	// Somebody with keys of his own.
	evil := newHome(t)
	evil.add("9.9.9", trust.Custom{})
	if err := evil.SignRoot(); err != nil {
		t.Fatal(err)
	}
	_, err = h.client().Refresh(t.Context(), overlay{h.source(), map[string][]byte{"metadata/2.root.json": evil.root(2)}}, h.now)
	wantCode(t, err, trust.Altered)
	_, err = h.client().Refresh(t.Context(), evil.source(), h.now)
	wantCode(t, err, trust.Altered)
}

// overlay has some files of its own in front of a source.
type overlay struct {
	trust.Source
	files map[string][]byte
}

func (o overlay) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	if b, ok := o.files[name]; ok {
		return b, nil
	}
	return o.Source.Get(ctx, name, limit)
}

// S8: one bit flipped, at 1,000 offsets of the metadata, of the bundle, and of
// the one-file update: all refused, with words.
func TestS8OneBit(t *testing.T) {
	h := newHome(t)
	rel := h.add("1.1.0", trust.Custom{Notes: "a note"})
	if err := h.SignRoot(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Sign(true); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 8))
	var files []string
	err := filepath.WalkDir(filepath.Join(h.Public(), "metadata"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(h.Public(), path)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Those that a new box with the first root reads.
	used := map[string][]byte{}
	recorder := recordingSource{h.source(), used}
	refresh(t, h.client(), recorder, h.now)
	if len(used) != 4 {
		t.Fatalf("a box reads %d files, want root, timestamp, snapshot, targets", len(used))
	}
	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		i := rng.IntN(len(b) * 8)
		b[i/8] ^= 1 << (i % 8)
		return b
	}
	var names []string
	for n := range used {
		names = append(names, n)
	}
	words := map[trust.Code]int{}
	for range 1000 {
		name := names[rng.IntN(len(names))]
		_, err := h.client().Refresh(t.Context(), overlay{h.source(), map[string][]byte{name: flip(used[name])}}, h.now)
		if err == nil {
			t.Fatalf("%s with one bit flipped is taken", name)
		}
		words[trust.CodeOf(err)]++
		if c := trust.CodeOf(err); c != trust.Altered && c != trust.Malformed || len(err.Error()) < 30 {
			t.Fatalf("%s: %q is no clear refusal (%q)", name, err, c)
		}
	}
	t.Logf("metadata: %v", words)

	bundle, err := os.ReadFile(filepath.Join(h.Public(), filepath.FromSlash(rel.File())))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := trust.Path(dir, rel)
	for range 1000 {
		d := trust.Download{From: memory{flip(bundle)}, What: rel, Folder: dir}
		if _, err := d.Run(t.Context()); trust.CodeOf(err) != trust.Altered {
			t.Fatalf("a bundle with one bit flipped: %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatal("a wrong bundle is kept")
		}
	}

	var packed bytes.Buffer
	if _, err := h.Pack(rel.Name, &packed); err != nil {
		t.Fatal(err)
	}
	upload := func(b []byte) error {
		a, err := trust.ReadArchive(bytes.NewReader(b))
		if err != nil {
			return err
		}
		repo, err := h.client().Refresh(t.Context(), a, h.now)
		if err != nil {
			return err
		}
		r, err := a.Find(repo)
		if err != nil {
			return err
		}
		_, err = a.Save(t.Context(), dir, r)
		return err
	}
	if err := upload(packed.Bytes()); err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	for range 1000 {
		err := upload(flip(packed.Bytes()))
		if c := trust.CodeOf(err); c != trust.Altered && c != trust.Malformed {
			t.Fatalf("an update in one file with one bit flipped: %v", err)
		}
	}
	for n := range 50 { // cut short
		if err := upload(packed.Bytes()[:packed.Len()*n/50]); err == nil {
			t.Fatal("an update that is cut short is taken")
		}
	}
	if err := upload(append(bytes.Clone(packed.Bytes()), 0)); err == nil {
		t.Error("an update with something behind it is taken")
	}
}

type recordingSource struct {
	trust.Source
	files map[string][]byte
}

func (r recordingSource) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	b, err := r.Source.Get(ctx, name, limit)
	if err == nil {
		r.files[name] = b
	}
	return b, err
}

// memory is a source of one bundle.
type memory struct{ bundle []byte }

func (m memory) Get(context.Context, string, int64) ([]byte, error) { return nil, trust.ErrNotFound }
func (m memory) Open(_ context.Context, _ string, offset int64) (io.ReadCloser, int64, error) {
	return io.NopCloser(bytes.NewReader(m.bundle[offset:])), offset, nil
}

// The power goes at every step of a refresh: what is kept afterwards is good,
// the next refresh works, and nothing older is believed than before.
func TestPowerCutDuringRefresh(t *testing.T) {
	h := newHome(t)
	h.add("1.1.0", trust.Custom{})
	before := copyFolder(t, h.Public())
	if _, err := h.Rotate("snapshot"); err != nil {
		t.Fatal(err)
	}
	h.add("1.2.0", trust.Custom{})
	cuts := 0
	for step, over := 0, false; !over; step++ {
		folder := powercut.New()
		c, err := trust.NewClient(folder, h.root(1))
		if err != nil {
			t.Fatal(err)
		}
		refresh(t, c, trust.Folder(before), h.now)
		folder.Fuse(step)
		if _, err = c.Refresh(t.Context(), h.source(), h.now); err == nil {
			over = true
		} else if !folder.Off() {
			t.Fatal(err)
		}
		for _, after := range folder.Crashes() {
			cuts++
			again, err := trust.NewClient(after, h.root(1))
			if err != nil {
				t.Fatal(err)
			}
			if repo := refresh(t, again, h.source(), h.now); len(repo.Releases) != 2 {
				t.Fatalf("step %d: %d releases", step, len(repo.Releases))
			}
			if _, err := again.Refresh(t.Context(), trust.Folder(before), h.now); err == nil {
				t.Fatalf("step %d: something older is believed", step)
			}
		}
	}
	if cuts < 30 {
		t.Errorf("%d cuts", cuts)
	}
}

// A pace is kept however small the pieces are that a connection hands over: no
// more is waited for than there is.
func TestPaceCountsBytes(t *testing.T) {
	h := newHome(t)
	rel, err := h.Add(h.bundle("generic", "1.1.0", 1<<20), trust.Custom{})
	if err != nil {
		t.Fatal(err)
	}
	p := new(countingPace)
	d := trust.Download{From: segments{h.source()}, What: rel, Folder: t.TempDir(), Pace: p}
	if _, err := d.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if int64(*p) != rel.Length {
		t.Errorf("waited for %d bytes, %d came", int64(*p), rel.Length)
	}
}

type countingPace int64

func (p *countingPace) Wait(_ context.Context, n int) error {
	*p += countingPace(n)
	return nil
}

// segments hands over what it reads as a slow TCP connection would.
type segments struct{ trust.Opener }

func (s segments) Open(ctx context.Context, file string, from int64) (io.ReadCloser, int64, error) {
	body, start, err := s.Opener.Open(ctx, file, from)
	if err != nil {
		return nil, 0, err
	}
	return segment{body}, start, nil
}

type segment struct{ io.ReadCloser }

func (s segment) Read(b []byte) (int, error) { return s.ReadCloser.Read(b[:min(len(b), 1448)]) }

// A download over HTTP that breaks off again and again comes to its end, every
// byte once; a server without ranges begins again; one that lies is found out.
func TestDownloadResumes(t *testing.T) {
	h := newHome(t)
	rel, err := h.Add(h.bundle("generic", "1.1.0", 1<<20), trust.Custom{})
	if err != nil {
		t.Fatal(err)
	}
	var sent, requests atomic.Int64
	var mode atomic.Value
	mode.Store("cut")
	files := http.FileServer(http.Dir(h.Public()))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch mode.Load() {
		case "busy":
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case "no-range":
			r.Header.Del("Range")
		case "gone":
			http.NotFound(w, r)
			return
		}
		limit := int64(1 << 40)
		if mode.Load() == "cut" {
			limit = 200_000
		}
		files.ServeHTTP(&cutWriter{ResponseWriter: w, left: limit, sent: &sent}, r)
	}))
	defer srv.Close()
	transport := trust.NewTransport()
	defer transport.CloseIdleConnections()
	src, err := trust.NewHTTP(srv.URL, transport)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func() error {
		_, err := (&trust.Download{From: src, What: rel, Folder: dir, Pace: &trust.Limiter{Rate: func() int64 { return -1 }}}).Run(t.Context())
		return err
	}
	n := 1
	for ; ; n++ {
		err := run()
		if err == nil {
			break
		}
		wantCode(t, err, trust.Incomplete)
		if n > 20 {
			t.Fatal("it never comes to its end")
		}
	}
	if n != 6 || sent.Load() > rel.Length+400_000 {
		t.Errorf("%d tries, %d bytes sent for %d", n, sent.Load(), rel.Length)
	}
	if err := trust.Verify(t.Context(), trust.Path(dir, rel), rel); err != nil {
		t.Error(err)
	}
	// Half of it is there, and the server knows no ranges.
	half := func() {
		b, err := os.ReadFile(trust.Path(dir, rel))
		if err == nil {
			os.Remove(trust.Path(dir, rel))
			err = os.WriteFile(trust.PartPath(dir, rel), b[:len(b)/2], 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	half()
	mode.Store("no-range")
	if err := run(); err != nil {
		t.Error(err)
	}
	half()
	mode.Store("busy")
	err = run()
	var busy *trust.Busy
	if wantCode(t, err, trust.Incomplete); !errors.As(err, &busy) || busy.After != 2*time.Minute {
		t.Errorf("busy: %v", err)
	}
	mode.Store("gone")
	wantCode(t, run(), trust.Missing)
	// What is there is of another make: found out at the end, and begun anew.
	if err := os.WriteFile(trust.PartPath(dir, rel), bytes.Repeat([]byte{1}, 5000), 0o644); err != nil {
		t.Fatal(err)
	}
	mode.Store("whole")
	wantCode(t, run(), trust.Altered)
	if err := run(); err != nil {
		t.Error(err)
	}
	srv.Close()
	os.Remove(trust.Path(dir, rel))
	wantCode(t, run(), trust.Incomplete)
}

// cutWriter closes the connection after so many bytes.
type cutWriter struct {
	http.ResponseWriter
	left int64
	sent *atomic.Int64
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if int64(len(b)) > c.left {
		b = b[:c.left]
	}
	n, err := c.ResponseWriter.Write(b)
	c.left -= int64(n)
	c.sent.Add(int64(n))
	if c.left == 0 {
		if f, ok := c.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func TestHTTPSource(t *testing.T) {
	for _, bad := range []string{"", "ftp://x/y", "http:///x", "https://h/p?q", "https://h/#f", "x"} {
		if _, err := trust.NewHTTP(bad, nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	big := bytes.Repeat([]byte{'x'}, 5000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/big":
			w.Write(big)
		case "/base/range":
			w.Header().Set("Content-Range", "bytes 7-9/10")
			w.WriteHeader(http.StatusPartialContent)
		case "/base/teapot":
			w.WriteHeader(http.StatusTeapot)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	transport := trust.NewTransport()
	defer transport.CloseIdleConnections()
	src, err := trust.NewHTTP(srv.URL+"/base/", transport)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := src.Get(t.Context(), "big", 5000); err != nil || len(b) != 5000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if _, err := src.Get(t.Context(), "big", 4999); trust.CodeOf(err) != trust.Malformed {
		t.Errorf("one byte too many: %v", err)
	}
	if _, err := src.Get(t.Context(), "none", 10); !errors.Is(err, trust.ErrNotFound) {
		t.Error(err)
	}
	if _, err := src.Get(t.Context(), "teapot", 10); err == nil || !strings.Contains(err.Error(), "418") {
		t.Error(err)
	}
	if _, _, err := src.Open(t.Context(), "range", 5); err == nil {
		t.Error("a server that sends from elsewhere is believed")
	}
}
