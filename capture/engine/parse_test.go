package engine

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestConfigRefused(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"input.kind":    func(c *Config) { c.Input.Kind = "dvd" },
		"input.device":  func(c *Config) { c.Input.Kind = InputV4L2 },
		"video.codec":   func(c *Config) { c.Video.Codec = "av1" },
		"video.profile": func(c *Config) { c.Video.Profile = "best" },
		"video size":    func(c *Config) { c.Video.Width = 321 },
		"video.height":  func(c *Config) { c.Video.Interlaced, c.Video.Height = true, 182 },
		"frame rate":    func(c *Config) { c.Video.RateNum = 0 },
		"chroma":        func(c *Config) { c.Video.Chroma = "4:1:1" },
		"bit_depth":     func(c *Config) { c.Video.BitDepth = 12 },
		"not filled in": func(c *Config) { c.Video.GOP = 0 },
		"at most 8":     func(c *Config) { c.Audio = make([]Audio, 9) },
		"slate.image":   func(c *Config) { c.Slate.Kind = SlateImage },
		"rate_bps":      func(c *Config) { c.Mux.RateBPS = 150_000 },
		"audio.codec":   func(c *Config) { c.Audio[0].Codec = "opus" },
		"audio.pair":    func(c *Config) { c.Audio[0].Pair = 9 },
		"a PID":         func(c *Config) { c.Audio[0].PID = 257 },
	} {
		c := testConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
	c := testConfig()
	text, err := json.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseConfig(text); err != nil {
		t.Error(err)
	}
	if _, err := ParseConfig([]byte(`{"vidio":{}}`)); err == nil {
		t.Error("an unknown field is accepted")
	}
	k := c
	k.Video.GOP++
	if c.Hash() == k.Hash() {
		t.Error("one slate for two GOPs")
	}
}

func FuzzParse(f *testing.F) {
	c := testConfig()
	text, err := json.Marshal(&c)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"do":"bitrate","kbps":500}`))
	f.Add([]byte(`{"is":"level","peak":[-20.5]}`))
	s := newStream(1)
	f.Add(append(s.frame(), s.frame()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if cmd, err := ParseCommand(b); err == nil && cmd.Do == DoBitrate && cmd.Kbps < 1 {
			t.Error("a rate of nothing")
		}
		_, _ = ParseEvent(b)
		_, _ = ParseConfig(b)
		if sl, err := ParseSlate(b, &c); err == nil && (sl.length <= 0 || len(sl.units) == 0) {
			t.Error("an empty slate")
		}
	})
}
