package history

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quartet/device/telemetry/measure"
)

var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func resolve(s Stamp) time.Time { return epoch.Add(s.Monotonic) }

func stamp(d time.Duration) Stamp { return Stamp{Boot: "b", Monotonic: d} }

func series(kind measure.Kind, name string, labels ...string) measure.Series {
	s := measure.Series{Name: name, Unit: "{packet}", Kind: kind, Key: len(labels)}
	for i, l := range labels {
		s.Labels = append(s.Labels, measure.Label{Name: fmt.Sprint("l", i), Value: l})
	}
	return s
}

func numbers(l Line) (list []float64) {
	for _, p := range l.Points {
		if p == nil {
			list = append(list, math.NaN())
		} else {
			list = append(list, *p)
		}
	}
	return list
}

// TestQuery: means of gauges, rates of counters over resets, nothing where
// nothing is known.
func TestQuery(t *testing.T) {
	h := New(24*time.Hour, resolve)
	list := []measure.Series{series(measure.Gauge, "rtt", "1a"), series(measure.Counter, "sent", "1a"), series(measure.Gauge, "rtt", "1b")}
	for i := range 1000 {
		d := time.Duration(i) * 10 * time.Second
		sent := float64(i) * 100
		if i >= 500 {
			sent = float64(i-500) * 100 // it began anew
		}
		late := math.NaN()
		if i >= 600 {
			late = 7.5
		}
		h.Add(stamp(d), list, []float64{float64(i), sent, late})
	}
	r, err := h.Query([]string{"rtt/*", "sent/1a", "nothing"}, epoch.Add(4800*time.Second), epoch.Add(6200*time.Second), 100*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Series) != 3 || r.Step != 100 || len(r.Series["rtt/1a"].Points) != 14 {
		t.Fatalf("%+v", r)
	}
	for i, v := range numbers(r.Series["rtt/1a"]) {
		if want := 484.5 + 10*float64(i); v != want {
			t.Errorf("rtt/1a %d: %v, want %v", i, v, want)
		}
	}
	for i, v := range numbers(r.Series["sent/1a"]) {
		want := 10.0
		if i == 2 {
			want = 9 // one of ten steps restarted at 0
		}
		if v != want {
			t.Errorf("sent/1a %d: %v, want %v", i, v, want)
		}
	}
	if u := r.Series["sent/1a"].Unit; u != "{packet}/s" {
		t.Error(u)
	}
	for i, v := range numbers(r.Series["rtt/1b"]) {
		if math.IsNaN(v) != (i < 12) || i >= 12 && v != 7.5 {
			t.Errorf("rtt/1b %d: %v", i, v)
		}
	}
	for _, bad := range []struct {
		from, to time.Time
		step     time.Duration
	}{{epoch, epoch, time.Minute}, {epoch, epoch.Add(time.Hour), 0}, {epoch, epoch.Add(24 * time.Hour), time.Second}} {
		if _, err := h.Query([]string{"rtt/1a"}, bad.from, bad.to, bad.step); err == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

// TestSpan: a day and not much more is kept, and takes what it should.
func TestSpan(t *testing.T) {
	h := New(24*time.Hour, resolve)
	r := rand.New(rand.NewPCG(1, 1))
	var list []measure.Series
	for i := range 300 {
		kind := measure.Gauge
		if i%2 == 0 {
			kind = measure.Counter
		}
		list = append(list, series(kind, fmt.Sprint("s", i)))
	}
	values := make([]float64, len(list))
	for i := range 30 * 360 {
		for j := range values {
			switch j % 4 {
			case 0:
				values[j] += float64(8000 + r.IntN(100)) // packets of a path
			case 1:
				values[j] = math.Round((20+r.Float64())*1000) / 1000 // a round trip
			case 2: // an error that does not occur
			case 3:
				values[j] = 1
			}
		}
		h.Add(stamp(time.Duration(i)*10*time.Second), list, values)
	}
	if n := len(h.chunks); n < 24 || n > 26 {
		t.Errorf("%d hours", n)
	}
	if mb := float64(h.Bytes()) / 1e6; mb > 9 {
		t.Errorf("%.1f MB", mb)
	} else {
		t.Logf("%.1f MB for 300 series", mb)
	}
	from := epoch.Add(6 * time.Hour)
	res, err := h.Query([]string{"s0", "s1"}, from, from.Add(24*time.Hour), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range numbers(res.Series["s0"])[:1400] {
		if v < 800 || v > 810 {
			t.Fatalf("point %d: %v", i, v)
		}
	}
}

// TestBoots: samples of an earlier boot are placed by what is known of it.
func TestBoots(t *testing.T) {
	offset := map[string]time.Duration{"a": 0, "b": time.Hour}
	h := New(24*time.Hour, func(s Stamp) time.Time { return epoch.Add(offset[s.Boot] + s.Monotonic) })
	list := []measure.Series{series(measure.Gauge, "x")}
	h.Add(Stamp{Boot: "a", Monotonic: time.Minute}, list, []float64{1})
	h.Add(Stamp{Boot: "b", Monotonic: time.Minute}, list, []float64{2})
	for range 2 {
		r, err := h.Query([]string{"x"}, epoch, epoch.Add(3*time.Hour), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got := numbers(r.Series["x"])
		want := 1 + int(offset["b"]/time.Hour) - 1
		if got[0] != 1 || got[want] != 2 {
			t.Error(got)
		}
		offset["b"] = 2 * time.Hour // the clock was corrected
	}
}

func TestColumn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.OneOf(rapid.Just(math.NaN()), rapid.Float64Range(-1e6, 1e6), rapid.SampledFrom([]float64{0, 1, -1, 1 << 58, 0.5}),
			rapid.Map(rapid.Int64Range(-1<<53, 1<<53), func(n int64) float64 { return float64(n) })), 1, 50).Draw(t, "values")
		var c column
		for _, v := range list {
			c.add(v)
		}
		for i, v := range c.values(len(list)) {
			if v != list[i] && math.Abs(v-list[i]) > math.Abs(list[i])*1e-7+1e-37 && !(math.IsNaN(v) && math.IsNaN(list[i])) {
				t.Fatalf("%v came back as %v", list[i], v)
			}
		}
		if more := c.values(len(list) + 1); !math.IsNaN(more[len(list)]) {
			t.Fatal(more)
		}
	})
}
