package rtp

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// The names of our RTCP APP packets (RFC 3550 §6.7).
//
// An APP packet of ours is
//
//	offset  length  field
//	0       1       0x80: version 2, no padding, subtype 0
//	1       1       204: packet type APP
//	2       2       length of the packet in 32-bit words, less one
//	4       4       SSRC of who sends the report
//	8       4       name, ASCII
//	12      …       data, as the type of each name documents; its first byte is the version, 0
//
// Offsets in the tables of this file count from the start of data. What a
// table calls zero is sent as zero and not looked at on receipt. A receiver
// skips an APP packet of another name, subtype or version; it takes data longer
// than the table says and leaves the rest unread, so that fields can be added
// at the end; it refuses shorter data.
const (
	nameSettings = "QRTS"
	namePath     = "QRTP"
	nameMerged   = "QRTM"
	nameProbe    = "QPRB"
	nameAnswer   = "QPRA"

	appVersion = 0

	// PathUnknown stands for a path index that the gateway has not been told.
	PathUnknown = 255
	// maxPath is the largest path index: the bits of MergedReport.Paths.
	maxPath = 63
	// MaxReportWindows is the largest number of digest windows in one report.
	MaxReportWindows = 8

	settingsSize = 32
	pathSize     = 96
	mergedSize   = 104
	windowSize   = 16
	probeSize    = 8
	answerSize   = 12
)

// Settings is APP "QRTS", box → gateway: what the box sends on this connection.
// The gateway derives the path's delay (SRT latency + stagger) and its release
// clock from it.
//
//	offset  length  field
//	0       1       version, 0
//	1       1       path index, 0…63
//	2       1       leg, counted from 1; 0 = not told
//	3       1       index s of the repair stream on this path, 0…S−1
//	4       4       SSRC of the source packets
//	8       2       total latency, ms
//	10      2       SRT latency, ms
//	12      2       stagger, ms
//	14      2       longest duration of a block, ms
//	16      1       K: code dimension of the next block
//	17      1       R: repair packets per stream for a full block; 0 = none
//	18      1       S: number of repair streams
//	19      1       payload type of repair packets
//	20      1       TS packets in a full source packet, 1…7
//	21      3       zero
//	24      8       rate of the TS, bit/s; 0 = not known
//
// Durations go out in whole ms, rounded to the nearest, 0…65535.
type Settings struct {
	SSRC              uint32
	Path, Leg, Stream uint8
	TotalLatency      time.Duration
	SRTLatency        time.Duration
	Stagger           time.Duration
	MaxBlock          time.Duration
	K, R, Streams     uint8
	RepairPT          uint8
	PacketsPerMessage uint8
	BitRate           uint64 // bit/s
}

func (s *Settings) append(b []byte) ([]byte, error) {
	if s.Path > maxPath {
		return nil, fmt.Errorf("rtp: report settings: Path %d: want 0 to %d", s.Path, maxPath)
	}
	b = append(b, appVersion, s.Path, s.Leg, s.Stream)
	b = binary.BigEndian.AppendUint32(b, s.SSRC)
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"TotalLatency", s.TotalLatency},
		{"SRTLatency", s.SRTLatency},
		{"Stagger", s.Stagger},
		{"MaxBlock", s.MaxBlock},
	} {
		ms := (f.d + time.Millisecond/2) / time.Millisecond
		if f.d < 0 || ms > math.MaxUint16 {
			return nil, fmt.Errorf("rtp: report settings: %s %v: want 0 to %d ms", f.name, f.d, math.MaxUint16)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(ms))
	}
	b = append(b, s.K, s.R, s.Streams, s.RepairPT, s.PacketsPerMessage, 0, 0, 0)
	return binary.BigEndian.AppendUint64(b, s.BitRate), nil
}

func (s *Settings) parse(b []byte) error {
	if len(b) < settingsSize {
		return malformed("APP %s with %d data bytes, want at least %d", nameSettings, len(b), settingsSize)
	}
	if b[1] > maxPath {
		return malformed("APP %s with path index %d, want 0 to %d", nameSettings, b[1], maxPath)
	}
	ms := func(off int) time.Duration {
		return time.Duration(binary.BigEndian.Uint16(b[off:])) * time.Millisecond
	}
	*s = Settings{
		Path: b[1], Leg: b[2], Stream: b[3],
		SSRC:         binary.BigEndian.Uint32(b[4:]),
		TotalLatency: ms(8),
		SRTLatency:   ms(10),
		Stagger:      ms(12),
		MaxBlock:     ms(14),
		K:            b[16], R: b[17], Streams: b[18],
		RepairPT:          b[19],
		PacketsPerMessage: b[20],
		BitRate:           binary.BigEndian.Uint64(b[24:]),
	}
	return nil
}

