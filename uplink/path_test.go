package uplink

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quartet/capture/mpegts"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// gatewayLink is a far end that reports like a gateway, unless it is mute, and
// takes messages up to a size.
type gatewayLink struct {
	fakeLink
	now     func() time.Duration
	tagger  *rtp.Tagger
	mute    atomic.Bool
	late    atomic.Bool   // reports that all came too late
	limit   int           // bytes of a message; 0: any
	drops   int           // messages longer than this never arrive; 0: none
	latency time.Duration // of what is sent
	holds   time.Duration // by the receiver, of what is reported
	opened  time.Duration
	last    time.Duration
	id      uint32
	largest int
	counted uint64
	closes  atomic.Int32
}

func newGatewayLink(now func() time.Duration, key rtp.TagKey) *gatewayLink {
	return &gatewayLink{now: now, tagger: rtp.NewTagger(key), opened: now(), last: -time.Second}
}

func (l *gatewayLink) Send(msgs [][]byte, ports []Port, ages []time.Duration) (int, error) {
	for i, m := range msgs {
		if l.limit > 0 && len(m) > l.limit {
			return 0, &srt.SizeError{Index: i, Size: len(m), Max: l.limit}
		}
		if r, err := rtp.ParseReport(m[:len(m)-rtp.TagSize]); err == nil && r.Probe != nil && (l.drops == 0 || len(m) <= l.drops) {
			l.id, l.largest = r.Probe.ID, max(l.largest, r.Probe.Size)
		}
	}
	return l.fakeLink.Send(msgs, ports, ages)
}

func (l *gatewayLink) Recv(handle func([]byte)) error {
	if err := l.fakeLink.Recv(nil); err != nil {
		return err
	}
	if now := l.now(); !l.mute.Load() && now-l.last >= 200*time.Millisecond && now-l.opened >= l.holds {
		l.last = now
		rep := rtp.Report{SSRC: 1, Path: &rtp.PathReport{Received: 7}}
		if l.late.Load() {
			l.counted += 190
			rep.Path.Late = l.counted
		}
		if l.largest > 0 {
			rep.Answer = &rtp.ProbeAnswer{ID: l.id, Largest: l.largest, Count: 1}
		}
		b, err := rep.Append(nil)
		if err != nil {
			return err
		}
		handle(l.tagger.AppendTag(b, b))
	}
	return nil
}

func (l *gatewayLink) Stats() (LinkStats, error) {
	return LinkStats{SRT: &srt.Stats{MSSndTsbPdDelay: l.latency.Milliseconds(), MSRcvTsbPdDelay: l.holds.Milliseconds()}}, nil
}

func (l *gatewayLink) Close() error { l.closes.Add(1); return nil }

// closableDialer counts what becomes of it.
type closableDialer struct {
	fakeDialer
	listening bool
	closes    atomic.Int32
}

func (d *closableDialer) Listening() bool { return d.listening }
func (d *closableDialer) Close() error    { d.closes.Add(1); return nil }

// running is a Sender in a synctest bubble with one path to what dial gives.
func running(t *testing.T, profile Profile, dial func(context.Context) (Link, error), change func(*SenderConfig)) (s *Sender, now func() time.Duration, stop func()) {
	t.Helper()
	start := time.Now()
	now = func() time.Duration { return time.Since(start) }
	cfg := SenderConfig{
		Now: now, Key: testKey, PacketsPerMessage: 7,
		Plan:  Plan{K: 8, Rows: 2, Streams: 1, MaxBlock: 50 * time.Millisecond, SRTLatency: 100 * time.Millisecond},
		Paths: []PathConfig{{Name: "x", Profile: profile, Dialer: fakeDialer{dial}}},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	synctest.Wait()
	return s, now, func() { cancel(); <-done }
}

// refusedBy is a far end's refusal, as uplink/srt tells it.
type refusedBy string

func (r refusedBy) Error() string { return string(r) }
func (refusedBy) FarEnd() bool    { return true }

func TestReplaceIsTriedUntilItConnects(t *testing.T) {
	for _, profile := range []Profile{ProfileTS, ProfileRTPFEC} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			clock := func() time.Duration { return time.Since(begun) }
			old, next := newGatewayLink(clock, testKey), newGatewayLink(clock, testKey)
			s, _, stop := running(t, profile, func(context.Context) (Link, error) { return old, nil }, nil)
			defer stop()
			p := s.Paths()[0]
			tries := 0
			p.Replace(fakeDialer{func(context.Context) (Link, error) {
				if tries++; tries <= 3 {
					return nil, refusedBy("wrong passphrase")
				}
				return next, nil
			}})
			time.Sleep(50 * time.Millisecond)
			if st := p.Stats(); st.State != StateUp || !st.Answered || !strings.Contains(st.Reason, "wrong passphrase") {
				t.Errorf("%v: state %s, reason %q; want up and the reason why the new settings do not connect", profile, st.State, st.Reason)
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if st := p.Stats(); tries != 4 || st.Connects != 2 || st.Disconnects != 0 || st.Reason != "" || st.Answered {
				t.Errorf("%v: %d tries, %d connects, %d disconnects, reason %q; want 4, 2, 0 and none", profile, tries, st.Connects, st.Disconnects, st.Reason)
			}
			if old.closes.Load() == 0 {
				t.Errorf("%v: the link of the old settings is still open", profile)
			}
		})
	}
}

