package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a running relay program.
type program struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *bufio.Scanner
	stop func() // as a signal does
	code chan int
}

func launch(t *testing.T, args ...string) *program {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	p := &program{t: t, in: inW, out: bufio.NewScanner(outR), stop: stop, code: make(chan int, 1)}
	go func() {
		p.code <- run(ctx, args, inR, outW, io.Discard)
		outW.Close()
	}()
	t.Cleanup(func() {
		stop()
		inW.Close()
		for p.out.Scan() { // to the end of the program
		}
	})
	return p
}

// line reads events up to the first of this kind.
func (p *program) line(kind string) event {
	p.t.Helper()
	for p.out.Scan() {
		var e event
		if err := json.Unmarshal(p.out.Bytes(), &e); err != nil {
			p.t.Fatalf("%s: %v", p.out.Text(), err)
		}
		if e.Event == kind {
			return e
		}
	}
	p.t.Fatalf("the program ended without %q", kind)
	return event{}
}

func upstream(t *testing.T) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestScenarioStepsAndCommands(t *testing.T) {
	up := upstream(t)
	file := filepath.Join(t.TempDir(), "scenario.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"seed": 1,
		"relays": [{"name": "a", "listen": "127.0.0.1:0", "upstream": %q}],
		"steps": [{"at_ms": 1, "up": {"delay_ms": 1}, "note": "slower"}]}`, up.LocalAddr()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, "--scenario", file, "--commands", "--stats", "10ms")
	first := p.line("listening")
	if note := p.line("step").Note; note != "slower" {
		t.Errorf("note %q", note)
	}
	c, err := net.Dial("udp", first.Relays[0].Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := up.Read(b); err != nil || string(b[:n]) != "one" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	for cmd, want := range map[string]string{
		`{"relays": ["b"]}`: "no relay has this name",
		`{"at_ms": 5}`:      "leave it out",
		`{"up": {"x": 1}}`:  `unknown field "x"`,
		`nonsense`:          "invalid character",
	} {
		fmt.Fprintln(p.in, cmd)
		if e := p.line("refused"); !strings.Contains(e.Error, want) {
			t.Errorf("%s: %q, want %q", cmd, e.Error, want)
		}
	}
	fmt.Fprintln(p.in, `{"relays": ["a"], "up": {"dead": true}, "note": "cut"}`)
	if e := p.line("command"); e.Note != "cut" {
		t.Errorf("event %+v", e)
	}
	if _, err := c.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	for p.line("stats").Relays[0].Up.Dropped.Dead != 1 {
	}
	p.stop()
	p.line("end")
	if code := <-p.code; code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestEndHasTheCounters(t *testing.T) {
	up := upstream(t)
	p := launch(t, "--upstream", up.LocalAddr().String(), "--both", `{"loss": 0.5}`, "--up", `{"loss": 0}`, "--epoch", "1700000000")
	first := p.line("listening")
	if first.AtMS < 1000*3600 {
		t.Errorf("at_ms is %d with an epoch in 2023", first.AtMS)
	}
	c, err := net.Dial("udp", first.Relays[0].Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if _, err := up.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if e := p.line("end"); e.Relays[0].Up.PacketsOut != 1 {
		t.Errorf("end %+v", e)
	}
}

func TestWrongCommandLines(t *testing.T) {
	for want, args := range map[string][]string{
		"--upstream is":  {},
		"--listen is":    {"--upstream", "127.0.0.1:1", "--listen", "here"},
		"not defined":    {"--what"},
		"not a flag":     {"--upstream", "127.0.0.1:1", "extra"},
		"--epoch is":     {"--upstream", "127.0.0.1:1", "--epoch", "soon"},
		"unknown field":  {"--upstream", "127.0.0.1:1", "--up", `{"los": 1}`},
		"no such file":   {"--scenario", filepath.Join(t.TempDir(), "none.json")},
		"Quantum is 1s":  {"--upstream", "127.0.0.1:1", "--quantum", "1s"},
		"unexpected EOF": {"--upstream", "127.0.0.1:1", "--up", "{"},
	} {
		var errs strings.Builder
		if code := run(t.Context(), args, strings.NewReader(""), io.Discard, &errs); code == 0 || !strings.Contains(errs.String(), want) {
			t.Errorf("%v: exit code %d, %q, want %q", args, code, errs.String(), want)
		}
	}
	var help strings.Builder
	if code := run(t.Context(), []string{"--help"}, nil, io.Discard, &help); code != 0 || !strings.Contains(help.String(), "-scenario") {
		t.Errorf("--help: exit code %d, %s", code, help.String())
	}
}
