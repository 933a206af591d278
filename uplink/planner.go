package uplink

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Limits of a plan.
const (
	// MaxBlock is the longest block the planner uses. A longer one would spread
	// parity further but make every recovery wait for it.
	MaxBlock = 70 * time.Millisecond
	// minBlock is the shortest block worth its parity: below it a single burst of
	// a few milliseconds covers the block and its parity alike.
	minBlock = 8 * time.Millisecond
	// minSRTLatency is the least TSBPD delay: jitter of a quiet network plus the
	// 10 ms period of libsrt's own timers.
	minSRTLatency = 20 * time.Millisecond
	// blockShare is the part of the latency that a block may take where there is
	// time for retransmission.
	blockShare = 16
	// roundSlack is what a retransmission takes beyond the round trip: the loss
	// shows with the next packet, and libsrt works in steps of 10 ms.
	roundSlack = 15 * time.Millisecond
	// marginAlone is the margin of a stream that is merged with no other.
	marginAlone = 4 * time.Millisecond
	// margin is what pacing, the ticks of both ends (5 and 4 ms) and the scheduler
	// take.
	margin = 8 * time.Millisecond
	// reserveShare is the part of the latency that is kept back, beyond the
	// margin, from the retransmissions of several streams once they have
	// reserveRounds: SRT reckons a connection's time from its handshake, so one
	// that was made while a machine was busy is late by that for up to a minute,
	// and a gateway that is not scheduled for some ticks is late as a whole.
	reserveShare  = 12
	reserveRounds = 4
	// maxK bounds the work per packet and keeps every path's rows within ESI 254.
	maxK = 128

	tsPacketBytes = 188
	rtpHeader     = 12
	lowerHeaders  = 44     // SRT, UDP and IPv4
	repairMore    = 22 + 3 // by which a repair packet is longer than its block's longest source packet
)

// Demand is what the user asks of a contribution.
type Demand struct {
	BitrateBPS        int64         // highest transport stream rate, bit/s
	PacketsPerMessage int           // TS packets in an RTP packet, 1…7
	Latency           time.Duration // total: from the packet's send instant to its release, without the network's own one-way delay
	OverheadPercent   float64       // parity per stream, percent of the stream
	Streams           int           // rtp-fec streams of the contribution (S)
	RTT               time.Duration // longest round trip among the paths
	Skew              time.Duration // largest difference of one-way delays among the paths
	LossPercent       float64       // expected loss, only for advice
	Stagger           time.Duration // largest stagger among the paths

	// Overrides; zero means "derive it".
	K        int
	Rows     int           // with K: rows per stream; -1 = none
	MaxBlock time.Duration // upper bound for the time a block stays open
	PeerHop  time.Duration // latency of the link between two gateways, if packets may come through a peer
}

// Plan is what the parts are set to.
type Plan struct {
	K          int           `json:"k"`
	Rows       int           `json:"rows_per_stream"`
	Streams    int           `json:"streams"`
	MaxBlock   time.Duration `json:"max_block_ns"`   // a block is closed at this age
	FECBound   time.Duration `json:"fec_bound_ns"`   // 2 × MaxBlock, 0 without parity
	SRTLatency time.Duration `json:"srt_latency_ns"` // per path
	Stagger    time.Duration `json:"stagger_ns"`
	Reserve    time.Duration `json:"reserve_ns"` // for late handshakes and machines that are held up, beyond the margin
	Latency    time.Duration `json:"latency_ns"`
	Spare      time.Duration `json:"spare_ns"`   // latency nobody needs
	ARQRounds  float64       `json:"arq_rounds"` // SRT latency in round trips
	WireBPS    int64         `json:"wire_bps"`   // one stream with headers, tag and parity, without retransmissions
	Overhead   float64       `json:"overhead"`   // rows/K
	Notes      []string      `json:"notes,omitempty"`
}

// PlanError says why a demand cannot be met, and what would do.
type PlanError struct {
	Field  string // the demand's field, as the configuration names it
	Value  string
	Reason string
	Remedy string
}

