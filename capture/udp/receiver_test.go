package udp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/fec/st2022"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
)

// collector keeps what a writer got.
type collector struct {
	ts        []byte
	at        []time.Duration // of each packet
	backwards int
}

func (c *collector) WriteTS(at time.Duration, ts []byte) error {
	if n := len(c.at); n > 0 && at < c.at[n-1] {
		c.backwards++
	}
	for range len(ts) / mpegts.PacketSize {
		c.at = append(c.at, at)
	}
	c.ts = append(c.ts, ts...)
	return nil
}

func testReceiver(t testing.TB, out *collector, addrs ...Address) *receiver {
	r, err := newReceiver(receiverConfig{addrs: addrs, window: 20 * ms, fecWindow: 100 * ms}, out)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var (
	alice = peer{ip: netip.MustParseAddr("192.0.2.1").As16(), port: 1000}
	bob   = peer{ip: netip.MustParseAddr("192.0.2.2").As16(), port: 2000}
)

func from(p peer, at time.Duration, b []byte) *datagram {
	return &datagram{at: at, from: p, data: b, whole: true}
}

// rtpPackets wraps seven TS packets each.
func rtpPackets(stream []byte, ssrc uint32, seq uint16) (out [][]byte) {
	for i := 0; len(stream) > 0; i++ {
		n := min(len(stream), 7*mpegts.PacketSize)
		pkt := make([]byte, rtp.HeaderSize)
		rtp.Header{PayloadType: 33, Seq: rtp.Seq(seq + uint16(i)), Timestamp: uint32(i) * 90, SSRC: ssrc}.Put(pkt)
		out = append(out, append(pkt, stream[:n]...))
		stream = stream[n:]
	}
	return out
}

func TestPlainTSPassesThrough(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 7000)
	for _, size := range []int{7 * 188, 188, 20 * 188, 1472, 1000} { // ffmpeg's default cuts anywhere
		var out collector
		r := testReceiver(t, &out, Address{})
		at := time.Second
		for b := stream; len(b) > 0; b = b[min(size, len(b)):] {
			r.media(0, from(alice, at, b[:min(size, len(b))]))
			at += ms
		}
		if err := r.tick(at); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.ts, stream[:len(out.ts)]) || len(stream)-len(out.ts) >= 5*204 {
			t.Errorf("datagrams of %d bytes: %d of %d bytes, equal %v", size, len(out.ts), len(stream), bytes.Equal(out.ts, stream[:len(out.ts)]))
		}
		if size%188 == 0 && (len(out.ts) != len(stream) || out.at[len(out.at)-1] != at-ms) {
			t.Errorf("datagrams of %d bytes: %d of %d bytes, last at %v", size, len(out.ts), len(stream), out.at[len(out.at)-1])
		}
	}
}

func TestRTPIsDetectedAndUnwrapped(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 700)
	for _, f := range []Format{FormatAuto, FormatRTP} {
		var out collector
		r := testReceiver(t, &out, Address{Format: f})
		for i, p := range rtpPackets(stream, 7, 65530) {
			switch i % 4 { // what RFC 3550 allows around the payload
			case 1: // two CSRCs
				q := append(append([]byte{}, p[:12]...), make([]byte, 8)...)
				p = append(q, p[12:]...)
				p[0] |= 2
			case 2: // header extension of one word
				q := append(append([]byte{}, p[:12]...), 0xbe, 0xde, 0, 1, 1, 2, 3, 4)
				p = append(q, p[12:]...)
				p[0] |= 0x10
			case 3: // padding
				p = append(append([]byte{}, p...), 0, 0, 0, 4)
				p[0] |= 0x20
			}
			if i%7 == 6 {
				p[1] = 96 // a dynamic payload type
			}
			r.media(0, from(alice, time.Duration(i)*ms, p))
		}
		if !bytes.Equal(out.ts, stream) {
			t.Errorf("format %d: %d of %d bytes", f, len(out.ts), len(stream))
		}
	}
	// What is demanded to be RTP takes nothing else.
	var out collector
	r := testReceiver(t, &out, Address{Format: FormatRTP})
	r.media(0, from(alice, 0, stream[:1316]))
	if len(out.ts) != 0 || r.legs[0].counters.Malformed != 1 {
		t.Errorf("plain TS taken for RTP: %+v", r.legs[0].counters)
	}
}

func TestSenderChangesItsFormat(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 7*300)
	pkts := rtpPackets(stream, 7, 10)
	var out collector
	r := testReceiver(t, &out, Address{})
	for i := range 300 {
		b := pkts[i]
		if i/100 == 1 {
			b = stream[i*1316:][:1316]
		}
		r.media(0, from(alice, time.Duration(i)*ms, b))
		if r.tick(time.Duration(i)*ms) != nil {
			t.Fatal("tick failed")
		}
	}
	// While in doubt, RTP is read as TS with a header in front, and TS is not
	// read as RTP.
	if got := len(out.ts) / 1316; got < 300-formatChange || got > 300 {
		t.Errorf("%d of 300 datagrams came through", got)
	}
	if !r.rtp || r.merger.stats.Delivered < 150 {
		t.Errorf("RTP at the end: %v, %+v", r.rtp, r.merger.stats)
	}
}

