package telemetry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"quartet/device/control"
	"quartet/device/health"
)

// TestNormalDay: metrics come each interval, alarms and audit at once, with
// what a store needs.
func TestNormalDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, true)
		b.start()
		b.pass(5 * time.Second)
		b.media.raise(health.Raised, "path-down", time.Now())
		b.tel.Audit(AuditRecord{Actor: "anna", Role: "admin", Source: "192.0.2.1", Action: "config.write", Target: "output", Outcome: "ok"})
		b.pass(100 * time.Millisecond)
		alarms, audit := b.home.eventsNamed(EventCondition), b.home.eventsNamed(EventAudit)
		if len(alarms) != 1 || len(audit) != 1 {
			t.Fatalf("%d alarms, %d audit records after 100 ms", len(alarms), len(audit))
		}
		if a := alarms[0]; attribute(a, "quartet.condition.code") != "path-down" || a.SeverityNumber != 17 || attribute(a, "quartet.boot.id") != "boot-1" ||
			attribute(a, "quartet.clock.state") != ClockSynchronised || a.Body.GetStringValue() != "Not connected" {
			t.Errorf("%v", a)
		}
		if a := audit[0]; attribute(a, "user.name") != "anna" || attribute(a, "client.address") != "192.0.2.1" || a.Body.GetStringValue() != "anna: config.write output: ok" {
			t.Errorf("%v", a)
		}
		b.pass(time.Hour)
		b.wantAll(361)
		s := b.tel.Status()
		if s.State != "idle" && s.State != "sending" || s.QueuedRecords != 0 || s.QueuedEvents != 0 || s.LastContact == nil || s.LastError != "" || s.Clock.Source != ClockSynchronised {
			t.Errorf("%+v", s)
		}
		if len(s.Reliability) != 3 || s.Reliability[0].Scope != "pair" || s.Reliability[0].Day.Observed < 3600 || s.Reliability[0].Day.Availability != 1 {
			t.Errorf("%+v", s.Reliability)
		}
		if s.Energy == nil || s.Energy.WattHours < 5.9 || s.Energy.WattHours > 6.1 || *s.Energy.PerStreamedHourWh < 5.9 || *s.Energy.PerStreamedHourWh > 6.1 {
			t.Errorf("%+v", s.Energy)
		}
		h, err := b.tel.History([]string{"quartet.path.srt.ms_rtt/1a"}, time.Now().Add(-30*time.Minute), time.Now(), time.Minute)
		if err != nil || len(h.Series) != 1 || *h.Series["quartet.path.srt.ms_rtt/1a"].Points[10] != 20 {
			t.Errorf("%+v, %v", h, err)
		}
		b.stop()
		// Again: the history is there, nothing is sent twice, no event is fetched twice.
		b.start()
		b.pass(time.Minute)
		if h, err := b.tel.History([]string{"quartet.path.srt.ms_rtt/1a"}, time.Now().Add(-30*time.Minute), time.Now(), time.Minute); err != nil || *h.Series["quartet.path.srt.ms_rtt/1a"].Points[10] != 20 {
			t.Errorf("%+v, %v", h, err)
		}
		if n := len(b.home.eventsNamed(EventCondition)); n != 1 || b.home.doubles != 0 {
			t.Errorf("%d alarms, %d doubles", n, b.home.doubles)
		}
		b.stop()
	})
}

