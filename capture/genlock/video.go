package genlock

import (
	"math"
	"time"
)

const (
	// Frames come a while after their capture: the way through driver and
	// conversion. How long is learned, from firstDelay on and up to mostDelay;
	// the slate is shown as late as they would be, so that there is room for them
	// when they come back.
	firstDelay = 20 * time.Millisecond
	mostDelay  = 500 * time.Millisecond
	// lateAfter is how much later than usual a frame may be until the one before
	// is shown again in its place. A busy machine delays frames by less; they go
	// out late, with the PTS that they would have had.
	lateAfter = 40 * time.Millisecond
	// goneAfter is the time without a frame after which there is no picture.
	goneAfter = 250 * time.Millisecond
)

// Shown is what is to be encoded.
type Shown int

// What may be shown.
const (
	Captured Shown = iota // the frame that has just come
	Repeated              // the last one again
	Slate
)

// Picture is one frame to encode.
type Picture struct {
	What     Shown
	PTS      time.Duration // media time
	Duration time.Duration
}

// VideoStats counts frames.
type VideoStats struct {
	Captured uint64  `json:"captured"` // came from the input
	Repeated uint64  `json:"repeated"` // shown again, because the next was late or lost
	Surplus  uint64  `json:"surplus"`  // came too late or too soon to be shown; without those that a conversion of the rate leaves out
	Slates   uint64  `json:"slates"`   //
	Locks    uint64  `json:"locks"`    // times that an input came
	PPM      float64 `json:"ppm"`      // the input's clock against this machine's
	JitterMS float64 `json:"jitter_ms"`
}

// Video decides what is encoded when. Not safe for concurrent use.
type Video struct {
	out Rate // set at start, never changed

	line    Line // media time; the master
	in      Rate
	present bool
	forced  bool
	last    time.Duration // when the last frame came
	usual   usual         // from a frame's capture to its coming

	// The grid: output frame n has PTS anchor + n/out; input frame i begins at
	// anchor + i/in.
	anchor  time.Duration
	n, i    int64
	prior   time.Duration // PTS of the last picture
	started bool

	stats VideoStats
}

// NewVideo returns a Video whose media time begins at now, of the given rate of
// output.
func NewVideo(out Rate, now time.Duration) *Video {
	v := &Video{out: out, in: out, prior: -out.Frames(1), usual: usual{delay: firstDelay}}
	v.line.Begin(now, 0)
	return v
}

// Media returns the media time at an instant.
func (v *Video) Media(t time.Duration) time.Duration { return v.line.At(t) }

// When returns the instant of a media time.
func (v *Video) When(m time.Duration) time.Duration { return v.line.When(m) }

// Present tells whether there is a picture from the input.
func (v *Video) Present() bool { return v.present }

// Slate tells whether the slate is shown.
func (v *Video) Slate() bool { return v.forced || !v.present }

// Force shows the slate though there is a picture.
func (v *Video) Force(on bool) { v.forced = on }

// Lost says that there is no input any more, sooner than the lack of frames
// does.
func (v *Video) Lost() { v.present = false }

// Stats returns the counts since the start.
func (v *Video) Stats() VideoStats {
	st := v.stats
	st.PPM = v.line.PPM()
	return st
}

// Frame takes a frame that was captured at t, of an input of rate in, and
// appends what is to be encoded now.
func (v *Video) Frame(now, t time.Duration, in Rate, list []Picture) []Picture {
	v.stats.Captured++
	if !in.Valid() {
		in = v.out
	}
	if !v.present || in != v.in {
		locked := v.lock(now, t, in)
		v.usual.saw(now, now-t)
		if !locked {
			v.stats.Surplus++
			return list
		}
	} else {
		v.usual.saw(now, now-t)
		at := v.line.At(t) - v.anchor
		next := int64(math.Round(at.Seconds() * in.Float()))
		if next <= v.i {
			v.stats.Surplus++
			v.last = now
			return list
		}
		late := v.line.Observe(t, v.anchor+in.Frames(next))
		v.stats.JitterMS += (math.Abs(late.Seconds()*1000) - v.stats.JitterMS) / 64
		// What the input has lost is filled with the frame before.
		list = v.fill(v.upTo(next), list)
		v.i = next
	}
	v.last = now
	end, shown := v.upTo(v.i+1), false
	for v.n < end {
		list = append(list, v.picture(Captured))
		shown = true
	}
	// A frame that a lower rate leaves out is none too many.
	if !shown && v.upTo(v.i) < end {
		v.stats.Surplus++
	}
	return list
}

// lock begins a grid with a frame captured at t. It returns false if the frame
// is too close behind the last picture.
func (v *Video) lock(now, t time.Duration, in Rate) bool {
	m := v.line.At(t)
	if least := v.prior + v.out.Frames(1)/2; v.started && m < least {
		// The slate was too quick for it: from now on it is shown later.
		v.usual.saw(now, v.usual.delay+least-m)
		return false
	}
	v.line.Begin(t, m)
	v.anchor, v.n, v.i, v.in = max(m, 0), 0, 0, in
	v.present = true
	v.last = now
	v.stats.Locks++
	return true
}

// upTo returns how many pictures are out when input frame i begins: those with
// PTS before it.
func (v *Video) upTo(i int64) int64 {
	// ceil(i/in · out), in whole numbers.
	a := i * int64(v.in.Den) * int64(v.out.Num)
	b := int64(v.in.Num) * int64(v.out.Den)
	return (a + b - 1) / b
}

func (v *Video) fill(n int64, list []Picture) []Picture {
	for v.n < n {
		list = append(list, v.picture(Repeated))
	}
	return list
}

// picture is the next of the grid.
func (v *Video) picture(what Shown) Picture {
	if v.forced {
		what = Slate
	}
	switch what {
	case Repeated:
		v.stats.Repeated++
	case Slate:
		v.stats.Slates++
	}
	p := Picture{what, v.anchor + v.out.Frames(v.n), v.out.Frames(1)}
	v.n++
	v.prior, v.started = p.PTS, true
	return p
}

// Tick appends what is due at now because no frame has come.
func (v *Video) Tick(now time.Duration, list []Picture) []Picture {
	if v.present && now-v.last >= goneAfter {
		v.present = false
	}
	m := v.line.At(now)
	for {
		next := v.anchor + v.out.Frames(v.n)
		if v.present {
			if m < next+v.usual.delay+lateAfter {
				return list
			}
			list = append(list, v.picture(Repeated))
			continue
		}
		if m < next+v.usual.delay {
			return list
		}
		if m-next > time.Second { // this process stood still: nobody needs these
			v.anchor, v.n = m, 0
		}
		list = append(list, v.picture(Slate))
	}
}

// Next returns the instant at which Tick has something to do at the earliest.
func (v *Video) Next() time.Duration {
	at := v.anchor + v.out.Frames(v.n)
	if v.present {
		at += lateAfter
	}
	return v.line.When(at + v.usual.delay)
}
