package genlock

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// counting is a Resampler without samples: a day of them is too much for a test.
type counting struct {
	end, whole int64
	part       float64
}

func (c *counting) Reset()                     { *c = counting{} }
func (c *counting) Write(s []float32)          { c.end += int64(len(s)) }
func (c *counting) End() int64                 { return c.end }
func (c *counting) Position() (int64, float64) { return c.whole, c.part }
func (c *counting) JumpTo(w int64)             { c.whole, c.part = w, 0 }
func (c *counting) Ready(n int, s float64) bool {
	return float64(c.whole)+float64(n)*s+taps < float64(c.end)
}
func (c *counting) Read(out []float32, s float64) {
	whole := math.Floor(c.part + float64(len(out))*s)
	c.whole, c.part = c.whole+int64(whole), c.part+float64(len(out))*s-whole
}

// studio is an SDI source and a sound card, each with a crystal of its own, and
// a machine that sees both with jitter.
type studio struct {
	rate         Rate
	video, audio float64 // deviations
	jitter       time.Duration
	rng          *rand.Rand
	frames       int64
	samples      int64
}

const samplesOfBlock = 960

// frame returns when the next frame is captured in truth, and when it seems so.
func (s *studio) frame() (truth, seen time.Duration) {
	truth = time.Second + time.Duration(float64(s.rate.Frames(s.frames))/(1+s.video))
	s.frames++
	return truth, truth + time.Duration(s.rng.Int64N(int64(s.jitter)+1))/4
}

func (s *studio) blockAt() time.Duration {
	return time.Second + time.Duration(float64(sampleTime(s.samples))/(1+s.audio))
}

// judge runs a studio for so long.
type judge struct {
	t           *testing.T
	v           *Video
	s           *Sound
	re          *counting
	worst       time.Duration // picture against sound
	pictures    int64
	blocks      int64
	lastPTS     time.Duration
	stepChange  float64 // the largest from block to block
	lastStepPPM float64
	stepped     bool
}

func (j *judge) run(st *studio, length time.Duration) {
	t := j.t
	var list []Picture
	zero := make([]float32, samplesOfBlock)
	out := make([]float32, BlockSamples)
	nextFrame, seenFrame := st.frame()
	var lastSeen time.Duration
	first := nextFrame
	for now := time.Second; now < time.Second+length; {
		if arrives := st.blockAt() + 20*time.Millisecond; arrives < nextFrame {
			now = arrives
			at := st.blockAt() + time.Duration(st.rng.Int64N(int64(st.jitter)+1)) - st.jitter/2
			j.s.Block(now, at, zero)
			st.samples += samplesOfBlock
		} else {
			now = nextFrame
			list = j.v.Frame(now, max(seenFrame, lastSeen), st.rate, list[:0])
			lastSeen = seenFrame
			if len(list) != 1 || list[0].What != Captured {
				t.Fatalf("at %v: %+v, want each frame once", now, list)
			}
			if j.pictures > 0 && list[0].PTS-j.lastPTS-st.rate.Frames(1) > 1 {
				t.Fatalf("at %v: PTS %v after %v", now, list[0].PTS, j.lastPTS)
			}
			j.lastPTS = list[0].PTS
			j.pictures++
			nextFrame, seenFrame = st.frame()
		}
		if list = j.v.Tick(now, list[:0]); len(list) > 0 {
			t.Fatalf("at %v: %+v without a frame", now, list)
		}
		for {
			whole, part := j.re.Position()
			pts, ok := j.s.Next(now, out)
			if !ok {
				break
			}
			if !j.s.placed {
				continue // before the first sample
			}
			if after, _ := j.re.Position(); after-whole > 2*BlockSamples {
				continue // placed just now
			}
			j.blocks++
			// Where the sample was in truth, and the picture then.
			truth := time.Second + time.Duration((float64(whole)+part)/SampleRate/(1+st.audio)*1e9)
			media := j.v.anchor + time.Duration(float64(truth-first)*(1+st.video))
			j.worst = max(j.worst, (pts - media).Abs())
			if j.blocks > 100 {
				j.stepChange = max(j.stepChange, math.Abs(j.s.stats.StepPPM-j.lastStepPPM))
			}
			j.lastStepPPM = j.s.stats.StepPPM
			j.stepped = j.stepped || j.s.stats.StepPPM != 0
		}
	}
}

