package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Pacer slows a download down.
type Pacer interface {
	// Wait returns when n more bytes may be read, or with ctx's error.
	Wait(ctx context.Context, n int) error
}

const (
	chunk = 16 << 10 // bytes waited for, and read, at a time
	// flushEvery is how much is left to the kernel before it has to reach the
	// disk: a long queue of dirty pages would hold up others' writes.
	flushEvery = 4 << 20
)

// Download is one bundle on its way to the disk.
type Download struct {
	From   Opener
	What   Release
	Folder string // on the data partition; the file is Path's
	Pace   Pacer  // nil: as fast as it comes
	// Progress is told after each piece how many bytes are there. nil: nobody.
	Progress func(done int64)
	// Stalled is how long nothing may come before it is given up. 0: 60 s.
	Stalled time.Duration
}

// Path is where the bundle of a release lies once it is there whole.
func Path(folder string, r Release) string { return filepath.Join(folder, r.SHA256+".raucb") }

// PartPath is where it grows.
func PartPath(folder string, r Release) string { return filepath.Join(folder, r.SHA256+".part") }

// Run downloads what is missing, checks length and hash, and returns the
// bundle's path. When it fails, what has come stays for the next try unless it
// is wrong.
func (d *Download) Run(ctx context.Context) (string, error) {
	final, part := Path(d.Folder, d.What), PartPath(d.Folder, d.What)
	if err := Verify(ctx, final, d.What); err == nil {
		return final, nil
	} else if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err := os.MkdirAll(d.Folder, 0o755); err != nil {
		return "", diskError(err)
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return "", diskError(err)
	}
	defer f.Close()
	sum, have, err := resume(ctx, f, d.What.Length)
	if err != nil {
		return "", diskError(err)
	}
	if have < d.What.Length {
		if err := d.fill(ctx, f, sum, have); err != nil {
			return "", err
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != d.What.SHA256 {
		os.Remove(part)
		return "", refuse(Altered, "it will be downloaded again; if that fails too, "+askHome,
			"%s is not the bundle that was signed: its SHA-256 is %s, not %s", d.What.Name, got, d.What.SHA256)
	}
	if err := errors.Join(f.Sync(), os.Rename(part, final), syncFolder(d.Folder)); err != nil {
		return "", diskError(err)
	}
	return final, nil
}

// resume hashes what is there of a file.
func resume(ctx context.Context, f *os.File, length int64) (hash.Hash, int64, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	sum := sha256.New()
	if info.Size() > length { // of another make
		return sum, 0, f.Truncate(0)
	}
	n, err := io.Copy(sum, &ctxReader{ctx, f})
	return sum, n, err
}

// fill appends what is missing.
func (d *Download) fill(ctx context.Context, f *os.File, sum hash.Hash, have int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, start, err := d.From.Open(ctx, d.What.File(), have)
	if errors.Is(err, errRange) {
		have = 0
		sum.Reset()
		body, start, err = d.From.Open(ctx, d.What.File(), 0)
	}
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			return unreachable(d.What.File(), err)
		}
		return incomplete(ctx, d.What, have, err)
	}
	defer body.Close()
	if start != have { // a server without ranges begins again
		sum.Reset()
		have = 0
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return diskError(err)
	}
	if err := f.Truncate(have); err != nil {
		return diskError(err)
	}
	stalled := d.Stalled
	if stalled == 0 {
		stalled = time.Minute
	}
	watch := time.AfterFunc(stalled, func() { cancel(fmt.Errorf("nothing has come for %v", stalled)) })
	defer watch.Stop()
	buf := make([]byte, chunk)
	for flushed := have; have < d.What.Length; {
		n := int(min(chunk, d.What.Length-have))
		if d.Pace != nil {
			watch.Stop() // who waits on purpose has not stalled
			if err := d.Pace.Wait(ctx, n); err != nil {
				return incomplete(ctx, d.What, have, err)
			}
		}
		watch.Reset(stalled)
		// The whole piece that was waited for: a read alone returns as little as
		// one segment, and a pace is not kept that way.
		n, err = io.ReadFull(body, buf[:n])
		if n > 0 {
			if _, err := f.Write(buf[:n]); err != nil {
				return diskError(err)
			}
			sum.Write(buf[:n])
			have += int64(n)
			if d.Progress != nil {
				d.Progress(have)
			}
		}
		if have-flushed >= flushEvery {
			flushed = have
			if err := f.Sync(); err != nil {
				return diskError(err)
			}
		}
		if err != nil && have < d.What.Length {
			// What has come must be there after a power cut, too.
			if e := f.Sync(); e != nil {
				return diskError(e)
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = errors.New("the connection was closed")
			}
			return incomplete(ctx, d.What, have, err)
		}
	}
	// Longer than it should be is another file. One more byte would tell, but
	// the hash does, too.
	return nil
}

func incomplete(ctx context.Context, r Release, have int64, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &Refusal{Code: Incomplete, Text: fmt.Sprintf("%s: %d of %d bytes are there: %v", r.Name, have, r.Length, err), Remedy: "it goes on from there later", Err: err}
}

// Verify tells whether the file at path is a release's bundle: nil, fs.ErrNotExist,
// a *Refusal, or ctx's error.
func Verify(ctx context.Context, path string, r Release) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != r.Length {
		return refuse(Altered, "", "%s has %d bytes, and the signed bundle %d", filepath.Base(path), info.Size(), r.Length)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, &ctxReader{ctx, f}); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != r.SHA256 {
		return refuse(Altered, "", "%s has the SHA-256 %s, and the signed bundle %s", filepath.Base(path), got, r.SHA256)
	}
	return nil
}

// ctxReader reads until ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

func syncFolder(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// diskError puts the common errors of disks into words.
func diskError(err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &Refusal{Code: NoSpace, Text: "the data partition is full", Remedy: "make room; the download goes on afterwards", Err: err}
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EIO):
		return &Refusal{Code: NoSpace, Text: fmt.Sprintf("the data partition cannot be written: %v", err), Remedy: "check the disk", Err: err}
	}
	return err
}
