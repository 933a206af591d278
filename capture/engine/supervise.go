package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// supervise keeps a process running until ctx ends.
func (s *Source) supervise(ctx context.Context) {
	fast, wait := 0, time.Duration(0)
	env := s.environment()
	for ctx.Err() == nil {
		began := s.cfg.Now()
		err := s.runOnce(ctx, env)
		if s.Stats().Splice.Switches > 1 {
			// It has worked: the list of plugins holds, and need not be compared
			// with the files again, which costs a restart some 50 ms.
			env = append(s.environment(), "GST_REGISTRY_UPDATE=no")
		}
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.st.up = false
		reformed := s.st.reforming != ""
		if !reformed {
			s.st.failure = err.Error()
		}
		s.mu.Unlock()
		if reformed {
			s.cfg.Log.Info("media engine is replaced", "why", err)
			continue
		}
		s.cfg.Log.Error("media engine ended, starting it again", "err", err)
		if s.cfg.Now()-began >= fastCrash {
			fast, wait = 0, 0
		} else if fast++; fast > freeRestarts {
			wait = min(max(2*wait, firstWait), lastWait)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// environment gives GStreamer a place for its list of plugins that lasts.
func (s *Source) environment() []string { return registry(s.cfg.Data) }

func registry(data string) []string {
	return []string{"GST_REGISTRY=" + filepath.Join(data, "gstreamer-registry.bin")}
}

// runOnce runs one process until it ends or has to be killed.
func (s *Source) runOnce(ctx context.Context, env []string) error {
	c, changes := s.configNow()
	p, err := start(s.cfg.Program, s.cfg.Args, c, env, s.cfg.Nice)
	if err != nil {
		return err
	}
	s.mu.Lock()
	now := s.cfg.Now()
	patience := startWithin
	if s.st.lastTS == 0 { // none has come so far: GStreamer may be at its list of plugins
		patience = firstWithin
	}
	s.st.starts++
	s.proc = p
	if s.signal.changes != changes {
		s.tellCapture() // since the configuration was written
	}
	s.st.began, s.st.tsAt, s.st.beatAt = now, now, now
	s.st.beat = Event{}
	s.st.present, s.st.slate, s.st.sound, s.st.peak, s.st.rms, s.st.capture, s.st.soundError = false, false, false, nil, nil, "", ""
	s.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { s.readStream(p) })
	if s.cfg.Feed != nil {
		wg.Go(func() { s.pipe.pump(p.feed, p.exited) })
	}
	wg.Go(func() { p.events(s.event) })
	wg.Go(func() { p.pictures(s.keepPicture) })
	why := s.watch(ctx, p, patience)
	p.kill()
	<-p.exited
	// What the process has written before it died is still read; then the far
	// ends are closed, and the readers end by themselves.
	wg.Wait()
	s.mu.Lock()
	s.proc = nil
	s.st.up, s.st.present = false, false
	s.splice.runEnds(s.clock.at(s.cfg.Now()))
	s.clock.lose()
	s.mu.Unlock()
	err = p.close()
	if why != nil {
		return why
	}
	return err
}

// configNow is the configuration with rate, format and capture as they are now;
// changes names the state of the signal that is in it.
func (s *Source) configNow() (c *Config, changes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Config
	now.Mux.RateBPS = s.rate
	now.Input.Wait, now.Input.Format = !s.signal.capturing, s.signal.format
	s.st.reforming = ""
	return &now, s.signal.changes
}

// watch returns when the process has ended (nil), or why it has to.
func (s *Source) watch(ctx context.Context, p *process, patience time.Duration) error {
	t := time.NewTicker(supervisionTick)
	defer t.Stop()
	before := s.cfg.Now()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.exited:
			return nil
		case <-t.C:
		}
		now := s.cfg.Now()
		late := now-before > stalled/2 // we were not scheduled ourselves
		before = now
		memory := 0
		if n%20 == 0 {
			memory = p.residentMiB()
		}
		s.mu.Lock()
		limit := stalled
		if !s.st.up {
			limit = patience
		}
		ts, beat := now-s.st.tsAt, now-s.st.beatAt
		if memory > 0 {
			s.st.memory = memory
		}
		most, reforming := s.cfg.MemoryMiB, s.st.reforming
		s.mu.Unlock()
		switch {
		case reforming != "":
			return errors.New(reforming)
		case late:
		case ts > limit:
			return fmt.Errorf("engine: no transport stream for %v: killed", ts.Round(10*time.Millisecond))
		case beat > limit:
			return fmt.Errorf("engine: no heartbeat for %v: killed", beat.Round(10*time.Millisecond))
		case memory > most:
			return fmt.Errorf("engine: takes %d MiB of memory, more than %d: killed", memory, most)
		}
	}
}

// provideSlate loads the slate of these parameters, and has the engine make it
// if it is not there yet.
func (s *Source) provideSlate(ctx context.Context) {
	s.mu.Lock()
	c := s.cfg.Config
	s.mu.Unlock()
	file := filepath.Join(s.cfg.Data, "slate-"+c.Hash()+".ts")
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
		b, err := os.ReadFile(file)
		if err == nil {
			var sl *Slate
			if sl, err = ParseSlate(b, &c); err == nil {
				s.mu.Lock()
				s.splice.setSlate(sl)
				s.mu.Unlock()
				return
			}
		}
		if err = s.makeSlate(ctx, &c, file); err == nil {
			continue
		}
		s.cfg.Log.Warn("slate cannot be made: null packets stand for it", "err", err)
		select {
		case <-ctx.Done():
		case <-s.otherSlate:
			s.mu.Lock()
			c = s.cfg.Config
			s.mu.Unlock()
			file = filepath.Join(s.cfg.Data, "slate-"+c.Hash()+".ts")
		case <-time.After(wait):
		}
	}
}

// makeSlate runs the engine once to encode the slate.
func (s *Source) makeSlate(ctx context.Context, c *Config, file string) error {
	env := s.environment()
	args := append(append([]string{}, s.cfg.Args...), "--make-slate", file)
	p, err := start(s.cfg.Program, args, c, env, 10)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-p.exited:
	case <-time.After(time.Minute):
	}
	err = p.close()
	if _, e := os.Stat(file); e == nil {
		return nil
	}
	return err
}
