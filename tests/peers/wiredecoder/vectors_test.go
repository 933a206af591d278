package wiredecoder_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/tests/peers/wiredecoder"
)

// root of the repository, from this folder.
const root = "../../.."

// hexBytes is bytes written in hex in JSON.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(s []byte) (err error) {
	*h, err = hex.DecodeString(string(s))
	return err
}

type vector struct {
	Name            string
	K, N, E         int
	ContributionKey hexBytes `json:"contribution_key"`
	TagKey          hexBytes `json:"tag_key"`
	Coefficients    map[string]hexBytes
	Source          []hexBytes
	Repair          []hexBytes
	SourceTags      []hexBytes `json:"source_tags"`
	RepairTags      []hexBytes `json:"repair_tags"`
}

// Every set of vectors that there is: the document's, the encoder's own, and
// those that came with the design, where they are at hand.
func TestVectors(t *testing.T) {
	for _, name := range []string{"docs/vectors/wire.json", "fec/testdata/vectors.json", "../shared/vectors/wire.json"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "..") {
			t.Logf("%s is not here; the others stand for it", name)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var vectors []vector
		if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) == 0 {
			t.Fatalf("%s: %d vectors, %v", name, len(vectors), err)
		}
		for _, v := range vectors {
			t.Run(filepath.Base(filepath.Dir(name))+"/"+v.Name, func(t *testing.T) {
				v.coefficients(t)
				v.solve(t)
				if v.TagKey != nil {
					v.tags(t)
					v.receive(t)
				}
			})
		}
	}
}

func (v *vector) coefficients(t *testing.T) {
	for esi, want := range v.Coefficients {
		n, err := strconv.Atoi(esi)
		if err != nil {
			t.Fatal(err)
		}
		if got := wiredecoder.Coefficients(v.K, n); !bytes.Equal(got, want) {
			t.Errorf("K %d, ESI %d: %x, want %x", v.K, n, got, []byte(want))
		}
	}
}

// symbol is a source packet as the code sees it.
func symbol(pkt []byte) []byte {
	return append([]byte{0, byte(len(pkt) >> 8), byte(len(pkt))}, pkt...)
}

// solve takes away every set of source packets that the repair packets can
// replace.
func (v *vector) solve(t *testing.T) {
	rows := map[int][]byte{}
	for _, r := range v.Repair {
		rows[int(r[20])] = r[22:]
	}
	sets := 0
	for gone := range subsets(v.N, len(rows)) {
		var source [][]byte
		for i, pkt := range v.Source {
			if slices.Contains(gone, i) {
				source = append(source, nil)
			} else {
				source = append(source, symbol(pkt))
			}
		}
		found := wiredecoder.Solve(v.K, source, rows)
		if !slices.Equal(slices.Sorted(maps.Keys(found)), gone) {
			t.Fatalf("%v are gone and %d were found", gone, len(found))
		}
		for _, i := range gone {
			want := append(symbol(v.Source[i]), make([]byte, v.E-3-len(v.Source[i]))...)
			if !bytes.Equal(found[i], want) {
				t.Fatalf("%v are gone, packet %d became\n%x, want\n%x", gone, i, found[i], want)
			}
		}
		sets++
	}
	if sets == 0 {
		t.Error("nothing was tried")
	}
}

// subsets of 0 … n−1 with 1 to most elements, each in ascending order.
func subsets(n, most int) func(func([]int) bool) {
	return func(yield func([]int) bool) {
		var grow func(set []int, from int) bool
		grow = func(set []int, from int) bool {
			for i := from; i < n && len(set) < most; i++ {
				if s := append(slices.Clone(set), i); !yield(s) || !grow(s, i+1) {
					return false
				}
			}
			return true
		}
		grow(nil, 0)
	}
}

func (v *vector) tags(t *testing.T) {
	if got := wiredecoder.TagKey(v.ContributionKey); !bytes.Equal(got, v.TagKey) {
		t.Fatalf("tag key %x, want %x", got, []byte(v.TagKey))
	}
	for _, m := range v.messages() {
		if pkt, ok := wiredecoder.Check(v.TagKey, m); !ok || len(pkt) != len(m)-8 {
			t.Errorf("the tag of %x… is refused", m[:12])
		}
		m[len(m)-9] ^= 1
		if _, ok := wiredecoder.Check(v.TagKey, m); ok {
			t.Errorf("%x… was altered and its tag accepted", m[:12])
		}
	}
}

