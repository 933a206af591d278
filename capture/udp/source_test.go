package udp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"quartet/fec/st2022"
	"quartet/tests/tsgen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var processStart = time.Now()

func monotonic() time.Duration { return time.Since(processStart) }

// running is a Source at work.
type running struct {
	*Source
	t      *testing.T
	out    syncCollector
	local  []netip.AddrPort
	cancel context.CancelFunc
	done   chan error
}

// syncCollector is a collector that can be waited on.
type syncCollector struct {
	mu   sync.Mutex
	cond chan struct{}
	collector
}

func (c *syncCollector) WriteTS(at time.Duration, ts []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := monotonic(); at > now {
		panic("an instant in the future")
	}
	defer func() {
		select {
		case c.cond <- struct{}{}:
		default:
		}
	}()
	return c.collector.WriteTS(at, ts)
}

// wait returns when n bytes have come, or fails the test.
func (c *syncCollector) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		c.mu.Lock()
		got := len(c.ts)
		c.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-c.cond:
		case <-deadline:
			t.Fatalf("%d bytes came, want %d", got, n)
		}
	}
}

func start(t *testing.T, c Config, tweak ...func(*Source)) *running {
	t.Helper()
	c.Now = monotonic
	listening := make(chan netip.AddrPort, 100)
	c.OnListen = func(_ int, local netip.AddrPort) { listening <- local }
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tweak {
		f(s)
	}
	r := &running{Source: s, t: t, done: make(chan error, 1)}
	r.out.cond = make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() { r.done <- s.Run(ctx, &r.out) }()
	t.Cleanup(func() { r.stop() })
	for range c.Legs {
		select {
		case local := <-listening:
			r.local = append(r.local, local)
		case err := <-r.done:
			t.Fatal(err)
		}
	}
	return r
}

// stop ends Run and returns its error.
func (r *running) stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	return <-r.done
}

func loopback(port uint16) Address {
	return Address{Host: netip.MustParseAddr("127.0.0.1"), Port: port}
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c *net.UDPConn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestUnicastTS(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 7*1000)
	r := start(t, Config{Legs: []Address{loopback(0)}})
	c := dial(t, r.local[0])
	began := monotonic()
	for b := stream; len(b) > 0; b = b[1316:] {
		send(t, c, b[:1316])
	}
	r.out.wait(t, len(stream))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.out.ts, stream) || r.out.backwards != 0 {
		t.Errorf("%d of %d bytes, %d instants backwards", len(r.out.ts), len(stream), r.out.backwards)
	}
	if first, last := r.out.at[0], r.out.at[len(r.out.at)-1]; first < began-ms || last > monotonic() || last == first {
		t.Errorf("instants from %v to %v, sent from %v", first, last, began)
	}
	st := r.Stats()
	l := st.Legs[0]
	if st.Format != "ts" || l.Datagrams != 1000 || l.Bytes != uint64(len(stream)) || l.Malformed+l.OtherSender+l.Truncated+l.KernelDrops != 0 ||
		l.Sender != c.LocalAddr().String() || l.RcvBuf == 0 || l.Error != "" || st.RTP != nil {
		t.Errorf("stats %+v", st)
	}
}