// F26: the SDI clock is ±100 millionths off, for a day; the sound has the same
// clock, this machine's, or one as far off on the other side.
func TestF26DayOfDrift(t *testing.T) {
	for _, c := range []struct {
		name         string
		video, audio float64
		rate         Rate
		length       time.Duration
	}{
		{"embedded sound, fast", 100e-6, 100e-6, Rate{25, 1}, 24 * time.Hour},
		{"embedded sound, slow", -100e-6, -100e-6, Rate{30000, 1001}, 2 * time.Hour},
		{"sound of this machine", 100e-6, 0, Rate{25, 1}, 2 * time.Hour},
		{"clocks apart", -100e-6, 100e-6, Rate{25, 1}, 24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			length := c.length
			if testing.Short() {
				length = min(length, time.Hour)
			}
			j := &judge{t: t, v: NewVideo(c.rate, time.Second), re: &counting{}}
			j.s = NewSound(j.v, 1)
			j.s.re = j.re
			st := &studio{rate: c.rate, video: c.video, audio: c.audio, jitter: 2 * time.Millisecond, rng: rand.New(rand.NewPCG(26, 1))}
			j.run(st, length)
			vs, ss := j.v.Stats(), j.s.Stats()
			t.Logf("%d pictures, %d blocks; picture against sound at most %v; found %.2f and %.2f ppm; step changes by %.2f ppm at most; %+v %+v",
				j.pictures, j.blocks, j.worst, vs.PPM, ss.PPM, j.stepChange, vs, ss)
			if j.worst > 5*time.Millisecond {
				t.Errorf("picture and sound are %v apart, want 5 ms", j.worst)
			}
			if ss.Slips != 0 || vs.Repeated != 0 || vs.Surplus != 0 || vs.Slates > 1 || ss.Silences > 8 {
				t.Errorf("%+v %+v", vs, ss)
			}
			if want := length.Seconds() * 100 * (1 + c.video); math.Abs(float64(j.blocks)-want) > 20 {
				t.Errorf("%d blocks, want %.0f", j.blocks, want)
			}
			if math.Abs(vs.PPM-c.video*1e6) > 5 {
				t.Errorf("the SDI clock is found to be %.2f ppm off", vs.PPM)
			}
			if c.video == c.audio && math.Abs(j.lastStepPPM) > 1 || j.stepChange > 60 {
				t.Errorf("the resampler's step: %.1f ppm at the end, changes by %.1f ppm", j.lastStepPPM, j.stepChange)
			}
		})
	}
}

// While the input is away, time and pictures go on at its rate, and its return
// is seen at once.
func TestHoldover(t *testing.T) {
	v := NewVideo(Rate{25, 1}, 0)
	var all []Picture
	frame := func(n int) time.Duration { return time.Duration(float64(n) * 40e6 / (1 + 50e-6)) }
	n := 0
	play := func(to int) {
		for ; n < to; n++ {
			all = v.Tick(frame(n), all)
			all = v.Frame(frame(n), frame(n), Rate{25, 1}, all)
		}
	}
	idle := func(to int) {
		for ; n < to; n++ {
			for k := range 10 {
				all = v.Tick(frame(n)+time.Duration(k)*4*time.Millisecond, all)
			}
		}
	}
	play(5000)
	ppm := v.Stats().PPM
	if math.Abs(ppm-50) > 3 {
		t.Errorf("%.1f ppm", ppm)
	}
	before := len(all)
	idle(5025)
	kinds := map[Shown]int{}
	for _, p := range all[before:] {
		kinds[p.What]++
	}
	if kinds[Slate] < 15 || kinds[Repeated] < 3 || kinds[Captured] != 0 || v.Present() {
		t.Errorf("a second without input: %v", kinds)
	}
	before = len(all)
	play(5030)
	if v.Stats().Locks != 2 || all[before].What == Captured && false || len(all)-before < 4 {
		t.Errorf("%d pictures after the return; %+v", len(all)-before, v.Stats())
	}
	shown := false
	for _, p := range all[before:min(before+2, len(all))] {
		shown = shown || p.What == Captured
	}
	if !shown {
		t.Errorf("no picture within two frames: %+v", all[before:])
	}
	idle(5080)
	for i := 1; i < len(all); i++ {
		if d := all[i].PTS - all[i-1].PTS; d < 20*time.Millisecond || d > 60*time.Millisecond {
			t.Errorf("picture %d: %v after the one before", i, d)
		}
	}
	// 5080 frames of 40 ms have passed, on the input's clock.
	if m := v.Media(frame(5080)) - 5080*40*time.Millisecond; m.Abs() > 2*time.Millisecond {
		t.Errorf("media time is %v off", m)
	}
}

