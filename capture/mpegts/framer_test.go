package mpegts

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// collector is a Writer that checks what it is given and keeps it.
type collector struct {
	t    testing.TB
	ts   []byte
	last time.Duration
}

func (c *collector) WriteTS(at time.Duration, ts []byte) error {
	if len(ts) == 0 || len(ts)%PacketSize != 0 {
		c.t.Fatalf("WriteTS got %d bytes", len(ts))
	}
	for i := 0; i < len(ts); i += PacketSize {
		if ts[i] != SyncByte {
			c.t.Fatalf("packet %d of %d starts with %#x", i/PacketSize, len(ts)/PacketSize, ts[i])
		}
	}
	if at < c.last {
		c.t.Fatal("the instant went back")
	}
	c.last = at
	c.ts = append(c.ts, ts...)
	return nil
}

// plain are n packets whose content holds no sync byte but the first.
func plain(n int) []byte {
	var ts []byte
	for i := range n {
		p := dataPacket(PID(0x100+i%3), uint8(i))
		for k := 4; k < PacketSize; k++ {
			p[k] = byte(i) ^ byte(k)
			if p[k] == SyncByte {
				p[k] = 0
			}
		}
		ts = append(ts, p...)
	}
	return ts
}

// widen puts lead bytes before each packet and trail bytes behind it.
func widen(ts []byte, lead, trail int) []byte {
	var b []byte
	for ; len(ts) > 0; ts = ts[PacketSize:] {
		b = append(b, bytes.Repeat([]byte{0x11}, lead)...)
		b = append(b, ts[:PacketSize]...)
		b = append(b, bytes.Repeat([]byte{0x22}, trail)...)
	}
	return b
}

// TestFramerStream cuts a stream at every kind of place.
func TestFramerStream(t *testing.T) {
	ts := plain(300)
	garbage := bytes.Repeat([]byte{0x47, 0x00, 0x47}, 100)
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name    string
		in      []byte
		want    []byte
		spacing int
		skipped int
	}{
		{"clean", ts, ts, 188, 0},
		{"garbage first", append(bytes.Clone(garbage), ts...), ts, 188, len(garbage)},
		{"starts within a packet", ts[100:], ts[188:], 188, 88},
		{"M2TS", widen(ts, 4, 0), ts, 192, 4},
		{"with parity", widen(ts, 0, 16), ts, 204, 0},
		{"M2TS, starts within a packet", widen(ts, 4, 0)[99:], ts[188:], 192, 97},
		{"garbage, then with parity", append(make([]byte, 300), widen(ts, 0, 16)...), ts, 204, 300},
	} {
		for _, cut := range []int{1, 7, 47, 187, 188, 189, 204, 1000, 1316, 4096, 1 << 20, -1} {
			out := &collector{t: t}
			f := NewFramer(out)
			in := c.in
			for i := 0; len(in) > 0; i++ {
				n := cut
				if n < 0 {
					n = 1 + r.IntN(700)
				}
				n = min(n, len(in))
				if err := f.Stream(time.Duration(i), in[:n]); err != nil {
					t.Fatal(err)
				}
				in = in[n:]
			}
			s := f.Stats()
			if !bytes.Equal(out.ts, c.want) {
				t.Errorf("%s, cut by %d: %d of %d packets, %+v", c.name, cut, len(out.ts)/PacketSize, len(c.want)/PacketSize, s)
			}
			if s.Spacing != c.spacing || !s.Locked || s.SyncLosses != 0 || s.SyncByteErrs != 0 || s.SkippedBytes != uint64(c.skipped) || s.Packets != uint64(len(c.want)/PacketSize) {
				t.Errorf("%s, cut by %d: %+v, want %d bytes skipped", c.name, cut, s, c.skipped)
			}
		}
	}
}

// TestFramerHysteresis: lock at the fifth good sync byte, loss at the second
// bad one (TR 101 290 1.1).
func TestFramerHysteresis(t *testing.T) {
	ts := plain(30)
	out := &collector{t: t}
	f := NewFramer(out)
	feed := func(b []byte) {
		if err := f.Stream(0, b); err != nil {
			t.Fatal(err)
		}
	}
	feed(ts[:4*188])
	if f.Locked() || len(out.ts) != 0 {
		t.Error("locked at four sync bytes")
	}
	feed(ts[4*188 : 4*188+1])
	if !f.Locked() || len(out.ts) != 4*188 {
		t.Errorf("not locked at the fifth, %d bytes out", len(out.ts))
	}
	feed(ts[4*188+1 : 10*188])

	bad := bytes.Clone(ts[10*188 : 14*188])
	bad[188] = 0 // one bad sync byte: its packet is dropped
	feed(bad)
	if s := f.Stats(); !s.Locked || s.SyncByteErrs != 1 || s.SyncLosses != 0 || s.Packets != 13 {
		t.Errorf("after one bad sync byte: %+v", s)
	}
	bad[0], bad[188] = 0, 0 // two in a row: lost
	feed(bad[:2*188])
	if s := f.Stats(); s.Locked || s.SyncByteErrs != 3 || s.SyncLosses != 1 {
		t.Errorf("after two bad sync bytes: %+v", s)
	}
	feed(ts[20*188:])
	if s := f.Stats(); !s.Locked || s.SyncLosses != 1 || s.Packets != 23 {
		t.Errorf("after ten good ones: %+v", s)
	}
}

