package st2022

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// run sends a stream with losses through a decoder and checks what must always
// hold: order, once each, contents, instants. It returns the indexes lost.
func run(t *testing.T, c DecoderConfig, pkts [][]byte, wire []sent, lost func(sent) bool) (map[int]bool, DecoderStats) {
	t.Helper()
	d, got := collect(t, c)
	for _, s := range wire {
		if !lost(s) {
			push(d, s)
		}
	}
	drain(d)
	missing := map[int]bool{}
	for i := range pkts {
		missing[i] = true
	}
	first, _ := parseRTP(pkts[0])
	var last decoded
	for k, g := range *got {
		i := int(uint16(g.Seq) - first.seq)
		if i >= len(pkts) {
			t.Fatalf("delivery %d: sequence %d was not sent", k, uint16(g.Seq))
		}
		if g.Epoch != (k == 0) {
			t.Errorf("delivery %d: Epoch is %v", k, g.Epoch)
		}
		if k > 0 && (g.Seq != last.Seq+1 || g.Release < last.Release) {
			t.Fatalf("delivery %d: %d at %v after %d at %v", k, g.Seq, g.Release, last.Seq, last.Release)
		}
		last = g
		if g.Lost != (g.Packet == nil) {
			t.Fatalf("delivery %d: Lost is %v with %d bytes", k, g.Lost, len(g.pkt))
		}
		if !g.Lost {
			if !bytes.Equal(g.pkt, pkts[i]) {
				t.Fatalf("packet %d (recovered %v) differs:\n got %x\nwant %x", i, g.Recovered, g.pkt[:32], pkts[i][:32])
			}
			delete(missing, i)
		}
	}
	return missing, d.Stats()
}

// peel is the reference: which packets rows and columns can repair.
func peel(p Params, n int, lost map[int]bool, lostFEC map[[2]int]bool) map[int]bool {
	left := map[int]bool{}
	for i := range lost {
		left[i] = true
	}
	size := p.Columns * p.Rows
	for again := true; again; {
		again = false
		try := func(key [2]int, base, offset, na int) {
			if lostFEC[key] || base+(na-1)*offset >= n {
				return
			}
			var gone []int
			for i := range na {
				if left[base+i*offset] {
					gone = append(gone, base+i*offset)
				}
			}
			if len(gone) == 1 {
				delete(left, gone[0])
				again = true
			}
		}
		for m := 0; m < n; m += size {
			if m+size <= n {
				for c := range p.Columns {
					try([2]int{0, m + c}, m+c, p.Columns, p.Rows)
				}
			}
			for r := 0; p.RowFEC && r < p.Rows; r++ {
				try([2]int{1, m + r*p.Columns}, m+r*p.Columns, 1, p.Columns)
			}
		}
	}
	return left
}

// TestAgainstPeeling: with enough latency the decoder repairs exactly what can
// be repaired, under losses of all kinds, across every wrap.
func TestAgainstPeeling(t *testing.T) {
	for seed := range uint64(60) {
		rng := rngOf(seed)
		p := []Params{{5, 10, false}, {5, 10, true}, {10, 5, true}, {20, 5, true}, {4, 4, true}, {8, 12, true}}[seed%6]
		size := p.Columns * p.Rows
		n := 6 * size
		pkts := source(rng, 99, uint16(rng.Uint32()), rng.Uint32(), n)
		wire := encode(t, p, pkts)
		rate := []float64{0.02, 0.1, 0.25}[seed/6%3]
		lost, lostFEC := map[int]bool{}, map[[2]int]bool{}
		for i := 1; i < n-1; i++ { // the ends tell the stream's extent
			if rng.Float64() < rate {
				for k := range 1 + rng.IntN(3) {
					if i+k < n-1 {
						lost[i+k] = true
					}
				}
			}
		}
		count := map[Kind]int{}
		drop := make([]bool, len(wire))
		for w, s := range wire {
			if !s.fec {
				drop[w] = lost[s.src]
				continue
			}
			h, _ := ParseHeader(s.pkt[rtpHeader:])
			k := count[h.Kind]
			count[h.Kind]++
			if rng.Float64() < rate {
				drop[w] = true
				if h.Kind == Row {
					lostFEC[[2]int{1, k * p.Columns}] = true
				} else {
					lostFEC[[2]int{0, k/p.Columns*size + k%p.Columns}] = true
				}
			}
		}
		w := 0
		left, stats := run(t, DecoderConfig{Latency: time.Duration(2*n) * interval, MaxPackets: 1024}, pkts, wire, func(sent) bool { w++; return drop[w-1] })
		want := peel(p, n, lost, lostFEC)
		if fmt.Sprint(left) != fmt.Sprint(want) {
			t.Errorf("seed %d, %+v: %d lost, left %v, want %v", seed, p, len(lost), left, want)
		}
		if int(stats.Lost) != len(left) || int(stats.Recovered) != len(lost)-len(left) || stats.Refused != 0 {
			t.Errorf("seed %d: stats %+v", seed, stats)
		}
	}
}

