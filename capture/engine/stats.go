package engine

import (
	"cmp"
	"time"

	"golang.org/x/sys/unix"

	"quartet/capture/mpegts"
)

// Stats is what is known of the engine.
type Stats struct {
	Up           bool        `json:"up"`  // its transport stream comes
	PID          int         `json:"pid"` // of the process; 0: none runs
	Starts       uint64      `json:"starts"`
	Failure      string      `json:"failure,omitempty"` // why it ended last
	Encoder      string      `json:"encoder"`
	Present      bool        `json:"input_present"`
	Capture      string      `json:"capture_error,omitempty"`
	Sound        bool        `json:"sound_present"` // from the input; the test picture's tone counts
	SoundError   string      `json:"sound_error,omitempty"`
	Lock         Lock        `json:"lock"`
	Signal       Signal      `json:"signal"`
	Reforming    bool        `json:"reforming"` // the process is being replaced for another format
	Slate        bool        `json:"slate"`     // on air, the engine's or ours
	Frames       uint64      `json:"frames_captured"`
	RateBPS      int64       `json:"rate_bps"`
	PeakDB       []float64   `json:"peak_db,omitempty"` // full scale
	RMSDB        []float64   `json:"rms_db,omitempty"`
	DelayMS      float64     `json:"delay_ms"` // of the last picture, from its capture to here; 0: not known
	MemoryMiB    int         `json:"memory_mib"`
	SlateAfterMS float64     `json:"slate_after_ms"` // from the last TS to the slate, last time
	BackAfterMS  float64     `json:"back_after_ms"`  // from the slate to the engine, last time
	Splice       SpliceStats `json:"splice"`
}

// Signal is what the device at the input says.
type Signal struct {
	Is     string `json:"is"`               // as package sdi names it; "": nothing to watch
	Good   bool   `json:"good"`             // frames can be expected
	Format string `json:"format,omitempty"` // such as 1080i50
	Text   string `json:"text,omitempty"`
	Remedy string `json:"remedy,omitempty"`
	Card   string `json:"card,omitempty"`
	Input  string `json:"input,omitempty"`
}

// Stats returns what is known now.
func (s *Source) Stats() Stats {
	var sig Signal
	if w := s.signal.watcher; w != nil {
		st := w.State()
		sig = Signal{string(st.Signal), st.Signal.Good(), st.Format(), st.Text(), st.Remedy(), st.Card, st.Input}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Up: s.st.up, Starts: s.st.starts, Failure: s.st.failure, Encoder: s.st.encoder, Present: s.st.present, Capture: cmp.Or(s.st.feed, s.st.capture),
		Sound: s.st.sound, SoundError: s.st.soundError, Signal: sig, Reforming: s.st.reforming != "",
		Slate: s.st.slate, Frames: s.st.frames, RateBPS: s.rate, PeakDB: s.st.peak, RMSDB: s.st.rms, MemoryMiB: s.st.memory,
		SlateAfterMS: s.st.downMS, BackAfterMS: s.st.recoveryMS,
	}
	if s.proc != nil {
		st.PID = s.proc.cmd.Process.Pid
	}
	if s.splice != nil {
		sp := s.splice.Stats()
		st.Splice = sp
		st.Slate = st.Slate || sp.Origin != FromEngine
	}
	if beat := &s.st.beat; beat.At > 0 {
		st.Lock = *beat.Lock
		if st.Up && s.splice.run.seen {
			media := s.splice.run.pts.Add(-muxStart).Duration() - time.Duration(beat.Media)
			captured := time.Duration(beat.At-s.st.monotonic) + time.Duration(float64(media)/(1+beat.Lock.PPM/1e6))
			st.DelayMS = inMS(s.clock.back(s.splice.run.last) - captured)
		}
	}
	return st
}

// muxStart is the PTS that mpegtsmux gives to running time zero: an hour.
const muxStart = 3600 * mpegts.PTSHz

// monotonic is the clock that GStreamer goes by, in ns.
func monotonic() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0 // unreachable on Linux
	}
	return t.Nano()
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
