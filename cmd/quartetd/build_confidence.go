package main

import (
	"quartet/capture/confidence"
	"quartet/capture/engine"
	"quartet/device/config"
)

// buildConfidence makes the settings of those who watch picture and sound: the
// media engine where it encodes, else a process of its own.
func buildConfidence(doc *config.Box, p *parts) error {
	c := &doc.Confidence
	p.limits = limits{
		watched: c.Enabled, bars: doc.Input.Type != config.TypeTest,
		sound:    doc.Input.Type != config.TypeSDI || doc.Input.AudioDevice != "",
		truePeak: c.TruePeakMax, target: c.LoudnessTarget, off: c.LoudnessTolerance, hold: c.LoudnessHoldMS.Duration(),
	}
	if !c.Enabled {
		return nil
	}
	w := engine.Watch{
		Picture: confidence.PictureConfig{
			BlackLevel: c.BlackLevelPercent / 100, BlackArea: c.BlackAreaPercent / 100, BlackHold: c.BlackHoldMS.Duration(),
			FreezeNoise: c.FreezeChangePercent / 100, FreezeHold: c.FreezeHoldMS.Duration(), BarsHold: c.BarsHoldMS.Duration(),
		},
		Sound: confidence.SoundConfig{SilenceDB: c.SilenceDB, SilenceHold: c.SilenceHoldMS.Duration(), ClipSamples: c.ClipSamples},
	}
	if e := p.source.engine; e != nil {
		e.Watch = &w
		return e.Validate()
	}
	p.watch = &engine.WatcherConfig{WatchConfig: engine.WatchConfig{Service: doc.Input.Service, Watch: w}, MemoryMiB: c.MemoryLimitMiB}
	return p.watch.Validate()
}