// A lost frame is filled, a late one shown late, one that was filled already
// left out; a forced slate hides the picture.
func TestFramesLostAndLate(t *testing.T) {
	v := NewVideo(Rate{25, 1}, 0)
	at := func(n int) time.Duration { return time.Duration(n) * 40 * time.Millisecond }
	list := v.Frame(at(0), at(0), Rate{25, 1}, nil)
	list = v.Frame(at(1), at(1), Rate{25, 1}, list)
	list = v.Frame(at(3), at(3), Rate{25, 1}, list)
	list = v.Tick(at(4)+30*time.Millisecond, list)
	list = v.Frame(at(4)+30*time.Millisecond, at(4), Rate{25, 1}, list) // comes 30 ms after its capture
	list = v.Tick(at(5)+75*time.Millisecond, list)
	list = v.Frame(at(5)+75*time.Millisecond, at(5), Rate{25, 1}, list)
	v.Force(true)
	list = v.Frame(at(7), at(6), Rate{25, 1}, list)
	want := []Shown{Captured, Captured, Repeated, Captured, Captured, Repeated, Slate}
	for i, p := range list {
		if i >= len(want) || p.What != want[i] || p.PTS != at(i) {
			t.Errorf("%d: %+v", i, p)
		}
	}
	if len(list) != len(want) || v.Stats().Surplus != 1 || !v.Slate() || !v.Present() {
		t.Errorf("%d pictures, %+v", len(list), v.Stats())
	}
	v.Lost()
	if v.Present() {
		t.Error("present though lost")
	}
}

// An input of another rate becomes one of the configured rate, evenly.
func TestRates(t *testing.T) {
	for _, c := range []struct{ in, out Rate }{
		{Rate{50, 1}, Rate{25, 1}}, {Rate{25, 1}, Rate{50, 1}}, {Rate{60000, 1001}, Rate{25, 1}}, {Rate{25, 1}, Rate{30000, 1001}}, {Rate{24, 1}, Rate{60, 1}},
	} {
		v := NewVideo(c.out, 0)
		var list []Picture
		for i := range int64(2000) {
			list = v.Frame(c.in.Frames(i), c.in.Frames(i), c.in, list)
		}
		for i, p := range list {
			if p.PTS != c.out.Frames(int64(i)) || p.What != Captured {
				t.Fatalf("%v to %v: picture %d is %+v", c.in, c.out, i, p)
			}
		}
		want := int(2000 * c.out.Float() / c.in.Float())
		if d := len(list) - want; d < 0 || d > 1 || v.Stats().Surplus != 0 {
			t.Errorf("%v to %v: %d pictures, want %d; %+v", c.in, c.out, len(list), want, v.Stats())
		}
	}
}

// However long the way from capture to here, the picture comes back, and is not
// repeated because of it.
func TestSlowWay(t *testing.T) {
	for _, delay := range []time.Duration{0, 5, 15, 19, 21, 39, 41, 80, 200, 350} {
		delay *= time.Millisecond
		v := NewVideo(Rate{25, 1}, 0)
		var list []Picture
		for now := time.Duration(0); now < 4*time.Second; now += time.Millisecond {
			if t := now - time.Second - delay; t >= 0 && t%(40*time.Millisecond) == 0 {
				list = v.Frame(now, now-delay, Rate{25, 1}, list)
			}
			list = v.Tick(now, list)
		}
		locked := 0
		for i, p := range list {
			if p.What == Captured && locked == 0 {
				locked = i
			}
			if i > 0 && (p.PTS-list[i-1].PTS < 20*time.Millisecond || p.PTS-list[i-1].PTS > 60*time.Millisecond) {
				t.Fatalf("%v: picture %d is %v after the one before", delay, i, p.PTS-list[i-1].PTS)
			}
			if locked > 0 && p.What != Captured {
				t.Fatalf("%v: picture %d is %+v", delay, i, p)
			}
		}
		if st := v.Stats(); locked == 0 || st.Surplus > 3+uint64(delay/(40*time.Millisecond)) || st.Repeated > 0 || !v.Present() {
			t.Errorf("%v: first picture %d, %+v", delay, locked, st)
		}
	}
}

