package spool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// FS is one flat folder. Folder is the real one; tests have others, which fail
// and lose power.
type FS interface {
	// List returns the files, in any order.
	List() ([]Info, error)
	// Create makes an empty file, in place of one of that name if there is one.
	Create(name string) (File, error)
	// Open opens a file to read.
	Open(name string) (Reader, error)
	// Truncate cuts a file off behind size bytes.
	Truncate(name string, size int64) error
	// Rename renames a file, in place of one of the new name; after a power cut
	// there is the old one or the new one.
	Rename(from, to string) error
	// Remove removes a file.
	Remove(name string) error
	// Sync makes creations, renames and removals durable.
	Sync() error
}

// Info is a file in a list.
type Info struct {
	Name string
	Size int64 // bytes
}

// File is a file being written, from its start to its end.
type File interface {
	io.Writer
	Sync() error // returns once what was written is durable
	Close() error
}

// Reader is a file being read.
type Reader interface {
	io.ReaderAt
	io.Closer
}

// Folder is a folder of the operating system's, made when it is first written
// to. Nobody but its owner and group may read it.
type Folder string

// List implements FS. A folder that does not exist is empty.
func (d Folder) List() ([]Info, error) {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	list := make([]Info, 0, len(entries))
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() {
			list = append(list, Info{e.Name(), fi.Size()})
		}
	}
	return list, err
}

// Create implements FS.
func (d Folder) Create(name string) (File, error) {
	if err := os.MkdirAll(string(d), 0o750); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(string(d), name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return nil, err // not a nil *os.File in an interface
	}
	return f, nil
}

// Open implements FS.
func (d Folder) Open(name string) (Reader, error) {
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Truncate implements FS.
func (d Folder) Truncate(name string, size int64) error {
	return os.Truncate(filepath.Join(string(d), name), size)
}

// Rename implements FS.
func (d Folder) Rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

// Remove implements FS.
func (d Folder) Remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

// Sync implements FS.
func (d Folder) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// WriteFile replaces a file so that a power cut leaves the old one or the new
// one, whole.
func WriteFile(fs FS, name string, data []byte) error {
	f, err := fs.Create(name + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fs.Rename(name+".new", name)
	}
	if err == nil {
		err = fs.Sync()
	}
	return err
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fs FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, 0, limit))
}
