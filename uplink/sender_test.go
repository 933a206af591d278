package uplink

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tr101290"
	"quartet/fec"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
)

// fakeLink keeps what is sent on it.
type fakeLink struct {
	mu     sync.Mutex
	msgs   [][]byte
	full   bool
	broken error
	closed bool
}

func (l *fakeLink) Send(msgs [][]byte, _ []Port, _ []time.Duration) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return 0, l.broken
	}
	if l.full {
		return 0, ErrWouldBlock
	}
	for _, m := range msgs {
		l.msgs = append(l.msgs, bytes.Clone(m))
	}
	return len(msgs), nil
}
func (l *fakeLink) Recv(func([]byte)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}
func (l *fakeLink) Stats() (LinkStats, error) { return LinkStats{}, nil }
func (l *fakeLink) Close() error              { l.mu.Lock(); defer l.mu.Unlock(); l.closed = true; return nil }
func (l *fakeLink) breakWith(err error)       { l.mu.Lock(); l.broken = err; l.mu.Unlock() }

type fakeDialer struct {
	dial func(context.Context) (Link, error)
}

func (d fakeDialer) Dial(ctx context.Context) (Link, error) { return d.dial(ctx) }
func (d fakeDialer) Listening() bool                        { return false }
func (d fakeDialer) Close() error                           { return nil }

func toLink(l Link) fakeDialer {
	return fakeDialer{func(context.Context) (Link, error) { return l, nil }}
}

var testKey, _ = rtp.DeriveTagKey(bytes.Repeat([]byte{7}, 32))

func fourPaths(links []*fakeLink) []PathConfig {
	paths := make([]PathConfig, len(links))
	for i, l := range links {
		paths[i] = PathConfig{Name: string(rune('a' + i)), Leg: 1 + i/2, Profile: ProfileRTPFEC, Dialer: toLink(l)}
	}
	return paths
}