func (e *PlanError) Error() string {
	return fmt.Sprintf("%s = %s: %s; %s", e.Field, e.Value, e.Reason, e.Remedy)
}

// NewPlan derives block size, rows and SRT latency from a demand.
//
// Stagger, skew, peer hop and margin are fixed costs; what is left is shared
// between retransmissions (SRT's latency) and parity (twice a block's duration,
// during which a lost packet may have to wait for its repair).
//
// Measured with bursts, with losses common to all paths and at every round trip
// (`make bench`, part virtual): while there is time for one round trip,
// retransmission is worth more than long blocks, because it outlasts any burst
// shorter than what is left of the latency. So parity gets short blocks, which
// repair what the retransmission loses again, and longer ones only where latency
// abounds. Where a round trip does not fit, parity gets all. A stream that stands
// alone gets no parity while retransmission works: then it is never worse than
// plain SRT.
func NewPlan(d Demand) (Plan, error) {
	if err := d.check(); err != nil {
		return Plan{}, err
	}
	p := Plan{Streams: d.Streams, Stagger: d.Stagger, Latency: d.Latency}
	slack := margin
	if d.Streams == 1 {
		slack = marginAlone
	}
	fixed := d.Stagger + d.Skew + d.PeerHop + slack
	left := d.Latency - fixed
	alone := d.Streams == 1 && d.K == 0 && left >= d.RTT+roundSlack
	parity := (d.OverheadPercent > 0 || d.Rows > 0) && d.Streams > 0 && d.Rows >= 0 && !alone
	if left < minSRTLatency {
		enough := fixed + minSRTLatency
		if parity {
			enough += 2 * minBlock
		}
		return p, &PlanError{"output.latency_ms", ms(d.Latency),
			fmt.Sprintf("stagger %s, skew %s, peer hop %s and margin %s leave %s for SRT, which needs at least %s",
				ms(d.Stagger), ms(d.Skew), ms(d.PeerHop), ms(slack), ms(left), ms(minSRTLatency)),
			fmt.Sprintf("set it to %s or more, or lower the stagger", ms(enough))}
	}
	pps := float64(d.BitrateBPS) / float64(8*tsPacketBytes*d.PacketsPerMessage)

	if !parity {
		if alone && d.OverheadPercent > 0 {
			p.Notes = append(p.Notes, "one stream alone: no parity, because retransmission makes better use of this latency")
		}
		// Parity off: all of it goes to retransmissions, but for the reserve.
		p.K, p.MaxBlock, p.SRTLatency = 1, MaxBlock, left
		p.keepBack(d, left)
		p.finish(d, pps)
		return p, nil
	}

	block := shareOut(left, d)
	if block < minBlock {
		return p, &PlanError{"output.latency_ms", ms(d.Latency),
			fmt.Sprintf("after SRT's %s there is room for blocks of %s, and parity needs blocks of at least %s",
				ms(minSRTLatency), ms(block), ms(minBlock)),
			fmt.Sprintf("set it to %s or more, or set overhead_percent to 0", ms(fixed+minSRTLatency+2*minBlock))}
	}
	if err := p.fit(d, pps, block); err != nil {
		return p, err
	}
	p.FECBound = 2 * p.MaxBlock
	p.SRTLatency = left - p.FECBound
	if p.SRTLatency < minSRTLatency {
		return p, &PlanError{"output.fec.max_block_ms", ms(p.MaxBlock),
			fmt.Sprintf("parity would take %s of %s and leave %s for SRT", ms(p.FECBound), ms(left), ms(p.SRTLatency)),
			fmt.Sprintf("set it to %s or less, or raise output.latency_ms to %s", ms((left-minSRTLatency)/2), ms(fixed+p.FECBound+minSRTLatency))}
	}
	p.keepBack(d, left)
	p.finish(d, pps)
	return p, nil
}

