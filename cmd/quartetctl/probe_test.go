package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/capture/tr101290"
	"quartet/device/control"
)

// Probe of the made-up box: a feed with everything at the input, an idle output.
func (b *box) Probe(where string) (control.Probe, error) {
	if b.probe != nil {
		return control.Probe{}, b.probe
	}
	m, err := tr101290.New(tr101290.Config{})
	if err != nil {
		return control.Probe{}, err
	}
	s := m.Stats() // all checks, none of them tried
	if where == control.AtInput {
		fill(&s)
	}
	stream, err := json.Marshal(s)
	return control.Probe{Where: where, Time: epoch.Add(time.Hour), Stream: stream}, err
}

func fill(s *tr101290.Stats) {
	ref := func(v float64) *float64 { return &v }
	event, pts := uint32(4711), mpegts.Timestamp(900_000)
	s.At, s.Started, s.Synced, s.Since, s.Packets, s.RateBPS, s.NullShare, s.TSID = time.Hour, true, true, 90*time.Second, 23_456_789, 9_980_000, 0.031, 1
	for i := range s.Checks {
		c := &s.Checks[i]
		c.Measured = c.Priority < 3
		switch c.Check {
		case tr101290.ContinuityCountError:
			c.Active, c.Count, c.PID, c.Last = true, 12, 257, time.Hour-3*time.Second
		case tr101290.CRCError:
			c.Count, c.PID, c.Last = 1, 0, 30*time.Minute
		case tr101290.PCRAccuracyError:
			c.Measured = false
		case tr101290.TSSyncLoss:
			c.Count, c.Last = 1, 90*time.Second
		}
	}
	s.Services = []mpegts.Program{
		{Number: 1, PMTPID: 256, HasPMT: true, PCRPID: 257, Name: "Studio One\x1b[31m", Provider: "Example", Components: []mpegts.Component{
			{PID: 257, StreamType: 0x1B, Codec: "h264", Kind: mpegts.KindVideo}, {PID: 258, StreamType: 3, Codec: "mp2", Kind: mpegts.KindAudio, Language: "eng"},
			{PID: 259, StreamType: 0x86, Codec: "scte35", Kind: mpegts.KindCue}, {PID: 260, StreamType: 0x99, Kind: mpegts.KindData, CAPIDs: []mpegts.PID{300}},
		}},
		{Number: 2, PMTPID: 512}, {Number: 3, PMTPID: 513, HasPMT: true, PCRPID: mpegts.NullPID},
	}
	s.PIDs = []tr101290.PIDStats{
		{PID: 0, Use: "PAT", Referenced: true, Packets: 36_000, RateBPS: 15_040},
		{PID: 257, Use: "h264", Program: 1, Referenced: true, Packets: 22_000_000, RateBPS: 9_400_000, ContinuityErrors: 12, PTSInterval: tr101290.Interval{Min: 38, Mean: 40, Max: 42, Count: 240}},
		{PID: 260, Program: 1, Referenced: true, Packets: 1000, Scrambled: 1000},
		{PID: 700, Packets: 5},
		{PID: 8191, Use: "null", Referenced: true, Packets: 700_000, RateBPS: 309_000},
	}
	s.OtherPIDs, s.Refused = 2, 1
	s.Clocks = []tr101290.ClockStats{
		{PID: 257, Programs: []uint16{1}, Count: 180_000, Interval: tr101290.Interval{Min: 19.8, Mean: 20, Max: 20.3, Count: 400}, JitterMS: 0.44, Constant: true, AccuracyMinNS: -37, AccuracyMaxNS: 18},
		{PID: 701, Programs: []uint16{}, Count: 1},
	}
	s.Cues = []tr101290.Cue{
		{At: 10 * time.Minute, PID: 259, Command: "splice_insert", EventID: &event, OutOfNetwork: true, PTS: &pts, DurationMS: ref(30_000), Repeats: 2},
		{At: 20 * time.Minute, PID: 259, Command: "splice_insert", EventID: &event, Immediate: true},
		{At: 25 * time.Minute, PID: 259, Command: "splice_insert", EventID: &event, Cancel: true},
		{At: 30 * time.Minute, PID: 259, Command: "time_signal", PTS: &pts, Segments: []tr101290.Segment{{Type: "Provider Placement Opportunity Start"}, {TypeID: 0x99}}},
		{At: 40 * time.Minute, PID: 259, Encrypted: true},
	}
	s.CueStats = tr101290.CueStats{Heartbeats: 700, CRCErrors: 1}
}

func TestProbe(t *testing.T) {
	socket, b, _ := serve(t)
	r := call(t, nil, "probe", "--socket", socket)
	golden(t, "probe", r.out)
	if r.code != 0 || r.err != "" || strings.Contains(r.out, "\x1b") {
		t.Errorf("%+v", r)
	}
	for line := range strings.Lines(r.out) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	colour := call(t, &env{screen: screen{tty: true, color: true, width: 80}}, "probe", "input", "--socket", socket)
	if !strings.Contains(colour.out, "\x1b[31m1.4   Continuity_count_error") {
		t.Error(colour.out)
	}
	if r := call(t, nil, "probe", "output", "--socket", socket); r.code != 0 || r.out != "output 2026-11-01 13:00:00: nothing has come yet\n" {
		t.Errorf("%+v", r)
	}
	if r := call(t, nil, "probe", "--check", "--json", "--socket", socket); r.code != 1 || !strings.Contains(r.out, `"null_share": 0.031`) || !strings.Contains(r.out, `"where": "input"`) {
		t.Errorf("%+v", r)
	}
	if r := call(t, nil, "probe", "--check", "output", "--socket", socket); r.code != 0 {
		t.Errorf("%+v", r)
	}
	b.probe = errors.New("monitoring is switched off")
	if r := call(t, nil, "probe", "--socket", socket); r.code != 1 || r.err != "quartetctl: monitoring is switched off\n" {
		t.Errorf("%+v", r)
	}
}

// TestStreamLine: what is not known is not said.
func TestStreamLine(t *testing.T) {
	for _, c := range []struct {
		in, out *control.Monitor
		want    string
	}{
		{&control.Monitor{}, &control.Monitor{}, "nothing known yet; TR 101 290: input no errors, output no errors"},
		{&control.Monitor{Packets: 1, Services: make([]control.StreamService, 16), OtherServices: 4, Priority2: 2, Priority3: 5}, nil,
			"20 services, null packets 0%; TR 101 290: input 0 + 2 errors"},
	} {
		if got := streamLine(c.in, c.out, screen{width: 80}); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
