package tr101290

import (
	"math"
	"slices"
	"time"

	"quartet/capture/mpegts"
)

// PCR accuracy (2.4) is how far a PCR is from the value that belongs to its
// place in the stream. Places tell time only in a stream of constant rate, so
// that is decided first, and anew for every 32 PCRs of a PID:
//
// In a block of 48 PCRs in a row, each is expected to follow the last by the
// median rate of the block. The rate is constant if three quarters of them do,
// within a tolerance. In a stream that is stuffed (it has null packets) the
// tolerance is half a millisecond, some packets' time, so that even a bad clock
// is measured; without stuffing a steady rate is mere chance and the tolerance
// is 10 µs. Else the stream is taken for one of variable rate, and nothing is
// measured. If it is constant, line.go judges the first 32 of the block.
//
// Arrival times do not come in. When packets are known to be missing, places
// are not known and the block begins anew; the last third of a block is judged
// only with the next one, so that a loss that shows late is noticed in time.
const (
	blockPCRs  = 48
	judgedPCRs = 32
	// linePCRs is how many PCRs a line needs.
	linePCRs = 16
	// manySteps in a block are no steps but noise.
	manySteps = 4
	// runPCRs in a row that are off in the same direction are a change of the
	// rate.
	runPCRs = 4
	// returnPCRs is within how many PCRs one that is off comes back, or else it
	// is a step.
	returnPCRs = 4

	toleranceStuffed = 500 * mpegts.PCRHz / 1_000_000 // ticks
	toleranceBare    = 10 * mpegts.PCRHz / 1_000_000
	stepTicks        = mpegts.PCRHz / 1_000_000

	// measuredFor is how long a result holds when no block gets complete.
	measuredFor = 30 * time.Second
)

// accuracy is a PID's block and what the last complete one said.
type accuracy struct {
	n      int
	points [blockPCRs]point
	losses uint64 // of the Monitor when the block began
	nulls  uint64
	// settled: the block follows one of constant rate. Else its beginning may
	// still have another.
	settled bool

	constant bool          // the last block had a constant rate
	at       time.Duration // when it was judged
	rate     float64       // of the transport stream by this clock, bit/s
	min, max float64       // ns
	count    uint64        // PCRs judged
	errors   uint64
}

// point is a PCR: ticks since the first of the block, and packets.
type point struct{ ticks, index int64 }

// restart begins a block with the PCR at hand.
func (a *accuracy) restart(m *Monitor) {
	a.n, a.losses, a.nulls, a.settled = 1, m.losses, m.pids[mpegts.NullPID].packets, false
	a.points[0] = point{0, m.index}
}

// add takes a PCR that is d ticks behind the last.
func (a *accuracy) add(m *Monitor, c *clock, d int64) {
	if a.losses != m.losses || a.n == 0 {
		a.restart(m)
		return
	}
	a.points[a.n] = point{a.points[a.n-1].ticks + d, m.index}
	if a.n++; a.n < blockPCRs {
		return
	}
	tolerance := float64(toleranceBare)
	if m.pids[mpegts.NullPID].packets > a.nulls {
		tolerance = toleranceStuffed
	}
	errors, next := a.block(tolerance)
	a.at = m.now
	a.errors += errors
	if errors > 0 && c.judged {
		m.failN(PCRAccuracyError, c.pid, errors)
	}
	// What was not judged begins the next block.
	first := a.points[next]
	a.n = copy(a.points[:], a.points[next:])
	for i := range a.n {
		a.points[i].ticks -= first.ticks
	}
	a.nulls = m.pids[mpegts.NullPID].packets
}

// block judges a complete block. It returns the errors, and with which PCR the
// next block begins.
func (a *accuracy) block(tolerance float64) (errors uint64, next int) {
	// off is by how much each PCR misses the one before plus the median rate.
	var slopes, off [blockPCRs]float64
	for i := 1; i < blockPCRs; i++ {
		p, q := a.points[i-1], a.points[i]
		slopes[i] = float64(q.ticks-p.ticks) / float64(q.index-p.index)
	}
	sorted := slopes
	slope := median(sorted[1:])
	near := 0
	for i := 1; i < blockPCRs; i++ {
		packets := float64(a.points[i].index - a.points[i-1].index)
		off[i] = (slopes[i] - slope) * packets
		if math.Abs(off[i]) <= tolerance {
			near++
		}
	}
	settled := a.settled
	a.constant = slope > 0 && near >= (blockPCRs-1)*3/4
	a.settled = a.constant
	if !a.constant {
		return 0, judgedPCRs
	}
	marks, n := steps(&off)
	lead := 0
	for lead < blockPCRs-1 && marks[lead+1] {
		lead++
	}
	if lead > 0 && !settled {
		a.settled = false
		return 0, lead // what was before
	}
	if from, to := run(&off, &marks); to > 0 { // the rate changes
		a.settled = false
		switch {
		case slices.Contains(marks[:from], true):
		case from > judgedPCRs:
			return a.judge(from, judgedPCRs)
		default:
			errors, _ = a.judge(from, from)
		}
		if to == blockPCRs-1 {
			return errors, from
		}
		return errors, to
	}
	step, pause := blockPCRs, false
	for i := blockPCRs - 1; i > 0; i-- {
		big := math.Abs(off[i]) > tolerance
		if marks[i] && (big || !pause) {
			step, pause = i, big
		}
	}
	switch {
	case n >= manySteps && !pause: // noise
		return a.judge(blockPCRs, judgedPCRs)
	case step > judgedPCRs: // none, or it comes in the next block
		return a.judge(step, judgedPCRs)
	}
	errors, _ = a.judge(step, step)
	if !pause { // else the stream stood still, or packets are missing: no wrong clock
		errors++
	}
	return errors, step
}

// run looks for the first PCRs in a row that are off in the same direction and
// do not come back. It returns the first and the last of them, 0, 0 if there
// are too few.
func run(off *[blockPCRs]float64, marks *[blockPCRs]bool) (from, to int) {
	for i := 1; i < blockPCRs; i++ {
		if !marks[i] || !marks[i-1] || off[i] > 0 != (off[i-1] > 0) {
			from = i
		}
		if i-from+1 >= runPCRs && marks[i] {
			to = i
			for to+1 < blockPCRs && marks[to+1] && off[to+1] > 0 == (off[i] > 0) {
				to++
			}
			return from, to
		}
	}
	return 0, 0
}

// steps marks the PCRs that are off and do not come back, and counts them.
func steps(off *[blockPCRs]float64) (marks [blockPCRs]bool, n int) {
	for i := 1; i < blockPCRs; i++ {
		if math.Abs(off[i]) <= stepTicks {
			continue
		}
		sum, back := off[i], 0
		for j := i + 1; j < blockPCRs && j <= i+returnPCRs; j++ {
			if sum += off[j]; math.Abs(sum) <= stepTicks {
				back = j
				break
			}
		}
		if back > 0 {
			i = back
			continue
		}
		marks[i] = true
		n++
	}
	return marks, n
}

// measured reports whether the last result is fresh and there is one.
func (a *accuracy) measured(now time.Duration) bool {
	return a.constant && now-a.at <= measuredFor
}

// median sorts v and returns its middle.
func median(v []float64) float64 {
	for i := 1; i < len(v); i++ {
		x, j := v[i], i
		for ; j > 0 && v[j-1] > x; j-- {
			v[j] = v[j-1]
		}
		v[j] = x
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
