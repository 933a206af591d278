package main

import (
	"testing"
	"time"

	"quartet/capture/sdi"
	"quartet/device/control"
	"quartet/device/health"
)

// F13, the alarm's part: what the capture device says is one condition within
// half a second, with a remedy, and nothing else is blamed for it.
func TestF13SignalConditions(t *testing.T) {
	s := newScene(t).pass(3*time.Second, nil)
	s.s.doc.Input.AudioDevice = "hw:1"
	well := control.Engine{Up: true, Starts: 1, OnAir: "engine", InputPresent: true, SoundPresent: true, Signal: &control.Signal{State: string(sdi.Locked), Format: "1080i50"}}
	engine := well
	s.s.input.Engine = &engine
	s.pass(time.Second, nil).want("a locked signal")
	for signal, code := range map[sdi.Signal]health.Code{
		sdi.Missing: health.DeviceMissing, sdi.Refused: health.DeviceMissing, sdi.Busy: health.DeviceBusy,
		sdi.NoSignal: health.SignalNone, sdi.Unlocked: health.SignalUnlocked, sdi.Unsupported: health.SignalFormat,
	} {
		engine = well
		engine.Signal = &control.Signal{State: string(signal), Text: "as it is"}
		engine.InputPresent, engine.SoundPresent, engine.OnAir = false, false, "slate"
		s.pass(2*watchEvery, nil).want(string(signal), string(code)+" input")
		for _, a := range s.w.health.Active() {
			if a.Code == code && a.Remedy == "" {
				t.Errorf("%s has no remedy", code)
			}
		}
		engine = well
		s.pass(5*time.Second, nil).want("well again after " + string(signal))
	}
	// The card is locked, and GStreamer says that the device is taken.
	engine.InputPresent, engine.SoundPresent, engine.Reason = false, false, "v4l2src: Device '/dev/video0' is busy"
	s.pass(2*watchEvery, nil).want("taken", "input-device-busy input")
	// It is locked, and no frame comes: nobody knows why.
	engine.Reason = ""
	s.pass(5*time.Second, nil).want("no frames", "input-lost input")
	// The picture comes alone.
	engine = well
	s.pass(5*time.Second, nil)
	engine.SoundPresent, engine.SoundReason = false, "alsasrc: no such device"
	s.pass(2*time.Second, nil).want("no sound", "sound-lost input")
	s.s.doc.Input.AudioDevice = ""
	s.pass(5*time.Second, nil).want("none is wanted")
}
