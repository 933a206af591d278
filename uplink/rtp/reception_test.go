package rtp

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func block(tb testing.TB, r *Reception, now time.Duration) rtcp.ReceptionReport {
	tb.Helper()
	b, ok := r.Block(now)
	if !ok {
		tb.Fatal("no block")
	}
	return b
}

// Loss, total and per interval, across wraps of the sequence number.
func TestReceptionLoss(t *testing.T) {
	var r Reception
	if _, ok := r.Block(0); ok || r.HighestSeq() != 0 {
		t.Error("block before the first packet")
	}
	add := func(i int) {
		r.Add(Header{SSRC: 5, Seq: Seq(65000).Add(i), Timestamp: uint32(i) * 90}, time.Duration(i)*time.Millisecond)
	}
	i := 0
	for ; i < 1000; i++ {
		if i%4 != 3 {
			add(i)
		}
	}
	add(999)
	b := block(t, &r, time.Second)
	if b.SSRC != 5 || b.TotalLost != 249 || b.FractionLost != 63 || b.LastSequenceNumber != 65000+999 || b.Jitter != 0 {
		t.Errorf("%+v", b)
	}
	for ; i < 2000; i++ {
		add(i)
	}
	if b := block(t, &r, 2*time.Second); b.TotalLost != 249 || b.FractionLost != 0 || r.HighestSeq() != 65000+1999 {
		t.Errorf("%+v", b)
	}
	// More duplicates than losses make the total negative (RFC 3550 A.3).
	for range 300 {
		add(1999)
	}
	if b := block(t, &r, 3*time.Second); TotalLost(b) != -51 || b.FractionLost != 0 {
		t.Errorf("%+v: %d", b, TotalLost(b))
	}
	// A packet from before the first one counts as expected.
	var late Reception
	late.Add(Header{Seq: 1}, 0)
	late.Add(Header{Seq: 65535}, 0)
	if b := block(t, &late, 0); TotalLost(b) != 1 || b.LastSequenceNumber != 1 {
		t.Errorf("%+v", b)
	}
	// A new SSRC starts again.
	r.Add(Header{SSRC: 6, Seq: 10}, 0)
	if b := block(t, &r, 0); b.SSRC != 6 || b.TotalLost != 0 || b.LastSequenceNumber != 10 {
		t.Errorf("%+v", b)
	}
}

// An outage of many turns of the sequence number is lost, not forgotten.
func TestReceptionOutage(t *testing.T) {
	var r Reception
	n := 0
	add := func() {
		r.Add(Header{Seq: Seq(n), Timestamp: uint32(n) * 8}, TicksDuration(int64(n)*8))
		n++
	}
	for range 50_000 {
		add()
	}
	n += 200_000
	add()
	if b := block(t, &r, 0); b.TotalLost != 200_000 || b.LastSequenceNumber != 250_000 {
		t.Errorf("%+v", b)
	}
}

// The jitter of alternating delays of 0 and d is d; a wrap of the timestamp does
// not show.
func TestReceptionJitter(t *testing.T) {
	var r Reception
	const d = 10 * time.Millisecond
	for i := range 10_000 {
		at := time.Duration(i) * time.Millisecond
		if i%2 == 1 {
			at += d
		}
		r.Add(Header{Seq: Seq(i), Timestamp: 1<<32 - 5000 + uint32(i)*90}, at)
	}
	if j := r.Jitter(); j < d-d/20 || j > d+d/20 {
		t.Errorf("jitter %v, want %v", j, d)
	}
	if b := block(t, &r, 0); b.Jitter < 855 || b.Jitter > 945 {
		t.Errorf("jitter %d ticks, want 900", b.Jitter)
	}
}

// The round trip comes out although the two clocks have nothing in common.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		sent := time.Duration(rng.Int64N(int64(300 * 24 * time.Hour)))
		there, held, back := time.Duration(rng.Int64N(1e9)), time.Duration(rng.Int64N(5e9)), time.Duration(rng.Int64N(1e9))
		farClock := time.Duration(rng.Int64N(int64(300 * 24 * time.Hour)))
		var r Reception
		r.Add(Header{SSRC: 1}, farClock)
		r.SenderReport(SenderInfo{NTP: NTP(sent)}, farClock+there)
		b := block(t, &r, farClock+there+held)
		rtt, ok := RoundTrip(sent+there+held+back, b)
		if off := rtt - there - back; !ok || off < -50*time.Microsecond || off > 50*time.Microsecond {
			t.Fatalf("%v %v, want %v", rtt, ok, there+back)
		}
	}
	if _, ok := RoundTrip(time.Second, rtcp.ReceptionReport{}); ok {
		t.Error("round trip without a sender report")
	}
	if _, ok := RoundTrip(time.Second, rtcp.ReceptionReport{LastSenderReport: 5 << 16, Delay: 1}); ok {
		t.Error("round trip of a report from the future")
	}
}

func TestNTP(t *testing.T) {
	for d, want := range map[time.Duration]uint64{
		0:                       0,
		time.Second:             1 << 32,
		1500 * time.Millisecond: 1<<32 | 1<<31,
		time.Second - 1:         0xfffffffb,
	} {
		if got := NTP(d); got != want {
			t.Errorf("NTP(%v) = %#x, want %#x", d, got, want)
		}
	}
}

func TestReceptionAllocs(t *testing.T) {
	var r Reception
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		r.Add(Header{Seq: Seq(i), Timestamp: uint32(i) * 90}, time.Duration(i)*time.Millisecond)
		i++
	}); n != 0 {
		t.Errorf("%v allocations per packet, want 0", n)
	}
}

func BenchmarkReception(b *testing.B) {
	var r Reception
	i := 0
	for b.Loop() {
		r.Add(Header{Seq: Seq(i), Timestamp: uint32(i) * 90}, time.Duration(i)*time.Millisecond)
		i++
	}
}
