// Package chain runs the whole path in one process for tests: a paced stream
// into an uplink.Sender, real SRT through impairment relays, gateways, and a
// ledger that compares what each gateway puts out with what went in.
package chain

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/tests/freeport"
	"quartet/tests/ledger"
	"quartet/tests/relay"
	"quartet/tests/tsgen"
	"quartet/uplink"
	"quartet/uplink/gateway"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// Config of a chain. Zero values mean what the comments say.
type Config struct {
	Paths    int           // 4
	OneGate  bool          // all paths end at one gateway; else each at its own
	Peers    bool          // gateways 2i and 2i+1 forward to each other
	Told     bool          // the gateways take their latency from the box's reports
	Absent   int           // the first so many gateways are left to the test, which runs them as programs
	RateBPS  int64         // 10 Mbit/s
	Latency  time.Duration // total; 300 ms
	RTT      time.Duration // of the relays; 30 ms
	Overhead float64       // percent per stream
	Stagger  []time.Duration
	Plan     *uplink.Plan // instead of the planner's
	Seed     uint64
	Relay    relay.Impairment // both directions, besides the delay

	box bool // a quartetd is the sender, not this process
}

// Chain is running from New to the end of the test.
type Chain struct {
	T        testing.TB
	Cfg      Config
	Plan     uplink.Plan
	Sender   *uplink.Sender
	Group    *relay.Group
	Relays   []*relay.Relay
	Gateways []*Gateway
	Ledger   *ledger.Ledger

	start   time.Time
	gen     *tsgen.Stream
	lead    time.Duration // of the stream's clock against ours
	from    time.Duration // what entered before does not count
	sent    uint64
	stopped bool
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	stopSender func()
}

// Key is the contribution key of every chain.
var Key = bytes.Repeat([]byte{0x51}, 32)

const passphrase = "a passphrase of the tests"

// New starts a chain and waits until every path is up and reported.
func New(t testing.TB, cfg Config) *Chain {
	t.Helper()
	c := &Chain{T: t, Cfg: cfg, start: time.Now(), Ledger: ledger.New()}
	c.defaults()
	srt.Startup()
	t.Cleanup(srt.Cleanup)
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	t.Cleanup(c.Stop)

	var err error
	if c.Group, err = relay.NewGroup(relay.GroupConfig{Seed: c.Cfg.Seed}); err != nil {
		t.Fatal(err)
	}
	c.addGateways()
	c.addRelays()
	c.wg.Go(func() { c.Group.Run(ctx) })
	for _, g := range c.Gateways[c.Cfg.Absent:] {
		g.Start()
	}
	if c.Cfg.box {
		return c
	}
	c.startSender(ctx)
	return c
}

// startSender makes a Sender, runs it and waits until its paths are up.
func (c *Chain) startSender(ctx context.Context) {
	c.T.Helper()
	c.addSender()
	ctx, cancel := context.WithCancel(ctx)
	done, s := make(chan struct{}), c.Sender
	c.wg.Go(func() {
		defer close(done)
		s.Run(ctx)
	})
	c.stopSender = func() { cancel(); <-done }
	c.WaitUp()
}

// RestartSender ends the sender, as a process would end, and starts another,
// with an SSRC of its own. The stream's clock is carried on after the pause.
func (c *Chain) RestartSender() {
	c.T.Helper()
	begun := c.Now()
	c.stopSender()
	c.startSender(context.WithoutCancel(c.T.Context()))
	c.lead += c.Now() - begun
}

func (c *Chain) defaults() {
	f := &c.Cfg
	if f.Paths == 0 {
		f.Paths = 4
	}
	if f.RateBPS == 0 {
		f.RateBPS = 10_000_000
	}
	if f.Latency == 0 {
		f.Latency = 300 * time.Millisecond
	}
	if f.RTT == 0 {
		f.RTT = 30 * time.Millisecond
	}
	for len(f.Stagger) < f.Paths {
		f.Stagger = append(f.Stagger, time.Duration(len(f.Stagger)%2)*15*time.Millisecond)
	}
	c.gen = tsgen.New(f.RateBPS, f.Seed)
	c.Plan = c.plan()
}

