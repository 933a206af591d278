package durable

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
)

// ErrDamaged is in the error of a Load that finds files and cannot trust any.
var ErrDamaged = errors.New("is damaged")

// Twin is a file that is kept twice, as name and name + ".copy", each with a
// checksum behind its content. It is for state without which the box would not
// let its owner in. A Twin may be used by one goroutine at a time.
type Twin struct {
	Folder Folder
	Name   string
}

// trailer is the line behind the content.
func trailer(data []byte) []byte {
	sum := sha256.Sum256(data)
	return []byte("\nsha256 " + hex.EncodeToString(sum[:]) + "\n")
}

// Save makes data the content of both files. When it returns nil, that
// survives a power cut; when not, Load returns the old content or the new one.
func (t Twin) Save(data []byte) error {
	sealed := append(bytes.Clone(data), trailer(data)...)
	if err := Replace(t.Folder, t.Name, sealed); err != nil {
		return err
	}
	return Replace(t.Folder, t.Name+".copy", sealed)
}

// Load returns the content. If one of the files is missing or damaged it makes
// that good again from the other; problem says so when it was the first one.
// err is fs.ErrNotExist if there is neither, and wraps ErrDamaged if none of
// them can be trusted.
func (t Twin) Load() (data []byte, problem, err error) {
	data, err = t.read(t.Name)
	second, err2 := t.read(t.Name + ".copy")
	switch {
	case err == nil && err2 == nil && bytes.Equal(data, second):
		return data, nil, nil
	case err == nil: // the copy is older: a Save was cut short
		if err := Replace(t.Folder, t.Name+".copy", append(bytes.Clone(data), trailer(data)...)); err != nil {
			problem = err
		}
		return data, problem, nil
	case err2 == nil:
		problem = fmt.Errorf("the copy is used instead: %w", err)
		return second, errors.Join(problem, Replace(t.Folder, t.Name, append(bytes.Clone(second), trailer(second)...))), nil
	case errors.Is(err, fs.ErrNotExist) && errors.Is(err2, fs.ErrNotExist):
		return nil, nil, fs.ErrNotExist
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, err2
	}
	return nil, nil, err
}

// read reads one of the files and checks it.
func (t Twin) read(name string) ([]byte, error) {
	b, err := t.Folder.Read(name)
	if err != nil {
		return nil, err
	}
	if at := len(b) - len(trailer(nil)); at >= 0 && bytes.Equal(b[at:], trailer(b[:at])) {
		return b[:at:at], nil
	}
	return nil, fmt.Errorf("%s %w", name, ErrDamaged)
}

// Destroy overwrites and removes both files. If it is cut short, Load returns
// the old content as a whole, or none.
func (t Twin) Destroy() error {
	// The copy first: as long as the first one is there, it counts.
	for _, name := range []string{t.Name + ".copy.new", t.Name + ".new", t.Name + ".copy", t.Name} {
		if err := t.Folder.Remove(name); err != nil {
			return err
		}
		if err := t.Folder.Sync(); err != nil {
			return err
		}
	}
	return nil
}
