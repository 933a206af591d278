package repository

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"quartet/device/durable"
	"quartet/updater/rauc"
	"quartet/updater/trust"
)

// Settings are in repository.json.
type Settings struct {
	Schema int                 `json:"schema"`
	Rings  map[string][]string `json:"rings"` // serials, PREFIX*, N%, *
	// ExpiryDays is how long each role's file is good for.
	ExpiryDays map[string]int `json:"expiry_days"`
}

const (
	settingsFile = "repository.json"
	schema       = 1
)

// DefaultExpiryDays is short where keys are at hand and long where they are in
// a safe.
var DefaultExpiryDays = map[string]int{metadata.ROOT: 365, metadata.TARGETS: 180, metadata.SNAPSHOT: 60, metadata.TIMESTAMP: 14}

// Repository is a repository's folder.
type Repository struct {
	dir, keys string
	now       func() time.Time
	settings  Settings

	root      *metadata.Metadata[metadata.RootType]
	targets   *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

// InitOptions are how a repository begins.
type InitOptions struct {
	RootKeys, RootThreshold int // 0: 3 and 2
}

// Init makes a repository without bundles, with new keys and the rings canary,
// early and all.
func Init(dir, keys string, o InitOptions, now func() time.Time) (*Repository, error) {
	if o.RootKeys == 0 {
		o.RootKeys = 3
	}
	if o.RootThreshold == 0 {
		o.RootThreshold = min(2, o.RootKeys)
	}
	if o.RootKeys > 10 || o.RootThreshold < 1 || o.RootThreshold > o.RootKeys {
		return nil, fmt.Errorf("%d root keys of which %d must sign are not allowed; 1 to 10 keys, and not more signatures than keys", o.RootKeys, o.RootThreshold)
	}
	if _, err := os.Stat(filepath.Join(dir, "public", "metadata")); err == nil {
		return nil, fmt.Errorf("%s is a repository already", dir)
	}
	r := &Repository{dir: dir, keys: keysFolder(dir, keys), now: now, settings: Settings{
		Schema: schema, Rings: map[string][]string{"canary": {}, "early": {"10%"}, "all": {"*"}}, ExpiryDays: maps.Clone(DefaultExpiryDays),
	}}
	r.root = metadata.Root(r.expires(metadata.ROOT))
	for _, role := range Roles {
		n := 1
		if role == metadata.ROOT {
			n = o.RootKeys
		}
		for range n {
			k, err := newKey(r.keys, role)
			if err != nil {
				return nil, err
			}
			if err := r.root.Signed.AddKey(k.pub, role); err != nil {
				return nil, err
			}
		}
	}
	r.root.Signed.Roles[metadata.ROOT].Threshold = o.RootThreshold
	r.targets = metadata.Targets(r.expires(metadata.TARGETS))
	r.snapshot = metadata.Snapshot(r.expires(metadata.SNAPSHOT))
	r.timestamp = metadata.Timestamp(r.expires(metadata.TIMESTAMP))
	// publish counts these up to 1.
	r.targets.Signed.Version, r.snapshot.Signed.Version, r.timestamp.Signed.Version = 0, 0, 0
	if err := signAll(r.root, r.keys, metadata.ROOT, r.root); err != nil {
		return nil, err
	}
	for _, d := range []string{"metadata", "targets"} {
		if err := os.MkdirAll(filepath.Join(dir, "public", d), 0o755); err != nil {
			return nil, err
		}
	}
	if err := r.saveSettings(); err != nil {
		return nil, err
	}
	if err := r.writeRoot(); err != nil {
		return nil, err
	}
	return r, r.publish(true, true)
}

func keysFolder(dir, keys string) string {
	if keys == "" {
		return filepath.Join(dir, "keys")
	}
	return keys
}

// Open reads a repository. keys is where its keys are, "" for DIR/keys.
func Open(dir, keys string, now func() time.Time) (*Repository, error) {
	r := &Repository{dir: dir, keys: keysFolder(dir, keys), now: now}
	b, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no repository; make one with quartetctl repo init", dir)
	}
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r.settings); err != nil {
		return nil, fmt.Errorf("%s: %w", settingsFile, err)
	}
	for ring, serials := range r.settings.Rings {
		if err := trust.CheckRing(ring, serials); err != nil {
			return nil, fmt.Errorf("%s: rings.%w", settingsFile, err)
		}
	}
	n := r.lastRoot()
	if r.root, err = (&metadata.Metadata[metadata.RootType]{}).FromFile(r.meta(fmt.Sprintf("%d.root.json", n))); err != nil {
		return nil, fmt.Errorf("root.json: %w", err)
	}
	if r.timestamp, err = (&metadata.Metadata[metadata.TimestampType]{}).FromFile(r.meta("timestamp.json")); err != nil {
		return nil, fmt.Errorf("timestamp.json: %w", err)
	}
	s := r.timestamp.Signed.Meta["snapshot.json"]
	if s == nil {
		return nil, errors.New("timestamp.json names no snapshot")
	}
	if r.snapshot, err = (&metadata.Metadata[metadata.SnapshotType]{}).FromFile(r.meta(fmt.Sprintf("%d.snapshot.json", s.Version))); err != nil {
		return nil, fmt.Errorf("snapshot.json: %w", err)
	}
	t := r.snapshot.Signed.Meta["targets.json"]
	if t == nil {
		return nil, errors.New("snapshot.json names no targets")
	}
	if r.targets, err = (&metadata.Metadata[metadata.TargetsType]{}).FromFile(r.meta(fmt.Sprintf("%d.targets.json", t.Version))); err != nil {
		return nil, fmt.Errorf("targets.json: %w", err)
	}
	return r, nil
}

