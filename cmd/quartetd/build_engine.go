package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"quartet/capture/engine"
	"quartet/capture/mpegts"
	"quartet/device/config"
	"quartet/uplink/adapt"
)

// buildEngine makes the settings of an input that the media engine encodes.
func buildEngine(doc *config.Box, u config.URL) (*engine.SourceConfig, error) {
	in, e := &doc.Input, &doc.Encoder
	c := &engine.SourceConfig{OnLoss: engine.LossAction(in.OnInputLoss), StopAfter: in.StopAfterMS.Duration(), MemoryMiB: e.MemoryLimitMiB, Nice: engineNice, FollowFormat: e.FollowInput}
	c.Input.Kind = engine.InputTest
	if in.Type == config.TypeSDI {
		c.Input = engine.Input{Kind: engine.InputV4L2, Device: u.File, AudioDevice: in.AudioDevice}
	}
	if in.Transcode {
		c.Input = engine.Input{Kind: engine.InputTS, Service: in.Service}
	}
	c.Video = engine.Video{
		Codec: e.Codec, Encoder: e.Element, Profile: e.Profile, Width: e.Width, Height: e.Height, Interlaced: e.Interlaced, SDAspect: e.SDAspect,
		Chroma: e.Chroma, BitDepth: e.BitDepth, GOP: e.GOPFrames, VBVMS: int(e.VBVMS), Preset: e.Preset,
		BFrames: e.BFrames, LookaheadFrames: e.LookaheadFrames, Threads: e.Threads,
	}
	num, den, _ := strings.Cut(e.FrameRate, "/")
	var err error
	if c.Video.RateNum, err = strconv.Atoi(num); err != nil {
		return nil, fmt.Errorf("encoder.frame_rate %q is not a number", e.FrameRate)
	}
	if c.Video.RateDen = 1; den != "" {
		if c.Video.RateDen, err = strconv.Atoi(den); err != nil {
			return nil, fmt.Errorf("encoder.frame_rate %q is not a fraction", e.FrameRate)
		}
	}
	for _, a := range e.Audio {
		c.Audio = append(c.Audio, engine.Audio{Codec: a.Codec, BitrateKbps: int(a.BitrateKbps), Pair: a.Pair, PID: mpegts.PID(a.PID), Language: a.Language})
	}
	s := &e.Service
	c.Mux = engine.Mux{
		RateBPS: e.BitrateKbps.BitsPerSecond(), PMTPID: mpegts.PID(s.PMTPID), VideoPID: mpegts.PID(s.VideoPID),
		ServiceID: uint16(s.ID), ServiceName: s.Name, Provider: s.Provider,
	}
	if s.Name == "" {
		c.Mux.ServiceName = doc.Name
	}
	c.Slate = engine.Picture{Kind: e.Slate, Image: e.SlateImage}
	c.Fill()
	return c, c.Validate()
}

// buildAdapt says between what the encoder's rate may move; nil: it does not.
func buildAdapt(doc *config.Box, p *parts) *adapt.Config {
	e := &doc.Encoder
	if p.source.engine == nil || !e.Adaptive {
		return nil
	}
	return &adapt.Config{Min: e.LowestKbps().BitsPerSecond(), Max: e.BitrateKbps.BitsPerSecond(), Overhead: p.plan.Overhead}
}

// engineNice puts pictures behind packets where a processor is short.
const engineNice = 2

// engineProgram is where the media engine lies: beside this program, else where
// the system looks for programs.
func engineProgram() string {
	const name = "quartet-engine"
	if own, err := os.Executable(); err == nil {
		if beside := filepath.Join(filepath.Dir(own), name); isProgram(beside) {
			return beside
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return name // its start will say that it is not there
}

func isProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