// Instants are the kernel's: they are those of the arrival, not of the read.
func TestKernelReceiveTimes(t *testing.T) {
	k, err := openSocket(loopback(0), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	c := dial(t, k.local)
	packet := tsgen.New(10e6, 1).Next(nil, 7)
	b := newBatch()
	var sent [5][2]time.Duration
	for i := range sent {
		sent[i][0] = monotonic()
		send(t, c, packet)
		sent[i][1] = monotonic()
		for monotonic() < sent[i][1]+3*ms {
			runtime.Gosched()
		}
	}
	now, wall := monotonic(), time.Now().UnixNano()
	got, err := b.read(k, now, wall)
	if err != nil || len(got) != len(sent) {
		t.Fatalf("%d datagrams, %v", len(got), err)
	}
	for i, d := range got {
		if d.at < sent[i][0]-ms || d.at > sent[i][1]+ms || !bytes.Equal(d.data, packet) {
			t.Errorf("datagram %d received at %v, sent between %v and %v", i, d.at, sent[i][0], sent[i][1])
		}
		if d.from.addrPort().String() != c.LocalAddr().String() {
			t.Errorf("from %v, want %v", d.from.addrPort(), c.LocalAddr())
		}
	}
	// The wall clock is set meanwhile, forward or back: the instant is now.
	for _, step := range []time.Duration{-time.Hour, time.Hour, 365 * 24 * time.Hour} {
		send(t, c, packet)
		now, wall = monotonic(), time.Now().Add(step).UnixNano()
		got, err := b.read(k, now, wall)
		if err != nil || len(got) != 1 || got[0].at != now {
			t.Errorf("after a step of %v: %d datagrams, %v", step, len(got), err)
		}
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	k, err := openSocket(loopback(0), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	c := dial(t, k.local)
	packet := tsgen.New(10e6, 1).Next(nil, 7)
	b := newBatch()
	n := 0
	if a := testing.AllocsPerRun(200, func() {
		c.Write(packet)
		c.Write(packet)
		got, _ := b.read(k, time.Hour, 0)
		n += len(got)
	}); a != 0 {
		t.Errorf("%v allocations per read", a)
	}
	if n != 402 {
		t.Errorf("%d datagrams", n)
	}
}

func TestKernelDropsAreCounted(t *testing.T) {
	a := loopback(0)
	a.RcvBuf = minRcvBuf
	k, err := openSocket(a, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	if k.granted != minRcvBuf {
		t.Errorf("granted %d bytes, want %d", k.granted, minRcvBuf)
	}
	c := dial(t, k.local)
	packet := make([]byte, 1316)
	for range 300 {
		send(t, c, packet)
	}
	b := newBatch()
	got := 0
	for {
		d, err := b.read(k, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(d) == 0 {
			break
		}
		got += len(d)
	}
	send(t, c, packet) // the next one brings the count
	if _, err := b.read(k, 0, 0); err != nil {
		t.Fatal(err)
	}
	if got == 300 || int(k.drops) != 300-got {
		t.Errorf("%d of 300 received, %d drops counted", got, k.drops)
	}
}

func TestTruncatedAndJumboDatagrams(t *testing.T) {
	r := start(t, Config{Legs: []Address{loopback(0)}})
	c := dial(t, r.local[0])
	stream := tsgen.New(10e6, 1).Next(nil, 49+48)
	send(t, c, stream[:49*188])           // cut off at 9216 bytes: 9212 do not fit whole packets
	send(t, c, append(stream, stream...)) // far too long
	send(t, c, stream[49*188:])
	r.out.wait(t, 48*188)
	r.stop()
	if l := r.Stats().Legs[0]; l.Truncated != 1 && l.Truncated != 2 {
		t.Errorf("%+v", l)
	}
	if !bytes.HasSuffix(r.out.ts, stream[49*188:]) {
		t.Error("the datagram behind a truncated one did not come through")
	}
}

func TestTwoLegsWithLossOnBoth(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 7*2000)
	r := start(t, Config{Legs: []Address{loopback(0), loopback(0)}})
	legs := []*net.UDPConn{dial(t, r.local[0]), dial(t, r.local[1])}
	rng := rand.New(rand.NewPCG(4, 4))
	var lost [2]uint64
	for i, p := range rtpPackets(stream, 42, 65000) {
		if i%200 == 0 {
			r.out.wait(t, i*1316) // the socket holds no more than it must
		}
		gone := rng.IntN(8) // a quarter, never on both
		for leg, c := range legs {
			if i > 0 && gone == leg {
				lost[leg]++
				continue
			}
			send(t, c, p)
		}
	}
	r.out.wait(t, len(stream))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.out.ts, stream) {
		t.Errorf("%d of %d bytes", len(r.out.ts), len(stream))
	}
	st := r.Stats()
	if st.Format != "rtp" || st.RTP.Delivered != 2000 || st.RTP.Lost != 0 || st.RTP.SSRC != 42 {
		t.Errorf("%+v", st.RTP)
	}
	for leg, l := range st.RTP.Legs {
		if l.LostHere != lost[leg] || l.ByOtherLeg != lost[leg] {
			t.Errorf("leg %d: %+v, want %d lost", leg, l, lost[leg])
		}
	}
}

func TestFECOnItsPorts(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 7*600)
	pkts := rtpPackets(stream, 42, 0)
	fec := fecSource(t, pkts)
	a := loopback(0)
	a.Format, a.FEC = FormatRTP, true
	var r *running
	for try := 0; ; try++ { // port + 2 or + 4 may be taken
		s, err := New(Config{Legs: []Address{a}, Now: monotonic})
		if err != nil {
			t.Fatal(err)
		}
		l := &leg{addr: s.cfg.Legs[0]}
		if err := l.open(); err == nil {
			a.Port = l.addr.Port
			l.close()
			break
		} else if !errors.Is(err, unix.EADDRINUSE) || try > 20 {
			t.Fatal(err)
		}
	}
	r = start(t, Config{Legs: []Address{a}, FECWindow: 250 * ms})
	media := dial(t, r.local[0])
	ports := map[st2022.Kind]*net.UDPConn{
		st2022.Column: dial(t, netip.AddrPortFrom(r.local[0].Addr(), a.Port+st2022.ColumnPort)),
		st2022.Row:    dial(t, netip.AddrPortFrom(r.local[0].Addr(), a.Port+st2022.RowPort)),
	}
	lost := uint64(0)
	for i, p := range pkts {
		if i%100 >= 40 && i%100 < 45 && i < 400 {
			lost++
		} else {
			send(t, media, p)
		}
		for _, f := range fec[i] {
			h, err := st2022.ParseHeader(f[12:])
			if err != nil {
				t.Fatal(err)
			}
			send(t, ports[h.Kind], f)
		}
	}
	r.out.wait(t, len(stream))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.out.ts, stream) {
		t.Error("not what was sent")
	}
	if st := r.Stats(); st.FEC == nil || st.FEC.Recovered != lost || st.Legs[0].FECDatagrams == 0 {
		t.Errorf("%+v", st.FEC)
	}
}

func TestOneLegThatCannotBeOpenedDoesNotStopTheOther(t *testing.T) {
	bad := loopback(0)
	bad.Interface = "no-such-if0"
	var log bytes.Buffer // read when Run has ended
	var r *running
	{
		c := Config{Legs: []Address{bad, loopback(0)}, Now: monotonic, Log: slog.New(slog.NewTextHandler(&log, nil))}
		listening := make(chan netip.AddrPort, 1)
		c.OnListen = func(_ int, local netip.AddrPort) { listening <- local }
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r = &running{Source: s, t: t, done: make(chan error, 1)}
		r.out.cond = make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		r.cancel = cancel
		go func() { r.done <- s.Run(ctx, &r.out) }()
		r.local = []netip.AddrPort{<-listening}
	}
	stream := tsgen.New(10e6, 1).Next(nil, 7*10)
	c := dial(t, r.local[0])
	for _, p := range rtpPackets(stream, 1, 1) {
		send(t, c, p)
	}
	r.out.wait(t, len(stream))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if st := r.Stats(); !strings.Contains(st.Legs[0].Error, "no-such-if0") || st.Legs[1].Error != "" {
		t.Errorf("%+v", st.Legs)
	}
	if n := strings.Count(log.String(), "input leg cannot be opened"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
}

func TestRunSaysWhatCannotBeOpened(t *testing.T) {
	taken, err := openSocket(loopback(0), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.close()
	for want, a := range map[string]Address{
		"port: ":                       loopback(taken.local.Port()),
		`host: "192.0.2.99"`:           {Host: netip.MustParseAddr("192.0.2.99")},
		`iface: "no-such-if0"`:         {Host: netip.MustParseAddr("239.255.1.1"), Interface: "no-such-if0"},
		"another program receives":     loopback(taken.local.Port()),
		"is not an address of this":    {Host: netip.MustParseAddr("2001:db8::99")},
		"there is no such interface":   {Interface: "no-such-if0"},
		"address already in use":       {Host: netip.MustParseAddr("127.0.0.1"), Port: taken.local.Port()},
		"cannot assign requested addr": {Host: netip.MustParseAddr("192.0.2.99")},
	} {
		var log bytes.Buffer
		s, err := New(Config{Legs: []Address{a}, Now: monotonic, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), &collector{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want one that says %q", a, err, want)
		}
		if log.Len() > 0 { // who runs it again says it once
			t.Errorf("%s: the error is logged, too: %s", a, &log)
		}
	}
}

type failingWriter struct{}

func (failingWriter) WriteTS(time.Duration, []byte) error { return os.ErrClosed }

func TestWriterErrorEndsRun(t *testing.T) {
	listening := make(chan netip.AddrPort, 1)
	s, err := New(Config{Legs: []Address{loopback(0)}, Now: monotonic, OnListen: func(_ int, a netip.AddrPort) { listening <- a }})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context(), failingWriter{}) }()
	send(t, dial(t, <-listening), tsgen.New(10e6, 1).Next(nil, 7))
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	a := loopback(5000)
	other := loopback(5000)
	other.Interface = "lo"
	for want, c := range map[string]Config{
		"Legs":            {Now: monotonic},
		"give 1 to 4":     {Now: monotonic, Legs: make([]Address, 5)},
		"Now":             {Legs: []Address{a}},
		"Window":          {Now: monotonic, Legs: []Address{a}, Window: time.Minute},
		"FECWindow":       {Now: monotonic, Legs: []Address{a}, FECWindow: -1},
		"the second copy": {Now: monotonic, Legs: []Address{a, a}},
		"fec":             {Now: monotonic, Legs: []Address{{FEC: true}}},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want one that says %q", c, err, want)
		}
	}
	if _, err := New(Config{Now: monotonic, Legs: []Address{a, other}}); err != nil {
		t.Error(err)
	}
}
