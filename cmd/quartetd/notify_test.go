package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/notify"
)

// manager is a service manager's end of the notify socket.
type manager struct {
	testing.TB
	*net.UnixConn
	socket string
}

func newManager(t testing.TB) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{TB: t, socket: filepath.Join(dir, "s")}
	if m.UnixConn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.UnixConn.Close(); os.RemoveAll(dir) })
	return m
}

// next is the next message, "" if there is none within that time.
func (m *manager) next(within time.Duration) string {
	m.Helper()
	if err := m.SetReadDeadline(time.Now().Add(within)); err != nil {
		m.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.UnixConn.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

func (m *manager) want(messages ...string) {
	m.Helper()
	for _, w := range messages {
		if got := m.next(20 * time.Second); got != w {
			m.Fatalf("the service manager hears %q, want %q", got, w)
		}
	}
}

// idle is a box without a feed and with nobody to send to.
func idle(t testing.TB) *config.Box {
	d := document()
	d.Input.URL = "udp://127.0.0.1:" + freePort(t)
	d.Paths = d.Paths[:1]
	d.Paths[0].URL = "srt://127.0.0.1:" + freePort(t)
	return d
}

// TestWatchdog: an idle box with an unreachable far end is healthy; one whose
// packet loop hangs is not, and the service manager hears nothing any more.
func TestWatchdog(t *testing.T) {
	m := newManager(t)
	told, err := notify.New(m.socket, 30*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	var gate sync.RWMutex // held: whoever asks for the time waits, the packet loop first of all
	b := startBox(t, idle(t), func(o *boxOptions) {
		now := o.now
		o.told, o.now = told, func() time.Duration { gate.RLock(); defer gate.RUnlock(); return now() }
	})
	m.want("READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1")
	if s := b.status(); len(s.Paths) != 1 || s.Paths[0].State == "up" {
		t.Fatalf("the far end answers: %+v", s.Paths)
	}
	gate.Lock()
	for m.next(200*time.Millisecond) != "" { // what was under way
	}
	if got := m.next(300 * time.Millisecond); got != "" {
		t.Errorf("%q while the packet loop hangs", got)
	}
	gate.Unlock()
	m.want("WATCHDOG=1")
}

// The program as the service manager starts it: ready, fed, stopping; and its
// children do not speak for it.
func TestServiceOfSystemd(t *testing.T) {
	m := newManager(t)
	d := idle(t)
	d.Control.Socket = filepath.Join(t.TempDir(), "s")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "run", "--config", write(t, d), "--data", t.TempDir())
	cmd.Env = append(os.Environ(), "QUARTETD_TEST_MAIN=1", "NOTIFY_SOCKET="+m.socket, "WATCHDOG_USEC=300000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.want("READY=1", "WATCHDOG=1", "WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for {
		got := m.next(20 * time.Second)
		if got == "STOPPING=1" {
			break
		}
		if got != "WATCHDOG=1" {
			t.Fatalf("%q, want STOPPING=1", got)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}
