package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"quartet/capture/mpegts"
)

// Kinds of input that the engine captures.
const (
	InputTest = "test" // bars, tone, counter and clock, made by the engine
	InputV4L2 = "v4l2" // a V4L2 device, with ALSA for the sound
	InputTS   = "ts"   // a transport stream, which is decoded: it is transcoded
)

// Profiles preset the encoder; every setting can still be given.
const (
	ProfileLowLatency = "contribution-low-latency"
	ProfileQuality    = "contribution-quality"
)

// What is shown while there is no picture.
const (
	SlateBars  = "bars"
	SlateBlack = "black"
	SlateLast  = "last"  // the last picture stands
	SlateImage = "image" // Slate.Image
)

// Codecs.
const (
	CodecH264 = "h264"
	CodecHEVC = "hevc"
	CodecAAC  = "aac"
	CodecMP2  = "mp2"
	CodecAC3  = "ac3"
)

// Config is everything the engine is to do. It goes to the process as JSON.
type Config struct {
	Input Input   `json:"input"`
	Video Video   `json:"video"`
	Audio []Audio `json:"audio"`
	Mux   Mux     `json:"mux"`
	Slate Picture `json:"slate"`
	// Watch says how picture and sound are watched; nil: not at all.
	Watch *Watch `json:"watch,omitempty"`
}

// Input is what is captured.
type Input struct {
	Kind        string `json:"kind"`
	Device      string `json:"device,omitempty"`       // v4l2: /dev/videoN
	AudioDevice string `json:"audio_device,omitempty"` // v4l2: ALSA's name; "": no sound, silence is encoded
	Service     int    `json:"service,omitempty"`      // ts: programme number; 0: the first with a picture
	// Wait: the capture begins with the command start, when the daemon has seen
	// the signal; else at once, with Format.
	Wait   bool    `json:"wait,omitempty"`
	Format *Format `json:"format,omitempty"`
}

// Video is the encoder's setting. Zero values of GOP, VBVMS, Preset, BFrames
// and LookaheadFrames mean what Profile says; see Fill.
type Video struct {
	Codec           string `json:"codec"`
	Encoder         string `json:"encoder,omitempty"` // GStreamer element; "": the best that is found
	Profile         string `json:"profile"`
	Width           int    `json:"width"`
	Height          int    `json:"height"`
	RateNum         int    `json:"rate_num"` // frames per second, as a fraction
	RateDen         int    `json:"rate_den"`
	Interlaced      bool   `json:"interlaced"`
	SDAspect        string `json:"sd_aspect"` // 16:9 or 4:3, of 720 pixels and up to 576 lines
	Chroma          string `json:"chroma"`    // 4:2:0 or 4:2:2
	BitDepth        int    `json:"bit_depth"` // 8 or 10
	GOP             int    `json:"gop_frames"`
	VBVMS           int    `json:"vbv_ms"`
	Preset          string `json:"preset"` // speed-preset of x264 and x265
	BFrames         *int   `json:"b_frames"`
	LookaheadFrames *int   `json:"lookahead_frames"`
	Threads         int    `json:"threads"` // 0: as many as the encoder likes
}

// Audio is one pair of channels, a service component of its own.
type Audio struct {
	Codec       string     `json:"codec"`
	BitrateKbps int        `json:"bitrate_kbps"`
	Pair        int        `json:"pair"` // 1: channels 1 and 2
	PID         mpegts.PID `json:"pid"`
	Language    string     `json:"language,omitempty"` // ISO 639-2; "": none
}

// Mux is the transport stream's form.
type Mux struct {
	RateBPS     int64      `json:"rate_bps"` // of the whole transport stream
	PMTPID      mpegts.PID `json:"pmt_pid"`
	VideoPID    mpegts.PID `json:"video_pid"` // carries the PCR, too
	ServiceID   uint16     `json:"service_id"`
	ServiceName string     `json:"service_name"`
	Provider    string     `json:"provider"`
}

