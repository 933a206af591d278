package tr101290

import (
	"time"

	"quartet/capture/mpegts"
)

// Stats is what a Monitor knows. Instants are on the time line of WriteTS and
// Tick, in nanoseconds. Rates are of the last complete window of one second, by
// arrival. It is the caller's, except for Services, which is read only.
type Stats struct {
	At          time.Duration    `json:"at_ns"`        // the latest instant known
	Started     bool             `json:"started"`      // a packet has come
	Synced      bool             `json:"synced"`       // the stream is there (1.1); while it is not, nothing else is judged
	Since       time.Duration    `json:"since_ns"`     // since when without a break
	Packets     uint64           `json:"packets"`      // all, null packets and damaged ones too
	NullPackets uint64           `json:"null_packets"` //
	RateBPS     int64            `json:"rate_bps"`     // of the whole stream, null packets too
	NullShare   float64          `json:"null_share"`   // share of null packets, 0…1
	TSID        int              `json:"tsid"`         // transport_stream_id of the PAT; -1: no PAT yet
	NetworkPID  mpegts.PID       `json:"network_pid"`  // of the NIT
	Checks      []CheckStats     `json:"checks"`       // all checks, by number
	CRC         CRCStats         `json:"crc"`          // errors of 2.2 by table
	Services    []mpegts.Program `json:"services"`     // by number, with their components
	PIDs        []PIDStats       `json:"pids"`         // by number
	OtherPIDs   int              `json:"other_pids"`   // PIDs beyond those listed, the first 1024
	Clocks      []ClockStats     `json:"clocks"`       // PIDs with PCRs, by number
	Cues        []Cue            `json:"cues"`         // the last 64 messages of SCTE 35, oldest first
	CueStats    CueStats         `json:"cue_stats"`
	OverLimit   uint64           `json:"over_limit"` // programs, services and PIDs left out because there are too many
	Refused     uint64           `json:"refused"`    // sections with a sound CRC that make no sense
}

// CheckStats is the state of a check.
type CheckStats struct {
	Check    Check         `json:"check"`
	Clause   string        `json:"clause"`   // of ETSI TR 101 290, such as "1.3.a"
	Priority int           `json:"priority"` // 1…3
	Measured bool          `json:"measured"` // false: switched off, or there is nothing to apply it to
	Active   bool          `json:"active"`   // it is the case, or was within Config.Hold
	Count    uint64        `json:"count"`    // errors since the start
	First    time.Duration `json:"first_ns"` // when the first was noticed; 0 without one
	Last     time.Duration `json:"last_ns"`  // when the last was noticed; 0 without one
	PID      mpegts.PID    `json:"pid"`      // of the last; 8191: it has none
}

// CRCStats counts damaged sections by table (2.2).
type CRCStats struct {
	PAT uint64 `json:"pat"`
	CAT uint64 `json:"cat"`
	PMT uint64 `json:"pmt"`
	NIT uint64 `json:"nit"`
	BAT uint64 `json:"bat"`
	SDT uint64 `json:"sdt"`
	EIT uint64 `json:"eit"`
	TOT uint64 `json:"tot"`
}

// PIDStats is what is known of a PID.
type PIDStats struct {
	PID              mpegts.PID    `json:"pid"`
	Use              string        `json:"use,omitempty"`     // "PAT", "PMT", a codec, "ECM", "null", …; "" unknown
	Program          int           `json:"program,omitempty"` // the first that names it; 0: none
	Referenced       bool          `json:"referenced"`        // a table names it, or it needs none
	Packets          uint64        `json:"packets"`           //
	RateBPS          int64         `json:"rate_bps"`          //
	Scrambled        uint64        `json:"scrambled"`         // packets with transport_scrambling_control not 00
	ContinuityErrors uint64        `json:"continuity_errors"` // of 1.4
	Last             time.Duration `json:"last_ns"`           // when the last packet came
	PTSInterval      Interval      `json:"pts_interval"`      // by arrival; of pictures and sounds
}

