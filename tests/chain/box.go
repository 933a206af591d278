package chain

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/tests/freeport"
	"quartet/tests/tsgen"
)

// Box is a real quartetd in a process of its own, fed over UDP, in front of a
// chain's relays and gateways.
type Box struct {
	c      *Chain
	dir    string
	Doc    config.Box
	Socket string
	Input  net.Addr // where the feed goes
	conn   *net.UDPConn

	*Process
}

var builds struct {
	sync.Mutex
	dir  string
	done map[string]bool
}

// Program builds one of the project's programs, once for each test binary, and
// returns its path.
func Program(t testing.TB, pkg string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if builds.done == nil {
		dir, err := os.MkdirTemp("", "quartet-programs-")
		if err != nil {
			t.Fatal(err)
		}
		builds.dir, builds.done = dir, map[string]bool{}
	}
	bin := filepath.Join(builds.dir, filepath.Base(pkg))
	if !builds.done[pkg] {
		_, file, _, _ := runtime.Caller(0)
		cmd := exec.Command("go", "build", "-o", bin, pkg)
		cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", pkg, err, out)
		}
		builds.done[pkg] = true
	}
	return bin
}

// RemovePrograms deletes what Program built; TestMain calls it at the end.
func RemovePrograms() {
	builds.Lock()
	defer builds.Unlock()
	if builds.dir != "" {
		os.RemoveAll(builds.dir)
		builds.dir, builds.done = "", nil
	}
}

// NewBox starts relays and gateways as New does, and a quartetd as the sender.
// change may alter its configuration before it is written.
func NewBox(t testing.TB, cfg Config, change func(*config.Box)) (*Chain, *Box) {
	t.Helper()
	cfg.box = true
	c := New(t, cfg)
	b := &Box{c: c, dir: t.TempDir()}
	port := uint16(freeport.UDP(t))
	b.Input = net.UDPAddrFromAddrPort(loopback(port))
	b.Socket = filepath.Join(b.dir, "control.sock")
	b.Doc = c.BoxConfig(b.Input.String(), b.Socket)
	if change != nil {
		change(&b.Doc)
	}
	var err error
	if b.conn, err = net.DialUDP("udp4", nil, b.Input.(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close() })
	b.Write()
	b.Start()
	return c, b
}

// BoxConfig is the configuration of a box that sends to the chain's relays.
func (c *Chain) BoxConfig(input, socket string) config.Box {
	d := config.Default[config.Box]()
	d.Version, d.Name = config.SchemaVersion, "box"
	d.Input.Type, d.Input.URL = config.TypeUDP, "udp://"+input
	d.Input.LossAfterMS = 10_000 // the end of the feed is the end of the test
	d.Confidence.Enabled = false
	d.Output.Key = config.Secret(hex.EncodeToString(Key))
	d.Output.LatencyMS = config.Milliseconds(c.Cfg.Latency.Milliseconds())
	d.Output.OverheadPercent = int(c.Cfg.Overhead)
	d.Output.MaxBitrateKbps = config.Kbps(c.Cfg.RateBPS / 1000)
	d.Output.RTTMS = config.Milliseconds(c.Cfg.RTT.Milliseconds())
	d.Control.Socket = socket
	for i := range c.Cfg.Paths {
		p := config.Default[config.Path]()
		p.Name, p.Leg = fmt.Sprint(i), 1+i/2
		p.URL = "srt://" + c.Relays[i].Addr().String()
		p.StreamID, p.Passphrase = streamID(i), passphrase
		stagger := config.Milliseconds(c.Cfg.Stagger[i].Milliseconds())
		p.StaggerMS = &stagger
		d.Paths = append(d.Paths, p)
	}
	return d
}

