package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"quartet/fec"
	"quartet/tests/freeport"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// began is the origin of the tests' clock, shared by boxes and gateways of one
// process.
var began = time.Now()

func clock() time.Duration { return time.Since(began) }

// fakeBox is a box made of the real parts, without queue and planner: it makes
// a stream in real time and sends it over its paths.
type fakeBox struct {
	t   testing.TB
	cfg boxConfig

	mu     sync.Mutex
	tagger *rtp.Tagger
	verify *rtp.Verifier
	paths  []*boxPath
	sent   [][]byte // source packets, in order
	ts     []byte   // their payload
	digest rtp.Digest
	ssrc   uint32
	paused bool
	stop   context.CancelFunc
	done   chan struct{}
}

type boxConfig struct {
	rate    int64 // bit/s
	key     []byte
	latency time.Duration // told total latency
	params  fec.Params
	seed    uint64
}

// boxPath is one path of it.
type boxPath struct {
	addr    string
	opts    srt.Options
	stagger time.Duration
	// drop tells which packets never leave: n counts source packets (or repair
	// packets) of the stream.
	drop func(n int, repair bool) bool
	// mute stops everything on the path.
	mute bool

	conn    *srt.Conn
	queue   []delayed
	repairs int
	report  *rtp.Report
	reports int
}

type delayed struct {
	at  time.Duration
	msg []byte
}

func newKey(t testing.TB) []byte {
	k := make([]byte, 32)
	if _, err := rand.Read(k); err != nil {
		t.Fatal(err)
	}
	return k
}

func (c boxConfig) withDefaults(t testing.TB) boxConfig {
	if c.rate == 0 {
		c.rate = 4_000_000
	}
	if c.key == nil {
		c.key = newKey(t)
	}
	if c.latency == 0 {
		c.latency = 400 * time.Millisecond
	}
	if c.params.K == 0 {
		c.params = fec.Params{K: 32, R: 4, Streams: 2, MaxBlock: 70 * time.Millisecond}
	}
	return c
}

// startBox connects every path and starts to send.
func startBox(t testing.TB, cfg boxConfig, paths ...*boxPath) *fakeBox {
	t.Helper()
	for _, p := range paths {
		p.conn = dial(t, p.addr, p.opts)
	}
	return boxOn(t, cfg, paths...)
}

// boxOn is startBox on paths that are connected.
func boxOn(t testing.TB, cfg boxConfig, paths ...*boxPath) *fakeBox {
	t.Helper()
	cfg = cfg.withDefaults(t)
	b := &fakeBox{t: t, cfg: cfg, paths: paths, done: make(chan struct{})}
	b.setKey(cfg.key)
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go b.run(ctx)
	t.Cleanup(b.close)
	return b
}

