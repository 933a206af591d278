package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"quartet/capture/confidence"
	"quartet/device/control"
	"quartet/uplink"
	"quartet/uplink/adapt"
	"quartet/uplink/srt"
)

// Each fault of picture and sound has its condition, and no other's.
func TestWatchSenses(t *testing.T) {
	long := confidence.State{Active: true, StartS: 1, LengthS: 100, Count: 1}
	for _, c := range []struct {
		name   string
		change func(l *limits, s *senses)
		want   []string
	}{
		{"black, and so still", func(_ *limits, s *senses) { s.report.Picture.Black, s.report.Picture.Freeze = long, long }, []string{"picture-black input"}},
		{"bars, and so still", func(_ *limits, s *senses) { s.report.Picture.Bars, s.report.Picture.Freeze = long, long }, []string{"picture-bars input"}},
		{"bars of the test picture", func(l *limits, s *senses) { l.bars = false; s.report.Picture.Bars = long }, nil},
		{"still", func(_ *limits, s *senses) { s.report.Picture.Freeze = long }, []string{"picture-frozen input"}},
		{"silence", func(_ *limits, s *senses) { s.report.Sound.Pairs[0].Channels[1].Silence = long }, []string{"sound-silent input"}},
		{"no sound is captured", func(l *limits, s *senses) { l.sound = false; s.report.Sound.Pairs[0].Channels[1].Silence = long }, nil},
		{"clipped", func(_ *limits, s *senses) { s.report.Sound.Pairs[0].Channels[0].Clips++ }, []string{"sound-clipped input"}},
		{"clipped, and so too high", func(_ *limits, s *senses) {
			s.report.Sound.Pairs[0].Channels[0].Clips++
			s.report.Sound.Pairs[0].Channels[0].TruePeak = 0.3
		}, []string{"sound-clipped input"}},
		{"too high", func(_ *limits, s *senses) { s.report.Sound.Pairs[0].Channels[1].TruePeak = -0.5 }, []string{"sound-true-peak input"}},
		{"too loud", func(l *limits, s *senses) { l.off = 2; s.report.Sound.Pairs[0].ShortTerm = -18 }, []string{"sound-loudness input"}},
		{"too loud, and nobody asks", func(_ *limits, s *senses) { s.report.Sound.Pairs[0].ShortTerm = -18 }, nil},
		{"silence is not too soft", func(l *limits, s *senses) { l.off = 2; s.report.Sound.Pairs[0].ShortTerm = -120 }, nil},
		{"nobody looks", func(_ *limits, s *senses) { s.report, s.reason = nil, "quartet-engine is missing" }, []string{"confidence-blind input"}},
		{"scrambled", func(_ *limits, s *senses) { s.reason = "scrambled" }, []string{"confidence-blind input"}},
		{"switched off", func(l *limits, s *senses) { l.watched = false; s.report.Picture.Black = long }, nil},
	} {
		s := newScene(t)
		s.s.limits = limits{watched: true, bars: true, sound: true, truePeak: -1, target: -23, hold: 4 * time.Second}
		fresh := func() senses {
			channel := confidence.ChannelReport{TruePeak: -9}
			return senses{report: &confidence.Report{Picture: &confidence.PictureReport{Frames: 1}, Sound: &confidence.SoundReport{
				Pairs: []confidence.PairReport{{ShortTerm: -23, MeasuredS: 60, Channels: []confidence.ChannelReport{channel, channel}}}}}}
		}
		s.s.senses = fresh()
		at := 0.0
		pass := func(d time.Duration) *scene {
			return s.pass(d, func([]uplink.PathStats) {
				if r := s.s.senses.report; r != nil {
					at++
					sound := *r.Sound // media time goes on
					sound.AtS = at
					s.s.senses.report = &confidence.Report{Picture: r.Picture, Sound: &sound}
				}
			})
		}
		pass(3 * time.Second).want("before: " + c.name)
		c.change(&s.s.limits, &s.s.senses)
		if strings.HasPrefix(c.name, "clipped") { // a moment
			pass(600*time.Millisecond).want(c.name, c.want...)
		} else {
			pass(8*time.Second).want(c.name, c.want...)
		}
		// A lost input is the one alarm.
		s.s.present, s.s.input.State = false, control.InputLost
		pass(time.Second)
		if a := s.active(); slices.ContainsFunc(a, func(s string) bool { return strings.HasPrefix(s, "picture-") || strings.HasPrefix(s, "sound-") }) {
			t.Errorf("%s: beside a lost input: %q", c.name, a)
		}
		s.s.present, s.s.input.State = true, control.InputOK
		s.s.senses = fresh()
		s.s.senses.report.Sound.Pairs[0].Channels[0].Clips = 1
		pass(15 * time.Second).want("after: " + c.name)
	}
}

