package main

import (
	"fmt"
	"math"
	"strings"
)

// Verdicts on a goal.
const (
	met    = "met"
	open   = "not shown" // the figures agree with it and are too few to show it
	missed = "missed"
	none   = "nothing to compare"
)

// goal is one thing that the project promises, and what was found.
type goal struct {
	Goal    string `json:"goal"`
	Where   string `json:"where"`
	Verdict string `json:"verdict"`
	Found   string `json:"found"`
}

// find a system's result in a cell.
func (c *cellResult) find(id string) *systemResult {
	for i := range c.Systems {
		if c.Systems[i].System == id && c.Systems[i].Seeds > 0 {
			return &c.Systems[i]
		}
	}
	return nil
}

// bestPeer is the peer that lost least; of several, the one that is bounded
// best.
func (c *cellResult) bestPeer() *systemResult {
	var best *systemResult
	for i := range c.Systems {
		s := &c.Systems[i]
		if strings.HasPrefix(s.System, familyQuartet) || s.Seeds == 0 {
			continue
		}
		if best == nil || s.Residual.Value < best.Residual.Value ||
			s.Residual.Value == best.Residual.Value && s.Residual.High < best.Residual.High {
			best = s
		}
	}
	return best
}

// samePaths is the best peer that used as many paths.
func (c *cellResult) samePaths(systems []system, paths int) *systemResult {
	var only cellResult
	for _, s := range systems {
		if s.Paths != paths {
			continue
		}
		if r := c.find(s.ID); r != nil {
			only.Systems = append(only.Systems, *r)
		}
	}
	return only.bestPeer()
}

// lossGoals judges part one, cell by cell.
func lossGoals(o options, r *lossResult) (goals []goal) {
	if r == nil {
		return nil
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		for _, id := range []string{"quartet-2", "quartet-2-r0", "quartet-2-wide", "quartet-4", "quartet-4-r0", "quartet-4-wide"} {
			q := c.find(id)
			if q == nil {
				continue
			}
			if p := c.bestPeer(); p != nil {
				goals = append(goals, tenfold(c.Cell, "the best peer of all", q, p))
			}
			paths := 2
			if strings.HasPrefix(id, "quartet-4") {
				paths = 4
				goals = append(goals, goal{"none lost with four paths", c.Cell + ", " + id, verdictOfNone(q), describe(q)})
			}
			if p := c.samePaths(o.systems, paths); p != nil {
				goals = append(goals, tenfold(c.Cell, fmt.Sprintf("the best peer on %d paths", paths), q, p))
			}
		}
		for _, id := range []string{"quartet-1", "quartet-1-r0"} {
			for _, peer := range []string{"srt-default", "srt-algo0"} {
				if q, p := c.find(id), c.find(peer); q != nil && p != nil {
					goals = append(goals, neverWorse(c.Cell, q, p))
				}
			}
		}
	}
	return goals
}

func verdictOfNone(q *systemResult) string {
	if q.Lost > 0 {
		return missed
	}
	return met
}

// tenfold judges "at least ten times less residual loss wherever the peer
// loses anything".
func tenfold(cell, what string, q, p *systemResult) goal {
	g := goal{"10 × less residual loss than " + what, cell + ", " + q.System + " against " + p.System, none, describe(q) + " against " + describe(p)}
	limit := p.Residual.Value / 10
	switch {
	case p.Lost == 0:
	case q.Residual.High <= limit:
		g.Verdict = met
	case q.Residual.Value <= limit:
		g.Verdict = open
	default:
		g.Verdict = missed
	}
	return g
}

// neverWorse judges "one path never worse than plain SRT", seed by seed: both
// met the same bad network.
func neverWorse(cell string, q, p *systemResult) goal {
	g := goal{"one path never worse than plain SRT", cell + ", " + q.System + " against " + p.System, met, describe(q) + " against " + describe(p)}
	var a, b []float64
	for i := range q.PerSeed {
		if i < len(p.PerSeed) && q.PerSeed[i] >= 0 && p.PerSeed[i] >= 0 {
			a, b = append(a, q.PerSeed[i]), append(b, p.PerSeed[i])
		}
	}
	d := difference(a, b)
	if !math.IsInf(d.High, 0) {
		g.Found += fmt.Sprintf("; difference %+.1e (%+.1e to %+.1e)", d.Value, d.Low, d.High)
	}
	switch {
	case d.Value <= 0:
	case d.Low > 0:
		g.Verdict = missed
	default:
		g.Verdict = open // worse by the mean, not beyond chance
	}
	return g
}

func describe(s *systemResult) string { return s.Residual.String() }

// String gives an estimate with its bounds, as "1.2e-03 (8e-04 to 2e-03)", or
// "0 (< 2e-05)".
func (e Estimate) String() string {
	switch {
	case e.Value < 0 || math.IsNaN(e.Value):
		return "none"
	case e.Value == 0:
		return fmt.Sprintf("0 (< %.1e)", e.High)
	}
	return fmt.Sprintf("%.1e (%.1e to %.1e)", e.Value, e.Low, e.High)
}

// costGoals judges parts three to five.
func costGoals(r *report) (goals []goal) {
	limit := func(what, where string, v, most float64, unit string) {
		g := goal{what, where, met, fmt.Sprintf("%.2f %s", v, unit)}
		if v > most {
			g.Verdict = missed
		}
		goals = append(goals, g)
	}
	if r.Cost != nil {
		for _, s := range r.Cost.Sides {
			if s.Kind == costKinds[0].ID || s.Runs == 0 {
				continue
			}
			limit("CPU per GB sent at most 1.0 × srt-live-transmit's", s.Kind, s.SendRatio.Value, 1.0, "×")
			limit("CPU per GB received at most 1.0 × srt-live-transmit's", s.Kind, s.RecvRatio.Value, 1.0, "×")
			limit("quartetd's memory at most 40 MB", s.Kind, s.SendPeak, 40, "MB")
			limit("quartet-gateway's memory at most 40 MB", s.Kind, s.RecvPeak, 40, "MB")
			if s.Calm > 0 {
				limit("delay at most 5 ms beyond latency_ms and jitter_ms at p99", s.Kind, s.BeyondP99-costHold.Seconds()*1000, 5, "ms")
			}
		}
	}
	if r.Packet != nil {
		limit("packet path at most 3 µs per packet", "packetize, tag, encode, queue on four paths", r.Packet.Median/1000, 3, "µs")
		limit("packet path allocates nothing", "packetize, tag, encode, queue on four paths", r.Packet.Allocs, 0, "allocations")
	}
	return goals
}
