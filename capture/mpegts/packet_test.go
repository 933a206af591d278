package mpegts

import (
	"bytes"
	"context"
	"math"
	"testing"
	"time"

	"github.com/asticode/go-astits"
	"pgregory.net/rapid"
)

func TestPCRArithmetic(t *testing.T) {
	const m = PCRModulus
	for _, c := range []struct {
		a, b PCR
		diff int64
	}{
		{0, 0, 0},
		{1, 0, 1},
		{0, 1, -1},
		{0, m - 1, 1},
		{m - 1, 0, -1},
		{10, m - 10, 20},
		{m - 10, 10, -20},
		{m/2 - 1, 0, m/2 - 1},
		{m / 2, 0, -m / 2},
		{0, m / 2, -m / 2},
		{0, m/2 + 1, m/2 - 1},
	} {
		if d := c.a.Diff(c.b); d != c.diff {
			t.Errorf("%d − %d = %d, want %d", c.a, c.b, d, c.diff)
		}
		if s := c.b.Add(c.diff); s != c.a {
			t.Errorf("%d + %d = %d, want %d", c.b, c.diff, s, c.a)
		}
	}
	for _, n := range []int64{m, -m, 5 * m, -5 * m} {
		if v := PCR(7).Add(n); v != 7 {
			t.Errorf("7 + %d = %d", n, v)
		}
	}
	if v := PCR(3).Add(-4); v != m-1 {
		t.Errorf("3 − 4 = %d", v)
	}
	if v := PCR(899).Timestamp(); v != 2 {
		t.Errorf("899 ticks are %d of 90 kHz", v)
	}
}

func TestTimestampArithmetic(t *testing.T) {
	const m = PTSModulus
	for _, c := range []struct {
		a, b Timestamp
		diff int64
	}{
		{0, m - 1, 1}, {m - 1, 0, -1}, {m / 2, 0, -m / 2}, {m/2 - 1, 0, m/2 - 1}, {5, 9, -4},
	} {
		if d := c.a.Diff(c.b); d != c.diff {
			t.Errorf("%d − %d = %d, want %d", c.a, c.b, d, c.diff)
		}
		if s := c.b.Add(c.diff); s != c.a {
			t.Errorf("%d + %d = %d, want %d", c.b, c.diff, s, c.a)
		}
	}
	if d := Timestamp(m - 1).Duration(); d != 95443717677777 { // 26.5 h
		t.Errorf("the last timestamp is %d ns", d)
	}
	if d := PCR(PCRModulus - 1).Duration(); d != 95443717688851 {
		t.Errorf("the last PCR is %d ns", d)
	}
}

func TestWrapProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := PCR(rapid.Uint64Range(0, PCRModulus-1).Draw(t, "a"))
		n := rapid.Int64Range(-PCRModulus/2, PCRModulus/2-1).Draw(t, "n")
		if d := a.Add(n).Diff(a); d != n {
			t.Fatalf("moved by %d, differs by %d", n, d)
		}
		v := rapid.Int64().Draw(t, "v")
		if b := a.Add(v); b >= PCRModulus {
			t.Fatalf("%d + %d = %d leaves the range", a, v, b)
		}
		ticks := rapid.Int64Range(-9e15, 9e15).Draw(t, "ticks")
		back := DurationToTicks(TicksToDuration(ticks))
		if d := ticks - back; d < -1 || d > 1 {
			t.Fatalf("%d ticks become %d", ticks, back)
		}
	})
	if d := TicksToDuration(PCRHz); d != time.Second {
		t.Errorf("27 million ticks are %v", d)
	}
	if d := TicksToDuration(-PCRHz / 2); d != -time.Second/2 {
		t.Errorf("half a second back is %v", d)
	}
}

