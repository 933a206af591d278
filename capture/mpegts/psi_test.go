package mpegts

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/asticode/go-astits"
	"github.com/google/go-cmp/cmp"
)

func TestCRC32(t *testing.T) {
	// The check value of CRC-32/MPEG-2.
	if c := CRC32([]byte("123456789")); c != 0x0376E6E7 {
		t.Errorf("%#x", c)
	}
	if c := CRC32(section(0x00, 1, 0, 0, 0, []byte{1, 2, 3, 4})); c != 0 {
		t.Errorf("over a sound section: %#x", c)
	}
}

// longSection is a section of n bytes in all.
func longSection(table uint8, n int, seed byte) []byte {
	body := make([]byte, n-12)
	for i := range body {
		body[i] = byte(i)*7 + seed
	}
	return section(table, 1, 0, 0, 0, body)
}

// pack puts sections one behind the other into packets, as multiplexers do.
func pack(pid PID, sections ...[]byte) (list []Packet) {
	var stream []byte
	var starts []int
	for _, s := range sections {
		starts = append(starts, len(stream))
		stream = append(stream, s...)
	}
	for at := 0; at < len(stream); {
		p := Packet(AppendNull(nil, 1))
		p.SetPID(pid)
		p.SetCC(uint8(len(list)))
		b := p.Payload()
		for _, s := range starts {
			if s >= at && s < at+183 {
				p.SetPUSI(true)
				b[0], b = byte(s-at), b[1:]
				break
			}
		}
		at += copy(b, stream[at:])
		list = append(list, p)
	}
	return list
}

func TestSectionAssembler(t *testing.T) {
	for _, sizes := range [][]int{{12}, {183}, {184}, {185, 12}, {16, 16, 16}, {1024}, {4096}, {182, 30}, {181, 30}, {180, 30}, {600, 20, 4096, 12, 367, 100}} {
		var want [][]byte
		for i, n := range sizes {
			want = append(want, longSection(0x42, n, byte(i)))
		}
		var a SectionAssembler
		var got [][]byte
		for _, p := range pack(0x11, want...) {
			a.Push(p, func(s []byte) { got = append(got, bytes.Clone(s)) })
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("sizes %v: %d sections\n%s", sizes, len(got), d)
		}
		if s := a.Stats(); s.Sections != uint64(len(sizes)) || s.Unfinished+s.Malformed != 0 {
			t.Errorf("sizes %v: %+v", sizes, s)
		}
	}
}

func TestSectionAssemblerTrouble(t *testing.T) {
	a, b := longSection(0x42, 500, 1), longSection(0x42, 400, 2)
	list := func() []Packet { return pack(0x11, a, b) }
	repeat := func(l []Packet, i int) []Packet {
		return append(l[:i+1:i+1], l[i:]...)
	}
	without := func(l []Packet, i int) []Packet { return append(l[:i:i], l[i+1:]...) }
	edit := func(l []Packet, i int, f func(Packet)) []Packet { f(l[i]); return l }
	for _, c := range []struct {
		name       string
		list       []Packet
		sections   int
		unfinished uint64
		malformed  uint64
	}{
		{"untouched", list(), 2, 0, 0},
		{"a packet twice", repeat(list(), 1), 2, 0, 0},
		{"the first lost", without(list(), 0), 1, 0, 0},
		{"one lost", without(list(), 1), 1, 1, 0},
		{"the last lost", without(list(), len(list())-1), 1, 0, 0},
		{"damaged", edit(list(), 1, func(p Packet) { p.SetTransportError(true) }), 1, 1, 0},
		{"scrambled", edit(list(), 1, func(p Packet) { p[3] |= 0x80 }), 1, 1, 0},
		{"pointer beyond the packet", edit(list(), 2, func(p Packet) { p[4] = 184 }), 0, 1, 1},
		{"pointer too early", edit(list(), 2, func(p Packet) { p[4] -= 10 }), 0, 1, 0},
		{"length cut in two and beyond 4096", func() []Packet {
			l := pack(0x11, longSection(0x42, 181, 1), a, b)
			l[0][187], l[1][4] = 0xBF, 0xFF
			return l
		}(), 2, 0, 1},
		{"length beyond 4096", edit(list(), 0, func(p Packet) { p[6], p[7] = p[6]|0x0F, 0xFF }), 1, 0, 1},
	} {
		var x SectionAssembler
		n := 0
		for _, p := range c.list {
			x.Push(p, func(s []byte) {
				if CRC32(s) == 0 {
					n++
				}
			})
		}
		if s := x.Stats(); n != c.sections || s.Unfinished != c.unfinished || s.Malformed != c.malformed {
			t.Errorf("%s: %d sound sections, %+v; want %d, %d unfinished, %d malformed", c.name, n, s, c.sections, c.unfinished, c.malformed)
		}
	}
}

