// Package sditest is a V4L2 device that is none: it replays a recording of what
// a card said, and when. A recording is text, a line for each change:
//
//	0ms     1080i50
//	2s      no-signal
//	2.5s    unlocked
//	2.6s    1080p25 silent
//	5s      gone
//
// A line is an instant since the start and what the card says from then on: a
// format, no-signal, unlocked, range (out of the card's), untimed (it has no
// digital timings), gone (unplugged), or none and dark, which are untimed
// with a status of no lock and no signal. silent: no event tells of the change.
package sditest

import (
	"fmt"
	"io/fs"
	"sort"
	"strings"
	"sync"
	"time"

	"quartet/capture/sdi"
)

// line is one line of a recording.
type line struct {
	at     time.Duration
	what   string
	silent bool
}

// Fake is the device. Its methods may be called by several goroutines.
type Fake struct {
	now func() time.Duration

	mu        sync.Mutex
	lines     []line
	start     time.Duration
	set       sdi.Timings
	sets      int
	streaming bool // by us: timings cannot be set
	stolen    bool // by another program
	wake      chan struct{}
	limits    sdi.Limits
}

// New returns a device that replays a recording from now on.
func New(recording string, now func() time.Duration) (*Fake, error) {
	f := &Fake{now: now, start: now(), wake: make(chan struct{}, 1), limits: sdi.Limits{
		MinWidth: 640, MaxWidth: 3840, MinHeight: 480, MaxHeight: 2160, MinClock: 13_500_000, MaxClock: 600_000_000, Interlaced: true, Progressive: true,
	}}
	for l := range strings.SplitSeq(strings.TrimSpace(recording), "\n") {
		fields := strings.Fields(l)
		if len(fields) < 2 || len(fields) > 3 {
			return nil, fmt.Errorf("sditest: %q is not a line of a recording", l)
		}
		at, err := time.ParseDuration(fields[0])
		if err != nil {
			return nil, fmt.Errorf("sditest: %w", err)
		}
		f.lines = append(f.lines, line{at, fields[1], len(fields) == 3 && fields[2] == "silent"})
	}
	return f, nil
}

// Say adds a line that begins now.
func (f *Fake) Say(what string) {
	f.mu.Lock()
	f.lines = append(f.lines, line{at: f.now() - f.start, what: what})
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Stream says that a capture takes frames, or does no longer.
func (f *Fake) Stream(on bool) { f.mu.Lock(); f.streaming = on; f.mu.Unlock() }

// Steal says that another program takes frames, or does no longer.
func (f *Fake) Steal(on bool) { f.mu.Lock(); f.stolen = on; f.mu.Unlock() }

// Timings tells which timings are set, and how often some were.
func (f *Fake) Timings() (sdi.Timings, int) { f.mu.Lock(); defer f.mu.Unlock(); return f.set, f.sets }

// Open is an sdi.Opener.
func (f *Fake) Open(path string) (sdi.Device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.says(f.now()) == "gone" {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &open{f, false}, nil
}

// says returns what the card says at an instant.
func (f *Fake) says(now time.Duration) string {
	what := "gone"
	for _, l := range f.lines {
		if l.at <= now-f.start {
			what = l.what
		}
	}
	return what
}

// open is a file descriptor.
type open struct {
	*Fake
	events bool
}

func (o *open) Capability() (sdi.Capability, error) {
	return sdi.Capability{Driver: "fake", Card: "Fake SDI", Bus: "test", Capture: true}, nil
}

func (o *open) Input() (sdi.Input, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	in := sdi.Input{Name: "SDI 1", Timings: true}
	switch o.says(o.now()) {
	case "gone":
		return in, sdi.ErrGone
	case "dark":
		in.Status = 2 // V4L2_IN_ST_NO_SIGNAL
	case "none":
		in.Status = 0x100 // V4L2_IN_ST_NO_H_LOCK
	}
	return in, nil
}

func (o *open) Limits() (sdi.Limits, error) { return o.limits, nil }

func (o *open) Query() (t sdi.Timings, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch what := o.says(o.now()); what {
	case "gone":
		return t, sdi.ErrGone
	case "no-signal":
		return t, sdi.ErrNoSignal
	case "unlocked":
		return t, sdi.ErrUnlocked
	case "range":
		return t, sdi.ErrRange
	case "untimed", "dark", "none":
		return t, sdi.ErrNone
	default:
		return Format(what)
	}
}

func (o *open) Set(t sdi.Timings) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.streaming || o.stolen {
		return sdi.ErrBusy
	}
	o.set = t
	o.sets++
	return nil
}

func (o *open) Current() (sdi.Timings, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.set, nil
}

func (o *open) Subscribe() error { o.events = true; return nil }

// Wait returns at the next line that is not silent.
func (o *open) Wait(d time.Duration) (changed bool, err error) {
	now := o.now()
	o.mu.Lock()
	next := d
	for _, l := range o.lines {
		if at := o.start + l.at; at > now && at-now < next && !l.silent {
			next, changed = at-now, true
		}
	}
	o.mu.Unlock()
	t := time.NewTimer(next)
	defer t.Stop()
	select {
	case <-t.C:
	case <-o.wake:
		changed = true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.says(o.now()) == "gone" {
		return false, sdi.ErrGone
	}
	return changed, nil
}

func (o *open) Close() error { return nil }

// formats are the timings of SMPTE ST 274, 296 and 125 as V4L2 says them:
// width, height, interlaced, pixel clock, blanking.
var formats = map[string]sdi.Timings{
	"1080i50":    {Width: 1920, Height: 1080, Interlaced: true, PixelClock: 74_250_000, HBlank: 720, VBlank: 45},
	"1080i59.94": {Width: 1920, Height: 1080, Interlaced: true, PixelClock: 74_250_000, HBlank: 280, VBlank: 45, Reduced: true},
	"1080p25":    {Width: 1920, Height: 1080, PixelClock: 74_250_000, HBlank: 720, VBlank: 45},
	"1080p50":    {Width: 1920, Height: 1080, PixelClock: 148_500_000, HBlank: 720, VBlank: 45},
	"1080p59.94": {Width: 1920, Height: 1080, PixelClock: 148_351_648, HBlank: 280, VBlank: 45},
	"720p50":     {Width: 1280, Height: 720, PixelClock: 74_250_000, HBlank: 700, VBlank: 30},
	"720p59.94":  {Width: 1280, Height: 720, PixelClock: 74_250_000, HBlank: 370, VBlank: 30, Reduced: true},
	"576i50":     {Width: 720, Height: 576, Interlaced: true, PixelClock: 13_500_000, HBlank: 144, VBlank: 49},
	"2160p50":    {Width: 3840, Height: 2160, PixelClock: 594_000_000, HBlank: 1440, VBlank: 90},
	"4320p25":    {Width: 7680, Height: 4320, PixelClock: 1_188_000_000, HBlank: 2880, VBlank: 180},
}

// Format returns the timings of a format by its name.
func Format(name string) (sdi.Timings, error) {
	t, ok := formats[name]
	if !ok {
		var known []string
		for k := range formats {
			known = append(known, k)
		}
		sort.Strings(known)
		return t, fmt.Errorf("sditest: format %q is not among %v", name, known)
	}
	return t, nil
}
