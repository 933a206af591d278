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
)

const (
	slateWithin = 30 * time.Second
	// look is how often the input is looked at.
	look = 50 * time.Millisecond
	// inputGone is the time without a captured frame after which the slate is
	// shown (ACCEPTANCE F13: 500 ms until alarm and slate).
	inputGone = 250 * time.Millisecond
	// captureAgain is the wait before a failed capture is started again.
	captureAgain = 500 * time.Millisecond
	busWait      = 200 * time.Millisecond
)

// server runs the two pipelines.
type server struct {
	// set at start, never changed
	config  *engine.Config
	chosen  chosen
	senses  *senses // nil: nothing is watched
	encode  *pipeline
	control *os.File

	writing sync.Mutex // one line at a time

	mu      sync.Mutex // guards all below
	wanted  bool       // a capture is to run
	capture *pipeline
	frames  counter
	forced  bool // the slate is shown though there is a picture
	changed chan struct{}
}

// serve runs until the daemon closes the control socket, or the encode pipeline
// fails, which ends the process: the daemon starts another one.
func serve(c *engine.Config, x chosen) error {
	s := &server{config: c, chosen: x, control: os.NewFile(engine.FDControl, "control"), wanted: true, changed: make(chan struct{}, 1)}
	var err error
	if s.encode, err = parse(encodeText(c, x)); err != nil {
		return err
	}
	s.show(false)
	s.encode.play()
	if err = s.startSenses(); err != nil {
		return err
	}
	s.send(engine.Event{Is: engine.IsReady, Encoder: x.video.element})
	failed, gone := make(chan error, 1), make(chan struct{})
	// The process ends with serve: nothing joins these, exit does.
	go s.readCommands(gone)
	go s.watchEncode(failed)
	go s.runCapture()
	beat, eye := time.NewTicker(engine.HeartbeatEvery), time.NewTicker(look)
	var in inputState
	for {
		select {
		case <-gone:
			return nil
		case err := <-failed:
			s.send(engine.Event{Is: engine.IsError, Part: "encode", Text: err.Error()})
			return err
		case <-eye.C:
			s.lookAtInput(&in)
		case <-beat.C:
			if s.senses != nil {
				s.send(engine.Event{Is: engine.IsConfidence, Report: s.senses.report()})
			}
			s.send(engine.Event{Is: engine.IsHeartbeat, Present: in.present, Slate: in.slate, Frames: in.frames, Base: s.encode.baseTime()})
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
		s.wanted = c.Do == engine.DoStart
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
	case engine.DoKeyFrame:
		if !s.encode.keyFrame("venc") {
			return fmt.Errorf("%s takes no request for a key frame", s.chosen.video.element)
		}
	case engine.DoBitrate:
		property, value := s.chosen.video.rate(c.Kbps)
		return s.encode.set("venc", property, value)
	case engine.DoSlate:
		s.mu.Lock()
		s.forced = c.On
		s.mu.Unlock()
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

// runCapture keeps the capture pipeline running while it is wanted.
func (s *server) runCapture() {
	said := ""
	for {
		s.mu.Lock()
		wanted := s.wanted
		s.mu.Unlock()
		if !wanted {
			<-s.changed
			continue
		}
		if err := s.captureOnce(); err != nil {
			if text := err.Error(); text != said { // the same failure is said once
				s.send(engine.Event{Is: engine.IsError, Part: "capture", Text: text})
				said = text
			}
			time.Sleep(captureAgain)
			continue
		}
		said = ""
	}
}

// captureOnce runs a capture pipeline until it fails or is no longer wanted.
func (s *server) captureOnce() error {
	p, err := parse(captureText(s.config))
	if err != nil {
		return err
	}
	frames, err := p.count("captured", "src")
	if err != nil {
		p.close()
		return err
	}
	s.mu.Lock()
	s.capture, s.frames = p, frames
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.capture = nil
		s.mu.Unlock()
		p.close()
	}()
	p.play()
	for {
		s.mu.Lock()
		wanted := s.wanted
		s.mu.Unlock()
		if !wanted {
			return nil
		}
		switch m := p.next(busWait); m.kind {
		case failure:
			return fmt.Errorf("%s: %s", m.factory, plain(m.text))
		case ended:
			return fmt.Errorf("the input has ended")
		case warning: // v4l2src: "Signal lost", among others
			s.send(engine.Event{Is: engine.IsError, Part: "capture", Text: "warning: " + plain(m.text)})
		}
	}
}

// inputState is what the last look at the input has shown.
type inputState struct {
	present, slate bool
	frames         uint64 // of all captures
	now            uint64 // of this one
	at             time.Time
	told           bool
}

// lookAtInput notices that frames come or do not, and shows the slate meanwhile.
func (s *server) lookAtInput(in *inputState) {
	s.mu.Lock()
	n := uint64(0)
	if s.capture != nil {
		n = s.frames.value()
	}
	forced := s.forced
	s.mu.Unlock()
	now := time.Now()
	if n < in.now { // another capture
		in.now = 0
	}
	if n > in.now {
		in.frames += n - in.now
		in.now, in.at = n, now
	}
	present := in.frames > 0 && now.Sub(in.at) < inputGone
	if slate := forced || !present && s.config.Slate.Kind != engine.SlateLast; slate != in.slate || !in.told {
		in.slate = slate
		s.show(slate)
		_ = s.encode.set("gain", "mute", strconv.FormatBool(forced)) // without sound there is no gain
	}
	if present != in.present || !in.told {
		in.present, in.told = present, true
		s.send(engine.Event{Is: engine.IsInput, Present: present, Slate: in.slate})
	}
}

// show switches between the input and the slate.
func (s *server) show(slate bool) {
	pad := "sink_0"
	if slate {
		pad = "sink_1"
	}
	s.encode.choose("pick", pad)
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
