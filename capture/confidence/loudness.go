package confidence

import (
	"fmt"
	"math"
	"time"
)

// Floor is the lowest level and loudness that is told: nothing, in dB. JSON has
// no word for minus infinity.
const Floor = -120.0

const (
	stepsPerSecond = 100 // a step is 10 ms
	momentarySteps = 40  // 400 ms
	shortSteps     = 300 // 3 s
	gatingSteps    = 10  // a gating block begins every 100 ms: 75 % overlap
	absoluteGate   = -70.0
	relativeGate   = -10.0
	rangeGate      = -20.0 // EBU Tech 3342
	offset         = -0.691
)

// biquad is a filter of second order, in transposed direct form II.
type biquad struct{ b0, b1, b2, a1, a2 float64 }

// kWeighting returns the two stages of BS.1770's filter at a sampling rate: a
// shelf for the head, a high pass. At 48 kHz they are those of the standard's
// tables 1 and 2.
func kWeighting(rate float64) (shelf, highPass biquad) {
	const gain, f, q = 3.999843853973347, 1681.974450955533, 0.7071752369554196
	k := math.Tan(math.Pi * f / rate)
	vh := math.Pow(10, gain/20)
	vb := math.Pow(vh, 0.4996667741545416)
	a0 := 1 + k/q + k*k
	shelf = biquad{(vh + vb*k/q + k*k) / a0, 2 * (k*k - vh) / a0, (vh - vb*k/q + k*k) / a0, 2 * (k*k - 1) / a0, (1 - k/q + k*k) / a0}
	const fh, qh = 38.13547087602444, 0.5003270373238773
	k = math.Tan(math.Pi * fh / rate)
	a0 = 1 + k/qh + k*k
	return shelf, biquad{1, -2, 1, 2 * (k*k - 1) / a0, (1 - k/qh + k*k) / a0}
}

// kState is the filters' memory of one channel.
type kState struct{ s1, s2, h1, h2 float64 }

// Loudness measures one programme of any number of channels by EBU R 128:
// momentary, short-term and integrated loudness, and loudness range. Memory is
// the same after a second and after a year.
type Loudness struct {
	// set at start, never changed
	step    int // samples
	weights []float64
	shelf   biquad
	high    biquad

	state  []kState
	square float64 // Σ over channels and samples of the step so far, weighted
	n      int     // samples of it
	ring   [shortSteps]float64
	steps  uint64

	momentary, short       float64
	maxMomentary, maxShort float64
	blocks, shorts         histogram
}

// NewLoudness returns a meter for a sampling rate, a multiple of 100 Hz, and the
// channels' weights: 1 for front channels, 1.41 for surround, 0 for LFE.
func NewLoudness(rate int, weights ...float64) (*Loudness, error) {
	if rate < 8000 || rate > 768000 || rate%stepsPerSecond != 0 {
		return nil, fmt.Errorf("confidence: sampling rate %d: must be a multiple of 100 from 8000 to 768000", rate)
	}
	if len(weights) == 0 {
		return nil, fmt.Errorf("confidence: no channels: give each its weight")
	}
	l := &Loudness{step: rate / stepsPerSecond, weights: weights, state: make([]kState, len(weights))}
	l.shelf, l.high = kWeighting(float64(rate))
	l.Reset()
	return l, nil
}

// Reset begins a new measurement; the filters go on.
func (l *Loudness) Reset() {
	l.square, l.n, l.steps = 0, 0, 0
	l.ring = [shortSteps]float64{}
	l.momentary, l.short, l.maxMomentary, l.maxShort = Floor, Floor, Floor, Floor
	l.blocks, l.shorts = newHistogram(), newHistogram()
}

// Write takes interleaved samples, full scale 1; a part of a frame at the end is
// not taken.
func (l *Loudness) Write(samples []float32) {
	n := len(l.weights)
	for len(samples) >= n {
		frames := min(len(samples)/n, l.step-l.n)
		l.within(samples[:frames*n])
		samples = samples[frames*n:]
	}
}

// within takes samples of one step.
func (l *Loudness) within(samples []float32) {
	n := len(l.weights)
	for c := range l.weights {
		l.square += l.weights[c] * l.channel(&l.state[c], samples[c:], n)
	}
	if l.n += len(samples) / n; l.n == l.step {
		l.endStep()
	}
}

