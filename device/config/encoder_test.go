package config

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func encoding(change func(*Box)) *Box {
	b := Default[Box]()
	b.Version, b.Name = SchemaVersion, "box"
	b.Input.Type, b.Input.URL = TypeTest, "test://bars"
	p := Default[Path]()
	p.Name, p.Profile, p.URL, p.Passphrase = "a", ProfileTS, "srt://192.0.2.1:9000", "correct-horse-battery"
	b.Paths = []Path{p}
	change(&b)
	return &b
}

// What is left out of the encoder is a whole one, and comes back as it was.
func TestEncoderDefaults(t *testing.T) {
	for _, change := range []func(*Box){
		func(*Box) {},
		func(b *Box) { b.Encoder.NoSound = true },
		func(b *Box) { b.Input.Type, b.Input.URL, b.Input.AudioDevice = TypeSDI, "sdi:///dev/video2", "hw:1" },
		func(b *Box) {
			b.Input.Type, b.Input.URL, b.Input.Transcode, b.Input.Service = TypeRTP, "rtp://:5000", true, 4
		},
	} {
		b, warnings, err := ParseBox(Encode(encoding(change)))
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		if b.Input.OnInputLoss != LossSlate || b.Encoder.NoSound != (len(b.Encoder.Audio) == 0) {
			t.Errorf("%+v", b)
		}
		again, _, err := ParseBox(Encode(b))
		if err != nil || !reflect.DeepEqual(b, again) {
			t.Errorf("%v\n%s\n%s", err, Encode(b), Encode(again))
		}
	}
}

func TestEncoderRules(t *testing.T) {
	audio := func(pids ...int) (list []EncoderAudio) {
		for _, p := range pids {
			a := Default[EncoderAudio]()
			a.PID = p
			list = append(list, a)
		}
		return list
	}
	for want, change := range map[string]func(*Box){
		"encoder: has no effect with input.type udp":    func(b *Box) { b.Input.Type, b.Input.URL, b.Encoder.GOPFrames = TypeUDP, "udp://:5000", 5 },
		"input.on_input_loss: is possible only":         func(b *Box) { b.Input.Type, b.Input.URL, b.Input.OnInputLoss = TypeUDP, "udp://:5000", LossSlate },
		"encoder.slate_image: is missing":               func(b *Box) { b.Encoder.Slate = SlateImage },
		"encoder.slate_image: has no effect":            func(b *Box) { b.Encoder.SlateImage = "/a.png" },
		"encoder.width: 321 is odd":                     func(b *Box) { b.Encoder.Width = 321 },
		"encoder.height: 1082 does not fit":             func(b *Box) { b.Encoder.Height, b.Encoder.Interlaced = 1082, true },
		"encoder.interlaced: is not possible":           func(b *Box) { b.Encoder.Codec, b.Encoder.Interlaced = CodecHEVC, true },
		"encoder.vbv_ms: 5 is too short":                func(b *Box) { b.Encoder.VBVMS = 5 },
		"encoder.bitrate_kbps: 30000 is more than":      func(b *Box) { b.Encoder.BitrateKbps = 30_000 },
		"encoder.bitrate_kbps: 320 leaves too":          func(b *Box) { b.Encoder.BitrateKbps = 320 },
		"encoder.audio[1].pid: 300 is also":             func(b *Box) { b.Encoder.Audio = audio(300, 300) },
		"encoder.service.video_pid: 256 is also":        func(b *Box) { b.Encoder.Service.VideoPID = 256 },
		"encoder.audio: has no effect with no_sound":    func(b *Box) { b.Encoder.Audio, b.Encoder.NoSound = audio(300), true },
		"encoder.follow_input: has no effect":           func(b *Box) { b.Encoder.FollowInput = true },
		"input.url: \"test://ball\" is not a":           func(b *Box) { b.Input.URL = "test://ball" },
		"input.audio_device: has no effect":             func(b *Box) { b.Input.AudioDevice = "hw:0" },
		"encoder.element: \"x264-enc\" is not":          func(b *Box) { b.Encoder.Element = "x264-enc" },
		"is not three small letters":                    func(b *Box) { b.Encoder.Audio = audio(300); b.Encoder.Audio[0].Language = "de" },
		"encoder.min_bitrate_kbps: 9000 is more":        func(b *Box) { b.Encoder.MinBitrateKbps = 9000 },
		"encoder.min_bitrate_kbps: 210 leaves too":      func(b *Box) { b.Encoder.MinBitrateKbps = 210 },
		"encoder.min_bitrate_kbps: has no effect":       func(b *Box) { b.Encoder.MinBitrateKbps, b.Encoder.Adaptive = 3000, false },
		"input.transcode: has no effect with type test": func(b *Box) { b.Input.Transcode = true },
		"input.service: has no effect with type test":   func(b *Box) { b.Input.Service = 3 },
		"input.jitter_ms: has no effect with transcode": func(b *Box) {
			b.Input.Type, b.Input.URL, b.Input.Transcode, b.Input.JitterMS = TypeUDP, "udp://:5000", true, 30
		},
		"encoder.follow_input: has no effect with input.type": func(b *Box) {
			b.Input.Type, b.Input.URL, b.Input.Transcode, b.Encoder.FollowInput = TypeUDP, "udp://:5000", true, true
		},
		"confidence.memory_limit_mib: has no effect":     func(b *Box) { b.Confidence.MemoryLimitMiB = 500 },
		"confidence.loudness_target_lufs: has no effect": func(b *Box) { b.Confidence.LoudnessTarget = -24 },
		"confidence.black_hold_ms: has no effect":        func(b *Box) { b.Confidence.Enabled, b.Confidence.BlackHoldMS = false, 1000 },
		"input.service: has no effect with confidence": func(b *Box) {
			b.Input.Type, b.Input.URL, b.Input.Service, b.Confidence.Enabled = TypeUDP, "udp://:5000", 3, false
		},
		"contains a control character": func(b *Box) { b.Encoder.Service.Name = "a\nb" },
	} {
		_, err := encoding(change).Validate()
		plain := ""
		if err != nil {
			plain = issuePosition.ReplaceAllString(err.Error(), ":")
		}
		if !strings.Contains(plain, want) {
			t.Errorf("want %q, got %q", want, plain)
		}
	}
}

// issuePosition is where an issue is, behind the field's path.
var issuePosition = regexp.MustCompile(` \(line \d+:\d+\):`)
