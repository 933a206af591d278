package st2022

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// naive computes an FEC packet's header and payload from the definition, byte
// by byte.
func naive(pkts [][]byte, base, offset, na int, kind Kind) (Header, []byte) {
	longest := 0
	for i := range na {
		longest = max(longest, len(pkts[base+i*offset])-rtpHeader)
	}
	payload := make([]byte, longest)
	h := Header{SNBase: binary.BigEndian.Uint16(pkts[base][2:]), Extended: true, Kind: kind, Offset: uint8(offset), NA: uint8(na)}
	for i := range na {
		p := pkts[base+i*offset]
		h.LengthRecovery ^= uint16(len(p) - 12)
		h.PTRecovery ^= p[1] & 0x7F
		h.TSRecovery ^= binary.BigEndian.Uint32(p[4:])
		for j, b := range p[12:] {
			payload[j] ^= b
		}
	}
	return h, payload
}

func TestEncoderAgainstDefinition(t *testing.T) {
	for _, p := range []Params{{5, 10, false}, {5, 10, true}, {20, 5, true}, {1, 4, false}, {4, 4, true}, {10, 10, true}, {20, 4, false}} {
		n := p.Columns * p.Rows
		pkts := source(rngOf(uint64(n)), 7, 65500, 0xFFFFFF00, 3*n)
		seqs := map[Kind]uint16{Column: 65530, Row: 65520}
		count := map[Kind]int{}
		for _, w := range encode(t, p, pkts) {
			if !w.fec {
				continue
			}
			r, _ := parseRTP(w.pkt)
			h, err := ParseHeader(w.pkt[rtpHeader:])
			if err != nil {
				t.Fatal(err)
			}
			if r.seq != seqs[h.Kind] || r.mpt != DefaultPT || r.bits != 0 || r.ssrc != 0 {
				t.Fatalf("%+v: RTP header %+v, want sequence %d", p, r, seqs[h.Kind])
			}
			seqs[h.Kind]++
			k := count[h.Kind]
			count[h.Kind]++
			base, offset, na := k/p.Columns*n+k%p.Columns, p.Columns, p.Rows
			if h.Kind == Row {
				base, offset, na = k*p.Columns, 1, p.Columns
			}
			want, payload := naive(pkts, base, offset, na, h.Kind)
			if h != want {
				t.Fatalf("%+v %v %d:\n got %+v\nwant %+v", p, h.Kind, k, h, want)
			}
			if !bytes.Equal(w.pkt[rtpHeader+fecHeader:], payload) {
				t.Fatalf("%+v %v %d: payload differs", p, h.Kind, k)
			}
		}
		rows := 0
		if p.RowFEC {
			rows = 3 * p.Rows
		}
		if count[Column] != 3*p.Columns || count[Row] != rows {
			t.Errorf("%+v: %d column and %d row packets", p, count[Column], count[Row])
		}
	}
}

// A column stream must not leave in a burst: at most one packet per D source
// packets, and all of them before the next matrix ends.
func TestColumnsAreSpread(t *testing.T) {
	p := Params{Columns: 10, Rows: 5}
	var at []time.Duration
	for _, w := range encode(t, p, source(rngOf(1), 1, 0, 0, 150)) {
		if w.fec {
			at = append(at, w.at)
		}
	}
	if len(at) != 30 {
		t.Fatalf("%d column packets, want 30", len(at))
	}
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; gap < 4*interval || gap > 6*interval {
			t.Errorf("column packets %d and %d are %v apart, want 5 ms", i-1, i, gap)
		}
	}
}

