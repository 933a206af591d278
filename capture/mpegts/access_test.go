package mpegts

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ca is a CA descriptor.
func ca(system uint16, pid PID, private ...byte) []byte {
	return append([]byte{0x09, byte(4 + len(private)), byte(system >> 8), byte(system), 0xE0 | byte(pid>>8), byte(pid)}, private...)
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestTablesAccess(t *testing.T) {
	x := NewTables()
	if x.NetworkPID() != NITPID || len(x.AccessPIDs()) != 0 {
		t.Errorf("before any table: NIT on %#x, %v", x.NetworkPID(), x.AccessPIDs())
	}
	cc := map[PID]uint8{}
	push(x, cc, PATPID, section(0x00, 1, 0, 0, 0, patBody(0, 0x30, 1, 0x100)))
	program := join(ca(0x0100, 0x1F0), ca(0x2600, NullPID), ca(0x0100, 0x1F0, 1, 2, 3))
	own := join(ca(0x0500, 0x1F1), []byte{0x02, 3, 0x01, 0, 0})
	pmt := join([]byte{0xE1, 0x01, 0xF0, byte(len(program))}, program,
		[]byte{0x02, 0xE1, 0x01, 0xF0, byte(len(own))}, own)
	push(x, cc, 0x100, section(0x02, 1, 0, 0, 0, pmt))
	p := x.Programs()
	if len(p) != 1 || len(p[0].Components) != 1 {
		t.Fatalf("%+v", p)
	}
	if d := cmp.Diff([]PID{0x1F0}, p[0].CAPIDs); d != "" {
		t.Error(d)
	}
	want := Component{PID: 0x101, StreamType: 0x02, Codec: "mpeg2video", Kind: KindVideo, Still: true, CAPIDs: []PID{0x1F1}}
	if d := cmp.Diff(want, p[0].Components[0]); d != "" {
		t.Error(d)
	}
	if x.NetworkPID() != 0x30 {
		t.Errorf("NIT on %#x", x.NetworkPID())
	}

	cat := section(0x01, 0xFFFF, 0, 0, 1, join(ca(0x0100, 0x50), []byte{0x65, 1, 0}, ca(0x0500, 0x51)))
	push(x, cc, CATPID, cat)
	push(x, cc, CATPID, section(0x01, 0xFFFF, 0, 1, 1, ca(0x0600, 0x52)))
	if d := cmp.Diff([]PID{0x50, 0x51, 0x52}, x.AccessPIDs()); d != "" {
		t.Error(d)
	}
	g := x.Generation()
	push(x, cc, CATPID, cat)
	if x.Generation() != g {
		t.Error("a repeated CAT is a change")
	}
	push(x, cc, CATPID, section(0x01, 0xFFFF, 1, 0, 0, join(ca(0x0100, 0x53), []byte{0x09, 200, 0})))
	if d := cmp.Diff([]PID{0x53}, x.AccessPIDs()); d != "" || x.Stats().Refused != 1 {
		t.Errorf("%s %+v", d, x.Stats())
	}

	// A CAT that wants memory does not get it.
	for n := range 200 {
		var body []byte
		for i := range 100 {
			body = append(body, ca(1, PID(0x20+(n*100+i)%0x1F00))...)
		}
		push(x, cc, CATPID, section(0x01, 0xFFFF, 2, uint8(n), 199, body))
	}
	if n := len(x.AccessPIDs()); n != maxAccess || x.Stats().OverLimit == 0 {
		t.Errorf("%d PIDs, %+v", n, x.Stats())
	}

	push(x, cc, PATPID, section(0x00, 1, 1, 0, 0, patBody(0, 0x05, 1, 0x100)))
	if x.NetworkPID() != NITPID {
		t.Errorf("NIT on %#x", x.NetworkPID())
	}
}

// TestTablesSection: sections given whole make the same tables as packets.
func TestTablesSection(t *testing.T) {
	x := NewTables()
	pat := section(0x00, 1, 0, 0, 0, patBody(1, 0x100))
	pmt := section(0x02, 1, 0, 0, 0, []byte{0xE1, 0x00, 0xF0, 0, 0x1B, 0xE1, 0x00, 0xF0, 0})
	if !x.Section(PATPID, pat) || x.Section(PATPID, pat) {
		t.Error("a PAT is new once")
	}
	if x.Section(0x101, pat) || x.Section(PATPID, pmt) {
		t.Error("a table on a PID that is not its own was taken")
	}
	bad := append([]byte{}, pmt...)
	bad[9]++
	if x.Section(0x100, bad) || !x.Section(0x100, pmt) {
		t.Error("a damaged PMT was taken, or a sound one not")
	}
	if n := testing.AllocsPerRun(100, func() { x.Section(0x100, pmt) }); n != 0 {
		t.Errorf("%v allocations for a repeated section", n)
	}
	if p := x.Programs(); len(p) != 1 || !p[0].HasPMT || len(p[0].Components) != 1 {
		t.Errorf("%+v", p)
	}
	if s := x.Stats(); s.CRCErrors != 1 {
		t.Errorf("%+v", s)
	}
}

func TestComponents(t *testing.T) {
	for _, c := range []struct {
		streamType byte
		descriptor []byte
		codec      string
		kind       Kind
	}{
		{0x02, nil, "mpeg2video", KindVideo},
		{0x1B, []byte{0x28, 4, 100, 0, 40, 0x3F}, "h264", KindVideo},
		{0x32, nil, "jpegxs", KindVideo},
		{0x04, nil, "mpeg2audio", KindAudio},
		{0x0F, nil, "aac", KindAudio},
		{0x11, nil, "aac-latm", KindAudio},
		{0x06, []byte{0x7C, 1, 0x58}, "aac", KindAudio},
		{0x06, []byte{0x6A, 1, 0}, "ac3", KindAudio},
		{0x06, []byte{0x7A, 1, 0}, "eac3", KindAudio},
		{0x81, nil, "ac3", KindAudio},
		{0x87, nil, "eac3", KindAudio},
		{0x06, []byte{0x05, 4, 'B', 'S', 'S', 'D'}, "s302m", KindAudio},
		{0x06, []byte{0x05, 4, 'O', 'p', 'u', 's'}, "opus", KindAudio},
		{0x06, []byte{0x7F, 2, 0x15, 0}, "ac4", KindAudio},
		{0x06, []byte{0x7F, 3, 0x20, 0, 0}, "ttml", KindSubtitles},
		{0x06, []byte{0x59, 8, 'e', 'n', 'g', 0x10, 0, 1, 0, 1}, "dvbsub", KindSubtitles},
		{0x06, []byte{0x56, 5, 'e', 'n', 'g', 0x09, 0}, "teletext", KindTeletext},
		{0x06, []byte{0x46, 5, 'e', 'n', 'g', 0x09, 0}, "teletext", KindTeletext},
		{0x06, []byte{0x45, 3, 1, 1, 0xE0}, "vbi", KindTeletext},
		{0x86, []byte{0x05, 4, 'C', 'U', 'E', 'I'}, "scte35", KindCue},
		{0x86, nil, "scte35", KindCue},
		{0x0B, nil, "dsmcc", KindData},
		{0x05, []byte{0x6F, 3, 0, 1, 0xE0}, "ait", KindData},
		{0x05, nil, "", KindData},
		{0x06, []byte{0x05, 4, 'K', 'L', 'V', 'A'}, "klv", KindData},
		{0x06, nil, "", KindData},
	} {
		x := NewTables()
		x.Section(PATPID, section(0x00, 1, 0, 0, 0, patBody(1, 0x100)))
		x.Section(0x100, section(0x02, 1, 0, 0, 0, join([]byte{0xFF, 0xFF, 0xF0, 0, c.streamType, 0xE1, 0x01, 0xF0, byte(len(c.descriptor))}, c.descriptor)))
		p := x.Programs()
		if len(p) != 1 || len(p[0].Components) != 1 {
			t.Errorf("type %#x, descriptor %x: %+v, %+v", c.streamType, c.descriptor, p, x.Stats())
			continue
		}
		if got := p[0].Components[0]; got.Codec != c.codec || got.Kind != c.kind {
			t.Errorf("type %#x, descriptor %x: %q, %q; want %q, %q", c.streamType, c.descriptor, got.Codec, got.Kind, c.codec, c.kind)
		}
	}
}
