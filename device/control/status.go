package control

import (
	"encoding/json"
	"time"

	"quartet/device/health"
)

// Status is everything about a running box at one moment.
type Status struct {
	Name    string      `json:"name"`
	Version string      `json:"version"` // of the software
	Time    time.Time   `json:"time"`
	UptimeS float64     `json:"uptime_s"`
	Input   Input       `json:"input"`
	Output  Output      `json:"output"`
	Plan    Plan        `json:"plan"`
	Paths   []Path      `json:"paths"`
	Worst   string      `json:"worst"` // highest severity of the active conditions, "info" if there is none
	Active  []Condition `json:"conditions"`
}

// States of an input.
const (
	InputOK      = "ok"
	InputWaiting = "waiting" // nothing has arrived yet
	InputLost    = "lost"
)

// Input is the feed.
type Input struct {
	Type             string  `json:"type"`
	URL              string  `json:"url"` // without parameters, which may be secrets
	State            string  `json:"state"`
	Reason           string  `json:"reason,omitempty"` // why it is not ok, in words
	OnLoss           string  `json:"on_input_loss"`
	Filling          bool    `json:"filling"` // null packets are being sent in its place
	BitrateBPS       int64   `json:"bitrate_bps"`
	JitterMS         float64 `json:"jitter_ms"`
	Packets          uint64  `json:"ts_packets_total"`
	ContinuityErrors uint64  `json:"continuity_errors_total"`
	TransportErrors  uint64  `json:"transport_errors_total"`
	SyncLosses       uint64  `json:"sync_losses_total"`   // and datagrams without sync: malformed_total is among them
	Malformed        uint64  `json:"malformed_total"`     // datagrams that carry no transport stream
	SkippedBytes     uint64  `json:"skipped_bytes_total"` // outside of TS packets, in streams and datagrams that carry some
	Losses           uint64  `json:"losses_total"`        // times the feed was lost
	// What the media engine does; nil where the feed is passed through.
	Engine *Engine `json:"engine,omitempty"`
	// Picture and sound; nil where they are not watched.
	Confidence *Confidence `json:"confidence,omitempty"`
	// Copies of an ST 2022-7 feed; one entry otherwise, or none.
	Legs []InputLeg `json:"legs,omitempty"`
	// The transport stream as it comes; nil where monitoring is switched off.
	Monitor *Monitor `json:"monitor,omitempty"`
}

// Output is what is sent, the same on all paths.
type Output struct {
	// The transport stream as it is sent; nil where monitoring is switched off.
	Monitor *Monitor `json:"monitor,omitempty"`
}

// Engine is the media engine's state.
type Engine struct {
	Up           bool   `json:"up"`
	Reason       string `json:"reason,omitempty"` // why it ended last, or what its capture complains of
	Encoder      string `json:"encoder"`          // GStreamer element
	OnAir        string `json:"on_air"`           // engine, slate or nothing
	InputPresent bool   `json:"input_present"`
	Starts       uint64 `json:"starts_total"`
	Frames       uint64 `json:"frames_captured_total"`
	// What the capture device says of its signal; nil where there is none to ask.
	Signal *Signal `json:"signal,omitempty"`
	// How the clocks of picture and sound are followed.
	ClockPPM      float64   `json:"clock_ppm"`              // the input's against this machine's
	FrameJitterMS float64   `json:"frame_jitter_ms"`        // mean
	Repeated      uint64    `json:"frames_repeated_total"`  // shown again in place of a lost or late one
	Surplus       uint64    `json:"frames_surplus_total"`   // came too late or too soon to be shown
	SoundPresent  bool      `json:"sound_present"`          // from the input
	SoundReason   string    `json:"sound_reason,omitempty"` // why not, in words
	SoundPPM      float64   `json:"sound_clock_ppm"`        // its clock against this machine's
	ResamplePPM   float64   `json:"resample_ppm"`           // 0: samples pass unchanged
	SoundOffsetMS float64   `json:"sound_offset_ms"`        // of the sound against the picture
	SoundSlips    uint64    `json:"sound_slips_total"`      // times that sound was placed anew
	LateFrames    uint64    `json:"late_frames_total"`      // encoded after they were to be shown
	RateBPS       int64     `json:"rate_bps"`               // of the whole stream, as asked for
	HighestBPS    int64     `json:"highest_rate_bps"`       // what it is while the paths carry it; 0: the rate does not adapt
	LowestBPS     int64     `json:"lowest_rate_bps"`
	Stuffing      uint64    `json:"null_packets_total"`
	LeadMS        float64   `json:"lead_ms"`  // what a frame is ahead of its time
	DelayMS       float64   `json:"delay_ms"` // of a picture, from the encode pipeline's input to the stream
	MemoryMiB     int       `json:"memory_mib"`
	SlateSeconds  float64   `json:"slate_seconds_total"` // the engine was not on air
	LastOutageMS  float64   `json:"last_outage_ms"`      // from the slate's start to the engine's picture
	PeakDB        []float64 `json:"peak_db,omitempty"`   // per channel, of full scale
	RMSDB         []float64 `json:"rms_db,omitempty"`
}

