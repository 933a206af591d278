package mpegts

import (
	"cmp"
	"slices"
)

// Bounds of what Tables remembers, whatever the stream says.
const (
	maxPrograms = 256  // of the PAT, and so PMT PIDs followed
	maxServices = 1024 // of the SDT
	maxSections = 1024 // of which the checksum is remembered, to parse changes only
	maxAccess   = 256  // PIDs of the CAT
)

// Component is an elementary stream of a program.
type Component struct {
	PID        PID    `json:"pid"`
	StreamType uint8  `json:"stream_type"`             // ISO/IEC 13818-1 table 2-34
	Codec      string `json:"codec,omitempty"`         // short name by stream type and descriptors, such as "h264", "eac3"; "" unknown
	Kind       Kind   `json:"kind"`                    // what it is for
	Language   string `json:"language,omitempty"`      // ISO 639-2, such as "eng"
	Still      bool   `json:"still_picture,omitempty"` // a video that announces still pictures
	CAPIDs     []PID  `json:"ca_pids,omitempty"`       // of its entitlement control messages; read only
}

// Program is a program of the PAT with what its PMT and the SDT say about it.
type Program struct {
	Number      uint16      `json:"number"`
	PMTPID      PID         `json:"pmt_pid"`
	HasPMT      bool        `json:"has_pmt"` // the PMT has been received: PCRPID and Components hold
	PCRPID      PID         `json:"pcr_pid"` // NullPID: the program has no clock
	Name        string      `json:"name,omitempty"`
	Provider    string      `json:"provider,omitempty"`
	ServiceType uint8       `json:"service_type,omitempty"` // ETSI EN 300 468 table 87
	CAPIDs      []PID       `json:"ca_pids,omitempty"`      // of entitlement control messages for the whole program; read only
	Components  []Component `json:"components"`
}

// TablesStats counts what Tables did.
type TablesStats struct {
	SectionStats
	CRCErrors uint64 `json:"crc_errors"` // sections with a wrong CRC_32 (TR 101 290 2.2)
	Refused   uint64 `json:"refused"`    // sections that go-astits cannot parse, or with a content that cannot be
	OverLimit uint64 `json:"over_limit"` // programs and services left out because there are too many
}

// Tables collects what a stream says about itself: PAT, PMT, CAT and SDT
// (actual). It looks at the packets of those PIDs only; sections are put
// together and checked by hand, in bounded memory, and parsed by go-astits when
// they change. Who puts sections together himself gives them to Section instead
// of packets to Push. Not safe for concurrent use.
type Tables struct {
	follow [PIDCount]*tablePID // nil: not a PID of tables
	emit   func(section []byte)
	pid    PID // of the packet or section in work

	seen     map[sectionID]uint32 // checksum of the last section of that name
	pat      pat
	programs map[uint16]*Program
	services map[uint16]service
	sdt      tableID // whose services are kept
	cat      tableID // whose PIDs are kept
	access   []PID   // of the CAT
	network  PID     // of the NIT, by the PAT

	generation uint64
	stats      TablesStats
}

// tablePID is a PID whose sections are followed.
type tablePID struct {
	sections SectionAssembler
	used     bool // the PAT names it, or it is one of fixedPIDs
}

// sectionID names a section: all but its version.
type sectionID struct {
	pid       PID
	table     uint8
	extension uint16
	number    uint8
}

// tableID is what must change for a table to become another one.
type tableID struct {
	extension uint16
	version   uint8
	known     bool
}

// pat is the PAT in collection: its sections carry programs.
type pat struct {
	id       tableID
	sections map[uint8][]patEntry
}

type patEntry struct {
	number uint16 // 0: the network PID
	pid    PID
}

type service struct {
	name, provider string
	kind           uint8
}

// fixedPIDs are those of tables that need not be announced.
var fixedPIDs = [...]PID{PATPID, CATPID, SDTPID}

// NewTables returns empty Tables.
func NewTables() *Tables {
	t := &Tables{
		network:  NITPID,
		seen:     map[sectionID]uint32{},
		programs: map[uint16]*Program{},
		services: map[uint16]service{},
	}
	t.emit = func(b []byte) { t.section(b) }
	for _, pid := range fixedPIDs {
		t.follow[pid] = &tablePID{used: true}
	}
	return t
}

