package tsfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"quartet/capture/mpegts"
	"quartet/tests/tsgen"
)

const ms = time.Millisecond

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checker follows what a writer gets: continuity, PCRs against instants.
type checker struct {
	t        *testing.T
	cc       mpegts.Continuity
	pid      mpegts.PID // of the clock
	ts       []byte     // the first keep bytes
	keep     int
	packets  int64
	first    time.Duration
	last     time.Duration
	pcr0     mpegts.PCR
	pcrAt0   time.Duration
	pcrs     int
	pcrLast  mpegts.PCR
	ticks    int64 // since pcr0
	worst    time.Duration
	now      func() time.Duration
	tooEarly int
	tooLate  time.Duration
}

func (c *checker) WriteTS(at time.Duration, ts []byte) error {
	if c.packets == 0 {
		c.first = at
	}
	if at < c.last {
		c.t.Errorf("instant %v after %v", at, c.last)
	}
	c.last = at
	if d := c.now() - at; d < 0 {
		c.tooEarly++
	} else {
		c.tooLate = max(c.tooLate, d)
	}
	for p := ts; len(p) > 0; p = p[mpegts.PacketSize:] {
		c.packets++
		pkt := mpegts.Packet(p[:mpegts.PacketSize])
		c.cc.Check(pkt)
		pcr, ok := pkt.PCR()
		if !ok || pkt.PID() != c.pid {
			continue
		}
		if c.pcrs++; c.pcrs == 1 {
			c.pcr0, c.pcrAt0, c.pcrLast = pcr, at, pcr
		}
		c.ticks += pcr.Diff(c.pcrLast)
		c.pcrLast = pcr
		off := at - c.pcrAt0 - mpegts.TicksToDuration(c.ticks)
		c.worst = max(c.worst, off, -off)
	}
	if n := min(len(ts), c.keep-len(c.ts)); n > 0 {
		c.ts = append(c.ts, ts[:n]...)
	}
	return nil
}

func clock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "feed.ts")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// play runs a looped file for d of virtual time.
func play(t *testing.T, path string, d time.Duration) (c *checker, st Stats) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		s, err := New(Config{Path: path, Loop: true, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		line := mpegts.NewTimeline(0)
		line.Add(content)
		pid, _ := line.PCRPID()
		c = &checker{t: t, pid: pid, keep: len(content), now: now}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if err := s.Run(ctx, c); err != nil {
			t.Fatal(err)
		}
		st = s.Stats()
	})
	return c, st
}

// captures are real streams beside the project and a generated one.
func captures(t *testing.T) map[string]string {
	all := map[string]string{"generated": write(t, tsgen.New(12e6, 3).Next(nil, 12000))}
	for _, name := range []string{"dvbt-mpts-22mbps.ts", "h264-1080i-eac3-dvbsub.ts"} {
		path := filepath.Join("..", "..", "..", "shared", "streams", name)
		if _, err := os.Stat(path); err == nil {
			all[name] = path
		} else {
			t.Logf("%s is not there: the generated stream stands for it", name)
		}
	}
	return all
}

func TestLoopsAtItsOwnRateWithoutASeam(t *testing.T) {
	const d = 20 * time.Second
	for name, path := range captures(t) {
		t.Run(name, func(t *testing.T) {
			c, st := play(t, path, d)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(c.ts, content) {
				t.Error("the first pass is not the file, byte for byte")
			}
			if st.Passes < 3 || st.PassPackets != int64(len(content)/188) || st.Stalls != 0 || st.PCRPID != c.pid {
				t.Errorf("%+v", st)
			}
			rate := float64(c.packets) * 188 * 8 / d.Seconds()
			if off := rate/st.RateBPS - 1; off < -2e-3 || off > 2e-3 {
				t.Errorf("%.0f bit/s, want the file's %.0f", rate, st.RateBPS)
			}
			// Every PCR, across all seams, comes when it says. The captures'
			// own breaks are bridged at the rate around them.
			if c.pcrs < 100 || c.worst > 100*time.Microsecond {
				t.Errorf("%d PCRs, the worst %v off its instant", c.pcrs, c.worst)
			}
			if c.tooEarly != 0 || c.tooLate > tick {
				t.Errorf("%d packets before their instant; latest %v behind", c.tooEarly, c.tooLate)
			}
			var cc mpegts.Continuity
			for b := content; len(b) >= 188; b = b[188:] {
				cc.Check(mpegts.Packet(b[:188]))
			}
			inFile := int64(cc.Stats().Errors)
			if got := int64(c.cc.Stats().Errors); got > inFile*int64(st.Passes+1) {
				t.Errorf("%d continuity errors in %d passes, %d in the file", got, st.Passes+1, inFile)
			}
			t.Logf("%d passes of %.0f ms at %.3f Mbit/s, worst PCR %v", st.Passes, st.PassMS, st.RateBPS/1e6, c.worst)
		})
	}
}

