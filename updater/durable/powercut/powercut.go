// Package powercut is a folder in memory whose power a test cuts: at any step of
// a write, a rename or a sync. It shows that what packages of the updater keep
// on disk is old or new, never a mixture.
package powercut

import (
	"errors"
	"io/fs"
	"maps"
)

// Err is what every call of a Folder returns once its power is gone.
var Err = errors.New("the power is gone")

// Folder is a durable.Folder in memory. After a number of steps its power goes:
// the step under way is done by half, and all later ones fail. What a rename
// or a removal did becomes certain with the next sync; without one, Restore
// leaves the old or the new, as the test wants. It is not for several
// goroutines.
type Folder struct {
	// Steps left until the power goes; below zero: it stays.
	Steps int
	// Torn is how much of the write under way is in the file when the power
	// goes.
	Torn Torn

	files   map[string][]byte // as the running system sees them
	durable map[string][]byte // as they are after a power cut
}

// Torn says what a write leaves that a power cut interrupts: nothing, the
// first half, or all of it.
type Torn int

const (
	TornEmpty Torn = iota
	TornHalf  Torn = iota
	TornWhole Torn = iota
)

// New returns an empty folder whose power stays.
func New() *Folder {
	return &Folder{Steps: -1, files: map[string][]byte{}, durable: map[string][]byte{}}
}

// Restore gives the power back. What was not synced is lost, or, with kept,
// has reached the disk by chance.
func (c *Folder) Restore(kept bool) {
	if kept {
		c.durable = maps.Clone(c.files)
	}
	c.files = maps.Clone(c.durable)
	c.Steps = -1
}

// Off tells whether the power is gone.
func (c *Folder) Off() bool { return c.Steps == 0 }

// step counts one step down and tells whether it is cut.
func (c *Folder) step() (dead, last bool) {
	switch {
	case c.Steps < 0:
		return false, false
	case c.Steps == 0:
		return true, false
	}
	c.Steps--
	return false, c.Steps == 0
}

// Read implements durable.Folder.
func (c *Folder) Read(name string) ([]byte, error) {
	if c.Steps == 0 {
		return nil, Err
	}
	b, ok := c.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return append([]byte{}, b...), nil
}

// Write implements durable.Folder.
func (c *Folder) Write(name string, data []byte) error {
	dead, last := c.step()
	if dead {
		return Err
	}
	data = append([]byte{}, data...)
	if last {
		switch c.Torn {
		case TornEmpty:
			data = data[:0]
		case TornHalf:
			data = data[:len(data)/2]
		case TornWhole:
		}
	}
	c.files[name] = data
	c.durable[name] = data
	if last {
		return Err
	}
	return nil
}

// Rename implements durable.Folder.
func (c *Folder) Rename(from, to string) error {
	dead, last := c.step()
	if dead {
		return Err
	}
	b, ok := c.files[from]
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	delete(c.files, from)
	c.files[to] = b
	if last {
		return Err
	}
	return nil
}

// Remove implements durable.Folder.
func (c *Folder) Remove(name string) error {
	dead, last := c.step()
	if dead {
		return Err
	}
	delete(c.files, name)
	if last {
		return Err
	}
	return nil
}

// Sync implements durable.Folder.
func (c *Folder) Sync() error {
	dead, last := c.step()
	if dead {
		return Err
	}
	c.durable = maps.Clone(c.files)
	if last {
		return Err
	}
	return nil
}
