package rtp

import (
	"bytes"
	"errors"
	"testing"
	"time"

	pion "github.com/pion/rtp"
	"pgregory.net/rapid"

	"quartet/capture/mpegts"
)

// tsPackets returns n TS packets whose bytes depend on fill.
func tsPackets(n int, fill byte) []byte {
	b := make([]byte, n*mpegts.PacketSize)
	for i := range b {
		b[i] = fill + byte(i*7)
		if i%mpegts.PacketSize == 0 {
			b[i] = mpegts.SyncByte
		}
	}
	return b
}

func sourcePacket(h Header, n int) []byte {
	h.PayloadType = PayloadTypeTS
	pkt := make([]byte, HeaderSize, MaxMessage)
	h.Put(pkt)
	return append(pkt, tsPackets(n, byte(h.Seq))...)
}

func TestHeaderPut(t *testing.T) {
	got := make([]byte, HeaderSize)
	Header{PayloadType: 33, Marker: true, Seq: 0x1234, Timestamp: 0x56789abc, SSRC: 0xdef01122}.Put(got)
	if want := unhex(t, "80a1123456789abcdef01122"); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// What pion/rtp writes, with CSRCs, extensions and padding, is read here.
func TestParseReadsPion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := pion.Packet{
			Header: pion.Header{
				Version: 2, PayloadType: PayloadTypeTS,
				Marker:         rapid.Bool().Draw(t, "marker"),
				SequenceNumber: rapid.Uint16().Draw(t, "seq"),
				Timestamp:      rapid.Uint32().Draw(t, "ts"),
				SSRC:           rapid.Uint32().Draw(t, "ssrc"),
				CSRC:           rapid.SliceOfN(rapid.Uint32(), 0, 15).Draw(t, "csrc"),
			},
			Payload: tsPackets(rapid.IntRange(1, MaxTSPackets).Draw(t, "n"), 3),
		}
		if ext := rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "ext"); len(ext) > 0 {
			if err := p.SetExtension(1, ext); err != nil {
				t.Fatal(err)
			}
		}
		if pad := rapid.Uint8().Draw(t, "pad"); pad > 0 && rapid.Bool().Draw(t, "padding") {
			p.Header.Padding, p.Header.PaddingSize = true, pad
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		h, ts, err := ParseTS(b)
		if err != nil {
			t.Fatal(err)
		}
		want := Header{
			PayloadType: p.PayloadType, Marker: p.Marker, Seq: Seq(p.SequenceNumber), Timestamp: p.Timestamp, SSRC: p.SSRC,
		}
		if h != want || !bytes.Equal(ts, p.Payload) {
			t.Fatalf("%+v, want %+v", h, want)
		}
		_, _, err = ParseSource(b)
		if plain := len(p.CSRC) == 0 && !p.Extension && !p.Padding; (err == nil) != plain {
			t.Fatalf("ParseSource: %v, plain header: %v", err, plain)
		}
	})
}

// pion/rtp reads what is written here.
func TestPionReadsSource(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := Header{
			PayloadType: PayloadTypeTS,
			Marker:      rapid.Bool().Draw(t, "marker"),
			Seq:         Seq(rapid.Uint16().Draw(t, "seq")),
			Timestamp:   rapid.Uint32().Draw(t, "ts"),
			SSRC:        rapid.Uint32().Draw(t, "ssrc"),
		}
		pkt := sourcePacket(h, rapid.IntRange(1, MaxTSPackets).Draw(t, "n"))
		var p pion.Packet
		if err := p.Unmarshal(pkt); err != nil {
			t.Fatal(err)
		}
		if p.PayloadType != 33 || p.Marker != h.Marker || Seq(p.SequenceNumber) != h.Seq ||
			p.Timestamp != h.Timestamp || p.SSRC != h.SSRC || !bytes.Equal(p.Payload, pkt[HeaderSize:]) {
			t.Fatalf("%+v of %+v", p.Header, h)
		}
		got, ts, err := ParseSource(pkt)
		if err != nil || got != h || !bytes.Equal(ts, pkt[HeaderSize:]) {
			t.Fatalf("%+v of %+v: %v", got, h, err)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	good := func() []byte { return sourcePacket(Header{Seq: 1}, 2) }
	for name, c := range map[string]struct {
		change         func(b []byte) []byte
		asTS, asSource bool // accepted
	}{
		"unchanged":              {func(b []byte) []byte { return b }, true, true},
		"marker":                 {func(b []byte) []byte { b[1] |= 0x80; return b }, true, true},
		"empty":                  {func([]byte) []byte { return nil }, false, false},
		"11 bytes":               {func(b []byte) []byte { return b[:11] }, false, false},
		"header alone":           {func(b []byte) []byte { return b[:12] }, false, false},
		"version 0":              {func(b []byte) []byte { b[0] = 0; return b }, false, false},
		"version 1":              {func(b []byte) []byte { b[0] = 0x40; return b }, false, false},
		"version 3":              {func(b []byte) []byte { b[0] = 0xc0; return b }, false, false},
		"payload type 34":        {func(b []byte) []byte { b[1] = 34; return b }, false, false},
		"one byte short":         {func(b []byte) []byte { return b[:len(b)-1] }, false, false},
		"one byte long":          {func(b []byte) []byte { return append(b, 0) }, false, false},
		"first sync byte":        {func(b []byte) []byte { b[12] = 0x48; return b }, false, false},
		"second sync byte":       {func(b []byte) []byte { b[200] = 0; return b }, false, false},
		"CSRC not there":         {func(b []byte) []byte { b[0] |= 15; return b[:60] }, false, false},
		"one CSRC":               {func(b []byte) []byte { b[0] |= 1; return append(b[:12:12], append(make([]byte, 4), b[12:]...)...) }, true, false},
		"extension cut":          {func(b []byte) []byte { b[0] |= 0x10; return b[:14] }, false, false},
		"extension too long":     {func(b []byte) []byte { b[0] |= 0x10; b[14], b[15] = 255, 255; return b }, false, false},
		"empty extension":        {func(b []byte) []byte { b[0] |= 0x10; return append(b[:12:12], append(make([]byte, 4), b[12:]...)...) }, true, false},
		"padding 0":              {func(b []byte) []byte { b[0] |= 0x20; return append(b, 0) }, false, false},
		"padding 1":              {func(b []byte) []byte { b[0] |= 0x20; return append(b, 1) }, true, false},
		"padding is all":         {func(b []byte) []byte { b[0] |= 0x20; return append(b[:12], 0, 0, 3) }, false, false},
		"padding more than all":  {func(b []byte) []byte { b[0] |= 0x20; return append(b[:12], 0, 0, 4) }, false, false},
		"8 TS packets":           {func(b []byte) []byte { return append(b[:12], tsPackets(8, 1)...) }, true, false},
		"padding of a TS packet": {func(b []byte) []byte { b[0] |= 0x20; b[len(b)-1] = 188; return b }, true, false},
	} {
		_, _, err := ParseTS(c.change(good()))
		if (err == nil) != c.asTS || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: ParseTS: %v", name, err)
		}
		_, _, err = ParseSource(c.change(good()))
		if (err == nil) != c.asSource || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: ParseSource: %v", name, err)
		}
	}
}

