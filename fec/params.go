package fec

import (
	"fmt"
	"time"
)

// Sizes and numbers of the wire format.
const (
	// SourcePT is the RTP payload type of source packets (MP2T, RFC 3551).
	SourcePT = 33
	// RepairPT is the default RTP payload type of repair packets.
	RepairPT = 98
	// MaxSymbols is N of the code: source and repair symbols of a block
	// together, RFC 5510 §8 with m = 8.
	MaxSymbols = 255
	// MaxK is the largest code dimension: one symbol is left for parity.
	MaxK = MaxSymbols - 1
	// MaxStreams is the largest number of streams and of paths.
	MaxStreams = 64
	// DefaultMaxPacket is the longest source packet in bytes unless
	// configured: an RTP header and seven TS packets.
	DefaultMaxPacket = 12 + 7*188
	// DefaultMaxBlock closes a block that does not fill.
	DefaultMaxBlock = 70 * time.Millisecond
)

const (
	packetLimit   = 1 << 14          // bound of MaxPacket, bytes
	maxBlockLimit = 10 * time.Second // bound of MaxBlock
	maxBlockTicks = 10 * clockRate   // the same as RTP timestamp
)

// Params says how a stream is protected.
type Params struct {
	// K is the code dimension: source packets in a full block, 1…254.
	K int
	// R is the number of repair packets that each stream carries for a full
	// block; 0 sends none.
	R int
	// Streams is S, the number of streams among which parity rows are dealt.
	Streams int
	// MaxBlock closes a block that has not filled this long after its first
	// packet; 0 means DefaultMaxBlock.
	MaxBlock time.Duration
}

// Validate returns an error that names the first field that is out of range,
// its value, and what would be accepted.
func (p Params) Validate() error {
	switch {
	case p.K < 1 || p.K > MaxK:
		return fmt.Errorf("fec: K = %d: choose 1…%d source packets per block", p.K, MaxK)
	case p.Streams < 1 || p.Streams > MaxStreams:
		return fmt.Errorf("fec: Streams = %d: choose 1…%d", p.Streams, MaxStreams)
	case p.R < 0:
		return fmt.Errorf("fec: R = %d: choose 0 (no parity) or more", p.R)
	case p.R > (MaxSymbols-p.K)/p.Streams:
		return fmt.Errorf("fec: R = %d with K = %d and Streams = %d needs K + Streams·R = %d symbols of %d: choose R ≤ %d",
			p.R, p.K, p.Streams, p.K+p.Streams*p.R, MaxSymbols, (MaxSymbols-p.K)/p.Streams)
	case p.MaxBlock < 0 || p.MaxBlock > maxBlockLimit:
		return fmt.Errorf("fec: MaxBlock = %v: choose up to %v, or 0 for %v", p.MaxBlock, maxBlockLimit, DefaultMaxBlock)
	}
	return nil
}

// RowsFor returns how many repair packets each stream carries for a block of n
// source packets: R for a full block, ceil(R·n/K) for a shortened one.
func (p Params) RowsFor(n int) int {
	if p.K <= 0 || n <= 0 {
		return 0
	}
	return (p.R*min(n, p.K) + p.K - 1) / p.K
}

// Bound returns the longest time from a packet's Add to the last repair packet
// of its block, for a stream of packetsPerSecond: twice the shorter of a
// block's duration and MaxBlock. A receiver's latency must hold this beside
// the skew of its paths. It is 0 when R is 0.
func (p Params) Bound(packetsPerSecond float64) time.Duration {
	if p.R == 0 {
		return 0
	}
	bound := p.maxBlock()
	if packetsPerSecond > 0 {
		bound = min(bound, time.Duration(float64(p.K)/packetsPerSecond*float64(time.Second)))
	}
	return 2 * bound
}

func (p Params) maxBlock() time.Duration {
	if p.MaxBlock == 0 {
		return DefaultMaxBlock
	}
	return p.MaxBlock
}