// TestF15DiskCap: what a box in service writes in 14 days fits the cap, twice.
func TestF15DiskCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, true)
		monitor := func() *control.Monitor {
			m := &control.Monitor{Synced: true, BitrateBPS: 10_000_000, Clocks: []control.StreamClock{{PID: 256, IntervalMS: 20.123, JitterMS: 0.7, Constant: true, AccuracyNS: 31}}}
			for i, clause := range []string{"1.1", "1.2", "1.3.a", "1.4", "1.5.a", "1.6", "2.1", "2.2", "2.3a", "2.3b", "2.4", "2.5"} {
				m.Checks = append(m.Checks, control.StreamCheck{Clause: clause, Name: "a_check", Priority: 1 + i/6, Measured: true})
			}
			return m
		}
		b.media.change(func(s *control.Status) {
			s.Input.Monitor, s.Output.Monitor = monitor(), monitor()
			s.Paths = nil
			for i, name := range []string{"1a", "1b", "2a", "2b"} {
				s.Paths = append(s.Paths, control.Path{Name: name, Leg: 1 + i/2, State: control.PathUp, Arrival: &control.Arrival{}})
			}
		})
		b.home.set(func(string, []byte) (*http.Response, error) { return nil, errAway })
		b.change = func(c *Config) { c.Look = 10 * time.Second }
		b.start()
		for i := range 600 {
			b.media.change(func(s *control.Status) {
				n := uint64(14*8640 + i) // as after two weeks
				s.UptimeS += 10
				s.Input.Packets, s.Input.JitterMS = n*66_000, float64(i%7)+0.123
				for j := range s.Paths {
					p := &s.Paths[j]
					p.RTTMS, p.BitrateBPS, p.Sent, p.Retransmits, p.SendLoss = 20+float64(i%13)*0.377, 11_000_000+int64(i*37%1000), n*10_400, n*3, n*3
					p.Arrival = &control.Arrival{AgeMS: 100.5, Received: n * 10_390, LostHere: n * 3, ByOther: n * 3, SkewMS: 1.25, JitterMS: 0.318,
						Merged: control.Merged{Delivered: n * 9_500, ByParity: n, MarginMS: 43.1, LatencyMS: 500, BitrateBPS: 10_000_000}}
				}
			})
			b.pass(10 * time.Second)
		}
		s := b.tel.metrics.Stats()
		per := float64(s.Bytes) / float64(s.Last)
		series := len(b.tel.latest.Load().Series)
		t.Logf("%d series, %.0f bytes a record: %.0f MB in 14 days", series, per, per*8640*14/1e6)
		if per*8640*14 > Cap/2 {
			t.Errorf("%.0f bytes a record: 14 days do not fit half of the cap", per)
		}
		b.stop()
	})
}

// TestF15HomeDownFor14Days: after two weeks without home, and a restart in the
// middle, every record arrives, once by identity, and the disk was within its
// cap. Alarms do not wait behind the metrics.
func TestF15HomeDownFor14Days(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, true)
		// Each minute: a sixth of the work for the test. TestF15DiskCap has the size of
		// ten seconds.
		const interval = time.Minute
		b.change = func(c *Config) { c.Look, c.Settings.Interval = interval, interval }
		b.home.set(func(string, []byte) (*http.Response, error) { return nil, errAway })
		b.start()
		for day := range 14 {
			b.pass(24 * time.Hour)
			b.media.raise(health.Raised, health.Code(fmt.Sprint("day-", day)), time.Now())
			b.pass(time.Second)
			if day == 6 {
				b.stop()
				b.start()
				b.pass(time.Minute)
			}
		}
		made := b.tel.metrics.Stats().Last
		if made < 14*1440 {
			t.Fatalf("%d records", made)
		}
		size := b.disks["metrics-v1"].size()
		s := b.tel.Status()
		if size > Cap || s.Gaps != (Gaps{}) || s.QueuedRecords != made || s.State != "retrying" || !strings.Contains(s.LastError, "refused") {
			t.Errorf("%d bytes, %+v", size, s)
		}
		if !b.active(HomeAway) {
			t.Error("nobody is told that home is away")
		}
		requests := b.home.requests
		if requests > 14*24*60*3 {
			t.Errorf("%d requests to a home that is away", requests)
		}
		b.home.set(nil)
		// Alarms come within their longest wait, metrics within theirs.
		b.pass(time.Minute)
		if n := len(b.home.eventsNamed(EventCondition)); n < 14 {
			t.Errorf("%d alarms a minute after home is back", n)
		}
		b.pass(10 * time.Minute)
		if s := b.tel.Status(); s.QueuedRecords > 1 || s.LastError != "" {
			t.Errorf("%+v", s)
		}
		b.wantAll(b.tel.metrics.Stats().Acked)
		b.home.mu.Lock()
		var times []time.Time
		for _, at := range b.home.records {
			times = append(times, at)
		}
		b.home.mu.Unlock()
		slices.SortFunc(times, time.Time.Compare)
		for i := 1; i < len(times); i++ {
			if d := times[i].Sub(times[i-1]); d > interval+time.Second {
				t.Fatalf("%v between two records", d)
			}
		}
		t.Logf("%d records in %.1f MB, %d requests while home was away", made, float64(size)/1e6, requests)
		b.stop()
	})
}