func (c *Chain) plan() uplink.Plan {
	if c.Cfg.Plan != nil {
		return *c.Cfg.Plan
	}
	var stagger, peer time.Duration
	for _, s := range c.Cfg.Stagger[:c.Cfg.Paths] {
		stagger = max(stagger, s)
	}
	if c.Cfg.Peers {
		peer = peerLatency
	}
	p, err := uplink.NewPlan(uplink.Demand{
		BitrateBPS: c.Cfg.RateBPS, PacketsPerMessage: 7, Latency: c.Cfg.Latency, OverheadPercent: c.Cfg.Overhead,
		Streams: c.Cfg.Paths, RTT: c.Cfg.RTT, Stagger: stagger, PeerHop: peer,
	})
	if err != nil {
		c.T.Fatal(err)
	}
	return p
}

const peerLatency = 20 * time.Millisecond

// Now is the chain's clock.
func (c *Chain) Now() time.Duration { return time.Since(c.start) }

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

func (c *Chain) addGateways() {
	n := c.Cfg.Paths
	if c.Cfg.OneGate {
		n = 1
	}
	for i := range n {
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback(0)))
		if err != nil {
			c.T.Fatal(err)
		}
		conn.SetReadBuffer(4 << 20)
		g := &Gateway{c: c, Index: i, Out: c.Ledger.Output(fmt.Sprint("gateway ", i)), conn: conn}
		listen := loopback(uint16(freeport.UDP(c.T))).String()
		g.Config = gateway.Config{
			Name: fmt.Sprint("gateway ", i), Now: c.Now,
			Listeners: []gateway.Listener{{Address: listen, SRT: srt.Options{Latency: 20 * time.Millisecond}}},
			Contributions: []gateway.Contribution{{
				Name: "test", Keys: [][]byte{Key}, Latency: c.Cfg.Latency, MaxBitrate: c.Cfg.RateBPS,
				Outputs: []gateway.OutputConfig{&gateway.RTPOutput{Name: "out", Destinations: []gateway.Destination{{Address: conn.LocalAddr().String()}}}},
			}},
		}
		if c.Cfg.Told {
			g.Config.Contributions[0].Latency = 0
		}
		c.Gateways = append(c.Gateways, g)
		c.wg.Go(g.read)
	}
	for path := range c.Cfg.Paths {
		g := c.Gateways[path%len(c.Gateways)]
		k := &g.Config.Contributions[0]
		k.Inputs = append(k.Inputs, gateway.Input{
			Name: fmt.Sprint("path ", path), Listen: g.Config.Listeners[0].Address, Offset: -1,
			SRT: srt.Options{StreamID: streamID(path), Passphrase: passphrase},
		})
	}
}

func streamID(path int) string { return fmt.Sprint("path-", path) }

func (c *Chain) addRelays() {
	for path := range c.Cfg.Paths {
		g := c.Gateways[path%len(c.Gateways)]
		r, err := c.Group.Add(relay.Config{
			Name: fmt.Sprint("path ", path), Listen: loopback(0), Upstream: netip.MustParseAddrPort(g.Config.Listeners[0].Address),
			Up: c.Impaired(c.Cfg.Relay), Down: c.Impaired(c.Cfg.Relay),
		})
		if err != nil {
			c.T.Fatal(err)
		}
		c.Relays = append(c.Relays, r)
	}
	if !c.Cfg.Peers {
		return
	}
	for i, g := range c.Gateways {
		other := c.Gateways[i^1]
		id := fmt.Sprint("peer-", i)
		g.Config.Contributions[0].Peers = []gateway.Peer{{
			Name: fmt.Sprint("gateway ", i^1), Call: other.Config.Listeners[0].Address,
			SRT: srt.Options{StreamID: id, Passphrase: passphrase, Latency: peerLatency},
		}}
		k := &other.Config.Contributions[0]
		k.Inputs = append(k.Inputs, gateway.Input{
			Name: fmt.Sprint("from gateway ", i), FromPeer: true, Listen: other.Config.Listeners[0].Address, Offset: -1,
			SRT: srt.Options{StreamID: id, Passphrase: passphrase, Latency: peerLatency},
		})
	}
}

// Impaired is imp with the chain's delay.
func (c *Chain) Impaired(imp relay.Impairment) relay.Impairment {
	imp.DelayMS += float64(c.Cfg.RTT) / 2 / float64(time.Millisecond)
	return imp
}

