package engine

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var measure = flag.Duration("measure", 0, "measure the engine's delay and processor time for so long for each picture size")

// TestMeasure reports what the engine takes; with -args -measure 20s.
func TestMeasure(t *testing.T) {
	if *measure == 0 {
		t.Skip("needs -args -measure 20s")
	}
	for _, m := range []struct{ width, height, fps int }{{320, 180, 25}, {1280, 720, 25}, {1280, 720, 50}, {1920, 1080, 25}} {
		t.Run(fmt.Sprintf("%dp%d", m.height, m.fps), func(t *testing.T) {
			cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
			cfg.Video.Width, cfg.Video.Height, cfg.Video.RateNum, cfg.Video.GOP = m.width, m.height, m.fps, m.fps
			cfg.Video.Threads = 0
			cfg.Mux.RateBPS = 8_000_000
			s, _ := runSource(t, cfg)
			until(t, s, 60*time.Second, "the picture", onAir)
			time.Sleep(time.Second)
			pid := s.Stats().PID
			before, at := processorTime(t, pid), time.Now()
			var delays []float64
			for time.Since(at) < *measure {
				time.Sleep(50 * time.Millisecond)
				delays = append(delays, s.Stats().DelayMS)
			}
			used := (processorTime(t, pid) - before).Seconds() / time.Since(at).Seconds()
			slices.Sort(delays)
			st := s.Stats()
			t.Logf("%dx%d at %d: %.0f %% of a core, delay median %.1f ms, 95 %% %.1f ms, worst %.1f ms; %d late frames, %d MiB",
				m.width, m.height, m.fps, 100*used, delays[len(delays)/2], delays[len(delays)*95/100], delays[len(delays)-1], st.Splice.LateFrames, st.MemoryMiB)
		})
	}
}

// processorTime is user and system time of a process (/proc/PID/stat).
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	ticks := 0
	for _, i := range []int{11, 12} {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // CLK_TCK is 100
}
