package trust

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"quartet/device/durable"
)

// Limits of the metadata's files, in bytes, and of root changes in one go.
const (
	MaxRoot      = 64 << 10
	MaxTimestamp = 16 << 10
	MaxSnapshot  = 64 << 10
	MaxTargets   = 4 << 20
	maxRotations = 64
)

// ErrNotFound is what a Source returns for a file that is not there.
var ErrNotFound = errors.New("the repository does not have it")

// Source is where the repository's files are. Names are paths below its top:
// "metadata/timestamp.json".
type Source interface {
	// Get returns a file of at most limit bytes. ErrNotFound if there is none.
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
}

// Client keeps what the box has seen of a repository, so that nothing older is
// believed afterwards. It is not for several goroutines.
type Client struct {
	folder durable.Folder
	anchor []byte // the root.json of the image
}

// Files of the folder.
const (
	fileRoot      = "root.json"
	fileChain     = "chain.json" // the roots passed on the way to root.json
	fileTimestamp = "timestamp.json"
	fileSnapshot  = "snapshot.json"
	fileTargets   = "targets.json"
)

// NewClient returns a client. The folder is its own; anchor is the root.json
// that came with the image, which has to be good in itself.
func NewClient(folder durable.Folder, anchor []byte) (*Client, error) {
	if _, _, err := parseRoot(anchor); err != nil {
		return nil, fmt.Errorf("the image's root.json: %w", err)
	}
	return &Client{folder: folder, anchor: bytes.Clone(anchor)}, nil
}

// Repository is what trusted metadata says.
type Repository struct {
	Releases []Release
	Broken   []Refused // targets that cannot be understood, each with the reason
	// Expiry of each file.
	RootExpires, TimestampExpires, SnapshotExpires, TargetsExpires time.Time
	// Version numbers of each file.
	Root, Timestamp, Snapshot, Targets int64
}

// Expires returns the first of the metadata's files to expire, and when.
func (r *Repository) Expires() (file string, at time.Time) {
	for _, f := range []struct {
		name string
		at   time.Time
	}{{fileRoot, r.RootExpires}, {fileTimestamp, r.TimestampExpires}, {fileSnapshot, r.SnapshotExpires}, {fileTargets, r.TargetsExpires}} {
		if file == "" || f.at.Before(at) {
			file, at = f.name, f.at
		}
	}
	return file, at
}

// Refresh reads the repository's newest metadata, checks it at the instant
// now, which has to be the true one, and keeps it. An error is a *Refusal, or
// ctx's. After an error nothing has changed but for roots and timestamps that
// were good in themselves.
func (c *Client) Refresh(ctx context.Context, src Source, now time.Time) (*Repository, error) {
	t, passed, err := c.trustRoot(now)
	if err != nil {
		return nil, err
	}
	if err := c.roots(ctx, src, t, passed); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context, Source, *trustedmetadata.TrustedMetadata) error{c.timestamp, c.snapshot, c.targets} {
		if err := step(ctx, src, t); err != nil {
			return nil, err
		}
	}
	return newRepository(t), nil
}

func newRepository(t *trustedmetadata.TrustedMetadata) *Repository {
	targets := t.Targets[metadata.TARGETS].Signed
	r := &Repository{
		RootExpires: t.Root.Signed.Expires, TimestampExpires: t.Timestamp.Signed.Expires,
		SnapshotExpires: t.Snapshot.Signed.Expires, TargetsExpires: targets.Expires,
		Root: t.Root.Signed.Version, Timestamp: t.Timestamp.Signed.Version, Snapshot: t.Snapshot.Signed.Version, Targets: targets.Version,
	}
	for _, name := range slices.Sorted(maps.Keys(targets.Targets)) {
		rel, err := release(name, targets.Targets[name])
		if err != nil {
			code := CodeOf(err)
			if code == "" {
				code = Malformed
			}
			r.Broken = append(r.Broken, Refused{Name: clip(name), Version: rel.Version, Code: code, Text: fmt.Sprintf("%s: %v", clip(name), err)})
			continue
		}
		r.Releases = append(r.Releases, rel)
	}
	return r
}

