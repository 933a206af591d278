package udp

import (
	"slices"
	"time"

	"quartet/fec/st2022"
)

// FECStats counts ST 2022-1 repair.
type FECStats = st2022.DecoderStats

// publish makes what Run knows readable for Stats.
func (s *Source) publish(r *receiver, legs []*leg) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.pub
	p.Framer = r.framer.Stats()
	switch {
	case r.rtp:
		p.Format = "rtp"
	case p.Framer.Packets > 0:
		p.Format = "ts"
	}
	if r.merger != nil && p.Format == "rtp" {
		if p.RTP == nil {
			p.RTP = new(MergerStats)
		}
		*p.RTP = r.merger.Stats(p.RTP.Legs)
	}
	if r.decoder != nil {
		if p.FEC == nil {
			p.FEC = new(FECStats)
		}
		*p.FEC = r.decoder.Stats()
	}
	p.Legs = p.Legs[:0]
	for i, l := range legs {
		st := l.status
		st.datagramCounters = r.legs[i].counters
		st.KernelDrops = l.drops
		if l.media != nil {
			st.KernelDrops += uint64(l.media.drops)
		}
		st.LastMS = -1
		if l.heard {
			st.LastMS = float64(max(now-l.last, 0)) / float64(time.Millisecond)
		}
		if sender := &r.legs[i]; sender.locked {
			if l.peer != sender.sender {
				l.peer, l.status.Sender = sender.sender, sender.sender.addrPort().String()
			}
			st.Sender = l.status.Sender
		}
		p.Legs = append(p.Legs, st)
	}
}

// Stats returns the counts since Run began.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.pub
	st.Legs = slices.Clone(st.Legs)
	if st.RTP != nil {
		c := *st.RTP
		c.Legs = slices.Clone(c.Legs)
		st.RTP = &c
	}
	if st.FEC != nil {
		c := *st.FEC
		st.FEC = &c
	}
	return st
}
