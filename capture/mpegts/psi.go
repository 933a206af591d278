package mpegts

// Component is an elementary stream of a program (PMT).
type Component struct {
	PID        PID    `json:"pid"`
	StreamType uint8  `json:"stream_type"`        // ISO/IEC 13818-1 table 2-34
	Codec      string `json:"codec"`              // short name by stream type and descriptors, such as "h264", "eac3"; "" unknown
	Language   string `json:"language,omitempty"` // ISO 639-2, such as "eng"
}

// Program is a program of the PAT with what its PMT and the SDT say about it.
type Program struct {
	Number     uint16      `json:"number"`
	PMTPID     PID         `json:"pmt_pid"`
	HasPMT     bool        `json:"has_pmt"` // the PMT has been received: PCRPID and Components are known
	PCRPID     PID         `json:"pcr_pid"` // NullPID: the program has no clock
	Name       string      `json:"name,omitempty"`
	Provider   string      `json:"provider,omitempty"`
	Components []Component `json:"components"`
}

// TablesStats counts what Tables did.
type TablesStats struct {
	Sections    uint64 `json:"sections"`     // complete, whatever their content
	CRCErrors   uint64 `json:"crc_errors"`   // sections with a wrong CRC_32 (TR 101 290 2.2)
	Malformed   uint64 `json:"malformed"`    // sections that cannot be parsed, or lie about their length
	Unfinished  uint64 `json:"unfinished"`   // sections cut off by a lost packet or a new start
	OverLimit   uint64 `json:"over_limit"`   // programs, components or PIDs beyond the bounds, left out
	ProgramsNow int    `json:"programs_now"` //
}

// Tables collects PAT, PMT and SDT.
type Tables struct {
	stats TablesStats
}

// NewTables returns empty Tables.
func NewTables() *Tables { return &Tables{} }

// Push takes the next packets, n·188 bytes.
func (t *Tables) Push(ts []byte) {}

// Programs returns the programs, by number. The result is the caller's.
func (t *Tables) Programs() []Program { return nil }

// Generation counts changes of what Programs returns.
func (t *Tables) Generation() uint64 { return 0 }

// Stats returns the counts since the start.
func (t *Tables) Stats() TablesStats { return t.stats }