func TestSectionAssemblerReset(t *testing.T) {
	var a SectionAssembler
	n := 0
	emit := func([]byte) { n++ }
	list := pack(0x11, longSection(0x42, 300, 1))
	a.Push(list[0], emit)
	a.Reset()
	a.Push(list[1], emit) // goes on with what is forgotten
	if s := a.Stats(); n != 0 || s.Unfinished != 1 {
		t.Errorf("%d sections, %+v", n, s)
	}
	a.Reset()
	for _, p := range list { // the counter of the first is not the next one
		a.Push(p, emit)
	}
	if s := a.Stats(); n != 1 || s.Unfinished != 1 {
		t.Errorf("%d sections, %+v", n, s)
	}
}

func patBody(pairs ...uint16) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = binary.BigEndian.AppendUint16(b, pairs[i])
		b = binary.BigEndian.AppendUint16(b, 0xE000|pairs[i+1])
	}
	return b
}

func sdtBody(entries ...string) []byte {
	b := []byte{0, 1, 0xFF}
	for i := 0; i < len(entries); i += 2 {
		d := append([]byte{1, byte(len(entries[i+1]))}, entries[i+1]...)
		d = append(append(d, byte(len(entries[i]))), entries[i]...)
		d = append([]byte{0x48, byte(len(d))}, d...)
		b = append(b, 0, byte(i/2+1), 0xFC, 0x80, byte(len(d)))
		b = append(b, d...)
	}
	return b
}

func push(t *Tables, cc map[PID]uint8, pid PID, s []byte) {
	for _, p := range sectionPackets(pid, cc[pid], s) {
		cc[pid]++
		t.Push(p)
	}
}