func TestPacketHeader(t *testing.T) {
	p := make(Packet, PacketSize)
	p[0], p[3] = SyncByte, 0x10
	for _, pid := range []PID{0, 1, 0x11, 0x100, 0x1000, NullPID} {
		p.SetPID(pid)
		if p.PID() != pid || p.TransportError() || p.PUSI() {
			t.Errorf("PID %#x reads %#x, header % x", pid, p.PID(), p[:4])
		}
	}
	p.SetPID(0xFFFF)
	if p.PID() != NullPID || p[1] != 0x1F {
		t.Errorf("a PID of 16 bits spills over: % x", p[:4])
	}
	p.SetPID(0x100)
	for cc := range uint8(20) {
		p.SetCC(cc)
		if p.CC() != cc&15 || !p.HasPayload() || p.HasAdaptation() {
			t.Errorf("CC %d reads %d, header % x", cc, p.CC(), p[:4])
		}
	}
	p.SetPUSI(true)
	p.SetTransportError(true)
	if !p.PUSI() || !p.TransportError() || p.PID() != 0x100 {
		t.Errorf("flags: % x", p[:4])
	}
	p.SetPUSI(false)
	p.SetTransportError(false)
	p[3] |= 0x80
	if p.PUSI() || p.TransportError() || p.Scrambling() != 2 || !p.Valid() {
		t.Errorf("flags: % x", p[:4])
	}
	if p[:187].Valid() || Packet(nil).Valid() {
		t.Error("a short packet is valid")
	}
}

func TestPacketAdaptation(t *testing.T) {
	for _, c := range []struct {
		name    string
		head    []byte // from byte 3
		payload int
		pcr     bool
		opcr    bool
		flags   bool
	}{
		{"payload only", []byte{0x10}, 184, false, false, false},
		{"reserved", []byte{0x00}, 0, false, false, false},
		{"empty adaptation", []byte{0x30, 0}, 183, false, false, false},
		{"flags only", []byte{0x30, 1, 0}, 182, false, false, true},
		{"flags lie", []byte{0x30, 1, 0x18}, 182, false, false, true},
		{"PCR", []byte{0x30, 7, 0x10}, 176, true, false, true},
		{"PCR cut", []byte{0x30, 6, 0x10}, 177, false, false, true},
		{"OPCR alone", []byte{0x30, 7, 0x08}, 176, false, true, true},
		{"PCR and OPCR", []byte{0x30, 13, 0x18}, 170, true, true, true},
		{"OPCR cut", []byte{0x30, 12, 0x18}, 171, true, false, true},
		{"full", []byte{0x20, 183, 0x10}, 0, true, false, true},
		{"full with payload", []byte{0x30, 183, 0x10}, 0, true, false, true},
		{"one byte of payload", []byte{0x30, 182, 0x10}, 1, true, false, true},
		{"too long", []byte{0x30, 184, 0x18}, 0, false, false, false},
		{"longest lie", []byte{0x20, 255, 0xFF}, 0, false, false, false},
	} {
		p := make(Packet, PacketSize)
		p[0] = SyncByte
		copy(p[3:], c.head)
		if n := len(p.Payload()); n != c.payload {
			t.Errorf("%s: payload of %d bytes, want %d", c.name, n, c.payload)
		}
		for _, v := range []PCR{0, 1, 299, 300, PCRModulus - 1, 0x123456789A} {
			if p.SetPCR(v) != c.pcr || p.SetOPCR(v.Add(5)) != c.opcr {
				t.Errorf("%s: SetPCR, SetOPCR do not say %v, %v", c.name, c.pcr, c.opcr)
			}
			if g, ok := p.PCR(); ok != c.pcr || ok && g != v {
				t.Errorf("%s: PCR %d reads %d, %v", c.name, v, g, ok)
			}
			if g, ok := p.OPCR(); ok != c.opcr || ok && g != v.Add(5) {
				t.Errorf("%s: OPCR %d reads %d, %v", c.name, v.Add(5), g, ok)
			}
		}
		if p.SetDiscontinuity(true) != c.flags || p.Discontinuity() != c.flags {
			t.Errorf("%s: discontinuity_indicator", c.name)
		}
		if p.SetDiscontinuity(false); p.Discontinuity() {
			t.Errorf("%s: discontinuity_indicator stays", c.name)
		}
	}
}

