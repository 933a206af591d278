package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// waves packs systems into runs of at most o.streams paths. Systems that are
// compared with each other most, those of one path, come first.
func (o *options) waves() (waves [][]system) {
	sorted := slices.Clone(o.systems)
	slices.SortStableFunc(sorted, func(a, b system) int { return a.Paths - b.Paths })
	var cur []system
	used := 0
	for _, s := range sorted {
		if used+s.Paths > o.streams && len(cur) > 0 {
			waves, cur, used = append(waves, cur), nil, 0
		}
		cur, used = append(cur, s), used+s.Paths
	}
	return append(waves, cur)
}

// lossResult is part one.
type lossResult struct {
	Cells   []cellResult `json:"cells"`
	Runs    int          `json:"runs"`          // that count
	Spoilt  int          `json:"spoilt"`        // that do not
	Failed  int          `json:"failed"`        // that did not come about
	Why     []string     `json:"why,omitempty"` // the last reasons
	IdleMin float64      `json:"idle_min"`      // of the processors, in runs that count
	StallMS float64      `json:"stall_max_ms"`
	Late    float64      `json:"late_share_max"`
	Missing []string     `json:"missing,omitempty"` // cell and seed for which no run counts
}

// cellResult is all systems under one network condition.
type cellResult struct {
	Cell    string         `json:"cell"`
	RTTMS   int            `json:"rtt_ms"`
	Link    string         `json:"link"`
	Systems []systemResult `json:"systems"`
}

// systemResult is one system over all seeds.
type systemResult struct {
	System   string    `json:"system"`
	Seeds    int       `json:"seeds"`
	Residual Estimate  `json:"residual"` // lost share of the packets
	Lost     float64   `json:"lost"`     // packets of 1316 bytes
	Total    float64   `json:"total"`
	Runs     uint64    `json:"runs"`    // gaps in the output
	MaxRun   float64   `json:"max_run"` // longest, packets
	Spoken   int       `json:"seeds_with_loss"`
	PerSeed  []float64 `json:"per_seed"`          // residual; NaN is -1: no run counts
	Wire     float64   `json:"wire"`              // bytes on the wire, all paths, for each byte of TS
	PerPath  float64   `json:"overhead_per_path"` // wire/paths − 1
	Back     float64   `json:"back"`              // bytes of feedback for each byte of TS
	LinkLoss float64   `json:"link_loss"`         // share of the packets that the relay took
	P50MS    float64   `json:"delay_p50_ms"`
	P99MS    float64   `json:"delay_p99_ms"`
	CPU      float64   `json:"cpu_cores"` // both programs
	Again    uint64    `json:"again"`
	Foreign  uint64    `json:"foreign"`
	Plan     string    `json:"plan,omitempty"`
	ByParity uint64    `json:"by_parity,omitempty"`
}

// runLog keeps every run on disk, so that a long benchmark can be resumed.
type runLog struct {
	file *os.File
	runs []waveRun
}

// settings that runs must share to be counted together.
func (o *options) settings() string {
	var ids []string
	for _, w := range o.waves() {
		for _, s := range w {
			ids = append(ids, s.ID)
		}
		ids = append(ids, "|")
	}
	return fmt.Sprintf("%d bit/s, %v, %d %%, %v after %v, %v", o.rateBPS, o.latency, o.overhead, o.seconds, o.warmup, ids)
}

func openRuns(o options) (*runLog, error) {
	name := filepath.Join(o.out, "runs.jsonl")
	l := new(runLog)
	if o.resume {
		if f, err := os.Open(name); err == nil {
			sc := bufio.NewScanner(f)
			sc.Buffer(nil, 1<<20)
			for first := true; sc.Scan(); first = false {
				if first {
					if had := sc.Text(); had != jsonText(o.settings()) {
						f.Close()
						return nil, fmt.Errorf("--resume: %s holds runs of other settings: %s; those asked for are %s", name, had, o.settings())
					}
					continue
				}
				var r waveRun
				if json.Unmarshal(sc.Bytes(), &r) == nil { // the last line may be torn
					l.runs = append(l.runs, r)
				}
			}
			f.Close()
		}
	}
	var err error
	if l.file, err = os.Create(name); err != nil {
		return nil, err
	}
	l.write(o.settings())
	for _, r := range l.runs {
		l.write(r)
	}
	return l, nil
}

func jsonText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func (l *runLog) write(v any) { fmt.Fprintln(l.file, jsonText(v)) }

func (l *runLog) add(r waveRun) {
	l.runs = append(l.runs, r)
	l.write(r)
}

// has tells whether a run that counts is there.
func (l *runLog) has(cell string, seed, wave int) bool {
	return slices.ContainsFunc(l.runs, func(r waveRun) bool {
		return r.Cell == cell && r.Seed == seed && r.Wave == wave && len(r.Spoilt) == 0
	})
}