// Public is the folder to be served.
func (r *Repository) Public() string { return filepath.Join(r.dir, "public") }

func (r *Repository) meta(name string) string { return filepath.Join(r.Public(), "metadata", name) }

// lastRoot is the number of the newest root.
func (r *Repository) lastRoot() int {
	for n := 1; ; n++ {
		if _, err := os.Stat(r.meta(fmt.Sprintf("%d.root.json", n+1))); err != nil {
			return n
		}
	}
}

func (r *Repository) expires(role string) time.Time {
	days := r.settings.ExpiryDays[role]
	if days <= 0 {
		days = DefaultExpiryDays[role]
	}
	return r.now().UTC().AddDate(0, 0, days).Truncate(time.Second)
}

func (r *Repository) saveSettings() error {
	b, err := json.MarshalIndent(r.settings, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(r.dir, settingsFile), append(b, '\n'))
}

// writeFile replaces a file in one step, and returns when it is on the disk.
func writeFile(name string, data []byte) error {
	temporary := name + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644) //nolint:gosec // G302: a web server reads it
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, name); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (r *Repository) writeRoot() error {
	b, err := r.root.ToBytes(false)
	if err != nil {
		return err
	}
	return writeFile(r.meta(fmt.Sprintf("%d.root.json", r.root.Signed.Version)), b)
}

// publish signs what has changed and makes it the repository. newTargets and
// newSnapshot tell which files beside the timestamp are made anew.
func (r *Repository) publish(newTargets, newSnapshot bool) error {
	if newTargets {
		r.targets.Signed.Version++
		r.targets.Signed.Expires = r.expires(metadata.TARGETS)
		if err := signAll(r.targets, r.keys, metadata.TARGETS, r.root); err != nil {
			return err
		}
		f, err := r.write(fmt.Sprintf("%d.targets.json", r.targets.Signed.Version), r.targets.ToBytes, trust.MaxTargets)
		if err != nil {
			return err
		}
		f.Version = r.targets.Signed.Version
		r.snapshot.Signed.Meta["targets.json"] = f
		newSnapshot = true
	}
	if newSnapshot {
		r.snapshot.Signed.Version++
		r.snapshot.Signed.Expires = r.expires(metadata.SNAPSHOT)
		if err := signAll(r.snapshot, r.keys, metadata.SNAPSHOT, r.root); err != nil {
			return err
		}
		f, err := r.write(fmt.Sprintf("%d.snapshot.json", r.snapshot.Signed.Version), r.snapshot.ToBytes, trust.MaxSnapshot)
		if err != nil {
			return err
		}
		f.Version = r.snapshot.Signed.Version
		r.timestamp.Signed.Meta["snapshot.json"] = f
	}
	r.timestamp.Signed.Version++
	r.timestamp.Signed.Expires = r.expires(metadata.TIMESTAMP)
	if err := signAll(r.timestamp, r.keys, metadata.TIMESTAMP, r.root); err != nil {
		return err
	}
	b, err := r.timestamp.ToBytes(false)
	if err != nil {
		return err
	}
	if err := r.readBack(b); err != nil {
		return fmt.Errorf("nothing was published, because a box would refuse it: %w", err)
	}
	return writeFile(r.meta("timestamp.json"), b)
}

