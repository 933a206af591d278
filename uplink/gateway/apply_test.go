package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quartet/uplink/srt"
)

// A changed configuration touches only what it changes: one contribution goes
// on without a loss while others come, change and go. Two contributions on one
// port never mix.
func TestApply(t *testing.T) {
	var cfg Config
	g, out, key := solo(t, func(c *Config) { cfg = *c })
	box := startBox(t, boxConfig{key: key, params: soloParams()}, calling(g, loopback, "one", pass, pathLatency))
	eventually(t, 10*time.Second, "packets come out", func() bool { return out.count() > 50 })

	other, otherKey := newReceiver(t), newKey(t)
	second := Contribution{
		Name: "b", Keys: [][]byte{otherKey}, Latency: 500 * time.Millisecond, Inputs: []Input{listening("two", pass)},
		Outputs: []OutputConfig{&RTPOutput{Name: "rtp", Destinations: []Destination{{Address: other.addr()}}}},
	}
	apply := func(ks ...Contribution) {
		t.Helper()
		cfg.Contributions = append(slices.Clone(cfg.Contributions[:1]), ks...)
		if err := g.Apply(cfg); err != nil {
			t.Fatal(err)
		}
	}
	apply(second)
	p := calling(g, loopback, "two", pass, pathLatency)
	box2 := startBox(t, boxConfig{key: otherKey, params: soloParams()}, p)
	eventually(t, 10*time.Second, "the new contribution comes out", func() bool { return other.count() > 100 })

	// A change that needs a restart: the box is cut off and calls again.
	second.LossAfter = time.Second
	apply(second)
	next := dial(t, p.addr, p.opts)
	box2.with(func() { _ = p.conn.Close(); p.conn = next })
	n := other.count()
	eventually(t, 10*time.Second, "it comes out again", func() bool { return other.count() > n+50 })

	apply()
	if _, err := srt.Dial(context.Background(), p.addr, p.opts); err == nil {
		t.Error("a removed contribution still takes calls")
	}
	if st := g.Status(context.Background()); len(st.Contributions) != 1 {
		t.Errorf("%d contributions", len(st.Contributions))
	}
	bad := cfg
	bad.Contributions = append(slices.Clone(cfg.Contributions), Contribution{Name: "a"})
	if err := g.Apply(bad); err == nil {
		t.Error("a bad configuration was applied")
	}
	box.pause()
	eventually(t, 5*time.Second, "the rest comes out", func() bool { s := box.packets(); return bytes.Equal(out.last(), s[len(s)-1]) })
	sameRun(t, out.packets(), box.packets())
	box2.close()
	sameRuns(t, 2, other.packets(), box2.packets())
}

// A contribution that nobody is connected to has no timer at all; one that is
// connected to a silent far end ticks rarely.
func TestIdleSleeps(t *testing.T) {
	now := 10 * time.Second
	c, err := newContribution(Contribution{
		Name: "v", Keys: [][]byte{make([]byte, 32)}, Latency: 100 * time.Millisecond, Inputs: []Input{{Name: "a", Offset: -1}},
	}, func() time.Duration { return now }, DefaultTick, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.turn(now)
	if d := c.next(now).after; d != 0 {
		t.Errorf("with no connection it wakes after %v", d)
	}
	c.addLink(c.paths[0], &link{conn: &fakeConn{now: &now}, gone: make(chan struct{})})
	if d := c.next(now).after; d != idleTick {
		t.Errorf("with a silent connection it wakes after %v", d)
	}
	c.heard, c.lastData = true, now
	if d := c.next(now + 500*time.Microsecond).after; d != DefaultTick-500*time.Microsecond {
		t.Errorf("with traffic it wakes after %v, not on a multiple of the tick", d)
	}
	now += 2 * idleAfter
	if d := c.next(now).after; d != idleTick {
		t.Errorf("after the traffic it wakes after %v", d)
	}
}

// What a destination says reaches its socket.
func TestUDPOptions(t *testing.T) {
	lo := loopbackInterface(t)
	o := newUDPOut("udp", "o", []Destination{
		{Address: "239.1.2.3:5000", Interface: lo, DSCP: 34, Source: netip.MustParseAddrPort("127.0.0.1:0")},
		{Address: "127.0.0.1:5000", TTL: 7, DSCP: 46},
	}, false, Stop, testEnv())
	for i := range o.dests {
		if !o.dests[i].tryOpen(context.Background(), o) {
			t.Fatal(*o.dests[i].err.Load())
		}
		defer func() { _ = o.dests[i].sock.Load().close() }()
	}
	get := func(i, opt int) int {
		t.Helper()
		v, err := unix.GetsockoptInt(o.dests[i].sock.Load().fd, unix.IPPROTO_IP, opt)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := get(0, unix.IP_MULTICAST_TTL); v != MulticastTTL {
		t.Errorf("multicast TTL %d", v)
	}
	if v := get(0, unix.IP_TOS); v != 34<<2 {
		t.Errorf("TOS %d", v)
	}
	if v := get(1, unix.IP_TTL); v != 7 {
		t.Errorf("TTL %d", v)
	}
	if v := get(1, unix.IP_TOS); v != 46<<2 {
		t.Errorf("TOS %d", v)
	}
	if a := o.dests[0].sock.Load().localAddr(); a.Addr().String() != "127.0.0.1" {
		t.Errorf("source %v", a)
	}
	if st := o.stats(); st.State != "open" || st.Destination != "239.1.2.3:5000, 127.0.0.1:5000" {
		t.Errorf("%+v", st)
	}
}

// A group on the loopback interface, and IPv6, are reached.
func TestMulticastAndIPv6(t *testing.T) {
	ifi, err := net.InterfaceByName(loopbackInterface(t))
	if err != nil {
		t.Fatal(err)
	}
	group, err := net.ListenMulticastUDP("udp4", ifi, &net.UDPAddr{IP: net.IPv4(239, 8, 7, 6)})
	if err != nil {
		t.Fatal(err)
	}
	six, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		conn *net.UDPConn
		d    Destination
	}{
		{group, Destination{Address: netip.AddrPortFrom(netip.MustParseAddr("239.8.7.6"), group.LocalAddr().(*net.UDPAddr).AddrPort().Port()).String(), Interface: ifi.Name}},
		{six, Destination{Address: six.LocalAddr().String(), TTL: 3, DSCP: 34}},
	} {
		defer func() { _ = c.conn.Close() }()
		o := (&UDPOutput{Name: "o", Destination: c.d}).open(testEnv()).(*udpOut)
		stop := runOutput(t, o)
		eventually(t, 5*time.Second, "the output opens", func() bool { return o.stats().State == "open" })
		b := newBatch()
		b.add(make([]byte, 12+tsPacket), 12)
		o.write(b)
		_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := c.conn.Read(make([]byte, 2000)); n != tsPacket || err != nil {
			t.Errorf("%s: %d bytes, %v", c.d.Address, n, err)
		}
		stop()
	}
}
