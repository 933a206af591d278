// Package tsfile plays a transport stream file as if it came from a live source:
// at its own rate, which its PCRs tell, and over and over. At the seam PCR, PTS,
// DTS and continuity counters go on as if there were none.
//
// The way of the data: the file is read once to learn when each packet is due
// (mpegts.Timeline); then each pass is read again, file → mpegts.Framer →
// mpegts.Restamper → player → mpegts.Writer, packet by packet, with the
// scheduled instant.
package tsfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"quartet/capture/mpegts"
)

const (
	// tick is how often packets are handed on at most: all that are due, with the
	// instant at which each was. Waking up is what costs.
	tick = 5 * time.Millisecond
	// behind is how late the player may be before it lets time pass instead of
	// sending a burst: the process was stopped.
	behind = 200 * time.Millisecond
	// readSize is how much is read from the file at once, in bytes.
	readSize = 256 << 10
)

// Config is what a Source is made of.
type Config struct {
	// Path of the file: packets of 188, 192 or 204 bytes.
	Path string
	// Loop starts again at the end.
	Loop bool
	// PCRPID is the clock's PID. 0: the first PID with a PCR.
	PCRPID mpegts.PID
	// Now is the monotonic clock. Time passes by package time's timers.
	Now func() time.Duration
}

// Stats is what a Source knows since Run began.
type Stats struct {
	Path        string                `json:"path"`
	PCRPID      mpegts.PID            `json:"pcr_pid"`
	PassMS      float64               `json:"pass_ms"`      // length of the file in time
	PassPackets int64                 `json:"pass_packets"` // and in packets
	RateBPS     float64               `json:"rate_bps"`     // mean, of the file
	Packets     uint64                `json:"packets"`      // handed on
	Passes      uint64                `json:"passes"`       // completed
	Stalls      uint64                `json:"stalls"`       // times that time was skipped: the process was stopped
	Restamper   mpegts.RestamperStats `json:"restamper"`
	Framer      mpegts.FramerStats    `json:"framer"`
}

// Source plays one file. It implements capture.Source.
type Source struct {
	cfg Config // set at start, never changed

	mu  sync.Mutex // guards pub
	pub Stats
}

// New returns a Source, or an error that names the field. The file is opened by
// Run.
func New(c Config) (*Source, error) {
	if c.Path == "" {
		return nil, errors.New("tsfile: Path is empty: name a transport stream file")
	}
	if c.Now == nil {
		return nil, errors.New("tsfile: Config.Now is nil")
	}
	if c.PCRPID >= mpegts.NullPID {
		return nil, fmt.Errorf("tsfile: PCRPID is %#x: must be below %#x", c.PCRPID, mpegts.NullPID)
	}
	return &Source{cfg: c, pub: Stats{Path: c.Path}}, nil
}

// Run plays until ctx ends (nil), the file ends (nil, without Loop), the file
// cannot be read, or w fails.
func (s *Source) Run(ctx context.Context, w mpegts.Writer) error {
	f, err := os.Open(s.cfg.Path)
	if err != nil {
		return fmt.Errorf("tsfile: %w", err)
	}
	defer f.Close()
	line, err := survey(ctx, f, s.cfg.PCRPID)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("tsfile: %s: %w", s.cfg.Path, err)
	}
	pid, _ := line.PCRPID()
	s.note(Stats{
		Path: s.cfg.Path, PCRPID: pid, PassMS: float64(line.Duration()) / float64(time.Millisecond),
		PassPackets: line.Packets(), RateBPS: line.Rate(),
	})
	p := &player{line: line, w: w, start: s.cfg.Now()}
	framer := mpegts.NewFramer(p)
	t := time.NewTimer(0)
	defer t.Stop()
	buf := make([]byte, readSize)
	for {
		err := s.pass(ctx, f, framer, p, t, buf)
		if err == nil && !s.cfg.Loop {
			err = s.wait(ctx, t, p.due(p.index)-s.cfg.Now()) // the last packet too lasts its time
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("tsfile: %s: %w", s.cfg.Path, err)
		}
		s.progress(p, framer, true)
		if !s.cfg.Loop {
			return nil
		}
		framer.Reset()
		p.stamp.Loop(p.index / line.Packets() * line.Ticks())
	}
}

