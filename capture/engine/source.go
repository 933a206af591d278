package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"quartet/capture/confidence"
	"quartet/capture/mpegts"
	"quartet/capture/sdi"
)

const (
	// tick is how often packets are handed on at most: all that are due.
	tick = 4 * time.Millisecond
	// stalled is the time without TS or without heartbeat after which the
	// process is killed.
	stalled = 800 * time.Millisecond
	// startWithin is the time that a process gets until its first TS; when
	// GStreamer has to look at all its plugins anew it takes seconds.
	startWithin     = 4 * time.Second
	firstWithin     = 30 * time.Second
	fastCrash       = 5 * time.Second // a run shorter than this was none
	freeRestarts    = 3               // fast crashes in a row without a wait
	firstWait       = 500 * time.Millisecond
	lastWait        = 10 * time.Second
	defaultMemory   = 1500 // MiB
	readSize        = 64 << 10
	downBeforeUp    = 50 * time.Millisecond // beyond the encoder's buffer
	supervisionTick = 50 * time.Millisecond
	restartTakes    = 2 * time.Second // of the engine, at the most (ACCEPTANCE F12)
)

// LossAction is what is sent while the input gives no picture.
type LossAction string

// Actions.
const (
	LossSlate LossAction = "slate" // the engine shows its slate
	LossNull  LossAction = "null"  // clock and stuffing
	LossStop  LossAction = "stop"  // the slate for StopAfter, then nothing
)

// SourceConfig is what a Source is made of.
type SourceConfig struct {
	Config
	// Program is the path of quartet-engine.
	Program string
	// Args go before its own; for tests.
	Args []string
	// Data is a folder for the slate and GStreamer's list of plugins.
	Data string
	// OnLoss is what is sent while the input gives no picture; "": LossSlate.
	OnLoss    LossAction
	StopAfter time.Duration
	// MemoryMiB is where the process is taken for leaking, and started again.
	// 0: 1500.
	MemoryMiB int
	// Device opens the input's device to watch its signal; nil: the kernel's. With
	// the test input, the test picture follows that signal.
	Device sdi.Opener
	// FollowFormat makes the input's format the encoder's, by another process
	// when it changes; else the input is converted to the configured one.
	FollowFormat bool
	// Feed is what is transcoded: with the input ts.
	Feed Feed
	// Nice is added to the nice value that the process would inherit, ≥ 0.
	Nice int
	Now  func() time.Duration // monotonic
	Log  *slog.Logger
}

// Source makes a transport stream by the media engine. It implements
// capture.Source: Run does not end because the engine does.
type Source struct {
	cfg        SourceConfig // set at start; of Video what FollowFormat says, guarded by mu
	ownGOP     int          // set at start, never changed: 0 if the profile's is meant
	otherSlate chan struct{}
	pipe       *pipe // from Feed to the process

	mu      sync.Mutex // guards all below; held for one tick, or one read
	signal  signal
	splice  *splicer
	clock   slew     // of what the splicer sends
	proc    *process // nil: none runs
	st      state
	picture []byte
	pictAt  time.Duration
	rate    int64         // in force at the encoder
	lowerAt time.Duration // when the output's rate follows the encoder's down
	lowerTo int64
	err     error // the writer's
}

// state is what is known of the process and its input.
type state struct {
	starts     uint64
	failure    string
	up         bool // TS comes
	began      time.Duration
	tsAt       time.Duration // last TS of this process, or its start
	lastTS     time.Duration // of any
	beatAt     time.Duration
	present    bool
	slate      bool
	frames     uint64
	encoder    string
	capture    string // its last error
	feed       string // why Feed ended last
	peak, rms  []float64
	report     *confidence.Report
	reportAt   time.Duration
	memory     int
	lostAt     time.Duration
	everOnAir  bool
	recoveryMS float64
	beat       Event // the last that told the time
	sound      bool
	soundError string
	reforming  string // why the process is being replaced, which is no fault
	monotonic  int64  // CLOCK_MONOTONIC at Now zero
	downAt     time.Duration
	downMS     float64 // TS to slate
}