// Latency of Params.Span packets is enough for all that a matrix can repair.
func TestLatencyOfASpan(t *testing.T) {
	p := Params{Columns: 5, Rows: 10}
	n := 500
	pkts := source(rngOf(1), 1, 0, 0, n)
	wire := encode(t, p, pkts)
	burst := func(s sent) bool { return !s.fec && s.src%50 >= 20 && s.src%50 < 25 } // L packets in a row
	left, stats := run(t, DecoderConfig{Latency: time.Duration(p.Span()) * interval}, pkts, wire, burst)
	if len(left) != 0 || stats.Recovered != 50 {
		t.Errorf("left %v, stats %+v", left, stats)
	}
	left, _ = run(t, DecoderConfig{Latency: 10 * interval}, pkts, wire, burst)
	if len(left) == 0 {
		t.Error("nothing lost with a latency shorter than the matrix: the deadline is not kept")
	}
}

// Packets leave a constant time after their arrival; what did not arrive
// leaves evenly between its neighbours.
func TestInstants(t *testing.T) {
	p := Params{Columns: 4, Rows: 4}
	pkts := source(rngOf(1), 1, 65530, 0, 64)
	wire := encode(t, p, pkts)
	const latency = 100 * interval
	d, got := collect(t, DecoderConfig{Latency: latency})
	for _, s := range wire {
		if s.fec || s.src < 20 || s.src > 22 {
			push(d, s)
		}
	}
	drain(d)
	for i, g := range *got {
		if want := time.Second + time.Duration(i)*interval + latency; g.Release != want {
			t.Errorf("packet %d at %v, want %v", i, g.Release, want)
		}
	}
}

func TestReorderAndDuplicates(t *testing.T) {
	for seed := range uint64(20) {
		rng := rngOf(seed)
		p := Params{Columns: 5, Rows: 5, RowFEC: true}
		pkts := source(rng, 1, 65400, 0xFFFFFFF0, 400)
		wire := encode(t, p, pkts)
		// Each packet up to 20 ms late, one in ten twice.
		var mixed []sent
		for _, s := range wire {
			d := s
			d.at += time.Duration(rng.IntN(20)) * interval
			mixed = append(mixed, d)
			if rng.IntN(10) == 0 {
				d.at += time.Duration(rng.IntN(20)) * interval
				mixed = append(mixed, d)
			}
		}
		sortByTime(mixed)
		dropped := 0
		left, stats := run(t, DecoderConfig{Latency: 200 * interval}, pkts, mixed, func(s sent) bool {
			if !s.fec && s.src%13 == 5 {
				dropped++
				return true
			}
			return false
		})
		if len(left) != 0 || stats.Duplicates == 0 || stats.Late != 0 {
			t.Errorf("seed %d: left %v, stats %+v", seed, left, stats)
		}
	}
}