// TestFramerResync: bytes inserted or missing cost the packets around them only.
func TestFramerResync(t *testing.T) {
	ts := plain(100)
	for _, c := range []struct {
		name string
		in   []byte
		lost int
	}{
		{"50 bytes missing", append(bytes.Clone(ts[:30*188+70]), ts[30*188+120:]...), 3},
		{"one byte missing", append(bytes.Clone(ts[:30*188+70]), ts[30*188+71:]...), 3},
		{"33 bytes more", append(append(bytes.Clone(ts[:30*188]), make([]byte, 33)...), ts[30*188:]...), 2},
		{"1000 bytes more", append(append(bytes.Clone(ts[:30*188]), make([]byte, 1000)...), ts[30*188:]...), 2},
	} {
		for _, cut := range []int{1, 100, 1316, 1 << 20} {
			out := &collector{t: t}
			f := NewFramer(out)
			for in := c.in; len(in) > 0; {
				n := min(cut, len(in))
				_ = f.Stream(0, in[:n])
				in = in[n:]
			}
			s := f.Stats()
			if got := len(out.ts) / PacketSize; got < 100-c.lost || s.SyncLosses != 1 || !s.Locked {
				t.Errorf("%s, cut by %d: %d packets, %+v", c.name, cut, got, s)
			}
			if !bytes.Equal(out.ts[len(out.ts)-60*188:], ts[40*188:]) {
				t.Errorf("%s, cut by %d: the end differs", c.name, cut)
			}
		}
	}
}

func TestFramerDatagram(t *testing.T) {
	ts := plain(140)
	lead := bytes.Repeat([]byte{0x80, 0x47}, 6) // twelve bytes, as of an RTP header
	for _, c := range []struct {
		name    string
		per     int // packets in a datagram
		wrap    func([]byte) []byte
		want    []byte
		spacing int
	}{
		{"seven", 7, func(b []byte) []byte { return b }, ts, 188},
		{"one", 1, func(b []byte) []byte { return b }, ts, 188},
		{"bytes before seven", 7, func(b []byte) []byte { return append(bytes.Clone(lead), b...) }, ts, 188},
		{"bytes before one", 1, func(b []byte) []byte { return append(bytes.Clone(lead), b...) }, ts[4*188:], 188},
		{"M2TS", 7, func(b []byte) []byte { return widen(b, 4, 0) }, ts, 192},
		{"with parity", 7, func(b []byte) []byte { return widen(b, 0, 16) }, ts, 204},
	} {
		out := &collector{t: t}
		f := NewFramer(out)
		for i := 0; i < len(ts); i += c.per * 188 {
			if err := f.Datagram(time.Duration(i), c.wrap(ts[i:min(i+c.per*188, len(ts))])); err != nil {
				t.Fatal(err)
			}
		}
		s := f.Stats()
		if !bytes.Equal(out.ts, c.want) || !s.Locked || s.Spacing != c.spacing || s.SyncLosses != 0 {
			t.Errorf("%s: %d of %d packets, %+v", c.name, len(out.ts)/PacketSize, len(c.want)/PacketSize, s)
		}
	}
	// A stream cut into datagrams without regard to packets.
	for _, cut := range []int{1400, 1472, 1000, 400, 189, 187, 94, 188 + 94} {
		out := &collector{t: t}
		f := NewFramer(out)
		for in := ts; len(in) > 0; {
			n := min(cut, len(in))
			_ = f.Datagram(0, in[:n])
			in = in[n:]
		}
		if s := f.Stats(); !bytes.Equal(out.ts, ts) || s.SyncLosses != 0 {
			t.Errorf("cut by %d: %d of 140 packets, %+v", cut, len(out.ts)/PacketSize, s)
		}
	}
}

