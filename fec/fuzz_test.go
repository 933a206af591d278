package fec

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// audit checks that every buffer that is lent is held by exactly one slot or
// row, and that the windows are in order.
func audit(t testing.TB, d *Decoder) {
	t.Helper()
	held := map[int32]int{}
	for _, e := range []*epoch{d.cur, d.cand} {
		if e == nil {
			continue
		}
		w := &e.win
		if w.tail > w.head || w.head > w.next || w.next > w.limit || w.limit > w.head+w.span || w.head-w.tail > keep {
			t.Fatalf("window %d ≤ %d ≤ %d ≤ %d, span %d", w.tail, w.head, w.next, w.limit, w.span)
		}
		for i := range w.slots {
			s := &w.slots[i]
			if s.buf < 0 || s.seq == ^uint64(0) {
				continue
			}
			held[s.buf]++
			if s.seq < w.tail || s.seq >= w.limit {
				t.Fatalf("packet %d is kept outside %d…%d", s.seq, w.tail, w.limit)
			}
		}
		free := map[int32]bool{}
		for _, i := range e.blocks.free {
			if free[i] {
				t.Fatalf("block %d is free twice", i)
			}
			free[i] = true
		}
		for i := range e.blocks.blocks {
			b := &e.blocks.blocks[i]
			n := 0
			for r := b.first; r >= 0; r = d.pool.meta[r].next {
				held[r]++
				n++
			}
			if n != int(b.rows) || n > int(b.n) || n > 0 && (b.done || free[int32(i)]) {
				t.Fatalf("block %d holds %d rows: %+v", i, n, *b)
			}
			if free[int32(i)] {
				continue
			}
			if s := w.at(b.end() - 1); s == nil || s.block != int32(i) {
				t.Fatalf("block %d of %d…%d is not forgotten, window %d…%d", i, b.isn, b.end(), w.tail, w.limit)
			}
			missing := 0
			for seq := b.isn; seq < b.end(); seq++ {
				s := w.at(seq)
				if s == nil {
					missing = -1
					break
				}
				if s.buf < 0 {
					missing++
				}
			}
			if !b.done && missing != int(b.missing) {
				t.Fatalf("block %d: %d missing, it counts %d", i, missing, b.missing)
			}
		}
	}
	for i, n := range held {
		if n != 1 {
			t.Fatalf("buffer %d has %d holders", i, n)
		}
	}
	if len(held) != d.pool.used() {
		t.Fatalf("%d buffers are lent, %d are held", d.pool.used(), len(held))
	}
	if len(d.pool.meta) > d.pool.limit+poolChunk {
		t.Fatalf("%d buffers, the bound is %d", len(d.pool.meta), d.pool.limit)
	}
}

// FuzzDecoder plays a script of packets that come close to real ones, changed
// paths and time into a decoder.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0, 2, 0, 0, 3})
	f.Add(bytes.Repeat([]byte{0, 1, 1}, 100))
	f.Add(bytes.Repeat([]byte{0, 1, 1, 1, 1, 1, 8, 0, 9, 4, 4, 4}, 60))
	f.Add(bytes.Repeat([]byte{0, 1, 1, 2, 1, 1, 8, 16, 9, 4, 4, 4, 3, 200, 6, 255}, 60))
	f.Fuzz(playScript)
}

// The same with scripts by chance, in every test run.
func TestDecoderScripts(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 77))
	for range 300 {
		script := make([]byte, rng.IntN(3000))
		weird := rng.IntN(40) // some scripts are mostly sane
		for i := range script {
			script[i] = byte(rng.IntN(4))
			if rng.IntN(40) <= weird {
				script[i] = byte(rng.Uint32())
			}
		}
		playScript(t, script)
	}
}

