package gateway

import (
	"time"

	"github.com/pion/rtcp"

	"quartet/fec"
	"quartet/uplink/rtp"
)

// reportEvery is how often each first-hand connection gets a report. A box
// that hears none for a second opens another connection.
const reportEvery = 200 * time.Millisecond

// reporter holds what the reports need between two of them. Reports are rare,
// so building them may allocate.
type reporter struct {
	ssrc   uint32 // this gateway's, in this contribution
	next   time.Duration
	number uint32
	buf    []byte
	from   epochCounts

	windows, pathWindows []rtp.Window
}

// sendReports sends RR, QRTP and QRTM on every first-hand connection.
func (c *contribution) sendReports(now time.Duration) {
	r := &c.report
	r.next = max(r.next+reportEvery, now+reportEvery/2)
	r.number++
	st := c.dec.Stats()
	c.checkLatency(&st)
	merged := c.mergedReport(&st, now)
	for _, p := range c.paths {
		c.setOffset(p) // told offsets age
		if p.in.FromPeer || len(p.links) == 0 {
			continue
		}
		rep := rtp.Report{SSRC: r.ssrc, Path: c.pathReport(p, &st), Merged: merged}
		if b, ok := p.received.Block(now); ok {
			rep.Blocks = []rtcp.ReceptionReport{b}
		}
		c.sendReport(p, p.links, &rep)
	}
}

// sendReport tags a report and sends it on the given connections.
func (c *contribution) sendReport(p *path, links []*link, rep *rtp.Report) {
	r := &c.report
	var err error
	if r.buf, err = rep.Append(r.buf[:0]); err != nil {
		c.log.Error("report not sent", "input", p.in.Name, "err", err)
		return
	}
	r.buf = c.taggers[c.verify.LastKey()].AppendTag(r.buf, r.buf)
	msg := [1][]byte{r.buf}
	for _, l := range links {
		// A full buffer or a broken connection: the next report, or the next
		// receive, finds out.
		_, _ = l.conn.Send(msg[:])
	}
}

// epochCounts are the decoder's counters when the present epoch began: the
// decoder counts on, the reports count from there.
type epochCounts struct {
	merged fec.DecoderStats
	path   [MaxInputs]fec.PathStats
}

func (e *epochCounts) begin(st fec.DecoderStats) {
	e.merged = st
	clear(e.path[:])
	for _, p := range st.Paths {
		e.path[p.Path] = p
	}
}

// statsOf finds a path's counters; zero if it has none yet.
func statsOf(st *fec.DecoderStats, path int) fec.PathStats {
	for i := range st.Paths {
		if st.Paths[i].Path == path {
			return st.Paths[i]
		}
	}
	return fec.PathStats{Path: path}
}

// mergedReport is what was released (QRTM).
func (c *contribution) mergedReport(st *fec.DecoderStats, now time.Duration) *rtp.MergedReport {
	r, from := &c.report, &c.report.from.merged
	r.windows = c.digest.Windows().AppendLatest(r.windows[:0], st.SSRC, rtp.MaxReportWindows)
	m := &rtp.MergedReport{
		SSRC: st.SSRC, K: uint8(st.K),
		Margin: time.Duration(st.MarginMS * float64(time.Millisecond)), Latency: c.latency, Number: r.number,
		Delivered: st.Delivered - from.Delivered, ByParity: st.RecoveredParity - from.RecoveredParity,
		Lost: st.Lost - from.Lost, Duplicates: st.Duplicates - from.Duplicates, Late: st.Late - from.Late,
		Disagreeing: st.Disagreeing - from.Disagreeing, RefusedEpoch: st.RefusedEpoch - from.RefusedEpoch,
		Epochs: st.Epochs, BitRate: uint64(c.filler.rate()), Windows: r.windows,
	}
	if top, ok := c.top.Highest(); ok {
		m.HighestSeq = uint32(top)
	}
	for _, p := range c.paths {
		if len(p.links) > 0 && p.heard && now-p.lastGood < idleAfter {
			m.Paths |= p.told.paths(now)
		}
	}
	return m
}

// pathReport is what came on one path (QRTP).
func (c *contribution) pathReport(p *path, st *fec.DecoderStats) *rtp.PathReport {
	now, from := statsOf(st, p.index), &c.report.from.path[p.index]
	c.report.pathWindows = p.digest.Windows().AppendLatest(c.report.pathWindows[:0], st.SSRC, rtp.MaxReportWindows)
	r := &rtp.PathReport{
		SSRC: st.SSRC, Path: rtp.PathUnknown, HighestSeq: p.received.HighestSeq(),
		Skew: time.Duration(now.SkewMS * float64(time.Millisecond)), Jitter: p.received.Jitter(), Number: c.report.number,
		Received: now.InTime - from.InTime, LostHere: now.LostHere - from.LostHere,
		ByOther: now.ByOtherPath - from.ByOtherPath, ByParity: now.ByParity - from.ByParity,
		Unrecovered: now.Unrecovered - from.Unrecovered, Late: now.Late - from.Late,
		BadTag: p.badTag, Malformed: p.malformed, Duplicates: now.Duplicates - from.Duplicates,
		Windows: c.report.pathWindows,
	}
	if p.settings != nil {
		r.Path = p.settings.Path
	}
	return r
}

// answer tells the box which of its probes came through.
func (c *contribution) answer(p *path, l *link, probe *rtp.Probe) {
	if p.probe.ID != probe.ID || p.probe.Count == 0 {
		p.probe = rtp.ProbeAnswer{ID: probe.ID}
	}
	p.probe.Count++
	p.probe.Largest = max(p.probe.Largest, probe.Size)
	a := p.probe
	c.sendReport(p, []*link{l}, &rtp.Report{SSRC: c.report.ssrc, Answer: &a})
}
