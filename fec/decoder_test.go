package fec

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// rig is a decoder fed by hand, with what it delivered.
type rig struct {
	*Decoder
	got  []Delivery
	pkts [][]byte
}

func newRig(t rapid.TB, latency time.Duration, paths int) *rig {
	t.Helper()
	r := new(rig)
	d, err := NewDecoder(DecoderConfig{Latency: latency, MaxPackets: 1024, Deliver: func(x *Delivery) {
		r.got = append(r.got, *x)
		r.pkts = append(r.pkts, bytes.Clone(x.Packet))
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.Decoder = d
	for i := range paths {
		d.SetPath(i, 0, true)
	}
	return r
}

// streamPacket returns packet n of a stream of one packet a millisecond.
func streamPacket(ssrc uint32, n int) []byte {
	b := make([]byte, 200)
	fillPacket(b, uint16(n), uint32(n)*90, ssrc)
	return b
}

// codedStream returns the packets first…first+k-1 of a stream and their repair
// packets.
func codedStream(t testing.TB, ssrc uint32, first, k, rows int) (source, repair [][]byte) {
	t.Helper()
	e, err := NewEncoder(EncoderConfig{
		Params: Params{K: k, R: rows, Streams: 1}, SSRC: []uint32{99}, Seq: []uint16{0},
		Emit: func(_ int, _ time.Duration, p []byte) { repair = append(repair, bytes.Clone(p)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range k {
		p := streamPacket(ssrc, first+i)
		source = append(source, p)
		if err := e.Add(0, p); err != nil {
			t.Fatal(err)
		}
	}
	e.Tick(time.Minute)
	return source, repair
}

// The proof of diverse parity: two streams that each lost the same 10 of 64
// source packets, with 6 rows each, decode completely. With the same rows on
// both they do not, and no more than 6 of the 10 could be.
func TestDiverseParityProof(t *testing.T) {
	const k, r, missing = 64, 6, 10
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 5))
		source, repair := codedStream(t, 1, 1000, k, 2*r)
		lost := map[int]bool{}
		for _, i := range rng.Perm(k)[:missing] {
			lost[i] = true
		}
		for _, diverse := range []bool{true, false} {
			d := newRig(t, time.Second, 2)
			for path := range 2 {
				d.Push(path, 0, streamPacket(1, 999))
				for i, p := range source {
					if !lost[i] {
						d.Push(path, time.Duration(i)*time.Millisecond, p)
					}
				}
			}
			for j := range r {
				for path := range 2 {
					row := j
					if diverse {
						row = path + 2*j
					}
					d.Push(path, 70*time.Millisecond, repair[row])
				}
			}
			for path := range 2 {
				d.Push(path, 71*time.Millisecond, streamPacket(1, 1000+k))
			}
			d.Tick(10 * time.Second)
			s := d.Stats()
			if diverse {
				if s.Delivered != k+2 || s.Lost != 0 || s.RecoveredParity != missing {
					t.Errorf("diverse rows: delivered %d, lost %d, recovered %d", s.Delivered, s.Lost, s.RecoveredParity)
				}
				for i := range source {
					if !bytes.Equal(d.pkts[i+1], source[i]) {
						t.Fatalf("packet %d is not what was sent", i)
					}
				}
				for _, p := range s.Paths {
					if p.LostHere != missing || p.ByParity != missing || p.ByOtherPath+p.Unrecovered != 0 {
						t.Errorf("path %d: %+v", p.Path, p)
					}
				}
			} else if s.Lost != missing || s.RecoveredParity != 0 || s.RepairsDuplicate != r {
				t.Errorf("equal rows: lost %d, recovered %d, duplicate rows %d", s.Lost, s.RecoveredParity, s.RepairsDuplicate)
			}
		}
	}
}

// Any n of a block's source and repair packets, in any order, with duplicates,
// on any paths, give the whole block back.
func TestAnyNSymbolsDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 100).Draw(t, "k")
		rows := rapid.IntRange(1, min(k, MaxSymbols-k)).Draw(t, "rows")
		n := rapid.IntRange(1, k).Draw(t, "n")
		first := rapid.Uint16().Draw(t, "first")
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 6))

		b := newCoding(Params{K: k, R: rows, Streams: 1}, DefaultMaxPacket).blocks[0]
		adui := make([]byte, alignSymbol(aduHeader+DefaultMaxPacket))
		var source, all [][]byte
		longest := 0
		for i := range n {
			p := make([]byte, 12+rng.IntN(300))
			fillPacket(p, first+uint16(i), uint32(i)*90, 5)
			longest = max(longest, len(p))
			source = append(source, p)
			b.add(adui[:alignSymbol(putADUI(adui, p))])
		}
		all = append(all, source...)
		for q := range rows {
			p := b.packets[q][:repairHeader+aduHeader+longest]
			h := RepairHeader{PT: RepairPT, Timestamp: uint32(n-1) * 90, SourceSSRC: 5, ISN: first, K: uint8(k), N: uint8(n), ESI: uint8(k + q)}
			h.Put(p)
			all = append(all, p)
		}
		lead := make([]byte, 40)
		fillPacket(lead, first-1, 1<<32-90, 5)

		d := newRig(t, time.Second, 4)
		d.Push(0, 0, lead)
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for i, p := range all[:n] {
			for range 1 + rng.IntN(2) {
				d.Push(rng.IntN(4), time.Duration(i)*time.Millisecond, p)
			}
		}
		d.Tick(time.Minute)
		if len(d.got) != n+1 {
			t.Fatalf("K = %d, n = %d, %d rows: %d packets delivered, %+v", k, n, rows, len(d.got)-1, d.Stats())
		}
		for i, p := range source {
			if !bytes.Equal(d.pkts[i+1], p) {
				t.Fatalf("K = %d, n = %d: packet %d is not what was sent", k, n, i)
			}
		}
	})
}