// partial is an answer of a home that rejects n points.
func partial(n int64, why string) []byte {
	in := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(n))
	in = protowire.AppendString(protowire.AppendTag(in, 2, protowire.BytesType), why)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), in)
}

// TestF16HomeInTrouble: whatever home answers for ten minutes, nothing is lost
// and nothing is double by identity; and home is not pestered.
func TestF16HomeInTrouble(t *testing.T) {
	status := func(code int, header ...string) func(string, []byte) (*http.Response, error) {
		return func(string, []byte) (*http.Response, error) { return reply(code, header...) }
	}
	taken := 0
	for name, c := range map[string]struct {
		answer      func(h *fakeHome) func(string, []byte) (*http.Response, error)
		most, least int // requests in ten minutes
		condition   health.Code
		quarantine  bool
	}{
		"429": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) { return status(429, "Retry-After", "60") }, most: 24, least: 12, condition: HomeAway},
		"503": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) { return status(503) }, most: 40, least: 10, condition: HomeAway},
		"502": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) { return status(502) }, most: 40, least: 10, condition: HomeAway},
		"504": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) { return status(504) }, most: 40, least: 10, condition: HomeAway},
		"hangs": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) {
			return func(string, []byte) (*http.Response, error) { return nil, nil }
		}, most: 40, least: 8, condition: HomeAway},
		"refuses all":   {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) { return status(403) }, most: 40, least: 10, condition: HomeRefuses},
		"wrong address": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) { return status(404) }, most: 40, least: 10, condition: HomeRefuses},
		"redirects": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) {
			return status(302, "Location", "https://evil.example/")
		}, most: 40, least: 10, condition: HomeRefuses},
		"500": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) { return status(500) }, most: 40, least: 10, condition: HomeRefuses},
		"answer is lost": {answer: func(h *fakeHome) func(string, []byte) (*http.Response, error) {
			return func(s string, b []byte) (*http.Response, error) { h.take(s, b); return nil, errAway }
		}, most: 40, least: 10, condition: HomeAway},
		"small requests": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) {
			return func(signal string, b []byte) (*http.Response, error) {
				if signal == "metrics" && len(recordPoints(b)) > 1 {
					return reply(413)
				}
				return reply(200)
			}
		}, most: 200, least: 60},
		"partial success": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) {
			return func(_ string, b []byte) (*http.Response, error) {
				r, _ := reply(200)
				if len(b) > 0 {
					r.Body = body(partial(3, "no room"))
				}
				return r, nil
			}
		}, most: 200, least: 60, quarantine: true},
		"every other": {answer: func(*fakeHome) func(string, []byte) (*http.Response, error) {
			return func(string, []byte) (*http.Response, error) {
				if taken++; taken%2 == 0 {
					return reply(503, "Retry-After", time.Now().Add(5*time.Second).UTC().Format(http.TimeFormat))
				}
				return reply(200)
			}
		}, most: 400, least: 60},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, true)
				b.start()
				b.pass(15 * time.Second)
				if name == "small requests" { // with something to be sent in one piece
					b.home.set(status(503))
					b.pass(5 * time.Minute)
				}
				before := b.home.requests
				b.home.set(c.answer(b.home))
				for i := range 10 {
					b.media.raise(health.Raised, health.Code(fmt.Sprint("minute-", i)), time.Now())
					b.pass(time.Minute)
				}
				if n := b.home.requests - before; n > c.most || n < c.least {
					t.Errorf("%d requests, want %d to %d", n, c.least, c.most)
				}
				for _, code := range []health.Code{HomeAway, HomeRefuses} {
					if got := b.active(code); got != (code == c.condition) && !c.quarantine {
						t.Errorf("%s is %v", code, got)
					}
				}
				b.home.set(nil)
				b.pass(10 * time.Minute)
				b.wantAll(b.tel.metrics.Stats().Last)
				if n := len(b.home.eventsNamed(EventCondition)); n < 10 {
					t.Errorf("%d alarms", n)
				}
				s := b.tel.Status()
				if s.QueuedRecords != 0 || s.QueuedEvents != 0 || s.Gaps != (Gaps{}) {
					t.Errorf("%+v", s)
				}
				if (s.Quarantined > 0) != c.quarantine || (s.Rejected > 0) != c.quarantine {
					t.Errorf("%d in quarantine, %d rejected", s.Quarantined, s.Rejected)
				}
				b.stop()
			})
		})
	}
}

