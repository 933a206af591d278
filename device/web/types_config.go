package web

import (
	"time"

	"quartet/device/config"
	"quartet/device/control"
)

// Document is the box document as a request body or within an answer. Its
// schema is GET /config/schema.
type Document = config.Raw

// ConfigView is the stored document.
type ConfigView struct {
	Revision string         `json:"revision" doc:"for If-Match; also the answer's ETag"`
	Saved    bool           `json:"saved" doc:"false: there is no document yet; this one is to start from"`
	Document Document       `json:"document" doc:"box document with every secret that is set shown as (set)"`
	Warnings []config.Issue `json:"warnings"`
	SavedAt  *time.Time     `json:"saved_at"`
	SavedBy  string         `json:"saved_by,omitempty"`
}

// SaveQuery says how far a change may go.
type SaveQuery struct {
	Restart bool `json:"restart" doc:"the media plane may be started again where the change needs it, which interrupts all paths for a second or two; false: such a change is refused with 409 and the fields that need it"`
}

// ImportQuery says how far an import may go.
type ImportQuery struct {
	Restart     bool `json:"restart" doc:"as with PUT /config"`
	DropSecrets bool `json:"drop_secrets" doc:"leave out the secrets for which there are none here, and list them in missing_secrets; false: refuse such a document"`
}

// Saved is the outcome of a change of the document.
type Saved struct {
	Revision       string         `json:"revision"`
	Changed        []string       `json:"changed" doc:"what the media plane changed, in words"`
	Warnings       []config.Issue `json:"warnings"`
	Applied        bool           `json:"applied" doc:"false: it is saved, and the media plane does not run; it starts with it"`
	Restarted      bool           `json:"restarted" doc:"the media plane was started again"`
	Note           string         `json:"note,omitempty"`
	MissingSecrets []string       `json:"missing_secrets" doc:"fields that hold a secret at the box that the document came from, and none here: the paths concerned run without until they are set"`
}

// Checked is what a document is worth.
type Checked struct {
	OK           bool           `json:"ok"`
	Errors       []config.Issue `json:"errors"`
	Warnings     []config.Issue `json:"warnings"`
	Plan         *control.Plan  `json:"plan" doc:"null where there is none"`
	NeedsRestart []string       `json:"needs_restart" doc:"changed fields that take effect only when the media plane starts again"`
}

// Presets are parts of a document under a name.
type Presets struct {
	Presets []Preset `json:"presets"`
}

// Preset is a part of a document under a name: encoder, input and output, as far
// as it has them.
type Preset struct {
	Name        string   `json:"name"`
	Builtin     bool     `json:"builtin" doc:"comes with the software, cannot be changed"`
	Description string   `json:"description"`
	Document    Document `json:"document" doc:"merge patch (RFC 7386) of encoder, input and output, without secrets"`
}

// NewPreset keeps a preset.
type NewPreset struct {
	Description string   `json:"description" len:"0..200"`
	Document    Document `json:"document" required:"yes" doc:"merge patch (RFC 7386) of encoder, input and output, without secrets"`
}

// Line is a pasted line.
type Line struct {
	Line string `json:"line" required:"yes" len:"1..2000" doc:"srt://host:port?streamid=…&passphrase=…&key=…, as the gateway prints it"`
}

// Destination is what a pasted line says.
type Destination struct {
	OK      bool           `json:"ok"`
	Errors  []config.Issue `json:"errors"`
	Path    *ParsedPath    `json:"path" doc:"null where the line cannot be read"`
	Secrets []string       `json:"secrets" doc:"which secrets the line carries: passphrase, key. They are not repeated; put the line into the path's url as it is, and leave out the fields that it carries"`
}

// ParsedPath is the fields of a path that a line carries.
type ParsedPath struct {
	Profile   string `json:"profile"`
	URL       string `json:"url" doc:"without parameters"`
	Host      string `json:"host"`
	Port      int    `json:"port"`
	Mode      string `json:"mode" enum:"caller|listener"`
	StreamID  string `json:"stream_id,omitempty"`
	KeyLength int    `json:"key_length,omitempty"`
	LatencyMS int    `json:"latency_ms,omitempty"`
}

// PreflightRequest names what is to be tried out.
type PreflightRequest struct {
	Path string `json:"path" required:"yes" format:"name" doc:"name of a path of the running document"`
}

// PlanRequest is a question to the latency calculator.
type PlanRequest struct {
	LatencyMS       int     `json:"latency_ms" default:"500" range:"20..15000" doc:"total"`
	OverheadPercent int     `json:"overhead_percent" default:"10" range:"0..200"`
	MaxBitrateKbps  int     `json:"max_bitrate_kbps" default:"20000" range:"100..200000"`
	RTTMS           int     `json:"rtt_ms" default:"50" range:"0..2000"`
	LossPercent     float64 `json:"loss_percent" default:"1" range:"0..50"`
	SkewMS          int     `json:"skew_ms" default:"10" range:"0..5000"`
	PeerHopMS       int     `json:"peer_hop_ms" default:"20" range:"0..1000"`
	StaggerMS       int     `json:"stagger_ms" default:"15" range:"0..1000"`
	Paths           int     `json:"paths" default:"4" range:"1..8"`
}