func TestDeliveryFields(t *testing.T) {
	d := newRig(t, 100*time.Millisecond, 2)
	source, repair := codedStream(t, 7, 1, 4, 2)
	d.Push(0, 0, streamPacket(7, 0))
	d.Push(1, 0, streamPacket(7, 0))
	d.Push(1, 1*time.Millisecond, source[0]) // 1: path 1 alone
	// 2: nobody, by parity
	d.Push(0, 3*time.Millisecond, source[2]) // 3: both, 0 first
	d.Push(1, 4*time.Millisecond, source[2])
	d.Push(0, 4*time.Millisecond, source[3]) // 4: path 0 alone
	d.Push(0, 5*time.Millisecond, repair[0])
	// 5: lost
	d.Push(0, 6*time.Millisecond, streamPacket(7, 6))
	for now := time.Duration(0); now < 200*time.Millisecond; now += time.Millisecond {
		d.Tick(now)
	}
	d.Push(1, 200*time.Millisecond, streamPacket(7, 5)) // late
	d.Push(1, 200*time.Millisecond, streamPacket(7, 5)) // and twice
	d.Push(1, 200*time.Millisecond, streamPacket(7, 6)) // late, but path 0 had it
	type row struct {
		arrived uint64
		first   int
		parity  bool
		lost    bool
	}
	want := []row{{3, 0, false, false}, {2, 1, false, false}, {0, -1, true, false}, {3, 0, false, false}, {1, 0, false, false}, {0, -1, false, true}, {1, 0, false, false}}
	if len(d.got) != len(want) {
		t.Fatalf("%d deliveries, want %d", len(d.got), len(want))
	}
	for i, x := range d.got {
		if got := (row{x.Arrived, x.First, x.Recovered, x.Lost}); got != want[i] {
			t.Errorf("packet %d: %+v, want %+v", i, got, want[i])
		}
		if at := 100*time.Millisecond + time.Duration(i)*time.Millisecond; x.Release < at-time.Microsecond || x.Release > at || x.Count != 1 || x.SSRC != 7 || x.Seq != oneCycle+uint64(i) || x.Epoch != (i == 0) {
			t.Errorf("packet %d: %+v, want release at %v", i, x, at)
		}
	}
	s := d.Stats()
	if s.Delivered != 6 || s.RecoveredParity != 1 || s.Lost != 1 || s.Late != 1 || s.Duplicates != 1 || s.Epochs != 1 || s.K != 4 {
		t.Errorf("%+v", s)
	}
	for i, want := range []PathStats{
		{Path: 0, On: true, Received: 4, Repairs: 1, InTime: 4, LostHere: 3, ByOtherPath: 1, ByParity: 1, Unrecovered: 1, First: 4, Highest: oneCycle + 6},
		{Path: 1, On: true, Received: 5, InTime: 3, LostHere: 4, ByOtherPath: 2, ByParity: 1, Unrecovered: 1, Late: 2, Duplicates: 1, First: 1, Highest: oneCycle + 6},
	} {
		got := s.Paths[i]
		got.SkewMS, got.JitterMS = 0, 0
		if got != want {
			t.Errorf("path %d:\n got %+v\nwant %+v", i, got, want)
		}
	}
}

