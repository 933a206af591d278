package system

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is the machine's clock.
type Clock struct{}

// Monotonic is the time since the boot, on which nobody can turn anything; it
// goes on while the machine is suspended.
func (Clock) Monotonic() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Wall is the time of day as far as the machine knows it.
func (Clock) Wall() time.Time { return time.Now() }

// Synchronised tells whether the kernel says that somebody (timesyncd, chrony,
// PTP) keeps the clock.
func (Clock) Synchronised() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

// Self is the processor time and the resident memory of this process, in
// seconds and bytes.
func Self() (cpu, resident float64) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) == nil {
		cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseFloat(f[1], 64)
			resident = pages * float64(os.Getpagesize())
		}
	}
	return cpu, resident
}
