package identity

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var codeForm = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}$`)

func TestProvision(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config", "provision.v1.json")
	p, code, err := NewProvision("", "", today)
	if err != nil || !codeForm.MatchString(code) || checkSerial(p.Serial) != "" {
		t.Fatalf("%q %q %v", p.Serial, code, err)
	}
	if err := p.Write(file, false); err != nil {
		t.Fatal(err)
	}
	got, err := ReadProvision(file)
	if err != nil || *got != *p {
		t.Fatalf("%+v, %v", got, err)
	}
	// The code is on the label and in no file.
	content, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(content), code) || strings.Contains(string(content), strings.ReplaceAll(code, "-", "")) {
		t.Errorf("%s, %v", content, err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o640 {
		t.Error(st.Mode(), err)
	}
	if label := got.Label(code); !strings.Contains(label, code) || !strings.Contains(label, p.Serial) || !strings.Contains(label, "https://quartet-"+strings.ToLower(p.Serial)+".local/") {
		t.Error(label)
	}
	// Once is once.
	another, code2, err := NewProvision(p.Serial, "", today)
	if err != nil || code2 == code {
		t.Fatal(code2, err)
	}
	if err := another.Write(file, false); !errors.Is(err, ErrProvisioned) {
		t.Fatalf("written over: %v", err)
	}
	if again, err := ReadProvision(file); err != nil || !again.Matches(code) {
		t.Fatal(err)
	}
	if err := another.Write(file, true); err != nil {
		t.Fatal(err)
	}
	if again, err := ReadProvision(file); err != nil || again.Matches(code) || !again.Matches(code2) {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(file)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// However the code is typed, it is the code; one character off, it is not.
func TestClaimCode(t *testing.T) {
	b := newBed(t)
	plain := strings.ReplaceAll(b.code, "-", "")
	for _, typed := range []string{
		b.code, plain, strings.ToLower(b.code), " " + b.code + " ", strings.ReplaceAll(b.code, "-", " "),
		strings.NewReplacer("0", "O", "1", "l").Replace(b.code), strings.NewReplacer("0", "o", "1", "I").Replace(b.code),
	} {
		if !b.ClaimCode(typed) {
			t.Errorf("%q is not taken for %q", typed, b.code)
		}
	}
	for i := range plain {
		c := byte('7')
		if plain[i] == c {
			c = '8'
		}
		wrong := plain[:i] + string(c) + plain[i+1:]
		for _, w := range []string{wrong, plain[:i] + plain[i+1:], plain[:i] + "7" + plain[i:], plain[i+1:]} {
			if b.ClaimCode(w) {
				t.Fatalf("%q is taken for %q", w, plain)
			}
		}
	}
	for _, w := range []string{"", "-", b.Serial()} {
		if b.ClaimCode(w) {
			t.Errorf("%q is taken", w)
		}
	}
	// 80 bits: no code twice, and every character at every place.
	seen := map[string]bool{}
	var used [codeLength]map[byte]bool
	for range 2000 {
		c := randomText(codeLength)
		if seen[c] {
			t.Fatal("a code twice")
		}
		seen[c] = true
		for i := range used {
			if used[i] == nil {
				used[i] = map[byte]bool{}
			}
			used[i][c[i]] = true
		}
	}
	for i := range used {
		if len(used[i]) != 32 {
			t.Errorf("place %d has %d characters", i, len(used[i]))
		}
	}
}

// A box without a provision file works, and cannot be claimed.
func TestUnprovisioned(t *testing.T) {
	b := newBed(t)
	b.provision, b.cfg.Board = filepath.Join(t.TempDir(), "none"), "0000-1234:abcd\x00"
	b.open(t)
	if b.Provisioned() || b.Serial() != "00001234abcd" || b.ClaimCode("") || b.ClaimCode(b.code) || b.Problem() != nil {
		t.Errorf("%+v, %v", b.Status(), b.Problem())
	}
	b.cfg.Board = ""
	if b.open(t); b.Serial() != "unprovisioned" {
		t.Error(b.Serial())
	}
	// One that cannot be read is a problem, and no way in.
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte(`{"version":1,"serial":"Q26-0042","claim_sha256":"00"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.provision = bad
	if b.open(t); b.Provisioned() || b.Problem() == nil || !strings.Contains(b.Problem().Error(), "claim_sha256") {
		t.Error(b.Problem())
	}
}

func TestBadProvision(t *testing.T) {
	if _, err := ReadProvision(""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for serial, want := range map[string]string{"Q1": "has 2 characters", "-Q123": "is no serial", "Q12 3": "is no serial", strings.Repeat("Q", 25): "has 25"} {
		if _, _, err := NewProvision(serial, "", today); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", serial, err)
		}
	}
	if _, _, err := NewProvision("Q123", "a\nb", today); err == nil {
		t.Error("a product of two lines")
	}
	p, _, err := NewProvision("Q123", "", today)
	if err != nil {
		t.Fatal(err)
	}
	good, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for old, odd := range map[string]string{`"version":1`: `"version":2`, `"serial"`: `"seriel"`, `"made"`: `"more":1,"made"`, `}`: `} x`, `"Q123"`: `""`} {
		if _, err := parseProvision([]byte(strings.Replace(string(good), old, odd, 1))); err == nil {
			t.Errorf("%s was read", odd)
		}
	}
}

func FuzzParseProvision(f *testing.F) {
	p, _, err := NewProvision("Q123", "", today)
	if err != nil {
		f.Fatal(err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parseProvision(b); err == nil && p.check() != nil {
			t.Error("read, and not good")
		}
	})
}
