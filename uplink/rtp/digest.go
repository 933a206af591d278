package rtp

import (
	"hash/crc32"
	"sync"
)

const (
	// WindowPackets is the number of source packets in a digest window.
	WindowPackets = 1024

	windowShift = 10
	openWindows = 4
	historySize = 256
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum returns the CRC-32C (Castagnoli; RFC 3720 §12.1) of a source packet, RTP
// header included and tag excluded: its share in a digest.
func Sum(pkt []byte) uint32 { return crc32.Checksum(pkt, castagnoli) }

// Window is the digest of 1024 consecutive source packets of one SSRC, all of
// them present: those with the same upper 6 bits of the sequence number, in one
// turn of it.
//
// Which turn is told by the RTP timestamp of the window's first packet (lower
// 10 bits of the sequence number zero), since a receiver that joined later
// counts turns differently. SSRC, Number and Timestamp name a window without
// ambiguity: the timestamp takes 13 hours to come round and a window is
// forgotten after 256 others.
//
// Windows of two ends may be compared only if both hold all 1024 packets, so
// only such windows exist. Equal Sum then means equal packets, but for chance:
// the sum is no protection against intent, which is the tag's task.
type Window struct {
	SSRC      uint32
	Timestamp uint32 // of the packet whose sequence number is Number<<10
	Number    uint8  // sequence number >> 10, 0…63
	Sum       uint64 // Σ CRC-32C(packet) mod 2^64
}

// same reports whether w and v name the same packets.
func (w Window) same(v Window) bool {
	return w.SSRC == v.SSRC && w.Number == v.Number && w.Timestamp == v.Timestamp
}

// DigestStats counts what a Digest did since it was made.
type DigestStats struct {
	Packets    uint64 `json:"packets"`    // counted in some window
	Complete   uint64 `json:"complete"`   // windows with all their packets
	Incomplete uint64 `json:"incomplete"` // windows given up with some packets missing
	Duplicates uint64 `json:"duplicates"` // packets seen before in an open window
	Late       uint64 `json:"late"`       // packets of a window already given up
	Resets     uint64 `json:"resets"`     // new SSRC, or timestamps over 0.5 s apart
}

// Digest sums source packets as they are sent or received, in windows of 1024
// sequence numbers. Order does not matter within four windows, and a packet
// counts once. The zero value is ready.
//
// A step of the RTP timestamp of more than 0.5 s between two packets gives up
// the open windows, since the sequence number may have gone round unseen.
// (A stream of fewer than two packets a second therefore has no digest.)
type Digest struct {
	started bool
	ssrc    uint32
	newest  uint64 // highest index of a packet so far
	lastTS  uint32
	open    [openWindows]openWindow
	stats   DigestStats
	history History
}

type openWindow struct {
	used   bool
	index  uint64 // packet index >> windowShift
	ts     uint32
	count  int
	sum    uint64
	packet [WindowPackets / 64]uint64 // bit set: counted
}

// Add counts a source packet and reports whether it completed a window. What is
// too short for an RTP header is ignored.
func (d *Digest) Add(pkt []byte) bool {
	if len(pkt) < HeaderSize {
		return false
	}
	return d.AddSum(fixed(pkt), Sum(pkt))
}

// AddSum is Add for a packet whose header and Sum are known already, as at the
// sender, where one packet goes out on several paths.
func (d *Digest) AddSum(h Header, sum uint32) bool {
	step := int32(h.Timestamp - d.lastTS)
	if !d.started || h.SSRC != d.ssrc || step > gapTicks || step < -gapTicks {
		d.reset(h)
	}
	d.lastTS = h.Timestamp
	index := uint64(int64(d.newest) + int64(h.Seq.Diff(Seq(d.newest))))
	d.newest = max(d.newest, index)
	number := index >> windowShift
	w := &d.open[number%openWindows]
	if number+openWindows <= d.newest>>windowShift {
		d.stats.Late++
		return false
	}
	if !w.used || w.index != number {
		d.giveUp(w)
		*w = openWindow{used: true, index: number}
	}
	word, bit := index%WindowPackets/64, uint64(1)<<(index%64)
	if w.packet[word]&bit != 0 {
		d.stats.Duplicates++
		return false
	}
	w.packet[word] |= bit
	w.count++
	w.sum += uint64(sum)
	d.stats.Packets++
	if index%WindowPackets == 0 {
		w.ts = h.Timestamp
	}
	if w.count < WindowPackets {
		return false
	}
	d.stats.Complete++
	d.history.put(Window{SSRC: d.ssrc, Timestamp: w.ts, Number: uint8(number % 64), Sum: w.sum})
	return true
}

// Windows returns the complete windows, which other goroutines may read.
func (d *Digest) Windows() *History { return &d.history }

// Stats returns the counts so far.
func (d *Digest) Stats() DigestStats { return d.stats }

// reset gives up the open windows and starts again at the packet with header h.
func (d *Digest) reset(h Header) {
	if d.started {
		d.stats.Resets++
	}
	for i := range d.open {
		d.giveUp(&d.open[i])
		d.open[i].used = false
	}
	d.started, d.ssrc = true, h.SSRC
	d.newest = unwrapBase + uint64(h.Seq)
}

func (d *Digest) giveUp(w *openWindow) {
	if w.used && w.count < WindowPackets {
		d.stats.Incomplete++
	}
}

// Verdict is the result of comparing a window.
type Verdict int

// The verdicts.
const (
	Unknown   Verdict = iota // not comparable: this end does not have the whole window (any more)
	Equal                    // same packets, same digest
	Different                // same packets, other digest
)

// String returns the verdict in lower case.
func (v Verdict) String() string {
	switch v {
	case Equal:
		return "equal"
	case Different:
		return "different"
	default:
		return "unknown"
	}
}

// History holds the newest 256 complete windows of a Digest. It is safe for
// concurrent use; its lock is taken once in 1024 packets.
type History struct {
	mu   sync.Mutex
	n    uint64 // windows ever put
	ring [historySize]Window
}

func (h *History) put(w Window) {
	h.mu.Lock()
	h.ring[h.n%historySize] = w
	h.n++
	h.mu.Unlock()
}

// AppendLatest appends to dst the newest n windows of one SSRC at most, oldest
// first.
func (h *History) AppendLatest(dst []Window, ssrc uint32, n int) []Window {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := h.n
	for have := min(h.n, historySize); have > 0 && n > 0; have, n = have-1, n-1 {
		if h.ring[(from-1)%historySize].SSRC != ssrc {
			break
		}
		from--
	}
	for ; from < h.n; from++ {
		dst = append(dst, h.ring[from%historySize])
	}
	return dst
}

// Compare compares a window of the other end with this end's own.
func (h *History) Compare(w Window) Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range min(h.n, historySize) {
		own := h.ring[(h.n-1-i)%historySize]
		if own.same(w) {
			if own.Sum == w.Sum {
				return Equal
			}
			return Different
		}
	}
	return Unknown
}

// Comparison counts the verdicts on the windows that one far end reports. Since
// a window is reported more than once, in case a report is lost, only those
// newer than the last one count. The zero value is ready.
type Comparison struct {
	begun bool
	last  Window

	Equal     uint64 `json:"windows_equal"`
	Different uint64 `json:"windows_different"`
	Unknown   uint64 `json:"windows_unknown"`
}

// Add compares the windows of one report, oldest first, with this end's own,
// and returns how many new ones differ.
func (c *Comparison) Add(own *History, reported []Window) (different int) {
	for _, w := range reported {
		if c.begun && w.SSRC == c.last.SSRC && int32(w.Timestamp-c.last.Timestamp) <= 0 {
			continue
		}
		c.begun, c.last = true, w
		switch own.Compare(w) {
		case Equal:
			c.Equal++
		case Different:
			c.Different++
			different++
		default:
			c.Unknown++
		}
	}
	return different
}