func TestOtherSendersAreRefused(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 70)
	datagram := func(i int) []byte { return stream[i%10*1316:][:1316] }
	var out collector
	r := testReceiver(t, &out, Address{})
	at := time.Second
	for i := range 1000 {
		at += ms
		r.media(0, from(alice, at, datagram(i)))
		r.media(0, from(bob, at, datagram(i+5)))
	}
	c := r.legs[0].counters
	if len(out.ts) != 1000*1316 || c.OtherSender != 1000 || c.SenderChanges != 0 {
		t.Errorf("%d bytes, %+v", len(out.ts), c)
	}
	at += senderHold
	r.media(0, from(bob, at, datagram(0)))
	if len(out.ts) != 1001*1316 || r.legs[0].counters.SenderChanges != 1 {
		t.Errorf("the standby sender is not taken: %+v", r.legs[0].counters)
	}
	// One demanded source, also when another came first.
	r = testReceiver(t, &out, Address{Source: netip.MustParseAddr("192.0.2.2")})
	r.media(0, from(alice, at, datagram(0)))
	r.media(0, from(bob, at, datagram(0)))
	if c := r.legs[0].counters; c.OtherSender != 1 || r.framer.Stats().Packets != 7 {
		t.Errorf("%+v", c)
	}
}

// Garbage neither comes through nor keeps the true sender out.
func TestGarbageIsRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, addrs := range [][]Address{{{}}, {{Format: FormatRTP}}, {{}, {}}} {
		stream := tsgen.New(10e6, 1).Next(nil, 7000)
		pkts := rtpPackets(stream, 7, 65530)
		var out collector
		r := testReceiver(t, &out, addrs...)
		at := time.Second
		for _, p := range pkts {
			for range 10 { // 10,000 a second
				b := make([]byte, rng.IntN(1500))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				if len(b) > 0 && rng.IntN(2) == 0 {
					b[0] = 0x80
				}
				r.media(rng.IntN(len(addrs)), from(bob, at, b))
			}
			at += ms
			for leg := range addrs {
				r.media(leg, from(alice, at, p))
			}
			if err := r.tick(at); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.tick(at + time.Second); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.ts, stream) {
			t.Errorf("%+v: %d of %d bytes", addrs, len(out.ts), len(stream))
		}
	}
}

func TestTwoLegsNeedRTP(t *testing.T) {
	var out collector
	r := testReceiver(t, &out, Address{}, Address{})
	r.media(1, from(alice, 0, tsgen.New(10e6, 1).Next(nil, 7)))
	if len(out.ts) != 0 || r.legs[1].counters.Malformed != 1 {
		t.Errorf("%+v", r.legs[1].counters)
	}
}

