// Package boxplan puts a box document through the planner and sizes the sockets
// of its paths. It is what quartetd, which runs by the plan, and quartetctl,
// which only shows and checks it, have in common.
package boxplan

import (
	"time"

	"quartet/device/config"
	"quartet/uplink"
)

// stagger is the default delay of every second stream of a merge group: longer
// than the 8 to 10 ms of a common glitch, short against any latency.
const stagger = 15 * time.Millisecond

// Staggers gives each path its stagger: what the document says, else 0 and
// 15 ms in turn among the rtp-fec paths of a merge group, so that one common
// glitch hits different packets on each.
func Staggers(doc *config.Box) []time.Duration {
	staggers, seen := make([]time.Duration, len(doc.Paths)), map[string]int{}
	for i := range doc.Paths {
		p := &doc.Paths[i]
		if p.Profile == config.ProfileRTPFEC {
			group := doc.MergeGroupOf(i)
			staggers[i] = time.Duration(seen[group]%2) * stagger
			seen[group]++
		}
		if p.StaggerMS != nil {
			staggers[i] = p.StaggerMS.Duration()
		}
	}
	return staggers
}

// Of derives the plan of a document, or says why there is none.
func Of(doc *config.Box) (uplink.Plan, error) {
	out := &doc.Output
	d := uplink.Demand{
		BitrateBPS: out.MaxBitrateKbps.BitsPerSecond(), PacketsPerMessage: out.TSPacketsPerMessage,
		Latency: out.LatencyMS.Duration(), OverheadPercent: float64(out.OverheadPercent),
		RTT: out.RTTMS.Duration(), LossPercent: out.LossPercent,
		K: out.FEC.K, MaxBlock: out.FEC.MaxBlockMS.Duration(),
	}
	if r := out.FEC.Rows; r != nil {
		// Absent means "derive"; the planner's word for none is −1.
		if d.Rows = *r; d.Rows == 0 {
			d.Rows = -1
		}
	}
	staggers, groups := Staggers(doc), map[string]int{}
	for i := range doc.Paths {
		if doc.Paths[i].Profile != config.ProfileRTPFEC {
			continue
		}
		d.Streams++
		d.Stagger = max(d.Stagger, staggers[i])
		groups[doc.MergeGroupOf(i)]++
	}
	for _, n := range groups {
		// A stream that has nobody to merge with waits for nobody.
		if n > 1 {
			d.Skew, d.PeerHop = out.SkewMS.Duration(), out.PeerHopMS.Duration()
		}
	}
	return uplink.NewPlan(d)
}
