package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func listen(t testing.TB) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadBuffer(4 << 20)
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func dial(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func group(t testing.TB, c GroupConfig) *Group {
	t.Helper()
	g, err := NewGroup(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func add(t testing.TB, g *Group, c Config, upstream *net.UDPConn) *Relay {
	t.Helper()
	c.Listen = loopback
	c.Upstream = upstream.LocalAddr().(*net.UDPAddr).AddrPort()
	r, err := g.Add(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs the group until the test ends.
func start(t testing.TB, g *Group) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func send(t testing.TB, c *net.UDPConn, pkt string) {
	t.Helper()
	if _, err := c.Write([]byte(pkt)); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, c *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 4096)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), from
}

// eventually waits for counters that follow a datagram already received.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// Each client has an address of its own towards the upstream, and gets its own
// answers.
func TestManyClientsBothWays(t *testing.T) {
	up := listen(t)
	g := group(t, GroupConfig{})
	r := add(t, g, Config{}, up)
	start(t, g)
	var clients []*net.UDPConn
	seen := map[netip.AddrPort]string{}
	for i := range 20 {
		c := dial(t, r.Addr())
		clients = append(clients, c)
		send(t, c, fmt.Sprint("hello ", i))
		text, from := read(t, up)
		if text != fmt.Sprint("hello ", i) || seen[from] != "" {
			t.Fatalf("client %d: %q from %v, which is %q", i, text, from, seen[from])
		}
		seen[from] = text
	}
	for from, text := range seen {
		if _, err := up.WriteToUDPAddrPort([]byte("re: "+text), from); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range clients {
		if text, _ := read(t, c); text != fmt.Sprint("re: hello ", i) {
			t.Errorf("client %d got %q", i, text)
		}
	}
	eventually(t, "all counted", func() bool { return r.Stats().Down.PacketsOut == 20 })
	if s := r.Stats(); s.Sessions != 20 || s.Up.PacketsIn != 20 || s.Up.PacketsOut != 20 || s.Up.Dropped.Total() != 0 || s.KernelDrops != 0 {
		t.Errorf("stats %+v", s)
	}
}

// What passes a real relay is exactly what a Channel of the same seed says,
// bits flipped where it says.
func TestRealFateIsTheChannels(t *testing.T) {
	imp := Impairment{Loss: 0.1, Burst: Burst{Loss: 0.1, MeanPackets: 5}, Flip: Flip{Rate: 0.1, From: 4}, Duplicate: Chance{Rate: 0.1}}
	for _, seed := range []uint64{1, 2} {
		up := listen(t)
		g := group(t, GroupConfig{Seed: seed, Quantum: time.Microsecond})
		r := add(t, g, Config{Name: "a", Up: imp}, up)
		start(t, g)
		c := dial(t, r.Addr())
		ch, err := NewChannel(ChannelConfig{Seed: seed, Name: "a", Impairment: imp})
		if err != nil {
			t.Fatal(err)
		}
		pkt := make([]byte, 100)
		for n := range uint32(2000) {
			binary.BigEndian.PutUint32(pkt, n)
			send(t, c, string(pkt))
			f := ch.Decide(uint64(n), 0, len(pkt))
			if f.Drop != Pass {
				continue
			}
			want := bytes.Clone(pkt)
			if f.Flip >= 0 {
				want[f.Flip/8] ^= 0x80 >> (f.Flip % 8)
			}
			copies := 1
			if f.Dup {
				copies = 2
			}
			for range copies {
				if got, _ := read(t, up); got != string(want) {
					t.Fatalf("seed %d, packet %d: got %x, want %x", seed, n, got[:12], want[:12])
				}
			}
		}
	}
}

// A delayed packet never leaves early, and order is kept.
func TestRealDelay(t *testing.T) {
	up := listen(t)
	g := group(t, GroupConfig{})
	r := add(t, g, Config{Up: Impairment{DelayMS: 30, JitterMS: 10}}, up)
	start(t, g)
	c := dial(t, r.Addr())
	var sent [50]time.Time
	for i := range sent {
		sent[i] = time.Now()
		send(t, c, string(rune('A'+i)))
	}
	for i := range sent {
		text, _ := read(t, up)
		if text != string(rune('A'+i)) {
			t.Fatalf("%q came in place %d", text, i)
		}
		if d := time.Since(sent[i]); d < 30*time.Millisecond {
			t.Errorf("packet %d took %v", i, d)
		}
	}
}

// Directions are set apart, while running, by call and by schedule.
func TestSetAndSchedule(t *testing.T) {
	clock := make(chan time.Duration, 1)
	now := time.Duration(0)
	up := listen(t)
	g := group(t, GroupConfig{Now: func() time.Duration {
		select {
		case now = <-clock:
		default:
		}
		return now
	}, Quantum: time.Microsecond})
	r := add(t, g, Config{Schedule: []Change{
		{At: time.Hour, Direction: Down, Impairment: Impairment{Dead: true}},
		{At: 2 * time.Hour, Direction: Down},
	}}, up)
	start(t, g)
	c := dial(t, r.Addr())
	send(t, c, "1")
	_, client := read(t, up)
	reply := func(text string) {
		t.Helper()
		if _, err := up.WriteToUDPAddrPort([]byte(text), client); err != nil {
			t.Fatal(err)
		}
	}
	reply("a")
	if text, _ := read(t, c); text != "a" {
		t.Fatalf("got %q", text)
	}
	if err := r.Set(Up, Impairment{Dead: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.Set(Up, Impairment{Loss: -1}); err == nil || !strings.Contains(err.Error(), "loss is -1") {
		t.Errorf("error %v", err)
	}
	send(t, c, "2")
	eventually(t, "2 is dropped", func() bool { return r.Stats().Up.Dropped.Dead == 1 })
	if err := r.SetBoth(Impairment{}); err != nil {
		t.Fatal(err)
	}
	send(t, c, "3")
	if text, _ := read(t, up); text != "3" {
		t.Fatalf("got %q", text)
	}
	// The group's clock: an hour, then two.
	clock <- time.Hour
	send(t, c, "4") // wakes it
	// In an hour of silence the session has ended: "4" may come from a new one.
	_, client = read(t, up)
	reply("b")
	eventually(t, "b is dropped", func() bool { return r.Stats().Down.Dropped.Dead == 1 })
	clock <- 2 * time.Hour
	send(t, c, "5")
	text, from := read(t, up)
	if text != "5" {
		t.Fatalf("got %q", text)
	}
	client = from
	reply("c")
	if text, _ := read(t, c); text != "c" {
		t.Fatalf("got %q", text)
	}
	if err := g.Apply(Step{Relays: []string{"nobody"}}); err == nil {
		t.Error("a step for nobody was accepted")
	}
	if err := g.Apply(Step{Patch: Patch{Up: []byte(`{"mtu": 100}`)}}); err != nil || r.Impairment(Up).MTU != 100 || r.Impairment(Down).MTU != 0 {
		t.Errorf("%v, %+v", err, r.Impairment(Up))
	}
	send(t, c, string(make([]byte, 73)))
	eventually(t, "too long", func() bool { return r.Stats().Up.Dropped.Size == 1 })
}

// Truncated datagrams, an upstream that is not there, and one that comes.
func TestTroubleAround(t *testing.T) {
	gone := listen(t)
	addr := gone.LocalAddr().(*net.UDPAddr)
	g := group(t, GroupConfig{})
	r := add(t, g, Config{}, gone)
	gone.Close()
	start(t, g)
	c := dial(t, r.Addr())
	for i := range 20 {
		send(t, c, "anyone?")
		eventually(t, "it was sent or refused", func() bool {
			s := r.Stats().Up
			return s.PacketsOut+s.Dropped.Send == uint64(i+1)
		})
	}
	send(t, c, string(make([]byte, maxDatagram+1)))
	eventually(t, "truncated", func() bool { return r.Stats().Up.Dropped.Truncated == 1 })
	back, err := net.ListenUDP("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if err := back.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	send(t, c, "now?")
	if text, _ := read(t, back); text != "now?" {
		t.Errorf("got %q", text)
	}
}

// More clients than sessions: the longest silent are given up.
func TestSessionsAreBounded(t *testing.T) {
	up := listen(t)
	g := group(t, GroupConfig{})
	r := add(t, g, Config{}, up)
	start(t, g)
	first := dial(t, r.Addr())
	send(t, first, "first")
	read(t, up)
	for range maxSessions + 10 {
		c := dial(t, r.Addr())
		send(t, c, "x")
		read(t, up)
	}
	if s := r.Stats(); s.Sessions != maxSessions || s.Evicted != 11 {
		t.Errorf("stats %+v", s)
	}
	send(t, first, "again")
	_, from := read(t, up)
	if _, err := up.WriteToUDPAddrPort([]byte("yes"), from); err != nil {
		t.Fatal(err)
	}
	if text, _ := read(t, first); text != "yes" {
		t.Errorf("got %q", text)
	}
}

func TestGroupRefusals(t *testing.T) {
	up := listen(t)
	g := group(t, GroupConfig{})
	for want, c := range map[string]Config{
		"Upstream":           {Listen: loopback},
		"Listen":             {Upstream: netip.MustParseAddrPort("127.0.0.1:1")},
		"up: loss":           {Listen: loopback, Upstream: netip.MustParseAddrPort("127.0.0.1:1"), Up: Impairment{Loss: 2}},
		"Schedule[0]: mtu":   {Listen: loopback, Upstream: netip.MustParseAddrPort("127.0.0.1:1"), Schedule: []Change{{Impairment: Impairment{MTU: 1}}}},
		"Schedule[1].At":     {Listen: loopback, Upstream: netip.MustParseAddrPort("127.0.0.1:1"), Schedule: []Change{{At: 2}, {At: 1}}},
		"Schedule[0].Direct": {Listen: loopback, Upstream: netip.MustParseAddrPort("127.0.0.1:1"), Schedule: []Change{{Direction: 7}}},
		"bind":               {Listen: up.LocalAddr().(*net.UDPAddr).AddrPort(), Upstream: netip.MustParseAddrPort("127.0.0.1:1")},
	} {
		if _, err := g.Add(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := NewGroup(GroupConfig{Quantum: time.Second}); err == nil {
		t.Error("Quantum of a second accepted")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	if g.Run(ctx) == nil {
		t.Error("Run twice")
	}
	if _, err := g.Add(Config{Listen: loopback, Upstream: netip.MustParseAddrPort("127.0.0.1:1")}); err == nil {
		t.Error("Add after Run")
	}
}

func TestIPv6(t *testing.T) {
	up, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Logf("this machine has no IPv6 loopback (%v): nothing to test", err)
		return
	}
	defer up.Close()
	_ = up.SetDeadline(time.Now().Add(patience))
	g := group(t, GroupConfig{})
	r, err := g.Add(Config{Listen: netip.MustParseAddrPort("[::1]:0"), Upstream: up.LocalAddr().(*net.UDPAddr).AddrPort()})
	if err != nil {
		t.Fatal(err)
	}
	start(t, g)
	c, err := net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(r.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	send(t, c, "six")
	text, from := read(t, up)
	if text != "six" {
		t.Fatalf("got %q", text)
	}
	if _, err := up.WriteToUDPAddrPort([]byte("yes"), from); err != nil {
		t.Fatal(err)
	}
	if text, _ := read(t, c); text != "yes" {
		t.Errorf("got %q", text)
	}
}

// BenchmarkRelay moves datagrams of 1316 bytes through four relays, as fast as
// they go; the sender and the receivers are in the figure.
func BenchmarkRelay(b *testing.B) {
	g := group(b, GroupConfig{})
	var clients, ups []*net.UDPConn
	for i := range 4 {
		up := listen(b)
		clients = append(clients, dial(b, add(b, g, Config{Name: fmt.Sprint(i)}, up).Addr()))
		ups = append(ups, up)
	}
	start(b, g)
	pkt, buf := make([]byte, 1316), make([]byte, 2048)
	b.SetBytes(1316)
	b.ResetTimer()
	for i := 0; i < b.N; {
		burst := min(64, b.N-i)
		for k := range burst {
			_, _ = clients[k%4].Write(pkt)
		}
		for k := range burst {
			if _, err := ups[k%4].Read(buf); err != nil {
				b.Fatal(err)
			}
		}
		i += burst
	}
}
