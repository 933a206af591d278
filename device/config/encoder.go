package config

// Encoder is what the media engine makes of the input of a box with input.type
// test or sdi: codec, form and rate of picture, sound and transport stream.
type Encoder struct {
	// What the encoder is preset for; each of the settings below may still be
	// given. contribution-low-latency: no B frames, no lookahead, one key frame a
	// second. contribution-quality: two B frames, ten frames of lookahead, one key
	// frame every two seconds, which delays by half a second.
	Profile string `json:"profile" default:"contribution-low-latency" enum:"contribution-low-latency|contribution-quality"`
	// Rate of the whole transport stream, which is constant. Sound, tables and
	// headers take their share, the picture gets the rest. It changes while
	// running.
	BitrateKbps Kbps `json:"bitrate_kbps" default:"8000" range:"300..150000"`
	// Lower the rate while the paths carry less, and raise it again to bitrate_kbps
	// as they recover. false: the rate stays, and a path that is too weak drops.
	Adaptive bool `json:"adaptive" default:"true"`
	// With adaptive: the lowest rate. 0: a quarter of bitrate_kbps, but enough for
	// the sound and a picture.
	MinBitrateKbps Kbps `json:"min_bitrate_kbps" range:"0..150000"`
	// Video codec.
	Codec string `json:"codec" default:"h264" enum:"h264|hevc"`
	// GStreamer element that encodes, such as x264enc. Absent: the best that the
	// box has, hardware first.
	Element string `json:"element" format:"element"`
	// Width of the picture in pixels; an even number.
	Width int `json:"width" default:"1920" range:"64..7680"`
	// Height of the picture in pixels; an even number, of interlaced pictures a
	// multiple of 4.
	Height int `json:"height" default:"1080" range:"64..4320"`
	// Frames (not fields) per second. An input of another rate or size is
	// converted.
	FrameRate string `json:"frame_rate" default:"25" enum:"24000/1001|24|25|30000/1001|30|50|60000/1001|60"`
	// Encode interlaced, top field first. false: interlaced input is
	// deinterlaced.
	Interlaced bool `json:"interlaced"`
	// Take size, frame rate and scan from the SDI signal, and begin anew with a key
	// frame when they change, which shows the slate for a second or two; width,
	// height, frame_rate and interlaced hold until there is a signal. false: every
	// signal is converted to those, without a break.
	FollowInput bool `json:"follow_input"`
	// Aspect ratio of a standard-definition picture (720 pixels, up to 576 lines),
	// of the SDI signal and of what is encoded: its pixels are not square.
	SDAspect string `json:"sd_aspect" default:"16:9" enum:"16:9|4:3"`
	// Chroma subsampling.
	Chroma string `json:"chroma" default:"4:2:0" enum:"4:2:0|4:2:2"`
	// Bits of a sample.
	BitDepth int `json:"bit_depth" default:"8" enum:"8|10"`
	// Frames from one key frame to the next. 0: as the profile says.
	GOPFrames int `json:"gop_frames" range:"0..600"`
	// Size of the encoder's rate buffer (VBV), in time at its rate. It adds to the
	// delay of every receiver's decoder. 0: 100, with contribution-low-latency at
	// most 3.5 frames.
	VBVMS Milliseconds `json:"vbv_ms" range:"0..2000"`
	// Speed of x264 and x265: slower is better pictures for more processor.
	// Absent: superfast, with contribution-quality veryfast.
	Preset string `json:"preset" enum:"ultrafast|superfast|veryfast|faster|fast|medium|slow"`
	// B frames between two others. Absent: as the profile says.
	BFrames *int `json:"b_frames" range:"0..4"`
	// Frames that the encoder looks ahead, each of which delays by its time.
	// Absent: as the profile says.
	LookaheadFrames *int `json:"lookahead_frames" range:"0..60"`
	// Threads of the encoder. 0: as many as it likes.
	Threads int `json:"threads" range:"0..64"`
	// Sound, at most eight pairs. Absent: the first pair as AAC with 192 kbit/s.
	Audio []EncoderAudio `json:"audio" len:"1..8"`
	// Send no sound at all.
	NoSound bool `json:"no_sound"`
	// The programme in the transport stream.
	Service EncoderService `json:"service"`
	// What is shown while the input gives no picture: bars, black, last (the last
	// picture stands), image (slate_image). With no sound.
	Slate string `json:"slate" default:"bars" enum:"bars|black|last|image"`
	// With slate image: the path of a PNG file.
	SlateImage string `json:"slate_image" format:"file"`
	// Memory at which the engine is taken for leaking and started again.
	MemoryLimitMiB int `json:"memory_limit_mib" default:"1500" range:"100..16000"`
}

// EncoderAudio is one pair of channels.
type EncoderAudio struct {
	// Audio codec.
	Codec string `json:"codec" default:"aac" enum:"aac|mp2|ac3"`
	// Bit rate of the pair.
	BitrateKbps Kbps `json:"bitrate_kbps" default:"192" range:"32..640"`
	// Which pair of the input's channels; 1 is the first two.
	Pair int `json:"pair" default:"1" range:"1..8"`
	// PID of the component.
	PID int `json:"pid" required:"yes" range:"32..8190"`
	// Language, three letters (ISO 639-2). Absent: not said.
	Language string `json:"language" format:"language"`
}

// EncoderService is what the transport stream's tables say.
type EncoderService struct {
	// Name of the service in the SDT. Absent: the box's name.
	Name string `json:"name" format:"label"`
	// Provider of the service in the SDT.
	Provider string `json:"provider" default:"Quartet" format:"label"`
	// Programme number.
	ID int `json:"id" default:"1" range:"1..65535"`
	// PID of the PMT.
	PMTPID int `json:"pmt_pid" default:"256" range:"32..8190"`
	// PID of the picture, which also carries the clock.
	VideoPID int `json:"video_pid" default:"257" range:"32..8190"`
}

// defaultAudio is what Encoder.Audio is when it is absent.
func defaultAudio() []EncoderAudio {
	a := Default[EncoderAudio]()
	a.PID = 258
	return []EncoderAudio{a}
}

// encoded tells whether the media engine makes the stream.
func (in *Input) encoded() bool { return in.Type == TypeTest || in.Type == TypeSDI || in.Transcode }

// LowestKbps is the least rate of the stream while it adapts.
func (e *Encoder) LowestKbps() Kbps {
	if e.MinBitrateKbps > 0 {
		return e.MinBitrateKbps
	}
	return min(max(e.BitrateKbps/4, e.leastKbps()), e.BitrateKbps)
}

// leastKbps leaves something for a picture.
func (e *Encoder) leastKbps() Kbps {
	sound := Kbps(0)
	for i := range e.Audio {
		sound += e.Audio[i].BitrateKbps
	}
	return 200 + sound*5/4
}
