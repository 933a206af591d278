package sdi_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quartet/capture/sdi"
	"quartet/capture/sdi/sditest"
)

// observer notes what a Watcher does and when.
type observer struct {
	mu    sync.Mutex
	fake  *sditest.Fake
	now   func() time.Duration
	lines []string
	// hold is how long a capture keeps the device after it was told to stop.
	hold time.Duration
}

func (o *observer) start(s sdi.State) {
	o.fake.Stream(true)
	o.note("start " + s.Format())
}

func (o *observer) stop(s sdi.State) {
	o.note("stop " + string(s.Signal))
	time.AfterFunc(o.hold, func() { o.fake.Stream(false) })
}

func (o *observer) note(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, fmt.Sprintf("%dms %s", o.now().Milliseconds(), s))
}

// replay runs a Watcher on a recording in virtual time.
func replay(t *testing.T, recording string, length time.Duration, do func(o *observer, w *sdi.Watcher)) (o *observer) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		now := func() time.Duration { return time.Since(begin) }
		f, err := sditest.New(recording, now)
		if err != nil {
			t.Fatal(err)
		}
		o = &observer{fake: f, now: now, hold: 60 * time.Millisecond}
		w := sdi.NewWatcher(sdi.Config{Path: "/dev/video0", Open: f.Open, Start: o.start, Stop: o.stop, Now: now})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.Run(ctx) })
		if do != nil {
			do(o, w)
		}
		time.Sleep(length - now())
		cancel()
		wg.Wait()
		time.Sleep(o.hold) // its timers
	})
	return o
}

// within requires a line of the note that ends so, in a span of time.
func (o *observer) within(t *testing.T, what string, from, to int) {
	t.Helper()
	for _, l := range o.lines {
		var ms int
		if _, err := fmt.Sscanf(l, "%dms", &ms); err == nil && strings.HasSuffix(l, " "+what) && ms >= from && ms <= to {
			return
		}
	}
	t.Errorf("no %q between %d and %d ms: %q", what, from, to, o.lines)
}

// F13, the signal's part: it is lost, unlocked, changed, unplugged, with and
// without events. A loss is known within 250 ms, and a capture begins within
// 400 ms of a signal that is steady; timings are set before, and only when they
// are others.
func TestF13Signal(t *testing.T) {
	o := replay(t, `
		0ms     1080i50
		2000ms  no-signal
		3000ms  unlocked
		3200ms  no-signal
		3210ms  1080p25
		3220ms  unlocked
		3300ms  1080i50
		5000ms  720p50
		7000ms  gone
		8000ms  720p50
		9000ms  no-signal silent
		10000ms 1080p59.94 silent
		11000ms 4320p25
		12000ms range
		13000ms 1080i50
	`, 14*time.Second, nil)
	for _, l := range []struct {
		what     string
		from, to int
	}{
		{"start 1080i50", 0, 200}, {"stop no-signal", 2000, 2100}, {"start 1080i50", 3350, 3500},
		{"stop locked", 5050, 5150}, {"start 720p50", 5050, 5300}, {"stop missing", 7000, 7300}, {"start 720p50", 8000, 8400},
		{"stop no-signal", 9000, 9300}, {"start 1080p59.94", 10000, 10400}, {"stop unsupported", 11000, 11100}, {"start 1080i50", 13000, 13200},
	} {
		o.within(t, l.what, l.from, l.to)
	}
	if n := len(o.lines); n != 11 {
		t.Errorf("%d changes: %q", n, o.lines)
	}
	// 1080i50, after the loss again without a call; 720p50, after the return
	// without; 1080p59.94; 1080i50.
	if set, n := o.fake.Timings(); n != 4 || set.String() != "1080i50" {
		t.Errorf("%d times set, %v", n, set)
	}
}

// A moment's doubt is no loss.
func TestFlicker(t *testing.T) {
	o := replay(t, "0ms 1080p50\n1000ms unlocked\n1020ms 1080p50\n2000ms 720p50\n2010ms 1080p50", 3*time.Second, nil)
	if len(o.lines) != 1 {
		t.Errorf("%q", o.lines)
	}
}

// Every state says what it is and what to do.
func TestStates(t *testing.T) {
	for _, c := range []struct {
		says   string
		signal sdi.Signal
		text   string
		remedy string
	}{
		{"gone", sdi.Missing, "there is no such device", "plugged in"},
		{"no-signal", sdi.NoSignal, "no signal", "cable"},
		{"unlocked", sdi.Unlocked, "does not lock", "cable"},
		{"range", sdi.Unsupported, "out of the card's range", "format that the card takes"},
		{"4320p25", sdi.Unsupported, "4320p25 is outside of 640x480 to 3840x2160", "format"},
		{"dark", sdi.NoSignal, "no signal: no signal", "cable"},
		{"none", sdi.Unlocked, "no horizontal lock", "cable"},
		{"untimed", sdi.Present, "without digital timings", ""},
		{"576i50", sdi.Locked, "576i50", ""},
	} {
		var s sdi.State
		replay(t, "0ms "+c.says, time.Second, func(o *observer, w *sdi.Watcher) {
			time.Sleep(900 * time.Millisecond)
			s = w.State()
		})
		if s.Signal != c.signal || !strings.Contains(s.Text(), c.text) || !strings.Contains(s.Remedy(), c.remedy) || (c.remedy == "") != s.Signal.Good() {
			t.Errorf("%s: %+v, %q, %q", c.says, s, s.Text(), s.Remedy())
		}
		if c.says != "gone" && s.Card != "Fake SDI (test)" {
			t.Errorf("%s: the card is %q", c.says, s.Card)
		}
	}
}

// Another program that streams is told from a capture of ours that takes a
// moment to end.
func TestBusy(t *testing.T) {
	o := replay(t, "0ms 1080i50\n4000ms 720p50", 8*time.Second, func(o *observer, w *sdi.Watcher) {
		o.fake.Steal(true)
		time.Sleep(3 * time.Second)
		if s := w.State(); s.Signal != sdi.Busy || !strings.Contains(s.Remedy(), "other program") {
			t.Errorf("%+v", s)
		}
		o.fake.Steal(false)
	})
	if !slices.ContainsFunc(o.lines, func(l string) bool { return strings.HasSuffix(l, "start 1080i50") }) {
		t.Errorf("it does not begin when the other has ended: %q", o.lines)
	}
	o.within(t, "start 720p50", 4000, 4300)
}

// The recordings themselves are read strictly.
func TestRecording(t *testing.T) {
	for _, r := range []string{"", "soon 1080i50", "0ms", "0ms 1080i50 silent twice"} {
		if _, err := sditest.New(r, func() time.Duration { return 0 }); err == nil {
			t.Errorf("%q is accepted", r)
		}
	}
	if _, err := sditest.Format("1080i51"); err == nil || !strings.Contains(err.Error(), "1080i50") {
		t.Error(err)
	}
}

// A file that is no device, and one that does not exist.
func TestNode(t *testing.T) {
	if _, err := sdi.OpenNode("/dev/video-none"); err == nil {
		t.Error("opened")
	}
	begin := time.Now()
	w := sdi.NewWatcher(sdi.Config{Path: "/dev/null", Start: func(sdi.State) { t.Error("started") }, Stop: func(sdi.State) {}, Now: func() time.Duration { return time.Since(begin) }})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	w.Run(ctx)
	if s := w.State(); s.Signal != sdi.Refused || s.Remedy() == "" {
		t.Errorf("%+v", s)
	}
}
