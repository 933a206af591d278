package wiredecoder_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quartet/fec"
	"quartet/tests/peers/wiredecoder"
	"quartet/tests/tsgen"
	"quartet/uplink/rtp"
)

var contributionKey = bytes.Repeat([]byte{0xA5}, 32)

// sent is one message on its way.
type sent struct {
	at     time.Duration
	stream int
	msg    []byte
}

func (s sent) pkt() []byte  { return s.msg[:len(s.msg)-8] }
func (s sent) repair() bool { return s.msg[1] == fec.RepairPT }
func (s sent) seq() uint16  { return binary.BigEndian.Uint16(s.msg[2:]) }
func (s sent) isn() uint16  { return binary.BigEndian.Uint16(s.msg[16:]) }
func (s sent) ssrc() uint32 { return binary.BigEndian.Uint32(s.msg[8:]) }
func (s sent) of() uint32   { return binary.BigEndian.Uint32(s.msg[12:]) }

// box makes a stream with our own encoder, in virtual time.
type box struct {
	t       *testing.T
	random  *rand.Rand
	now     time.Duration
	streams int
	out     []sent
	ts      []byte // all of it
	gen     *tsgen.Stream
	tagger  *rtp.Tagger
	per     int           // TS packets in a source packet
	pause   time.Duration // in the middle of the next epoch
}

func newBox(t *testing.T, seed uint64, streams int) *box {
	key, err := rtp.DeriveTagKey(contributionKey)
	if err != nil {
		t.Fatal(err)
	}
	return &box{
		t: t, random: rand.New(rand.NewPCG(seed, 7)), streams: streams, now: time.Minute,
		gen: tsgen.New(10_000_000, seed), tagger: rtp.NewTagger(key), per: 7,
	}
}

func (b *box) tagged(pkt []byte) []byte { return b.tagger.AppendTag(bytes.Clone(pkt), pkt) }

