package rtp

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"
	"pgregory.net/rapid"
)

const testBox, testGateway = 0x11223344, 0x99aabbcc

// golden are the reports of testdata/reports.json, which was packed from the
// offset tables without any Go code.
func golden() map[string]*Report {
	last := Window{SSRC: testBox, Timestamp: 0x15f80, Number: 0, Sum: 0xffeeddccbb}
	return map[string]*Report{
		"settings": {
			SSRC: testBox, CNAME: "quartet-11223344",
			Sender: &SenderInfo{NTP: NTP(3500 * time.Millisecond), Timestamp: 0xdeadbeef, Packets: 1000, Octets: 1316000},
			Settings: &Settings{
				SSRC: testBox, Path: 3, Leg: 2, Stream: 1,
				TotalLatency: time.Second, SRTLatency: 480 * time.Millisecond,
				Stagger: 15 * time.Millisecond, MaxBlock: 70 * time.Millisecond,
				K: 64, R: 6, Streams: 4, RepairPT: 98, PacketsPerMessage: 7, BitRate: 20_000_000,
			},
		},
		"reports": {
			SSRC: testGateway, CNAME: "gateway 1a",
			Blocks: []rtcp.ReceptionReport{{
				SSRC: testBox, FractionLost: 25, TotalLost: 0xfffffe, LastSequenceNumber: 0x1ffff,
				Jitter: 225, LastSenderReport: 0x38000, Delay: 65536,
			}},
			Path: &PathReport{
				SSRC: testBox, Path: 3, HighestSeq: 0x1ffff,
				Skew: -1500 * time.Microsecond, Jitter: 2500 * time.Microsecond, Number: 77,
				Received: 1, LostHere: 2, ByOther: 3, ByParity: 4, Unrecovered: 5,
				Late: 6, BadTag: 7, Malformed: 8, Duplicates: 1 << 40,
				Windows: []Window{{SSRC: testBox, Timestamp: 0xfffffff0, Number: 63, Sum: 0x123456789ab}, last},
			},
			Merged: &MergedReport{
				SSRC: testBox, K: 64, HighestSeq: 0x20005,
				Margin: -250 * time.Millisecond, Latency: time.Second, Number: 77, Paths: 1<<63 | 5,
				Delivered: 11, ByParity: 12, Lost: 13, Duplicates: 14, Late: 15,
				Disagreeing: 16, RefusedEpoch: 17, Epochs: 18, BitRate: 20_000_001,
				Windows: []Window{last},
			},
		},
		"probe":  {SSRC: testBox, CNAME: "quartet-11223344", Probe: &Probe{ID: 0xabcdef01, Size: MaxMessage}},
		"answer": {SSRC: testGateway, CNAME: "quartet-99aabbcc", Answer: &ProbeAnswer{ID: 0xabcdef01, Largest: 1456, Count: 3}},
	}
}

func goldenPackets(tb testing.TB) map[string][]byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/reports.json")
	if err != nil {
		tb.Fatal(err)
	}
	var list []struct{ Name, Packet string }
	if err := json.Unmarshal(b, &list); err != nil {
		tb.Fatal(err)
	}
	m := map[string][]byte{}
	for _, e := range list {
		m[e.Name] = unhex(tb, e.Packet)
	}
	return m
}