func TestTables(t *testing.T) {
	x := NewTables()
	cc := map[PID]uint8{}
	if len(x.Programs()) != 0 {
		t.Error("programs before any table")
	}
	// The SDT and a PMT come before the PAT: the first is kept, the second not.
	push(x, cc, SDTPID, section(0x42, 7, 0, 0, 0, sdtBody("One", "Quartet", "Zwei", "")))
	pmt1 := section(0x02, 1, 0, 0, 0, []byte{0xE1, 0x00, 0xF0, 0,
		0x1B, 0xE1, 0x00, 0xF0, 0,
		0x06, 0xE1, 0x01, 0xF0, 9, 0x7A, 1, 0, 0x0A, 4, 'd', 'e', 'u', 0,
		0x06, 0xE1, 0x02, 0xF0, 10, 0x59, 8, 'f', 'r', 'a', 0x10, 0, 1, 0, 1,
		0x86, 0xE1, 0x03, 0xF0, 6, 0x05, 4, 'C', 'U', 'E', 'I',
		0x06, 0xE1, 0x04, 0xF0, 0})
	push(x, cc, 0x1000, pmt1)
	push(x, cc, PATPID, section(0x00, 7, 3, 0, 0, patBody(0, 0x10, 2, 0x1001, 1, 0x1000)))
	push(x, cc, 0x1000, pmt1)
	want := []Program{
		{Number: 1, PMTPID: 0x1000, HasPMT: true, PCRPID: 0x100, Name: "One", Provider: "Quartet", ServiceType: 1, Components: []Component{
			{PID: 0x100, StreamType: 0x1B, Codec: "h264", Kind: KindVideo},
			{PID: 0x101, StreamType: 0x06, Codec: "eac3", Kind: KindAudio, Language: "deu"},
			{PID: 0x102, StreamType: 0x06, Codec: "dvbsub", Kind: KindSubtitles, Language: "fra"},
			{PID: 0x103, StreamType: 0x86, Codec: "scte35", Kind: KindCue},
			{PID: 0x104, StreamType: 0x06, Kind: KindData},
		}},
		{Number: 2, PMTPID: 0x1001, PCRPID: NullPID, Name: "Zwei", ServiceType: 1},
	}
	if d := cmp.Diff(want, x.Programs()); d != "" {
		t.Error(d)
	}
	if id, ok := x.TransportStreamID(); id != 7 || !ok {
		t.Errorf("transport_stream_id %d, %v", id, ok)
	}

	// Repeats change nothing and cost no memory.
	g := x.Generation()
	again := sectionPackets(0x1000, cc[0x1000], pmt1)[0]
	if n := testing.AllocsPerRun(100, func() {
		again.SetCC(cc[0x1000])
		cc[0x1000]++
		x.Push(again)
	}); n != 0 {
		t.Errorf("%v allocations for a repeated section", n)
	}
	if x.Generation() != g {
		t.Error("a repeat is a change")
	}

	// What is not valid yet, damaged, or of a stranger is not taken.
	next := section(0x02, 1, 1, 0, 0, []byte{0xE2, 0x00, 0xF0, 0})
	next[5] &^= 1
	binary.BigEndian.PutUint32(next[len(next)-4:], CRC32(next[:len(next)-4]))
	push(x, cc, 0x1000, next)
	bad := section(0x02, 1, 1, 0, 0, []byte{0xE2, 0x00, 0xF0, 0})
	bad[9]++
	push(x, cc, 0x1000, bad)
	push(x, cc, 0x1000, section(0x02, 9, 1, 0, 0, []byte{0xE2, 0x00, 0xF0, 0}))
	push(x, cc, 0x1001, section(0x02, 1, 1, 0, 0, []byte{0xE2, 0x00, 0xF0, 0}))
	if d := cmp.Diff(want, x.Programs()); d != "" {
		t.Error(d)
	}
	if s := x.Stats(); s.CRCErrors != 1 {
		t.Errorf("%+v", s)
	}

	// New versions.
	push(x, cc, 0x1000, section(0x02, 1, 1, 0, 0, []byte{0xFF, 0xFF, 0xF0, 0, 0x24, 0xE1, 0x00, 0xF0, 0}))
	push(x, cc, PATPID, section(0x00, 7, 4, 0, 0, patBody(1, 0x1000)))
	push(x, cc, SDTPID, section(0x42, 7, 1, 0, 0, sdtBody("Uno", "")))
	want = []Program{{Number: 1, PMTPID: 0x1000, HasPMT: true, PCRPID: NullPID, Name: "Uno", ServiceType: 1,
		Components: []Component{{PID: 0x100, StreamType: 0x24, Codec: "h265", Kind: KindVideo}}}}
	if d := cmp.Diff(want, x.Programs()); d != "" {
		t.Error(d)
	}
	if x.follow[0x1001] != nil {
		t.Error("the PMT PID of a program that is gone is still followed")
	}
	if x.Generation() <= g {
		t.Error("no change was counted")
	}
}

func TestTablesPATInSections(t *testing.T) {
	x := NewTables()
	cc := map[PID]uint8{}
	push(x, cc, PATPID, section(0x00, 1, 0, 1, 1, patBody(2, 0x200)))
	if len(x.Programs()) != 0 {
		t.Error("half a PAT was taken")
	}
	push(x, cc, PATPID, section(0x00, 1, 0, 0, 1, patBody(1, 0x100)))
	if n := len(x.Programs()); n != 2 {
		t.Errorf("%d programs", n)
	}
	push(x, cc, PATPID, section(0x00, 1, 1, 0, 0, patBody(3, 0x300)))
	if p := x.Programs(); len(p) != 1 || p[0].Number != 3 {
		t.Errorf("%+v", p)
	}
}