func TestPlaysOnceWithoutLoop(t *testing.T) {
	path := write(t, tsgen.New(10e6, 3).Next(nil, 6650)) // 1.0002 s
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		s, err := New(Config{Path: path, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		c := &checker{t: t, pid: tsgen.PIDVideo, now: now}
		if err := s.Run(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if c.packets != 6650 || now() < time.Second || now() > 1001*ms+tick {
			t.Errorf("%d packets in %v", c.packets, now())
		}
		if st := s.Stats(); st.Passes != 1 || st.Packets != 6650 {
			t.Errorf("%+v", st)
		}
	})
}

func TestOtherPacketSizesAndLeadingGarbage(t *testing.T) {
	stream := tsgen.New(10e6, 3).Next(nil, 3000)
	var m2ts, dvb []byte
	for b := stream; len(b) > 0; b = b[188:] {
		m2ts = append(append(m2ts, 1, 2, 3, 4), b[:188]...)
		dvb = append(append(dvb, b[:188]...), make([]byte, 16)...)
	}
	for name, content := range map[string][]byte{"192": m2ts, "204": dvb, "garbage": append([]byte("garbage"), stream...), "cut": stream[:len(stream)-100]} {
		path := write(t, content)
		synctest.Test(t, func(t *testing.T) {
			now := clock()
			s, err := New(Config{Path: path, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			c := &checker{t: t, pid: tsgen.PIDVideo, keep: len(stream), now: now}
			if err := s.Run(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(stream, c.ts) || len(c.ts) < len(stream)-188 {
				t.Errorf("%s: %d of %d bytes", name, len(c.ts), len(stream))
			}
		})
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	noClock := mpegts.AppendNull(nil, 1000)
	stream := tsgen.New(10e6, 3).Next(nil, 3000)
	for want, c := range map[string]Config{
		"no such file":                {Path: filepath.Join(t.TempDir(), "none.ts")},
		"holds no transport stream":   {Path: write(t, bytes.Repeat([]byte("text "), 1000))},
		"fewer than two PCRs: its":    {Path: write(t, noClock)},
		"PID 0x123 has fewer than tw": {Path: write(t, stream), PCRPID: 0x123},
		"holds no transport stream: ": {Path: write(t, nil)},
		"is a directory":              {Path: t.TempDir()},
	} {
		c.Now = clock()
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), &checker{t: t, now: c.Now}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that says %q", err, want)
		}
	}
	for want, c := range map[string]Config{
		"Path": {Now: clock()}, "Now": {Path: "x"}, "PCRPID": {Path: "x", Now: clock(), PCRPID: mpegts.NullPID},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that names %s", err, want)
		}
	}
}

func TestChangedFileIsNoticed(t *testing.T) {
	path := write(t, tsgen.New(10e6, 3).Next(nil, 6650))
	synctest.Test(t, func(t *testing.T) {
		now := clock()
		s, err := New(Config{Path: path, Loop: true, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = s.Run(t.Context(), mpegts.WriterFunc(func(time.Duration, []byte) error {
			if n++; n == 5000 {
				return os.Truncate(path, 188*100)
			}
			return nil
		}))
		if err == nil || !strings.Contains(err.Error(), "has changed") {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestWriterErrorEndsRun(t *testing.T) {
	path := write(t, tsgen.New(10e6, 3).Next(nil, 1000))
	s, err := New(Config{Path: path, Loop: true, Now: clock()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), mpegts.WriterFunc(func(time.Duration, []byte) error { return os.ErrClosed })); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

// After the process was stopped, time is skipped instead of sending a burst.
func TestStallIsNoBurst(t *testing.T) {
	stream := tsgen.New(10e6, 3).Next(nil, 6650*3)
	line := mpegts.NewTimeline(0)
	line.Add(stream)
	n := 0
	var last time.Duration
	p := &player{line: line, w: mpegts.WriterFunc(func(at time.Duration, _ []byte) error {
		n++
		last = at
		return nil
	})}
	if err := p.WriteTS(0, stream); err != nil {
		t.Fatal(err)
	}
	if err := p.tick(100 * ms); err != nil {
		t.Fatal(err)
	}
	before := n
	if before < 660 || before > 670 {
		t.Errorf("%d packets in 100 ms, want 665", before)
	}
	if err := p.tick(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if n-before > 3 || p.stalls != 1 || last != 10*time.Second {
		t.Errorf("%d packets after a stall, the last at %v, %d stalls", n-before, last, p.stalls)
	}
	if err := p.tick(10*time.Second + 100*ms); err != nil {
		t.Fatal(err)
	}
	if got := n - before; got < 660 || got > 675 {
		t.Errorf("%d packets in 100 ms after a stall", got)
	}
}

func TestPlayerDoesNotAllocate(t *testing.T) {
	stream := tsgen.New(10e6, 3).Next(nil, 1000)
	line := mpegts.NewTimeline(0)
	line.Add(stream)
	p := &player{line: line, w: mpegts.WriterFunc(func(time.Duration, []byte) error { return nil })}
	var now time.Duration
	run := func() {
		p.WriteTS(0, stream)
		for len(p.queue) > 0 {
			now += tick
			if err := p.tick(now); err != nil {
				t.Fatal(err)
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations per 1000 packets", n)
	}
}
