package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"quartet/board"
	"quartet/board/models"
	"quartet/board/panel"
	"quartet/device/web"
)

// front is the box's lights: the status light follows the conditions, and shows
// where the box is while somebody looks for it. It is web.Board.
type front struct {
	board *board.Board
	log   *slog.Logger
	state func(ctx context.Context) panel.State

	mu    sync.Mutex // guards what follows
	until time.Time  // somebody looks for the box
	poke  chan struct{}
}

// openFront finds out what the box has. Nothing of it is needed to run.
func openFront(log *slog.Logger) *front {
	b, err := models.Open("/")
	if err != nil {
		log.Info("board", "err", err)
	}
	return &front{board: b, log: log, poke: make(chan struct{}, 1)}
}

// lights are the one that shows the status, and the one for identification.
func (f *front) lights() (status, identify board.LED) {
	if f.board == nil {
		return nil, nil
	}
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
	select {
	case f.poke <- struct{}{}:
	default:
	}
	return nil
}

// Run keeps the lights until ctx ends.
func (f *front) Run(ctx context.Context) error {
	status, identify := f.lights()
	if status == nil && identify == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var shown, shownID board.Light
	first := true
	for {
		f.mu.Lock()
		looking := time.Now().Before(f.until)
		f.mu.Unlock()
		s := f.state(ctx)
		light, id := panel.Status(s), board.Light{}
		if looking {
			id = panel.Identifying()
			if identify == status {
				light = id
			}
		}
		if status != nil && (first || light != shown) {
			f.show(status, light)
		}
		if identify != nil && identify != status && (first || id != shownID) {
			f.show(identify, id)
		}
		shown, shownID, first = light, id, false
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-f.poke:
		}
	}
}

func (f *front) show(led board.LED, l board.Light) {
	if err := led.Show(l); err != nil {
		f.log.Debug("light", "err", err)
	}
}
