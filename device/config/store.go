package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Store keeps one document in a folder so that a power cut at any moment
// leaves the old or the new one, never a mixture, and a copy of the last good
// one besides.
//
// The files of a box document of schema version 1 are
//
//	box.v1.json           the document
//	box.v1.json.previous  the one before
//	box.v1.json.damaged   what Load found broken and replaced
//	box.v1.json.new       a write that was cut short; without meaning
//
// The schema version is part of the name: a software version on trial writes
// only its own file, and after a rollback the older one finds what it
// understands. The files hold secrets, sealed ones or plain ones as their writer
// likes; sealed ones are not opened here. They have mode 0640: management writes
// them, and the media plane reads them as another user of the same group. A Store may be used
// by several goroutines, but only by one process.
type Store struct {
	file  string
	check func([]byte) error
	fs    filesystem
	mu    sync.Mutex
}

// filesystem is what Store needs of a folder; tests cut its power.
type filesystem interface {
	read(name string) ([]byte, error)
	write(name string, data []byte) error // creates or replaces, and fsyncs
	rename(from, to string) error
	remove(name string) error // no error if there is none
	sync() error              // makes renames durable
}

// NewStore returns the store of a document in a folder, which it makes (mode
// 0750) if there is none.
func NewStore(folder string, k Kind) (*Store, error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, fmt.Errorf("config: make the folder of the documents: %w", err)
	}
	return newStore(osFolder(folder), k), nil
}

func newStore(f filesystem, k Kind) *Store {
	return &Store{file: fmt.Sprintf("%s.v%d.json", k, SchemaVersion), fs: f, check: func(doc []byte) error {
		if k == KindGateway {
			_, _, err := OpenGateway(doc, StandIn)
			return err
		}
		_, _, err := OpenBox(doc, StandIn)
		return err
	}}
}

// Save checks a document and makes it the current one; the current one becomes
// the previous. When it returns nil the document survives a power cut. A
// document equal to the current one is not written again.
func (s *Store) Save(doc []byte) error {
	if err := s.check(doc); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	current, err := s.fs.read(s.file)
	if err == nil && bytes.Equal(current, doc) {
		return nil
	}
	if err == nil && s.check(current) == nil {
		// A copy and not a rename, so that there is a current one at any moment.
		if err := s.replace(s.file+".previous", current); err != nil {
			return err
		}
	}
	return s.replace(s.file, doc)
}

// Try is Save with a way back: undo makes current and previous what they were
// before, for a document that turned out to be of no use.
func (s *Store) Try(doc []byte) (undo func() error, err error) {
	s.mu.Lock()
	current, err := s.fs.read(s.file)
	before, perr := s.fs.read(s.file + ".previous")
	s.mu.Unlock()
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return nil, fmt.Errorf("config: read %s: %w", s.file, err)
	}
	if err := s.Save(doc); err != nil {
		return nil, err
	}
	return func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if fresh {
			return errors.Join(s.fs.remove(s.file), s.fs.sync())
		}
		if err := s.replace(s.file, current); err != nil {
			return err
		}
		if perr != nil {
			return errors.Join(s.fs.remove(s.file+".previous"), s.fs.sync())
		}
		return s.replace(s.file+".previous", before)
	}, nil
}

// Previous returns the document before the current one; fs.ErrNotExist if there
// is none.
func (s *Store) Previous() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fs.read(s.file + ".previous")
}

// Reword puts the document before the current one down in other words: the same
// one, with its secrets sealed.
func (s *Store) Reword(doc []byte) error {
	if err := s.check(doc); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replace(s.file+".previous", doc)
}

// Wipe removes the document and all copies of it.
func (s *Store) Wipe() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, suffix := range []string{"", ".previous", ".damaged", ".new", ".previous.new"} {
		errs = append(errs, s.fs.remove(s.file+suffix))
	}
	return errors.Join(append(errs, s.fs.sync())...)
}

// replace writes a file beside its place, and moves it there.
func (s *Store) replace(name string, data []byte) error {
	if err := s.fs.write(name+".new", data); err != nil {
		return fmt.Errorf("config: write %s: %w", name, err)
	}
	if err := s.fs.rename(name+".new", name); err != nil {
		return fmt.Errorf("config: put %s in its place: %w", name, err)
	}
	if err := s.fs.sync(); err != nil {
		return fmt.Errorf("config: make %s durable: %w", name, err)
	}
	return nil
}

// Load returns the current document. If that is missing or does not pass the
// check while the previous one does, it returns the previous one, puts it in
// the current one's place, and says so in problem, which is not nil then;
// problem also tells if the repair could not be written (the document is valid
// in any case). err is fs.ErrNotExist if there is no document at all.
func (s *Store) Load() (doc []byte, problem, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, err := s.fs.read(s.file)
	if err == nil {
		if err = s.check(current); err == nil {
			return current, nil, nil
		}
	}
	missing := errors.Is(err, fs.ErrNotExist)
	previous, perr := s.fs.read(s.file + ".previous")
	if perr == nil {
		perr = s.check(previous)
	}
	if perr != nil {
		if missing && errors.Is(perr, fs.ErrNotExist) {
			return nil, nil, fs.ErrNotExist
		}
		return nil, nil, fmt.Errorf("config: %s is unusable and so is the one before: %w", s.file, err)
	}
	problem = fmt.Errorf("config: %s was unusable, the one before is used instead: %w", s.file, err)
	if !missing {
		if err := s.fs.rename(s.file, s.file+".damaged"); err != nil {
			return previous, errors.Join(problem, err), nil
		}
	}
	if err := s.replace(s.file, previous); err != nil {
		return previous, errors.Join(problem, err), nil
	}
	return previous, problem, nil
}

// osFolder is a folder of the system.
type osFolder string

func (d osFolder) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), name))
}

func (d osFolder) write(name string, data []byte) error {
	f, err := os.OpenFile(filepath.Join(string(d), name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (d osFolder) rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d osFolder) remove(name string) error {
	if err := os.Remove(filepath.Join(string(d), name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d osFolder) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
