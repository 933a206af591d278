package fec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"
)

// vector is a block with repair packets that were computed elsewhere.
type vector struct {
	Name         string            `json:"name"`
	K            int               `json:"K"`
	N            int               `json:"n"`
	ISN          int               `json:"isn"`
	SSRC         uint32            `json:"source_ssrc"`
	E            int               `json:"E"`
	Coefficients map[string]string `json:"coefficients"`
	Source       []string          `json:"source"`
	Repair       []string          `json:"repair"`
}

// vectors reads those of testdata and of the document, and those that came with
// the design, where they are at hand.
func vectors(t *testing.T) []vector {
	t.Helper()
	var all []vector
	for i, name := range []string{"testdata/vectors.json", "../docs/vectors/wire.json", "../../shared/vectors/wire.json"} {
		b, err := os.ReadFile(name)
		if err != nil {
			if i < 2 {
				t.Fatal(err)
			}
			t.Logf("%s is not at hand: tested with our own vectors only", name)
			continue
		}
		var v []vector
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, v...)
	}
	return all
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectorCoefficients(t *testing.T) {
	for _, v := range vectors(t) {
		for esi, want := range v.Coefficients {
			e, err := strconv.Atoi(esi)
			if err != nil {
				t.Fatal(err)
			}
			if e < v.K {
				continue
			}
			rows, err := Coefficients(v.K, e-v.K+1)
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(rows[e-v.K]); got != want {
				t.Errorf("%s: ESI %d: coefficients %s, want %s", v.Name, e, got, want)
			}
		}
	}
}

// The rows of the encoder and the header's writer give the vectors' repair
// packets bit for bit.
func TestVectorEncode(t *testing.T) {
	for _, v := range vectors(t) {
		b := newCoding(Params{K: v.K, R: MaxSymbols - v.K, Streams: 1}, DefaultMaxPacket).blocks[0]
		adui := make([]byte, alignSymbol(aduHeader+DefaultMaxPacket))
		longest := 0
		for _, s := range v.Source {
			p := unhex(t, s)
			longest = max(longest, len(p))
			b.add(adui[:alignSymbol(putADUI(adui, p))])
		}
		for _, r := range v.Repair {
			want := unhex(t, r)
			h, symbol, err := ParseRepair(want)
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			if int(h.K) != v.K || int(h.N) != v.N || int(h.ISN) != v.ISN || h.SourceSSRC != v.SSRC || len(symbol) != v.E {
				t.Errorf("%s: header %+v, E = %d", v.Name, h, len(symbol))
			}
			got := b.packets[int(h.ESI)-v.K][:repairHeader+aduHeader+longest]
			h.Put(got)
			if !bytes.Equal(got, want) {
				t.Errorf("%s: ESI %d:\n got %x\nwant %x", v.Name, h.ESI, got, want)
			}
		}
	}
}

// The Encoder itself gives them too, where all rows of the vector are sent.
func TestVectorEncoder(t *testing.T) {
	tested := 0
	for _, v := range vectors(t) {
		rows := 0
		var first RepairHeader
		for i, r := range v.Repair {
			h, _, err := ParseRepair(unhex(t, r))
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = h
			}
			rows = max(rows, int(h.ESI)-v.K+1)
		}
		var got [][]byte
		e, err := NewEncoder(EncoderConfig{
			Params: Params{K: v.K, R: rows, Streams: 1}, SSRC: []uint32{first.SSRC}, Seq: []uint16{0},
			Emit: func(_ int, _ time.Duration, p []byte) { got = append(got, bytes.Clone(p)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range v.Source {
			if err := e.Add(time.Duration(i)*time.Millisecond, unhex(t, s)); err != nil {
				t.Fatal(err)
			}
		}
		e.Tick(time.Minute)
		e.Tick(2 * time.Minute)
		if want := (Params{K: v.K, R: rows}).RowsFor(v.N); len(got) != want {
			t.Fatalf("%s: %d repair packets, want %d", v.Name, len(got), want)
		}
		for _, r := range v.Repair {
			want := unhex(t, r)
			row := int(want[20]) - v.K
			if row >= len(got) {
				continue // a short block sends fewer rows
			}
			copy(want[2:4], got[row][2:4]) // its own sequence number
			if !bytes.Equal(got[row], want) {
				t.Errorf("%s: ESI %d:\n got %x\nwant %x", v.Name, want[20], got[row], want)
			}
			tested++
		}
	}
	if tested < 8 {
		t.Errorf("only %d repair packets compared", tested)
	}
}

// A decoder that has as many of the vector's repair packets as source packets
// are missing gives back all of them.
func TestVectorDecode(t *testing.T) {
	for _, v := range vectors(t) {
		for shift := range v.N {
			missing := map[int]bool{}
			for i := range min(len(v.Repair), v.N-1) {
				missing[(shift+i)%v.N] = true
			}
			var got [][]byte
			d, err := NewDecoder(DecoderConfig{Latency: time.Second, Deliver: func(x *Delivery) { got = append(got, bytes.Clone(x.Packet)) }})
			if err != nil {
				t.Fatal(err)
			}
			d.SetPath(0, 0, true)
			// The packet before the block starts the window.
			lead := unhex(t, v.Source[0])
			lead[2], lead[3] = byte((v.ISN-1)>>8), byte(v.ISN-1)
			d.Push(0, 0, lead)
			for i, s := range v.Source {
				if !missing[i] {
					d.Push(0, time.Duration(i)*time.Millisecond, unhex(t, s))
				}
			}
			for _, r := range v.Repair {
				d.Push(0, 50*time.Millisecond, unhex(t, r))
			}
			for now := time.Duration(0); now < 20*time.Second; now += time.Second {
				d.Tick(now)
			}
			want := [][]byte{lead}
			for _, s := range v.Source {
				want = append(want, unhex(t, s))
			}
			if len(got) != len(want) {
				t.Fatalf("%s: without %v: %d packets delivered, want %d", v.Name, missing, len(got), len(want))
			}
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("%s: without %v: packet %d:\n got %x\nwant %x", v.Name, missing, i, got[i], want[i])
				}
			}
		}
	}
}
