package sdi

import (
	"errors"
	"fmt"
	"time"
)

// What a device may answer when it is asked for its signal's timings, with the
// kernel's error behind it (VIDIOC_QUERY_DV_TIMINGS).
var (
	ErrNoSignal = errors.New("no signal")                        // ENOLINK
	ErrUnlocked = errors.New("the signal is not stable")         // ENOLCK
	ErrRange    = errors.New("the signal is out of range")       // ERANGE
	ErrNone     = errors.New("the input has no digital timings") // ENODATA, ENOTTY, EINVAL
	// ErrBusy: somebody streams, so the timings cannot be set now.
	ErrBusy = errors.New("busy")
	// ErrGone: the device has been unplugged.
	ErrGone = errors.New("the device is gone")
)

// Capability says what a device is.
type Capability struct {
	Driver, Card, Bus string
	Capture           bool // it captures video, by streaming
}

// Input is the input that is chosen.
type Input struct {
	Name    string
	Status  uint32
	Timings bool // it has digital timings
}

// Device is an open V4L2 device. Its methods are called by one goroutine.
type Device interface {
	Capability() (Capability, error)
	Input() (Input, error)
	Limits() (Limits, error)
	// Query measures the signal that is there now. It may be asked while
	// somebody streams.
	Query() (Timings, error)
	// Set makes a format the one that is captured. ErrBusy while somebody
	// streams.
	Set(Timings) error
	// Current is the format that is set.
	Current() (Timings, error)
	// Subscribe asks for events of the source; an error where there are none.
	Subscribe() error
	// Wait returns after an event, with changed, or after d.
	Wait(d time.Duration) (changed bool, err error)
	Close() error
}

// Opener opens a device by its path.
type Opener func(path string) (Device, error)

// OpenNode opens a device of the kernel's.
func OpenNode(path string) (Device, error) {
	n, err := openNode(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