// PathReport is APP "QRTP", gateway → box: what arrived on this path. Counters
// run since the epoch began and count source packets unless they say otherwise.
// Received + LostHere are the packets released or lost while the path counted,
// which it does from its first packet on; LostHere = ByOther + ByParity +
// Unrecovered.
//
//	offset  length  field
//	0       1       version, 0
//	1       1       path index as QRTS told it; 255 = not told yet
//	2       1       w: number of digest windows, 0…8
//	3       1       zero
//	4       4       SSRC of the source packets
//	8       4       extended highest sequence number received (RFC 3550 §6.4.1), as in the RR
//	12      4       skew, µs, signed: how much later than on the fastest path packets arrive
//	16      4       interarrival jitter, µs (RFC 3550 §6.4.1)
//	20      4       number of this report, +1 each; shared with QRTM of the same compound
//	24      8       received: released, and arrived on this path in time
//	32      8       lost here: did not arrive on this path in time
//	40      8       of these: delivered by another path
//	48      8       of these: recovered by parity
//	56      8       of these: not recovered
//	64      8       late: arrived on this path after their turn (all of them lost here)
//	72      8       messages of any kind with a wrong tag, since the gateway began
//	80      8       messages of any kind with a right tag that could not be parsed, since the gateway began
//	88      8       duplicates: arrived on this path before
//	96      16·w    digest windows received on this path, oldest first
//
// The windows are the newest complete ones of this SSRC, so most are reported
// more than once and a lost report costs none. A digest window (see Window) is
//
//	offset  length  field
//	0       4       RTP timestamp of the window's first packet
//	4       1       window number, 0…63: upper 6 bits of the sequence number
//	5       1       zero
//	6       2       count of packets, 1024
//	8       8       Σ CRC-32C(source packet) mod 2^64
type PathReport struct {
	SSRC        uint32
	Path        uint8
	HighestSeq  uint32
	Skew        time.Duration
	Jitter      time.Duration
	Number      uint32
	Received    uint64
	LostHere    uint64
	ByOther     uint64
	ByParity    uint64
	Unrecovered uint64
	Late        uint64
	BadTag      uint64
	Malformed   uint64
	Duplicates  uint64
	Windows     []Window // oldest first; at most MaxReportWindows; their SSRC is SSRC
}

func (p *PathReport) append(b []byte) ([]byte, error) {
	if err := checkWindows(p.Windows, p.SSRC); err != nil {
		return nil, err
	}
	b = append(b, appVersion, p.Path, uint8(len(p.Windows)), 0)
	b = binary.BigEndian.AppendUint32(b, p.SSRC)
	b = binary.BigEndian.AppendUint32(b, p.HighestSeq)
	b = binary.BigEndian.AppendUint32(b, uint32(micros(p.Skew, math.MinInt32, math.MaxInt32)))
	b = binary.BigEndian.AppendUint32(b, uint32(micros(p.Jitter, 0, math.MaxUint32)))
	b = binary.BigEndian.AppendUint32(b, p.Number)
	for _, v := range []uint64{
		p.Received, p.LostHere, p.ByOther, p.ByParity, p.Unrecovered, p.Late, p.BadTag, p.Malformed, p.Duplicates,
	} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return appendWindows(b, p.Windows), nil
}

func (p *PathReport) parse(b []byte) error {
	if len(b) < pathSize {
		return malformed("APP %s with %d data bytes, want at least %d", namePath, len(b), pathSize)
	}
	*p = PathReport{
		Path:        b[1],
		SSRC:        binary.BigEndian.Uint32(b[4:]),
		HighestSeq:  binary.BigEndian.Uint32(b[8:]),
		Skew:        time.Duration(int32(binary.BigEndian.Uint32(b[12:]))) * time.Microsecond,
		Jitter:      time.Duration(binary.BigEndian.Uint32(b[16:])) * time.Microsecond,
		Number:      binary.BigEndian.Uint32(b[20:]),
		Received:    binary.BigEndian.Uint64(b[24:]),
		LostHere:    binary.BigEndian.Uint64(b[32:]),
		ByOther:     binary.BigEndian.Uint64(b[40:]),
		ByParity:    binary.BigEndian.Uint64(b[48:]),
		Unrecovered: binary.BigEndian.Uint64(b[56:]),
		Late:        binary.BigEndian.Uint64(b[64:]),
		BadTag:      binary.BigEndian.Uint64(b[72:]),
		Malformed:   binary.BigEndian.Uint64(b[80:]),
		Duplicates:  binary.BigEndian.Uint64(b[88:]),
	}
	var err error
	p.Windows, err = parseWindows(namePath, b[pathSize:], int(b[2]), p.SSRC)
	return err
}

