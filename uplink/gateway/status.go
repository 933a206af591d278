package gateway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"quartet/capture/tr101290"
	"quartet/fec"
	"quartet/uplink/rtp"
	"quartet/uplink/srt"
)

// Status is what a gateway shows of itself: no secrets, and everything that
// an operator asks.
type Status struct {
	Name          string               `json:"name"`
	Version       string               `json:"version,omitempty"`
	UptimeS       float64              `json:"uptime_s"`
	Ready         bool                 `json:"ready"` // all ports are open
	Ports         []PortStats          `json:"ports"`
	Contributions []ContributionStatus `json:"contributions"`
}

// ContributionStatus is one contribution's part of it. Counters run since the
// process started.
type ContributionStatus struct {
	Name            string    `json:"name"`
	Responding      bool      `json:"responding"` // its goroutine answered
	State           FeedState `json:"state"`
	LatencyMS       float64   `json:"latency_ms"`        // D in force
	LatencyBy       string    `json:"latency_by"`        // configuration, box, default
	LatencyNeededMS float64   `json:"latency_needed_ms"` // the least D at which nothing is late now
	LatencyNote     string    `json:"latency_note,omitempty"`
	RateBPS         int64     `json:"rate_bps"`     // transport stream released, bit/s
	TickLateMS      float64   `json:"tick_late_ms"` // latest tick of the last 10 s: what a starved processor costs
	SSRC            string    `json:"ssrc,omitempty"`
	K               uint8     `json:"k"`
	R               uint8     `json:"rows_per_stream"`
	Streams         uint8     `json:"streams"`
	MaxBlockMS      float64   `json:"max_block_ms"`

	Unusable uint64 `json:"unusable_total"` // released by the decoder, but no source packets: not handed on

	Merged  fec.DecoderStats  `json:"merged"`
	Tags    rtp.VerifierStats `json:"tags"`
	Digest  rtp.DigestStats   `json:"digest"`
	Windows []WindowStatus    `json:"digest_windows"` // newest last

	// Stream is what the monitor says of what was released; nil: there is none.
	Stream *StreamStatus `json:"stream,omitempty"`

	Inputs  []InputStatus `json:"inputs"`
	Peers   []PeerStatus  `json:"peers"`
	Outputs []OutputStats `json:"outputs"`
}

// StreamStatus is the state of the checks of ETSI TR 101 290 on what was
// released, of first and second priority.
type StreamStatus struct {
	Priority1 uint64                `json:"priority1_errors_total"`
	Priority2 uint64                `json:"priority2_errors_total"`
	Checks    []tr101290.CheckStats `json:"checks"` // instants are process times
}

// count is the number of errors of some checks.
func (s *StreamStatus) count(checks ...tr101290.Check) (n float64) {
	for i := range s.Checks {
		if slices.Contains(checks, s.Checks[i].Check) {
			n += float64(s.Checks[i].Count)
		}
	}
	return n
}

// stream is taken on the contribution's goroutine.
func (c *contribution) stream(now time.Duration) *StreamStatus {
	if c.monitor == nil {
		return nil
	}
	c.tellTime(now) // a contribution without connections takes no turns
	s := &StreamStatus{}
	for _, k := range c.monitor.Checks() {
		switch k.Priority {
		case 1:
			s.Priority1 += k.Count
		case 2:
			s.Priority2 += k.Count
		default:
			continue
		}
		s.Checks = append(s.Checks, k)
	}
	return s
}

// WindowStatus is a digest window in words: two gateways of a leg show the
// same sum for the same SSRC, timestamp and number.
type WindowStatus struct {
	SSRC      string `json:"ssrc"`
	Timestamp uint32 `json:"rtp_timestamp"`
	Number    uint8  `json:"number"`
	Sum       string `json:"sum"`
}

