package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"quartet/capture/engine"
	"quartet/capture/mpegts"
	"quartet/capture/program"
)

const (
	reportEvery = 500 * time.Millisecond
	// stillWithin is how long the decoder may hold a key frame.
	stillWithin = 50 * time.Millisecond
	feedSize    = 64 << 10
)

// watchNeeded are the elements without which nothing can be watched.
var watchNeeded = []struct{ element, from string }{
	{"appsrc", "gstreamer1.0-plugins-base"}, {"appsink", "gstreamer1.0-plugins-base"}, {"tsdemux", "gstreamer1.0-plugins-bad"},
	{"videoconvert", "gstreamer1.0-plugins-base"}, {"videoscale", "gstreamer1.0-plugins-base"}, {"videorate", "gstreamer1.0-plugins-base"},
	{"audioconvert", "gstreamer1.0-plugins-base"}, {"audioresample", "gstreamer1.0-plugins-base"}, {"jpegenc", "gstreamer1.0-plugins-good"},
	{"h264parse", "gstreamer1.0-plugins-bad"}, {"avdec_h264", "gstreamer1.0-libav"},
}

// watchText describes the pipeline that looks at a programme: key frames and
// sound are decoded, each picture becomes a small one and a thumbnail, at the most
// five and one a second.
func watchText(c *program.Choice, d decoders) string {
	text := tsText(c, false)
	element := d[c.Video.Codec]
	text += fmt.Sprintf(" %s ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=8000000 leaky=downstream ! %sidentity name=keys drop-buffer-flags=delta-unit ! %s name=decoder",
		picturePad(c), parserOf(c.Video.Codec), element)
	if software(element) {
		text += " max-threads=1"
	}
	text += " ! tee name=raw raw. ! " + eyeText(fmt.Sprintf("videorate drop-only=true max-rate=%d", eyeRate))
	text += fmt.Sprintf(" raw. ! queue max-size-buffers=1 max-size-bytes=0 max-size-time=0 leaky=downstream ! videorate drop-only=true max-rate=1 ! videoscale ! videoconvert"+
		" ! video/x-raw,format=I420,width=320,height=180,pixel-aspect-ratio=1/1 ! jpegenc quality=75 ! fdsink name=pictures fd=%d sync=false async=false", engine.FDPicture)
	for i := range c.Audio {
		// A pair is looked at: what has more channels is mixed down, what has one
		// comes from both loudspeakers.
		text += fmt.Sprintf(" %s ! queue max-size-time=1000000000 max-size-buffers=0 max-size-bytes=0 leaky=downstream ! %s%s ! audioconvert ! audio/x-raw,channels=2 ! %s",
			soundPad(c, i), parserOf(c.Audio[i].Codec), d[c.Audio[i].Codec], earText(i))
	}
	return text
}

// watcher decodes a feed to look at it.
type watcher struct {
	config  *engine.WatchConfig
	found   decoders
	senses  *senses
	say     func(engine.Event)
	take    *program.Selector // owned by run
	packets chan arrival      // from the socket
}

// serveWatch runs until the daemon closes the feed.
func serveWatch(c *engine.WatchConfig) error {
	for _, n := range watchNeeded {
		if !exists(n.element) {
			return missing{"confidence", n.element, n.from}
		}
	}
	s, err := newSenses(c.Watch)
	if err != nil {
		return err
	}
	control := &server{control: os.NewFile(engine.FDControl, "control")}
	w := &watcher{config: c, found: findDecoders(exists, true), senses: s, say: control.send, packets: make(chan arrival, 16)}
	w.take = program.New(program.Config{Service: c.Service, Codecs: w.found.codecs()})
	w.say(engine.Event{Is: engine.IsReady})
	go readFeed(os.NewFile(engine.FDFeed, "feed"), w.packets)
	return w.run()
}

// arrival is packets, n·188 bytes, and when they came (monotonic).
type arrival struct {
	at time.Duration
	ts []byte
}

// readFeed hands on copies of what the daemon sends until it ends.
func readFeed(f *os.File, packets chan<- arrival) {
	defer close(packets)
	framer := mpegts.NewFramer(mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
		packets <- arrival{at, append([]byte{}, ts...)}
		return nil
	}))
	buf := make([]byte, feedSize)
	for {
		n, err := f.Read(buf)
		if n > 0 {
			_ = framer.Stream(monotonic(), buf[:n]) // the writer above does not fail
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// errChanged ends a pipeline whose programme has become another.
var errChanged = errors.New("the programme has changed")

// run watches one programme after the other.
func (w *watcher) run() error {
	for {
		err := w.once()
		switch {
		case errors.Is(err, errFeedEnded):
			return nil
		case errors.Is(err, errChanged):
		default:
			w.say(engine.Event{Is: engine.IsError, Part: "watch", Text: err.Error()})
			time.Sleep(time.Second)
		}
	}
}

var errFeedEnded = errors.New("the feed has ended")

// once watches the programme until it changes.
func (w *watcher) once() error {
	beat := time.NewTicker(reportEvery)
	defer beat.Stop()
	// Until there is something to decode.
	choice, which := w.take.Choice()
	for choice.Video == nil {
		select {
		case b, ok := <-w.packets:
			if !ok {
				return errFeedEnded
			}
			w.take.Push(b.ts, func([]byte) {})
			choice, which = w.take.Choice()
		case <-beat.C:
			w.say(engine.Event{Is: engine.IsConfidence, Text: w.take.Problem()})
		}
	}
	if err := w.senses.hears(len(choice.Audio), 2); err != nil {
		return err
	}
	p, err := parse(watchText(&choice, w.found))
	if err != nil {
		return err
	}
	keys, err := p.tally("keys")
	if err != nil {
		p.close()
		return err
	}
	ts, err := p.tap("ts")
	if err == nil {
		p.play()
		err = w.senses.watch(p)
	}
	defer func() {
		p.close()
		keys.free()
		if ts.e != nil {
			ts.release()
		}
		w.senses.readers.Wait()
	}()
	if err != nil {
		return err
	}
	still := time.NewTicker(stillWithin)
	defer still.Stop()
	var seen, decoded uint64
	for {
		select {
		case b, ok := <-w.packets:
			if !ok {
				return errFeedEnded
			}
			w.take.Push(b.ts, func(run []byte) { ts.push(run) })
			if _, now := w.take.Choice(); now != which {
				return errChanged
			}
		case <-still.C:
			if n := keys.value(); n != seen {
				seen = n
				p.still("decoder")
			}
			for m := p.next(0); m.kind != nothing; m = p.next(0) {
				if m.kind == failure {
					return fmt.Errorf("%s: %s", m.factory, plain(m.text))
				}
			}
		case <-beat.C:
			r, text := w.senses.report(), w.take.Problem()
			if text == "" && r.Picture.Frames == decoded && decoded == 0 {
				text = "no key frame has been decoded yet"
			}
			decoded = r.Picture.Frames
			w.say(engine.Event{Is: engine.IsConfidence, Report: r, Text: text})
		}
	}
}