func appendReport(tb testing.TB, r *Report) []byte {
	tb.Helper()
	b, err := r.Append(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestReportGolden(t *testing.T) {
	packets := goldenPackets(t)
	reports := golden()
	if len(packets) != len(reports) {
		t.Fatalf("%d packets, %d reports", len(packets), len(reports))
	}
	for name, want := range packets {
		r := reports[name]
		got, err := ParseReport(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if b := appendReport(t, r); !bytes.Equal(b, want) {
			t.Errorf("%s:\n%s, want\n%s", name, hex.EncodeToString(b), hex.EncodeToString(want))
		}
		if !IsRTCP(want) {
			t.Errorf("%s: not taken for RTCP", name)
		}
		// It is a compound by pion's rules too (SR or RR first, then CNAME).
		var c rtcp.CompoundPacket
		if err := c.Unmarshal(want); err != nil {
			t.Errorf("%s: pion: %v", name, err)
		}
	}
}

// drawWindows draws digest windows as parsing returns them: nil if none.
func drawWindows(t *rapid.T, ssrc uint32) []Window {
	return rapid.OneOf(rapid.Just[[]Window](nil), rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Window {
		return Window{
			SSRC:      ssrc,
			Timestamp: rapid.Uint32().Draw(t, "ts"),
			Number:    uint8(rapid.IntRange(0, 63).Draw(t, "number")),
			Sum:       rapid.Uint64().Draw(t, "sum"),
		}
	}), 1, MaxReportWindows)).Draw(t, "windows")
}

func TestReportRoundTrip(t *testing.T) {
	u8, u32, u64 := rapid.Uint8(), rapid.Uint32(), rapid.Uint64()
	rapid.Check(t, func(t *rapid.T) {
		ms := func(name string) time.Duration {
			return time.Duration(rapid.Uint16().Draw(t, name)) * time.Millisecond
		}
		r := &Report{SSRC: u32.Draw(t, "ssrc"), CNAME: rapid.StringMatching(`[ -~]{1,60}`).Draw(t, "cname")}
		some := func(what string) bool { return rapid.Bool().Draw(t, what) }
		if some("SR") {
			r.Sender = &SenderInfo{
				NTP: u64.Draw(t, "ntp"), Timestamp: u32.Draw(t, "ts"), Packets: u32.Draw(t, "n"), Octets: u32.Draw(t, "o"),
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "blocks") {
			r.Blocks = append(r.Blocks, rtcp.ReceptionReport{
				SSRC: u32.Draw(t, "b"), FractionLost: u8.Draw(t, "f"), TotalLost: u32.Draw(t, "l") >> 8,
				LastSequenceNumber: u32.Draw(t, "s"), Jitter: u32.Draw(t, "j"),
				LastSenderReport: u32.Draw(t, "lsr"), Delay: u32.Draw(t, "d"),
			})
		}
		if some("QRTS") {
			r.Settings = &Settings{
				SSRC: u32.Draw(t, "src"), Path: u8.Draw(t, "path") & 63, Leg: u8.Draw(t, "leg"), Stream: u8.Draw(t, "stream"),
				TotalLatency: ms("total"), SRTLatency: ms("srt"), Stagger: ms("stagger"), MaxBlock: ms("block"),
				K: u8.Draw(t, "k"), R: u8.Draw(t, "r"), Streams: u8.Draw(t, "s"),
				RepairPT: u8.Draw(t, "pt"), PacketsPerMessage: u8.Draw(t, "n"), BitRate: u64.Draw(t, "rate"),
			}
		}
		if some("QRTP") {
			p := &PathReport{
				SSRC: u32.Draw(t, "src"), Path: u8.Draw(t, "path"), HighestSeq: u32.Draw(t, "seq"),
				Skew:   time.Duration(rapid.Int32().Draw(t, "skew")) * time.Microsecond,
				Jitter: time.Duration(u32.Draw(t, "jitter")) * time.Microsecond, Number: u32.Draw(t, "no"),
			}
			for _, f := range []*uint64{
				&p.Received, &p.LostHere, &p.ByOther, &p.ByParity, &p.Unrecovered, &p.Late, &p.BadTag, &p.Malformed, &p.Duplicates,
			} {
				*f = u64.Draw(t, "count")
			}
			p.Windows = drawWindows(t, p.SSRC)
			r.Path = p
		}
		if some("QRTM") {
			m := &MergedReport{
				SSRC: u32.Draw(t, "src"), K: u8.Draw(t, "k"), HighestSeq: u32.Draw(t, "seq"),
				Margin:  time.Duration(rapid.Int32().Draw(t, "margin")) * time.Microsecond,
				Latency: time.Duration(u32.Draw(t, "D")) * time.Microsecond, Number: u32.Draw(t, "no"),
			}
			for _, f := range []*uint64{
				&m.Paths, &m.Delivered, &m.ByParity, &m.Lost, &m.Duplicates, &m.Late,
				&m.Disagreeing, &m.RefusedEpoch, &m.Epochs, &m.BitRate,
			} {
				*f = u64.Draw(t, "count")
			}
			m.Windows = drawWindows(t, m.SSRC)
			r.Merged = m
		}
		if some("QPRA") {
			r.Answer = &ProbeAnswer{
				ID: u32.Draw(t, "id"), Largest: int(rapid.Uint16().Draw(t, "largest")), Count: u32.Draw(t, "count"),
			}
		}
		if some("QPRB") {
			r.Probe = &Probe{ID: u32.Draw(t, "id"), Size: 4 * rapid.IntRange(300, MaxMessage/4).Draw(t, "size")}
		}
		prefix := []byte("kept")
		b, err := r.Append(prefix)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b[:4], prefix) {
			t.Fatal("what dst held is gone")
		}
		b = b[4:]
		if r.Probe != nil && len(b)+TagSize != r.Probe.Size {
			t.Fatalf("probe of %d bytes, want %d", len(b)+TagSize, r.Probe.Size)
		}
		got, err := ParseReport(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatal(diff)
		}
		// Cut anywhere it is refused, or ends between two packets and says less.
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := ParseReport(b[:cut]); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		} else if err == nil && cut%4 != 0 {
			t.Fatalf("cut to %d bytes and accepted", cut)
		}
	})
}

