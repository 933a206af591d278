package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"quartet/capture"
	"quartet/capture/confidence"
	"quartet/capture/engine"
	"quartet/capture/mpegts"
	"quartet/device/control"
	"quartet/device/health"
)

const (
	// reportStale is the age from which on a report of picture and sound says
	// nothing of now.
	reportStale = 5 * time.Second
	// watchStarts is the time that what watches gets until its first report:
	// GStreamer may have to look at all its plugins anew.
	watchStarts = 30 * time.Second
	// heard is how long a clipped sample or a high peak is the case.
	heard = time.Second
)

// looked is a source that a watcher looks at, beside the way of the packets.
type looked struct {
	capture.Source
	watcher *engine.Watcher
}

// Run implements capture.Source.
func (s looked) Run(ctx context.Context, w mpegts.Writer) error {
	return s.Source.Run(ctx, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
		_ = s.watcher.WriteTS(at, ts) // neither waits nor fails
		return w.WriteTS(at, ts)
	}))
}

// limits are what the conditions of picture and sound go by, beyond what the
// detectors find by themselves.
type limits struct {
	watched  bool
	bars     bool // are a fault
	sound    bool // is a part of the feed
	truePeak float64
	target   float64
	off      float64 // 0: not checked
	hold     time.Duration
}

// senses is what is known of picture and sound.
type senses struct {
	report *confidence.Report // nil: none that says anything of now
	age    time.Duration
	reason string
	st     *engine.WatcherStats // nil: the box encodes
}

// sense asks who watches. now is the process time.
func (c *chain) sense() (s senses) {
	switch {
	case c.watcher != nil:
		st := c.watcher.Stats()
		s.st, s.report, s.reason, s.age = &st, st.Report, st.Reason, time.Duration(st.AgeMS*float64(time.Millisecond))
	default:
		if e, ok := c.source.(*engine.Source); ok {
			s.report, s.age = e.Confidence()
		}
	}
	if s.age > reportStale {
		s.report = nil
	}
	if s.report == nil && s.reason == "" {
		s.reason = "no report yet"
	}
	return s
}

// Thumbnail implements control.Media.
func (b *box) Thumbnail() (t control.Thumbnail, err error) {
	var at time.Duration
	switch e, encoded := b.chain.source.(*engine.Source); {
	case encoded:
		t.JPEG, at = e.Picture()
	case b.chain.watcher != nil:
		t.JPEG, at = b.chain.watcher.Picture()
	default:
		return t, fmt.Errorf("%w: picture and sound are not watched: set confidence.enabled to true and restart quartetd", control.ErrNoThumbnail)
	}
	if t.JPEG == nil {
		return t, fmt.Errorf("%w yet: the input gives no picture, or it cannot be decoded", control.ErrNoThumbnail)
	}
	t.Time = b.wall(at)
	return t, nil
}

// Rest implements control.Media.
func (b *box) Rest(d time.Duration) {
	if b.chain.watcher != nil {
		b.chain.watcher.Rest(d)
	}
}

// confidenceStatus is what is shown; nil where nothing is watched.
func (b *box) confidenceStatus(l limits) *control.Confidence {
	if !l.watched {
		return nil
	}
	s := b.chain.sense()
	c := &control.Confidence{Watched: s.report != nil, Reason: s.reason, AgeMS: inMS(s.age)}
	if s.st != nil {
		c.MemoryMiB, c.Starts, c.Dropped = s.st.MemoryMiB, s.st.Starts, s.st.Dropped
	}
	r := s.report
	if r == nil {
		return c
	}
	made := b.opts.now() - s.age // the report's last picture and sample came about then
	seen := func(st confidence.State, atS float64) control.Seen {
		v := control.Seen{Active: st.Active, LengthS: st.LengthS, Count: st.Count}
		if st.Count > 0 {
			since := b.wall(made - confidence.Instant(atS-st.StartS))
			v.Since = &since
		}
		return v
	}
	if p := r.Picture; p != nil && p.Frames > 0 {
		c.Picture = &control.Picture{
			LumaPercent: p.LumaPercent, BlackPercent: p.BlackPercent, ChangePercent: p.ChangePercent, IsBars: p.IsBars,
			Black: seen(p.Black, p.AtS), Freeze: seen(p.Freeze, p.AtS), Bars: seen(p.Bars, p.AtS),
		}
	}
	if r.Sound == nil {
		return c
	}
	for _, p := range r.Sound.Pairs {
		pair := control.SoundPair{Momentary: p.Momentary, ShortTerm: p.ShortTerm, Integrated: p.Integrated, Range: p.Range, MeasuredS: p.MeasuredS}
		for _, k := range p.Channels {
			pair.Channels = append(pair.Channels, control.SoundChannel{
				PeakDB: k.PeakDB, RMSDB: k.RMSDB, TruePeak: k.TruePeak, Highest: k.Highest, Silence: seen(k.Silence, r.Sound.AtS), Clips: k.Clips,
			})
		}
		c.Sound = append(c.Sound, pair)
	}
	return c
}

