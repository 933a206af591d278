package main

import (
	"math"
	"slices"
)

// z975 is the 97.5 % point of the normal distribution: 95 % between both ends.
const z975 = 1.959963984540054

// t975 is the 97.5 % point of Student's t for 1…30 degrees of freedom.
var t975 = [...]float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
	2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
	2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042}

// student is the 97.5 % point of Student's t; above 30 degrees of freedom by
// the first term of Fisher's expansion.
func student(df int) float64 {
	switch {
	case df < 1:
		return math.Inf(1)
	case df <= len(t975):
		return t975[df-1]
	}
	return z975 + (z975*z975*z975+z975)/(4*float64(df))
}

// wilson gives Wilson's score interval of k in n, 95 %.
func wilson(k, n float64) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	p, z2 := k/n, z975*z975
	mid := (p + z2/(2*n)) / (1 + z2/n)
	half := z975 / (1 + z2/n) * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	return max(0, mid-half), min(1, mid+half)
}

// Estimate is a ratio with 95 % bounds.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// tally is what one seed gave.
type tally struct{ lost, total float64 }

// estimate gives the pooled ratio of all seeds. Losses come in runs, so the
// packets of a seed are no independent draws: the bounds are the wider of
// Wilson's, over all packets, and Student's t over the seeds' own ratios. With
// nothing lost at all the upper bound is that of the rule of three, 3/n.
func estimate(seeds []tally) Estimate {
	var k, n float64
	ratios := make([]float64, 0, len(seeds))
	for _, s := range seeds {
		k, n = k+s.lost, n+s.total
		if s.total > 0 {
			ratios = append(ratios, s.lost/s.total)
		}
	}
	switch {
	case n == 0:
		return Estimate{Value: math.NaN(), Low: 0, High: 1}
	case k == 0:
		return Estimate{High: min(1, 3/n)}
	}
	e := Estimate{Value: k / n}
	e.Low, e.High = wilson(k, n)
	if len(ratios) > 1 {
		_, half := meanAndHalf(ratios)
		e.Low, e.High = max(0, min(e.Low, e.Value-half)), min(1, max(e.High, e.Value+half))
	}
	return e
}

// meanAndHalf gives the mean and half the width of its 95 % interval by
// Student's t; infinite for fewer than two values.
func meanAndHalf(v []float64) (mean, half float64) {
	n := float64(len(v))
	for _, x := range v {
		mean += x / n
	}
	if len(v) < 2 {
		return mean, math.Inf(1)
	}
	var ss float64
	for _, x := range v {
		ss += (x - mean) * (x - mean)
	}
	return mean, student(len(v)-1) * math.Sqrt(ss/(n-1)/n)
}

// difference gives the mean of a[i]−b[i] with 95 % bounds by Student's t over
// the pairs.
func difference(a, b []float64) Estimate {
	d := make([]float64, min(len(a), len(b)))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	mean, half := meanAndHalf(d)
	return Estimate{mean, mean - half, mean + half}
}

// median of v; 0 for none.
func median(v []float64) float64 { return quantile(v, 0.5) }

// quantile of v by linear interpolation; 0 for none. v stays as it is.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Clone(v)
	slices.Sort(s)
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// medianBounds gives the median with the 95 % interval of order statistics
// (the sign test's); of few values it is their whole span.
func medianBounds(v []float64) Estimate {
	s := slices.Clone(v)
	slices.Sort(s)
	if len(s) == 0 {
		return Estimate{}
	}
	// The largest d with P(Binomial(n, ½) < d) ≤ 2.5 %.
	n, d, cum := len(s), 0, 0.0
	for p := math.Pow(0.5, float64(n)); d < n/2; d++ {
		if cum += p; cum > 0.025 {
			break
		}
		p *= float64(n-d) / float64(d+1)
	}
	i := max(0, d-1)
	return Estimate{median(s), s[i], s[n-1-i]}
}

// delays is a histogram of delays in steps of 50 µs up to 4 s.
type delays struct {
	counts [80001]uint32
	n      uint64
}

const delayStepUS = 50

func (d *delays) add(us int64) {
	d.counts[min(max(us/delayStepUS, 0), int64(len(d.counts)-1))]++
	d.n++
}

// quantileMS is the delay, in milliseconds, that a share q of the packets did
// not exceed.
func (d *delays) quantileMS(q float64) float64 {
	if d.n == 0 {
		return 0
	}
	need, seen := uint64(math.Ceil(q*float64(d.n))), uint64(0)
	for i, c := range d.counts {
		if seen += uint64(c); seen >= need {
			return float64(i*delayStepUS) / 1000
		}
	}
	return float64(len(d.counts)*delayStepUS) / 1000
}
