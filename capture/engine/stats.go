package engine

import "time"

// Stats is what is known of the engine.
type Stats struct {
	Up           bool        `json:"up"`  // its transport stream comes
	PID          int         `json:"pid"` // of the process; 0: none runs
	Starts       uint64      `json:"starts"`
	Failure      string      `json:"failure,omitempty"` // why it ended last
	Encoder      string      `json:"encoder"`
	Present      bool        `json:"input_present"`
	Capture      string      `json:"capture_error,omitempty"`
	Slate        bool        `json:"slate"` // on air, the engine's or ours
	Frames       uint64      `json:"frames_captured"`
	RateBPS      int64       `json:"rate_bps"`
	PeakDB       []float64   `json:"peak_db,omitempty"` // full scale
	RMSDB        []float64   `json:"rms_db,omitempty"`
	MemoryMiB    int         `json:"memory_mib"`
	SlateAfterMS float64     `json:"slate_after_ms"` // from the last TS to the slate, last time
	BackAfterMS  float64     `json:"back_after_ms"`  // from the slate to the engine, last time
	Splice       SpliceStats `json:"splice"`
}

// Stats returns what is known now.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Up: s.st.up, Starts: s.st.starts, Failure: s.st.failure, Encoder: s.st.encoder, Present: s.st.present, Capture: s.st.capture,
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
	return st
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