// Signal is what a capture device says.
type Signal struct {
	State  string `json:"state"`            // locked, present, no-signal, unlocked, unsupported, missing, refused, busy, unknown
	Format string `json:"format,omitempty"` // of a locked one, such as 1080i50
	Text   string `json:"text"`             // in words
	Remedy string `json:"remedy,omitempty"`
	Card   string `json:"card,omitempty"`
	Input  string `json:"input,omitempty"`
}

// InputLeg is one copy of the feed.
type InputLeg struct {
	URL      string `json:"url"`
	State    string `json:"state"`
	Received uint64 `json:"received_total"`
	Missing  uint64 `json:"missing_total"` // did not arrive here; the other copy may have had them
}

// Monitor is what the checks of ETSI TR 101 290 find on a transport stream, and
// what the stream is. A Probe has more.
type Monitor struct {
	Synced        bool            `json:"synced"` // the stream is there
	Packets       uint64          `json:"ts_packets_total"`
	BitrateBPS    int64           `json:"bitrate_bps"`
	NullShare     float64         `json:"null_share"` // of the packets, 0…1
	Priority1     uint64          `json:"priority1_errors_total"`
	Priority2     uint64          `json:"priority2_errors_total"`
	Priority3     uint64          `json:"priority3_errors_total"`
	Checks        []StreamCheck   `json:"checks"`
	Services      []StreamService `json:"services"`                 // the first 16
	OtherServices int             `json:"other_services,omitempty"` // beyond them
	Clocks        []StreamClock   `json:"clocks"`
	Cues          []StreamCue     `json:"cues"` // of SCTE 35, the last 8, oldest first
}

// StreamCheck is one check of ETSI TR 101 290.
type StreamCheck struct {
	Clause   string     `json:"clause"`
	Name     string     `json:"name"`
	Priority int        `json:"priority"`
	Measured bool       `json:"measured"` // false: the stream has nothing that it applies to
	Active   bool       `json:"active"`   // it is the case, or was a few seconds ago
	Count    uint64     `json:"errors_total"`
	PID      int        `json:"pid"` // of the last error; -1: it has none
	Last     *time.Time `json:"last,omitempty"`
}

// StreamService is a program of the stream.
type StreamService struct {
	Number     int               `json:"number"`
	Name       string            `json:"name,omitempty"`
	Provider   string            `json:"provider,omitempty"`
	PMTPID     int               `json:"pmt_pid"`
	PCRPID     int               `json:"pcr_pid"` // -1: no clock, or not known yet
	Components []StreamComponent `json:"components"`
}

// StreamComponent is a picture, a sound or another part of a service.
type StreamComponent struct {
	PID      int    `json:"pid"`
	Kind     string `json:"kind"`
	Codec    string `json:"codec,omitempty"` // empty: not known
	Language string `json:"language,omitempty"`
}

// StreamClock is a PID with the clock (PCR) of a service.
type StreamClock struct {
	PID        int     `json:"pid"`
	IntervalMS float64 `json:"interval_ms"` // from PCR to PCR, mean of the last seconds
	LongestMS  float64 `json:"longest_ms"`
	JitterMS   float64 `json:"jitter_ms"`     // arrival against PCR, peak to peak
	Constant   bool    `json:"constant_rate"` // so that accuracy is measured
	AccuracyNS float64 `json:"accuracy_ns"`   // the worst of the last seconds
}

