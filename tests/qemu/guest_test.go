//go:build qemu

package qemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/tests/chain"
)

// guest is one emulated box. Its disk outlives it.
type guest struct {
	t     testing.TB
	dir   string // console, sockets
	disk  string
	ports map[int]int // of the box → on this machine's loopback
	qmp   *lines
	agent *lines
	calls int
	power time.Time
	start time.Duration // from power to management, the first time that somebody waited for it
	*chain.Process
}

// machine is what the device tree in the slots was made for (image/build.sh).
var machine = []string{
	"-M", "virt,acpi=off", "-cpu", "cortex-a53", "-smp", "2", "-m", "768",
	"-accel", "tcg,thread=multi,tb-size=256",
	"-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
	"-nodefaults", "-display", "none",
}

// startLimit is for a machine that does other things as well; alone it takes
// under a minute.
const startLimit = 8 * time.Minute

// newDisk copies the image's disk, sparsely.
func newDisk(t testing.TB) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk.img")
	copyDisk(t, filepath.Join(*imageDir, "disk.img"), disk)
	return disk
}

func copyDisk(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "--reflink=auto", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp %s: %v\n%s", from, err, out)
	}
}

// boot starts a box from a disk. extra are arguments for QEMU.
func boot(t testing.TB, disk string, extra ...string) *guest {
	t.Helper()
	// Not t.TempDir: the path of a socket may have no more than some 100 bytes.
	dir, err := os.MkdirTemp("", "quartet-qemu-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	g := &guest{t: t, dir: dir, disk: disk, ports: map[int]int{}, power: time.Now()}
	network := "user,id=net"
	for _, port := range []int{80, 443} {
		g.ports[port] = freePort(t)
		network += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", g.ports[port], port)
	}
	args := append(machine[:len(machine):len(machine)],
		"-drive", "file="+disk+",format=raw,if=none,id=disk,cache=writeback", "-device", "virtio-blk-pci,drive=disk",
		"-netdev", network, "-device", "virtio-net-pci,netdev=net,id=nic,romfile=",
		"-device", "virtio-rng-pci", "-device", "i6300esb",
		"-chardev", "socket,id=agent,server=on,wait=off,path="+g.file("agent"),
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=quartet.lab",
		"-qmp", "unix:"+g.file("qmp")+",server=on,wait=off",
		"-chardev", "file,id=console,append=on,path="+g.file("console"), "-serial", "chardev:console")
	g.Process = chain.StartProcess(t, g.file("log"), "qemu-system-aarch64", append(args, extra...)...)
	g.eventually(20*time.Second, "QEMU's sockets", func() bool {
		if g.Ended() {
			t.Fatalf("QEMU ended: %s", g.Log())
		}
		if g.qmp == nil {
			g.qmp = dial(g.file("qmp"))
		}
		if g.agent == nil {
			g.agent = dial(g.file("agent"))
		}
		return g.qmp != nil && g.agent != nil
	})
	t.Cleanup(func() {
		g.cut()
		if t.Failed() {
			keep := filepath.Join(*imageDir, "consoles", strings.ReplaceAll(t.Name(), "/", "_"))
			os.MkdirAll(filepath.Dir(keep), 0o755)
			os.WriteFile(keep, []byte(g.console()), 0o644)
			t.Logf("the console is in %s; it ends:\n%s", keep, tail(g.console(), 30))
		}
	})
	g.monitor("qmp_capabilities", nil)
	return g
}

func (g *guest) file(name string) string { return filepath.Join(g.dir, name) }

// cut is the end of the power. What QEMU has taken over from the box's disk
// driver is on the disk, the rest is not.
func (g *guest) cut() {
	g.Kill(syscall.SIGKILL)
	for _, l := range []*lines{g.qmp, g.agent} {
		if l != nil {
			l.Close()
		}
	}
}

// lines is a socket with a line of JSON for each message.
type lines struct {
	net.Conn
	r *bufio.Reader
}

func dial(path string) *lines {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil
	}
	return &lines{c, bufio.NewReader(c)}
}

// monitor carries out a command of QEMU's monitor (QMP).
func (g *guest) monitor(command string, args map[string]any) json.RawMessage {
	g.t.Helper()
	if args == nil {
		args = map[string]any{}
	}
	b, _ := json.Marshal(map[string]any{"execute": command, "arguments": args})
	g.qmp.SetDeadline(time.Now().Add(time.Minute))
	if _, err := g.qmp.Write(append(b, '\n')); err != nil {
		g.t.Fatalf("QEMU, %s: %v", command, err)
	}
	for {
		b, err := g.qmp.r.ReadBytes('\n')
		if err != nil {
			g.t.Fatalf("QEMU, %s: %v", command, err)
		}
		var a struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if json.Unmarshal(b, &a) != nil || a.Return == nil && a.Error == nil {
			continue // the greeting, an event
		}
		if a.Error != nil {
			g.t.Fatalf("QEMU, %s: %s", command, a.Error.Desc)
		}
		return a.Return
	}
}

