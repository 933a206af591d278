package srt

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quartet/tests/tsgen"
	"quartet/uplink/srt"
)

const ms = time.Millisecond

type runner struct{ m *testing.M }

func (r runner) Run() int {
	srt.Startup()
	code := r.m.Run()
	srt.Cleanup()
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(runner{m}) }

var processStart = time.Now()

func monotonic() time.Duration { return time.Since(processStart) }

// collector keeps what a writer got and can be waited on.
type collector struct {
	mu        sync.Mutex
	ts        []byte
	at        []time.Duration // of each write
	backwards int
	news      chan struct{}
}

func (c *collector) WriteTS(at time.Duration, ts []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.at); n > 0 && at < c.at[n-1] || at > monotonic() {
		c.backwards++
	}
	c.ts = append(c.ts, ts...)
	c.at = append(c.at, at)
	select {
	case c.news <- struct{}{}:
	default:
	}
	return nil
}

func (c *collector) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		got := len(c.ts)
		c.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-c.news:
		case <-deadline:
			t.Fatalf("%d bytes came, want %d", got, n)
		}
	}
}

type running struct {
	*Source
	out    collector
	local  netip.AddrPort
	cancel context.CancelFunc
	done   chan error
}

func start(t *testing.T, u srt.URL) *running {
	t.Helper()
	listening := make(chan netip.AddrPort, 1)
	s, err := New(Config{URL: u, Now: monotonic, OnListen: func(a netip.AddrPort) { listening <- a }})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Source: s, done: make(chan error, 1), out: collector{news: make(chan struct{}, 1)}}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() { r.done <- s.Run(ctx, &r.out) }()
	t.Cleanup(func() { r.stop() })
	if u.Mode == srt.Listening {
		select {
		case r.local = <-listening:
		case err := <-r.done:
			t.Fatal(err)
		}
	}
	return r
}

func (r *running) stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	return <-r.done
}

// until polls Stats, which nothing announces.
func (r *running) until(t *testing.T, what string, ok func(Stats) bool) {
	t.Helper()
	tick := time.NewTicker(5 * ms)
	defer tick.Stop()
	for end := monotonic() + 15*time.Second; monotonic() < end; <-tick.C {
		if ok(r.Stats()) {
			return
		}
	}
	t.Fatalf("not %s: %+v", what, r.Stats())
}

var quick = srt.Options{Latency: 40 * ms, ConnectTimeout: time.Second}

func listener(o srt.Options) srt.URL {
	return srt.URL{Mode: srt.Listening, Addr: "127.0.0.1:0", Options: o}
}

