//go:build browser

package browser

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/device/network"
	"quartet/tests/freeport"
)

var (
	bin      = flag.String("bin", "", "folder of the programs (make build)")
	pageDir  = flag.String("page", "", "serve the page from this folder, in place of the one that is built in")
	pictures = flag.String("pictures", "", "write pictures of the page into this folder")
	quiet    = flag.Bool("quiet", false, "the machine does nothing else: judge times, too")
)

const serial = "QT-TEST-0001"

// A password nobody would guess at, and another.
const (
	password = "correct horse battery"
	another  = "staple under the lamp"
)

// box is a box with everything around it.
type box struct {
	t    *testing.T // of the part that runs
	all  *testing.T // with which the programs end
	dir  string
	base string // https://10.77.0.1:port
	port int
	code string // on the label

	feed   func(*config.Box) // changes the document before the start; may be nil
	doc    config.Box
	lines  map[string]string // path → what the gateway would print
	media  *process
	manage *process
	net    *played
	slots  *slots
	ctl    *control.Client
}

func (b *box) file(name string) string { return filepath.Join(b.dir, name) }

// newBox starts two gateways, a box that sends to them over four paths, and its
// management. Nobody has claimed it.
func newBox(t *testing.T) *box {
	t.Helper()
	return newBoxOf(t, nil)
}

