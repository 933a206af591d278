package boxplan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quartet/device/config"
	"quartet/uplink"
)

// Check finds what the document's own rules cannot: whether the planner finds a
// plan and each socket's settings fit its stream. A document without an error
// here and there is one that quartetd runs. err is of type config.Issues.
func Check(doc *config.Box) (plan uplink.Plan, warnings config.Issues, err error) {
	plan, err = Of(doc)
	var misfit *uplink.PlanError
	switch {
	case errors.As(err, &misfit):
		problem := misfit.Reason
		if !strings.HasPrefix(problem, "is ") {
			problem = "does not fit: " + problem
		}
		return plan, nil, config.Issues{{Path: misfit.Field, Value: misfit.Value, Problem: problem, Remedy: misfit.Remedy}}
	case err != nil:
		return plan, nil, config.Issues{{Path: "output", Problem: "does not fit: " + err.Error(), Remedy: "compare it with `quartetctl plan`"}}
	}
	var issues config.Issues
	staggers := Staggers(doc)
	for i := range doc.Paths {
		p, at := &doc.Paths[i], fmt.Sprintf("paths[%d]", i)
		if p.Profile == config.ProfileRTP {
			continue
		}
		_, _, err := Socket(doc, i, plan)
		var wrong config.Issues
		if errors.As(err, &wrong) {
			if !slices.ContainsFunc(issues, func(i config.Issue) bool { return i.Path == wrong[0].Path }) { // output.latency_ms is all paths'
				issues = append(issues, wrong...)
			}
			continue
		}
		// What the plan gives to the path that waits longest, this one may use too.
		room := config.Milliseconds((plan.SRTLatency + plan.Stagger - staggers[i]).Milliseconds())
		if p.Profile == config.ProfileRTPFEC && p.LatencyMS > room {
			issues = append(issues, config.Issue{Path: at + ".latency_ms", Value: fmt.Sprint(p.LatencyMS),
				Problem: fmt.Sprintf("is more than the %d that skew, stagger and parity leave of output.latency_ms %d", room, doc.Output.LatencyMS),
				Remedy:  fmt.Sprintf("lower it, or raise output.latency_ms to %d", doc.Output.LatencyMS+p.LatencyMS-room)})
		}
		bitrate, message := stream(doc, i, plan)
		if need := kbps(bitrate * int64(message+srtOver) / int64(message)); p.MaxBitrateKbps > 0 && p.MaxBitrateKbps < need {
			warnings = append(warnings, config.Issue{Path: at + ".max_bitrate_kbps", Value: fmt.Sprint(p.MaxBitrateKbps),
				Problem: fmt.Sprintf("is less than the %d that feed, repair packets and headers need", need),
				Remedy:  "lower output.max_bitrate_kbps or overhead_percent, or expect this path to drop"})
		}
	}
	if len(issues) > 0 {
		return plan, warnings, issues
	}
	return plan, warnings, nil
}
