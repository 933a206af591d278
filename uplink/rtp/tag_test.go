package rtp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"quartet/capture/mpegts"
)

// vector is one entry of a wire-format vector file: a block of packets and
// their tags, in hex.
type vector struct {
	Name            string   `json:"name"`
	ContributionKey string   `json:"contribution_key"`
	TagKey          string   `json:"tag_key"`
	Source          []string `json:"source"`
	SourceTags      []string `json:"source_tags"`
	Repair          []string `json:"repair"`
	RepairTags      []string `json:"repair_tags"`
}

// vectors reads the committed vectors, the document's, and those beside the
// project, if any.
func vectors(tb testing.TB) []vector {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "tags*.json"))
	if err != nil || len(files) == 0 {
		tb.Fatalf("no vectors in testdata: %v", err)
	}
	more, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "vectors", "*.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	files = append(files, filepath.Join("..", "..", "docs", "vectors", "wire.json"))
	if len(more) == 0 {
		tb.Log("there are no vectors beside the project: tested with our own only")
	}
	for _, f := range append(files, more...) {
		b, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		var vs []vector
		if err := json.Unmarshal(b, &vs); err != nil {
			tb.Fatalf("%s: %v", f, err)
		}
		all = append(all, vs...)
	}
	return all
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func testKey(tb testing.TB, fill byte) TagKey {
	tb.Helper()
	k, err := DeriveTagKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func newVerifier(tb testing.TB, keys ...TagKey) *Verifier {
	tb.Helper()
	v, err := NewVerifier(keys...)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestVectors(t *testing.T) {
	checked := 0
	for _, v := range vectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			key, err := DeriveTagKey(unhex(t, v.ContributionKey))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(key[:]); got != v.TagKey {
				t.Fatalf("tag key %s, want %s", got, v.TagKey)
			}
			tagger, verifier := NewTagger(key), newVerifier(t, key)
			packets := append(append([]string{}, v.Source...), v.Repair...)
			tags := append(append([]string{}, v.SourceTags...), v.RepairTags...)
			if len(packets) != len(tags) {
				t.Fatalf("%d packets, %d tags", len(packets), len(tags))
			}
			for i, p := range packets {
				pkt := unhex(t, p)
				msg := tagger.AppendTag(pkt, pkt)
				if got := hex.EncodeToString(msg[len(pkt):]); got != tags[i] {
					t.Errorf("packet %d: tag %s, want %s", i, got, tags[i])
				}
				if got, ok := verifier.Check(msg); !ok || !bytes.Equal(got, pkt) {
					t.Errorf("packet %d: own tag refused", i)
				}
				checked++
			}
			for i, p := range v.Source {
				if _, _, err := ParseSource(unhex(t, p)); err != nil {
					t.Errorf("source packet %d: %v", i, err)
				}
			}
		})
	}
	if checked == 0 {
		t.Error("no packet checked")
	}
}

func TestVerifierKeyChange(t *testing.T) {
	oldKey, newKey := testKey(t, 1), testKey(t, 2)
	oldTagger, newTagger := NewTagger(oldKey), NewTagger(newKey)
	v := newVerifier(t, oldKey)
	pkt := []byte("a packet")
	check := func(tagger *Tagger, want bool, wantKey int) {
		t.Helper()
		_, ok := v.Check(tagger.AppendTag(bytes.Clone(pkt), pkt))
		if ok != want || ok && v.LastKey() != wantKey {
			t.Fatalf("accepted %v under key %d, want %v under %d", ok, v.LastKey(), want, wantKey)
		}
	}
	check(oldTagger, true, 0)
	check(newTagger, false, 0)
	if err := v.SetKeys(newKey, oldKey); err != nil {
		t.Fatal(err)
	}
	check(oldTagger, true, 1) // the sender has not changed yet
	check(newTagger, true, 0)
	check(oldTagger, true, 1) // a late packet
	check(newTagger, true, 0)
	if err := v.SetKeys(newKey); err != nil {
		t.Fatal(err)
	}
	check(oldTagger, false, 0)
	check(newTagger, true, 0)
	if got, want := v.Stats(), (VerifierStats{Good: 6, GoodOld: 2, Bad: 2}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	for _, n := range []int{0, 1, TagSize} {
		if _, ok := v.Check(make([]byte, n)); ok {
			t.Errorf("%d bytes accepted", n)
		}
	}
	if v.Stats().Short != 3 {
		t.Errorf("short %d, want 3", v.Stats().Short)
	}
}

func TestVerifierKeyCount(t *testing.T) {
	k := testKey(t, 1)
	for n := range 4 {
		keys := []TagKey{k, k, k}[:n]
		if _, err := NewVerifier(keys...); (err == nil) != (n == 1 || n == 2) {
			t.Errorf("%d keys: %v", n, err)
		}
	}
	// A refused change leaves the old keys in place.
	v := newVerifier(t, k)
	if v.SetKeys() == nil {
		t.Error("no keys accepted")
	}
	if _, ok := v.Check(NewTagger(k).AppendTag([]byte{1}, []byte{1})); !ok {
		t.Error("old key gone after a refused change")
	}
}

// Every bit of the message matters.
func TestVerifierEachBit(t *testing.T) {
	key := testKey(t, 3)
	pkt := bytes.Repeat([]byte{0x47}, 64)
	msg := NewTagger(key).AppendTag(pkt, pkt)
	v := newVerifier(t, key)
	for bit := range len(msg) * 8 {
		msg[bit/8] ^= 1 << (bit % 8)
		if _, ok := v.Check(msg); ok {
			t.Fatalf("bit %d flipped and accepted", bit)
		}
		msg[bit/8] ^= 1 << (bit % 8)
	}
	if _, ok := v.Check(msg); !ok {
		t.Error("unchanged message refused")
	}
}

func TestVerifierRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := [2]TagKey{}
		for i := range keys {
			copy(keys[i][:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		}
		v, err := NewVerifier(keys[:]...)
		if err != nil {
			t.Fatal(err)
		}
		taggers := []*Tagger{NewTagger(keys[0]), NewTagger(keys[1])}
		for range rapid.IntRange(1, 8).Draw(t, "messages") {
			pkt := rapid.SliceOfN(rapid.Byte(), 1, MaxMessage-TagSize).Draw(t, "pkt")
			which := rapid.IntRange(0, 1).Draw(t, "which")
			got, ok := v.Check(taggers[which].AppendTag(bytes.Clone(pkt), pkt))
			if !ok || !bytes.Equal(got, pkt) {
				t.Fatal("own tag refused")
			}
			if keys[0] != keys[1] && v.LastKey() != which {
				t.Fatalf("key %d, want %d", v.LastKey(), which)
			}
		}
	})
}

