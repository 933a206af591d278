package fec

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

func TestMalformedPackets(t *testing.T) {
	d := newRig(t, 50*time.Millisecond, 1)
	d.Push(0, 0, streamPacket(1, 0))
	_, repair := codedStream(t, 1, 1, 4, 1)
	good := repair[0]
	change := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	bad := [][]byte{
		nil, {0x80}, make([]byte, 11), make([]byte, 1500), // no RTP
		change(18, 0), change(18, 255), // K
		change(19, 0), change(19, 5), // n
		change(20, 3), change(20, 255), // ESI
		change(21, 0x10), change(21, 0x01), // version, code
		change(0, 0x80), change(0, 0x82), change(0, 0xa1), change(0, 0x91), // CSRC count, padding, extension
		change(1, 97), good[:22], good[:36],
	}
	long := streamPacket(1, 1)
	bad = append(bad, append(long, make([]byte, 2000)...))
	// A symbol one byte longer than the longest source packet makes.
	bad = append(bad, append(bytes.Clone(good), make([]byte, repairHeader+aduHeader+DefaultMaxPacket+1-len(good))...))
	for _, b := range bad {
		if d.Push(0, time.Millisecond, b) {
			t.Errorf("%x… is held to be well-formed", b[:min(len(b), 24)])
		}
	}
	if d.stats.Malformed == uint64(len(bad)) && !d.Push(0, time.Millisecond, append(bytes.Clone(good), make([]byte, repairHeader+aduHeader+DefaultMaxPacket-len(good))...)) {
		t.Error("the longest symbol is held to be malformed")
	}
	if s := d.Stats(); s.Malformed != uint64(len(bad)) || s.Repairs != 1 {
		t.Errorf("%d malformed of %d, %d repair packets", s.Malformed, len(bad), s.Repairs)
	}
}

// Repair packets that contradict their block, another block or a source packet
// are counted and do no harm.
func TestDisagreeingRepairs(t *testing.T) {
	d := newRig(t, 100*time.Millisecond, 1)
	source, repair := codedStream(t, 1, 1, 8, 4)
	d.Push(0, 0, streamPacket(1, 0))
	d.Push(0, time.Millisecond, repair[0])
	lie := func(change func(b []byte)) {
		b := bytes.Clone(repair[1])
		change(b)
		d.Push(0, time.Millisecond, b)
	}
	lie(func(b []byte) { b[18] = 9 })
	lie(func(b []byte) { b[19] = 7 })
	lie(func(b []byte) { b[7]++ })                // timestamp
	lie(func(b []byte) { b[17] = 2 })             // overlaps, from the second packet on
	lie(func(b []byte) { b[17] = 0; b[7] -= 90 }) // overlaps, from before
	d.Push(0, time.Millisecond, repair[1][:len(repair[1])-1])
	d.Push(0, time.Millisecond, append(bytes.Clone(repair[1]), 0))
	for i, p := range source {
		if i > 1 {
			d.Push(0, time.Duration(1+i)*time.Millisecond, p)
		}
	}
	d.Push(0, 10*time.Millisecond, repair[2])
	d.Tick(time.Second)
	if s := d.Stats(); s.Disagreeing != 7 || s.Lost != 0 || s.RecoveredParity != 2 || s.BadRecovery != 0 {
		s.Paths = nil
		t.Errorf("%+v", s)
	}
}

// Repair packets whose E is too short for a source packet of their block are
// dropped, whether the packet came before them or comes after. Those that came
// first hold: the block then has no parity, and loses nothing else.
func TestRepairTooShortForItsBlock(t *testing.T) {
	for _, before := range []bool{true, false} {
		d := newRig(t, 100*time.Millisecond, 1)
		source, repair := codedStream(t, 1, 1, 8, 4)
		short := func(i int) []byte { return repair[i][:len(repair[i])-1] }
		at := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
		d.Push(0, 0, streamPacket(1, 0))
		if before {
			d.Push(0, at(1), source[0])
		}
		d.Push(0, at(2), short(0))
		d.Push(0, at(2), short(1))
		if !before {
			d.Push(0, at(3), source[0])
		}
		d.Push(0, at(4), short(2))
		for n, p := range source[1:] {
			if n != 3 && n != 5 {
				d.Push(0, at(5+n), p)
			}
		}
		d.Push(0, at(20), repair[2])
		d.Push(0, at(20), repair[3])
		d.Tick(time.Second)
		// The short ones came to a block that had a longer packet: the others
		// are the first of it that hold. Or they were first.
		disagreeing, recovered := uint64(3), uint64(2)
		if !before {
			disagreeing, recovered = 5, 0
		}
		s := d.Stats()
		if s.Disagreeing != disagreeing || s.RecoveredParity != recovered || s.Lost != 2-recovered || s.Delivered != 7+recovered || s.BadRecovery != 0 {
			s.Paths = nil
			t.Errorf("packet first: %v: %+v", before, s)
		}
		audit(t, d.Decoder)
	}
}