// StreamCue is a message of SCTE 35.
type StreamCue struct {
	Time       time.Time `json:"time"`
	PID        int       `json:"pid"`
	Command    string    `json:"command,omitempty"`
	Encrypted  bool      `json:"encrypted,omitempty"`
	EventID    *uint32   `json:"event_id,omitempty"`
	Cancel     bool      `json:"cancel,omitempty"`
	Out        bool      `json:"out_of_network"`
	Immediate  bool      `json:"immediate,omitempty"`
	DurationMS *float64  `json:"duration_ms,omitempty"`
	Segments   []string  `json:"segments,omitempty"` // types of the segmentation descriptors
}

// Places at which the stream is watched.
const (
	AtInput  = "input"
	AtOutput = "output"
)

// Probe is all that a monitor knows of the stream at one place.
type Probe struct {
	Where string    `json:"where"`
	Time  time.Time `json:"time"`
	// Stream is a tr101290.Stats. Its instants are process times; at_ns was just
	// before Time.
	Stream json.RawMessage `json:"stream"`
}

// Plan is what the parts are set to.
type Plan struct {
	K               int      `json:"k"`
	Rows            int      `json:"rows_per_stream"`
	Streams         int      `json:"streams"`
	MaxBlockMS      float64  `json:"max_block_ms"`
	FECBoundMS      float64  `json:"fec_bound_ms"`
	SRTLatencyMS    float64  `json:"srt_latency_ms"`
	StaggerMS       float64  `json:"stagger_ms"` // largest
	ReserveMS       float64  `json:"reserve_ms"` // for late handshakes and machines that are held up
	LatencyMS       float64  `json:"latency_ms"` // total
	SpareMS         float64  `json:"spare_ms"`
	ARQRounds       float64  `json:"arq_rounds"`
	OverheadPercent float64  `json:"overhead_percent"`          // of a feed at the highest rate
	OverheadNow     float64  `json:"overhead_measured_percent"` // repair packets to source packets of a stream so far; 0 without parity
	WireBPS         int64    `json:"wire_bps"`                  // of one stream
	Problem         string   `json:"problem,omitempty"`         // why it does not fit; empty if it does
	Notes           []string `json:"notes,omitempty"`
}

// States of a path.
const (
	PathConnecting = "connecting"
	PathListening  = "listening" // waiting for the far end to call
	PathUp         = "up"
	PathStopped    = "stopped"
)

// Path is one destination.
type Path struct {
	Name      string  `json:"name"`
	Leg       int     `json:"leg"`
	Group     string  `json:"merge_group,omitempty"`
	Profile   string  `json:"profile"`
	State     string  `json:"state"`
	Reason    string  `json:"reason,omitempty"` // why it is not up, in words
	UpS       float64 `json:"up_s"`             // since it connected
	Remote    string  `json:"remote,omitempty"`
	Local     string  `json:"local,omitempty"`
	Interface string  `json:"interface,omitempty"`
	Encrypted bool    `json:"encrypted"`
	Reachable bool    `json:"reachable"` // the far end answers, though it may refuse
	// What is withheld because the path is too weak; see adaptive.
	Shed       bool `json:"shed"`        // everything
	ParityShed bool `json:"parity_shed"` // repair packets

	// What this end knows.
	BitrateBPS      int64   `json:"bitrate_bps"`
	RTTMS           float64 `json:"rtt_ms"`
	LatencyMS       float64 `json:"srt_latency_ms"`
	StaggerMS       float64 `json:"stagger_ms"`
	Sent            uint64  `json:"sent_total"`          // messages given to the socket
	SendLoss        uint64  `json:"send_loss_total"`     // packets that the far end asked for again (pktSndLoss)
	SendLossPercent float64 `json:"send_loss_percent"`   // of late, before any repair
	Retransmits     uint64  `json:"retransmits_total"`   // packets sent again (pktRetrans)
	SendDropped     uint64  `json:"send_dropped_total"`  // too late in the socket's buffer (pktSndDrop)
	QueueDropped    uint64  `json:"queue_dropped_total"` // pushed out of the path's queue
	Connects        uint64  `json:"connects_total"`
	Disconnects     uint64  `json:"disconnects_total"`

	// What the far end reports; nil where arrival is unknown, and then
	// ArrivalUnknown says why.
	Arrival        *Arrival `json:"arrival,omitempty"`
	ArrivalUnknown string   `json:"arrival_unknown,omitempty"`
}

