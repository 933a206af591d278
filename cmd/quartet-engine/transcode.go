package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"quartet/capture/engine"
	"quartet/capture/genlock"
	"quartet/capture/mpegts"
	"quartet/capture/program"
)

const (
	// feedLatency is what is smoothed: jitter of the network and of this machine,
	// and the time that decoding takes. It delays the picture by that much.
	feedLatency = 100 * time.Millisecond
	// settlePackets go before the first ones: tsdemux looks at several before it
	// takes any, and would take the first PCR for as late as the last of these.
	settlePackets = 16
	// feedLook is how often a decoding pipeline is looked after.
	feedLook = 25 * time.Millisecond
	// undecoded is how long packets may come without a picture before decoding
	// begins anew.
	undecoded = 5 * time.Second
)

// transcodeText describes the capture of a programme: it is decoded, and each
// frame and block of sound is handed to the bridge at its time.
func transcodeText(c *engine.Config, choice *program.Choice, d decoders) string {
	// The latency is in the time that packets are told to come at.
	text := strings.Replace(tsText(choice, true), "tsdemux ", "tsdemux latency=0 ", 1)
	// What waits for its time waits encoded.
	const hold = "queue max-size-time=5000000000 max-size-buffers=0 max-size-bytes=0"
	form, _ := formText(c, engine.Format{})
	element := d[choice.Video.Codec]
	text += fmt.Sprintf(" %s ! %s ! %s%s", picturePad(choice), hold, parserOf(choice.Video.Codec), element)
	if software(element) {
		text += " max-errors=-1" // a damaged picture is shown; there is no other
	}
	text += form + " ! identity sync=true ! fakesink name=video sync=false async=false"
	n := min(len(choice.Audio), c.Pairs())
	for i := range n {
		text += fmt.Sprintf(" %s ! %s ! %s%s ! audioconvert ! audioresample ! audio/x-raw,rate=%d,channels=2", soundPad(choice, i), hold,
			parserOf(choice.Audio[i].Codec), d[choice.Audio[i].Codec], genlock.SampleRate)
		if c.Pairs() > 1 { // each sound becomes a pair of all channels
			text += fmt.Sprintf(" ! audioconvert mix-matrix=\"%s\" ! %s ! all.", place(i, c.Pairs()), rawAudio(c))
		}
	}
	switch {
	case n == 0:
	case c.Pairs() > 1:
		text += fmt.Sprintf(" audiomixer name=all ! %s ! identity sync=true ! fakesink name=sound sync=false async=false", rawAudio(c))
	default:
		text += fmt.Sprintf(" ! audioconvert ! %s ! identity sync=true ! fakesink name=sound sync=false async=false", rawAudio(c))
	}
	return text
}

// place is the matrix that puts a pair into its place among pairs.
func place(pair, pairs int) string {
	rows := make([]string, 2*pairs)
	for i := range rows {
		cell := func(on bool) string {
			if on {
				return "(float)1.0"
			}
			return "(float)0.0"
		}
		rows[i] = "<" + cell(i == 2*pair) + "," + cell(i == 2*pair+1) + ">"
	}
	return "<" + strings.Join(rows, ",") + ">"
}

// feeder decodes a transport stream into the bridge.
type feeder struct {
	s       *server
	found   decoders
	take    *program.Selector
	packets chan arrival
	clock   streamClock
	said    string
}

// runFeed decodes what comes, one programme after the other, until the feed's
// socket is closed.
func (s *server) runFeed() {
	f := &feeder{s: s, found: findDecoders(exists, false), packets: make(chan arrival, 64)}
	f.take = program.New(program.Config{Service: s.config.Input.Service, Codecs: f.found.codecs()})
	go readFeed(os.NewFile(engine.FDFeed, "feed"), f.packets)
	for {
		err := f.once()
		s.bridge.use(video, 0, genlock.Rate{})
		s.bridge.use(audio, 0, genlock.Rate{})
		switch {
		case errors.Is(err, errFeedEnded):
			return
		case errors.Is(err, errChanged), errors.Is(err, errUnwanted):
			continue
		}
		f.say(err.Error())
		for end := time.After(captureAgain); end != nil; { // what comes meanwhile is let go
			select {
			case a, ok := <-f.packets:
				if !ok {
					return
				}
				f.take.Push(a.ts, func(run []byte) { f.clock.place(a.at, run, nil) })
			case <-end:
				end = nil
			}
		}
	}
}

