// Package powercut is a folder in memory for tests: its power fails after a
// given number of operations, and it hands out every state that a journalling
// file system may then show at the next start (fault F19).
package powercut

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
)

// ErrPower is what every operation returns once the power is gone.
var ErrPower = errors.New("no power")

// Disk is a durable.Folder. Like a journalling file system it keeps names in
// order, but what was not synced may be lost, at any point.
type Disk struct {
	mu      sync.Mutex
	files   map[string][]byte   // as running programs see them
	durable map[string][]byte   // as of the last sync
	pending []map[string][]byte // what a crash may leave besides
	fuse    int
}

// New returns an empty folder with power for long.
func New() *Disk {
	return &Disk{files: map[string][]byte{}, durable: map[string][]byte{}, fuse: 1 << 30}
}

// Fuse lets the power fail after n more operations.
func (d *Disk) Fuse(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fuse = n
}

// Set gives a file a content as if it had always been so.
func (d *Disk) Set(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name], d.durable[name] = slices.Clone(data), slices.Clone(data)
}

// Files returns what is there.
func (d *Disk) Files() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.files)
}

// Crashes returns the folder in every state that a power cut now may leave.
func (d *Disk) Crashes() []*Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := []*Disk{}
	for _, state := range append([]map[string][]byte{d.durable}, d.pending...) {
		list = append(list, &Disk{files: maps.Clone(state), durable: maps.Clone(state), fuse: 1 << 30})
	}
	return list
}

// Off tells whether the power is gone.
func (d *Disk) Off() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fuse < 0
}

// Restore gives the power back to the folder itself, in one of the states that
// Crashes lists: by its number, counted round and round; -1 is the last.
func (d *Disk) Restore(which int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	states := append([]map[string][]byte{d.durable}, d.pending...)
	state := states[((which%len(states))+len(states))%len(states)]
	d.files, d.durable, d.pending, d.fuse = maps.Clone(state), maps.Clone(state), nil, 1<<30
}

// step records a state that a crash may leave.
func (d *Disk) step() { d.pending = append(d.pending, maps.Clone(d.files)) }

func (d *Disk) burn() bool { d.fuse--; return d.fuse < 0 }

// Read implements durable.Folder.
func (d *Disk) Read(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.files[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return slices.Clone(b), nil
}

// Write implements durable.Folder. A write that the cut falls into leaves its
// first bytes, or as many zeros as it has bytes.
func (d *Disk) Write(name string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.burn() {
		if d.fuse == -1 { // later ones do not reach the disk at all
			for _, n := range []int{0, 1, len(data) / 2, len(data) - 1} {
				d.files[name] = slices.Clone(data[:max(n, 0)])
				d.step()
			}
			d.files[name] = make([]byte, len(data))
			d.step()
		}
		return ErrPower
	}
	d.files[name] = slices.Clone(data)
	d.step()
	return nil
}

// Rename implements durable.Folder.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.burn() {
		return ErrPower
	}
	b, ok := d.files[from]
	if !ok {
		return fmt.Errorf("%s: %w", from, fs.ErrNotExist)
	}
	d.files[to] = b
	delete(d.files, from)
	d.step()
	return nil
}

// Remove implements durable.Folder. The zeros that go over the content may be
// durable without the removal.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.burn() {
		return ErrPower
	}
	if b, ok := d.files[name]; ok {
		d.files[name] = make([]byte, len(b))
		d.step()
		delete(d.files, name)
		d.step()
	}
	return nil
}

// Sync implements durable.Folder.
func (d *Disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.burn() {
		return ErrPower
	}
	d.durable, d.pending = maps.Clone(d.files), nil
	return nil
}
