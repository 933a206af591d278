package engine

import (
	"fmt"

	"quartet/capture/sdi"
)

// signal is what the device at the input says, and what follows from it.
type signal struct {
	watcher *sdi.Watcher // nil: the input has no signal to watch

	// guarded by Source.mu
	capturing bool
	format    *Format // nil: not known
	changes   int
}

// watchSignal makes the watcher of an input that has a device.
func (s *Source) watchSignal() {
	if s.cfg.Input.Kind != InputV4L2 && s.cfg.Device == nil {
		s.signal.capturing = true
		return
	}
	s.signal.watcher = sdi.NewWatcher(sdi.Config{
		Path: s.cfg.Input.Device, Open: s.cfg.Device, Start: s.startCapture, Stop: s.stopCapture, Now: s.cfg.Now, Log: s.cfg.Log,
	})
}

// startCapture is called when the device has locked to a signal and is set to
// its format.
func (s *Source) startCapture(st sdi.State) {
	var f *Format
	if st.Signal == sdi.Locked {
		num, den := st.Timings.Rate()
		f = &Format{Width: int(st.Timings.Width), Height: int(st.Timings.Height), RateNum: num, RateDen: den, Interlaced: st.Timings.Interlaced}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal.capturing, s.signal.format = true, f
	s.signal.changes++
	s.st.capture = ""
	if s.cfg.FollowFormat && f != nil && s.reform(*f) {
		return // the next process begins with it
	}
	s.tellCapture()
}

// stopCapture is called when there is nothing to capture any more: the slate is
// on its way before the first frame is missing.
func (s *Source) stopCapture(sdi.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal.capturing = false
	s.signal.changes++
	s.st.present, s.st.sound = false, false
	s.tellCapture()
}

// tellCapture tells the process, if one runs; a next one has it in its
// configuration. The lock is held.
func (s *Source) tellCapture() {
	if s.proc == nil {
		return
	}
	c := Command{Do: DoStop}
	if s.signal.capturing {
		c = Command{Do: DoStart, Format: s.signal.format}
	}
	// A process that does not read is about to be killed.
	if err := s.proc.send(c); err != nil {
		s.cfg.Log.Warn("media engine takes no command", "err", err)
	}
}

// reform makes the input's format the encoder's, and tells whether that needs
// another process. The lock is held.
func (s *Source) reform(f Format) bool {
	v := &s.cfg.Video
	was := *v
	v.Width, v.Height, v.RateNum, v.RateDen = f.Width, f.Height, f.RateNum, f.RateDen
	v.Interlaced = f.Interlaced && v.Codec == CodecH264
	if f.Interlaced && !v.Interlaced {
		v.RateNum *= 2 // HEVC: a frame of each field
	}
	if s.ownGOP == 0 {
		v.GOP = 0
	}
	s.cfg.Fill()
	if err := s.cfg.Validate(); err != nil {
		s.cfg.Log.Warn("the encoder cannot take the input's format, which is converted", "err", err)
		*v = was
		return false
	}
	if v.Width == was.Width && v.Height == was.Height && v.RateNum*was.RateDen == was.RateNum*v.RateDen && v.Interlaced == was.Interlaced {
		return false
	}
	s.splice.cfg.frame, s.splice.cfg.lead = s.cfg.Frame(), s.cfg.lead()
	s.st.reforming = fmt.Sprintf("the input's format is now %dx%d at %d/%d", v.Width, v.Height, v.RateNum, v.RateDen)
	select {
	case s.otherSlate <- struct{}{}:
	default:
	}
	return true
}