// A format change is a new lock: the grid goes on.
func TestFormatChange(t *testing.T) {
	v := NewVideo(Rate{25, 1}, 0)
	var list []Picture
	for i := range int64(50) {
		list = v.Frame(Rate{25, 1}.Frames(i), Rate{25, 1}.Frames(i), Rate{25, 1}, list)
	}
	for i := range int64(100) {
		at := 2*time.Second + 5*time.Millisecond + Rate{50, 1}.Frames(i)
		list = v.Frame(at, at, Rate{50, 1}, list)
	}
	for i := 1; i < len(list); i++ {
		if d := list[i].PTS - list[i-1].PTS; d < 20*time.Millisecond || d > 60*time.Millisecond {
			t.Errorf("picture %d: %v after the one before", i, d)
		}
	}
	if len(list) != 100 || v.Stats().Locks != 2 {
		t.Errorf("%d pictures, %+v", len(list), v.Stats())
	}
}

// tone returns n samples of a tone, from a place, of a clock that is off.
func tone(hz, off float64, from, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(0.5 * math.Sin(2*math.Pi*hz*float64(from+i)/SampleRate/(1+off)))
	}
	return s
}

// residue is what is left of a signal when a tone is taken out, in dB below it.
func residue(s []float32, hz float64) float64 {
	var a, b, aa, bb, ab float64
	for i, v := range s {
		x, y := math.Sincos(2 * math.Pi * hz * float64(i) / SampleRate)
		a, b, aa, bb, ab = a+float64(v)*x, b+float64(v)*y, aa+x*x, bb+y*y, ab+x*y
	}
	det := aa*bb - ab*ab
	p, q := (a*bb-b*ab)/det, (b*aa-a*ab)/det
	var signal, rest float64
	for i, v := range s {
		x, y := math.Sincos(2 * math.Pi * hz * float64(i) / SampleRate)
		w := p*x + q*y
		signal += w * w
		rest += (float64(v) - w) * (float64(v) - w)
	}
	return 10 * math.Log10(rest/signal)
}

// However long the way of the sound, it is heard, in its place.
func TestSlowSound(t *testing.T) {
	for _, delay := range []time.Duration{0, 10, 35, 70, 150, 300} {
		delay *= time.Millisecond
		v := NewVideo(Rate{25, 1}, 0)
		s := NewSound(v, 1)
		out := make([]float32, BlockSamples)
		silent, late := 0, time.Duration(0)
		for now := time.Duration(0); now < 4*time.Second; now += 10 * time.Millisecond {
			if now%(40*time.Millisecond) == 0 {
				v.Frame(now, now, Rate{25, 1}, nil)
			}
			if t := now - delay - 10*time.Millisecond; t >= 500*time.Millisecond {
				s.Block(now, t, tone(997, 0, int(t/10/time.Millisecond)*BlockSamples, BlockSamples))
			}
			for {
				pts, ok := s.Next(now, out)
				if !ok {
					break
				}
				late = now - pts
				if now > 2*time.Second && out[100] == 0 && out[200] == 0 {
					silent++
				}
			}
		}
		if silent > 0 || s.Stats().Slips > 0 || late > delay+70*time.Millisecond || s.Stats().StepPPM != 0 {
			t.Errorf("%v: %d silent blocks, the last %v after its time, %+v", delay, silent, late, s.Stats())
		}
	}
}

