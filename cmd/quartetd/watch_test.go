package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"quartet/capture"
	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/health"
	"quartet/uplink"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// scene is a watcher with a made-up box: two rtp-fec paths in leg 1, one ts path
// in leg 2, all well.
type scene struct {
	t *testing.T
	w *watcher
	s sample
	n time.Duration // now
}

func newScene(t *testing.T) *scene {
	d := document()
	d.Paths = []config.Path{d.Paths[0], d.Paths[1], d.Paths[3]}
	d.Paths[2].Leg = 2
	set, _, err := build(d)
	if err != nil {
		t.Fatal(err)
	}
	c := &scene{t: t, w: newWatcher(nil, health.New(health.Catalogue())), s: sample{doc: d, plan: set.plan, present: true}, n: time.Minute}
	c.s.input = control.Input{State: control.InputOK, BitrateBPS: 19_000_000}
	for i, p := range d.Paths {
		st := uplink.PathStats{Name: p.Name, Leg: p.Leg, Profile: p.Profile, State: uplink.StateUp, Connects: 1, UpSince: 1, Link: &uplink.LinkStats{SRT: &srt.Stats{MSRTT: 20}}}
		if i < 2 {
			st.Arrival = &uplink.Arrival{}
		}
		c.s.paths = append(c.s.paths, st)
	}
	return c
}

// pass lets time pass in steps of the watcher, in which every path sends 400
// messages a second that arrive, but for what each changes.
func (c *scene) pass(d time.Duration, each func(paths []uplink.PathStats)) *scene {
	c.t.Helper()
	for end := c.n + d; c.n < end; {
		c.n += watchEvery
		// Fresh values, as Stats gives them.
		c.s.paths = slices.Clone(c.s.paths)
		for i := range c.s.paths {
			p := &c.s.paths[i]
			p.Sent += 80
			p.SentBytes += 80 * 1336
			link := *p.Link.SRT
			link.MSTimestamp += 200
			link.PktSentUniqueTotal += 80
			p.Link = &uplink.LinkStats{SRT: &link}
			if p.Arrival != nil {
				a := *p.Arrival
				a.Received += 72
				a.Merged.Delivered += 72
				p.Arrival = &a
			}
		}
		if each != nil {
			each(c.s.paths)
		}
		c.w.observe(c.n, &c.s)
	}
	return c
}

func (c *scene) active() (list []string) {
	for _, a := range c.w.health.Active() {
		if !a.Masked {
			list = append(list, string(a.Code)+" "+a.Resource)
		}
	}
	slices.Sort(list)
	return list
}

func (c *scene) want(what string, want ...string) *scene {
	c.t.Helper()
	slices.Sort(want)
	if got := c.active(); !slices.Equal(got, want) {
		c.t.Errorf("%s: active are %q, want %q", what, got, want)
	}
	return c
}

