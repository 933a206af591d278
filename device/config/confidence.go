package config

// Confidence says when picture and sound count as wrong. What the box encodes is
// looked at before it is encoded. Of a feed that is passed through a process of
// the lowest priority decodes key frames and sound.
type Confidence struct {
	// Watch picture and sound, raise conditions, and make a thumbnail each second.
	Enabled bool `json:"enabled" default:"true"`
	// A picture is black if its pixels are no brighter than this share of the range
	// from black to white,
	BlackLevelPercent float64 `json:"black_level_percent" default:"10" range:"0..50"`
	// on this share of its area,
	BlackAreaPercent float64 `json:"black_area_percent" default:"98" range:"50..100"`
	// for this long.
	BlackHoldMS Milliseconds `json:"black_hold_ms" default:"5000" range:"100..600000"`
	// A picture is still if no part of it, a twentieth of its width, changes its
	// brightness by more than this share of the range,
	FreezeChangePercent float64 `json:"freeze_change_percent" default:"1" range:"0..20"`
	// for this long.
	FreezeHoldMS Milliseconds `json:"freeze_hold_ms" default:"10000" range:"100..600000"`
	// Colour bars are reported after this time. The picture of input.type test is
	// bars, and is not reported.
	BarsHoldMS Milliseconds `json:"bars_hold_ms" default:"5000" range:"100..600000"`
	// A channel is silent if no sample is above this level, in dB of full scale,
	SilenceDB float64 `json:"silence_dbfs" default:"-60" range:"-100..-20"`
	// for this long.
	SilenceHoldMS Milliseconds `json:"silence_hold_ms" default:"10000" range:"100..600000"`
	// Samples in a row at full scale that count as clipped.
	ClipSamples int `json:"clip_samples" default:"3" range:"1..1000"`
	// Highest true peak (ITU-R BS.1770), in dBTP.
	TruePeakMax float64 `json:"true_peak_max_dbtp" default:"-1" range:"-20..6"`
	// Largest deviation of the short-term loudness (EBU R 128) of the first pair
	// from loudness_target_lufs, in LU. 0: not checked.
	LoudnessTolerance float64 `json:"loudness_tolerance_lu" default:"0" range:"0..30"`
	// With loudness_tolerance_lu: the loudness that the programme should have.
	LoudnessTarget float64 `json:"loudness_target_lufs" default:"-23" range:"-40..-5"`
	// With loudness_tolerance_lu: a deviation is reported after this time.
	LoudnessHoldMS Milliseconds `json:"loudness_hold_ms" default:"30000" range:"1000..600000"`
	// Memory at which the process that decodes a passed-through feed is ended, and
	// started again.
	MemoryLimitMiB int `json:"memory_limit_mib" default:"400" range:"100..4000"`
}

// confidenceRules checks what belongs to what.
func (b *Box) confidenceRules(r *report) {
	c := &b.Confidence
	if !c.Enabled {
		r.unused("confidence", *c, "with enabled false", "black_level_percent", "black_area_percent", "black_hold_ms", "freeze_change_percent",
			"freeze_hold_ms", "bars_hold_ms", "silence_dbfs", "silence_hold_ms", "clip_samples", "true_peak_max_dbtp", "loudness_tolerance_lu",
			"loudness_target_lufs", "loudness_hold_ms", "memory_limit_mib")
		if !b.Input.encoded() {
			r.unused("input", b.Input, "with confidence.enabled false: the feed is passed through as it is, with all its services", "service")
		}
		return
	}
	if b.Input.encoded() {
		r.unused("confidence", *c, "where the box encodes: encoder.memory_limit_mib holds", "memory_limit_mib")
	}
	if c.LoudnessTolerance == 0 {
		r.unused("confidence", *c, "with loudness_tolerance_lu 0", "loudness_target_lufs", "loudness_hold_ms")
	}
}
