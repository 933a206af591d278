package gateway

import (
	"errors"
	"time"

	"quartet/uplink/srt"
)

// peer is a gateway that packets are forwarded to: every message received
// first-hand, tag and all, as it came. It is owned by the contribution's
// goroutine, except for its caller.
type peer struct {
	// set at start, never changed
	c      *contribution
	cfg    Peer
	caller *caller

	conn    conn // nil while there is none
	gone    chan struct{}
	sent    uint64
	bytes   uint64
	dropped uint64
}

func newPeer(c *contribution, i int) *peer {
	p := &peer{c: c, cfg: c.cfg.Peers[i]}
	opts := p.cfg.SRT.Sized(2*c.cfg.MaxBitrate*int64(max(1, len(c.cfg.Inputs))), assumedRTT)
	p.caller = &caller{
		what: "peer", name: p.cfg.Name, addr: p.cfg.Call, log: c.log,
		give: func(conn *srt.Conn) <-chan struct{} {
			gone := make(chan struct{})
			if !c.post(func() { p.connect(srtConn{conn, c.recv}, gone) }) {
				_ = conn.Close()
				close(gone)
			}
			return gone
		},
	}
	p.caller.opts.Store(&opts)
	return p
}

func (p *peer) connect(conn conn, gone chan struct{}) {
	if p.c.stopping {
		p.c.hangUp(conn, gone)
		return
	}
	p.conn, p.gone = conn, gone
}

func (p *peer) disconnect(why error) {
	if p.conn == nil {
		return
	}
	p.c.log.Info("peer disconnected", "peer", p.cfg.Name, "why", words(why))
	p.c.hangUp(p.conn, p.gone)
	p.conn, p.gone = nil, nil
}

// send forwards msgs. What libsrt does not take at once is dropped and
// counted: it costs the peer redundancy, and waiting would cost this gateway
// its clock.
func (p *peer) send(msgs [][]byte) {
	if p.conn == nil {
		return
	}
	n, err := p.conn.Send(msgs)
	p.sent += uint64(n)
	p.dropped += uint64(len(msgs) - n)
	for _, m := range msgs[:n] {
		p.bytes += uint64(len(m))
	}
	if err != nil && !errors.Is(err, srt.ErrWouldBlock) {
		p.disconnect(err)
	}
}

// peerCheck is how often a peer's connection is looked at while nothing is
// sent on it.
const peerCheck = 500 * time.Millisecond

// peering tells whether any peer is connected.
func (c *contribution) peering() bool {
	for _, p := range c.peers {
		if p.conn != nil {
			return true
		}
	}
	return false
}

// check notices that a silent connection has ended.
func (p *peer) check() {
	if p.conn == nil {
		return
	}
	if _, err := p.conn.receive(); err != nil {
		p.disconnect(err)
	}
}

var (
	errReplaced = errors.New("replaced by newer connections")
	errStopping = errors.New("the gateway stops")
)
