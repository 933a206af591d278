package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// The files of a Store. The schema version is part of the names: a software
// version on trial writes only its own, and after a rollback the older one
// finds what it understands.
const (
	fileSettings = "network.v1.json"
	fileTrial    = "network.v1.trial.json"
	suffixBefore = ".previous"
	suffixBad    = ".damaged"
	suffixNew    = ".new" // a write that was cut short; without meaning
)

// Store keeps the confirmed settings and the trial, if there is one, so that a
// power cut or a kill at any moment leaves the old or the new of each. It is
// used by one goroutine at a time.
type Store struct{ fs filesystem }

// filesystem is what Store needs of a folder; tests cut its power.
type filesystem interface {
	read(name string) ([]byte, error)
	write(name string, data []byte) error // creates or replaces, and fsyncs
	rename(from, to string) error
	remove(name string) error // no error if there is none
	sync() error              // makes renames and removals durable
}

// trial is a change that is not confirmed yet.
type trial struct {
	Token    string        `json:"token"`
	Boot     string        `json:"boot"`        // the start of the machine it belongs to
	Deadline time.Duration `json:"deadline_ns"` // since that start
	Via      netip.Addr    `json:"via"`         // address of ours at which the request came; zero: not over a network
	Moved    bool          `json:"moved"`       // the interface of Via changes
	Changed  []string      `json:"changed"`     // names of interfaces; "*": all without an entry
	Document []byte        `json:"document"`    // the settings

	settings *Settings
}

// OpenStore returns the store in a folder, which it makes (mode 0700) if there
// is none.
func OpenStore(folder string) (*Store, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("network: make the folder of the settings: %w", err)
	}
	return &Store{fs: osFolder(folder)}, nil
}

// settings returns the confirmed settings: the current ones, else the ones
// before, else the defaults, with which a box can be reached by a cable. What
// was wrong is said in problem; there is always an answer.
func (s *Store) settings() (set *Settings, problem error) {
	read := func(name string) (*Settings, error) {
		b, err := s.fs.read(name)
		if err != nil {
			return nil, err
		}
		set, _, err := Parse(b)
		return set, err
	}
	set, err := read(fileSettings)
	if err == nil {
		return set, nil
	}
	missing := errors.Is(err, fs.ErrNotExist)
	before, berr := read(fileSettings + suffixBefore)
	switch {
	case berr == nil:
		problem = fmt.Errorf("network: %s was unusable, the settings before are used instead: %w", fileSettings, err)
		set = before
	case missing && errors.Is(berr, fs.ErrNotExist):
		return Default(), nil
	default:
		problem = fmt.Errorf("network: %s is unusable and so are the settings before; every port is set to DHCP: %w", fileSettings, err)
		set = Default()
	}
	if !missing { // kept for whoever wants to know; the next start finds the ones before
		if err := s.fs.rename(fileSettings, fileSettings+suffixBad); err != nil {
			problem = errors.Join(problem, err)
		}
	}
	return set, problem
}

// save makes settings the confirmed ones; they survive a power cut when it
// returns nil. The current ones become the ones before.
func (s *Store) save(set *Settings) error {
	doc := Encode(set)
	current, err := s.fs.read(fileSettings)
	if err == nil && bytes.Equal(current, doc) {
		return nil
	}
	if err == nil {
		if _, _, err := Parse(current); err == nil {
			// A copy and not a rename, so that there is a current one at any moment.
			if err := s.replace(fileSettings+suffixBefore, current); err != nil {
				return err
			}
		}
	}
	return s.replace(fileSettings, doc)
}

// trial returns the change under trial, nil if there is none. One that cannot
// be read counts as none: then the confirmed settings hold.
func (s *Store) trial() (*trial, error) {
	b, err := s.fs.read(fileTrial)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	t := &trial{}
	if err == nil {
		err = json.Unmarshal(b, t)
	}
	if err == nil {
		t.settings, _, err = Parse(t.Document)
	}
	if err != nil {
		return nil, fmt.Errorf("network: %s is unusable and counts as not there: %w", fileTrial, err)
	}
	return t, nil
}

// begin stores a trial durably.
func (s *Store) begin(t *trial) error {
	t.Document = Encode(t.settings)
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.replace(fileTrial, b)
}

// end removes the trial durably.
func (s *Store) end() error {
	if err := s.fs.remove(fileTrial); err != nil {
		return fmt.Errorf("network: remove %s: %w", fileTrial, err)
	}
	if err := s.fs.sync(); err != nil {
		return fmt.Errorf("network: make the end of the trial durable: %w", err)
	}
	return nil
}

// reset removes everything, the settings first: cut short, it leaves those
// before at worst, which are settings as well.
func (s *Store) reset() error {
	for _, name := range []string{fileSettings, fileSettings + suffixBefore, fileTrial, fileSettings + suffixBad, fileSettings + suffixNew, fileTrial + suffixNew} {
		if err := s.fs.remove(name); err != nil {
			return fmt.Errorf("network: remove %s: %w", name, err)
		}
	}
	if err := s.fs.sync(); err != nil {
		return fmt.Errorf("network: make the reset durable: %w", err)
	}
	return nil
}

// replace writes a file beside its place, and moves it there.
func (s *Store) replace(name string, data []byte) error {
	if err := s.fs.write(name+suffixNew, data); err != nil {
		return fmt.Errorf("network: write %s: %w", name, err)
	}
	if err := s.fs.rename(name+suffixNew, name); err != nil {
		return fmt.Errorf("network: put %s in its place: %w", name, err)
	}
	if err := s.fs.sync(); err != nil {
		return fmt.Errorf("network: make %s durable: %w", name, err)
	}
	return nil
}

// osFolder is a folder of the system.
type osFolder string

func (d osFolder) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), name))
}

func (d osFolder) write(name string, data []byte) error {
	f, err := os.OpenFile(filepath.Join(string(d), name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
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
	err := os.Remove(filepath.Join(string(d), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (d osFolder) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