// GatewayConfig is the document of gateway i, as the chain runs it in this
// process.
func (c *Chain) GatewayConfig(i int) config.Gateway {
	g := c.Gateways[i]
	d := config.Default[config.Gateway]()
	d.Version, d.Name, d.HTTP.Listen = config.SchemaVersion, g.Config.Name, ""
	d.Name = strings.ReplaceAll(d.Name, " ", "-")
	l := config.Default[config.Listener]()
	l.Name, l.Address = "srt", g.Config.Listeners[0].Address
	d.Listeners = []config.Listener{l}
	k := config.Default[config.Contribution]()
	k.Name, k.Key = "test", config.Secret(hex.EncodeToString(Key))
	for path := range c.Cfg.Paths {
		if path%len(c.Gateways) == i {
			in := config.Default[config.GatewayInput]()
			in.Name, in.Listener = fmt.Sprint("path-", path), "srt"
			in.StreamID, in.Passphrase = streamID(path), passphrase
			k.Inputs = append(k.Inputs, in)
		}
	}
	out := config.Default[config.GatewayOutput]()
	out.Name, out.Type, out.URL = "out", config.TypeRTP, "rtp://"+g.conn.LocalAddr().String()
	k.Outputs = []config.GatewayOutput{out}
	d.Contributions = []config.Contribution{k}
	return d
}

// Write writes the configuration file.
func (b *Box) Write() {
	b.c.T.Helper()
	if err := os.WriteFile(b.file(), config.Encode(&b.Doc), 0o600); err != nil {
		b.c.T.Fatal(err)
	}
}

func (b *Box) file() string { return filepath.Join(b.dir, "box.v1.json") }

// Key is where the sealing key is, if the management plane makes one.
func (b *Box) Key() string { return filepath.Join(b.dir, "key", "seal.key") }

// Dir is the folder of the document, as quartet-manage takes it.
func (b *Box) Dir() string { return b.dir }

// Start starts quartetd and waits for its control socket.
func (b *Box) Start() {
	b.c.T.Helper()
	bin := Program(b.c.T, "./cmd/quartetd")
	b.Process = StartProcess(b.c.T, filepath.Join(b.dir, "log"), bin, "run", "--config", b.file(), "--data", filepath.Join(b.dir, "data"), "--key", b.Key())
	b.c.Eventually(10*time.Second, "quartetd answers on its socket\n"+b.Log(), func() bool {
		_, err := b.status()
		return err == nil
	})
}

func (b *Box) status() (control.Status, error) {
	c := control.NewClient(b.Socket)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return c.Status(ctx)
}

// Status of the box.
func (b *Box) Status() control.Status {
	b.c.T.Helper()
	s, err := b.status()
	if err != nil {
		b.c.T.Fatalf("status: %v\n%s", err, b.Log())
	}
	return s
}

// Client of the control socket.
func (b *Box) Client() *control.Client {
	c := control.NewClient(b.Socket)
	b.c.T.Cleanup(c.Close)
	return c
}

// Alarm tells whether a condition is active: "code resource".
func (b *Box) Alarm(code, resource string) bool {
	for _, a := range b.Status().Active {
		if string(a.Code) == code && (resource == "" || a.Resource == resource) {
			return true
		}
	}
	return false
}

// Alarms are the active conditions in words.
func (b *Box) Alarms() string {
	var s []string
	for _, a := range b.Status().Active {
		s = append(s, fmt.Sprintf("%s %s (%s)", a.Code, a.Resource, a.Text))
	}
	return strings.Join(s, "; ")
}

// WaitUp waits until every path is up and reported. What entered before does not
// count in Check.
func (b *Box) WaitUp() {
	b.c.T.Helper()
	b.c.explained(25*time.Second, "every path up and reported", func() bool {
		for _, p := range b.Status().Paths {
			if p.State != control.PathUp || p.Arrival == nil {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("%+v\n%s", b.Status().Paths, b.Log()) })
	b.c.from = b.c.Now()
}

// WriteTS sends the feed to the box; it makes a Box the chain's sender.
func (b *Box) WriteTS(_ time.Duration, ts []byte) error {
	for len(ts) > 0 {
		n := min(len(ts), 7*tsgen.PacketSize)
		if _, err := b.conn.Write(ts[:n]); err != nil && !strings.Contains(err.Error(), "refused") {
			return err
		}
		ts = ts[n:]
	}
	return nil
}

// Background feeds the box until the function it returns is called, which
// waits for the end; at the latest until the test's end.
func (b *Box) Background() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				b.c.feed(b, 50*time.Millisecond, 7)
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(quit); <-done })
	b.c.T.Cleanup(stop)
	return stop
}