// New checks the configuration and returns a Source; nothing runs until Run.
func New(cfg SourceConfig) (*Source, error) {
	gop := cfg.Video.GOP
	cfg.Fill()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.OnLoss == "" {
		cfg.OnLoss = LossSlate
	}
	if cfg.MemoryMiB == 0 {
		cfg.MemoryMiB = defaultMemory
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := needs(cfg.Program, cfg.Data, cfg.Now); err != nil {
		return nil, err
	}
	if cfg.OnLoss != LossSlate && cfg.OnLoss != LossNull && cfg.OnLoss != LossStop {
		return nil, fmt.Errorf("engine: OnLoss %q: must be slate, null or stop", cfg.OnLoss)
	}
	if (cfg.Feed != nil) != (cfg.Input.Kind == InputTS) {
		return nil, fmt.Errorf("engine: input %s: Feed is to be given with %s, and only then", cfg.Input.Kind, InputTS)
	}
	s := &Source{cfg: cfg, ownGOP: gop, rate: cfg.Mux.RateBPS, otherSlate: make(chan struct{}, 1), pipe: newPipe(feedHold)}
	s.watchSignal()
	return s, nil
}

// needs says what is missing of what every process of the engine needs.
func needs(program, data string, now func() time.Duration) error {
	switch {
	case program == "":
		return errors.New("engine: Program is empty: give the path of quartet-engine")
	case data == "":
		return errors.New("engine: Data is empty: give a folder")
	case now == nil:
		return errors.New("engine: Now is nil")
	}
	return nil
}

// Run delivers until ctx ends (nil) or w fails.
func (s *Source) Run(ctx context.Context, w mpegts.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	now := s.cfg.Now()
	s.st, s.err = state{lostAt: now, monotonic: monotonic() - int64(now)}, nil
	s.clock = slew{real: now, shown: now}
	s.splice = newSplicer(s.spliceConfig(), now, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
		return w.WriteTS(s.clock.back(at), ts)
	}))
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { s.supervise(ctx) })
	if s.cfg.Feed != nil {
		wg.Go(func() { s.runFeed(ctx) })
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			s.provideSlate(ctx)
			select {
			case <-ctx.Done():
			case <-s.otherSlate:
			}
		}
	})
	if s.signal.watcher != nil {
		wg.Go(func() { s.signal.watcher.Run(ctx) })
	}
	defer wg.Wait()
	defer cancel()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if err := s.tick(s.cfg.Now()); err != nil {
			return fmt.Errorf("engine: writer: %w", err)
		}
	}
}

func (s *Source) spliceConfig() spliceConfig {
	c := &s.cfg.Config
	cfg := spliceConfig{
		pcrPID: c.Mux.VideoPID, pmtPID: c.Mux.PMTPID, rate: s.rate, lead: c.lead(), ahead: SoundAhead, frame: c.Frame(),
		si:     mpegts.AppendSDT(nil, mpegts.Service{TransportStreamID: 1, ID: c.Mux.ServiceID, Name: c.Mux.ServiceName, Provider: c.Mux.Provider}),
		tables: c.standIn(),
		keyFrame: func() {
			if s.proc != nil {
				_ = s.proc.send(Command{Do: DoKeyFrame}) // asked again if it is lost
			}
		},
		switched: s.switched,
	}
	for _, a := range c.Audio {
		cfg.sound = append(cfg.sound, a.PID)
	}
	return cfg
}

// switched is called with the lock held, with a time of the output's clock.
func (s *Source) switched(at time.Duration, from, to Origin) {
	at = s.clock.back(at)
	if from == FromEngine {
		s.st.downAt = at
		s.st.downMS = inMS(at - s.st.lastTS)
	}
	if to == FromEngine {
		if s.st.everOnAir {
			s.st.recoveryMS = inMS(at - s.st.downAt)
		}
		s.st.everOnAir = true
	}
	s.cfg.Log.Info("on air", "from", string(from), "to", string(to))
}

func (s *Source) tick(now time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lowerTo > 0 && now >= s.lowerAt {
		s.splice.out.SetRate(s.lowerTo)
		s.lowerTo = 0
	}
	s.lossPolicy(now)
	return s.splice.tick(s.clock.at(now))
}

