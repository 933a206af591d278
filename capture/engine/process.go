package engine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one run of the engine.
type process struct {
	cmd     *exec.Cmd
	stream  *os.File
	control *os.File
	picture *os.File
	feed    *os.File
	stderr  *tail
	exited  chan struct{} // closed when it has been waited for
	err     error         // valid then: why it ended
}

// socketPair makes two connected sockets; the first stays here and takes part
// in Go's polling, the second goes to the child.
func socketPair(kind int) (here, there *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "engine"), os.NewFile(uintptr(fds[1]), "engine"), nil
}

// niceIdle asks for a process that gets only the time that nobody else wants.
const niceIdle = -1

// start runs the program with its sockets and the configuration on its standard
// input. It is killed when this process dies, and has a process group of its
// own, so that nothing it starts is left.
func start(program string, args []string, c any, env []string, nice int) (*process, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	p := &process{stderr: &tail{}, exited: make(chan struct{})}
	var theirs []*os.File
	closeAll := func(files ...*os.File) {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}
	for _, s := range []struct {
		here **os.File
		kind int
	}{{&p.stream, unix.SOCK_STREAM}, {&p.control, unix.SOCK_STREAM}, {&p.picture, unix.SOCK_SEQPACKET}, {&p.feed, unix.SOCK_STREAM}} {
		here, there, err := socketPair(s.kind)
		if err != nil {
			closeAll(append(theirs, p.stream, p.control, p.picture, p.feed)...)
			return nil, fmt.Errorf("engine: sockets: %w", err)
		}
		*s.here = here
		theirs = append(theirs, there)
	}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdin = strings.NewReader(string(text))
	p.cmd.Stderr = p.stderr
	p.cmd.ExtraFiles = theirs // 3, 4, 5, 6
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The signal of a parent's death comes when the *thread* that started
		// the child ends: this one stays until the child has gone, and ends then.
		// The child inherits its nice value, which therefore holds for all of the
		// child's threads. So does the policy.
		runtime.LockOSThread()
		if nice == niceIdle {
			if a, err := unix.SchedGetAttr(0, 0); err == nil {
				a.Policy = unix.SCHED_IDLE
				_ = unix.SchedSetAttr(0, a, 0) // to want less is never refused
			}
		} else if raw, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); err == nil && nice > 0 {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, min(20-raw+nice, 19)) // being nicer is never refused
		}
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.reason(p.cmd.Wait())
			close(p.exited)
		}
	}()
	err = <-started
	closeAll(theirs...)
	if err != nil {
		closeAll(p.stream, p.control, p.picture, p.feed)
		return nil, fmt.Errorf("engine: %w", err)
	}
	// Where memory is short, the kernel takes the engine and not the packets.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.cmd.Process.Pid), []byte("800"), 0o600)
	return p, nil
}

// reason says in words why the process ended: its last words, or the signal.
func (p *process) reason(err error) error {
	words := strings.TrimPrefix(p.stderr.last(), "quartet-engine: ")
	switch {
	case err == nil:
		return errors.New("engine: ended by itself")
	case words != "":
		return fmt.Errorf("engine: %s (%w)", words, err)
	}
	return fmt.Errorf("engine: %w", err)
}

// kill ends the process and all it has started, at once.
func (p *process) kill() {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may just have ended
	}
}

// close ends the process, waits for it and closes the sockets.
func (p *process) close() error {
	p.kill()
	<-p.exited
	p.stream.Close()
	p.control.Close()
	p.picture.Close()
	p.feed.Close()
	return p.err
}

// send writes a command. It must not block: the process may be stopped.
func (p *process) send(c Command) error {
	b, err := json.Marshal(&c)
	if err != nil {
		return err
	}
	if err := p.control.SetWriteDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		return err
	}
	_, err = p.control.Write(append(b, '\n'))
	return err
}

// events hands on what the process tells until it ends.
func (p *process) events(take func(Event)) {
	lines := bufio.NewScanner(p.control)
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	for lines.Scan() {
		if e, err := ParseEvent(lines.Bytes()); err == nil {
			take(e)
		}
	}
}

// pictures hands on each thumbnail until the process ends; it keeps the slice.
func (p *process) pictures(take func([]byte)) {
	buf := make([]byte, 256<<10)
	for {
		n, err := p.picture.Read(buf)
		if err != nil || n == 0 {
			return
		}
		if n < len(buf) && n > 4 && buf[0] == 0xFF && buf[1] == 0xD8 {
			take(append([]byte{}, buf[:n]...))
		}
	}
}

// residentMiB returns the memory that the process holds, 0 if it is not known.
func (p *process) residentMiB() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return pages * os.Getpagesize() >> 20
}

// tail keeps the end of what is written: a process' last words. It is written
// by one goroutine, and read when that has ended.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b...)
	if n := len(t.b) - 4096; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(b), nil
}

// last returns the last line that says something.
func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	for _, l := range lines { // the engine's own word comes before GStreamer's
		if strings.HasPrefix(l, "quartet-engine:") {
			return l
		}
	}
	return lines[len(lines)-1]
}

var _ io.Writer = (*tail)(nil)
