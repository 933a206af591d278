package repository

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"quartet/updater/trust"
)

// SetRing says which boxes are in a ring, here and in every bundle that is
// promoted to it.
func (r *Repository) SetRing(ring string, serials []string) error {
	if err := trust.CheckRing(ring, serials); err != nil {
		return err
	}
	r.settings.Rings[ring] = slices.Clone(serials)
	list, err := r.Releases()
	if err != nil {
		return err
	}
	changed := false
	for _, rel := range list {
		promoted, ok := rel.Rings[ring]
		if !ok {
			continue
		}
		promoted.Serials = slices.Clone(serials)
		rel.Rings[ring] = promoted
		if err := r.set(rel); err != nil {
			return err
		}
		changed = true
	}
	if changed {
		if err := r.publish(true, true); err != nil {
			return err
		}
	}
	return r.saveSettings()
}

// Rings returns who is in which ring.
func (r *Repository) Rings() map[string][]string { return maps.Clone(r.settings.Rings) }

// Promote offers a bundle, by name or version, to a ring. Its boxes begin
// spread over so many hours from now on.
func (r *Repository) Promote(which, ring string, spreadHours int) (trust.Release, error) {
	serials, ok := r.settings.Rings[ring]
	if !ok {
		return trust.Release{}, fmt.Errorf("there is no ring %q; there are %s, and quartetctl repo ring makes others", ring, strings.Join(slices.Sorted(maps.Keys(r.settings.Rings)), ", "))
	}
	rel, err := r.find(which)
	if err != nil {
		return rel, err
	}
	if rel.Rings == nil {
		rel.Rings = map[string]trust.Ring{}
	}
	rel.Rings[ring] = trust.Ring{Serials: slices.Clone(serials), From: r.now().UTC().Truncate(time.Second), SpreadHours: spreadHours}
	if err := r.set(rel); err != nil {
		return rel, err
	}
	return rel, r.publish(true, true)
}

// Demote takes a bundle away from a ring. Boxes that have it keep it.
func (r *Repository) Demote(which, ring string) (trust.Release, error) {
	rel, err := r.find(which)
	if err != nil {
		return rel, err
	}
	if _, ok := rel.Rings[ring]; !ok {
		return rel, fmt.Errorf("%s is not promoted to %s", rel.Name, ring)
	}
	delete(rel.Rings, ring)
	if err := r.set(rel); err != nil {
		return rel, err
	}
	return rel, r.publish(true, true)
}

// Downgrade signs a bundle, which the repository has, as the way back from
// newer versions.
func (r *Repository) Downgrade(which string, from []trust.Version, reason string) (trust.Release, error) {
	rel, err := r.find(which)
	if err != nil {
		return rel, err
	}
	rel.Downgrade = &trust.Downgrade{From: from, Reason: reason}
	if err := r.set(rel); err != nil {
		return rel, err
	}
	return rel, r.publish(true, true)
}

// Remove takes a bundle out of the repository, and deletes its file.
func (r *Repository) Remove(which string) (trust.Release, error) {
	rel, err := r.find(which)
	if err != nil {
		return rel, err
	}
	delete(r.targets.Signed.Targets, rel.Name)
	if err := r.publish(true, true); err != nil {
		return rel, err
	}
	return rel, os.Remove(filepath.Join(r.Public(), filepath.FromSlash(rel.File())))
}

// Signed is what Sign has done.
type Signed struct {
	Roles []string // signed, the timestamp as the last
	Left  []string // in words: due, but without keys here
}

// Sign signs the timestamp anew, and with it what has used up half of its
// lifetime (all: everything but the root). Where the keys for the latter are
// elsewhere it says so and signs the rest, for a timestamp that nobody signs
// stops all boxes within days; but not what all asks for, nor what has expired
// already, when nothing else helps.
func (r *Repository) Sign(all bool) (Signed, error) {
	var done Signed
	// due tells whether a role has to be signed, and can be.
	due := func(role string, at time.Time, keys ...string) (bool, error) {
		if life := r.expires(role).Sub(r.now()); !all && at.Sub(r.now()) >= life/2 {
			return false, nil
		}
		for _, k := range keys {
			err := enough(r.root, r.keys, k)
			switch day := at.UTC().Format(time.DateTime + " MST"); {
			case err == nil:
			case !at.After(r.now()):
				return false, fmt.Errorf("%s has expired on %s, boxes take nothing, and it cannot be signed here: %w", role, day, err)
			case all:
				return false, fmt.Errorf("%s cannot be signed here: %w", role, err)
			default:
				done.Left = append(done.Left, fmt.Sprintf("%s is left as it is and expires on %s, when boxes take nothing any more: %v; run quartetctl repo sign where they are before then", role, day, err))
				return false, nil
			}
		}
		return true, nil
	}
	t, err := due(metadata.TARGETS, r.targets.Signed.Expires, metadata.TARGETS, metadata.SNAPSHOT)
	if err != nil {
		return done, err
	}
	s := t // the snapshot names it
	if !t {
		if s, err = due(metadata.SNAPSHOT, r.snapshot.Signed.Expires, metadata.SNAPSHOT); err != nil {
			return done, err
		}
	}
	if err := r.publish(t, s); err != nil {
		return done, err
	}
	if t {
		done.Roles = append(done.Roles, metadata.TARGETS)
	}
	if s {
		done.Roles = append(done.Roles, metadata.SNAPSHOT)
	}
	done.Roles = append(done.Roles, metadata.TIMESTAMP)
	return done, nil
}

// SignOnly signs the timestamp anew and, as asked, targets and snapshot.
func (r *Repository) SignOnly(targets, snapshot bool) error { return r.publish(targets, snapshot) }