func TestReplaceClosesWhatItVoids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPath(PathConfig{Name: "x", Profile: ProfileTS, Dialer: toLink(&fakeLink{})}, func() time.Duration { return 0 }, reporter{})
		var dialers [3]closableDialer
		for i := range dialers {
			dialers[i].dial = func(context.Context) (Link, error) { return &fakeLink{}, nil }
			p.Replace(&dialers[i])
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		cancel()
		<-done
		for i := range dialers {
			if n := dialers[i].closes.Load(); n != 1 {
				t.Errorf("dialer %d was closed %d times, want once", i, n)
			}
		}
	})
}

func TestListeningPathTakesTheNextCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		clock := func() time.Duration { return time.Since(begun) }
		callers := make(chan *gatewayLink)
		s, _, stop := running(t, ProfileRTPFEC, nil, func(c *SenderConfig) {
			c.Paths[0].Dialer = &closableDialer{listening: true, fakeDialer: fakeDialer{func(ctx context.Context) (Link, error) {
				select {
				case l := <-callers:
					return l, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}}}
		})
		p := s.Paths()[0]
		time.Sleep(10 * time.Second) // nobody calls
		if st := p.Stats(); st.State != StateListening || st.FailedDials != 0 {
			t.Errorf("state %s, %d failed dials; want listening and none", st.State, st.FailedDials)
		}
		first, second := newGatewayLink(clock, testKey), newGatewayLink(clock, testKey)
		first.mute.Store(true)
		callers <- first
		time.Sleep(10 * time.Second) // it does not report, and nobody else can be called
		if st := p.Stats(); st.State != StateUp || st.Connects != 1 {
			t.Errorf("state %s, %d connects; want up and 1", st.State, st.Connects)
		}
		callers <- second
		time.Sleep(2 * time.Second)
		if first.closes.Load() != 1 || second.closes.Load() != 0 {
			t.Errorf("the first caller was closed %d times, the second %d times; want 1 and 0", first.closes.Load(), second.closes.Load())
		}
		second.breakWith(errors.New("gone"))
		time.Sleep(time.Second)
		if st := p.Stats(); st.State != StateListening || st.Reason != "gone" || st.Link != nil {
			t.Errorf("state %s, reason %q, link %v; want listening, gone and none", st.State, st.Reason, st.Link)
		}
		stop()
	})
}

func TestSilentFarEndGetsASecondConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		clock := func() time.Duration { return time.Since(begun) }
		var links []*gatewayLink
		var dials []time.Duration
		mute := false
		s, _, stop := running(t, ProfileRTPFEC, func(context.Context) (Link, error) {
			l := newGatewayLink(clock, testKey)
			l.mute.Store(mute)
			links, dials = append(links, l), append(dials, clock())
			return l, nil
		}, nil)
		p := s.Paths()[0]
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(dials) != 1 || p.Stats().Arrival == nil {
			t.Fatalf("%d dials to a far end that reports, want 1; arrival %v", len(dials), p.Stats().Arrival)
		}
		mute = true
		links[0].mute.Store(true)
		fell := clock()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(dials) < 2 || dials[1]-fell > 1300*time.Millisecond {
			t.Fatalf("dials at %v; want the second within 1.3 s of %v", dials, fell)
		}
		if n := len(dials); n < 4 || n > 7 {
			t.Errorf("%d dials in 20 s of silence at %v; want one a second at first, then one in 5 s", n, dials)
		}
		if age := p.Stats().Arrival.Age; age < 19_800 || age > 20_400 {
			t.Errorf("the last report is %v ms old, want 20 s", age)
		}
		mute = false
		links[len(links)-1].mute.Store(false)
		n := len(dials)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if st := p.Stats(); len(dials) != n || st.State != StateUp || st.Arrival.Age > 250 || st.Disconnects != 0 {
			t.Errorf("%d dials since it reports again, state %s, age %v ms, %d disconnects", len(dials)-n, st.State, st.Arrival.Age, st.Disconnects)
		}
		stop()
		for i, l := range links {
			if l.closes.Load() != 1 {
				t.Errorf("link %d was closed %d times", i, l.closes.Load())
			}
		}
	})
}

