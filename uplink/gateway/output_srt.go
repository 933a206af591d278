package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"quartet/uplink/srt"
)

// SRTOutput sends the plain transport stream in SRT, one message per packet of
// the box (n × 188 ≤ 1316 bytes): what MediaConnect, ffmpeg, VLC and
// srt-live-transmit understand. Exactly one of Call and Listen is set.
type SRTOutput struct {
	Name   string
	Call   string // host:port of a far end that listens
	Listen string // address to listen on, for up to MaxCallers far ends
	SRT    srt.Options
	OnLoss OnLoss
}

// MaxCallers is how many far ends a listening SRT output serves at a time.
const MaxCallers = 8

// Title implements OutputConfig.
func (o *SRTOutput) Title() string { return o.Name }

// Check implements OutputConfig.
func (o *SRTOutput) Check() error {
	if (o.Call == "") == (o.Listen == "") {
		return errors.New("give either an address to call or one to listen on")
	}
	_, port, err := splitAddress(o.Call + o.Listen)
	if err == nil && port == 0 && o.Call != "" {
		err = errors.New("port 0; name the receiver's port")
	}
	if err != nil {
		return err
	}
	s := o.SRT
	s.PayloadSize = srt.TSPayload
	return s.Validate()
}

func (o *SRTOutput) open(e *outputEnv) output {
	out := &srtOut{cfg: *o, log: e.log, queue: newRing(queueSize(e.maxBitrate) / 4), conns: make(chan handover)}
	out.cfg.SRT.PayloadSize = srt.TSPayload
	out.cfg.SRT = out.cfg.SRT.Sized(2*e.maxBitrate, assumedRTT)
	return out
}

// srtOut is an open SRT output: a ring, a goroutine that sends, and one that
// dials or accepts. libsrt's own send buffer is the queue of each connection;
// what it does not take is dropped for that connection alone.
type srtOut struct {
	// set at start, never changed
	cfg   SRTOutput
	log   *slog.Logger
	queue *ring
	conns chan handover

	// owned by the contribution's goroutine
	st OutputStats

	// written by the goroutines of run
	sentPackets, sentBytes, dropped, connects atomic.Uint64
	connected                                 atomic.Int32
	err                                       atomic.Pointer[string]
	addr                                      atomic.Pointer[string] // bound, when listening
}

// handover is a new connection on its way to the sending goroutine, which
// closes gone when it has closed it.
type handover struct {
	conn *srt.Conn
	gone chan struct{}
}

func (o *srtOut) onLoss() OnLoss { return o.cfg.OnLoss }

func (o *srtOut) write(b *batch) { o.put(b.ts) }

func (o *srtOut) fill(nulls [][]byte) {
	for _, m := range nulls {
		o.st.NullPackets += uint64(len(m) / tsPacket)
	}
	o.put(nulls)
}

func (o *srtOut) put(msgs [][]byte) {
	if o.connected.Load() == 0 {
		return // nobody listens: nothing is lost
	}
	for _, m := range msgs {
		if !o.queue.put(m) {
			o.st.DroppedPackets++
		}
	}
	o.queue.signal()
}

func (o *srtOut) stats() OutputStats {
	st := o.st
	st.Name, st.Type, st.OnInputLoss = o.cfg.Name, "srt", o.cfg.OnLoss.String()
	st.SentPackets, st.SentBytes = o.sentPackets.Load(), o.sentBytes.Load()
	st.DroppedPackets += o.dropped.Load()
	st.QueueBytes = o.queue.used()
	st.Connections, st.Reconnects = int(o.connected.Load()), o.connects.Load()
	st.Destination, st.State = o.cfg.Call, "connecting"
	if o.cfg.Listen != "" {
		st.Destination, st.State = o.cfg.Listen, "opening"
		if a := o.addr.Load(); a != nil {
			st.Destination, st.State = *a, "listening"
		}
	}
	if st.Connections > 0 {
		st.State = "connected"
	}
	if e := o.err.Load(); e != nil {
		st.Error = *e
	}
	return st
}

func (o *srtOut) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Add(1)
	dialCtx, stop := context.WithCancel(ctx)
	go func() {
		defer wg.Done()
		if o.cfg.Listen != "" {
			o.listen(dialCtx)
		} else {
			o.dial(dialCtx)
		}
	}()
	o.pump(ctx)
	stop()
	wg.Wait()
}