func TestReportRefusesToAppend(t *testing.T) {
	w := Window{SSRC: 1}
	for name, r := range map[string]*Report{
		"negative stagger":     {Settings: &Settings{Stagger: -time.Millisecond}},
		"latency over 65.5 s":  {Settings: &Settings{TotalLatency: 66 * time.Second}},
		"path 64":              {Settings: &Settings{Path: 64}},
		"9 windows":            {Path: &PathReport{SSRC: 1, Windows: []Window{w, w, w, w, w, w, w, w, w}}},
		"window of other SSRC": {Merged: &MergedReport{SSRC: 2, Windows: []Window{w}}},
		"window 64":            {Path: &PathReport{SSRC: 1, Windows: []Window{{SSRC: 1, Number: 64}}}},
		"answer too large":     {Answer: &ProbeAnswer{Largest: 1 << 16}},
		"probe too long":       {Probe: &Probe{Size: MaxMessage + 4}},
		"probe too short":      {Probe: &Probe{Size: 40}},
		"probe of odd size":    {Probe: &Probe{Size: 1001}},
		"32 blocks":            {Blocks: make([]rtcp.ReceptionReport, 32)},
		"CNAME too long":       {CNAME: string(make([]byte, 256))},
	} {
		if b, err := r.Append(nil); err == nil {
			t.Errorf("%s: %d bytes", name, len(b))
		}
	}
	// A measurement off the scale does not stop a report.
	got, err := ParseReport(appendReport(t, &Report{Path: &PathReport{Skew: 3 * time.Hour, Jitter: -time.Second}}))
	if err != nil || got.Path.Skew != (1<<31-1)*time.Microsecond || got.Path.Jitter != 0 {
		t.Errorf("%+v, %v", got.Path, err)
	}
	if got.CNAME != "quartet-00000000" {
		t.Errorf("CNAME %q", got.CNAME)
	}
}

// appOffset returns where the APP packet of the given name begins.
func appOffset(tb testing.TB, b []byte, name string) int {
	tb.Helper()
	i := bytes.Index(b, []byte(name))
	if i < 8 {
		tb.Fatalf("no APP %s", name)
	}
	return i - 8
}