// MergedReport is APP "QRTM", gateway → box: the stream that the gateway
// released after merge and repair. Counters run since the epoch began and count
// source packets unless they say otherwise.
//
//	offset  length  field
//	0       1       version, 0
//	1       1       K of the last block seen; 0 = no repair packet yet
//	2       1       w: number of digest windows, 0…8
//	3       1       zero
//	4       4       SSRC of the source packets
//	8       4       extended highest sequence number released (RFC 3550 §6.4.1)
//	12      4       release margin, µs, signed: the least time, in the last 10 s, that a packet was there before its release
//	16      4       D of the release clock, µs
//	20      4       number of this report, +1 each; shared with QRTP of the same compound
//	24      8       paths that deliver now: bit i = path index i
//	32      8       delivered: released, however they came
//	40      8       of these: recovered by parity
//	48      8       lost: not there at their release
//	56      8       duplicates: copies beyond the first on one path, summed over the paths
//	64      8       late: of those lost, those that arrived after all
//	72      8       repair packets dropped because they disagreed with others of their block
//	80      8       packets of an SSRC that is refused
//	88      8       epochs begun, since the gateway began
//	96      8       rate of the TS released, bit/s
//	104     16·w    digest windows released, oldest first (as in QRTP)
type MergedReport struct {
	SSRC         uint32
	K            uint8
	HighestSeq   uint32
	Margin       time.Duration
	Latency      time.Duration // D
	Number       uint32
	Paths        uint64
	Delivered    uint64
	ByParity     uint64
	Lost         uint64
	Duplicates   uint64
	Late         uint64
	Disagreeing  uint64
	RefusedEpoch uint64
	Epochs       uint64
	BitRate      uint64   // bit/s
	Windows      []Window // oldest first; at most MaxReportWindows; their SSRC is SSRC
}

func (m *MergedReport) append(b []byte) ([]byte, error) {
	if err := checkWindows(m.Windows, m.SSRC); err != nil {
		return nil, err
	}
	b = append(b, appVersion, m.K, uint8(len(m.Windows)), 0)
	b = binary.BigEndian.AppendUint32(b, m.SSRC)
	b = binary.BigEndian.AppendUint32(b, m.HighestSeq)
	b = binary.BigEndian.AppendUint32(b, uint32(micros(m.Margin, math.MinInt32, math.MaxInt32)))
	b = binary.BigEndian.AppendUint32(b, uint32(micros(m.Latency, 0, math.MaxUint32)))
	b = binary.BigEndian.AppendUint32(b, m.Number)
	for _, v := range []uint64{
		m.Paths, m.Delivered, m.ByParity, m.Lost, m.Duplicates, m.Late, m.Disagreeing, m.RefusedEpoch, m.Epochs, m.BitRate,
	} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return appendWindows(b, m.Windows), nil
}

func (m *MergedReport) parse(b []byte) error {
	if len(b) < mergedSize {
		return malformed("APP %s with %d data bytes, want at least %d", nameMerged, len(b), mergedSize)
	}
	*m = MergedReport{
		K:            b[1],
		SSRC:         binary.BigEndian.Uint32(b[4:]),
		HighestSeq:   binary.BigEndian.Uint32(b[8:]),
		Margin:       time.Duration(int32(binary.BigEndian.Uint32(b[12:]))) * time.Microsecond,
		Latency:      time.Duration(binary.BigEndian.Uint32(b[16:])) * time.Microsecond,
		Number:       binary.BigEndian.Uint32(b[20:]),
		Paths:        binary.BigEndian.Uint64(b[24:]),
		Delivered:    binary.BigEndian.Uint64(b[32:]),
		ByParity:     binary.BigEndian.Uint64(b[40:]),
		Lost:         binary.BigEndian.Uint64(b[48:]),
		Duplicates:   binary.BigEndian.Uint64(b[56:]),
		Late:         binary.BigEndian.Uint64(b[64:]),
		Disagreeing:  binary.BigEndian.Uint64(b[72:]),
		RefusedEpoch: binary.BigEndian.Uint64(b[80:]),
		Epochs:       binary.BigEndian.Uint64(b[88:]),
		BitRate:      binary.BigEndian.Uint64(b[96:]),
	}
	var err error
	m.Windows, err = parseWindows(nameMerged, b[mergedSize:], int(b[2]), m.SSRC)
	return err
}

