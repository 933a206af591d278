package gateway

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"quartet/fec"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// SRT latencies that outlast a busy machine's hiccups.
const (
	pathLatency = 150 * time.Millisecond
	peerLatency = 100 * time.Millisecond
)

// leg is two gateways that are each other's peers, one contribution, an RTP
// output each.
type leg struct {
	key        []byte
	listen     [2]string
	cfg        [2]Config
	gw         [2]*Gateway
	stop       [2]func()
	out        [2]*receiver
	firstHand  [2]string // stream ids
	fromPeerID [2]string
}

func newLeg(t *testing.T, latency time.Duration) *leg {
	l := &leg{key: newKey(t), firstHand: [2]string{"box-a", "box-b"}, fromPeerID: [2]string{"peer-to-a", "peer-to-b"}}
	for i := range l.listen {
		l.listen[i] = freePort(t)
		l.out[i] = newReceiver(t)
	}
	for i := range l.cfg {
		other := 1 - i
		first := listening(l.firstHand[i], pass)
		first.Listen = l.listen[i]
		peer := listening(l.fromPeerID[i], pass)
		peer.Listen, peer.FromPeer = l.listen[i], true
		l.cfg[i] = Config{
			Listeners: []Listener{{Address: l.listen[i], SRT: srt.Options{Latency: 20 * time.Millisecond}}},
			Contributions: []Contribution{{
				Name: "a", Keys: [][]byte{l.key}, Latency: latency,
				Inputs: []Input{first, peer},
				Peers: []Peer{{Name: "other", Call: l.listen[other], SRT: srt.Options{
					StreamID: l.fromPeerID[other], Passphrase: pass, Latency: peerLatency,
				}}},
				Outputs: []OutputConfig{&RTPOutput{Name: "rtp", Destinations: []Destination{{Address: l.out[i].addr()}}}},
			}},
		}
		l.start(t, i)
	}
	return l
}

func (l *leg) start(t *testing.T, i int) { l.gw[i], l.stop[i] = startGateway(t, l.cfg[i]) }

func (l *leg) path(i int) *boxPath {
	return &boxPath{addr: l.listen[i], opts: srt.Options{StreamID: l.firstHand[i], Passphrase: pass, Latency: pathLatency}}
}

func (l *leg) peered(t *testing.T) {
	t.Helper()
	for i := range l.gw {
		eventually(t, 10*time.Second, "peers connect", func() bool {
			k := l.gw[i].Status(context.Background()).Contributions[0]
			return k.Peers[0].State == "connected" && len(k.Inputs[1].Connection) == 1
		})
	}
}

// caughtUp waits until both outputs have the box's last packet.
func (l *leg) caughtUp(t *testing.T, box *fakeBox, outs ...int) {
	t.Helper()
	box.pause()
	for _, i := range outs {
		eventually(t, 5*time.Second, "the last packet comes out", func() bool {
			sent := box.packets()
			return bytes.Equal(l.out[i].last(), sent[len(sent)-1])
		})
	}
}

