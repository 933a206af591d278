package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"quartet/capture/tr101290"
	"quartet/fec"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// fakeConn is a connection whose messages arrive in virtual time.
type fakeConn struct {
	now     *time.Duration
	latency time.Duration
	queue   []delayed // in order of time
	got     []delayed
	sent    [][]byte
	keep    bool // keep what is sent
}

func (f *fakeConn) receive() (int, error) {
	n := 0
	for n < len(f.queue) && n < recvBatch && f.queue[n].at <= *f.now {
		n++
	}
	f.got, f.queue = f.queue[:n], f.queue[n:]
	return n, nil
}

func (f *fakeConn) message(i int) []byte        { return f.got[i].msg }
func (f *fakeConn) overdue(i int) time.Duration { return *f.now - f.got[i].at }
func (f *fakeConn) Send(msgs [][]byte) (int, error) {
	if f.keep {
		for _, m := range msgs {
			f.sent = append(f.sent, bytes.Clone(m))
		}
	}
	return len(msgs), nil
}
func (f *fakeConn) Stats() (srt.Stats, error)  { return srt.Stats{}, nil }
func (f *fakeConn) Latency() time.Duration     { return f.latency }
func (f *fakeConn) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }
func (f *fakeConn) Encrypted() bool            { return true }
func (f *fakeConn) Close() error               { return nil }

// fakeOutput keeps when each packet came out.
type fakeOutput struct {
	now   *time.Duration
	pkts  [][]byte
	times []time.Duration
	most  int // packets in one turn
	null  OnLoss
}

func (o *fakeOutput) Title() string          { return "fake" }
func (o *fakeOutput) Check() error           { return nil }
func (o *fakeOutput) open(*outputEnv) output { return o }
func (o *fakeOutput) fill([][]byte)          {}
func (o *fakeOutput) run(ctx context.Context) {
	<-ctx.Done()
}
func (o *fakeOutput) stats() OutputStats { return OutputStats{} }
func (o *fakeOutput) onLoss() OnLoss     { return o.null }
func (o *fakeOutput) write(b *batch) {
	for _, p := range b.rtp {
		o.pkts = append(o.pkts, bytes.Clone(p))
		o.times = append(o.times, *o.now)
	}
	o.most = max(o.most, len(b.rtp))
}

// virtualPath is how one path treats the stream.
type virtualPath struct {
	delay   time.Duration // one way, before SRT's latency
	latency time.Duration // SRT's
	stagger time.Duration
	loss    float64
	jitter  time.Duration // SRT removes most; this is what is left
}

