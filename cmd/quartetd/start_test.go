package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/tests/freeport"
	"quartet/uplink/srt"
)

// holdPort takes a UDP port until the test's end.
func holdPort(t testing.TB) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// freePort is a UDP port that nobody has.
func freePort(t testing.TB) string {
	t.Helper()
	return strconv.Itoa(freeport.UDP(t))
}

// dial calls an SRT listener until it answers.
func dial(t testing.TB, addr string) *srt.Conn {
	t.Helper()
	var c *srt.Conn
	eventually(t, addr+" answers", func() bool {
		var err error
		c, err = srt.Dial(context.Background(), addr, srt.Options{ConnectTimeout: 2 * time.Second})
		return err == nil
	})
	return c
}

// What cannot work at all ends the program with one line that says why.
func TestRunEnds(t *testing.T) {
	held := filepath.Join(t.TempDir(), "held")
	l, err := net.Listen("unix", held)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	defer func() { server.Close(); <-done }()
	file := filepath.Join(t.TempDir(), "file")
	writeTo(t, file, nil)
	port := holdPort(t)

	for _, c := range []struct {
		name   string
		change func(*config.Box)
		data   string
		want   []string
	}{
		{"a listening path's port is taken", func(d *config.Box) { d.Paths[2].URL = "srt://" + port }, "", []string{"path listens", port}},
		{"an address of another machine", func(d *config.Box) { d.Paths[2].URL = "srt://192.0.2.77:9001" }, "", []string{"path listens", "192.0.2.77"}},
		{"an interface to listen on that is not there", func(d *config.Box) { d.Paths[2].Interface = "nosuch0" }, "", []string{"path listens", "nosuch0", "no such interface"}},
		{"data is a file", nil, file, []string{"data folder", "--data", file}},
		{"data is below a file", nil, file + "/data", []string{"data folder", file}},
		{"data is not writable", nil, "/proc/self", []string{"data folder", "/proc/self"}},
		{"the control socket is another's", func(d *config.Box) { d.Control.Socket = held }, "", []string{"control.socket", held, "is served by another process; stop that quartetd first"}},
		{"the control socket is a file", func(d *config.Box) { d.Control.Socket = file }, "", []string{"control.socket", file, "is there and is not a socket"}},
		{"the control socket's folder is a file", func(d *config.Box) { d.Control.Socket = file + "/s" }, "", []string{"control.socket", file}},
	} {
		d := document()
		d.Paths[2].URL, d.Paths[2].Mode = "srt://127.0.0.1:"+freePort(t), config.ModeListener
		d.Control.Socket = filepath.Join(t.TempDir(), "s")
		if c.change != nil {
			c.change(d)
		}
		if c.data == "" {
			c.data = t.TempDir()
		}
		code, out, errs := invoke("run", "--config", write(t, d), "--data", c.data)
		var lines []string
		for line := range strings.Lines(errs) {
			if !strings.Contains(line, ": warning: ") {
				lines = append(lines, line)
			}
		}
		if code != exitFailed || out != "" || len(lines) != 1 || !strings.Contains(lines[0], "level=ERROR") {
			t.Errorf("%s: exit status %d, %s%s", c.name, code, out, strings.Join(lines, ""))
		}
		for _, w := range c.want {
			if !strings.Contains(errs, w) {
				t.Errorf("%s: no %q in\n%s", c.name, w, errs)
			}
		}
	}
}

// What may come later is waited for, with an alarm that says why.
func TestRunWaits(t *testing.T) {
	busy := holdPort(t)
	for _, c := range []struct {
		name   string
		change func(*config.Box)
		want   string // in the input's reason
	}{
		{"file", func(d *config.Box) { d.Input.Type, d.Input.URL = config.TypeFile, "file:///nowhere/feed.ts" }, "/nowhere/feed.ts: no such file"},
		{"no transport stream", func(d *config.Box) { d.Input.Type, d.Input.URL = config.TypeFile, "file:///etc/passwd" }, "holds no transport stream"},
		{"interface", func(d *config.Box) { d.Input.Interface = "nosuch0" }, "nosuch0"},
		{"port", func(d *config.Box) { d.Input.URL = "udp://" + busy }, "address already in use"},
		{"srt port", func(d *config.Box) { d.Input.Type, d.Input.URL = config.TypeSRT, "srt://"+busy }, "in use"},
		{"nobody there", func(d *config.Box) { d.Input.Type, d.Input.URL = config.TypeSRT, "srt://127.0.0.1:1" }, "127.0.0.1:1"},
		{"no such name", func(d *config.Box) { d.Input.Type, d.Input.URL = config.TypeSRT, "srt://nosuch.invalid:1" }, "name"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			d := document()
			d.Paths = d.Paths[:1]
			d.Paths[0].URL, d.Paths[0].Interface = "srt://127.0.0.1:1", "nosuch1"
			c.change(d)
			if c.name == "srt port" {
				d.Input.Mode = config.ModeListener
			}
			b := startBox(t, d)
			eventually(t, "an alarm that says why", func() bool {
				s := b.status()
				alarms := ""
				for _, a := range s.Active {
					alarms += a.Text + "\n"
				}
				return s.Input.State == control.InputWaiting && strings.Contains(s.Input.Reason, c.want) && strings.Contains(alarms, c.want) &&
					s.Paths[0].State == control.PathConnecting && strings.Contains(s.Paths[0].Reason, "no such interface") && strings.Contains(alarms, "nosuch1")
			})
		})
	}
}

