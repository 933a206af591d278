package tr101290

import (
	"quartet/capture/mpegts"
)

// Tables of ISO/IEC 13818-1 and ETSI EN 300 468 by their table_id.
const (
	tidPAT      = 0x00
	tidCAT      = 0x01
	tidPMT      = 0x02
	tidNIT      = 0x40
	tidNITOther = 0x41
	tidSDT      = 0x42
	tidSDTOther = 0x46
	tidBAT      = 0x4A
	tidEIT      = 0x4E // present/following
	tidEITOther = 0x4F
	tidEITLast  = 0x6F // of the schedules
	tidTDT      = 0x70
	tidRST      = 0x71
	tidStuffing = 0x72
	tidTOT      = 0x73
	tidSplice   = 0xFC // SCTE 35
)

// What a PID's sections are for.
const (
	rolePAT = 1 << iota
	roleCAT
	rolePMT
	roleNIT
	roleSDT // and BAT
	roleEIT
	roleRST
	roleTDT // and TOT
	roleCue
)

// feed puts the sections of a PID together.
type feed struct {
	pid      mpegts.PID
	roles    uint16
	sections mpegts.SectionAssembler
}

// maxParsed bounds how many new sections are parsed in one window, so that a
// stream whose tables never stay the same does not take the processor. Those
// left out come again.
const maxParsed = 512

// crcTable counts CRC errors by table (2.2).
type crcTable uint8

const (
	crcPAT crcTable = iota
	crcCAT
	crcPMT
	crcNIT
	crcBAT
	crcSDT
	crcEIT
	crcTOT
	crcTables
)

// section takes a complete section of m.feed, at least 3 bytes.
func (m *Monitor) section(b []byte) {
	f, table := m.feed, b[0]
	if f.roles&roleCue != 0 && table == tidSplice {
		m.cue(f.pid, b)
		return
	}
	syntax := b[1]&0x80 != 0
	if (syntax || table == tidTOT) && mpegts.CRC32(b) != 0 {
		if t, ok := crcOf(f.roles, table); ok {
			m.crc[t]++
			m.fail(CRCError, f.pid)
		}
		return
	}
	if syntax && len(b) < 12 {
		syntax = false // too short to be a table
	}
	current := syntax && b[5]&0x01 != 0
	switch {
	case f.roles&rolePAT != 0:
		switch {
		case table != tidPAT || !syntax:
			m.fail(PATError2, f.pid)
		case current:
			m.seen(&m.pat, PATError2, tablePeriod, f.pid)
		}
	case f.roles&roleCAT != 0:
		switch {
		case table != tidCAT || !syntax:
			m.fail(CATError, f.pid)
		case current:
			m.restart(&m.cat, CATError)
		}
	case f.roles&rolePMT != 0 && table == tidPMT:
		if current {
			m.pmtSeen(f.pid, uint16(b[3])<<8|uint16(b[4]))
		}
	case m.cfg.Priority3:
		m.service(f, b, syntax)
	}
	if syntax && m.parsed < maxParsed && m.tables.Section(f.pid, b) {
		m.parsed++
		if m.tables.Generation() != m.generation && m.now >= m.rebuildAt {
			m.rebuild()
		}
	}
}

// crcOf says for which table a damaged section counts, as far as a damaged
// table_id can be believed: false when it is none of those of 2.2.
func crcOf(roles uint16, table byte) (crcTable, bool) {
	switch {
	case roles&rolePAT != 0:
		return crcPAT, true
	case roles&roleCAT != 0:
		return crcCAT, true
	case roles&rolePMT != 0:
		return crcPMT, table == tidPMT
	case roles&roleNIT != 0:
		return crcNIT, true
	case roles&roleSDT != 0 && table == tidBAT:
		return crcBAT, true
	case roles&roleSDT != 0:
		return crcSDT, true
	case roles&roleEIT != 0:
		return crcEIT, true
	case roles&roleTDT != 0:
		return crcTOT, true
	}
	return 0, false
}

// pmtWatch waits for the PMT of a program (1.5.a).
type pmtWatch struct {
	absence
	program uint16
	pid     mpegts.PID
}

func (m *Monitor) pmtSeen(pid mpegts.PID, program uint16) {
	for i := range m.pmts {
		if w := &m.pmts[i]; w.program == program && w.pid == pid {
			m.seen(&w.absence, PMTError2, tablePeriod, pid)
			return
		}
	}
}