// A link that is late as a whole gets a second connection; one whose network is
// slow for good does not get ever more of them.
func TestLateLinkGetsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		clock := func() time.Duration { return time.Since(begun) }
		var links []*gatewayLink
		var dials []time.Duration
		var bad atomic.Int32 // so many of the first links are late
		bad.Store(1)
		s, _, stop := running(t, ProfileRTPFEC, func(context.Context) (Link, error) {
			l := newGatewayLink(clock, testKey)
			l.late.Store(len(links) < int(bad.Load()))
			links, dials = append(links, l), append(dials, clock())
			return l, nil
		}, nil)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(dials) != 2 || dials[1] > 4*time.Second {
			t.Errorf("dials at %v; want the second within 4 s and no third", dials)
		}
		if st := s.Paths()[0].Stats(); st.Disconnects != 0 || st.State != StateUp {
			t.Errorf("%d disconnects, state %s", st.Disconnects, st.State)
		}
		bad.Store(1000)
		links[len(links)-1].late.Store(true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(dials) - 2; n < 3 || n > 20 {
			t.Errorf("%d dials in an hour of a slow network; want few", n)
		}
		stop()
		for i, l := range links {
			if l.closes.Load() != 1 {
				t.Errorf("link %d was closed %d times", i, l.closes.Load())
			}
		}
	})
}

// SRT hands a report over when its latency is over: until then none is missing.
func TestFirstReportMayTakeAsLongAsTheLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		clock := func() time.Duration { return time.Since(begun) }
		s, _, stop := running(t, ProfileRTPFEC, func(context.Context) (Link, error) {
			l := newGatewayLink(clock, testKey)
			l.latency, l.holds = 6*time.Second, 6*time.Second
			return l, nil
		}, nil)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if st := s.Paths()[0].Stats(); st.Connects != 1 || st.Arrival == nil {
			t.Errorf("%d connects, arrival %v; want 1 and a report", st.Connects, st.Arrival)
		}
		stop()
	})
}

func TestFarEndThatHangsUpIsNotCalledInHaste(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		s, _, stop := running(t, ProfileTS, func(context.Context) (Link, error) {
			dials++
			l := &fakeLink{}
			l.breakWith(errors.New("hung up"))
			return l, nil
		}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if dials < 3 {
			t.Errorf("%d dials in the first second, want several", dials)
		}
		before := dials
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := dials - before; n > 45 {
			t.Errorf("%d dials in 20 s, want at most two a second", n)
		}
		if st := s.Paths()[0].Stats(); st.Reason != "hung up" || st.Disconnects != uint64(dials) {
			t.Errorf("reason %q, %d disconnects of %d", st.Reason, st.Disconnects, dials)
		}
		stop()
	})
}

// Every message that was queued is counted: sent, dropped, stale or waiting.
func TestNothingGoesUncounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := &fakeLink{}
		s, now, stop := running(t, ProfileTS, func(context.Context) (Link, error) { return link, nil }, func(c *SenderConfig) { c.Paths[0].Queue = 100 })
		p := s.Paths()[0]
		null := mpegts.AppendNull(nil, 7)
		write := func(n int) {
			for range n {
				s.WriteTS(now(), null)
				time.Sleep(2 * time.Millisecond)
			}
		}
		write(50)
		link.mu.Lock()
		link.full = true
		link.mu.Unlock()
		write(300) // 64 wait in the batch, 100 in the queue
		link.breakWith(errors.New("gone"))
		time.Sleep(20 * time.Millisecond)
		st := p.Stats()
		if pushed := p.queue.stats().pushed; st.Sent+st.Dropped+st.Stale+st.Discarded+uint64(st.Queued) != pushed {
			t.Errorf("%d queued: %d sent, %d dropped, %d stale, %d discarded, %d waiting", pushed, st.Sent, st.Dropped, st.Stale, st.Discarded, st.Queued)
		}
		stop()
	})
}
