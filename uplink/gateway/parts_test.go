package gateway

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The ring loses nothing that it took, keeps the order, and refuses when full,
// at any mix of sizes.
func TestRingKeepsOrder(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		r := newRing(4096)
		var want [][]byte
		n := uint32(0)
		for range 5000 {
			for range rng.IntN(6) {
				m := make([]byte, 4+rng.IntN(700))
				binary.BigEndian.PutUint32(m, n)
				if r.put(m) {
					want = append(want, m)
					n++
				}
			}
			got := r.peek(nil, rng.IntN(8))
			if len(got) > len(want) {
				t.Fatalf("seed %d: %d messages out of %d", seed, len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("seed %d: message %d differs", seed, i)
				}
			}
			want = want[len(got):]
			r.release()
		}
		if r.put(make([]byte, 5000)) {
			t.Fatal("a message larger than the ring was taken")
		}
	}
}

// Writer and reader may run at the same time.
func TestRingConcurrent(t *testing.T) {
	r := newRing(1 << 14)
	const total = 200_000
	var wg sync.WaitGroup
	wg.Go(func() {
		var m [100]byte
		for n := uint32(0); n < total; {
			binary.BigEndian.PutUint32(m[:], n)
			if r.put(m[:4+n%90]) {
				n++
			}
			r.signal()
		}
	})
	next := uint32(0)
	for next < total {
		<-r.wake
		for _, m := range r.peek(nil, 1000) {
			if got := binary.BigEndian.Uint32(m); got != next || len(m) != int(4+next%90) {
				t.Fatalf("got %d of %d bytes, want %d", got, len(m), next)
			}
			next++
		}
		r.release()
	}
	wg.Wait()
}

// The filler emits at the rate it measured, in no burst.
func TestFillerRate(t *testing.T) {
	var f filler
	const rate = 8_000_000
	const message = 1316
	gap := time.Duration(message * 8 * int64(time.Second) / rate)
	now := time.Second
	for range 3000 {
		f.released(now, message)
		now += gap
	}
	if got := f.rate(); got < rate*99/100 || got > rate*101/100 {
		t.Fatalf("measured %d bit/s of %d", got, rate)
	}
	sent := 0
	start := now
	for range 5000 { // 10 s
		n := f.due(now, 64)
		if n > 4 {
			t.Fatalf("burst of %d messages", n)
		}
		sent += n
		now += 2 * time.Millisecond
	}
	got := float64(sent*message*8) / (now - start).Seconds()
	if got < rate*0.98 || got > rate*1.02 {
		t.Fatalf("filled at %.0f bit/s of %d", got, rate)
	}
	// A long pause of the process is not made up for.
	if n := f.due(now+time.Second, 64); n > 64 {
		t.Fatalf("%d messages at once", n)
	}
	// It keeps the rate over more than a minute.
	for sent, start = 0, now+time.Second; now < start+3*time.Minute; now += 20 * time.Millisecond {
		sent += f.due(now, 1000)
	}
	got = float64(sent*message*8) / (now - start).Seconds()
	if got < rate*0.98 || got > rate*1.02 {
		t.Fatalf("filled at %.0f bit/s of %d over minutes", got, rate)
	}
}

// A feed that never was cannot be filled.
func TestFillerWithoutFeed(t *testing.T) {
	var f filler
	if n := f.due(time.Hour, 64); n != 0 {
		t.Fatalf("%d messages without a feed", n)
	}
}

func TestNullMessages(t *testing.T) {
	for _, m := range nullMessages(3) {
		if len(m) != 1316 {
			t.Fatalf("%d bytes", len(m))
		}
		for i := 0; i < len(m); i += tsPacket {
			if m[i] != 0x47 || binary.BigEndian.Uint16(m[i+1:]) != 0x1FFF || m[i+3] != 0x10 {
				t.Fatalf("not a null packet: % x", m[i:i+4])
			}
		}
	}
}

// The first wait is at most 250 ms, and no two callers wait alike.
func TestBackoff(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		var b backoff
		d := b.next()
		if d <= 0 || d > firstBackoff {
			t.Fatalf("first wait %v", d)
		}
		seen[d] = true
		for range 20 {
			if d = b.next(); d <= 0 || d > maxBackoff {
				t.Fatalf("wait %v", d)
			}
		}
		if d < maxBackoff/2 {
			t.Fatalf("late wait %v", d)
		}
		b.reset()
		if d = b.next(); d > firstBackoff {
			t.Fatalf("after reset %v", d)
		}
	}
	if len(seen) < 90 {
		t.Fatalf("only %d different waits of 100", len(seen))
	}
}