// keepBack takes the reserve from SRT, as far as retransmissions have time
// enough without. A contribution of one stream gives nothing away: it is never
// worse than plain SRT.
func (p *Plan) keepBack(d Demand, left time.Duration) {
	if d.Streams > 1 {
		enough := max(minSRTLatency, reserveRounds*d.RTT+roundSlack)
		p.Reserve = max(0, min(left/reserveShare, p.SRTLatency-enough))
		p.SRTLatency -= p.Reserve
	}
}

// shareOut gives the longest duration of a block; see NewPlan.
func shareOut(left time.Duration, d Demand) time.Duration {
	switch spare := left - 2*minBlock - d.RTT - roundSlack; {
	case d.MaxBlock > 0:
		return d.MaxBlock
	case spare < 0:
		// No time for a round trip: parity gets all.
		return min((left-minSRTLatency)/2, MaxBlock)
	default:
		return max(minBlock, min((left-2*d.RTT-roundSlack)/2, left/blockShare, MaxBlock))
	}
}

// fit chooses K and rows for a block duration, or checks the user's own.
func (p *Plan) fit(d Demand, pps float64, block time.Duration) error {
	ratio := d.OverheadPercent / 100
	if d.K > 0 {
		p.K = d.K
	} else {
		p.K = min(max(int(pps*block.Seconds()), 1), maxK)
		// K + S·R ≤ 255 (ESI is one byte and 255 = 2⁸−1 points exist).
		p.K = max(1, min(p.K, int(255/(1+float64(p.Streams)*ratio))))
	}
	most := (255 - p.K) / p.Streams
	switch {
	case d.Rows > 0:
		p.Rows = d.Rows
	default:
		p.Rows = max(1, int(math.Round(float64(p.K)*ratio)))
		if d.K == 0 {
			p.Rows = min(p.Rows, most) // rounded up beyond the code
		}
	}
	if n := p.K + p.Streams*p.Rows; n > 255 {
		remedy := fmt.Sprintf("lower rows to %d or k to %d", most, max(1, 255-p.Streams*p.Rows))
		if d.Rows == 0 {
			remedy = fmt.Sprintf("lower overhead_percent to %d or k to %d", 100*most/p.K, max(1, int(255/(1+float64(p.Streams)*ratio))))
		}
		return &PlanError{"output.fec", fmt.Sprintf("k %d, rows %d", p.K, p.Rows),
			fmt.Sprintf("%d streams make K + S·R = %d, and the code has 255 symbols", p.Streams, n), remedy}
	}
	// A full block at the highest rate closes by count; the timer is for slower
	// ones, a quarter later so that a steady stream never races it.
	full := time.Duration(float64(p.K) / pps * float64(time.Second))
	p.MaxBlock = min(max(full*5/4, minBlock), block)
	return nil
}

// finish fills in what follows from the rest, and the advice.
func (p *Plan) finish(d Demand, pps float64) {
	if p.Rows > 0 {
		p.Overhead = float64(p.Rows) / float64(p.K)
	}
	packet := float64(rtpHeader + d.PacketsPerMessage*tsPacketBytes + 8)
	p.WireBPS = int64(pps * 8 * (packet + lowerHeaders + p.Overhead*(packet+repairMore+lowerHeaders)))
	if d.RTT > 0 {
		p.ARQRounds = float64(p.SRTLatency) / float64(d.RTT)
	}
	if asked := d.OverheadPercent / 100; p.Rows == 1 && d.Rows == 0 && p.Overhead > 1.5*asked {
		p.Notes = append(p.Notes, fmt.Sprintf("blocks have only %d packets, and a block has at least one row per stream: parity takes %.0f %%, not %.0f %%; set overhead_percent to 0 if that is too much",
			p.K, 100*p.Overhead, d.OverheadPercent))
	}
	// More than six round trips of ARQ are waiting time, not protection.
	if d.RTT > 0 && p.ARQRounds > 6 {
		p.Spare = p.SRTLatency - 6*d.RTT
	}
	switch {
	case p.Rows == 0 && d.RTT > 0 && p.ARQRounds < 2:
		p.Notes = append(p.Notes, fmt.Sprintf("no parity, and SRT has %.1f round trips: a loss is repaired by the other path or not at all; raise overhead_percent or latency_ms", p.ARQRounds))
	case p.Rows > 0 && d.RTT > 0 && p.ARQRounds >= 4:
		p.Notes = append(p.Notes, fmt.Sprintf("SRT has %.1f round trips for retransmissions: overhead_percent 0 would do nearly as well here", p.ARQRounds))
	case p.Rows > 0 && d.RTT > 0 && p.ARQRounds < 1.5:
		p.Notes = append(p.Notes, "retransmissions come too late at this latency: parity and the other paths do all the repair")
	}
	if p.Rows > 0 && p.Overhead < 1.5*d.LossPercent/100 && p.ARQRounds < 2 {
		p.Notes = append(p.Notes, fmt.Sprintf("parity of %.0f %% per stream is thin for a loss of %.1f %%", 100*p.Overhead, d.LossPercent))
	}
}