// TestFramerHostileDatagrams: whatever comes between them, datagrams of whole
// packets pass.
func TestFramerHostileDatagrams(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	ts := plain(7)
	out := &collector{t: t}
	f := NewFramer(out)
	for range 2000 {
		junk := make([]byte, r.IntN(1500))
		for i := range junk {
			junk[i] = byte(r.Uint32())
		}
		if r.IntN(2) == 0 && len(junk) > 0 {
			junk[0] = SyncByte
		}
		_ = f.Datagram(0, junk)
		out.ts = out.ts[:0]
		_ = f.Datagram(0, ts)
		if !bytes.Equal(out.ts, ts) {
			t.Fatalf("%d bytes out, %+v", len(out.ts), f.Stats())
		}
	}
}

func TestFramerDatagramWithBadSync(t *testing.T) {
	ts := plain(21)
	out := &collector{t: t}
	f := NewFramer(out)
	_ = f.Datagram(0, ts[:7*188])
	bad := bytes.Clone(ts[7*188 : 14*188])
	bad[3*188] = 0
	_ = f.Datagram(0, bad)
	_ = f.Datagram(0, ts[14*188:])
	if s := f.Stats(); s.Packets != 20 || s.SyncByteErrs != 1 || s.SyncLosses != 0 || !s.Locked {
		t.Errorf("%+v", s)
	}
}

func TestFramerReset(t *testing.T) {
	ts := plain(20)
	out := &collector{t: t}
	f := NewFramer(out)
	_ = f.Stream(0, ts[:10*188+50])
	f.Reset()
	_ = f.Stream(0, ts[10*188:])
	if s := f.Stats(); !bytes.Equal(out.ts, ts) || s.SkippedBytes != 50 || s.SyncLosses != 0 {
		t.Errorf("%d bytes, %+v", len(out.ts), s)
	}
}

func TestFramerError(t *testing.T) {
	full := errors.New("full")
	f := NewFramer(WriterFunc(func(time.Duration, []byte) error { return full }))
	for i, err := range []error{f.Datagram(0, plain(7)), f.Stream(0, plain(7)), f.Datagram(0, widen(plain(7), 0, 16))} {
		if !errors.Is(err, full) {
			t.Errorf("call %d returns %v", i, err)
		}
	}
}

func TestFramerAllocs(t *testing.T) {
	f := NewFramer(WriterFunc(func(time.Duration, []byte) error { return nil }))
	ts := plain(70)
	wide := widen(ts, 0, 16)
	if n := testing.AllocsPerRun(100, func() {
		for i := 0; i < len(ts); i += 7 * 188 {
			_ = f.Datagram(0, ts[i:i+7*188])
		}
		for i := 0; i < len(ts); i += 1000 {
			_ = f.Stream(0, ts[i:min(i+1000, len(ts))])
		}
		_ = f.Stream(0, wide)
		_ = f.Datagram(0, wide)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzFramer feeds any bytes in any pieces, as stream and as datagrams; then
// it must lock on to sound ones again.
func FuzzFramer(f *testing.F) {
	f.Add(plain(9), uint16(100), true)
	f.Add(widen(plain(9), 4, 0), uint16(192), false)
	f.Add(bytes.Repeat([]byte{SyncByte}, 2000), uint16(333), false)
	f.Fuzz(func(t *testing.T, b []byte, cut uint16, datagrams bool) {
		out := &collector{t: t}
		fr := NewFramer(out)
		feed := fr.Stream
		if datagrams {
			feed = fr.Datagram
		}
		for in := b; len(in) > 0; {
			n := min(1+int(cut), len(in))
			_ = feed(0, in[:n])
			in = in[n:]
		}
		s := fr.Stats()
		if s.Packets*PacketSize+s.SkippedBytes > uint64(len(b)) {
			t.Fatalf("%d bytes in, %+v", len(b), s)
		}
		if fr.held > lookahead+PacketSize {
			t.Fatalf("%d bytes held", fr.held)
		}
		good := plain(40)
		_ = feed(0, good)
		if !bytes.HasSuffix(out.ts, good[10*188:]) && !bytes.Contains(b, []byte{SyncByte}) {
			t.Fatalf("not locked on again: %+v", fr.Stats())
		}
	})
}

func BenchmarkFramer(b *testing.B) {
	ts := plain(7)
	for _, c := range []struct {
		name string
		feed func(*Framer) func(time.Duration, []byte) error
	}{
		{"Datagram", func(f *Framer) func(time.Duration, []byte) error { return f.Datagram }},
		{"Stream", func(f *Framer) func(time.Duration, []byte) error { return f.Stream }},
	} {
		b.Run(fmt.Sprint(c.name), func(b *testing.B) {
			f := NewFramer(WriterFunc(func(time.Duration, []byte) error { return nil }))
			feed := c.feed(f)
			b.SetBytes(int64(len(ts)))
			b.ReportAllocs()
			for b.Loop() {
				_ = feed(0, ts)
			}
		})
	}
}