// A path counts from its first packet on, and no longer when it is off.
func TestPathCountsWhileItIsOn(t *testing.T) {
	d := newRig(t, 10*time.Millisecond, 1)
	n := 0
	run := func(packets int, paths ...int) {
		for range packets {
			for _, p := range paths {
				d.Push(p, time.Duration(n)*time.Millisecond, streamPacket(1, n))
			}
			n++
			d.Tick(time.Duration(n) * time.Millisecond)
		}
	}
	run(100, 0)
	d.SetPath(1, 0, true)
	run(100, 0) // on, nothing delivered yet
	run(100, 0, 1)
	run(100, 0) // dead
	d.SetPath(1, 0, false)
	run(100, 0, 1) // off
	d.SetPath(1, 0, true)
	run(100, 0, 1)
	d.Tick(time.Hour)
	s := d.Stats()
	// The packets in the window when the path goes off or dies: 10 ms of them.
	if p := s.Paths[1]; p.Received != 200 || p.InTime != 200 || p.LostHere < 80 || p.LostHere > 100 || p.ByOtherPath != p.LostHere {
		t.Errorf("%+v", p)
	}
	if s.Inactive != 100 || s.Lost != 0 || s.Delivered != 600 {
		t.Errorf("%+v", s)
	}
}

// Every packet that is released or lost is accounted once on each path, also
// when it came before its turn and its SSRC was still a candidate; and Stats,
// asked at the first delivery of an epoch, divides the epochs exactly.
func TestEachPacketIsAccountedOnce(t *testing.T) {
	d := newRig(t, 200*time.Millisecond, 2)
	deliver := d.deliver
	var before []PathStats // the counters when the present epoch began
	var merged DecoderStats
	d.deliver = func(x *Delivery) {
		if x.Epoch {
			merged = d.Stats()
			before = merged.Paths
		}
		deliver(x)
	}
	now := time.Duration(0)
	for epoch := range 3 {
		ssrc, first := uint32(100+epoch), 1000*epoch
		for n := first; n < first+700; n++ {
			for path := range 2 {
				if n%10 != 3 && (n%2 == path || n%10 < 5) {
					d.Push(path, now, streamPacket(ssrc, n))
				}
			}
			now += time.Millisecond
			d.Tick(now)
		}
	}
	d.Tick(now + time.Second)
	s := d.Stats()
	if got := s.Delivered + s.Lost - merged.Delivered - merged.Lost; got != 700 || s.Epochs != 3 {
		t.Fatalf("%d packets in the last of %d epochs, want 700 in the third", got, s.Epochs)
	}
	for i, p := range s.Paths {
		b := before[i]
		if got := p.InTime + p.LostHere - b.InTime - b.LostHere; got != 700 {
			t.Errorf("path %d accounts for %d packets, want 700: %+v, at the beginning %+v", i, got, p, b)
		}
		if p.ByOtherPath == b.ByOtherPath || p.LostHere != p.ByOtherPath+p.ByParity+p.Unrecovered {
			t.Errorf("path %d: %+v", i, p)
		}
	}
}

