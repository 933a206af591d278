package updater

import (
	"strings"
	"testing"
	"time"
)

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func window(t *testing.T, s string) Window {
	t.Helper()
	w, err := ParseWindow(s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestParseWindow(t *testing.T) {
	for in, want := range map[string]string{
		"02:00-05:00":         "02:00-05:00",
		"Sun 02:00-05:00":     "sun 02:00-05:00",
		"mon-fri 23:30-01:00": "mon,tue,wed,thu,fri 23:30-01:00",
		"fri-mon 00:00-24:00": "sun,mon,fri,sat 00:00-00:00",
		"sat,sun 01:00-01:30": "sun,sat 01:00-01:30",
		"sun-sat 12:00-13:00": "12:00-13:00",
	} {
		w, err := ParseWindow(in)
		if err != nil || w.String() != want {
			t.Errorf("%q is %q, %v; want %q", in, w, err, want)
		}
		if again, err := ParseWindow(w.String()); err != nil || again != w {
			t.Errorf("%q does not read what it prints: %v", in, err)
		}
	}
	for _, bad := range []string{"", "x", "sun", "2:00-5:00", "25:00-26:00", "02:00", "02:60-03:00", "xyz 02:00-03:00", "sun 02:00-03:00 x", "sun- 01:00-02:00", strings.Repeat("sun,", 100)} {
		if w, err := ParseWindow(bad); err == nil || !strings.Contains(err.Error(), "write") {
			t.Errorf("%q is taken as %q (%v)", bad, w, err)
		}
	}
	if w := window(t, "00:00-24:00"); w.Length != 24*time.Hour {
		t.Errorf("a whole day is %v long", w.Length)
	}
}

func FuzzParseWindow(f *testing.F) {
	f.Add("sun,mon 02:00-05:00")
	f.Add("mon-fri 23:30-01:00")
	f.Fuzz(func(t *testing.T, s string) {
		w, err := ParseWindow(s)
		if err != nil {
			return
		}
		if again, err := ParseWindow(w.String()); err != nil || again != w {
			t.Errorf("%q prints as %q, which is another: %v", s, w, err)
		}
	})
}

// Windows at the changes of summer time, and in zones with odd ones.
func TestWindowsAcrossClockChanges(t *testing.T) {
	for _, tc := range []struct {
		zone, window, from string // from: an instant from which the next one is looked for
		begins             string // in UTC
		length             time.Duration
	}{
		// Berlin, 2026-03-29 02:00 → 03:00: the window's start does not exist.
		{"Europe/Berlin", "sun 02:30-04:30", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", 2 * time.Hour},
		{"Europe/Berlin", "sun 02:00-03:00", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", time.Hour},
		{"Europe/Berlin", "sun 01:30-03:30", "2026-03-28T12:00:00Z", "2026-03-29T00:30:00Z", 2 * time.Hour},
		// 2026-10-25 03:00 → 02:00: it exists twice; the first counts.
		{"Europe/Berlin", "sun 02:30-04:30", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", 2 * time.Hour},
		{"Europe/Berlin", "sun 02:30-04:30", "2026-10-25T12:00:00Z", "2026-11-01T01:30:00Z", 2 * time.Hour},
		{"America/New_York", "02:15-04:15", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z", 2 * time.Hour},
		{"America/New_York", "01:30-02:30", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z", time.Hour},
		// Half an hour of summer time.
		{"Australia/Lord_Howe", "sun 02:10-03:10", "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z", time.Hour},
		{"Asia/Kathmandu", "00:00-01:00", "2026-01-01T00:00:00Z", "2026-01-01T18:15:00Z", time.Hour},
		// Midnight does not exist: Santiago, 2026-09-06 00:00 → 01:00.
		{"America/Santiago", "sun 00:00-03:00", "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z", 3 * time.Hour},
		// A whole day is left out: Apia, 2011-12-30.
		{"Pacific/Apia", "fri 02:00-03:00", "2011-12-29T12:30:00Z", "2011-12-30T10:00:00Z", time.Hour},
		{"UTC", "23:30-01:00", "2026-05-01T12:00:00Z", "2026-05-01T23:30:00Z", 90 * time.Minute},
	} {
		loc := location(t, tc.zone)
		from, err := time.Parse(time.RFC3339, tc.from)
		if err != nil {
			t.Fatal(err)
		}
		w := []Window{window(t, tc.window)}
		open, _, next := At(w, from, loc)
		if open || next.UTC().Format(time.RFC3339) != tc.begins {
			t.Errorf("%s %q after %s begins %s (open %t), want %s", tc.zone, tc.window, tc.from, next.UTC().Format(time.RFC3339), open, tc.begins)
			continue
		}
		for _, at := range []struct {
			offset time.Duration
			open   bool
		}{{-time.Second, false}, {0, true}, {tc.length - time.Second, true}, {tc.length, false}} {
			if open, until, _ := At(w, next.Add(at.offset), loc); open != at.open || open && !until.Equal(next.Add(tc.length)) {
				t.Errorf("%s %q at its begin %+v: open %t until %v", tc.zone, tc.window, at.offset, open, until)
			}
		}
	}
}

// In every zone, through two years: a daily window opens once a day, for its
// whole length, and At agrees with itself about when.
func TestWindowsThroughYears(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/London", "America/St_Johns", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Asia/Tehran", "Pacific/Chatham", "Antarctica/Troll"} {
		loc := location(t, zone)
		w := []Window{window(t, "02:15-03:45")}
		now := time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
		end := now.AddDate(2, 0, 0)
		n := 0
		for now.Before(end) {
			open, until, next := At(w, now, loc)
			if open {
				if until.Sub(now) != 90*time.Minute {
					t.Fatalf("%s: at its begin %v only %v of it are left", zone, now.In(loc), until.Sub(now))
				}
				n++
				now = until
				continue
			}
			if !next.After(now) || next.Sub(now) > 26*time.Hour {
				t.Fatalf("%s: after %v the next begins %v", zone, now.In(loc), next.In(loc))
			}
			now = next
		}
		if n < 729 || n > 731 {
			t.Errorf("%s: %d windows in 730 days", zone, n)
		}
	}
}

func TestDecisions(t *testing.T) {
	berlin := location(t, "Europe/Berlin")
	p := Policy{Windows: []Window{window(t, "sun 02:00-05:00")}, Zone: berlin}
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	good := Situation{Now: at("2026-06-07 02:00"), ClockGood: true} // a Sunday
	for name, tc := range map[string]struct {
		change func(s *Situation, p *Policy)
		want   Why
		until  string
		word   string
	}{
		"in the window":          {nil, Nothing, "", ""},
		"a minute before":        {func(s *Situation, _ *Policy) { s.Now = at("2026-06-07 01:59") }, Outside, "2026-06-07 02:00", "begins at Sun 2026-06-07 02:00 CEST"},
		"too little is left":     {func(s *Situation, _ *Policy) { s.Now = at("2026-06-07 04:46") }, Outside, "2026-06-14 02:00", "too little"},
		"just enough is left":    {func(s *Situation, _ *Policy) { s.Now = at("2026-06-07 04:45") }, Nothing, "", ""},
		"said now, outside":      {func(s *Situation, _ *Policy) { s.Now, s.Said = at("2026-06-03 12:00"), true }, Nothing, "", ""},
		"said now, deferred":     {func(s *Situation, _ *Policy) { s.DeferUntil, s.Said = at("2026-06-20 12:00"), true }, Nothing, "", ""},
		"deferred":               {func(s *Situation, _ *Policy) { s.DeferUntil = at("2026-06-20 12:00") }, Deferred, "2026-06-20 12:00", "deferred"},
		"deferred, over":         {func(s *Situation, _ *Policy) { s.DeferUntil = s.Now }, Nothing, "", ""},
		"spread":                 {func(s *Situation, _ *Policy) { s.Begins = at("2026-06-07 02:30") }, Spread, "2026-06-07 02:30", "turn"},
		"spread, but uploaded":   {func(s *Situation, _ *Policy) { s.Begins, s.Upload = at("2026-06-09 02:30"), true }, Nothing, "", ""},
		"tried before":           {func(s *Situation, _ *Policy) { s.RetryAfter = at("2026-06-08 02:00") }, RetryLater, "2026-06-08 02:00", "again"},
		"clock unset":            {func(s *Situation, _ *Policy) { s.ClockGood = false }, ClockUnset, "", "time of day"},
		"clock unset, said now":  {func(s *Situation, _ *Policy) { s.ClockGood, s.Said = false, true }, ClockUnset, "", "time of day"},
		"manual":                 {func(_ *Situation, p *Policy) { p.Mode = Manual }, WantsWord, "", "operator"},
		"download only":          {func(_ *Situation, p *Policy) { p.Mode = Fetch }, WantsWord, "", "operator"},
		"no windows":             {func(s *Situation, p *Policy) { p.Windows, s.Now = nil, at("2026-06-03 12:00") }, Nothing, "", ""},
		"another zone's evening": {func(_ *Situation, p *Policy) { p.Zone = location(t, "America/New_York") }, Outside, "2026-06-07 08:00", "EDT"},
	} {
		s, p := good, p
		if tc.change != nil {
			tc.change(&s, &p)
		}
		d := p.Install(s)
		if d.Why != tc.want || d.Go != (tc.want == Nothing) || !strings.Contains(d.Text, tc.word) {
			t.Errorf("%s: %+v, want %q with %q", name, d, tc.want, tc.word)
		}
		if tc.until != "" && !d.Until.Equal(at(tc.until)) {
			t.Errorf("%s: until %v, want %s", name, d.Until, tc.until)
		}
	}
	// Downloads need no window.
	s := good
	s.Now = at("2026-06-03 12:00")
	if d := p.Download(s); !d.Go {
		t.Errorf("download outside the window: %+v", d)
	}
	s.Begins = at("2026-06-03 12:30")
	if d := p.Download(s); d.Go || d.Why != Spread || !d.Until.Equal(s.Begins) {
		t.Errorf("download before this box's turn: %+v", d)
	}
	s.Begins = time.Time{}
	p.Mode = Fetch
	if d := p.Download(s); !d.Go {
		t.Errorf("download, mode download: %+v", d)
	}
	p.Mode = Manual
	if d := p.Download(s); d.Why != WantsWord {
		t.Errorf("download, mode manual: %+v", d)
	}
}

func TestPolicyCheck(t *testing.T) {
	for want, p := range map[string]Policy{
		"":         {},
		"mode":     {Mode: "x"},
		"windows":  {Windows: []Window{window(t, "02:00-02:10")}},
		"every":    {Every: time.Second},
		"need":     {Need: time.Second},
		"hold":     {Hold: time.Hour},
		"no day":   {Windows: []Window{{Length: time.Hour}}},
		"too many": {Windows: make([]Window, 40)},
	} {
		err := p.Check()
		if want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestJudge(t *testing.T) {
	up, dark, refused := Path{Up: true, Reachable: true}, Path{}, Path{Reachable: true}
	name := func(n string, p Path) Path { p.Name = n; return p }
	media := func(a, b Path) Media {
		return Media{Answers: true, Expected: true, Input: true, Management: true, Paths: []Path{name("1a", a), name("1b", b)}}
	}
	idle := Media{Answers: true, Management: true}
	noInput := media(up, up)
	noInput.Input = false
	noInputRefused := media(up, refused)
	noInputRefused.Input = false
	for what, tc := range map[string]struct {
		before, now Media
		want        Outcome
		word        string
	}{
		"all again":                          {media(up, up), media(up, up), Confirmed, ""},
		"unclaimed":                          {idle, idle, Confirmed, ""},
		"claimed meanwhile":                  {idle, media(dark, dark), Confirmed, ""},
		"was half down, still is":            {media(up, dark), media(up, dark), Confirmed, ""},
		"was half down, the other half down": {media(up, dark), media(dark, up), Inconclusive, "1a"},
		"far end refuses":                    {media(up, up), media(up, refused), Broken, "1b"},
		"passes no media":                    {media(up, up), media(refused, refused), Broken, "1a, 1b"},
		"no destination at all":              {media(up, up), media(dark, dark), Inconclusive, "no destination"},
		"one far end gone":                   {media(up, up), media(up, dark), Inconclusive, "1b"},
		"no input":                           {media(up, up), noInput, Inconclusive, "input"},
		"no input, and a far end refuses":    {media(up, up), noInputRefused, Inconclusive, "input"},
		"never had input":                    {noInput, noInput, Confirmed, ""},
		"media plane dead":                   {media(up, up), Media{Management: true}, Broken, "media plane"},
		"media plane dead, idle":             {idle, Media{Management: true}, Broken, "media plane"},
		"page dead":                          {idle, Media{Answers: true}, Broken, "page"},
		"was dead before, too":               {Media{Management: true}, Media{Management: true}, Confirmed, ""},
		"configuration lost":                 {media(up, up), idle, Broken, "configured"},
		"configuration lost, no path was up": {media(dark, dark), idle, Broken, "configured"},
		"a path lost":                        {media(up, up), Media{Answers: true, Expected: true, Input: true, Management: true, Paths: []Path{name("1a", up)}}, Broken, "1b"},
	} {
		got := Verdict{Outcome: Confirmed}
		if !well(tc.before, tc.now) {
			got = conclude(tc.before, tc.now)
		}
		if got.Outcome != tc.want || !strings.Contains(got.Text, tc.word) {
			t.Errorf("%s: %+v, want %s with %q", what, got, tc.want, tc.word)
		}
	}
}

// A download stands still while media are strained and comes back gently.
func TestPace(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := &pace{policy: Policy{RateStreaming: 1000, RateIdle: 8000}.withDefaults()}
	streaming := Media{Answers: true, Paths: []Path{{Up: true}}}
	strained := streaming
	strained.Strained = true
	p.look(Media{Answers: true}, t0)
	if r := p.rate(t0); r != 8000 {
		t.Errorf("idle: %d", r)
	}
	p.look(streaming, t0)
	if r := p.rate(t0); r != 1000 {
		t.Errorf("streaming: %d", r)
	}
	p.look(strained, t0)
	if r := p.rate(t0); r != 0 {
		t.Errorf("strained: %d", r)
	}
	last := int64(0)
	for s := range 200 {
		now := t0.Add(time.Duration(s+1) * time.Second)
		p.look(streaming, now)
		r := p.rate(now)
		switch {
		case s+1 < 30 && r != 0:
			t.Fatalf("%d s after: %d", s+1, r)
		case s+1 == 30 && r != 250:
			t.Errorf("it begins again with %d, want a quarter", r)
		case r < last || r > 1000:
			t.Fatalf("%d s after: %d, before that %d", s+1, r, last)
		}
		last = r
	}
	if last != 1000 {
		t.Errorf("after 200 s: %d", last)
	}
	p.policy.RateStreaming = -1
	if r := p.rate(t0.Add(time.Hour)); r != -1 {
		t.Errorf("no limit: %d", r)
	}
}