func (d *Demand) check() error {
	bad := func(field, value, reason, remedy string) error {
		return &PlanError{field, value, reason, remedy}
	}
	switch {
	case d.BitrateBPS < 10_000 || d.BitrateBPS > 200_000_000:
		return bad("output.max_bitrate_kbps", fmt.Sprint(d.BitrateBPS/1000), "is not a contribution's rate", "set it between 10 and 200000")
	case d.PacketsPerMessage < 1 || d.PacketsPerMessage > 7:
		return bad("output.ts_packets_per_message", fmt.Sprint(d.PacketsPerMessage), "an RTP packet carries 1 to 7 TS packets", "set it to 7, or fewer for a small path MTU")
	case d.Latency <= 0 || d.Latency > 15*time.Second:
		return bad("output.latency_ms", ms(d.Latency), "is out of range", "set it between 40 and 15000")
	case d.OverheadPercent < 0 || d.OverheadPercent > 200:
		return bad("output.overhead_percent", fmt.Sprint(d.OverheadPercent), "is out of range", "set it between 0 and 200")
	case d.Streams < 0 || d.Streams > 64:
		return bad("paths", fmt.Sprint(d.Streams), "too many rtp-fec streams", "use at most 64")
	case d.RTT < 0 || d.Skew < 0 || d.Stagger < 0 || d.PeerHop < 0 || d.MaxBlock < 0:
		return bad("output", "negative", "a time is negative", "set it to 0 or more")
	case d.K < 0 || d.K > 254:
		return bad("output.fec.k", fmt.Sprint(d.K), "a block has 1 to 254 source packets", "leave it out to have it derived")
	case d.Rows > 0 && d.K == 0:
		return bad("output.fec.rows", fmt.Sprint(d.Rows), "is given without k", "give both or neither")
	case d.MaxBlock > 0 && d.MaxBlock < minBlock:
		return bad("output.fec.max_block_ms", ms(d.MaxBlock), "is shorter than a burst", "set it to "+ms(minBlock)+" or more")
	}
	return nil
}

// String gives the plan in one line for people.
func (p Plan) String() string {
	var b strings.Builder
	if p.Rows > 0 {
		fmt.Fprintf(&b, "K %d + %d rows on each of %d streams (%.0f %%), blocks ≤ %s, ", p.K, p.Rows, p.Streams, 100*p.Overhead, ms(p.MaxBlock))
	} else {
		b.WriteString("no parity, ")
	}
	fmt.Fprintf(&b, "SRT latency %s", ms(p.SRTLatency))
	if p.ARQRounds > 0 {
		fmt.Fprintf(&b, " (%.1f round trips)", p.ARQRounds)
	}
	fmt.Fprintf(&b, " + stagger %s + FEC %s + reserve %s of %s in all", ms(p.Stagger), ms(p.FECBound), ms(p.Reserve), ms(p.Latency))
	return b.String()
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.4g ms", float64(d)/float64(time.Millisecond))
}
