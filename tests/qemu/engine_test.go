//go:build qemu

package qemu

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
)

// TestEngine has the media engine in the box make the feed of the kernel's vivid
// driver, as of an SDI card: picture, no signal and the slate, picture, another
// format. The picture is small, for an emulated processor.
func TestEngine(t *testing.T) {
	needFull(t)
	turner, err := os.ReadFile(program("sdi.test.arm64"))
	if err != nil {
		t.Fatalf("%v: use make test-qemu-full", err)
	}
	disk := filepath.Join(t.TempDir(), "disk.img")
	copyDisk(t, filepath.Join(*imageDir, "engine.img"), disk)
	b := provisioned(t, disk, "LAB-0060")
	b.page.answers(3 * time.Minute)
	b.page.claim(b.code)
	b.put("/run/sdi.test", turner)
	b.run("chmod 755 /run/sdi.test; modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x3")
	node := "/dev/" + b.run("cd /sys/class/video4linux && grep -l vivid */name | head -n 1 | cut -d/ -f1")
	const mode = "DV Timings Signal Mode="
	// The emulated processor needs a while to load the program: turn returns when it
	// was done, by this machine's clock.
	turn := func(what string) time.Time {
		t.Helper()
		before := time.Now()
		box, err := strconv.ParseInt(b.run("/usr/bin/date +%s%N"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ahead := time.Unix(0, box).Sub(before.Add(time.Since(before) / 2))
		out := b.run("/run/sdi.test -test.run '^TestTurn$' -device " + node + " -turn '" + what + "'")
		var ns int64
		if _, err := fmt.Sscanf(out, "turned %d", &ns); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return time.Unix(0, ns).Add(-ahead)
	}
	turn("DV Timings=640x480p59;" + mode + "Selected DV Timings")

	b.studio = newStudio(t, "1a")
	doc := &b.studio.doc
	doc.Input = config.Default[config.Input]()
	doc.Input.Type, doc.Input.URL = config.TypeSDI, "sdi://"+node
	doc.Output.MaxBitrateKbps = 1000
	e := &doc.Encoder
	e.Width, e.Height, e.FrameRate, e.BitrateKbps, e.Adaptive = 320, 180, "25", 800, false
	e.Preset, e.Slate = "ultrafast", "black"
	b.page.must("PUT", "/api/v1/config", json.RawMessage(config.Encode(doc)), nil, "If-Match", `"none"`)

	is := func(what string, limit time.Duration, want func(control.Input) bool) {
		t.Helper()
		s := b.media(limit, what, func(s *control.Status) bool { return s.Input.Engine != nil && want(s.Input) })
		t.Logf("input %s %q, engine %+v, signal %+v", s.Input.State, s.Input.Reason, *s.Input.Engine, s.Input.Engine.Signal)
	}
	is("the engine is on air with a picture", 4*time.Minute, func(in control.Input) bool { return in.Engine.OnAir == "engine" && in.Engine.InputPresent })
	b.studio.flowing(time.Minute)
	time.Sleep(10 * time.Second) // it settles

	r := b.studio.receivers[0]
	r.forget()
	stop := r.record()
	time.Sleep(8 * time.Second)
	lost := turn(mode + "No Signal")
	is("no signal", time.Minute, func(in control.Input) bool { return !in.Engine.InputPresent })
	time.Sleep(8 * time.Second)
	back := turn(mode + "Selected DV Timings")
	is("the picture is back", time.Minute, func(in control.Input) bool { return in.Engine.InputPresent })
	time.Sleep(8 * time.Second)
	changed := turn("DV Timings=720x576p50;" + mode + "Selected DV Timings")
	is("another format", time.Minute, func(in control.Input) bool {
		return in.Engine.InputPresent && in.Engine.Signal != nil && strings.HasPrefix(in.Engine.Signal.Format, "576p")
	})
	time.Sleep(12 * time.Second)
	a := stop()
	seen := r.look()
	if seen.gaps != 0 || seen.wrong != 0 {
		t.Errorf("F13: the stream has %d gaps and %d wrong packets", seen.gaps, seen.wrong)
	}
	pictures := b.pictures(t, a)
	black := func(p picture) bool { return p.luma < 20 }
	// When the receiver got the first picture that is so, after an instant.
	first := func(after time.Time, want bool) time.Time {
		for _, p := range pictures {
			if p.came.After(after) && black(p) == want {
				return p.came
			}
		}
		t.Fatalf("no picture after %v has black %v", after, want)
		return time.Time{}
	}
	// How long a picture takes from here on: through the encoder, and what the
	// gateway holds.
	latency := time.Duration(doc.Output.LatencyMS) * time.Millisecond
	if black(pictures[0]) {
		t.Error("the picture before is black")
	}
	slate := first(lost, true)
	picture := first(slate, false)
	t.Logf("F13: slate at the receiver %.2f s after the signal went, picture %.2f s after it was back; %.0f s of each are the path's latency",
		slate.Sub(lost).Seconds(), picture.Sub(back).Seconds(), latency.Seconds())
	// An emulated processor encodes late: half a second and a second are for a box.
	if d := slate.Sub(lost) - latency; d > 1500*time.Millisecond {
		t.Errorf("F13: the slate comes after %v", d)
	}
	if d := picture.Sub(back) - latency; d > 2500*time.Millisecond {
		t.Errorf("F13: the picture is back after %v", d)
	}
	if last := pictures[len(pictures)-1]; black(last) || last.came.Before(changed.Add(latency)) {
		t.Errorf("after the format has changed the last picture is %+v", last)
	}
	// What it cannot encode in time it leaves out, one picture here and there.
	holes, longest := 0, 0.0
	for i := range pictures[1:] {
		if d := pictures[i+1].pts - pictures[i].pts; d > 0.05 {
			holes, longest = holes+1, max(longest, d)
		}
	}
	t.Logf("%d pictures; %d times some are missing between two, %.2f s at most", len(pictures), holes, longest)
	if longest > 0.5 {
		t.Errorf("F13: the picture stands for %.2f s", longest)
	}
}

// picture is one of those that a receiver decoded.
type picture struct {
	pts  float64 // seconds
	luma float64 // mean
	came time.Time
}

var (
	lumaLine = regexp.MustCompile(`pts_time:([0-9.]+)\s+lavfi\.signalstats\.YAVG=([0-9.]+)`)
	unitLine = regexp.MustCompile(`(?m)^([0-9.]+),([0-9]+)`)
)

// pictures decodes a tape.
func (b *box) pictures(t *testing.T, a *tape) (all []picture) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tape.ts")
	if err := os.WriteFile(file, a.ts, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts_time,pos", "-of", "csv=p=0", file).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	came := map[string]time.Time{}
	for _, m := range unitLine.FindAllStringSubmatch(string(out), -1) {
		pos, _ := strconv.Atoi(m[2])
		pts, _ := strconv.ParseFloat(m[1], 64)
		came[fmt.Sprintf("%.2f", pts)] = a.at(pos)
	}
	out, err = exec.CommandContext(t.Context(), "ffmpeg", "-v", "error", "-copyts", "-i", file, "-map", "0:v:0",
		"-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-", "-f", "null", "-").Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	for _, m := range lumaLine.FindAllStringSubmatch(string(out), -1) {
		p := picture{}
		p.pts, _ = strconv.ParseFloat(m[1], 64)
		p.luma, _ = strconv.ParseFloat(m[2], 64)
		p.came = came[fmt.Sprintf("%.2f", p.pts)]
		if p.came.IsZero() {
			continue
		}
		all = append(all, p)
	}
	if len(all) < 100 {
		t.Fatalf("only %d pictures were decoded of %d bytes:\n%.500s", len(all), len(a.ts), out)
	}
	return all
}