// newBoxOf is newBox with another feed.
func newBoxOf(t *testing.T, feed func(*config.Box)) *box {
	t.Helper()
	if *bin == "" {
		t.Fatal("these tests need the programs: make test-browser")
	}
	// Sockets have short names.
	dir, err := os.MkdirTemp("", "qb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &box{t: t, all: t, dir: dir, feed: feed, lines: map[string]string{}}
	for _, d := range []string{"etc", "data", "key", "media"} {
		if err := os.Mkdir(b.file(d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	label, err := exec.Command(*bin+"/quartetctl", "provision", "--file", b.file("etc/provision.v1.json"), "--serial", serial).CombinedOutput()
	if err != nil {
		t.Fatalf("provision: %v\n%s", err, label)
	}
	m := regexp.MustCompile(`(?m)^Claim code +(\S.*)$`).FindSubmatch(label)
	if m == nil {
		t.Fatalf("no claim code on the label:\n%s", label)
	}
	b.code = string(m[1])

	b.document()
	b.startMedia()
	b.net = playNetwork(t, b.file("netd.sock"), b.file("etc/network"))
	b.slots = playUpdates(t, b)
	l, err := net.Listen("tcp4", home+":0")
	if err != nil {
		t.Fatal(err)
	}
	b.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	b.base = fmt.Sprintf("https://%s:%d", home, b.port)
	b.startManage()
	return b
}

// document writes the documents of the box and of its gateways, and starts these.
func (b *box) document() {
	secret := func(n int) string {
		x := make([]byte, n)
		rand.Read(x)
		return hex.EncodeToString(x)
	}
	d := config.Default[config.Box]()
	d.Version, d.Name = config.SchemaVersion, "studio-1"
	d.Input.Type, d.Input.URL = config.TypeTest, "test://bars"
	d.Encoder.Width, d.Encoder.Height, d.Encoder.BitrateKbps = 320, 180, 1500 // as large as the page shows it
	d.Output.Key = config.Secret(secret(32))
	d.Output.LatencyMS, d.Output.MaxBitrateKbps = 400, 4000
	d.Control.Socket = b.file("control.sock")
	if b.feed != nil {
		b.feed(&d)
	}
	for leg := 1; leg <= 2; leg++ {
		g := config.Default[config.Gateway]()
		g.Version, g.Name = config.SchemaVersion, fmt.Sprintf("gw%d", leg)
		l := config.Default[config.Listener]()
		l.Name, l.Address = "srt", fmt.Sprintf("127.0.0.1:%d", freeport.UDP(b.t))
		g.Listeners = []config.Listener{l}
		g.HTTP.Listen = "127.0.0.1:0"
		c := config.Default[config.Contribution]()
		c.Name, c.Key, c.LatencyMS = "studio-1", d.Output.Key, d.Output.LatencyMS
		for _, letter := range "ab" {
			in := config.Default[config.GatewayInput]()
			in.Name, in.Listener = fmt.Sprintf("box-%d%c", leg, letter), "srt"
			in.StreamID, in.Passphrase = secret(8), config.Secret(secret(16))
			c.Inputs = append(c.Inputs, in)
			p := config.Default[config.Path]()
			p.Name, p.Leg, p.URL = fmt.Sprintf("%d%c", leg, letter), leg, "srt://"+l.Address
			p.StreamID, p.Passphrase = in.StreamID, in.Passphrase
			d.Paths = append(d.Paths, p)
		}
		out := config.Default[config.GatewayOutput]()
		out.Name, out.Type, out.URL = "receiver", config.TypeRTP, fmt.Sprintf("rtp://127.0.0.1:%d", freeport.UDP(b.t))
		c.Outputs = []config.GatewayOutput{out}
		g.Contributions = []config.Contribution{c}
		for i := range c.Inputs {
			line, err := g.PathLine(&c, &c.Inputs[i], "127.0.0.1")
			if err != nil {
				b.t.Fatal(err)
			}
			b.lines[strings.TrimPrefix(c.Inputs[i].Name, "box-")] = line
		}
		name := b.file(g.Name + ".json")
		if err := os.WriteFile(name, config.Encode(&g), 0o600); err != nil {
			b.t.Fatal(err)
		}
		startProcess(b.all, b.file(g.Name+".log"), *bin+"/quartet-gateway", "run", "--config", name)
	}
	b.doc = d
	if err := os.WriteFile(b.file("etc/box.v1.json"), config.Encode(&d), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) startMedia() {
	b.media = startProcess(b.all, b.file("quartetd.log"), *bin+"/quartetd", "run",
		"--config", b.file("etc/box.v1.json"), "--data", b.file("media"), "--key", b.file("key/seal.key"))
	b.ctl = control.NewClient(b.doc.Control.Socket)
	b.all.Cleanup(b.ctl.Close)
	b.until("all paths up", allUp)
}

// allUp: four paths, each with a gateway that reports.
func allUp(s control.Status) bool {
	for _, p := range s.Paths {
		if p.State != control.PathUp || p.Arrival == nil {
			return false
		}
	}
	return len(s.Paths) == 4
}

func (b *box) startManage() {
	args := []string{"run",
		"--config-dir", b.file("etc"), "--data", b.file("data"), "--key", b.file("key/seal.key"), "--control", b.doc.Control.Socket,
		"--netd", b.file("netd.sock"), "--listen", fmt.Sprintf("0.0.0.0:%d", b.port), "--http", "",
		"--image", b.file("image"), "--bus", b.slots.bus, "--update", b.file("update.sock")}
	if *pageDir != "" {
		args = append(args, "--page", *pageDir)
	}
	b.manage = startProcess(b.all, b.file("manage.log"), *bin+"/quartet-manage", args...)
	b.all.Cleanup(func() {
		if b.all.Failed() {
			b.all.Logf("quartet-manage:\n%s\nquartetd:\n%s", tail(b.manage.printed()), tail(b.media.printed()))
		}
	})
	b.answers()
}

func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// answers waits until the page does.
func (b *box) answers() {
	b.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		r, err := client.Get(b.base + "/api/v1/state")
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			b.t.Fatalf("quartet-manage does not answer: %v\n%s", err, tail(b.manage.printed()))
		}
	}
}

// client trusts what it is told: who a box is, is not the matter of these tests.
var client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} // #nosec G402

// status asks the media plane itself.
func (b *box) status() (control.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return b.ctl.Status(ctx)
}

// until waits for the media plane to be in a state.
func (b *box) until(what string, ok func(control.Status) bool) control.Status {
	b.t.Helper()
	for end := time.Now().Add(2 * patience); ; time.Sleep(200 * time.Millisecond) {
		s, err := b.status()
		if err == nil && ok(s) {
			return s
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s did not come (%v): %+v\n%s", what, err, s.Paths, tail(b.media.printed()))
		}
	}
}

// stored is the document on disk, as text.
func (b *box) stored() string {
	b.t.Helper()
	s, err := os.ReadFile(b.file("etc/box.v1.json"))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(s)
}

// played is a system under quartet-netd that does nothing: settings, trial and
// time are device/network's own.
type played struct {
	mu        sync.Mutex
	installed []network.File
	rebooted  int
	unkept    bool // no time server keeps the clock
}

func playNetwork(t *testing.T, socket, folder string) *played {
	t.Helper()
	p := &played{}
	store, err := network.OpenStore(folder)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	keeper := network.NewKeeper(network.KeeperConfig{Store: store, System: p, Hostname: "quartet-qt-test-0001", Boot: "one",
		Now: func() time.Duration { return time.Since(begun) }})
	ctx, cancel := context.WithCancel(context.Background())
	if err := keeper.Start(ctx); err != nil {
		t.Fatal(err)
	}
	server, err := network.Listen(network.ServerConfig{Socket: socket, Keeper: keeper, System: p, Allowed: func(network.Peer) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = keeper.Run(ctx) })
	wg.Go(func() { _ = server.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

func (p *played) Installed() ([]network.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.installed, nil
}

func (p *played) Install(files []network.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.installed = files
	return nil
}

func (p *played) Reload(context.Context, []string) error { return nil }

// Addresses are those of the settings; without any, a lease of home. The
// namespace has them all the time.
func (p *played) Addresses() (map[netip.Addr]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	have := map[netip.Addr]string{}
	for _, f := range p.installed {
		for line := range strings.Lines(f.Content) {
			if a, ok := strings.CutPrefix(strings.TrimSpace(line), "Address="); ok {
				if prefix, err := netip.ParsePrefix(a); err == nil {
					have[prefix.Addr()] = "eth0"
				}
			}
		}
	}
	if len(have) == 0 {
		have[netip.MustParseAddr(home)] = "eth0"
	}
	return have, nil
}

func (p *played) State(context.Context) (network.State, error) {
	have, _ := p.Addresses()
	p.mu.Lock()
	kept := !p.unkept
	p.mu.Unlock()
	l := network.Link{Name: "eth0", Index: 2, Kind: "device", MAC: "02:00:00:00:00:01", Up: true, Carrier: true, SpeedMbps: 1000, MTU: 1500}
	for a := range have {
		l.Addresses = append(l.Addresses, network.Address{Prefix: netip.PrefixFrom(a, 24), From: network.FromStatic})
	}
	return network.State{Hostname: "quartet-qt-test-0001", Links: []network.Link{l},
		Clock: network.Clock{Synchronised: kept, Server: "ntp.example.net", Time: time.Now(), Timezone: "UTC"}}, nil
}

func (p *played) SetTime(time.Time) error { return nil }

// reboots is how often a restart was asked for.
func (p *played) reboots() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rebooted
}

func (p *played) Reboot() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rebooted++
	return nil
}

// stopped pauses a process for the time of f.
func stopped(p *process, f func()) {
	p.signal(syscall.SIGSTOP)
	defer p.signal(syscall.SIGCONT)
	f()
}
