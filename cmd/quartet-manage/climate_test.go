package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"quartet/board"
	"quartet/board/panel"
	"quartet/board/thermal"
)

// conditions are the codes that are active, with their resources.
func (f *front) conditions() (list []string) {
	f.monitor.Tick(f.since())
	for _, c := range f.monitor.Active() {
		if c.Code != "watchdog-reset" {
			list = append(list, string(c.Code)+" "+c.Resource)
		}
	}
	return list
}

// A sensor that cannot be read is not a cool one: the level stays, the fan does not
// slow down, and runs at full speed if it goes on.
func TestSensorThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{celsius: 40, rpm: 2000, volts: 12}
		f, _, _ := newFront(p)
		f.board.Temperatures = append(f.board.Temperatures, playedSecond{p})
		var guard thermal.Guard
		turns := func(n int) (level thermal.Level, duty int) {
			for range n {
				f.climateTurn(&guard)
				time.Sleep(climateEvery)
			}
			return thermal.Level(f.measure().Level), p.duty
		}
		if level, duty := turns(10); level != thermal.Cool || duty != 25 {
			t.Fatalf("%v, %d %%", level, duty)
		}
		// Once is no reason to roar, nor to slow down.
		p.celsius = 75
		_, warm := turns(1)
		p.celsius, p.deaf = 40, syscall.EAGAIN
		if _, duty := turns(1); duty != warm || warm == 100 {
			t.Errorf("one failure: %d %%, and it was %d %%", duty, warm)
		}
		p.deaf = nil
		if _, duty := turns(1); duty != 25 || len(f.conditions()) != 0 {
			t.Errorf("read again: %d %%, %v", duty, f.conditions())
		}
		p.celsius = 97
		if level, duty := turns(10); level != thermal.Hot || duty != 100 || !p.shed {
			t.Errorf("%v, %d %%, shed %t", level, duty, p.shed)
		}
		p.celsius, p.deaf = 40, errors.New("input/output error")
		if level, duty := turns(100); level != thermal.Hot || duty != 100 || !p.shed {
			t.Errorf("the other one cannot be read: %v, %d %%, shed %t", level, duty, p.shed)
		}
		if got := f.conditions(); !slices.Contains(got, "sensor-failed sensor/board") {
			t.Errorf("%v", got)
		}
		p.deaf = nil
		if level, duty := turns(20); level != thermal.Cool || duty != 25 || len(f.conditions()) != 0 {
			t.Errorf("read again: %v, %d %%, %v", level, duty, f.conditions())
		}
		// Cool, and failing: full speed.
		p.deaf = syscall.EIO
		if level, duty := turns(deafAfter); level != thermal.Cool || duty != 100 {
			t.Errorf("%v, %d %%", level, duty)
		}
	})
}

// What was never read: on a board of ours it counts, unless hwmon says that it is
// switched off; on others nobody knows what it is.
func TestSensorThatWasNeverRead(t *testing.T) {
	for _, c := range []struct {
		model string
		err   error
		duty  int
		fails bool
	}{
		{"test", syscall.EIO, 100, true},
		{"test", syscall.ENODATA, 25, false},
		{"generic", syscall.EIO, 0, false},
	} {
		p := &played{celsius: 40, rpm: 2000, volts: 12, deaf: c.err}
		f, _, _ := newFront(p)
		f.board.Model = c.model
		f.board.Temperatures = append(f.board.Temperatures, playedSecond{p})
		now := time.Duration(0)
		f.since = func() time.Duration { return now }
		var guard thermal.Guard
		for range 10 {
			f.climateTurn(&guard)
			now += climateEvery
		}
		if got := strings.Contains(strings.Join(f.conditions(), " "), "sensor-failed"); p.duty != c.duty || got != c.fails {
			t.Errorf("%s, %v: %d %%, %v", c.model, c.err, p.duty, f.conditions())
		}
	}
}

// Light and relay that cannot be set yet are tried again, each second and no more
// often; what is wrong is said once.
func TestLightsThatComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{celsius: 40, rpm: 2000, volts: 12, broken: syscall.EACCES, state: panel.State{Known: true, Claimed: true, SetUp: true}}
		f, _, _ := newFront(p)
		f.climate.Relay = -1
		var out logged
		f.log = slog.New(slog.NewTextHandler(&out, nil))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		time.Sleep(10*time.Second + time.Millisecond)
		p.with(func() {
			if n := len(p.shown); n != 11 || len(p.energised) != 11 {
				t.Errorf("shown %d times, set %d times in 10 s", n, len(p.energised))
			}
			p.broken, p.shown, p.energised = nil, nil, nil
		})
		if m := f.measure(); m.Relay != -1 {
			t.Errorf("the relay is %d, and could not be set", m.Relay)
		}
		time.Sleep(10 * time.Second)
		p.with(func() {
			if !slices.Equal(p.shown, []board.Light{{Colour: board.Green}}) || !slices.Equal(p.energised, []bool{true}) {
				t.Errorf("%v, %v", p.shown, p.energised)
			}
		})
		if n := strings.Count(out.String(), "tried again each second"); n != 2 {
			t.Errorf("said %d times:\n%s", n, out.String())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Sensors and fans whose drivers come later are found, and what is not there any
// more has no condition.
func TestHardwareThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{celsius: 40, rpm: 0, volts: 12}
		f, _, _ := newFront(p)
		b := *f.board
		f.board.Fans = nil
		f.board.Temperatures = []board.Temperature{playedSecond{p}}
		p.deaf = syscall.EIO
		looks := 0
		f.again = func(now *board.Board) {
			if looks++; looks == 2 {
				now.Temperatures, now.Fans = b.Temperatures, b.Fans
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.keepClimate(ctx) }()
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := f.conditions(); !slices.Equal(got, []string{"sensor-failed sensor/board"}) || p.duty != 0 {
			t.Errorf("%v, %d %%", got, p.duty)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := f.conditions(); len(got) != 0 || p.duty != 25 {
			t.Errorf("%v, %d %%", got, p.duty)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := f.conditions(); !slices.Equal(got, []string{"fan-stopped fan/fan"}) || looks != 5 {
			t.Errorf("%v, looked %d times", got, looks)
		}
		cancel()
		<-done
	})
}
