package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"quartet/board"
	"quartet/board/panel"
	"quartet/board/thermal"
	"quartet/device/web"
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
			p.with(func() {
				if looks++; looks == 2 {
					now.Temperatures, now.Fans = b.Temperatures, b.Fans
				}
			})
		}
		expect := func(duty, looked int, want ...string) {
			t.Helper()
			synctest.Wait()
			p.with(func() {
				if got := f.conditions(); !slices.Equal(got, want) || p.duty != duty || looks != looked {
					t.Errorf("%v, %d %%, looked %d times; want %v, %d %%, %d times", got, p.duty, looks, want, duty, looked)
				}
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); f.keepClimate(ctx) }()
		time.Sleep(15 * time.Second)
		expect(0, 1, "sensor-failed sensor/board")
		time.Sleep(10 * time.Second)
		expect(25, 2)
		time.Sleep(10 * time.Minute)
		expect(25, 5, "fan-stopped fan/fan")
		cancel()
		<-done
	})
}

// Until the first look at the temperature the fan is at full speed: a management
// that cannot start leaves it so.
func TestFanBeforeTheFirstLook(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/device-tree/compatible": "radxa,rock-5b\x00", "sys/class/hwmon/hwmon0/name": "pwmfan\n",
		"sys/class/hwmon/hwmon0/pwm1": "64\n", "sys/class/hwmon/hwmon0/pwm1_enable": "1\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := openFront(root, slog.New(slog.DiscardHandler))
	if b, err := os.ReadFile(filepath.Join(root, "sys/class/hwmon/hwmon0/pwm1")); f.board.Model != "rock5b" || string(b) != "255" {
		t.Errorf("%s: the fan is at %q, %v", f.board.Model, b, err)
	}
}

// A new box, as its page sees it, waits for somebody; one whose media plane has died
// says that.
func TestLightOfANewBox(t *testing.T) {
	dead := web.Overview{Worst: "critical", ConfigRevision: "none"}
	if got := panel.Status(lightOf(dead, false)); got != (board.Light{Colour: board.Blue, Rhythm: board.Slow}) {
		t.Errorf("a new box shows %v %v", got.Colour, got.Rhythm)
	}
	for _, revision := range []string{"1f0e", "unknown", ""} { // "": before the first look
		dead.ConfigRevision = revision
		if got := panel.Status(lightOf(dead, false)); got != (board.Light{Colour: board.Yellow, Rhythm: board.Fast}) {
			t.Errorf("without its media plane a box with revision %q shows %v %v", revision, got.Colour, got.Rhythm)
		}
	}
}
