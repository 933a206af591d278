package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quartet/device/control"
)

// Thumbnail of the made-up box.
func (b *box) Thumbnail() (control.Thumbnail, error) {
	if b.blind {
		return control.Thumbnail{}, control.ErrNoThumbnail
	}
	return control.Thumbnail{JPEG: []byte("a picture"), Time: epoch}, nil
}

func TestThumbnail(t *testing.T) {
	socket, b, _ := serve(t)
	file := filepath.Join(t.TempDir(), "a.jpg")
	r := call(t, &env{}, "thumbnail", "--socket", socket, file)
	if got, err := os.ReadFile(file); err != nil || string(got) != "a picture" || r.code != 0 || !strings.Contains(r.out, "9 bytes") {
		t.Errorf("%q %v %+v", got, err, r)
	}
	if r := call(t, &env{}, "thumbnail", "--socket", socket, "-"); r.out != "a picture" {
		t.Errorf("%+v", r)
	}
	if r := call(t, &env{}, "thumbnail", "--socket", socket); r.code != 2 {
		t.Errorf("%+v", r)
	}
	if r := call(t, &env{}, "thumbnail", "--socket", socket, filepath.Join(file, "below")); r.code != 1 || r.err == "" {
		t.Errorf("%+v", r)
	}
	b.blind = true
	if r := call(t, &env{}, "thumbnail", "--socket", socket, "-"); r.code != 1 || !strings.Contains(r.err, "no picture") {
		t.Errorf("%+v", r)
	}
}

// What a weak path is spared is said in its row, and a lowered rate at the input.
func TestAdaptedLines(t *testing.T) {
	sc := screen{width: 200}
	s := control.Status{Input: control.Input{State: control.InputOK, Engine: &control.Engine{RateBPS: 3_000_000, HighestBPS: 8_000_000}}, Paths: []control.Path{
		{Name: "a", State: control.PathUp, Shed: true, ParityShed: true}, {Name: "b", State: control.PathUp, ParityShed: true}}}
	got := table(s, sc)
	for _, want := range []string{"encoded with 3.0 Mbit/s of 8.0 Mbit/s", "given nothing", "without parity"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}

// Picture and sound are told in a line each; what is wrong is said with how long.
func TestConfidenceLines(t *testing.T) {
	sc := screen{width: 200}
	c := control.Confidence{Watched: true, Picture: &control.Picture{LumaPercent: 41}}
	if got := pictureLine(&c, sc); got != "brightness 41 %, moving" {
		t.Errorf("%q", got)
	}
	c.Picture.Freeze = control.Seen{Active: true, LengthS: 75}
	if got := pictureLine(&c, sc); !strings.Contains(got, "still for "+span(75*time.Second)) || strings.Contains(got, "moving") {
		t.Errorf("%q", got)
	}
	if got := pictureLine(&control.Confidence{Reason: "scrambled\x1b[31m"}, sc); !strings.HasPrefix(got, "not watched: scrambled") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	p := control.SoundPair{Momentary: -22.94, ShortTerm: -120, Integrated: -23.04, Range: 5.2, MeasuredS: 60, Channels: []control.SoundChannel{
		{Highest: -3.2, Clips: 4}, {Highest: -120, Silence: control.Seen{Active: true, LengthS: 12}}}}
	got := soundLine(1, &p, sc)
	for _, want := range []string{"pair 2: M -22.9, S -, I -23.0 LUFS", "-3.2 / - dBTP", "clipped 4 times", "channel 4 silent for 12 s"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}
