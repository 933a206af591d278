// Package seal keeps secrets on disk readable for this box alone: encrypted and
// authenticated (XChaCha20-Poly1305, RFC 8439 with a nonce of 24 random bytes)
// under a key of 32 random bytes in a file of its own. The end of that file is
// the end of every secret, wherever copies of it lie: factory reset destroys it
// first.
//
//	Seal    plain, context ─▶ "sealed:v1:" + base64url(key's number ‖ nonce ‖ ciphertext ‖ tag)
//	Unseal  the same text, the same context ─▶ plain
//
// The context (what the secret is for, such as a field's path) is authenticated
// too: a sealed text moved to another place does not open there. The key's
// number, four bytes of its hash, is there to tell "sealed by another box, or
// before a factory reset" from "damaged".
//
// A board that can wrap the key in hardware (CAAM, OP-TEE, TPM) does so where
// the file lies; elsewhere who holds the flash memory holds the secrets
// (docs/identity.md). The package imports nothing else of Quartet.
package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// Prefix is what every sealed text begins with.
	Prefix = "sealed:v1:"

	keyBytes    = chacha20poly1305.KeySize
	numberBytes = 4
	minSealed   = numberBytes + chacha20poly1305.NonceSizeX + 16

	// MaxPlain is the longest secret, in bytes.
	MaxPlain = 64 << 10
)

// Errors of Unseal; each continues a sentence about the secret.
var (
	// ErrOtherKey is a text that was sealed under another key.
	ErrOtherKey = errors.New("was sealed under another key: by another box, or before a factory reset")
	// ErrDamaged is a text that is no sealed one, not in this place, or changed.
	ErrDamaged = errors.New("cannot be opened: it is damaged, or was sealed for another place")
)

// Sealer seals and unseals under one key. It may be used by several goroutines.
type Sealer struct {
	aead   cipher.AEAD
	number [numberBytes]byte
}

// New returns the sealer of a key of 32 bytes.
func New(key []byte) (*Sealer, error) {
	if len(key) != keyBytes {
		return nil, fmt.Errorf("seal: the key has %d bytes, not %d", len(key), keyBytes)
	}
	if bytes.Equal(key, make([]byte, keyBytes)) {
		return nil, errors.New("seal: the key is all zeros: it was destroyed")
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	s := &Sealer{aead: aead}
	sum := sha256.Sum256(append([]byte("quartet seal v1 key number\x00"), key...))
	copy(s.number[:], sum[:])
	return s, nil
}

// Load reads a key file. The error is fs.ErrNotExist if there is none.
func Load(path string) (*Sealer, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("seal: read the key: %w", err)
	}
	defer clear(key)
	s, err := New(key)
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, path)
	}
	return s, nil
}

// Open is Load, but makes a key (mode 0640, so that the box's processes share
// it by their group) and its folder (0750) if there is none. Of several
// processes that do so at once, one makes the key and the others read it. A
// power cut leaves a whole key or none.
func Open(path string) (*Sealer, error) {
	s, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, fmt.Errorf("seal: make the key's folder: %w", err)
	}
	key := make([]byte, keyBytes)
	rand.Read(key)
	defer clear(key)
	temp, err := os.CreateTemp(folder, ".seal-*")
	if err != nil {
		return nil, fmt.Errorf("seal: make a key: %w", err)
	}
	_, err = temp.Write(key)
	err = errors.Join(err, temp.Chmod(0o640), temp.Sync(), temp.Close())
	if err == nil {
		// A link and not a rename: it fails if the key is there by now, and then
		// that one counts.
		if err = os.Link(temp.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	err = errors.Join(err, os.Remove(temp.Name()), syncFolder(folder))
	if err != nil {
		return nil, fmt.Errorf("seal: make a key: %w", err)
	}
	return Load(path)
}

// Destroy overwrites a key file, removes it, and makes both durable. A file
// that is not there is no error.
func Destroy(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		st, serr := f.Stat()
		size := int64(keyBytes)
		if serr == nil {
			size = max(size, st.Size())
		}
		_, werr := f.WriteAt(make([]byte, size), 0)
		err = errors.Join(serr, werr, f.Sync(), f.Close())
	}
	// Removed even if it could not be overwritten.
	if err = errors.Join(err, os.Remove(path), syncFolder(filepath.Dir(path))); err != nil {
		return fmt.Errorf("seal: destroy the key: %w", err)
	}
	return nil
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Sealed tells whether a text looks like one of Seal's.
func Sealed(text string) bool { return strings.HasPrefix(text, Prefix) }

// Seal returns plain (up to MaxPlain bytes) sealed for a context, a new text at
// each call. It panics on longer ones, which are a mistake of the caller's.
func (s *Sealer) Seal(plain []byte, context string) string {
	if len(plain) > MaxPlain {
		panic(fmt.Sprintf("seal: a secret of %d bytes", len(plain)))
	}
	b := make([]byte, numberBytes+chacha20poly1305.NonceSizeX, minSealed+len(plain))
	copy(b, s.number[:])
	nonce := b[numberBytes:]
	rand.Read(nonce)
	return Prefix + base64.RawURLEncoding.EncodeToString(s.aead.Seal(b, nonce, plain, aad(context)))
}

// Unseal opens a text that was sealed for the same context. Errors: ErrOtherKey
// and ErrDamaged.
func (s *Sealer) Unseal(text, context string) ([]byte, error) {
	b, err := parse(text)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(b[:numberBytes], s.number[:]) {
		return nil, ErrOtherKey
	}
	nonce := b[numberBytes : numberBytes+chacha20poly1305.NonceSizeX]
	plain, err := s.aead.Open(nil, nonce, b[numberBytes+len(nonce):], aad(context))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

// parse undoes the text's encoding.
func parse(text string) ([]byte, error) {
	coded, ok := strings.CutPrefix(text, Prefix)
	if !ok || len(coded) > base64.RawURLEncoding.EncodedLen(minSealed+MaxPlain) || strings.ContainsAny(coded, "\r\n") {
		return nil, ErrDamaged // the decoder would skip ends of lines
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(coded)
	if err != nil || len(b) < minSealed {
		return nil, ErrDamaged
	}
	return b, nil
}

func aad(context string) []byte { return []byte("quartet seal v1\x00" + context) }
