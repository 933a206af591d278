package mpegts

import (
	"slices"

	"github.com/asticode/go-astits"
)

// Kind says what a component is for, as far as its codec tells.
type Kind string

// Kinds of component.
const (
	KindVideo     Kind = "video"
	KindAudio     Kind = "audio"
	KindSubtitles Kind = "subtitles" // as pictures or text
	KindTeletext  Kind = "teletext"  // and other lines of the vertical blanking
	KindCue       Kind = "cue"       // SCTE 35
	KindData      Kind = "data"      // all else, and what is not recognised
)

var kinds = map[string]Kind{
	"mpeg1video": KindVideo, "mpeg2video": KindVideo, "mpeg4video": KindVideo, "h264": KindVideo, "h265": KindVideo, "h266": KindVideo,
	"jpeg2000": KindVideo, "jpegxs": KindVideo, "avs": KindVideo, "dirac": KindVideo, "vc1": KindVideo, "av1": KindVideo,
	"mpeg1audio": KindAudio, "mpeg2audio": KindAudio, "aac": KindAudio, "aac-latm": KindAudio, "ac3": KindAudio, "eac3": KindAudio,
	"ac4": KindAudio, "dts": KindAudio, "opus": KindAudio, "s302m": KindAudio, "mpegh": KindAudio,
	"dvbsub": KindSubtitles, "ttml": KindSubtitles, "scte27": KindSubtitles,
	"teletext": KindTeletext, "vbi": KindTeletext,
	"scte35": KindCue,
}

func kindOf(codec string) Kind {
	if k, ok := kinds[codec]; ok {
		return k
	}
	return KindData
}

// streamTypes names the stream types of ISO/IEC 13818-1 table 2-34 and of ATSC
// and SCTE that are met with.
var streamTypes = map[uint8]string{
	0x01: "mpeg1video", 0x02: "mpeg2video", 0x03: "mpeg1audio", 0x04: "mpeg2audio",
	0x0B: "dsmcc", 0x0F: "aac", 0x10: "mpeg4video", 0x11: "aac-latm", 0x15: "metadata", 0x1B: "h264",
	0x21: "jpeg2000", 0x24: "h265", 0x2D: "mpegh", 0x2E: "mpegh", 0x32: "jpegxs", 0x33: "h266", 0x42: "avs",
	0x81: "ac3", 0x82: "scte27", 0x86: "scte35", 0x87: "eac3", 0xD1: "dirac", 0xEA: "vc1",
}

// registrations names the format identifiers of registration descriptors for
// streams of private type.
var registrations = map[uint32]string{
	fourCC("AC-3"): "ac3", fourCC("EAC3"): "eac3", fourCC("HEVC"): "h265", fourCC("Opus"): "opus",
	fourCC("BSSD"): "s302m", fourCC("CUEI"): "scte35", fourCC("KLVA"): "klv", fourCC("VC-1"): "vc1",
	fourCC("DTS1"): "dts", fourCC("DTS2"): "dts", fourCC("DTS3"): "dts", fourCC("AV01"): "av1",
	fourCC("ID3 "): "id3", fourCC("AC-4"): "ac4", fourCC("drac"): "dirac",
}

// extensions names what the extension descriptors of ETSI EN 300 468 (tag 0x7F)
// stand for.
var extensions = map[uint8]string{0x0E: "dts", 0x0F: "dts", 0x15: "ac4", 0x20: "ttml"}

func fourCC(s string) uint32 {
	return uint32(s[0])<<24 | uint32(s[1])<<16 | uint32(s[2])<<8 | uint32(s[3])
}

// codec names what a component is: by its own descriptors where the type is
// private, else by its stream type.
func codec(streamType uint8, descriptors []*astits.Descriptor) string {
	if name := streamTypes[streamType]; name != "" && streamType < 0x80 {
		return name
	}
	for _, d := range descriptors {
		switch {
		case d.Tag == 0x6A:
			return "ac3"
		case d.Tag == 0x7A:
			return "eac3"
		case d.Tag == 0x7B:
			return "dts"
		case d.Tag == 0x7C:
			return "aac"
		case d.Tag == 0x59:
			return "dvbsub"
		case d.Tag == 0x56 || d.Tag == 0x46:
			return "teletext"
		case d.Tag == 0x45:
			return "vbi"
		case d.Tag == 0x6F && streamType == 0x05:
			return "ait"
		case d.Extension != nil && extensions[d.Extension.Tag] != "":
			return extensions[d.Extension.Tag]
		case d.Registration != nil && registrations[d.Registration.FormatIdentifier] != "":
			return registrations[d.Registration.FormatIdentifier]
		}
	}
	return streamTypes[streamType]
}

// language returns the first language among a component's descriptors.
func language(descriptors []*astits.Descriptor) string {
	for _, d := range descriptors {
		var code []byte
		switch {
		case d.ISO639LanguageAndAudioType != nil:
			code = d.ISO639LanguageAndAudioType.Language
		case d.Subtitling != nil && len(d.Subtitling.Items) > 0:
			code = d.Subtitling.Items[0].Language
		case d.Teletext != nil && len(d.Teletext.Items) > 0:
			code = d.Teletext.Items[0].Language
		}
		if len(code) == 3 {
			return DVBText(code)
		}
	}
	return ""
}

// still reports whether a video announces still pictures: video stream
// descriptor (ISO/IEC 13818-1 2.6.2) or AVC video descriptor (2.6.64).
func still(descriptors []*astits.Descriptor) bool {
	for _, d := range descriptors {
		switch {
		case d.Tag == 0x02 && d.Unknown != nil && len(d.Unknown.Content) > 0 && d.Unknown.Content[0]&0x01 != 0:
			return true
		case d.AVCVideo != nil && d.AVCVideo.AVCStillPresent:
			return true
		}
	}
	return false
}

// accessPIDs appends the PIDs that the CA descriptors (ISO/IEC 13818-1 2.6.16)
// among descriptors name, each once.
func accessPIDs(list []PID, descriptors []*astits.Descriptor) []PID {
	for _, d := range descriptors {
		if d.Tag == 0x09 && d.Unknown != nil {
			list = accessPID(list, d.Unknown.Content)
		}
	}
	return list
}

// accessPID appends the PID of the body of one CA descriptor. The null PID is
// none: systems without messages (BISS) put it there.
func accessPID(list []PID, body []byte) []PID {
	if len(body) < 4 {
		return list
	}
	pid := PID(body[2]&0x1F)<<8 | PID(body[3])
	if pid == NullPID || slices.Contains(list, pid) {
		return list
	}
	return append(list, pid)
}
