package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func sealer(t testing.TB) (*Sealer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "own place", "seal.key")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

func TestSeal(t *testing.T) {
	s, path := sealer(t)
	for _, plain := range []string{"", "x", "a passphrase of SRT", strings.Repeat("long", 4000)} {
		text := s.Seal([]byte(plain), "output.key")
		if !Sealed(text) || strings.Contains(text, plain) && plain != "" && plain != "x" {
			t.Fatalf("%q sealed: %q", plain, text)
		}
		if text == s.Seal([]byte(plain), "output.key") {
			t.Error("the same secret is sealed to the same text twice")
		}
		again, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Unseal(text, "output.key"); err != nil || string(got) != plain {
			t.Fatalf("%q opened: %q, %v", plain, got, err)
		}
		if _, err := s.Unseal(text, "output.next_key"); !errors.Is(err, ErrDamaged) {
			t.Errorf("opened in another place: %v", err)
		}
	}
}

// Every character changed, and every length: refused.
func TestTampered(t *testing.T) {
	s, _ := sealer(t)
	text := s.Seal([]byte("a passphrase"), "p")
	for i := range text {
		for _, c := range []byte("AQz_=\n") {
			b := []byte(text)
			if b[i] == c {
				continue
			}
			b[i] = c
			if got, err := s.Unseal(string(b), "p"); err == nil {
				t.Fatalf("character %d changed to %q: %q", i, c, got)
			}
		}
		if _, err := s.Unseal(text[:i], "p"); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
}

func TestOtherKey(t *testing.T) {
	a, _ := sealer(t)
	b, path := sealer(t)
	text := a.Seal([]byte("a passphrase"), "p")
	if _, err := b.Unseal(text, "p"); !errors.Is(err, ErrOtherKey) {
		t.Fatalf("opened with another key: %v", err)
	}
	mine := b.Seal([]byte("mine"), "p")
	shadow := filepath.Join(t.TempDir(), "shadow")
	if err := os.Link(path, shadow); err != nil {
		t.Skip("no hard links here: ", err)
	}
	for range 2 {
		if err := Destroy(path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if key, _ := os.ReadFile(shadow); !bytes.Equal(key, make([]byte, keyBytes)) {
		t.Errorf("the key's bytes are still there: %x", key)
	}
	if _, err := Load(shadow); err == nil {
		t.Error("a destroyed key is taken for one")
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Unseal(mine, "p"); !errors.Is(err, ErrOtherKey) {
		t.Fatalf("opened after a factory reset: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	_, path := sealer(t)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o640 || st.Size() != keyBytes {
		t.Fatal(st, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	for _, bad := range [][]byte{nil, make([]byte, 31), make([]byte, 32), make([]byte, 33)} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a key of %d bytes: %v", len(bad), err)
		}
		if b, _ := os.ReadFile(path); !bytes.Equal(b, bad) {
			t.Error("a bad key was replaced: then nobody could find out why secrets are gone")
		}
	}
}

// Several at once agree on one key.
func TestOpenAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seal.key")
	var wg sync.WaitGroup
	sealers := make([]*Sealer, 8)
	for i := range sealers {
		wg.Go(func() {
			var err error
			if sealers[i], err = Open(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	text := sealers[0].Seal([]byte("x"), "p")
	for _, s := range sealers {
		if _, err := s.Unseal(text, "p"); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func FuzzUnseal(f *testing.F) {
	s, err := New(bytes.Repeat([]byte{7}, keyBytes))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Seal([]byte("plain"), "p"))
	f.Add(Prefix)
	f.Add(Prefix + strings.Repeat("A", 80))
	f.Fuzz(func(t *testing.T, text string) {
		b, err := parse(text)
		if err == nil && Prefix+base64.RawURLEncoding.EncodeToString(b) != text {
			t.Errorf("%q is read, and not written so", text)
		}
		if plain, err := s.Unseal(text, "p"); err == nil && (b == nil || len(plain) != len(b)-minSealed) {
			t.Errorf("%q opened to %q", text, plain)
		}
	})
}