// senseWatch is what the watcher remembers of picture and sound.
type senseWatch struct {
	soundAt  float64        // media time of the last report
	clips    map[int]uint64 // of each channel
	clipped  time.Duration  // when one was seen
	peaked   time.Duration  // when a peak was too high
	peak     float64        // that one
	loudness time.Duration  // when it was right last
}

// lookAtSenses sets the conditions of picture and sound.
func (w *watcher) lookAtSenses(now time.Duration, l limits, s *senses) {
	if !l.watched {
		return
	}
	set := func(code health.Code, active bool, detail string) {
		w.health.Set(now, code, health.ResourceInput, active, detail)
	}
	r := s.report
	set(health.ConfidenceBlind, now > watchStarts && (r == nil || s.reason != ""), s.reason)
	var p confidence.PictureReport
	if r != nil && r.Picture != nil {
		p = *r.Picture
	}
	set(health.PictureBlack, p.Black.Active, lasting(p.Black))
	set(health.PictureBars, p.Bars.Active && l.bars, lasting(p.Bars))
	set(health.PictureFrozen, p.Freeze.Active, lasting(p.Freeze))
	var sound confidence.SoundReport
	if r != nil && r.Sound != nil && l.sound {
		sound = *r.Sound
	}
	w.lookAtSound(now, l, &sound)
}

// lasting says since when, to a few seconds: a text that changes with each look
// is an event each time.
func lasting(s confidence.State) string {
	if s.LengthS < 60 {
		return ""
	}
	return fmt.Sprintf("for %.0f min", math.Floor(s.LengthS/60))
}

// lookAtSound sets the conditions of the sound.
func (w *watcher) lookAtSound(now time.Duration, l limits, s *confidence.SoundReport) {
	h, m := w.health, &w.senses
	var silent []string
	fresh := s.AtS != m.soundAt // else peaks are of nothing
	m.soundAt = s.AtS
	if m.clips == nil {
		m.clips = map[int]uint64{}
	}
	for i, p := range s.Pairs {
		for k, c := range p.Channels {
			n := 2*i + k
			if c.Silence.Active {
				silent = append(silent, fmt.Sprint(n+1))
			}
			if before, known := m.clips[n]; known && c.Clips > before {
				m.clipped = now
			}
			m.clips[n] = c.Clips
			if fresh && c.TruePeak > l.truePeak {
				m.peaked, m.peak = now, c.TruePeak
			}
		}
	}
	set := func(code health.Code, active bool, detail string) {
		h.Set(now, code, health.ResourceInput, active, detail)
	}
	set(health.SoundSilent, len(silent) > 0, "channels "+strings.Join(silent, ", "))
	set(health.SoundClipped, m.clipped > 0 && now-m.clipped < heard, "")
	set(health.SoundPeak, m.peaked > 0 && now-m.peaked < heard, fmt.Sprintf("%.1f dBTP, at most %.1f", m.peak, l.truePeak))
	off := false
	var loudness float64
	if l.off > 0 && len(s.Pairs) > 0 && s.Pairs[0].MeasuredS > 3 {
		// What is silent is not too soft.
		loudness = s.Pairs[0].ShortTerm
		off = loudness > -70 && math.Abs(loudness-l.target) > l.off
	}
	if !off {
		m.loudness = now
	}
	set(health.SoundLoudness, off && now-m.loudness >= l.hold, fmt.Sprintf("%.0f LUFS, wanted %.0f ± %.0f", loudness, l.target, l.off))
}
