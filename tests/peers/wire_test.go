package peers

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"quartet/tests/peers/wiredecoder"
	"quartet/tests/tsgen"
	"quartet/uplink"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

var key = bytes.Repeat([]byte{0x3C}, 32)

// decoderEnd is wiredecoder behind an SRT listener: what a second
// implementation of the gateway would be.
type decoderEnd struct {
	port  *srt.Listener
	lose  func(path int, msg []byte) bool
	begun time.Time
	wg    sync.WaitGroup

	mu   sync.Mutex
	recv *wiredecoder.Receiver
	got  []byte
}

// streamIDs of the two paths.
var streamIDs = []string{"wire-0", "wire-1"}

func newDecoderEnd(t testing.TB, latency time.Duration, lose func(path int, msg []byte) bool) *decoderEnd {
	t.Helper()
	e := &decoderEnd{lose: lose, begun: time.Now()}
	e.recv = wiredecoder.New(key, latency, func(ts []byte) { e.got = append(e.got, ts...) })
	var err error
	e.port, err = srt.Listen("127.0.0.1:0", srt.Options{Latency: 20 * ms}, func(r srt.Request) srt.Answer {
		return srt.Answer{OK: r.StreamID == streamIDs[0] || r.StreamID == streamIDs[1], Passphrase: passphrase, KeyLength: 32, Reject: srt.RejectNotFound}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.wg.Go(func() {
		for {
			c, err := e.port.Accept(ctx)
			if err != nil {
				return
			}
			e.wg.Go(func() { e.serve(ctx, c) })
		}
	})
	t.Cleanup(func() { cancel(); e.port.Close(); e.wg.Wait() })
	return e
}

// serve takes the messages of a connection and reports every 200 ms.
func (e *decoderEnd) serve(ctx context.Context, c *srt.Conn) {
	defer c.Close()
	path := 0
	if c.StreamID() == streamIDs[1] {
		path = 1
	}
	b := srt.NewBatch(64)
	tick := time.NewTicker(2 * ms)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for {
			got, err := c.Recv(b)
			if err != nil {
				return // the box has gone
			}
			if got == 0 {
				break
			}
			e.mu.Lock()
			for i := range got {
				if msg := b.Msg(i); !e.lose(path, msg) {
					e.recv.Push(path, time.Since(e.begun), msg)
				}
			}
			e.mu.Unlock()
		}
		if n%100 == 0 {
			e.mu.Lock()
			report := e.recv.Report(0x51AB, path)
			e.mu.Unlock()
			if _, err := c.Send([][]byte{report}); err != nil {
				return
			}
		}
	}
}

// A receiver written from docs/wire-format.md alone takes the box's two streams
// over real SRT, through losses that neither stream could repair by its own
// parity, also in blocks that were closed early, and gives the transport stream
// byte for byte. The box understands its reports.
func TestSecondImplementation(t *testing.T) {
	t.Parallel()
	timed(t, secondImplementation)
}

func secondImplementation(t testing.TB) {
	const latency = time.Second
	plan := uplink.Plan{K: 20, Rows: 4, Streams: 2, MaxBlock: 40 * ms, FECBound: 80 * ms, SRTLatency: 500 * ms, Latency: latency}
	random := rand.New(rand.NewPCG(5, 5))
	alone, common := 0, 0
	var first []byte // sequence number
	end := newDecoderEnd(t, latency, func(path int, msg []byte) bool {
		if len(msg) < 12 || msg[1]&0x7F != 33 {
			return false
		}
		// Two of five source packets are lost on both paths: of n in a block at
		// most 2·⌈n/5⌉, and each path has ⌈4·n/20⌉ rows. One in ten of the rest
		// is lost on the first path alone.
		if first == nil {
			first = bytes.Clone(msg[2:4])
		}
		if (binary.BigEndian.Uint16(msg[2:])-binary.BigEndian.Uint16(first))%5 < 2 {
			common++
			return true
		}
		if path == 0 && random.IntN(10) == 0 {
			alone++
			return true
		}
		return false
	})

	tagKey, err := rtp.DeriveTagKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var paths []uplink.PathConfig
	for i, id := range streamIDs {
		paths = append(paths, uplink.PathConfig{
			Name: id, Leg: 1, Stagger: time.Duration(i) * 15 * ms, SRTLatency: plan.SRTLatency,
			Dialer: uplink.NewSRTCaller(end.port.Addr().String(), srt.Options{StreamID: id, Passphrase: passphrase, KeyLength: 32, Latency: plan.SRTLatency}),
		})
	}
	// Three TS packets in a message: many messages, and little to compute.
	s := run(t, uplink.SenderConfig{Plan: plan, PacketsPerMessage: 3, Key: tagKey, Paths: paths})
	s.up(t)

	// A stream with pauses, so that the timer closes blocks early.
	const rate = 5_000_000
	gen := tsgen.New(rate, 5)
	var want []byte
	for i := range 16 {
		// 6 to 285 source packets at a time, the last one not always full; more
		// than 2048 in all, for a whole digest window.
		ts := gen.Next(nil, 17+i*56)
		want = append(want, ts...)
		if err := pour(t.Context(), s, s.now, rate, ts); err != nil {
			t.Fatal(err)
		}
		pause := time.NewTimer(60 * ms)
		<-pause.C
	}
	t.Cleanup(func() {
		if t.Failed() {
			end.mu.Lock()
			defer end.mu.Unlock()
			t.Logf("%d of %d bytes; %+v; sender %+v", len(end.got), len(want), end.recv.Stats, s.Stats())
			for _, p := range s.Paths() {
				t.Logf("path: %+v", p.Stats())
			}
		}
	})
	until(t, 5*time.Second, "the last block is through", func() bool {
		end.mu.Lock()
		defer end.mu.Unlock()
		return end.recv.Delivered+end.recv.Lost > 0 && len(end.got) >= len(want)
	})
	end.mu.Lock()
	end.recv.Flush()
	st, got := end.recv.Stats, end.got
	end.mu.Unlock()
	if !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes, the same up to %d", len(got), len(want), same(got, want))
	}
	if st.Lost+st.Late+st.BadTag+st.Malformed+st.Differing+st.Disagreeing != 0 || st.Recovered < uint64(common)/4 || st.Shortened == 0 || alone == 0 || st.Reports == 0 {
		t.Errorf("%d messages lost in common, %d alone: %+v", common, alone, st)
	}
	t.Logf("%d messages lost in common, %d alone: %+v", common, alone, st)

	// What the box makes of the reports.
	for i, p := range s.Paths() {
		until(t, 2*time.Second, "the box has the last report", func() bool {
			a := p.Stats().Arrival
			return a != nil && a.Merged.Delivered == st.Delivered
		})
		ps := p.Stats()
		a := *ps.Arrival
		// A path counts from the first packet that it brought.
		if n := a.Received + a.LostHere; n > st.Delivered || n+20 < st.Delivered || a.LostHere != a.ByOther+a.ByParity+a.Unrecovered ||
			a.Unrecovered != 0 || a.ByParity == 0 || i == 0 && a.ByOther == 0 || a.Merged.ByParity != st.Recovered || a.Merged.Lost != 0 {
			t.Errorf("path %d: the box reads %+v of %+v", i, a, st)
		}
		// Half a second without a packet would end a digest window, a second
		// without a report make the box call again.
		if a.Digest.Different != 0 || a.Digest.Equal == 0 || ps.Connects != 1 {
			t.Errorf("path %d: digests %+v, %d connections", i, a.Digest, ps.Connects)
		}
	}
}
