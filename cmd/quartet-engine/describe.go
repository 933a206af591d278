package main

import (
	"fmt"
	"strings"

	"quartet/capture/engine"
	"quartet/capture/genlock"
)

// Pipelines as text, in gst-launch's form. Everything here is pure; what
// elements there are has been found before.

// soundFormat is what passes between captures, bridge and encoders: exact for
// 24 bits.
const soundFormat = "F32LE"

// rawVideo are the caps between capture and encoder.
func rawVideo(v *engine.Video) string {
	format := map[string]string{"4:2:0 8": "I420", "4:2:0 10": "I420_10LE", "4:2:2 8": "Y42B", "4:2:2 10": "I422_10LE"}[fmt.Sprint(v.Chroma, " ", v.BitDepth)]
	s := fmt.Sprintf("video/x-raw,format=%s,width=%d,height=%d,pixel-aspect-ratio=%s,colorimetry=%s", format, v.Width, v.Height, pixels(v, v.Width, v.Height), colours(v))
	if v.Interlaced {
		s += ",interlace-mode=(string)interleaved,field-order=(string)top-field-first"
	}
	return s
}

// colours are those of the picture's size, and the encoder says so, whatever the
// input's were.
func colours(v *engine.Video) string {
	if v.Height <= 576 {
		return "bt601"
	}
	return "bt709"
}

// pixels is the shape of a picture's pixels. The signals of standard definition
// say nothing of it.
func pixels(v *engine.Video, width, height int) string {
	if width != 720 || height > 576 {
		return "1/1"
	}
	a, b := 16, 9
	if v.SDAspect == "4:3" {
		a, b = 4, 3
	}
	return fmt.Sprintf("%d/%d", a*height, b*width)
}

// withRate adds the frame rate to caps.
func withRate(caps string, v *engine.Video) string {
	return fmt.Sprintf("%s,framerate=%d/%d", caps, v.RateNum, v.RateDen)
}

// rawAudio are the caps of all pairs together. Beyond a pair, channels have no
// place in a room.
func rawAudio(c *engine.Config) string {
	s := fmt.Sprintf("audio/x-raw,format=%s,rate=%d,channels=%d,layout=interleaved", soundFormat, genlock.SampleRate, 2*c.Pairs())
	if c.Pairs() > 1 {
		s += ",channel-mask=(bitmask)0x0"
	}
	return s
}

// captureText describes the capture of pictures of a format, of which zero
// values are not known. It ends in frames of the encoder's form, at the input's
// own rate, which is returned, too, where it is known.
func captureText(c *engine.Config, in engine.Format) (string, genlock.Rate) {
	var s string
	if c.Input.Kind == engine.InputTest {
		s, in = testText(c, in)
	} else {
		s = fmt.Sprintf("v4l2src device=%s", quote(c.Input.Device))
		if in.Width > 0 {
			// Left to itself the source would take the largest size that it finds.
			s += fmt.Sprintf(" ! video/x-raw,width=%d,height=%d", in.Width, in.Height)
		}
		s += " ! queue max-size-buffers=3 max-size-bytes=0 max-size-time=0 leaky=downstream"
		if shape := pixels(&c.Video, in.Width, in.Height); shape != "1/1" {
			s += " ! capssetter caps=\"video/x-raw,pixel-aspect-ratio=" + shape + "\""
		}
	}
	form, rate := formText(c, in)
	return s + form + " ! fakesink name=video sync=false async=false", rate
}

// testText describes the test picture; without a format it is the encoder's.
func testText(c *engine.Config, in engine.Format) (string, engine.Format) {
	v := &c.Video
	if in.Width == 0 {
		in = engine.Format{Width: v.Width, Height: v.Height, RateNum: v.RateNum, RateDen: v.RateDen}
	}
	size := max(in.Height/12, 12)
	rate := in.RateNum
	if in.Interlaced {
		rate *= 2
	}
	s := fmt.Sprintf("videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=%d,height=%d,framerate=%d/%d,pixel-aspect-ratio=%s,colorimetry=%s",
		in.Width, in.Height, rate, in.RateDen, pixels(v, in.Width, in.Height), colours(v))
	s += fmt.Sprintf(" ! timecodestamper ! timeoverlay time-mode=time-code halignment=center valignment=position ypos=0.35 shaded-background=true auto-resize=false font-desc=\"Monospace %dpx\"", size)
	s += fmt.Sprintf(" ! clockoverlay halignment=center valignment=position ypos=0.55 shaded-background=true auto-resize=false time-format=\"%%H:%%M:%%S\" font-desc=\"Monospace %dpx\"", size)
	if in.Interlaced {
		s += " ! interlace field-pattern=1:1 top-field-first=true"
	}
	return s, in
}

