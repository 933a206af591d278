package uplink

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"quartet/capture/mpegts"
	"quartet/fec"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
)

// Plan, message size and key change while packets flow and while two of each
// block are lost on every path: what is released is what went in.
func TestLiveChangesLoseNothing(t *testing.T) {
	links := []*fakeLink{{}, {}}
	now := time.Duration(0)
	plans := []Plan{
		{K: 16, Rows: 1, Streams: 2, MaxBlock: 60 * time.Millisecond},
		{K: 40, Rows: 6, Streams: 2, MaxBlock: 60 * time.Millisecond},
		{K: 3, Rows: 2, Streams: 2, MaxBlock: 20 * time.Millisecond},
		{K: 1, Rows: 0, Streams: 2, MaxBlock: 70 * time.Millisecond},
		{K: 200, Rows: 27, Streams: 2, MaxBlock: 70 * time.Millisecond},
	}
	s, err := NewSender(SenderConfig{
		Now: func() time.Duration { return now }, Key: testKey, PacketsPerMessage: 7, Paths: fourPaths(links), Plan: plans[0],
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range s.paths {
		p.link = links[i]
		p.up.Store(true)
	}
	var out []byte
	lost, recovered, first := uint64(0), 0, -1
	dec, err := fec.NewDecoder(fec.DecoderConfig{Latency: 250 * time.Millisecond, Deliver: func(d *fec.Delivery) {
		switch {
		case d.Lost:
			lost += d.Count
		default:
			if d.Recovered {
				recovered++
			}
			out = append(out, d.Packet[rtp.HeaderSize:]...)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range links {
		dec.SetPath(i, 0, true)
	}
	other, _ := rtp.DeriveTagKey(bytes.Repeat([]byte{8}, 32))
	verify, _ := rtp.NewVerifier(other, testKey)
	gen := tsgen.New(10_000_000, 1)
	var in []byte
	parity := true
	deliver := func() {
		s.Tick(now)
		for i, p := range s.paths {
			if err := p.flush(now); err != nil {
				t.Fatal(err)
			}
			for _, m := range links[i].msgs {
				pkt, ok := verify.Check(m)
				if !ok {
					t.Fatal("a wrong tag")
				}
				seq := uint16(pkt[2])<<8 | uint16(pkt[3])
				if rtp.PayloadTypeOf(pkt) == fec.SourcePT {
					if first < 0 {
						first = int(seq)
					}
					if parity && (seq-uint16(first))%211 == 100 {
						continue // lost on both paths; not the first, before which there is nothing
					}
				}
				dec.Push(i, now, pkt)
			}
			links[i].msgs = nil
		}
		dec.Tick(now)
	}
	step := func() {
		now = gen.At(gen.Count())
		n := len(in)
		in = gen.Next(in, 4)
		if err := s.WriteTS(now, in[n:]); err != nil {
			t.Fatal(err)
		}
		deliver()
	}
	for n := range 20_000 {
		if n%500 == 250 {
			plan := plans[n/500%len(plans)]
			parity = false // what is under way has the plan before
			if err := s.SetPlan(plan); err != nil {
				t.Fatal(err)
			}
			if err := s.SetPacketsPerMessage(1 + n/500%7); err != nil {
				t.Fatal(err)
			}
			s.SetKey([]rtp.TagKey{testKey, other}[n/500%2], nil)
		}
		if n%500 == 300 {
			parity = s.plan.Rows > 0
		}
		step()
	}
	for range 500 { // the last block's parity is spread over a while
		now += time.Millisecond
		deliver()
	}
	if lost > 0 || recovered < 100 {
		t.Errorf("%d lost, %d recovered by parity; want none and many", lost, recovered)
	}
	n := 0
	for n < min(len(in), len(out)) && in[n] == out[n] {
		n++
	}
	if rest := len(in) - len(out); rest < 0 || rest > 30*tsgen.PacketSize || n < len(out) {
		t.Errorf("%d of %d bytes came out; they differ from byte %d on", len(out), len(in), n)
	}
}

// What the pacer holds when the end comes is sent, although SRT's latency is
// shorter than the hold.
func TestDrainSendsWhatThePacerHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := &fakeLink{}
		s, now, stop := running(t, ProfileTS, func(context.Context) (Link, error) { return link, nil }, func(c *SenderConfig) {
			c.Pacer = &mpegts.PacerConfig{Latency: 150 * time.Millisecond, MaxLatency: 600 * time.Millisecond, MaxRateBPS: 20_000_000}
			c.Plan = Plan{K: 1, MaxBlock: MaxBlock, SRTLatency: 20 * time.Millisecond}
		})
		gen := tsgen.New(5_000_000, 1)
		var in []byte
		for range 2000 {
			for lead := gen.At(gen.Count()); now() < lead; {
				time.Sleep(time.Millisecond)
			}
			n := len(in)
			in = gen.Next(in, 1)
			s.WriteTS(now(), in[n:])
		}
		begun := now()
		stop()
		if took := now() - begun; took > 1200*time.Millisecond {
			t.Errorf("the end took %v", took)
		}
		if out := bytes.Join(link.msgs, nil); !bytes.Equal(out, in) {
			t.Errorf("%d of %d TS packets were sent", len(out)/mpegts.PacketSize, len(in)/mpegts.PacketSize)
		}
	})
}
