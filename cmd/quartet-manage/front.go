package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"quartet/board"
	"quartet/board/kernel"
	"quartet/board/models"
	"quartet/board/panel"
	"quartet/device/health"
	"quartet/device/telemetry/measure"
	"quartet/device/web"
)

// front is the box's hardware beside network and video: lights and relay follow
// the conditions, buttons are obeyed, and climate.go keeps it cool. It is
// web.Board. Nothing of it is needed to run.
type front struct {
	// set at start, never changed but for board's temperatures, fans and supplies,
	// which are keepClimate's
	board   *board.Board
	again   func(*board.Board) // looks for those once more; nil: what is there is there
	cause   string             // of the last restart
	log     *slog.Logger
	monitor *health.Monitor
	since   func() time.Duration
	uptime  func() time.Duration // of the machine
	state   func(ctx context.Context) panel.State
	reset   func(ctx context.Context, actor string) error // factory reset
	release func(actor string) error                      // of the claim
	shed    func(on bool)
	poke    chan struct{}

	// owned by keepClimate
	turned map[string]bool // fans that have been seen to turn
	failed map[string]int  // sensors that have been read: how many times in a row they could not be since
	duty   int             // of the fan, as the last turn wanted it

	// owned by Run
	switched, energised bool   // the relay has been set, and to what
	relay               string // what is wrong with it

	mu      sync.Mutex // guards what follows
	until   time.Time  // somebody looks for the box
	holds   [2]panel.Hold
	climate measure.Board
}

// The buttons, in front.holds.
const (
	resetButton = iota
	claimButton
)

// atBox is who acts, for the audit log, when a button does.
const atBox = "button at the box"

// searchTime is how long a tap on the claim button shows which box it is.
const searchTime = 30 * time.Second

// openFront finds out what the box has, below a root ("/" but for tests). Its fan
// is at full speed then.
func openFront(root string, log *slog.Logger) *front {
	b, err := models.Open(root)
	if err != nil {
		log.Info("board", "err", err)
	}
	if b == nil {
		b = &board.Board{Close: func() error { return nil }}
	}
	f := &front{board: b, cause: kernel.Root(root).ResetCause(), log: log, poke: make(chan struct{}, 1), turned: map[string]bool{}, failed: map[string]int{},
		again: func(b *board.Board) { models.Again(root, b) }}
	f.fullSpeed()
	f.climate = measure.Board{ResetCause: f.cause, Model: b.Model, FanDuty: -1, Relay: -1}
	if f.cause != "" {
		log.Warn("the hardware has restarted the box", "cause", f.cause)
	}
	return f
}

// lights are the one that shows the status, and the one for identification.
func (f *front) lights() (status, identify board.LED) {
	status, identify = f.board.Status, f.board.Identify
	if identify == nil {
		identify = status
	}
	return status, identify
}

// Identify implements web.Board.
func (f *front) Identify(d time.Duration) error {
	_, led := f.lights()
	if led == nil {
		return errors.Join(web.ErrNotHere, errors.New("this model has no light that could blink"))
	}
	if d > 0 {
		// At once, so that whoever asks hears if the light cannot be had.
		if err := led.Show(panel.Identifying()); err != nil {
			return errors.Join(web.ErrNotHere, err)
		}
	}
	f.mu.Lock()
	f.until = time.Now().Add(d)
	f.mu.Unlock()
	f.wake()
	return nil
}

func (f *front) wake() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// Run keeps lights, relay, buttons and climate until ctx ends.
func (f *front) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for i, b := range []board.Button{resetButton: f.board.FactoryReset, claimButton: f.board.Claim} {
		if b == nil {
			continue
		}
		group.Go(func() {
			if err := b.Watch(ctx, func(pressed bool, at time.Time) { f.pressed(ctx, i, pressed, at) }); err != nil {
				f.log.Warn("a button cannot be watched", "err", err)
			}
		})
	}
	group.Go(func() { f.keepClimate(ctx) })
	f.show(ctx)
	group.Wait()
	if f.board.Relay != nil { // nobody watches any more
		f.energise(false)
	}
	return f.board.Close()
}

