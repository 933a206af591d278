package confidence

import (
	"fmt"
	"time"
)

// Frame is a small picture: luma, then both chromas at half the size in either
// direction (I420), without padding. Width and height are even.
type Frame struct {
	Width, Height int
	I420          []byte
}

// sound tells whether the bytes are all there.
func (f *Frame) sound() bool {
	return f.Width >= 16 && f.Height >= 16 && f.Width%2 == 0 && f.Height%2 == 0 && len(f.I420) == f.Width*f.Height*3/2
}

func (f *Frame) luma() []byte { return f.I420[:f.Width*f.Height] }

// PictureConfig says what is wrong with a picture. Levels are shares of the range
// from black to white.
type PictureConfig struct {
	// A picture is black while the share BlackArea of its pixels is no brighter
	// than BlackLevel, for BlackHold.
	BlackLevel, BlackArea float64
	BlackHold             time.Duration
	// A picture is still while the mean of no block of it, 8 by 8 pixels, has
	// changed by more than FreezeNoise since the stillness began, for FreezeHold.
	FreezeNoise float64
	FreezeHold  time.Duration
	// It is colour bars for BarsHold.
	BarsHold time.Duration
}

const (
	lumaBlack = 16
	lumaRange = 219
	block     = 8 // pixels
)

// Picture watches the pictures of one input. Not safe for concurrent use.
type Picture struct {
	// set at start, never changed
	cfg   PictureConfig
	black byte // brightest luma that is black

	began   bool
	at      time.Duration
	size    [2]int
	now     []uint16 // means of the blocks, 1/64 of a luma step
	still   []uint16 // of the picture that the stillness began with
	blacks  held
	freeze  held
	bars    held
	frames  uint64
	mean    float64 // luma
	dark    float64 // share of black pixels
	change  float64 // largest of a block since the picture before
	isBars  bool
	columns columns
	before  []uint16
}

// NewPicture checks the configuration.
func NewPicture(cfg PictureConfig) (*Picture, error) {
	switch {
	case !(cfg.BlackLevel >= 0 && cfg.BlackLevel < 1):
		return nil, fmt.Errorf("confidence: BlackLevel %g: must be from 0 to below 1", cfg.BlackLevel)
	case !(cfg.BlackArea > 0 && cfg.BlackArea <= 1):
		return nil, fmt.Errorf("confidence: BlackArea %g: must be above 0, and at most 1", cfg.BlackArea)
	case !(cfg.FreezeNoise >= 0 && cfg.FreezeNoise < 1):
		return nil, fmt.Errorf("confidence: FreezeNoise %g: must be from 0 to below 1", cfg.FreezeNoise)
	case cfg.BlackHold <= 0 || cfg.FreezeHold <= 0 || cfg.BarsHold <= 0:
		return nil, fmt.Errorf("confidence: hold times %v, %v, %v: must be positive", cfg.BlackHold, cfg.FreezeHold, cfg.BarsHold)
	}
	p := &Picture{cfg: cfg, black: byte(lumaBlack + cfg.BlackLevel*lumaRange)}
	p.blacks.hold, p.freeze.hold, p.bars.hold = cfg.BlackHold, cfg.FreezeHold, cfg.BarsHold
	return p, nil
}

// away is how long no picture may come before what was seen is no longer known
// to go on.
const away = 15 * time.Second

// Write takes the picture of media time at; it holds until the next. Pictures of
// another size begin anew; those that go back in time do, too.
func (p *Picture) Write(at time.Duration, f Frame) error {
	if !f.sound() {
		return fmt.Errorf("confidence: picture of %d×%d with %d bytes: not I420 of an even size from 16×16 on", f.Width, f.Height, len(f.I420))
	}
	if p.began && (at < p.at || at-p.at > away || p.size != [2]int{f.Width, f.Height}) {
		for _, h := range []*held{&p.blacks, &p.freeze, &p.bars} {
			h.set(p.at, false)
		}
		p.began = false
	}
	if p.size != [2]int{f.Width, f.Height} {
		p.size = [2]int{f.Width, f.Height}
		n := ((f.Width + block - 1) / block) * ((f.Height + block - 1) / block)
		p.now, p.before, p.still = make([]uint16, n), make([]uint16, n), make([]uint16, n)
		p.columns = newColumns(f.Width / 2)
	}
	p.measure(&f)
	if !p.began {
		copy(p.still, p.now)
		copy(p.before, p.now)
	}
	p.change = largest(p.now, p.before)
	p.blacks.set(at, p.dark >= p.cfg.BlackArea)
	if largest(p.now, p.still) > p.cfg.FreezeNoise {
		p.freeze.restart(at)
		copy(p.still, p.now)
	} else {
		p.freeze.set(at, true)
	}
	p.isBars = p.columns.bars(&f)
	p.bars.set(at, p.isBars)
	p.now, p.before = p.before, p.now // before: this one
	p.began, p.at = true, at
	p.frames++
	return nil
}

// measure takes the means of all blocks, and what is black.
func (p *Picture) measure(f *Frame) {
	luma, w := f.luma(), f.Width
	dark, total, i := 0, 0, 0
	for y := 0; y < f.Height; y += block {
		rows := min(block, f.Height-y)
		for x := 0; x < w; x += block {
			cols := min(block, w-x)
			sum := 0
			for r := range rows {
				for _, v := range luma[(y+r)*w+x : (y+r)*w+x+cols] {
					sum += int(v)
					if v <= p.black {
						dark++
					}
				}
			}
			total += sum
			p.now[i] = uint16(sum * 64 / (rows * cols))
			i++
		}
	}
	n := float64(w * f.Height)
	p.mean, p.dark = float64(total)/n, float64(dark)/n
}

// largest is the largest difference of a block's mean, as a share of the range.
func largest(a, b []uint16) float64 {
	most := 0
	for i, v := range a {
		d := int(v) - int(b[i])
		most = max(most, d, -d)
	}
	return float64(most) / 64 / lumaRange
}
