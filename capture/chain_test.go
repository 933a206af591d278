package capture_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quartet/capture"
	"quartet/capture/mpegts"
	"quartet/capture/tsfile"
	"quartet/capture/udp"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
)

const ms = time.Millisecond

// The inputs together: real captures, looped, through sockets and through a
// pacer, byte for byte and at their own rate.

// captures are real streams beside the project and a generated one.
func captures(t *testing.T) map[string]string {
	path := filepath.Join(t.TempDir(), "generated.ts")
	if err := os.WriteFile(path, tsgen.New(12e6, 3).Next(nil, 8000), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"generated": path}
	for _, name := range []string{"dvbt-mpts-22mbps.ts", "h264-1080i-eac3-dvbsub.ts"} {
		path := filepath.Join("..", "..", "shared", "streams", name)
		if _, err := os.Stat(path); err == nil {
			all[name] = path
		} else {
			t.Logf("%s is not there: the generated stream stands for it", name)
		}
	}
	return all
}

// sum counts and hashes what it is given.
type sum struct {
	mu      sync.Mutex
	hash    hash.Hash
	bytes   int
	nulls   int
	first   time.Duration
	last    time.Duration
	back    int
	packets []time.Duration // instants of all packets that are not null, if wanted
	news    chan struct{}
}

func newSum() *sum { return &sum{hash: sha256.New(), news: make(chan struct{}, 1)} }

func (s *sum) WriteTS(at time.Duration, ts []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes == 0 {
		s.first = at
	}
	if at < s.last {
		s.back++
	}
	s.last = at
	s.bytes += len(ts)
	s.hash.Write(ts)
	for ; len(ts) > 0; ts = ts[mpegts.PacketSize:] {
		if mpegts.Packet(ts[:mpegts.PacketSize]).PID() == mpegts.NullPID {
			s.nulls++
		} else {
			s.packets = append(s.packets, at)
		}
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
	return nil
}

func (s *sum) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *sum) text() string { return hex.EncodeToString(s.hash.Sum(nil)) }

func (s *sum) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for s.count() < n {
		select {
		case <-s.news:
		case <-deadline:
			t.Fatalf("%d bytes came, want %d", s.count(), n)
		}
	}
}

var processStart = time.Now()

func monotonic() time.Duration { return time.Since(processStart) }

// network sends RTP packets to every address.
type network struct {
	conns []*net.UDPConn
	pack  *rtp.Packetizer
	n     int
	drop  func(packet, leg int) bool
}

func (n *network) send(_ time.Duration, pkt []byte) {
	n.n++
	for leg, c := range n.conns {
		if n.drop == nil || !n.drop(n.n, leg) {
			c.Write(pkt)
		}
	}
}

// Two RTP legs that lose a tenth each, in real time, for more than two passes
// of the captures.
func TestCapturesPassTwoLegsInRealTime(t *testing.T) {
	for name, path := range captures(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const d = 3 * time.Second
			lo := netip.MustParseAddr("127.0.0.1")
			listening := make(chan netip.AddrPort, 2)
			src, err := udp.New(udp.Config{
				Legs: []udp.Address{{Host: lo}, {Host: lo}}, Now: monotonic,
				OnListen: func(_ int, a netip.AddrPort) { listening <- a },
			})
			if err != nil {
				t.Fatal(err)
			}
			in, err := capture.NewInput(capture.InputConfig{Source: src, Now: monotonic, Guard: capture.GuardConfig{
				OnLoss:  capture.LossStop,
				OnEvent: func(e capture.Event) { t.Errorf("event %+v", e) },
			}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out, done := newSum(), make(chan error, 1)
			go func() { done <- in.Run(ctx, out) }()

			net2 := &network{drop: func(p, leg int) bool { return p > 100 && p%20 == leg*7 || p > 100 && p%20 == 1+leg*9 }}
			for range 2 {
				c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(<-listening))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				net2.conns = append(net2.conns, c)
			}
			if net2.pack, err = rtp.NewPacketizer(rtp.PacketizerConfig{SSRC: 1, FirstSeq: 65000, Emit: net2.send}); err != nil {
				t.Fatal(err)
			}
			sent := newSum()
			file, err := tsfile.New(tsfile.Config{Path: path, Loop: true, Now: monotonic})
			if err != nil {
				t.Fatal(err)
			}
			play, stop := context.WithTimeout(t.Context(), d)
			defer stop()
			err = file.Run(play, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
				sent.WriteTS(at, ts)
				return net2.pack.WriteTS(at, ts)
			}))
			if err != nil {
				t.Fatal(err)
			}
			net2.pack.Flush(monotonic())
			out.wait(t, sent.count())
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if out.text() != sent.text() || out.back != 0 {
				t.Errorf("%d of %d bytes, SHA-256 %s, want %s", out.bytes, sent.bytes, out.text(), sent.text())
			}
			st, fs := src.Stats(), file.Stats()
			if st.RTP.Lost != 0 || st.RTP.Restarts != 0 || st.RTP.Legs[0].ByOtherLeg == 0 || st.RTP.Legs[1].ByOtherLeg == 0 {
				t.Errorf("%+v", st.RTP)
			}
			rate := float64(out.bytes) * 8 / (out.last - out.first).Seconds()
			if off := rate/fs.RateBPS - 1; fs.Stalls == 0 && math.Abs(off) > 0.02 {
				t.Errorf("%.0f bit/s, want %.0f", rate, fs.RateBPS)
			}
			t.Logf("%.2f passes, %.3f Mbit/s, legs repaired %d and %d packets", float64(fs.Packets)/float64(fs.PassPackets), rate/1e6, st.RTP.Legs[0].ByOtherLeg, st.RTP.Legs[1].ByOtherLeg)
		})
	}
}

