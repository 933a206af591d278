package tr101290

import (
	"quartet/capture/mpegts"
)

// Bounds of what is kept of one message.
const (
	maxSegments = 8
	maxUPID     = 64 // bytes
)

// Commands of ANSI/SCTE 35 table 7.
const (
	spliceNull      = 0x00
	spliceSchedule  = 0x04
	spliceInsert    = 0x05
	spliceTime      = 0x06 // time_signal
	spliceBandwidth = 0x07
	splicePrivate   = 0xFF
)

// splice is what is kept of a splice_info_section (ANSI/SCTE 35 9.6), without
// pointers so that a ring of them allocates nothing.
type splice struct {
	encrypted bool
	command   uint8
	event     uint32
	hasEvent  bool
	cancel    bool
	out       bool
	immediate bool
	hasPTS    bool
	pts       mpegts.Timestamp // pts_adjustment included
	timed     bool             // duration holds
	auto      bool             // auto_return
	duration  uint64           // ticks of 90 kHz
	program   uint16           // unique_program_id
	avail     uint8
	avails    uint8
	segments  [maxSegments]segment
	n         int // of segments
	more      int // segmentation descriptors beyond
}

// segment is what is kept of a segmentation_descriptor (10.3.3).
type segment struct {
	event    uint32
	cancel   bool
	timed    bool
	duration uint64 // ticks of 90 kHz
	kind     uint8  // segmentation_type_id
	number   uint8
	expected uint8
	upidType uint8
	upidLen  uint8 // of the whole
	upid     [maxUPID]byte
}

// reader takes fields off a slice. Beyond the end it reads zeros and is short.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint(n int) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

// parseSplice reads a section whose CRC is right, from table_id to CRC_32. It
// reports false when the section ends before its fields do.
func parseSplice(s *splice, b []byte) bool {
	*s = splice{}
	if len(b) < 20 || b[3] != 0 { // of another protocol_version nothing is known
		return false
	}
	adjust := mpegts.Timestamp(b[4]&1)<<32 | mpegts.Timestamp(b[5])<<24 | mpegts.Timestamp(b[6])<<16 | mpegts.Timestamp(b[7])<<8 | mpegts.Timestamp(b[8])
	length := int(b[11]&0x0F)<<8 | int(b[12])
	s.encrypted = b[4]&0x80 != 0
	if s.encrypted {
		return true // from the command on all is encrypted
	}
	s.command = b[13]
	r := reader{b: b[14 : len(b)-4]}
	if length != 0xFFF { // the value of old multiplexers, which did not tell it
		command := reader{b: r.take(length)}
		s.readCommand(&command, adjust)
		r.short = r.short || command.short
	} else {
		s.readCommand(&r, adjust)
	}
	list := reader{b: r.take(int(r.uint(2)))}
	for len(list.b) >= 2 {
		tag, n := list.b[0], int(list.b[1])
		list.take(2)
		if d := list.take(n); tag == 0x02 && len(d) >= 4 && string(d[:4]) == "CUEI" {
			s.readSegment(d[4:])
		}
	}
	return !r.short && !list.short
}

func (s *splice) readCommand(r *reader, adjust mpegts.Timestamp) {
	switch s.command {
	case spliceInsert:
		s.event, s.hasEvent = uint32(r.uint(4)), true
		if s.cancel = r.uint(1)&0x80 != 0; s.cancel {
			return
		}
		flags := r.uint(1)
		s.out, s.immediate = flags&0x80 != 0, flags&0x10 != 0
		switch {
		case flags&0x40 == 0: // by component: the first stands for all
			for i := range int(r.uint(1)) {
				r.take(1)
				if !s.immediate {
					s.readTime(r, adjust, i == 0)
				}
			}
		case !s.immediate:
			s.readTime(r, adjust, true)
		}
		if flags&0x20 != 0 {
			v := r.uint(5)
			s.timed, s.auto, s.duration = true, v>>39 != 0, v&(1<<33-1)
		}
		s.program, s.avail, s.avails = uint16(r.uint(2)), uint8(r.uint(1)), uint8(r.uint(1))
	case spliceTime:
		s.readTime(r, adjust, true)
	}
}

// readTime reads a splice_time.
func (s *splice) readTime(r *reader, adjust mpegts.Timestamp, keep bool) {
	v := r.uint(1)
	if v&0x80 == 0 {
		return
	}
	t := mpegts.Timestamp(v&1)<<32 | mpegts.Timestamp(r.uint(4))
	if keep && !r.short {
		s.hasPTS, s.pts = true, t.Add(int64(adjust))
	}
}

func (s *splice) readSegment(d []byte) {
	if s.n == maxSegments {
		s.more++
		return
	}
	r := reader{b: d}
	g := segment{event: uint32(r.uint(4))}
	if g.cancel = r.uint(1)&0x80 != 0; !g.cancel {
		flags := r.uint(1)
		if flags&0x80 == 0 {
			r.take(6 * int(r.uint(1)))
		}
		if flags&0x40 != 0 {
			g.timed, g.duration = true, r.uint(5)
		}
		g.upidType, g.upidLen = uint8(r.uint(1)), uint8(r.uint(1))
		copy(g.upid[:], r.take(int(g.upidLen)))
		g.kind, g.number, g.expected = uint8(r.uint(1)), uint8(r.uint(1)), uint8(r.uint(1))
	}
	if !r.short {
		s.segments[s.n] = g
		s.n++
	}
}

// spliceNames are the commands' names.
var spliceNames = map[uint8]string{
	spliceNull: "splice_null", spliceSchedule: "splice_schedule", spliceInsert: "splice_insert",
	spliceTime: "time_signal", spliceBandwidth: "bandwidth_reservation", splicePrivate: "private_command",
}

// segmentNames are the names of segmentation_type_id (ANSI/SCTE 35 table 23).
var segmentNames = map[uint8]string{
	0x00: "not indicated", 0x01: "content identification", 0x02: "call ad server",
	0x10: "program start", 0x11: "program end", 0x12: "program early termination", 0x13: "program breakaway",
	0x14: "program resumption", 0x15: "program runover planned", 0x16: "program runover unplanned", 0x17: "program overlap start",
	0x18: "program blackout override", 0x19: "program join",
	0x20: "chapter start", 0x21: "chapter end", 0x22: "break start", 0x23: "break end",
	0x24: "opening credit start", 0x25: "opening credit end", 0x26: "closing credit start", 0x27: "closing credit end",
	0x30: "provider advertisement start", 0x31: "provider advertisement end",
	0x32: "distributor advertisement start", 0x33: "distributor advertisement end",
	0x34: "provider placement opportunity start", 0x35: "provider placement opportunity end",
	0x36: "distributor placement opportunity start", 0x37: "distributor placement opportunity end",
	0x38: "provider overlay placement opportunity start", 0x39: "provider overlay placement opportunity end",
	0x3A: "distributor overlay placement opportunity start", 0x3B: "distributor overlay placement opportunity end",
	0x3C: "provider promo start", 0x3D: "provider promo end", 0x3E: "distributor promo start", 0x3F: "distributor promo end",
	0x40: "unscheduled event start", 0x41: "unscheduled event end",
	0x42: "alternate content opportunity start", 0x43: "alternate content opportunity end",
	0x44: "provider ad block start", 0x45: "provider ad block end", 0x46: "distributor ad block start", 0x47: "distributor ad block end",
	0x50: "network start", 0x51: "network end",
}