// virtual sends d of a stream over paths to a contribution, all in virtual
// time, and returns what was sent, when, and what came out.
func virtual(t testing.TB, seed uint64, rate int64, d time.Duration, params fec.Params, latency, tick time.Duration, paths ...virtualPath) (sent [][]byte, at []time.Duration, out *fakeOutput, c *contribution) {
	t.Helper()
	now := time.Duration(seed) * time.Second
	out = &fakeOutput{now: &now}
	key := newKey(t)
	cfg := Contribution{Name: "v", Keys: [][]byte{key}, Latency: latency, MaxBitrate: rate, Outputs: []OutputConfig{out}, Monitor: true}
	for i := range paths {
		cfg.Inputs = append(cfg.Inputs, Input{Name: string(rune('a' + i)), Offset: -1})
	}
	c, err := newContribution(cfg, func() time.Duration { return now }, tick, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]*fakeConn, len(paths))
	for i := range conns {
		conns[i] = &fakeConn{now: &now, latency: paths[i].latency}
		c.addLink(c.paths[i], &link{conn: conns[i], gone: make(chan struct{})})
	}
	tk, _ := rtp.DeriveTagKey(key)
	tagger := rtp.NewTagger(tk)
	rng := rand.New(rand.NewPCG(seed, 7))
	post := func(i int, when time.Duration, pkt []byte, lossy bool) {
		p := paths[i]
		if lossy && rng.Float64() < p.loss {
			return
		}
		due := when + p.stagger + p.delay + p.latency
		if p.jitter > 0 {
			due += rand.N(p.jitter)
		}
		if n := len(conns[i].queue); n > 0 {
			due = max(due, conns[i].queue[n-1].at) // SRT keeps the order
		}
		conns[i].queue = append(conns[i].queue, delayed{due, tagger.AppendTag(bytes.Clone(pkt), pkt)})
	}
	enc, err := fec.NewEncoder(fec.EncoderConfig{
		Params: params, SSRC: make([]uint32, params.Streams), Seq: make([]uint16, params.Streams),
		Emit: func(s int, when time.Duration, pkt []byte) {
			if s < len(paths) {
				post(s, when, pkt, true)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	pk, err := rtp.NewPacketizer(rtp.PacketizerConfig{
		SSRC: rng.Uint32(), FirstSeq: uint16(65536 - rng.IntN(2000)), TimestampOffset: -rng.Uint32N(300_000),
		Emit: func(when time.Duration, pkt []byte) {
			sent, at = append(sent, bytes.Clone(pkt)), append(at, when)
			for i := range paths {
				post(i, when, pkt, true)
			}
			if err := enc.Add(when, pkt); err != nil {
				t.Fatal(err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := tsgen.New(rate, seed)
	start, told := now, now
	var buf []byte
	for ; now < start+d+latency+time.Second; now += tick {
		if now >= told && now < start+d {
			told = now + 200*time.Millisecond
			for i, p := range paths {
				r := rtp.Report{Sender: &rtp.SenderInfo{}, Settings: &rtp.Settings{
					Path: uint8(i), TotalLatency: latency, SRTLatency: p.latency, Stagger: p.stagger, MaxBlock: params.MaxBlock,
					K: uint8(params.K), R: uint8(params.R), Streams: uint8(params.Streams), PacketsPerMessage: 7, BitRate: uint64(rate),
				}}
				b, err := r.Append(nil)
				if err != nil {
					t.Fatal(err)
				}
				// Reports leave without stagger; only their place in the queue
				// matters here.
				post(i, now-p.stagger, b, false)
			}
		}
		for start+stream.At(stream.Count()) <= now && now < start+d {
			when := start + stream.At(stream.Count())
			buf = stream.Next(buf[:0], 1)
			if err := pk.WriteTS(when, buf); err != nil {
				t.Fatal(err)
			}
		}
		if now >= start+d {
			pk.Flush(now)
		}
		enc.Tick(now)
		c.turn(now)
	}
	return sent, at, out, c
}

// In virtual time, over many seeds: losses on every path, stagger, skew and a
// wrap of sequence number and timestamp; everything comes out, in order,
// at the tick nearest to its instant, and in no burst longer than a tick.
func TestVirtual(t *testing.T) {
	const rate, latency, tick = 20_000_000, 300 * time.Millisecond, 2 * time.Millisecond
	params := fec.Params{K: 64, R: 10, Streams: 2, MaxBlock: 50 * time.Millisecond}
	for seed := range uint64(6) {
		sent, at, out, c := virtual(t, seed, rate, 4*time.Second, params, latency, tick,
			virtualPath{delay: 20 * time.Millisecond, latency: 80 * time.Millisecond, loss: 0.02, jitter: time.Millisecond},
			virtualPath{delay: 30 * time.Millisecond, latency: 100 * time.Millisecond, stagger: 15 * time.Millisecond, loss: 0.03, jitter: time.Millisecond},
		)
		if len(out.pkts) < len(sent) {
			t.Fatalf("seed %d: %d of %d packets came out: %+v", seed, len(out.pkts), len(sent), c.dec.Stats())
		}
		var worst, best time.Duration = 0, time.Hour
		for i := range sent {
			if !bytes.Equal(out.pkts[i], sent[i]) {
				t.Fatalf("seed %d: packet %d differs", seed, i)
			}
			d := out.times[i] - at[i] - latency
			worst, best = max(worst, d), min(best, d)
		}
		// The fastest path takes 20 ms beyond its latency, its jitter hardly
		// counts; the tick nearest to that is half a tick off at most, and RTP's
		// clock is good to 11 µs.
		if best < 20*time.Millisecond-tick/2-20*time.Microsecond || worst > 20*time.Millisecond+tick/2+time.Millisecond {
			t.Errorf("seed %d: released %v to %v after D", seed, best, worst)
		}
		if limit := int(rate*tick.Seconds()/(1316*8)) + 2; out.most > limit {
			t.Errorf("seed %d: a burst of %d packets, at most %d are a tick's", seed, out.most, limit)
		}
		if s := c.status().Stream; s.Priority1 != 1 || s.Priority2 != 0 || s.count(tr101290.TSSyncLoss) != 1 {
			t.Errorf("seed %d: errors of what is released, but for its end: %+v", seed, s)
		}
		if st := c.status(); st.Merged.Lost != 0 || st.LatencyNote != "" || st.Inputs[1].OffsetMS != 115 || st.Digest.Complete < 5 {
			t.Errorf("seed %d: %+v", seed, st)
		}
	}
}

// What is lost for good shows in the monitor, and nothing where there is none.
func TestMonitor(t *testing.T) {
	const rate, latency, tick = 10_000_000, 300 * time.Millisecond, DefaultTick
	path := virtualPath{delay: 10 * time.Millisecond, latency: 80 * time.Millisecond, loss: 0.01}
	_, _, _, c := virtual(t, 3, rate, 3*time.Second, fec.Params{K: 32, Streams: 1}, latency, tick, path)
	st := c.status()
	lost, errors := float64(st.Merged.Lost), st.Stream.count(tr101290.ContinuityCountError)
	// Seven packets in a row are of the picture and often of the sound.
	if lost == 0 || errors < lost || errors > 4*lost {
		t.Errorf("%v packets lost, %v continuity errors", lost, errors)
	}
	if n := st.Stream.count(tr101290.PATError2, tr101290.PIDError, tr101290.CRCError, tr101290.TransportError); n != 0 {
		t.Errorf("%v errors of other kinds: %+v", n, st.Stream)
	}
	c.monitor = nil
	if st := c.status(); st.Stream != nil {
		t.Errorf("switched off: %+v", st.Stream)
	}
	c.tellTime(time.Hour)
}

// Two gateways that hear different paths emit the same packets at nearly the
// same time.
func TestVirtualPair(t *testing.T) {
	const rate, latency, tick = 10_000_000, 300 * time.Millisecond, 2 * time.Millisecond
	params := fec.Params{K: 32, R: 6, Streams: 2, MaxBlock: 50 * time.Millisecond}
	near := virtualPath{delay: 10 * time.Millisecond, latency: 80 * time.Millisecond}
	far := virtualPath{delay: 25 * time.Millisecond, latency: 80 * time.Millisecond, stagger: 15 * time.Millisecond}
	a, _, outA, _ := virtual(t, 1, rate, 3*time.Second, params, latency, tick, near, far)
	b, _, outB, _ := virtual(t, 1, rate, 3*time.Second, params, latency, tick, far, near)
	if len(a) != len(b) || len(outA.pkts) != len(outB.pkts) || len(outA.pkts) < len(a) {
		t.Fatalf("%d and %d of %d packets", len(outA.pkts), len(outB.pkts), len(a))
	}
	for i := range outA.times {
		if d := outA.times[i] - outB.times[i]; max(d, -d) > tick {
			t.Fatalf("packet %d: %v apart", i, d)
		}
	}
}

// Nothing on a packet's way allocates: tag, decoder, digest, batch, peers.
func TestNoAllocations(t *testing.T) {
	now := time.Second
	out := &discard{}
	key := newKey(t)
	cfg := Contribution{
		Name: "v", Keys: [][]byte{key}, Latency: 100 * time.Millisecond, Monitor: true,
		Inputs:  []Input{{Name: "a", Offset: 40 * time.Millisecond}, {Name: "b", Offset: 40 * time.Millisecond}},
		Peers:   []Peer{{Name: "p", Call: "127.0.0.1:1"}},
		Outputs: []OutputConfig{out},
	}
	c, err := newContribution(cfg, func() time.Duration { return now }, DefaultTick, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	tk, _ := rtp.DeriveTagKey(key)
	tagger := rtp.NewTagger(tk)
	var conns [2]*fakeConn
	for i := range conns {
		conns[i] = &fakeConn{now: &now, latency: 40 * time.Millisecond}
		c.addLink(c.paths[i], &link{conn: conns[i], gone: make(chan struct{})})
	}
	c.peers[0].conn = &fakeConn{now: &now}
	stream := tsgen.New(10_000_000, 1)
	var msgs []delayed
	enc, _ := fec.NewEncoder(fec.EncoderConfig{
		Params: fec.Params{K: 32, R: 3, Streams: 1}, SSRC: make([]uint32, 1), Seq: make([]uint16, 1),
		Emit: func(_ int, when time.Duration, pkt []byte) {
			msgs = append(msgs, delayed{when, tagger.AppendTag(bytes.Clone(pkt), pkt)})
		},
	})
	pk, _ := rtp.NewPacketizer(rtp.PacketizerConfig{SSRC: 1, Emit: func(when time.Duration, pkt []byte) {
		_ = enc.Add(when, pkt)
		msgs = append(msgs, delayed{when, tagger.AppendTag(bytes.Clone(pkt), pkt)})
	}})
	var buf []byte
	for stream.Count() < 40_000 {
		when := now + stream.At(stream.Count())
		buf = stream.Next(buf[:0], 1)
		_ = pk.WriteTS(when, buf)
		enc.Tick(when)
	}
	conns[0].queue, conns[1].queue = msgs, msgs
	c.report.next = 1 << 62 // reports are rare and may allocate
	turn := func() {
		now += DefaultTick
		c.turn(now)
	}
	for range 700 { // memory is taken as the stream fills it
		turn()
	}
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Errorf("%v allocations per turn", n)
	}
	if out.packets < 2500 || c.dec.Stats().Lost != 0 || c.peers[0].sent < 2500 {
		t.Errorf("%d packets came out, %d to the peer: %+v", out.packets, c.peers[0].sent, c.dec.Stats())
	}
}

// discard counts packets.
type discard struct{ packets int }

func (o *discard) Title() string          { return "discard" }
func (o *discard) Check() error           { return nil }
func (o *discard) open(*outputEnv) output { return o }
func (o *discard) fill([][]byte)          {}
func (o *discard) run(ctx context.Context) {
	<-ctx.Done()
}
func (o *discard) stats() OutputStats { return OutputStats{} }
func (o *discard) onLoss() OnLoss     { return Stop }
func (o *discard) write(b *batch)     { o.packets += len(b.rtp) }

// FuzzMessages: whoever has the key may send anything; it must not harm, and
// memory stays bounded.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{0x80, 33, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{0x80, 201, 0, 1, 0, 0, 0, 9})
	f.Add([]byte{0x81, 98, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 4, 4, 4, 0, 0, 0, 0, 0})
	r := rtp.Report{Sender: &rtp.SenderInfo{}, Settings: &rtp.Settings{Path: 63, TotalLatency: 65 * time.Second, K: 255, R: 255, Streams: 255}, Probe: &rtp.Probe{ID: 1, Size: 200}}
	if b, err := r.Append(nil); err == nil {
		f.Add(b)
	}
	now := time.Second
	key := make([]byte, 32)
	tk, _ := rtp.DeriveTagKey(key)
	tagger := rtp.NewTagger(tk)
	cfg := Contribution{
		Name: "f", Keys: [][]byte{key}, Latency: 0, Outputs: []OutputConfig{&discard{}},
		Inputs: []Input{{Name: "a", Offset: -1}, {Name: "b", Offset: -1, FromPeer: true}},
	}
	c, err := newContribution(cfg, func() time.Duration { return now }, DefaultTick, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	conns := [2]*fakeConn{}
	for i := range conns {
		conns[i] = &fakeConn{now: &now, latency: 40 * time.Millisecond}
		c.addLink(c.paths[i], &link{conn: conns[i], gone: make(chan struct{})})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > rtp.MaxMessage-rtp.TagSize {
			b = b[:rtp.MaxMessage-rtp.TagSize]
		}
		conns[0].queue = append(conns[0].queue, delayed{now, tagger.AppendTag(bytes.Clone(b), b)}, delayed{now, b})
		conns[1].queue = append(conns[1].queue, conns[0].queue[0])
		now += 3 * time.Millisecond
		c.turn(now)
		_ = c.status()
	})
}
