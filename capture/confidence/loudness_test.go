package confidence

import (
	"fmt"
	"math"
	"testing"
	"time"
)

const rate = 48000

// tone is a stretch of a 1 kHz sine (or of silence) with the same level in all
// channels but for those that have their own. dB of full scale, peak.
type tone struct {
	seconds float64
	db      []float64
}

// play writes tones, phase carried on, and calls each after every 10 ms.
func play(write func([]float32), channels int, each func(), tones ...tone) {
	buf := make([]float32, 0, rate/stepsPerSecond*channels)
	n := 0
	for _, t := range tones {
		gain := make([]float64, channels)
		for c := range gain {
			gain[c] = math.Pow(10, t.db[min(c, len(t.db)-1)]/20)
		}
		for range int(math.Round(t.seconds * rate)) {
			s := math.Sin(2 * math.Pi * 1000 * float64(n) / rate)
			for c := range channels {
				buf = append(buf, float32(s*gain[c]))
			}
			if n++; len(buf) == cap(buf) {
				write(buf)
				buf = buf[:0]
				if each != nil {
					each()
				}
			}
		}
	}
	write(buf)
}

const nothing = -300.0

func at(seconds float64, db ...float64) tone { return tone{seconds, db} }

func meter(t testing.TB, weights ...float64) *Loudness {
	t.Helper()
	l, err := NewLoudness(rate, weights...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func within(t *testing.T, what string, got, want, below, above float64) {
	t.Helper()
	if !(got >= want-below && got <= want+above) {
		t.Errorf("%s: %.3f, want %.1f -%.1f +%.1f", what, got, want, below, above)
	}
}

// The test signals of EBU Tech 3341 that are made of tones, by their number.
// 7 and 8 are recordings.
func TestEBUTech3341(t *testing.T) {
	for name, c := range map[string]struct {
		weights []float64
		tones   []tone
		all     bool // momentary and short-term, too
	}{
		"1": {tones: []tone{at(20, -23)}, all: true},
		"3": {tones: []tone{at(10, -36), at(60, -23), at(10, -36)}},
		"4": {tones: []tone{at(10, -72), at(10, -36), at(60, -23), at(10, -36), at(10, -72)}},
		"5": {tones: []tone{at(20, -26), at(20.1, -20), at(20, -26)}},
		"6": {weights: []float64{1, 1, 1, 1.41, 1.41}, tones: []tone{at(20, -28, -28, -24, -30, -30)}},
	} {
		if c.weights == nil {
			c.weights = []float64{1, 1}
		}
		l := meter(t, c.weights...)
		play(l.Write, len(c.weights), nil, c.tones...)
		within(t, name+" integrated", l.Integrated(), -23, 0.1, 0.1)
		if c.all {
			within(t, name+" momentary", l.Momentary(), -23, 0.1, 0.1)
			within(t, name+" short-term", l.ShortTerm(), -23, 0.1, 0.1)
		}
	}
	l := meter(t, 1, 1)
	play(l.Write, 2, nil, at(20, -33))
	for what, v := range map[string]float64{"momentary": l.Momentary(), "short-term": l.ShortTerm(), "integrated": l.Integrated()} {
		within(t, "2 "+what, v, -33, 0.1, 0.1)
	}

	// 9 and 12: constant after three seconds, and after one.
	repeat := func(n int, tones ...tone) (list []tone) {
		for range n {
			list = append(list, tones...)
		}
		return list
	}
	l = meter(t, 1, 1)
	play(l.Write, 2, func() {
		if l.Measured() > 3*time.Second {
			within(t, "9 short-term", l.ShortTerm(), -23, 0.1, 0.1)
		}
	}, repeat(5, at(1.34, -20), at(1.66, -30))...)
	l = meter(t, 1, 1)
	play(l.Write, 2, func() {
		if l.Measured() > time.Second {
			within(t, "12 momentary", l.Momentary(), -23, 0.1, 0.1)
		}
	}, repeat(25, at(0.18, -20), at(0.22, -30))...)

	// 10 and 13: twenty files each, a tone as long as the window after a growing
	// silence; 11 and 14: the same as one, louder and louder.
	for i := range 20 {
		l = meter(t, 1, 1)
		play(l.Write, 2, nil, at(float64(i)*0.15, nothing), at(3, -23), at(1, nothing))
		within(t, fmt.Sprint("10.", i+1), l.MaxShortTerm(), -23, 0.1, 0.1)
		l = meter(t, 1, 1)
		play(l.Write, 2, nil, at(float64(i)*0.02, nothing), at(0.4, -23), at(1, nothing))
		within(t, fmt.Sprint("13.", i+1), l.MaxMomentary(), -23, 0.1, 0.1)
	}
	var long, short []tone
	for i := range 20 {
		db := -38 + float64(i)
		long = append(long, at(float64(i)*0.15, nothing), at(3, db), at(3-float64(i)*0.15, nothing))
		short = append(short, at(float64(i)*0.02, nothing), at(0.4, db), at(0.4-float64(i)*0.02, nothing))
	}
	l = meter(t, 1, 1)
	for i := range 20 {
		play(l.Write, 2, nil, long[3*i:3*i+3]...)
		within(t, fmt.Sprint("11.", i+1), l.MaxShortTerm(), -38+float64(i), 0.1, 0.1)
	}
	l = meter(t, 1, 1)
	for i := range 20 {
		play(l.Write, 2, nil, short[3*i:3*i+3]...)
		within(t, fmt.Sprint("14.", i+1), l.MaxMomentary(), -38+float64(i), 0.1, 0.1)
	}
}

// The test signals of EBU Tech 3342 that are made of tones; 5 and 6 are
// recordings.
func TestEBUTech3342(t *testing.T) {
	for name, c := range map[string]struct {
		want  float64
		tones []tone
	}{
		"1": {10, []tone{at(20, -20), at(20, -30)}},
		"2": {5, []tone{at(20, -20), at(20, -15)}},
		"3": {20, []tone{at(20, -40), at(20, -20)}},
		"4": {15, []tone{at(20, -50), at(20, -35), at(20, -20), at(20, -35), at(20, -50)}},
	} {
		l := meter(t, 1, 1)
		play(l.Write, 2, nil, c.tones...)
		within(t, name, l.Range(), c.want, 0.1, 0.1) // the standard allows 1 LU
	}
}

// The filter at 48 kHz is the one of BS.1770's tables.
func TestKWeighting(t *testing.T) {
	shelf, high := kWeighting(rate)
	for i, v := range [][2]float64{
		{shelf.b0, 1.53512485958697}, {shelf.b1, -2.69169618940638}, {shelf.b2, 1.19839281085285}, {shelf.a1, -1.69065929318241}, {shelf.a2, 0.73248077421585},
		{high.a1, -1.99004745483398}, {high.a2, 0.99007225036621},
	} {
		if math.Abs(v[0]-v[1]) > 1e-8 {
			t.Errorf("coefficient %d is %.14f, want %.14f", i, v[0], v[1])
		}
	}
}

// wave is a sine of a share of the sampling rate, amplitude and phase in degrees.
// It begins softly: a step would have a peak of its own.
func wave(n int, share, amplitude, degrees float64) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(min(float64(i)/1000, 1) * amplitude * math.Sin(2*math.Pi*share*float64(i)+degrees*math.Pi/180))
	}
	return list
}