// fecSource encodes packets with columns and rows.
func fecSource(t *testing.T, pkts [][]byte) (fec map[int][][]byte) {
	fec = map[int][][]byte{}
	n := 0
	enc, err := st2022.NewEncoder(st2022.EncoderConfig{
		Params: st2022.Params{Columns: 10, Rows: 10, RowFEC: true},
		Emit: func(_ st2022.Kind, _ time.Duration, pkt []byte) {
			fec[n] = append(fec[n], bytes.Clone(pkt))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range pkts {
		n = i
		at := time.Duration(i) * ms
		if err := enc.Add(at, p); err != nil {
			t.Fatal(err)
		}
		enc.Tick(at)
	}
	return fec
}

func TestFECRepairs(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 7*2000)
	pkts := rtpPackets(stream, 7, 65000)
	fec := fecSource(t, pkts)
	for legs := 1; legs <= 2; legs++ {
		var out collector
		r, err := newReceiver(receiverConfig{
			addrs:  []Address{{Format: FormatRTP, FEC: true}, {Format: FormatRTP, FEC: true}}[:legs],
			window: 20 * ms, fecWindow: 250 * ms,
		}, &out)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Minute
		lost := 0
		for i, p := range pkts {
			at := start + time.Duration(i)*ms
			// A burst of eight in every second matrix, on all legs.
			if i > 200 && i < 1700 && i%200 >= 90 && i%200 < 98 {
				lost++
			} else {
				for leg := range legs {
					r.media(leg, from(alice, at, p))
				}
			}
			for _, f := range fec[i] {
				r.recovery(0, from(alice, at, f))
				r.recovery(0, from(bob, at, f)) // another machine's: refused
			}
			if err := r.tick(at); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 1000 {
			if err := r.tick(start + 2*time.Second + time.Duration(i)*ms); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(out.ts, stream) {
			t.Errorf("%d legs: %d of %d bytes; %+v", legs, len(out.ts), len(stream), r.decoder.Stats())
		}
		if st := r.decoder.Stats(); int(st.Recovered) != lost || lost < 50 {
			t.Errorf("%d legs: recovered %d of %d", legs, st.Recovered, lost)
		}
		for i, at := range out.at {
			if d := at - start - time.Duration(i/7)*ms; d < 240*ms || d > 290*ms {
				t.Fatalf("%d legs: packet %d after %v", legs, i, d)
			}
		}
		if out.backwards != 0 {
			t.Errorf("%d instants went backwards", out.backwards)
		}
	}
}

func TestReceiverDoesNotAllocate(t *testing.T) {
	stream := tsgen.New(10e6, 1).Next(nil, 7)
	pkt := rtpPackets(stream, 7, 0)[0]
	for name, c := range map[string]struct {
		addrs []Address
		data  []byte
	}{
		"ts": {[]Address{{}}, stream}, "rtp": {[]Address{{}}, pkt}, "two legs": {[]Address{{}, {}}, pkt},
		"fec": {[]Address{{Format: FormatRTP, FEC: true}}, pkt},
	} {
		bytes := 0
		r, err := newReceiver(receiverConfig{addrs: c.addrs, window: 20 * ms, fecWindow: 50 * ms}, mpegts.WriterFunc(func(_ time.Duration, ts []byte) error {
			bytes += len(ts)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		d := from(alice, 0, c.data)
		run := func() {
			i++
			d.at = time.Duration(i) * ms
			if name != "ts" {
				binary.BigEndian.PutUint16(pkt[2:], uint16(i))
				binary.BigEndian.PutUint32(pkt[4:], uint32(i)*90)
			}
			for leg := range c.addrs {
				r.media(leg, d)
			}
			if r.tick(d.at) != nil {
				t.Fail()
			}
		}
		for range 2000 {
			run()
		}
		if n := testing.AllocsPerRun(5000, run); n != 0 {
			t.Errorf("%s: %v allocations per datagram", name, n)
		}
		if bytes < 6000*1316 {
			t.Errorf("%s: %d bytes came through", name, bytes)
		}
	}
}

// FuzzReceiver throws datagrams of any content at all inputs; nothing may
// panic, and only whole TS packets may come out, in order of time.
func FuzzReceiver(f *testing.F) {
	stream := tsgen.New(10e6, 1).Next(nil, 14)
	pkts := rtpPackets(stream, 7, 65535)
	frame := func(ctrl byte, b []byte) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{ctrl}, uint16(len(b))), b...)
	}
	f.Add(frame(0, stream[:1316]))
	f.Add(append(frame(0, pkts[0]), frame(1, pkts[1])...))
	f.Add(append(frame(4, pkts[1]), frame(8, pkts[0])...))
	f.Add(frame(0, stream[50:1400]))
	for mode := range byte(5) {
		two := append(frame(mode<<5, pkts[0]), frame(mode<<5|2, pkts[0])...)
		two = append(two, frame(mode<<5|8, pkts[1])...)
		f.Add(append(two, frame(mode<<5|4, pkts[1])...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		addrs := [][]Address{
			{{}}, {{Format: FormatRTP}}, {{}, {}}, {{Format: FormatRTP, FEC: true}}, {{Format: FormatRTP, FEC: true}, {Format: FormatRTP}},
		}[b[0]>>5%5]
		var last time.Duration
		r, err := newReceiver(receiverConfig{addrs: addrs, window: 20 * ms, fecWindow: 50 * ms, mergePackets: 256, fecPackets: 256},
			mpegts.WriterFunc(func(at time.Duration, ts []byte) error {
				if len(ts) == 0 || rtp.CheckTS(ts) != nil {
					t.Fatalf("written: %d bytes, %v", len(ts), rtp.CheckTS(ts))
				}
				if at < last {
					t.Fatalf("instant %v after %v", at, last)
				}
				last = at
				return nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Second
		for rest := b; len(rest) >= 3; {
			ctrl, n := rest[0], min(int(binary.BigEndian.Uint16(rest[1:])), len(rest)-3)
			d := from(alice, at, rest[3:3+n:3+n])
			if ctrl&1 != 0 {
				d.from = bob
			}
			leg := int(ctrl>>1&1) % len(addrs)
			if ctrl&4 != 0 && r.decoder != nil {
				r.recovery(leg, d)
			} else {
				r.media(leg, d)
			}
			rest = rest[3+n:]
			at += time.Duration(ctrl>>3&3) * 10 * ms
			if r.tick(at) != nil {
				t.Fatal("tick failed")
			}
		}
		if r.tick(at+5*time.Second) != nil {
			t.Fatal("tick failed")
		}
	})
}
