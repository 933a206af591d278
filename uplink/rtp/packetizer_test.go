package rtp

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quartet/capture/mpegts"
)

// sent is a packet as Emit saw it.
type sent struct {
	at  time.Duration
	pkt []byte
}

func newPacketizer(tb testing.TB, cfg PacketizerConfig, out *[]sent) *Packetizer {
	tb.Helper()
	cfg.Emit = func(at time.Duration, pkt []byte) { *out = append(*out, sent{at, bytes.Clone(pkt)}) }
	p, err := NewPacketizer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func write(tb testing.TB, p *Packetizer, at time.Duration, ts []byte) {
	tb.Helper()
	if err := p.WriteTS(at, ts); err != nil {
		tb.Fatal(err)
	}
}

func TestPacketizerConfig(t *testing.T) {
	emit := func(time.Duration, []byte) {}
	for name, cfg := range map[string]PacketizerConfig{
		"no Emit":       {},
		"negative hold": {Emit: emit, MaxHold: -1},
		"8 packets":     {Emit: emit, PacketsPerMessage: 8},
		"-1 packets":    {Emit: emit, PacketsPerMessage: -1},
	} {
		if p, err := NewPacketizer(cfg); err == nil || p != nil {
			t.Errorf("%s accepted", name)
		}
	}
	if _, err := NewPacketizer(PacketizerConfig{Emit: emit}); err != nil {
		t.Error(err)
	}
}

// The header of each packet, across the wraps of sequence number and timestamp.
func TestPacketizerHeaders(t *testing.T) {
	var out []sent
	p := newPacketizer(t, PacketizerConfig{SSRC: 0xcafe, FirstSeq: 65533, TimestampOffset: 1<<32 - 200}, &out)
	at := 3 * time.Second
	base := p.Timestamp(0)
	for range 6 {
		write(t, p, at, tsPackets(7, 1))
		at += 1052800 * time.Nanosecond // 10 Mbit/s
	}
	for i, s := range out {
		h, ts, err := ParseSource(s.pkt)
		if err != nil {
			t.Fatal(err)
		}
		due := 3*time.Second + time.Duration(i)*1052800
		want := Header{PayloadType: 33, Seq: Seq(65533).Add(i), Timestamp: base + uint32(due*9/100000), SSRC: 0xcafe}
		if h != want || !bytes.Equal(ts, tsPackets(7, 1)) || s.at != due {
			t.Errorf("packet %d at %v: %+v, want %+v at %v", i, s.at, h, want, due)
		}
	}
	if len(out) != 6 || p.NextSeq() != 3 || p.SSRC() != 0xcafe {
		t.Errorf("%d packets, next %d", len(out), p.NextSeq())
	}
}

// The timestamp is of the first TS packet, the emission at the last.
func TestPacketizerTimestampOfFirst(t *testing.T) {
	var out []sent
	p := newPacketizer(t, PacketizerConfig{}, &out)
	for i := range 7 {
		if len(out) > 0 {
			t.Fatal("emitted early")
		}
		write(t, p, time.Second+time.Duration(i)*time.Millisecond, tsPackets(1, byte(i)))
	}
	if len(out) != 1 || out[0].at != time.Second+6*time.Millisecond {
		t.Fatalf("%+v", out)
	}
	if h, _, _ := ParseSource(out[0].pkt); h.Timestamp != 90000 {
		t.Errorf("timestamp %d, want 90000", h.Timestamp)
	}
}

func TestPacketizerHold(t *testing.T) {
	var out []sent
	p := newPacketizer(t, PacketizerConfig{MaxHold: 10 * time.Millisecond}, &out)
	if _, ok := p.Next(); ok {
		t.Error("something to do at the start")
	}
	p.Tick(time.Hour)
	p.Flush(time.Hour)
	write(t, p, 5*time.Millisecond, tsPackets(2, 1))
	write(t, p, 6*time.Millisecond, nil)
	if due, ok := p.Next(); !ok || due != 15*time.Millisecond {
		t.Errorf("next %v %v", due, ok)
	}
	p.Tick(15*time.Millisecond - 1)
	if len(out) != 0 {
		t.Fatal("flushed early")
	}
	p.Tick(15 * time.Millisecond)
	if len(out) != 1 || out[0].at != 15*time.Millisecond || len(out[0].pkt) != HeaderSize+2*mpegts.PacketSize {
		t.Fatalf("%+v", out)
	}
	// Without a Tick in time, the next write flushes first.
	write(t, p, 20*time.Millisecond, tsPackets(3, 1))
	write(t, p, 40*time.Millisecond, tsPackets(7, 1))
	if len(out) != 3 || len(out[1].pkt) != HeaderSize+3*mpegts.PacketSize || len(out[2].pkt) != MaxSourcePacket {
		t.Fatalf("%d packets", len(out))
	}
	if h, _, _ := ParseSource(out[1].pkt); h.Timestamp != 1800 {
		t.Errorf("timestamp %d, want 1800", h.Timestamp)
	}
	write(t, p, 41*time.Millisecond, tsPackets(1, 1))
	p.Flush(42 * time.Millisecond)
	if _, ok := p.Next(); ok || len(out) != 4 {
		t.Error("flush left something")
	}
	want := PacketizerStats{TSPackets: 13, SourcePackets: 4, SourceBytes: 4*12 + 13*188, TSBytes: 13 * 188, Partial: 3}
	if got := p.Stats(); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func TestPacketizerSetPacketsPerMessage(t *testing.T) {
	var out []sent
	p := newPacketizer(t, PacketizerConfig{}, &out)
	write(t, p, 0, tsPackets(5, 1))
	for _, n := range []int{0, 8, -1} {
		if p.SetPacketsPerMessage(n) == nil {
			t.Errorf("%d accepted", n)
		}
	}
	if err := p.SetPacketsPerMessage(2); err != nil {
		t.Fatal(err)
	}
	write(t, p, 1, tsPackets(4, 2))
	var sizes []int
	for _, s := range out {
		sizes = append(sizes, (len(s.pkt)-HeaderSize)/mpegts.PacketSize)
	}
	if len(sizes) != 3 || sizes[0] != 5 || sizes[1] != 2 || sizes[2] != 2 {
		t.Errorf("sizes %v, want 5 2 2", sizes)
	}
}

func TestPacketizerRefuses(t *testing.T) {
	var out []sent
	p := newPacketizer(t, PacketizerConfig{PacketsPerMessage: 1}, &out)
	bad := tsPackets(3, 1)
	bad[2*mpegts.PacketSize] = 0
	for _, ts := range [][]byte{bad, bad[:187], bad[:189]} {
		if err := p.WriteTS(0, ts); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", len(ts), err)
		}
	}
	if len(out) != 0 || p.Stats().Refused != 3 || p.Stats().TSPackets != 0 {
		t.Errorf("%d packets, %+v", len(out), p.Stats())
	}
}

// The instant does not go back, whatever the caller says.
func TestPacketizerBackwards(t *testing.T) {
	var out []sent
	p := newPacketizer(t, PacketizerConfig{PacketsPerMessage: 1}, &out)
	write(t, p, time.Second, tsPackets(1, 1))
	write(t, p, time.Millisecond, tsPackets(1, 1))
	a, _, _ := ParseSource(out[0].pkt)
	b, _, _ := ParseSource(out[1].pkt)
	if a.Timestamp != b.Timestamp || out[1].at != time.Second || p.Stats().Backwards != 1 {
		t.Errorf("timestamps %d, %d, %+v", a.Timestamp, b.Timestamp, p.Stats())
	}
}

// Whatever the sizes and instants of writes, the TS comes out as it went in, in
// sequence, stamped with the instant of each packet's first TS packet, and
// nothing waits longer than MaxHold.
func TestPacketizerRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := time.Duration(rapid.IntRange(1, 30).Draw(t, "hold")) * time.Millisecond
		seq := rapid.Uint16().Draw(t, "seq")
		offset := rapid.Uint32().Draw(t, "offset")
		var in, back []byte
		var instants []time.Duration // of each TS packet in
		wantSeq := Seq(seq)
		p, err := NewPacketizer(PacketizerConfig{
			FirstSeq: seq, TimestampOffset: offset, MaxHold: hold,
			Emit: func(at time.Duration, pkt []byte) {
				h, ts, err := ParseSource(pkt)
				if err != nil {
					t.Fatal(err)
				}
				first := instants[len(back)/mpegts.PacketSize]
				if h.Seq != wantSeq || h.Timestamp != offset+uint32(Ticks(first)) {
					t.Fatalf("%+v, want seq %d, instant %v", h, wantSeq, first)
				}
				if at < first {
					t.Fatal("emitted before it was due")
				}
				wantSeq = wantSeq.Add(1)
				back = append(back, ts...)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "start"))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 5_000_000).Draw(t, "wait"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				if err := p.SetPacketsPerMessage(rapid.IntRange(1, 7).Draw(t, "n")); err != nil {
					t.Fatal(err)
				}
			case 1, 2:
				p.Tick(now)
				if due, ok := p.Next(); ok && due <= now {
					t.Fatalf("due %v after Tick(%v)", due, now)
				}
			default:
				ts := tsPackets(rapid.IntRange(1, 20).Draw(t, "packets"), byte(len(in)))
				in = append(in, ts...)
				for range len(ts) / mpegts.PacketSize {
					instants = append(instants, now)
				}
				if err := p.WriteTS(now, ts); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.Flush(now)
		if !bytes.Equal(in, back) {
			t.Fatalf("%d bytes in, %d out", len(in), len(back))
		}
	})
}