func playScript(t *testing.T, script []byte) {
	script = script[:min(len(script), 4000)]
	var last uint64
	var ssrc uint32
	var release time.Duration
	d, err := NewDecoder(DecoderConfig{Latency: 50 * time.Millisecond, MaxPackets: minPackets, MaxPacket: 64, Deliver: func(x *Delivery) {
		if x.Epoch && x.SSRC != ssrc {
			ssrc, last = x.SSRC, x.Seq-1
		}
		if x.SSRC != ssrc || x.Seq <= last || x.Release < release || x.Count < 1 || x.Lost != (x.Packet == nil) {
			t.Fatalf("%+v after %d of %d at %v", *x, last, ssrc, release)
		}
		last, release = x.Seq+x.Count-1, x.Release
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		d.SetPath(i, time.Duration(i)*time.Millisecond, true)
	}
	now := time.Duration(0)
	seq, ts := uint16(65500), uint32(1<<32-9000)
	next := func() int {
		if len(script) == 0 {
			return 0
		}
		b := script[0]
		script = script[1:]
		return int(b)
	}
	for len(script) > 0 {
		switch op := next(); op % 10 {
		case 0, 1, 2, 3: // a source packet on a path, small steps
			n := next()
			if op%10 == 0 {
				seq += uint16(n % 4)
				ts += 90 * uint32(n%4)
				now += time.Duration(n%4) * time.Millisecond
			}
			b := make([]byte, 12+n%50)
			fillPacket(b, seq+uint16(n>>6)-1, ts, uint32(op/10%3))
			d.Push(op%3, now, b)
		case 4, 5: // a repair packet near it
			h := RepairHeader{PT: RepairPT, Timestamp: ts, SourceSSRC: uint32(op / 10 % 3), ISN: seq - uint16(next()%40), K: uint8(next()), ESI: uint8(next())}
			h.N = h.K
			if op%10 == 5 {
				h.N = uint8(next())
			}
			b := make([]byte, repairHeader+aduHeader+12+next()%60)
			for i := range b[repairHeader:] {
				b[repairHeader+i] = byte(i * int(h.ESI))
			}
			h.Put(b)
			d.Push(op%3, now, b)
		case 6: // a jump
			seq += uint16(next() << 6)
			ts += uint32(next() << 12)
		case 7:
			now += time.Duration(next()) * 100 * time.Millisecond
			d.Tick(now)
		case 8: // anything
			n := min(next(), len(script))
			d.Push(next()%4, now, script[:min(n, len(script))])
		case 9:
			d.SetPath(next()%4, time.Duration(next())*time.Millisecond, op%20 == 9)
			if op > 200 {
				d.SetLatency(time.Duration(next()) * 10 * time.Millisecond)
			}
		}
		d.Tick(now)
		d.Next()
	}
	audit(t, d)
	d.Tick(now + time.Hour)
	d.Stats()
	audit(t, d)
}

// FuzzParse gives anything to the parsers: what is taken is as it must be.
func FuzzParse(f *testing.F) {
	for _, v := range []int{1, 20} {
		p := streamPacket(1, v)
		f.Add(p)
		b := make([]byte, 64)
		h := RepairHeader{PT: 98, K: uint8(v), N: 1, ESI: 200}
		h.Put(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseSource(b); err == nil && (len(b) < rtpHeader || b[0]>>6 != 2) {
			t.Fatal("taken as RTP")
		}
		h, symbol, err := ParseRepair(b)
		if err != nil {
			return
		}
		if h.K < 1 || h.N < 1 || h.N > h.K || h.ESI < h.K || h.ESI >= MaxSymbols || len(symbol) != len(b)-repairHeader || len(symbol) < aduHeader+rtpHeader {
			t.Fatalf("%+v, symbol of %d", h, len(symbol))
		}
		b = bytes.Clone(b)
		b[1] &= 0x7f // the marker is not kept
		again := bytes.Clone(b)
		h.Put(again)
		if !bytes.Equal(again, b) {
			t.Fatalf("%x was written back as %x", b, again)
		}
	})
}
