package control

import "time"

// Confidence is what is known of picture and sound.
type Confidence struct {
	Watched   bool        `json:"watched"`          // reports come
	Reason    string      `json:"reason,omitempty"` // why they do not, or do not tell all
	AgeMS     float64     `json:"age_ms"`           // of the report
	Picture   *Picture    `json:"picture,omitempty"`
	Sound     []SoundPair `json:"sound,omitempty"`
	MemoryMiB int         `json:"memory_mib,omitempty"` // of the process that decodes a passed-through feed
	Starts    uint64      `json:"starts_total,omitempty"`
	Dropped   uint64      `json:"dropped_ts_packets_total,omitempty"` // that it was too slow for; the feed itself has them
}

// Seen is a state of picture or sound that counts once it has lasted.
type Seen struct {
	Active  bool       `json:"active"`
	Since   *time.Time `json:"since,omitempty"` // start of the present one, else of the last
	LengthS float64    `json:"length_s"`        // of the same
	Count   uint64     `json:"total"`
}

// Picture is what is known of the picture.
type Picture struct {
	LumaPercent   float64 `json:"luma_percent"`   // mean brightness, of the range from black to white
	BlackPercent  float64 `json:"black_percent"`  // of the pixels
	ChangePercent float64 `json:"change_percent"` // of the part that changed most since the picture before
	IsBars        bool    `json:"is_bars"`        // the last picture is colour bars
	Black         Seen    `json:"black"`
	Freeze        Seen    `json:"freeze"`
	Bars          Seen    `json:"bars"`
}

// SoundPair is what is known of a pair of channels (EBU R 128).
type SoundPair struct {
	Momentary  float64        `json:"momentary_lufs"`
	ShortTerm  float64        `json:"short_term_lufs"`
	Integrated float64        `json:"integrated_lufs"`
	Range      float64        `json:"range_lu"`
	MeasuredS  float64        `json:"measured_s"` // that integrated and range are of
	Channels   []SoundChannel `json:"channels"`
}

// SoundChannel is what is known of a channel; -120 is nothing.
type SoundChannel struct {
	PeakDB   float64 `json:"peak_db"` // of full scale, since the report before
	RMSDB    float64 `json:"rms_db"`
	TruePeak float64 `json:"true_peak_dbtp"`
	Highest  float64 `json:"true_peak_max_dbtp"`
	Silence  Seen    `json:"silence"`
	Clips    uint64  `json:"clips_total"`
}

// Thumbnail is a small picture, a JPEG of 320×180.
type Thumbnail struct {
	JPEG []byte
	Time time.Time // when it was made
}
