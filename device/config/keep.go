package config

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"

	"github.com/goccy/go-json"
)

// SecretSet stands for a secret in a document that is shown: there is one. Written
// back it means: the one that is there.
const SecretSet = "(set)"

// Show writes a document as Encode does, with SecretSet in place of every secret
// that is set.
func Show(doc any) []byte {
	return encode(doc, encoder{shown: true})
}

// KeepSecrets puts the secrets of present (nil: there are none) in the place of
// SecretSet in a box document, so that one who was never shown a secret can
// write the rest. A path's are those of the path of the same name; of a path
// that was renamed, those of the one that stood in its place. missing lists the
// fields for which there is none, which then hold what they held. Nothing else
// is checked: the result is for ParseBox, and a document that cannot be read is
// returned as it is.
func KeepSecrets(doc []byte, present *Box) (filled []byte, missing []string) {
	root, serr := scan(doc)
	if serr != nil {
		return doc, nil
	}
	k := keeper{doc: doc}
	v := reflect.Value{}
	if present != nil {
		v = reflect.ValueOf(present).Elem()
	}
	k.object(root, reflect.TypeFor[Box](), v, "")
	slices.SortFunc(k.edits, func(a, b splice) int { return a.at - b.at })
	var out bytes.Buffer
	from := 0
	for _, e := range k.edits {
		out.Write(doc[from:e.at])
		out.WriteString(e.text)
		from = e.end
	}
	out.Write(doc[from:])
	return out.Bytes(), k.missing
}

// splice replaces a piece of a text.
type splice struct {
	at, end int
	text    string
}

// keeper walks a document and the value whose secrets it keeps, side by side.
type keeper struct {
	doc     []byte
	edits   []splice
	missing []string
}

// object walks an object of type t; v is its counterpart, or invalid.
func (k *keeper) object(n *node, t reflect.Type, v reflect.Value, path string) {
	if n.kind != kindObject {
		return
	}
	st := describe(t)
	for _, m := range n.members {
		f := st.byName[m.name]
		if f == nil {
			continue
		}
		fv, p := reflect.Value{}, join(path, m.name)
		if v.IsValid() {
			fv = reflect.Indirect(v.Field(f.index))
		}
		switch {
		case f.secret():
			k.secret(m.node, fv, p)
		case isStruct(f.elem):
			k.object(m.node, f.elem, fv, p)
		case f.elem.Kind() == reflect.Slice && isStruct(f.elem.Elem()):
			for i, e := range m.node.elems {
				k.object(e, f.elem.Elem(), counterpart(m.node, fv, i), p+"["+strconv.Itoa(i)+"]")
			}
		}
	}
}

func (k *keeper) secret(n *node, v reflect.Value, path string) {
	switch {
	case n.kind != kindString || n.text != SecretSet:
	case v.IsValid() && v.String() != "":
		s := scanner{b: k.doc, pos: n.at}
		s.str()
		k.edits = append(k.edits, splice{n.at, s.pos, quote(v.String())})
	default:
		k.missing = append(k.missing, path)
	}
}

// counterpart finds in list what the i-th element of n was: by its name, or by
// its place if it has a new name.
func counterpart(n *node, list reflect.Value, i int) reflect.Value {
	if !list.IsValid() {
		return reflect.Value{}
	}
	name := func(v reflect.Value) string {
		if f := describe(v.Type()).byName["name"]; f != nil {
			return v.Field(f.index).String()
		}
		return ""
	}
	named := func(e *node) string {
		if c := e.get("name"); c != nil && c.kind == kindString {
			return c.text
		}
		return ""
	}
	for j := range list.Len() {
		if s := named(n.elems[i]); s != "" && name(list.Index(j)) == s {
			return list.Index(j)
		}
	}
	if i >= list.Len() || len(n.elems) != list.Len() ||
		slices.ContainsFunc(n.elems, func(e *node) bool { return named(e) == name(list.Index(i)) }) {
		return reflect.Value{}
	}
	return list.Index(i)
}

// DropSecrets removes the fields that hold SecretSet, which KeepSecrets could
// not fill.
func DropSecrets(doc []byte) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return doc
	}
	dropSecrets(v, secretNames(reflect.TypeFor[Box]()))
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return doc
	}
	return b
}

func dropSecrets(v any, names []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value == SecretSet && slices.Contains(names, name) {
				delete(v, name)
				continue
			}
			dropSecrets(value, names)
		}
	case []any:
		for _, e := range v {
			dropSecrets(e, names)
		}
	}
}

// secretNames lists the names of the fields of t, and of what it holds, that are
// secrets.
func secretNames(t reflect.Type) (names []string) {
	st := describe(t)
	for i := range st.fields {
		f := &st.fields[i]
		switch e := f.elem; {
		case f.secret():
			names = append(names, f.name)
		case isStruct(e):
			names = append(names, secretNames(e)...)
		case e.Kind() == reflect.Slice && isStruct(e.Elem()):
			names = append(names, secretNames(e.Elem())...)
		}
	}
	return names
}

// Syntax tells whether a text is one JSON object in which no name stands twice.
// The error is of type Issues.
func Syntax(text []byte) error {
	root, err := scanDocument(text)
	if err != nil {
		return err
	}
	c := checker{doc: text}
	c.inside(root, "")
	return c.issues.err()
}