// SignRoot makes a new root of the same keys, with a new expiry. It needs the
// root keys.
func (r *Repository) SignRoot() error { return r.newRoot(func() error { return nil }) }

// Rotate replaces the keys of a role by new ones, and signs all that they
// sign. It needs the root keys; for the root's own, the old and the new.
func (r *Repository) Rotate(role string) ([]string, error) {
	if !slices.Contains(Roles, role) {
		return nil, fmt.Errorf("%q is no role; there are %s", role, strings.Join(Roles, ", "))
	}
	// What is signed anew after the root takes keys that stay. Without them boxes
	// would find a root that what they find beside it does not fit.
	for _, other := range needs[role] {
		if err := enough(r.root, r.keys, other); err != nil {
			return nil, err
		}
	}
	old := slices.Clone(r.root.Signed.Roles[role].KeyIDs)
	var files []string
	err := r.newRoot(func() error {
		for range old {
			k, err := newKey(r.keys, role)
			if err != nil {
				return err
			}
			files = append(files, k.file)
			if err := r.root.Signed.AddKey(k.pub, role); err != nil {
				return err
			}
		}
		for _, id := range old {
			if err := r.root.Signed.RevokeKey(id, role); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return files, err
	}
	switch role {
	case metadata.ROOT:
		return files, nil
	case metadata.TIMESTAMP:
		return files, r.publish(false, false)
	case metadata.SNAPSHOT:
		return files, r.publish(false, true)
	}
	return files, r.publish(true, true)
}

// needs lists whose keys sign, when a role's are replaced, beside its own new ones
// and the root's.
var needs = map[string][]string{
	metadata.SNAPSHOT: {metadata.TIMESTAMP},
	metadata.TARGETS:  {metadata.SNAPSHOT, metadata.TIMESTAMP},
}

// newRoot changes the root, signs it with the keys of the one before and its
// own, and writes it.
func (r *Repository) newRoot(change func() error) error {
	b, err := r.root.ToBytes(false)
	if err != nil {
		return err
	}
	before, err := (&metadata.Metadata[metadata.RootType]{}).FromBytes(b)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	r.root.Signed.Version++
	r.root.Signed.Expires = r.expires(metadata.ROOT)
	if err := signAll(r.root, r.keys, metadata.ROOT, before, r.root); err != nil {
		return err
	}
	return r.writeRoot()
}

// Root returns the newest root.json, which goes into images.
func (r *Repository) Root() ([]byte, error) { return r.root.ToBytes(false) }

// Expiry is when a role's file expires.
type Expiry struct {
	Role    string
	Version int64
	At      time.Time
}

// Expiries lists the roles, the first to expire in front.
func (r *Repository) Expiries() []Expiry {
	list := []Expiry{
		{metadata.ROOT, r.root.Signed.Version, r.root.Signed.Expires},
		{metadata.TARGETS, r.targets.Signed.Version, r.targets.Signed.Expires},
		{metadata.SNAPSHOT, r.snapshot.Signed.Version, r.snapshot.Signed.Expires},
		{metadata.TIMESTAMP, r.timestamp.Signed.Version, r.timestamp.Signed.Expires},
	}
	slices.SortStableFunc(list, func(a, b Expiry) int { return a.At.Compare(b.At) })
	return list
}

// Warnings lists what will go wrong within so many days: files that expire,
// bundles that are missing or whose time is over.
func (r *Repository) Warnings(days int) ([]string, error) {
	var list []string
	soon := r.now().AddDate(0, 0, days)
	for _, e := range r.Expiries() {
		remedy := "quartetctl repo sign"
		switch {
		case e.Role == metadata.ROOT:
			remedy = "quartetctl repo sign --root, with the root keys"
		case e.Role != metadata.TIMESTAMP:
			remedy = "quartetctl repo sign --all, where the " + e.Role + " key is"
		}
		switch {
		case !e.At.After(r.now()):
			list = append(list, fmt.Sprintf("%s has expired on %s: boxes take nothing; %s", e.Role, e.At.Format(time.DateTime), remedy))
		case e.At.Before(soon):
			list = append(list, fmt.Sprintf("%s expires on %s; %s", e.Role, e.At.Format(time.DateTime), remedy))
		}
	}
	releases, err := r.Releases()
	if err != nil {
		return nil, err
	}
	for _, rel := range releases {
		info, err := os.Stat(filepath.Join(r.Public(), filepath.FromSlash(rel.File())))
		switch {
		case err != nil:
			list = append(list, fmt.Sprintf("%s: its file is missing: %v", rel.Name, err))
		case info.Size() != rel.Length:
			list = append(list, fmt.Sprintf("%s: its file has %d bytes, not %d", rel.Name, info.Size(), rel.Length))
		}
		if !rel.Expires.IsZero() && rel.Expires.Before(soon) {
			list = append(list, fmt.Sprintf("%s is not taken any more after %s", rel.Name, rel.Expires.Format(time.DateTime)))
		}
	}
	return list, nil
}

// Pack writes a bundle, by name or version, with all metadata into one file
// for a site without a way out.
func (r *Repository) Pack(which string, w io.Writer) (trust.Release, error) {
	rel, err := r.find(which)
	if err != nil {
		return rel, err
	}
	var names []string
	for n := 1; n <= int(r.root.Signed.Version); n++ {
		names = append(names, fmt.Sprintf("metadata/%d.root.json", n))
	}
	names = append(names, "metadata/timestamp.json", fmt.Sprintf("metadata/%d.snapshot.json", r.snapshot.Signed.Version),
		fmt.Sprintf("metadata/%d.targets.json", r.targets.Signed.Version), rel.File())
	return rel, trust.WriteArchive(w, names, func(name string) (io.ReadCloser, error) {
		return os.Open(filepath.Join(r.Public(), filepath.FromSlash(name)))
	})
}
