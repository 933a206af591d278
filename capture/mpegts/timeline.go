package mpegts

import (
	"math/bits"
	"sort"
	"time"
)

// Limits of a Timeline.
const (
	timelineMinGap = PCRHz / 200 // PCRs closer together than 5 ms add nothing
	timelineMaxGap = 10 * PCRHz  // longer without a PCR is a break
	timelinePoints = 2 << 20     // PCRs kept: a day's worth at one in 40 ms; behind them, the last rate
	timelineSteady = PCRHz / 10  // TR 101 290 2.3: intervals up to 100 ms are legal
	timelineOdd    = 4           // times longer than packets say: a jump
)

// Timeline says when each packet of a finished stretch of stream (a file) is
// due, by the PCRs of one PID: packets are spread evenly between two PCRs, at
// the neighbouring rate before the first, behind the last, and where the time
// base breaks. Feed it the whole stretch with Add, then ask.
//
// It takes 32 bytes of memory per PCR, at most 64 MiB. Not safe for concurrent
// use.
type Timeline struct {
	pid     PID
	havePID bool
	packets int64

	// while packets are added
	raw     []timelineRaw
	lastPCR PCR
	broke   bool

	// from the first question on
	points []timelinePoint
	ticks  int64
	at     int // index of the last interval found
}

// timelineRaw is a PCR as found: its packet and the ticks since the one before.
type timelineRaw struct {
	index int64
	delta int32 // −1 where the time base breaks
	flag  bool  // the time base is announced to break
}

// timelinePoint is a PCR's packet and its time since packet 0.
type timelinePoint struct {
	index int64
	ticks int64
}

// NewTimeline returns an empty Timeline clocked by pid; 0 means the first PID
// that carries a PCR.
func NewTimeline(pid PID) *Timeline { return &Timeline{pid: pid, havePID: pid != 0} }

// Add takes the next packets, n·188 bytes.
func (t *Timeline) Add(ts []byte) {
	t.points = nil
	for ; len(ts) >= PacketSize; ts = ts[PacketSize:] {
		if ts[3]&0x20 != 0 {
			t.look(Packet(ts[:PacketSize:PacketSize]))
		}
		t.packets++
	}
}

func (t *Timeline) look(p Packet) {
	if p.TransportError() || t.havePID && p.PID() != t.pid {
		return
	}
	pcr, ok := p.PCR()
	if t.havePID && p.Discontinuity() {
		t.broke = true
	}
	if !ok || len(t.raw) >= timelinePoints {
		return
	}
	t.pid, t.havePID = p.PID(), true
	var d int64
	if len(t.raw) > 0 {
		d = pcr.Diff(t.lastPCR)
		switch {
		case d == 0 || d > 0 && d < timelineMinGap && !t.broke:
			return
		case d < 0 || d > timelineMaxGap:
			d = -1
		}
	}
	t.raw = append(t.raw, timelineRaw{t.packets, int32(d), t.broke})
	t.lastPCR, t.broke = pcr, false
}

// PCRPID returns the PID that is the clock, false when no PCR has been seen.
func (t *Timeline) PCRPID() (PID, bool) { return t.pid, len(t.raw) > 0 }

// Packets returns how many packets were added.
func (t *Timeline) Packets() int64 { return t.packets }

// Ticks returns the duration of one pass in 27 MHz ticks: from the first packet
// to the instant at which one behind the last would be due, which is when the
// first comes again. 0 means that there are fewer than two PCRs to go by.
func (t *Timeline) Ticks() int64 {
	t.solve()
	return t.ticks
}

// Duration returns Ticks as time.
func (t *Timeline) Duration() time.Duration { return TicksToDuration(t.Ticks()) }

// Rate returns the mean rate in bits of TS per second, 0 when Ticks is 0.
func (t *Timeline) Rate() float64 {
	if t.Ticks() == 0 {
		return 0
	}
	return float64(t.packets) * packetBits * PCRHz / float64(t.ticks)
}

// At returns when packet i is due, in 27 MHz ticks after packet 0. i may go
// beyond the last packet: passes then follow each other without end. Without a
// clock it is 0.
func (t *Timeline) At(i int64) int64 {
	if t.Ticks() == 0 || i < 0 {
		return 0
	}
	pass := i / t.packets
	i -= pass * t.packets
	if k := t.at; i < t.points[k].index || i >= t.points[k+1].index {
		if k+2 < len(t.points) && i >= t.points[k+1].index && i < t.points[k+2].index {
			t.at++
		} else {
			t.at = sort.Search(len(t.points)-2, func(k int) bool { return t.points[k+1].index > i })
		}
	}
	a, b := t.points[t.at], t.points[t.at+1]
	return pass*t.ticks + a.ticks + scale(b.ticks-a.ticks, i-a.index, b.index-a.index)
}

// solve turns the PCRs into points from packet 0 to the packet behind the last.
func (t *Timeline) solve() {
	if t.points != nil || len(t.raw) < 2 {
		return
	}
	// The mean spacing, from legal intervals or, in their absence, from any.
	var ticks, packets int64
	for _, limit := range []int64{timelineSteady, timelineMaxGap} {
		for k := 1; k < len(t.raw); k++ {
			if d, n := t.interval(k); d > 0 && d <= limit {
				ticks, packets = ticks+d, packets+n
			}
		}
		if ticks > 0 {
			break
		}
	}
	if ticks == 0 {
		return
	}
	good := func(k int) bool {
		d, n := t.interval(k)
		expect := scale(ticks, n, packets)
		switch {
		case d <= 0:
			return false
		case t.raw[k].flag:
			return d/2 <= expect && expect/2 <= d
		}
		return d <= timelineSteady || d/timelineOdd <= expect
	}
	// The spacing at hand: of the interval before, at first of the first good one.
	stepT, stepN := ticks, packets
	for k := 1; k < len(t.raw); k++ {
		if good(k) {
			stepT, stepN = t.interval(k)
			break
		}
	}
	at := scale(stepT, t.raw[0].index, stepN)
	points := make([]timelinePoint, 0, len(t.raw)+2)
	if t.raw[0].index > 0 {
		points = append(points, timelinePoint{})
	}
	points = append(points, timelinePoint{t.raw[0].index, at})
	for k := 1; k < len(t.raw); k++ {
		d, n := t.interval(k)
		if good(k) {
			stepT, stepN = d, n
		} else {
			d = max(scale(stepT, n, stepN), 1)
		}
		at += d
		points = append(points, timelinePoint{t.raw[k].index, at})
	}
	at += max(scale(stepT, t.packets-t.raw[len(t.raw)-1].index, stepN), 1)
	t.points = append(points, timelinePoint{t.packets, at})
	t.ticks, t.at = at, 0
}

// interval returns the ticks and packets from PCR k−1 to PCR k.
func (t *Timeline) interval(k int) (ticks, packets int64) {
	return int64(t.raw[k].delta), t.raw[k].index - t.raw[k-1].index
}

// scale returns v·n/d, rounded down, for values of which none is negative.
func scale(v, n, d int64) int64 {
	hi, lo := bits.Mul64(uint64(v), uint64(n))
	if d <= 0 || hi >= uint64(d) {
		return 0
	}
	q, _ := bits.Div64(hi, lo, uint64(d))
	return int64(q)
}
