package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"quartet/capture/engine"
)

func TestMain(m *testing.M) {
	if err := initGStreamer(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func config(change func(*engine.Config)) *engine.Config {
	c := &engine.Config{
		Input: engine.Input{Kind: engine.InputTest},
		Video: engine.Video{Codec: engine.CodecH264, Profile: engine.ProfileLowLatency, Width: 320, Height: 180, RateNum: 25, RateDen: 1, Chroma: "4:2:0", BitDepth: 8},
		Audio: []engine.Audio{{Codec: engine.CodecAAC, BitrateKbps: 96, Pair: 1, PID: 258, Language: "deu"}},
		Mux:   engine.Mux{RateBPS: 2_000_000, PMTPID: 256, VideoPID: 257, ServiceID: 5},
		Slate: engine.Picture{Kind: engine.SlateBars},
	}
	change(c)
	c.Fill()
	return c
}

// Every form of configuration is a pipeline that GStreamer can make, and a slate
// that our own reader takes.
func TestPipelines(t *testing.T) {
	png := t.TempDir() + "/it's a \"slate\".png"
	if p, err := parse("videotestsrc num-buffers=1 ! video/x-raw,width=64,height=64 ! pngenc ! filesink location=" + quote(png)); err != nil {
		t.Fatal(err)
	} else {
		p.play()
		p.next(slateWithin)
		p.close()
	}
	for name, change := range map[string]func(*engine.Config){
		"plain":      func(*engine.Config) {},
		"no-sound":   func(c *engine.Config) { c.Audio = nil },
		"quality":    func(c *engine.Config) { c.Video.Profile = engine.ProfileQuality },
		"interlaced": func(c *engine.Config) { c.Video.Interlaced, c.Video.Height = true, 184 },
		"10-bit":     func(c *engine.Config) { c.Video.BitDepth, c.Video.Chroma = 10, "4:2:2" },
		"8-bit-422":  func(c *engine.Config) { c.Video.Chroma = "4:2:2" },
		"4:2:0-10":   func(c *engine.Config) { c.Video.BitDepth = 10 },
		"hevc":       func(c *engine.Config) { c.Video.Codec = engine.CodecHEVC },
		"sd":         func(c *engine.Config) { c.Video.Width, c.Video.Height, c.Video.SDAspect = 720, 576, "4:3" },
		"ntsc":       func(c *engine.Config) { c.Video.RateNum, c.Video.RateDen = 30000, 1001 },
		"black":      func(c *engine.Config) { c.Slate.Kind = engine.SlateBlack },
		"png":        func(c *engine.Config) { c.Slate = engine.Picture{Kind: engine.SlateImage, Image: png} },
		"sdi": func(c *engine.Config) {
			c.Input = engine.Input{Kind: engine.InputV4L2, Device: "/dev/video0", AudioDevice: "hw:0"}
		},
		"pairs": func(c *engine.Config) {
			c.Audio = append(c.Audio, engine.Audio{Codec: engine.CodecMP2, BitrateKbps: 192, Pair: 2, PID: 259},
				engine.Audio{Codec: engine.CodecAC3, BitrateKbps: 192, Pair: 1, PID: 260})
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(change)
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			x, err := choose(c, exists)
			if err != nil {
				t.Fatal(err)
			}
			texts := map[string]string{"encode": encodeText(c, x)}
			for _, in := range []engine.Format{{}, {Width: 1920, Height: 1080, RateNum: 25, RateDen: 1, Interlaced: true}, {Width: 1280, Height: 720, RateNum: 60000, RateDen: 1001},
				{Width: 320, Height: 184, RateNum: 25, RateDen: 1, Interlaced: true}} {
				texts[fmt.Sprint("capture of ", in)], _ = captureText(c, in)
			}
			if s := soundText(c); s != "" {
				texts["sound"] = s
			}
			for what, text := range texts {
				p, err := parse(text)
				if err != nil {
					t.Fatalf("%s: %v\n%s", what, err, text)
				}
				p.close()
			}
			file := t.TempDir() + "/slate.ts"
			if err := makeSlate(c, x, file); err != nil {
				t.Fatalf("%v\n%s", err, slateText(c, x, file))
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := engine.ParseSlate(b, c); err != nil {
				t.Error(err)
			}
		})
	}
}

// Hardware comes first where it can do what is asked; what is missing is named,
// with where it comes from.
func TestChoice(t *testing.T) {
	plain, fine := config(func(*engine.Config) {}), config(func(c *engine.Config) { c.Video.BitDepth = 10 })
	hevc := config(func(c *engine.Config) { c.Video.Codec = engine.CodecHEVC })
	named := config(func(c *engine.Config) { c.Video.Encoder = "x264enc" })
	for _, c := range []struct {
		config *engine.Config
		has    string
		want   string
	}{
		{plain, "x264enc", "x264enc"},
		{plain, "x264enc mpph264enc", "mpph264enc"},
		{plain, "x264enc mpph264enc v4l2h264enc", "v4l2h264enc"},
		{fine, "x264enc v4l2h264enc", "x264enc"},
		{named, "x264enc v4l2h264enc", "x264enc"},
		{hevc, "x264enc x265enc", "x265enc"},
		{plain, "openh264enc x264enc", "x264enc"},
		{plain, "openh264enc", "openh264enc"},
	} {
		e, err := chooseVideo(&c.config.Video, func(name string) bool { return strings.Contains(" "+c.has+" ", " "+name+" ") })
		if err != nil || e.element != c.want {
			t.Errorf("of %s: %s, %v; want %s", c.has, e.element, err, c.want)
		}
	}
	_, err := choose(plain, func(name string) bool { return name != "avenc_aac" && name != "voaacenc" && name != "fdkaacenc" })
	if !errors.As(err, &missing{}) || !strings.Contains(err.Error(), "avenc_aac is missing: install gstreamer1.0-libav") {
		t.Error(err)
	}
	_, err = choose(hevc, func(name string) bool {
		return name != "x265enc" && !strings.Contains(name, "265") && !strings.Contains(name, "hevc")
	})
	if !errors.As(err, &missing{}) || !strings.Contains(err.Error(), "x265enc is missing: install gstreamer1.0-plugins-bad") {
		t.Error(err)
	}
	named.Video.Encoder = "nonsense"
	if _, err := chooseVideo(&named.Video, exists); err == nil || !strings.Contains(err.Error(), `"nonsense" does not encode h264`) {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	text, err := json.Marshal(config(func(*engine.Config) {}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		stdin  string
		status int
		says   string
	}{
		{[]string{"--check"}, string(text), 0, ""},
		{[]string{"--nonsense"}, "", engine.ExitUsage, "nonsense"},
		{nil, "{", engine.ExitUsage, "configuration"},
		{[]string{"--check"}, strings.Replace(string(text), `"codec":"h264"`, `"codec":"av1"`, 1), engine.ExitUsage, "video.codec"},
	} {
		var said bytes.Buffer
		if got := run(c.args, strings.NewReader(c.stdin), &said); got != c.status || !strings.Contains(said.String(), c.says) {
			t.Errorf("%v: status %d, want %d; %s", c.args, got, c.status, said.String())
		}
	}
}

func TestPlain(t *testing.T) {
	text := "Cannot identify device '/dev/video-none'.: ../sys/v4l2/v4l2_calls.c(608): gst_v4l2_open (): /GstPipeline:pipeline1/GstV4l2Src:v4l2src0:\nsystem error: No such file or directory"
	if got := plain(text); got != "Cannot identify device '/dev/video-none'. system error: No such file or directory" {
		t.Error(got)
	}
}

func TestLevels(t *testing.T) {
	peak, rms, ok := levels(`level, endtime=(guint64)1, rms=(GValueArray)< -23.01, -inf >, peak=(GValueArray)< -20, -700.5 >, decay=(GValueArray)< -20, -20 >;`)
	if !ok || len(peak) != 2 || peak[1] != -120 || rms[0] != -23.01 || rms[1] != -120 {
		t.Error(peak, rms, ok)
	}
	if _, _, ok := levels("GstBinForwarded"); ok {
		t.Error("not a level")
	}
}
