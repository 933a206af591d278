package main

import (
	"fmt"
	"strings"

	"quartet/capture/program"
)

// decoder is how a codec of a transport stream becomes pictures or sound.
type decoder struct {
	codec    string // as mpegts.Component.Codec
	parser   string
	elements []string // in the order in which they are preferred
	from     string   // Debian package of the last
}

// pictureDecoders: those in hardware come first, where they are there.
var pictureDecoders = []decoder{
	{"h264", "h264parse", []string{"v4l2h264dec", "v4l2slh264dec", "mppvideodec", "vpudec", "avdec_h264"}, "gstreamer1.0-libav"},
	{"h265", "h265parse", []string{"v4l2h265dec", "v4l2slh265dec", "mppvideodec", "vpudec", "avdec_h265"}, "gstreamer1.0-libav"},
	{"mpeg2video", "mpegvideoparse", []string{"avdec_mpeg2video"}, "gstreamer1.0-libav"},
	{"mpeg1video", "mpegvideoparse", []string{"avdec_mpeg2video"}, "gstreamer1.0-libav"},
}

var soundDecoders = []decoder{
	{"aac", "aacparse", []string{"avdec_aac"}, "gstreamer1.0-libav"},
	{"aac-latm", "aacparse", []string{"avdec_aac_latm"}, "gstreamer1.0-libav"},
	{"mpeg1audio", "mpegaudioparse", []string{"mpg123audiodec", "avdec_mp2float"}, "gstreamer1.0-plugins-good"},
	{"mpeg2audio", "mpegaudioparse", []string{"mpg123audiodec", "avdec_mp2float"}, "gstreamer1.0-plugins-good"},
	{"ac3", "ac3parse", []string{"avdec_ac3"}, "gstreamer1.0-libav"},
	{"eac3", "ac3parse", []string{"avdec_eac3"}, "gstreamer1.0-libav"},
	{"opus", "opusparse", []string{"opusdec", "avdec_opus"}, "gstreamer1.0-plugins-base"},
	{"s302m", "", []string{"avdec_s302m"}, "gstreamer1.0-libav"},
}

// decoders are those that are here: parser and decoder of each codec.
type decoders map[string]string

// software tells whether a decoder takes key frames alone, whatever they are of;
// hardware may wait for more.
func software(element string) bool { return strings.HasPrefix(element, "avdec_") }

// findDecoders looks for them. onlySoft leaves hardware to others.
func findDecoders(has func(string) bool, onlySoft bool) decoders {
	found := decoders{}
	for _, list := range [][]decoder{pictureDecoders, soundDecoders} {
		for _, d := range list {
			if d.parser != "" && !has(d.parser) {
				continue
			}
			for _, e := range d.elements {
				picture := d.codec != "" && strings.Contains("h264 h265 mpeg2video mpeg1video", d.codec)
				if !has(e) || onlySoft && picture && !software(e) {
					continue
				}
				found[d.codec] = e
				break
			}
		}
	}
	return found
}

// codecs are those that can be decoded.
func (d decoders) codecs() (list []string) {
	for c := range d {
		list = append(list, c)
	}
	return list
}

// parserOf is a codec's parser with the way to the next element; "" for none.
func parserOf(codec string) string {
	for _, list := range [][]decoder{pictureDecoders, soundDecoders} {
		for _, d := range list {
			if d.codec == codec && d.parser != "" {
				return d.parser + " ! "
			}
		}
	}
	return ""
}

// tsText describes the way of a transport stream to its components: pads of
// demux, by name. Live, packets come with the time at which they came (streamClock);
// else media time is the stream's own, and nobody waits for it.
func tsText(c *program.Choice, live bool) string {
	how := "format=bytes"
	if live {
		how = "is-live=true format=time"
	}
	return fmt.Sprintf("appsrc name=ts %s max-bytes=8000000 caps=\"video/mpegts,systemstream=(boolean)true,packetsize=(int)188\""+
		" ! tsdemux name=demux program-number=%d", how, c.Service)
}

// picturePad and soundPad name tsdemux's pads of a new programme.
func picturePad(c *program.Choice) string { return fmt.Sprintf("demux.video_0_%04x", c.Video.PID) }
func soundPad(c *program.Choice, i int) string {
	return fmt.Sprintf("demux.audio_0_%04x", c.Audio[i].PID)
}