func TestPacketizerAllocs(t *testing.T) {
	p, err := NewPacketizer(PacketizerConfig{Emit: func(time.Duration, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	ts := tsPackets(3, 1)
	at := time.Duration(0)
	if n := testing.AllocsPerRun(1000, func() {
		at += time.Millisecond
		p.Tick(at)
		if err := p.WriteTS(at, ts); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per call, want 0", n)
	}
}

func BenchmarkPacketizer(b *testing.B) {
	p, err := NewPacketizer(PacketizerConfig{Emit: func(time.Duration, []byte) {}})
	if err != nil {
		b.Fatal(err)
	}
	ts := tsPackets(7, 1)
	at := time.Duration(0)
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		at += time.Millisecond
		_ = p.WriteTS(at, ts)
	}
}

// BenchmarkSend is all that this package does to a source packet at the sender:
// packetize, tag, digest.
func BenchmarkSend(b *testing.B) {
	tagger := NewTagger(testKey(b, 1))
	msg := make([]byte, 0, MaxMessage)
	var d Digest
	p, err := NewPacketizer(PacketizerConfig{Emit: func(_ time.Duration, pkt []byte) {
		d.Add(pkt)
		msg = tagger.AppendTag(append(msg[:0], pkt...), pkt)
	}})
	if err != nil {
		b.Fatal(err)
	}
	ts := tsPackets(7, 1)
	at := time.Duration(0)
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		at += time.Millisecond
		_ = p.WriteTS(at, ts)
	}
}
