package uplink

import (
	"errors"
	"time"

	"quartet/fec"
	"quartet/uplink/rtp"
)

// Arrival is what the far end of an rtp-fec path reports, on a path and on the
// stream merged there.
type Arrival struct {
	Age         float64 `json:"age_ms"` // of the last report
	heardAt     time.Duration
	Received    uint64  `json:"received"`
	LostHere    uint64  `json:"lost_here"` // did not arrive on this path in time
	ByOther     uint64  `json:"by_other"`  // of these, delivered by another path
	ByParity    uint64  `json:"by_parity"`
	Unrecovered uint64  `json:"unrecovered"`
	Late        uint64  `json:"late"`
	BadTag      uint64  `json:"bad_tag"`
	Skew        float64 `json:"skew_ms"`
	Jitter      float64 `json:"jitter_ms"`

	Merged Merged `json:"merged"`

	// Digest windows of 1024 packets that the far end reported as it released
	// them, compared with what was sent.
	Digest rtp.Comparison `json:"digest"`
}

// Merged is the stream that the gateway released.
type Merged struct {
	Delivered uint64  `json:"delivered"`
	ByParity  uint64  `json:"by_parity"`
	Lost      uint64  `json:"lost"`
	Margin    float64 `json:"margin_ms"`  // least time a packet was there before its release
	Latency   float64 `json:"latency_ms"` // D of the release clock
	Paths     uint64  `json:"paths"`      // bit i: path i delivers now
	BitRate   uint64  `json:"bit_rate_bps"`
}

// reporter speaks RTCP on one path. Only the path's goroutine uses it.
type reporter struct {
	s      *Sender
	index  int
	stream int // index of the repair stream
	cfg    PathConfig

	tagger   *rtp.Tagger
	verifier *rtp.Verifier
	buf      []byte
	msg      [1][]byte
	port     [1]Port

	heard    bool // a report has come on the present link
	heardAt  time.Duration
	again    bool // the present link took the place of one that was silent
	last     *rtp.Report
	compared rtp.Comparison
	refused  uint64 // messages with a wrong tag
}

func newReporter(s *Sender, index, stream int, cfg PathConfig, key rtp.TagKey, accept []rtp.TagKey) reporter {
	r := reporter{s: s, index: index, stream: stream, cfg: cfg, buf: make([]byte, 0, messageBytes), heardAt: -1 << 62}
	r.rekey(key, accept)
	return r
}

// keys is a change of key on its way to a path's goroutine.
type keys struct {
	key    rtp.TagKey
	accept []rtp.TagKey
}

func (r *reporter) rekey(key rtp.TagKey, accept []rtp.TagKey) {
	r.tagger = rtp.NewTagger(key)
	keys := append([]rtp.TagKey{key}, accept...)
	r.verifier, _ = rtp.NewVerifier(keys[:min(len(keys), 2)]...) // one or two keys: cannot fail
}

func (r *reporter) connected(now time.Duration, again bool) {
	r.again = again && !r.heard
	r.heard = false
}
func (r *reporter) disconnected() { r.heard, r.again = false, false }

// lastReport is when the far end last reported, long ago if never.
func (r *reporter) lastReport() time.Duration { return r.heardAt }

// receive takes one message from the far end. What is not a tagged report of
// ours is ignored, and a wrong tag counted.
func (r *reporter) receive(msg []byte) {
	pkt, ok := r.verifier.Check(msg)
	if !ok {
		r.refused++
		return
	}
	if !rtp.IsRTCP(pkt) {
		return
	}
	rep, err := rtp.ParseReport(pkt)
	if err != nil {
		return
	}
	r.heard, r.again, r.heardAt, r.last = true, false, r.s.now(), rep
	if rep.Merged != nil {
		r.compared.Add(r.s.digest.Windows(), rep.Merged.Windows)
	}
}

// arrival sums up the last report.
func (r *reporter) arrival() *Arrival {
	if r.last == nil || r.last.Path == nil {
		return nil
	}
	p := r.last.Path
	a := &Arrival{
		heardAt: r.heardAt, Received: p.Received, LostHere: p.LostHere, ByOther: p.ByOther, ByParity: p.ByParity,
		Unrecovered: p.Unrecovered, Late: p.Late, BadTag: p.BadTag, Skew: durationMS(p.Skew), Jitter: durationMS(p.Jitter),
		Digest: r.compared,
	}
	if m := r.last.Merged; m != nil {
		a.Merged = Merged{
			Delivered: m.Delivered, ByParity: m.ByParity, Lost: m.Lost, Margin: durationMS(m.Margin),
			Latency: durationMS(m.Latency), Paths: m.Paths, BitRate: m.BitRate,
		}
	}
	return a
}

// message makes the sender report with our settings, tagged. link is what is
// known of the socket.
func (r *reporter) message(now time.Duration, link LinkStats, probe *rtp.Probe) ([]byte, error) {
	sent, plan, perMessage, rate := r.s.reportable()
	rep := rtp.Report{
		SSRC: r.s.ssrc,
		Sender: &rtp.SenderInfo{
			NTP:       rtp.NTP(now),
			Timestamp: r.s.packetizer.Timestamp(now), // at the same instant, also before the first packet
			Packets:   sent.packets, Octets: sent.octets,
		},
		Settings: &rtp.Settings{
			SSRC: r.s.ssrc, Path: uint8(r.index), Leg: uint8(r.cfg.Leg), Stream: uint8(r.stream),
			TotalLatency: plan.Latency, SRTLatency: r.latency(link, plan), Stagger: r.cfg.Stagger, MaxBlock: plan.MaxBlock,
			K: uint8(plan.K), R: uint8(plan.Rows), Streams: uint8(plan.Streams), RepairPT: fec.RepairPT,
			PacketsPerMessage: uint8(perMessage), BitRate: rate,
		},
		Probe: probe,
	}
	pkt, err := rep.Append(r.buf[:0])
	if err != nil {
		return nil, err
	}
	return r.tagger.AppendTag(pkt, pkt), nil
}

// latency is SRT's on a link: what was negotiated, else what was asked for. A
// gateway behind a peer reckons its release by it, and one told too long would
// release too early.
func (r *reporter) latency(link LinkStats, plan Plan) time.Duration {
	switch {
	case link.SRT != nil && link.SRT.MSSndTsbPdDelay > 0:
		return time.Duration(link.SRT.MSSndTsbPdDelay) * time.Millisecond
	case r.cfg.SRTLatency > 0:
		return r.cfg.SRTLatency
	}
	return plan.SRTLatency
}

// report sends a sender report and takes the socket's statistics.
func (p *Path) report(now time.Duration) error {
	link, err := p.link.Stats()
	if err != nil {
		return err
	}
	if p.cfg.Profile == ProfileRTPFEC {
		m, err := p.reports.message(now, link, nil)
		if err != nil {
			return err
		}
		p.reports.msg[0] = m
		// A full buffer costs a report, nothing else.
		if _, err := p.link.Send(p.reports.msg[:], p.reports.port[:], nil); err != nil && !errors.Is(err, ErrWouldBlock) {
			return err
		}
	}
	a := p.reports.arrival()
	p.mu.Lock()
	p.stats.Link, p.stats.Arrival, p.stats.Refused = &link, a, p.reports.refused
	p.mu.Unlock()
	return nil
}
