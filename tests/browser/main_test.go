//go:build browser

package browser

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Addresses of the box before and after it moves. Whoever connects to an address
// of the namespace comes from that address: further ones are other people.
const (
	home  = "10.77.0.1"
	moved = "10.77.0.9"
)

const inside = "QUARTET_BROWSER_NAMESPACE"

// TestMain moves into a network namespace of its own: there the box may have
// addresses, and a request to anywhere else leads nowhere.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(inside) == "" {
		os.Exit(enter())
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", home + "/32", "dev", "lo"}, {"addr", "add", "10.77.0.2/32", "dev", "lo"}, {"addr", "add", "10.77.0.3/32", "dev", "lo"},
		{"addr", "add", "10.77.0.4/32", "dev", "lo"}, {"addr", "add", "10.77.0.5/32", "dev", "lo"}, {"addr", "add", moved + "/32", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "ip %v: %v: %s\n", args, err, out)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

func enter() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		return ended.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "a network namespace is needed:", err)
		return 1
	}
	return 0
}
