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

// Command is what the daemon tells the process.
type Command struct {
	Do   string `json:"do"`
	Kbps int    `json:"kbps,omitempty"`
	On   bool   `json:"on,omitempty"`
}

// Words of Event.Is.
const (
	IsReady     = "ready"     // both pipelines are made; Encoder says what was found
	IsHeartbeat = "heartbeat" // four times a second
	IsError     = "error"     // Text, of Part; a capture that fails is tried again
	IsInput     = "input"     // Present has changed
	IsLevel     = "level"     // of the sound, ten times a second
	// Report of picture and sound, a few times a second; Text says what keeps it
	// from being whole.
	IsConfidence = "confidence"
)

// Event is what the process tells.
type Event struct {
	Is      string `json:"is"`
	Text    string `json:"text,omitempty"`
	Part    string `json:"part,omitempty"` // capture or encode
	Encoder string `json:"encoder,omitempty"`
	Present bool   `json:"present,omitempty"` // frames come from the input
	Slate   bool   `json:"slate,omitempty"`   // shown by the process in place of the input
	Frames  uint64 `json:"frames,omitempty"`  // captured so far
	// Base is where the encode pipeline's time begins on CLOCK_MONOTONIC, in ns:
	// with a frame's PTS it tells how long the frame took.
	Base int64 `json:"base,omitempty"`
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