func dial(t *testing.T, to netip.AddrPort, o srt.Options) *srt.Conn {
	t.Helper()
	c, err := srt.Dial(t.Context(), to.String(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// push sends a stream in messages of seven packets, one each millisecond.
func push(t *testing.T, c *srt.Conn, stream []byte) {
	t.Helper()
	tick := time.NewTicker(ms)
	defer tick.Stop()
	for ; len(stream) > 0; <-tick.C {
		n := min(len(stream), srt.TSPayload)
		if _, err := c.Send([][]byte{stream[:n]}); err != nil {
			t.Fatal(err)
		}
		stream = stream[n:]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestListenerKeepsItsPortWhileCallersComeAndGo(t *testing.T) {
	o := quick
	o.Passphrase = "correct horse battery"
	r := start(t, listener(o))
	gen := tsgen.New(10e6, 1)
	var sent []byte
	o.KeyLength = 32
	for i := range 3 {
		c := dial(t, r.local, o)
		part := gen.Next(nil, 7*200)
		push(t, c, part)
		sent = append(sent, part...)
		r.out.wait(t, len(sent))
		st := r.Stats()
		if st.State != Connected || st.Peer != c.LocalAddr().String() || st.KeyLength != 32 || st.LatencyMS != 40 || st.SRT == nil || st.Connections != uint64(i+1) {
			t.Errorf("connected: %+v", st)
		}
		c.Close()
		r.until(t, "listening again", func(s Stats) bool { return s.State == Listening && s.Peer == "" && s.Error != "" })
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.out.ts, sent) || r.out.backwards != 0 {
		t.Errorf("%d of %d bytes, %d instants backwards", len(r.out.ts), len(sent), r.out.backwards)
	}
	if st := r.Stats(); st.State != Stopped || st.Messages != 600 || st.Bytes != uint64(len(sent)) || st.Framer.Packets != 4200 {
		t.Errorf("%+v", st)
	}
}

// The instants of messages follow the sender's clock, not the 5 ms at which they
// are fetched.
func TestInstantsFollowTheSender(t *testing.T) {
	r := start(t, listener(quick))
	c := dial(t, r.local, quick)
	stream := tsgen.New(10e6, 1).Next(nil, 7*300)
	push(t, c, stream)
	r.out.wait(t, len(stream))
	r.stop()
	same := 0
	for i := 1; i < len(r.out.at); i++ {
		if r.out.at[i] == r.out.at[i-1] {
			same++
		}
	}
	if same > len(r.out.at)/4 {
		t.Errorf("%d of %d messages have the instant of the one before", same, len(r.out.at))
	}
}

func TestCallerCallsAgain(t *testing.T) {
	l, err := srt.Listen("127.0.0.1:0", quick, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := quick
	o.StreamID = "feed 1"
	r := start(t, srt.URL{Addr: l.Addr().String(), Options: o})
	gen := tsgen.New(10e6, 1)
	var sent []byte
	for range 3 {
		began := monotonic()
		c, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.StreamID() != "feed 1" {
			t.Errorf("stream id %q", c.StreamID())
		}
		if took := monotonic() - began; took > 1500*ms {
			t.Errorf("called again after %v", took)
		}
		part := gen.Next(nil, 7*100)
		push(t, c, part)
		sent = append(sent, part...)
		r.out.wait(t, len(sent))
		c.Close()
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.out.ts, sent) {
		t.Errorf("%d of %d bytes", len(r.out.ts), len(sent))
	}
}

func refusal(t *testing.T, to netip.AddrPort, o srt.Options) int {
	t.Helper()
	c, err := srt.Dial(t.Context(), to.String(), o)
	if err == nil {
		c.Close()
		t.Fatal("connected, but should not")
	}
	var r *srt.RejectError
	if !errors.As(err, &r) {
		t.Fatal(err)
	}
	return r.Code
}

func TestOneCallerAtATime(t *testing.T) {
	r := start(t, listener(quick))
	first := dial(t, r.local, quick)
	gen := tsgen.New(10e6, 1)
	one := gen.Next(nil, 7*100)
	push(t, first, one)
	if code := refusal(t, r.local, quick); code != srt.RejectConflict {
		t.Errorf("second caller refused with %d, want %d (conflict)", code, srt.RejectConflict)
	}
	r.out.wait(t, len(one))
	// The first falls silent: another may take over, and the first is closed.
	var second *srt.Conn
	tick := time.NewTicker(50 * ms)
	defer tick.Stop()
	for second == nil {
		<-tick.C
		second, _ = srt.Dial(t.Context(), r.local.String(), quick)
	}
	defer second.Close()
	two := gen.Next(nil, 7*100)
	push(t, second, two)
	r.out.wait(t, len(one)+len(two))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.out.ts, append(one, two...)) {
		t.Error("not what was sent")
	}
	if st := r.Stats(); st.Refused == 0 || st.Connections != 2 {
		t.Errorf("%+v", st)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	o := quick
	o.Passphrase, o.StreamID = "correct horse battery", "feed 1"
	r := start(t, listener(o))
	bad := o
	bad.StreamID = "feed 2"
	if code := refusal(t, r.local, bad); code != srt.RejectNotFound {
		t.Errorf("wrong stream id refused with %d", code)
	}
	bad = o
	bad.Passphrase = "another passphrase"
	if code := refusal(t, r.local, bad); code != srt.RejectBadSecret {
		t.Errorf("wrong passphrase refused with %d", code)
	}
	bad.Passphrase = ""
	if code := refusal(t, r.local, bad); code != srt.RejectUnsecure && code != srt.RejectBadSecret {
		t.Errorf("no passphrase refused with %d", code)
	}
	stream := tsgen.New(10e6, 1).Next(nil, 70)
	push(t, dial(t, r.local, o), stream)
	r.out.wait(t, len(stream))
	if st := r.Stats(); st.Refused < 1 {
		t.Errorf("%+v", st)
	}
}

// A listener says whom it did not let in, and that it was the passphrase.
func TestWrongPassphraseIsTold(t *testing.T) {
	o := quick
	o.Passphrase = "correct horse battery"
	r := start(t, listener(o))
	o.Passphrase = "another passphrase"
	refusal(t, r.local, o)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.Stats().Error, "127.0.0.1 was not let in"); {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", r.Stats())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Failures reach the operator in words.
func TestFailedCallSaysWhy(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0") // a port where nobody answers later
	if err != nil {
		t.Fatal(err)
	}
	free := socket.LocalAddr().String()
	socket.Close()
	r := start(t, srt.URL{Addr: free, Options: quick})
	r.until(t, "refused twice", func(s Stats) bool {
		return s.Failures >= 2 && s.State == Calling && strings.Contains(s.Error, "refused")
	})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestListenerThatCannotOpenItsPort(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	s, err := New(Config{URL: srt.URL{Mode: srt.Listening, Addr: socket.LocalAddr().String()}, Now: monotonic})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), &collector{}); err == nil {
		t.Error("Run returned nil")
	}
}

type failingWriter struct{}

func (failingWriter) WriteTS(time.Duration, []byte) error { return os.ErrClosed }

func TestWriterErrorEndsRun(t *testing.T) {
	listening := make(chan netip.AddrPort, 1)
	s, err := New(Config{URL: listener(quick), Now: monotonic, OnListen: func(a netip.AddrPort) { listening <- a }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context(), failingWriter{}) }()
	c := dial(t, <-listening, quick)
	if _, err := c.Send([][]byte{tsgen.New(10e6, 1).Next(nil, 7)}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for want, c := range map[string]Config{
		"Now":        {URL: srt.URL{Addr: ":5000"}},
		"address":    {Now: monotonic},
		"passphrase": {Now: monotonic, URL: srt.URL{Addr: ":5000", Options: srt.Options{Passphrase: "short"}}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that names %s", err, want)
		}
	}
}