// Picture is a still picture.
type Picture struct {
	Kind  string `json:"kind"`
	Image string `json:"image,omitempty"` // path of a PNG
}

// Fill puts the profile's values where there are none.
func (c *Config) Fill() {
	v := &c.Video
	zero, none := 0, 0
	fps := float64(v.RateNum) / float64(max(v.RateDen, 1))
	// 3.5 frames of buffer: a longer one delays pictures of high rates more than it
	// betters them (at 720p50 100 ms in place of 70 gain 0.3 dB of SSIM).
	gop, vbv, preset, b, look := int(fps+0.5), min(100, int(3500/max(fps, 1))), "superfast", &zero, &none
	if v.Profile == ProfileQuality {
		two, ten := 2, 10
		gop, vbv, preset, b, look = int(2*fps+0.5), 100, "veryfast", &two, &ten
	}
	if v.GOP == 0 {
		v.GOP = max(gop, 1)
	}
	if v.VBVMS == 0 {
		v.VBVMS = vbv
	}
	if v.Preset == "" {
		v.Preset = preset
	}
	if v.SDAspect == "" {
		v.SDAspect = "16:9"
	}
	if v.BFrames == nil {
		v.BFrames = b
	}
	if v.LookaheadFrames == nil {
		v.LookaheadFrames = look
	}
}

// Validate checks what no part further on would say clearly. Call Fill before.
func (c *Config) Validate() error {
	v, m := &c.Video, &c.Mux
	wrong := func(field string, value any, want string) error {
		return fmt.Errorf("engine: %s is %v: %s", field, value, want)
	}
	switch {
	case c.Input.Kind != InputTest && c.Input.Kind != InputV4L2 && c.Input.Kind != InputTS:
		return wrong("input.kind", c.Input.Kind, "test, v4l2 and ts are known")
	case c.Input.Kind == InputV4L2 && c.Input.Device == "":
		return wrong("input.device", `""`, "name a device, such as /dev/video0")
	case v.Codec != CodecH264 && v.Codec != CodecHEVC:
		return wrong("video.codec", v.Codec, "h264 and hevc are known")
	case v.Profile != ProfileLowLatency && v.Profile != ProfileQuality:
		return wrong("video.profile", v.Profile, ProfileLowLatency+" and "+ProfileQuality+" are known")
	case v.Width < 64 || v.Height < 64 || v.Width > 8192 || v.Height > 8192 || v.Width%2 != 0 || v.Height%2 != 0:
		return wrong("video size", fmt.Sprintf("%dx%d", v.Width, v.Height), "even numbers from 64 to 8192")
	case v.Interlaced && v.Height%4 != 0:
		return wrong("video.height", v.Height, "interlaced needs a multiple of 4")
	case v.RateDen < 1 || v.RateNum < v.RateDen || v.RateNum > 120*v.RateDen:
		return wrong("video frame rate", fmt.Sprintf("%d/%d", v.RateNum, v.RateDen), "1 to 120 frames a second")
	case v.SDAspect != "16:9" && v.SDAspect != "4:3":
		return wrong("video.sd_aspect", v.SDAspect, "16:9 and 4:3 are known")
	case v.Chroma != "4:2:0" && v.Chroma != "4:2:2":
		return wrong("video.chroma", v.Chroma, "4:2:0 and 4:2:2 are known")
	case v.BitDepth != 8 && v.BitDepth != 10:
		return wrong("video.bit_depth", v.BitDepth, "8 and 10 are known")
	case v.GOP < 1 || v.VBVMS < 10 || v.VBVMS > 2000 || v.BFrames == nil || *v.BFrames < 0 || v.LookaheadFrames == nil || *v.LookaheadFrames < 0:
		return wrong("video", fmt.Sprintf("GOP %d, VBV %d ms", v.GOP, v.VBVMS), "not filled in")
	case len(c.Audio) > 8:
		return wrong("audio", len(c.Audio), "at most 8 pairs")
	case c.Slate.Kind == SlateImage && c.Slate.Image == "":
		return wrong("slate.image", `""`, "name a PNG file")
	case c.VideoKbps() < 50:
		return wrong("mux.rate_bps", m.RateBPS, fmt.Sprintf("leaves %d kbit/s for the picture", c.VideoKbps()))
	}
	if c.Watch != nil {
		if err := c.Watch.validate(); err != nil {
			return err
		}
	}
	taken := map[mpegts.PID]bool{}
	pids := []mpegts.PID{m.PMTPID, m.VideoPID}
	for _, a := range c.Audio {
		if a.Codec != CodecAAC && a.Codec != CodecMP2 && a.Codec != CodecAC3 {
			return wrong("audio.codec", a.Codec, "aac, mp2 and ac3 are known")
		}
		if a.Pair < 1 || a.Pair > 8 {
			return wrong("audio.pair", a.Pair, "1 to 8")
		}
		pids = append(pids, a.PID)
	}
	for _, p := range pids {
		if p < 0x20 || p > 0x1FFE || taken[p] {
			return wrong("a PID", p, "each its own, 32 to 8190")
		}
		taken[p] = true
	}
	return nil
}

