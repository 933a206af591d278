// Package durable writes small files so that a power cut at any moment leaves
// the old or the new content, never a mixture: the state that the box's
// management and its updater keep (users, identity, the clock floor, trust in a
// repository, a trial, leases).
//
//	Save      Replace, unless that is what the file holds already
//	Replace   temp ─ fsync ─ rename ─ fsync of the folder ─ old content overwritten
//	Twin      the same twice, each with a checksum: what a flash cell loses in
//	          one copy is in the other
//
// The content that a rename takes out of a folder is overwritten with zeros
// once the new one is durable, so that what is gone is not simply lying in a
// free block. On flash that reaches the file system, not the cells: a secret
// must be sealed before it comes here (device/seal), and then the end of its
// key is its end.
//
// The package imports nothing else of Quartet.
package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// maxFile bounds what Read takes into memory, in bytes.
const maxFile = 16 << 20

// Folder is what this package needs of a place for files. Its methods may be
// called by several goroutines. Names have no slash.
type Folder interface {
	// Read returns a file's content; fs.ErrNotExist if there is none.
	Read(name string) ([]byte, error)
	// Write creates or replaces a file and makes its content durable, though not
	// its name.
	Write(name string, data []byte) error
	// Rename puts a file in the place of another, at once.
	Rename(from, to string) error
	// Remove overwrites a file and removes it; nothing happens if there is none.
	Remove(name string) error
	// Sync makes names durable, and then overwrites what renames replaced.
	Sync() error
}

// Replace makes data the content of a file. When it returns nil, that survives
// a power cut; when not, the file has the old content or the new one. A write
// that was cut short leaves name + ".new", which means nothing.
func Replace(f Folder, name string, data []byte) error {
	if err := f.Write(name+".new", data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Rename(name+".new", name); err != nil {
		return fmt.Errorf("put %s in its place: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("make %s durable: %w", name, err)
	}
	return nil
}

// Save is Replace for what may not have changed: a file that holds data already is
// not written again.
func Save(f Folder, name string, data []byte) error {
	if old, err := f.Read(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return Replace(f, name, data)
}

// Remove removes a file for good.
func Remove(f Folder, name string) error {
	if err := f.Remove(name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("make the removal of %s durable: %w", name, err)
	}
	return nil
}

// dir is a folder of the system.
type dir struct {
	path string

	mu       sync.Mutex
	replaced []*os.File // by renames since the last Sync
}

// Open returns a folder of the system, which it makes (mode 0700) if there is
// none. Files are written with mode 0600.
func Open(path string) (Folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return &dir{path: path}, nil
}

// At is a folder of the system as it is: it is not made, and need not be there.
func At(path string) Folder { return &dir{path: path} }

func (d *dir) file(name string) string { return filepath.Join(d.path, name) }

func (d *dir) Read(name string) ([]byte, error) {
	st, err := os.Stat(d.file(name))
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d that it may have", d.file(name), st.Size(), maxFile)
	}
	return os.ReadFile(d.file(name))
}

func (d *dir) Write(name string, data []byte) error {
	f, err := os.OpenFile(d.file(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (d *dir) Rename(from, to string) error {
	// The old content keeps a handle: it is overwritten when it can no longer
	// come back, which is after the folder's sync.
	old, err := os.OpenFile(d.file(to), os.O_WRONLY, 0)
	if err != nil {
		old = nil
	}
	if err := os.Rename(d.file(from), d.file(to)); err != nil {
		if old != nil {
			old.Close()
		}
		return err
	}
	if old != nil {
		d.mu.Lock()
		d.replaced = append(d.replaced, old)
		d.mu.Unlock()
	}
	return nil
}

func (d *dir) Remove(name string) error { return Wipe(d.file(name)) }

func (d *dir) Sync() error {
	d.mu.Lock()
	old := d.replaced
	d.replaced = nil
	d.mu.Unlock()
	err := SyncFolder(d.path)
	for _, f := range old {
		if err == nil {
			// As well as it goes: the file has no name any more, and the new content
			// is safe whatever happens here.
			_ = overwrite(f)
		}
		f.Close()
	}
	return err
}

// SyncFolder makes the names in a folder durable.
func SyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Wipe overwrites a file with zeros, makes that durable, and removes it. A file
// that is not there is no error; a symbolic link is removed and not followed.
func Wipe(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			err = errors.Join(overwrite(f), f.Close())
		}
		if err != nil { // removed all the same: a name less is better than none
			return errors.Join(err, os.Remove(path))
		}
	}
	return os.Remove(path)
}

// overwrite writes zeros over all of a file and makes them durable.
func overwrite(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	zeros := make([]byte, min(st.Size(), 64<<10))
	for at := int64(0); at < st.Size(); {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), st.Size()-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}
