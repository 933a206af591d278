package engine

import "quartet/capture/mpegts"

// psi is the latest whole PAT and PMT that an origin has sent, as packets. An
// origin that dies in the middle of one leaves those before in force.
type psi struct {
	pat, pmt table
	both     []byte
}

// table is a section in as many packets as it takes.
type table struct {
	part  []byte // that which is coming in
	need  int    // bytes of payload that it still lacks
	whole []byte
}

// take takes a packet of the PAT's or the PMT's PID.
func (s *psi) take(p mpegts.Packet) {
	t := &s.pmt
	if p.PID() == mpegts.PATPID {
		t = &s.pat
	}
	if t.take(p) {
		s.both = append(append(s.both[:0], s.pat.whole...), s.pmt.whole...)
	}
}

// whole tells whether there are both.
func (s *psi) whole() bool { return len(s.pat.whole) > 0 && len(s.pmt.whole) > 0 }

// packets returns both; they are valid until the next take.
func (s *psi) packets() []byte { return s.both }

// take reports whether a section has become whole.
func (t *table) take(p mpegts.Packet) bool {
	b := p.Payload()
	if p.PUSI() {
		if t.part = t.part[:0]; len(b) == 0 || len(b) < 1+int(b[0])+3 {
			return false
		}
		section := b[1+int(b[0]):]
		t.need = 1 + int(b[0]) + 3 + int(section[1]&0x0F)<<8 + int(section[2])
	} else if len(t.part) == 0 {
		return false // its beginning is not there
	}
	t.part = append(t.part, p...)
	if t.need -= len(b); t.need > 0 {
		return false
	}
	t.whole, t.part = append(t.whole[:0], t.part...), t.part[:0]
	return true
}
