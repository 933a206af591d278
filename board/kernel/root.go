package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Root is the folder below which /sys, /proc and /dev are; "/" on a box.
type Root string

// Path is an absolute path below the root.
func (r Root) Path(elem ...string) string {
	return filepath.Join(append([]string{string(r)}, elem...)...)
}

// text reads a file of one line.
func (r Root) text(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(b), "\x00\n "), nil
}

// number reads a file with one decimal number.
func (r Root) number(path string) (int64, error) {
	s, err := r.text(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is no number", path, s)
	}
	return n, nil
}

// write replaces the contents of an attribute. It must be there: a driver that
// is not loaded is no file to be made.
func (r Root) write(path, s string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// glob lists files in an order that does not change from boot to boot as long
// as the drivers do not.
func (r Root) glob(pattern ...string) []string {
	list, _ := filepath.Glob(r.Path(pattern...)) // the patterns are ours
	slices.Sort(list)
	return list
}

// Compatible lists the device tree's words for the board, the most specific
// first: "radxa,rock-5b", "rockchip,rk3588". It is empty without a device tree.
func (r Root) Compatible() []string {
	b, err := os.ReadFile(r.Path("proc/device-tree/compatible"))
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(b), func(c rune) bool { return c == 0 })
}

// Model is the device tree's name of the board, for people; empty without one.
func (r Root) Model() string {
	s, _ := r.text(r.Path("proc/device-tree/model"))
	return s
}

// ResetCause is why the machine started: in words, empty if the kernel does not
// know. Only a watchdog driver that reads the processor's reset register does.
func (r Root) ResetCause() string {
	const ( // linux/watchdog.h
		overheat  = 0x0001
		fanFault  = 0x0002
		powerLow  = 0x0010
		cardReset = 0x0020
		powerOver = 0x0040
	)
	for _, path := range r.glob("sys/class/watchdog/watchdog[0-9]*/bootstatus") {
		n, err := r.number(path)
		switch {
		case err != nil || n == 0:
		case n&cardReset != 0:
			return "watchdog: the system had stopped feeding it"
		case n&overheat != 0:
			return "overheating"
		case n&fanFault != 0:
			return "fan fault"
		case n&powerLow != 0:
			return "supply voltage too low"
		case n&powerOver != 0:
			return "supply voltage too high"
		}
	}
	return ""
}
