// Package durable keeps small documents so that a power cut at any moment
// leaves the old or the new one, never a mixture: it writes beside the place,
// makes that durable, moves it into place and makes the move durable.
//
// What each file holds, and whether it makes sense, is its caller's business.
// The file system is behind an interface, so that tests can cut its power at
// every single step.
package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is what is needed of a folder. Names have no slash.
type Folder interface {
	// Read returns the file; fs.ErrNotExist if there is none.
	Read(name string) ([]byte, error)
	// Write creates or replaces the file, and returns when its content survives
	// a power cut. Cut short, it leaves anything.
	Write(name string, data []byte) error
	// Rename moves a file over another in one step.
	Rename(from, to string) error
	// Remove removes a file; one that is not there is no error.
	Remove(name string) error
	// Sync returns when renames and removals survive a power cut.
	Sync() error
}

// maxFile bounds what Read takes in, so that a damaged file system cannot fill
// the memory.
const maxFile = 16 << 20

// Save makes data the content of a file. One equal to what is there is not
// written again.
func Save(f Folder, name string, data []byte) error {
	if old, err := f.Read(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
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

// Dir is a folder of the system. Its files have mode 0600.
type Dir string

// Open makes a folder (mode 0700) if there is none.
func Open(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("make the folder %s: %w", path, err)
	}
	return Dir(path), nil
}

// Path returns the path of a file in the folder.
func (d Dir) Path(name string) string { return filepath.Join(string(d), name) }

// Read implements Folder.
func (d Dir) Read(name string) ([]byte, error) {
	f, err := os.Open(d.Path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return b, err
}

// Write implements Folder.
func (d Dir) Write(name string, data []byte) error {
	f, err := os.OpenFile(d.Path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// Rename implements Folder.
func (d Dir) Rename(from, to string) error { return os.Rename(d.Path(from), d.Path(to)) }

// Remove implements Folder.
func (d Dir) Remove(name string) error {
	if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sync implements Folder.
func (d Dir) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