// survey reads the whole file and learns when its packets are due.
func survey(ctx context.Context, f *os.File, pid mpegts.PID) (*mpegts.Timeline, error) {
	line := mpegts.NewTimeline(pid)
	framer := mpegts.NewFramer(mpegts.WriterFunc(func(_ time.Duration, ts []byte) error {
		line.Add(ts)
		return ctx.Err()
	}))
	buf := make([]byte, readSize)
	for {
		n, err := f.Read(buf)
		if err := framer.Stream(0, buf[:n]); err != nil {
			return nil, err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case line.Packets() == 0:
		return nil, errors.New("holds no transport stream: no sync bytes 188, 192 or 204 bytes apart")
	case line.Ticks() == 0 && pid != 0:
		return nil, fmt.Errorf("PID %#x has fewer than two PCRs: name the PID of a clock, or none", pid)
	case line.Ticks() == 0:
		return nil, errors.New("has fewer than two PCRs: its rate is not known")
	}
	return line, nil
}

// pass plays the file once, from its start.
func (s *Source) pass(ctx context.Context, f *os.File, framer *mpegts.Framer, p *player, t *time.Timer, buf []byte) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	end := p.index + p.line.Packets()
	for {
		n, err := f.Read(buf)
		if n > 0 {
			if err := framer.Stream(0, buf[:n]); err != nil {
				return err
			}
			if err := s.play(ctx, framer, p, t); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if p.index != end {
		return fmt.Errorf("has changed while it was played: %d packets, %d at first", p.line.Packets()+p.index-end, p.line.Packets())
	}
	return nil
}

// play hands on what was read, each packet when it is due.
func (s *Source) play(ctx context.Context, framer *mpegts.Framer, p *player, t *time.Timer) error {
	for len(p.queue) > 0 {
		now := s.cfg.Now()
		if err := p.tick(now); err != nil {
			return err
		}
		s.progress(p, framer, false)
		if len(p.queue) > 0 {
			// At multiples of the tick, as the packet loop does: one waking up for both.
			next := max(p.due(p.index), now+1)
			if err := s.wait(ctx, t, (next+tick-1)/tick*tick-now); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Source) wait(ctx context.Context, t *time.Timer, d time.Duration) error {
	t.Reset(d)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (s *Source) note(st Stats) {
	s.mu.Lock()
	s.pub = st
	s.mu.Unlock()
}

func (s *Source) progress(p *player, framer *mpegts.Framer, passed bool) {
	s.mu.Lock()
	s.pub.Packets, s.pub.Stalls, s.pub.Restamper = uint64(p.index), p.stalls, p.stamp.Stats()
	s.pub.Framer = framer.Stats()
	if passed {
		s.pub.Passes++
	}
	s.mu.Unlock()
}

// Stats returns what is known since Run began.
func (s *Source) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pub
}

// player is pure: it takes packets from a Framer, restamps them and hands them on
// when they are due.
type player struct {
	line   *mpegts.Timeline
	w      mpegts.Writer
	start  time.Duration // when packet 0 was due
	index  int64         // next packet to hand on, counted through all passes
	stamp  mpegts.Restamper
	room   []byte // of queue
	queue  []byte // read and restamped, not yet due
	last   time.Duration
	stalls uint64
}

// WriteTS implements mpegts.Writer for the Framer.
func (p *player) WriteTS(_ time.Duration, ts []byte) error {
	if len(p.queue) == 0 {
		p.room = p.room[:0]
	}
	n := len(p.room)
	p.room = append(p.room, ts...)
	p.stamp.Restamp(p.room[n:])
	p.queue = p.room[n-len(p.queue):]
	return nil
}

// due returns when packet i, counted through all passes, is due.
func (p *player) due(i int64) time.Duration {
	return p.start + mpegts.TicksToDuration(p.line.At(i))
}

// tick hands on what is due at now.
func (p *player) tick(now time.Duration) error {
	if late := now - p.due(p.index); late > behind {
		p.start += late
		p.stalls++
	}
	for len(p.queue) > 0 {
		at := p.due(p.index)
		if at > now {
			return nil
		}
		p.last = max(p.last, at)
		if err := p.w.WriteTS(p.last, p.queue[:mpegts.PacketSize]); err != nil {
			return fmt.Errorf("writer: %w", err)
		}
		p.queue = p.queue[mpegts.PacketSize:]
		p.index++
	}
	return nil
}
