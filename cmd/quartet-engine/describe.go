package main

import (
	"fmt"
	"strings"

	"quartet/capture/engine"
)

// Pipelines as text, in gst-launch's form. Everything here is pure; what
// elements there are has been found before.

const (
	videoChannel = "quartet-video" // of intervideo*
	audioChannel = "quartet-audio"
	sampleRate   = 48000
	// hold is how long the last picture stands before intervideosrc itself goes
	// black, where the slate is not ours to choose: practically for ever.
	hold = "9000000000000000000"
)

// rawVideo are the caps between capture and encoder.
func rawVideo(v *engine.Video) string {
	format := map[string]string{"4:2:0 8": "I420", "4:2:0 10": "I420_10LE", "4:2:2 8": "Y42B", "4:2:2 10": "I422_10LE"}[fmt.Sprint(v.Chroma, " ", v.BitDepth)]
	return fmt.Sprintf("video/x-raw,format=%s,width=%d,height=%d,framerate=%d/%d,pixel-aspect-ratio=1/1", format, v.Width, v.Height, v.RateNum, v.RateDen)
}

// rawAudio are the caps of all pairs together. Beyond a pair, channels have no
// place in a room.
func rawAudio(c *engine.Config) string {
	s := fmt.Sprintf("audio/x-raw,format=S16LE,rate=%d,channels=%d,layout=interleaved", sampleRate, 2*c.Pairs())
	if c.Pairs() > 1 {
		s += ",channel-mask=(bitmask)0x0"
	}
	return s
}

// captureText describes the capture pipeline.
func captureText(c *engine.Config) string {
	v := &c.Video
	var b strings.Builder
	switch c.Input.Kind {
	case engine.InputTest:
		size := max(v.Height/12, 12)
		fmt.Fprintf(&b, "videotestsrc is-live=true pattern=smpte ! video/x-raw,format=I420,width=%d,height=%d,framerate=%d/%d,pixel-aspect-ratio=1/1", v.Width, v.Height, v.RateNum, v.RateDen)
		fmt.Fprintf(&b, " ! timecodestamper ! timeoverlay time-mode=time-code halignment=center valignment=position ypos=0.35 shaded-background=true auto-resize=false font-desc=\"Monospace %dpx\"", size)
		fmt.Fprintf(&b, " ! clockoverlay halignment=center valignment=position ypos=0.55 shaded-background=true auto-resize=false time-format=\"%%H:%%M:%%S\" font-desc=\"Monospace %dpx\"", size)
	default:
		fmt.Fprintf(&b, "v4l2src device=%s do-timestamp=true ! queue max-size-buffers=3 leaky=downstream", quote(c.Input.Device))
		if !v.Interlaced {
			b.WriteString(" ! deinterlace mode=auto")
		}
	}
	fmt.Fprintf(&b, " ! videoconvert ! videoscale ! videorate ! %s ! identity name=captured ! intervideosink channel=%s sync=false", rawVideo(v), videoChannel)
	if c.Pairs() == 0 {
		return b.String()
	}
	switch {
	case c.Input.Kind == engine.InputTest:
		fmt.Fprintf(&b, " audiotestsrc is-live=true freq=997 volume=0.1 samplesperbuffer=480 ! %s", rawAudio(c))
	case c.Input.AudioDevice == "":
		return b.String()
	default:
		// Their clocks are not ours: the resampler that would follow it comes with
		// the bridge over appsink and appsrc.
		fmt.Fprintf(&b, " alsasrc device=%s provide-clock=false buffer-time=100000 latency-time=10000 ! audioconvert ! audioresample ! %s", quote(c.Input.AudioDevice), rawAudio(c))
	}
	fmt.Fprintf(&b, " ! interaudiosink channel=%s sync=false", audioChannel)
	return b.String()
}

// stillText describes the slate's picture; frames says how many are made of it,
// -1 for a live one.
func stillText(c *engine.Config, frames int) string {
	live := "is-live=true"
	if frames >= 0 {
		live = fmt.Sprintf("num-buffers=%d", frames)
	}
	source := "videotestsrc num-buffers=1 pattern=smpte"
	switch c.Slate.Kind {
	case engine.SlateBlack, engine.SlateLast:
		source = "videotestsrc num-buffers=1 pattern=black"
	case engine.SlateImage:
		source = fmt.Sprintf("filesrc location=%s ! pngdec ! videoconvert ! videoscale add-borders=true", quote(c.Slate.Image))
	}
	size := strings.Replace(rawVideo(&c.Video), fmt.Sprintf(",framerate=%d/%d", c.Video.RateNum, c.Video.RateDen), "", 1)
	return fmt.Sprintf("%s ! %s ! imagefreeze %s ! %s", source, size, live, rawVideo(&c.Video))
}

// videoText describes the way from raw pictures to the multiplexer.
func videoText(c *engine.Config, e encoder) string {
	s := ""
	if c.Video.Interlaced {
		s = "capssetter caps=\"video/x-raw,interlace-mode=(string)interleaved,field-order=(string)top-field-first\" ! "
	}
	parse := "h264parse"
	if c.Video.Codec == engine.CodecHEVC {
		parse = "h265parse"
	}
	convert := ""
	if e.hard {
		convert = "videoconvert ! " // most want NV12
	}
	return fmt.Sprintf("%s%s%s name=venc %s ! %s config-interval=-1 ! mux.sink_%d",
		s, convert, e.element, e.setting(&c.Video, c.VideoKbps()), parse, c.Mux.VideoPID)
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

// encodeText describes the pipeline that never stops.
func encodeText(c *engine.Config, x chosen) string {
	parts := []string{
		muxText(c, fmt.Sprintf("fdsink name=out fd=%d sync=false async=false", engine.FDStream)),
		// Pad 0 is the input, pad 1 the slate.
		fmt.Sprintf("intervideosrc channel=%s timeout=%s ! %s ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0 leaky=downstream ! pick.sink_0", videoChannel, hold, rawVideo(&c.Video)),
		stillText(c, -1) + " ! queue max-size-buffers=2 max-size-bytes=0 max-size-time=0 leaky=downstream ! pick.sink_1",
		"input-selector name=pick sync-streams=false ! tee name=raw",
		"raw. ! queue max-size-buffers=3 max-size-bytes=0 max-size-time=0 leaky=downstream ! " + videoText(c, x.video),
		fmt.Sprintf("raw. ! queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream ! videorate drop-only=true ! video/x-raw,framerate=1/1 ! videoscale ! videoconvert ! video/x-raw,format=I420,width=320,height=180,pixel-aspect-ratio=1/1 ! jpegenc quality=75 ! fdsink name=pictures fd=%d sync=false async=false", engine.FDPicture),
	}
	if c.Pairs() > 0 {
		parts = append(parts, fmt.Sprintf("interaudiosrc channel=%s period-time=10000000 latency-time=20000000 buffer-time=200000000 ! %s ! volume name=gain ! level interval=100000000 ! tee name=sound", audioChannel, rawAudio(c)))
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
		off := n * sampleRate * v.RateDen / v.RateNum % samples
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
