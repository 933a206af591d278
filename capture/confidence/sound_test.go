package confidence

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func soundConfig(channels int) SoundConfig {
	return SoundConfig{Rate: rate, Channels: channels, SilenceDB: -60, SilenceHold: 2 * time.Second, ClipSamples: 3}
}

func newSound(t testing.TB, cfg SoundConfig) *Sound {
	t.Helper()
	s, err := NewSound(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// feed writes samples in blocks of the engine's size.
func feed(s *Sound, channels int, start time.Duration, samples []float32) time.Duration {
	const frames = 480
	n := 0
	for len(samples) > 0 {
		k := min(frames*channels, len(samples))
		s.Write(start+time.Duration(n)*time.Second/rate, samples[:k])
		samples = samples[k:]
		n += k / channels
	}
	return start + time.Duration(n)*time.Second/rate
}

func square(seconds float64, value float32) []float32 {
	list := make([]float32, int(seconds*rate))
	for i := range list {
		if list[i] = value; i&8 != 0 {
			list[i] = -value
		}
	}
	return list
}

// Silence is told with its start and length to the sample, of each channel alone,
// and only if it lasts.
func TestSilence(t *testing.T) {
	s := newSound(t, soundConfig(2))
	both := func(left, right []float32) (list []float32) {
		for i := range left {
			list = append(list, left[i], right[i])
		}
		return list
	}
	start := 90 * time.Second
	now := feed(s, 2, start, both(square(1.2345, 0.5), square(1.2345, 0.5)))
	quiet := now
	now = feed(s, 2, now, both(square(1.9, 0.0009), square(1.9, 0.5)))
	if r := s.Report().Pairs[0].Channels; r[0].Silence.Active || r[1].Silence.Count != 0 {
		t.Errorf("too soon: %+v", r)
	}
	now = feed(s, 2, now, both(square(1.35, 0), square(1.35, 0.5)))
	if r := s.Report().Pairs[0].Channels; !r[0].Silence.Active || r[1].Silence.Active {
		t.Errorf("not found: %+v", r)
	}
	now = feed(s, 2, now, both(square(1, 0.5), square(1, 0.5)))
	r := s.Report().Pairs[0].Channels[0].Silence
	if r.Active || r.Count != 1 || math.Abs(r.StartS-quiet.Seconds()) > 1.5/rate || math.Abs(r.LengthS-3.25) > 1.5/rate {
		t.Errorf("%+v, want %v and 3.25 s", r, quiet)
	}
	// A gap is not silence, nor does it join two halves of one.
	now = feed(s, 2, now, both(square(1.5, 0), square(1.5, 0)))
	feed(s, 2, now+5*time.Second, both(square(1.5, 0), square(1.5, 0)))
	if r := s.Report().Pairs[0].Channels[0].Silence; r.Active || r.Count != 1 {
		t.Errorf("over a gap: %+v", r)
	}
}

func TestClipping(t *testing.T) {
	s := newSound(t, soundConfig(1))
	samples := make([]float32, rate)
	for i := range samples {
		samples[i] = float32(0.5 * math.Sin(float64(i)/10))
	}
	put := func(at int, values ...float32) { copy(samples[at:], values) }
	const full = 32767.0 / 32768
	put(1000, full, full, full, full, 0) // one
	put(478, -1, -1, -1, -1, -1)         // one, over a block's end
	put(2000, full, full, 0, full, full) // none
	put(3000, full, full, -1, -1, full)  // none: not one sign
	put(48000-3, full, full, full)       // one, at the end
	feed(s, 1, 0, samples)
	feed(s, 1, time.Second, samples[:10])
	c := s.Report().Pairs[0].Channels[0]
	if c.Clips != 3 || math.Abs(c.LastClipS-(48000.0-1)/rate) > 1e-6 {
		t.Errorf("%+v, want 3", c)
	}
	if c.PeakDB != 0 || c.TruePeak < 0 || c.Highest < c.TruePeak {
		t.Errorf("%+v", c)
	}
	s.Reset()
	if c := s.Report().Pairs[0].Channels[0]; c.Highest != Floor || c.PeakDB != Floor || c.RMSDB != Floor || c.Clips != 3 {
		t.Errorf("after a reset %+v", c)
	}
}

// Levels are those of the channel, loudness that of its pair; what is not a
// number is not heard.
func TestLevels(t *testing.T) {
	const channels = 5
	s := newSound(t, soundConfig(channels))
	var samples []float32
	for i := range 4 * rate {
		v := math.Sin(2 * math.Pi * 1000 * float64(i) / rate)
		f := float32(math.NaN())
		if i%1000 > 0 {
			f = float32(0.1 * v)
		}
		samples = append(samples, float32(0.1*v), 0, f, float32(math.Inf(1)), float32(0.01*v))
	}
	feed(s, channels, 0, samples)
	r := s.Report()
	if len(r.Pairs) != 3 || len(r.Pairs[2].Channels) != 1 || r.AtS != 4 {
		t.Fatalf("%+v", r)
	}
	within(t, "peak", r.Pairs[0].Channels[0].PeakDB, -20, 0.01, 0.01)
	within(t, "rms", r.Pairs[0].Channels[0].RMSDB, -23.01, 0.01, 0.01)
	within(t, "true peak", r.Pairs[0].Channels[0].TruePeak, -20, 0.1, 0.1)
	within(t, "one channel of a pair", r.Pairs[0].ShortTerm, -23.0, 0.1, 0.1)
	within(t, "with gaps", r.Pairs[1].ShortTerm, -23.0, 0.1, 0.1)
	within(t, "alone", r.Pairs[2].ShortTerm, -43.0, 0.1, 0.1)
	if p := r.Pairs[0].Channels[1].PeakDB; p != Floor {
		t.Errorf("nothing has a peak of %g", p)
	}
	if p := r.Pairs[1].Channels[1].PeakDB; p != Floor {
		t.Errorf("infinity has a peak of %g", p)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestSoundConfig(t *testing.T) {
	for _, change := range []func(*SoundConfig){
		func(c *SoundConfig) { c.Rate = 44_101 },
		func(c *SoundConfig) { c.Channels = 0 },
		func(c *SoundConfig) { c.ClipSamples = 0 },
		func(c *SoundConfig) { c.SilenceDB = 1 },
		func(c *SoundConfig) { c.SilenceDB = math.NaN() },
		func(c *SoundConfig) { c.SilenceHold = 0 },
	} {
		c := soundConfig(2)
		change(&c)
		if _, err := NewSound(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

// A block costs no allocation.
func TestNoAllocations(t *testing.T) {
	s := newSound(t, soundConfig(4))
	block := make([]float32, 4*blockSamples)
	now := time.Duration(0)
	if n := testing.AllocsPerRun(400, func() {
		s.Write(now, block)
		now += 10 * time.Millisecond
	}); n != 0 {
		t.Errorf("%g allocations for a block", n)
	}
	p := newPicture(t)
	f := testFrame(16, 128, 128)
	if n := testing.AllocsPerRun(100, func() {
		if p.Write(now, f) != nil {
			t.Fatal()
		}
		now += 200 * time.Millisecond
	}); n != 0 {
		t.Errorf("%g allocations for a picture", n)
	}
}
