package st2022

import (
	"testing"
	"time"
)

func FuzzParseHeader(f *testing.F) {
	f.Add(Header{SNBase: 1, Extended: true, Offset: 5, NA: 10, Kind: Row}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		got := h.Append(nil)
		if len(got) != fecHeader || string(got) != string(b[:fecHeader]) {
			t.Errorf("%x reads as %+v, which writes as %x", b[:fecHeader], h, got)
		}
	})
}

// FuzzDecoder replays a program of packets. Whatever comes: no panic, order
// kept, each place once, nothing delivered that is longer than allowed.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 1, 0, 1, 5, 0, 2, 9, 0, 3})
	f.Add([]byte{0, 0, 0, 0, 4, 0, 1, 0, 0, 4, 0, 0, 20, 2, 200})
	f.Fuzz(func(t *testing.T, prog []byte) {
		var last uint64
		delivered := 0
		d, err := NewDecoder(DecoderConfig{Latency: 50 * interval, MaxPackets: 200, MaxPacket: 64, Deliver: func(g *Delivery) {
			if !g.Epoch && g.Seq != last+1 {
				t.Fatalf("%d after %d", g.Seq, last)
			}
			if g.Epoch && delivered > 0 && g.Seq <= last {
				t.Fatalf("epoch begins at %d after %d", g.Seq, last)
			}
			if len(g.Packet) > 64 || g.Lost != (g.Packet == nil) {
				t.Fatalf("%d bytes, lost %v", len(g.Packet), g.Lost)
			}
			last = g.Seq
			delivered++
		}})
		if err != nil {
			t.Fatal(err)
		}
		take := func() byte {
			if len(prog) == 0 {
				return 0
			}
			b := prog[0]
			prog = prog[1:]
			return b
		}
		now := time.Second
		var seq uint16
		buf := make([]byte, 128)
		for len(prog) > 0 {
			switch op := take(); op % 4 {
			case 0: // source packets in sequence
				for range op/4 + 1 {
					seq++
					putRTP(buf, rtp{seq: seq, ts: uint32(seq) * 90, ssrc: 1, mpt: 33})
					d.PushSource(now, buf[:20+seq%7])
					now += interval
					d.Tick(now)
				}
			case 1: // any source packet
				n := int(take()) % 80
				putRTP(buf, rtp{seq: seq + uint16(int8(take()))*uint16(1+op/4), ts: uint32(take()), ssrc: uint32(op/4) % 2, mpt: 33})
				d.PushSource(now, buf[:n])
			case 2: // time passes, or a gap
				seq += uint16(op / 4)
				now += time.Duration(take()) * interval
				d.Tick(now)
			case 3: // any FEC packet
				h := Header{SNBase: seq + uint16(int8(take())), LengthRecovery: uint16(take()), PTRecovery: take() & 0x21,
					TSRecovery: uint32(take()), Kind: Kind(op / 4 & 1), Offset: take(), NA: take()}
				putRTP(buf, rtp{mpt: 96})
				h.Append(buf[rtpHeader:rtpHeader])
				d.PushFEC(now, buf[:int(take())%100])
			}
			if d.waiting > maxFEC {
				t.Fatalf("%d FEC packets wait", d.waiting)
			}
		}
		drain(d)
		if s := d.Stats(); int(s.Delivered+s.Lost) != delivered {
			t.Fatalf("%d deliveries, stats %+v", delivered, s)
		}
	})
}
