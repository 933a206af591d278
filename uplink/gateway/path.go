package gateway

import (
	"net/netip"
	"slices"
	"time"

	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// path is one input within its contribution: the connections that bring its
// stream, and what is known about it. It is owned by the contribution's
// goroutine.
type path struct {
	// set at start, never changed
	c      *contribution
	in     Input
	index  int     // in the decoder
	caller *caller // nil when the far end calls

	links []*link // newest last; more than one while one replaces another

	received  rtp.Reception // first-hand only
	digest    rtp.Digest    // first-hand only
	told      toldOffsets
	settings  *rtp.Settings // newest
	probe     rtp.ProbeAnswer
	on        bool // as the decoder was told
	offset    time.Duration
	messages  uint64
	bytes     uint64
	badTag    uint64
	away      turnedAway // written by the port, too
	malformed uint64     // right tag, but no packet of ours by its form
	connects  uint64
	tagLog    every
	heard     bool          // a message with a right tag has come
	lastGood  time.Duration // when the last one came
}

// link is one SRT connection of a path.
type link struct {
	conn  conn
	gone  chan struct{} // closed when the connection is
	good  bool          // has brought a message with a right tag
	since time.Duration
}

// conn is what the contribution needs of an SRT connection; tests put a fake
// in its place.
type conn interface {
	receive() (n int, err error) // how many messages have come
	message(i int) []byte        // of the last receive
	overdue(i int) time.Duration // how long before the last receive it was due
	Send([][]byte) (int, error)
	Stats() (srt.Stats, error)
	Latency() time.Duration
	RemoteAddr() netip.AddrPort
	Encrypted() bool
	Close() error
}

// srtConn is a connection with the contribution's one batch.
type srtConn struct {
	*srt.Conn
	batch *srt.Batch
}

func (c srtConn) receive() (int, error)       { return c.Recv(c.batch) }
func (c srtConn) message(i int) []byte        { return c.batch.Msg(i) }
func (c srtConn) overdue(i int) time.Duration { return c.batch.Late(i) }

// maxLinks bounds the connections of one path: one that carries, one that
// takes over, one that dies.
const maxLinks = 3

// maxTold is how long a told offset counts without being told again.
const maxTold = 10 * time.Second

// toldOffsets holds SRT latency plus stagger as told in QRTS. A first-hand
// connection tells one; a peer forwards those of all paths it has first-hand.
type toldOffsets [8]struct {
	path   uint8
	offset time.Duration
	at     time.Duration
	valid  bool
}

// put notes what path's sender told at now, in the place of what it told
// before or of the oldest.
func (t *toldOffsets) put(path uint8, offset, now time.Duration) {
	oldest := 0
	for i := range t {
		if !t[i].valid || t[i].path == path {
			oldest = i
			break
		}
		if t[i].at < t[oldest].at {
			oldest = i
		}
	}
	t[oldest].path, t[oldest].offset, t[oldest].at, t[oldest].valid = path, offset, now, true
}

// smallest is the smallest offset told within maxTold; false if none was.
func (t *toldOffsets) smallest(now time.Duration) (time.Duration, bool) {
	d, ok := time.Duration(0), false
	for i := range t {
		if t[i].valid && now-t[i].at <= maxTold && (!ok || t[i].offset < d) {
			d, ok = t[i].offset, true
		}
	}
	return d, ok
}

// paths is the set of the box's path indices that were told within maxTold.
func (t *toldOffsets) paths(now time.Duration) (set uint64) {
	for i := range t {
		if t[i].valid && now-t[i].at <= maxTold {
			set |= 1 << (t[i].path & 63)
		}
	}
	return set
}

func newPath(c *contribution, i int) *path {
	p := &path{c: c, in: c.cfg.Inputs[i], index: i}
	if p.in.Call != "" {
		opts := p.in.SRT.Sized(c.cfg.MaxBitrate*2, assumedRTT)
		p.caller = &caller{
			what: "input", name: p.in.Name, addr: p.in.Call, log: c.log,
			give: func(conn *srt.Conn) <-chan struct{} {
				l := &link{conn: srtConn{conn, c.recv}, gone: make(chan struct{})}
				if !c.post(func() { c.addLink(p, l) }) {
					_ = conn.Close()
					close(l.gone)
				}
				return l.gone
			},
		}
		p.caller.opts.Store(&opts)
	}
	return p
}

// addLink takes a new connection in. The others of the path are drained until
// they end: the far end closes the old one when the new one stands.
func (c *contribution) addLink(p *path, l *link) {
	if c.stopping {
		c.hangUp(l.conn, l.gone)
		return
	}
	l.since = c.now()
	if len(p.links) >= maxLinks {
		// The oldest goes; but who has only the passphrase, and not the key,
		// must not push out a connection that carries.
		old := p.links[0]
		if i := slices.IndexFunc(p.links, func(l *link) bool { return !l.good }); i >= 0 {
			old = p.links[i]
		}
		c.dropLink(p, old, errReplaced)
	}
	p.links = append(p.links, l)
	p.connects++
	c.log.Info("input connected", "input", p.in.Name, "from", l.conn.RemoteAddr(),
		"srt_latency", l.conn.Latency(), "encrypted", l.conn.Encrypted(), "connections", len(p.links))
	c.setOffset(p)
}

func (c *contribution) dropLink(p *path, l *link, why error) {
	p.links = slices.DeleteFunc(p.links, func(m *link) bool { return m == l })
	c.log.Info("input disconnected", "input", p.in.Name, "from", l.conn.RemoteAddr(), "why", words(why), "connections", len(p.links))
	c.hangUp(l.conn, l.gone)
	c.setOffset(p)
}

// hangUp closes a connection beside the packets' way: libsrt may take its
// time, and no other path shall wait for that.
func (c *contribution) hangUp(conn conn, gone chan struct{}) {
	c.closing.Go(func() {
		_ = conn.Close()
		close(gone)
	})
}

// closeLinks ends all connections: their far ends know at once that this
// gateway goes.
func (c *contribution) closeLinks() {
	for _, p := range c.paths {
		for len(p.links) > 0 {
			c.dropLink(p, p.links[0], errStopping)
		}
	}
}

func (c *contribution) connected() bool {
	for _, p := range c.paths {
		if len(p.links) > 0 {
			return true
		}
	}
	return false
}

// setOffset tells the decoder how much of a path's delay is wanted: the SRT
// latency of the connection plus the stagger that the box adds. Behind a peer
// it is the peer link's latency plus what the box told for the path that the
// peer has first-hand: the smallest, when it has several. The decoder's
// release clock takes delivery minus timestamp minus offset, smallest first:
// an offset too small costs nothing while another path is right, one too large
// would release early and lose packets. So what is not known counts as zero.
func (c *contribution) setOffset(p *path) {
	if len(p.links) == 0 {
		if p.on {
			p.on = false
			c.dec.SetPath(p.index, p.offset, false)
		}
		return
	}
	offset := p.latency()
	switch {
	case p.in.Offset >= 0:
		offset = p.in.Offset
	case p.in.FromPeer:
		d, _ := p.told.smallest(c.now())
		offset += d
	case p.settings != nil:
		offset += p.settings.Stagger
	}
	if !p.on || offset != p.offset {
		p.on, p.offset = true, offset
		c.dec.SetPath(p.index, offset, true)
	}
}

// latency is the smallest SRT latency of the connections that have proved
// themselves by a tag, or of all if none has.
func (p *path) latency() time.Duration {
	d, good := p.links[0].conn.Latency(), p.links[0].good
	for _, l := range p.links[1:] {
		switch v := l.conn.Latency(); {
		case l.good && !good:
			d, good = v, true
		case l.good == good:
			d = min(d, v)
		}
	}
	return d
}

// take handles the n messages that a connection brought at now.
func (c *contribution) take(p *path, l *link, n int, now time.Duration) {
	firstHand := !p.in.FromPeer
	for i := range n {
		msg := l.conn.message(i)
		p.messages++
		p.bytes += uint64(len(msg))
		pkt, ok := c.verify.Check(msg)
		if !ok {
			p.badTag++
			if yes, held := p.tagLog.ok(10 * time.Second); yes {
				c.log.Warn("message with a wrong tag: counted as lost; is the contribution key the box's?",
					"input", p.in.Name, "from", l.conn.RemoteAddr(), "suppressed", held)
			}
			continue
		}
		if !l.good {
			l.good = true
			c.setOffset(p)
		}
		c.heard, c.lastData = true, now
		p.heard, p.lastGood = true, now
		if rtp.IsRTCP(pkt) {
			if c.control(p, l, pkt, now) && firstHand {
				c.fwd = append(c.fwd, msg)
			}
			continue
		}
		// The instant of delivery is the sender's timestamp plus the SRT
		// latency, however late this tick is.
		at := now - l.conn.overdue(i)
		if rtp.PayloadTypeOf(pkt) == rtp.PayloadTypeTS {
			h, _, err := rtp.ParseSource(pkt)
			if err != nil {
				p.malformed++
				continue
			}
			if firstHand {
				p.received.Add(h, at)
				p.digest.AddSum(h, rtp.Sum(pkt))
			}
		}
		if !c.dec.Push(p.index, at, pkt) {
			p.malformed++
			continue
		}
		if firstHand {
			c.fwd = append(c.fwd, msg)
		}
	}
	if len(c.fwd) > 0 {
		for _, q := range c.peers {
			q.send(c.fwd)
		}
		clear(c.fwd)
		c.fwd = c.fwd[:0]
	}
}

// control handles an RTCP compound and tells whether peers want it too: they
// do when it says how the box sends, and is not as long as a probe.
func (c *contribution) control(p *path, l *link, pkt []byte, now time.Duration) (forward bool) {
	r, err := rtp.ParseReport(pkt)
	if err != nil {
		p.malformed++
		return false
	}
	if r.Sender != nil && !p.in.FromPeer {
		p.received.SenderReport(*r.Sender, now)
	}
	if s := r.Settings; s != nil {
		p.settings, c.settings = s, s
		p.told.put(s.Path, s.SRTLatency+s.Stagger, now)
		c.setOffset(p)
		if s.TotalLatency > 0 && c.newest(r) {
			c.toldD = s.TotalLatency
			c.setLatency(now)
		}
	}
	if r.Probe != nil && !p.in.FromPeer {
		c.answer(p, l, r.Probe)
	}
	return r.Settings != nil && r.Probe == nil
}

// newest tells whether a report was made after all those that told a D before: a
// connection with a longer latency hands over older ones later than another.
func (c *contribution) newest(r *rtp.Report) bool {
	if r.Sender == nil {
		return false
	}
	if r.SSRC == c.toldBy && int64(r.Sender.NTP-c.toldAt) < 0 {
		return false
	}
	c.toldBy, c.toldAt = r.SSRC, r.Sender.NTP
	return true
}

// setLatency puts D in force: the configured one, else the box's. A shorter one
// waits until everything sent over connections with the longer SRT latency has
// been released.
func (c *contribution) setLatency(now time.Duration) {
	d := c.cfg.Latency
	if d == 0 {
		d = c.toldD
	}
	if d == 0 || d == c.latency {
		c.shorten = 0
		return
	}
	if d < c.latency && c.state == Streaming {
		if c.shorten == 0 {
			c.shorten = now + c.latency + redialTime
		}
		if now < c.shorten {
			return
		}
	}
	c.shorten = 0
	if c.cfg.Latency == 0 && d > maxToldLatency {
		c.log.Warn("the box's latency is longer than this gateway holds without being told: set latency_ms here", "box", d, "in_force", maxToldLatency)
		d = maxToldLatency
	}
	c.log.Info("latency set", "latency", d, "by", c.latencyBy())
	c.latency = d
	c.dec.SetLatency(c.held())
}
