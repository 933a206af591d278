package confidence

import (
	"encoding/binary"
	"math"
	"os/exec"
	"testing"
	"time"
)

func pictureConfig() PictureConfig {
	return PictureConfig{
		BlackLevel: 0.1, BlackArea: 0.98, BlackHold: 2 * time.Second, FreezeNoise: 0.01, FreezeHold: 3 * time.Second, BarsHold: 2 * time.Second,
	}
}

func newPicture(t testing.TB) *Picture {
	t.Helper()
	p, err := NewPicture(pictureConfig())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const width, height = 160, 90

func testFrame(y, u, v byte) Frame {
	f := Frame{width, height, make([]byte, width*height*3/2)}
	for i := range f.I420 {
		switch {
		case i < width*height:
			f.I420[i] = y
		case i < width*height*5/4:
			f.I420[i] = u
		default:
			f.I420[i] = v
		}
	}
	return f
}

// noisy is a picture with texture, which n shifts.
func noisy(n int) Frame {
	f := testFrame(0, 128, 128)
	for i := range width * height {
		x, y := i%width, i/width
		f.I420[i] = byte(120 + 60*math.Sin(float64(x+n)/9)*math.Cos(float64(y)/7))
	}
	return f
}

// Black and stillness are told with their start and length, whatever the
// distance of the pictures.
func TestBlackAndFreeze(t *testing.T) {
	for _, step := range []time.Duration{40 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		p := newPicture(t)
		now, n := 10*time.Second, 0
		show := func(d time.Duration, f func() Frame) (start time.Duration) {
			start = now
			for end := now + d; now < end; now += step {
				if err := p.Write(now, f()); err != nil {
					t.Fatal(err)
				}
			}
			return start
		}
		moving := func() Frame { n += 4; return noisy(n) }
		show(5*time.Second, moving)
		black := show(4*time.Second, func() Frame { return testFrame(20, 128, 128) })
		if r := p.Report(); !r.Black.Active {
			t.Errorf("%v: in black %+v", step, r)
		}
		show(time.Second, moving)
		if r := p.Report().Black; r.Active || r.Count != 1 || Instant(r.StartS) != black || Instant(r.LengthS) != 4*time.Second {
			t.Errorf("%v: black %+v, want %v and 4 s", step, r, black)
		}
		show(time.Second, func() Frame { return testFrame(16, 128, 128) }) // too short
		show(time.Second, moving)
		still := noisy(n + 40)
		grain := 0
		freeze := show(8*time.Second, func() Frame { // with the grain of an encoder
			f := testFrame(0, 128, 128)
			copy(f.I420, still.I420)
			for i := range width * height {
				grain = grain*1103515245 + 12345
				f.I420[i] += byte(grain>>16&3) - 1
			}
			return f
		})
		if r := p.Report(); !r.Freeze.Active || r.Black.Count != 1 {
			t.Errorf("%v: still %+v", step, r)
		}
		show(2*time.Second, moving)
		r := p.Report().Freeze
		if off := Instant(r.StartS) - freeze; r.Active || off != 0 || Instant(r.LengthS) != 8*time.Second {
			t.Errorf("%v: freeze %+v, want %v and 8 s", step, r, freeze)
		}
		// A caption of one block that changes is a picture that moves.
		show(4*time.Second, func() Frame {
			n++
			f := testFrame(0, 128, 128)
			copy(f.I420, still.I420)
			for y := range block {
				for x := range block {
					f.I420[(40+y)*width+40+x] = byte(60 + n%2*60)
				}
			}
			return f
		})
		if r := p.Report().Freeze; r.Active {
			t.Errorf("%v: a counter that runs is taken for still: %+v", step, r)
		}
	}
}

// Slow fades move, if ever so slowly.
func TestSlowFadeIsNoFreeze(t *testing.T) {
	p := newPicture(t)
	for i := range 100 {
		if err := p.Write(time.Duration(i)*200*time.Millisecond, testFrame(byte(60+i), 128, 128)); err != nil {
			t.Fatal(err)
		}
	}
	if r := p.Report().Freeze; r.Count != 0 {
		t.Errorf("%+v", r)
	}
}

// What is not a picture is refused; one of another size begins anew, and so does
// one after a long pause.
func TestPictureTrouble(t *testing.T) {
	p := newPicture(t)
	for _, f := range []Frame{{}, {160, 90, make([]byte, 100)}, {15, 90, make([]byte, 15*90*3/2)}, {-16, -16, make([]byte, 384)}} {
		if p.Write(0, f) == nil {
			t.Errorf("%d×%d with %d bytes is accepted", f.Width, f.Height, len(f.I420))
		}
	}
	for i := range 20 {
		f := testFrame(16, 128, 128)
		if i >= 10 {
			f = Frame{64, 36, make([]byte, 64*36*3/2)}
		}
		if err := p.Write(time.Duration(i)*300*time.Millisecond, f); err != nil {
			t.Fatal(err)
		}
	}
	if r := p.Report(); r.Black.Count != 2 || r.Black.StartS != 3 || r.Frames != 20 {
		t.Errorf("%+v", r)
	}
	if err := p.Write(time.Minute, Frame{64, 36, make([]byte, 64*36*3/2)}); err != nil || p.Report().Black.Active {
		t.Errorf("%v %+v", err, p.Report().Black)
	}
	for _, change := range []func(*PictureConfig){
		func(c *PictureConfig) { c.BlackLevel = 1 },
		func(c *PictureConfig) { c.BlackArea = math.NaN() },
		func(c *PictureConfig) { c.FreezeNoise = -1 },
		func(c *PictureConfig) { c.BarsHold = 0 },
	} {
		c := pictureConfig()
		change(&c)
		if _, err := NewPicture(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

// ffmpegFrames are small pictures that ffmpeg makes; nil where it is not there.
func ffmpegFrames(t testing.TB, source string, n int) (list []Frame) {
	t.Helper()
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil
	}
	out, err := exec.Command(program, "-v", "error", "-f", "lavfi", "-i", source, "-vf", "scale=160:90:flags=area,format=yuv420p",
		"-frames:v", string(rune('0'+n)), "-f", "rawvideo", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg %s: %v", source, err)
	}
	const size = width * height * 3 / 2
	for ; len(out) >= size; out = out[size:] {
		list = append(list, Frame{width, height, out[:size:size]})
	}
	return list
}

// drawn are bars as the standards draw them: six colours between others.
func drawn(amplitude float64, left, right int, matrix int) Frame {
	f := testFrame(100, 128, 128)
	w := (width - left - right) / 7
	for x := range width {
		i := (x-left)/w - 1 // the first bar is white
		if x < left || i < 0 || i > 5 {
			continue
		}
		k := 0
		if amplitude == 1 {
			k = 2
		}
		c := ideal[i][k+matrix]
		for y := range height * 2 / 3 {
			f.I420[y*width+x] = byte(lumaBlack + c.y*lumaRange)
			f.I420[width*height+y/2*width/2+x/2] = byte(128 + c.u*224)
			f.I420[width*height*5/4+y/2*width/2+x/2] = byte(128 + c.v*224)
		}
	}
	return f
}

// All kinds of colour bars are found, and nothing else.
func TestBars(t *testing.T) {
	is := func(name string, f Frame, want bool) {
		t.Helper()
		c := newColumns(f.Width / 2)
		if got := c.bars(&f); got != want {
			t.Errorf("%s: bars %t, want %t; %v", name, got, want, c.class)
		}
	}
	for matrix := range 2 {
		is("75 %", drawn(0.75, 0, 0, matrix), true)
		is("100 %, pillars", drawn(1, 20, 20, matrix), true)
	}
	is("texture", noisy(3), false)
	is("black", testFrame(16, 128, 128), false)
	is("yellow", testFrame(168, 44, 136), false)
	crooked := drawn(0.75, 0, 0, 0)
	for x := 60; x < 100; x++ { // green reaches far into its neighbours
		for y := range height {
			crooked.I420[y*width+x] = crooked.I420[y*width+72]
			crooked.I420[width*height+y/2*width/2+x/2] = crooked.I420[width*height+y/2*width/2+36]
			crooked.I420[width*height*5/4+y/2*width/2+x/2] = crooked.I420[width*height*5/4+y/2*width/2+36]
		}
	}
	is("not even", crooked, false)
	for source, want := range map[string]bool{
		"smptebars=s=1920x1080": true, "smptehdbars=s=1920x1080": true, "pal75bars=s=720x576": true, "pal100bars=s=720x576": true,
		"testsrc=s=1280x720": false, "testsrc2=s=1280x720": false, "mandelbrot=s=640x360": false, "rgbtestsrc=s=640x360": false, "yuvtestsrc=s=640x360": false,
	} {
		for _, f := range ffmpegFrames(t, source, 2) {
			is(source, f, want)
		}
	}
	p := newPicture(t)
	f := drawn(0.75, 0, 0, 0)
	for i := range 20 {
		if i == 15 {
			f = noisy(0)
		}
		if err := p.Write(time.Duration(i)*200*time.Millisecond, f); err != nil {
			t.Fatal(err)
		}
	}
	if r := p.Report().Bars; r.Active || r.Count != 1 || r.StartS != 0 || r.LengthS != 3 {
		t.Errorf("%+v", r)
	}
}

// Whatever comes, nothing fails, and every report can be written.
func FuzzConfidence(f *testing.F) {
	f.Add([]byte("some bytes that are taken for sound and for a picture, a few more than thirty-two of them"), int64(40))
	f.Fuzz(func(t *testing.T, b []byte, step int64) {
		s, p := newSound(t, soundConfig(3)), newPicture(t)
		samples := make([]float32, len(b)/4)
		for i := range samples {
			samples[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		frame := Frame{16, 16, make([]byte, 384)}
		copy(frame.I420, b)
		for i := range 20 {
			now := time.Duration(int64(i) * step)
			s.Write(now, samples)
			if p.Write(now, frame) != nil {
				t.Fatal("refused")
			}
		}
		r := s.Report()
		for _, pair := range r.Pairs {
			for _, v := range []float64{pair.Momentary, pair.Integrated, pair.Range, pair.Channels[0].PeakDB, pair.Channels[0].TruePeak, pair.Channels[0].RMSDB} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("%+v", pair)
				}
			}
		}
		p.Report()
	})
}
