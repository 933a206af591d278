package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"quartet/uplink/srt"
)

// caller keeps one SRT connection to a far end that listens: it dials, hands
// the connection over, waits until its new owner has closed it, and dials
// again. It never gives up.
type caller struct {
	// set at start, never changed
	what string // for logs: "input", "peer", "output"
	name string
	addr string
	log  *slog.Logger
	// give hands the connection over; the channel closes when it is closed.
	give func(*srt.Conn) <-chan struct{}

	opts      atomic.Pointer[srt.Options] // read before each attempt
	connected atomic.Bool
	connects  atomic.Uint64
	err       atomic.Pointer[string] // why the last attempt failed, in words
}

// setPassphrase takes effect at the next attempt.
func (c *caller) setPassphrase(p string) {
	o := *c.opts.Load()
	o.Passphrase = p
	c.opts.Store(&o)
}

// steady is how long a connection must have held for the next attempt to be
// treated as a first one.
const steady = 5 * time.Second

func (c *caller) run(ctx context.Context) {
	var wait backoff
	var logged every
	for ctx.Err() == nil {
		conn, err := srt.Dial(ctx, c.addr, *c.opts.Load())
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			text := err.Error()
			c.err.Store(&text)
			if ok, held := logged.ok(10 * time.Second); ok {
				c.log.Warn("cannot connect; trying again", c.what, c.name, "to", c.addr, "err", err, "suppressed", held)
			}
		} else {
			c.err.Store(nil)
			c.connects.Add(1)
			c.connected.Store(true)
			c.log.Info("connected", c.what, c.name, "to", conn.RemoteAddr(), "from", conn.LocalAddr(), "srt_latency", conn.Latency())
			start := time.Now()
			<-c.give(conn)
			c.connected.Store(false)
			if time.Since(start) > steady {
				wait.reset()
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait.next()):
		}
	}
}

// lastError is why there is no connection, "" when there is one.
func (c *caller) lastError() string {
	if e := c.err.Load(); e != nil {
		return *e
	}
	return ""
}

// words turns the reason a connection ended into a log attribute's value.
func words(err error) string {
	if err == nil || errors.Is(err, srt.ErrClosed) {
		return "closed by the far end"
	}
	return err.Error()
}