// TestF16OneBadRecord: a record that home does not take, while it takes others,
// goes into quarantine with the reason; all others arrive.
func TestF16OneBadRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, true)
		b.home.set(func(string, []byte) (*http.Response, error) { return nil, errAway })
		b.start()
		b.pass(30 * time.Minute)
		const bad = 77
		b.home.set(func(signal string, body []byte) (*http.Response, error) {
			if signal != "metrics" {
				return reply(200)
			}
			for _, p := range recordPoints(body) {
				if p.GetAsDouble() == bad {
					return reply(400)
				}
			}
			return reply(200)
		})
		b.pass(30 * time.Minute)
		s := b.tel.Status()
		if s.Quarantined != 1 || s.QueuedRecords != 0 || !strings.HasPrefix(s.LastRefusal, "400 Bad Request") {
			t.Errorf("%+v", s)
		}
		b.wantAll(b.tel.metrics.Stats().Last - 1)
		if list, err := b.tel.refused.After(0, 1<<20); err != nil || len(list) != 1 || len(recordPoints(list[0].Data[strings.IndexByte(string(list[0].Data), '\n')+1:])) != 1 {
			t.Errorf("%d in quarantine, %v", len(list), err)
		}
		b.stop()
	})
}

// TestF16EmptyIsRefused: a home that takes no empty request gets the others all
// the same; one that takes none at all loses nothing.
func TestF16EmptyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, true)
		const bad = 7
		all := true
		b.home.set(func(signal string, body []byte) (*http.Response, error) {
			if len(body) == 0 || all {
				return reply(400)
			}
			if signal == "metrics" {
				for _, p := range recordPoints(body) {
					if p.GetAsDouble() == bad {
						return reply(400)
					}
				}
			}
			return reply(200)
		})
		b.start()
		b.pass(30 * time.Second)
		if s := b.tel.Status(); s.State != "rejecting" || s.Quarantined > 0 || s.Sent > 0 {
			t.Errorf("%+v", s)
		}
		all = false
		b.pass(20 * time.Minute)
		if s := b.tel.Status(); s.Quarantined != 1 || s.QueuedRecords != 0 {
			t.Errorf("%+v", s)
		}
		b.wantAll(b.tel.metrics.Stats().Last - 1)
		b.stop()
	})
}

