package kernel

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"
)

// Pin is a line of a GPIO chip, as a model's table names it.
type Pin struct {
	Name     string        // in the schematic: "BTN_RESET"
	Chip     string        // label of the GPIO chip: "30200000.gpio"
	Line     int           // offset on it
	Low      bool          // active at low level
	Debounce time.Duration // of an input, by the kernel
}

// The character device's second version, linux/gpio.h.
const (
	ioctlChipInfo  = 0x8044b401 // GPIO_GET_CHIPINFO_IOCTL
	ioctlGetLine   = 0xc250b407 // GPIO_V2_GET_LINE_IOCTL
	ioctlGetValues = 0xc010b40e // GPIO_V2_LINE_GET_VALUES_IOCTL
	ioctlSetValues = 0xc010b40f // GPIO_V2_LINE_SET_VALUES_IOCTL

	flagLow     = 1 << 1
	flagInput   = 1 << 2
	flagOutput  = 1 << 3
	flagRising  = 1 << 4
	flagFalling = 1 << 5
	flagPullUp  = 1 << 8
	flagPullDn  = 1 << 9
	flagNoPull  = 1 << 10

	attrOutput   = 2
	attrDebounce = 3

	eventSize = 48 // struct gpio_v2_line_event
)

type chipInfo struct { // struct gpiochip_info
	name, label [32]byte
	lines       uint32
}

type lineAttribute struct { // struct gpio_v2_line_config_attribute
	id, _ uint32
	value uint64
	mask  uint64
}

type lineRequest struct { // struct gpio_v2_line_request
	offsets  [64]uint32
	consumer [32]byte
	// struct gpio_v2_line_config
	flags    uint64
	numAttrs uint32
	_        [5]uint32
	attrs    [10]lineAttribute

	numLines, eventBuffer uint32
	_                     [5]uint32
	fd                    int32
}

type lineValues struct{ bits, mask uint64 } // struct gpio_v2_line_values

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
		if e == 0 {
			return nil
		}
		if !errors.Is(e, unix.EINTR) {
			return e
		}
	}
}

// Line is a requested GPIO line. It is a gpio.PinIO: Read and Out are in terms
// of active and inactive, as the Pin says. In, Out and Close must not be called
// at the same time as each other.
type Line struct {
	pin  Pin
	chip string // path of the device

	mu   sync.Mutex
	fd   int // of the request; -1: none
	pull gpio.Pull
}

// Lines opens GPIO lines.
func (r Root) Lines(pins ...Pin) ([]*Line, error) {
	var list []*Line
	for _, p := range pins {
		path, err := r.chip(p.Chip, p.Line)
		if err != nil {
			return nil, fmt.Errorf("GPIO %s: %w", p.Name, err)
		}
		list = append(list, &Line{pin: p, chip: path, fd: -1, pull: gpio.PullNoChange})
	}
	return list, nil
}

// chip finds a GPIO chip by its label: numbers change with the order of drivers.
func (r Root) chip(label string, line int) (string, error) {
	var seen []string
	for _, path := range r.glob("dev/gpiochip[0-9]*") {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return "", err
		}
		var info chipInfo
		err = ioctl(int(f.Fd()), ioctlChipInfo, unsafe.Pointer(&info))
		f.Close()
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		got := strings.TrimRight(string(info.label[:]), "\x00")
		if got == label {
			if line < 0 || line >= int(info.lines) {
				return "", fmt.Errorf("line %d of %q, which has %d", line, label, info.lines)
			}
			return path, nil
		}
		seen = append(seen, got)
	}
	return "", fmt.Errorf("no GPIO chip is labelled %q; there are: %s", label, strings.Join(seen, ", "))
}

