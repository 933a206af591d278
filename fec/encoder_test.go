package fec

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// emitted is a repair packet as it left the encoder.
type emitted struct {
	stream int
	at     time.Duration
	RepairHeader
	size int
}

// newTestEncoder returns an encoder whose output is appended to the slice.
func newTestEncoder(t testing.TB, p Params, streams int) (*Encoder, *[]emitted) {
	t.Helper()
	var out []emitted
	c := EncoderConfig{Params: p, Emit: func(stream int, at time.Duration, pkt []byte) {
		h, symbol, err := ParseRepair(pkt)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, emitted{stream, at, h, len(symbol)})
	}}
	for i := range streams {
		c.SSRC = append(c.SSRC, uint32(100+i))
		c.Seq = append(c.Seq, uint16(1000*i))
	}
	e, err := NewEncoder(c)
	if err != nil {
		t.Fatal(err)
	}
	return e, &out
}

func sourcePacket(seq uint16, size int) []byte {
	b := make([]byte, size)
	fillPacket(b, seq, uint32(seq)*90, 1)
	return b
}

func add(t testing.TB, e *Encoder, at time.Duration, seq uint16, size int) {
	t.Helper()
	if err := e.Add(at, sourcePacket(seq, size)); err != nil {
		t.Fatal(err)
	}
}

// A full block's repair packets go out evenly over the time of the next one,
// the streams taking turns.
func TestRepairIsSpreadOverTheNextBlock(t *testing.T) {
	e, out := newTestEncoder(t, Params{K: 10, R: 3, Streams: 2}, 2)
	for i := range 19 {
		add(t, e, time.Duration(i)*time.Millisecond, uint16(i), 200+i%3*188)
		e.Tick(time.Duration(i)*time.Millisecond + 900*time.Microsecond)
	}
	if len(*out) != 6 {
		t.Fatalf("%d repair packets of the first block by the end of the second, want 6", len(*out))
	}
	// Closed at 9 ms with a duration of 10 ms: steps of 10/6 ms, the first
	// after half a step.
	for q, r := range *out {
		want := 9*time.Millisecond + 10*time.Millisecond*time.Duration(2*q+1)/12
		if r.at != want || r.stream != q%2 || r.ESI != uint8(10+q) || r.SSRC != uint32(100+q%2) || r.Seq != uint16(q%2*1000+q/2) {
			t.Errorf("packet %d: %+v, want at %v", q, r, want)
		}
		if r.K != 10 || r.N != 10 || r.ISN != 0 || r.Timestamp != 9*90 || r.SourceSSRC != 1 || r.size != 3+200+2*188 {
			t.Errorf("packet %d: %+v", q, r)
		}
	}
}

// When the input stops the timer closes the block, which sends its share of
// rows over MaxBlock.
func TestTimerClosesAShortBlock(t *testing.T) {
	e, out := newTestEncoder(t, Params{K: 64, R: 6, Streams: 2, MaxBlock: 50 * time.Millisecond}, 2)
	for i := range 11 {
		add(t, e, time.Duration(i)*time.Millisecond, uint16(65530+i), 1328)
	}
	if at, ok := e.Next(); !ok || at != 50*time.Millisecond {
		t.Fatalf("Next = %v, %v, want the block's end", at, ok)
	}
	for now := 10 * time.Millisecond; now < 200*time.Millisecond; now += time.Millisecond {
		e.Tick(now)
	}
	if len(*out) != 4 { // ceil(6·11/64) = 2 for each of 2 streams
		t.Fatalf("%d repair packets, want 4", len(*out))
	}
	for q, r := range *out {
		if want := 50*time.Millisecond + 50*time.Millisecond*time.Duration(2*q+1)/8; r.at != want || r.N != 11 || r.K != 64 || r.ISN != 65530 {
			t.Errorf("packet %d: %+v, want at %v", q, r, want)
		}
	}
	if _, ok := e.Next(); ok {
		t.Error("Next: nothing is left to do")
	}
	if s := e.Stats(); s.ShortBlocks != 1 || s.Repair != 4 || s.Source != 11 {
		t.Errorf("%+v", s)
	}
}

// What is left of a block goes out when the next one closes sooner than
// expected, and two blocks are all that is held.
func TestFasterBlockHurriesTheOneBefore(t *testing.T) {
	e, out := newTestEncoder(t, Params{K: 4, R: 2, Streams: 1}, 1)
	for i := range 4 {
		add(t, e, time.Duration(i)*10*time.Millisecond, uint16(i), 200)
	}
	for i := range 4 {
		add(t, e, 31*time.Millisecond+time.Duration(i)*10*time.Microsecond, uint16(4+i), 200)
	}
	if len(*out) != 2 || (*out)[1].ISN != 0 || (*out)[1].at > 32*time.Millisecond {
		t.Fatalf("%+v", *out)
	}
	if s := e.Stats(); s.Hurried != 2 {
		t.Errorf("%+v", s)
	}
}

