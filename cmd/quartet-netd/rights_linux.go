package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// rights are the capabilities that the daemon keeps: it removes VLANs, and sets
// the clock. What else it does, it does as the owner of its files and by asking.
var rights = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_TIME}

// shed gives up all capabilities but keep, for good and for every thread. The
// unit does the same before this program starts; this is for one that is
// started by hand. Capabilities belong to threads, so the process drops the
// others from its bounding set and starts itself again, which keeps its number.
func shed(keep []uintptr) error {
	if os.Geteuid() != 0 {
		return nil // there is nothing to give up
	}
	runtime.LockOSThread() // until exec
	defer runtime.UnlockOSThread()
	dropped := false
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // the kernel knows fewer
		}
		if err != nil {
			return fmt.Errorf("read the capabilities: %w", err)
		}
		if has == 0 || slices.Contains(keep, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("give up capability %d: %w", c, err)
		}
		dropped = true
	}
	if !dropped {
		return nil
	}
	self, err := os.Executable()
	if err == nil {
		err = syscall.Exec(self, os.Args, os.Environ())
	}
	return fmt.Errorf("start again with fewer capabilities: %w", err)
}
