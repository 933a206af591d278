package udp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/uplink/rtp"
)

const ms = time.Millisecond

// arrivalEvent is a packet on its way to a leg.
type arrivalEvent struct {
	leg int
	at  time.Duration
	pkt []byte
}

// merged is a packet that came out.
type merged struct {
	at, now time.Duration
	seq     uint16
	ssrc    uint32
	serial  uint32 // the sender's own count, from the payload
}

// mergeBench runs a Merger in virtual time.
type mergeBench struct {
	*Merger
	t   testing.TB
	now time.Duration
	in  []arrivalEvent
	out []merged
}

func newMergeBench(t testing.TB, c MergerConfig) *mergeBench {
	b := &mergeBench{t: t}
	c.Emit = func(at time.Duration, pkt, payload []byte) {
		h, pay, err := rtp.Parse(pkt)
		if err != nil || &pay[0] != &payload[0] || len(pay) != len(payload) {
			t.Fatalf("emitted payload is not that of the packet (%v)", err)
		}
		if n := len(b.out); n > 0 && at < b.out[n-1].at {
			t.Fatalf("instant %v after %v", at, b.out[n-1].at)
		}
		if at > b.now {
			t.Fatalf("released at %v although it is %v", at, b.now)
		}
		b.out = append(b.out, merged{at, b.now, uint16(h.Seq), h.SSRC, binary.BigEndian.Uint32(pay[4:])})
	}
	m, err := NewMerger(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Merger = m
	return b
}

// run delivers all arrivals in order of time and ticks every 2 ms, and for a
// second after the last.
func (b *mergeBench) run() {
	slices.SortStableFunc(b.in, func(x, y arrivalEvent) int { return int(x.at - y.at) })
	tick := b.now
	step := func(to time.Duration) {
		for ; tick <= to; tick += 2 * ms {
			b.now = tick
			b.Tick(tick)
		}
	}
	for _, e := range b.in {
		step(e.at)
		b.now = e.at
		h, pay, err := rtp.Parse(e.pkt)
		if err != nil {
			b.t.Fatal(err)
		}
		b.Push(e.leg, e.at, h, e.pkt, pay)
	}
	b.in = b.in[:0]
	step(tick + time.Second)
}

func (b *mergeBench) stats() MergerStats { return b.Stats(nil) }

// sender makes RTP packets of one TS packet each, 1 ms apart.
type sender struct {
	ssrc   uint32
	seq    uint16
	ts     uint32
	serial uint32
	now    time.Duration
}

const interval = ms

func (s *sender) next() (time.Duration, []byte) {
	pkt := make([]byte, rtp.HeaderSize, rtp.HeaderSize+mpegts.PacketSize)
	rtp.Header{PayloadType: rtp.PayloadTypeTS, Seq: rtp.Seq(s.seq), Timestamp: s.ts, SSRC: s.ssrc}.Put(pkt)
	pkt = mpegts.AppendNull(pkt, 1)
	binary.BigEndian.PutUint32(pkt[rtp.HeaderSize+4:], s.serial)
	at := s.now
	s.seq++
	s.ts += 90
	s.serial++
	s.now += interval
	return at, pkt
}

// checkSerials demands that exactly the given serial numbers came out, in order.
func (b *mergeBench) checkSerials(want []uint32) {
	b.t.Helper()
	for i := range min(len(want), len(b.out)) {
		if b.out[i].serial != want[i] {
			b.t.Fatalf("packet %d out is serial %d, want %d", i, b.out[i].serial, want[i])
		}
	}
	if len(b.out) != len(want) {
		b.t.Fatalf("%d packets out, want %d", len(b.out), len(want))
	}
}

func serials(from, to uint32) (s []uint32) {
	for ; from < to; from++ {
		s = append(s, from)
	}
	return s
}

func TestSingleLegInOrderIsNotDelayed(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 1, Delay: 20 * ms})
	s := sender{ssrc: 1, seq: 65000, now: time.Hour}
	b.now = s.now
	for range 2000 {
		at, p := s.next()
		b.in = append(b.in, arrivalEvent{0, at, p})
	}
	b.run()
	b.checkSerials(serials(0, 2000))
	for i, o := range b.out {
		if o.now != o.at || o.at != time.Hour+time.Duration(i)*interval {
			t.Fatalf("packet %d: instant %v, handed on at %v", i, o.at, o.now)
		}
	}
	if st := b.stats(); st.Lost != 0 || st.Delivered != 2000 || st.Held != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestSingleLegReordersWithinItsWait(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 1, Delay: 20 * ms})
	s := sender{ssrc: 1, seq: 65500, now: time.Second}
	b.now = s.now
	late := 0
	for i := range 3000 {
		at, p := s.next()
		switch {
		case i%97 == 50:
			at += 7*interval + 100*time.Microsecond // overtaken by seven
		case i%501 == 250:
			at += 40 * ms // too late
			late++
		case i%301 == 100:
			b.in = append(b.in, arrivalEvent{0, at + 3*ms, p}) // twice
		}
		b.in = append(b.in, arrivalEvent{0, at, p})
	}
	b.run()
	st := b.stats()
	if int(st.Lost) != late || int(st.Legs[0].Late) != late {
		t.Errorf("lost %d, late %d, want %d", st.Lost, st.Legs[0].Late, late)
	}
	if st.Legs[0].Duplicates != 10 || st.Legs[0].Reordered < 30 {
		t.Errorf("stats %+v", st.Legs[0])
	}
	var want []uint32
	for i := range uint32(3000) {
		if i%501 != 250 || i%97 == 50 {
			want = append(want, i)
		}
	}
	b.checkSerials(want)
	for i, o := range b.out {
		// The instant of a packet that was overtaken is mended: what comes out
		// is never far from the sender's clock.
		if off := o.at - (time.Second + time.Duration(o.serial)*interval); off < -ms || off > ms {
			t.Fatalf("packet %d: instant off by %v", i, off)
		}
		if o.now-o.at > 30*ms {
			t.Fatalf("packet %d held for %v", i, o.now-o.at)
		}
	}
}