// write writes a numbered file and returns how it is named elsewhere.
func (r *Repository) write(name string, bytesOf func(bool) ([]byte, error), limit int) (*metadata.MetaFiles, error) {
	b, err := bytesOf(false)
	if err != nil {
		return nil, err
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s would have %d bytes, and boxes read %d; remove old bundles (quartetctl repo remove), or shorten rings", name, len(b), limit)
	}
	sum := sha256.Sum256(b)
	f := metadata.MetaFile(1)
	f.Length, f.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	return f, writeFile(r.meta(name), b)
}

// unpublished is the folder with another timestamp in front.
type unpublished struct {
	trust.Folder
	timestamp []byte
}

func (u unpublished) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	if name == "metadata/timestamp.json" {
		return u.timestamp, nil
	}
	return u.Folder.Get(ctx, name, limit)
}

// readBack reads the repository as a box does that knows the first root.
func (r *Repository) readBack(timestamp []byte) error {
	anchor, err := os.ReadFile(r.meta("1.root.json"))
	if err != nil {
		return err
	}
	c, err := trust.NewClient(nowhere{}, anchor)
	if err != nil {
		return err
	}
	repo, err := c.Refresh(context.Background(), unpublished{trust.Folder(r.Public()), timestamp}, r.now())
	if err != nil {
		return err
	}
	for _, b := range repo.Broken {
		return errors.New(b.Text)
	}
	return nil
}

// nowhere is a folder that remembers nothing.
type nowhere struct{}

var _ durable.Folder = nowhere{}

func (nowhere) Read(string) ([]byte, error) { return nil, fs.ErrNotExist }
func (nowhere) Write(string, []byte) error  { return nil }
func (nowhere) Rename(string, string) error { return nil }
func (nowhere) Remove(string) error         { return nil }
func (nowhere) Sync() error                 { return nil }

// Add puts a bundle into the repository, for no ring yet. Version, boards and
// the manifest's hash come from its manifest where c does not say them; where
// both do, they have to agree. The compatible quartet-BOARD is that board's and
// no other's; for any other c names the boards whose images have it.
func (r *Repository) Add(bundle string, c trust.Custom) (trust.Release, error) {
	m, err := rauc.ReadManifest(bundle)
	if err != nil && (c.Version.IsZero() || len(c.Boards) == 0) {
		return trust.Release{}, err
	}
	if err == nil {
		v, err := trust.ParseVersion(m.Version)
		if err != nil {
			return trust.Release{}, fmt.Errorf("%s: %w", bundle, err)
		}
		board, ok := strings.CutPrefix(m.Compatible, "quartet-")
		switch {
		case !c.Version.IsZero() && c.Version.Compare(v) != 0:
			return trust.Release{}, fmt.Errorf("%s is version %s by its manifest, not %s", bundle, v, c.Version)
		case len(c.Boards) == 0 && !ok:
			return trust.Release{}, fmt.Errorf("%s is for %q by its manifest, which does not begin with quartet-; name the boards whose images have that compatible (--board)", bundle, m.Compatible)
		case len(c.Boards) == 0:
			c.Boards = []string{board}
		case ok && slices.ContainsFunc(c.Boards, func(b string) bool { return b != board }):
			// A box compares the bundle's compatible with its own. The bundle would be
			// downloaded there, refused and blocked.
			return trust.Release{}, fmt.Errorf("%s is for %q by its manifest, so for the board %s, and cannot be for %s: boxes take only what has their own compatible; leave the boards out", bundle, m.Compatible, board, strings.Join(c.Boards, ", "))
		}
		c.Version, c.ManifestHash = v, m.Hash
	}
	c.Schema = trust.Schema
	if c.Published.IsZero() {
		c.Published = r.now()
	}
	c.Published = c.Published.UTC().Truncate(time.Second)
	if !c.Expires.IsZero() {
		c.Expires = c.Expires.UTC().Truncate(time.Second)
	}
	if err := c.Check(); err != nil {
		return trust.Release{}, err
	}
	name := fmt.Sprintf("quartet-%s-%s.raucb", c.Boards[0], c.Version)
	if old := r.targets.Signed.Targets[name]; old != nil {
		return trust.Release{}, fmt.Errorf("%s is in the repository already; remove it first, or give the new one another version", name)
	}
	sum, length, err := r.copyIn(bundle, name)
	if err != nil {
		return trust.Release{}, err
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return trust.Release{}, err
	}
	custom := json.RawMessage(raw)
	r.targets.Signed.Targets[name] = &metadata.TargetFiles{Length: length, Hashes: metadata.Hashes{"sha256": sum}, Custom: &custom, Path: name}
	rel := trust.Release{Name: name, Length: length, SHA256: fmt.Sprintf("%x", sum), Custom: c}
	return rel, r.publish(true, true)
}

