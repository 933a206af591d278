package sdi

import (
	"fmt"
	"math"
)

// Timings are those of a digital signal, as the card measures them.
type Timings struct {
	Width, Height  uint32 // of the whole frame, in pixels and lines
	Interlaced     bool
	PixelClock     uint64 // Hz
	HBlank, VBlank uint32 // of the whole frame
	Reduced        bool   // the rate is 1000/1001 of what the clock says

	raw [timingsSize]byte // for S_DV_TIMINGS
}

// rates are those that video has, frames a second.
var rates = []struct{ num, den int }{
	{24000, 1001}, {24, 1}, {25, 1}, {30000, 1001}, {30, 1}, {48000, 1001}, {48, 1}, {50, 1}, {60000, 1001}, {60, 1}, {100, 1}, {120000, 1001}, {120, 1},
}

// near is how close a measured rate must be to one of those: 1000/1001 is
// 1000 millionths away, a crystal at most 100.
const near = 400e-6

// Rate returns frames (not fields) a second; 0 if the timings say nothing.
func (t Timings) Rate() (num, den int) {
	pixels := uint64(t.Width+t.HBlank) * uint64(t.Height+t.VBlank)
	if pixels == 0 || t.PixelClock == 0 {
		return 0, 1
	}
	f := float64(t.PixelClock) / float64(pixels)
	if t.Reduced {
		f *= 1000.0 / 1001
	}
	for _, r := range rates {
		exact := float64(r.num) / float64(r.den)
		if math.Abs(f/exact-1) < near {
			return r.num, r.den
		}
	}
	return int(math.Round(f * 1000)), 1000
}

// String says the format as people do: 1080i50, 720p59.94, 2160p25. The number
// behind i counts fields. Formats whose width does not follow from their lines
// have it before: 2048x1080p24.
func (t Timings) String() string {
	num, den := t.Rate()
	if num == 0 {
		return fmt.Sprintf("%dx%d", t.Width, t.Height)
	}
	size := fmt.Sprint(t.Height)
	usual := map[uint32][]uint32{480: {720}, 486: {720}, 487: {720}, 576: {720}, 720: {1280}, 1080: {1920}, 2160: {3840}, 4320: {7680}}
	if w := usual[t.Height]; len(w) == 0 || w[0] != t.Width {
		size = fmt.Sprintf("%dx%d", t.Width, t.Height)
	}
	f, scan := float64(num)/float64(den), "p"
	if t.Interlaced {
		f, scan = 2*f, "i"
	}
	return fmt.Sprintf("%s%s%g", size, scan, math.Round(f*100)/100)
}

// same tells whether two measurements are of one signal: a clock that is
// measured jitters.
func (t Timings) same(u Timings) bool {
	a, b := t, u
	a.PixelClock, b.PixelClock, a.raw, b.raw = 0, 0, [timingsSize]byte{}, [timingsSize]byte{}
	tn, td := t.Rate()
	un, ud := u.Rate()
	return a == b && tn*ud == un*td
}

// fits returns "" or what about the timings the device cannot take.
func (l Limits) fits(t Timings) string {
	switch {
	case l == Limits{}:
		return "" // it does not say
	case t.Width < l.MinWidth || t.Width > l.MaxWidth || t.Height < l.MinHeight || t.Height > l.MaxHeight:
		return fmt.Sprintf("%s is outside of %dx%d to %dx%d", t, l.MinWidth, l.MinHeight, l.MaxWidth, l.MaxHeight)
	case t.PixelClock > l.MaxClock && l.MaxClock > 0:
		return fmt.Sprintf("%s needs a pixel clock of %.1f MHz, more than %.1f", t, float64(t.PixelClock)/1e6, float64(l.MaxClock)/1e6)
	case t.Interlaced && !l.Interlaced:
		return fmt.Sprintf("%s is interlaced, which the card does not take", t)
	case !t.Interlaced && !l.Progressive:
		return fmt.Sprintf("%s is progressive, which the card does not take", t)
	}
	return ""
}