func (v *vector) messages() (m [][]byte) {
	for i, pkt := range v.Source {
		m = append(m, slices.Concat(pkt, v.SourceTags[i]))
	}
	for i, pkt := range v.Repair {
		m = append(m, slices.Concat(pkt, v.RepairTags[i]))
	}
	return m
}

// receive lets the Receiver have the block without as many packets, at the
// beginning and at the end, as can be repaired.
func (v *vector) receive(t *testing.T) {
	var whole []byte
	for _, pkt := range v.Source {
		whole = append(whole, pkt[12:]...)
	}
	lose := min(len(v.Repair), v.N)
	for _, from := range []int{0, v.N - lose} {
		var got []byte
		r := wiredecoder.New(v.ContributionKey, time.Second, func(ts []byte) { got = append(got, ts...) })
		for i, m := range v.messages() {
			if i < from || i >= from+lose {
				r.Push(0, 0, m)
			}
		}
		r.Flush()
		// The packets are noise behind a sync byte each, so the Receiver, which
		// looks at the first byte of TS packets only, takes them.
		if !bytes.Equal(got, whole) || r.Recovered != uint64(lose) || r.Malformed+r.BadTag+r.Disagreeing != 0 {
			t.Errorf("without packets %d to %d: %d of %d bytes, %+v", from, from+lose-1, len(got), len(whole), r.Stats)
		}
	}
}

var fence = regexp.MustCompile("(?ms)^```hex ([a-z0-9-]+)\n(.*?)^```$")

// The worked examples of the document itself.
func TestDocumentExamples(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/wire-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	example := map[string][]byte{}
	for _, m := range fence.FindAllSubmatch(doc, -1) {
		b, err := hex.DecodeString(string(bytes.Join(bytes.Fields(m[2]), nil)))
		if err != nil {
			t.Fatalf("%s: %v", m[1], err)
		}
		example[string(m[1])] = b
	}
	if got := wiredecoder.TagKey(example["contribution-key"]); !bytes.Equal(got, example["tag-key"]) {
		t.Errorf("tag key %x, want %x", got, example["tag-key"])
	}
	first := example["source-message"]
	message := func(i int) []byte { // source packet i of the example's block
		pkt := slices.Clone(first[:len(first)-8])
		seq, timestamp := uint16(65534+i), 90000+947*i
		pkt[2], pkt[3] = byte(seq>>8), byte(seq)
		pkt[4], pkt[5], pkt[6], pkt[7] = byte(timestamp>>24), byte(timestamp>>16), byte(timestamp>>8), byte(timestamp)
		return append(pkt, wiredecoder.Tag(example["tag-key"], pkt)...)
	}
	if !bytes.Equal(message(0), first) {
		t.Errorf("the first source message\n%x, want\n%x", message(0), first)
	}
	null := first[12:200]
	for _, tc := range []struct {
		name string
		push [][]byte
		want int
	}{
		{"two lost of four", [][]byte{message(0), message(2), example["repair-message-4"], example["repair-message-5"]}, 4},
		{"one lost of a short block", [][]byte{message(1), example["repair-message-short"]}, 2},
	} {
		n := 0
		r := wiredecoder.New(example["contribution-key"], time.Second, func(ts []byte) {
			n++
			if !bytes.Equal(ts, null) {
				t.Errorf("%s: packet %d is %x", tc.name, n, ts)
			}
		})
		for _, m := range tc.push {
			r.Push(0, 0, m)
		}
		r.Flush()
		if n != tc.want || r.Lost != 0 || r.BadTag+r.Malformed != 0 {
			t.Errorf("%s: %d packets, want %d; %+v", tc.name, n, tc.want, r.Stats)
		}
	}
}

// The second receiver proves something only as long as it shares no code with
// the first: it may import the standard library and nothing else.
func TestSharesNoCode(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if strings.HasPrefix(path, "quartet") || strings.Contains(path, ".") {
				t.Errorf("%s imports %s", name, path)
			}
		}
	}
}