// TestTablesBounded: a stream that wants memory does not get it.
func TestTablesBounded(t *testing.T) {
	x := NewTables()
	cc := map[PID]uint8{}
	// Programs without end, in a PAT of many sections.
	for n := range 200 {
		var body []uint16
		for i := range 250 {
			body = append(body, uint16(n*250+i+1), uint16(0x20+(n*250+i)%0x1F00))
		}
		push(x, cc, PATPID, section(0x00, 1, 0, uint8(n), 199, patBody(body...)))
	}
	// PMT PIDs that never start a section, and others that never end one.
	for pid := PID(0x20); pid < 0x1F20; pid++ {
		for range 20 {
			p := dataPacket(pid, cc[pid])
			cc[pid]++
			x.Push(p)
		}
		p := dataPacket(pid, cc[pid])
		p.SetPUSI(true)
		p[4], p[5], p[6], p[7] = 0, 2, 0xBF, 0xFD
		x.Push(p)
	}
	// Services without end.
	for n := range 256 {
		var names []string
		for range 40 {
			names = append(names, "x", "y")
		}
		b := section(0x42, 1, 0, uint8(n), 255, sdtBody(names...))
		for i := 11; i+9 < len(b)-4; i += 12 { // give each another number
			b[i] = byte(n)
		}
		binary.BigEndian.PutUint32(b[len(b)-4:], CRC32(b[:len(b)-4]))
		push(x, cc, SDTPID, b)
	}
	followed, held := 0, 0
	for _, f := range x.follow {
		if f != nil {
			followed++
			held += cap(f.sections.buf)
		}
	}
	s := x.Stats()
	if followed > maxPrograms+len(fixedPIDs) || held > followed*2*maxSection || len(x.programs) != maxPrograms || len(x.services) > maxServices || len(x.seen) > maxSections {
		t.Errorf("%d PIDs, %d bytes, %d programs, %d services, %d sections known", followed, held, len(x.programs), len(x.services), len(x.seen))
	}
	if s.OverLimit == 0 {
		t.Errorf("%+v", s)
	}
}

func TestTablesRefuse(t *testing.T) {
	x := NewTables()
	cc := map[PID]uint8{}
	push(x, cc, PATPID, section(0x00, 1, 0, 0, 0, patBody(1, 0x00, 2, 0x11, 3, 0x1FFF, 4, 0x100)))
	push(x, cc, 0x100, section(0x02, 4, 0, 0, 0, []byte{0xE1, 0x00, 0xF3, 0xFF})) // descriptors longer than the section
	push(x, cc, 0x100, []byte{2, 0xB0, 3, 0, 4, 0xC1})                            // no room for a CRC
	push(x, cc, 0x100, []byte{2, 0x30, 9, 0, 4, 0xC1, 0, 0, 0, 0, 0, 0})          // no section syntax
	p := x.Programs()
	if len(p) != 1 || p[0].Number != 4 || p[0].HasPMT {
		t.Errorf("%+v", p)
	}
	if s := x.Stats(); s.Refused != 6 {
		t.Errorf("%+v", s)
	}
}

func TestDVBText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"BBC One", "BBC One"},
		{"Caf\xC2e", "Cafe\u0301"},
		{"\xC8Uber \xFB\xA4", "U\u0308ber ß€"},
		{"\xC0x\xC9y", "\uFFFDx\uFFFDy"},
		{"\x15Grüße", "Grüße"},
		{"\x15\xFFx", "\uFFFDx"},
		{"\x11\x04\x1F\x04\x40", "Пр"},
		{"\x01\xBF\xE0\xD8", "Пр\u0438"},
		{"\x05\xDDstanbul", "İstanbul"},
		{"\x01\xF0\xFD\xAD1", "№§\u00ad1"},
		{"\x10\x00\x01\xE9t\xE9", "été"},
		{"\x10\x00\x0F\xA4", "€"},
		{"\x10\x00", ""},
		{"\x0B\xA4 5", "€ 5"},
		{"\x0A\xA4 5", "\uFFFD 5"},
		{"\x02\xA4", "\uFFFD"},
		{"\x86loud\x87\x8Aline\x00\x1b[2J", "loud line[2J"},
		{"\x15a\u202eb\u2028c", "abc"},
		{"\x1F\x01abc", "abc"},
	} {
		if got := DVBText([]byte(c.in)); got != c.want {
			t.Errorf("%q is %q, want %q", c.in, got, c.want)
		}
	}
}

