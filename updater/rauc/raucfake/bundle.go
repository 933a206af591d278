package raucfake

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"quartet/updater/rauc"
)

// key signs the bundles of tests; the boxes here trust it.
var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// signedData is as much of a CMS SignedData as Bundle writes; the last field
// stands for certificates and signers.
type signedData struct {
	Version int
	Digests []asn1.RawValue `asn1:"set"`
	Encap   struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"explicit,tag:0"`
	}
	Signature []byte
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content signedData `asn1:"explicit,tag:0"`
}

// Bundle makes a bundle in the verity format's shape: the payload, a CMS with
// the manifest, the length of that. The signature is Ed25519's with a key of
// its own, so only boxes of this package take it.
func Bundle(compatible, version string, payload []byte) []byte {
	for len(payload)%4096 != 0 {
		payload = append(payload, 0)
	}
	manifest := fmt.Sprintf("[update]\ncompatible=%s\nversion=%s\n\n[bundle]\nformat=verity\nverity-hash=%x\nverity-size=%d\n\n[image.rootfs]\nfilename=rootfs.img\n",
		compatible, version, sha256.Sum256(payload), len(payload))
	c := contentInfo{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}}
	c.Content.Version = 3
	c.Content.Encap.Type = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	c.Content.Encap.Content = []byte(manifest)
	c.Content.Signature = ed25519.Sign(key, []byte(manifest))
	cms, err := asn1.Marshal(c)
	if err != nil {
		panic(err)
	}
	out := append(bytes.Clone(payload), cms...)
	return binary.BigEndian.AppendUint64(out, uint64(len(cms)))
}

// check does what RAUC's check_bundle does.
func check(path string) (rauc.Manifest, error) {
	m, err := rauc.ReadManifest(path)
	if err != nil {
		if os.IsNotExist(err) {
			return m, fmt.Errorf("failed to open bundle: %w", err)
		}
		return m, fmt.Errorf("failed to parse signature: %w", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	size := int(binary.BigEndian.Uint64(b[len(b)-8:]))
	payload, cms := b[:len(b)-8-size], b[len(b)-8-size:len(b)-8]
	var c contentInfo
	if _, err := asn1.Unmarshal(cms, &c); err != nil {
		return m, errors.New("failed to parse signature")
	}
	manifest := c.Content.Encap.Content
	if !ed25519.Verify(key.Public().(ed25519.PublicKey), manifest, c.Content.Signature) {
		return m, errors.New("signature verification failed: Verify error: self-signed certificate")
	}
	if !strings.Contains(string(manifest), fmt.Sprintf("verity-hash=%x\n", sha256.Sum256(payload))) {
		return m, errors.New("bundle payload is damaged: verity hash mismatch")
	}
	return m, nil
}
