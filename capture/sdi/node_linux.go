package sdi

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// node is a device of the kernel's.
type node struct {
	fd     int
	events bool
}

func openNode(path string) (*node, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &node{fd: fd}, nil
}

func (n *node) Close() error { return unix.Close(n.fd) }

// call makes an ioctl with a structure of its size.
func (n *node) call(request uintptr, b []byte) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(n.fd), request, uintptr(unsafe.Pointer(&b[0])))
		switch e {
		case 0:
			return nil
		case unix.EINTR:
			continue
		case unix.ENODEV, unix.ENXIO, unix.EBADF:
			return fmt.Errorf("%w (%w)", ErrGone, e)
		}
		return e
	}
}

func (n *node) Capability() (Capability, error) {
	b := make([]byte, capabilitySize)
	if err := n.call(queryCap, b); err != nil {
		return Capability{}, err
	}
	can := u32(b, capAll)
	if can&capHasDevice != 0 {
		can = u32(b, capDevice) // what this node does, of all that the device does
	}
	return Capability{
		Driver: text(b[capDriver:capCard]), Card: text(b[capCard:capBus]), Bus: text(b[capBus : capBus+32]),
		Capture: can&(capVideoCapture|capVideoMultiplane) != 0 && can&capStreaming != 0,
	}, nil
}

func (n *node) Input() (Input, error) {
	index := make([]byte, 4)
	if err := n.call(getInput, index); err != nil {
		return Input{}, err
	}
	b := make([]byte, inputSize)
	copy(b[inputIndex:], index)
	if err := n.call(enumInput, b); err != nil {
		return Input{}, err
	}
	return Input{Name: text(b[inputName:inputType]), Status: u32(b, inputStatus), Timings: u32(b, inputCaps)&inputHasTimings != 0}, nil
}

func (n *node) Limits() (Limits, error) {
	b := make([]byte, timingsCapSize)
	if err := n.call(timingsCap, b); err != nil {
		return Limits{}, err
	}
	return parseLimits(b), nil
}

// timings makes a call that answers with timings.
func (n *node) timings(request uintptr) (Timings, error) {
	b := make([]byte, timingsSize)
	err := n.call(request, b)
	for _, k := range []struct {
		errno unix.Errno
		is    error
	}{{unix.ENOLINK, ErrNoSignal}, {unix.ENOLCK, ErrUnlocked}, {unix.ERANGE, ErrRange}, {unix.ENODATA, ErrNone}, {unix.ENOTTY, ErrNone}, {unix.EINVAL, ErrNone}} {
		if errors.Is(err, k.errno) {
			return Timings{}, fmt.Errorf("%w (%w)", k.is, err)
		}
	}
	if err != nil {
		return Timings{}, err
	}
	return parseTimings(b)
}

func (n *node) Query() (Timings, error)   { return n.timings(queryTimings) }
func (n *node) Current() (Timings, error) { return n.timings(getTimings) }

func (n *node) Set(t Timings) error {
	b := append([]byte{}, t.raw[:]...)
	err := n.call(setTimings, b)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w (%w)", ErrBusy, err)
	}
	return err
}

func (n *node) Subscribe() error {
	b := make([]byte, subscriptionSize)
	order.PutUint32(b, eventSourceChange)
	err := n.call(subscribeEvent, b)
	n.events = err == nil
	return err
}

// Wait polls for POLLPRI, which is how V4L2 tells of events, and takes them all.
// A device that is unplugged answers with POLLERR or POLLHUP; so does one that
// streams nowhere, so that is no answer by itself.
func (n *node) Wait(d time.Duration) (changed bool, err error) {
	if !n.events {
		time.Sleep(d)
		return false, nil
	}
	end := time.Now().Add(d)
	for {
		left := max(time.Until(end), 0)
		fds := []unix.PollFd{{Fd: int32(n.fd), Events: unix.POLLPRI}}
		_, err := unix.Poll(fds, int(left.Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, err
		case fds[0].Revents&unix.POLLNVAL != 0:
			return false, ErrGone
		case fds[0].Revents&unix.POLLPRI == 0:
			if fds[0].Revents != 0 {
				time.Sleep(left) // POLLERR would come again at once
			}
			return false, nil
		}
		b := make([]byte, eventSize)
		for pending := true; pending; {
			err := n.call(dequeueEvent, b)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOENT) {
				break
			}
			if err != nil {
				return changed, err
			}
			changed = changed || u32(b, eventType) == eventSourceChange
			pending = u32(b, eventPending) > 0
		}
		return changed, nil
	}
}
