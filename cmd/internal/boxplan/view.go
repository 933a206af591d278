package boxplan

import (
	"time"

	"quartet/device/control"
	"quartet/uplink"
)

// View is a plan as the control socket and the page show it.
func View(p uplink.Plan) control.Plan {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return control.Plan{
		K: p.K, Rows: p.Rows, Streams: p.Streams, MaxBlockMS: ms(p.MaxBlock), FECBoundMS: ms(p.FECBound),
		SRTLatencyMS: ms(p.SRTLatency), StaggerMS: ms(p.Stagger), ReserveMS: ms(p.Reserve), LatencyMS: ms(p.Latency), SpareMS: ms(p.Spare),
		ARQRounds: p.ARQRounds, OverheadPercent: 100 * p.Overhead, WireBPS: p.WireBPS, Notes: p.Notes,
	}
}
