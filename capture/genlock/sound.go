package genlock

import (
	"math"
	"time"
)

const (
	// SampleRate is that of all sound.
	SampleRate = 48000
	// BlockSamples is how much sound goes to the encoders at a time: 10 ms.
	BlockSamples = SampleRate / 100
	block        = 10 * time.Millisecond

	// soundLate is how much later than usual sound may be until silence takes its
	// place. What is usual is learned, as with frames.
	soundLate = 40 * time.Millisecond
	// soundGone is the time without a block after which there is no sound.
	soundGone = 200 * time.Millisecond
	// The resampler goes at the rate that the two clocks say, and makes up what
	// is left within a few seconds, so that no jitter of theirs is heard.
	catchUp = 4.0 // s
	// samples that are exactly in time with the picture, as those of an SDI
	// signal, are passed on unchanged.
	sameClock = 4e-6
	inTime    = 1e-3 // s
	// maxStep bounds the resampler, and maxTurn what its step changes by from
	// block to block.
	maxStep = 2.5e-3
	maxTurn = 20e-6
	// slipped is an error that cannot be made up unheard: the sound is placed
	// anew.
	slipped = 40e-3 // s
	// fade is the length of a fade between sound and silence.
	fade = 240 // samples
)

// SoundStats counts sound.
type SoundStats struct {
	Blocks   uint64  `json:"blocks"`    // came from the input
	Silences uint64  `json:"silences"`  // blocks of silence for lack of others
	Slips    uint64  `json:"slips"`     // times that sound was placed anew
	PPM      float64 `json:"ppm"`       // its clock against this machine's
	StepPPM  float64 `json:"step_ppm"`  // of the resampler; 0: samples pass unchanged
	OffsetMS float64 `json:"offset_ms"` // of what was last made, against media time
}

// Sound makes blocks of sound in media time. Not safe for concurrent use.
type Sound struct {
	clock    *Video
	channels int

	line    Line
	re      reader
	samples int64 // index of the next sample to come
	running bool
	placed  bool
	last    time.Duration // when the last block came
	usual   usual         // from a block's last sample to its coming
	next    int64         // index of the next block, in media time
	off     float64       // the resampler's step − 1
	gain    float32
	mute    bool
	stats   SoundStats
}

// reader is a Resampler, or what counts like one.
type reader interface {
	Reset()
	Write(samples []float32)
	End() int64
	Position() (whole int64, part float64)
	JumpTo(whole int64)
	Ready(n int, step float64) bool
	Read(out []float32, step float64)
}

// NewSound returns a Sound for so many channels on the picture's media time.
func NewSound(clock *Video, channels int) *Sound {
	return &Sound{clock: clock, channels: channels, re: NewResampler(channels), usual: usual{delay: firstDelay}}
}

// Mute makes silence of the sound, or takes that back.
func (s *Sound) Mute(on bool) { s.mute = on }

// Present tells whether sound comes from the input.
func (s *Sound) Present() bool { return s.running }

// Stats returns the counts since the start.
func (s *Sound) Stats() SoundStats {
	st := s.stats
	st.PPM = s.line.PPM()
	return st
}

// Lost says that there is no sound any more.
func (s *Sound) Lost() { s.running, s.placed = false, false }

// Block takes samples of all channels, the first of which was captured at t.
func (s *Sound) Block(now, t time.Duration, samples []float32) {
	s.stats.Blocks++
	n := int64(len(samples) / s.channels)
	s.usual.saw(now, now-t-sampleTime(n))
	if !s.running {
		s.running, s.placed, s.samples = true, false, 0
		s.re.Reset()
		s.line.Begin(t, 0)
	} else if late := s.line.Observe(t, sampleTime(s.samples)); late > time.Second || late < -time.Second {
		s.line.Begin(t, sampleTime(s.samples)) // a hole in the sound, or its clock was set
		s.placed = false
		s.stats.Slips++
	}
	s.re.Write(samples)
	s.samples += n
	s.last = now
}

func sampleTime(n int64) time.Duration {
	return time.Duration(n/SampleRate)*time.Second + time.Duration(n%SampleRate)*time.Second/SampleRate
}

// wanted returns the position, in samples, that belongs to a media time.
func (s *Sound) wanted(media time.Duration) float64 {
	return s.line.At(s.clock.When(media)).Seconds() * SampleRate
}

// Next fills out, BlockSamples of all channels, with the next block if it is
// there or due at now, and returns its PTS.
func (s *Sound) Next(now time.Duration, out []float32) (pts time.Duration, ok bool) {
	pts = time.Duration(s.next) * block
	media := s.clock.Media(now)
	if s.running && now-s.last > soundGone {
		s.Lost()
	}
	if media-pts > 2*time.Second { // this process stood still, or begins late
		s.next = int64(media / block)
		s.placed = false
		pts = time.Duration(s.next) * block
	}
	due := pts + block + max(s.usual.delay, 0)
	if s.running {
		if step, can := s.step(pts); can {
			if !s.re.Ready(BlockSamples, step) {
				if media < due+soundLate {
					return 0, false
				}
				s.placed = false // what comes will be too late
			} else {
				s.re.Read(out, step)
				s.off = step - 1
				s.stats.StepPPM = s.off * 1e6
				s.shape(out, !s.mute)
				s.next++
				return pts, true
			}
		} else if media < due+soundLate && s.wanted(pts)+taps >= float64(s.re.End()) {
			return 0, false // its sound is on its way
		}
	}
	if media < due {
		return 0, false
	}
	clear(out)
	s.gain = 0
	s.stats.Silences++
	s.next++
	return pts, true
}

// step returns how fast samples are to be read for the block at a media time;
// false while that lies outside of what there is.
func (s *Sound) step(pts time.Duration) (float64, bool) {
	want := s.wanted(pts)
	if !s.placed {
		at := int64(math.Round(want))
		if at < 0 || at+taps > s.re.End() {
			return 1, false
		}
		s.re.JumpTo(at)
		s.placed, s.gain, s.off = true, 0, 0
	}
	whole, part := s.re.Position()
	err := (want - float64(whole) - part) / SampleRate // seconds to make up
	s.stats.OffsetMS = err * 1000
	if math.Abs(err) > slipped {
		s.stats.Slips++
		s.placed = false
		return 1, false
	}
	off := (1+s.line.off)/(1+s.clock.line.off) - 1
	if math.Abs(off) < sameClock && math.Abs(err) < inTime {
		off = 0
	} else {
		off = min(max(off+err/catchUp, -maxStep), maxStep)
	}
	return 1 + min(max(off, s.off-maxTurn), s.off+maxTurn), true
}

// shape fades sound in after silence, and out where it is muted.
func (s *Sound) shape(out []float32, on bool) {
	if on && s.gain == 1 {
		return
	}
	d := float32(1.0 / fade)
	if !on {
		d = -d
	}
	for i := 0; i < len(out); i += s.channels {
		s.gain = min(max(s.gain+d, 0), 1)
		for c := range s.channels {
			out[i+c] *= s.gain
		}
	}
}