func TestPacketTimestamps(t *testing.T) {
	for _, v := range []Timestamp{0, 1, 1 << 15, 1<<30 - 1, 1 << 30, PTSModulus - 1, 0x1_5555_5555, 0x0_AAAA_AAAA} {
		p := pesPacket(0x100, v, v.Add(-3600))
		marker := []byte{p[4+9] & 0xF1, p[4+11] & 1, p[4+13] & 1}
		pts, ok1 := p.PTS()
		dts, ok2 := p.DTS()
		if !ok1 || !ok2 || pts != v || dts != v.Add(-3600) {
			t.Errorf("%#x: PTS %#x %v, DTS %#x %v", v, pts, ok1, dts, ok2)
		}
		if !bytes.Equal(marker, []byte{0x31, 1, 1}) {
			t.Errorf("%#x: marker bits % x", v, marker)
		}
		p = pesPacket(0x100, v, v)
		if _, ok := p.DTS(); ok || p.SetDTS(1) {
			t.Error("a DTS where there is none")
		}
	}
	whole := pesPacket(0x100, 1, 2)
	for _, c := range []struct {
		name string
		edit func(p Packet)
		pts  bool
		cut  bool
	}{
		{"untouched", func(Packet) {}, true, false},
		{"no start of payload", func(p Packet) { p.SetPUSI(false) }, false, false},
		{"scrambled", func(p Packet) { p[3] |= 0x80 }, false, false},
		{"damaged", func(p Packet) { p.SetTransportError(true) }, false, false},
		{"no start code", func(p Packet) { p[6] = 2 }, false, false},
		{"padding stream", func(p Packet) { p[7] = 0xBE }, false, false},
		{"private stream 2", func(p Packet) { p[7] = 0xBF }, false, false},
		{"private stream 1", func(p Packet) { p[7] = 0xBD }, true, false},
		{"extended stream", func(p Packet) { p[7] = 0xFD }, true, false},
		{"no MPEG-2 flags", func(p Packet) { p[10] = 0x0F }, false, false},
		{"no timestamp", func(p Packet) { p[11] = 0 }, false, false},
		{"no room in the header", func(p Packet) { p[12] = 4 }, false, false},
		{"no room for DTS", func(p Packet) { p[12] = 9 }, true, false},
		{"header cut", func(p Packet) { shrink(p, 13) }, false, true},
		{"flags cut", func(p Packet) { shrink(p, 8) }, false, true},
		{"DTS cut", func(p Packet) { shrink(p, 18) }, true, true},
		{"nothing left", func(p Packet) { shrink(p, 5) }, false, false},
	} {
		p := Packet(bytes.Clone(whole))
		c.edit(p)
		if _, ok := p.PTS(); ok != c.pts {
			t.Errorf("%s: PTS is %v", c.name, ok)
		}
		if _, _, cut := p.ptsFields(); cut != c.cut {
			t.Errorf("%s: cut is %v", c.name, cut)
		}
	}
}

// shrink leaves the first n bytes of the payload at the packet's end.
func shrink(p Packet, n int) {
	b := bytes.Clone(p.Payload()[:n])
	p[3] |= 0x20
	p[4] = byte(183 - n)
	clear(p[5:])
	copy(p[PacketSize-n:], b)
}

// TestPacketAgainstAstits reads packets with an independent parser.
func TestPacketAgainstAstits(t *testing.T) {
	for _, v := range []PCR{0, 12345678901, PCRModulus - 1} {
		p := pcrPacket(0x123, v)
		p.SetPUSI(true)
		copy(p.Payload(), pesPacket(0x100, Timestamp(v/300), Timestamp(v/300).Add(-9))[4:23])
		d := astits.NewDemuxer(context.Background(), bytes.NewReader(p), astits.DemuxerOptPacketSize(PacketSize))
		q, err := d.NextPacket()
		if err != nil {
			t.Fatal(err)
		}
		pcr := q.AdaptationField.PCR
		if q.Header.PID != 0x123 || PCR(pcr.Base*300+pcr.Extension) != v {
			t.Errorf("go-astits reads PID %#x PCR %d/%d", q.Header.PID, pcr.Base, pcr.Extension)
		}
		d = astits.NewDemuxer(context.Background(), bytes.NewReader(p), astits.DemuxerOptPacketSize(PacketSize))
		x, err := d.NextData()
		if err != nil {
			t.Fatal(err)
		}
		h := x.PES.Header.OptionalHeader
		if Timestamp(h.PTS.Base) != Timestamp(v/300) || Timestamp(h.DTS.Base) != Timestamp(v/300).Add(-9) {
			t.Errorf("go-astits reads PTS %d DTS %d", h.PTS.Base, h.DTS.Base)
		}
	}
}