// formText describes the way from the input's form to the encoder's: scan, size
// and colours. It returns the rate at which frames come out; the rest of the way
// to the encoder's rate is the bridge's.
func formText(c *engine.Config, in engine.Format) (s string, rate genlock.Rate) {
	v := &c.Video
	rate = genlock.Rate{Num: in.RateNum, Den: in.RateDen}
	double := func(r genlock.Rate) genlock.Rate { return genlock.Rate{Num: 2 * r.Num, Den: r.Den} }
	out := genlock.Rate{Num: v.RateNum, Den: v.RateDen}
	atLeast := func(a, b genlock.Rate) bool { return a.Num*b.Den >= b.Num*a.Den }
	// Fields that are to stay fields must keep their lines.
	fields := v.Interlaced && in.Interlaced && in.Height == v.Height
	switch {
	case fields, rate.Valid() && !in.Interlaced:
	case v.Interlaced, atLeast(out, double(rate)), !rate.Valid():
		s += " ! deinterlace mode=auto fields=all" // a frame of each field
		rate = double(rate)
	default:
		s += " ! deinterlace mode=auto fields=top"
	}
	s += " ! videoconvert ! videoscale add-borders=true"
	caps := rawVideo(v)
	if v.Interlaced {
		caps = caps[:strings.Index(caps, ",interlace-mode")]
	}
	s += " ! " + caps
	if v.Interlaced && !fields && rate.Valid() && atLeast(rate, double(out)) {
		s += " ! interlace field-pattern=1:1 top-field-first=true"
		rate.Den *= 2
	}
	return s, rate
}

// soundText describes the capture of sound; "" where there is none to capture.
// It has a pipeline of its own: a sound card that fails costs no picture.
func soundText(c *engine.Config) string {
	var s string
	switch {
	case c.Pairs() == 0:
		return ""
	case c.Input.Kind == engine.InputTest:
		s = "audiotestsrc is-live=true freq=997 volume=0.1 samplesperbuffer=480"
	case c.Input.AudioDevice == "":
		return ""
	default:
		// Its samples as they come, with the time at which they came: what its
		// clock is worth is the bridge's to find out.
		s = fmt.Sprintf("alsasrc device=%s provide-clock=false slave-method=re-timestamp buffer-time=100000 latency-time=10000 ! audioconvert ! audioresample", quote(c.Input.AudioDevice))
	}
	return s + " ! " + rawAudio(c) + " ! fakesink name=sound sync=false async=false"
}

// stillText describes the slate's picture, as so many frames.
func stillText(c *engine.Config, frames int) string {
	source := "videotestsrc num-buffers=1 pattern=smpte"
	switch c.Slate.Kind {
	case engine.SlateBlack, engine.SlateLast:
		source = "videotestsrc num-buffers=1 pattern=black"
	case engine.SlateImage:
		source = fmt.Sprintf("filesrc location=%s ! pngdec ! videoconvert ! videoscale add-borders=true", quote(c.Slate.Image))
	}
	caps, scan := rawVideo(&c.Video), ""
	if i := strings.Index(caps, ",interlace-mode"); i > 0 {
		scan = fmt.Sprintf(" ! capssetter caps=\"video/x-raw%s\"", caps[i:])
		caps = caps[:i]
	}
	return fmt.Sprintf("%s ! videoconvert ! %s ! imagefreeze num-buffers=%d ! %s%s", source, caps, frames, withRate(caps, &c.Video), scan)
}

// videoText describes the way from raw pictures to the multiplexer.
func videoText(c *engine.Config, e encoder) string {
	parse := "h264parse"
	if c.Video.Codec == engine.CodecHEVC {
		parse = "h265parse"
	}
	convert := ""
	if e.hard {
		convert = "videoconvert ! " // most want NV12
	}
	return fmt.Sprintf("%s%s name=venc %s ! %s config-interval=-1 ! mux.sink_%d",
		convert, e.element, e.setting(&c.Video, c.VideoKbps()), parse, c.Mux.VideoPID)
}

// audioText describes the way of pair i from all channels to the multiplexer.
func audioText(c *engine.Config, i int, e encoder) string {
	a := &c.Audio[i]
	var b strings.Builder
	if n := 2 * c.Pairs(); n > 2 {
		row := func(which int) string {
			cells := make([]string, n)
			for k := range cells {
				cells[k] = "(float)0.0"
				if k == which {
					cells[k] = "(float)1.0"
				}
			}
			return "<" + strings.Join(cells, ",") + ">"
		}
		fmt.Fprintf(&b, "audioconvert mix-matrix=\"<%s,%s>\" ! audio/x-raw,channels=2,channel-mask=(bitmask)0x3 ! ", row(2*a.Pair-2), row(2*a.Pair-1))
	}
	property, value := e.rate(a.BitrateKbps)
	fmt.Fprintf(&b, "audioconvert ! %s %s=%s ! ", e.element, property, value)
	switch a.Codec {
	case engine.CodecAAC:
		b.WriteString("aacparse ! audio/mpeg,stream-format=adts")
	case engine.CodecMP2:
		b.WriteString("mpegaudioparse")
	default:
		b.WriteString("ac3parse")
	}
	if a.Language != "" {
		fmt.Fprintf(&b, " ! taginject tags=\"language-code=%s\"", a.Language)
	}
	fmt.Fprintf(&b, " ! mux.sink_%d", a.PID)
	return b.String()
}

