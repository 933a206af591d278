package chain

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"quartet/tests/ledger"
	"quartet/uplink/gateway"
	"quartet/uplink/rtp"
)

// Gateway is one gateway of a chain, which can be killed and started again.
type Gateway struct {
	c      *Chain
	Index  int
	Out    *ledger.Output
	Config gateway.Config
	G      *gateway.Gateway

	conn   *net.UDPConn
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	Packets [][]byte // RTP as received, if Keep
	Keep    bool
	lastAt  time.Duration
	maxGap  time.Duration
}

// Start runs the gateway and waits until its ports are open.
func (g *Gateway) Start() {
	g.c.T.Helper()
	var err error
	if g.G, err = gateway.New(g.Config); err != nil {
		g.c.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.done = cancel, make(chan struct{})
	gw, done := g.G, g.done
	go func() {
		defer close(done)
		if err := gw.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			g.c.T.Errorf("gateway %d: %v", g.Index, err)
		}
	}()
	select {
	case <-g.G.Up():
	case <-g.done:
		g.c.T.Fatalf("gateway %d ended at start", g.Index)
	case <-time.After(5 * time.Second):
		g.c.T.Fatalf("gateway %d is not up", g.Index)
	}
}

// Stop ends the gateway.
func (g *Gateway) Stop() {
	if g.cancel == nil {
		return
	}
	g.cancel()
	<-g.done
	g.cancel = nil
}

// Contribution is what Reconfigure changes.
type Contribution = gateway.Contribution

// Reconfigure changes the running gateway.
func (g *Gateway) Reconfigure(change func(*Contribution)) {
	g.c.T.Helper()
	next := g.Config
	k := next.Contributions[0]
	k.Inputs = slices.Clone(k.Inputs)
	change(&k)
	next.Contributions = []gateway.Contribution{k}
	if err := g.G.Apply(next); err != nil {
		g.c.T.Errorf("gateway %d: %v", g.Index, err)
		return
	}
	g.Config = next
}

// Status of the gateway's contribution.
func (g *Gateway) Status() gateway.ContributionStatus {
	return g.G.Status(context.Background()).Contributions[0]
}

// MaxGap is the longest silence of the output so far.
func (g *Gateway) MaxGap() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.maxGap
}

// LastAt is when the output last sent.
func (g *Gateway) LastAt() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lastAt
}

// Captured returns the RTP packets kept so far.
func (g *Gateway) Captured() [][]byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Packets
}

// read takes the gateway's RTP output.
func (g *Gateway) read() {
	buf := make([]byte, 2048)
	for {
		n, err := g.conn.Read(buf)
		if err != nil {
			return
		}
		now := g.c.Now()
		g.mu.Lock()
		if g.lastAt > 0 {
			g.maxGap = max(g.maxGap, now-g.lastAt)
		}
		g.lastAt = now
		if g.Keep {
			g.Packets = append(g.Packets, bytes.Clone(buf[:n]))
		}
		g.mu.Unlock()
		if n > rtp.HeaderSize {
			g.Out.WriteTS(now, buf[rtp.HeaderSize:n])
		}
	}
}
