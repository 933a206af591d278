package main

import (
	"fmt"
	"strings"

	"quartet/capture/engine"
)

// encoder is one GStreamer element that encodes pictures or sound.
type encoder struct {
	element string
	codec   string
	from    string // Debian package or vendor's, for the error
	hard    bool   // hardware, or as plain: 8 bit 4:2:0 progressive without B frames only, as far as we use it
	// setting is the element's properties; kbps the rate of what it makes.
	setting func(v *engine.Video, kbps int) string
	// rate is the property that changes the rate while it runs.
	rate func(kbps int) (property, value string)
}

func kilobits(property string) func(int) (string, string) {
	return func(kbps int) (string, string) { return property, fmt.Sprint(kbps) }
}

func bits(property string) func(int) (string, string) {
	return func(kbps int) (string, string) { return property, fmt.Sprint(kbps * 1000) }
}

// videoEncoders in the order in which they are preferred: hardware first. The
// hardware's settings are written after the elements' documentation; no box
// with that hardware has run them yet.
var videoEncoders = []encoder{
	{"v4l2h264enc", engine.CodecH264, "gstreamer1.0-plugins-good and a kernel driver", true, v4l2Setting, v4l2Rate},
	{"v4l2h265enc", engine.CodecHEVC, "gstreamer1.0-plugins-good and a kernel driver", true, v4l2Setting, v4l2Rate},
	{"vpuenc_h264", engine.CodecH264, "imx-gst1.0-plugin (NXP)", true, vpuSetting, kilobits("bitrate")},
	{"vpuenc_hevc", engine.CodecHEVC, "imx-gst1.0-plugin (NXP)", true, vpuSetting, kilobits("bitrate")},
	{"mpph264enc", engine.CodecH264, "gstreamer-rockchip", true, mppSetting, bits("bps")},
	{"mpph265enc", engine.CodecHEVC, "gstreamer-rockchip", true, mppSetting, bits("bps")},
	{"x265enc", engine.CodecHEVC, "gstreamer1.0-plugins-bad", false, x265Setting, kilobits("bitrate")},
	{"x264enc", engine.CodecH264, "gstreamer1.0-plugins-ugly", false, x264Setting, kilobits("bitrate")},
	// Under the BSD licence: what an image without the GPL's encoders encodes with.
	{"openh264enc", engine.CodecH264, "gstreamer1.0-plugins-bad", true, openSetting, bits("bitrate")},
}

// v4l2Controls are those of the kernel's stateful encoders.
func v4l2Controls(kbps int, more string) string {
	return fmt.Sprintf("controls,video_bitrate=%d%s", kbps*1000, more)
}

func v4l2Setting(v *engine.Video, kbps int) string {
	return fmt.Sprintf("extra-controls=\"%s\"", v4l2Controls(kbps, fmt.Sprintf(",video_bitrate_mode=1,video_gop_size=%d,repeat_sequence_header=1", v.GOP)))
}

func v4l2Rate(kbps int) (property, value string) { return "extra-controls", v4l2Controls(kbps, "") }

func vpuSetting(v *engine.Video, kbps int) string {
	return fmt.Sprintf("bitrate=%d gop-size=%d", kbps, v.GOP)
}

func mppSetting(v *engine.Video, kbps int) string {
	return fmt.Sprintf("rc-mode=cbr bps=%d gop=%d header-mode=each-idr", kbps*1000, v.GOP)
}

// x264Setting: no nal-hrd, which silently blocks changes of the rate, and no key
// frames but where the GOP or somebody asks for them.
func x264Setting(v *engine.Video, kbps int) string {
	s := fmt.Sprintf("bitrate=%d vbv-buf-capacity=%d key-int-max=%d speed-preset=%s bframes=%d rc-lookahead=%d threads=%d b-adapt=false option-string=\"scenecut=0\"",
		kbps, v.VBVMS, v.GOP, v.Preset, *v.BFrames, *v.LookaheadFrames, v.Threads)
	if *v.BFrames == 0 && *v.LookaheadFrames == 0 {
		s += " tune=zerolatency"
	}
	if v.Interlaced {
		s += " interlaced=true"
	}
	return s
}

// openSetting: frames are never skipped to keep the rate, because whoever comes
// after counts them.
func openSetting(v *engine.Video, kbps int) string {
	return fmt.Sprintf("bitrate=%d rate-control=bitrate gop-size=%d complexity=low usage-type=camera enable-frame-skip=false scene-change-detection=false multi-thread=%d",
		kbps*1000, v.GOP, v.Threads)
}

func x265Setting(v *engine.Video, kbps int) string {
	options := fmt.Sprintf("vbv-maxrate=%d:vbv-bufsize=%d:bframes=%d:rc-lookahead=%d:repeat-headers=1:scenecut=0:log-level=1",
		kbps, max(kbps*v.VBVMS/1000, 1), *v.BFrames, *v.LookaheadFrames)
	if v.Threads > 0 {
		options += fmt.Sprintf(":pools=%d", v.Threads)
	}
	s := fmt.Sprintf("bitrate=%d key-int-max=%d speed-preset=%s", kbps, v.GOP, v.Preset)
	if *v.BFrames == 0 && *v.LookaheadFrames == 0 {
		s += " tune=zerolatency"
	}
	return s + " option-string=\"" + options + "\""
}

