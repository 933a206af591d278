package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// fakeSystem is a machine with the ports eth0 and eth1, whose networkd takes up
// what is installed when it is told to, and not before.
type fakeSystem struct {
	mu        sync.Mutex
	installed []File
	running   []File // as of the last Reload
	vlans     []string
	refuse    error        // of Reload, once
	hang      bool         // Reload waits for its context
	burn      func() error // nil, or an error once the power is off
	reloads   int

	clock   State
	set     []time.Time
	reboots int
}

func (f *fakeSystem) cut() error {
	if f.burn == nil {
		return nil
	}
	return f.burn()
}

func (f *fakeSystem) Installed() ([]File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.installed, nil
}

func (f *fakeSystem) Install(files []File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.cut(); err != nil {
		return err
	}
	f.installed = slices.Clone(files)
	return nil
}

func (f *fakeSystem) Reload(ctx context.Context, vlans []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.cut(); err != nil {
		return err
	}
	if f.hang {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return ctx.Err()
	}
	f.reloads++
	if err := f.refuse; err != nil {
		f.refuse = nil
		return err
	}
	f.running, f.vlans = f.installed, vlans
	return nil
}

// Addresses reads them off what runs: a fixed one of each Address= line, and of
// each port with DHCP 10.0.<n>.50.
func (f *fakeSystem) Addresses() (map[netip.Addr]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	have := map[netip.Addr]string{netip.MustParseAddr("127.0.0.1"): "lo"}
	file := func(name string) string {
		for _, f := range f.running {
			if path.Base(f.Path) == filePrefix+name+".network" {
				return f.Content
			}
		}
		return ""
	}
	for n, port := range []string{"eth0", "eth1", "eth0.20"} {
		text := file(port)
		if text == "" && !strings.Contains(port, ".") {
			text = file("zz-others")
		}
		for line := range strings.Lines(text) {
			if a, ok := strings.CutPrefix(strings.TrimSpace(line), "Address="); ok {
				have[netip.MustParsePrefix(a).Addr()] = port
			}
			if strings.TrimSpace(line) == "DHCP=ipv4" {
				have[netip.MustParseAddr(fmt.Sprintf("10.0.%d.50", n))] = port
			}
		}
	}
	return have, nil
}

func (f *fakeSystem) State(context.Context) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock, nil
}

func (f *fakeSystem) SetTime(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = append(f.set, t)
	return nil
}

func (f *fakeSystem) Reboot() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reboots++
	return nil
}

// runs tells whether networkd runs by exactly these settings.
func (f *fakeSystem) runs(s *Settings) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Equal(f.running, Render(s, hostname)) && slices.Equal(f.installed, f.running)
}

// text is what networkd runs by.
func (f *fakeSystem) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return rendered(f.running)
}

const hostname = "quartet-q7k2m9"

// disk is a folder whose power fails after fuse operations. Like a journalling
// file system it keeps metadata in order, but what was not synced may be lost.
type disk struct {
	files   map[string][]byte // as running programs see them
	durable map[string][]byte // as of the last sync
	pending []map[string][]byte
	fuse    int
}

var errPower = errors.New("no power")

func newDisk() *disk {
	return &disk{files: map[string][]byte{}, durable: map[string][]byte{}, fuse: 1 << 30}
}

// step records a state that a crash may leave.
func (d *disk) step() { d.pending = append(d.pending, maps.Clone(d.files)) }

func (d *disk) burn() error {
	if d.fuse--; d.fuse < 0 {
		return errPower
	}
	return nil
}

func (d *disk) read(name string) ([]byte, error) {
	b, ok := d.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

func (d *disk) write(name string, data []byte) error {
	dead := d.fuse < 0 // nothing happens on a machine that is off
	if err := d.burn(); err != nil {
		if !dead {
			for _, n := range []int{0, 1, len(data) / 2, len(data) - 1} { // cut within the write
				d.files[name] = slices.Clone(data[:n])
				d.step()
			}
			d.files[name] = make([]byte, len(data)) // length kept, content not
			d.step()
		}
		return err
	}
	d.files[name] = slices.Clone(data)
	d.step()
	return nil
}

func (d *disk) rename(from, to string) error {
	if err := d.burn(); err != nil {
		return err
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	d.step()
	return nil
}

func (d *disk) remove(name string) error {
	if err := d.burn(); err != nil {
		return err
	}
	delete(d.files, name)
	d.step()
	return nil
}

func (d *disk) sync() error {
	if err := d.burn(); err != nil {
		return err
	}
	d.durable, d.pending = maps.Clone(d.files), nil
	return nil
}

// crashes returns the folder in every state that a power cut now may leave.
func (d *disk) crashes() []*disk {
	list := []*disk{}
	for _, state := range append([]map[string][]byte{d.durable}, d.pending...) {
		list = append(list, &disk{files: maps.Clone(state), durable: maps.Clone(state), fuse: 1 << 30})
	}
	return list
}