// epoch sends count source packets under an SSRC of their own. With irregular,
// the rate varies, the stream pauses, and the sizes and the code change.
func (b *box) epoch(ssrc uint32, p fec.Params, count int, irregular bool) {
	p.Streams = b.streams
	first := uint16(65536 - b.random.IntN(count)) // so that it wraps
	ssrcs, seqs := make([]uint32, b.streams), make([]uint16, b.streams)
	for i := range b.streams {
		ssrcs[i], seqs[i] = b.random.Uint32(), uint16(b.random.Uint32())
	}
	enc, err := fec.NewEncoder(fec.EncoderConfig{
		Params: p, SSRC: ssrcs, Seq: seqs,
		Emit: func(s int, at time.Duration, pkt []byte) { b.out = append(b.out, sent{at, s, b.tagged(pkt)}) },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	source := 0
	packets, err := rtp.NewPacketizer(rtp.PacketizerConfig{
		SSRC: ssrc, FirstSeq: first, TimestampOffset: -uint32(rtp.Ticks(b.now)) - uint32(b.random.IntN(200_000)), // wraps too
		Emit: func(at time.Duration, pkt []byte) {
			source++
			msg := b.tagged(pkt)
			for s := range b.streams {
				b.out = append(b.out, sent{at, s, msg})
			}
			if err := enc.Add(at, pkt); err != nil {
				b.t.Fatal(err)
			}
		},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	per := b.per
	if err := packets.SetPacketsPerMessage(per); err != nil {
		b.t.Fatal(err)
	}
	for source < count {
		gap := time.Millisecond
		if b.pause > 0 && source >= count/2 {
			gap, b.pause = b.pause, 0
		}
		if irregular {
			gap = time.Duration(200+b.random.IntN(3000)) * time.Microsecond
			switch b.random.IntN(60) {
			case 0:
				gap = time.Duration(b.random.IntN(int(300 * time.Millisecond)))
			case 1:
				per = 1 + b.random.IntN(7)
				packets.SetPacketsPerMessage(per)
			case 2:
				q := p
				q.K, q.R = 1+b.random.IntN(64), b.random.IntN(20)
				if err := enc.SetParams(q); err != nil {
					b.t.Fatal(err)
				}
			}
		}
		for end := b.now + gap; b.now < end; b.now += min(end-b.now, time.Millisecond) {
			packets.Tick(b.now)
			enc.Tick(b.now)
		}
		ts := b.gen.Next(nil, per)
		b.ts = append(b.ts, ts...)
		if err := packets.WriteTS(b.now, ts); err != nil {
			b.t.Fatal(err)
		}
	}
	packets.Flush(b.now)
	for range 200 {
		b.now += time.Millisecond
		enc.Tick(b.now)
	}
}

// lose takes away, on all streams at once, as many source packets of each block
// as it has distinct rows, and more on single streams.
func (b *box) lose() (common int) {
	type name struct {
		ssrc uint32
		seq  uint16
	}
	rows := map[name][]byte{} // ESI by the block's ISN
	blocks := map[name]sent{}
	for _, s := range b.out {
		if s.repair() {
			n := name{s.of(), s.isn()}
			if !slices.Contains(rows[n], s.msg[20]) {
				rows[n] = append(rows[n], s.msg[20])
			}
			blocks[n] = s
		}
	}
	gone := map[name]bool{}
	for n, s := range blocks {
		size := int(s.msg[19])
		for _, i := range b.random.Perm(size)[:min(size, len(rows[n]))] {
			gone[name{n.ssrc, n.seq + uint16(i)}] = true
			common++
		}
	}
	alone := map[name]int{} // the stream that still has it
	b.out = slices.DeleteFunc(b.out, func(s sent) bool {
		if s.repair() {
			return false
		}
		n := name{s.ssrc(), s.seq()}
		if _, ok := alone[n]; !ok {
			alone[n] = b.random.IntN(b.streams)
		}
		return gone[n] || alone[n] != s.stream && b.random.IntN(2) == 0
	})
	return common
}

// arrive orders the messages as they come in: each stream has its delay, and
// jitter changes the order within it.
func (b *box) arrive(jitter time.Duration) {
	delay := make([]time.Duration, b.streams)
	for i := range delay {
		delay[i] = time.Duration(b.random.IntN(int(40 * time.Millisecond)))
	}
	for i := range b.out {
		b.out[i].at += delay[b.out[i].stream]
		if jitter > 0 {
			b.out[i].at += time.Duration(b.random.IntN(int(jitter)))
		}
	}
	slices.SortStableFunc(b.out, func(x, y sent) int { return cmp.Compare(x.at, y.at) })
}

// decode gives the transport stream that comes out.
func (b *box) decode(latency time.Duration) ([]byte, wiredecoder.Stats) {
	var got []byte
	r := wiredecoder.New(contributionKey, latency, func(ts []byte) { got = append(got, ts...) })
	for _, s := range b.out {
		r.Push(s.stream, s.at, s.msg)
	}
	r.Flush()
	return got, r.Stats
}

// What our encoder sends is what the document says: with every loss that the
// rows can repair, the stream comes out byte for byte.
func TestDecodesOurStream(t *testing.T) {
	shortened, recovered := uint64(0), uint64(0)
	for seed := range uint64(24) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			b := newBox(t, seed, 1+int(seed%4))
			p := fec.Params{K: 1 + b.random.IntN(64), R: 1 + b.random.IntN(12), MaxBlock: 70 * time.Millisecond}
			b.epoch(0xAABBCC00+uint32(seed), p, 400, seed%2 == 1)
			common := b.lose()
			b.arrive(3 * time.Millisecond)
			got, st := b.decode(400 * time.Millisecond)
			if !bytes.Equal(got, b.ts) || st.Lost+st.Differing+st.Disagreeing+st.Malformed+st.BadTag+st.Late != 0 {
				t.Fatalf("K %d, R %d, S %d: %d of %d bytes, %d lost in common: %+v", p.K, p.R, b.streams, len(got), len(b.ts), common, st)
			}
			if st.Recovered != uint64(common) {
				t.Errorf("%d recovered, want %d", st.Recovered, common)
			}
			shortened += st.Shortened
			recovered += st.Recovered
		})
	}
	if shortened < 100 || recovered < 1000 {
		t.Errorf("%d packets recovered, %d of them in shortened blocks: too few to prove anything", recovered, shortened)
	}
	t.Logf("%d packets recovered, %d of them in shortened blocks", recovered, shortened)
}

// Two streams that lost the same 10 of 64 source packets, with 6 rows each,
// decode completely together and neither does alone.
func TestDiverseParity(t *testing.T) {
	b := newBox(t, 64, 2)
	b.epoch(0x0D1F, fec.Params{K: 64, R: 6, MaxBlock: 70 * time.Millisecond}, 640, false)
	blocks := map[uint16]map[uint16]bool{}
	for _, s := range b.out {
		if s.repair() && blocks[s.isn()] == nil {
			blocks[s.isn()] = map[uint16]bool{}
			for _, i := range b.random.Perm(64)[:10] {
				blocks[s.isn()][s.isn()+uint16(i)] = true
			}
		}
	}
	b.out = slices.DeleteFunc(b.out, func(s sent) bool {
		for _, gone := range blocks {
			if !s.repair() && gone[s.seq()] {
				return true
			}
		}
		return false
	})
	b.arrive(0)
	all := b.out
	for _, tc := range []struct {
		name     string
		has      func(int) bool
		complete bool
	}{
		{"both", func(int) bool { return true }, true},
		{"the first alone", func(s int) bool { return s == 0 }, false},
		{"the second alone", func(s int) bool { return s == 1 }, false},
	} {
		b.out = slices.DeleteFunc(slices.Clone(all), func(s sent) bool { return !tc.has(s.stream) })
		got, st := b.decode(400 * time.Millisecond)
		if complete := bytes.Equal(got, b.ts); complete != tc.complete {
			t.Errorf("%s: complete %t, want %t: %+v", tc.name, complete, tc.complete, st)
		}
	}
}

// A sender that starts again: everything before, then everything after.
func TestSourceRestart(t *testing.T) {
	b := newBox(t, 99, 2)
	p := fec.Params{K: 32, R: 4, MaxBlock: 70 * time.Millisecond}
	for i := range uint32(3) {
		b.epoch(0x1000+i, p, 500, false)
	}
	b.lose()
	b.arrive(0)
	got, st := b.decode(300 * time.Millisecond)
	if !bytes.Equal(got, b.ts) || st.Epochs != 3 || st.Lost != 0 {
		t.Errorf("%d of %d bytes: %+v", len(got), len(b.ts), st)
	}
}

// Section 8: a sender that pauses goes on with the next number, and one that is
// not heard does not, for whatever time.
func TestPauseAndOutage(t *testing.T) {
	const each = 3000 // packets before and after, 1000 in a second
	p := fec.Params{K: 20, R: 4, MaxBlock: 70 * time.Millisecond}
	for _, gap := range []time.Duration{600 * time.Millisecond, 33 * time.Second, 70 * time.Second} {
		b := newBox(t, 8, 2)
		b.per, b.pause = 1, gap
		b.epoch(0xABC, p, 2*each, false)
		common := b.lose()
		b.arrive(0)
		got, st := b.decode(400 * time.Millisecond)
		if !bytes.Equal(got, b.ts) || st.Lost+st.Late+st.Disagreeing != 0 || st.Recovered != uint64(common) {
			t.Errorf("a pause of %v: %d of %d bytes, %d lost in common: %+v", gap, len(got), len(b.ts), common, st)
		}
	}
	for _, gap := range []int{1000, 33_000, 70_000} { // milliseconds, packets
		b := newBox(t, 9, 2)
		b.per = 1
		b.epoch(0xABC, p, gap+2*each, false)
		var first sent
		for _, s := range b.out {
			if !s.repair() {
				first = s
				break
			}
		}
		from, to := first.at+each*time.Millisecond, first.at+time.Duration(each+gap)*time.Millisecond
		missed := map[time.Duration]bool{}
		b.out = slices.DeleteFunc(b.out, func(s sent) bool {
			gone := s.at > from && s.at <= to
			if gone && !s.repair() {
				missed[s.at] = true
			}
			return gone
		})
		b.arrive(0)
		got, st := b.decode(400 * time.Millisecond)
		// Parity that came in time may give a few of them.
		if n := len(b.ts)/tsgen.PacketSize - len(got)/tsgen.PacketSize; n != int(st.Lost) || n > len(missed) || n < len(missed)-10 || st.Late+st.Disagreeing != 0 {
			t.Errorf("an outage of %d packets: %d of %d TS packets: %+v", len(missed), len(got)/tsgen.PacketSize, len(b.ts)/tsgen.PacketSize, st)
		}
	}
}

// What cannot be repaired is left out, and nothing else is.
func TestBeyondRepair(t *testing.T) {
	b := newBox(t, 5, 2)
	b.epoch(0xBEEF, fec.Params{K: 16, R: 1, MaxBlock: 70 * time.Millisecond}, 320, false)
	var start uint16
	for _, s := range b.out {
		if s.repair() {
			start = s.isn() + 160
			break
		}
	}
	b.out = slices.DeleteFunc(b.out, func(s sent) bool { return !s.repair() && s.seq()-start < 5 })
	b.arrive(0)
	got, st := b.decode(200 * time.Millisecond)
	if st.Lost != 5 || len(got) != len(b.ts)-5*7*188 {
		t.Errorf("%d of %d bytes, want all but 5 packets: %+v", len(got), len(b.ts), st)
	}
}

// Section 13: each of these is dropped, counted, and changes nothing.
func TestHostile(t *testing.T) {
	b := newBox(t, 13, 1)
	b.epoch(0x5EC7, fec.Params{K: 8, R: 2, MaxBlock: 70 * time.Millisecond}, 64, false)
	var source, repair sent
	for _, s := range b.out {
		if s.repair() {
			repair = s
		} else {
			source = s
		}
	}
	alter := func(s sent, change func(pkt []byte) []byte) []byte { return b.tagged(change(bytes.Clone(s.pkt()))) }
	set := func(s sent, at int, v byte) []byte {
		return alter(s, func(p []byte) []byte { p[at] = v; return p })
	}
	cut := func(s sent, n int) []byte { return alter(s, func(p []byte) []byte { return p[:n] }) }
	long := func(s sent, n int) []byte {
		return alter(s, func(p []byte) []byte { return append(p, make([]byte, n)...) })
	}
	badTag := bytes.Clone(source.msg)
	badTag[20] ^= 4
	for name, msg := range map[string][]byte{
		"empty": {}, "tag alone": source.msg[:8], "wrong tag": badTag,
		"one byte": cut(source, 1), "version": set(source, 0, 0x40), "padding": set(source, 0, 0xA0), "extension": set(source, 0, 0x90),
		"payload type": set(source, 1, 96), "no TS packet": cut(source, 12), "part of a TS packet": cut(source, 12+187),
		"eight TS packets": long(source, 188), "not a TS packet": set(source, 12, 0x48), "not a TS packet behind": set(source, 12+188, 0),
		"short repair": cut(repair, 36), "K = 0": set(repair, 18, 0), "K = 255": set(repair, 18, 255), "n = 0": set(repair, 19, 0), "n > K": set(repair, 19, 9),
		"ESI < K": set(repair, 20, 7), "ESI = 255": set(repair, 20, 255), "code": set(repair, 21, 1), "version of the format": set(repair, 21, 0x10),
		"no CSRC": set(repair, 0, 0x80), "E too long": long(repair, 1),
	} {
		r := wiredecoder.New(contributionKey, time.Second, func([]byte) { t.Errorf("%s: handed on", name) })
		r.Push(0, 0, msg)
		r.Flush()
		if r.Malformed+r.BadTag != 1 || r.Epochs != 0 {
			t.Errorf("%s: %+v", name, r.Stats)
		}
	}

	// Repair packets that lie about their block do not spoil the stream.
	for name, lie := range map[string][]byte{
		"K": set(repair, 18, 9), "n": set(repair, 19, 7), "timestamp": set(repair, 7, repair.msg[7]^1),
		"E":       cut(repair, len(repair.pkt())-10),
		"overlap": alter(repair, func(p []byte) []byte { binary.BigEndian.PutUint16(p[16:], repair.isn()-3); return p }),
	} {
		var got []byte
		r := wiredecoder.New(contributionKey, time.Second, func(ts []byte) { got = append(got, ts...) })
		for _, s := range b.out {
			r.Push(0, s.at, s.msg)
			if s.repair() && s.isn() == repair.isn() && s.seq() != repair.seq() {
				r.Push(0, s.at, lie)
			}
		}
		r.Flush()
		if !bytes.Equal(got, b.ts) || r.Disagreeing == 0 {
			t.Errorf("%s: %d of %d bytes, %+v", name, len(got), len(b.ts), r.Stats)
		}
	}
}

// Section 13: the first repair packet of a block holds, also when it is the wrong
// one: the block has no parity then, and every other has.
func TestWrongRepairFirst(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"K": func(p []byte) []byte { p[18], p[20] = 9, 9; return p },
		"n": func(p []byte) []byte { p[19] = 7; return p },
		"timestamp": func(p []byte) []byte {
			binary.BigEndian.PutUint32(p[4:], binary.BigEndian.Uint32(p[4:])-600) // before the third packet
			return p
		},
		"E": func(p []byte) []byte { return p[:len(p)-188] },
	} {
		b := newBox(t, 14, 1)
		b.epoch(0x5EC8, fec.Params{K: 8, R: 2, MaxBlock: 70 * time.Millisecond}, 64, false)
		var wrong sent // of the fourth block
		rows := 0
		for _, s := range b.out {
			if s.repair() {
				if rows++; rows == 7 {
					wrong = s
				}
			}
		}
		lost, kept := 0, map[uint16]bool{}
		var got []byte
		r := wiredecoder.New(contributionKey, 100*time.Millisecond, func(ts []byte) { got = append(got, ts...) })
		for i, s := range b.out {
			if i == 8 { // the lie comes before all of its block, but not before the epoch
				r.Push(0, s.at, b.tagged(change(bytes.Clone(wrong.pkt()))))
			}
			if !s.repair() && (s.seq()-wrong.isn())%8 == 2 { // one packet of each block
				if lost++; s.seq()-wrong.isn() < 8 {
					kept[s.seq()] = true
				}
				continue
			}
			r.Push(0, s.at, s.msg)
		}
		r.Flush()
		if len(kept) != 1 || r.Lost != 1 || r.Recovered != uint64(lost-1) || r.Disagreeing == 0 || len(got) != len(b.ts)-7*tsgen.PacketSize {
			t.Errorf("%s: %d lost on the way, %d of %d bytes: %+v", name, lost, len(got), len(b.ts), r.Stats)
		}
	}
}

// No message makes the receiver fail or hand on what is not transport stream.
func FuzzPush(f *testing.F) {
	b := newBox(&testing.T{}, 1, 2)
	b.epoch(1, fec.Params{K: 4, R: 2, MaxBlock: 70 * time.Millisecond}, 12, false)
	for _, s := range b.out {
		f.Add(s.pkt(), uint8(8))
	}
	f.Fuzz(func(t *testing.T, pkt []byte, at uint8) {
		n := 0
		r := wiredecoder.New(contributionKey, 100*time.Millisecond, func(ts []byte) {
			if n++; len(ts) == 0 || len(ts)%188 != 0 {
				t.Errorf("%d bytes handed on", len(ts))
			}
		})
		for i, s := range b.out {
			r.Push(s.stream, s.at, s.msg)
			if i == int(at) {
				r.Push(0, s.at, b.tagged(pkt))
			}
		}
		r.Report(7, 0)
		r.Flush()
		if n < 12 && len(pkt) > 12 && !bytes.Equal(pkt[8:12], []byte{0, 0, 0, 1}) && !bytes.Equal(pkt[12:min(16, len(pkt))], []byte{0, 0, 0, 1}) {
			t.Errorf("a packet of another SSRC left %d of 12 packets", n)
		}
	})
}
