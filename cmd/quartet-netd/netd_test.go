package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"quartet/device/network"
	"quartet/device/notify"
)

func TestMain(m *testing.M) {
	if os.Getenv("QUARTET_NETD_CHILD") == "shed" {
		if err := shed(rights); err != nil {
			panic(err)
		}
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			panic(err)
		}
		os.Stdout.Write(b)
		return
	}
	goleak.VerifyTestMain(m)
}

// Started by hand as root, the daemon keeps two capabilities and can get no
// other back.
func TestRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: who has no rights gives none up")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "QUARTET_NETD_CHILD=shed")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		want := fmt.Sprintf("%s:\t%016x\n", set, 1<<unix.CAP_NET_ADMIN|1<<unix.CAP_SYS_TIME)
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func invoke(stdin string, args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = command(args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{nil, 2, "", "Usage:"},
		{[]string{"--help"}, 0, "Usage:", ""},
		{[]string{"run", "--help"}, 0, "Usage:", ""},
		{[]string{"version"}, 0, "quartet-netd ", ""},
		{[]string{"dance"}, 2, "", `unknown command "dance"`},
		{[]string{"run", "now"}, 2, "", `unexpected argument "now"`},
		{[]string{"run", "--sockat", "x"}, 2, "", "sockat"},
		{[]string{"check"}, 2, "", "give the file"},
		{[]string{"check", "/nowhere/x"}, 2, "", "no such file"},
		{[]string{"run", "--group", "no-such-group-here"}, 1, "", "--group: group: unknown group no-such-group-here"},
		{[]string{"firewall", "--print", "--config", "/nowhere/x"}, 0, "policy drop", ""},
	} {
		code, out, err := invoke("", c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(err, c.err) {
			t.Errorf("%q: %d\n%s\n%s", c.args, code, out, err)
		}
	}
}

func TestCheckAndRender(t *testing.T) {
	if code, out, err := invoke(`{"version": 1}`, "check", "-"); code != 0 || out != "ok\n" || err != "" {
		t.Error(code, out, err)
	}
	if code, _, err := invoke(`{"version": 1, "ntp": ["x:1"]}`, "check", "-"); code != 2 || !strings.Contains(err, "-: ntp[0] (line 1:") {
		t.Error(code, err)
	}
	code, out, err := invoke(`{"version": 1, "others": "off", "interfaces": [{"name": "eth0", "ipv6": "off", "addresses": ["192.0.2.10/24"]}]}`, "render", "-")
	if code != 0 || !strings.Contains(out, "==> /run/systemd/network/40-quartet-eth0.network\n") || !strings.Contains(out, "Address=192.0.2.10/24\n") || strings.Count(err, "warning") != 2 {
		t.Error(code, out, err)
	}
}

func TestSerial(t *testing.T) {
	put := func(root, name, content string) {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"nothing", nil, ""},
		{"provisioned", map[string]string{"p": `{"version": 1, "serial": "Q7K2M9", "claim_sha256": "00"}`, "proc/device-tree/serial-number": "other\x00"}, "Q7K2M9"},
		{"a line", map[string]string{"p": "Q7K2M9\n"}, "Q7K2M9"},
		{"a provision that is none", map[string]string{"p": "{}", "proc/device-tree/serial-number": "1000000abc\x00"}, "1000000abc"},
		{"a board without a word", map[string]string{"proc/device-tree/serial-number": "None\x00", "sys/class/net/eth1/device/x": "", "sys/class/net/eth1/address": "02:00:5e:00:00:01\n"}, "02005e000001"},
		{"the first port with a device", map[string]string{
			"sys/class/net/br0/address": "02:00:00:00:00:09\n", "sys/class/net/eth0/device/x": "", "sys/class/net/eth0/address": "00:00:00:00:00:00\n",
			"sys/class/net/eth1/device/x": "", "sys/class/net/eth1/address": "02:00:5e:00:00:01\n", "sys/class/net/eth2/device/x": "", "sys/class/net/eth2/address": "02:00:5e:00:00:02\n",
		}, "02005e000001"},
	} {
		root := t.TempDir()
		for name, content := range c.files {
			put(root, name, content)
		}
		if got := serialOf(root, filepath.Join(root, "p")); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestHostname(t *testing.T) {
	root := t.TempDir()
	set := ""
	try := func() error { return setHostname(root, func(n string) error { set = n; return nil }) }
	if err := try(); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	// What the daemon writes is what this reads.
	if err := (&network.Linux{Root: root}).Install(network.Render(network.Default(), "quartet-7")); err != nil {
		t.Fatal(err)
	}
	if err := try(); err != nil || set != "quartet-7" {
		t.Fatal(set, err)
	}
	for _, bad := range []string{"", "a b", "A", "a\nb"} {
		set = ""
		if err := os.WriteFile(filepath.Join(root, hostnameFile), []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := try(); err == nil || set != "" {
			t.Errorf("%q was set as %q", bad, set)
		}
	}
}

const box = `{"version": 1, "name": "b", "input": {"type": "rtp", "url": "rtp://239.1.1.1:5000", "interface": "eth1", "fec": "st2022-1", "second": {"url": "rtp://239.1.1.2:5100"}},
 "output": {}, "paths": [{"name": "a", "profile": "ts", "url": "srt://192.0.2.1:9000"}, {"name": "b", "profile": "ts", "url": "srt://:9001", "passphrase": "sealed:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`

func TestFirewall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "box.json")
	var loaded []string
	there := false
	load := func(_ context.Context, rules string, args ...string) error {
		if args[0] == "list" {
			if there {
				return nil
			}
			return errors.New("no such table")
		}
		there = true
		loaded = append(loaded, rules)
		return nil
	}
	var out, said bytes.Buffer
	try := func() error { return firewall(options{config: file}, &out, &said, load) }

	if err := try(); err != nil || len(loaded) != 1 || strings.Contains(loaded[0], "elements") {
		t.Fatal("a box that nobody has set up: ", err, loaded)
	}
	if err := os.WriteFile(file, []byte(box), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(); err != nil || len(loaded) != 2 {
		t.Fatal(err)
	}
	for _, want := range []string{`elements = { 5100, 5102, 5104, 9001 }`, `elements = { "eth1" . 5000, "eth1" . 5002, "eth1" . 5004 }`} {
		if !strings.Contains(loaded[1], want) {
			t.Errorf("no %s in\n%s", want, loaded[1])
		}
	}
	if strings.Contains(loaded[1], "9000") {
		t.Error("a port is opened for a path that the box calls")
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(); err == nil || len(loaded) != 2 {
		t.Fatal("a broken document took the ports of a running feed")
	}
	there = false
	if err := try(); err != nil || len(loaded) != 3 || strings.Contains(loaded[2], "elements") || said.Len() == 0 {
		t.Fatal("a broken document at the start leaves the box without a firewall: ", err)
	}
	// As quartetd, which then takes the document before.
	if err := os.WriteFile(file+".previous", []byte(box), 0o600); err != nil {
		t.Fatal(err)
	}
	there = false
	said.Reset()
	if err := try(); err != nil || len(loaded) != 4 || loaded[3] != loaded[1] || !strings.Contains(said.String(), "the ports are those of "+file+".previous") {
		t.Fatal("the ports are not those of the document that quartetd takes: ", err, said.String())
	}
	// A document that cannot be read, on a box that starts and on one that runs.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := try(); err == nil || len(loaded) != 4 {
		t.Fatal("a document that cannot be read took the ports of a running feed")
	}
	there = false
	if err := try(); err != nil || len(loaded) != 5 || loaded[4] != loaded[1] {
		t.Fatal("a document that cannot be read leaves the box without a firewall, or without its ports: ", err)
	}
	if err := os.WriteFile(file+".previous", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	there = false
	said.Reset()
	if err := try(); err != nil || len(loaded) != 6 || strings.Contains(loaded[5], "elements") || strings.Count(said.String(), file) < 2 {
		t.Fatal("two documents that are no use leave the box without a firewall, or without a word: ", err, said.String())
	}
}

// machine is a System of which nothing is asked.
type machine struct {
	network.System
	files []network.File
}

func (m *machine) Installed() ([]network.File, error)               { return m.files, nil }
func (m *machine) Install(f []network.File) error                   { m.files = f; return nil }
func (m *machine) Reload(context.Context, []string) error           { return nil }
func (m *machine) Addresses() (map[netip.Addr]string, error)        { return nil, nil }
func (m *machine) State(context.Context) (s network.State, _ error) { return s, nil }

// The daemon: the settings are in force before it says that it is ready, its
// watchdog is fed, requests are answered, and it ends when it is told.
func TestServe(t *testing.T) {
	dir, err := os.MkdirTemp("", "netd") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told, err := notify.New(dir+"/notify", 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	hear := func(want string) {
		t.Helper()
		if err := manager.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := manager.Read(b); err != nil || string(b[:n]) != want {
			t.Fatalf("%q, %v, want %q", b[:n], err, want)
		}
	}
	store, err := network.OpenStore(dir + "/settings")
	if err != nil {
		t.Fatal(err)
	}
	sys, log := &machine{}, slog.New(slog.DiscardHandler)
	k := network.NewKeeper(network.KeeperConfig{Store: store, System: sys, Hostname: "quartet-7", Boot: "b", Now: network.SinceBoot})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, k, network.ServerConfig{Socket: dir + "/s", Keeper: k, System: sys, Allowed: network.InGroup(os.Getgid()), Log: log}, told, log)
	}()
	hear("READY=1")
	if len(sys.files) == 0 {
		t.Error("ready before the settings are in force")
	}
	client := network.NewClient(dir + "/s")
	if cur, err := client.Get(t.Context()); err != nil || cur.Hostname != "quartet-7" {
		t.Error(cur, err)
	}
	hear("WATCHDOG=1")
	cancel()
	hear("STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestGroup(t *testing.T) {
	if n, err := groupID("12"); n != 12 || err != nil {
		t.Error(n, err)
	}
	if n, err := groupID("root"); n != 0 || err != nil {
		t.Error(n, err)
	}
	if _, err := groupID("-1"); err == nil {
		t.Error("a negative group")
	}
	if at := earliest(); at.Before(made) || at.After(time.Now().Add(time.Minute)) {
		t.Error(at)
	}
}
