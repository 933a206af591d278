package config

import (
	"reflect"

	"github.com/goccy/go-json"
)

// Raw is a field that takes any JSON value as it stands, for whoever knows more
// of it to read.
type Raw []byte

// UnmarshalJSON keeps the text.
func (r *Raw) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}

// MarshalJSON writes the text.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// Decode reads a JSON text into the struct that to points to, as strictly as a
// document: what a program accepts from outside is described by the same tags
// and refused in the same words. Absent fields get their defaults. The error is
// of type Issues.
func Decode(text []byte, to any) error {
	root, err := scanDocument(text)
	if err != nil {
		return err
	}
	v := reflect.ValueOf(to).Elem()
	c := checker{doc: text}
	c.object(root, v.Type(), "")
	if len(c.issues) == 0 {
		if err := json.Unmarshal(text, to); err != nil {
			// Unreachable as far as we know: the checker is the stricter one.
			c.issues.add("", "", "the text cannot be read: "+err.Error(), "compare it with the description of the interface")
		}
	}
	if len(c.issues) > 0 {
		return c.issues
	}
	setAbsent(root, v)
	return nil
}
