package uplink

import (
	"context"
	"errors"
	"time"

	"quartet/uplink/srt"
)

// ErrWouldBlock is returned by Link.Send when the socket takes no more now.
var ErrWouldBlock = srt.ErrWouldBlock

// Link is an open connection to a far end. Its methods are called by one
// goroutine, except Close.
type Link interface {
	// Send hands over messages in order without blocking and returns how many
	// were taken; ErrWouldBlock says that the rest may be tried again later, any
	// other error that the link is broken. The messages are not kept. ages[i] is
	// by how much message i is late: a far end that restores the sender's timing
	// hands it on as if it were not. nil: none is.
	Send(msgs [][]byte, ports []Port, ages []time.Duration) (int, error)
	// Recv hands each message that has arrived to handle, which must not keep
	// it, and returns without waiting. An error means that the link is broken.
	Recv(handle func(msg []byte)) error
	// Stats returns the socket's own counters.
	Stats() (LinkStats, error)
	Close() error
}

// Dialer opens links. Dial blocks until a link is there or ctx ends; a listening
// dialer waits for the next caller.
type Dialer interface {
	Dial(ctx context.Context) (Link, error)
	// Listening tells that links come to us: the next one may come at any time,
	// and takes the place of the one before.
	Listening() bool
	Close() error
}

// LinkStats is what a socket knows of itself.
type LinkStats struct {
	SRT    *srt.Stats `json:"srt,omitempty"` // nil on UDP
	Remote string     `json:"remote"`
	Local  string     `json:"local"`
}

// SRTDialer opens SRT links, as caller or as listener.
type SRTDialer struct {
	addr     string
	opts     srt.Options
	listener *srt.Listener // nil: caller
}

// reportLatency is SRT's latency towards us: only reports come back, and those
// that waited for the latency of the stream would tell of a dead path too late.
const reportLatency = 20 * time.Millisecond

// NewSRTCaller calls addr (host:port) with opts.
func NewSRTCaller(addr string, opts srt.Options) *SRTDialer {
	opts.ReceiveLatency = reportLatency
	return &SRTDialer{addr: addr, opts: opts}
}

// NewSRTListener waits on addr. Callers must bring the stream id of opts, if it
// has one, and its passphrase.
func NewSRTListener(addr string, opts srt.Options) (*SRTDialer, error) {
	opts.ReceiveLatency = reportLatency
	l, err := srt.Listen(addr, opts, func(r srt.Request) srt.Answer {
		if opts.StreamID != "" && r.StreamID != opts.StreamID {
			return srt.Answer{Reject: srt.RejectNotFound}
		}
		return srt.Answer{OK: true, Passphrase: opts.Passphrase, KeyLength: opts.KeyLength}
	})
	if err != nil {
		return nil, err
	}
	return &SRTDialer{addr: addr, opts: opts, listener: l}, nil
}

// Listening implements Dialer.
func (d *SRTDialer) Listening() bool { return d.listener != nil }

// Close stops listening.
func (d *SRTDialer) Close() error {
	if d.listener != nil {
		return d.listener.Close()
	}
	return nil
}

// Dial implements Dialer.
func (d *SRTDialer) Dial(ctx context.Context) (Link, error) {
	var c *srt.Conn
	var err error
	if d.listener != nil {
		c, err = d.listener.Accept(ctx)
	} else {
		c, err = srt.Dial(ctx, d.addr, d.opts)
	}
	if err != nil {
		return nil, err
	}
	return &srtLink{Conn: c, batch: srt.NewBatch(64)}, nil
}

type srtLink struct {
	*srt.Conn
	batch *srt.Batch
}

func (l *srtLink) Send(msgs [][]byte, _ []Port, ages []time.Duration) (int, error) {
	return l.Conn.SendAged(msgs, ages)
}

func (l *srtLink) Recv(handle func(msg []byte)) error {
	for {
		n, err := l.Conn.Recv(l.batch)
		for i := range n {
			handle(l.batch.Msg(i))
		}
		if err != nil && !errors.Is(err, srt.ErrWouldBlock) {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

func (l *srtLink) Stats() (LinkStats, error) {
	s, err := l.Conn.Stats()
	return LinkStats{SRT: &s, Remote: l.Conn.RemoteAddr().String(), Local: l.Conn.LocalAddr().String()}, err
}