// InputStatus is one input's.
type InputStatus struct {
	Name        string          `json:"name"`
	From        string          `json:"from"`  // box, peer
	Mode        string          `json:"mode"`  // listener, caller
	State       string          `json:"state"` // waiting, connecting, connected (silent), receiving
	Error       string          `json:"error,omitempty"`
	PathIndex   int             `json:"path_index"` // as the box counts; -1: not told
	Leg         int             `json:"leg"`        // as the box says; 0: not told
	OffsetMS    float64         `json:"offset_ms"`  // SRT latency + stagger, as the release clock reckons
	StaggerMS   float64         `json:"stagger_ms"` // as told
	Messages    uint64          `json:"messages_total"`
	Bytes       uint64          `json:"bytes_total"`
	BadTag      uint64          `json:"bad_tag_total"`
	Malformed   uint64          `json:"malformed_total"`
	Connects    uint64          `json:"connects_total"`
	Refused     uint64          `json:"refused_total"`          // callers with this input's stream id and another passphrase
	RefusedLast string          `json:"refused_last,omitempty"` // where the newest of them called from
	JitterMS    float64         `json:"jitter_ms"`
	SilentS     float64         `json:"silent_s"` // since the last message with a right tag; -1: none yet
	Digest      rtp.DigestStats `json:"digest"`
	Path        fec.PathStats   `json:"path"`
	Connection  []LinkStatus    `json:"connections"` // newest last
}

// LinkStatus is one SRT connection.
type LinkStatus struct {
	Remote    string    `json:"remote"`
	LatencyMS float64   `json:"latency_ms"` // negotiated
	Encrypted bool      `json:"encrypted"`
	AgeS      float64   `json:"age_s"`
	SRT       srt.Stats `json:"srt"`

	conn conn
}

// PeerStatus is one peer's.
type PeerStatus struct {
	Name       string       `json:"name"`
	Address    string       `json:"address"`
	State      string       `json:"state"` // connecting, connected
	Error      string       `json:"error,omitempty"`
	Sent       uint64       `json:"sent_messages_total"`
	Bytes      uint64       `json:"sent_bytes_total"`
	Dropped    uint64       `json:"dropped_messages_total"`
	Connects   uint64       `json:"connects_total"`
	Connection []LinkStatus `json:"connections"`
}

// Status asks every contribution; one that does not answer within a second is
// marked so.
func (g *Gateway) Status(ctx context.Context) Status {
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	all := g.all()
	g.mu.Lock()
	st := Status{Name: g.cfg.Name, Version: g.cfg.Version}
	g.mu.Unlock()
	st.UptimeS = (g.now() - g.start).Seconds()
	st.Ready = g.ready.Load()
	st.Ports = g.ports.stats()
	slices.SortFunc(st.Ports, func(a, b PortStats) int { return strings.Compare(a.Listen, b.Listen) })
	st.Contributions = make([]ContributionStatus, len(all))
	var wg sync.WaitGroup
	for i, r := range all {
		wg.Go(func() {
			k := ContributionStatus{Name: r.c.cfg.Name}
			var answer ContributionStatus
			if r.c.ask(ctx, func() { answer = r.c.status() }) {
				k = answer
				k.fetchSRT()
			}
			st.Contributions[i] = k
		})
	}
	wg.Wait()
	return st
}

// fetchSRT asks libsrt for the connections' counters. It runs outside the
// contribution's goroutine: a connection allows that, and packets go on.
func (k *ContributionStatus) fetchSRT() {
	fetch := func(ls []LinkStatus) {
		for i := range ls {
			ls[i].SRT, _ = ls[i].conn.Stats()
		}
	}
	for i := range k.Inputs {
		fetch(k.Inputs[i].Connection)
	}
	for i := range k.Peers {
		fetch(k.Peers[i].Connection)
	}
}