// A long run of lost packets is one delivery; a shorter one is told packet by
// packet.
func TestLostRuns(t *testing.T) {
	for _, run := range []int{1, 200, 900, 5000} {
		d := newRig(t, 10*time.Millisecond, 1)
		for n := range 2000 {
			d.Push(0, time.Duration(n)*time.Millisecond, streamPacket(1, n))
			d.Tick(time.Duration(n) * time.Millisecond)
		}
		for n := 2000 + run; n < 2200+run; n++ {
			d.Push(0, time.Duration(n)*time.Millisecond, streamPacket(1, n))
			d.Tick(time.Duration(n) * time.Millisecond)
		}
		d.Tick(time.Hour)
		next, last, lost := uint64(oneCycle), time.Duration(0), 0
		for _, x := range d.got {
			if x.Seq != next || x.Release < last {
				t.Fatalf("run of %d: packet %d at %v, want %d after %v", run, x.Seq, x.Release, next, last)
			}
			next, last = x.Seq+x.Count, x.Release
			if x.Lost {
				lost += int(x.Count)
			} else if !checkPacket(x.Packet) && x.Packet == nil {
				t.Fatal("no packet")
			}
		}
		if lost != run || d.Stats().Lost != uint64(run) || len(d.got) > 2200+MaxLostRun+2 {
			t.Errorf("run of %d: %d lost in %d deliveries", run, lost, len(d.got)-2200)
		}
	}
}

// The window's bound makes room by delivering early, in order, not by losing.
func TestWindowOverflow(t *testing.T) {
	d := newRig(t, 30*time.Second, 1) // 30 s at 1000/s do not fit 1024
	for n := range 5000 {
		d.Push(0, time.Duration(n)*time.Millisecond, streamPacket(1, n))
		d.Tick(time.Duration(n) * time.Millisecond)
	}
	s := d.Stats()
	if s.Delivered != 5000-1024 || s.Lost != 0 || s.Forced != s.Delivered || s.Buffered != 1024 {
		t.Errorf("%+v", s)
	}
	for i, x := range d.got {
		if x.Seq != oneCycle+uint64(i) || x.Release > time.Duration(i+1024)*time.Millisecond {
			t.Fatalf("delivery %d: %+v", i, x)
		}
	}
}

// A block's parity repairs its last packets though the first ones were lost
// for good and released before it came.
func TestParityAfterTheFirstWereReleased(t *testing.T) {
	d := newRig(t, 30*time.Millisecond, 1)
	source, repair := codedStream(t, 1, 1, 60, 4)
	at := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	d.Push(0, 0, streamPacket(1, 0))
	for n := 1; n <= 60; n++ {
		if n != 2 && n != 3 && n != 50 && n != 60 {
			d.Push(0, at(n), source[n-1])
		}
		d.Tick(at(n))
	}
	for i, r := range repair {
		d.Push(0, at(61+i), r)
	}
	d.Tick(at(200))
	if s := d.Stats(); s.Lost != 2 || s.RecoveredParity != 2 || s.Delivered != 59 {
		t.Errorf("%+v", s)
	}
}

// A packet too late for itself completes the equations of its block.
func TestLatePacketHelpsItsBlock(t *testing.T) {
	d := newRig(t, 30*time.Millisecond, 1)
	source, repair := codedStream(t, 1, 1, 60, 1)
	at := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	d.Push(0, 0, streamPacket(1, 0))
	for n := 1; n <= 60; n++ {
		if n != 2 && n != 55 {
			d.Push(0, at(n), source[n-1])
		}
		d.Tick(at(n))
	}
	d.Push(0, at(61), repair[0])
	d.Tick(at(62))
	d.Push(0, at(63), source[1])
	d.Tick(at(200))
	if s := d.Stats(); s.Lost != 1 || s.Late != 1 || s.RecoveredParity != 1 || s.Delivered != 60 {
		t.Errorf("%+v", s)
	}
	if !bytes.Equal(d.pkts[55], source[54]) {
		t.Error("packet 55 is not what was sent")
	}
}