// TestF17Clock: unset, a year ahead, an hour behind: nothing is lost, and the
// times are right after the clock is.
func TestF17Clock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		skew time.Duration
		kept bool // the kernel believes it
		date bool // home's answers bear the time
	}{
		"unset":                          {-56 * year, false, false},
		"unset, home knows":              {-56 * year, false, true},
		"a year ahead":                   {year, false, false},
		"a year ahead and believed":      {year, true, true},
		"an hour behind":                 {-time.Hour, false, false},
		"an hour behind, home knows":     {-time.Hour, false, true},
		"an hour behind and believed":    {-time.Hour, true, true},
		"unset, and a reboot in between": {-56 * year, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, c.kept)
				b.clock.set(c.skew, c.kept)
				if !c.date {
					b.home.set(func(string, []byte) (*http.Response, error) { return reply(200, "Date", "") })
				}
				begin := time.Now()
				b.start()
				b.media.raise(health.Raised, "early", b.clock.Wall())
				b.pass(10 * time.Minute)
				if strings.Contains(name, "reboot") {
					b.stop()
					b.clock.begin, b.clock.boot = time.Now(), "boot-2"
					b.start()
					b.pass(2 * time.Minute)
				}
				if !c.date {
					if n := len(b.home.records) + len(b.home.events); n > 0 {
						t.Errorf("%d records were sent before the time was known", n)
					}
					if !b.active(ClockUnknown) || b.tel.Status().State != StateHeld {
						t.Errorf("nobody is told: %s", b.tel.Status().State)
					}
				} else if len(b.home.records) < 50 {
					t.Errorf("%d records after ten minutes in which home knew the time", len(b.home.records))
				}
				if c.kept && !b.active(ClockDisputed) {
					t.Error("nobody is told that the clocks differ")
				}
				b.clock.set(0, true) // synchronised
				b.pass(5 * time.Minute)
				if b.active(ClockUnknown) || b.active(ClockDisputed) {
					t.Error("still complains")
				}
				b.wantAll(b.tel.metrics.Stats().Last)
				end := time.Now()
				for id, at := range b.home.records {
					if at.Before(begin.Add(-2*time.Second)) || at.After(end.Add(2*time.Second)) {
						t.Errorf("%s is of %v, and all is from %v to %v", id, at, begin, end)
					}
				}
				alarm := b.home.eventsNamed(EventCondition)
				early := slices.IndexFunc(alarm, func(e logsRecord) bool { return attribute(e, "quartet.condition.code") == "early" })
				if early < 0 {
					t.Fatal("the alarm is lost")
				}
				tolerance := 2 * time.Second
				if strings.Contains(name, "reboot") {
					tolerance = 15 * time.Second
				}
				if d := time.Unix(0, int64(alarm[early].TimeUnixNano)).Sub(begin); d > tolerance || d < -tolerance {
					t.Errorf("the alarm is %v off (%s)", d, attribute(alarm[early], "quartet.clock.state"))
				}
				b.stop()
			})
		})
	}
}

// TestF18DataDisk: the disk is full, read-only, broken for an hour: an alarm
// comes home within 10 s, nothing is lost, and it goes back to disk.
func TestF18DataDisk(t *testing.T) {
	for _, e := range []error{syscall.ENOSPC, syscall.EROFS, syscall.EIO} {
		t.Run(e.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, true)
				b.start()
				b.pass(time.Minute)
				for _, d := range b.disks {
					d.breakIt(e)
				}
				for range 10 {
					b.pass(time.Second)
					b.health.Tick(b.tel.cfg.HealthNow())
				}
				alarms := b.home.eventsNamed(EventCondition)
				if !slices.ContainsFunc(alarms, func(e logsRecord) bool { return attribute(e, "quartet.condition.code") == string(DiskFailing) }) {
					t.Errorf("no alarm came home within 10 s; there are %d", len(alarms))
				}
				b.pass(30 * time.Minute)
				b.home.set(func(string, []byte) (*http.Response, error) { return nil, errAway }) // and home too
				b.pass(30 * time.Minute)
				if s := b.tel.Status(); !s.Disk.Failing || s.Disk.Reason == "" || s.Disk.MemoryRecords < 150 {
					t.Errorf("%+v", s.Disk)
				}
				for _, d := range b.disks {
					d.breakIt(nil)
				}
				b.pass(time.Minute)
				if s := b.tel.Status(); s.Disk.Failing || s.Disk.MemoryRecords > 0 || b.active(DiskFailing) {
					t.Errorf("%+v", s.Disk)
				}
				b.home.set(nil)
				b.pass(10 * time.Minute)
				b.wantAll(b.tel.metrics.Stats().Last)
				b.stop()
			})
		})
	}
}