// status is taken on the contribution's goroutine.
func (c *contribution) status() ContributionStatus {
	now := c.now()
	dec := c.dec.Stats()
	need, note := c.latencyNeeded(&dec)
	k := ContributionStatus{
		Name: c.cfg.Name, Responding: true, State: c.state,
		LatencyMS: ms(c.latency), LatencyBy: c.latencyBy(), LatencyNeededMS: ms(need), LatencyNote: note,
		RateBPS: c.filler.rate(), TickLateMS: ms(c.late.value()),
		Merged: dec, Tags: c.verify.Stats(), Digest: c.digest.Stats(),
		Stream: c.stream(now),
	}
	if c.state != Streaming {
		k.RateBPS = 0
	}
	if c.epochs > 0 {
		k.SSRC = hex32(c.ssrc)
	}
	if s := c.settings; s != nil {
		k.K, k.R, k.Streams, k.MaxBlockMS = s.K, s.R, s.Streams, ms(s.MaxBlock)
	}
	k.Windows = []WindowStatus{}
	for _, w := range c.digest.Windows().AppendLatest(nil, c.ssrc, 8) {
		k.Windows = append(k.Windows, WindowStatus{hex32(w.SSRC), w.Timestamp, w.Number, fmt.Sprintf("%016x", w.Sum)})
	}
	k.Inputs, k.Peers, k.Outputs = []InputStatus{}, []PeerStatus{}, []OutputStats{}
	for _, p := range c.paths {
		k.Inputs = append(k.Inputs, p.status(now, &dec))
	}
	for _, p := range c.peers {
		k.Peers = append(k.Peers, p.status())
	}
	for _, o := range c.outs {
		k.Outputs = append(k.Outputs, o.stats())
	}
	return k
}

func (c *contribution) latencyBy() string {
	switch {
	case c.cfg.Latency > 0:
		return "configuration"
	case c.toldD > 0:
		return "box"
	}
	return "default"
}

func (p *path) status(now time.Duration, dec *fec.DecoderStats) InputStatus {
	st := InputStatus{
		Name: p.in.Name, From: "box", Mode: "listener", State: "waiting", PathIndex: -1,
		OffsetMS: ms(p.offset), Messages: p.messages, Bytes: p.bytes, BadTag: p.badTag, Malformed: p.malformed,
		Connects: p.connects, Refused: p.away.count.Load(), JitterMS: ms(p.received.Jitter()), SilentS: -1, Digest: p.digest.Stats(),
		Connection: []LinkStatus{},
	}
	if p.in.FromPeer {
		st.From = "peer"
	}
	if last := p.away.last.Load(); last != nil {
		st.RefusedLast = *last
	}
	if p.caller != nil {
		st.Mode, st.State, st.Error = "caller", "connecting", p.caller.lastError()
	}
	if len(p.links) > 0 {
		st.State = "connected"
	}
	if p.heard {
		st.SilentS = (now - p.lastGood).Seconds()
		if len(p.links) > 0 && now-p.lastGood < idleAfter {
			st.State = "receiving"
		}
	}
	if s := p.settings; s != nil {
		st.PathIndex, st.Leg, st.StaggerMS = int(s.Path), int(s.Leg), ms(s.Stagger)
	}
	st.Path = statsOf(dec, p.index)
	for _, l := range p.links {
		st.Connection = append(st.Connection, linkStatus(l.conn, now-l.since))
	}
	return st
}

func (p *peer) status() PeerStatus {
	st := PeerStatus{
		Name: p.cfg.Name, Address: p.cfg.Call, State: "connecting", Error: p.caller.lastError(),
		Sent: p.sent, Bytes: p.bytes, Dropped: p.dropped, Connects: p.caller.connects.Load(), Connection: []LinkStatus{},
	}
	if p.conn != nil {
		st.State = "connected"
		st.Connection = append(st.Connection, linkStatus(p.conn, 0))
	}
	return st
}

func linkStatus(c conn, age time.Duration) LinkStatus {
	return LinkStatus{Remote: c.RemoteAddr().String(), LatencyMS: ms(c.Latency()), Encrypted: c.Encrypted(), AgeS: age.Seconds(), conn: c}
}

// ms is a duration in milliseconds, the unit of status and metrics.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func hex32(v uint32) string { return fmt.Sprintf("%08x", v) }
