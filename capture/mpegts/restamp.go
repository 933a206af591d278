package mpegts

// RestamperStats counts what a Restamper did.
type RestamperStats struct {
	Packets    uint64 `json:"packets"`     //
	PCRs       uint64 `json:"pcrs"`        // PCR and OPCR fields moved
	Timestamps uint64 `json:"timestamps"`  // PTS and DTS fields moved
	SplitPES   uint64 `json:"split_pes"`   // PES headers cut by the packet's end: their timestamps stay as they were
	CCRewrites uint64 `json:"cc_rewrites"` // packets whose continuity counter changed
}

// Restamper makes passes over the same packets (a looped file, a slate) one
// continuous stream: it moves PCR, OPCR, PTS and DTS by the time that has
// passed, and carries the continuity counters of every PID over the seam.
//
// Only the seam is mended. Within a pass, what the packets do (repeats, gaps)
// is kept. Null packets, and PIDs whose counter stands still all through a pass
// though packets have payload, keep their counters. Timestamps of scrambled
// PES packets and those inside sections (SCTE 35, TDT) are out of reach.
//
// The zero value is ready for the first pass. Not safe for concurrent use.
type Restamper struct {
	ticks int64 // offset of PCRs, in 27 MHz ticks
	pts   int64 // the same in 90 kHz ticks, rounded once, so that no error adds up
	pass  uint32
	pids  [PIDCount]restampPID
	stats RestamperStats
}

type restampPID struct {
	pass     uint32 // the pass of the last packet
	in, out  uint8  // the last packet's counter as read and as written
	payloads uint8  // packets with payload in this pass, up to frozenAt
	seen     bool
	moves    bool // the counter was seen to change within a pass
	frozen   bool // it never did, over more packets with payload than may repeat
}

// frozenAt is how many packets with payload and one counter cannot be repeats
// of each other (ISO/IEC 13818-1 2.4.3.3: a packet may be sent twice).
const frozenAt = 3

// Loop begins the next pass: from here on, clocks are moved by offset ticks of
// 27 MHz in all (not by that much more), usually pass × Timeline.Ticks().
func (r *Restamper) Loop(offset int64) {
	r.ticks = offset
	r.pts = (offset + 150) / 300
	if offset < 0 {
		r.pts = (offset - 150) / 300
	}
	r.pass++
}

// OffsetTicks returns by how many ticks of 27 MHz clocks are moved now, and
// Offset the same for PTS and DTS, in ticks of 90 kHz.
func (r *Restamper) OffsetTicks() int64 { return r.ticks }

// Offset is explained at OffsetTicks.
func (r *Restamper) Offset() int64 { return r.pts }

// Restamp rewrites whole packets (n·188 bytes) in place.
func (r *Restamper) Restamp(ts []byte) {
	for ; len(ts) >= PacketSize; ts = ts[PacketSize:] {
		r.packet(Packet(ts[:PacketSize:PacketSize]))
	}
}

// Stats returns the counts since the start.
func (r *Restamper) Stats() RestamperStats { return r.stats }

func (r *Restamper) packet(p Packet) {
	r.stats.Packets++
	if p.TransportError() || p.PID() == NullPID {
		return
	}
	r.continuity(p)
	if r.ticks == 0 {
		return
	}
	if v, ok := p.PCR(); ok {
		p.SetPCR(v.Add(r.ticks))
		r.stats.PCRs++
	}
	if v, ok := p.OPCR(); ok {
		p.SetOPCR(v.Add(r.ticks))
		r.stats.PCRs++
	}
	pts, dts, split := p.ptsFields()
	if split {
		r.stats.SplitPES++
	}
	for _, f := range [2][]byte{pts, dts} {
		if v, ok := getTimestamp(f); ok {
			putTimestamp(f, v.Add(r.pts))
			r.stats.Timestamps++
		}
	}
}

func (r *Restamper) continuity(p Packet) {
	s := &r.pids[p.PID()]
	cc, payload := p.CC(), p.HasPayload()
	out := cc
	switch {
	case !s.seen:
	case s.pass == r.pass:
		out = s.out + cc - s.in
		s.moves = s.moves || cc != s.in
	case s.frozen && !s.moves:
		// Not a counter: left alone.
	case payload:
		out = s.out + 1
	default:
		out = s.out
	}
	if s.pass != r.pass {
		s.payloads = 0
	}
	if payload && s.payloads < frozenAt {
		s.payloads++
		s.frozen = s.frozen || s.payloads == frozenAt
	}
	out &= 0x0F
	s.seen, s.pass, s.in, s.out = true, r.pass, cc, out
	if out != cc {
		p.SetCC(out)
		r.stats.CCRewrites++
	}
}
