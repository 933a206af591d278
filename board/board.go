// Package board names what a model of box has beside its network and video:
// lights, buttons, temperatures, a fan, supplies, contacts, an identity memory.
// It has types only. How the kernel gives access to them is in board/kernel,
// what is decided from them in board/panel and board/thermal, and which model
// has which of them in a folder of its own; board/models chooses among those.
//
// A model may lack any of it: a nil field, or an empty list, is "not there", and
// nobody may need one to carry media.
package board

import (
	"context"
	"errors"
	"time"
)

// ErrNotThere says that the hardware lacks what was asked of it.
var ErrNotThere = errors.New("this hardware does not have it")

// Board is one box's hardware. Its parts may be used by several goroutines.
type Board struct {
	Model string // the folder's name below buildroot/board, and telemetry's label: "imx8mp-evk"
	Name  string // for people: "NXP i.MX 8M Plus EVK"

	Status   LED // the one light that everybody looks at
	Identify LED // which box of the rack it is; nil: Status does both

	// FactoryReset and Claim are nil where the front has no such button. The first
	// returns the box to its delivery; the second releases its claim, for somebody
	// who has lost the password and has the label's code.
	FactoryReset, Claim Button

	Temperatures []Temperature
	Fans         []Fan
	Supplies     []Supply

	Inputs []Contact // GPI: closures from the rack
	Relay  Relay     // GPO: energised while the box is healthy, so that a dead box opens it; nil: none

	Identity Memory // nil: none

	// Close gives everything back; lights stay as they are.
	Close func() error
}

// Colour of a light, with the meaning that IEC 60073 gives it.
type Colour uint8

// Colours.
const (
	Off    Colour = iota
	Red           // emergency: viewers see it
	Yellow        // abnormal: redundancy or reserve is lost
	Green         // normal
	Blue          // mandatory: somebody has to do something, such as claim the box
	White         // neutral: identification
)

func (c Colour) String() string {
	switch c {
	case Off:
		return "off"
	case Red:
		return "red"
	case Yellow:
		return "yellow"
	case Green:
		return "green"
	case Blue:
		return "blue"
	case White:
		return "white"
	}
	return "unknown"
}

// Rhythm of a light. Slow lies within IEC 60073's slow flashing (0.4–0.8 Hz),
// fast within its normal one (1.4–2.8 Hz).
type Rhythm uint8

// Rhythms.
const (
	Steady Rhythm = iota
	Slow          // 1 s on, 1 s off
	Fast          // 250 ms on, 250 ms off: look here now
)

// Period is how long a light of this rhythm is on, and then off.
func (r Rhythm) Period() (on, off time.Duration) {
	switch r {
	case Slow:
		return time.Second, time.Second
	case Fast:
		return 250 * time.Millisecond, 250 * time.Millisecond
	}
	return 0, 0
}

func (r Rhythm) String() string {
	switch r {
	case Slow:
		return "slow"
	case Fast:
		return "fast"
	}
	return "steady"
}

// Light is what a LED shows.
type Light struct {
	Colour Colour
	Rhythm Rhythm
}

// LED is a light of one or more colours. A colour that it does not have is
// shown as the nearest that it has.
type LED interface {
	// Show changes the light. The kernel keeps the rhythm, so a busy or dead
	// program changes nothing about it.
	Show(Light) error
}

// Button is pressed by people.
type Button interface {
	// Watch calls handle for each press and each release, debounced, with the
	// time of the event on the monotonic clock of the process, until ctx ends.
	Watch(ctx context.Context, handle func(pressed bool, at time.Time)) error
}

// Temperature is a sensor, in °C.
type Temperature interface {
	Name() string
	Celsius() (float64, error)
	// Limit is where the part is throttled or switched off, whichever is lower; 0:
	// not told.
	Limit() float64
}

// Fan turns.
type Fan interface {
	Name() string
	// RPM is measured. 0: it stands and should not. ErrNotThere: no tacho, or the
	// kernel, which drives it, has it stand.
	RPM() (int, error)
	// SetDuty takes 0…100. ErrNotThere: not to be set, such as one that the kernel
	// drives.
	SetDuty(percent int) error
}

// Reading is what a supply gives at one moment. NaN: not measured.
type Reading struct {
	Volts, Amperes, Watts float64
}

// Supply is a voltage that feeds the box or a part of it.
type Supply interface {
	Name() string
	Read() (Reading, error)
	// Limits are the voltages between which the maker wants it to stay; 0: not
	// told.
	Limits() (low, high float64)
}

// Contact is an input that is open or closed.
type Contact interface {
	Name() string
	Closed() (bool, error)
}

// Relay is an output that is energised or not.
type Relay interface {
	Name() string
	Energise(on bool) error
}

// Memory is the box's identity memory.
type Memory interface {
	Read() ([]byte, error)
	Write([]byte) error // whole; for the factory
}