func TestNullPacket(t *testing.T) {
	p := Packet(NullPacket[:])
	if !p.Valid() || p.PID() != NullPID || !p.HasPayload() || p.HasAdaptation() {
		t.Errorf("% x", p[:4])
	}
	b := AppendNull(nil, 3)
	if len(b) != 3*PacketSize || !bytes.Equal(b[2*PacketSize:], NullPacket[:]) {
		t.Errorf("%d bytes", len(b))
	}
	buf := make([]byte, 0, 7*PacketSize)
	if n := testing.AllocsPerRun(100, func() { buf = AppendNull(buf[:0], 7) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add([]byte(pcrPacket(0x100, 77)))
	f.Add([]byte(pesPacket(0x100, 5, 6)))
	f.Add([]byte(afOnly(0x100, 3)))
	f.Add(NullPacket[:])
	var c Continuity
	var r Restamper
	f.Fuzz(func(t *testing.T, b []byte) {
		p := make(Packet, PacketSize)
		copy(p, b)
		q := Packet(bytes.Clone(p))
		n := len(p.Payload())
		// Writing back what was read changes nothing that is read.
		if v, ok := p.PCR(); ok {
			p.SetPCR(v)
			if w, _ := p.PCR(); w != v || v >= PCRModulus {
				t.Fatalf("PCR %d became %d", v, w)
			}
		}
		if v, ok := p.OPCR(); ok {
			p.SetOPCR(v)
			if w, _ := p.OPCR(); w != v {
				t.Fatalf("OPCR %d became %d", v, w)
			}
		}
		if v, ok := p.PTS(); ok {
			p.SetPTS(v)
		}
		if v, ok := p.DTS(); ok {
			p.SetDTS(v)
		}
		p.SetDiscontinuity(p.Discontinuity())
		p.SetPID(p.PID())
		p.SetCC(p.CC())
		if len(p.Payload()) != n {
			t.Fatal("payload moved")
		}
		a, ok1 := p.PTS()
		b2, ok2 := q.PTS()
		if a != b2 || ok1 != ok2 {
			t.Fatal("PTS changed")
		}
		if _, ok := p.PCR(); !ok && !bytes.Equal(p, q) {
			if _, ok := p.OPCR(); !ok {
				t.Fatal("writing back changed the packet")
			}
		}
		_, _ = p.RandomAccess(), p.Scrambling()
		c.Check(p)
		r.Loop(int64(math.MaxInt32))
		r.Restamp(p)
	})
}

// scan is the work done on every packet: header, continuity, PCR.
func scan(c *Continuity, ts []byte) (pcrs uint64) {
	for ; len(ts) >= PacketSize; ts = ts[PacketSize:] {
		p := Packet(ts[:PacketSize])
		c.Check(p)
		if v, ok := p.PCR(); ok {
			pcrs += uint64(v)
		}
	}
	return pcrs
}

func TestScanAllocs(t *testing.T) {
	ts := testStream(10e6, 1000)
	c := new(Continuity)
	if n := testing.AllocsPerRun(100, func() { scan(c, ts) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r := new(Restamper)
	r.Loop(PCRHz)
	if n := testing.AllocsPerRun(100, func() { r.Restamp(ts) }); n != 0 {
		t.Errorf("%v allocations to restamp", n)
	}
}

func BenchmarkScan(b *testing.B) {
	ts := testStream(10e6, 5000)
	c := new(Continuity)
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		scan(c, ts)
	}
}

func BenchmarkRestamp(b *testing.B) {
	ts := testStream(10e6, 5000)
	r := new(Restamper)
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		r.Loop(int64(r.pass) * PCRHz)
		r.Restamp(ts)
	}
}