// Each gateway has one path first-hand and the other through its peer: what
// one path loses, both have. Their RTP is identical, packet for packet, also
// when one of the paths is dead, and after one of the gateways restarts.
func TestLeg(t *testing.T) {
	l := newLeg(t, 800*time.Millisecond)
	l.peered(t)
	a, b := l.path(0), l.path(1)
	b.stagger = 15 * time.Millisecond
	a.drop = func(n int, repair bool) bool { return n%4 == 0 }
	b.drop = func(n int, repair bool) bool { return n%4 == 2 }
	box := startBox(t, boxConfig{key: l.key}, a, b)
	eventually(t, 10*time.Second, "packets come out of both", func() bool { return l.out[0].count() > 400 && l.out[1].count() > 400 })

	for i := range l.gw {
		k := l.gw[i].Status(context.Background()).Contributions[0]
		if k.Merged.Lost != 0 || k.Inputs[1].From != "peer" || k.Inputs[1].Path.Received == 0 {
			t.Errorf("gateway %d: lost %d, peer %+v", i, k.Merged.Lost, k.Inputs[1].Path)
		}
		want := ms(peerLatency + pathLatency + []time.Duration{b.stagger, a.stagger}[i])
		if k.Inputs[1].OffsetMS != want {
			t.Errorf("gateway %d: offset of the peer's stream %v ms, want %v", i, k.Inputs[1].OffsetMS, want)
		}
	}

	// Path a dies: both live on path b alone, which loses nothing now.
	box.with(func() { a.mute, b.drop = true, nil })
	n := l.out[0].count()
	eventually(t, 10*time.Second, "both go on", func() bool { return l.out[0].count() > n+400 && l.out[1].count() > n+400 })

	// Gateway 1 restarts while path a lives and path b has lost its gateway.
	box.with(func() { a.mute, a.drop = false, nil })
	n = l.out[0].count()
	eventually(t, 10*time.Second, "path a is back", func() bool { return l.out[0].count() > n+200 })
	l.stop[1]()
	before := l.out[1].count()
	l.start(t, 1)
	l.peered(t)
	joined := time.Now()
	eventually(t, 10*time.Second, "the restarted gateway joins", func() bool { return l.out[1].count() > before+10 })
	if d := time.Since(joined); d > 6*time.Second { // D in virtual time, see TestVirtual
		t.Errorf("joined after %v", d)
	}
	n = l.out[1].count()
	eventually(t, 10*time.Second, "it goes on", func() bool { return l.out[1].count() > n+400 })
	l.caughtUp(t, box, 0, 1)

	sent := box.packets()
	sameRun(t, l.out[0].packets(), sent)
	sameRuns(t, 2, l.out[1].packets(), sent)
}

// What a peer forwarded is not forwarded again: else two gateways would send
// everything in a circle.
func TestPeersDoNotEcho(t *testing.T) {
	l := newLeg(t, 800*time.Millisecond)
	l.peered(t)
	box := startBox(t, boxConfig{key: l.key}, l.path(0)) // path b is not there
	eventually(t, 10*time.Second, "the second gateway has it from its peer", func() bool { return l.out[1].count() > 300 })
	l.caughtUp(t, box, 0, 1)
	if st := l.gw[1].Status(context.Background()).Contributions[0]; st.Peers[0].Sent != 0 {
		t.Errorf("%d messages forwarded that came from a peer", st.Peers[0].Sent)
	}
	sameRun(t, l.out[1].packets(), box.packets())
}

// solo is one gateway with one input and an RTP output.
func solo(t *testing.T, change func(*Config)) (*Gateway, *receiver, []byte) {
	t.Helper()
	out := newReceiver(t)
	key := newKey(t)
	cfg := Config{
		Listeners: oneListener(20 * time.Millisecond),
		Contributions: []Contribution{{
			Name: "a", Keys: [][]byte{key}, Latency: 800 * time.Millisecond,
			Inputs:  []Input{listening("one", pass)},
			Outputs: []OutputConfig{&RTPOutput{Name: "rtp", Destinations: []Destination{{Address: out.addr()}}}},
		}},
	}
	if change != nil {
		change(&cfg)
	}
	g, _ := startGateway(t, cfg)
	return g, out, key
}

func soloParams() fec.Params { return fec.Params{K: 32, R: 0, Streams: 1} }

// A second connection with the same stream id takes over without a gap; the
// first is drained until the box closes it.
func TestReplacedConnection(t *testing.T) {
	g, out, key := solo(t, nil)
	p := calling(g, loopback, "one", pass, pathLatency)
	box := startBox(t, boxConfig{key: key, params: soloParams()}, p)
	for range 3 {
		n := out.count()
		eventually(t, 5*time.Second, "packets come out", func() bool { return out.count() > n+150 })
		next := dial(t, p.addr, p.opts)
		var old *srt.Conn
		box.with(func() { old, p.conn = p.conn, next })
		eventually(t, 5*time.Second, "both connections stand", func() bool {
			return len(g.Status(context.Background()).Contributions[0].Inputs[0].Connection) == 2
		})
		if err := old.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		_ = old.Close()
		eventually(t, 5*time.Second, "the old one is gone", func() bool {
			return len(g.Status(context.Background()).Contributions[0].Inputs[0].Connection) == 1
		})
	}
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
	if k := g.Status(context.Background()).Contributions[0]; k.Merged.Lost != 0 || k.Inputs[0].Connects != 4 {
		t.Errorf("lost %d, %d connections", k.Merged.Lost, k.Inputs[0].Connects)
	}
}