func dial(t testing.TB, addr string, o srt.Options) *srt.Conn {
	t.Helper()
	c, err := srt.Dial(context.Background(), addr, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// setKey changes the key that messages are tagged with.
func (b *fakeBox) setKey(key []byte) {
	k, err := rtp.DeriveTagKey(key)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tagger = rtp.NewTagger(k)
	b.verify, _ = rtp.NewVerifier(k)
}

// close stops sending and closes the paths.
func (b *fakeBox) close() {
	b.stop()
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.paths {
		if p.conn != nil {
			_ = p.conn.Close()
		}
	}
}

// pause ends the stream, but keeps the connections until what was sent is
// through.
func (b *fakeBox) pause() { b.with(func() { b.paused = true }) }

// with runs f while nothing is being sent.
func (b *fakeBox) with(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// packets is a copy of what has been sent so far.
func (b *fakeBox) packets() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([][]byte(nil), b.sent...)
}

func (b *fakeBox) run(ctx context.Context) {
	defer close(b.done)
	var seed [10]byte
	_, _ = rand.Read(seed[:])
	ssrc := binary.BigEndian.Uint32(seed[:])
	b.with(func() { b.ssrc = ssrc })
	stream := tsgen.New(b.cfg.rate, b.cfg.seed+uint64(ssrc))
	streams := b.cfg.params.Streams
	enc, err := fec.NewEncoder(fec.EncoderConfig{
		Params: b.cfg.params, SSRC: make([]uint32, streams), Seq: make([]uint16, streams),
		Emit: func(stream int, at time.Duration, pkt []byte) {
			if stream < len(b.paths) {
				b.sendOn(b.paths[stream], at, pkt, b.paths[stream].repairs, true)
				b.paths[stream].repairs++
			}
		},
	})
	if err != nil {
		b.t.Error(err)
		return
	}
	pk, err := rtp.NewPacketizer(rtp.PacketizerConfig{
		SSRC: ssrc, FirstSeq: binary.BigEndian.Uint16(seed[4:]), TimestampOffset: binary.BigEndian.Uint32(seed[6:]),
		Emit: func(at time.Duration, pkt []byte) {
			n := len(b.sent)
			b.sent = append(b.sent, bytes.Clone(pkt))
			b.ts = append(b.ts, pkt[rtp.HeaderSize:]...)
			b.digest.Add(pkt)
			for _, p := range b.paths {
				b.sendOn(p, at, pkt, n, false)
			}
			if err := enc.Add(at, pkt); err != nil {
				b.t.Error(err)
			}
		},
	})
	if err != nil {
		b.t.Error(err)
		return
	}
	start := clock()
	last := start
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var report time.Duration
	in := srt.NewBatch(16)
	var buf []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := clock()
		b.mu.Lock()
		// The machine paused, or we did: so does the input. What is tested here is the
		// gateway, not how much starvation a box bears.
		if late := now - last; late > 20*time.Millisecond || b.paused {
			start += late
		}
		last = now
		if now >= report {
			report = now + 200*time.Millisecond
			b.tell(now)
		}
		// Whole packets only: one that is half full when the machine pauses
		// would carry the time of before.
		for !b.paused && start+stream.At(stream.Count()+7) <= now {
			at := start + stream.At(stream.Count()+7)
			buf = stream.Next(buf[:0], 7)
			if err := pk.WriteTS(at, buf); err != nil {
				b.t.Error(err)
			}
		}
		enc.Tick(now)
		for _, p := range b.paths {
			b.transmit(p, now)
			b.listen(p, in)
		}
		b.mu.Unlock()
	}
}

// sendOn queues a packet on a path.
func (b *fakeBox) sendOn(p *boxPath, at time.Duration, pkt []byte, n int, repair bool) {
	if p.mute || p.drop != nil && p.drop(n, repair) {
		return
	}
	msg := make([]byte, 0, len(pkt)+rtp.TagSize)
	msg = append(msg, pkt...)
	p.queue = append(p.queue, delayed{at + p.stagger, b.tagger.AppendTag(msg, pkt)})
}

func (b *fakeBox) transmit(p *boxPath, now time.Duration) {
	n := 0
	for n < len(p.queue) && p.queue[n].at <= now {
		n++
	}
	if n == 0 {
		return
	}
	if p.conn != nil {
		msgs := make([][]byte, n)
		for i := range msgs {
			msgs[i] = p.queue[i].msg
		}
		_, _ = p.conn.Send(msgs)
	}
	p.queue = p.queue[n:]
}

// tell sends SR and QRTS on every path.
func (b *fakeBox) tell(now time.Duration) {
	for i, p := range b.paths {
		if p.conn == nil || p.mute {
			continue
		}
		b.send(p, &rtp.Report{
			SSRC: b.ssrc, Sender: &rtp.SenderInfo{NTP: rtp.NTP(now)},
			Settings: &rtp.Settings{
				SSRC: b.ssrc, Path: uint8(i), Leg: 1, Stream: uint8(i), TotalLatency: b.cfg.latency,
				SRTLatency: p.conn.PeerLatency(), Stagger: p.stagger, MaxBlock: b.cfg.params.MaxBlock,
				K: uint8(b.cfg.params.K), R: uint8(b.cfg.params.R), Streams: uint8(b.cfg.params.Streams),
				RepairPT: fec.RepairPT, PacketsPerMessage: 7, BitRate: uint64(b.cfg.rate),
			},
		})
	}
}

func (b *fakeBox) send(p *boxPath, r *rtp.Report) {
	pkt, err := r.Append(nil)
	if err != nil {
		b.t.Error(err)
		return
	}
	_, _ = p.conn.Send([][]byte{b.tagger.AppendTag(pkt, pkt)})
}

// listen takes the reports of a path.
func (b *fakeBox) listen(p *boxPath, in *srt.Batch) {
	if p.conn == nil {
		return
	}
	n, _ := p.conn.Recv(in)
	for i := range n {
		pkt, ok := b.verify.Check(in.Msg(i))
		if !ok || !rtp.IsRTCP(pkt) {
			continue
		}
		if r, err := rtp.ParseReport(pkt); err == nil {
			if r.Path != nil || p.report == nil {
				p.report = r
			} else {
				p.report.Answer = r.Answer
			}
			p.reports++
		}
	}
}

// startGateway runs a gateway until the test ends, or stop is called.
func startGateway(t testing.TB, cfg Config) (g *Gateway, stop func()) {
	t.Helper()
	cfg.Now = clock
	if cfg.Log == nil {
		cfg.Log = testLog(t, cfg.Name)
	}
	if cfg.Name == "" {
		cfg.Name = "gw"
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	select {
	case <-g.Up():
	case err := <-ended:
		t.Fatal(err)
	case <-time.After(10 * time.Second):
		t.Fatal("gateway does not come up")
	}
	return g, stop
}

const loopback = "127.0.0.1:0"

// freePort is a listener address that is free now.
func freePort(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", freeport.UDP(t))
}

func listening(streamID, passphrase string) Input {
	return Input{
		Name: streamID, Listen: loopback, Offset: -1,
		SRT: srt.Options{StreamID: streamID, Passphrase: passphrase},
	}
}

func calling(g *Gateway, listen, streamID, passphrase string, latency time.Duration) *boxPath {
	return &boxPath{addr: g.Addr(listen).String(), opts: srt.Options{
		StreamID: streamID, Passphrase: passphrase, Latency: latency,
	}}
}

func oneListener(latency time.Duration) []Listener {
	return []Listener{{Address: loopback, SRT: srt.Options{Latency: latency}}}
}
