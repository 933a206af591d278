package main

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"quartet/capture/mpegts"
)

func clockPacket(pid mpegts.PID, pcr mpegts.PCR) mpegts.Packet {
	p := mpegts.Packet(append([]byte{}, mpegts.NullPacket[:]...))
	p.SetPID(pid)
	p[3] |= 0x20
	p[4], p[5] = 7, 0x10
	p.SetPCR(pcr)
	return p
}

// Packets come out as they went in, in pieces that begin at each PCR of the
// programme's clock, evenly over the PCR's wrap, however they jitter.
func TestStreamClock(t *testing.T) {
	c := streamClock{pid: mpegts.NullPID}
	c.use(300)
	rng := rand.New(rand.NewPCG(3, 8))
	first := mpegts.PCR(0).Add(-3 * mpegts.PCRHz)
	other := mpegts.Packet(append([]byte{}, mpegts.NullPacket[:]...))
	other.SetPID(301)
	var in, out []byte
	var told []time.Duration
	for i := range int64(400) { // 16 s
		at := time.Minute + time.Duration(i)*40*time.Millisecond + time.Duration(rng.IntN(8_000_000))
		ts := bytes.Join([][]byte{other, other, clockPacket(301, 77), clockPacket(300, first.Add(i*mpegts.PCRHz/25)), other,
			clockPacket(300, first.Add(i*mpegts.PCRHz/25+mpegts.PCRHz/50)), other}, nil)
		in = append(in, ts...)
		c.place(at, ts, func(at time.Duration, ts []byte) {
			out = append(out, ts...)
			if p := mpegts.Packet(ts[:mpegts.PacketSize]); p.PID() == 300 {
				told = append(told, at)
				ts = ts[mpegts.PacketSize:]
			}
			for ; len(ts) > 0; ts = ts[mpegts.PacketSize:] {
				if mpegts.Packet(ts[:mpegts.PacketSize]).PID() == 300 {
					t.Fatal("a PCR within a piece")
				}
			}
		})
		c.place(at, nil, nil)
	}
	if !bytes.Equal(in, out) {
		t.Error("packets are not what they were")
	}
	if len(told) != 800 {
		t.Fatalf("%d PCRs", len(told))
	}
	for i := range told[1:] {
		if d := told[i+1] - told[i] - 20*time.Millisecond; d > 602 || d < -602 { // 30 ppm
			t.Errorf("PCR %d is told %v after the one before", i+1, told[i+1]-told[i])
		}
	}
	if d := told[0] - time.Minute; d < 0 || d > 8*time.Millisecond {
		t.Errorf("the first is told %v late", d)
	}
	// The same clock for another decoder is known already; a programme without a
	// clock has its packets' arrival.
	c.use(300)
	at := time.Minute + 16*time.Second + 7*time.Millisecond
	c.place(at, clockPacket(300, first.Add(16*mpegts.PCRHz)), func(told time.Duration, _ []byte) {
		// Of two PCRs that come together the second one was held up by 20 ms less.
		if d := told - at; d > -25*time.Millisecond || d < -29*time.Millisecond {
			t.Errorf("told %v later than it came, want some 27 ms sooner", d)
		}
	})
	c.use(mpegts.NullPID)
	c.place(at, clockPacket(mpegts.NullPID, 5), func(told time.Duration, _ []byte) {
		if told != at {
			t.Errorf("without a clock: told %v later than it came", told-at)
		}
	})
}
