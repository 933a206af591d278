package srt

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

type runner struct{ m *testing.M }

func (r runner) Run() int {
	Startup()
	code := r.m.Run()
	Cleanup()
	return code
}

func TestMain(m *testing.M) {
	if addr := os.Getenv("QUARTET_SRT_TEST_PEER"); addr != "" {
		peerProcess(addr, os.Getenv("QUARTET_SRT_TEST_ROLE"))
	}
	goleak.VerifyTestMain(runner{m})
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func listen(t testing.TB, o Options, accept func(Request) Answer) *Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0", o, accept)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair connects a caller to a listener.
func pair(t testing.TB, caller, listener Options) (out, in *Conn) {
	t.Helper()
	l := listen(t, listener, nil)
	return connect(t, l, caller)
}

func connect(t testing.TB, l *Listener, o Options) (out, in *Conn) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	out, err := Dial(ctx, l.Addr().String(), o)
	for timedOut(err) && ctx.Err() == nil { // the machine is busy
		out, err = Dial(ctx, l.Addr().String(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	for {
		in, err = l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close() })
		if in.RemoteAddr().Port() == out.LocalAddr().Port() { // not a call that timed out
			return out, in
		}
	}
}

func timedOut(err error) bool {
	var r *RejectError
	return errors.As(err, &r) && r.Code == RejectTimeout
}

// collect receives until it has n messages or ctx ends, and hands each over.
func collect(ctx context.Context, c *Conn, b *Batch, n int, each func([]byte)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for got := 0; got < n; {
		k, err := c.Recv(b)
		for i := range k {
			each(b.Msg(i))
		}
		got += k
		switch {
		case err != nil:
			return err
		case k > 0:
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// push sends all of msgs, perMilli of them each millisecond.
func push(ctx context.Context, c *Conn, msgs [][]byte, perMilli int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	start, sent := time.Now(), 0
	for len(msgs) > 0 {
		due := int(time.Since(start).Seconds()*1000*float64(perMilli)) - sent
		n, err := c.Send(msgs[:min(len(msgs), max(0, due), 4*perMilli)])
		msgs = msgs[n:]
		sent += n
		switch {
		case err != nil && err != ErrWouldBlock:
			return err
		case n > 0:
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// refusal dials and returns the error, which must be a *RejectError.
func refusal(t *testing.T, addr string, o Options) *RejectError {
	t.Helper()
	c, err := Dial(within(t, 10*time.Second), addr, o)
	if err == nil {
		c.Close()
		t.Fatal("connected, but should not")
	}
	r, ok := err.(*RejectError)
	if !ok {
		t.Fatalf("error is a %T: %v", err, err)
	}
	return r
}
