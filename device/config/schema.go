package config

import (
	"bytes"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-json"
)

// Schema returns the JSON Schema (draft 2020-12) of a document, generated from
// its Go type: an editor that knows it completes and checks while one types.
// It says all that the tags say; rules across fields are Check's alone.
func Schema(k Kind) []byte {
	t := typeOf(k)
	s := schema{defs: map[string]bool{}}
	s.WriteString(`{"$schema": "https://json-schema.org/draft/2020-12/schema"`)
	s.WriteString(`, "title": ` + quote("Quartet "+string(k)+" document, version "+strconv.Itoa(SchemaVersion)))
	s.WriteString(`, "$ref": "#/$defs/` + t.Name() + `", "$defs": {`)
	s.def(t)
	s.WriteString("}}")
	var out bytes.Buffer
	if err := json.Indent(&out, s.Bytes(), "", "  "); err != nil {
		panic(err) // a mistake in this file, which its test would meet
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// typeOf is the Go type of a document.
func typeOf(k Kind) reflect.Type {
	if k == KindGateway {
		return reflect.TypeFor[Gateway]()
	}
	return reflect.TypeFor[Box]()
}

type schema struct {
	bytes.Buffer
	defs map[string]bool // written or being written
}

// def writes the definition of a struct type and of those it needs.
func (s *schema) def(t reflect.Type) {
	if len(s.defs) > 0 {
		s.WriteString(", ")
	}
	s.defs[t.Name()] = true
	st := describe(t)
	s.WriteString(quote(t.Name()) + `: {"type": "object", "additionalProperties": false, "properties": {`)
	var required []string
	var needs []reflect.Type
	for i := range st.fields {
		f := &st.fields[i]
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(quote(f.name) + ": {" + `"description": ` + quote(fieldDocs[f.goName]))
		s.value(f, f.elem)
		s.WriteString("}")
		if f.required {
			required = append(required, quote(f.name))
		}
		e := f.elem
		if e.Kind() == reflect.Slice {
			e = e.Elem()
		}
		if isStruct(e) {
			needs = append(needs, e)
		}
	}
	s.WriteString("}")
	if len(required) > 0 {
		s.WriteString(`, "required": [` + strings.Join(required, ", ") + "]")
	}
	s.WriteString("}")
	for _, e := range needs {
		if !s.defs[e.Name()] {
			s.def(e)
		}
	}
}

func (s *schema) value(f *field, t reflect.Type) {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	literal := func(v string) string {
		if t.Kind() == reflect.String {
			return quote(v)
		}
		return v
	}
	switch t.Kind() {
	case reflect.Struct:
		s.WriteString(`, "$ref": "#/$defs/` + t.Name() + `"`)
		return
	case reflect.Slice:
		s.WriteString(`, "type": "array", "items": {"$ref": "#/$defs/` + t.Elem().Name() + `"}`)
		if f.sized {
			s.WriteString(`, "minItems": ` + strconv.Itoa(f.minLen) + `, "maxItems": ` + strconv.Itoa(f.maxLen))
		}
		return
	case reflect.Bool:
		s.WriteString(`, "type": "boolean"`)
	case reflect.Int, reflect.Int64:
		s.WriteString(`, "type": "integer"`)
	case reflect.Float64:
		s.WriteString(`, "type": "number"`)
	default:
		s.WriteString(`, "type": "string"`)
	}
	if f.ranged {
		s.WriteString(`, "minimum": ` + number(f.min) + `, "maximum": ` + number(f.max))
	}
	if f.sized {
		s.WriteString(`, "minLength": ` + strconv.Itoa(f.minLen) + `, "maxLength": ` + strconv.Itoa(f.maxLen))
	}
	if f.enum != nil {
		words := make([]string, len(f.enum))
		for i, e := range f.enum {
			words[i] = literal(e)
		}
		s.WriteString(`, "enum": [` + strings.Join(words, ", ") + "]")
	}
	if p := formats[f.format].pattern; p != "" && f.secret() {
		s.WriteString(`, "pattern": ` + quote(p+"|"+sealedPattern))
	} else if p != "" {
		s.WriteString(`, "pattern": ` + quote(p))
	}
	if f.hasDef {
		s.WriteString(`, "default": ` + literal(f.def))
	}
	if f.secret() {
		s.WriteString(`, "writeOnly": true`)
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// FieldDoc describes one field of a document for a reader.
type FieldDoc struct {
	Path     string // input.url, paths[].srt.fc_packets
	Takes    string // "a whole number from 0 to 1000"
	Default  string // as written in JSON; empty if there is none
	Required bool
	Text     string // what it is for
}

// Fields lists all fields of a document in the order of its type.
func Fields(k Kind) []FieldDoc { return fields(nil, typeOf(k), "") }

func fields(list []FieldDoc, t reflect.Type, path string) []FieldDoc {
	st := describe(t)
	for i := range st.fields {
		f := &st.fields[i]
		d := FieldDoc{Path: join(path, f.name), Takes: f.wants(f.elem), Required: f.required, Text: fieldDocs[f.goName]}
		if f.hasDef {
			d.Default = f.def
			if f.elem.Kind() == reflect.String {
				d.Default = quote(f.def)
			}
		}
		list = append(list, d)
		switch {
		case isStruct(f.elem):
			list = fields(list, f.elem, d.Path)
		case f.elem.Kind() == reflect.Slice:
			list = fields(list, f.elem.Elem(), d.Path+"[]")
		}
	}
	return list
}