// A path that is shed is an alarm of its own, and protects its leg no longer.
func TestWatchShed(t *testing.T) {
	s := newScene(t).pass(3*time.Second, nil)
	s.pass(2*time.Second, func(p []uplink.PathStats) { p[0].Bare = true }).want("no parity", "path-parity-shed path/fec-a")
	s.pass(2*time.Second, func(p []uplink.PathStats) {
		p[0].Shed = true
		p[0].Sent -= 80
		p[0].Arrival.LostHere, p[0].Arrival.Received = p[0].Arrival.LostHere+72, p[0].Arrival.Received-72
	}).want("shed", "path-shed path/fec-a", "leg-unprotected leg/1")
	s.s.paths[0].Shed, s.s.paths[0].Bare = false, false
	s.pass(10*time.Second, nil).want("again")

	s.s.input.Engine = &control.Engine{Up: true, InputPresent: true, OnAir: "engine", RateBPS: 3e6, HighestBPS: 8e6}
	s.pass(2*time.Second, nil).want("slower", "encoder-rate-reduced box")
	if text := s.w.health.Active()[0].Text; !strings.Contains(text, "3.0 of 8.0 Mbit/s") {
		t.Error(text)
	}
	s.s.input.Engine.RateBPS = 8e6
	s.pass(3*time.Second, nil).want("as before")
}

// What the adapter is told of a path.
func TestAdapterSample(t *testing.T) {
	st := uplink.PathStats{Name: "a", Leg: 2, Profile: "rtp-fec", State: uplink.StateUp, Dropped: 3, Stale: 2, Link: &uplink.LinkStats{SRT: &srt.Stats{
		MSTimestamp: 1000, ByteSentUniqueTotal: 4_900_000, ByteSndBuf: 100_000, ByteSndDropTotal: 50_000, ByteSentTotal: 5_000_000, PktSentTotal: 4100, PktSndDropTotal: 7, MSSndBuf: 120, MSRTT: 40,
		PktSentUniqueTotal: 4000, PktSndLossTotal: 20, MbpsBandwidth: 12.5,
	}}, Arrival: &uplink.Arrival{Age: 100, Received: 3900, LostHere: 12}}
	want := adapt.Sample{Name: "a", Leg: 2, Up: true, Tells: true, Parity: true, At: time.Second, Dropped: 12, Bytes: 5_000_000, Total: 4100, Acked: 4_750_000, Buffer: 120 * time.Millisecond,
		RTT: 40 * time.Millisecond, Sent: 4000, Lost: 20, Estimate: 12_500_000, Reported: true, Received: 3900, Missed: 12}
	if got := sampleOf(st); got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	st.Arrival.Age = 5000
	if sampleOf(st).Reported {
		t.Error("an old report counts")
	}
	if got := sampleOf(uplink.PathStats{Name: "u", State: uplink.StateUp, Link: &uplink.LinkStats{}}); got.Tells || !got.Up {
		t.Errorf("plain UDP: %+v", got)
	}
}
