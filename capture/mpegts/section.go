package mpegts

// maxSection is the longest section: 3 bytes of header and a section_length of
// up to 4093 (ISO/IEC 13818-1 2.4.4.10; PSI itself stays below 1024).
const maxSection = 3 + 4093

// SectionStats counts what a SectionAssembler did.
type SectionStats struct {
	Sections   uint64 `json:"sections"`   // complete
	Unfinished uint64 `json:"unfinished"` // cut off by lost packets or by the start of another
	Malformed  uint64 `json:"malformed"`  // a length or pointer that cannot be
}

// SectionAssembler puts the sections of one PID together (ISO/IEC 13818-1
// 2.4.4). It starts only where a packet says that a section starts, so that a
// PID which never does costs nothing, and holds at most one section of 4096
// bytes. The zero value is ready for use.
type SectionAssembler struct {
	buf    []byte
	active bool // buf is the beginning of a section
	seen   bool // cc holds
	cc     uint8
	stats  SectionStats
}

// Stats returns the counts since the start.
func (a *SectionAssembler) Stats() SectionStats { return a.stats }

// Reset forgets a section begun and the counter expected, as after a gap in the
// stream. Counts stay.
func (a *SectionAssembler) Reset() {
	a.abandon()
	a.seen = false
}

// Push takes the next packet of the PID and calls emit for each section that
// it completes: from table_id to the last byte, CRC_32 unchecked, valid during
// the call. It allocates only when its buffer has to grow.
func (a *SectionAssembler) Push(p Packet, emit func(section []byte)) {
	b := p.Payload()
	if len(b) == 0 || p.TransportError() || p.Scrambling() != 0 {
		return
	}
	cc := p.CC()
	if a.seen && !p.Discontinuity() {
		if cc == a.cc {
			return // a repeated packet
		}
		if cc != (a.cc+1)&0x0F {
			a.abandon()
		}
	} else {
		a.abandon()
	}
	a.seen, a.cc = true, cc
	if !p.PUSI() {
		if a.active {
			a.fill(b, emit)
		}
		return
	}
	start := 1 + int(b[0])
	if start > len(b) {
		a.abandon()
		a.stats.Malformed++
		return
	}
	if a.active {
		a.fill(b[1:start], emit)
		a.abandon() // its length lied: another starts here
	}
	a.sections(b[start:], emit)
}

func (a *SectionAssembler) abandon() {
	if a.active {
		a.active = false
		a.stats.Unfinished++
	}
}

// sections reads b, which starts with a section, up to stuffing or its end.
func (a *SectionAssembler) sections(b []byte, emit func([]byte)) {
	for len(b) > 0 && b[0] != 0xFF {
		if len(b) >= 3 {
			n := sectionLength(b)
			if n > maxSection {
				a.stats.Malformed++
				return
			}
			if n <= len(b) {
				a.stats.Sections++
				emit(b[:n:n])
				b = b[n:]
				continue
			}
		}
		a.active, a.buf = true, append(a.buf[:0], b...)
		return
	}
}

// fill adds b to the section begun, and goes on with what lies behind it.
func (a *SectionAssembler) fill(b []byte, emit func([]byte)) {
	if n := 3 - len(a.buf); n > 0 {
		n = min(n, len(b))
		a.buf, b = append(a.buf, b[:n]...), b[n:]
		if len(a.buf) < 3 {
			return
		}
	}
	total := sectionLength(a.buf)
	if total > maxSection {
		a.active = false
		a.stats.Malformed++
		return
	}
	a.buf = append(a.buf, b[:min(total-len(a.buf), len(b))]...)
	if len(a.buf) < total {
		return
	}
	a.active = false
	a.stats.Sections++
	emit(a.buf)
	// Sections may follow each other only in a packet that says so; behind the
	// end of one that merely continues there is stuffing.
}

func sectionLength(b []byte) int { return 3 + int(b[1]&0x0F)<<8 + int(b[2]) }

// crcTable is for the polynomial 0x04C11DB7, most significant bit first.
var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04C11DB7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// CRC32 computes the checksum of sections (ISO/IEC 13818-1 annex A). Over a
// whole section, CRC_32 included, it is 0 when the section is sound.
func CRC32(b []byte) uint32 {
	c := ^uint32(0)
	for _, v := range b {
		c = c<<8 ^ crcTable[byte(c>>24)^v]
	}
	return c
}
