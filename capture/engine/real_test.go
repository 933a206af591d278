package engine

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

// buildEngine builds the engine once for all tests.
var buildEngine = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "quartet-engine-*")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "quartet-engine")
	out, err := exec.Command("go", "build", "-o", program, "quartet/cmd/quartet-engine").CombinedOutput()
	if err != nil {
		return string(out), err
	}
	return program, nil
})

func engineProgram(t testing.TB) string {
	t.Helper()
	program, err := buildEngine()
	if err != nil {
		t.Fatalf("quartet-engine does not build: %v\n%s", err, program)
	}
	return program
}

// runSource runs a Source until the test ends.
func runSource(t testing.TB, cfg SourceConfig) (*Source, *recorder) {
	t.Helper()
	r := &recorder{}
	return runSourceTo(t, cfg, r), r
}

func runSourceTo(t testing.TB, cfg SourceConfig, to mpegts.Writer) *Source {
	t.Helper()
	start := time.Now()
	cfg.Now = func() time.Duration { return time.Since(start) }
	if cfg.Data == "" {
		cfg.Data = t.TempDir()
	}
	cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, to) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// until waits for a condition.
func until(t testing.TB, s *Source, within time.Duration, what string, is func(Stats) bool) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is(s.Stats()) {
			return
		}
	}
	t.Fatalf("%s: not within %v: %+v", what, within, s.Stats())
}

func hasPicture(s *Source) bool {
	jpeg, at := s.Picture()
	return len(jpeg) > 0 && at > 0
}

func onAir(st Stats) bool { return st.Splice.Origin == FromEngine && st.Present && !st.Slate }

// F12: the engine is killed, stopped or leaks: the slate comes within 0.3 s of
// its last packet, its picture within 2 s, and no receiver sees a broken
// stream.
func TestF12EngineKilledStoppedLeaking(t *testing.T) {
	cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
	s, r := runSource(t, cfg)
	until(t, s, 40*time.Second, "first picture", onAir)
	for _, f := range []struct {
		name string
		do   func(pid int)
	}{
		{"kill -9", func(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }},
		{"SIGSTOP", func(pid int) { _ = syscall.Kill(pid, syscall.SIGSTOP) }},
		{"limit", func(int) { s.cfg.MemoryMiB = 1 }},
	} {
		// A machine whose processors are all taken for a second is another test
		// (F23): the fault is tried again, and the stream has to be sound all along.
		var slate, back float64
		for range 3 {
			time.Sleep(time.Second)
			before := s.Stats()
			s.mu.Lock()
			f.do(before.PID)
			s.mu.Unlock()
			until(t, s, 10*time.Second, f.name+": the slate", func(st Stats) bool { return st.Splice.Switches > before.Splice.Switches })
			s.mu.Lock()
			s.cfg.MemoryMiB = defaultMemory
			s.mu.Unlock()
			until(t, s, 20*time.Second, f.name+": the picture", func(st Stats) bool { return onAir(st) && st.Starts > before.Starts })
			st := s.Stats()
			slate, back = st.SlateAfterMS, st.SlateAfterMS+st.BackAfterMS
			t.Logf("%s: slate %.0f ms after the last TS, engine's TS again after %.0f ms", f.name, slate, back)
			if slate <= 300 && back <= 2000 {
				break
			}
		}
		if slate > 300 || back > 2000 {
			t.Errorf("%s: slate after %.0f ms, want 300; engine's TS after %.0f ms, want 2000", f.name, slate, back)
		}
	}
	time.Sleep(500 * time.Millisecond)
	r.sound(t, cfg.Mux.RateBPS, 5)
}

// The input's troubles are the capture pipeline's alone: a device that is not
// there, a capture that is stopped and started, a slate that is asked for.
func TestRealInput(t *testing.T) {
	t.Run("no device", func(t *testing.T) {
		cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
		cfg.Input = Input{Kind: InputV4L2, Device: "/dev/video-none"}
		s, r := runSource(t, cfg)
		until(t, s, 40*time.Second, "the engine's slate", func(st Stats) bool {
			return st.Splice.Origin == FromEngine && st.Slate && !st.Present && st.Signal.Is == "missing" && st.Signal.Remedy != ""
		})
		time.Sleep(time.Second)
		if st := s.Stats(); st.Starts != 1 || !hasPicture(s) {
			t.Errorf("%+v", st)
		}
		r.sound(t, cfg.Mux.RateBPS, 5)
	})
	t.Run("commands", func(t *testing.T) {
		cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
		s, r := runSource(t, cfg)
		do := func(c Command) {
			t.Helper()
			if err := s.Command(c); err != nil {
				t.Fatal(err)
			}
		}
		until(t, s, 40*time.Second, "the picture", onAir)
		until(t, s, 5*time.Second, "the tone", func(st Stats) bool { return len(st.PeakDB) == 2 && st.PeakDB[0] > -25 })
		do(Command{Do: DoSlate, On: true})
		until(t, s, 5*time.Second, "the slate", func(st Stats) bool { return st.Slate && st.Present })
		until(t, s, 5*time.Second, "silence", func(st Stats) bool { return st.PeakDB[0] <= -100 })
		do(Command{Do: DoSlate})
		until(t, s, 5*time.Second, "the picture", onAir)
		at := time.Now()
		do(Command{Do: DoStop})
		until(t, s, 5*time.Second, "the slate", func(st Stats) bool { return st.Slate && !st.Present })
		t.Logf("slate %v after the stop", time.Since(at).Round(time.Millisecond))
		at = time.Now()
		do(Command{Do: DoStart})
		until(t, s, 10*time.Second, "the picture", onAir)
		t.Logf("picture %v after the start", time.Since(at).Round(time.Millisecond))
		if err := s.SetRate(2_000_000); err != nil {
			t.Fatal(err)
		}
		if err := s.SetRate(cfg.Mux.RateBPS); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if st := s.Stats(); st.Starts != 1 || st.Splice.Origin != FromEngine {
			t.Errorf("%+v", st)
		}
		r.mu.Lock()
		gap := time.Duration(0)
		for i := 1; i < len(r.at); i++ {
			gap = max(gap, r.at[i]-r.at[i-1])
		}
		r.mu.Unlock()
		if gap > 5*time.Millisecond {
			t.Errorf("%v without a packet", gap)
		}
	})
}

// The encoder of an image without the GPL's: constant rate, key frames when they
// are asked for, a rate that changes while it runs.
func TestOpenH264(t *testing.T) {
	cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
	cfg.Video.Encoder = "openh264enc"
	s, r := runSource(t, cfg)
	until(t, s, 40*time.Second, "the picture", onAir)
	_ = syscall.Kill(s.Stats().PID, syscall.SIGKILL) // its picture is back at a key frame that was asked for
	until(t, s, 20*time.Second, "the picture again", func(st Stats) bool { return onAir(st) && st.Starts == 2 })
	if err := s.SetRate(cfg.Mux.RateBPS); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if st := s.Stats(); st.Encoder != "openh264enc" || st.Splice.Moves != 0 {
		t.Errorf("%+v", st)
	}
	r.sound(t, cfg.Mux.RateBPS, 5)
}