// lossPolicy mutes the output while the input is lost, if it is to be.
func (s *Source) lossPolicy(now time.Duration) {
	if s.st.present {
		s.st.lostAt = now
		if s.splice.muted {
			s.splice.mute(s.clock.at(now), false, false)
		}
		return
	}
	limit := s.cfg.StopAfter
	if !s.st.up {
		limit += restartTakes // the slate bridges that
	}
	switch {
	case s.cfg.OnLoss == LossNull && s.st.up:
		s.splice.mute(s.clock.at(now), true, false)
	case s.cfg.OnLoss == LossStop && now-s.st.lostAt >= limit:
		s.splice.mute(s.clock.at(now), true, true)
	}
}

// readStream takes the process's TS until it ends.
func (s *Source) readStream(p *process) {
	var at time.Duration
	framer := mpegts.NewFramer(mpegts.WriterFunc(func(_ time.Duration, ts []byte) error {
		s.splice.engine(at, ts)
		return nil
	}))
	buf := make([]byte, readSize)
	for {
		n, err := p.stream.Read(buf)
		if n > 0 {
			s.mu.Lock()
			at = s.cfg.Now()
			s.st.tsAt, s.st.lastTS, s.st.up = at, at, true
			at = s.clock.at(at)
			_ = framer.Stream(at, buf[:n]) // the writer above does not fail
			s.mu.Unlock()
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// event takes what the process tells.
func (s *Source) event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.beatAt = s.cfg.Now()
	switch e.Is {
	case IsReady:
		s.st.encoder = e.Encoder
		s.pipe.accept()
	case IsHeartbeat, IsInput:
		if e.At > 0 && e.Lock != nil {
			s.st.beat = e
			s.clock.follow(time.Duration(e.At-s.st.monotonic), time.Duration(e.Media), e.Lock.PPM/1e6)
		}
		s.st.present, s.st.slate, s.st.sound, s.st.frames = e.Present, e.Slate, e.Sound, max(e.Frames, s.st.frames)
		if e.Present {
			s.st.capture, s.st.feed = "", ""
		}
		if e.Sound {
			s.st.soundError = ""
		}
	case IsConfidence:
		s.st.report, s.st.reportAt = e.Report, s.st.beatAt
	case IsLevel:
		s.st.peak, s.st.rms = e.Peak, e.RMS
	case IsError:
		switch e.Part {
		case PartCapture:
			s.st.capture = e.Text
		case PartSound:
			s.st.soundError = e.Text
		}
		s.cfg.Log.Warn("media engine", "part", e.Part, "text", e.Text)
	}
}

func (s *Source) keepPicture(jpeg []byte) {
	s.mu.Lock()
	s.picture, s.pictAt = jpeg, s.cfg.Now()
	s.mu.Unlock()
}

// SetRate changes the rate of the transport stream while it runs, in bit/s: up
// at once, down as soon as the encoder's buffer has been sent.
func (s *Source) SetRate(bps int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.cfg.Config
	c.Mux.RateBPS = bps
	if err := c.Validate(); err != nil {
		return err
	}
	s.rate = bps
	if s.splice == nil {
		return nil
	}
	s.lowerTo = 0
	if bps < s.splice.out.Rate() {
		s.lowerTo, s.lowerAt = bps, s.cfg.Now()+time.Duration(c.Video.VBVMS)*time.Millisecond+downBeforeUp
	} else {
		s.splice.out.SetRate(bps)
	}
	if s.proc != nil {
		return s.proc.send(Command{Do: DoBitrate, Kbps: c.VideoKbps()})
	}
	return nil
}

// Command hands a command to the process, if one runs.
func (s *Source) Command(c Command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return errors.New("engine: does not run at the moment")
	}
	return s.proc.send(c)
}

// Picture returns the latest thumbnail, a JPEG of 320×180, and when it came; nil
// before the first. It must not be written to.
func (s *Source) Picture() ([]byte, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.picture, s.pictAt
}

// Confidence returns what the process last reported of picture and sound, and
// how old that is; nil while it has not. It is not to be changed.
func (s *Source) Confidence() (*confidence.Report, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.st.report == nil || !s.st.up {
		return nil, 0
	}
	return s.st.report, s.cfg.Now() - s.st.reportAt
}