func TestGapOrNewSSRCClosesTheBlock(t *testing.T) {
	e, out := newTestEncoder(t, Params{K: 8, R: 8, Streams: 1}, 1)
	add(t, e, 0, 10, 200)
	add(t, e, time.Millisecond, 11, 200)
	add(t, e, 2*time.Millisecond, 13, 200)
	other := sourcePacket(14, 200)
	binary.BigEndian.PutUint32(other[8:], 2)
	if err := e.Add(3*time.Millisecond, other); err != nil {
		t.Fatal(err)
	}
	e.Tick(time.Second)
	e.Tick(2 * time.Second)
	var blocks []RepairHeader
	for _, r := range *out {
		if r.ESI == 8 {
			blocks = append(blocks, r.RepairHeader)
		}
	}
	if len(blocks) != 3 || blocks[0].N != 2 || blocks[0].ISN != 10 || blocks[1].N != 1 || blocks[1].ISN != 13 || blocks[2].SourceSSRC != 2 {
		t.Errorf("%+v", blocks)
	}
	if e.Stats().Discontinuities != 2 {
		t.Errorf("%+v", e.Stats())
	}
}

// Parameters change at a block boundary, in both directions and to no parity,
// and what was closed before is still sent as it was.
func TestSetParamsAtBlockBoundary(t *testing.T) {
	e, out := newTestEncoder(t, Params{K: 4, R: 2, Streams: 2}, 4)
	seq := uint16(0)
	step := func(n int) {
		for range n {
			add(t, e, time.Duration(seq)*time.Millisecond, seq, 200)
			seq++
		}
	}
	set := func(p Params) {
		if err := e.SetParams(p); err != nil {
			t.Fatal(err)
		}
	}
	step(2)
	set(Params{K: 6, R: 1, Streams: 4})
	step(2 + 6)
	set(Params{K: 3, Streams: 1})
	step(7)
	set(Params{K: 2, R: 1, Streams: 1})
	step(4)
	e.Tick(time.Second)
	e.Tick(2 * time.Second)
	type key struct{ isn, k, n uint16 }
	rows := map[key]int{}
	for _, r := range *out {
		rows[key{r.ISN, uint16(r.K), uint16(r.N)}]++
	}
	want := map[key]int{{0, 4, 4}: 4, {4, 6, 6}: 4, {17, 2, 2}: 1, {19, 2, 2}: 1}
	if len(rows) != len(want) {
		t.Errorf("blocks %v, want %v", rows, want)
	}
	for k, n := range want {
		if rows[k] != n {
			t.Errorf("block %v: %d rows, want %d (of %v)", k, rows[k], n, rows)
		}
	}
}

func TestParamsAndConfigErrors(t *testing.T) {
	for _, c := range []struct {
		p    Params
		want string
	}{
		{Params{K: 0, Streams: 1}, "K = 0"},
		{Params{K: 255, Streams: 1}, "K = 255"},
		{Params{K: 64, R: -1, Streams: 1}, "R = -1"},
		{Params{K: 64, R: 48, Streams: 4}, "R ≤ 47"},
		{Params{K: 64, R: 1 << 62, Streams: 64}, "R ≤ 2"},
		{Params{K: 64, R: 6, Streams: 0}, "Streams = 0"},
		{Params{K: 64, R: 6, Streams: 65}, "Streams = 65"},
		{Params{K: 64, R: 6, Streams: 4, MaxBlock: -1}, "MaxBlock = -1ns"},
		{Params{K: 64, R: 6, Streams: 4, MaxBlock: time.Minute}, "MaxBlock = 1m0s"},
	} {
		err := c.p.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want an error with %q", c.p, err, c.want)
		}
		if e, _ := newTestEncoder(t, Params{K: 1, R: 1, Streams: 1}, 4); e.SetParams(c.p) == nil {
			t.Errorf("SetParams took %+v", c.p)
		}
	}
	for _, p := range []Params{{K: 1, R: 254, Streams: 1}, {K: 254, R: 1, Streams: 1}, {K: 63, R: 48, Streams: 4}, {K: 254, Streams: 64}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	emit := func(int, time.Duration, []byte) {}
	good := EncoderConfig{Params: Params{K: 4, R: 1, Streams: 1}, SSRC: []uint32{1}, Seq: []uint16{1}, Emit: emit}
	for _, f := range []func(*EncoderConfig){
		func(c *EncoderConfig) { c.Emit = nil },
		func(c *EncoderConfig) { c.RepairPT = 33 },
		func(c *EncoderConfig) { c.RepairPT = 200 },
		func(c *EncoderConfig) { c.MaxPacket = 5 },
		func(c *EncoderConfig) { c.MaxPacket = 1 << 20 },
		func(c *EncoderConfig) { c.Seq = nil },
		func(c *EncoderConfig) { c.Streams = 2 },
		func(c *EncoderConfig) { c.K = 300 },
	} {
		c := good
		f(&c)
		if _, err := NewEncoder(c); err == nil {
			t.Errorf("NewEncoder took %+v", c)
		}
	}
}

