package genlock

import "math"

const (
	taps   = 48  // of each phase; half of them in the future
	phases = 256 // between two samples; in between they are interpolated
	// cutoff is the filter's edge as a share of the sample rate: 48 kHz keeps
	// 20 kHz.
	cutoff = 0.459
	kaiser = 9.0 // side lobes below −90 dB
)

// filters holds the windowed sinc of each phase, and one more to interpolate to.
type filters [phases + 1][taps]float32

func newFilters() *filters {
	f := new(filters)
	for p := range f {
		sum := 0.0
		var row [taps]float64
		for k := range row {
			x := float64(k-taps/2+1) - float64(p)/phases
			s := 2 * cutoff
			if x != 0 {
				s = math.Sin(2*math.Pi*cutoff*x) / (math.Pi * x)
			}
			r := x / (taps / 2)
			if r = 1 - r*r; r < 0 {
				r = 0
			}
			row[k] = s * bessel(kaiser*math.Sqrt(r)) / bessel(kaiser)
			sum += row[k]
		}
		for k := range row {
			f[p][k] = float32(row[k] / sum) // flat at 0 Hz whatever the phase
		}
	}
	return f
}

// bessel is I₀, by its series.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= (x / 2 / k) * (x / 2 / k)
		sum += term
	}
	return sum
}

// Resampler reads a stream of interleaved samples at any position and any step
// near one. It forgets what lies behind its position, and the oldest of more
// than a second. Not safe for concurrent use.
type Resampler struct {
	channels int
	filters  *filters
	buf      []float32
	base     int64 // index of the first sample that buf holds
	pos      float64
	whole    int64 // position = whole + pos, 0 ≤ pos < 1
}

// NewResampler returns one for so many channels.
func NewResampler(channels int) *Resampler {
	return &Resampler{channels: channels, filters: newFilters()}
}

// Reset forgets all samples; the next Write begins at index 0.
func (r *Resampler) Reset() { r.buf, r.base, r.pos, r.whole = r.buf[:0], 0, 0, 0 }

// End returns the index behind the last sample that was written.
func (r *Resampler) End() int64 { return r.base + int64(len(r.buf)/r.channels) }

// Position returns where the next Read begins: an index and the part of a
// sample behind it.
func (r *Resampler) Position() (whole int64, part float64) { return r.whole, r.pos }

// JumpTo moves the position; a jump that can be heard.
func (r *Resampler) JumpTo(whole int64) { r.whole, r.pos = whole, 0 }

// Write appends whole frames of samples.
func (r *Resampler) Write(samples []float32) {
	keep := max(r.whole-taps, r.End()-SampleRate)
	if n := min(keep-r.base, r.End()-r.base); n > 0 && int(n)*r.channels > len(r.buf)/2 {
		r.buf = r.buf[:copy(r.buf, r.buf[int(n)*r.channels:])]
		r.base += n
	}
	r.buf = append(r.buf, samples[:len(samples)/r.channels*r.channels]...)
}

// Ready tells whether n samples can be read with a step.
func (r *Resampler) Ready(n int, step float64) bool {
	if step == 1 && r.pos == 0 {
		return r.whole+int64(n) <= r.End() // they are copied
	}
	return r.whole+int64(r.pos+float64(n)*step)+taps/2+1 <= r.End()
}

// Read fills out with frames of samples, each step samples of the stream
// further. Ready must have said yes. With step 1 from a whole position it
// copies them unchanged.
func (r *Resampler) Read(out []float32, step float64) {
	c := r.channels
	n := len(out) / c
	if step == 1 && r.pos == 0 {
		for i := range out {
			out[i] = r.at(r.whole*int64(c) + int64(i))
		}
		r.whole += int64(n)
		return
	}
	for i := range n {
		p := r.pos * phases
		k := int(p)
		f, g, part := &r.filters[k], &r.filters[k+1], float32(p)-float32(k)
		first := (r.whole - taps/2 + 1 - r.base) * int64(c)
		for ch := range c {
			var sum float32
			if first >= 0 {
				w := r.buf[int(first)+ch:]
				for t := range taps {
					sum += w[t*c] * (f[t] + part*(g[t]-f[t]))
				}
			} else {
				for t := range taps {
					sum += r.at(r.base*int64(c)+first+int64(t*c+ch)) * (f[t] + part*(g[t]-f[t]))
				}
			}
			out[i*c+ch] = sum
		}
		r.pos += step
		whole := math.Floor(r.pos)
		r.whole += int64(whole)
		r.pos -= whole
	}
}

// at returns a sample by its index over all channels, 0 where there is none.
func (r *Resampler) at(i int64) float32 {
	if i -= r.base * int64(r.channels); i >= 0 && i < int64(len(r.buf)) {
		return r.buf[i]
	}
	return 0
}
