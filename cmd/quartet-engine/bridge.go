package main

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"quartet/capture/engine"
	"quartet/capture/genlock"
)

// bridgeTick is how long the bridge waits for a frame at the most.
const bridgeTick = 5 * time.Millisecond

// bridge brings pictures and sound from the captures into the encode pipeline,
// each with its place in media time (package genlock), and what stands for
// them while there are none. It never leaves the pipeline without either.
type bridge struct {
	// set at start, never changed
	mail   mail
	vin    appsrc
	ain    appsrc // without sound nil
	hold   bool   // the last picture is the slate
	slate  letter
	rate   genlock.Rate
	silent bool // no sound is encoded

	mu      sync.Mutex // guards all below
	video   *genlock.Video
	sound   *genlock.Sound
	last    letter // the last captured frame
	sources map[kind]source
	frames  uint64
	at      time.Duration // of the last one's arrival

	list  []genlock.Picture // owned by run
	block []float32
	in    []float32
}

// source is the capture whose letters count.
type source struct {
	id   int
	rate genlock.Rate // as told by who knows the signal; else that of the caps
}

// newBridge puts itself in front of an encode pipeline that does not play yet.
func newBridge(c *engine.Config, p *pipeline) (*bridge, error) {
	b := &bridge{mail: newMail(), hold: c.Slate.Kind == engine.SlateLast, rate: genlock.Rate{Num: c.Video.RateNum, Den: c.Video.RateDen},
		silent: c.Pairs() == 0, sources: map[kind]source{}}
	var err error
	if b.vin, err = p.appsrc("vin"); err != nil {
		return nil, err
	}
	if !b.silent {
		if b.ain, err = p.appsrc("ain"); err != nil {
			return nil, err
		}
		b.block = make([]float32, 2*c.Pairs()*genlock.BlockSamples)
	}
	if b.slate, err = b.still(c); err != nil {
		return nil, err
	}
	b.video = genlock.NewVideo(b.rate, monotonic())
	b.sound = genlock.NewSound(b.video, 2*max(c.Pairs(), 1))
	b.sound.Mute(true)
	return b, nil
}

// still makes the slate's frame.
func (b *bridge) still(c *engine.Config) (letter, error) {
	p, err := parse(stillText(c, 1) + " ! fakesink name=still sync=false")
	if err != nil {
		return letter{}, err
	}
	defer p.close()
	if err := b.mail.tap(p, "still", video, 0); err != nil {
		return letter{}, err
	}
	p.play()
	for {
		m := p.next(slateWithin)
		switch m.kind {
		case nothing:
			return letter{}, fmt.Errorf("the slate's picture is not there in time")
		case failure:
			return letter{}, fmt.Errorf("slate: %s: %s", m.source, plain(m.text))
		case ended:
			if l, ok := b.mail.wait(0); ok {
				return l, nil
			}
			return letter{}, fmt.Errorf("the slate has no picture")
		}
	}
}

// monotonic is the system's clock, which is GStreamer's, too.
func monotonic() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0 // unreachable on Linux
	}
	return time.Duration(t.Nano())
}

// run works until quit is closed, or until the pipeline takes nothing more.
func (b *bridge) run(quit <-chan struct{}) error {
	for {
		select {
		case <-quit:
			return nil
		default:
		}
		l, ok := b.mail.wait(bridgeTick)
		b.mu.Lock()
		var err error
		if ok {
			err = b.take(l)
		}
		if err == nil {
			err = b.tick(monotonic())
		}
		b.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// take has the lock; it owns the letter.
func (b *bridge) take(l letter) error {
	from, ok := b.sources[l.kind]
	if !ok || from.id != l.source {
		release(l.frame) // of a capture that has ended
		return nil
	}
	if l.kind == audio {
		b.in = samples(l.frame, b.in)
		release(l.frame)
		b.sound.Block(monotonic(), l.at, b.in)
		return nil
	}
	rate := from.rate
	if !rate.Valid() {
		rate = l.rate
	}
	b.frames++
	b.at = monotonic()
	b.list = b.video.Frame(monotonic(), l.at, rate, b.list[:0])
	// What is repeated in front of it is the frame before.
	n := 0
	for n < len(b.list) && b.list[n].What != genlock.Captured {
		n++
	}
	if err := b.show(b.list[:n]); err != nil {
		return err
	}
	release(b.last.frame)
	b.last = l
	return b.show(b.list[n:])
}

func (b *bridge) tick(now time.Duration) error {
	b.list = b.video.Tick(now, b.list[:0])
	if err := b.show(b.list); err != nil || b.silent {
		return err
	}
	b.sound.Mute(b.video.Slate())
	for {
		pts, ok := b.sound.Next(now, b.block)
		if !ok {
			return nil
		}
		if err := b.ain.sound(b.block, pts+engine.SoundAhead, genlock.BlockSamples*time.Second/genlock.SampleRate); err != nil {
			return err
		}
	}
}

func (b *bridge) show(list []genlock.Picture) error {
	for _, p := range list {
		frame := b.last.frame
		if frame == nil || p.What == genlock.Slate && !b.hold {
			frame = b.slate.frame
		}
		if err := b.vin.picture(frame, p.PTS, p.Duration); err != nil {
			return err
		}
	}
	return nil
}

// use has the letters of a capture count, and no others of its kind; id 0: none
// do, and its picture or sound is lost.
func (b *bridge) use(k kind, id int, rate genlock.Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id != 0 {
		b.sources[k] = source{id, rate}
		return
	}
	delete(b.sources, k)
	if k == video {
		b.video.Lost()
	} else {
		b.sound.Lost()
	}
}

// quiet tells for how long no frame has come, at the most since an instant.
func (b *bridge) quiet(since time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return monotonic() - max(b.at, since)
}

func (b *bridge) force(slate bool) {
	b.mu.Lock()
	b.video.Force(slate)
	b.mu.Unlock()
}

// state is what a heartbeat says.
func (b *bridge) state() engine.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := monotonic()
	v, s := b.video.Stats(), b.sound.Stats()
	return engine.Event{
		Is: engine.IsHeartbeat, Present: b.video.Present(), Slate: b.video.Slate(), Sound: b.sound.Present(), Frames: b.frames,
		At: int64(now), Media: int64(b.video.Media(now)),
		Lock: &engine.Lock{
			PPM: v.PPM, JitterMS: v.JitterMS, Repeated: v.Repeated, Surplus: v.Surplus, Locks: v.Locks,
			SoundPPM: s.PPM, ResamplePPM: s.StepPPM, OffsetMS: s.OffsetMS, Silences: s.Silences, Slips: s.Slips,
		},
	}
}

// close gives back what the bridge holds. Its pipelines must be closed.
func (b *bridge) close() {
	release(b.last.frame)
	release(b.slate.frame)
	b.vin.close()
	if !b.silent {
		b.ain.close()
	}
	b.mail.close()
}
