package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"quartet/capture/engine"
	"quartet/capture/genlock"
)

const (
	slateWithin = 30 * time.Second
	// look is how often the input is looked at.
	look = 20 * time.Millisecond
	// captureAgain is the wait before a failed capture is started again.
	captureAgain = 500 * time.Millisecond
	// frameless is the time without a frame after which a capture is started anew.
	frameless = 3 * time.Second
	// busWait is how long a capture takes to see that it is no longer wanted.
	busWait = 25 * time.Millisecond
)

// server runs the pipelines: one that encodes, and one for each capture.
type server struct {
	// set at start, never changed
	config  *engine.Config
	chosen  chosen
	senses  *senses // nil: nothing is watched
	encode  *pipeline
	bridge  *bridge
	control *os.File

	writing sync.Mutex // one line at a time

	mu     sync.Mutex // guards all below
	wanted bool       // captures are to run
	format engine.Format
	asked  int // times that this has changed
	ids    int // of captures so far
	news   map[kind]chan struct{}
}

// serve runs until the daemon closes the control socket, or the encode pipeline
// fails, which ends the process: the daemon starts another one.
func serve(c *engine.Config, x chosen) error {
	s := &server{config: c, chosen: x, control: os.NewFile(engine.FDControl, "control"), wanted: !c.Input.Wait,
		news: map[kind]chan struct{}{video: make(chan struct{}, 1), audio: make(chan struct{}, 1)}}
	if c.Input.Format != nil {
		s.format = *c.Input.Format
	}
	var err error
	if s.encode, err = parse(encodeText(c, x)); err != nil {
		return err
	}
	if s.bridge, err = newBridge(c, s.encode); err != nil {
		return err
	}
	s.encode.play()
	if err = s.startSenses(); err != nil {
		return err
	}
	s.send(engine.Event{Is: engine.IsReady, Encoder: x.video.element})
	failed, gone := make(chan error, 2), make(chan struct{})
	// The process ends with serve: nothing joins these, exit does.
	go s.readCommands(gone)
	go s.watchEncode(failed)
	go func() { failed <- s.bridge.run(nil) }()
	switch {
	case c.Input.Kind == engine.InputTS:
		go s.runFeed()
	case soundText(c) != "":
		go s.runCapture(audio)
		fallthrough
	default:
		go s.runCapture(video)
	}
	beat, eye := time.NewTicker(engine.HeartbeatEvery), time.NewTicker(look)
	var was engine.Event
	for {
		select {
		case <-gone:
			return nil
		case err := <-failed:
			s.send(engine.Event{Is: engine.IsError, Part: "encode", Text: err.Error()})
			return err
		case <-eye.C:
			// The daemon hears of a change at once.
			now := s.bridge.state()
			if now.Present != was.Present || now.Slate != was.Slate || now.Sound != was.Sound {
				was = now
				now.Is = engine.IsInput
				s.send(now)
			}
		case <-beat.C:
			if s.senses != nil {
				s.send(engine.Event{Is: engine.IsConfidence, Report: s.senses.report()})
			}
			s.send(s.bridge.state())
		}
	}
}

