package confidence

// taps of a phase of the interpolator.
const taps = 12

// The interpolator of ITU-R BS.1770-5 annex 2, four times the sampling rate.
// Phases 3 and 2 are these two backwards.
var (
	phase0 = [taps]float32{0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000, -0.0594482421875, 0.1373291015625,
		0.9721679687500, -0.1022949218750, 0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500}
	phase1 = [taps]float32{-0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250, -0.1665039062500, 0.4650878906250,
		0.7797851562500, -0.2003173828125, 0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375}
)

// mostGain is what the interpolator can make of samples up to 1: the sum of
// phase 1's absolute values.
const mostGain = 2.03

// truePeak finds the highest level between samples of one channel.
type truePeak struct {
	past  [taps - 1]float32
	loud  float32 // highest absolute value among past
	block [taps - 1 + blockSamples]float32
}

// peak returns the larger of floor and the true peak of the next samples, at
// most blockSamples; loudest is the largest of their absolute values.
func (t *truePeak) peak(samples []float32, loudest, floor float32) float32 {
	n := copy(t.block[:], t.past[:])
	n += copy(t.block[n:], samples)
	b := t.block[:n]
	most := floor
	// Where nothing can be higher there is nothing to look for.
	if max(loudest, t.loud)*mostGain > floor {
		for i := 0; i+taps <= len(b); i++ {
			x := (*[taps]float32)(b[i : i+taps])
			var p0, p1, p2, p3 float32
			for k := range taps {
				// Filter taps run backwards in time.
				v, w := x[k], x[taps-1-k]
				p0 += phase0[k] * w
				p3 += phase0[k] * v
				p1 += phase1[k] * w
				p2 += phase1[k] * v
			}
			most = max(most, p0, -p0, p1, -p1, p2, -p2, p3, -p3)
		}
	}
	copy(t.past[:], b[len(b)-len(t.past):])
	t.loud = 0
	for _, v := range t.past {
		t.loud = max(t.loud, v, -v)
	}
	return most
}