// A file that does not loop ends the box well.
func TestFileEndsTheBox(t *testing.T) {
	d := document()
	d.Paths = d.Paths[3:4]
	d.Paths[0].URL = "srt://127.0.0.1:1"
	d.Input.Type, d.Input.URL, d.Input.Loop = config.TypeFile, "file://"+streamFile(t), false
	b := startBox(t, d)
	eventually(t, "the log says that it has ended", func() bool {
		_, err := b.client.Status(context.Background())
		return err != nil
	})
	if _, err := b.stop(); err != nil {
		t.Error(err)
	}
}

// program is quartetd as a process of its own.
type program struct {
	cmd  *exec.Cmd
	log  chan string
	done chan error
}

func startProgram(t *testing.T, d *config.Box) *program {
	t.Helper()
	d.Control.Socket = filepath.Join(t.TempDir(), "s")
	return startProgramOn(t, write(t, d))
}

// startProgramOn starts the program on a file that is there.
func startProgramOn(t *testing.T, file string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(self, "run", "--config", file, "--data", t.TempDir()), log: make(chan string, 1000), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), "QUARTETD_TEST_MAIN=1")
	r, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s := bufio.NewScanner(r)
		for s.Scan() {
			select {
			case p.log <- s.Text():
			default:
			}
		}
		close(p.log)
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-read })
	return p
}

// says waits for a log line.
func (p *program) says(t *testing.T, text string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	var heard []string
	for {
		select {
		case line, ok := <-p.log:
			if strings.Contains(line, text) {
				return
			}
			heard = append(heard, line)
			if !ok {
				t.Fatalf("ended without saying %q:\n%s", text, strings.Join(heard, "\n"))
			}
		case <-limit:
			t.Fatalf("did not say %q:\n%s", text, strings.Join(heard, "\n"))
		}
	}
}

// A signal ends the program with 0 within three seconds, whatever its far ends
// and its input do.
func TestSignalEnds(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		doc    func(t *testing.T) *config.Box
	}{
		"sending": {syscall.SIGTERM, func(t *testing.T) *config.Box { return startGateway(t).sending() }},
		"all far ends dead": {syscall.SIGTERM, func(t *testing.T) *config.Box {
			d := startGateway(t).sending()
			d.Paths = d.Paths[:1]
			for i, url := range []string{"srt://127.0.0.1:1", "srt://" + holdPort(t), "srt://192.0.2.1:9000", "srt://nosuch.invalid:9000", "srt://127.0.0.1:" + freePort(t) + "?mode=listener"} {
				p := d.Paths[0]
				p.Name, p.URL, p.Mode = "dead-"+string(rune('a'+i)), url, ""
				d.Paths = append(d.Paths, p)
			}
			d.Paths = d.Paths[1:]
			return d
		}},
		"no input": {syscall.SIGINT, func(t *testing.T) *config.Box {
			d := startGateway(t).sending()
			d.Input.Type, d.Input.URL = config.TypeUDP, "udp://127.0.0.1:"+freePort(t)
			return d
		}},
		"input that is not there": {syscall.SIGTERM, func(t *testing.T) *config.Box {
			d := startGateway(t).sending()
			d.Input.Type, d.Input.URL = config.TypeSRT, "srt://127.0.0.1:1"
			return d
		}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			p := startProgram(t, c.doc(t))
			p.says(t, "quartetd runs")
			time.Sleep(500 * time.Millisecond) // in the midst of dialling
			begun := time.Now()
			if err := p.cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			p.says(t, "quartetd ends")
			err := <-p.done
			if took := time.Since(begun); err != nil || took > 3*time.Second {
				t.Errorf("%v after %v", err, took)
			} else {
				t.Logf("ended %v after the signal", took.Round(time.Millisecond))
			}
		})
	}
}