// Someone with the passphrase but without the contribution key gets nothing
// into the output, and does not disturb who has it.
func TestWrongKey(t *testing.T) {
	g, out, key := solo(t, nil)
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	startBox(t, boxConfig{key: newKey(t), params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "messages of both come", func() bool {
		in := g.Status(context.Background()).Contributions[0].Inputs[0]
		return in.Path.Received > 0 && in.BadTag > 100
	})
	for range 5 { // nor push the box's connection out
		c := dial(t, g.Addr(loopback).String(), srt.Options{StreamID: "one", Passphrase: pass})
		defer func() { _ = c.Close() }()
	}
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 300 })
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
	if in := g.Status(context.Background()).Contributions[0].Inputs[0]; in.OffsetMS != ms(pathLatency) {
		t.Errorf("offset %v ms: a connection without the key had a say", in.OffsetMS)
	}
}

// Garbage at the port, from strangers and in the guise of SRT, costs nothing.
func TestHostileDatagrams(t *testing.T) {
	g, out, key := solo(t, nil)
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 50 })
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(g.Addr(loopback).String()))
	c, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	junk := make([]byte, 1472)
	for ms := range 1500 { // 10,000 a second
		<-tick.C
		for i := range 10 {
			n := ms*10 + i
			for j := range 64 {
				junk[j] = byte(n * (j + 1) * 2654435761 >> 7)
			}
			if n%3 == 0 { // an SRT handshake header, the rest garbage
				copy(junk, []byte{0x80, 0, 0, 0, 0, 0, 0, 0})
			}
			_, _ = c.Write(junk[:16+n%1400])
		}
	}
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
}

// A box that starts again has a new SSRC: its stream follows the old one's.
func TestSourceRestart(t *testing.T) {
	g, out, key := solo(t, nil)
	first := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 200 })
	first.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := first.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	first.close()
	n := out.count()
	p := calling(g, loopback, "one", pass, pathLatency)
	second := startBox(t, boxConfig{key: key, params: soloParams()}, p)
	began := time.Now()
	eventually(t, 10*time.Second, "the new stream comes out", func() bool { return out.count() > n })
	if d := time.Since(began); d > 6*time.Second { // D in virtual time, see TestVirtual
		t.Errorf("new stream only after %v", d)
	}
	eventually(t, 5*time.Second, "and goes on", func() bool { return out.count() > n+300 })
	eventually(t, 5*time.Second, "reports count anew", func() bool {
		ok := false
		second.with(func() {
			r := p.report
			ok = r != nil && r.Merged != nil && r.Merged.SSRC == second.ssrc && r.Merged.Delivered > 0
			if ok && r.Merged.Delivered > uint64(len(second.sent)) {
				t.Errorf("delivered %d of %d sent", r.Merged.Delivered, len(second.sent))
			}
		})
		return ok
	})
	second.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := second.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets()[:n], first.packets())
	sameRun(t, out.packets()[n:], second.packets())
	if k := g.Status(context.Background()).Contributions[0]; k.Merged.Epochs != 2 {
		t.Errorf("%d epochs", k.Merged.Epochs)
	}
}

// Contribution key and passphrase change while running, without a loss: the
// gateway takes the new key first, the box changes, the old one goes.
func TestKeysRotate(t *testing.T) {
	var cfg Config
	g, out, key := solo(t, func(c *Config) { cfg = *c })
	p := calling(g, loopback, "one", pass, pathLatency)
	box := startBox(t, boxConfig{key: key, params: soloParams()}, p)
	more := func() {
		t.Helper()
		n := out.count()
		eventually(t, 5*time.Second, "packets come out", func() bool { return out.count() > n+150 })
	}
	apply := func(change func(*Contribution)) {
		t.Helper()
		cfg.Contributions = slices.Clone(cfg.Contributions)
		change(&cfg.Contributions[0])
		if err := g.Apply(cfg); err != nil {
			t.Fatal(err)
		}
	}
	more()
	newer := newKey(t)
	apply(func(k *Contribution) { k.Keys = [][]byte{newer, key} })
	more()
	box.setKey(newer)
	more()
	reports := 0
	box.with(func() { reports = p.reports })
	eventually(t, 5*time.Second, "reports carry the tag of the new key", func() bool {
		now := 0
		box.with(func() { now = p.reports })
		return now > reports+2
	})
	apply(func(k *Contribution) { k.Keys = [][]byte{newer} })
	more()
	// The passphrase: whoever connects from now on needs the new one; who is
	// connected stays.
	apply(func(k *Contribution) {
		k.Inputs = slices.Clone(k.Inputs)
		k.Inputs[0].SRT.Passphrase = "another passphrase"
	})
	more()
	if _, err := srt.Dial(context.Background(), p.addr, p.opts); err == nil {
		t.Error("the old passphrase still opens a connection")
	}
	o := p.opts
	o.Passphrase = "another passphrase"
	next := dial(t, p.addr, o)
	var old *srt.Conn
	box.with(func() { old, p.conn = p.conn, next })
	if err := old.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	_ = old.Close()
	more()
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
	if in := g.Status(context.Background()).Contributions[0].Inputs[0]; in.BadTag != 0 {
		t.Errorf("%d messages with a wrong tag", in.BadTag)
	}
}

