package gateway

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quartet/capture"
	"quartet/capture/mpegts"
	"quartet/capture/tr101290"
	"quartet/tests/tsgen"
	"quartet/uplink"
	"quartet/uplink/rtp"
)

// wire is a link of a real Sender that ends in a contribution of this process:
// what is sent arrives after a delay, and reports go back at once.
type wire struct {
	fakeConn
	delay time.Duration
	mu    sync.Mutex // guards the fakeConn, which the contribution reads
}

func (w *wire) Dial(context.Context) (uplink.Link, error) { return wireEnd{w}, nil }
func (w *wire) Listening() bool                           { return false }
func (w *wire) Close() error                              { return nil }

func (w *wire) receive() (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fakeConn.receive()
}

// wireEnd is the sender's side of it.
type wireEnd struct{ *wire }

func (w wireEnd) Send(msgs [][]byte, _ []uplink.Port, _ []time.Duration) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range msgs {
		w.queue = append(w.queue, delayed{*w.now + w.delay + w.latency, append([]byte(nil), m...)})
	}
	return len(msgs), nil
}
func (w wireEnd) Recv(func([]byte)) error          { return nil }
func (w wireEnd) Stats() (uplink.LinkStats, error) { return uplink.LinkStats{}, nil }

// watched is a monitor in front of a writer.
type watched struct {
	*tr101290.Monitor
	next mpegts.Writer
}

func (w watched) WriteTS(at time.Duration, ts []byte) error {
	_ = w.Monitor.WriteTS(at, ts)
	return w.next.WriteTS(at, ts)
}

func watch(t testing.TB, next mpegts.Writer) watched {
	t.Helper()
	m, err := tr101290.New(tr101290.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return watched{m, next}
}

// whole sends d of a feed through guard, pacer, sender, two paths and a
// contribution, in virtual time, and returns what the monitors at the input, at
// the sender and at the gateway say at its end. damage alters what the source
// sends from packet n on.
func whole(t *testing.T, d time.Duration, damage func(n uint64, ts []byte) []byte) (in, out, far []tr101290.CheckStats) {
	t.Helper()
	const rate, hold = 10_000_000, 20 * time.Millisecond
	start := time.Now()
	clock := func() time.Duration { return time.Since(start) + time.Second }
	now := clock()
	key := newKey(t)
	tk, err := rtp.DeriveTagKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var wires [2]*wire
	sc := uplink.SenderConfig{
		Now: clock, Plan: uplink.Plan{K: 32, Rows: 3, Streams: 2, MaxBlock: 50 * time.Millisecond, SRTLatency: 100 * time.Millisecond, Latency: 300 * time.Millisecond},
		Pacer:             &mpegts.PacerConfig{Latency: hold, MaxLatency: 200 * time.Millisecond, MaxRateBPS: 2 * rate},
		PacketsPerMessage: 7, Key: tk,
	}
	cfg := Contribution{Name: "v", Keys: [][]byte{key}, Latency: 300 * time.Millisecond, MaxBitrate: rate, Outputs: []OutputConfig{&discard{}}, Monitor: true}
	for i := range wires {
		wires[i] = &wire{fakeConn: fakeConn{now: &now, latency: 100 * time.Millisecond}, delay: time.Duration(10+5*i) * time.Millisecond}
		name := string(rune('a' + i))
		sc.Paths = append(sc.Paths, uplink.PathConfig{Name: name, Profile: uplink.ProfileRTPFEC, Dialer: wires[i], SRTLatency: 100 * time.Millisecond})
		cfg.Inputs = append(cfg.Inputs, Input{Name: name, Offset: 100 * time.Millisecond})
	}
	atOutput := watch(t, nil)
	sc.Tap = atOutput.Monitor
	sender, err := uplink.NewSender(sc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newContribution(cfg, clock, DefaultTick, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range wires {
		c.addLink(c.paths[i], &link{conn: wires[i], gone: make(chan struct{})})
	}
	guard, err := capture.NewGuard(capture.GuardConfig{}, now, sender)
	if err != nil {
		t.Fatal(err)
	}
	atInput := watch(t, guard)

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sender.Run(ctx) }()
	time.Sleep(100 * time.Millisecond) // the paths connect
	stream, begun := tsgen.New(rate, 1), clock()
	for clock() < begun+d {
		time.Sleep(DefaultTick)
		w := clock()
		for n := stream.Count(); begun+stream.At(n+7) <= w; n = stream.Count() {
			if err := atInput.WriteTS(begun+stream.At(n+7), damage(n, stream.Next(nil, 7))); err != nil {
				t.Fatal(err)
			}
		}
		if err := guard.Tick(w); err != nil {
			t.Fatal(err)
		}
		// The wires and the contribution have one clock, which stands still while
		// it works.
		for _, l := range wires {
			l.mu.Lock()
		}
		now = w
		for _, l := range wires {
			l.mu.Unlock()
		}
		c.turn(w)
	}
	a, b := atInput.Checks(), atOutput.Checks()
	far = c.status().Stream.Checks
	if st := c.status(); st.Merged.Lost != 0 || st.State != Streaming || st.Merged.Delivered < uint64(float64(rate)/8/1316*(d-time.Second).Seconds()) {
		t.Errorf("the way itself is not sound: %s, %+v", st.State, st.Merged)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return a[:len(far)], b[:len(far)], far
}

// found are the checks that have counted any.
func found(list []tr101290.CheckStats) map[tr101290.Check]uint64 {
	m := map[tr101290.Check]uint64{}
	for _, c := range list {
		if c.Count > 0 {
			m[c.Check] = c.Count
		}
	}
	return m
}

// A clean feed is clean at the input, as it is sent and as it is released, over
// the real guard, pacer, sender, FEC and gateway.
func TestCleanFeedIsCleanEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out, far := whole(t, 20*time.Second, func(_ uint64, ts []byte) []byte { return ts })
		for where, list := range map[string][]tr101290.CheckStats{"input": in, "output": out, "gateway": far} {
			if len(found(list)) > 0 {
				t.Errorf("%s: %v", where, found(list))
			}
			for _, c := range list {
				if !c.Measured && c.Check != tr101290.PTSError { // its pictures have none
					t.Errorf("%s: %s is not measured", where, c.Check)
				}
			}
		}
	})
}

// What is wrong with the feed is the same everywhere: nothing is added, nothing
// hidden.
func TestErrorsOfTheFeedAreTheSameEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out, far := whole(t, 10*time.Second, func(n uint64, ts []byte) []byte {
			switch n / 7 {
			case 2000, 4000, 4001, 6000: // lost; two in a row are one loss
				return ts[:0]
			case 5000:
				ts[2*188+1] |= 0x80 // transport_error_indicator
			}
			return ts
		})
		want := found(in)
		if want[tr101290.ContinuityCountError] < 3 || want[tr101290.TransportError] != 1 {
			t.Errorf("input: %v", want)
		}
		for where, list := range map[string][]tr101290.CheckStats{"output": out, "gateway": far} {
			got := found(list)
			for c, n := range want {
				if got[c] != n {
					t.Errorf("%s: %s %d, at the input %d", where, c, got[c], n)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: %v, at the input %v", where, got, want)
			}
		}
	})
}
