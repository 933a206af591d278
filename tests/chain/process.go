package chain

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"quartet/tests/child"
)

// Process is a program in a process of its own, which ends with the test.
type Process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// StartProcess starts a program; what it prints goes to the file log.
func StartProcess(t testing.TB, log, bin string, args ...string) *Process {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &Process{cmd: exec.Command(bin, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := child.Start(p.cmd, func(error) { close(p.done) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill(syscall.SIGKILL) })
	return p
}

// Kill sends a signal and waits until the process has ended, at most 10 s before
// it is killed; it returns how long that took and the exit status.
func (p *Process) Kill(sig syscall.Signal) (time.Duration, int) {
	begun := time.Now()
	p.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
	return time.Since(begun), p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal.
func (p *Process) Signal(sig syscall.Signal) { p.cmd.Process.Signal(sig) }

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// PID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is what the process has printed.
func (p *Process) Log() string {
	s, _ := os.ReadFile(p.log)
	return string(s)
}