func TestToldOffsets(t *testing.T) {
	var o toldOffsets
	if _, ok := o.smallest(0); ok {
		t.Fatal("told before anything was")
	}
	o.put(1, 80*time.Millisecond, time.Second)
	o.put(2, 95*time.Millisecond, time.Second)
	if d, ok := o.smallest(2 * time.Second); !ok || d != 80*time.Millisecond {
		t.Fatal(d, ok)
	}
	o.put(1, 120*time.Millisecond, 3*time.Second)
	if d, _ := o.smallest(4 * time.Second); d != 95*time.Millisecond {
		t.Fatal(d)
	}
	// What is not told any more stops counting.
	if d, _ := o.smallest(12500 * time.Millisecond); d != 120*time.Millisecond {
		t.Fatal(d)
	}
	// A hostile or confused sender cannot make it grow.
	for i := range 200 {
		o.put(uint8(i), time.Duration(i)*time.Millisecond, 20*time.Second)
	}
	if _, ok := o.smallest(20 * time.Second); !ok {
		t.Fatal("nothing told")
	}
}

func TestUDPSocket(t *testing.T) {
	r := newReceiver(t)
	s, err := openUDP(Destination{Address: r.addr(), TTL: 5, DSCP: 34, Source: netip.MustParseAddrPort("127.0.0.1:0")}, netip.MustParseAddrPort(r.addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	var msgs [][]byte
	for i := range 3*udpBatch + 5 {
		m := make([]byte, 1328)
		binary.BigEndian.PutUint32(m, uint32(i))
		msgs = append(msgs, m)
	}
	if n, err := s.send(msgs); n != len(msgs) || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, 5*time.Second, "all datagrams arrive", func() bool { return r.count() == len(msgs) })
	for i, p := range r.packets() {
		if binary.BigEndian.Uint32(p) != uint32(i) {
			t.Fatalf("datagram %d holds %d", i, binary.BigEndian.Uint32(p))
		}
	}
}

// A destination where nothing listens costs nothing but the datagrams: the
// answers of the network must not end the sending.
func TestUDPSocketRefused(t *testing.T) {
	s, err := openUDP(Destination{}, netip.MustParseAddrPort(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	msgs := [][]byte{make([]byte, 100), make([]byte, 100), make([]byte, 100)}
	for range 50 {
		if n, _ := s.send(msgs); n != len(msgs) {
			t.Fatalf("%d of %d taken", n, len(msgs))
		}
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.send(msgs) }); n != 0 {
		t.Fatalf("%v allocations per send", n)
	}
}

func TestUDPErrorsNameTheSetting(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:5000")
	for _, c := range []struct {
		d    Destination
		want string
	}{
		{Destination{Interface: "nosuch0"}, `interface "nosuch0"`},
		{Destination{Source: netip.MustParseAddrPort("192.0.2.77:0")}, "source 192.0.2.77:0"},
		{Destination{Source: netip.MustParseAddrPort("[::1]:0")}, "IP version"},
	} {
		if _, err := openUDP(c.d, to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.d, err)
		}
	}
}

func TestConfigCheckNamesWhatIsWrong(t *testing.T) {
	good := func() Config {
		return Config{
			Listeners: []Listener{{Address: ":9000"}},
			Contributions: []Contribution{{
				Name: "a", Keys: [][]byte{make([]byte, 32)},
				Inputs:  []Input{{Name: "1", Listen: ":9000", Offset: -1}},
				Outputs: []OutputConfig{&RTPOutput{Name: "o", Destinations: []Destination{{Address: "192.0.2.1:5000"}}}},
			}},
		}
	}
	c := good()
	c.Contributions[0].Inputs[0].SRT.StreamID = "x"
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range map[string]func(*Config){
		"no stream id":             func(c *Config) {},
		"no listener has the addr": func(c *Config) { c.Contributions[0].Inputs[0].Listen = ":9001" },
		"either an address to":     func(c *Config) { c.Contributions[0].Inputs[0].Call = "h:1" },
		"keys: 0":                  func(c *Config) { c.Contributions[0].Keys = nil },
		"inputs: 0":                func(c *Config) { c.Contributions[0].Inputs = nil },
		"empty or taken":           func(c *Config) { c.Contributions = append(c.Contributions, c.Contributions[0]) },
		"given twice":              func(c *Config) { c.Listeners = append(c.Listeners, c.Listeners[0]) },
		"no longer be identical":   func(c *Config) { c.Contributions[0].Outputs[0].(*RTPOutput).OnLoss = Null },
		"one or two":               func(c *Config) { c.Contributions[0].Outputs[0].(*RTPOutput).Destinations = nil },
		"port 0":                   func(c *Config) { c.Contributions[0].Outputs[0].(*RTPOutput).Destinations[0].Address = "h:0" },
		"ttl 300":                  func(c *Config) { c.Contributions[0].Outputs[0].(*RTPOutput).Destinations[0].TTL = 300 },
		"dscp 64":                  func(c *Config) { c.Contributions[0].Outputs[0].(*RTPOutput).Destinations[0].DSCP = 64 },
		"no path":                  func(c *Config) { c.Contributions[0].Outputs[0] = &FileOutput{Name: "f"} },
		"output \"\"":              func(c *Config) { c.Contributions[0].Outputs[0] = &FileOutput{Path: "/x"} },
		"an address to call or":    func(c *Config) { c.Contributions[0].Outputs[0] = &SRTOutput{Name: "s"} },
		"write host:port":          func(c *Config) { c.Contributions[0].Peers = []Peer{{Name: "p", Call: "host"}} },
	} {
		c := good()
		spoil(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	c = good()
	c.Contributions[0].Inputs = append(c.Contributions[0].Inputs, c.Contributions[0].Inputs[0])
	for i := range c.Contributions[0].Inputs {
		c.Contributions[0].Inputs[i].SRT.StreamID = "same"
		c.Contributions[0].Inputs[i].Name = fmt.Sprint(i)
	}
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "stream id is that of") {
		t.Error(err)
	}
}

// A file is continued, and holds whole packets only.
func TestFileOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.ts")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0x47}, tsPacket), 0o600); err != nil {
		t.Fatal(err)
	}
	o := (&FileOutput{Name: "f", Path: path, OnLoss: Null}).open(testEnv()).(*fileOut)
	stop := runOutput(t, o)
	b := newBatch()
	want := bytes.Repeat([]byte{0x47}, tsPacket)
	for i := range 300 {
		pkt := make([]byte, 12+7*tsPacket)
		pkt[20] = byte(i)
		b.add(pkt, 12)
		want = append(want, pkt[12:]...)
		if b.full() || i%7 == 0 {
			o.write(b)
			b.reset()
		}
	}
	o.write(b)
	eventually(t, 5*time.Second, "file written", func() bool { return o.stats().SentPackets == 300 })
	stop()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
	if st := o.stats(); st.DroppedPackets != 0 || st.Error != "" {
		t.Fatalf("%+v", st)
	}
}