func TestTagKeyHides(t *testing.T) {
	key := testKey(t, 4)
	secret := hex.EncodeToString(key[:])
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", key, "ptr", &key)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", key, "in", struct{ K TagKey }{key})
	fmt.Fprintf(&out, "%v %x %X %s %q %d %#v %+v %v", key, key, key, key, key, key, key, []TagKey{key}, &key)
	for _, form := range []string{secret, strings.ToUpper(secret), fmt.Sprint(key[0], " ", key[1]), fmt.Sprintf("%d %d", key[0], key[1])} {
		if strings.Contains(out.String(), form) {
			t.Errorf("key shows as %s in %s", form, out.String())
		}
	}
	if !strings.Contains(out.String(), "TagKey(secret)") {
		t.Error("nothing in place of the key")
	}
}

func TestDeriveTagKeyShort(t *testing.T) {
	if _, err := DeriveTagKey(make([]byte, MinContributionKey-1)); err == nil {
		t.Error("short key accepted")
	}
	if _, err := DeriveTagKey(make([]byte, MinContributionKey)); err != nil {
		t.Error(err)
	}
}

func TestTagAllocs(t *testing.T) {
	msg := make([]byte, MaxSourcePacket, MaxMessage)
	oldKey, newKey := testKey(t, 1), testKey(t, 2)
	tagger, v := NewTagger(oldKey), newVerifier(t, newKey, oldKey)
	if n := testing.AllocsPerRun(1000, func() {
		m := tagger.AppendTag(msg, msg)
		if _, ok := v.Check(m); !ok {
			t.Fatal("refused")
		}
		m[0] ^= 1
		if _, ok := v.Check(m); ok {
			t.Fatal("accepted")
		}
		m[0] ^= 1
	}); n != 0 {
		t.Errorf("%v allocations per packet, want 0", n)
	}
}

func FuzzVerifier(f *testing.F) {
	key := testKey(f, 1)
	f.Add([]byte{})
	f.Add(make([]byte, TagSize))
	f.Add(NewTagger(key).AppendTag([]byte{0x80, 33}, []byte{0x80, 33}))
	v := newVerifier(f, key, testKey(f, 2))
	f.Fuzz(func(t *testing.T, msg []byte) {
		pkt, ok := v.Check(msg)
		if ok && !bytes.Equal(NewTagger(key).AppendTag(bytes.Clone(pkt), pkt), msg) &&
			!bytes.Equal(NewTagger(testKey(t, 2)).AppendTag(bytes.Clone(pkt), pkt), msg) {
			t.Fatal("accepted a tag that neither key makes")
		}
		if !ok && pkt != nil {
			t.Fatal("packet of a refused message handed out")
		}
	})
}

func BenchmarkTag(b *testing.B) {
	for _, size := range []int{MaxSourcePacket, HeaderSize + mpegts.PacketSize} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			msg := make([]byte, size, MaxMessage)
			tagger := NewTagger(testKey(b, 1))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				tagger.AppendTag(msg, msg)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	msg := make([]byte, MaxSourcePacket, MaxMessage)
	msg = NewTagger(testKey(b, 1)).AppendTag(msg, msg)
	v := newVerifier(b, testKey(b, 1), testKey(b, 2))
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := v.Check(msg); !ok {
			b.Fatal("refused")
		}
	}
}