// measureLoss runs every cell with every seed. A seed's waves follow each
// other at once, so that slow changes of the machine hit all systems alike.
func measureLoss(ctx context.Context, o options) (*lossResult, error) {
	l, err := openRuns(o)
	if err != nil {
		return nil, err
	}
	defer l.file.Close()
	res := &lossResult{IdleMin: 1}
	waves := o.waves()
	total := len(o.cells()) * o.seeds * len(waves)
	say("residual loss: %d runs of about %v", total, (o.warmup + o.seconds + 3*time.Second).Round(time.Second))
	done := 0
	for seed := 1; seed <= o.seeds && ctx.Err() == nil; seed++ {
		for _, c := range o.cells() {
			for n, systems := range waves {
				done++
				if l.has(c.id(), seed, n) || ctx.Err() != nil {
					continue
				}
				for try := 1; try <= o.attempts; try++ {
					r, err := runWave(ctx, o, c, seed, n, systems)
					if ctx.Err() != nil {
						break // report what is there; --resume goes on from here
					}
					if err != nil {
						res.Failed++
						res.because("%s seed %d: %v", c.id(), seed, err)
						say("%d/%d %s seed %d wave %d failed: %v", done, total, c.id(), seed, n+1, err)
						continue
					}
					l.add(r)
					say("%d/%d %s", done, total, r.line())
					if len(r.Spoilt) == 0 {
						break
					}
				}
			}
		}
	}
	res.sum(o, l.runs)
	if res.Runs == 0 {
		return res, errors.New("residual loss: no run counts; try fewer --streams, a lower --rate or a calmer machine")
	}
	return res, nil
}

// because keeps the last reasons why runs do not count.
func (res *lossResult) because(format string, args ...any) {
	if len(res.Why) == 10 {
		res.Why = res.Why[1:]
	}
	res.Why = append(res.Why, fmt.Sprintf(format, args...))
}

// line is a run in short.
func (r *waveRun) line() string {
	s := fmt.Sprintf("%s seed %d wave %d:", r.Cell, r.Seed, r.Wave+1)
	for _, k := range r.Systems {
		s += fmt.Sprintf(" %s %.1e", k.System, float64(k.Lost)/float64(max(1, k.Sent)))
	}
	s += fmt.Sprintf(" (stall %.0f ms, late %.2f %%, idle %.0f %%)", r.StallMS, 100*r.LateShare, 100*r.Idle)
	for _, why := range r.Spoilt {
		s += " SPOILT: " + why
	}
	return s
}

// sum makes the tables of all runs that count.
func (res *lossResult) sum(o options, runs []waveRun) {
	for _, r := range runs {
		if len(r.Spoilt) > 0 {
			res.Spoilt++
			res.because("%s seed %d: %s", r.Cell, r.Seed, r.Spoilt[0])
			continue
		}
		res.Runs++
		res.IdleMin = min(res.IdleMin, r.Idle)
		res.StallMS, res.Late = max(res.StallMS, r.StallMS), max(res.Late, r.LateShare)
	}
	for _, c := range o.cells() {
		k := cellResult{Cell: c.id(), RTTMS: int(c.RTT.Milliseconds()), Link: c.Link.ID}
		for _, sys := range o.systems {
			s := sumSystem(sys, c.id(), o.seeds, runs)
			if s.Seeds < o.seeds {
				res.Missing = append(res.Missing, fmt.Sprintf("%s in %s: %d of %d seeds count", sys.ID, c.id(), s.Seeds, o.seeds))
			}
			k.Systems = append(k.Systems, s)
		}
		res.Cells = append(res.Cells, k)
	}
}

// sumSystem pools the seeds of one system in one cell.
func sumSystem(sys system, cell string, seeds int, runs []waveRun) systemResult {
	s := systemResult{System: sys.ID}
	var tallies []tally
	var payload, wire, back, linkLost, wirePackets, cpu float64
	var p50, p99 []float64
	for seed := 1; seed <= seeds; seed++ {
		k := runOf(sys.ID, cell, seed, runs)
		if k == nil {
			s.PerSeed = append(s.PerSeed, -1)
			continue
		}
		// Packets of the wire have seven of the transport stream.
		t := tally{float64(k.Lost) / tsPerDatagram, float64(k.Sent) / tsPerDatagram}
		tallies = append(tallies, t)
		s.Seeds++
		s.PerSeed = append(s.PerSeed, t.lost/t.total)
		s.Lost, s.Total, s.Runs = s.Lost+t.lost, s.Total+t.total, s.Runs+k.Runs
		s.MaxRun = max(s.MaxRun, float64(k.Max)/tsPerDatagram)
		if k.Lost > 0 {
			s.Spoken++
		}
		s.Again, s.Foreign, s.ByParity = s.Again+k.Again, s.Foreign+k.Foreign, s.ByParity+k.ByParity
		payload += float64(k.PayloadBytes)
		wire, back = wire+float64(k.WireBytes), back+float64(k.BackBytes)
		linkLost, wirePackets = linkLost+float64(k.LinkLost), wirePackets+float64(k.WirePackets)
		cpu += k.CPUSeconds
		p50, p99 = append(p50, k.DelayP50MS), append(p99, k.DelayP99MS)
		s.Plan = k.Plan
	}
	s.Residual = estimate(tallies)
	if math.IsNaN(s.Residual.Value) {
		s.Residual.Value = -1 // JSON has no NaN; Seeds is 0
	}
	if payload > 0 {
		s.Wire, s.Back = wire/payload, back/payload
		s.PerPath = s.Wire/float64(sys.Paths) - 1
		s.LinkLoss = linkLost / max(1, wirePackets)
		s.CPU = cpu / (payload / datagramBytes) // per datagram, scaled by the report
	}
	s.P50MS, s.P99MS = median(p50), median(p99)
	return s
}

// runOf finds the run that counts.
func runOf(sys, cell string, seed int, runs []waveRun) *systemRun {
	for i := range runs {
		r := &runs[i]
		if r.Cell != cell || r.Seed != seed || len(r.Spoilt) > 0 {
			continue
		}
		for j := range r.Systems {
			if r.Systems[j].System == sys {
				return &r.Systems[j]
			}
		}
	}
	return nil
}
