package main

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tr101290"

	"quartet/device/control"
	"quartet/tests/tsgen"
	"quartet/uplink"
)

// twoEnds are monitors that have found nothing yet.
func twoEnds(t *testing.T) *ends {
	t.Helper()
	m, err := tr101290.New(tr101290.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &ends{in: m.Checks(), out: m.Checks()}
}

// failed counts errors of a check on PID 257, which is active from then on.
func failed(list *checkList, c tr101290.Check, n uint64) {
	list[c].Count += n
	list[c].Active, list[c].PID = true, 257
}

func (c *scene) text(code string) string {
	for _, a := range c.w.health.Active() {
		if string(a.Code) == code {
			return a.Text
		}
	}
	return ""
}

// Errors of the feed are the feed's, and said once.
func TestErrorsOfTheFeed(t *testing.T) {
	s := newScene(t)
	e := twoEnds(t)
	s.s.streams = e
	s.pass(8*time.Second, nil).want("a clean feed")
	failed(&e.in, tr101290.ContinuityCountError, 12)
	s.s.input.ContinuityErrors += 12
	s.pass(watchEvery, nil).want("at the input, not yet at the output", "input-ts-priority1 input")
	if text := s.text("input-ts-priority1"); !strings.HasSuffix(text, ": 1.4 Continuity_count_error, PID 257, 12 errors") {
		t.Error(text)
	}
	failed(&e.out, tr101290.ContinuityCountError, 12)
	s.pass(3*time.Second, nil).want("at both ends", "input-ts-priority1 input")

	failed(&e.in, tr101290.CRCError, 1)
	failed(&e.out, tr101290.CRCError, 1)
	s.pass(2*time.Second, nil).want("of second priority too", "input-ts-priority1 input", "input-ts-priority2 input")
	if text := s.text("input-ts-priority2"); !strings.HasSuffix(text, ": 2.2 CRC_error, PID 257, 1 error") {
		t.Error(text)
	}
	for i := range e.in {
		e.in[i].Active, e.out[i].Active = false, false
	}
	s.pass(4*time.Second, nil).want("over")

	// Clocks are found out of order at one end a little earlier, pictures late by
	// arrival at one end only: not our fault while the feed has it too.
	failed(&e.in, tr101290.PTSError, 1)
	failed(&e.out, tr101290.PTSError, 2)
	s.pass(2*time.Second, nil).want("counted differently", "input-ts-priority2 input")
	for c := range e.in {
		failed(&e.in, tr101290.Check(c), 1)
	}
	if text := describe(&e.in, func(c *tr101290.CheckStats) (uint64, bool) { return c.Count, c.Active }); strings.Count(text, ";") != namedChecks || !strings.HasSuffix(text, "; 21 more") {
		t.Error(text)
	}
}

// Errors that the feed does not have are ours.
func TestErrorsOfTheBox(t *testing.T) {
	s := newScene(t)
	e := twoEnds(t)
	s.s.streams = e
	s.pass(8*time.Second, nil)
	failed(&e.out, tr101290.ContinuityCountError, 3)
	s.pass(watchEvery, nil).want("ours", "output-ts-errors output")
	if text := s.text("output-ts-errors"); !strings.HasSuffix(text, ": 1.4 Continuity_count_error, PID 257, 3 errors") {
		t.Error(text)
	}
	s.pass(11*time.Second, nil).want("over")

	// Some of the feed's never come out; ours are found all the same.
	failed(&e.in, tr101290.ContinuityCountError, 100)
	e.in[tr101290.ContinuityCountError].Active = false
	s.pass(8*time.Second, nil).want("nothing came out")
	failed(&e.out, tr101290.ContinuityCountError, 1)
	s.pass(watchEvery, nil).want("ours again", "output-ts-errors output")
	s.pass(11*time.Second, nil).want("over again")

	// While the feed is away, and shortly after, nothing is ours: what fills the
	// gap has no tables.
	s.s.present, s.s.input.State, s.s.input.Losses = false, control.InputLost, 1
	s.pass(2*time.Second, func([]uplink.PathStats) { failed(&e.out, tr101290.PATError2, 1) }).want("lost", "input-lost input")
	s.s.present, s.s.input.State = true, control.InputOK
	s.pass(time.Second, func([]uplink.PathStats) { failed(&e.out, tr101290.ContinuityCountError, 1) })
	s.pass(4*time.Second, nil).want("back")
	// An outage too short to be seen by this watcher.
	s.pass(9*time.Second, nil)
	s.s.input.Losses++
	failed(&e.out, tr101290.PMTError2, 1)
	s.pass(time.Second, nil).want("it was away")
}

// A box with a damaged feed says so, and that it is the feed's.
func TestMonitorOfABox(t *testing.T) {
	d := document()
	d.Paths = d.Paths[4:]
	d.Paths[0].URL = "rtp://127.0.0.1:" + freePort(t)
	port := freePort(t)
	d.Input.URL = "udp://127.0.0.1:" + port
	d.Input.LossAfterMS = 2000
	b := startBox(t, d)
	feed, err := net.Dial("udp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	gen := tsgen.New(2_000_000, 7)
	begun := time.Now()
	damage, n := false, 0
	send := func() {
		for ts := []byte(nil); gen.At(gen.Count()) < time.Since(begun); n++ {
			if ts = gen.Next(ts[:0], 7); !damage || n%50 != 0 {
				_, _ = feed.Write(ts) // nobody may listen yet
			}
		}
	}
	active := func() (codes []string) {
		for _, a := range b.status().Active {
			codes = append(codes, string(a.Code))
		}
		return codes
	}
	eventually(t, "the feed is known at both ends", func() bool {
		send()
		s := b.status()
		for _, m := range []*control.Monitor{s.Input.Monitor, s.Output.Monitor} {
			if !m.Synced || len(m.Services) != 1 || len(m.Services[0].Components) != 2 || len(m.Clocks) != 1 || m.BitrateBPS == 0 {
				return false
			}
		}
		return true
	})
	for end := time.Now().Add(settling + time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		send()
	}
	eventually(t, "a clean feed raises nothing", func() bool {
		send()
		codes := active()
		return !slices.Contains(codes, "input-ts-priority1") && !slices.Contains(codes, "output-ts-errors")
	})
	damage = true
	eventually(t, "an alarm of the feed's errors", func() bool { send(); return slices.Contains(active(), "input-ts-priority1") })
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		send()
	}
	damage = false
	eventually(t, "the same errors at both ends", func() bool {
		send()
		s := b.status()
		in, out := s.Input.Monitor, s.Output.Monitor
		return in.Priority1 > 0 && in.Priority1 == out.Priority1 && s.Input.ContinuityErrors == errorsOf(in, "1.4")
	})
	if codes := active(); slices.Contains(codes, "output-ts-errors") || slices.Contains(codes, "input-errors") {
		t.Errorf("active: %q", codes)
	}
	for _, where := range []string{control.AtInput, control.AtOutput} {
		p, err := b.client.Probe(t.Context(), where)
		if err != nil || p.Where != where || !strings.Contains(string(p.Stream), `"check":"Continuity_count_error"`) {
			t.Errorf("%s: %v\n%s", where, err, p.Stream)
		}
	}
	if _, err := b.client.Probe(t.Context(), "elsewhere"); err == nil || !strings.Contains(err.Error(), "no such place") {
		t.Error(err)
	}
}

func errorsOf(m *control.Monitor, clause string) uint64 {
	for _, c := range m.Checks {
		if c.Clause == clause {
			return c.Count
		}
	}
	return 0
}

// Where monitoring is off, the feed's errors are counted all the same.
func TestMonitorOff(t *testing.T) {
	d := document()
	d.Input.Monitor.Enabled = false
	set, _, err := build(d)
	if err != nil || set.monitor != nil {
		t.Fatalf("%v, %+v", err, set.monitor)
	}
	c := chain{counter: &counter{next: mpegts.WriterFunc(func(time.Duration, []byte) error { return nil })}}
	b := &box{chain: c}
	if _, err := b.Probe(control.AtOutput); err == nil || !strings.Contains(err.Error(), "input.monitor.enabled") {
		t.Error(err)
	}
	ts := tsgen.New(1_000_000, 1).Next(nil, 70)
	_ = c.counter.WriteTS(0, ts[:7*188])
	_ = c.counter.WriteTS(0, ts[14*188:])
	if n, _ := c.damage(); n == 0 || c.checks() != nil || monitorStatus(c.in, nil) != nil {
		t.Errorf("%d errors, %v", n, c.checks())
	}
}

// The tap allocates nothing, and tells the time only where nobody else does.
func TestTap(t *testing.T) {
	m, err := newTap(&tr101290.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stream := tsgen.New(10_000_000, 1)
	ts := stream.Next(nil, 7)
	now := time.Second
	write := func() {
		now += time.Millisecond
		_ = m.WriteTS(now, stream.Next(ts[:0], 7))
	}
	for range 1000 {
		write()
	}
	if n := testing.AllocsPerRun(2000, write); n != 0 {
		t.Errorf("%v allocations", n)
	}
	m.tick(now+quiet, mpegts.FramerStats{})
	if at := m.Stats().At; at != now {
		t.Errorf("%v: the clock was moved to %v", now, at)
	}
	m.tick(now+time.Second, mpegts.FramerStats{SyncByteErrs: 3, Locked: true})
	if s := m.Stats(); s.Checks[tr101290.SyncByteError].Count != 3 || s.Synced || s.Checks[tr101290.TSSyncLoss].Count != 1 {
		t.Errorf("%+v", s)
	}
	if off, err := newTap(nil); off != nil || err != nil {
		t.Error(off, err)
	}
}
