package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quartet/capture/confidence"
	"quartet/capture/engine"
	"quartet/capture/mpegts"
	"quartet/capture/program"
)

func testWatch() *engine.Watch {
	return &engine.Watch{
		Picture: confidence.PictureConfig{BlackLevel: 0.1, BlackArea: 0.98, BlackHold: time.Second, FreezeNoise: 0.01, FreezeHold: time.Second, BarsHold: time.Second},
		Sound:   confidence.SoundConfig{SilenceDB: -60, SilenceHold: time.Second, ClipSamples: 3},
	}
}

// Every codec that we say can be decoded makes a pipeline that GStreamer takes,
// for looking and for transcoding.
func TestDecodingPipelines(t *testing.T) {
	found, soft := findDecoders(exists, false), findDecoders(exists, true)
	for _, d := range pictureDecoders {
		if !software(soft[d.codec]) {
			t.Errorf("%s: %q decodes key frames: install %s", d.codec, soft[d.codec], d.from)
		}
	}
	for _, p := range pictureDecoders {
		for n := range 4 {
			choice := program.Choice{Service: 5, Video: &mpegts.Component{PID: 300, Codec: p.codec}}
			for i := range n {
				codec := soundDecoders[(n+i)%len(soundDecoders)].codec
				if found[codec] == "" {
					t.Errorf("%s: no decoder", codec)
				}
				choice.Audio = append(choice.Audio, mpegts.Component{PID: mpegts.PID(301 + i), Codec: codec})
			}
			for pairs := range 3 {
				c := config(func(c *engine.Config) {
					c.Audio, c.Input.Kind = nil, engine.InputTS
					for i := range pairs {
						c.Audio = append(c.Audio, engine.Audio{Codec: engine.CodecAAC, BitrateKbps: 96, Pair: i + 1, PID: mpegts.PID(258 + i)})
					}
				})
				text := transcodeText(c, &choice, found)
				p, err := parse(text)
				if err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				p.close()
			}
			text := watchText(&choice, soft)
			p, err := parse(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			p.close()
		}
	}
}

// An encode pipeline that is watched is one more branch of its tees.
func TestWatchedPipelines(t *testing.T) {
	for pairs := range 3 {
		c := config(func(c *engine.Config) {
			c.Watch, c.Audio = testWatch(), nil
			for i := range pairs {
				c.Audio = append(c.Audio, engine.Audio{Codec: engine.CodecAAC, BitrateKbps: 96, Pair: i + 1, PID: mpegts.PID(258 + i)})
			}
		})
		x, err := choose(c, exists)
		if err != nil {
			t.Fatal(err)
		}
		text := encodeText(c, x)
		p, err := parse(text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		p.close()
		if !strings.Contains(text, "name=eye") || strings.Contains(text, "name=ear0") != (pairs > 0) {
			t.Error(text)
		}
	}
}

// Pictures and sound come out of a pipeline with the time that they have, and
// are judged: bars for two seconds, then black for three; a tone at -23 LUFS.
func TestSenses(t *testing.T) {
	w := testWatch()
	w.Picture.BlackHold, w.Picture.BarsHold = 2*time.Second, 1500*time.Millisecond
	s, err := newSenses(*w)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.hears(1, 2); err != nil {
		t.Fatal(err)
	}
	size := "video/x-raw,format=I420,width=640,height=360,framerate=25/1"
	p, err := parse(fmt.Sprintf("concat name=all ! tee name=raw videotestsrc num-buffers=50 pattern=smpte ! %s ! all. videotestsrc num-buffers=76 pattern=black ! %s ! all. "+
		"raw. ! %s audiotestsrc num-buffers=500 samplesperbuffer=480 freq=1000 volume=0.0708 ! audio/x-raw,format=S16LE,rate=48000,channels=2 ! tee name=sound sound. ! %s", size, size,
		strings.Replace(eyeText(eyeLimit), "leaky=downstream", "leaky=no", 1), strings.Replace(earText(0), "leaky=downstream", "leaky=no", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"eye", "ear0"} { // all of it, however slow we are
		if err := p.set(name, "drop", "false"); err != nil {
			t.Fatal(err)
		}
	}
	p.play()
	if err := s.watch(p); err != nil {
		t.Fatal(err)
	}
	s.readers.Wait() // until the streams end
	p.close()
	r := s.report()
	if b := r.Picture.Bars; b.Active || b.Count != 1 || b.StartS != 0 || b.LengthS != 2 {
		t.Errorf("bars %+v", b)
	}
	if b := r.Picture.Black; !b.Active || b.StartS != 2 || b.LengthS < 2.8 || b.LengthS > 3.05 {
		t.Errorf("black %+v", b)
	}
	if k := r.Sound.Pairs[0]; k.Integrated < -23.1 || k.Integrated > -22.9 || k.MeasuredS != 5 {
		t.Errorf("sound %+v", k)
	}
}
