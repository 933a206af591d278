package fec

import (
	"math/bits"
	"time"
)

// DecoderStats are the merged counters since the start, and the state now.
type DecoderStats struct {
	Delivered       uint64 `json:"delivered"` // source packets
	DeliveredBytes  uint64 `json:"delivered_bytes"`
	RecoveredParity uint64 `json:"recovered_parity"` // of those, came by parity alone
	Lost            uint64 `json:"lost"`             // reported as lost
	Late            uint64 `json:"late"`             // of those, came after all, too late
	Overdue         uint64 `json:"overdue"`          // delivered after their instant: late, but nothing newer had come
	Duplicates      uint64 `json:"duplicates"`       // came twice on one path

	Repairs          uint64 `json:"repairs"`           // well-formed repair packets
	RepairsUnneeded  uint64 `json:"repairs_unneeded"`  // of blocks that were complete, or of no known epoch
	RepairsDuplicate uint64 `json:"repairs_duplicate"` // rows that were known
	Disagreeing      uint64 `json:"disagreeing"`       // repair packets that contradict their block
	BadRecovery      uint64 `json:"bad_recovery"`      // blocks that were solved to what is no packet of the stream

	Malformed   uint64 `json:"malformed"`   // packets whose header is wrong
	Inactive    uint64 `json:"inactive"`    // packets of a path that is off
	Implausible uint64 `json:"implausible"` // packets from a time or place in the stream that cannot be
	Overflow    uint64 `json:"overflow"`    // packets dropped because the window or the memory was full
	Forced      uint64 `json:"forced"`      // packets delivered early because the window was full

	Epochs       uint64 `json:"epochs"`        // SSRCs delivered
	RefusedEpoch uint64 `json:"refused_epoch"` // packets of an SSRC that was replaced or has to wait
	Cut          uint64 `json:"cut"`           // packets of an old SSRC that were not delivered when it was replaced
	Restarts     uint64 `json:"restarts"`      // within an SSRC: the sender's clock or numbering jumped

	SSRC        uint32 `json:"ssrc"`
	K           int    `json:"k"`        // of the last repair packet
	Buffered    uint64 `json:"buffered"` // packets between the next to be released and the newest
	MemoryBytes uint64 `json:"memory_bytes"`
	// MarginMS is the smallest time, in the last 10 s, by which a packet was
	// at hand before its release.
	MarginMS float64 `json:"margin_ms"`
	// LatencyMS is D.
	LatencyMS float64 `json:"latency_ms"`

	Paths []PathStats `json:"paths"` // one per path that is or was on, by index
}

// PathStats tells how one path did. Each packet released or lost while the path
// counts is either InTime or LostHere, which is the sum of ByOtherPath, ByParity
// and Unrecovered.
type PathStats struct {
	Path        int    `json:"path"`
	On          bool   `json:"on"`
	Received    uint64 `json:"received"` // source packets, late ones too, duplicates not
	Repairs     uint64 `json:"repairs"`
	InTime      uint64 `json:"in_time"` // released, with this path's copy at hand
	LostHere    uint64 `json:"lost_here"`
	ByOtherPath uint64 `json:"by_other_path"`
	ByParity    uint64 `json:"by_parity"`
	Unrecovered uint64 `json:"unrecovered"`
	Late        uint64 `json:"late"` // received after their release
	Duplicates  uint64 `json:"duplicates"`
	First       uint64 `json:"first"`   // packets that came here first
	Highest     uint64 `json:"highest"` // newest sequence number, unwrapped
	// SkewMS is how far the path is behind the best one over 10 s, beyond its
	// configured offset.
	SkewMS float64 `json:"skew_ms"`
	// JitterMS is the interarrival jitter of RFC 3550 §6.4.1.
	JitterMS float64 `json:"jitter_ms"`
}

// Stats returns the counters. It allocates: call it for reports, not per
// packet.
func (d *Decoder) Stats() DecoderStats {
	st := d.stats
	st.LatencyMS = ms(d.latency)
	st.MemoryBytes = uint64(len(d.pool.chunks)) * poolChunk * uint64(d.pool.size)
	if d.margin.min != never {
		st.MarginMS = ms(d.margin.min)
	}
	best := never
	if e := d.cur; e != nil {
		st.SSRC = e.ssrc
		st.Buffered = e.win.next - e.win.head
		best = e.clock.best(d.active)
	}
	st.Paths = make([]PathStats, 0, bits.OnesCount64(d.active))
	for i := range d.paths {
		p := d.paths[i].stats
		if p.Path, p.On = i, d.active>>i&1 != 0; !p.On && p.Received == 0 {
			continue
		}
		if e := d.cur; e != nil && e.counts>>i&1 != 0 {
			p.Highest = e.paths[i].highest
			p.JitterMS = ms(e.paths[i].jitter)
			if m := e.clock.paths[i].min; m != never && best != never {
				p.SkewMS = ms(m - best)
			}
		}
		st.Paths = append(st.Paths, p)
	}
	return st
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