func (o *srtOut) dial(ctx context.Context) {
	c := caller{
		what: "output", name: o.cfg.Name, addr: o.cfg.Call, log: o.log,
		give: func(conn *srt.Conn) <-chan struct{} { return o.hand(ctx, conn) },
	}
	c.opts.Store(&o.cfg.SRT)
	// The status shows the caller's error as this output's.
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { defer wg.Done(); c.run(ctx) }()
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			wg.Wait()
			return
		case <-tick.C:
			o.err.Store(c.err.Load())
		}
	}
}

// hand gives a connection to pump.
func (o *srtOut) hand(ctx context.Context, conn *srt.Conn) <-chan struct{} {
	h := handover{conn, make(chan struct{})}
	select {
	case o.conns <- h:
	case <-ctx.Done():
		_ = conn.Close()
		close(h.gone)
	}
	return h.gone
}

func (o *srtOut) listen(ctx context.Context) {
	var wait backoff
	for ctx.Err() == nil {
		l, err := srt.Listen(o.cfg.Listen, o.cfg.SRT, func(r srt.Request) srt.Answer {
			if o.cfg.SRT.StreamID != "" && r.StreamID != o.cfg.SRT.StreamID {
				return srt.Answer{Reject: srt.RejectNotFound}
			}
			if o.connected.Load() >= MaxCallers {
				return srt.Answer{Reject: srt.RejectOverload}
			}
			return srt.Answer{OK: true, Passphrase: o.cfg.SRT.Passphrase, Latency: o.cfg.SRT.Latency}
		})
		if err == nil {
			wait.reset()
			o.err.Store(nil)
			text := l.Addr().String()
			o.addr.Store(&text)
			o.log.Info("output open", "output", o.cfg.Name, "type", "srt", "listening", text)
			for {
				var conn *srt.Conn
				if conn, err = l.Accept(ctx); err != nil {
					break
				}
				o.log.Info("connected", "output", o.cfg.Name, "to", conn.RemoteAddr())
				o.hand(ctx, conn)
			}
			l.Close()
			o.addr.Store(nil)
		}
		if ctx.Err() != nil {
			return
		}
		text := err.Error()
		if old := o.err.Swap(&text); old == nil || *old != text {
			o.log.Warn("output cannot listen; trying again", "output", o.cfg.Name, "address", o.cfg.Listen, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait.next()):
		}
	}
}

// pump sends what the ring holds to every connection until ctx ends.
func (o *srtOut) pump(ctx context.Context) {
	var open []handover
	msgs := make([][]byte, 0, 64)
	b := srt.NewBatch(4)
	check := time.NewTicker(200 * time.Millisecond)
	defer check.Stop()
	drop := func(i int, err error) {
		o.log.Info("disconnected", "output", o.cfg.Name, "from", open[i].conn.RemoteAddr(), "why", words(err))
		_ = open[i].conn.Close()
		close(open[i].gone)
		open = append(open[:i], open[i+1:]...)
		o.connected.Store(int32(len(open)))
	}
	for {
		last := false
		select {
		case <-ctx.Done():
			last = true
		case h := <-o.conns:
			if len(open) == 0 {
				o.queue.drop() // from before anyone listened
			}
			open = append(open, h)
			o.connects.Add(1)
			o.connected.Store(int32(len(open)))
		case <-check.C:
			// A receiver says nothing; reading is how its end is noticed even
			// while there is nothing to send.
			for i := len(open) - 1; i >= 0; i-- {
				if _, err := open[i].conn.Recv(b); err != nil {
					drop(i, err)
				}
			}
		case <-o.queue.wake:
		}
		for {
			msgs = o.queue.peek(msgs[:0], cap(msgs))
			if len(msgs) == 0 {
				break
			}
			for i := len(open) - 1; i >= 0; i-- {
				n, err := open[i].conn.Send(msgs)
				o.sentPackets.Add(uint64(n))
				for _, m := range msgs[:n] {
					o.sentBytes.Add(uint64(len(m)))
				}
				if n < len(msgs) {
					o.dropped.Add(uint64(len(msgs) - n))
				}
				if err != nil && !errors.Is(err, srt.ErrWouldBlock) {
					drop(i, err)
				}
			}
			o.queue.release()
		}
		if last {
			o.linger(open)
			for i := len(open) - 1; i >= 0; i-- {
				drop(i, errStopping)
			}
			return
		}
	}
}

// linger waits until the far ends have what was sent, 300 ms at most: closing
// a live-mode socket discards its send buffer.
func (o *srtOut) linger(open []handover) {
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	for _, h := range open {
		_ = h.conn.Flush(ctx)
	}
}
