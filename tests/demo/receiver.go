package demo

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"quartet/tests/ledger"
	"quartet/uplink/rtp"
)

// receiver takes the RTP of one gateway, as MediaConnect would, and compares it
// with what went in. It keeps the last seconds for a look at the picture.
type receiver struct {
	conn *net.UDPConn
	out  *ledger.Output
	now  func() time.Duration

	mu    sync.Mutex
	last  []byte // TS
	count int
}

const keepTS = 6 << 20 / 188 * 188 // some 8 s of the test picture

func newReceiver(at netip.AddrPort, out *ledger.Output, now func() time.Duration) (*receiver, error) {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	c.SetReadBuffer(4 << 20)
	return &receiver{conn: c, out: out, now: now}, nil
}

func (r *receiver) run(ctx context.Context) {
	defer r.conn.Close()
	stop := context.AfterFunc(ctx, func() { r.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 2048)
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			return
		}
		if n <= rtp.HeaderSize || binary.BigEndian.Uint16(buf)>>14 != 2 {
			continue
		}
		ts := buf[rtp.HeaderSize:n]
		r.out.WriteTS(r.now(), ts)
		r.mu.Lock()
		r.count++
		r.last = append(r.last, ts...)
		if len(r.last) > 2*keepTS {
			r.last = append(r.last[:0], r.last[len(r.last)-keepTS:]...)
		}
		r.mu.Unlock()
	}
}

// save writes the last seconds of the stream.
func (r *receiver) save(file string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return os.WriteFile(file, r.last, 0o644)
}