// copyIn copies a bundle under the name that its hash gives it.
func (r *Repository) copyIn(bundle, name string) (sum []byte, length int64, err error) {
	in, err := os.Open(bundle)
	if err != nil {
		return nil, 0, err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Join(r.Public(), "targets"), ".new-*")
	if err != nil {
		return nil, 0, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	h := sha256.New()
	if length, err = io.Copy(io.MultiWriter(out, h), in); err != nil {
		return nil, 0, err
	}
	sum = h.Sum(nil)
	if err := errors.Join(out.Chmod(0o644), out.Sync()); err != nil {
		return nil, 0, err
	}
	return sum, length, os.Rename(out.Name(), filepath.Join(r.Public(), "targets", fmt.Sprintf("%x.%s", sum, name)))
}

// Releases lists the bundles, newest first.
func (r *Repository) Releases() ([]trust.Release, error) {
	var list []trust.Release
	for _, name := range slices.Sorted(maps.Keys(r.targets.Signed.Targets)) {
		t := r.targets.Signed.Targets[name]
		if t.Custom == nil {
			return nil, fmt.Errorf("%s has no custom object", name)
		}
		c, err := trust.ParseCustom(*t.Custom)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, trust.Release{Name: name, Length: t.Length, SHA256: fmt.Sprintf("%x", []byte(t.Hashes["sha256"])), Custom: c})
	}
	slices.SortStableFunc(list, func(a, b trust.Release) int { return b.Version.Compare(a.Version) })
	return list, nil
}

// find returns the release of a name, or of a version that only one has.
func (r *Repository) find(which string) (trust.Release, error) {
	list, err := r.Releases()
	if err != nil {
		return trust.Release{}, err
	}
	var found []trust.Release
	for _, rel := range list {
		if rel.Name == which {
			return rel, nil
		}
		if rel.Version.String() == which {
			found = append(found, rel)
		}
	}
	switch len(found) {
	case 0:
		return trust.Release{}, fmt.Errorf("there is no bundle %q; quartetctl repo status lists them", which)
	case 1:
		return found[0], nil
	}
	var names []string
	for _, f := range found {
		names = append(names, f.Name)
	}
	return trust.Release{}, fmt.Errorf("%s is the version of %s: name one", which, strings.Join(names, " and "))
}

// set replaces what is said of a release.
func (r *Repository) set(rel trust.Release) error {
	if err := rel.Check(); err != nil {
		return err
	}
	raw, err := json.Marshal(rel.Custom)
	if err != nil {
		return err
	}
	custom := json.RawMessage(raw)
	r.targets.Signed.Targets[rel.Name].Custom = &custom
	return nil
}