// paced is a Pacer between a writer and the next, ticked like the packet loop.
type paced struct {
	mu    sync.Mutex
	pacer *mpegts.Pacer
	next  mpegts.Writer
}

func (p *paced) WriteTS(at time.Duration, ts []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pacer.Push(at, ts)
	return nil
}

func (p *paced) run(ctx context.Context, now func() time.Duration) {
	t := time.NewTicker(2 * ms)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		p.mu.Lock()
		p.pacer.Pop(now(), func(at time.Duration, ts []byte) { p.next.WriteTS(at, ts) })
		p.mu.Unlock()
	}
}

// interrupted is a Source that is cut off for a while.
type interrupted struct {
	capture.Source
	now      func() time.Duration
	from, to time.Duration
}

func (i *interrupted) Run(ctx context.Context, w mpegts.Writer) error {
	return i.Source.Run(ctx, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
		if n := i.now(); n >= i.from && n < i.to {
			return nil
		}
		return w.WriteTS(at, ts)
	}))
}

// A minute of each capture in virtual time, through Input and Pacer: many
// passes, not one byte changed, every packet at its instant.
func TestCapturesLoopInVirtualTime(t *testing.T) {
	for name, path := range captures(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				now := func() time.Duration { return time.Since(start) }
				file, err := tsfile.New(tsfile.Config{Path: path, Loop: true, Now: now})
				if err != nil {
					t.Fatal(err)
				}
				sent, out := newSum(), newSum()
				in, err := capture.NewInput(capture.InputConfig{Now: now, Source: sourceFunc(func(ctx context.Context, w mpegts.Writer) error {
					ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
					defer cancel()
					return file.Run(ctx, mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
						sent.WriteTS(at, ts)
						return w.WriteTS(at, ts)
					}))
				}), Guard: capture.GuardConfig{OnEvent: func(e capture.Event) { t.Errorf("event %+v", e) }}})
				if err != nil {
					t.Fatal(err)
				}
				p := &paced{pacer: mpegts.NewPacer(mpegts.PacerConfig{}), next: out}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() {
					defer close(done)
					p.run(ctx, now)
				}()
				if err := in.Run(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the pacer runs empty
				cancel()
				<-done
				if out.text() != sent.text() || out.back != 0 {
					t.Errorf("%d of %d bytes, SHA-256 %s, want %s", out.bytes, sent.bytes, out.text(), sent.text())
				}
				if st := p.pacer.Stats(); st.Dropped+st.EarlyReleases != 0 {
					t.Errorf("%+v", st)
				}
				t.Logf("%d passes", file.Stats().Passes)
			})
		})
	}
}

type sourceFunc func(ctx context.Context, w mpegts.Writer) error

func (f sourceFunc) Run(ctx context.Context, w mpegts.Writer) error { return f(ctx, w) }

// The feed is cut for four seconds: null packets take its place behind the
// pacer at the same rate, evenly, and the feed comes back without a burst.
func TestNullPacketsBehindThePacer(t *testing.T) {
	const rate = 12e6
	path := captures(t)["generated"]
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		now := func() time.Duration { return time.Since(start) }
		file, err := tsfile.New(tsfile.Config{Path: path, Loop: true, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		var events []capture.Event
		in, err := capture.NewInput(capture.InputConfig{
			Now: now, Source: &interrupted{Source: file, now: now, from: 5 * time.Second, to: 9 * time.Second},
			Guard: capture.GuardConfig{OnEvent: func(e capture.Event) { events = append(events, e) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		out := newSum()
		var marks []int // bytes each 100 ms
		p := &paced{pacer: mpegts.NewPacer(mpegts.PacerConfig{}), next: out}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.run(ctx, now) })
		wg.Go(func() {
			tick := time.NewTicker(100 * ms)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					marks = append(marks, out.count())
				}
			}
		})
		wg.Go(func() {
			if err := in.Run(ctx, p); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(15 * time.Second)
		cancel()
		wg.Wait()
		if len(events) != 2 || events[0].Kind != capture.InputLost || events[1].Kind != capture.InputReturned {
			t.Fatalf("events %+v", events)
		}
		if d := events[0].At - 5*time.Second; d < 490*ms || d > 506*ms {
			t.Errorf("lost %v after the cut", d)
		}
		for i := 1; i < len(marks); i++ {
			at := time.Duration(i+1) * 100 * ms
			got := float64(marks[i]-marks[i-1]) * 8 * 10 / rate
			within := 0.07
			switch {
			case at <= 300*ms || at > 5*time.Second && at <= 5800*ms:
				continue // the start; LostAfter and the pacer's hold
			case at > 5800*ms && at < 7*time.Second:
				within = 0.3 // the pacer goes over from the clock that is gone to arrival
			}
			if math.Abs(got-1) > within {
				t.Errorf("%.2f of the rate in the 100 ms up to %v", got, at)
			}
		}
		if want := 3.5 * rate / 8 / 188; math.Abs(float64(out.nulls)-want) > 60 {
			t.Errorf("%d null packets, want %.0f", out.nulls, want)
		}
	})
}
