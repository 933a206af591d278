package kernel

import (
	"context"
	"time"

	"quartet/board"

	"periph.io/x/conn/v3/gpio"
)

// edgeWait is how long a button is waited for before it is seen whether anybody
// still wants to know.
const edgeWait = 200 * time.Millisecond

type button struct{ pin gpio.PinIn }

// Button is a button on a line that is active while it is pressed.
func Button(pin gpio.PinIn) board.Button { return button{pin} }

// Watch reports the state once at the start if the button is pressed, and then
// each change. The line's edges only wake it: what counts is its level, so a
// lost edge costs no more than a wait.
func (b button) Watch(ctx context.Context, handle func(pressed bool, at time.Time)) error {
	if err := b.pin.In(gpio.PullNoChange, gpio.BothEdges); err != nil {
		return err
	}
	pressed := false
	for ctx.Err() == nil {
		if now := bool(b.pin.Read()); now != pressed {
			pressed = now
			handle(pressed, time.Now())
		}
		b.pin.WaitForEdge(edgeWait)
	}
	return nil
}

type contact struct{ pin gpio.PinIn }

// Contact is an input that is active while the contact is closed.
func Contact(pin gpio.PinIn) (board.Contact, error) {
	return contact{pin}, pin.In(gpio.PullNoChange, gpio.NoEdge)
}

func (c contact) Name() string          { return c.pin.Name() }
func (c contact) Closed() (bool, error) { return bool(c.pin.Read()), nil }

type relay struct{ pin gpio.PinOut }

// Relay is an output that is active while the relay is energised. It starts
// without current: nothing is healthy yet.
func Relay(pin gpio.PinOut) (board.Relay, error) { return relay{pin}, pin.Out(gpio.Low) }

func (r relay) Name() string           { return r.pin.Name() }
func (r relay) Energise(on bool) error { return r.pin.Out(gpio.Level(on)) }
