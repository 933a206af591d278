package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"quartet/capture"
	"quartet/capture/mpegts"
	capsrt "quartet/capture/srt"
	"quartet/capture/tr101290"
	"quartet/capture/tsfile"
	"quartet/capture/udp"
	"quartet/device/control"
	"quartet/uplink/srt"
)

// feed is a source that probe opens by itself.
type feed struct {
	capture.Source
	framing func() mpegts.FramerStats
	trouble func() string // why nothing comes, if the source knows
}

// openFeed opens an address of a feed, written as input.url is.
func openFeed(url string, now func() time.Duration) (f feed, err error) {
	f.framing, f.trouble = func() mpegts.FramerStats { return mpegts.FramerStats{} }, func() string { return "" }
	scheme, rest, _ := strings.Cut(url, "://")
	switch scheme {
	case "udp", "rtp":
		a, err := udp.ParseURL(url)
		if err != nil {
			return f, err
		}
		s, err := udp.New(udp.Config{Legs: []udp.Address{a}, Now: now})
		if err != nil {
			return f, err
		}
		f.Source, f.framing = s, func() mpegts.FramerStats { return s.Stats().Framer }
		f.trouble = func() string {
			for _, l := range s.Stats().Legs {
				if l.Error != "" {
					return l.Error
				}
				if l.Malformed > 0 {
					return "datagrams come, and none of them is transport stream"
				}
			}
			return ""
		}
	case "srt":
		u, err := srt.ParseURL(url)
		if err != nil {
			return f, err
		}
		s, err := capsrt.New(capsrt.Config{URL: u, Now: now})
		if err != nil {
			return f, err
		}
		f.Source, f.framing, f.trouble = s, func() mpegts.FramerStats { return s.Stats().Framer }, func() string { return s.Stats().Error }
	case "file":
		s, err := tsfile.New(tsfile.Config{Path: rest, Now: now})
		if err != nil {
			return f, err
		}
		f.Source, f.framing = s, func() mpegts.FramerStats { return s.Stats().Framer }
	default:
		err = fmt.Errorf("probe: %q: write udp://, rtp://, srt:// or file:///path", url)
	}
	return f, err
}

// probeURL watches a feed for so long and returns what a monitor made of it.
func probeURL(e *env, url string, length time.Duration) (control.Probe, error) {
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }
	f, err := openFeed(url, now)
	if err != nil {
		return control.Probe{}, err
	}
	m, err := tr101290.New(tr101290.Config{})
	if err != nil {
		return control.Probe{}, err
	}
	ctx, cancel := context.WithTimeout(e.ctx, length)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		err = f.Run(ctx, m)
		cancel() // a file may end before its time
	})
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	var framing mpegts.FramerStats
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		if s := f.framing(); s.SyncLosses != framing.SyncLosses || s.SyncByteErrs != framing.SyncByteErrs {
			m.Framing(now(), s)
			framing = s
		}
	}
	why := f.trouble()
	wg.Wait()
	m.Framing(now(), f.framing()) // what a file has shown at its end
	if e.ctx.Err() != nil {
		return control.Probe{}, e.ctx.Err()
	}
	if err != nil {
		return control.Probe{}, err
	}
	s := m.Stats()
	if !s.Started {
		if why != "" {
			return control.Probe{}, errors.New("nothing came: " + why)
		}
		return control.Probe{}, fmt.Errorf("nothing came within %v: check the address, the route and the firewall", length)
	}
	b, err := json.Marshal(s)
	return control.Probe{Where: "feed", Time: e.now(), Stream: b}, err
}