// errUnwanted ends a pipeline because the capture has been stopped.
var errUnwanted = errors.New("stopped")

// say tells the daemon why there is no picture; the same thing once.
func (f *feeder) say(text string) {
	if text != f.said && text != "" {
		f.s.send(engine.Event{Is: engine.IsError, Part: engine.PartCapture, Text: text})
	}
	f.said = text
}

func (f *feeder) wanted() bool {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	return f.s.wanted
}

// once decodes the programme until it changes.
func (f *feeder) once() error {
	look := time.NewTicker(feedLook)
	defer look.Stop()
	choice, which := f.take.Choice()
	began := time.Now()
	for choice.Video == nil || !f.wanted() {
		select {
		case a, ok := <-f.packets:
			if !ok {
				return errFeedEnded
			}
			f.take.Push(a.ts, func(run []byte) { f.clock.place(a.at, run, nil) })
			choice, which = f.take.Choice()
		case <-look.C:
			if time.Since(began) > time.Second { // tables take their time
				f.say(f.take.Problem())
			}
		}
	}
	p, err := parse(transcodeText(f.s.config, &choice, f.found))
	if err != nil {
		return err
	}
	defer p.close()
	src, err := p.tap("ts")
	if err != nil {
		return err
	}
	defer src.release()
	f.clock.use(choice.PCRPID)
	f.s.mu.Lock()
	id := f.s.ids + 1
	f.s.ids += 2
	f.s.mu.Unlock()
	b := f.s.bridge
	if err := b.mail.tap(p, "video", video, id); err != nil {
		return err
	}
	b.use(video, id, genlock.Rate{}) // that of its caps
	if len(choice.Audio) > 0 && f.s.config.Pairs() > 0 {
		if err := b.mail.tap(p, "sound", audio, id+1); err != nil {
			return err
		}
		b.use(audio, id+1, genlock.Rate{})
	}
	p.systemTime()
	p.play()
	src.pushAt(monotonic()+feedLatency, bytes.Repeat(mpegts.NullPacket[:], settlePackets))
	start, last := monotonic(), monotonic() // of packets
	for {
		select {
		case a, ok := <-f.packets:
			if !ok {
				return errFeedEnded
			}
			last = monotonic()
			f.take.Push(a.ts, func(run []byte) {
				f.clock.place(a.at, run, func(at time.Duration, ts []byte) { src.pushAt(at+feedLatency, ts) })
			})
			if _, now := f.take.Choice(); now != which {
				return errChanged
			}
		case <-look.C:
			if !f.wanted() {
				return errUnwanted
			}
			for m := p.next(0); m.kind != nothing; m = p.next(0) {
				if m.kind == failure {
					return fmt.Errorf("%s: %s", m.factory, plain(m.text))
				}
			}
			quiet := b.quiet(start)
			if quiet > 2*inputQuiet { // before, pictures still come of what was in clear
				f.say(f.take.Problem())
			} else if quiet < inputQuiet {
				f.said = ""
			}
			if monotonic()-last < inputQuiet && quiet > undecoded {
				if f.take.Problem() != "" { // it would be the same again
					start = monotonic()
					continue
				}
				return fmt.Errorf("no picture can be decoded of PID %d (%s)", choice.Video.PID, choice.Video.Codec)
			}
		}
	}
}

// inputQuiet is the time without a frame after which an input gives none.
const inputQuiet = 250 * time.Millisecond