// TestSettings: telemetry can be switched off and on, and sent elsewhere, while
// it runs; wrong settings are refused by name.
func TestSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, true)
		b.start()
		b.pass(time.Minute)
		if err := b.tel.Apply(Settings{}); err != nil {
			t.Fatal(err)
		}
		b.pass(time.Second)
		n := b.home.requests
		b.pass(10 * time.Minute)
		if b.home.requests != n || b.tel.Status().State != StateDisabled || b.active(HomeAway) {
			t.Errorf("%d requests while it is off, %s", b.home.requests-n, b.tel.Status().State)
		}
		if err := b.tel.Apply(Settings{Enabled: true, Endpoint: "https://other.example", Interval: 20 * time.Second}); err != nil {
			t.Fatal(err)
		}
		b.pass(5 * time.Minute)
		b.wantAll(b.tel.metrics.Stats().Last)
		if s := b.tel.Status(); s.Sent < 70 || s.Sent > 85 {
			t.Errorf("%d sent", s.Sent)
		}
		b.stop()
		for _, s := range []Settings{{Enabled: true}, {Endpoint: "http://home:4318"}, {Endpoint: "https://"}, {Endpoint: "https://a:b@home"},
			{Endpoint: "https://home:99999"}, {Interval: time.Millisecond}, {Interval: time.Hour}} {
			if err := s.Check(); err == nil || !strings.Contains(err.Error(), ":") {
				t.Errorf("%+v: %v", s, err)
			}
		}
	})
}

// TestReliability: seconds are judged as viewers would.
func TestReliability(t *testing.T) {
	var r reliability
	status := func(input string, paths ...control.Path) *control.Status {
		return &control.Status{Input: control.Input{State: input}, Paths: paths}
	}
	path := func(name string, leg int, up bool, lostHere, lost uint64) control.Path {
		p := control.Path{Name: name, Leg: leg, State: control.PathConnecting}
		if up {
			p.State = control.PathUp
			p.Arrival = &control.Arrival{LostHere: lostHere, Merged: control.Merged{Lost: lost, Delivered: 1}}
		}
		return p
	}
	now := time.Duration(0)
	look := func(s *control.Status) {
		now += time.Second
		r.look(now, 1000, s)
	}
	var a, b, c, d uint64
	all := func() *control.Status {
		return status(control.InputOK, path("1a", 1, true, a, c), path("1b", 1, true, b, d), path("2a", 2, true, 0, 0), path("2b", 2, true, 0, 0))
	}
	look(all())
	for range 10 {
		look(all())
	}
	a, b = 5, 5 // lost on both paths, repaired
	look(all())
	c = 3 // one gateway of two lost something
	look(all())
	c, d = 4, 4 // both did
	look(all())
	for range 2 { // leg 1 is away
		look(status(control.InputOK, path("1a", 1, false, 0, 0), path("1b", 1, false, 0, 0), path("2a", 2, true, 0, 0), path("2b", 2, true, 0, 0)))
	}
	look(status(control.InputLost, path("1a", 1, true, a, c), path("1b", 1, true, b, d), path("2a", 2, true, 0, 0), path("2b", 2, true, 0, 0)))
	look(nil)
	now += time.Hour // nobody looked
	look(all())
	want := map[string][3]float64{ // observed, unavailable, errored
		"pair/all": {17, 2, 0}, "leg/1": {17, 4, 1}, "leg/2": {17, 2, 0}, "path/1a": {17, 4, 1}, "path/2b": {17, 2, 0},
	}
	for _, x := range r.report(1000) {
		w, ok := want[x.Scope+"/"+x.Name]
		if got := [3]float64{x.Observed, x.Unavailable, x.Errored}; ok && got != w {
			t.Errorf("%s %s: %v, want %v", x.Scope, x.Name, got, w)
		}
		delete(want, x.Scope+"/"+x.Name)
	}
	if len(want) > 0 {
		t.Errorf("not reported: %v", want)
	}
	var again reliability
	again.load(r.saveAll(), r.saveNow())
	if len(again.report(1000)) != 7 || again.report(1000)[0].Observed != 17 {
		t.Errorf("%+v", again.report(1000))
	}
	if got := r.report(1000 + 25); len(got) != 0 {
		t.Errorf("paths that are no more: %+v", got)
	}
	if m := again.records[0].window(1000+slotCount, slotCount); m.Observed != 0 {
		t.Error("a month does not end")
	}
	again = reliability{}
	again.load([]byte("{"), r.saveNow()) // one of the two is damaged
	if len(again.report(1000)) != 7 || again.report(1000)[0].Day.Observed != 17 {
		t.Errorf("%+v", again.report(1000))
	}
}
