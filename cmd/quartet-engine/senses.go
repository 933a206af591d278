package main

import (
	"fmt"
	"sync"
	"unsafe"

	"quartet/capture/confidence"
	"quartet/capture/engine"
)

// Pictures and sound that are watched leave the pipelines small: 160×90 pixels,
// five times a second, and samples as they are.
const (
	eyeWidth, eyeHeight = 160, 90
	eyeRate             = 5
	earRate             = 48000
)

// eyeText describes the way of pictures into an appsink.
func eyeText(limit string) string {
	return fmt.Sprintf("queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream ! %s ! videoscale ! videoconvert"+
		" ! video/x-raw,format=I420,width=%d,height=%d,pixel-aspect-ratio=1/1 ! appsink name=eye sync=false async=false max-buffers=2 drop=true",
		limit, eyeWidth, eyeHeight)
}

// earText describes the way of samples into appsink number i.
func earText(i int) string {
	return fmt.Sprintf("queue max-size-time=1000000000 max-size-buffers=0 max-size-bytes=0 leaky=downstream ! audioconvert ! audioresample"+
		" ! audio/x-raw,format=F32LE,rate=%d,layout=interleaved ! appsink name=ear%d sync=false async=false max-buffers=100 drop=true", earRate, i)
}

// eyeLimit keeps five pictures of a second.
var eyeLimit = fmt.Sprintf("videorate drop-only=true ! video/x-raw,framerate=%d/1", eyeRate)

// sensesText is what an encode pipeline has more while it is watched: branches of
// its tees.
func sensesText(c *engine.Config) (parts []string) {
	if c.Watch == nil {
		return nil
	}
	parts = append(parts, "raw. ! "+eyeText(eyeLimit))
	if c.Pairs() > 0 {
		parts = append(parts, "sound. ! "+earText(0))
	}
	return parts
}

// senses watch what leaves a pipeline.
type senses struct {
	cfg engine.Watch // set at start, never changed

	mu      sync.Mutex // guards all below
	picture *confidence.Picture
	sounds  []*confidence.Sound

	readers sync.WaitGroup
}

func newSenses(cfg engine.Watch) (*senses, error) {
	p, err := confidence.NewPicture(cfg.Picture)
	return &senses{cfg: cfg, picture: p}, err
}

// hears makes room for so many sounds, each of so many channels; what was
// measured of others is forgotten.
func (s *senses) hears(sounds, channels int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sounds) == sounds {
		return nil
	}
	s.sounds = nil
	for range sounds {
		c := s.cfg.Sound
		c.Rate, c.Channels = earRate, channels
		k, err := confidence.NewSound(c)
		if err != nil {
			return err
		}
		s.sounds = append(s.sounds, k)
	}
	return nil
}

// watch reads the appsinks of a pipeline that plays, until it ends: one that does
// not play yet has ended, too, as far as they know.
func (s *senses) watch(p *pipeline) error {
	eye, err := p.tap("eye")
	if err != nil {
		return err
	}
	s.readers.Go(func() { s.look(eye) })
	for i := range s.sounds {
		ear, err := p.tap(fmt.Sprint("ear", i))
		if err != nil {
			return err
		}
		s.readers.Go(func() { s.listen(ear, s.sounds[i]) })
	}
	return nil
}

func (s *senses) look(eye tap) {
	defer eye.release()
	f := confidence.Frame{Width: eyeWidth, Height: eyeHeight, I420: make([]byte, eyeWidth*eyeHeight*3/2)}
	for {
		n, at, ok := eye.pull(unsafe.Pointer(&f.I420[0]), len(f.I420))
		if !ok {
			return
		}
		if n == len(f.I420) {
			s.mu.Lock()
			_ = s.picture.Write(at, f) // of a size that it takes
			s.mu.Unlock()
		}
	}
}

func (s *senses) listen(ear tap, sound *confidence.Sound) {
	defer ear.release()
	samples := make([]float32, 64<<10)
	for {
		n, at, ok := ear.pull(unsafe.Pointer(&samples[0]), 4*len(samples))
		if !ok {
			return
		}
		s.mu.Lock()
		sound.Write(at, samples[:n/4])
		s.mu.Unlock()
	}
}

// report is what is known now.
func (s *senses) report() *confidence.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.picture.Report()
	r := &confidence.Report{Picture: &p}
	for _, k := range s.sounds {
		one := k.Report()
		if r.Sound == nil {
			r.Sound = &confidence.SoundReport{}
		}
		r.Sound.AtS = max(r.Sound.AtS, one.AtS)
		r.Sound.Pairs = append(r.Sound.Pairs, one.Pairs...)
	}
	return r
}

// startSenses watches the encode pipeline, if that is wanted. Its readers end
// with the process.
func (s *server) startSenses() (err error) {
	if s.config.Watch == nil {
		return nil
	}
	if s.senses, err = newSenses(*s.config.Watch); err != nil {
		return err
	}
	if n := s.config.Pairs(); n > 0 {
		if err := s.senses.hears(1, 2*n); err != nil {
			return err
		}
	}
	return s.senses.watch(s.encode)
}
