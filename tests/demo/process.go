package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"quartet/tests/child"
)

// process is a program of ours, with its log in a file.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid after done
}

// startProcess starts a program. It gets a process group of its own, so that
// Ctrl-C in a terminal reaches it only through stop, in our order.
func startProcess(name, log, bin string, args ...string) (*process, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &process{name: name, log: log, done: make(chan struct{})}
	p.cmd = exec.Command(bin, args...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(p.cmd, func(err error) {
		if p.err = err; err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
	}); err != nil {
		return nil, fmt.Errorf("start %s: %w (make build)", name, err)
	}
	return p, nil
}

// stop asks the process to end and, after 5 s, ends it.
func (p *process) stop() {
	select {
	case <-p.done:
		return
	default:
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.done
	}
}

// tail is the end of the log.
func (p *process) tail() string {
	b, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}

// exited gives a process that has ended.
func (d *demo) exited() <-chan *process {
	c := make(chan *process, 2+len(d.gws))
	for _, p := range append([]*process{d.box, d.manage}, d.gws...) {
		select {
		case <-p.done:
			c <- p
		default:
		}
	}
	return c
}

func (d *demo) startPrograms(ctx context.Context) error {
	for i, name := range gatewayNames {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, err := startProcess("quartet-gateway "+name, d.file("gateway-"+name+".log"),
			d.opts.Bin+"/quartet-gateway", "run", "--config", d.plan.gatewayConfig[i])
		if err != nil {
			return err
		}
		d.gws = append(d.gws, p)
	}
	var err error
	d.box, err = startProcess("quartetd", d.file("quartetd.log"),
		d.opts.Bin+"/quartetd", "run", "--config", d.plan.boxConfig, "--data", d.file("data"), "--key", d.keyFile())
	if err != nil {
		return err
	}
	return d.startPage()
}
