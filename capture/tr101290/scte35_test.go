package tr101290

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quartet/capture/mpegts"
)

// Messages of ANSI/SCTE 35 clause 14, and one with three descriptors.
const (
	cueOpportunity    = "/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg=="
	cueOpportunityEnd = "/DAvAAAAAAAA///wBQb+dGKQoAAZAhdDVUVJSAAAjn+fCAgAAAAALKChijUCAKnMZ1g="
	cueInsert         = "/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo="
	cueThree          = "/DBhAAAAAAAA///wBQb+qM1E7QBLAhdDVUVJSAAArX+fCAgAAAAALLLXnTUCAAIXQ1VFSUgAACZ/nwgIAAAAACyy150RAAACF0NVRUlIAAAnf58ICAAAAAAsstezEAAAihiGnw=="
)

func message(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || mpegts.CRC32(b) != 0 {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

// splice builds a message.
func spliceMessage(flags byte, adjust uint64, length int, command byte, body []byte, descriptors ...byte) []byte {
	b := []byte{0xFC, 0x30, 0, 0, flags | byte(adjust>>32)&1, byte(adjust >> 24), byte(adjust >> 16), byte(adjust >> 8), byte(adjust), 0xFF,
		0xFF, 0xF0 | byte(length>>8), byte(length), command}
	b = append(append(append(b, body...), byte(len(descriptors)>>8), byte(len(descriptors))), descriptors...)
	n := len(b) - 3 + 4
	b[1], b[2] = b[1]|byte(n>>8), byte(n)
	return withCRC(b)
}

func p[T any](v T) *T { return &v }

func TestCues(t *testing.T) {
	cancel := spliceMessage(0, 0, 5, 0x05, []byte{0, 0, 0, 7, 0xFF})
	immediate := spliceMessage(0, 0, 10, 0x05, []byte{0, 0, 0, 8, 0x7F, 0x5F, 0x12, 0x34, 3, 4})
	components := spliceMessage(0, 1<<33-1, 0xFFF, 0x05, []byte{0, 0, 0, 9, 0x7F, 0xAF, 2,
		1, 0xFE, 0, 0, 0, 100, 2, 0xFE, 0, 0, 0, 200, 0x7E, 0, 1, 0x5F, 0x90, 0, 1, 0, 0})
	wrap := spliceMessage(0, 1<<33-50, 5, 0x06, []byte{0xFE, 0, 0, 0, 100})
	secret := spliceMessage(0x82, 0, 0xFFF, 0x99, []byte{1, 2, 3, 4, 5, 6})
	private := spliceMessage(0, 0, 4, 0xFF, []byte("CUEI"))
	reserved := spliceMessage(0, 0, 0, 0x42, nil)
	long := []byte{0x02, 15 + 100, 'C', 'U', 'E', 'I', 0, 0, 0, 5, 0x7F, 0xBF, 0x0F, 100}
	for i := range 100 {
		long = append(long, byte(i))
	}
	long = append(long, 0x22, 1, 2)
	var many []byte
	for range 10 {
		many = append(many, 0x02, 9, 'C', 'U', 'E', 'I', 0, 0, 0, 6, 0xFF)
	}
	other := []byte{0x00, 8, 'C', 'U', 'E', 'I', 0, 0, 1, 0x35, 0x02, 5, 'X', 'Y', 'Z', 'A', 0}
	upid := ""
	for i := range 64 {
		upid += fmt.Sprintf("%02x", i)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want Cue
	}{
		{"14.1 placement opportunity start", message(t, cueOpportunity), Cue{Command: "time_signal", PTS: p(mpegts.Timestamp(0x72BD0050)), Segments: []Segment{
			{EventID: 0x4800008E, TypeID: 0x34, Type: "provider placement opportunity start", DurationMS: p(307000.0), UPIDType: 8, UPID: "000000002ca0a18a", Number: 2},
		}}},
		{"14.3 placement opportunity end", message(t, cueOpportunityEnd), Cue{Command: "time_signal", PTS: p(mpegts.Timestamp(0x746290A0)), Segments: []Segment{
			{EventID: 0x4800008E, TypeID: 0x35, Type: "provider placement opportunity end", UPIDType: 8, UPID: "000000002ca0a18a", Number: 2},
		}}},
		{"14.2 splice_insert", message(t, cueInsert), Cue{Command: "splice_insert", EventID: p(uint32(0x4800008F)), OutOfNetwork: true, AutoReturn: true,
			PTS: p(mpegts.Timestamp(0x7369C02E)), DurationMS: p(float64(0x52CCF5) / 90)}},
		{"three descriptors", message(t, cueThree), Cue{Command: "time_signal", PTS: p(mpegts.Timestamp(0xA8CD44ED)), Segments: []Segment{
			{EventID: 0x480000AD, TypeID: 0x35, Type: "provider placement opportunity end", UPIDType: 8, UPID: "000000002cb2d79d", Number: 2},
			{EventID: 0x48000026, TypeID: 0x11, Type: "program end", UPIDType: 8, UPID: "000000002cb2d79d"},
			{EventID: 0x48000027, TypeID: 0x10, Type: "program start", UPIDType: 8, UPID: "000000002cb2d7b3"},
		}}},
		{"cancel", cancel, Cue{Command: "splice_insert", EventID: p(uint32(7)), Cancel: true}},
		{"immediate return", immediate, Cue{Command: "splice_insert", EventID: p(uint32(8)), Immediate: true, UniqueProgramID: 0x1234, Avail: 3, AvailsExpected: 4}},
		{"by component, length untold, adjusted", components, Cue{Command: "splice_insert", EventID: p(uint32(9)), OutOfNetwork: true,
			PTS: p(mpegts.Timestamp(99)), DurationMS: p(1000.0), UniqueProgramID: 1}},
		{"pts_adjustment wraps", wrap, Cue{Command: "time_signal", PTS: p(mpegts.Timestamp(50))}},
		{"encrypted", secret, Cue{Encrypted: true}},
		{"private", private, Cue{Command: "private_command"}},
		{"reserved", reserved, Cue{Command: "reserved_0x42"}},
		{"a long UPID", spliceMessage(0, 0, 0, 0x00, nil, long...), Cue{Command: "splice_null", Segments: []Segment{
			{EventID: 5, TypeID: 0x22, Type: "break start", UPIDType: 0x0F, UPID: upid, UPIDCut: true, Number: 1, Expected: 2}}}},
		{"more descriptors than are kept", spliceMessage(0, 0, 1, 0x06, []byte{0x7F}, many...), Cue{Command: "time_signal", MoreSegments: 2, Segments: []Segment{
			{EventID: 6, Cancel: true, Type: "not indicated"}, {EventID: 6, Cancel: true, Type: "not indicated"},
			{EventID: 6, Cancel: true, Type: "not indicated"}, {EventID: 6, Cancel: true, Type: "not indicated"},
			{EventID: 6, Cancel: true, Type: "not indicated"}, {EventID: 6, Cancel: true, Type: "not indicated"},
			{EventID: 6, Cancel: true, Type: "not indicated"}, {EventID: 6, Cancel: true, Type: "not indicated"}}}},
		{"other descriptors", spliceMessage(0, 0, 1, 0x06, []byte{0x7F}, other...), Cue{Command: "time_signal"}},
	} {
		g := newGen(t, Config{})
		g.run(time.Second)
		at := g.at()
		g.queue = append(g.queue, packed(pidCue, c.in)...)
		g.run(100 * ms)
		s := g.m.Stats()
		if len(s.Cues) != 1 || s.CueStats != (CueStats{}) {
			t.Errorf("%s: %+v, %+v", c.name, s.Cues, s.CueStats)
			continue
		}
		got := s.Cues[0]
		if got.At < at || got.At > at+20*ms {
			t.Errorf("%s: at %v, want %v", c.name, got.At, at)
		}
		c.want.At, c.want.Last, c.want.PID, c.want.Program = got.At, got.At, pidCue, 1
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		g.want(nil)
	}
}

func TestCueLog(t *testing.T) {
	g := newGen(t, Config{})
	g.run(time.Second)
	send := func(b []byte) {
		g.queue = append(g.queue, packed(pidCue, b)...)
		g.run(50 * ms)
	}
	insert := message(t, cueInsert)
	for range 4 {
		send(insert)
	}
	send(spliceMessage(0, 0, 0, 0x00, nil)) // heartbeats
	send(spliceMessage(0, 0, 0, 0x00, nil))
	bad := append([]byte{}, insert...)
	bad[20]++
	send(bad)
	send(spliceMessage(0, 0, 20, 0x05, []byte{1, 2, 3}))                  // shorter than it says
	send(spliceMessage(0, 0, 3, 0x05, []byte{1, 2, 3}))                   // shorter than it must be
	send(spliceMessage(0, 0, 1, 0x06, []byte{0x7F}, 0x02, 200, 'C', 'U')) // a descriptor that ends too early
	send(withCRC([]byte{0xFC, 0x30, 9, 0, 0, 0, 0, 0}))                   // too short
	send(section(0x99, 1, 0, 0, 0, []byte{1, 2, 3, 4}))                   // no cue at all
	s := g.m.Stats()
	if len(s.Cues) != 1 || s.Cues[0].Repeats != 3 || s.Cues[0].Last <= s.Cues[0].At {
		t.Errorf("%+v", s.Cues)
	}
	if want := (CueStats{Heartbeats: 2, CRCErrors: 1, Malformed: 4}); s.CueStats != want {
		t.Errorf("%+v, want %+v", s.CueStats, want)
	}
	g.want(nil)

	// A minute later the same message is a new one; and the log is a ring.
	g.run(61 * time.Second)
	send(insert)
	if s := g.m.Stats(); len(s.Cues) != 2 {
		t.Errorf("%d messages", len(s.Cues))
	}
	for i := range 200 {
		send(spliceMessage(0, 0, 5, 0x06, []byte{0xFE, 0, 0, byte(i >> 8), byte(i)}))
	}
	s = g.m.Stats()
	if len(s.Cues) != cueLog {
		t.Fatalf("%d messages", len(s.Cues))
	}
	for i, c := range s.Cues {
		if want := mpegts.Timestamp(200 - cueLog + i); c.PTS == nil || *c.PTS != want {
			t.Errorf("message %d: %+v, want PTS %d", i, c, want)
		}
	}

	// Scrambled, nothing can be read.
	g.edit = func(p mpegts.Packet) bool {
		if p.PID() == pidCue {
			p[3] |= 0x80
		}
		return true
	}
	send(message(t, cueThree))
	if n := g.m.Stats().CueStats; n.CRCErrors != 1 {
		t.Errorf("%+v", n)
	}
}
