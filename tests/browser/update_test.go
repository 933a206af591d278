//go:build browser

package browser

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"quartet/updater/rauc/raucfake"
	"quartet/updater/repository"
	"quartet/updater/trust"
)

// slots is a RAUC with a boot loader on a message bus of its own, and home with a
// repository on a static server.
type slots struct {
	rauc    *raucfake.Box
	bus     string // address
	home    *repository.Repository
	address string // of the repository
}

func playUpdates(t *testing.T, b *box) *slots {
	t.Helper()
	conf := b.file("bus.conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=` + b.file("bus") + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("dbus-daemon", "--config-file="+conf, "--nofork", "--print-address=1")
	out, err := daemon.StdoutPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		t.Fatalf("dbus-daemon: %v: make deps-test", err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	s := &slots{rauc: raucfake.New("quartet-generic", "1.0.0"), bus: strings.TrimSpace(line)}
	conn, err := dbus.Connect(s.bus)
	if err != nil {
		t.Fatal(err)
	}
	service, err := raucfake.Serve(conn, s.rauc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		service.Close()
		conn.Close()
	})
	if s.home, err = repository.Init(t.TempDir(), "", repository.InitOptions{RootKeys: 1}, time.Now); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", home+":0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(s.home.Public())), ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	s.address = "http://" + l.Addr().String()
	s.boot(t, b)
	return s
}

// boot is the boot loader's choice, with what the image there brings.
func (s *slots) boot(t *testing.T, b *box) {
	t.Helper()
	if slot, whole := s.rauc.PowerOn(); slot == "" || !whole {
		t.Fatal("nothing boots")
	}
	root, err := s.home.Root()
	if err == nil {
		err = os.MkdirAll(b.file("image"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(b.file("image/root.json"), root, 0o600)
	}
	if err == nil {
		err = os.WriteFile(b.file("image/image.json"), fmt.Appendf(nil, `{"board": "generic", "version": %q}`, s.rauc.Running()), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bundle makes one of a version.
func (s *slots) bundle(t *testing.T, version string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "b.raucb")
	if err := os.WriteFile(name, raucfake.Bundle("quartet-generic", version, bytes.Repeat([]byte(version), 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.home.Add(name, trust.Custom{Notes: "quieter fans"}); err != nil {
		t.Fatal(err)
	}
}

// updates is the panel: from nothing to a confirmed version, with what is refused
// on the way.
func updates(t *testing.T, p *tab, b *box) {
	s := b.slots
	p.view("update", "Update")
	p.sees("No repository is set; updates come as files.")
	p.until("the slots", "document.querySelectorAll('#slots li').length === 2 && document.getElementById('slots').textContent.includes('Running')")
	if string(p.js(`!!button("Set the box's clock")`)) == "true" {
		// This machine's clock is not kept by anybody, as at a site without a server.
		b.net.mu.Lock()
		b.net.unkept = true
		b.net.mu.Unlock()
		p.press("Set the box's clock")
		p.sees("The box's clock is set to that of this computer") // the question
		p.press("Set the box's clock")
		p.misses("The time of day is not known to be right")
		b.net.mu.Lock()
		b.net.unkept = false // and from here on a server keeps it
		b.net.mu.Unlock()
	}
	// What is wrong is said at its field.
	s.bundle(t, "1.1.0")
	if _, err := s.home.Promote("1.1.0", "all", 0); err != nil {
		t.Fatal(err)
	}
	p.fill("Repository", s.address)
	p.choose("Mode", "manual")
	p.fill("Time zone", "Mars")
	p.press("Save")
	p.until("the error at its field", "field('Time zone').getAttribute('aria-invalid') === 'true'")
	p.fill("Time zone", "Europe/Berlin")
	p.press("Save")
	p.sees("Saved")
	p.until("the offer", "document.getElementById('update-offer').textContent === '1.1.0'")
	p.sees("quieter fans")
	p.sees("It waits for an operator")

	// A file that is none is refused in the box's words.
	bad := b.file("bad.update")
	if err := os.WriteFile(bad, []byte("PK\x03\x04 no update"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.attach("update-file", bad)
	p.press("Upload")
	p.sees("the file is no update")

	p.choose("Put updates off for", "7")
	p.press("Put off")
	p.sees("Put off to")
	p.press("No longer put off")
	p.misses("Put off to")

	p.press("Update now")
	p.sees("Update to 1.1.0 now?")
	p.press("Update now")
	// While paths lose packets on a busy machine, the download waits for them.
	end := time.Now().Add(4 * patience)
	for b.net.reboots() == 0 {
		if time.Now().After(end) {
			t.Fatalf("no restart is asked for; the page says:\n%s", p.text())
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.manage.kill(syscall.SIGTERM)
	s.boot(t, b)
	b.startManage()
	p.visit("/")
	p.login("ada", password)
	p.view("update", "Update")
	p.until("the new version", "document.getElementById('update-running').textContent === '1.1.0'")
	p.sees("what worked before has to work again")
	p.sees("Confirmed")
	p.until("the slot that is good", "document.getElementById('slots').textContent.replace(/\\s/g, '').includes('B1.1.0Running')")
	p.misses("what worked before has to work again")
	p.sees("Nothing newer is offered.")
	p.view("audit", "Audit log")
	p.sees("update.confirmed")
	p.sees("update.now")
}