func TestSingleLegLossWaitsNoLongerThanDelay(t *testing.T) {
	b := newMergeBench(t, MergerConfig{Legs: 1, Delay: 10 * ms})
	s := sender{ssrc: 1}
	for i := range 100 {
		at, p := s.next()
		if i == 50 || i == 98 {
			continue
		}
		b.in = append(b.in, arrivalEvent{0, at, p})
	}
	b.run()
	for _, o := range b.out {
		if o.now-o.at > 12*ms {
			t.Errorf("serial %d held for %v", o.serial, o.now-o.at)
		}
	}
	if st := b.stats(); st.Lost != 2 || st.Legs[0].LostHere != 2 || st.Legs[0].Unrecovered != 2 {
		t.Errorf("stats %+v", st)
	}
}

// two sends a stream on two legs, each with loss, skew and jitter of its own,
// and returns the serials that at least one leg brought.
func two(b *mergeBench, s *sender, rng *rand.Rand, n int, loss float64, skew [2]time.Duration, jitter time.Duration) (got []uint32, lost [2]int) {
	for range n {
		at, p := s.next()
		arrived := false
		for leg := range 2 {
			if rng.Float64() < loss {
				lost[leg]++
				continue
			}
			arrived = true
			b.in = append(b.in, arrivalEvent{leg, at + skew[leg] + time.Duration(rng.Int64N(int64(jitter)+1)), p})
		}
		if arrived {
			got = append(got, s.serial-1)
		}
	}
	return got, lost
}