// Each fault raises its condition within 2 s and clears it within 10 s (F2, F8),
// and no other.
func TestWatch(t *testing.T) {
	const alarm, clear = 2 * time.Second, 10 * time.Second
	down := func(p *uplink.PathStats) { p.State, p.Reason = uplink.StateConnecting, "timed out" }
	for _, c := range []struct {
		name string
		each func([]uplink.PathStats)
		want []string
	}{
		{"a path is down", func(p []uplink.PathStats) { down(&p[0]) }, []string{"path-down path/fec-a", "leg-unprotected leg/1"}},
		{"a leg is down", func(p []uplink.PathStats) { down(&p[0]); down(&p[1]) }, []string{"path-down path/fec-a", "path-down path/fec-b", "leg-down leg/1"}},
		{"the only path of a leg", func(p []uplink.PathStats) { down(&p[2]) }, []string{"path-down path/ts", "leg-down leg/2"}},
		{"nobody reports", func(p []uplink.PathStats) { p[0].Arrival.Age = 1500 }, []string{"path-unreported path/fec-a", "leg-unprotected leg/1"}},
		{"never reported", func(p []uplink.PathStats) { p[0].Arrival = nil }, []string{"path-unreported path/fec-a", "leg-unprotected leg/1"}},
		{"nothing is acknowledged", func(p []uplink.PathStats) { p[2].Link.SRT.MSSndBuf = 3000 }, []string{"path-unreported path/ts", "leg-down leg/2"}},
		{"loss on a path", func(p []uplink.PathStats) { p[1].Arrival.LostHere += 10; p[1].Arrival.Received -= 10 }, []string{"path-loss path/fec-b"}},
		{"too narrow: the queue drops", func(p []uplink.PathStats) { p[0].Dropped += 10 }, []string{"path-overload path/fec-a"}},
		{"too narrow: the socket drops", func(p []uplink.PathStats) { p[2].Link.SRT.PktSndDropTotal += 10 }, []string{"path-overload path/ts"}},
		{"too narrow: every fifth is asked for again", func(p []uplink.PathStats) { p[0].Link.SRT.PktSndLossTotal += 20 }, []string{"path-overload path/fec-a"}},
		{"full packets do not pass", func(p []uplink.PathStats) { p[1].Arrival.Received -= 72 }, []string{"path-mtu path/fec-b", "leg-unprotected leg/1"}},
		{"everything comes too late", func(p []uplink.PathStats) {
			p[1].Arrival.Received -= 72
			p[1].Arrival.LostHere += 72
			p[1].Arrival.Late += 72
		}, []string{"path-loss path/fec-b", "leg-unprotected leg/1"}},
		{"keys differ", func(p []uplink.PathStats) { p[0].Arrival.BadTag += 72; p[0].Arrival.Received -= 72 }, []string{"path-key-mismatch path/fec-a"}},
		{"the far end has another key", func(p []uplink.PathStats) { p[0].Arrival = nil; p[0].Refused++ }, []string{"path-key-mismatch path/fec-a", "leg-unprotected leg/1"}},
		{"the gateway loses", func(p []uplink.PathStats) { p[0].Arrival.Merged.Lost += 3 }, []string{"gateway-lossy path/fec-a"}},
	} {
		s := newScene(t)
		s.pass(3*time.Second, nil).want("before: " + c.name)
		// Counters go on from where they are: a change is lasting.
		s.pass(alarm, c.each).want(c.name, c.want...)
		for i, p := range newScene(t).s.paths { // all well again
			q := &s.s.paths[i]
			q.State, q.Reason, q.Link.SRT.MSSndBuf = p.State, "", 0
			if p.Arrival != nil {
				if q.Arrival == nil {
					q.Arrival = &uplink.Arrival{}
				}
				q.Arrival.Age = 0
			}
		}
		s.pass(clear, nil).want("after: " + c.name)
	}
}

// Conditions with longer holds.
func TestWatchSlow(t *testing.T) {
	s := newScene(t).pass(3*time.Second, nil)
	s.pass(8*time.Second, func(p []uplink.PathStats) { p[0].Link.SRT.MSRTT = 200 }).want("a long round trip, not yet")
	s.pass(4*time.Second, func(p []uplink.PathStats) { p[0].Link.SRT.MSRTT = 200 }).want("a long round trip", "path-rtt-high path/fec-a")

	s = newScene(t).pass(3*time.Second, nil)
	s.pass(time.Second, func(p []uplink.PathStats) {
		p[1].Arrival.Digest = rtp.Comparison{Different: p[1].Arrival.Digest.Different + 1}
	})
	s.want("digests differ", "digest-mismatch path/fec-b")
	s.pass(20*time.Second, nil).want("it stays for a while", "digest-mismatch path/fec-b")
	s.pass(20*time.Second, nil).want("and goes")
}

// The far end counts what it releases: a stream that begins is not held to be
// too large for the path before the first packet of it can have come out.
func TestWatchLongLatency(t *testing.T) {
	s := newScene(t)
	none := func(p []uplink.PathStats) {
		p[0].Arrival = nil
		p[0].UpSince = time.Minute.Seconds()
		p[0].Link.SRT.MSSndTsbPdDelay = 3000
	}
	s.pass(3*time.Second, none).want("the far end has not heard of the stream yet")
	s.pass(3*time.Second, none).want("but it should have by now", "path-unreported path/fec-a", "leg-unprotected leg/1")

	s = newScene(t)
	waits := func(p []uplink.PathStats) {
		for _, a := range []*uplink.Arrival{p[0].Arrival, p[1].Arrival} {
			a.Received -= 72
			a.Merged.Delivered -= 72
			a.Merged.Latency = 5000
		}
	}
	s.pass(3*time.Second, func(p []uplink.PathStats) {
		waits(p)
		p[0].Sent, p[1].Sent = 0, 0 // nothing flows yet
	})
	s.pass(5*time.Second, waits).want("nothing has come out yet")
	s.pass(3*time.Second, nil).want("it comes")
	s.pass(time.Second, waits)
	s.pass(2*time.Second, waits).want("nothing comes out any more", "path-mtu path/fec-a", "path-mtu path/fec-b", "leg-down leg/1")
}