// Arrival is what a gateway reports of one path and of the merged stream.
type Arrival struct {
	AgeMS       float64 `json:"age_ms"` // of the report
	Received    uint64  `json:"received_total"`
	LostHere    uint64  `json:"lost_here_total"` // did not arrive on this path in time; the sum of the next three
	ByOther     uint64  `json:"by_other_total"`  // came over another path
	ByParity    uint64  `json:"by_parity_total"` // repaired
	Unrecovered uint64  `json:"unrecovered_total"`
	Late        uint64  `json:"late_total"`
	BadTag      uint64  `json:"bad_tag_total"`
	SkewMS      float64 `json:"skew_ms"` // behind the first path
	JitterMS    float64 `json:"jitter_ms"`
	LossPercent float64 `json:"loss_percent"` // of late, on this path alone
	Merged      Merged  `json:"merged"`
	Digest      Digest  `json:"digest"`
}

// Merged is what the gateway released to its outputs.
type Merged struct {
	Delivered  uint64  `json:"delivered_total"`
	ByParity   uint64  `json:"by_parity_total"`
	Lost       uint64  `json:"lost_total"`
	MarginMS   float64 `json:"margin_ms"`  // least time a packet was there before its release
	LatencyMS  float64 `json:"latency_ms"` // of the gateway's release clock
	BitrateBPS int64   `json:"bitrate_bps"`
}

// Digest compares what was sent with what the gateway released, in windows of
// 1024 packets.
type Digest struct {
	Compared  uint64 `json:"compared_total"`
	Equal     uint64 `json:"equal_total"`
	Different uint64 `json:"different_total"`
}

// Condition is a health.Condition with wall-clock times.
type Condition struct {
	ID       string          `json:"id"`
	Code     health.Code     `json:"code"`
	Resource string          `json:"resource"`
	Severity health.Severity `json:"severity"`
	Text     string          `json:"text"`
	Remedy   string          `json:"remedy,omitempty"`
	Active   bool            `json:"active"`
	Masked   bool            `json:"masked,omitempty"` // a consequence of another one
	Value    float64         `json:"value,omitempty"`
	Unit     string          `json:"unit,omitempty"`
	Count    int             `json:"count"`
	First    time.Time       `json:"first_raised"`
	Raised   time.Time       `json:"raised"`
	Changed  time.Time       `json:"changed"`
	Cleared  *time.Time      `json:"cleared,omitempty"`
}

// Conditions is the list: active ones first, worst first.
type Conditions struct {
	Worst string      `json:"worst"`
	List  []Condition `json:"conditions"`
}

// Event is a health.Event with wall-clock times.
type Event struct {
	ID        string           `json:"id"` // resumes the stream after this event
	Time      time.Time        `json:"time"`
	Kind      health.EventKind `json:"kind"`
	Condition Condition        `json:"condition"`
}

// Reload is the outcome of reading the configuration again.
type Reload struct {
	Changed  []string `json:"changed"`            // what was changed, in words; empty if nothing
	Warnings []string `json:"warnings,omitempty"` // about the document
}

// Preflight is the outcome of trying out a path.
type Preflight struct {
	Path                string `json:"path"`
	OK                  bool   `json:"ok"`
	Steps               []Step `json:"steps"`
	LargestBytes        int    `json:"largest_bytes,omitempty"`          // longest message that arrived
	TSPacketsPerMessage int    `json:"ts_packets_per_message,omitempty"` // what fits it
}

// Step is one thing that a preflight tried.
type Step struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// view gives a condition its wall-clock times.
func view(c health.Condition, wall func(time.Duration) time.Time) Condition {
	v := Condition{ID: c.ID(), Code: c.Code, Resource: c.Resource, Severity: c.Severity, Text: c.Text, Remedy: c.Remedy,
		Active: c.Active, Masked: c.Masked, Value: c.Value, Unit: c.Unit, Count: c.Count,
		First: wall(c.First), Raised: wall(c.Raised), Changed: wall(c.Changed)}
	if !c.Active && c.Cleared > 0 {
		at := wall(c.Cleared)
		v.Cleared = &at
	}
	return v
}

// Views gives conditions their wall-clock times; it fills Status.Active.
func Views(list []health.Condition, wall func(time.Duration) time.Time) []Condition {
	views := make([]Condition, len(list))
	for i := range list {
		views[i] = view(list[i], wall)
	}
	return views
}