func sortByTime(s []sent) {
	for i := 1; i < len(s); i++ {
		for j := i; j > 0 && s[j].at < s[j-1].at; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

// Several times around the circle of sequence numbers and, in steps, of
// timestamps.
func TestLongRunWraps(t *testing.T) {
	p := Params{Columns: 10, Rows: 5, RowFEC: true}
	d, got := collect(t, DecoderConfig{Latency: 150 * interval, MaxPackets: 256})
	var wire []sent
	e, err := NewEncoder(EncoderConfig{Params: p, Emit: func(k Kind, at time.Duration, pkt []byte) {
		wire = append(wire, sent{at: at, fec: true, pkt: bytes.Clone(pkt)})
	}})
	if err != nil {
		t.Fatal(err)
	}
	rng := rngOf(5)
	total, recovered := 0, 0
	var next uint64
	for i := range 150_000 {
		now := time.Duration(i) * interval
		pkt := source(rng, 3, uint16(i+60_000), uint32(i)*40_000, 1)[0][:200]
		wire = wire[:0]
		if err := e.Add(now, pkt); err != nil {
			t.Fatal(err)
		}
		d.Tick(now)
		if i%11 != 3 {
			d.PushSource(now, pkt)
		}
		for _, w := range wire {
			d.PushFEC(now, w.pkt)
		}
		for _, g := range *got {
			if g.Lost || (next != 0 && g.Seq != next) {
				t.Fatalf("packet %d: lost %v, sequence %d, want %d", total, g.Lost, g.Seq, next)
			}
			next = g.Seq + 1
			total++
			if g.Recovered {
				recovered++
			}
		}
		*got = (*got)[:0]
	}
	if total < 149_000 || recovered < 13_000 {
		t.Errorf("%d delivered, %d recovered", total, recovered)
	}
}

func TestEpochs(t *testing.T) {
	d, got := collect(t, DecoderConfig{Latency: 20 * interval})
	now := time.Second
	feed := func(pkts [][]byte) {
		for _, p := range pkts {
			d.Tick(now)
			d.PushSource(now, p)
			now += interval
		}
	}
	a := source(rngOf(1), 1, 100, 0, 50)
	feed(a)
	// One stray packet of another stream changes nothing.
	feed(source(rngOf(2), 666, 5, 0, 1))
	feed(source(rngOf(2), 667, 9, 0, 1))
	feed(source(rngOf(1), 1, 150, 4500, 10))
	// A restarted sender.
	feed(source(rngOf(3), 2, 7, 0, 50))
	// The same SSRC jumps half around.
	feed(source(rngOf(3), 2, 40_000, 0, 50))
	drain(d)
	var epochs []int
	lost := 0
	for i, g := range *got {
		if g.Epoch {
			epochs = append(epochs, i)
		}
		if g.Lost {
			lost++
		}
	}
	if fmt.Sprint(epochs) != "[0 60 110]" || len(*got) != 160 || lost != 0 {
		t.Errorf("%d deliveries, %d lost, epochs at %v", len(*got), lost, epochs)
	}
	if s := d.Stats(); s.Epochs != 3 || s.Strange != 8 {
		t.Errorf("stats %+v", s)
	}
}

// A window too small for the latency delivers early rather than growing.
func TestWindowIsBounded(t *testing.T) {
	d, got := collect(t, DecoderConfig{Latency: time.Hour, MaxPackets: 200})
	for i, p := range source(rngOf(1), 1, 0, 0, 5000) {
		d.PushSource(time.Duration(i)*interval, p)
	}
	s := d.Stats()
	if len(*got) != 5000-256 || s.Forced != uint64(len(*got)) || s.Lost != 0 {
		t.Errorf("%d delivered, stats %+v", len(*got), s)
	}
}

// Parity that lies repairs nothing wrongly.
func TestHostileParity(t *testing.T) {
	p := Params{Columns: 5, Rows: 4, RowFEC: true}
	pkts := source(rngOf(1), 1, 0, 0, 40)
	for i := range pkts {
		pkts[i] = pkts[i][:rtpHeader+188]
	}
	wire := encode(t, p, pkts)
	for name, change := range map[string]func([]byte){
		"length":    func(b []byte) { b[rtpHeader+2] ^= 0x80 },
		"type":      func(b []byte) { b[rtpHeader+4] ^= 0x01 },
		"timestamp": func(b []byte) { b[rtpHeader+8] ^= 0x40 },
		"cut":       func(b []byte) { b[rtpHeader+3] ^= 0x10 },
		"longer":    func(b []byte) { b[rtpHeader+3] ^= 0x01 },
	} {
		d, got := collect(t, DecoderConfig{Latency: 200 * interval})
		for _, s := range wire {
			switch {
			case s.fec:
				s.pkt = bytes.Clone(s.pkt)
				change(s.pkt)
			case s.src%20 == 7:
				continue
			}
			push(d, s)
		}
		drain(d)
		for _, g := range *got {
			if g.Recovered {
				t.Errorf("%s: %d was recovered", name, g.Seq)
			}
		}
		if s := d.Stats(); s.Refused == 0 || s.Lost != 2 {
			t.Errorf("%s: stats %+v", name, s)
		}
	}
}

func TestDecoderRefusals(t *testing.T) {
	ok := DecoderConfig{Deliver: func(*Delivery) {}}
	for name, change := range map[string]func(*DecoderConfig){
		"Latency":    func(c *DecoderConfig) { c.Latency = -1 },
		"MaxPackets": func(c *DecoderConfig) { c.MaxPackets = 1 << 20 },
		"too few":    func(c *DecoderConfig) { c.MaxPackets = 10 },
		"MaxPacket":  func(c *DecoderConfig) { c.MaxPacket = 1 << 20 },
		"Deliver":    func(c *DecoderConfig) { c.Deliver = nil },
	} {
		c := ok
		change(&c)
		if _, err := NewDecoder(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDecoderAllocations(t *testing.T) {
	p := Params{Columns: 10, Rows: 10, RowFEC: true}
	wire := encode(t, p, source(rngOf(4), 1, 0, 0, 5000))
	d, err := NewDecoder(DecoderConfig{Latency: 250 * interval, Deliver: func(*Delivery) {}})
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	if n := testing.AllocsPerRun(5000, func() {
		if s := wire[i]; s.fec || s.src%9 != 4 {
			push(d, s)
		}
		i++
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	if d.Stats().Recovered == 0 {
		t.Error("nothing was recovered")
	}
}

func BenchmarkDecoder(b *testing.B) {
	for _, loss := range []int{0, 10} {
		b.Run(fmt.Sprintf("loss1in%d", loss), func(b *testing.B) {
			p := Params{Columns: 10, Rows: 10, RowFEC: true}
			wire := encode(b, p, source(rngOf(4), 1, 0, 0, 1<<16/100*100))
			d, err := NewDecoder(DecoderConfig{Latency: 250 * interval, Deliver: func(*Delivery) {}})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if s := wire[i%len(wire)]; s.fec || loss == 0 || s.src%loss != 0 {
					s.at += time.Duration(i/len(wire)) * 65536 * interval
					push(d, s)
				}
			}
		})
	}
}
