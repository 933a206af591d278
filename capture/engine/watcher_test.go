package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quartet/capture/confidence"
	"quartet/capture/mpegts"
	"quartet/capture/tsfile"
)

func testWatch() Watch {
	return Watch{
		Picture: confidence.PictureConfig{BlackLevel: 0.1, BlackArea: 0.98, BlackHold: time.Second, FreezeNoise: 0.01, FreezeHold: time.Second, BarsHold: time.Second},
		Sound:   confidence.SoundConfig{SilenceDB: -60, SilenceHold: time.Second, ClipSamples: 3},
	}
}

// feedFile is two seconds of bars and silence, made by the engine itself.
func feedFile(t *testing.T) string {
	t.Helper()
	c := testConfig()
	c.Mux.ServiceID = 7
	file := filepath.Join(t.TempDir(), "feed.ts")
	p, err := start(engineProgram(t), []string{"--make-slate", file}, &c, registry(t.TempDir()), 0)
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := p.close(); err != nil {
		if _, e := os.Stat(file); e != nil {
			t.Fatal(err)
		}
	}
	return file
}

// feed plays a file over and over, and does something to each packet.
type feed struct {
	file string
	now  func() time.Duration
	do   func(p mpegts.Packet) // nil: nothing
}

func (f feed) Run(ctx context.Context, w mpegts.Writer) error {
	s, err := tsfile.New(tsfile.Config{Path: f.file, Loop: true, Now: f.now})
	if err != nil {
		return err
	}
	return s.Run(ctx, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
		ts = append([]byte{}, ts...)
		for i := 0; f.do != nil && i+mpegts.PacketSize <= len(ts); i += mpegts.PacketSize {
			f.do(mpegts.Packet(ts[i : i+mpegts.PacketSize]))
		}
		return w.WriteTS(at, ts)
	}))
}