func TestEncoderWhenTheRateJumps(t *testing.T) {
	// The second matrix passes ten times as fast: the first one's columns must
	// be out before the second one's begin, in order.
	p := Params{Columns: 4, Rows: 4}
	var bases []uint16
	now := time.Duration(0)
	e, err := NewEncoder(EncoderConfig{Params: p, Emit: func(k Kind, at time.Duration, pkt []byte) {
		if at > now {
			t.Errorf("at %v after now %v", at, now)
		}
		bases = append(bases, binary.BigEndian.Uint16(pkt[rtpHeader:]))
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, pkt := range source(rngOf(2), 1, 100, 0, 32) {
		if i < 16 {
			now += 10 * interval
		} else {
			now += interval
		}
		if err := e.Add(now, pkt); err != nil {
			t.Fatal(err)
		}
	}
	for at, ok := e.Next(); ok; at, ok = e.Next() {
		now = at
		e.Tick(at)
	}
	if want := []uint16{100, 101, 102, 103, 116, 117, 118, 119}; !equal(bases, want) {
		t.Errorf("bases %v, want %v", bases, want)
	}
}

func TestEncoderGapAndParams(t *testing.T) {
	var heads []Header
	e, err := NewEncoder(EncoderConfig{Params: Params{Columns: 4, Rows: 4, RowFEC: true}, Emit: func(k Kind, at time.Duration, pkt []byte) {
		h, err := ParseHeader(pkt[rtpHeader:])
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h)
	}})
	if err != nil {
		t.Fatal(err)
	}
	pkts := source(rngOf(3), 1, 0, 0, 200)
	add := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := e.Add(time.Duration(i), pkts[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, 7) // one row, then a gap inside the second
	add(8, 24)
	if err := e.SetParams(Params{Columns: 2, Rows: 3}); err == nil {
		t.Error("3 rows accepted")
	}
	if err := e.SetParams(Params{Columns: 5, Rows: 4}); err != nil {
		t.Fatal(err)
	}
	add(24, 44)
	e.Tick(time.Hour)
	var rows, columns []uint16
	for _, h := range heads {
		if h.Kind == Row {
			rows = append(rows, h.SNBase)
		} else {
			columns = append(columns, h.SNBase)
		}
	}
	if want := []uint16{0, 8, 12, 16, 20}; !equal(rows, want) {
		t.Errorf("rows start at %v, want %v", rows, want)
	}
	if want := []uint16{8, 9, 10, 11, 24, 25, 26, 27, 28}; !equal(columns, want) {
		t.Errorf("columns start at %v, want %v", columns, want)
	}
	if s := e.Stats(); s.Matrices != 2 || s.Abandoned != 1 || s.ColumnPackets != 9 || s.RowPackets != 5 || s.SourcePackets != 43 {
		t.Errorf("stats %+v", s)
	}
}

func equal(a, b []uint16) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestEncoderRefusals(t *testing.T) {
	ok := EncoderConfig{Params: Params{Columns: 5, Rows: 5}, Emit: func(Kind, time.Duration, []byte) {}}
	for name, change := range map[string]func(*EncoderConfig){
		"Columns":   func(c *EncoderConfig) { c.Columns = 21 },
		"no column": func(c *EncoderConfig) { c.Columns = 0 },
		"row FEC":   func(c *EncoderConfig) { c.Columns, c.RowFEC = 3, true },
		"Rows":      func(c *EncoderConfig) { c.Rows = 3 },
		"matrix":    func(c *EncoderConfig) { c.Columns, c.Rows = 20, 20 },
		"PT":        func(c *EncoderConfig) { c.PT = 128 },
		"MaxPacket": func(c *EncoderConfig) { c.MaxPacket = 5000 },
		"Emit":      func(c *EncoderConfig) { c.Emit = nil },
	} {
		c := ok
		change(&c)
		if _, err := NewEncoder(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	e, err := NewEncoder(ok)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkt := range [][]byte{nil, make([]byte, 11), make([]byte, 100), append([]byte{0x80}, make([]byte, 1400)...)} {
		if e.Add(0, pkt) == nil {
			t.Errorf("%d bytes accepted", len(pkt))
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	h := Header{SNBase: 0x1234, SNBaseExt: 9, LengthRecovery: 0x5678, Extended: true, PTRecovery: 0x55, Mask: 0xABCDEF,
		TSRecovery: 0xDEADBEEF, X: true, Kind: Row, Index: 5, Offset: 20, NA: 7}
	got, err := ParseHeader(h.Append(nil))
	if err != nil || got != h {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEncoderAllocations(t *testing.T) {
	e, err := NewEncoder(EncoderConfig{Params: Params{Columns: 10, Rows: 10, RowFEC: true}, Emit: func(Kind, time.Duration, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	pkts := source(rngOf(4), 1, 0, 0, 1<<16)
	i := 0
	if n := testing.AllocsPerRun(2000, func() {
		_ = e.Add(time.Duration(i)*interval, pkts[i])
		i++
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func BenchmarkEncoder(b *testing.B) {
	e, err := NewEncoder(EncoderConfig{Params: Params{Columns: 10, Rows: 10, RowFEC: true}, Emit: func(Kind, time.Duration, []byte) {}})
	if err != nil {
		b.Fatal(err)
	}
	pkt := make([]byte, defaultMaxPacket)
	pkt[0] = 0x80
	b.SetBytes(int64(len(pkt)))
	b.ReportAllocs()
	for i := range b.N {
		binary.BigEndian.PutUint16(pkt[2:], uint16(i))
		_ = e.Add(time.Duration(i)*interval, pkt)
	}
}