func (c *Client) timestamp(ctx context.Context, src Source, t *trustedmetadata.TrustedMetadata) error {
	// The kept one stands for "not older than this"; one that the present root
	// does not sign (any more) says nothing.
	if kept, err := c.folder.Read(fileTimestamp); err == nil {
		if _, err := parseTimestamp(kept); err == nil {
			_, _ = t.UpdateTimestamp(kept)
		}
	}
	const name = "metadata/" + fileTimestamp
	data, err := src.Get(ctx, name, MaxTimestamp)
	if err != nil {
		return unreachable(name, err)
	}
	m, err := parseTimestamp(data)
	if err != nil {
		return explain(name, err)
	}
	_, err = t.UpdateTimestamp(data)
	var equal *metadata.ErrEqualVersionNumber
	if errors.As(err, &equal) {
		if kept, kerr := c.folder.Read(fileTimestamp); kerr != nil || !bytes.Equal(kept, data) {
			return refuse(Altered, notTrusted, "%s differs from what this box has seen under the same version number", name)
		}
		return expiry(name, t.Timestamp.Signed.IsExpired(t.RefTime), t.Timestamp.Signed.Expires)
	}
	var late *metadata.ErrExpiredMetadata
	switch {
	case errors.As(err, &late) && t.Root.Signed.IsExpired(t.RefTime):
		return expiry("root.json", true, t.Root.Signed.Expires)
	case errors.As(err, &late):
		return expiry(name, true, m.Signed.Expires)
	case err != nil:
		return explain(name, err)
	}
	if err := everySignature(metadata.TIMESTAMP, m, m.Signatures, t.Root); err != nil {
		return explain(name, err)
	}
	return durable.Save(c.folder, fileTimestamp, data)
}

func expiry(name string, expired bool, at time.Time) error {
	if !expired {
		return nil
	}
	return refuse(Expired, signAgain, "%s expired on %s: nobody has signed since, so nothing newer can be told from something held back", name, at.UTC().Format(time.DateTime+" MST"))
}

func (c *Client) snapshot(ctx context.Context, src Source, t *trustedmetadata.TrustedMetadata) error {
	meta := t.Timestamp.Signed.Meta[fileSnapshot]
	if kept, err := c.folder.Read(fileSnapshot); err == nil {
		if _, err := parseSnapshot(kept); err == nil {
			if _, err := t.UpdateSnapshot(kept, true); err == nil && meta.VerifyLengthHashes(kept) == nil {
				return nil
			}
		}
	}
	name := fmt.Sprintf("metadata/%d.%s", meta.Version, fileSnapshot)
	data, err := src.Get(ctx, name, MaxSnapshot)
	if err != nil {
		return unreachable(name, err)
	}
	m, err := parseSnapshot(data)
	if err != nil {
		return explain(name, errors.Join(meta.VerifyLengthHashes(data), err))
	}
	if _, err := t.UpdateSnapshot(data, false); err != nil {
		var late *metadata.ErrExpiredMetadata
		if errors.As(err, &late) {
			return expiry(name, true, m.Signed.Expires)
		}
		return explain(name, err)
	}
	return durable.Save(c.folder, fileSnapshot, data)
}

func (c *Client) targets(ctx context.Context, src Source, t *trustedmetadata.TrustedMetadata) error {
	meta := t.Snapshot.Signed.Meta[fileTargets]
	if kept, err := c.folder.Read(fileTargets); err == nil && meta.VerifyLengthHashes(kept) == nil {
		if _, err := t.UpdateTargets(kept); err == nil {
			return nil
		}
	}
	name := fmt.Sprintf("metadata/%d.%s", meta.Version, fileTargets)
	data, err := src.Get(ctx, name, MaxTargets)
	if err != nil {
		return unreachable(name, err)
	}
	if err := meta.VerifyLengthHashes(data); err != nil {
		return explain(name, err)
	}
	m, err := parse[metadata.TargetsType](data)
	if err != nil {
		return explain(name, err)
	}
	if _, err := t.UpdateTargets(data); err != nil {
		var late *metadata.ErrExpiredMetadata
		if errors.As(err, &late) {
			return expiry(name, true, m.Signed.Expires)
		}
		return explain(name, err)
	}
	return durable.Save(c.folder, fileTargets, data)
}

func unreachable(name string, err error) error {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, ErrNotFound):
		return &Refusal{Code: Missing, Text: fmt.Sprintf("the repository has no %s", name), Remedy: "check its address, and that all of its folder was copied", Err: err}
	}
	return &Refusal{Code: Unreachable, Text: fmt.Sprintf("%s cannot be read: %v", name, err), Remedy: "check the way to the repository", Err: err}
}

