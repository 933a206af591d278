package notify

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager is the service manager's end of the socket.
type manager struct {
	*net.UnixConn
	name string
}

func listen(t *testing.T) manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "socket")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); os.RemoveAll(dir) })
	return manager{c, name}
}

// next is the next message, "" if none comes within that time.
func (m manager) next(t *testing.T, within time.Duration) string {
	t.Helper()
	if err := m.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

func TestMessages(t *testing.T) {
	m := listen(t)
	n, err := New(m.name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Ready()
	n.Status("two\nlines")
	n.Stopping()
	for _, want := range []string{"READY=1", "STATUS=two lines", "STOPPING=1"} {
		if got := m.next(t, 5*time.Second); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The watchdog is fed while turns move on, with the loop's work or without, and
// not a moment longer: that a goroutine of ours lives proves nothing.
func TestFeed(t *testing.T) {
	m := listen(t)
	n, err := New(m.name, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var turns atomic.Uint64
	var hung atomic.Bool
	asked := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Feed(ctx, func() uint64 {
			select {
			case asked <- struct{}{}:
			default:
			}
			if !hung.Load() {
				turns.Add(1)
			}
			return turns.Load()
		})
	}()
	for range 3 {
		if got := m.next(t, 5*time.Second); got != "WATCHDOG=1" {
			t.Fatalf("%q", got)
		}
	}
	hung.Store(true)
	for m.next(t, 50*time.Millisecond) != "" { // what was under way
	}
	for range 5 { // it goes on asking
		<-asked
	}
	if got := m.next(t, 100*time.Millisecond); got != "" {
		t.Fatalf("%q while the loop hangs", got)
	}
	hung.Store(false)
	if got := m.next(t, 5*time.Second); got != "WATCHDOG=1" {
		t.Fatalf("%q after the loop went on", got)
	}
	cancel()
	<-done
}

func TestFromEnvironment(t *testing.T) {
	m := listen(t)
	for _, c := range []struct {
		name            string
		socket, us, pid string
		every           time.Duration
		none, bad       bool
	}{
		{name: "no manager", none: true},
		{name: "no watchdog", socket: m.name},
		{name: "watchdog", socket: m.name, us: "9000000", every: 3 * time.Second},
		{name: "of this process", socket: m.name, us: "9000000", pid: strconv.Itoa(os.Getpid()), every: 3 * time.Second},
		{name: "of another process", socket: m.name, us: "9000000", pid: "1"},
		{name: "no number", socket: m.name, us: "soon", bad: true},
		{name: "no path", socket: "relative", bad: true},
		{name: "nobody there", socket: m.name + ".none", bad: true},
		{name: "abstract, nobody there", socket: "@quartet-notify-none", bad: true},
	} {
		t.Setenv("NOTIFY_SOCKET", c.socket)
		t.Setenv("WATCHDOG_USEC", c.us)
		t.Setenv("WATCHDOG_PID", c.pid)
		n, err := FromEnvironment()
		if (err != nil) != c.bad || c.none != (n == nil && err == nil) {
			t.Errorf("%s: %v, %v", c.name, n, err)
			continue
		}
		for _, v := range os.Environ() {
			if strings.HasPrefix(v, "NOTIFY_SOCKET") || strings.HasPrefix(v, "WATCHDOG_") {
				t.Errorf("%s: %s is left for children", c.name, v)
			}
		}
		if n != nil {
			if n.every != c.every {
				t.Errorf("%s: every %v, want %v", c.name, n.every, c.every)
			}
			n.Close()
		}
	}
}

func TestAbstractSocket(t *testing.T) {
	name := "@quartet-notify-test-" + strconv.Itoa(os.Getpid())
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n, err := New(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Ready()
	if got := (manager{UnixConn: c}).next(t, 5*time.Second); got != "READY=1" {
		t.Fatalf("%q", got)
	}
}

// Without a manager everything is silent.
func TestNobody(t *testing.T) {
	var n *Notifier
	n.Ready()
	n.Status("x")
	n.Stopping()
	n.Feed(t.Context(), nil)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// A manager that does not read does not stop the service: its queue is full
// after a few messages.
func TestManagerThatHangs(t *testing.T) {
	m := listen(t)
	n, err := New(m.name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	limit, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		t.Fatal(err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(limit)))
	if err != nil {
		t.Fatal(err)
	}
	for range most + 1 {
		n.Ready()
	}
	began := time.Now()
	n.Ready()
	if d := time.Since(began); d > 5*time.Second {
		t.Fatalf("waited %v", d)
	}
}

// A manager that does not read when the service becomes ready hears of it with a
// later feeding: else it would end the service for never having become so.
func TestReadyIsOwed(t *testing.T) {
	m := listen(t)
	n, err := New(m.name, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	full := 0
	for n.send("STATUS=busy") {
		if full++; full > 10_000 {
			t.Fatal("the queue does not fill")
		}
	}
	begun := time.Now()
	n.Ready()
	if took := time.Since(begun); took > 5*time.Second {
		t.Fatalf("waited for %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var turns atomic.Uint64
	go func() {
		defer close(done)
		n.Feed(ctx, func() uint64 { return turns.Add(1) })
	}()
	ready := 0
	for range full + 10 {
		if m.next(t, 5*time.Second) == "READY=1" {
			ready++
		}
	}
	if ready != 1 {
		t.Errorf("the manager was told %d times that it is ready, want once", ready)
	}
	cancel()
	<-done
}
