package uplink

import (
	"quartet/capture/mpegts"
	"quartet/fec"
	"quartet/uplink/rtp"
)

// SenderStats counts what left the packet loop.
type SenderStats struct {
	SSRC      uint32 `json:"ssrc"`
	TSPackets uint64 `json:"ts_packets"` // written by the source
	Packets   uint64 `json:"packets"`    // RTP source packets
	Bytes     uint64 `json:"bytes"`      // of them, with RTP header
	Repairs   uint64 `json:"repairs"`    // repair packets, all streams
	Refused   uint64 `json:"refused"`    // not packets of a transport stream
	Ticks     uint64 `json:"ticks"`      // of the packet loop, with or without traffic

	Pacer  *mpegts.PacerStats `json:"pacer,omitempty"`
	FEC    *fec.EncoderStats  `json:"fec,omitempty"`
	Digest rtp.DigestStats    `json:"digest"`
	Plan   Plan               `json:"plan"`
}

// PathStats is what a path knows of itself and of its far end.
type PathStats struct {
	Name    string  `json:"name"`
	Leg     int     `json:"leg"`
	Profile string  `json:"profile"`
	Stagger float64 `json:"stagger_ms"`

	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // in words: why it is not up, or why a link with new settings is not
	// Answered: there is no link, and at the last try the far end answered and
	// refused.
	Answered    bool    `json:"answered"`
	UpSince     float64 `json:"up_since_s"` // process time
	Connects    uint64  `json:"connects"`
	Disconnects uint64  `json:"disconnects"`
	FailedDials uint64  `json:"failed_dials"`

	Sent      uint64 `json:"sent"` // messages the socket took
	SentBytes uint64 `json:"sent_bytes"`
	Unsent    uint64 `json:"unsent"`          // messages that found no link
	Spared    uint64 `json:"spared"`          // messages withheld from a path that is too weak, see Path.SetLoad
	Shed      bool   `json:"shed"`            // it carries nothing at the moment
	Bare      bool   `json:"bare"`            // it carries no parity at the moment
	Dropped   uint64 `json:"queue_dropped"`   // pushed out of a full queue by newer ones
	Stale     uint64 `json:"queue_stale"`     // waited too long
	Discarded uint64 `json:"queue_discarded"` // were waiting when the link broke
	Stalls    uint64 `json:"stalls"`          // times the socket's buffer was full
	Queued    int    `json:"queued"`
	QueuePeak int    `json:"queue_peak"`
	// Messages from the far end that were not ours: a wrong tag says that it has
	// another contribution key.
	Refused uint64 `json:"refused"`

	Link *LinkStats `json:"link,omitempty"` // nil while there is none

	// What the gateway reports; nil where arrival is unknown (profiles ts and
	// rtp, or no report yet).
	Arrival *Arrival `json:"arrival,omitempty"`
}

// Stats returns the Sender's counters.
func (s *Sender) Stats() SenderStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.SSRC, st.Ticks, st.Plan, st.Digest = s.ssrc, s.ticks.Load(), s.plan, s.digest.Stats()
	if s.pacer != nil {
		p := s.pacer.Stats()
		st.Pacer = &p
	}
	if s.encoder != nil {
		e := s.encoder.Stats()
		st.FEC = &e
	}
	return st
}

// Stats returns the path's counters. Those of the socket are at most 200 ms old.
func (p *Path) Stats() PathStats {
	q := p.queue.stats()
	p.mu.Lock()
	st := p.stats
	p.mu.Unlock()
	st.Unsent, st.Spared, st.Shed, st.Bare = p.unsent.Load(), p.spared.Load(), p.shed.Load(), p.bare.Load()
	st.Dropped, st.Stale, st.Queued, st.QueuePeak = q.dropped, q.stale, q.length, q.peak
	if st.Arrival != nil {
		a := *st.Arrival
		a.Age = durationMS(p.now() - a.heardAt) // also while there is no link
		st.Arrival = &a
	}
	return st
}
