package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quartet/device/config"
	"quartet/uplink/gateway"
)

// TestMain lets the test binary stand in for the program.
func TestMain(m *testing.M) {
	if os.Getenv("QUARTET_GATEWAY_TEST_MAIN") == "1" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// example is a gateway document that works on any machine.
func example(t *testing.T) *config.Gateway {
	t.Helper()
	_, g, err := config.Examples(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	g.HTTP.Listen = "127.0.0.1:0"
	g.Listeners[0].Address = "127.0.0.1:0"
	c := &g.Contributions[0]
	c.Outputs[0].URL = "rtp://127.0.0.1:5000"
	c.Peers[0].URL = "srt://127.0.0.1:9"
	return g
}

func write(t *testing.T, g *config.Gateway) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "gateway.json")
	if err := os.WriteFile(f, config.Encode(g), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func invoke(args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = command(args, &o, &e)
	return code, o.String(), e.String()
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		out  string // in stdout
		err  string // in stderr
	}{
		{nil, 2, "", "Usage:"},
		{[]string{"--help"}, 0, "Usage:", ""},
		{[]string{"run", "--help"}, 0, "Usage:", ""},
		{[]string{"version"}, 0, "quartet-gateway ", ""},
		{[]string{"dance"}, 2, "", `unknown command "dance"`},
		{[]string{"run"}, 2, "", "--config is missing"},
		{[]string{"run", "--config", "x", "y"}, 2, "", `unexpected argument "y"`},
		{[]string{"run", "--confog", "x"}, 2, "", "confog"},
		{[]string{"check", "--config", "/nowhere/x.json"}, 2, "", "no such file"},
	} {
		code, out, err := invoke(c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(err, c.err) {
			t.Errorf("%q: %d\n%s\n%s", c.args, code, out, err)
		}
	}
}

// check prints the lines to paste, without secrets unless they were asked for.
func TestLines(t *testing.T) {
	doc := example(t)
	f := write(t, doc)
	c := doc.Contributions[0]
	secret := c.Inputs[0].Passphrase.Reveal()
	key := c.Key.Reveal()

	code, out, errs := invoke("check", "--config", f, "--host", "gw.example.net")
	if code != 0 || !strings.Contains(out, "srt://gw.example.net:") || !strings.Contains(out, "ok: 1 contributions, 2 inputs, 1 peers, 1 outputs") {
		t.Fatalf("%d\n%s\n%s", code, out, errs)
	}
	if strings.Contains(out+errs, secret) || strings.Contains(out+errs, key) {
		t.Errorf("secrets without being asked:\n%s%s", out, errs)
	}
	if strings.Contains(out, "from-gw1b") {
		t.Errorf("a peer's input is no box's destination:\n%s", out)
	}
	if _, out, _ = invoke("run", "--check", "--config", f, "--print-secrets"); !strings.Contains(out, secret) || !strings.Contains(out, key) {
		t.Errorf("secrets were asked for:\n%s", out)
	}
	lines := filepath.Join(t.TempDir(), "lines")
	if code, out, errs = invoke("check", "--config", f, "--lines-file", lines); code != 0 || strings.Contains(out+errs, secret) {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
	b, err := os.ReadFile(lines)
	if err != nil || !bytes.Contains(b, []byte(secret)) {
		t.Errorf("%s: %v", b, err)
	}
	if st, err := os.Stat(lines); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	// The line is one that a box takes.
	line := regexp.MustCompile(`srt://\S+`).FindString(string(b))
	if u, err := config.ParseURL(strings.Replace(line, ":0?", ":9000?", 1)); err != nil || u.Params["passphrase"] != secret || u.Params["key"] != key {
		t.Errorf("%q: %v %v", line, u.Params, err)
	}
}

func TestBadConfiguration(t *testing.T) {
	for want, spoil := range map[string]func(*config.Gateway){
		"contributions[0].latency_ms":  func(g *config.Gateway) { g.Contributions[0].LatencyMS = 90000 },
		"no longer be identical":       func(g *config.Gateway) { g.Contributions[0].OnInputLoss = config.LossNull },
		"contributions[0].inputs[0]":   func(g *config.Gateway) { g.Contributions[0].Inputs[0].Listener = "nosuch" },
		"contributions[0].outputs[0].": func(g *config.Gateway) { g.Contributions[0].Outputs[0].URL = "http://x:1" },
	} {
		g := example(t)
		spoil(g)
		code, out, errs := invoke("check", "--config", write(t, g))
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: %d\n%s%s", want, code, out, errs)
		}
	}
}

// Every field of a document reaches the part that it is for.
func TestBuild(t *testing.T) {
	doc := example(t)
	c := &doc.Contributions[0]
	c.NextKey = config.Secret(strings.Repeat("ab", 32))
	c.LatencyMS, c.MaxBitrateKbps, c.LossAfterMS, c.StopAfterMS = 700, 12_000, 250, 1500
	offset := config.Milliseconds(35)
	c.Inputs[1].OffsetMS, c.Inputs[1].LatencyMS = &offset, 44
	call := config.Default[config.GatewayInput]()
	call.Name, call.Mode, call.URL, call.Interface, call.Source = "calls", config.ModeCaller, "srt://192.0.2.9:700", "eth7", "192.0.2.1"
	call.SRT.LossMaxTTL = 0
	c.Inputs = append(c.Inputs, call)
	c.Outputs[0].Second = &config.Leg{URL: "rtp://127.0.0.1:6000", Interface: "eth3", Source: "192.0.2.3"}
	c.Outputs[0].TTL, c.Outputs[0].Interface, c.Outputs[0].Source = 9, "eth2", "192.0.2.2"
	add := func(kind, url, mode string) *config.GatewayOutput {
		o := config.Default[config.GatewayOutput]()
		o.Name, o.Type, o.URL, o.Mode = kind+mode, kind, url, mode
		c.Outputs = append(c.Outputs, o)
		return &c.Outputs[len(c.Outputs)-1]
	}
	add(config.TypeUDP, "udp://239.1.1.1:5", "")
	add(config.TypeFile, "file:///tmp/x.ts", "")
	add(config.TypeSRT, "srt://192.0.2.7:99", config.ModeCaller)
	o := add(config.TypeSRT, "srt://:98", config.ModeListener)
	o.Passphrase, o.KeyLength, o.StreamID, o.LatencyMS = "passphrase 98", 24, "id", 333

	cfg, err := build(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	k := cfg.Contributions[0]
	check := func(what string, ok bool) {
		t.Helper()
		if !ok {
			t.Errorf("%s: %+v", what, k)
		}
	}
	check("name", cfg.Name == "gw1a" && cfg.HTTP == "127.0.0.1:0" && cfg.Listeners[0].Address == "127.0.0.1:0")
	check("a listener leaves the latency to the caller", cfg.Listeners[0].SRT.Latency == minLatency)
	check("contribution", k.Latency == 700*time.Millisecond && k.MaxBitrate == 12_000_000 && k.LossAfter == 250*time.Millisecond && k.NullFor == 1500*time.Millisecond)
	check("the coming key is first", len(k.Keys) == 2 && k.Keys[0][0] == 0xab)
	in := k.Inputs
	check("first input", in[0].Listen == "127.0.0.1:0" && !in[0].FromPeer && in[0].Offset < 0 && in[0].SRT.Passphrase != "" && in[0].SRT.KeyLength == 32)
	check("peer input", in[1].FromPeer && in[1].Offset == 35*time.Millisecond && in[1].SRT.Latency == 44*time.Millisecond)
	check("caller", in[2].Call == "192.0.2.9:700" && in[2].Listen == "" && in[2].SRT.Interface == "eth7" && in[2].SRT.LocalAddr == "192.0.2.1" && in[2].SRT.LossMaxTTL == -1)
	check("peer", k.Peers[0].Call == "127.0.0.1:9" && k.Peers[0].SRT.Latency == 20*time.Millisecond && k.Peers[0].SRT.StreamID != "" && k.Peers[0].SRT.Passphrase != "")
	r := k.Outputs[0].(*gateway.RTPOutput)
	check("rtp", r.OnLoss == gateway.Stop && len(r.Destinations) == 2 && r.Destinations[0].TTL == 9 && r.Destinations[0].Interface == "eth2" &&
		r.Destinations[0].Source.Addr().String() == "192.0.2.2" && r.Destinations[1].Address == "127.0.0.1:6000" && r.Destinations[1].Interface == "eth3" &&
		r.Destinations[1].Source.Addr().String() == "192.0.2.3")
	u := k.Outputs[1].(*gateway.UDPOutput)
	check("udp fills until stop_after_ms", u.OnLoss == gateway.Null && u.Destination.Address == "239.1.1.1:5")
	check("file", k.Outputs[2].(*gateway.FileOutput).Path == "/tmp/x.ts")
	check("srt caller", k.Outputs[3].(*gateway.SRTOutput).Call == "192.0.2.7:99")
	s := k.Outputs[4].(*gateway.SRTOutput)
	check("srt listener", s.Listen == ":98" && s.Call == "" && s.SRT.Passphrase == "passphrase 98" && s.SRT.KeyLength == 24 && s.SRT.StreamID == "id" && s.SRT.Latency == 333*time.Millisecond)
}

// program is the program running as a process.
type program struct {
	cmd  *exec.Cmd
	log  chan string
	done chan error
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{cmd: exec.Command(self, args...), log: make(chan string, 1000), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), "QUARTET_GATEWAY_TEST_MAIN=1")
	p.cmd.Stdout = io.Discard
	r, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s := bufio.NewScanner(r)
		for s.Scan() {
			p.log <- s.Text()
		}
		close(p.log)
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// says waits for a log line that contains text.
func (p *program) says(t *testing.T, text string) string {
	t.Helper()
	limit := time.After(20 * time.Second)
	var heard []string
	for {
		select {
		case line, ok := <-p.log:
			if strings.Contains(line, text) {
				return line
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

// It runs, says how it is, reads its configuration again, and ends in time.
func TestRun(t *testing.T) {
	doc := example(t)
	doc.Log.Format = "json"
	f := write(t, doc)
	p := start(t, "run", "--config", f)
	line := p.says(t, `"msg":"http"`)
	p.says(t, `"msg":"listening"`)
	var m struct{ Address string }
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatal(err)
	}
	r, err := http.Get("http://" + m.Address + "/healthz")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", r, err)
	}
	_ = r.Body.Close()

	second := doc.Contributions[0]
	second.Name = "second"
	second.Inputs = append([]config.GatewayInput(nil), second.Inputs...)
	for i := range second.Inputs {
		second.Inputs[i].StreamID += "-2"
	}
	second.Peers, second.Outputs = nil, nil
	doc.Contributions = append(doc.Contributions, second)
	if err := os.WriteFile(f, config.Encode(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.says(t, "configuration applied")
	if err := os.WriteFile(f, []byte(`{"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.says(t, "configuration not applied")
	if r, err = http.Get("http://" + m.Address + "/status"); err != nil {
		t.Fatal(err)
	}
	var st gateway.Status
	if err := json.NewDecoder(r.Body).Decode(&st); err != nil || len(st.Contributions) != 2 {
		t.Errorf("%d contributions: %v", len(st.Contributions), err)
	}
	_ = r.Body.Close()

	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.says(t, "quartet-gateway ends")
	for range p.log { // drained, so that Wait can return
	}
	if err := <-p.done; err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("ended after %v", d)
	}
}

// A port that is taken is said in words, and the program fails.
func TestPortTaken(t *testing.T) {
	doc := example(t)
	one := start(t, "run", "--config", write(t, doc))
	line := one.says(t, "msg=listening")
	doc.Listeners[0].Address = regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(line)[1]
	two := start(t, "run", "--config", write(t, doc))
	if line := two.says(t, "listen on "+doc.Listeners[0].Address); !strings.Contains(line, "ERROR") {
		t.Error(line)
	}
	for range two.log { // drained, so that Wait can return
	}
	var exit *exec.ExitError
	if err := <-two.done; !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("%v", err)
	}
}