// pressed takes a press or a release, and does what it comes to.
func (f *front) pressed(ctx context.Context, button int, down bool, at time.Time) {
	f.mu.Lock()
	event := f.holds[button].Change(down, f.since()-time.Since(at))
	f.mu.Unlock()
	f.wake()
	var err error
	switch {
	case event == panel.Reset && button == resetButton:
		f.log.Warn("factory reset, by the button")
		err = f.reset(ctx, atBox)
	case event == panel.Reset && button == claimButton:
		f.log.Warn("the claim is released, by the button")
		err = f.release(atBox)
	case event == panel.Tap && button == claimButton:
		if err = f.Identify(searchTime); errors.Is(err, web.ErrNotHere) {
			err = nil
		}
	}
	if err != nil {
		f.log.Error("what a button is for could not be done", "err", err)
	}
}

// show keeps lights and relay.
func (f *front) show(ctx context.Context) {
	status, identify := f.lights()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	// What could not be shown is tried again at the next tick: udev may not have
	// given us the device yet.
	main, search := lamp{led: status, log: f.log}, lamp{led: identify, log: f.log}
	if identify == status {
		search.led = nil
	}
	for {
		s := f.state(ctx)
		light, id := panel.Status(s), board.Light{}
		f.mu.Lock()
		looking := time.Now().Before(f.until)
		now := f.since()
		stuck := false
		holding, held := board.Light{}, false
		for i, colour := range []board.Colour{resetButton: panel.ResetColour, claimButton: panel.ClaimColour} {
			e := f.holds[i].State(now)
			stuck = stuck || e == panel.Stuck
			if l, ok := panel.Holding(e, colour); ok && !held {
				holding, held = l, true
			}
		}
		f.mu.Unlock()
		if looking {
			id = panel.Identifying()
			if identify == status {
				light = id
			}
		}
		if held {
			light = holding
		}
		f.monitor.Set(now, web.ButtonStuck, health.ResourceBox, stuck, "")
		f.monitor.Set(now, web.WatchdogBite, health.ResourceBox, f.cause != "" && f.uptime() < time.Hour, f.cause)
		main.show(light)
		search.show(id)
		if on := panel.Healthy(s); f.board.Relay != nil && (!f.switched || on != f.energised) {
			f.energise(on)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.poke:
		}
	}
}

// energise sets the relay. What is wrong with it is said once.
func (f *front) energise(on bool) {
	if err := f.board.Relay.Energise(on); err != nil {
		if f.relay != err.Error() {
			f.log.Warn("the relay cannot be set; it is tried again each second", "err", err)
		}
		f.relay = err.Error()
		return
	}
	f.relay, f.switched, f.energised = "", true, on
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.climate.Relay = 0; on {
		f.climate.Relay = 1
	}
}

// lamp is a light and what it shows.
type lamp struct {
	led board.LED // nil: there is none
	log *slog.Logger

	lit   bool // shown is what it shows
	shown board.Light
	said  string // what is wrong with it
}

// show changes the light if it shows something else. What is wrong is said once.
func (l *lamp) show(want board.Light) {
	if l.led == nil || l.lit && want == l.shown {
		return
	}
	if err := l.led.Show(want); err != nil {
		if l.said != err.Error() {
			l.log.Info("a light cannot be set; it is tried again each second", "err", err)
		}
		l.lit, l.said = false, err.Error()
		return
	}
	l.lit, l.shown, l.said = true, want, ""
}

// measure is what telemetry tells of the board; nil: there is nothing to tell.
func (f *front) measure() *measure.Board {
	f.mu.Lock()
	b := f.climate
	f.mu.Unlock()
	for _, c := range f.board.Inputs {
		if closed, err := c.Closed(); err == nil {
			b.Contacts = append(b.Contacts, measure.Contact{Name: strings.TrimSpace(c.Name()), Closed: closed})
		}
	}
	return &b
}