func TestKinds(t *testing.T) {
	pkt := sourcePacket(Header{}, 1)
	for second := range 256 {
		pkt[1] = byte(second)
		isRTCP := second >= 200 && second <= 207
		if IsRTCP(pkt) != isRTCP {
			t.Errorf("second byte %d: IsRTCP %v", second, !isRTCP)
		}
		want := second & 0x7f
		if isRTCP {
			want = -1
		}
		if got := PayloadTypeOf(pkt); got != want {
			t.Errorf("second byte %d: payload type %d, want %d", second, got, want)
		}
	}
	pkt[1] = 200
	if IsRTCP(pkt[:7]) || PayloadTypeOf(pkt[:11]) != -1 {
		t.Error("short packet has a kind")
	}
	pkt[0] = 0x40
	if IsRTCP(pkt) || PayloadTypeOf(pkt) != -1 {
		t.Error("packet of version 1 has a kind")
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want int64
	}{
		{0, 0},
		{11_111, 0}, {11_112, 1},
		{-1, -1}, {-11_111, -1}, {-11_112, -2},
		{time.Second, 90_000},
		{time.Second - 1, 89_999},
		{100 * 365 * 24 * time.Hour, 100 * 365 * 24 * 3600 * 90_000},
		{1<<63 - 1, 830_103_483_316_929},
	} {
		if got := Ticks(c.d); got != c.want {
			t.Errorf("Ticks(%d ns) = %d, want %d", c.d, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "n")
		if got := Ticks(TicksDuration(n) + 1); got != n { // TicksDuration rounds down
			t.Fatalf("%d → %v → %d", n, TicksDuration(n), got)
		}
	})
}

func TestParseAllocs(t *testing.T) {
	pkt := sourcePacket(Header{Seq: 1}, 7)
	if n := testing.AllocsPerRun(1000, func() {
		if _, _, err := ParseSource(pkt); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ParseTS(pkt); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per packet, want 0", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sourcePacket(Header{Seq: 65535, Timestamp: 1<<32 - 1, SSRC: 7}, 1))
	f.Add([]byte{0x90, 33, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 0x47})
	f.Add([]byte{0xa2, 33, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
		} else {
			var p pion.Packet
			if perr := p.Unmarshal(b); perr == nil {
				if Seq(p.SequenceNumber) != h.Seq || p.Timestamp != h.Timestamp || p.SSRC != h.SSRC ||
					p.PayloadType != h.PayloadType || p.Marker != h.Marker || !bytes.Equal(p.Payload, payload) {
					t.Fatalf("%+v %d bytes, pion reads %+v %d bytes", h, len(payload), p.Header, len(p.Payload))
				}
			}
		}
		if _, ts, err := ParseTS(b); err == nil && (len(ts) == 0 || len(ts)%mpegts.PacketSize != 0) {
			t.Fatalf("ParseTS accepts %d bytes", len(ts))
		}
		if h, ts, err := ParseSource(b); err == nil {
			again := make([]byte, HeaderSize)
			h.Put(again)
			if !bytes.Equal(append(again, ts...), b) {
				t.Fatal("a source packet does not come out as it went in")
			}
		}
	})
}

func BenchmarkParseSource(b *testing.B) {
	pkt := sourcePacket(Header{Seq: 1}, 7)
	for b.Loop() {
		if _, _, err := ParseSource(pkt); err != nil {
			b.Fatal(err)
		}
	}
}
