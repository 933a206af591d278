package confidence

import (
	"fmt"
	"math"
	"time"
)

// blockSamples is how many samples of a channel are looked at together.
const blockSamples = 480

// clipLevel is full scale, for integers of 16 bit and more: 32767/32768 reaches
// it.
const clipLevel = 0.9999

// SoundConfig says what is wrong with a sound.
type SoundConfig struct {
	Rate     int // Hz, a multiple of 100
	Channels int // interleaved; 1 and 2 are the first pair, and so on
	// A channel is silent while no sample is above SilenceDB (dB of full scale),
	// for SilenceHold.
	SilenceDB   float64
	SilenceHold time.Duration
	// A channel is clipped where ClipSamples or more follow each other at full
	// scale with one sign.
	ClipSamples int
}

// Sound watches all channels of one input. Not safe for concurrent use.
type Sound struct {
	// set at start, never changed
	cfg    SoundConfig
	silent float32

	at       time.Duration // media time of the next sample
	began    bool
	frames   uint64 // since base
	base     time.Duration
	channels []channel
	pairs    []*Loudness
	mono     [blockSamples]float32
	pair     [2 * blockSamples]float32
}

// channel is what is known of one.
type channel struct {
	peak     truePeak
	samples  float32 // peak of the samples since the last report
	between  float32 // true peak since then
	highest  float32 // true peak since the start
	square   float64 // since the last report
	n        int
	silence  held
	run      int // samples at full scale
	sign     bool
	clips    uint64
	lastClip time.Duration
}

// NewSound checks the configuration.
func NewSound(cfg SoundConfig) (*Sound, error) {
	switch {
	case cfg.Channels < 1 || cfg.Channels > 64:
		return nil, fmt.Errorf("confidence: %d channels: 1 to 64 are watched", cfg.Channels)
	case cfg.ClipSamples < 1:
		return nil, fmt.Errorf("confidence: ClipSamples %d: must be 1 or more", cfg.ClipSamples)
	case !(cfg.SilenceDB < 0 && cfg.SilenceDB >= Floor):
		return nil, fmt.Errorf("confidence: SilenceDB %g: must be below 0, and not below %g", cfg.SilenceDB, Floor)
	case cfg.SilenceHold <= 0:
		return nil, fmt.Errorf("confidence: SilenceHold %v: must be positive", cfg.SilenceHold)
	}
	s := &Sound{cfg: cfg, silent: float32(math.Pow(10, cfg.SilenceDB/20)), channels: make([]channel, cfg.Channels)}
	for c := 0; c < cfg.Channels; c += 2 {
		weights := []float64{1, 1}[:min(2, cfg.Channels-c)]
		l, err := NewLoudness(cfg.Rate, weights...)
		if err != nil {
			return nil, err
		}
		s.pairs = append(s.pairs, l)
	}
	for i := range s.channels {
		s.channels[i].silence.hold = cfg.SilenceHold
	}
	return s, nil
}

// jump is what the samples' time may be off by before they begin anew: less is
// a timestamp's rounding, or a dropped block that hurts nobody.
const jump = 100 * time.Millisecond

// Write takes interleaved samples, full scale 1, the first at media time at.
// Part of a frame at the end is not taken.
func (s *Sound) Write(at time.Duration, samples []float32) {
	if off := at - s.at; !s.began || off > jump || off < -jump {
		if s.began { // what is not there is not known to be silent
			for i := range s.channels {
				s.channels[i].silence.set(s.at, false)
			}
		}
		s.began, s.base, s.frames, s.at = true, at, 0, at
	}
	n := s.cfg.Channels
	for len(samples) >= n {
		frames := min(len(samples)/n, blockSamples)
		s.block(samples[:frames*n], frames)
		samples = samples[frames*n:]
	}
}

// time of a sample after s.at.
func (s *Sound) time(i int) time.Duration {
	return s.base + time.Duration((s.frames+uint64(i))*uint64(time.Second)/uint64(s.cfg.Rate))
}

func (s *Sound) block(samples []float32, frames int) {
	n := s.cfg.Channels
	mono := s.mono[:frames]
	for c := range s.channels {
		width := min(2, n-c&^1)
		for i := range mono {
			v := samples[i*n+c]
			if !(v > -1e3 && v < 1e3) {
				v = 0 // not a number, or not sound
			}
			mono[i], s.pair[i*width+c&1] = v, v
		}
		s.channel(&s.channels[c], mono)
		if c&1 == 1 || c == n-1 {
			s.pairs[c/2].Write(s.pair[:frames*width])
		}
	}
	s.frames += uint64(frames)
	s.at = s.time(0)
}

// channel looks at the next samples of one channel.
func (s *Sound) channel(c *channel, mono []float32) {
	loudest, sum := float32(0), 0.0
	first, last := -1, -1 // samples that are not silent
	for i, v := range mono {
		a := max(v, -v)
		sum += float64(v) * float64(v)
		loudest = max(loudest, a)
		if a > s.silent {
			last = i
			if first < 0 {
				first = i
			}
		}
		if a < clipLevel {
			c.run = 0
			continue
		}
		if c.run > 0 && c.sign != (v > 0) {
			c.run = 0
		}
		c.sign = v > 0
		if c.run++; c.run == s.cfg.ClipSamples {
			c.clips++
			c.lastClip = s.time(i)
		}
	}
	if first >= 0 {
		c.silence.set(s.time(first), false)
		c.silence.set(s.time(last+1), true)
	} else {
		c.silence.set(s.time(0), true)
	}
	c.silence.set(s.time(len(mono)), true)
	c.square += sum
	c.n += len(mono)
	c.samples = max(c.samples, loudest)
	c.between = c.peak.peak(mono, loudest, max(c.between, loudest))
	c.highest = max(c.highest, c.between)
}

// Reset begins the measurements of loudness, and the highest peaks, anew.
func (s *Sound) Reset() {
	for _, l := range s.pairs {
		l.Reset()
	}
	for i := range s.channels {
		s.channels[i].highest = 0
	}
}
