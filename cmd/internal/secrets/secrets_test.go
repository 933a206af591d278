package secrets

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quartet/device/config"
	"quartet/device/seal"
)

func example(t *testing.T) *config.Box {
	t.Helper()
	b, _, err := config.Examples(rand.NewChaCha8([32]byte{1}))
	if err == nil {
		b, _, err = config.ParseBox(config.Encode(b)) // with all that is derived
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// S6, of the document at rest: no secret of it is readable, and the box reads
// it back as it was.
func TestS6DocumentIsSealed(t *testing.T) {
	key := filepath.Join(t.TempDir(), "seal.key")
	s, err := seal.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	b := example(t)
	want := string(config.Encode(b))
	doc, err := Document(s, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(config.Encode(b)) != want {
		t.Error("the document handed in was changed")
	}
	n := 0
	err = b.MapSecrets(func(path string, secret config.Secret) (config.Secret, error) {
		n++
		if strings.Contains(string(doc), secret.Reveal()) {
			t.Errorf("%s is there to read", path)
		}
		return secret, nil
	})
	if err != nil || n < 5 || strings.Count(string(doc), seal.Prefix) != n {
		t.Fatalf("%d secrets, %v:\n%s", n, err, doc)
	}
	for name, open := range map[string]config.Unseal{"file": Opener(key), "sealer": With(s)} {
		got, warnings, err := config.OpenBox(doc, open)
		if err != nil || len(warnings) > 0 || string(config.Encode(got)) != want {
			t.Fatalf("%s: %v %v", name, err, warnings)
		}
	}
	if sealed := config.SealedSecrets(doc); len(sealed) != n {
		t.Errorf("sealed: %v", sealed)
	}
}

// What did not change keeps its text, also when paths change places; what did
// gets a new one.
func TestUnchangedSecretsKeepTheirText(t *testing.T) {
	s, err := seal.Open(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	b := example(t)
	first, err := Document(s, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Document(s, b, first); err != nil || string(again) != string(first) {
		t.Fatalf("the same document is written differently: %v", err)
	}
	b.Paths[0], b.Paths[1] = b.Paths[1], b.Paths[0]
	b.Output.Key = config.Secret(strings.Repeat("5a", 32))
	second, err := Document(s, b, first)
	if err != nil {
		t.Fatal(err)
	}
	fresh := 0
	for _, word := range strings.Split(string(second), `"`) {
		if seal.Sealed(word) && !strings.Contains(string(first), word) {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d texts are new after a change of one secret", fresh)
	}
	b.Name = "not a name!"
	if _, err := Document(s, b, second); err == nil {
		t.Error("an invalid document was sealed")
	}
}

func TestErrorsNameTheRemedy(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "seal.key")
	s, err := seal.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Document(s, example(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for problem, prepare := range map[string]func() error{
		"is sealed, and its key is not there: " + key: func() error { return seal.Destroy(key) },
		"is sealed, and its key cannot be read":       func() error { return os.WriteFile(key, []byte("short"), 0o600) },
		"was sealed under another key": func() error {
			if err := seal.Destroy(key); err != nil {
				return err
			}
			_, err := seal.Open(key)
			return err
		},
	} {
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		_, _, err := config.OpenBox(doc, Opener(key))
		if err == nil || !strings.Contains(err.Error(), "output.key (line") || !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), "write the secret itself") {
			t.Errorf("%s: %v", problem, err)
		}
	}
}
