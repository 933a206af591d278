package health

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	s  = time.Second
	ms = time.Millisecond
)

// history returns the events as words: "1s raised path-down@path/1a".
func history(m *Monitor) []string {
	var list []string
	events, _, _ := m.Ring().After(0)
	for _, e := range events {
		list = append(list, fmt.Sprintf("%v %s %s", e.Time, e.Kind, e.Condition.ID()))
	}
	return list
}

func want(t *testing.T, m *Monitor, lines ...string) {
	t.Helper()
	if got := history(m); !slices.Equal(got, lines) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func TestHold(t *testing.T) {
	m := New(Catalogue())
	p := Path("1a")
	m.Set(0, PathDown, p, true, "timed out")
	m.Set(600*ms, PathDown, p, false, "") // shorter than hold-on: nothing
	if n, ok := m.Next(); ok {
		t.Errorf("Next %v with nothing pending", n)
	}
	m.Set(1*s, PathDown, p, true, "timed out")
	if n, ok := m.Next(); !ok || n != 1700*ms {
		t.Errorf("Next %v, %v", n, ok)
	}
	m.Tick(2 * s)
	c := m.Active()
	if len(c) != 1 || c[0].Text != "Not connected: timed out" || c[0].Raised != 2*s || c[0].Count != 1 || c[0].Severity != Major || c[0].Remedy == "" {
		t.Fatalf("%+v", c)
	}
	m.Set(10*s, PathDown, p, false, "")
	m.Set(12*s, PathDown, p, true, "wrong passphrase") // back within hold-off: still the same alarm
	m.Set(20*s, PathDown, p, false, "")
	m.Tick(24 * s)
	if len(m.Active()) != 1 {
		t.Error("cleared before hold-off")
	}
	m.Tick(25 * s)
	want(t, m, "2s raised path-down@path/1a", "12s changed path-down@path/1a", "25s cleared path-down@path/1a")
	all := m.All()
	if len(all) != 1 || all[0].Active || all[0].Cleared != 25*s || all[0].First != 2*s {
		t.Errorf("%+v", all)
	}
	m.Set(30*s, PathDown, p, true, "refused")
	m.Tick(31 * s)
	if c := m.Active(); len(c) != 1 || c[0].Count != 2 || c[0].First != 2*s || c[0].Raised != 31*s || c[0].Cleared != 0 {
		t.Errorf("%+v", c)
	}
}

func TestThresholds(t *testing.T) {
	low := Definition{Code: "rate-low", Severity: Major, Set: 10, Clear: 12, Unit: "Mbit/s", Text: "x", Remedy: "y"}
	m := New(append(Catalogue(), low))
	p := Path("1a")
	for i, v := range []float64{0.4, 0.9, 1.1, 1.2, 0.9, 0.6} { // loss in %, set 1, clear 0.5
		m.Measure(time.Duration(i)*s, PathLoss, p, v, "")
	}
	m.Measure(20*s, PathLoss, p, 0.4, "")
	m.Measure(24*s, PathLoss, p, 0.7, "") // between: stays as it is, which is "good" by now
	m.Measure(28*s, PathLoss, p, 0.7, "")
	want(t, m, "3s raised path-loss@path/1a", "28s cleared path-loss@path/1a")

	m = New([]Definition{low})
	for i, v := range []float64{11, 9, 11, 12, 13} {
		m.Measure(time.Duration(i)*s, "rate-low", p, v, "")
	}
	want(t, m, "1s raised rate-low@path/1a", "4s cleared rate-low@path/1a")
	if c := m.All()[0]; c.Value != 13 || c.Unit != "Mbit/s" {
		t.Errorf("%+v", c)
	}
	m.Measure(9*s, "no-such-code", p, 1, "")
	m.Set(9*s, "no-such-code", p, true, "")
	if m.Stats().Refused != 2 {
		t.Errorf("%+v", m.Stats())
	}
}

// TestMasking: a consequence is not raised beside its cause, in whatever order
// they are observed.
func TestMasking(t *testing.T) {
	for _, order := range [][]Code{{PathDown, PathUnreported}, {PathUnreported, PathDown}} {
		m := New(Catalogue())
		for now := time.Duration(0); now <= 20*s; now += 100 * ms {
			for _, code := range order {
				bad := now < 10*s
				if code == PathUnreported {
					bad = now < 18*s
				}
				m.Set(now, code, Path("1a"), bad, "")
			}
			m.Tick(now)
		}
		// Down clears at 15 s; a second later, still unreported, that shows.
		var got []string
		events, _, _ := m.Ring().After(0)
		for _, e := range events { // the order may cost one step of 100 ms
			got = append(got, fmt.Sprintf("%v %s %s", e.Time.Round(s), e.Kind, e.Condition.ID()))
		}
		if !slices.Equal(got, []string{"1s raised path-down@path/1a", "15s cleared path-down@path/1a", "16s raised path-unreported@path/1a"}) {
			t.Errorf("%v: %v", order, got)
		}
	}
	// What is active already is shown behind its later cause.
	m := New(Catalogue())
	m.Measure(0, PathLoss, Path("1a"), 9, "")
	m.Tick(s)
	m.Set(s, PathOverload, Path("1a"), true, "")
	m.Tick(2 * s)
	m.Set(2*s, SharedInterface, ResourceBox, true, "")
	c := m.Active()
	if len(c) != 3 || c[0].Code != PathOverload || c[1].Code != SharedInterface || c[2].Code != PathLoss || !c[2].Masked {
		t.Errorf("%+v", c)
	}
	if w := m.Worst(); w != Major {
		t.Error(w)
	}
	if st := m.Stats(); st.Major != 1 || st.Minor != 1 || st.Warning != 1 || st.Events != 3 {
		t.Errorf("%+v", st)
	}
}

// TestInputMasks: with the feed gone, paths are not blamed.
func TestInputMasks(t *testing.T) {
	m := New(Catalogue())
	m.Set(0, InputLost, ResourceInput, true, "")
	m.Set(0, PathUnreported, Path("1a"), true, "")
	m.Set(0, GatewayLossy, Leg(1), true, "")
	m.Tick(10 * s)
	want(t, m, "0s raised input-lost@input")
}

func TestForget(t *testing.T) {
	m := New(Catalogue())
	m.Set(0, GatewayLossy, Path("1a"), true, "")
	m.Set(0, PathDown, Path("1b"), true, "")
	m.Forget(s, Path("1a"))
	m.Forget(s, Path("1b")) // pending only: no event
	m.Tick(9 * s)
	m.Note(10*s, "reload", ResourceBox, "Configuration read again")
	want(t, m, "0s raised gateway-lossy@path/1a", "1s cleared gateway-lossy@path/1a", "10s note reload@box")
	if len(m.All()) != 0 {
		t.Errorf("%+v", m.All())
	}
}

// TestChangedEvents: a text that changes all the time does not flood readers.
func TestChangedEvents(t *testing.T) {
	m := New(Catalogue())
	for now := time.Duration(0); now < 20*s; now += 100 * ms {
		m.Set(now, GatewayLossy, Path("1a"), true, fmt.Sprint("largest ", now))
	}
	if n := len(history(m)); n != 4 {
		t.Errorf("%d events: %v", n, history(m))
	}
}

// TestBounds: neither the list nor the ring grows without end.
func TestBounds(t *testing.T) {
	m := New(Catalogue())
	for i := range 3 * maxConditions {
		m.Set(time.Duration(i), GatewayLossy, fmt.Sprint(i), true, "")
	}
	if n := len(m.All()); n != maxConditions {
		t.Errorf("%d conditions", n)
	}
	if m.Stats().Refused != 2*maxConditions {
		t.Errorf("%+v", m.Stats())
	}
	m.Set(s, GatewayLossy, "7", false, "")
	m.Tick(9 * s)
	m.Set(9*s, GatewayLossy, "new", true, "") // takes the place of the cleared one
	if all := m.All(); len(all) != maxConditions || !slices.ContainsFunc(all, func(c Condition) bool { return c.Resource == "new" }) ||
		slices.ContainsFunc(all, func(c Condition) bool { return c.Resource == "7" }) {
		t.Error("no room was made")
	}
}

func TestRing(t *testing.T) {
	r := NewRing(4)
	list, missed, more := r.After(0)
	if len(list) != 0 || missed != 0 {
		t.Error(list, missed)
	}
	for i := range 3 {
		r.add(Event{Time: time.Duration(i)})
	}
	select {
	case <-more:
	default:
		t.Error("a reader is not woken")
	}
	if list, missed, _ = r.After(1); len(list) != 2 || missed != 0 || list[0].Seq != 2 || list[1].Time != 2 {
		t.Error(list, missed)
	}
	for i := range 7 {
		r.add(Event{Time: time.Duration(i)})
	}
	if list, missed, _ = r.After(3); len(list) != 4 || missed != 3 || list[0].Seq != 7 || r.Last() != 10 {
		t.Error(list, missed)
	}
	if list, missed, _ = r.After(10); len(list) != 0 || missed != 0 {
		t.Error(list, missed)
	}
	if list, missed, _ = r.After(99); len(list) != 4 || missed != 6 {
		t.Error(list, missed)
	}
}

// TestCatalogue: every code is complete, masks only by known codes, and the
// texts can be read.
func TestCatalogue(t *testing.T) {
	known := map[Code]bool{}
	for _, d := range Catalogue() {
		if known[d.Code] {
			t.Errorf("%s twice", d.Code)
		}
		known[d.Code] = true
	}
	for _, d := range Catalogue() {
		if !regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)+$`).MatchString(string(d.Code)) {
			t.Errorf("%s is no code", d.Code)
		}
		if d.Severity == Info || d.Text == "" || strings.HasSuffix(d.Text, ".") || !strings.HasSuffix(d.Remedy, ".") {
			t.Errorf("%s: severity %s, text %q, remedy %q", d.Code, d.Severity, d.Text, d.Remedy)
		}
		if (d.Set != d.Clear) != (d.Unit != "") {
			t.Errorf("%s: thresholds %g, %g, unit %q", d.Code, d.Set, d.Clear, d.Unit)
		}
		// ACCEPTANCE F2, F8: raised within 2 s, cleared within 10 s.
		if d.Severity >= Major && d.Code != DigestMismatch && (d.HoldOn > 1500*ms || d.HoldOff > 10*s) {
			t.Errorf("%s: hold-on %v, hold-off %v", d.Code, d.HoldOn, d.HoldOff)
		}
		for _, by := range d.MaskedBy {
			if !known[by] || by == d.Code {
				t.Errorf("%s is masked by %s", d.Code, by)
			}
		}
	}
}

func TestSeverityText(t *testing.T) {
	for v := Info; v <= Critical; v++ {
		b, _ := v.MarshalText()
		var back Severity
		if err := back.UnmarshalText(b); err != nil || back != v {
			t.Error(v, err)
		}
	}
	var v Severity
	if v.UnmarshalText([]byte("bad")) == nil || Severity(9).String() != "severity-9" {
		t.Error("an unknown severity passes")
	}
}

// TestInvariants: under any observations, events of a condition alternate
// between raised and cleared, Active agrees with them, times never go back,
// and a raised condition was bad for its hold-on.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(Catalogue())
		codes := []Code{PathDown, PathUnreported, PathLoss, InputLost, PathOverload}
		resources := []string{Path("1a"), Path("1b"), ResourceInput}
		var now time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			now += time.Duration(rapid.IntRange(0, 3000).Draw(t, "dt")) * ms
			code, resource := rapid.SampledFrom(codes).Draw(t, "code"), rapid.SampledFrom(resources).Draw(t, "resource")
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0:
				m.Forget(now, resource)
			case 1, 2:
				m.Tick(now)
			case 3, 4:
				m.Measure(now, PathLoss, resource, rapid.Float64Range(0, 2).Draw(t, "loss"), "")
			default:
				m.Set(now, code, resource, rapid.Bool().Draw(t, "bad"), "")
			}
		}
		active := map[string]bool{}
		var last Event
		events, _, _ := m.Ring().After(0)
		for _, e := range events {
			id := e.Condition.ID()
			switch {
			case e.Seq != last.Seq+1 || e.Time < last.Time:
				t.Fatalf("%+v after %+v", e, last)
			case e.Kind == Raised && active[id], e.Kind != Raised && !active[id]:
				t.Fatalf("%s %s while active is %v", e.Kind, id, active[id])
			}
			active[id] = e.Kind != Cleared
			last = e
		}
		for _, c := range m.All() {
			if active[c.ID()] != c.Active {
				t.Fatalf("%s: active %v, events say %v", c.ID(), c.Active, active[c.ID()])
			}
			delete(active, c.ID())
		}
		for id, on := range active {
			if on {
				t.Fatalf("%s was raised and is not in the list", id)
			}
		}
		if at, ok := m.Next(); ok {
			before := m.Ring().Last()
			m.Tick(max(at, now))
			if m.Ring().Last() == before {
				t.Fatalf("Tick at %v, which Next named, did nothing", at)
			}
		}
	})
}
