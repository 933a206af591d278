package gateway

import (
	"context"
	"log/slog"
	"time"

	"quartet/uplink/rtp"
)

// output is one open place the merged feed goes to.
//
// write and fill are called by the contribution's goroutine, at most once a
// tick each; they never block and keep nothing of what they are given. run is
// the output's own goroutine: it opens and reopens what can fail, and does
// what may block. It returns when ctx ends, after what is queued has left or
// half a second has passed. stats is called by the contribution's goroutine.
type output interface {
	write(b *batch)
	fill(nulls [][]byte)
	run(ctx context.Context)
	stats() OutputStats
	onLoss() OnLoss
}

// outputEnv is what an output is given by its contribution.
type outputEnv struct {
	log        *slog.Logger
	maxBitrate int64 // bit/s
}

// OutputStats is how one output does.
type OutputStats struct {
	Name        string `json:"name"`
	Type        string `json:"type"`        // rtp, udp, srt, file
	Destination string `json:"destination"` // without secrets
	State       string `json:"state"`       // opening, open, connecting, listening, connected
	OnInputLoss string `json:"on_input_loss"`
	Error       string `json:"error,omitempty"` // the last one, in words

	SentPackets    uint64 `json:"sent_packets"` // datagrams or messages, one per released packet and destination
	SentBytes      uint64 `json:"sent_bytes"`
	NullPackets    uint64 `json:"null_ts_packets"`            // TS packets made up while the feed was lost
	DroppedPackets uint64 `json:"dropped_packets"`            // not taken by the kernel, the disk or the far end
	QueueBytes     int    `json:"queue_bytes"`                // waiting for the output's goroutine
	Connections    int    `json:"connections,omitempty"`      // srt: far ends connected now
	Reconnects     uint64 `json:"reconnects_total,omitempty"` // srt: connections made
}

// batch is what one tick releases: RTP packets, and the transport stream
// packets within them. Its memory is made once; what a Delivery shows is valid
// during the call only, so each packet is copied here once for all outputs.
type batch struct {
	rtp [][]byte // whole packets, as the box sent them
	ts  [][]byte // their payload, n × 188 bytes
	mem []byte
}

const (
	batchPackets = 128
	maxPacket    = rtp.MaxSourcePacket
)

func newBatch() *batch {
	return &batch{
		rtp: make([][]byte, 0, batchPackets),
		ts:  make([][]byte, 0, batchPackets),
		mem: make([]byte, 0, batchPackets*maxPacket),
	}
}

// full tells whether another packet might not fit.
func (b *batch) full() bool {
	return len(b.rtp) == cap(b.rtp) || len(b.mem)+maxPacket > cap(b.mem)
}

// add copies an RTP packet with a header of head bytes into the batch. The
// caller flushes when full.
func (b *batch) add(pkt []byte, head int) {
	at := len(b.mem)
	b.mem = append(b.mem, pkt...)
	p := b.mem[at:len(b.mem):len(b.mem)]
	b.rtp = append(b.rtp, p)
	b.ts = append(b.ts, p[head:])
}

func (b *batch) reset() {
	b.rtp, b.ts, b.mem = b.rtp[:0], b.ts[:0], b.mem[:0]
}

// every lets one event through per interval, for logs.
type every struct {
	last time.Time
	held int
}

// ok tells whether to log now, and how many were held back since the last.
func (e *every) ok(interval time.Duration) (bool, int) {
	now := time.Now()
	if !e.last.IsZero() && now.Sub(e.last) < interval {
		e.held++
		return false, 0
	}
	held := e.held
	e.last, e.held = now, 0
	return true, held
}
