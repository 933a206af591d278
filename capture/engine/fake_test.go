package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeEngine is the test binary in the engine's place: it makes the stream of
// stream_test.go in real time, and misbehaves as told.
func fakeEngine(how string) {
	if i := slices.Index(os.Args, "--make-slate"); i > 0 {
		if how == "no-slate" {
			fmt.Fprintln(os.Stderr, "quartet-engine: audio encoder for aac: GStreamer element avenc_aac is missing: install gstreamer1.0-libav")
			os.Exit(ExitMissing)
		}
		var ts []byte
		s := newStream(5000)
		for range 50 {
			ts = append(ts, s.frame()...)
		}
		if os.WriteFile(os.Args[i+1], ts, 0o600) != nil {
			os.Exit(ExitFailed)
		}
		return
	}
	if how == "dies-at-once" {
		fmt.Fprintln(os.Stderr, "quartet-engine: something is missing")
		os.Exit(ExitMissing)
	}
	stream, control := os.NewFile(FDStream, ""), os.NewFile(FDControl, "")
	say := func(e Event) {
		b, _ := json.Marshal(e)
		_, _ = control.Write(append(b, '\n'))
	}
	keys := make(chan struct{}, 9)
	go func() {
		lines := bufio.NewScanner(control)
		for lines.Scan() {
			if c, err := ParseCommand(lines.Bytes()); err == nil && c.Do == DoKeyFrame {
				keys <- struct{}{}
			}
		}
		os.Exit(0)
	}()
	say(Event{Is: IsReady, Encoder: "fake"})
	s := newStream(324_000_000)
	began := time.Now()
	for n := 0; ; n++ {
		select {
		case <-keys:
			s.key = true
		default:
		}
		if f := s.frame(); how != "no-stream" || n < 40 {
			_, _ = stream.Write(f)
		}
		if how == "ends" && n == 40 {
			return
		}
		if n%6 == 0 && (how != "no-heartbeat" || n < 40) {
			say(Event{Is: IsHeartbeat, Present: how != "no-input" || n < 40, Frames: uint64(n)})
		}
		time.Sleep(time.Until(began.Add(time.Duration(n+1) * 40 * time.Millisecond)))
	}
}

// fakeConfig runs this test binary as the engine.
func fakeConfig(t *testing.T, how string) SourceConfig {
	t.Helper()
	t.Setenv("QUARTET_FAKE_ENGINE", how)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return SourceConfig{Config: testConfig(), Program: program}
}

// Whatever an engine does wrong, it is replaced, and the stream goes on.
func TestF12Supervision(t *testing.T) {
	for how, words := range map[string]string{
		"ends": "ended by itself", "no-stream": "no transport stream", "no-heartbeat": "no heartbeat",
	} {
		t.Run(how, func(t *testing.T) {
			s, r := runSource(t, fakeConfig(t, how))
			// A busy machine may make another fault of it at first.
			until(t, s, 30*time.Second, "a failure that says "+words, func(st Stats) bool { return strings.Contains(st.Failure, words) })
			n := s.Stats().Starts
			until(t, s, 30*time.Second, "the next one", func(st Stats) bool { return st.Starts > n-1 && st.Splice.Origin == FromEngine })
			r.sound(t, s.cfg.Mux.RateBPS, 5)
		})
	}
}

// An engine that dies at once is not started in a tight loop, and why it dies
// is said in its own words.
func TestCrashLoop(t *testing.T) {
	s, r := runSource(t, fakeConfig(t, "dies-at-once"))
	until(t, s, 5*time.Second, "starts", func(st Stats) bool { return st.Starts >= 5 })
	time.Sleep(1500 * time.Millisecond)
	st := s.Stats()
	if st.Starts > 8 || !strings.Contains(st.Failure, "something is missing") {
		t.Errorf("%+v", st)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) == 0 {
		t.Error("nothing was sent meanwhile")
	}
}

// Without a slate, null packets and the clock go on.
func TestNoSlate(t *testing.T) {
	s, r := runSource(t, fakeConfig(t, "no-slate"))
	until(t, s, 10*time.Second, "the engine", func(st Stats) bool { return st.Splice.Origin == FromEngine })
	time.Sleep(500 * time.Millisecond)
	r.sound(t, s.cfg.Mux.RateBPS, 5)
}

// The input's loss is not the engine's: what is sent then is as configured.
func TestInputLost(t *testing.T) {
	for _, c := range []struct {
		do   LossAction
		what string
		is   func(Stats, int) bool
	}{
		{LossSlate, "the engine goes on", func(st Stats, _ int) bool { return st.Splice.Origin == FromEngine }},
		{LossNull, "null packets", func(st Stats, _ int) bool { return st.Splice.Origin == FromNothing }},
		{LossStop, "silence", func(_ Stats, sent int) bool { return sent == 0 }},
	} {
		t.Run(string(c.do), func(t *testing.T) {
			cfg := fakeConfig(t, "no-input")
			cfg.OnLoss, cfg.StopAfter = c.do, 300*time.Millisecond
			s, r := runSource(t, cfg)
			until(t, s, 10*time.Second, "the picture", func(st Stats) bool { return st.Present && st.Splice.Origin == FromEngine })
			until(t, s, 10*time.Second, "the loss", func(st Stats) bool { return !st.Present })
			time.Sleep(600 * time.Millisecond)
			r.mu.Lock()
			before := len(r.at)
			r.mu.Unlock()
			time.Sleep(300 * time.Millisecond)
			r.mu.Lock()
			sent := len(r.at) - before
			r.mu.Unlock()
			if st := s.Stats(); !c.is(st, sent) || c.do != LossStop && sent == 0 {
				t.Errorf("want %s; %d packets, %+v", c.what, sent, st)
			}
		})
	}
}

// The rate changes while it runs, and stays with the next process.
func TestSetRate(t *testing.T) {
	s, r := runSource(t, fakeConfig(t, "well"))
	until(t, s, 10*time.Second, "the engine", func(st Stats) bool { return st.Splice.Origin == FromEngine })
	for _, bps := range []int64{2_400_000, 1_000_000} {
		if err := s.SetRate(bps); err != nil {
			t.Fatal(err)
		}
		time.Sleep(400 * time.Millisecond)
		r.mu.Lock()
		before := len(r.at)
		r.mu.Unlock()
		time.Sleep(800 * time.Millisecond)
		r.mu.Lock()
		n := len(r.at)
		got := float64(n-1-before) * 188 * 8 / (r.at[n-1] - r.at[before]).Seconds()
		r.mu.Unlock()
		if got < float64(bps)*0.995 || got > float64(bps)*1.005 {
			t.Errorf("%.0f bit/s, want %d", got, bps)
		}
		if c, _ := s.configNow(); c.Mux.RateBPS != bps {
			t.Errorf("the next process would make %d", c.Mux.RateBPS)
		}
	}
	if err := s.SetRate(100); err == nil {
		t.Error("a rate below sound and tables is accepted")
	}
}
