package trust

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// An archive carries an update to a site without a way out: metadata and one
// bundle in one file.
//
//	quartet-update 1 HASH\n         SHA-256 of the next line, its \n included
//	{"parts":[{"name":…,"length":…,"sha256":…},…]}\n
//	the parts, one behind the other: metadata first, the bundle last
//
// The hashes there find damage by carelessness. What may be believed is
// decided by the metadata's signatures, as with any other source.
const archiveMagic = "quartet-update 1 "

const (
	maxHead  = 64 << 10
	maxParts = maxRotations + 4
)

// Part is one file of an archive.
type Part struct {
	Name   string `json:"name"`
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
}

type archiveHead struct {
	Parts []Part `json:"parts"`
}

// Archive is an update in one file, being read. It is a Source of its
// metadata.
type Archive struct {
	Bundle Part // the last part
	files  map[string][]byte
	body   *bufio.Reader // stands at the bundle
}

// ReadArchive reads an archive up to the bundle, which Save takes from r.
func ReadArchive(r io.Reader) (*Archive, error) {
	bad := func(format string, args ...any) (*Archive, error) {
		return nil, refuse(Malformed, "make it with quartetctl repo pack, and copy it as it is", "the file is no update: "+format, args...)
	}
	a := &Archive{files: map[string][]byte{}, body: bufio.NewReaderSize(r, maxHead)}
	first, err := a.body.ReadSlice('\n')
	if err != nil || len(first) != len(archiveMagic)+2*sha256.Size+1 || !bytes.HasPrefix(first, []byte(archiveMagic)) {
		return bad("it does not begin with %q", archiveMagic)
	}
	want := string(first[len(archiveMagic) : len(first)-1])
	line, err := a.body.ReadSlice('\n')
	if err != nil {
		return bad("its list of parts is missing or longer than %d bytes", maxHead)
	}
	if sum := sha256.Sum256(line); hex.EncodeToString(sum[:]) != want {
		return nil, refuse(Altered, "copy it again", "the file is damaged: its list of parts has another hash")
	}
	var head archiveHead
	if err := strict(line, &head); err != nil {
		return bad("its list of parts cannot be read: %v", err)
	}
	if n := len(head.Parts); n < 2 || n > maxParts {
		return bad("it has %d parts", n)
	}
	last := len(head.Parts) - 1
	for _, p := range head.Parts[:last] {
		switch {
		case !strings.HasPrefix(p.Name, "metadata/") || len(p.Name) > 100:
			return bad("%q is no metadata", clip(p.Name))
		case p.Length < 0 || p.Length > MaxTargets:
			return bad("%s has %d bytes", clip(p.Name), p.Length)
		case a.files[p.Name] != nil:
			return bad("%s is there twice", clip(p.Name))
		}
		b, err := readLimited(io.LimitReader(a.body, p.Length), p.Name, p.Length)
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(b); int64(len(b)) != p.Length || hex.EncodeToString(sum[:]) != p.SHA256 {
			return nil, refuse(Altered, "copy it again", "the file is damaged: %s has another hash or is cut short", clip(p.Name))
		}
		a.files[p.Name] = b
	}
	a.Bundle = head.Parts[last]
	if !strings.HasPrefix(a.Bundle.Name, "targets/") || a.Bundle.Length <= 0 || a.Bundle.Length > maxBundle {
		return bad("its last part is no bundle")
	}
	return a, nil
}

// Get implements Source.
func (a *Archive) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	b, ok := a.files[name]
	switch {
	case !ok:
		return nil, ErrNotFound
	case int64(len(b)) > limit:
		return nil, refuse(Malformed, askHome, "%s has more than the %d bytes that are allowed", name, limit)
	}
	return b, nil
}

// Find returns the release that the archive's bundle is.
func (a *Archive) Find(r *Repository) (Release, error) {
	for _, rel := range r.Releases {
		if rel.File() == a.Bundle.Name {
			if rel.Length != a.Bundle.Length || rel.SHA256 != a.Bundle.SHA256 {
				return rel, refuse(Altered, "copy it again", "the file's bundle is not the one that was signed")
			}
			return rel, nil
		}
	}
	for _, b := range r.Broken {
		if strings.HasSuffix(a.Bundle.Name, "."+b.Name) {
			return Release{}, refuse(b.Code, askHome, "%s", b.Text)
		}
	}
	return Release{}, refuse(Missing, "make the file again with quartetctl repo pack", "the repository's metadata does not know the bundle of this file, or does not any more")
}

// Save takes the bundle from the archive, checks it against the release and
// that nothing follows it, and returns its path in the folder.
func (a *Archive) Save(ctx context.Context, folder string, r Release) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", diskError(err)
	}
	temporary := PartPath(folder, r) + ".upload"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "", diskError(err)
	}
	defer os.Remove(temporary)
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), &ctxReader{ctx, io.LimitReader(a.body, r.Length)})
	if err != nil {
		return "", diskError(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != r.Length || got != r.SHA256 {
		return "", refuse(Altered, "copy it again", "the bundle in the file is damaged: %d of %d bytes, SHA-256 %s", n, r.Length, got)
	}
	if _, err := a.body.ReadByte(); !errors.Is(err, io.EOF) {
		return "", refuse(Altered, "copy it again", "something follows the bundle in the file")
	}
	final := Path(folder, r)
	if err := errors.Join(f.Sync(), os.Rename(temporary, final), syncFolder(folder)); err != nil {
		return "", diskError(err)
	}
	return final, nil
}

// WriteArchive writes an archive. Contents are the parts' in order, the bundle
// last; each is read once for its hash and once to be written.
func WriteArchive(w io.Writer, names []string, open func(name string) (io.ReadCloser, error)) error {
	var head archiveHead
	for _, name := range names {
		f, err := open(name)
		if err != nil {
			return err
		}
		sum := sha256.New()
		n, err := io.Copy(sum, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		head.Parts = append(head.Parts, Part{Name: name, Length: n, SHA256: hex.EncodeToString(sum.Sum(nil))})
	}
	line, err := json.Marshal(head)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if len(line) > maxHead || len(names) > maxParts {
		return fmt.Errorf("%d parts are too many for one file", len(names))
	}
	sum := sha256.Sum256(line)
	if _, err := io.WriteString(w, archiveMagic+hex.EncodeToString(sum[:])+"\n"+string(line)); err != nil {
		return err
	}
	for i, name := range names {
		f, err := open(name)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, f)
		if err == nil && n != head.Parts[i].Length {
			err = fmt.Errorf("%s changed while it was packed", name)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
