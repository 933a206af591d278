package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child is what this test program does when it is started as another process.
func child(what string) int {
	switch what {
	case "kill":
		return childKill()
	case "namespace":
		return childNamespace()
	}
	fmt.Fprintln(os.Stderr, "unknown child", what)
	return 2
}

// fileSystem is real files with a process that dies at its n-th write.
type killing struct {
	osFolder
	left *int
}

func (k killing) step() {
	if *k.left--; *k.left < 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

func (k killing) write(name string, data []byte) error {
	k.step()
	return k.osFolder.write(name, data)
}

func (k killing) rename(from, to string) error {
	k.step()
	return k.osFolder.rename(from, to)
}

func (k killing) remove(name string) error {
	k.step()
	return k.osFolder.remove(name)
}

func (k killing) sync() error {
	k.step()
	return k.osFolder.sync()
}

// killingSystem installs real files; there is no networkd to tell.
type killingSystem struct {
	*Linux
	left *int
}

func (k killingSystem) Install(f []File) error {
	killing{left: k.left}.step()
	return k.Linux.Install(f)
}

func (k killingSystem) Reload(context.Context, []string) error {
	if k.left != nil {
		killing{left: k.left}.step()
	}
	return nil
}

func (k killingSystem) Addresses() (map[netip.Addr]string, error) {
	return map[netip.Addr]string{}, nil
}

// childKill applies and confirms a change, and says how far it came.
func childKill() int {
	left, err := strconv.Atoi(os.Getenv("QUARTET_TEST_STEPS"))
	if err != nil {
		return 2
	}
	root := os.Getenv("QUARTET_TEST_ROOT")
	k := NewKeeper(KeeperConfig{
		Store: &Store{fs: killing{osFolder(root + "/settings"), &left}}, System: killingSystem{&Linux{Root: root}, &left},
		Hostname: hostname, Boot: "boot", Now: func() time.Duration { return 0 },
	})
	if err := k.Start(context.Background()); err != nil {
		return 1
	}
	p, err := k.Apply(context.Background(), two, "", netip.Addr{})
	if err != nil {
		return 1
	}
	fmt.Println("applied")
	if err := k.Confirm(context.Background(), p.Token, netip.Addr{}); err != nil {
		return 1
	}
	fmt.Println("confirmed")
	return 0
}

// TestF19KilledForReal (fault F19): a process of its own is killed with SIGKILL
// at each of its writes to real files, and another one takes over.
func TestF19KilledForReal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for steps := 0; ; steps++ {
		root := t.TempDir()
		store, err := OpenStore(root + "/settings")
		if err != nil {
			t.Fatal(err)
		}
		if err := store.save(three); err != nil { // so that there is one before
			t.Fatal(err)
		}
		if err := store.save(one); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), "QUARTET_TEST_CHILD=kill", "QUARTET_TEST_ROOT="+root, "QUARTET_TEST_STEPS="+strconv.Itoa(steps))
		out, err := cmd.Output()
		said := string(out)
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if err != nil && !killed {
			t.Fatalf("the child failed by itself: %v %s", err, said)
		}

		now := time.Duration(0)
		k := NewKeeper(KeeperConfig{Store: store, System: killingSystem{Linux: &Linux{Root: root}, left: new(int)}, Hostname: hostname, Boot: "boot", Now: func() time.Duration { return now }})
		*k.cfg.System.(killingSystem).left = 1 << 30
		if err := k.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		now = TrialTime + time.Second
		k.Tick(t.Context())
		have, err := k.cfg.System.Installed()
		if err != nil {
			t.Fatal(err)
		}
		isOld, isNew := rendered(have) == rendered(Render(one, hostname)), rendered(have) == rendered(Render(two, hostname))
		switch {
		case !isOld && !isNew:
			t.Fatalf("killed at step %d: neither the old nor the new:\n%s", steps, rendered(have))
		case isNew && !strings.Contains(said, "applied"):
			t.Fatalf("killed at step %d: new settings that were never confirmed", steps)
		case isOld && strings.Contains(said, "confirmed"):
			t.Fatalf("killed at step %d: confirmed settings are gone", steps)
		}
		if !killed {
			break
		}
		kills++
	}
	if kills < 10 {
		t.Fatalf("only %d kills", kills)
	}
	t.Logf("%d kills", kills)
}
