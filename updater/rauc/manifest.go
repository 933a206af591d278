package rauc

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Manifest is what a bundle says of itself.
type Manifest struct {
	Compatible string
	Version    string
	Format     string // verity, plain
	Hash       string // SHA-256 of its text, as RAUC reckons it
}

// maxSignature is how long the end of a bundle may be, which has the manifest:
// RAUC's own default.
const maxSignature = 64 << 10

// ReadManifest reads the manifest of a bundle in the verity format, without
// looking whether its signature is good. Bundles in the plain format have it
// inside their squashfs, and encrypted ones hide it: for those it is an error.
func ReadManifest(path string) (Manifest, error) {
	fail := func(format string, args ...any) (Manifest, error) {
		return Manifest{}, fmt.Errorf("%s is no RAUC bundle: "+format, append([]any{path}, args...)...)
	}
	f, err := os.Open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Manifest{}, err
	}
	var tail [8]byte
	if info.Size() < int64(len(tail)) {
		return fail("it has %d bytes", info.Size())
	}
	if _, err := f.ReadAt(tail[:], info.Size()-int64(len(tail))); err != nil {
		return Manifest{}, err
	}
	size := binary.BigEndian.Uint64(tail[:])
	if size == 0 || size > maxSignature || int64(size) > info.Size()-int64(len(tail)) {
		return fail("its end names a signature of %d bytes", size)
	}
	cms := make([]byte, size)
	if _, err := f.ReadAt(cms, info.Size()-int64(len(tail))-int64(size)); err != nil {
		return Manifest{}, err
	}
	text, err := content(cms)
	if err != nil {
		return fail("%v", err)
	}
	m, err := ParseManifest(text)
	if err != nil {
		return fail("%v", err)
	}
	return m, nil
}

var (
	oidSigned = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidData   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
)

// content takes the text out of a CMS SignedData (RFC 5652, section 5).
func content(cms []byte) ([]byte, error) {
	var outer struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	if _, err := asn1.Unmarshal(cms, &outer); err != nil {
		return nil, fmt.Errorf("its signature is no CMS: %w", err)
	}
	if !outer.Type.Equal(oidSigned) {
		return nil, errors.New("its signature is hidden: it is encrypted; say version and board yourself")
	}
	var signed struct {
		Version int
		Digests asn1.RawValue
		Encap   struct {
			Type    asn1.ObjectIdentifier
			Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
		}
	}
	// What follows (certificates, signers) is of no interest here.
	inner := outer.Content.Bytes
	if outer.Content.Class != asn1.ClassUniversal {
		if _, err := asn1.Unmarshal(inner, &outer.Content); err != nil {
			return nil, fmt.Errorf("its signature is no CMS: %w", err)
		}
		inner = outer.Content.Bytes
	}
	rest, err := asn1.Unmarshal(inner, &signed.Version)
	if err == nil {
		rest, err = asn1.Unmarshal(rest, &signed.Digests)
	}
	if err == nil {
		_, err = asn1.Unmarshal(rest, &signed.Encap)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("its signature is no CMS: %w", err)
	case !signed.Encap.Type.Equal(oidData):
		return nil, errors.New("its signature is over something else than data")
	case len(signed.Encap.Content.FullBytes) == 0:
		return nil, errors.New("its manifest is not in the signature: it is in the plain format; make it with format=verity")
	}
	v := signed.Encap.Content
	for v.Class == asn1.ClassContextSpecific {
		if _, err := asn1.Unmarshal(v.Bytes, &v); err != nil {
			return nil, fmt.Errorf("its manifest cannot be read: %w", err)
		}
	}
	if v.Tag != asn1.TagOctetString || v.IsCompound {
		return nil, errors.New("its manifest is not one string of bytes")
	}
	return v.Bytes, nil
}

// ParseManifest reads the text of a manifest.
func ParseManifest(b []byte) (Manifest, error) {
	sum := sha256.Sum256(b)
	m := Manifest{Hash: hex.EncodeToString(sum[:]), Format: "plain"}
	group := ""
	lines := bufio.NewScanner(io.LimitReader(bytes.NewReader(b), maxSignature))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			group, _, _ = strings.Cut(name, "]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		switch group + "." + strings.TrimSpace(key) {
		case "update.compatible":
			m.Compatible = value
		case "update.version":
			m.Version = value
		case "bundle.format":
			m.Format = value
		}
	}
	if err := lines.Err(); err != nil {
		return Manifest{}, fmt.Errorf("its manifest cannot be read: %w", err)
	}
	if m.Compatible == "" || m.Version == "" {
		return Manifest{}, errors.New("its manifest names no compatible system or no version")
	}
	return m, nil
}