// The input's conditions.
func TestWatchInput(t *testing.T) {
	s := newScene(t).pass(3*time.Second, nil)
	s.s.present, s.s.input.State, s.s.input.Reason = false, control.InputLost, "no such file"
	s.pass(watchEvery, nil).want("lost", "input-lost input")
	if text := s.w.health.Active()[0].Text; !strings.Contains(text, "no such file") {
		t.Error(text)
	}
	s.s.present, s.s.input.State, s.s.input.Reason = true, control.InputOK, ""
	s.pass(5*time.Second, nil).want("returned")

	s.s.input.BitrateBPS = 25_000_000
	s.pass(2*time.Second, nil).want("too fast", "input-overrate input")
	s.s.input.BitrateBPS = 19_000_000
	s.pass(15*time.Second, nil).want("as planned")

	s.s.clockless = true
	s.pass(3*time.Second, nil).want("no clock", "input-no-clock input")
	s.s.clockless = false
	s.pass(8*time.Second, nil).want("a clock")

	s.s.input.Legs = []control.InputLeg{{URL: "rtp://one", State: control.InputOK}, {URL: "rtp://two", State: control.InputLost}}
	s.pass(2*time.Second, nil).want("one copy", "input-unprotected input")
	if text := s.w.health.Active()[0].Text; !strings.Contains(text, "rtp://two") {
		t.Error(text)
	}
	s.s.input.Legs = nil
	s.pass(8*time.Second, nil).want("both copies")

	s.s.input.ContinuityErrors++
	s.pass(3*time.Second, nil).want("one error is none")
	s.pass(3*time.Second, func([]uplink.PathStats) { s.s.input.ContinuityErrors++ }).want("errors", "input-errors input")
	s.pass(15*time.Second, nil).want("no errors")
}

// Paths of a leg that name one interface are warned of.
func TestWatchInterfaces(t *testing.T) {
	s := newScene(t)
	s.s.doc.Paths[0].Interface, s.s.doc.Paths[1].Interface = "eth1", "eth1"
	s.pass(watchEvery, nil).want("one cable", "redundancy-shared-interface box")
	s.s.doc.Paths[1].Interface = "eth2"
	s.pass(time.Minute, nil).want("two cables")
}

// A path that comes back is not blamed for what was missed while it was away.
func TestWatchReconnect(t *testing.T) {
	s := newScene(t).pass(3*time.Second, nil)
	s.pass(5*time.Second, func(p []uplink.PathStats) {
		p[0].State = uplink.StateConnecting
		p[0].Arrival.Received -= 72
		p[0].Arrival.LostHere += 72
		p[0].Arrival.Age += 200
	})
	s.s.paths[0].State, s.s.paths[0].Connects, s.s.paths[0].UpSince, s.s.paths[0].Arrival.Age = uplink.StateUp, 2, s.n.Seconds(), 0
	s.pass(8*time.Second, nil).want("back")
	if r := s.w.rates("fec-a"); r.lossHere != 0 || r.bps < 4_000_000 || r.bps > 4_500_000 {
		t.Errorf("rates %+v", r)
	}
	if r := s.w.rates("nosuch"); r != (pathRates{}) {
		t.Errorf("rates of no path: %+v", r)
	}
}

// The log says once why a source fails, however often it is tried.
func TestInputEvents(t *testing.T) {
	var log logBuffer
	b := &box{opts: boxOptions{now: func() time.Duration { return 0 }, log: slog.New(slog.NewTextHandler(&log, nil))}}
	w := newWatcher(b, health.New(health.Catalogue()))
	for range 3 {
		w.inputEvent(capture.Event{Kind: capture.SourceFailed, Err: errors.New("no such file")})
	}
	w.inputEvent(capture.Event{Kind: capture.InputLost})
	w.inputEvent(capture.Event{Kind: capture.InputSilenced})
	w.inputEvent(capture.Event{Kind: capture.InputReturned, Outage: 1500 * time.Millisecond})
	w.inputEvent(capture.Event{Kind: capture.SourceFailed, Err: errors.New("no such file")})
	text := log.String()
	if strings.Count(text, "no such file") != 2 || !strings.Contains(text, "level=INFO msg=\"input returned after 1.5s\"") || strings.Count(text, "level=WARN") != 4 {
		t.Error(text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.run(ctx) // returns
}