// network plugs the box's cable in or out.
func (g *guest) network(up bool) {
	g.t.Helper()
	g.monitor("set_link", map[string]any{"name": "nic", "up": up})
}

// freePort is one of TCP that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// forward makes a port of the box at one of its addresses reachable on this
// machine's loopback.
func (g *guest) forward(address string, port int) int {
	g.t.Helper()
	at := freePort(g.t)
	g.monitor("human-monitor-command", map[string]any{"command-line": fmt.Sprintf("hostfwd_add net tcp:127.0.0.1:%d-%s:%d", at, address, port)})
	return at
}

// try runs a shell command in the box. ok: it ran and its exit status was 0.
func (g *guest) try(command string, limit time.Duration) (out string, ok bool) {
	g.calls++
	b, _ := json.Marshal(map[string]any{"id": g.calls, "run": command, "timeout_s": int(limit.Seconds())})
	g.agent.SetDeadline(time.Now().Add(limit + 5*time.Second))
	if _, err := g.agent.Write(append(append([]byte("\n"), b...), '\n')); err != nil {
		return err.Error(), false
	}
	for {
		b, err := g.agent.r.ReadBytes('\n')
		if err != nil {
			// What is left of the answer must not be taken for the next one's.
			g.agent.Close()
			if again := dial(g.file("agent")); again != nil {
				g.agent = again
			}
			return err.Error(), false
		}
		var a struct {
			ID, Code   int
			Out, Error string
		}
		if json.Unmarshal(b, &a) == nil && a.ID == g.calls {
			return strings.TrimSpace(a.Out + a.Error), a.Code == 0
		}
	}
}

// run is try with a minute, and without it the test's end.
func (g *guest) run(command string) string {
	g.t.Helper()
	out, ok := g.try(command, 2*time.Minute)
	if !ok {
		g.t.Fatalf("in the box: %.300s\n%s", command, out)
	}
	return out
}

// put writes a file in the box.
func (g *guest) put(path string, content []byte) {
	g.t.Helper()
	const piece = 64 << 10 // an argument may have 128 KiB
	for at := 0; at < len(content) || at == 0; at += piece {
		op := ">>"
		if at == 0 {
			op = ">"
		}
		g.run(fmt.Sprintf("base64 -d %s '%s' <<'E'\n%s\nE", op, path, base64Lines(content[at:min(at+piece, len(content))])))
	}
}

// up waits until the box has started as far as its management plane.
func (g *guest) up(limit time.Duration) {
	g.t.Helper()
	g.eventually(limit, "the box has started", func() bool {
		out, ok := g.try("systemctl is-active quartet-manage", 10*time.Second)
		return ok && out == "active"
	})
	if g.start == 0 {
		g.start = time.Since(g.power)
	}
}

// bootID changes at every start.
func (g *guest) bootID() string {
	out, ok := g.try("cat /proc/sys/kernel/random/boot_id", 5*time.Second)
	if !ok {
		return ""
	}
	return out
}

// slot is the one that runs, A or B.
func (g *guest) slot() string {
	g.t.Helper()
	return g.run("sed -n 's/.*rauc.slot=\\([AB]\\).*/\\1/p' /proc/cmdline")
}

func (g *guest) console() string {
	b, err := os.ReadFile(g.file("console"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

var slotLine = regexp.MustCompile(`Quartet: slot-([ab])`)

// boots lists the slots that U-Boot has started since the power came, oldest
// first: "aab".
func (g *guest) boots() string {
	s := ""
	for _, m := range slotLine.FindAllStringSubmatch(g.console(), -1) {
		s += m[1]
	}
	return s
}

func (g *guest) eventually(limit time.Duration, what string, done func() bool) {
	g.t.Helper()
	eventually(g.t, limit, what, done)
}

// eventually asks, twice a second at first, until it is done.
func eventually(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Since(begun) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("ended while waiting: %s", what)
		}
	}
	t.Logf("%6.1f s: %s", time.Since(begun).Seconds(), what)
}

func tail(s string, n int) string {
	all := strings.Split(strings.TrimRight(s, "\r\n"), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

var _ io.Closer = (*lines)(nil)
