package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quartet/device/control"
)

var thumbnailCommand = command{
	name:  "thumbnail",
	args:  "FILE",
	short: "write the input's latest small picture into a file",
	long: `
Writes the latest small picture of the input into FILE, a JPEG of 320×180; - is
the standard output. There is a new one each second; of a feed that is passed
through, one for each key frame.`,
	flags: func(f *flag.FlagSet) func(*env, []string) error {
		client := socketFlag(f)
		return func(e *env, args []string) error {
			if len(args) != 1 {
				return usagef("thumbnail takes one file, and there are %d arguments", len(args))
			}
			c := client(e)
			defer c.Close()
			ctx, cancel := context.WithTimeout(e.ctx, patience)
			defer cancel()
			t, err := c.Thumbnail(ctx)
			if err != nil {
				return err
			}
			if args[0] == "-" {
				_, err = e.out.Write(t.JPEG)
				return err
			}
			if err := replace(args[0], t.JPEG); err != nil {
				return err
			}
			fmt.Fprintf(e.out, "%s: %d bytes, of %s\n", args[0], len(t.JPEG), t.Time.Local().Format(time.TimeOnly))
			return nil
		}
	},
}

// replace writes a file that appears whole or not at all.
func replace(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".thumbnail-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// pictureLine is the picture in one line.
func pictureLine(c *control.Confidence, sc screen) string {
	p := c.Picture
	if p == nil {
		return sc.paint(yellow, "not watched: "+clean(c.Reason))
	}
	text := fmt.Sprintf("brightness %.0f %%", p.LumaPercent)
	good := true
	for _, s := range []struct {
		seen control.Seen
		word string
	}{{p.Black, "black"}, {p.Bars, "colour bars"}, {p.Freeze, "still"}} {
		if s.seen.Active {
			text += ", " + sc.paint(red, s.word+" for "+span(seconds(s.seen.LengthS)))
			good = false
		}
	}
	if good {
		text += ", " + sc.paint(green, "moving")
	}
	if c.Reason != "" {
		text += "; " + clean(c.Reason)
	}
	return text
}

// soundLine is a pair of channels in one line.
func soundLine(i int, p *control.SoundPair, sc screen) string {
	lu := func(v float64) string {
		if v <= -100 {
			return "-"
		}
		return fmt.Sprintf("%.1f", v)
	}
	var peaks, silent []string
	clips := uint64(0)
	for k, c := range p.Channels {
		peaks = append(peaks, lu(c.Highest))
		clips += c.Clips
		if c.Silence.Active {
			silent = append(silent, fmt.Sprintf("channel %d silent for %s", 2*i+k+1, span(seconds(c.Silence.LengthS))))
		}
	}
	text := fmt.Sprintf("pair %d: M %s, S %s, I %s LUFS over %s, range %.1f LU, highest true peak %s dBTP", i+1, lu(p.Momentary), lu(p.ShortTerm), lu(p.Integrated),
		span(seconds(p.MeasuredS)), p.Range, strings.Join(peaks, " / "))
	if clips > 0 {
		text += fmt.Sprintf(", clipped %s times", short(clips))
	}
	if len(silent) > 0 {
		text += ", " + sc.paint(red, strings.Join(silent, ", "))
	}
	return text
}