func TestRowsAndBound(t *testing.T) {
	p := Params{K: 64, R: 6, Streams: 4}
	for n, want := range map[int]int{0: 0, 1: 1, 10: 1, 11: 2, 63: 6, 64: 6, 100: 6} {
		if got := p.RowsFor(n); got != want {
			t.Errorf("RowsFor(%d) = %d, want %d", n, got, want)
		}
	}
	for rate, want := range map[float64]time.Duration{0: 140 * time.Millisecond, 100: 140 * time.Millisecond, 6400: 20 * time.Millisecond} {
		if got := p.Bound(rate); got != want {
			t.Errorf("Bound(%v) = %v, want %v", rate, got, want)
		}
	}
	if p.R = 0; p.Bound(1000) != 0 || p.RowsFor(64) != 0 {
		t.Error("without parity there is nothing to wait for")
	}
	e, _ := newTestEncoder(t, Params{K: 4, R: 1, Streams: 1}, 1)
	next := Params{K: 8, R: 2, Streams: 1, MaxBlock: time.Second}
	if err := e.SetParams(next); err != nil || e.Params() != next || e.Stats().K != 4 {
		t.Errorf("%v: %+v, in force %+v", err, e.Params(), e.Stats())
	}
}

func TestAddRefusesWhatIsNoSourcePacket(t *testing.T) {
	e, _ := newTestEncoder(t, Params{K: 4, R: 1, Streams: 1}, 1)
	if err := e.Add(0, make([]byte, 11)); !errors.Is(err, errShort) {
		t.Errorf("11 bytes: %v", err)
	}
	if err := e.Add(0, make([]byte, 200)); !errors.Is(err, errVersion) {
		t.Errorf("version 0: %v", err)
	}
	if err := e.Add(0, sourcePacket(1, DefaultMaxPacket+1)); err == nil {
		t.Error("too long a packet was taken")
	}
	p := sourcePacket(1, 200)
	p[1] = 96
	if err := e.Add(0, p); err == nil {
		t.Error("payload type 96 was taken")
	}
	if s := e.Stats(); s.Source != 0 {
		t.Errorf("%+v", s)
	}
}

// Whatever the parameters and the timing, a block's repair packets leave in
// the order of their ESI, at most twice MaxBlock after its first packet, as
// many as RowsFor says, and no instant goes back or lies ahead of now.
func TestEncoderSchedule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{
			K: rapid.IntRange(1, 40).Draw(t, "k"), R: rapid.IntRange(1, 6).Draw(t, "r"),
			Streams:  rapid.IntRange(1, 4).Draw(t, "s"),
			MaxBlock: time.Duration(rapid.IntRange(1, 100).Draw(t, "max")) * time.Millisecond,
		}
		var now time.Duration
		opened := map[uint16]time.Duration{}
		rows := map[uint16]int{}
		sizes := map[uint16]int{}
		last := time.Duration(0)
		c := EncoderConfig{Params: p, SSRC: make([]uint32, 4), Seq: make([]uint16, 4), MaxPacket: 64,
			Emit: func(stream int, at time.Duration, pkt []byte) {
				h, _, err := ParseRepair(pkt)
				if err != nil {
					t.Fatal(err)
				}
				if at < last || at > now {
					t.Fatalf("scheduled at %v, the last one at %v, now %v", at, last, now)
				}
				last = at
				if int(h.ESI) != p.K+rows[h.ISN] || stream != rows[h.ISN]%p.Streams {
					t.Fatalf("block %d: ESI %d of stream %d after %d rows", h.ISN, h.ESI, stream, rows[h.ISN])
				}
				rows[h.ISN]++
				sizes[h.ISN] = int(h.N)
				if late := at - opened[h.ISN]; late > 2*p.MaxBlock {
					t.Fatalf("block %d: a repair packet %v after its first packet; MaxBlock %v", h.ISN, late, p.MaxBlock)
				}
			}}
		e, err := NewEncoder(c)
		if err != nil {
			t.Fatal(err)
		}
		pkt := make([]byte, 40)
		n := rapid.IntRange(1, 200).Draw(t, "n")
		mean := rapid.IntRange(0, 20000).Draw(t, "us")
		for i := range n {
			now += time.Duration(rapid.IntRange(0, 2*mean).Draw(t, "gap")) * time.Microsecond
			fillPacket(pkt, uint16(i), uint32(i), 1)
			opened[uint16(i)] = now
			if err := e.Add(now, pkt); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			now += time.Second
			e.Tick(now)
		}
		total := 0
		for isn, got := range rows {
			total += sizes[isn]
			if want := p.RowsFor(sizes[isn]) * p.Streams; got != want {
				t.Fatalf("block %d of %d: %d rows, want %d", isn, sizes[isn], got, want)
			}
		}
		if total != n {
			t.Fatalf("blocks hold %d packets of %d", total, n)
		}
	})
}
