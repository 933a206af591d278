package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
)

// engineOnPath builds the media engine where quartetd finds it.
func engineOnPath(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "quartet-engine")
	if text, err := exec.Command("go", "build", "-o", out, "quartet/cmd/quartet-engine").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	t.Setenv("PATH", filepath.Dir(out)+":/usr/bin:/bin")
	return out
}

// patiently is eventually for what gets only the time that nobody else wants.
func patiently(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(begun) > 90*time.Second {
			t.Fatalf("did not come: %s", what)
		}
	}
}

// A feed that is passed through is looked at by a process beside; the same feed
// transcoded is on air as the box's own. Bars and silence are what they are, and
// are said.
func TestLookAtAndTranscodeAFeed(t *testing.T) {
	program, file := engineOnPath(t), filepath.Join(t.TempDir(), "feed.ts")
	encoding := func() *config.Box {
		d := document()
		d.Input.Type, d.Input.URL = config.TypeTest, "test://bars"
		d.Encoder.Width, d.Encoder.Height, d.Encoder.BitrateKbps = 320, 180, 1500
		sound := config.Default[config.EncoderAudio]()
		sound.PID = 258
		d.Encoder.Audio = []config.EncoderAudio{sound}
		d.Confidence.Enabled = true
		d.Confidence.BarsHoldMS, d.Confidence.SilenceHoldMS, d.Confidence.FreezeHoldMS = 1000, 1000, 1000
		d.Paths = d.Paths[4:] // plain RTP, to nobody
		d.Paths[0].URL = "rtp://127.0.0.1:9"
		d.Output.Key = ""
		return d
	}
	set, _, err := build(encoding())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(set.source.engine.Config)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--make-slate", file) // a feed as good as any
	cmd.Stdin = bytes.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, transcode := range []bool{false, true} {
		d := encoding()
		d.Input.Type, d.Input.URL, d.Input.Transcode = config.TypeFile, "file://"+file, transcode
		if !transcode {
			d.Encoder = config.Default[config.Encoder]()
		}
		b := startBox(t, d)
		active := func(code health.Code) bool {
			return slices.ContainsFunc(b.status().Active, func(c control.Condition) bool { return c.Code == code && !c.Masked })
		}
		for _, code := range []health.Code{health.PictureBars, health.SoundSilent} {
			patiently(t, string(code), func() bool { return active(code) })
		}
		in := b.status().Input
		c := in.Confidence
		if active(health.PictureFrozen) || active(health.PictureBlack) || c.Picture == nil || c.Picture.Bars.Since == nil || c.Picture.Bars.LengthS < 1 || c.Reason != "" {
			t.Errorf("transcode %t: %+v %+v", transcode, b.status().Active, c)
		}
		if (in.Engine != nil) != transcode || in.State != control.InputOK || (c.Starts > 0) == transcode {
			t.Errorf("transcode %t: %+v %+v", transcode, in, c)
		}
		if p, err := b.client.Thumbnail(t.Context()); err != nil || len(p.JPEG) < 500 {
			t.Errorf("transcode %t: a thumbnail of %d bytes: %v", transcode, len(p.JPEG), err)
		}
		if _, err := b.stop(); err != nil {
			t.Error(err)
		}
	}
	// Who switches it off is told where.
	d := encoding()
	d.Input.Type, d.Input.URL, d.Encoder, d.Confidence = config.TypeFile, "file://"+file, config.Default[config.Encoder](), config.Default[config.Confidence]()
	d.Confidence.Enabled = false
	b := startBox(t, d)
	if _, err := b.client.Thumbnail(t.Context()); err == nil || !strings.Contains(err.Error(), "confidence.enabled") {
		t.Error(err)
	}
	if c := b.status().Input.Confidence; c != nil {
		t.Errorf("%+v", c)
	}
}

// F12, the box's part: the engine is killed, one alarm is raised and cleared,
// the stream goes on, and its rate changes while it runs.
func TestF12EngineAlarm(t *testing.T) {
	out := engineOnPath(t)
	d := document()
	d.Confidence.Enabled = true
	d.Input.Type, d.Input.URL = config.TypeTest, "test://bars"
	d.Encoder.Width, d.Encoder.Height, d.Encoder.BitrateKbps = 320, 180, 1500
	d.Paths = d.Paths[4:] // plain RTP, to nobody
	d.Paths[0].URL = "rtp://127.0.0.1:9"
	d.Output.Key = ""
	b := startBox(t, d)
	onAir := func() bool {
		in := b.status().Input
		return in.State == control.InputOK && in.Engine.OnAir == "engine" && in.Engine.Encoder == "x264enc"
	}
	eventually(t, "the engine's picture", onAir)
	time.Sleep(time.Second)
	if in := b.status().Input; in.Engine.PeakDB == nil || in.Engine.DelayMS <= 0 || in.ContinuityErrors > 0 {
		t.Errorf("%+v %+v", in, in.Engine)
	}
	var c *control.Confidence
	eventually(t, "what its picture and sound are", func() bool {
		c = b.status().Input.Confidence
		return c.Watched && c.Picture != nil && c.Picture.LumaPercent > 20 && len(c.Sound) == 1 && c.Sound[0].ShortTerm > -30
	})
	// The tone's peak is -20 dB of full scale, in both channels.
	if s := c.Sound[0]; s.ShortTerm < -20.3 || s.ShortTerm > -19.7 || s.Channels[1].TruePeak > -19.5 || c.Picture.Black.Active || c.Picture.Freeze.Active {
		t.Errorf("%+v %+v", c.Picture, s)
	}
	if p, err := b.client.Thumbnail(t.Context()); err != nil || len(p.JPEG) < 500 || time.Since(p.Time) > time.Minute {
		t.Errorf("a thumbnail of %d bytes, %v: %v", len(p.JPEG), p.Time, err)
	}
	if changed := b.mustChange(func(d *config.Box) { d.Encoder.BitrateKbps = 2500 }); !slices.Contains(changed, "encoder: 2500 kbit/s") {
		t.Error(changed)
	}
	if _, err := b.change(func(d *config.Box) { d.Encoder.GOPFrames = 7 }); err == nil || !strings.Contains(err.Error(), "encoder") {
		t.Error(err)
	}
	b.mustChange(func(d *config.Box) { d.Encoder.GOPFrames = 0 })

	pids, err := exec.Command("pgrep", "-f", "^"+out).Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(pids))[0])
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	active := func(code health.Code) bool {
		return slices.ContainsFunc(b.status().Active, func(c control.Condition) bool { return c.Code == code && !c.Masked })
	}
	eventually(t, "the alarm", func() bool { return active(health.EngineDown) })
	if active(health.InputLost) || active(health.SlateOnAir) {
		t.Errorf("more than one alarm: %+v", b.status().Active)
	}
	eventually(t, "the picture again", onAir)
	eventually(t, "the alarm's end", func() bool { return !active(health.EngineDown) })
	if in := b.status().Input; in.ContinuityErrors > 0 || in.Engine.Starts != 2 || in.Losses > 0 {
		t.Errorf("%+v %+v", in, in.Engine)
	}
}