// request asks for the line, instead of what was asked before.
func (l *Line) request(flags uint64, out bool) error {
	f, err := os.OpenFile(l.chip, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("GPIO %s: %w", l.pin.Name, err)
	}
	defer f.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
	q := lineRequest{flags: flags, numLines: 1}
	q.offsets[0] = uint32(l.pin.Line)
	copy(q.consumer[:31], "quartet "+l.pin.Name)
	if l.pin.Low {
		q.flags |= flagLow
	}
	if flags&flagOutput != 0 {
		q.attrs[0] = lineAttribute{id: attrOutput, mask: 1}
		if out {
			q.attrs[0].value = 1
		}
		q.numAttrs = 1
	} else if l.pin.Debounce > 0 {
		q.attrs[0] = lineAttribute{id: attrDebounce, value: uint64(l.pin.Debounce.Microseconds()), mask: 1}
		q.numAttrs = 1
	}
	if err := ioctl(int(f.Fd()), ioctlGetLine, unsafe.Pointer(&q)); err != nil {
		return fmt.Errorf("GPIO %s (%s line %d): %w", l.pin.Name, l.pin.Chip, l.pin.Line, err)
	}
	l.fd = int(q.fd)
	return nil
}

// In makes the line an input.
func (l *Line) In(pull gpio.Pull, edge gpio.Edge) error {
	flags := uint64(flagInput)
	switch pull {
	case gpio.PullUp:
		flags |= flagPullUp
	case gpio.PullDown:
		flags |= flagPullDn
	case gpio.Float:
		flags |= flagNoPull
	}
	switch edge {
	case gpio.RisingEdge:
		flags |= flagRising
	case gpio.FallingEdge:
		flags |= flagFalling
	case gpio.BothEdges:
		flags |= flagRising | flagFalling
	}
	l.pull = pull
	return l.request(flags, false)
}

// Out makes the line an output, or changes it.
func (l *Line) Out(v gpio.Level) error {
	l.mu.Lock()
	fd := l.fd
	l.mu.Unlock()
	if fd >= 0 {
		val := lineValues{mask: 1}
		if v {
			val.bits = 1
		}
		if ioctl(fd, ioctlSetValues, unsafe.Pointer(&val)) == nil {
			return nil
		}
	}
	return l.request(flagOutput, bool(v)) // it was an input, or nothing yet
}

// Read is the line's level, low if it cannot be read.
func (l *Line) Read() gpio.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	val := lineValues{mask: 1}
	if l.fd < 0 || ioctl(l.fd, ioctlGetValues, unsafe.Pointer(&val)) != nil {
		return gpio.Low
	}
	return val.bits&1 != 0
}

// WaitForEdge waits for one edge; see gpio.PinIn.
func (l *Line) WaitForEdge(timeout time.Duration) bool {
	l.mu.Lock()
	fd := l.fd
	l.mu.Unlock()
	if fd < 0 {
		return false
	}
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, ms); err != nil || n == 0 || p[0].Revents&unix.POLLIN == 0 {
		return false
	}
	var event [eventSize]byte
	n, err := unix.Read(fd, event[:])
	return err == nil && n == eventSize
}

// Close gives the line back.
func (l *Line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
	return nil
}

// Halt, Name, Number, Function, Pull, DefaultPull, PWM and String make a Line a
// gpio.PinIO.

// Halt gives the line back.
func (l *Line) Halt() error { return l.Close() }

// Name is the schematic's.
func (l *Line) Name() string { return l.pin.Name }

// Number is the offset on the chip.
func (l *Line) Number() int { return l.pin.Line }

// Function is not told by the kernel.
func (l *Line) Function() string { return "" }

// Pull is what In asked for.
func (l *Line) Pull() gpio.Pull { return l.pull }

// DefaultPull is not known.
func (l *Line) DefaultPull() gpio.Pull { return gpio.PullNoChange }

// PWM is not there.
func (l *Line) PWM(gpio.Duty, physic.Frequency) error {
	return fmt.Errorf("GPIO %s: a line of the character device has no PWM", l.pin.Name)
}

func (l *Line) String() string { return l.pin.Name }

var _ gpio.PinIO = (*Line)(nil)