func (c *Chain) addSender() {
	var paths []uplink.PathConfig
	for i := range c.Cfg.Paths {
		paths = append(paths, c.PathConfig(i, c.Relays[i].Addr().String()))
	}
	key, err := rtp.DeriveTagKey(Key)
	if err != nil {
		c.T.Fatal(err)
	}
	c.Sender, err = uplink.NewSender(uplink.SenderConfig{
		Now: c.Now, Plan: c.Plan, PacketsPerMessage: 7, Key: key, Paths: paths,
	})
	if err != nil {
		c.T.Fatal(err)
	}
}

// PathConfig is path i's, towards addr.
func (c *Chain) PathConfig(i int, addr string) uplink.PathConfig {
	return uplink.PathConfig{
		Name: fmt.Sprint(i), Leg: 1 + i/2, Stagger: c.Cfg.Stagger[i], SRTLatency: c.Plan.SRTLatency,
		MaxAge: max(c.Plan.SRTLatency, 200*time.Millisecond),
		Dialer: uplink.NewSRTCaller(addr, c.Options(i)),
	}
}

// Options are path i's socket options.
func (c *Chain) Options(i int) srt.Options {
	return srt.Options{
		Latency: c.Plan.SRTLatency, StreamID: streamID(i), Passphrase: passphrase, KeyLength: 32,
	}.Sized(c.Plan.WireBPS, c.Cfg.RTT)
}

// WaitUp waits until every path has a report.
func (c *Chain) WaitUp() {
	c.T.Helper()
	c.Eventually(25*time.Second, "every path up and reported", func() bool {
		for _, p := range c.Sender.Paths() {
			if st := p.Stats(); st.State != uplink.StateUp || st.Arrival == nil {
				return false
			}
		}
		return true
	})
}

// Eventually polls until ok or fails the test.
func (c *Chain) Eventually(within time.Duration, what string, ok func() bool) time.Duration {
	c.T.Helper()
	return c.explained(within, what, ok, func() string { return "" })
}

// explained is Eventually with more to say about a failure.
func (c *Chain) explained(within time.Duration, what string, ok func() bool, why func() string) time.Duration {
	c.T.Helper()
	begun := time.Now()
	for !ok() {
		if time.Since(begun) > within {
			c.T.Fatalf("not within %v: %s\n%s", within, what, why())
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begun)
}

// Feed sends the stream at its rate for d. Calls follow each other without a
// step in the stream.
func (c *Chain) Feed(d time.Duration) { c.feed(c.Sender, d, 1) }

// feed writes the stream into w, n packets at a time.
func (c *Chain) feed(w mpegts.Writer, d time.Duration, n int) {
	if c.sent == 0 {
		c.lead = c.Now()
	}
	end := c.Now() + d
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 0, 256*tsgen.PacketSize)
	for c.Now() < end {
		<-tick.C
		now := c.Now()
		for at := c.lead + c.gen.At(c.gen.Count()); at <= now; at = c.lead + c.gen.At(c.gen.Count()) {
			buf = c.gen.Next(buf[:0], n)
			c.Ledger.WriteTS(at, buf)
			if err := w.WriteTS(at, buf); err != nil {
				c.T.Error(err)
			}
			c.sent++
		}
	}
}

// Pause lets time pass without feeding; the stream's clock is carried on after.
func (c *Chain) Pause(d time.Duration) {
	time.Sleep(d)
	c.lead += d
}

// Settle waits until everything sent has come out or is too late.
func (c *Chain) Settle() { time.Sleep(c.Cfg.Latency + c.Cfg.RTT + 400*time.Millisecond) }

// Check compares gateways' outputs, taken together, with the input.
func (c *Chain) Check(name string, excused []ledger.Span, gateways ...int) ledger.Result {
	outs := []*ledger.Output{}
	for _, i := range gateways {
		outs = append(outs, c.Gateways[i].Out)
	}
	r := c.Ledger.Check(name, c.from, 50*time.Millisecond, excused, outs...)
	c.T.Log(r)
	return r
}

// Stop ends everything; the test's end calls it too.
func (c *Chain) Stop() {
	if c.stopped {
		return
	}
	c.stopped = true
	if c.stopSender != nil {
		c.stopSender()
	}
	c.cancel()
	for _, g := range c.Gateways {
		g.Stop()
		g.conn.Close()
	}
	c.wg.Wait()
	c.Group.Close()
}