// muxText describes the multiplexer. It runs at variable rate: the daemon makes
// the rate constant, so that it can change.
func muxText(c *engine.Config, sink string) string {
	m := &c.Mux
	programs := []string{fmt.Sprintf("sink_%d=(int)%d", m.VideoPID, m.ServiceID)}
	for _, a := range c.Audio {
		programs = append(programs, fmt.Sprintf("sink_%d=(int)%d", a.PID, m.ServiceID))
	}
	return fmt.Sprintf("mpegtsmux name=mux alignment=0 pat-interval=9000 pmt-interval=9000 si-interval=90000 pcr-interval=2700 prog-map=\"program_map,%s,PMT_%d=(uint)%d,PCR_%d=(string)sink_%d\" ! %s",
		strings.Join(programs, ","), m.ServiceID, m.PMTPID, m.ServiceID, m.VideoPID, sink)
}

// encodeText describes the pipeline that never stops. It has no clock of its
// own: the bridge feeds it, every branch without a pause.
func encodeText(c *engine.Config, x chosen) string {
	parts := []string{
		muxText(c, fmt.Sprintf("fdsink name=out fd=%d sync=false async=false", engine.FDStream)),
		fmt.Sprintf("appsrc name=vin format=time is-live=false block=false max-buffers=0 max-bytes=0 max-time=200000000 leaky-type=downstream caps=\"%s\" ! tee name=raw", withRate(rawVideo(&c.Video), &c.Video)),
		"raw. ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=200000000 leaky=downstream ! " + videoText(c, x.video),
		fmt.Sprintf("raw. ! queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream ! videorate drop-only=true ! video/x-raw,framerate=1/1 ! videoscale ! videoconvert ! video/x-raw,format=I420,width=320,height=180,pixel-aspect-ratio=1/1 ! jpegenc quality=75 ! fdsink name=pictures fd=%d sync=false async=false", engine.FDPicture),
	}
	if c.Pairs() > 0 {
		parts = append(parts, fmt.Sprintf("appsrc name=ain format=time is-live=false block=false max-buffers=100 max-bytes=0 leaky-type=downstream caps=\"%s\" ! level interval=100000000 ! tee name=sound", rawAudio(c)))
		for i := range c.Audio {
			parts = append(parts, "sound. ! queue max-size-time=500000000 max-size-buffers=0 max-size-bytes=0 leaky=downstream ! "+audioText(c, i, x.audio[i]))
		}
	}
	return strings.Join(append(parts, sensesText(c)...), " ")
}

// slateText describes the pipeline that makes the slate's file.
func slateText(c *engine.Config, x chosen, file string) string {
	frames := slateFrames(c)
	parts := []string{muxText(c, "filesink name=out location="+quote(file)), stillText(c, frames) + " ! " + videoText(c, x.video)}
	if c.Pairs() > 0 {
		seconds := float64(frames) * float64(c.Video.RateDen) / float64(c.Video.RateNum)
		parts = append(parts, fmt.Sprintf("audiotestsrc wave=silence samplesperbuffer=480 num-buffers=%d ! %s ! tee name=sound", int(seconds*100)+20, rawAudio(c)))
		for i := range c.Audio {
			parts = append(parts, "sound. ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! "+audioText(c, i, x.audio[i]))
		}
	}
	return strings.Join(parts, " ")
}

// slateFrames is how many frames make a pass of about two seconds that fits the
// sound's frames best.
func slateFrames(c *engine.Config) int {
	v := &c.Video
	samples := 1024
	if len(c.Audio) > 0 {
		samples = map[string]int{engine.CodecAAC: 1024, engine.CodecMP2: 1152, engine.CodecAC3: 1536}[c.Audio[0].Codec]
	}
	best, least := 0, -1
	for n := v.RateNum * 3 / (2 * v.RateDen); n <= v.RateNum*5/(2*v.RateDen); n++ {
		off := n * genlock.SampleRate * v.RateDen / v.RateNum % samples
		off = min(off, samples-off)
		if least < 0 || off < least {
			best, least = n, off
		}
	}
	return max(best, 1)
}

// quote writes a value for a description.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
