package board

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestIdentity(t *testing.T) {
	want := Identity{Model: "imx8mp-evk", Serial: "QT-0001", Revision: "B", MACs: []string{"02:00:00:00:00:01"}, Made: "2026-11-26"}
	b, err := AppendIdentity(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseIdentity(append(b, bytes.Repeat([]byte{0xff}, 100)...))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if _, err := ParseIdentity(bad); err == nil {
			t.Errorf("a flipped bit in byte %d was not noticed", i)
		}
		if _, err := ParseIdentity(b[:i]); err == nil {
			t.Errorf("cut off after %d bytes was not noticed", i)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 256), bytes.Repeat([]byte{0xff}, 256)} {
		if _, err := ParseIdentity(b); !errors.Is(err, ErrBlank) {
			t.Errorf("%d bytes: %v, want ErrBlank", len(b), err)
		}
	}
	if _, err := AppendIdentity(nil, Identity{Serial: strings.Repeat("x", 2000)}); err == nil {
		t.Error("an identity that is too long was written")
	}
}

func FuzzParseIdentity(f *testing.F) {
	b, _ := AppendIdentity(nil, Identity{Serial: "1"})
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := ParseIdentity(b)
		if err != nil {
			return
		}
		if _, err := AppendIdentity(nil, id); err != nil && len(b) < 900 {
			t.Error(err)
		}
	})
}