// The gateway calls a box that listens, and calls again when it goes.
func TestCaller(t *testing.T) {
	key, out := newKey(t), newReceiver(t)
	addr := freePort(t)
	g, _ := startGateway(t, Config{Contributions: []Contribution{{
		Name: "a", Keys: [][]byte{key}, Latency: 200 * time.Millisecond,
		Inputs:  []Input{{Name: "one", Call: addr, Offset: -1, SRT: srt.Options{StreamID: "s", Passphrase: pass, Latency: pathLatency}}},
		Outputs: []OutputConfig{&RTPOutput{Name: "rtp", Destinations: []Destination{{Address: out.addr()}}}},
	}}})
	eventually(t, 10*time.Second, "the reason is told in words", func() bool {
		in := g.Status(context.Background()).Contributions[0].Inputs[0]
		return in.State == "connecting" && in.Error != ""
	})
	for range 2 {
		l, err := srt.Listen(addr, srt.Options{Passphrase: pass}, nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		conn, err := l.Accept(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 4*time.Second {
			t.Errorf("called after %v", d)
		}
		n := out.count()
		p := &boxPath{conn: conn}
		box := boxOn(t, boxConfig{key: key, params: soloParams()}, p)
		eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > n+150 })
		box.close()
		_ = l.Close()
	}
}

// A probe is answered with the largest size that came.
func TestProbe(t *testing.T) {
	g, _, key := solo(t, nil)
	p := calling(g, loopback, "one", pass, pathLatency)
	box := startBox(t, boxConfig{key: key, params: soloParams()}, p)
	for _, size := range []int{1200, 1456, 1000} {
		box.with(func() { box.send(p, &rtp.Report{SSRC: 1, Probe: &rtp.Probe{ID: 7, Size: size}}) })
	}
	eventually(t, 5*time.Second, "the answer", func() bool {
		ok := false
		box.with(func() {
			ok = p.report != nil && p.report.Answer != nil && p.report.Answer.ID == 7 && p.report.Answer.Largest == 1456 && p.report.Answer.Count == 3
		})
		return ok
	})
}

// Without a configured latency the box's word counts.
func TestLatencyFromBox(t *testing.T) {
	g, out, key := solo(t, func(c *Config) { c.Contributions[0].Latency = 0 })
	box := startBox(t, boxConfig{key: key, params: soloParams(), latency: 700 * time.Millisecond}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 200 })
	if k := g.Status(context.Background()).Contributions[0]; k.LatencyMS != 700 || k.LatencyBy != "box" {
		t.Errorf("latency %v by %s", k.LatencyMS, k.LatencyBy)
	}
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
}

// A latency that cannot hold the paths' delays is said in words.
func TestLatencyTooSmall(t *testing.T) {
	g, out, key := solo(t, func(c *Config) { c.Contributions[0].Latency = 100 * time.Millisecond })
	startBox(t, boxConfig{key: key, params: fec.Params{K: 32, R: 4, Streams: 1, MaxBlock: 60 * time.Millisecond}}, calling(g, loopback, "one", pass, 80*time.Millisecond))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 200 })
	k := g.Status(context.Background()).Contributions[0]
	// 80 ms of SRT, 2 × 60 ms of parity, a tick.
	if k.LatencyNote == "" || k.LatencyNeededMS < 200 || k.LatencyNeededMS > 230 {
		t.Errorf("needed %v ms: %q", k.LatencyNeededMS, k.LatencyNote)
	}
	t.Log(k.LatencyNote)
}
