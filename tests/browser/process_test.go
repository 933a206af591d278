//go:build browser

package browser

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"quartet/tests/child"
)

// process is a program of ours, which ends with the test.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// startProcess starts a program; what it prints goes to the file log.
func startProcess(t testing.TB, log, bin string, args ...string) *process {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &process{cmd: exec.Command(bin, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := child.Start(p.cmd, func(error) { close(p.done) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill(syscall.SIGTERM) })
	return p
}

// kill sends a signal and waits for the end, at most 5 s before that is forced.
func (p *process) kill(sig syscall.Signal) {
	p.signal(sig)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// printed is what the process has said.
func (p *process) printed() string {
	s, _ := os.ReadFile(p.log)
	return string(s)
}
