package main

import (
	"context"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quartet/board"
	"quartet/board/panel"
	"quartet/device/health"
	"quartet/device/web"
)

// played is hardware that a test plays; each part is one of its own types below.
type played struct {
	mu        sync.Mutex
	shown     []board.Light
	energised []bool
	celsius   float64
	rpm, duty int
	volts     float64
	did       []string
	shed      bool
	state     panel.State
	broken    error // of light and relay
	deaf      error // of the second sensor
}

func (p *played) with(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

type playedLED struct{ *played }

func (p playedLED) Show(l board.Light) (err error) {
	p.with(func() { p.shown, err = append(p.shown, l), p.broken })
	return err
}

type playedRelay struct{ *played }

func (playedRelay) Name() string { return "GPO1" }
func (p playedRelay) Energise(on bool) (err error) {
	p.with(func() { p.energised, err = append(p.energised, on), p.broken })
	return err
}

type playedTemperature struct{ *played }

func (playedTemperature) Name() string   { return "soc" }
func (playedTemperature) Limit() float64 { return 100 }
func (p playedTemperature) Celsius() (c float64, err error) {
	p.with(func() { c = p.celsius })
	return c, nil
}

// playedSecond is a cool sensor that may fail.
type playedSecond struct{ *played }

func (playedSecond) Name() string   { return "board" }
func (playedSecond) Limit() float64 { return 100 }
func (p playedSecond) Celsius() (c float64, err error) {
	p.with(func() { c, err = 40, p.deaf })
	return c, err
}

type playedFan struct{ *played }

func (playedFan) Name() string { return "fan" }
func (p playedFan) RPM() (n int, err error) {
	p.with(func() { n = p.rpm })
	return n, nil
}
func (p playedFan) SetDuty(n int) error {
	p.with(func() { p.duty = n })
	return nil
}

type playedSupply struct{ *played }

func (playedSupply) Name() string               { return "12V" }
func (playedSupply) Limits() (float64, float64) { return 11, 13 }
func (p playedSupply) Read() (r board.Reading, err error) {
	p.with(func() { r = board.Reading{Volts: p.volts, Amperes: math.NaN(), Watts: 9} })
	return r, nil
}

type playedButton struct{ presses chan bool }

func (b playedButton) Watch(ctx context.Context, handle func(bool, time.Time)) error {
	for {
		select {
		case p := <-b.presses:
			handle(p, time.Now())
		case <-ctx.Done():
			return nil
		}
	}
}

type playedContact struct{}

func (playedContact) Name() string          { return "GPI1" }
func (playedContact) Closed() (bool, error) { return true, nil }

// newFront is a front with everything, in a synctest bubble.
func newFront(p *played) (f *front, reset, claim playedButton) {
	reset, claim = playedButton{make(chan bool)}, playedButton{make(chan bool)}
	start := time.Now()
	f = &front{
		board: &board.Board{Model: "test", Status: playedLED{p}, FactoryReset: reset, Claim: claim, Relay: playedRelay{p},
			Temperatures: []board.Temperature{playedTemperature{p}}, Fans: []board.Fan{playedFan{p}}, Supplies: []board.Supply{playedSupply{p}},
			Inputs: []board.Contact{playedContact{}}, Close: func() error { return nil }},
		cause: "watchdog: the system had stopped feeding it", log: slog.New(slog.NewTextHandler(io.Discard, nil)), monitor: health.New(web.Catalogue()),
		since: func() time.Duration { return time.Since(start) }, uptime: func() time.Duration { return time.Since(start) },
		state: func(context.Context) (s panel.State) { p.with(func() { s = p.state }); return s },
		reset: func(_ context.Context, who string) error {
			p.with(func() { p.did = append(p.did, "reset by "+who) })
			return nil
		},
		release: func(who string) error { p.with(func() { p.did = append(p.did, "release by "+who) }); return nil },
		shed:    func(on bool) { p.with(func() { p.shed = on }) },
		poke:    make(chan struct{}, 1), turned: map[string]bool{}, failed: map[string]int{},
	}
	return f, reset, claim
}

// What the front shows and does over an afternoon in virtual time.
func TestFront(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{celsius: 40, rpm: 2000, volts: 12, state: panel.State{Known: true, Claimed: true, Worst: "info"}}
		f, reset, claim := newFront(p)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		last := func() (l board.Light) {
			synctest.Wait()
			p.with(func() { l = p.shown[len(p.shown)-1] })
			return l
		}
		active := func() (codes []string) {
			synctest.Wait()
			f.monitor.Tick(f.since())
			for _, c := range f.monitor.Active() {
				codes = append(codes, string(c.Code))
			}
			slices.Sort(codes)
			return codes
		}
		show := func(what string, want board.Light) {
			t.Helper()
			if got := last(); got != want {
				t.Errorf("%s: the light is %v %v, want %v %v", what, got.Colour, got.Rhythm, want.Colour, want.Rhythm)
			}
		}
		show("well", board.Light{Colour: board.Green})
		if got := active(); !slices.Equal(got, []string{"watchdog-reset"}) {
			t.Errorf("%v", got)
		}
		p.with(func() { p.state.Worst = "critical" })
		time.Sleep(2 * time.Second)
		show("viewers see it", board.Light{Colour: board.Red, Rhythm: board.Fast})
		p.with(func() {
			if !slices.Equal(p.energised, []bool{true, false}) {
				t.Errorf("relay %v", p.energised)
			}
			p.state.Worst = "info"
		})

		// A tap on the claim button shows which box it is.
		claim.presses <- true
		time.Sleep(time.Second)
		claim.presses <- false
		show("tapped", panel.Identifying())
		time.Sleep(searchTime + 2*time.Second)
		show("found", board.Light{Colour: board.Green})
		// Held: it releases the claim. Let go too soon, nothing.
		for hold, want := range map[time.Duration]int{5 * time.Second: 0, 11 * time.Second: 1} {
			p.with(func() { p.did = nil })
			claim.presses <- true
			time.Sleep(hold)
			if last().Colour != board.Blue {
				t.Errorf("held for %v: %v", hold, last())
			}
			claim.presses <- false
			synctest.Wait()
			p.with(func() {
				if len(p.did) != want {
					t.Errorf("held for %v: %v", hold, p.did)
				}
			})
		}
		p.with(func() { p.did = nil })
		reset.presses <- true
		time.Sleep(4 * time.Second)
		show("armed", board.Light{Colour: board.Red, Rhythm: board.Slow})
		time.Sleep(7 * time.Second)
		show("ready", board.Light{Colour: board.Red})
		reset.presses <- false
		synctest.Wait()
		p.with(func() {
			if !slices.Equal(p.did, []string{"reset by " + atBox}) {
				t.Errorf("%v", p.did)
			}
		})
		reset.presses <- true
		time.Sleep(40 * time.Second)
		if got := active(); !slices.Contains(got, "button-stuck") {
			t.Errorf("%v", got)
		}
		reset.presses <- false

		// Heat: it says so, then the page is shed; the fan follows.
		for _, c := range []struct {
			celsius float64
			duty    int
			shed    bool
			want    string
		}{{40, 25, false, ""}, {88, 100, false, "board-warm"}, {96, 100, true, "board-hot"}, {88, 100, false, "board-warm"}, {60, 38, false, ""}} {
			p.with(func() { p.celsius = c.celsius })
			time.Sleep(20 * time.Second)
			got := strings.Join(active(), " ")
			m := f.measure()
			p.with(func() {
				if p.duty != c.duty || p.shed != c.shed || strings.Contains(got, "board-") != (c.want != "") || !strings.Contains(got, c.want) {
					t.Errorf("%v °C: duty %d, shed %t, %s", c.celsius, p.duty, p.shed, got)
				}
				if math.Abs(m.Room-(100-c.celsius)) > 1e-9 || m.FanDuty != p.duty || m.Relay != 1 || len(m.Contacts) != 1 || !m.Contacts[0].Closed {
					t.Errorf("%+v", m)
				}
			})
		}
		p.with(func() { p.rpm, p.volts = 0, 10 })
		time.Sleep(20 * time.Second)
		if got := active(); !slices.Contains(got, "fan-stopped") || !slices.Contains(got, "supply-voltage") {
			t.Errorf("%v", got)
		}
		p.with(func() { p.rpm, p.volts = 2000, 12 })
		time.Sleep(2 * time.Hour)
		if got := active(); len(got) != 0 {
			t.Errorf("%v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.with(func() {
			if p.energised[len(p.energised)-1] {
				t.Error("the relay is energised, and nobody watches")
			}
			if p.duty != 100 {
				t.Errorf("the fan is at %d %%, and nobody watches", p.duty)
			}
		})
	})
}

// Fans of a machine that is none of ours are left to it.
func TestFansOfOthers(t *testing.T) {
	p := &played{celsius: 40, duty: 77}
	f, _, _ := newFront(p)
	f.board.Model = "generic"
	if set := f.fans(time.Hour, 25); set != -1 || p.duty != 77 {
		t.Errorf("set to %d, %d", set, p.duty)
	}
	if f.fans(2*time.Hour, 25); len(f.monitor.Active()) != 0 {
		t.Errorf("%v", f.monitor.Active())
	}
	if f.fullSpeed(); p.duty != 77 {
		t.Errorf("set to %d", p.duty)
	}
}