func TestTwoLegsLoseOnlyWhatBothLost(t *testing.T) {
	for _, c := range []struct {
		skew  [2]time.Duration
		delay time.Duration
	}{
		{[2]time.Duration{0, 0}, 10 * ms},
		{[2]time.Duration{0, 40 * ms}, 50 * ms},
		{[2]time.Duration{40 * ms, 0}, 50 * ms},
		{[2]time.Duration{0, 440 * ms}, 450 * ms},
		{[2]time.Duration{440 * ms, 0}, 450 * ms},
	} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("%v seed %d", c.skew, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 7))
				b := newMergeBench(t, MergerConfig{Legs: 2, Delay: c.delay})
				s := sender{ssrc: 9, seq: uint16(65536 - 500*int(seed)), ts: ^uint32(0) - 40000, now: time.Second}
				b.now = s.now
				// Both legs whole while the skew is learnt, then 10 % loss.
				want, _ := two(b, &s, rng, 600, 0, c.skew, 4*ms)
				more, lost := two(b, &s, rng, 6000, 0.1, c.skew, 4*ms)
				b.run()
				b.checkSerials(append(want, more...))
				st := b.stats()
				if gone := 6000 - len(more); int(st.Lost) > gone || int(st.Lost) < gone-10 {
					t.Errorf("lost %d, want %d", st.Lost, gone)
				}
				for leg, l := range st.Legs {
					if n := int(l.LostHere); n > lost[leg] || n < lost[leg]-10 {
						t.Errorf("leg %d: lost_here %d, want %d", leg, n, lost[leg])
					}
					if l.LostHere != l.ByOtherLeg+l.Unrecovered || l.Late != 0 || l.Disagreeing != 0 || l.OtherStreams != 0 {
						t.Errorf("leg %d: %+v", leg, l)
					}
				}
				if d := st.Legs[1].SkewMS - st.Legs[0].SkewMS - float64((c.skew[1]-c.skew[0])/ms); d < -2 || d > 2 {
					t.Errorf("skew %.1f and %.1f ms, want %v", st.Legs[0].SkewMS, st.Legs[1].SkewMS, c.skew)
				}
				// One constant delay behind the sender's clock, whichever leg
				// brought the packet.
				checkDelay(t, b.out[600:], time.Second, 9*ms)
			})
		}
	}
}

// checkDelay demands that instants lie within width of one constant delay.
func checkDelay(t *testing.T, out []merged, start, width time.Duration) {
	t.Helper()
	low, high := time.Hour, -time.Hour
	for _, o := range out {
		d := o.at - start - time.Duration(o.serial)*interval
		low, high = min(low, d), max(high, d)
		if o.now-o.at > 2*ms+ms/10 {
			t.Fatalf("serial %d: handed on %v after its instant", o.serial, o.now-o.at)
		}
	}
	if high-low > width {
		t.Errorf("delay between %v and %v, want within %v", low, high, width)
	}
}

func TestSequenceAndTimestampWrap(t *testing.T) {
	for legs := 1; legs <= 2; legs++ {
		for start := range uint16(16) {
			b := newMergeBench(t, MergerConfig{Legs: legs, Delay: 10 * ms})
			s := sender{ssrc: 5, seq: -start, ts: -(90 * uint32(start))}
			for i := range 400 {
				at, p := s.next()
				if i%10 == 3 {
					at += 3 * ms
				}
				for leg := range legs {
					b.in = append(b.in, arrivalEvent{leg, at, p})
				}
			}
			b.run()
			b.checkSerials(serials(0, 400))
		}
	}
	// A long run through several wraps.
	b := newMergeBench(t, MergerConfig{Legs: 2, Delay: 10 * ms})
	s := sender{ssrc: 5, seq: 60000}
	for range 300_000 {
		at, p := s.next()
		b.in = append(b.in, arrivalEvent{0, at, p}, arrivalEvent{1, at + 5*ms, p})
	}
	b.run()
	b.checkSerials(serials(0, 300_000))
}