// send writes a line. A daemon that is gone is noticed by the reader.
func (s *server) send(e engine.Event) {
	b, err := json.Marshal(&e)
	if err != nil {
		return // unreachable: levels are checked before
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_, _ = s.control.Write(append(b, '\n'))
}

func (s *server) readCommands(gone chan<- struct{}) {
	defer close(gone)
	lines := bufio.NewScanner(s.control)
	for lines.Scan() {
		c, err := engine.ParseCommand(lines.Bytes())
		if err == nil {
			err = s.do(c)
		}
		if err != nil {
			s.send(engine.Event{Is: engine.IsError, Part: "control", Text: err.Error()})
		}
	}
}

func (s *server) do(c engine.Command) error {
	switch c.Do {
	case engine.DoStart, engine.DoStop:
		s.mu.Lock()
		s.wanted, s.format = c.Do == engine.DoStart, engine.Format{}
		if c.Format != nil {
			s.format = *c.Format
		}
		s.asked++
		s.mu.Unlock()
		if c.Do == engine.DoStop {
			s.bridge.use(video, 0, genlock.Rate{}) // the slate is shown at once
			s.bridge.use(audio, 0, genlock.Rate{})
		}
		for _, n := range s.news {
			select {
			case n <- struct{}{}:
			default:
			}
		}
	case engine.DoKeyFrame:
		if !s.encode.keyFrame("venc") {
			return fmt.Errorf("%s takes no request for a key frame", s.chosen.video.element)
		}
	case engine.DoBitrate:
		property, value := s.chosen.video.rate(c.Kbps)
		return s.encode.set("venc", property, value)
	case engine.DoSlate:
		s.bridge.force(c.On)
	}
	return nil
}

// watchEncode reads the encode pipeline's bus: levels, and the failure that ends
// the process.
func (s *server) watchEncode(failed chan<- error) {
	for {
		switch m := s.encode.next(busWait); m.kind {
		case failure:
			failed <- fmt.Errorf("%s: %s", m.factory, plain(m.text))
			return
		case ended:
			failed <- fmt.Errorf("the encode pipeline has ended by itself")
			return
		case warning:
			s.send(engine.Event{Is: engine.IsError, Part: "encode", Text: "warning: " + m.source + ": " + m.text})
		case element:
			if peak, rms, ok := levels(m.text); ok {
				s.send(engine.Event{Is: engine.IsLevel, Peak: peak, RMS: rms})
			}
		}
	}
}

// runCapture keeps a capture running while it is wanted.
func (s *server) runCapture(k kind) {
	part := map[kind]string{video: engine.PartCapture, audio: engine.PartSound}[k]
	said := ""
	for {
		s.mu.Lock()
		wanted, asked, format := s.wanted, s.asked, s.format
		s.ids++
		id := s.ids
		s.mu.Unlock()
		if !wanted {
			said = ""
			<-s.news[k]
			continue
		}
		err := s.captureOnce(k, id, asked, format)
		s.bridge.use(k, 0, genlock.Rate{})
		if err == nil {
			said = ""
			continue
		}
		if text := err.Error(); text != said { // the same failure is said once
			s.send(engine.Event{Is: engine.IsError, Part: part, Text: text})
			said = text
		}
		select {
		case <-s.news[k]:
		case <-time.After(captureAgain):
		}
	}
}

// captureOnce runs a capture until it fails or is no longer wanted as it is.
func (s *server) captureOnce(k kind, id, asked int, format engine.Format) error {
	var text string
	rate, end := genlock.Rate{}, "video"
	if k == video {
		text, rate = captureText(s.config, format)
	} else {
		text, end = soundText(s.config), "sound"
	}
	p, err := parse(text)
	if err != nil {
		return err
	}
	defer p.close()
	if err := s.bridge.mail.tap(p, end, k, id); err != nil {
		return err
	}
	current := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.asked == asked
	}
	s.bridge.use(k, id, rate)
	began := monotonic()
	p.play()
	for current() {
		if quiet := s.bridge.quiet(began); k == video && quiet > frameless {
			return fmt.Errorf("the device gives no frames") // some drivers need a new start after a loss
		}
		switch m := p.next(busWait); m.kind {
		case failure:
			return fmt.Errorf("%s: %s", m.factory, plain(m.text))
		case ended:
			return fmt.Errorf("the input has ended")
		case warning: // v4l2src: "Signal lost", among others
			s.send(engine.Event{Is: engine.IsError, Part: engine.PartCapture, Text: "warning: " + plain(m.text)})
		}
	}
	return nil
}

// sourcePlace is where in GStreamer's source, and in which pipeline, an error was
// made: nothing for an operator, and another each time.
var sourcePlace = regexp.MustCompile(`:? *\S+\.c\(\d+\): [^\n]*`)

// plain is what an error says without it, on one line.
func plain(text string) string {
	return strings.Join(strings.FieldsFunc(sourcePlace.ReplaceAllString(text, ""), func(c rune) bool { return c == '\n' }), " ")
}

var levelList = regexp.MustCompile(`(rms|peak)=\(GValueArray\)< ?([^>]*)>`)

// levels takes the message of a level element apart.
func levels(text string) (peak, rms []float64, ok bool) {
	if !strings.HasPrefix(text, "level,") {
		return nil, nil, false
	}
	for _, m := range levelList.FindAllStringSubmatch(text, -1) {
		var list []float64
		for part := range strings.SplitSeq(m[2], ",") {
			v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			if err != nil {
				return nil, nil, false
			}
			list = append(list, max(v, -120)) // silence is -inf, which JSON has no word for
		}
		if m[1] == "peak" {
			peak = list
		} else {
			rms = list
		}
	}
	return peak, rms, len(peak) > 0
}
