package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// vault is a sealer that seals nothing: "sealed:v1:" and a number.
type vault struct{ plain []string }

func (v *vault) seal(_ string, s Secret) (Secret, error) {
	v.plain = append(v.plain, s.Reveal())
	return Secret(fmt.Sprintf("sealed:v1:%d", len(v.plain)-1)), nil
}

func (v *vault) unseal(_ string, s Secret) (Secret, error) {
	var i int
	if _, err := fmt.Sscanf(s.Reveal(), "sealed:v1:%d", &i); err != nil || i >= len(v.plain) {
		return "", errors.New("was sealed under another key")
	}
	return Secret(v.plain[i]), nil
}

// What was sealed and opened is what it was, and only secrets were touched.
func TestSealedRoundTrip(t *testing.T) {
	plain, _, err := ParseBox(box(t, `"url": "srt://gw1b.example.net:9000", "passphrase": "correct-horse-battery"`,
		`"url": "srt://gw1b.example.net:9000?passphrase=from-the-address-itself"`))
	if err != nil {
		t.Fatal(err)
	}
	want := string(Encode(plain))
	var v vault
	var paths []string
	if err := plain.MapSecrets(func(path string, s Secret) (Secret, error) {
		paths = append(paths, path)
		return v.seal(path, s)
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(paths, []string{"output.key", "paths[0].passphrase", "paths[1].passphrase", "paths[2].passphrase"}) {
		t.Fatalf("secrets: %v", paths)
	}
	doc := Encode(plain)
	for _, secret := range v.plain {
		if strings.Contains(string(doc), secret) {
			t.Errorf("the sealed document holds %q", secret)
		}
	}
	opened, _, err := OpenBox(doc, v.unseal)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(Encode(opened)); got != want {
		t.Errorf("opened:\n%s\nwas:\n%s", got, want)
	}
	if got := SealedSecrets(doc); !slices.Equal(got, paths) {
		t.Errorf("sealed: %v", got)
	}
	if got := SealedSecrets([]byte(want)); len(got) != 0 {
		t.Errorf("sealed in a plain document: %v", got)
	}

	g, _, err := ParseGateway(gateway(t))
	if err != nil {
		t.Fatal(err)
	}
	n := len(v.plain)
	if err := g.MapSecrets(v.seal); err != nil || len(v.plain)-n != 4 {
		t.Fatalf("%d secrets of a gateway, %v", len(v.plain)-n, err)
	}
	if g, _, err = OpenGateway(Encode(g), v.unseal); err != nil || g.Contributions[0].Key != testKey {
		t.Fatal(err)
	}
	if got := SealedSecrets(Encode(g)); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// The form is that of the opened secret; without the key, or with another one,
// the field is named and what to do.
func TestSealedErrors(t *testing.T) {
	v := vault{plain: []string{testKey, "too short", "0123"}}
	sealed := func(path, n string) []byte {
		if path == "output.key" {
			return box(t, testKey, "sealed:v1:"+n)
		}
		return box(t, `"passphrase": "correct-horse-battery", "interface": "eth2"`, `"passphrase": "sealed:v1:`+n+`", "interface": "eth2"`)
	}
	for _, tc := range []struct {
		path, n string
		unseal  Unseal
		problem string // "": valid
	}{
		{"output.key", "0", v.unseal, ""},
		{"output.key", "0", StandIn, ""},
		{"output.key", "0", nil, "is sealed, and there is no key to open it"},
		{"output.key", "7", v.unseal, "was sealed under another key"},
		{"output.key", "2", v.unseal, "has 2 bytes"},
		{"paths[1].passphrase", "1", v.unseal, "has 9 bytes"},
		{"paths[1].passphrase", "1", StandIn, ""},
		{"paths[1].passphrase", "0", nil, "is sealed, and there is no key to open it"},
	} {
		_, warnings, err := OpenBox(sealed(tc.path, tc.n), tc.unseal)
		var is Issues
		switch {
		case tc.problem == "":
			if err != nil || len(warnings) > 0 {
				t.Errorf("%+v: %v %v", tc, err, warnings)
			}
		case !errors.As(err, &is) || len(is) != 1 || is[0].Path != tc.path || is[0].Problem != tc.problem || is[0].Remedy == "" || is[0].Line == 0:
			t.Errorf("%+v: %v", tc, err)
		case strings.Contains(err.Error(), "sealed:v1"):
			t.Errorf("the error shows the sealed text: %v", err)
		}
	}
	if _, warnings, err := Check(sealed("output.key", "7")); err != nil || len(warnings) > 0 {
		t.Errorf("Check of a sealed document: %v %v", err, warnings)
	}
	// A sealed text belongs into a field; in an address it is a long passphrase.
	line := box(t, `"url": "srt://gw1b.example.net:9000", "passphrase": "correct-horse-battery"`,
		`"url": "srt://gw1b.example.net:9000?passphrase=sealed:v1:`+strings.Repeat("A", 80)+`"`)
	if _, _, err := OpenBox(line, v.unseal); err == nil {
		t.Error("a sealed text in an address was taken for a passphrase")
	}
	b, _, err := ParseBox(box(t))
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if err := b.MapSecrets(func(string, Secret) (Secret, error) { return "", stop }); !errors.Is(err, stop) || !strings.HasPrefix(err.Error(), "output.key: ") {
		t.Error(err)
	}
}

// A store keeps sealed documents without knowing the key.
func TestStoreKeepsSealedDocuments(t *testing.T) {
	s := newStore(newDisk(), KindBox)
	doc := box(t, testKey, "sealed:v1:abc")
	if err := s.Save(doc); err != nil {
		t.Fatal(err)
	}
	if got, problem, err := s.Load(); err != nil || problem != nil || string(got) != string(doc) {
		t.Fatal(problem, err)
	}
}

func TestSecretContext(t *testing.T) {
	for path, want := range map[string]string{"output.key": "output.key", "paths[12].passphrase": "paths[].passphrase", "a[0].b[1].c": "a[].b[].c"} {
		if got := SecretContext(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
