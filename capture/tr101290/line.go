package tr101290

import (
	"math"

	"quartet/capture/mpegts"
)

// spare is how many PCRs more may be judged, so that the next block begins with
// one that is right.
const spare = 8

// judge counts which of the first k PCRs of the block are off by more than
// 500 ns, measured from a straight line through the first n. It returns with
// which PCR the next block begins. With too few for a line, none is judged.
//
// The line is the median of slopes between PCRs half a block apart, the median
// of offsets, and then least squares over the PCRs within 500 ns of that, so
// that those that are wrong do not bend it.
func (a *accuracy) judge(n, k int) (errors uint64, next int) {
	k = min(k, n)
	if n < linePCRs {
		return 0, k
	}
	points := a.points[:n]
	half := n / 2
	var slopes, off, sorted [blockPCRs]float64
	for i := range half {
		p, q := points[i], points[i+half]
		slopes[i] = float64(q.ticks-p.ticks) / float64(q.index-p.index)
	}
	slope := median(slopes[:half])
	start := points[0].index
	for i, p := range points {
		off[i] = float64(p.ticks) - slope*float64(p.index-start)
	}
	sorted = off
	middle := median(sorted[:n])
	var w, sx, sy, sxx, sxy float64
	for i, p := range points {
		if off[i] -= middle; math.Abs(off[i]) <= accuracyTicks {
			x := float64(p.index - start)
			w, sx, sy, sxx, sxy = w+1, sx+x, sy+off[i], sxx+x*x, sxy+x*off[i]
		}
	}
	if det := w*sxx - sx*sx; int(w) >= half && det > 0 {
		b := (w*sxy - sx*sy) / det
		c := (sy - b*sx) / w
		for i, p := range points {
			off[i] -= b*float64(p.index-start) + c
		}
		slope += b
	}
	for limit := min(k+spare, n); k < limit && math.Abs(off[k]) > accuracyTicks; {
		k++
	}
	low, high := off[0], off[0]
	for _, v := range off[:k] {
		low, high = min(low, v), max(high, v)
		if math.Abs(v) > accuracyTicks {
			errors++
		}
	}
	const ns = 1e9 / mpegts.PCRHz
	a.min, a.max = low*ns, high*ns
	a.rate = packetBits * mpegts.PCRHz / slope
	a.count += uint64(k)
	return errors, min(k, blockPCRs-1)
}
