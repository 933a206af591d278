package main

import (
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

// F12, the box's part: the engine is killed, one alarm is raised and cleared,
// the stream goes on, and its rate changes while it runs.
func TestF12EngineAlarm(t *testing.T) {
	out := filepath.Join(t.TempDir(), "quartet-engine")
	if text, err := exec.Command("go", "build", "-o", out, "quartet/cmd/quartet-engine").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	t.Setenv("PATH", filepath.Dir(out)+":/usr/bin:/bin")
	d := document()
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
