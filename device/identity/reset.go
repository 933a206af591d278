package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"quartet/device/durable"
	"quartet/device/seal"
)

// resetMark is the file that says that a factory reset has begun.
const resetMark = "factory-reset.begun"

// networkMark is the file that says that the network's settings are still to be
// reset. It is not resetMark, for which everything is wiped once more: whoever
// keeps the network may be away for long, and the box is claimed meanwhile.
const networkMark = "network-reset.due"

// ResetConfig says what a factory reset takes.
type ResetConfig struct {
	// Dir is the management's state folder. It holds the mark of a reset that has
	// begun.
	Dir string
	// Key is the file of the sealing key.
	Key string
	// Folders are emptied, Dir among them in any case; they stay themselves. One
	// that is not there is no error.
	Folders []string
	// Keep are files that stay: the provision file.
	Keep []string
	// Network is the folder of the network's settings, which another process keeps
	// and alone can reset. If it is there, NetworkResetDue says so from now on, past
	// a power cut as well, until NetworkResetDone. "": there is none.
	Network string
}

// resetTries is how often a folder is emptied before it is given up.
const resetTries = 5

// FactoryReset forgets all that the box was told and all that it made up: the
// sealing key first, with which every secret on disk becomes noise, then every
// file in the folders, overwritten and removed. If the power goes meanwhile,
// ResetBegun says so at the next start, and it is done again to the end. The
// error names all that could not be removed; the mark stays then.
//
// What a process has in memory stays until it ends: restart the box after it.
func FactoryReset(c ResetConfig) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("factory reset: %w", err)
	}
	mark := filepath.Join(c.Dir, resetMark)
	// On a disk that takes nothing the keys go all the same.
	errs := []error{setMark(c.Dir, resetMark), seal.Destroy(c.Key)}
	keep := []string{mark, filepath.Join(c.Dir, networkMark)}
	if KeepsNetwork(c.Network) {
		errs = append(errs, setMark(c.Dir, networkMark))
		keep = append(keep, filepath.Clean(c.Network))
	}
	for _, k := range c.Keep {
		keep = append(keep, filepath.Clean(k))
	}
	for _, folder := range append([]string{c.Dir}, c.Folders...) {
		var left []error
		for range resetTries { // parts that still run may write into it meanwhile
			if left = empty(filepath.Clean(folder), keep); len(left) == 0 {
				break
			}
		}
		errs = append(errs, left...)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("factory reset: %w", err)
	}
	if err := errors.Join(os.Remove(mark), durable.SyncFolder(c.Dir)); err != nil {
		return fmt.Errorf("factory reset: %w", err)
	}
	return nil
}

// setMark makes a mark, durably.
func setMark(dir, name string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close(), durable.SyncFolder(dir))
	}
	return err
}

// KeepsNetwork tells whether the folder of the network's settings is there: on a
// machine without it nobody keeps any. It need not be readable.
func KeepsNetwork(folder string) bool {
	if folder == "" {
		return false
	}
	_, err := os.Lstat(folder)
	return !errors.Is(err, fs.ErrNotExist)
}

// NetworkResetDue tells whether a factory reset has yet to reset the network.
func NetworkResetDue(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, networkMark))
	return err == nil
}

// NetworkResetDone says that the network has been reset.
func NetworkResetDone(dir string) error {
	if err := os.Remove(filepath.Join(dir, networkMark)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("factory reset: %w", err)
	}
	return durable.SyncFolder(dir)
}

// ResetBegun tells whether a factory reset was cut short: call FactoryReset
// before anything else then.
func ResetBegun(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, resetMark))
	return err == nil
}

// empty wipes all that a folder holds. It goes on after an error.
func empty(folder string, keep []string) (errs []error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []error{err}
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		switch {
		case slices.Contains(keep, path):
		case e.IsDir() && e.Name() == "lost+found":
			// The file system's own, at the root of a partition, and root's alone.
		case e.IsDir():
			errs = append(errs, empty(path, keep)...)
			if err := os.Remove(path); err != nil && !holdsKept(path, keep) {
				errs = append(errs, err)
			}
		default:
			if err := durable.Wipe(path); err != nil {
				errs = append(errs, err)
			}
		}
	}
	if err := durable.SyncFolder(folder); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// holdsKept tells whether a folder holds a file that stays.
func holdsKept(folder string, keep []string) bool {
	return slices.ContainsFunc(keep, func(k string) bool {
		rel, err := filepath.Rel(folder, k)
		return err == nil && filepath.IsLocal(rel)
	})
}