// Push takes the next packets, n·188 bytes. It allocates only when a table is
// new or has changed.
func (t *Tables) Push(ts []byte) {
	for ; len(ts) >= PacketSize; ts = ts[PacketSize:] {
		pid := PID(ts[1]&0x1F)<<8 | PID(ts[2])
		if f := t.follow[pid]; f != nil {
			t.pid = pid
			f.sections.Push(Packet(ts[:PacketSize:PacketSize]), t.emit)
		}
	}
}

// Section takes a complete section of a PID, from table_id to its last byte,
// as a SectionAssembler emits it; the CRC is checked here. It reports whether
// the section was new, and so had to be parsed: that costs some microseconds
// and allocates, a repeat does neither.
func (t *Tables) Section(pid PID, section []byte) bool {
	t.pid = pid
	return t.section(section)
}

// Programs returns the programs by number. The result is the caller's.
func (t *Tables) Programs() []Program {
	list := make([]Program, 0, len(t.programs))
	for _, p := range t.programs {
		c := *p
		c.Components = slices.Clone(p.Components)
		s := t.services[p.Number]
		c.Name, c.Provider, c.ServiceType = s.name, s.provider, s.kind
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Program) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

// Generation counts the changes of what Programs returns: ask again when it has
// moved.
func (t *Tables) Generation() uint64 { return t.generation }

// TransportStreamID returns the PAT's transport_stream_id, false before a PAT
// has been received.
func (t *Tables) TransportStreamID() (uint16, bool) { return t.pat.id.extension, t.pat.id.known }

// NetworkPID returns the PID of the NIT: what the PAT says, else NITPID.
func (t *Tables) NetworkPID() PID { return t.network }

// AccessPIDs returns the PIDs of entitlement management messages, which the CAT
// names (ISO/IEC 13818-1 2.4.4.6). The result is not to be changed.
func (t *Tables) AccessPIDs() []PID { return t.access }

// Stats returns the counts since the start.
func (t *Tables) Stats() TablesStats {
	s := t.stats
	for _, f := range t.follow {
		if f != nil {
			s.add(f.sections.Stats())
		}
	}
	return s
}

func (s *TablesStats) add(o SectionStats) {
	s.Sections += o.Sections
	s.Unfinished += o.Unfinished
	s.Malformed += o.Malformed
}

// section takes a complete section of t.pid, and reports whether it had to be
// parsed.
func (t *Tables) section(b []byte) bool {
	table := b[0]
	switch {
	case t.pid == PATPID && table == 0x00:
	case t.pid == CATPID && table == 0x01:
	case t.pid == SDTPID && table == 0x42:
	case t.pid != PATPID && t.pid != CATPID && t.pid != SDTPID && table == 0x02:
	default:
		return false // another table on the same PID: BAT, SDT of others, private
	}
	if len(b) < 12 || b[1]&0x80 == 0 {
		t.stats.Refused++
		return false
	}
	if CRC32(b) != 0 {
		t.stats.CRCErrors++
		return false
	}
	if b[5]&0x01 == 0 {
		return false // not yet valid (current_next_indicator)
	}
	id := sectionID{t.pid, table, uint16(b[3])<<8 | uint16(b[4]), b[6]}
	sum := uint32(b[len(b)-4])<<24 | uint32(b[len(b)-3])<<16 | uint32(b[len(b)-2])<<8 | uint32(b[len(b)-1])
	if old, ok := t.seen[id]; ok && old == sum {
		return false
	}
	if len(t.seen) >= maxSections {
		clear(t.seen)
	}
	t.seen[id] = sum

	version := b[5] >> 1 & 0x1F
	if table == 0x01 {
		t.takeCAT(b[8:len(b)-4], tableID{id.extension, version, true})
		return true
	}
	d, err := parseSection(b)
	if err != nil {
		t.stats.Refused++
		return true
	}
	switch {
	case d.PAT != nil:
		t.takePAT(d.PAT, tableID{id.extension, version, true}, id.number, b[7])
	case d.PMT != nil:
		t.takePMT(d.PMT)
	case d.SDT != nil:
		t.takeSDT(d.SDT, tableID{id.extension, version, true})
	}
	return true
}