func TestDecoderConfigErrors(t *testing.T) {
	deliver := func(*Delivery) {}
	for _, c := range []DecoderConfig{
		{},
		{Deliver: deliver, Latency: -1},
		{Deliver: deliver, Latency: time.Hour},
		{Deliver: deliver, RepairPT: 33},
		{Deliver: deliver, RepairPT: 128},
		{Deliver: deliver, MaxPackets: 10},
		{Deliver: deliver, MaxPackets: 1 << 20},
		{Deliver: deliver, MaxPacket: 3},
		{Deliver: deliver, MaxPacket: 1 << 20},
	} {
		if _, err := NewDecoder(c); err == nil {
			t.Errorf("NewDecoder took %+v", c)
		}
	}
	d, err := NewDecoder(DecoderConfig{Deliver: deliver})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Next(); ok {
		t.Error("Next of an idle decoder")
	}
	d.Tick(time.Second)
	d.SetPath(-1, 0, true)
	d.SetPath(64, 0, true)
	d.Push(64, 0, nil)
	d.Push(-1, 0, nil)
	d.Push(3, 0, nil)
	if s := d.Stats(); s.Inactive != 3 || len(s.Paths) != 0 {
		t.Errorf("%+v", s)
	}
}

// Next says when Tick has something to do: called only then, the decoder
// delivers all, each packet at its release.
func TestNextDrivesTheDecoder(t *testing.T) {
	d := newRig(t, 50*time.Millisecond, 1)
	now := time.Duration(0)
	drain := func(until time.Duration) {
		for {
			at, ok := d.Next()
			if !ok || at > until {
				return
			}
			now = max(now, at)
			n := len(d.got)
			d.Tick(now)
			if len(d.got) == n {
				t.Fatalf("at %v Tick did nothing", now)
			}
		}
	}
	for n := range 500 {
		if n%10 == 3 {
			continue
		}
		drain(time.Duration(n) * time.Millisecond)
		now = time.Duration(n) * time.Millisecond
		d.Push(0, now, streamPacket(1, n))
	}
	drain(time.Hour)
	if len(d.got) != 500 {
		t.Errorf("%d deliveries, want 500", len(d.got))
	}
	for i, x := range d.got {
		if want := 50*time.Millisecond + time.Duration(i)*time.Millisecond; x.Release < want-20*time.Microsecond || x.Release > want {
			t.Errorf("packet %d released at %v, want %v", i, x.Release, want)
		}
	}
}

func TestRepairHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, MaxK).Draw(t, "k")
		h := RepairHeader{
			PT: uint8(rapid.IntRange(0, 127).Draw(t, "pt")), Seq: rapid.Uint16().Draw(t, "seq"), Timestamp: rapid.Uint32().Draw(t, "ts"),
			SSRC: rapid.Uint32().Draw(t, "ssrc"), SourceSSRC: rapid.Uint32().Draw(t, "csrc"), ISN: rapid.Uint16().Draw(t, "isn"),
			K: uint8(k), N: uint8(rapid.IntRange(1, k).Draw(t, "n")), ESI: uint8(rapid.IntRange(k, MaxSymbols-1).Draw(t, "esi")),
		}
		b := make([]byte, repairHeader+20)
		h.Put(b)
		got, symbol, err := ParseRepair(b)
		if err != nil || got != h || len(symbol) != 20 {
			t.Fatalf("%+v, %v, want %+v", got, err, h)
		}
		if binary.BigEndian.Uint32(b[12:]) != h.SourceSSRC {
			t.Fatal("CSRC")
		}
	})
}
