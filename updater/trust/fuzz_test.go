package trust_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"quartet/device/durable/powercut"
	"quartet/updater/trust"
)

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"1.2.3", "0.0.0-rc.1", "1.2", "1.2.3-", "01.2.3", "4294967295.0.0", "1.2.3-0a.-", "9.9.9-01", strings.Repeat("1", 80)} {
		f.Add(s, "1.2.3")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := trust.ParseVersion(a)
		if err != nil {
			return
		}
		if v.String() != a || v.Compare(v) != 0 {
			t.Errorf("%q is %q, compared with itself %d", a, v, v.Compare(v))
		}
		w, err := trust.ParseVersion(b)
		if err != nil {
			return
		}
		if v.Compare(w) != -w.Compare(v) {
			t.Errorf("%q and %q: %d and %d", a, b, v.Compare(w), w.Compare(v))
		}
		if v.Compare(w) == 0 && a != b {
			t.Errorf("%q and %q compare equal", a, b)
		}
	})
}

func FuzzParseCustom(f *testing.F) {
	f.Add([]byte(`{"schema":1,"version":"1.2.3","boards":["generic"],"published":"2026-01-02T03:04:05Z","rings":{"all":{"serials":["*","5%"],"from":"2026-01-02T03:04:05Z"}}}`))
	f.Add([]byte(`{"schema":2}`))
	f.Add([]byte(`{"schema":1,"Version":"1.2.3"}`))
	f.Add([]byte(`{"schema":1,"version":"1.2.3","boards":["a"],"published":"2026-01-02T03:04:05Z","downgrade":{"from":["1.2.4"],"reason":"x"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := trust.ParseCustom(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trust.ParseCustom(again); err != nil {
			t.Errorf("%s is taken, and %s is not: %v", b, again, err)
		}
	})
}

// signed puts a signature of the role's key on anything that go-tuf reads as
// metadata; what it does not read stays as it is.
func signed[T metadata.Roles](f testing.TB, h *home, role string, part []byte) (out []byte) {
	raw := append(append([]byte(`{"signed":`), part...), `,"signatures":[]}`...)
	defer func() {
		if recover() != nil { // go-tuf falls over it; the client must not
			out = raw
		}
	}()
	m, err := (&metadata.Metadata[T]{}).FromBytes(raw)
	if err != nil {
		return raw
	}
	names, err := filepath.Glob(filepath.Join(h.dir, "keys", role+"-*.pem"))
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		block, _ := pem.Decode(b)
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			f.Fatal(err)
		}
		s, err := signature.LoadSigner(key, crypto.Hash(0))
		if err != nil {
			f.Fatal(err)
		}
		if _, err := m.Sign(s); err != nil {
			return raw
		}
	}
	b, err := m.ToBytes(false)
	if err != nil {
		return raw
	}
	return b
}

// meta is how a file is named in the one above it.
func meta(b []byte, version int) string {
	return fmt.Sprintf(`{"hashes":{"sha256":"%x"},"length":%d,"version":%d}`, sha256.Sum256(b), len(b), version)
}

// Metadata of any shape, also with good signatures: refused or read, never a
// panic, and bounded.
func FuzzMetadata(f *testing.F) {
	h := newHome(f)
	h.add("1.1.0", trust.Custom{})
	for _, name := range []string{"1.root.json", "timestamp.json", "3.snapshot.json", "3.targets.json"} {
		b, err := os.ReadFile(filepath.Join(h.Public(), "metadata", name))
		if err != nil {
			f.Fatal(err)
		}
		var m struct{ Signed json.RawMessage }
		if err := json.Unmarshal(b, &m); err != nil {
			f.Fatal(err)
		}
		for level := range uint8(4) {
			f.Add(level, []byte(m.Signed))
			f.Add(level, bytes.ReplaceAll(m.Signed, []byte(`"version":1`), []byte(`"version":2`)))
		}
	}
	const at = `"expires":"2999-01-01T00:00:00Z","spec_version":"1.0.31","version":9`
	for level, s := range []string{
		`{"_type":"root",` + at + `,"consistent_snapshot":true,"keys":{"a":null},"roles":{"root":null}}`,
		`{"_type":"timestamp",` + at + `,"meta":{}}`,
		`{"_type":"snapshot",` + at + `,"meta":{"targets.json":null}}`,
		`{"_type":"targets",` + at + `,"targets":{"a":null}}`,
	} {
		f.Add(uint8(level), []byte(s))
	}
	anchor := h.root(1)
	f.Fuzz(func(t *testing.T, level uint8, part []byte) {
		files := map[string][]byte{}
		switch level % 4 {
		case 0:
			files["metadata/2.root.json"] = signed[metadata.RootType](t, h, "root", part)
		case 1:
			files["metadata/timestamp.json"] = signed[metadata.TimestampType](t, h, "timestamp", part)
		case 2, 3:
			var snapshot []byte
			if level%4 == 2 {
				snapshot = signed[metadata.SnapshotType](t, h, "snapshot", part)
			} else {
				targets := signed[metadata.TargetsType](t, h, "targets", part)
				files["metadata/9.targets.json"] = targets
				snapshot = signed[metadata.SnapshotType](t, h, "snapshot", []byte(`{"_type":"snapshot",`+at+`,"meta":{"targets.json":`+meta(targets, 9)+`}}`))
			}
			files["metadata/9.snapshot.json"] = snapshot
			files["metadata/timestamp.json"] = signed[metadata.TimestampType](t, h, "timestamp", []byte(`{"_type":"timestamp",`+at+`,"meta":{"snapshot.json":`+meta(snapshot, 9)+`}}`))
		}
		c, err := trust.NewClient(powercut.New(), anchor)
		if err != nil {
			t.Fatal(err)
		}
		repo, err := c.Refresh(context.Background(), overlay{h.source(), files}, h.now)
		if err != nil {
			if trust.CodeOf(err) == "" {
				t.Errorf("no refusal: %v", err)
			}
			return
		}
		repo.Choose(trust.Box{Serial: "a", Board: "generic", Version: version(t, "1.0.0")}, h.now, nil)
	})
}

func FuzzReadArchive(f *testing.F) {
	h := newHome(f)
	rel := h.add("1.1.0", trust.Custom{})
	var b bytes.Buffer
	if _, err := h.Pack(rel.Name, &b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("quartet-update 1 "))
	f.Add([]byte(strings.Repeat("quartet-update 1 \n", 5)))
	anchor := h.root(1)
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := trust.ReadArchive(bytes.NewReader(in))
		if err != nil {
			return
		}
		c, err := trust.NewClient(powercut.New(), anchor)
		if err != nil {
			t.Fatal(err)
		}
		repo, err := c.Refresh(context.Background(), a, h.now)
		if err != nil {
			return
		}
		if r, err := a.Find(repo); err == nil && r.SHA256 != rel.SHA256 {
			t.Errorf("the bundle %s is nobody's", r.SHA256)
		}
	})
}