// parse reads metadata, which must be written exactly as it would be written
// again: nothing in it has two readings, and no bit of it is idle.
func parse[T metadata.Roles](data []byte) (*metadata.Metadata[T], error) {
	// go-tuf follows some pointers without a look; a null is nowhere needed.
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if t == nil {
			return nil, errors.New("there is a null in it")
		}
	}
	m, err := (&metadata.Metadata[T]{}).FromBytes(data)
	if err != nil {
		return nil, err
	}
	again, err := m.ToBytes(false)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, refuse(Altered, "sign it with quartetctl repo", "it is not written as it was signed")
	}
	if len(m.Signatures) == 0 {
		return nil, refuse(Altered, notTrusted, "it has no signature")
	}
	return m, nil
}

// parseRoot reads a root and checks the shape that go-tuf takes for granted.
func parseRoot(data []byte) (*metadata.Metadata[metadata.RootType], int64, error) {
	m, err := parse[metadata.RootType](data)
	if err != nil {
		return nil, 0, err
	}
	s := m.Signed
	if !s.ConsistentSnapshot {
		return nil, 0, errors.New("signed.consistent_snapshot is false: files could change under a reader")
	}
	for _, name := range metadata.TOP_LEVEL_ROLE_NAMES {
		role := s.Roles[name]
		if role == nil || len(role.KeyIDs) == 0 || len(role.KeyIDs) > 16 || role.Threshold < 1 || role.Threshold > len(role.KeyIDs) {
			return nil, 0, fmt.Errorf("signed.roles.%s: no keys, or a threshold that they cannot reach", name)
		}
	}
	for name, role := range s.Roles {
		if role == nil {
			return nil, 0, fmt.Errorf("signed.roles.%s is null", clip(name))
		}
	}
	if len(s.Keys) > 64 {
		return nil, 0, fmt.Errorf("signed.keys: %d are too many", len(s.Keys))
	}
	for id, k := range s.Keys {
		if k == nil {
			return nil, 0, fmt.Errorf("signed.keys.%s is null", clip(id))
		}
		if k.Type == metadata.KeyTypeEd25519 {
			if b, err := hex.DecodeString(k.Value.PublicKey); err != nil || len(b) != 32 {
				return nil, 0, fmt.Errorf("signed.keys.%s: no Ed25519 key", clip(id))
			}
		}
		if got, err := k.ID(); err != nil || got != id {
			return nil, 0, fmt.Errorf("signed.keys.%s: its id is not its hash", clip(id))
		}
	}
	return m, s.Version, nil
}

func parseTimestamp(data []byte) (*metadata.Metadata[metadata.TimestampType], error) {
	m, err := parse[metadata.TimestampType](data)
	if err != nil {
		return nil, err
	}
	return m, named(m.Signed.Meta, fileSnapshot, MaxSnapshot)
}

func parseSnapshot(data []byte) (*metadata.Metadata[metadata.SnapshotType], error) {
	m, err := parse[metadata.SnapshotType](data)
	if err != nil {
		return nil, err
	}
	return m, named(m.Signed.Meta, fileTargets, MaxTargets)
}

// named checks that metadata names a file with version, length and hash.
func named(meta map[string]*metadata.MetaFiles, name string, limit int64) error {
	for n, m := range meta {
		if m == nil {
			return fmt.Errorf("signed.meta.%s is null", clip(n))
		}
	}
	m := meta[name]
	switch {
	case m == nil:
		return fmt.Errorf("signed.meta has no %s", name)
	case m.Version < 1 || m.Length < 1 || m.Length > limit || len(m.Hashes["sha256"]) != 32:
		return fmt.Errorf("signed.meta.%s: version, length or sha256 is missing", name)
	}
	return nil
}

// everySignature checks that each signature of a file is a good one by a key
// that one of the roots has for the role. TUF lets surplus signatures be
// anything.
func everySignature(role string, signed any, signatures []metadata.Signature, roots ...*metadata.Metadata[metadata.RootType]) error {
	for _, s := range signatures {
		good := false
		for _, r := range roots {
			key := r.Signed.Keys[s.KeyID]
			if key == nil || !slices.Contains(r.Signed.Roles[role].KeyIDs, s.KeyID) {
				continue
			}
			one := &metadata.Metadata[metadata.RootType]{Signed: metadata.RootType{
				Keys:  map[string]*metadata.Key{s.KeyID: key},
				Roles: map[string]*metadata.Role{role: {KeyIDs: []string{s.KeyID}, Threshold: 1}},
			}}
			good = good || one.VerifyDelegate(role, signed) == nil
		}
		if !good {
			return refuse(Altered, notTrusted, "it has a signature, of key %s, that is wrong or nobody asked for", clip(strings.ToValidUTF8(s.KeyID, "?")))
		}
	}
	return nil
}
