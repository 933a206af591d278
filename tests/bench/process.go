package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"quartet/tests/child"
)

// program is a child process with its log in a file.
type program struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // why it ended, never nil; valid after done
}

// start runs a program. Its end is noticed by whoever looks at done.
func start(name, log string, argv ...string) (*program, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &program{name: name, log: log, done: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(p.cmd, func(err error) {
		if p.err = err; err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
	}); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

func (p *program) pid() int { return p.cmd.Process.Pid }

// ended tells whether the program is gone.
func (p *program) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail is the end of the program's log.
func (p *program) tail() string {
	b, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " | ")
}

// stopAll asks programs to end, all at once, and ends those that do not.
func stopAll(ps []*program) {
	for _, p := range ps {
		if !p.ended() {
			p.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	var wg sync.WaitGroup
	for _, p := range ps {
		wg.Go(func() {
			select {
			case <-p.done:
			case <-time.After(2 * time.Second):
				p.cmd.Process.Kill()
				<-p.done
			}
		})
	}
	wg.Wait()
}

func pidsOf(ps []*program) []int {
	pids := make([]int, len(ps))
	for i, p := range ps {
		pids[i] = p.pid()
	}
	return pids
}

// pause waits, or returns early with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// eventually polls until ok, for at most within.
func eventually(ctx context.Context, within time.Duration, ok func() bool) bool {
	for begun := time.Now(); !ok(); {
		if time.Since(begun) > within || pause(ctx, 20*time.Millisecond) != nil {
			return false
		}
	}
	return true
}

// ports are free UDP ports of the loopback, held together while they are
// chosen so that none comes twice. They are free again when their users open
// them; a clash is unlikely and fails the run, which is then repeated.
func ports(n int) ([]netip.AddrPort, error) {
	addrs := make([]netip.AddrPort, n)
	for i := range addrs {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, err
		}
		defer c.Close()
		a := c.LocalAddr().(*net.UDPAddr).AddrPort()
		addrs[i] = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	}
	return addrs, nil
}

// tcpPort is a free TCP port of the loopback.
func tcpPort() (netip.AddrPort, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// hasten raises the priority of every thread of this process; what it starts
// inherits it. It tells the nice value in force. Where the kernel shares the
// processors among sessions first (autogroup), that of the session is raised,
// too: nice counts within a session only.
func hasten(nice int) int {
	_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(nice)), 0)
	for _, tid := range ownThreads() {
		unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
	}
	n, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return 0
	}
	return 20 - n // the system call returns 20 − nice
}

// ownThreads of this process.
func ownThreads() (tids []int) {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids
}
