// Package child starts programs that do not outlive the test, benchmark or demo
// that started them, however that ends.
package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts a program and returns when it runs. It is killed when this process
// ends. ended, which must not block, is called with the result of Wait when the
// program has gone; not at all where Start fails.
func Start(cmd *exec.Cmd, ended func(err error)) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		// The signal of a parent's death comes when the *thread* that started the
		// program ends: this one stays until the program has gone.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(cmd.Wait())
		}
	}()
	return <-started
}
