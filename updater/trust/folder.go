package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is a repository in a folder of the system: a mounted disk, or the one
// that quartetctl repo writes.
type Folder string

func (f Folder) open(name string) (*os.File, error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("%q is no name of a file", clip(name))
	}
	file, err := os.Open(filepath.Join(string(f), filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	return file, err
}

// Get implements Source.
func (f Folder) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readLimited(file, name, limit)
}

// Open implements Opener.
func (f Folder) Open(_ context.Context, name string, offset int64) (io.ReadCloser, int64, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, 0, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, offset, nil
}
