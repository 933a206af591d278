package engine

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// tape keeps what a Source sends, with the wall clock's time of each packet.
type tape struct {
	mu sync.Mutex
	ts []byte
	at []time.Time
}

func (r *tape) WriteTS(_ time.Duration, ts []byte) error {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ts = append(r.ts, ts...)
	for range len(ts) / mpegts.PacketSize {
		r.at = append(r.at, now)
	}
	return nil
}

func (r *tape) rewind() { r.mu.Lock(); r.ts, r.at = nil, nil; r.mu.Unlock() }

// out gives, for the PTS of each picture, when its last packet went out.
func (r *tape) out(pid mpegts.PID) map[uint64]time.Time {
	out := map[uint64]time.Time{}
	var pts uint64
	open := false
	for i, at := range r.at {
		p := mpegts.Packet(r.ts[i*mpegts.PacketSize : (i+1)*mpegts.PacketSize])
		if p.PID() != pid || len(p.Payload()) == 0 {
			continue
		}
		if p.PUSI() {
			var t mpegts.Timestamp
			if t, open = p.PTS(); open {
				pts = uint64(t)
			}
		}
		if open {
			out[pts] = at
		}
	}
	return out
}

// flips decodes the tape and gives the PTS of the pictures whose burnt-in clock
// shows another second than the picture before.
func (r *tape) flips(t *testing.T, width, height int) []uint64 {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tape.ts")
	if err := os.WriteFile(file, r.ts, 0o600); err != nil {
		t.Fatal(err)
	}
	// The clock is in the middle, at 0.55 of the height; see testText.
	w, h := width/2, height/12
	cmd := exec.Command("ffmpeg", "-v", "info", "-nostats", "-copyts", "-i", file, "-an", "-vsync", "passthrough",
		"-vf", fmt.Sprintf("crop=%d:%d:%d:%d,format=gray,showinfo", w, h, width/4, height*54/100), "-f", "rawvideo", "-")
	var picture, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &picture, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, said.String())
	}
	var pts []uint64
	for s := bufio.NewScanner(&said); s.Scan(); {
		_, rest, ok := strings.Cut(s.Text(), " pts:")
		if f := strings.Fields(rest); ok && len(f) > 0 {
			if v, err := strconv.ParseUint(f[0], 10, 64); err == nil {
				pts = append(pts, v)
			}
		}
	}
	frames := slices.Collect(slices.Chunk(picture.Bytes(), w*h))
	if len(frames) != len(pts) || len(pts) < 2 {
		t.Fatalf("%d pictures and %d PTS of them", len(frames), len(pts))
	}
	differs := make([]int, len(pts)-1) // pixels that are quite another grey
	for i := range differs {
		for j, v := range frames[i+1] {
			if d := int(v) - int(frames[i][j]); d > 60 || d < -60 {
				differs[i]++
			}
		}
	}
	var flips []uint64
	for i, n := range differs {
		if n > w*h/1000 && n > 10*slices.Sorted(slices.Values(differs))[len(differs)/2] {
			flips = append(flips, pts[i+1])
		}
	}
	return flips
}

// TestMeasureOutput reports how long a picture takes from the instant that its
// burnt-in clock shows to its last packet in the constant-rate stream. The clock
// shows seconds: the first picture of a second is up to a picture old when it
// shows, so the engine is started many times, at any phase, and the delay lies
// between the least reading and the greatest less a picture. With -args -measure
// 60s, for so long for each size.
func TestMeasureOutput(t *testing.T) {
	if *measure == 0 {
		t.Skip("needs -args -measure 60s")
	}
	for _, m := range []struct{ width, height, fps, vbv int }{{1280, 720, 50, 0}, {1280, 720, 50, 40}, {1920, 1080, 25, 0}, {1920, 1080, 25, 60}} {
		t.Run(fmt.Sprintf("%dp%d vbv %d", m.height, m.fps, m.vbv), func(t *testing.T) {
			cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
			cfg.Video.Width, cfg.Video.Height, cfg.Video.RateNum, cfg.Video.GOP = m.width, m.height, m.fps, m.fps
			cfg.Video.Threads = 0
			if m.vbv > 0 {
				cfg.Video.VBVMS = m.vbv
			}
			cfg.Mux.RateBPS = 8_000_000
			r := &tape{}
			s := runSourceTo(t, cfg, r)
			until(t, s, 60*time.Second, "the picture", onAir)
			var ms []float64
			for end := time.Now().Add(*measure); time.Now().Before(end); {
				time.Sleep(1500 * time.Millisecond)
				r.rewind()
				time.Sleep(4 * time.Second)
				r.mu.Lock()
				out := r.out(cfg.Mux.VideoPID)
				for _, pts := range r.flips(t, m.width, m.height) {
					if at, ok := out[pts]; ok {
						ms = append(ms, float64(at.Sub(at.Truncate(time.Second)))/1e6)
					}
				}
				r.mu.Unlock()
				starts := s.Stats().Starts
				_ = syscall.Kill(s.Stats().PID, syscall.SIGKILL)
				until(t, s, 20*time.Second, "the picture again", func(st Stats) bool { return onAir(st) && st.Starts > starts })
			}
			if len(ms) < 6 {
				t.Fatalf("%d readings", len(ms))
			}
			slices.Sort(ms)
			frame := 1000 / float64(m.fps)
			sum := 0.0
			for _, v := range ms {
				sum += v
			}
			t.Logf("%d readings of %dp%d: from the second to the last packet %.1f to %.1f ms, less half a picture median %.1f and mean %.1f ms",
				len(ms), m.height, m.fps, ms[0], ms[len(ms)-1], ms[len(ms)/2]-frame/2, sum/float64(len(ms))-frame/2)
		})
	}
}
