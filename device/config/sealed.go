package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// sealedMark is what a sealed secret begins with, whatever its version. No
// passphrase and no key that a person writes does.
const sealedMark = "sealed:"

// sealedPattern is what a JSON Schema allows besides a field's own form.
const sealedPattern = `^sealed:v[0-9]+:[0-9A-Za-z_-]+$`

// Sealed tells whether the secret is a sealed one: text that only the key of
// the box it was sealed by opens.
func (s Secret) Sealed() bool { return strings.HasPrefix(string(s), sealedMark) }

// Unseal opens the sealed secret of a field (paths[2].passphrase). Its error
// continues a sentence about the secret: "was sealed under another key".
type Unseal func(path string, sealed Secret) (Secret, error)

// OpenBox is ParseBox for a document that may hold sealed secrets: unseal opens
// them, and what comes out is checked in their place. With a nil unseal, as
// with ParseBox, a sealed secret is an error.
func OpenBox(doc []byte, unseal Unseal) (*Box, Issues, error) { return parse[Box](doc, unseal) }

// OpenGateway is OpenBox for a gateway document.
func OpenGateway(doc []byte, unseal Unseal) (*Gateway, Issues, error) {
	return parse[Gateway](doc, unseal)
}

// StandIn is an Unseal without a key: in the place of a sealed secret it puts
// another one of the right form, different for each. All else of the document
// can be checked then. The result is neither to be run nor to be kept.
func StandIn(_ string, sealed Secret) (Secret, error) {
	sum := sha256.Sum256([]byte(sealed))
	return Secret(hex.EncodeToString(sum[:])), nil // 64 characters: a passphrase, and a key in hex
}

// SealedSecrets lists the fields of a valid document that are sealed. Check
// knows them by StandIn alone.
func SealedSecrets(doc []byte) (paths []string) {
	note := func(path string, sealed Secret) (Secret, error) {
		paths = append(paths, path)
		return StandIn(path, sealed)
	}
	if k, err := Detect(doc); err == nil && k == KindBox {
		_, _, _ = OpenBox(doc, note)
	} else if err == nil {
		_, _, _ = OpenGateway(doc, note)
	}
	return paths
}

// open puts the opened secret in the place of a sealed one. It reports what
// cannot be opened and returns false then.
func (c *checker) open(n *node, path string) bool {
	if c.unseal == nil {
		c.add(n, path, "", "is sealed, and there is no key to open it", "read it on the box that sealed it, with that box's key, or write the secret itself")
		return false
	}
	s, err := c.unseal(path, Secret(n.text))
	if err != nil {
		c.add(n, path, "", err.Error(), "write the secret itself: it is sealed again when the document is saved")
		return false
	}
	n.text = s.Reveal()
	return true
}

// MapSecrets puts f's result in the place of every secret of the document that
// is set; path is the field's (paths[2].passphrase). It stops at f's first
// error, with the document half changed. The parameters of addresses hold no
// secrets any more once a document was parsed.
func (b *Box) MapSecrets(f func(path string, s Secret) (Secret, error)) error {
	return mapSecrets(reflect.ValueOf(b).Elem(), "", f)
}

// MapSecrets is Box's for a gateway document.
func (g *Gateway) MapSecrets(f func(path string, s Secret) (Secret, error)) error {
	return mapSecrets(reflect.ValueOf(g).Elem(), "", f)
}

func mapSecrets(v reflect.Value, path string, f func(string, Secret) (Secret, error)) error {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return mapSecrets(v.Elem(), path, f)
	case reflect.Slice:
		for i := range v.Len() {
			if err := mapSecrets(v.Index(i), fmt.Sprintf("%s[%d]", path, i), f); err != nil {
				return err
			}
		}
	case reflect.Struct:
		st := describe(v.Type())
		for i := range st.fields {
			if err := mapSecrets(v.Field(st.fields[i].index), join(path, st.fields[i].name), f); err != nil {
				return err
			}
		}
	case reflect.String:
		s, ok := v.Interface().(Secret)
		if !ok || s == "" {
			return nil
		}
		s, err := f(path, s)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		v.SetString(s.Reveal())
	}
	return nil
}

var index = regexp.MustCompile(`\[[0-9]+\]`)

// SecretContext is what a field's secret is sealed for: its path without
// indices, so that it still opens when elements before it come or go.
func SecretContext(path string) string { return index.ReplaceAllString(path, "[]") }