func TestSenderFeedsFourPathsWithTheSamePacketsAndDiverseParity(t *testing.T) {
	links := []*fakeLink{{}, {}, {}, {}}
	now := time.Duration(0)
	var seen tapped
	s, err := NewSender(SenderConfig{
		Now: func() time.Duration { return now }, Key: testKey, PacketsPerMessage: 7, Paths: fourPaths(links),
		Plan: Plan{K: 32, Rows: 4, Streams: 4, MaxBlock: 50 * time.Millisecond}, Tap: &seen,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := newBatch(batchMessages)
	for i, p := range s.paths {
		p.link = links[i]
		p.up.Store(true)
	}
	gen := tsgen.New(10_000_000, 1)
	for range 7 * 320 / 4 {
		now = gen.At(gen.Count())
		if err := s.WriteTS(now, gen.Next(nil, 4)); err != nil {
			t.Fatal(err)
		}
		s.Tick(now)
		for _, p := range s.paths {
			p.batch = b
			if err := p.flush(now); err != nil {
				t.Fatal(err)
			}
		}
	}
	verify, _ := rtp.NewVerifier(testKey)
	sources := make([][]string, len(links))
	esis := map[uint8]int{}
	for i, l := range links {
		for _, m := range l.msgs {
			pkt, ok := verify.Check(m)
			if !ok {
				t.Fatalf("path %d: wrong tag", i)
			}
			if rtp.PayloadTypeOf(pkt) == fec.SourcePT {
				sources[i] = append(sources[i], string(pkt))
				continue
			}
			h, _, err := fec.ParseRepair(pkt)
			if err != nil {
				t.Fatal(err)
			}
			if want := i; int(h.ESI-h.K)%4 != want {
				t.Errorf("path %d carries ESI %d of K %d, which belongs to stream %d", i, h.ESI, h.K, (h.ESI-h.K)%4)
			}
			esis[h.ESI]++
		}
	}
	if len(sources[0]) != 320 {
		t.Errorf("%d source packets, want 320", len(sources[0]))
	}
	for i := range sources {
		if len(sources[i]) != len(sources[0]) {
			t.Fatalf("path %d carries %d source packets, path 0 %d", i, len(sources[i]), len(sources[0]))
		}
		for j := range sources[i] {
			if sources[i][j] != sources[0][j] {
				t.Fatalf("path %d: source packet %d differs from path 0's", i, j)
			}
		}
	}
	if len(esis) != 16 {
		t.Errorf("%d different rows of parity over four paths, want 16", len(esis))
	}
	// The tap saw what was sent, when it was due.
	if want := tsgen.New(10_000_000, 1).Next(nil, 7*320); !bytes.Equal(seen.ts, want) || seen.backwards || seen.last > now || seen.last < now-10*time.Millisecond {
		t.Errorf("the tap saw %d of %d bytes, the last at %v of %v", len(seen.ts), len(want), seen.last, now)
	}
}

// tapped keeps what a tap sees.
type tapped struct {
	ts        []byte
	last      time.Duration
	backwards bool
}

func (t *tapped) WriteTS(at time.Duration, ts []byte) error {
	t.ts = append(t.ts, ts...)
	t.backwards = t.backwards || at < t.last
	t.last = at
	return errors.New("nobody listens to it")
}

func TestPacketPathDoesNotAllocate(t *testing.T) {
	links := []*fakeLink{{}, {}, {}, {}}
	now := time.Duration(0)
	s, err := NewSender(SenderConfig{
		Now: func() time.Duration { return now }, Key: testKey, PacketsPerMessage: 7, Paths: fourPaths(links),
		Plan: Plan{K: 64, Rows: 6, Streams: 4, MaxBlock: 50 * time.Millisecond}, Tap: newMonitor(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.paths {
		p.up.Store(true)
	}
	ts := tsgen.New(10_000_000, 1).Next(nil, 7)
	write := func() {
		now += time.Millisecond
		s.WriteTS(now, ts)
		s.Tick(now)
	}
	for range 1000 {
		write()
	}
	if n := testing.AllocsPerRun(2000, write); n != 0 {
		t.Errorf("%v allocations per packet, want 0", n)
	}
}

func newMonitor(t testing.TB) *tr101290.Monitor {
	m, err := tr101290.New(tr101290.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// BenchmarkPacketPath is what a packet costs from the pacer to the sockets: RTP,
// tag, 24 rows of parity, and four queues in and out.
func BenchmarkPacketPath(b *testing.B) { benchPacketPath(b, 1, nil) }

// BenchmarkMonitoredPacketPath is the same with a long stream, and with and
// without a monitor of what is sent.
func BenchmarkMonitoredPacketPath(b *testing.B) {
	b.Run("off", func(b *testing.B) { benchPacketPath(b, 4096, nil) })
	b.Run("on", func(b *testing.B) { benchPacketPath(b, 4096, newMonitor(b)) })
}

// benchPacketPath sends a stream of some messages again and again.
func benchPacketPath(b *testing.B, messages int, tap mpegts.Writer) {
	links := []*fakeLink{{}, {}, {}, {}}
	now := time.Duration(0)
	s, err := NewSender(SenderConfig{
		Now: func() time.Duration { return now }, Key: testKey, PacketsPerMessage: 7, Paths: fourPaths(links),
		Plan: Plan{K: 64, Rows: 6, Streams: 4, MaxBlock: 50 * time.Millisecond}, Tap: tap,
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range s.paths {
		p.up.Store(true)
	}
	const size = 7 * tsgen.PacketSize
	stream := tsgen.New(20_000_000, 1).Next(nil, 7*messages)
	b.SetBytes(size)
	b.ReportAllocs()
	sent := newBatch(batchMessages)
	for i := 0; b.Loop(); i++ {
		now += 526 * time.Microsecond
		at := i % messages * size
		s.WriteTS(now, stream[at:at+size])
		if i%4 == 3 { // a tick's worth at 20 Mbit/s
			for _, p := range s.paths {
				p.queue.pop(now, time.Second, sent)
				sent.sent(len(sent.msgs))
			}
		}
	}
}

func TestQueueDropsItsOldest(t *testing.T) {
	q, b := newQueue(4), newBatch(8)
	for i := range byte(6) {
		q.push(time.Duration(i), PortMedia, []byte{i})
	}
	q.pop(10, time.Second, b)
	if len(b.msgs) != 4 || b.msgs[0][0] != 2 || b.msgs[3][0] != 5 {
		t.Errorf("popped %v, want 2…5", b.msgs)
	}
	if st := q.stats(); st.dropped != 2 {
		t.Errorf("%d counted as dropped, want 2", st.dropped)
	}
	b.sent(3)
	if len(b.msgs) != 1 || b.msgs[0][0] != 5 {
		t.Errorf("after sending 3: %v, want [5]", b.msgs)
	}
	q.push(20, PortMedia, []byte{9})
	q.push(30, PortMedia, []byte{10})
	q.pop(25, 3, b)
	if len(b.msgs) != 1 {
		t.Errorf("a message older than maxAge was popped, or one that is not due: %v", b.msgs)
	}
	if st := q.stats(); st.stale != 1 || st.length != 1 {
		t.Errorf("stale %d, left %d; want 1 and 1", st.stale, st.length)
	}
}

func TestPathDialsAgainAndKeepsWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused: nothing listens there")
		links := []*fakeLink{{}, {}}
		var dials []time.Duration
		start := time.Now()
		now := func() time.Duration { return time.Since(start) }
		p := newPath(PathConfig{Name: "x", Profile: ProfileTS, Dialer: fakeDialer{func(context.Context) (Link, error) {
			dials = append(dials, now())
			switch n := len(dials); {
			case n < 3:
				return nil, refused
			default:
				return links[n-3], nil
			}
		}}}, now, reporter{heardAt: -1 << 62})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()

		synctest.Wait()
		if st := p.Stats(); st.Reason != refused.Error() || st.State != StateConnecting {
			t.Errorf("state %s, reason %q; want %s, %q", st.State, st.Reason, StateConnecting, refused)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if st := p.Stats(); st.State != StateUp || len(dials) != 3 {
			t.Fatalf("state %s after %d dials; want up after 3", st.State, len(dials))
		}
		if dials[1]-dials[0] > 250*time.Millisecond {
			t.Errorf("second try after %v, want at most 250 ms", dials[1]-dials[0])
		}
		links[0].breakWith(errors.New("the far end closed it"))
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if st := p.Stats(); st.State != StateUp || st.Disconnects != 1 || st.FailedDials != 2 {
			t.Errorf("state %s, %d disconnects, %d failed dials; want up, 1 and 2", st.State, st.Disconnects, st.FailedDials)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !links[0].closed || !links[1].closed {
			t.Error("a link was not closed")
		}
	})
}

func TestPathReplacesItsLinkWithoutAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := &fakeLink{}, &fakeLink{}
		start := time.Now()
		now := func() time.Duration { return time.Since(start) }
		p := newPath(PathConfig{Name: "x", Profile: ProfileTS, Dialer: toLink(old)}, now, reporter{heardAt: -1 << 62})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		send := func(n int) {
			for range n {
				p.push(now(), PortMedia, []byte{1})
				p.notify()
				time.Sleep(2 * time.Millisecond)
			}
		}
		send(100)
		p.Replace(fakeDialer{func(ctx context.Context) (Link, error) {
			time.Sleep(50 * time.Millisecond) // a handshake
			return next, nil
		}})
		send(100)
		synctest.Wait()
		if n := len(old.msgs) + len(next.msgs); n != 200 || len(next.msgs) == 0 {
			t.Errorf("old link took %d, new link %d; want 200 in all", len(old.msgs), len(next.msgs))
		}
		if old.closed {
			t.Error("the old link was closed before it could deliver")
		}
		cancel()
		<-done
		if !old.closed || !next.closed {
			t.Error("a link was not closed at the end")
		}
	})
}

// A path that is too weak is given no parity, or nothing; the others notice
// nothing, and what is withheld is counted.
func TestSetLoad(t *testing.T) {
	p := newPath(PathConfig{Name: "a", Profile: ProfileRTPFEC, Queue: 8}, func() time.Duration { return 0 }, reporter{})
	p.up.Store(true)
	s := &Sender{paths: []*Path{p}, tagger: rtp.NewTagger(rtp.TagKey{})}
	send := func() {
		p.push(0, PortMedia, make([]byte, 100))
		s.repair(0, 0, make([]byte, 100))
	}
	for _, c := range []struct {
		carries, parity bool
		queued          int
		spared          uint64
	}{{true, true, 2, 0}, {true, false, 3, 1}, {false, false, 3, 3}, {true, true, 5, 3}} {
		p.SetLoad(c.carries, c.parity)
		send()
		st := p.Stats()
		if st.Queued != c.queued || st.Spared != c.spared || st.Shed == c.carries || st.Bare == c.parity {
			t.Errorf("%+v: %d queued, %d spared, %+v", c, st.Queued, st.Spared, st)
		}
	}
}
