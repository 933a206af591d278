package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"quartet/device/durable"
)

// chain is the SHA-256, in hex, of roots by their version: those that led from
// the root of an image to the kept one, both included.
type chain map[int64]string

// of is the hash of a root as it stands in a chain.
func of(root []byte) string {
	sum := sha256.Sum256(root)
	return hex.EncodeToString(sum[:])
}

// kept reads the kept root, and the chain that led to it: nil if there is no
// root, or none that the chain belongs to.
func (c *Client) kept() ([]byte, chain, error) {
	data, err := c.folder.Read(fileRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the kept %s: %w", fileRoot, err)
	}
	_, version, err := parseRoot(data)
	if err != nil { // of another make
		return nil, nil, nil
	}
	b, err := c.folder.Read(fileChain)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read the kept %s: %w", fileChain, err)
	}
	var passed chain
	if err != nil || json.Unmarshal(b, &passed) != nil || passed[version] != of(data) {
		return nil, nil, nil
	}
	// A power cut may have left it one ahead.
	maps.DeleteFunc(passed, func(v int64, _ string) bool { return v > version })
	return data, passed, nil
}

// trustRoot begins with the kept root where that is known to follow from the
// image's, and else with the image's: the image rules, so that a new one ends
// the trust in a chain whose keys are lost or in wrong hands. It returns the
// chain up to the root that it begins with.
//
// Nothing is thrown away for it. Roots that are not known to follow, as those
// that versions before chain.json have kept, are fetched again if they do; a
// timestamp of another chain says nothing without that chain's keys; and the
// other slot's image finds its own way in the same manner.
func (c *Client) trustRoot(now time.Time) (*trustedmetadata.TrustedMetadata, chain, error) {
	_, version, err := parseRoot(c.anchor)
	if err != nil {
		return nil, nil, explain("the image's root.json", err)
	}
	data, passed, err := c.kept()
	if err != nil {
		return nil, nil, err
	}
	if passed[version] != of(c.anchor) {
		if !leads(data, c.anchor) {
			passed = chain{}
		}
		passed[version] = of(c.anchor)
		data = c.anchor
	}
	t, err := trustedmetadata.New(data)
	if err != nil {
		return nil, nil, explain(fileRoot, err)
	}
	t.RefTime = now
	return t, passed, nil
}

// leads tells whether a root is the very next one after another.
func leads(from, to []byte) bool {
	t, err := trustedmetadata.New(from)
	if err != nil {
		return false
	}
	_, err = t.UpdateRoot(to)
	return err == nil
}

// roots follows the chain of roots to its end.
func (c *Client) roots(ctx context.Context, src Source, t *trustedmetadata.TrustedMetadata, passed chain) error {
	for range maxRotations {
		version := t.Root.Signed.Version + 1
		name := fmt.Sprintf("metadata/%d.root.json", version)
		data, err := src.Get(ctx, name, MaxRoot)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return unreachable(name, err)
		}
		before := t.Root
		if _, _, err := parseRoot(data); err != nil {
			return explain(name, err)
		}
		root, err := t.UpdateRoot(data)
		if err != nil {
			return explain(name, err)
		}
		if err := everySignature(metadata.ROOT, root, root.Signatures, before, root); err != nil {
			return explain(name, err)
		}
		passed[version] = of(data)
		if err := c.keep(data, passed); err != nil {
			return err
		}
	}
	return refuse(Malformed, askHome, "the repository has changed its root.json more than %d times since", maxRotations)
}

// keep keeps a root and the chain up to it. The chain goes first: one that is
// ahead of its root still belongs to the root before.
func (c *Client) keep(root []byte, passed chain) error {
	b, err := json.Marshal(passed)
	if err != nil {
		return err
	}
	if err := durable.Save(c.folder, fileChain, b); err != nil {
		return err
	}
	return durable.Save(c.folder, fileRoot, root)
}