// Probe is APP "QPRB", box → gateway: a message made as long as Size says, to
// learn which sizes the path lets through. It must be the last packet of its
// compound.
//
//	offset  length  field
//	0       1       version, 0
//	1       1       zero
//	2       2       size of this message in bytes, tag included; a multiple of 4, at most 1456
//	4       4       probe id, chosen by the box
//	8       …       zero, up to the size
type Probe struct {
	ID   uint32
	Size int // bytes of the message, tag included
}

func (p *Probe) parse(b []byte, pktLen int) error {
	if len(b) < probeSize {
		return malformed("APP %s with %d data bytes, want at least %d", nameProbe, len(b), probeSize)
	}
	p.Size = int(binary.BigEndian.Uint16(b[2:]))
	p.ID = binary.BigEndian.Uint32(b[4:])
	if p.Size != pktLen+TagSize {
		return malformed("APP %s says a message of %d bytes, this one has %d", nameProbe, p.Size, pktLen+TagSize)
	}
	return nil
}

// ProbeAnswer is APP "QPRA", gateway → box: what arrived of the probes with one
// id.
//
//	offset  length  field
//	0       1       version, 0
//	1       1       zero
//	2       2       size in bytes of the longest message with this id that arrived
//	4       4       probe id
//	8       4       count of messages with this id that arrived
type ProbeAnswer struct {
	ID      uint32
	Largest int // bytes of the message, tag included
	Count   uint32
}

func (a *ProbeAnswer) append(b []byte) ([]byte, error) {
	if a.Largest < 0 || a.Largest > math.MaxUint16 {
		return nil, fmt.Errorf("rtp: probe answer: Largest %d: want 0 to %d", a.Largest, math.MaxUint16)
	}
	b = append(b, appVersion, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(a.Largest))
	b = binary.BigEndian.AppendUint32(b, a.ID)
	return binary.BigEndian.AppendUint32(b, a.Count), nil
}

func (a *ProbeAnswer) parse(b []byte) error {
	if len(b) < answerSize {
		return malformed("APP %s with %d data bytes, want at least %d", nameAnswer, len(b), answerSize)
	}
	a.Largest = int(binary.BigEndian.Uint16(b[2:]))
	a.ID = binary.BigEndian.Uint32(b[4:])
	a.Count = binary.BigEndian.Uint32(b[8:])
	return nil
}

func checkWindows(ws []Window, ssrc uint32) error {
	if len(ws) > MaxReportWindows {
		return fmt.Errorf("rtp: report: %d digest windows: want at most %d", len(ws), MaxReportWindows)
	}
	for _, w := range ws {
		if w.SSRC != ssrc {
			return fmt.Errorf("rtp: report: digest window of SSRC %08x in a report on %08x: leave it out", w.SSRC, ssrc)
		}
		if w.Number > 63 {
			return fmt.Errorf("rtp: report: digest window number %d: want 0 to 63", w.Number)
		}
	}
	return nil
}

func appendWindows(b []byte, ws []Window) []byte {
	for _, w := range ws {
		b = binary.BigEndian.AppendUint32(b, w.Timestamp)
		b = append(b, w.Number, 0)
		b = binary.BigEndian.AppendUint16(b, WindowPackets)
		b = binary.BigEndian.AppendUint64(b, w.Sum)
	}
	return b
}

func parseWindows(name string, b []byte, n int, ssrc uint32) ([]Window, error) {
	if n > MaxReportWindows || len(b) < n*windowSize {
		return nil, malformed("APP %s with %d digest windows in %d bytes: want at most %d, of %d bytes each",
			name, n, len(b), MaxReportWindows, windowSize)
	}
	var ws []Window
	for ; n > 0; n, b = n-1, b[windowSize:] {
		if b[4] > 63 || binary.BigEndian.Uint16(b[6:]) != WindowPackets {
			return nil, malformed("APP %s: digest window %d of %d packets: want 0 to 63, of %d",
				name, b[4], binary.BigEndian.Uint16(b[6:]), WindowPackets)
		}
		ws = append(ws, Window{
			SSRC:      ssrc,
			Timestamp: binary.BigEndian.Uint32(b),
			Number:    b[4],
			Sum:       binary.BigEndian.Uint64(b[8:]),
		})
	}
	return ws, nil
}

// micros returns d in µs, held within bounds: a measurement off the scale must
// not stop a report.
func micros(d time.Duration, low, high int64) int64 {
	return min(max(d.Microseconds(), low), high)
}
