// Package notify tells systemd how a service is: that it is ready, that it is
// alive, that it ends (sd_notify(3)). It needs no library: a message is one
// datagram to the socket that NOTIFY_SOCKET names.
//
// The watchdog is fed by work, not by time: Feed asks a counter that the
// service's own loop turns, and says nothing while it stands still. So a
// process that hangs is restarted, and one that has nothing to do is not.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Notifier sends to the service manager. A nil *Notifier, which is what a
// process without one gets, does nothing.
type Notifier struct {
	conn  *net.UnixConn
	every time.Duration // between feedings; 0: no watchdog
	owed  atomic.Bool   // Ready could not be said yet
}

// FromEnvironment returns the Notifier that the service manager asked for, and
// removes its variables so that children do not speak for this process. nil if
// there is no manager.
func FromEnvironment() (*Notifier, error) {
	socket := os.Getenv("NOTIFY_SOCKET")
	usec, pid := os.Getenv("WATCHDOG_USEC"), os.Getenv("WATCHDOG_PID")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if err := os.Unsetenv(name); err != nil {
			return nil, err
		}
	}
	if socket == "" {
		return nil, nil
	}
	var every time.Duration
	if usec != "" && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n, err := strconv.ParseInt(usec, 10, 64)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("WATCHDOG_USEC is %q, and not a number of microseconds", usec)
		}
		// Three feedings in the time that systemd grants: one may be late.
		every = time.Duration(n) * time.Microsecond / 3
	}
	return New(socket, every)
}

// New returns a Notifier to a socket (a path, or @name for the abstract kind)
// that feeds a watchdog this often; 0: there is none.
func New(socket string, every time.Duration) (*Notifier, error) {
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q, and neither a path nor an abstract name", socket)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return &Notifier{conn: c, every: every}, nil
}

// Close closes the socket.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

// send never waits for long: a manager that does not read must not stop the
// service. It tells whether the manager has the message.
func (n *Notifier) send(state string) bool {
	if n == nil {
		return true
	}
	// Tried at once, whatever the deadline: on a machine without time to spare that
	// would have passed before the write began.
	var err error
	raw, failed := n.conn.SyscallConn()
	if failed == nil {
		failed = raw.Control(func(fd uintptr) { _, err = syscall.Write(int(fd), []byte(state)) })
	}
	if failed != nil || !errors.Is(err, syscall.EAGAIN) {
		return failed == nil && err == nil // else there is nobody to tell
	}
	if n.conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) != nil {
		return false
	}
	_, err = n.conn.Write([]byte(state))
	return err == nil
}

// Ready says that the service does its work; if the manager does not listen now,
// Feed says it again.
func (n *Notifier) Ready() {
	if n != nil {
		n.owed.Store(!n.send("READY=1"))
	}
}

// Stopping says that it ends as asked.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// Status says in words what it does; systemctl shows it.
func (n *Notifier) Status(text string) {
	n.send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Feed feeds the watchdog until ctx ends, as long as turns moves on: it is
// asked a few times in the time that systemd grants, must not wait, and counts
// the turns of the loop whose life is the service's.
func (n *Notifier) Feed(ctx context.Context, turns func() uint64) {
	if n == nil || n.every == 0 {
		return
	}
	t := time.NewTicker(n.every)
	defer t.Stop()
	last := turns()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if now := turns(); now != last {
			last = now
			if n.owed.Load() {
				n.Ready()
			}
			n.send("WATCHDOG=1")
		}
	}
}