// A repair symbol that is wrong gives no wrong packet as far as what it
// recovers can be checked: F, L and padding, sequence number, SSRC. The payload
// is for the tag to vouch for.
func TestWrongSymbolIsNotDelivered(t *testing.T) {
	source, repair := codedStream(t, 1, 1, 8, 2)
	for _, at := range []int{0, 1, 2, aduHeader + 2, aduHeader + 3, aduHeader + 8, aduHeader + 9, aduHeader + 10, aduHeader + 11} {
		for change := 1; change < 256; change += 3 {
			d := newRig(t, 100*time.Millisecond, 1)
			d.Push(0, 0, streamPacket(1, 0))
			for i, p := range source {
				if i != 3 && i != 5 {
					d.Push(0, time.Duration(1+i)*time.Millisecond, p)
				}
			}
			b := bytes.Clone(repair[0])
			b[repairHeader+at] ^= byte(change)
			d.Push(0, 10*time.Millisecond, b)
			d.Push(0, 10*time.Millisecond, repair[1])
			d.Tick(time.Second)
			if s := d.Stats(); s.BadRecovery != 1 || s.RecoveredParity != 0 || s.Lost != 2 || s.Delivered != 7 {
				t.Fatalf("octet %d of the symbol ⊕ %#x: recovered %d, bad %d, lost %d", at, change, s.RecoveredParity, s.BadRecovery, s.Lost)
			}
		}
	}
}

// A block that names packets far ahead, or has more rows than it can use, does
// not take more than its share of memory.
func TestHostileRepairsAreBounded(t *testing.T) {
	d := newRig(t, 200*time.Millisecond, 2)
	rng := rand.New(rand.NewPCG(8, 8))
	n := 0
	for range 1000 {
		now := time.Duration(n) * time.Millisecond
		d.Push(0, now, streamPacket(1, n))
		n++
		d.Tick(now)
		for range 20 {
			b := make([]byte, repairHeader+aduHeader+rtpHeader+rng.IntN(1600))
			h := RepairHeader{PT: RepairPT, Timestamp: uint32(n)*90 + uint32(rng.IntN(1000)), SourceSSRC: 1, ISN: uint16(n + rng.IntN(3000) - 500), K: uint8(1 + rng.IntN(254))}
			h.N = uint8(1 + rng.IntN(int(h.K)))
			h.ESI = uint8(int(h.K) + rng.IntN(MaxSymbols-int(h.K)))
			for i := range b[repairHeader:] {
				b[repairHeader+i] = byte(rng.Uint32())
			}
			h.Put(b)
			d.Push(1, now, b)
		}
	}
	d.Tick(time.Hour)
	s := d.Stats()
	if s.Delivered != 1000 || s.Lost != 0 {
		t.Errorf("delivered %d, lost %d", s.Delivered, s.Lost)
	}
	for i, x := range d.got {
		if x.Seq != oneCycle+uint64(i) || !bytes.Equal(d.pkts[i], streamPacket(1, i)) {
			t.Fatalf("packet %d is not what was sent", i)
		}
	}
	audit(t, d.Decoder)
	if most := uint64(d.pool.limit+poolChunk) * uint64(d.pool.size); s.MemoryBytes > most {
		t.Errorf("%d bytes, the bound is %d", s.MemoryBytes, most)
	}
}

// With fewer buffers than the stream needs, packets and rows are dropped and
// counted, and none is lent twice.
func TestMemoryBound(t *testing.T) {
	for _, limit := range []int{poolChunk, 5 * poolChunk} {
		d := newRig(t, 300*time.Millisecond, 2)
		d.pool.limit = limit
		for b := range 40 {
			source, repair := codedStream(t, 1, 30*b, 30, 6)
			for i, p := range source {
				now := time.Duration(30*b+i) * time.Millisecond
				for path := range 2 {
					if i%10 != 4 {
						d.Push(path, now, p)
					}
				}
				if i%5 == 0 && b%2 == 0 {
					d.Push(0, now, repair[i/5])
				}
				d.Tick(now)
			}
			for _, r := range repair {
				d.Push(1, time.Duration(30*b+29)*time.Millisecond, r)
			}
			audit(t, d.Decoder)
		}
		d.Tick(time.Minute)
		audit(t, d.Decoder)
		for i, x := range d.got {
			if i > 0 && x.Seq != d.got[i-1].Seq+d.got[i-1].Count {
				t.Fatalf("packet %d after %d", x.Seq, d.got[i-1].Seq)
			}
			if !x.Lost && !checkPacket(d.pkts[i]) {
				t.Fatalf("packet %d is not what was sent", x.Seq)
			}
		}
		if s := d.Stats(); s.Overflow == 0 || s.Delivered == 0 || s.MemoryBytes > uint64(limit*d.pool.size) {
			s.Paths = nil
			t.Errorf("limit %d: %+v", limit, s)
		}
	}
}
