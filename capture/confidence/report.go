package confidence

import (
	"math"
	"time"
)

// State is a Span for others to read. Instants are media time in seconds.
type State struct {
	Active  bool    `json:"active"`   // it is the case, and has been for the hold time
	StartS  float64 `json:"start_s"`  // of the present one, else of the last that reached the hold time
	LengthS float64 `json:"length_s"` // so far, or of the whole
	Count   uint64  `json:"total"`
}

func (h *held) state() State {
	return State{h.span.Active, h.span.Start.Seconds(), h.span.Length.Seconds(), h.span.Count}
}

// PictureReport is what is known of the picture.
type PictureReport struct {
	AtS           float64 `json:"at_s"` // media time of the last one
	Frames        uint64  `json:"frames_total"`
	LumaPercent   float64 `json:"luma_percent"`   // mean, of the range from black to white
	BlackPercent  float64 `json:"black_percent"`  // of the pixels
	ChangePercent float64 `json:"change_percent"` // of the block that changed most since the picture before
	IsBars        bool    `json:"is_bars"`        // this picture; Bars has held
	Black         State   `json:"black"`
	Freeze        State   `json:"freeze"`
	Bars          State   `json:"bars"`
}

// Report returns what is known now.
func (p *Picture) Report() PictureReport {
	return PictureReport{
		AtS: p.at.Seconds(), Frames: p.frames, LumaPercent: 100 * (p.mean - lumaBlack) / lumaRange, BlackPercent: 100 * p.dark,
		ChangePercent: 100 * p.change, IsBars: p.isBars,
		Black: p.blacks.state(), Freeze: p.freeze.state(), Bars: p.bars.state(),
	}
}

// ChannelReport is what is known of a channel. Levels are dB of full scale, true
// peaks dBTP; none is below Floor.
type ChannelReport struct {
	PeakDB    float64 `json:"peak_db"` // since the report before
	RMSDB     float64 `json:"rms_db"`  // likewise
	TruePeak  float64 `json:"true_peak_dbtp"`
	Highest   float64 `json:"true_peak_max_dbtp"` // since the start, or since Reset
	Silence   State   `json:"silence"`
	Clips     uint64  `json:"clips_total"`
	LastClipS float64 `json:"last_clip_s"` // media time; holds if Clips > 0
}

// PairReport is what is known of a pair of channels: loudness by EBU R 128.
type PairReport struct {
	Momentary    float64         `json:"momentary_lufs"`
	ShortTerm    float64         `json:"short_term_lufs"`
	Integrated   float64         `json:"integrated_lufs"` // since the start, or since Reset
	Range        float64         `json:"range_lu"`
	MaxMomentary float64         `json:"max_momentary_lufs"`
	MaxShortTerm float64         `json:"max_short_term_lufs"`
	MeasuredS    float64         `json:"measured_s"`
	Channels     []ChannelReport `json:"channels"`
}

// SoundReport is what is known of the sound.
type SoundReport struct {
	AtS   float64      `json:"at_s"` // media time of the last sample
	Pairs []PairReport `json:"pairs"`
}

// Report returns what is known now, and begins the peaks of the next.
func (s *Sound) Report() SoundReport {
	r := SoundReport{AtS: s.at.Seconds(), Pairs: make([]PairReport, len(s.pairs))}
	for i, l := range s.pairs {
		r.Pairs[i] = PairReport{
			Momentary: l.Momentary(), ShortTerm: l.ShortTerm(), Integrated: l.Integrated(), Range: l.Range(),
			MaxMomentary: l.MaxMomentary(), MaxShortTerm: l.MaxShortTerm(), MeasuredS: l.Measured().Seconds(),
		}
	}
	for i := range s.channels {
		c := &s.channels[i]
		rms := 0.0
		if c.n > 0 {
			rms = math.Sqrt(c.square / float64(c.n))
		}
		r.Pairs[i/2].Channels = append(r.Pairs[i/2].Channels, ChannelReport{
			PeakDB: level(float64(c.samples)), RMSDB: level(rms), TruePeak: level(float64(c.between)), Highest: level(float64(c.highest)),
			Silence: c.silence.state(), Clips: c.clips, LastClipS: c.lastClip.Seconds(),
		})
		c.samples, c.between, c.square, c.n = 0, 0, 0, 0
	}
	return r
}

func level(v float64) float64 {
	if v <= 0 {
		return Floor
	}
	return max(20*math.Log10(v), Floor)
}

// Report is all of it.
type Report struct {
	Picture *PictureReport `json:"picture,omitempty"`
	Sound   *SoundReport   `json:"sound,omitempty"`
}

// Instant turns seconds of a report back into media time.
func Instant(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