// What a later version may send is skipped, not refused.
func TestReportSkipsUnknown(t *testing.T) {
	base := goldenPackets(t)["settings"]
	for name, change := range map[string]func(b []byte, app int) []byte{
		"version": func(b []byte, app int) []byte { b[app+12] = 1; return b },
		"subtype": func(b []byte, app int) []byte { b[app] |= 3; return b },
		"name":    func(b []byte, app int) []byte { b[app+8] = 'X'; return b },
		"type":    func(b []byte, app int) []byte { b[app+1] = 207; return b },
		"no data": func(b []byte, app int) []byte { b[app+3] = 2; return b[:app+12] },
	} {
		b := bytes.Clone(base)
		r, err := ParseReport(change(b, appOffset(t, b, nameSettings)))
		if err != nil || r.Settings != nil || r.Skipped != 1 || r.Sender == nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	// Longer data is read as far as it is known.
	b := append(bytes.Clone(base), 1, 2, 3, 4)
	b[appOffset(t, b, nameSettings)+3]++
	r, err := ParseReport(b)
	if err != nil || cmp.Diff(golden()["settings"].Settings, r.Settings) != "" {
		t.Errorf("longer: %v", err)
	}
}

func TestReportRefusesToParse(t *testing.T) {
	packets := goldenPackets(t)
	type change func(b []byte) []byte
	for name, c := range map[string]struct {
		of     string
		change change
	}{
		"empty":             {"settings", func([]byte) []byte { return nil }},
		"SDES first":        {"settings", func(b []byte) []byte { return b[28:] }},
		"version 1":         {"settings", func(b []byte) []byte { b[0] = 0x40; return b }},
		"length past end":   {"settings", func(b []byte) []byte { b[2] = 1; return b }},
		"one byte short":    {"settings", func(b []byte) []byte { return b[:len(b)-1] }},
		"one byte long":     {"settings", func(b []byte) []byte { return append(b, 0x80) }},
		"short settings":    {"settings", func(b []byte) []byte { b[appOffset(t, b, nameSettings)+3]--; return b[:len(b)-4] }},
		"path 64":           {"settings", func(b []byte) []byte { b[appOffset(t, b, nameSettings)+13] = 64; return b }},
		"short path":        {"reports", func(b []byte) []byte { i := appOffset(t, b, namePath); b[i+3] = 2 + 92/4; return b[:i+12+92] }},
		"short merged":      {"reports", func(b []byte) []byte { i := appOffset(t, b, nameMerged); b[i+3] = 2 + 100/4; return b[:i+12+100] }},
		"short probe":       {"probe", func(b []byte) []byte { i := appOffset(t, b, nameProbe); b[i+2], b[i+3] = 0, 3; return b[:i+16] }},
		"SDES item cut":     {"settings", func(b []byte) []byte { b[37] = 200; return b }},
		"SR with a block":   {"settings", func(b []byte) []byte { b[0] |= 1; return b }},
		"9 windows":         {"reports", func(b []byte) []byte { b[appOffset(t, b, namePath)+14] = 9; return b }},
		"windows not there": {"reports", func(b []byte) []byte { b[appOffset(t, b, nameMerged)+14] = 2; return b }},
		"window number 64":  {"reports", func(b []byte) []byte { b[appOffset(t, b, namePath)+12+pathSize+4] = 64; return b }},
		"window count 1023": {"reports", func(b []byte) []byte { b[appOffset(t, b, namePath)+12+pathSize+7]--; return b }},
		"probe lies":        {"probe", func(b []byte) []byte { b[appOffset(t, b, nameProbe)+15] -= 4; return b }},
		"too long":          {"probe", func(b []byte) []byte { return append(b, b[:8]...) }},
		"short answer":      {"answer", func(b []byte) []byte { b[appOffset(t, b, nameAnswer)+3]--; return b[:len(b)-4] }},
	} {
		if r, err := ParseReport(c.change(bytes.Clone(packets[c.of]))); !errors.Is(err, ErrMalformed) || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	for _, b := range goldenPackets(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		// What was read can be sent, unless it is too long with a CNAME added,
		// and reads the same.
		if r.CNAME == "" || len(r.Blocks) > 31 {
			return
		}
		if r.Probe != nil {
			r.Probe.Size = MaxMessage
		}
		r.Skipped = 0
		again, err := r.Append(nil)
		if err != nil {
			return
		}
		back, err := ParseReport(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkReport(b *testing.B) {
	r := golden()["reports"]
	buf := make([]byte, 0, MaxMessage)
	b.ReportAllocs()
	for b.Loop() {
		pkt, err := r.Append(buf[:0])
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ParseReport(pkt); err != nil {
			b.Fatal(err)
		}
	}
}
