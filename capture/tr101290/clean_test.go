package tr101290

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quartet/capture/mpegts"
)

var everything = Config{Priority3: true}

// TestClean: a stream that is as it must be trips nothing, over wraps of PCR
// and PTS and whatever the packets' grouping, and all checks apply.
func TestClean(t *testing.T) {
	for name, base := range map[string]mpegts.PCR{"start": 0, "wrap": mpegts.PCRModulus - 20*mpegts.PCRHz} {
		t.Run(name, func(t *testing.T) {
			g := newGen(t, everything)
			g.base = base
			g.run(70 * time.Second)
			g.want(nil)
			for _, c := range g.m.Checks() {
				if c.Active || !c.Measured || c.First != 0 || c.PID != mpegts.NullPID {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func TestStats(t *testing.T) {
	g := newGen(t, everything)
	g.run(25 * time.Second)
	s := g.m.Stats()
	if !s.Started || !s.Synced || s.TSID != 1 || s.Packets != uint64(g.n) || s.NetworkPID != 0x10 || s.Since != 0 {
		t.Errorf("%+v", s)
	}
	if math.Abs(float64(s.RateBPS)-3e6) > 3e3 || s.NullShare < 0.3 || s.NullShare > 0.9 {
		t.Errorf("rate %d, null share %v", s.RateBPS, s.NullShare)
	}
	if len(s.Services) != 2 || s.Services[0].Name != "One" || s.Services[1].Name != "Radio" || len(s.Services[0].Components) != 4 {
		t.Errorf("%+v", s.Services)
	}
	uses := map[mpegts.PID]string{
		0: "PAT", 1: "CAT", 0x10: "NIT", 0x11: "SDT/BAT", 0x12: "EIT", 0x13: "RST", 0x14: "TDT/TOT", pidPMT1: "PMT", pidVideo: "h264",
		pidAudio: "aac", pidPMT2: "PMT", pidRadio: "mpeg2audio", pidECM: "ECM", pidEMM: "EMM", mpegts.NullPID: "null",
	}
	got := map[mpegts.PID]string{}
	sum := int64(0)
	for _, p := range s.PIDs {
		got[p.PID] = p.Use
		sum += p.RateBPS
		if !p.Referenced || p.Scrambled != 0 || p.ContinuityErrors != 0 || p.Packets == 0 {
			t.Errorf("%+v", p)
		}
		if p.PID == pidVideo {
			if want := 3e6 * float64(p.Packets) / float64(g.n); math.Abs(float64(p.RateBPS)-want) > want*0.05 || p.Program != 1 {
				t.Errorf("video: %+v, want %.0f bit/s", p, want)
			}
			if i := p.PTSInterval; i.Min < 35 || i.Max > 45 || math.Abs(i.Mean-40) > 0.5 || i.Count < 100 {
				t.Errorf("PTS: %+v", i)
			}
		}
	}
	if d := cmp.Diff(uses, got); d != "" {
		t.Error(d)
	}
	if math.Abs(float64(sum-s.RateBPS)) > 100 {
		t.Errorf("PIDs sum up to %d bit/s, the stream is %d", sum, s.RateBPS)
	}
	if len(s.Clocks) != 2 {
		t.Fatalf("%+v", s.Clocks)
	}
	for i, c := range s.Clocks {
		mean := []float64{30, 35}[i]
		if math.Abs(c.Interval.Mean-mean) > 0.5 || c.Interval.Max > mean+6 || c.Interval.Min < mean-6 || len(c.Programs) != 1 ||
			!c.Constant || math.Abs(c.RateBPS-3e6) > 3 || c.AccuracyMaxNS > 25 || c.AccuracyMinNS < -25 || c.AccuracyMeasured < 500 ||
			c.JitterMS > 0.01 || c.Discontinuities+c.AccuracyErrors != 0 {
			t.Errorf("%+v", c)
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Stats
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, back); d != "" {
		t.Error(d)
	}
	var c Check
	if c.UnmarshalText([]byte("nonsense")) == nil || Check(200).String() != "check-200" || Check(200).Clause() != "" || Check(200).Priority() != 0 {
		t.Error("a check that does not exist has a name")
	}
}

// TestBeforeTheFirstPacket: nothing is judged while nothing has come.
func TestBeforeTheFirstPacket(t *testing.T) {
	m := newMonitor(t, everything)
	for now := time.Duration(0); now < time.Minute; now += 100 * ms {
		m.Tick(now)
	}
	want(t, m, nil)
	if s := m.Stats(); s.Started || s.Synced || s.Packets != 0 || s.TSID != -1 || len(s.PIDs) != 0 || s.Checks[PATError2].Measured {
		t.Errorf("%+v", s)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{
		{PIDPeriod: time.Millisecond}, {DataPIDPeriod: -1}, {PCRRepetition: -time.Second}, {CATPeriod: 1}, {Silence: time.Millisecond},
		{Hold: -1}, {SIGap: 1}, {PrivatePIDs: []mpegts.PID{0x2000}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		} else {
			t.Log(err)
		}
	}
}

// TestHold: a check is active as long as Hold says, and an absence until it
// ends and as long thereafter.
func TestHold(t *testing.T) {
	g := newGen(t, Config{Hold: 2 * time.Second})
	g.run(time.Second)
	p := dataPacket(pidVideo)
	p.SetTransportError(true)
	g.send(p)
	g.run(1900 * ms)
	if !g.active(TransportError) {
		t.Error("not active within the hold")
	}
	g.run(200 * ms)
	if g.active(TransportError) {
		t.Error("active after the hold")
	}
	g.off("PMT2")
	g.run(10 * time.Second)
	if !g.active(PMTError2) {
		t.Error("not active while the PMT is missing")
	}
	g.on("PMT2")
	g.run(1900 * ms)
	if !g.active(PMTError2) {
		t.Error("not active within the hold")
	}
	g.run(300 * ms)
	if g.active(PMTError2) {
		t.Error("active after the hold")
	}
	c := g.m.Checks()[PMTError2]
	if c.Count != 1 || c.First != c.Last || c.First < 3500*ms || c.First > 3800*ms || c.PID != pidPMT2 {
		t.Errorf("%+v", c)
	}
}
