package main

import (
	"errors"
	"time"

	"quartet/cmd/internal/boxplan"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/web"
	"quartet/uplink"
)

// planner answers the page as quartetd would: it is the same reckoning.
type planner struct{}

func (planner) Check(doc *config.Box) (control.Plan, config.Issues, error) {
	p, warnings, err := boxplan.Check(doc)
	return boxplan.View(p), warnings, err
}

func (planner) NeedsRestart(old, doc *config.Box) []string { return boxplan.NeedsRestart(old, doc) }

// Plan is the latency calculator.
func (planner) Plan(q web.PlanRequest) (control.Plan, error) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	d := uplink.Demand{
		BitrateBPS: int64(q.MaxBitrateKbps) * 1000, PacketsPerMessage: 7, Latency: ms(q.LatencyMS), OverheadPercent: float64(q.OverheadPercent),
		RTT: ms(q.RTTMS), LossPercent: q.LossPercent, Streams: q.Paths,
	}
	if q.Paths > 1 {
		// A stream that has nobody to merge with waits for nobody.
		d.Skew, d.PeerHop, d.Stagger = ms(q.SkewMS), ms(q.PeerHopMS), ms(q.StaggerMS)
	}
	p, err := uplink.NewPlan(d)
	var misfit *uplink.PlanError
	switch {
	case errors.As(err, &misfit):
		// The planner speaks of the document's output.
		field := misfit.Field
		if len(field) > len("output.") && field[:len("output.")] == "output." {
			field = field[len("output."):]
		}
		return control.Plan{}, config.Issues{{Path: field, Value: misfit.Value, Problem: misfit.Reason, Remedy: misfit.Remedy}}
	case err != nil:
		return control.Plan{}, config.Issues{{Path: "latency_ms", Problem: err.Error(), Remedy: "raise the latency, or lower what it has to cover"}}
	}
	return boxplan.View(p), nil
}
