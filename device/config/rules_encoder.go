package config

import (
	"fmt"
	"reflect"
)

// encoderRules checks the media engine's settings.
func (b *Box) encoderRules(r *report) {
	e := &b.Encoder
	if !b.Input.encoded() {
		r.unused("", *b, "with input.type "+b.Input.Type+" and without input.transcode: such a feed is passed through as it is", "encoder")
		return
	}
	if e.NoSound && len(e.Audio) > 0 {
		r.errors.addf("encoder.audio", "remove it, or no_sound", "has no effect with no_sound")
	}
	if b.Input.Type != TypeSDI {
		r.unused("encoder", *e, "with input.type "+b.Input.Type, "follow_input")
	}
	if e.Slate != SlateImage {
		r.unused("encoder", *e, "with slate "+e.Slate, "slate_image")
	} else if e.SlateImage == "" {
		r.errors.addf("encoder.slate_image", "name a PNG file, or choose another slate", "is missing")
	}
	if e.Width%2 != 0 {
		r.errors.add("encoder.width", fmt.Sprint(e.Width), "is odd", "write an even number")
	}
	if multiple := map[bool]int{false: 2, true: 4}[e.Interlaced]; e.Height%multiple != 0 {
		r.errors.add("encoder.height", fmt.Sprint(e.Height), "does not fit", fmt.Sprintf("write a multiple of %d", multiple))
	}
	if e.Interlaced && e.Codec == CodecHEVC {
		r.errors.addf("encoder.interlaced", "use codec h264, or interlaced false", "is not possible with HEVC")
	}
	if e.VBVMS > 0 && e.VBVMS < 10 {
		r.errors.add("encoder.vbv_ms", fmt.Sprint(e.VBVMS), "is too short for a frame", "write 10 or more, or leave it out")
	}
	if e.BitrateKbps > b.Output.MaxBitrateKbps {
		r.errors.add("encoder.bitrate_kbps", fmt.Sprint(e.BitrateKbps), fmt.Sprintf("is more than output.max_bitrate_kbps %d, for which the paths are planned", b.Output.MaxBitrateKbps),
			"lower it, or raise that one")
	}
	taken := map[int]string{e.Service.PMTPID: "encoder.service.pmt_pid"}
	pid := func(path string, n int) {
		if first, ok := taken[n]; ok {
			r.errors.add(path, fmt.Sprint(n), "is also "+first, "give each its own PID")
		}
		taken[n] = path
	}
	pid("encoder.service.video_pid", e.Service.VideoPID)
	for i := range e.Audio {
		pid(fmt.Sprintf("encoder.audio[%d].pid", i), e.Audio[i].PID)
	}
	least := e.leastKbps()
	if e.BitrateKbps < least {
		r.errors.add("encoder.bitrate_kbps", fmt.Sprint(e.BitrateKbps), fmt.Sprintf("leaves too little for a picture beside %d kbit/s of sound", (least-200)*4/5),
			fmt.Sprintf("write %d or more", least))
	}
	switch low := e.MinBitrateKbps; {
	case !e.Adaptive:
		r.unused("encoder", *e, "with adaptive false", "min_bitrate_kbps")
	case low == 0:
	case low > e.BitrateKbps:
		r.errors.add("encoder.min_bitrate_kbps", fmt.Sprint(low), fmt.Sprintf("is more than bitrate_kbps %d", e.BitrateKbps), "lower it, or leave it out")
	case low < least:
		r.errors.add("encoder.min_bitrate_kbps", fmt.Sprint(low), "leaves too little for a picture beside the sound", fmt.Sprintf("write %d or more", least))
	}
}

// encodedRules checks the input of a box that encodes.
func (in *Input) encodedRules(r *report, u URL) {
	with := "with type " + in.Type
	r.unused("input", *in, with, "interface", "source", "jitter_ms", "pcr_pid", "loop", "transcode", "service")
	if in.Type == TypeTest {
		r.unused("input", *in, with, "audio_device")
		if u.File != "bars" {
			r.errors.add("input.url", fmt.Sprintf("%q", in.URL), "is not a test picture", "write test://bars")
		}
	}
}

// same tells whether an object is what an absent one would be.
func same(v reflect.Value) bool {
	absent := reflect.New(v.Type())
	setAbsent(nil, absent.Elem())
	return reflect.DeepEqual(v.Interface(), absent.Elem().Interface())
}