func peakOf(samples []float32) float64 {
	var p truePeak
	most := float32(0)
	for len(samples) > 0 {
		n := min(len(samples), blockSamples)
		loudest := float32(0)
		for _, v := range samples[:n] {
			loudest = max(loudest, v, -v)
		}
		most = p.peak(samples[:n], loudest, max(most, loudest))
		samples = samples[n:]
	}
	return level(float64(most))
}

// The true peak signals of EBU Tech 3341: 15 to 19, and such as 20 to 23: one
// peak that falls between samples of 48 kHz, in four places.
func TestEBUTruePeak(t *testing.T) {
	for name, c := range map[string]struct {
		samples []float32
		want    float64
	}{
		"15": {wave(rate, 0.25, 0.5, 0), -6},
		"16": {wave(rate, 0.25, 0.5, 45), -6},
		"17": {wave(rate, 1.0/6, 0.5, 60), -6},
		"18": {wave(rate, 0.125, 0.5, 67.5), -6},
		"19": {wave(rate, 0.25, 1.41, 45), 3},
	} {
		within(t, name, peakOf(c.samples), c.want, 0.4, 0.2)
	}
	fine := make([]float64, 4*rate)
	for i := range fine {
		x := float64(i - 2*rate)
		swell := math.Exp(-x * x / (2 * 120 * 120))
		fine[i] = (0.5 + 0.5*swell) * math.Cos(2*math.Pi*x/24) // fs/6, 1 at its middle
	}
	for offset := range 4 {
		var samples []float32
		for i := offset; i < len(fine); i += 4 {
			samples = append(samples, float32(fine[i]))
		}
		within(t, fmt.Sprint("as ", 20+offset), peakOf(samples), 0, 0.4, 0.2)
	}
	if p := peakOf(make([]float32, 1000)); p != Floor {
		t.Errorf("silence has a peak of %g", p)
	}
}

// A measurement does not drift with the time that it takes, nor does it depend
// on how the samples are cut.
func TestLoudnessHoldsAndIsCutAnyhow(t *testing.T) {
	whole, cut := meter(t, 1, 1), meter(t, 1, 1)
	var all []float32
	play(func(b []float32) { all = append(all, b...) }, 2, nil, at(1, -10), at(2.5, -30), at(3, -18))
	whole.Write(all)
	for i, n := 0, 2; i < len(all); n = (n*7 + 2) % 5000 &^ 1 {
		m := min(n, len(all)-i)
		cut.Write(all[i : i+m])
		i += m
	}
	if whole.Integrated() != cut.Integrated() || whole.MaxMomentary() != cut.MaxMomentary() || whole.Range() != cut.Range() {
		t.Errorf("%g %g, cut %g %g", whole.Integrated(), whole.MaxMomentary(), cut.Integrated(), cut.MaxMomentary())
	}
	whole.Reset()
	if whole.Integrated() != Floor || whole.Momentary() != Floor || whole.MaxShortTerm() != Floor || whole.Measured() != 0 || whole.Range() != 0 {
		t.Error("Reset leaves something")
	}
	if _, err := NewLoudness(44_101, 1); err == nil {
		t.Error("a rate that has no 10 ms is accepted")
	}
	if _, err := NewLoudness(rate); err == nil {
		t.Error("no channels are accepted")
	}
}
