package rtp

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// digestPacket returns the n-th packet of a stream: 24 bytes are enough.
func digestPacket(ssrc uint32, firstSeq Seq, n int, perPacket uint32) []byte {
	b := make([]byte, HeaderSize+12)
	Header{PayloadType: PayloadTypeTS, Seq: firstSeq.Add(n), Timestamp: uint32(n) * perPacket, SSRC: ssrc}.Put(b)
	binary.BigEndian.PutUint64(b[HeaderSize:], uint64(n)*0x9e3779b97f4a7c15)
	return b
}

func allWindows(d *Digest, ssrc uint32) []Window {
	return d.Windows().AppendLatest(nil, ssrc, historySize)
}

// The check value that every definition of CRC-32C gives for these digits.
func TestSum(t *testing.T) {
	if got := Sum([]byte("123456789")); got != 0xe3069283 {
		t.Errorf("%08x, want e3069283", got)
	}
}

// Value and name of each window, against a sum made the plain way.
func TestDigestWindows(t *testing.T) {
	for _, first := range []Seq{0, 1, 1023, 64511, 65535} {
		var d Digest
		type name struct {
			number uint8
			ts     uint32
		}
		want := map[name]uint64{}
		completed := 0
		const n = 5 * 65536 / 2
		starts := map[int]name{}
		for i := range n {
			pkt := digestPacket(7, first, i, 90)
			if d.Add(pkt) {
				completed++
			}
			start := i - int(first.Add(i)%1024)
			if start < 0 {
				continue
			}
			if i == start {
				starts[start] = name{uint8(first.Add(i) >> 10), uint32(i) * 90}
			}
			want[starts[start]] += uint64(crc32.Checksum(pkt, crc32.MakeTable(crc32.Castagnoli)))
		}
		got := allWindows(&d, 7)
		wantComplete := (n - int(-first%1024)) / 1024
		if len(got) != min(wantComplete, historySize) || completed != wantComplete {
			t.Fatalf("first %d: %d windows, %d completed, want %d", first, len(got), completed, wantComplete)
		}
		for i, w := range got {
			if sum, ok := want[name{w.Number, w.Timestamp}]; !ok || sum != w.Sum || w.SSRC != 7 {
				t.Errorf("first %d: window %+v: sum %d %v", first, w, sum, ok)
			}
			if i > 0 && w.Number != (got[i-1].Number+1)%64 {
				t.Errorf("first %d: window %d after %d", first, w.Number, got[i-1].Number)
			}
		}
		s := d.Stats()
		if s.Packets != n || s.Complete != uint64(completed) || s.Duplicates+s.Late+s.Resets != 0 {
			t.Errorf("first %d: %+v", first, s)
		}
	}
}

// Both ends agree on every window that both have, although the far end joins
// later, loses, reorders and duplicates; and only on those.
func TestDigestTwoEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := Seq(rapid.Uint16().Draw(t, "first"))
		join := rapid.OneOf(rapid.IntRange(0, 3000), rapid.SampledFrom([]int{66_000})).Draw(t, "join")
		depth := rapid.IntRange(0, 1500).Draw(t, "reordering depth")
		lossPerMille := rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "loss")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var box, far Digest
		var late []int
		lost := map[int]bool{} // windows, by index of the first packet
		window := func(i int) int { return i - int(first.Add(i)%1024) }
		n := join + 9_000
		for i := range n {
			box.Add(digestPacket(1, first, i, 9))
			if i < join {
				continue
			}
			late = append(late, i)
			if len(late) <= depth && i < n-1 {
				continue
			}
			for len(late) > depth || i == n-1 && len(late) > 0 {
				j := 0
				if depth > 0 && len(late) > depth {
					if k := rng.IntN(len(late)); late[k] < late[0]+depth {
						j = k
					}
				}
				pick := late[j]
				late = append(late[:j], late[j+1:]...)
				if rng.IntN(1000) < lossPerMille {
					lost[window(pick)] = true
					continue
				}
				far.Add(digestPacket(1, first, pick, 9))
				if rng.IntN(100) == 0 {
					far.Add(digestPacket(1, first, pick, 9))
				}
			}
		}
		want := 0
		for i := range n {
			if start := window(i); i == start && start >= join && start+1024 <= n && !lost[start] {
				want++
			}
		}
		got := allWindows(&far, 1)
		if len(got) != want {
			t.Fatalf("%d windows, want %d", len(got), want)
		}
		var c Comparison
		if c.Add(box.Windows(), got) != 0 || c.Different+c.Unknown != 0 || c.Equal != uint64(len(got)) {
			t.Fatalf("%+v of %d windows", c, len(got))
		}
	})
}

// One bit changed in one packet is seen in its window and no other.
func TestDigestDiffers(t *testing.T) {
	var box, far Digest
	for i := range 5 * 1024 {
		pkt := digestPacket(1, 0, i, 9)
		box.Add(pkt)
		if i == 2500 {
			pkt[20] ^= 1
		}
		far.Add(pkt)
	}
	var c Comparison
	reported := allWindows(&far, 1)
	if got := c.Add(box.Windows(), reported); got != 1 || c.Equal != 4 || c.Different != 1 || c.Unknown != 0 {
		t.Errorf("%d, %+v", got, c)
	}
	// Reported again, they do not count again.
	if got := c.Add(box.Windows(), reported[2:]); got != 0 || c.Equal != 4 || c.Different != 1 {
		t.Errorf("again: %d, %+v", got, c)
	}
	if v := box.Windows().Compare(Window{SSRC: 2}); v != Unknown {
		t.Errorf("other SSRC: %v", v)
	}
}

