package rtp

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"
)

const (
	// TagSize is the length in bytes of the tag behind every message.
	TagSize = 8
	// MinContributionKey is the length in bytes of the shortest contribution
	// key: 128 bits.
	MinContributionKey = 16

	tagInfo = "quartet-tag-v0"
)

// TagKey is the key of the tag. It prints as a fixed word, not as itself; but
// fmt does not ask the unexported fields of a struct, so do not print one that
// holds a key.
type TagKey [sha256.Size]byte

// Format keeps the key out of logs whatever the verb.
func (TagKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "TagKey(secret)") }

// MarshalText keeps the key out of JSON and structured logs.
func (TagKey) MarshalText() ([]byte, error) { return []byte("TagKey(secret)"), nil }

// DeriveTagKey returns the tag key of a contribution: HKDF-SHA-256 (RFC 5869)
// of the contribution key without salt, info "quartet-tag-v0", 32 bytes.
func DeriveTagKey(contributionKey []byte) (TagKey, error) {
	var k TagKey
	if len(contributionKey) < MinContributionKey {
		return k, fmt.Errorf("rtp: contribution key of %d bytes: want at least %d, made by a machine",
			len(contributionKey), MinContributionKey)
	}
	b, err := hkdf.Key(sha256.New, contributionKey, nil, tagInfo, len(k))
	if err != nil {
		return k, fmt.Errorf("rtp: derive tag key: %w", err)
	}
	copy(k[:], b)
	return k, nil
}

// keyed computes the tag under one key without allocation. After its first
// Reset crypto/hmac keeps the two SHA-256 states that follow the key blocks and
// only restores them (FIPS 198-1 §6), so a tag costs the hash of the packet and
// one block more.
type keyed struct {
	mac hash.Hash
	sum [sha256.Size]byte // here, since a local one would escape through hash.Hash
}

func newKeyed(k TagKey) *keyed {
	m := hmac.New(sha256.New, k[:])
	m.Reset() // so that the first packet costs no more than any other
	return &keyed{mac: m}
}

// tag returns the tag of pkt: a view of k.sum, valid until the next call.
func (k *keyed) tag(pkt []byte) []byte {
	k.mac.Reset()
	k.mac.Write(pkt) // never fails (hash.Hash)
	return k.mac.Sum(k.sum[:0])[:TagSize]
}

// Tagger computes tags at the sender: the leftmost 8 bytes of HMAC-SHA-256
// (RFC 2104, truncated as its §5 allows) over the packet.
type Tagger struct{ key *keyed }

// NewTagger returns a Tagger under key.
func NewTagger(key TagKey) *Tagger { return &Tagger{key: newKeyed(key)} }

// AppendTag appends the tag of pkt to dst. With dst = pkt it makes the message.
// It does not allocate when dst has room for 8 bytes more.
func (t *Tagger) AppendTag(dst, pkt []byte) []byte {
	return append(dst, t.key.tag(pkt)...)
}

// VerifierStats counts the messages a Verifier checked since it was made.
type VerifierStats struct {
	Good    uint64 `json:"good"`     // tag right, under whichever key
	GoodOld uint64 `json:"good_old"` // of these, under the second key: the old one during a change
	Bad     uint64 `json:"bad"`      // tag wrong
	Short   uint64 `json:"short"`    // too short to hold a packet and a tag
}

// Verifier checks tags at the receiver, under one key or, while the key is
// being changed, under either of two.
type Verifier struct {
	keys  []*keyed
	last  int // index of the key that matched last
	stats VerifierStats
}

// NewVerifier returns a Verifier under one key or two. By convention the newer
// key is first.
func NewVerifier(keys ...TagKey) (*Verifier, error) {
	v := &Verifier{}
	if err := v.SetKeys(keys...); err != nil {
		return nil, err
	}
	return v, nil
}

// SetKeys replaces the keys from the next message on. It belongs to the
// goroutine that calls Check.
func (v *Verifier) SetKeys(keys ...TagKey) error {
	if len(keys) < 1 || len(keys) > 2 {
		return fmt.Errorf("rtp: verifier: %d keys: want 1, or 2 during a change of key", len(keys))
	}
	v.keys = v.keys[:0:0]
	for _, k := range keys {
		v.keys = append(v.keys, newKeyed(k))
	}
	v.last = 0
	return nil
}

// Check cuts the tag off msg and reports whether it is right under one of the
// keys. The packet is a view of msg, nil if the tag is wrong. Tags are compared
// in constant time. The key that matched last is tried first, so that the other
// one costs nothing outside of a change.
func (v *Verifier) Check(msg []byte) (pkt []byte, ok bool) {
	n := len(msg) - TagSize
	if n <= 0 {
		v.stats.Short++
		return nil, false
	}
	pkt = msg[:n:n]
	for range v.keys {
		if subtle.ConstantTimeCompare(v.keys[v.last].tag(pkt), msg[n:]) == 1 {
			v.stats.Good++
			if v.last == 1 {
				v.stats.GoodOld++
			}
			return pkt, true
		}
		v.last = (v.last + 1) % len(v.keys)
	}
	v.stats.Bad++
	return nil, false
}

// LastKey returns the index, in the order given to SetKeys, of the key that
// matched last; 0 if none has.
func (v *Verifier) LastKey() int { return v.last }

// Stats returns the counts so far.
func (v *Verifier) Stats() VerifierStats { return v.stats }
