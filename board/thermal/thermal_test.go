package thermal

import (
	"testing"
	"time"
)

func TestGuardWarnsShedsAndEases(t *testing.T) {
	var g Guard
	now := time.Duration(0)
	run := func(c float64, d time.Duration) Level {
		var l Level
		for end := now + d; now < end; now += time.Second {
			l, _ = g.Update(now, []Reading{{"SoC", c, 95}, {"board", 40, 0}}, false)
		}
		return l
	}
	for i, step := range []struct {
		celsius float64
		lasts   time.Duration
		want    Level
	}{
		{60, 10 * time.Second, Cool},
		{81, 4 * time.Second, Cool}, // not for long enough
		{60, 2 * time.Second, Cool},
		{81, 10 * time.Second, Warm},
		{78, 20 * time.Second, Warm}, // hysteresis
		{91, 10 * time.Second, Hot},
		{87, 20 * time.Second, Hot},
		{84, 10 * time.Second, Warm},
		{74, 10 * time.Second, Cool},
		{93, 10 * time.Second, Hot}, // at once from cool
	} {
		if got := run(step.celsius, step.lasts); got != step.want {
			t.Errorf("step %d, %v °C for %v: %v, want %v", i, step.celsius, step.lasts, got, step.want)
		}
	}
	if l, _ := g.Update(now, nil, false); l != Hot {
		t.Errorf("%v without readings, want no change", l)
	}
	if _, r := g.Update(now, []Reading{{"a", 50, 100}, {"b", 60, 70}}, false); r.Name != "b" {
		t.Errorf("nearest to its limit is %q, want b", r.Name)
	}
}

// A sensor that cannot be read may be the hot one: what is left cools nothing, and
// once all can be read again, the time to ease begins anew. It gets hotter all the
// same.
func TestGuardDoesNotEaseBlind(t *testing.T) {
	var g Guard
	now := time.Duration(0)
	run := func(c float64, blind bool, d time.Duration) (l Level) {
		for end := now + d; now < end; now += time.Second {
			l, _ = g.Update(now, []Reading{{"board", c, 95}}, blind)
		}
		return l
	}
	for i, step := range []struct {
		celsius float64
		blind   bool
		lasts   time.Duration
		want    Level
	}{
		{92, false, 10 * time.Second, Hot},
		{40, true, time.Hour, Hot},
		{40, false, 4 * time.Second, Hot},
		{40, true, time.Second, Hot},
		{40, false, 4 * time.Second, Hot},
		{40, false, 4 * time.Second, Cool},
		{82, true, 10 * time.Second, Warm},
		{92, true, 10 * time.Second, Hot},
	} {
		if got := run(step.celsius, step.blind, step.lasts); got != step.want {
			t.Errorf("step %d, %v °C, blind %t: %v, want %v", i, step.celsius, step.blind, got, step.want)
		}
	}
}

func TestDuty(t *testing.T) {
	for _, c := range []struct {
		room float64
		want int
	}{{60, 25}, {45, 25}, {30, 63}, {15, 100}, {-3, 100}} {
		if got := Duty(c.room); got != c.want {
			t.Errorf("%v °C left: %d %%, want %d", c.room, got, c.want)
		}
	}
}