// Pairs returns how many pairs of channels are captured.
func (c *Config) Pairs() (n int) {
	for _, a := range c.Audio {
		n = max(n, a.Pair)
	}
	return n
}

// VideoKbps is what the transport stream's rate leaves for the picture: without
// sound, tables, clock, and the headers of all of these. Headers of packets
// and PES take 2.7 % and a little; 5 % in all keep the queue from growing.
func (c *Config) VideoKbps() int {
	left := float64(c.Mux.RateBPS)/1000 - 40 // PAT, PMT, SDT, PCR
	for _, a := range c.Audio {
		left -= float64(a.BitrateKbps)*1.06 + 12 // a frame seldom fills its packets
	}
	return int(left * 0.95)
}

// standIn is PAT and PMT for as long as there are none of the engine's or the
// slate's: of a version of their own, with the picture's PID alone, which carries
// the clock.
func (c *Config) standIn() []byte {
	const version = 31
	streamType := uint8(0x1B) // ISO/IEC 13818-1 table 2-34: H.264, and HEVC
	if c.Video.Codec == CodecHEVC {
		streamType = 0x24
	}
	b := mpegts.AppendPAT(nil, 1, c.Mux.ServiceID, c.Mux.PMTPID, version)
	return mpegts.AppendPMT(b, c.Mux.ServiceID, c.Mux.PMTPID, version, streamType, c.Mux.VideoPID)
}

// Frame is the time of one frame in ticks of 27 MHz.
func (c *Config) Frame() int64 {
	return mpegts.PCRHz * int64(c.Video.RateDen) / int64(max(c.Video.RateNum, 1))
}

// lead is how far timestamps are ahead of the clock when a frame's first
// packet leaves: what the encoder's buffer may hold, and what frames may come
// late by. Sound has the less of it by SoundAhead, and comes no sooner than the
// picture of its time. What is decoded first has more threads to wait for. A
// receiver's decoder adds it to the latency.
func (c *Config) lead() time.Duration {
	late := 50 * time.Millisecond
	if c.Input.Kind == InputTS {
		late = 150 * time.Millisecond
	}
	return time.Duration(c.Video.VBVMS)*time.Millisecond + late
}

// Hash names the parameters that a slate depends on.
func (c *Config) Hash() string {
	k := *c
	k.Input, k.Mux.ServiceName, k.Mux.Provider, k.Watch = Input{}, "", "", nil
	b, err := json.Marshal(&k)
	if err != nil {
		return "none" // unreachable: no field can fail
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// ParseConfig reads what the daemon wrote. Unknown fields are errors: both
// sides are of one version.
func ParseConfig(b []byte) (*Config, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	c := &Config{}
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("engine: configuration: %w", err)
	}
	return c, c.Validate()
}