// Interval is a range over the last 5 to 10 s. Without values all are 0.
type Interval struct {
	Min   float64 `json:"min_ms"`
	Mean  float64 `json:"mean_ms"`
	Max   float64 `json:"max_ms"`
	Count int64   `json:"count"`
}

// ClockStats is what is known of a PID's PCRs.
type ClockStats struct {
	PID              mpegts.PID `json:"pid"`
	Programs         []uint16   `json:"programs"`         // whose clock it is; without any 2.3 and 2.4 do not apply
	Count            uint64     `json:"count"`            // PCRs
	Interval         Interval   `json:"interval"`         // by the PCRs' own difference
	Over40MS         uint64     `json:"over_40ms"`        // intervals of more than 40 ms, within the limit of 2.3a
	Discontinuities  uint64     `json:"discontinuities"`  // announced by discontinuity_indicator
	JitterMS         float64    `json:"jitter_ms"`        // peak to peak of arrival minus PCR over the last 5 to 10 s
	Constant         bool       `json:"constant_rate"`    // the stream's rate is constant by this clock, so that accuracy is measured
	RateBPS          float64    `json:"rate_bps"`         // of the whole stream by this clock; 0 unless Constant
	AccuracyMinNS    float64    `json:"accuracy_min_ns"`  // PCR minus its due value, over the last 32 PCRs; 0 unless Constant
	AccuracyMaxNS    float64    `json:"accuracy_max_ns"`  //
	AccuracyMeasured uint64     `json:"accuracy_checked"` // PCRs judged (2.4)
	AccuracyErrors   uint64     `json:"accuracy_errors"`  // of which off by more than 500 ns
}

// Cue is a message of SCTE 35. Messages of splice_null are counted only.
type Cue struct {
	At              time.Duration     `json:"at_ns"`                 // when it came first
	Last            time.Duration     `json:"last_ns"`               // when it came last
	Repeats         uint64            `json:"repeats"`               // times it came again
	PID             mpegts.PID        `json:"pid"`                   //
	Program         int               `json:"program"`               // 0: none names the PID any more
	Encrypted       bool              `json:"encrypted"`             // nothing else is known then
	Command         string            `json:"command,omitempty"`     // "splice_insert", "time_signal", …
	EventID         *uint32           `json:"event_id,omitempty"`    // of splice_insert
	Cancel          bool              `json:"cancel,omitempty"`      // the event is called off
	OutOfNetwork    bool              `json:"out_of_network"`        // of splice_insert: true out, false back in
	Immediate       bool              `json:"immediate,omitempty"`   // at once, without PTS
	PTS             *mpegts.Timestamp `json:"pts,omitempty"`         // when, 90 kHz, pts_adjustment included
	DurationMS      *float64          `json:"duration_ms,omitempty"` // of the break
	AutoReturn      bool              `json:"auto_return,omitempty"` //
	UniqueProgramID uint16            `json:"unique_program_id,omitempty"`
	Avail           uint8             `json:"avail,omitempty"`
	AvailsExpected  uint8             `json:"avails_expected,omitempty"`
	Segments        []Segment         `json:"segments,omitempty"`
	MoreSegments    int               `json:"more_segments,omitempty"` // beyond the eight that are kept
}

// Segment is a segmentation descriptor of a Cue.
type Segment struct {
	EventID    uint32   `json:"event_id"`
	Cancel     bool     `json:"cancel,omitempty"`
	TypeID     uint8    `json:"type_id"`
	Type       string   `json:"type,omitempty"` // the name of TypeID; "" reserved
	DurationMS *float64 `json:"duration_ms,omitempty"`
	UPIDType   uint8    `json:"upid_type"`
	UPID       string   `json:"upid"`               // hex
	UPIDCut    bool     `json:"upid_cut,omitempty"` // longer than the 64 bytes shown
	Number     uint8    `json:"number"`
	Expected   uint8    `json:"expected"`
}

// CueStats counts messages of SCTE 35 that are not logged.
type CueStats struct {
	Heartbeats uint64 `json:"heartbeats"` // splice_null
	CRCErrors  uint64 `json:"crc_errors"`
	Malformed  uint64 `json:"malformed"` // CRC sound, content not
}