// channel filters one channel of interleaved samples and returns the sum of its
// squares.
func (l *Loudness) channel(st *kState, samples []float32, stride int) float64 {
	s, h, m, sum := l.shelf, l.high, *st, 0.0
	for i := 0; i < len(samples); i += stride {
		x := float64(samples[i])
		y := s.b0*x + m.s1
		m.s1 = s.b1*x - s.a1*y + m.s2
		m.s2 = s.b2*x - s.a2*y
		z := y + m.h1 // the high pass has b = 1, -2, 1
		m.h1 = -2*y - h.a1*z + m.h2
		m.h2 = y - h.a2*z
		sum += z * z
	}
	// What fades away must not end in subnormal numbers, which are slow; and no
	// sample may spoil all that follow.
	for _, v := range [...]*float64{&m.s1, &m.s2, &m.h1, &m.h2} {
		if !(math.Abs(*v) > 1e-30 && math.Abs(*v) < 1e6) {
			*v = 0
		}
	}
	*st = m
	if !(sum >= 0 && sum < 1e15) {
		return 0
	}
	return sum
}

func (l *Loudness) endStep() {
	l.ring[l.steps%shortSteps] = l.square / float64(l.step)
	l.steps++
	l.square, l.n = 0, 0
	if l.steps >= momentarySteps {
		e := l.mean(momentarySteps)
		l.momentary = decibels(e)
		l.maxMomentary = max(l.maxMomentary, l.momentary)
		if l.steps%gatingSteps == 0 {
			l.blocks.add(l.momentary, e)
		}
	}
	if l.steps >= shortSteps {
		e := l.mean(shortSteps)
		l.short = decibels(e)
		l.maxShort = max(l.maxShort, l.short)
		if l.steps%gatingSteps == 0 {
			l.shorts.add(l.short, e)
		}
	}
}

// mean is that of the last n steps.
func (l *Loudness) mean(n uint64) float64 {
	sum := 0.0
	for i := l.steps - n; i < l.steps; i++ {
		sum += l.ring[i%shortSteps]
	}
	return sum / float64(n)
}

// decibels turns a weighted mean square into LUFS.
func decibels(e float64) float64 {
	if e <= 0 {
		return Floor
	}
	return max(offset+10*math.Log10(e), Floor)
}

// Momentary is the loudness of the last 400 ms in LUFS.
func (l *Loudness) Momentary() float64 { return l.momentary }

// ShortTerm is the loudness of the last 3 s in LUFS.
func (l *Loudness) ShortTerm() float64 { return l.short }

// MaxMomentary and MaxShortTerm are the highest since the start, or since Reset.
func (l *Loudness) MaxMomentary() float64 { return l.maxMomentary }

// MaxShortTerm is MaxMomentary's for 3 s.
func (l *Loudness) MaxShortTerm() float64 { return l.maxShort }

// Measured is how long was measured.
func (l *Loudness) Measured() time.Duration {
	return time.Duration(l.steps) * time.Second / stepsPerSecond
}

// Integrated is the gated loudness since the start in LUFS (BS.1770-5 annex 1).
func (l *Loudness) Integrated() float64 {
	all, _ := l.blocks.above(absoluteGate)
	if all <= 0 {
		return Floor
	}
	mean, _ := l.blocks.above(decibels(all) + relativeGate)
	return decibels(mean)
}

// Range is the loudness range in LU (EBU Tech 3342).
func (l *Loudness) Range() float64 {
	all, _ := l.shorts.above(absoluteGate)
	if all <= 0 {
		return 0
	}
	gate := decibels(all) + rangeGate
	_, n := l.shorts.above(gate)
	if n == 0 {
		return 0
	}
	return l.shorts.percentile(gate, n, 0.95) - l.shorts.percentile(gate, n, 0.10)
}

// Bins of a histogram: 0.01 LU from the absolute gate on.
const (
	binsPerLU = 100
	bins      = 80 * binsPerLU
)

// histogram keeps the energies of blocks by their loudness: exact sums, and no
// more memory for more blocks. Only where a gate falls within a bin is there an
// error, of that bin's 0.01 LU.
type histogram struct {
	count []uint64
	sum   []float64
}

func newHistogram() histogram {
	return histogram{make([]uint64, bins), make([]float64, bins)}
}

func bin(loudness float64) int { return int(math.Floor((loudness - absoluteGate) * binsPerLU)) }

func (h *histogram) add(loudness, energy float64) {
	if loudness <= absoluteGate {
		return
	}
	i := min(bin(loudness), bins-1)
	h.count[i]++
	h.sum[i] += energy
}

// above returns mean energy and number of the blocks above a gate.
func (h *histogram) above(gate float64) (mean float64, n uint64) {
	for i := max(bin(gate), 0); i < bins; i++ {
		n += h.count[i]
		mean += h.sum[i]
	}
	if n == 0 {
		return 0, 0
	}
	return mean / float64(n), n
}

// percentile of the n blocks above a gate.
func (h *histogram) percentile(gate float64, n uint64, p float64) float64 {
	want := uint64(math.Round(float64(n-1) * p))
	for i := max(bin(gate), 0); i < bins; i++ {
		if h.count[i] > want {
			return absoluteGate + (float64(i)+0.5)/binsPerLU
		}
		want -= h.count[i]
	}
	return absoluteGate
}