// A window half before and half after an outage of exactly one turn of the
// sequence number is not taken for complete.
func TestDigestOutageOfOneTurn(t *testing.T) {
	const perPacket = 8 // 118 Mbit/s
	var box, far Digest
	for i := range 3 * 65536 {
		pkt := digestPacket(1, 0, i, perPacket)
		box.Add(pkt)
		if i < 65536-500 || i >= 2*65536-500 {
			far.Add(pkt)
		}
	}
	var c Comparison
	got := allWindows(&far, 1)
	c.Add(box.Windows(), got)
	if c.Different+c.Unknown != 0 || c.Equal != 63+64 {
		t.Errorf("%+v of %d", c, len(got))
	}
	if s := far.Stats(); s.Resets != 1 || s.Incomplete != 2 {
		t.Errorf("%+v", s)
	}
}

// Packets more than four windows behind are too late, and change nothing.
func TestDigestLate(t *testing.T) {
	var d Digest
	for i := range 6 * 1024 {
		if i != 500 {
			d.Add(digestPacket(1, 0, i, 1))
		}
	}
	if d.Add(digestPacket(1, 0, 500, 1)) {
		t.Error("late packet completed a window")
	}
	if s := d.Stats(); s.Late != 1 || s.Complete != 5 || s.Incomplete != 1 {
		t.Errorf("%+v", s)
	}
}

// A new SSRC starts windows of its own; the old ones are not reported under it.
func TestDigestNewEpoch(t *testing.T) {
	var d Digest
	for i := range 2048 {
		d.Add(digestPacket(1, 0, i, 9))
	}
	for i := range 1500 {
		d.Add(digestPacket(2, 0, i, 9))
	}
	if got := allWindows(&d, 2); len(got) != 1 || got[0].SSRC != 2 || got[0].Number != 0 {
		t.Errorf("%+v", got)
	}
	if got := allWindows(&d, 1); len(got) != 0 {
		t.Errorf("old epoch still reported: %+v", got)
	}
	for _, n := range []int{0, 1, 5} {
		if got := d.Windows().AppendLatest(nil, 2, n); len(got) != min(n, 1) {
			t.Errorf("%d windows of %d asked", len(got), n)
		}
	}
	if d.Add([]byte{0x80, 33}) {
		t.Error("window completed by a runt")
	}
	if s := d.Stats(); s.Resets != 1 || s.Complete != 3 {
		t.Errorf("%+v", s)
	}
}

// The comparison forgets what the other end may still report, and says so.
func TestHistoryBounded(t *testing.T) {
	var d Digest
	for i := range (historySize + 1) * 1024 {
		d.Add(digestPacket(1, 0, i, 9))
	}
	got := allWindows(&d, 1)
	if len(got) != historySize || got[0].Number != 1 {
		t.Errorf("%d windows from number %d", len(got), got[0].Number)
	}
	oldest := Window{SSRC: 1, Number: 0, Timestamp: 0}
	if v := d.Windows().Compare(oldest); v != Unknown {
		t.Errorf("%v", v)
	}
	for v, want := range map[Verdict]string{Unknown: "unknown", Equal: "equal", Different: "different"} {
		if v.String() != want {
			t.Errorf("%q, want %q", v, want)
		}
	}
}

func TestDigestAllocs(t *testing.T) {
	var d Digest
	i := 0
	pkt := digestPacket(1, 0, i, 9)
	if n := testing.AllocsPerRun(10_000, func() {
		Header{PayloadType: PayloadTypeTS, Seq: Seq(i), Timestamp: uint32(i), SSRC: 1}.Put(pkt)
		d.Add(pkt)
		i++
	}); n != 0 {
		t.Errorf("%v allocations per packet, want 0", n)
	}
}

func FuzzDigest(f *testing.F) {
	f.Add([]byte{0, 0, 4, 0, 8, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d Digest
		for ; len(b) >= 4; b = b[4:] {
			d.AddSum(Header{Seq: Seq(b[0])<<8 | Seq(b[1]), Timestamp: uint32(b[2]) << 12, SSRC: uint32(b[3]) >> 6}, 1)
		}
		for ssrc := range uint32(4) {
			for _, w := range allWindows(&d, ssrc) {
				if w.Sum != WindowPackets {
					t.Fatalf("%+v: want the sum of 1024 ones", w)
				}
			}
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	var d Digest
	pkt := sourcePacket(Header{SSRC: 1}, 7)
	i := 0
	b.SetBytes(int64(len(pkt)))
	b.ReportAllocs()
	for b.Loop() {
		Header{PayloadType: PayloadTypeTS, Seq: Seq(i), Timestamp: uint32(i) * 90, SSRC: 1}.Put(pkt)
		d.Add(pkt)
		i++
	}
}
