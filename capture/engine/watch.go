package engine

import (
	"bytes"
	"encoding/json"
	"fmt"

	"quartet/capture/confidence"
)

// Watch says how picture and sound are watched. Rate and Channels of Sound are
// the process's to fill in.
type Watch struct {
	Picture confidence.PictureConfig `json:"picture"`
	Sound   confidence.SoundConfig   `json:"sound"`
}

// WatchConfig is what a process is told that decodes a passed-through feed to
// look at it, and does nothing else.
type WatchConfig struct {
	Service int   `json:"service"` // programme number; 0: the first with a picture
	Watch   Watch `json:"watch"`
}

// Validate checks what no part further on would say clearly.
func (c *WatchConfig) Validate() error {
	if c.Service < 0 || c.Service > 0xFFFF {
		return fmt.Errorf("engine: service is %d: a programme number is 1 to 65535, 0 the first", c.Service)
	}
	return c.Watch.validate()
}

func (w *Watch) validate() error {
	if _, err := confidence.NewPicture(w.Picture); err != nil {
		return fmt.Errorf("engine: watch: %w", err)
	}
	s := w.Sound
	s.Rate, s.Channels = 48000, 2
	if _, err := confidence.NewSound(s); err != nil {
		return fmt.Errorf("engine: watch: %w", err)
	}
	return nil
}

// ParseWatchConfig reads what the daemon wrote.
func ParseWatchConfig(b []byte) (*WatchConfig, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	c := &WatchConfig{}
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("engine: configuration: %w", err)
	}
	return c, c.Validate()
}