// audioEncoders in order of preference.
var audioEncoders = []encoder{
	{element: "fdkaacenc", codec: engine.CodecAAC, from: "gstreamer1.0-plugins-bad", rate: bits("bitrate")},
	{element: "avenc_aac", codec: engine.CodecAAC, from: "gstreamer1.0-libav", rate: bits("bitrate")},
	{element: "voaacenc", codec: engine.CodecAAC, from: "gstreamer1.0-plugins-bad", rate: bits("bitrate")},
	{element: "twolamemp2enc", codec: engine.CodecMP2, from: "gstreamer1.0-plugins-ugly", rate: kilobits("bitrate")},
	{element: "avenc_mp2", codec: engine.CodecMP2, from: "gstreamer1.0-libav", rate: bits("bitrate")},
	{element: "avenc_ac3", codec: engine.CodecAC3, from: "gstreamer1.0-libav", rate: bits("bitrate")},
}

// missing is an element that is not on this machine.
type missing struct{ what, element, from string }

func (e missing) Error() string {
	return fmt.Sprintf("%s: GStreamer element %s is missing: install %s", e.what, e.element, e.from)
}

// chooseVideo returns the encoder to use, the first that has accepts.
func chooseVideo(v *engine.Video, has func(string) bool) (encoder, error) {
	plain := v.BitDepth == 8 && v.Chroma == "4:2:0" && !v.Interlaced && *v.BFrames == 0
	var names, from []string
	for _, e := range videoEncoders {
		switch {
		case v.Encoder != "" && e.element != v.Encoder || e.codec != v.Codec:
			continue
		case e.hard && !plain && v.Encoder == "":
			continue // it is not known to do that
		case e.element == "x265enc" && v.Interlaced:
			return e, fmt.Errorf("video: interlaced HEVC is not supported: use h264, or interlaced false")
		}
		if has(e.element) {
			return e, nil
		}
		names, from = append(names, e.element), append(from, e.from)
	}
	if len(names) == 0 {
		return encoder{}, fmt.Errorf("video.encoder: %q does not encode %s: leave it out, or use one that does", v.Encoder, v.Codec)
	}
	last := len(names) - 1
	what := "video encoder for " + v.Codec
	if last > 0 {
		what += " (none of " + strings.Join(names, ", ") + " is here)"
	}
	return encoder{}, missing{what, names[last], from[last]}
}

// chooseAudio returns the encoder for a codec.
func chooseAudio(codec string, has func(string) bool) (encoder, error) {
	best := encoder{}
	for _, e := range audioEncoders {
		if e.codec != codec {
			continue
		}
		if has(e.element) {
			return e, nil
		}
		if best.element == "" || e.element == "avenc_aac" {
			best = e
		}
	}
	return best, missing{"audio encoder for " + codec, best.element, best.from}
}

// needed are the other elements, and where they come from.
var needed = []struct{ element, from string }{
	{"appsrc", "gstreamer1.0-plugins-base"}, {"mpegtsmux", "gstreamer1.0-plugins-bad"},
	{"h264parse", "gstreamer1.0-plugins-bad"}, {"aacparse", "gstreamer1.0-plugins-good"}, {"level", "gstreamer1.0-plugins-good"},
	{"imagefreeze", "gstreamer1.0-plugins-good"}, {"jpegenc", "gstreamer1.0-plugins-good"}, {"capssetter", "gstreamer1.0-plugins-good"},
	{"videotestsrc", "gstreamer1.0-plugins-base"}, {"audiotestsrc", "gstreamer1.0-plugins-base"}, {"videoconvert", "gstreamer1.0-plugins-base"},
	{"audioconvert", "gstreamer1.0-plugins-base"}, {"videorate", "gstreamer1.0-plugins-base"}, {"videoscale", "gstreamer1.0-plugins-base"},
	{"interlace", "gstreamer1.0-plugins-bad"}, {"deinterlace", "gstreamer1.0-plugins-good"},
	{"fdsink", "libgstreamer1.0-0"},
}

// neededFor are those that only some configurations use.
func neededFor(c *engine.Config) (list []struct{ element, from string }) {
	list = append(list, needed...)
	add := func(element, from string) { list = append(list, struct{ element, from string }{element, from}) }
	if c.Input.Kind == engine.InputTest {
		add("timeoverlay", "gstreamer1.0-x")
		add("timecodestamper", "gstreamer1.0-plugins-bad")
	} else if c.Input.Kind == engine.InputTS {
		add("tsdemux", "gstreamer1.0-plugins-bad")
		add("avdec_h264", "gstreamer1.0-libav")
		if c.Pairs() > 1 {
			add("audiomixer", "gstreamer1.0-plugins-base")
		}
	} else {
		add("v4l2src", "gstreamer1.0-plugins-good")
		if c.Input.AudioDevice != "" {
			add("alsasrc", "gstreamer1.0-alsa")
		}
	}
	if c.Watch != nil {
		add("appsink", "gstreamer1.0-plugins-base")
	}
	if c.Slate.Kind == engine.SlateImage {
		add("pngdec", "gstreamer1.0-plugins-good")
	}
	return list
}

// chosen are the encoders of a configuration.
type chosen struct {
	video encoder
	audio []encoder
}

// choose finds all elements, or says which one is missing.
func choose(c *engine.Config, has func(string) bool) (x chosen, err error) {
	for _, n := range neededFor(c) {
		if !has(n.element) {
			return x, missing{"engine", n.element, n.from}
		}
	}
	if x.video, err = chooseVideo(&c.Video, has); err != nil {
		return x, err
	}
	for _, a := range c.Audio {
		e, err := chooseAudio(a.Codec, has)
		if err != nil {
			return x, err
		}
		x.audio = append(x.audio, e)
	}
	return x, nil
}