// The resampler adds nothing that could be heard, and nothing at all where the
// clocks agree.
func TestResampler(t *testing.T) {
	for _, hz := range []float64{100, 997, 10_000, 18_000} {
		r := NewResampler(1)
		r.Write(tone(hz, 0, 0, SampleRate))
		r.JumpTo(100)
		out := make([]float32, SampleRate/2)
		const step = 1.0002
		for i := 0; i < len(out); i += BlockSamples {
			r.Read(out[i:i+BlockSamples], step)
		}
		if db := residue(out, hz*step); db > -90 {
			t.Errorf("%v Hz: %.1f dB of other things", hz, db)
		}
	}
	r := NewResampler(2)
	in := tone(997, 0, 0, 2000)
	r.Write(in)
	r.JumpTo(7)
	out := make([]float32, 2*BlockSamples)
	if !r.Ready(BlockSamples, 1) {
		t.Fatal("not ready")
	}
	r.Read(out, 1)
	for i := range out {
		if out[i] != in[14+i] {
			t.Fatalf("sample %d is changed", i)
		}
	}
	if n := testing.AllocsPerRun(100, func() { r.JumpTo(7); r.Read(out, 1.0001) }); n > 0 {
		t.Errorf("%v allocations a block", n)
	}
}

// Real sound of a card that is 150 millionths off the picture: a tone stays one
// tone, without a click, at the pitch that media time makes of it.
func TestSoundOfAnotherClock(t *testing.T) {
	const off = 150e-6
	v := NewVideo(Rate{25, 1}, 0)
	s := NewSound(v, 1)
	var all []float32
	out := make([]float32, BlockSamples)
	rng := rand.New(rand.NewPCG(1, 2))
	sent := 0
	for i := range int64(90 * 25) {
		now := Rate{25, 1}.Frames(i)
		v.Frame(now, now, Rate{25, 1}, nil)
		for at := time.Duration(float64(sampleTime(int64(sent))) / (1 + off)); at < now; at = time.Duration(float64(sampleTime(int64(sent))) / (1 + off)) {
			s.Block(now, at+time.Duration(rng.IntN(1_000_000)), tone(997, off, sent, 480))
			sent += 480
		}
		for {
			if _, ok := s.Next(now, out); !ok {
				break
			}
			all = append(all, out...)
		}
	}
	tail := all[len(all)-10*SampleRate:]
	worst := -200.0
	for i := 0; i+4800 <= len(tail); i += 4800 {
		worst = max(worst, residue(tail[i:i+4800], 997))
	}
	t.Logf("worst tenth of a second: %.1f dB; %+v", worst, s.Stats())
	if worst > -70 || s.Stats().Slips > 0 {
		t.Errorf("worst tenth of a second has %.1f dB of other things; %+v", worst, s.Stats())
	}
}

// Sound that stops becomes silence by blocks that never stop; it comes back in
// its place; the mute has no clicks.
func TestSoundGone(t *testing.T) {
	v := NewVideo(Rate{25, 1}, 0)
	s := NewSound(v, 2)
	out := make([]float32, 2*BlockSamples)
	loud := make([]float32, 2*480)
	for i := range loud {
		loud[i] = 0.5
	}
	next := time.Duration(0)
	run := func(from, to int, with bool) (peak float32) {
		for i := from; i < to; i++ {
			now := time.Duration(i) * block
			if i%4 == 0 {
				v.Frame(now, now, Rate{25, 1}, nil)
			}
			if with {
				s.Block(now, now-block, loud)
			}
			var last float32
			for {
				pts, ok := s.Next(now, out)
				if !ok {
					break
				}
				if pts != next {
					t.Fatalf("block at %v, want %v", pts, next)
				}
				next += block
				for k := 0; k < len(out); k += 2 {
					if d := out[k] - last; k > 0 && (d > 0.01 || d < -0.01) {
						t.Fatalf("a click of %v at %v", d, pts)
					}
					last = out[k]
					peak = max(peak, last)
				}
			}
		}
		return peak
	}
	for _, c := range []struct {
		from, to   int
		with, mute bool
		loud       bool
	}{{1, 100, true, false, true}, {110, 200, false, false, false}, {200, 300, true, false, true}, {300, 310, true, true, true}, {310, 400, true, true, false}, {400, 500, true, false, true}} {
		s.Mute(c.mute)
		run(c.from, c.from+10, c.with) // what is on its way
		if peak := run(c.from+10, c.to, c.with); (peak > 0.4) != c.loud && !(c.from == 300) {
			t.Errorf("%+v: peak %v", c, peak)
		}
	}
	if d := 5*time.Second - next; d > 100*time.Millisecond {
		t.Errorf("blocks are %v behind", d)
	}
	if s.Stats().Slips > 0 || s.Stats().Silences < 60 {
		t.Errorf("%+v", s.Stats())
	}
}