// A passed-through feed is looked at by a process that may be killed, and is
// started again; what it is too slow for is dropped, and nobody waits.
func TestWatcher(t *testing.T) {
	began := time.Now()
	now := func() time.Duration { return time.Since(began) }
	w, err := NewWatcher(WatcherConfig{
		WatchConfig: WatchConfig{Watch: testWatch()}, Program: engineProgram(t), Data: t.TempDir(), Now: now,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	var scrambled atomic.Bool
	f := feed{feedFile(t), now, func(p mpegts.Packet) {
		if scrambled.Load() && p.PID() >= 257 && p.PID() < mpegts.NullPID {
			p[3] |= 0x80
		}
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- w.Run(ctx) }()
	go func() { ended <- f.Run(ctx, w) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	wait := func(what string, is func(WatcherStats) bool) WatcherStats {
		t.Helper()
		for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if st := w.Stats(); is(st) {
				return st
			}
		}
		t.Fatalf("%s: not in time: %+v", what, w.Stats())
		return WatcherStats{}
	}
	seen := func(st WatcherStats) bool {
		r := st.Report
		return r != nil && r.Picture != nil && r.Picture.Bars.Active && r.Sound != nil && len(r.Sound.Pairs) == 1 && r.Sound.Pairs[0].Channels[0].Silence.Active
	}
	st := wait("bars and silence", seen)
	if r := st.Report; !r.Picture.Freeze.Active || r.Picture.Black.Active || r.Sound.Pairs[0].Integrated != confidence.Floor || st.Reason != "" || st.AgeMS > 30_000 {
		t.Errorf("%+v %+v", st, r.Picture)
	}
	if jpeg, at := w.Picture(); len(jpeg) < 100 || jpeg[0] != 0xFF || at <= 0 {
		t.Errorf("a thumbnail of %d bytes", len(jpeg))
	}
	scrambled.Store(true)
	wait("what is scrambled", func(st WatcherStats) bool { return strings.Contains(st.Reason, "scrambled") })
	scrambled.Store(false)
	wait("in clear again", func(st WatcherStats) bool { return st.Reason == "" })
	w.mu.Lock()
	w.proc.kill()
	w.mu.Unlock()
	wait("the next one", func(st WatcherStats) bool { return st.Starts == 2 && seen(st) })
	w.Rest(time.Hour)
	wait("nobody", func(st WatcherStats) bool {
		return !st.Up && st.Report == nil && strings.Contains(st.Reason, "too hot")
	})
	w.Rest(0)
	wait("one again", func(st WatcherStats) bool { return st.Starts == 3 && st.Up })
}

// A process that cannot start is tried again, and says why; the feed goes on.
func TestWatcherWithoutEngine(t *testing.T) {
	began := time.Now()
	w, err := NewWatcher(WatcherConfig{WatchConfig: WatchConfig{Watch: testWatch()}, Program: "/nonexistent/quartet-engine", Data: t.TempDir(),
		Now: func() time.Duration { return time.Since(began) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	for end := time.Now().Add(20 * time.Second); w.Stats().Reason == "" && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := w.WriteTS(0, make([]byte, mpegts.PacketSize)); err != nil {
			t.Error(err)
		}
	}
	if st := w.Stats(); !strings.Contains(st.Reason, "no such file") || st.Report != nil || st.Up {
		t.Errorf("%+v", st)
	}
	if jpeg, _ := w.Picture(); jpeg != nil {
		t.Error("a picture of nothing")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, change := range []func(*WatcherConfig){
		func(c *WatcherConfig) { c.Service = -1 }, func(c *WatcherConfig) { c.Program = "" }, func(c *WatcherConfig) { c.Data = "" }, func(c *WatcherConfig) { c.Now = nil },
		func(c *WatcherConfig) { c.Watch.Picture.BlackHold = 0 }, func(c *WatcherConfig) { c.Watch.Sound.ClipSamples = 0 },
	} {
		c := w.cfg
		change(&c)
		if _, err := NewWatcher(c); err == nil {
			t.Errorf("accepted: %+v", c)
		}
	}
}

// What grew while the process stood still is given back once it reads again.
func TestPipeGivesBack(t *testing.T) {
	p := newPipe(time.Hour)
	here, there, err := socketPair(1) // stream
	if err != nil {
		t.Fatal(err)
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); p.pump(here, ended) }()
	p.accept()
	block := make([]byte, 7*mpegts.PacketSize)
	for range pipeBytes / len(block) { // nobody reads
		_ = p.WriteTS(0, block)
	}
	read := make(chan struct{})
	go func() { defer close(read); _, _ = io.Copy(io.Discard, there) }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		_ = p.WriteTS(0, block)
		p.mu.Lock()
		held := cap(p.waiting) + cap(p.spare)
		p.mu.Unlock()
		if held > 0 && held <= 2*keepBytes {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes are held", held)
		}
	}
	here.Close()
	<-done
	<-read
	there.Close()
	close(ended)
}

// The way into a process never waits and never grows.
func TestPipe(t *testing.T) {
	p := newPipe(time.Hour)
	block := make([]byte, 7*mpegts.PacketSize)
	if n := testing.AllocsPerRun(100, func() { _ = p.WriteTS(0, block) }); n != 0 || p.lost() != 0 {
		t.Errorf("closed: %g allocations, %d dropped", n, p.lost())
	}
	here, there, err := socketPair(1) // stream
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); p.pump(here, ended) }()
	p.accept()
	for i := range 4 * pipeBytes / len(block) { // nobody reads
		block[0] = byte(i)
		if err := p.WriteTS(0, block); err != nil {
			t.Fatal(err)
		}
	}
	p.mu.Lock()
	if len(p.waiting) > pipeBytes || cap(p.waiting) > 2*pipeBytes {
		t.Errorf("%d bytes wait", cap(p.waiting))
	}
	p.mu.Unlock()
	if p.lost() == 0 {
		t.Error("nothing was dropped")
	}
	here.Close() // as a process' end does
	<-done
	close(ended)
	lost := p.lost()
	if p.WriteTS(0, block) != nil || p.lost() != lost {
		t.Error("a closed pipe fails, or counts")
	}
	p = newPipe(time.Second)
	p.accept()
	for i := range 30 { // nobody takes them
		if err := p.WriteTS(time.Duration(i)*100*time.Millisecond, block); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.waiting) / len(block); n > 11 || p.lost() != uint64(30-n)*7 {
		t.Errorf("%d blocks wait, %d packets dropped", n, p.lost())
	}
}

// An IP feed is decoded and encoded anew: its picture is on air, its PIDs are
// ours. Whatever it lacks is said, and the slate goes on.
func TestTranscode(t *testing.T) {
	file := feedFile(t)
	var harm atomic.Int32 // what is done to the feed
	n := 0
	cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
	cfg.Input = Input{Kind: InputTS, Service: 7}
	w := testWatch()
	cfg.Watch = &w
	began := time.Now()
	cfg.Feed = feed{file, func() time.Duration { return time.Since(began) }, func(p mpegts.Packet) {
		n++
		switch harm.Load() {
		case 1: // scrambled
			if p.PID() >= 257 && p.PID() < mpegts.NullPID {
				p[3] |= 0x80
			}
		case 2: // hardly a byte is right
			for i := 4; i < len(p); i += 3 {
				p[i] ^= byte(n * i)
			}
		case 3: // silent
			p.SetPID(mpegts.NullPID)
		}
	}}
	s, r := runSource(t, cfg)
	until(t, s, 60*time.Second, "the feed's picture", onAir)
	until(t, s, 20*time.Second, "what it is", func(Stats) bool {
		r, _ := s.Confidence()
		return r != nil && r.Picture != nil && r.Picture.Bars.Active && r.Sound != nil && r.Sound.Pairs[0].Channels[0].Silence.Active
	})
	starts := s.Stats().Starts
	for i, says := range map[int32]string{1: "scrambled", 2: "", 3: ""} {
		harm.Store(i)
		until(t, s, 30*time.Second, "the slate", func(st Stats) bool { return st.Slate && !st.Present && strings.Contains(st.Capture, says) })
		harm.Store(0)
		until(t, s, 60*time.Second, "the picture again", onAir)
	}
	if st := s.Stats(); st.Starts != starts {
		t.Errorf("the engine has been started %d times for it", st.Starts-starts)
	}
	// The feed's clock is ours: that of what is sent may differ from it by what ISO/IEC
	// 13818-1 §2.4.2.1 allows.
	r.pull = 30e-6
	st := s.Stats()
	t.Logf("%d pictures and %d sounds came after their time, %d moves; the feed's clock was found %+.2f ppm off, the sound's %+.2f, %d slips", st.Splice.LateFrames,
		st.Splice.LateSounds, st.Splice.Moves, st.Lock.PPM, st.Lock.SoundPPM, st.Lock.Slips)
	r.sound(t, cfg.Mux.RateBPS, 5)
}

// What has no such programme is said with what there is; a feed that fails is
// tried again, with its own words.
func TestTranscodeTrouble(t *testing.T) {
	cfg := SourceConfig{Config: testConfig(), Program: engineProgram(t)}
	cfg.Input = Input{Kind: InputTS, Service: 9}
	began := time.Now()
	now := func() time.Duration { return time.Since(began) }
	cfg.Feed = feed{feedFile(t), now, nil}
	s, _ := runSource(t, cfg)
	until(t, s, 60*time.Second, "no such programme", func(st Stats) bool {
		return strings.Contains(st.Capture, "no programme 9; it has 7") && st.Slate && st.Splice.Origin == FromEngine
	})

	cfg.Feed = failing{}
	s, _ = runSource(t, cfg)
	until(t, s, 60*time.Second, "a feed that fails", func(st Stats) bool { return strings.Contains(st.Capture, "no route") })
	cfg.Feed = nil
	if _, err := New(SourceConfig{Config: cfg.Config, Program: "p", Data: "d", Now: now}); err == nil {
		t.Error("nothing to transcode, and accepted")
	}
}

type failing struct{}

func (failing) Run(context.Context, mpegts.Writer) error { return errors.New("no route to the group") }