func TestCodec(t *testing.T) {
	tag := func(tags ...uint8) (d []*astits.Descriptor) {
		for _, x := range tags {
			d = append(d, &astits.Descriptor{Tag: x})
		}
		return d
	}
	reg := func(s string) []*astits.Descriptor {
		return []*astits.Descriptor{{Tag: 5, Registration: &astits.DescriptorRegistration{FormatIdentifier: fourCC(s)}}}
	}
	for _, c := range []struct {
		kind uint8
		d    []*astits.Descriptor
		want string
	}{
		{0x02, nil, "mpeg2video"}, {0x1B, reg("HDMV"), "h264"}, {0x24, nil, "h265"}, {0x0F, nil, "aac"},
		{0x06, tag(0x52, 0x6A), "ac3"}, {0x06, tag(0x7A), "eac3"}, {0x06, tag(0x7B), "dts"}, {0x06, tag(0x7C), "aac"},
		{0x06, tag(0x59), "dvbsub"}, {0x06, tag(0x56), "teletext"}, {0x06, tag(0x46), "teletext"}, {0x06, reg("Opus"), "opus"},
		{0x06, reg("BSSD"), "s302m"}, {0x06, reg("????"), ""}, {0x06, nil, ""}, {0x81, nil, "ac3"}, {0x86, reg("CUEI"), "scte35"},
		{0x80, reg("HEVC"), "h265"}, {0xC1, nil, ""},
	} {
		if got := codec(c.kind, c.d); got != c.want {
			t.Errorf("type %#x: %q, want %q", c.kind, got, c.want)
		}
	}
	if l := language([]*astits.Descriptor{{Teletext: &astits.DescriptorTeletext{Items: []*astits.DescriptorTeletextItem{{Language: []byte("swe")}}}}}); l != "swe" {
		t.Errorf("language %q", l)
	}
}

func FuzzDVBText(f *testing.F) {
	f.Add([]byte("\x11\x04\x1F"))
	f.Add([]byte("Caf\xC2e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := DVBText(b)
		if len(s) > 4*len(b) {
			t.Fatalf("%d bytes become %d", len(b), len(s))
		}
		for _, r := range s {
			if r < 0x20 || r == 0x7F {
				t.Fatalf("control character %#x", r)
			}
		}
	})
}

// FuzzTables takes the bytes as sections on the PIDs of tables, with their
// checksum made right, and as packets.
func FuzzTables(f *testing.F) {
	f.Add([]byte(nil), patBody(1, 0x100, 2, 0x101), uint8(0), uint8(0))
	f.Add([]byte(nil), []byte{0xE1, 0x00, 0xF0, 0, 0x1B, 0xE1, 0x00, 0xF0, 6, 10, 4, 'e', 'n', 'g', 0}, uint8(2), uint8(1))
	f.Add([]byte(nil), sdtBody("One", "Two"), uint8(0x42), uint8(2))
	f.Add([]byte(sectionPacket(PATPID, section(0, 1, 0, 0, 0, patBody(1, 0x100)))), []byte(nil), uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, packets, body []byte, table, where uint8) {
		x := NewTables()
		cc := map[PID]uint8{}
		push(x, cc, PATPID, section(0x00, 1, 0, 0, 0, patBody(1, 0x100)))
		pid := []PID{PATPID, 0x100, SDTPID}[where%3]
		push(x, cc, pid, section(table, 1, 1, 0, 0, body[:min(len(body), 4000)]))
		for len(packets) >= PacketSize {
			p := Packet(bytes.Clone(packets[:PacketSize]))
			if packets = packets[PacketSize:]; len(packets)%2 == 0 {
				p.SetPID([]PID{PATPID, 0x100, SDTPID}[p[4]%3])
			}
			x.Push(p)
		}
		for _, p := range x.Programs() {
			if p.Number == 0 || len(p.Components) > maxSection {
				t.Fatalf("%+v", p)
			}
		}
		if len(x.programs) > maxPrograms || len(x.services) > maxServices {
			t.Fatal("over the bounds")
		}
	})
}

func FuzzSectionAssembler(f *testing.F) {
	var seed []byte
	for _, p := range pack(0x11, longSection(0x42, 500, 1), longSection(0x42, 30, 2)) {
		seed = append(seed, p...)
	}
	f.Add(seed, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		var a SectionAssembler
		for cc := uint8(0); len(b) > 0; cc++ {
			p := Packet(AppendNull(nil, 1))
			b = b[copy(p[1:], b):]
			if r.IntN(4) > 0 { // mostly believable headers
				p[1] &^= 0x80
				p[3] = 0x10 | cc&0x0F
			}
			a.Push(p, func(s []byte) {
				if len(s) < 3 || len(s) != sectionLength(s) {
					t.Fatalf("a section of %d bytes", len(s))
				}
			})
			if cap(a.buf) > 2*maxSection {
				t.Fatalf("%d bytes held", cap(a.buf))
			}
		}
	})
}

func BenchmarkTables(b *testing.B) {
	ts := testStream(10e6, 5000)
	x := NewTables()
	x.Push(ts)
	b.SetBytes(int64(len(ts)))
	b.ReportAllocs()
	for b.Loop() {
		x.Push(ts)
	}
}
