package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"quartet/capture/confidence"
)

// Descriptors that the process inherits.
const (
	FDStream  = 3 // stream socket: transport stream, to the daemon
	FDControl = 4 // stream socket: one JSON object a line; commands in, events out
	FDPicture = 5 // packet socket: each message is a JPEG
	FDFeed    = 6 // stream socket: transport stream, from the daemon: what is to be decoded
)

// HeartbeatEvery is how often the process says that it lives.
const HeartbeatEvery = 250 * time.Millisecond

// SoundAhead is how much too late PTS of sound are in the process's stream. The
// multiplexer sends nothing before it has sound of the same time, and an
// encoder gives that back two frames later than the picture: so it is told that
// the sound is of later, and does not wait. The daemon puts it right.
const SoundAhead = 80 * time.Millisecond

// Exit statuses of the process.
const (
	ExitFailed  = 1 // a pipeline failed that cannot fail: the encoder's
	ExitUsage   = 2 // the configuration or the call is wrong
	ExitMissing = 3 // an element is missing; the error names element and package
)

// Words of Command.Do.
const (
	DoStart    = "start"    // capture
	DoStop     = "stop"     // capture; the slate is shown
	DoBitrate  = "bitrate"  // of the video encoder, to Kbps
	DoKeyFrame = "keyframe" // the next frame is one
	DoSlate    = "slate"    // show it though there is a picture (On), or no longer
)

// Words of Event.Part: what has failed.
const (
	PartCapture = "capture"
	PartSound   = "sound"
	PartEncode  = "encode"
	PartControl = "control"
)

// Format is that of a picture that is captured. Zero values are not known.
type Format struct {
	Width      int  `json:"width"`
	Height     int  `json:"height"`
	RateNum    int  `json:"rate_num"` // frames, not fields, a second
	RateDen    int  `json:"rate_den"`
	Interlaced bool `json:"interlaced"`
}

// Command is what the daemon tells the process.
type Command struct {
	Do   string `json:"do"`
	Kbps int    `json:"kbps,omitempty"`
	On   bool   `json:"on,omitempty"`
	// Format of the input, with DoStart; nil: find out.
	Format *Format `json:"format,omitempty"`
}

// Lock is how the input's clocks are followed (package genlock).
type Lock struct {
	PPM         float64 `json:"ppm"`       // the picture's clock against this machine's
	JitterMS    float64 `json:"jitter_ms"` // of the frames' arrival, mean
	Repeated    uint64  `json:"repeated"`  // frames shown again in place of a lost or late one
	Surplus     uint64  `json:"surplus"`   // frames that came too late or too soon
	Locks       uint64  `json:"locks"`     // times that an input came
	SoundPPM    float64 `json:"sound_ppm"`
	ResamplePPM float64 `json:"resample_ppm"` // 0: samples pass unchanged
	OffsetMS    float64 `json:"offset_ms"`    // of the sound against the picture
	Silences    uint64  `json:"silences"`     // blocks of 10 ms for lack of sound
	Slips       uint64  `json:"slips"`        // times that sound was placed anew
}

// Words of Event.Is.
const (
	IsReady     = "ready"     // both pipelines are made; Encoder says what was found
	IsHeartbeat = "heartbeat" // four times a second
	IsError     = "error"     // Text, of Part; a capture that fails is tried again
	IsInput     = "input"     // Present, Slate or Sound has changed
	IsLevel     = "level"     // of the sound, ten times a second
	// Report of picture and sound, a few times a second; Text says what keeps it
	// from being whole.
	IsConfidence = "confidence"
)

// Event is what the process tells.
type Event struct {
	Is      string `json:"is"`
	Text    string `json:"text,omitempty"`
	Part    string `json:"part,omitempty"`
	Encoder string `json:"encoder,omitempty"`
	Present bool   `json:"present,omitempty"` // frames come from the input
	Slate   bool   `json:"slate,omitempty"`   // shown by the process in place of the input
	Sound   bool   `json:"sound,omitempty"`   // sound comes from the input
	Frames  uint64 `json:"frames,omitempty"`  // captured so far
	// Media is the media time, which PTS count, at the instant At of
	// CLOCK_MONOTONIC, both in ns: with a frame's PTS they tell when it was
	// captured, and Lock.PPM how fast media time runs.
	At    int64 `json:"at,omitempty"`
	Media int64 `json:"media,omitempty"`
	Lock  *Lock `json:"lock,omitempty"`
	// Peak and RMS of each channel in dB full scale.
	Peak []float64 `json:"peak,omitempty"`
	RMS  []float64 `json:"rms,omitempty"`
	// Report is that of IsConfidence.
	Report *confidence.Report `json:"report,omitempty"`
}

// maxLine bounds a line of the control socket.
const maxLine = 64 << 10

// ParseEvent reads a line that the process wrote.
func ParseEvent(line []byte) (e Event, err error) {
	if err = json.Unmarshal(line, &e); err != nil {
		return e, fmt.Errorf("engine: event: %w", err)
	}
	return e, nil
}

// ParseCommand reads a line that the daemon wrote.
func ParseCommand(line []byte) (c Command, err error) {
	if err = json.Unmarshal(line, &c); err != nil {
		return c, fmt.Errorf("engine: command: %w", err)
	}
	switch c.Do {
	case DoStart, DoStop, DoKeyFrame, DoSlate:
	case DoBitrate:
		if c.Kbps < 1 {
			return c, fmt.Errorf("engine: command: bitrate %d kbit/s", c.Kbps)
		}
	default:
		return c, fmt.Errorf("engine: unknown command %q", c.Do)
	}
	return c, nil
}
