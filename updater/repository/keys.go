package repository

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Roles in the order of how carefully their keys are to be kept.
var Roles = []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

// signer is a private key with its public half as TUF has it.
type signer struct {
	file string
	id   string
	pub  *metadata.Key
	sign signature.Signer
}

// newKey makes a key and writes it to the first free name of a role.
func newKey(folder, role string) (*signer, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for n := 1; ; n++ {
		name := filepath.Join(folder, fmt.Sprintf("%s-%d.pem", role, n))
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) && n < 1000 {
			continue
		}
		if err != nil {
			return nil, err
		}
		_, err = f.Write(block)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return nil, err
		}
		return readKey(name)
	}
}

// readKey reads a private key.
func readKey(name string) (*signer, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s: there is no key in it; it has to be PEM", name)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: it is no Ed25519 key", name)
	}
	pub, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	id, err := pub.ID()
	if err != nil {
		return nil, err
	}
	s, err := signature.LoadSigner(private, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	return &signer{file: name, id: id, pub: pub, sign: s}, nil
}

// keysOf reads the keys of a role that are at hand.
func keysOf(folder, role string) ([]*signer, error) {
	names, err := filepath.Glob(filepath.Join(folder, role+"-*.pem"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var list []*signer
	for _, n := range names {
		s, err := readKey(n)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// signAll signs with every key at hand that a role of the roots has, and says
// which is missing when they are too few.
func signAll[T metadata.Roles](m *metadata.Metadata[T], folder, role string, roots ...*metadata.Metadata[metadata.RootType]) error {
	keys, err := keysOf(folder, role)
	if err != nil {
		return err
	}
	m.ClearSignatures()
	for _, k := range keys {
		if slices.ContainsFunc(roots, func(r *metadata.Metadata[metadata.RootType]) bool {
			return slices.Contains(r.Signed.Roles[role].KeyIDs, k.id)
		}) {
			if _, err := m.Sign(k.sign); err != nil {
				return fmt.Errorf("%s: %w", k.file, err)
			}
		}
	}
	for _, r := range roots {
		if err := r.VerifyDelegate(role, m); err != nil {
			return tooFew(r.Signed.Roles[role], role, folder)
		}
	}
	return nil
}

// enough tells which keys of a role are missing to sign for it.
func enough(root *metadata.Metadata[metadata.RootType], folder, role string) error {
	keys, err := keysOf(folder, role)
	if err != nil {
		return err
	}
	want, have := root.Signed.Roles[role], 0
	for _, k := range keys {
		if slices.Contains(want.KeyIDs, k.id) {
			have++
		}
	}
	if have < want.Threshold {
		return tooFew(want, role, folder)
	}
	return nil
}

func tooFew(want *metadata.Role, role, folder string) error {
	return fmt.Errorf("%s needs %d of the keys %s in %s, and there are too few", role, want.Threshold, short(want.KeyIDs), folder)
}

func short(ids []string) string {
	var s []string
	for _, id := range ids {
		s = append(s, id[:min(len(id), 8)])
	}
	return strings.Join(s, ", ")
}