// A file that cannot be opened is said, tried again, and disturbs nobody.
func TestFileOutputRecovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	o := (&FileOutput{Name: "f", Path: filepath.Join(dir, "out.ts")}).open(testEnv()).(*fileOut)
	stop := runOutput(t, o)
	defer stop()
	b := newBatch()
	b.add(make([]byte, 12+tsPacket), 12)
	o.write(b)
	eventually(t, 5*time.Second, "the error is told", func() bool { return o.stats().Error != "" && o.stats().DroppedPackets == 1 })
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "the file is opened", func() bool { return o.stats().State == "open" })
	o.write(b)
	eventually(t, 5*time.Second, "the file is written", func() bool { return o.stats().SentPackets == 1 })
}

// A full disk lets the file be opened and then takes nothing: the output never
// counts as open, and the log has one line of it, not one for each attempt.
func TestFileOutputFullDisk(t *testing.T) {
	env := testEnv()
	var log bytes.Buffer // slog has a lock of its own; read when the output has ended
	env.log = slog.New(slog.NewTextHandler(&log, nil))
	o := (&FileOutput{Name: "f", Path: "/dev/full"}).open(env).(*fileOut)
	stop := runOutput(t, o)
	b := newBatch()
	b.add(make([]byte, 12+tsPacket), 12)
	o.write(b)
	eventually(t, 5*time.Second, "the error is told", func() bool { return strings.Contains(o.stats().Error, "no space left") })
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		o.write(b)
		if st := o.stats(); st.State == "open" || st.Error == "" {
			t.Fatalf("%+v", st)
		}
	}
	stop()
	if n := strings.Count(log.String(), "file output fails"); n != 1 {
		t.Errorf("%d lines of the same failure:\n%s", n, log.String())
	}
	if st := o.stats(); st.SentPackets != 0 || st.DroppedPackets == 0 {
		t.Errorf("%+v", st)
	}
}