func TestMergerMemoryIsBounded(t *testing.T) {
	for legs := 1; legs <= 2; legs++ {
		const bytes, packets = 1 << 17, 512
		held := 0
		m, err := NewMerger(MergerConfig{Legs: legs, Delay: 5 * time.Second, MaxPackets: packets, MaxBytes: bytes,
			Emit: func(time.Duration, []byte, []byte) { held++ }})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(5, 5))
		for i := range 100_000 {
			pkt := make([]byte, rtp.HeaderSize+rng.IntN(9000))
			h := rtp.Header{PayloadType: 33, Seq: rtp.Seq(2*i + rng.IntN(300)), Timestamp: uint32(i), SSRC: 1}
			h.Put(pkt)
			m.Push(rng.IntN(legs), time.Duration(i)*ms/10, h, pkt, pkt[rtp.HeaderSize:])
			if m.heldBytes > bytes+9012 || m.held > packets {
				t.Fatalf("%d packets with %d bytes held", m.held, m.heldBytes)
			}
		}
		total := 0
		for _, f := range m.free {
			total += cap(f)
		}
		if total > 2*packets*9216 {
			t.Errorf("%d bytes in free buffers", total)
		}
		if held == 0 || m.Stats(nil).Overflows == 0 {
			t.Errorf("%d packets out, stats %+v", held, m.Stats(nil))
		}
	}
}

func TestMergerDoesNotAllocate(t *testing.T) {
	for legs := 1; legs <= 2; legs++ {
		n := 0
		m, err := NewMerger(MergerConfig{Legs: legs, Delay: 50 * ms, Emit: func(time.Duration, []byte, []byte) { n++ }})
		if err != nil {
			t.Fatal(err)
		}
		s := sender{ssrc: 1}
		_, pkt := s.next()
		i := 0
		push := func() {
			i++
			h := rtp.Header{PayloadType: 33, Seq: rtp.Seq(i), Timestamp: uint32(i) * 90, SSRC: 1}
			h.Put(pkt)
			at := time.Duration(i) * ms
			for leg := range legs {
				if i%13 != leg { // losses and gaps too
					m.Push(leg, at, h, pkt, pkt[rtp.HeaderSize:])
				}
			}
			m.Tick(at)
		}
		for range 1000 {
			push()
		}
		if a := testing.AllocsPerRun(5000, push); a != 0 {
			t.Errorf("%d legs: %v allocations per packet", legs, a)
		}
		legStats := make([]LegStats, 0, legs)
		if a := testing.AllocsPerRun(100, func() { m.Stats(legStats) }); a != 0 {
			t.Errorf("Stats: %v allocations", a)
		}
	}
}

func TestMergerConfigIsChecked(t *testing.T) {
	emit := func(time.Duration, []byte, []byte) {}
	for _, c := range []MergerConfig{
		{Legs: 0, Emit: emit}, {Legs: 5, Emit: emit}, {Legs: 1, Delay: -1, Emit: emit}, {Legs: 1, Delay: time.Minute, Emit: emit},
		{Legs: 1, MaxPackets: 10, Emit: emit}, {Legs: 1, MaxPackets: 1 << 20, Emit: emit}, {Legs: 1, MaxBytes: 10, Emit: emit}, {Legs: 1},
	} {
		if _, err := NewMerger(c); err == nil {
			t.Errorf("%+v accepted", c)
		}
	}
}

func BenchmarkMergerTwoLegs(b *testing.B) {
	m, _ := NewMerger(MergerConfig{Legs: 2, Delay: 50 * ms, Emit: func(time.Duration, []byte, []byte) {}})
	pkt := make([]byte, rtp.MaxSourcePacket)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		h := rtp.Header{PayloadType: 33, Seq: rtp.Seq(i), Timestamp: uint32(i) * 90, SSRC: 1}
		h.Put(pkt)
		at := time.Duration(i) * ms
		m.Push(0, at, h, pkt, pkt[rtp.HeaderSize:])
		m.Push(1, at, h, pkt, pkt[rtp.HeaderSize:])
		m.Tick(at)
	}
}
