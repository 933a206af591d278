package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// field is one field of a document's type, with its tags taken apart.
type field struct {
	name     string // as written in the document
	goName   string // Type.Field, key of the documentation
	index    int    // in the struct
	typ      reflect.Type
	elem     reflect.Type // typ without the pointer
	required bool
	def      string // default, as text
	hasDef   bool
	min, max float64 // of a number
	ranged   bool
	minLen   int // of a list or string
	maxLen   int
	sized    bool
	enum     []string
	format   string
}

// structType is the fields of a struct type, in order and by name.
type structType struct {
	name   string
	fields []field
	byName map[string]*field
}

var structTypes sync.Map // reflect.Type → *structType

// describe takes the tags of a struct type apart. Its panics are mistakes in
// this package's own types, which every test would meet at once.
func describe(t reflect.Type) *structType {
	if st, ok := structTypes.Load(t); ok {
		return st.(*structType)
	}
	st := &structType{name: t.Name(), byName: map[string]*field{}}
	for i := range t.NumField() {
		sf := t.Field(i)
		f := field{name: sf.Tag.Get("json"), goName: t.Name() + "." + sf.Name, index: i, typ: sf.Type, elem: sf.Type}
		if f.elem.Kind() == reflect.Pointer {
			f.elem = f.elem.Elem()
		}
		if f.name == "" {
			panic("config: no json tag on " + f.goName)
		}
		f.required = sf.Tag.Get("required") == "yes"
		f.def, f.hasDef = sf.Tag.Lookup("default")
		if r, ok := sf.Tag.Lookup("range"); ok {
			f.min, f.max, f.ranged = span(f.goName, r)
		}
		if r, ok := sf.Tag.Lookup("len"); ok {
			lo, hi, _ := span(f.goName, r)
			f.minLen, f.maxLen, f.sized = int(lo), int(hi), true
		}
		if e, ok := sf.Tag.Lookup("enum"); ok {
			f.enum = strings.Split(e, "|")
		}
		if f.format = sf.Tag.Get("format"); f.format != "" && formats[f.format].check == nil {
			panic("config: unknown format on " + f.goName)
		}
		st.fields = append(st.fields, f)
	}
	for i := range st.fields {
		st.byName[st.fields[i].name] = &st.fields[i]
	}
	actual, _ := structTypes.LoadOrStore(t, st)
	return actual.(*structType)
}

// span reads "low..high".
func span(where, s string) (low, high float64, ok bool) {
	a, b, ok := strings.Cut(s, "..")
	low, err1 := strconv.ParseFloat(a, 64)
	high, err2 := strconv.ParseFloat(b, 64)
	if !ok || err1 != nil || err2 != nil || low > high {
		panic(fmt.Sprintf("config: bad span %q on %s", s, where))
	}
	return low, high, true
}

// secret tells whether a field's value must not be shown.
func (f *field) secret() bool { return f.elem == reflect.TypeFor[Secret]() }

// isStruct tells whether a type is an object in the document.
func isStruct(t reflect.Type) bool { return t.Kind() == reflect.Struct }

// setText sets a scalar from the text of its tag.
func setText(v reflect.Value, text string) {
	var err error
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		v.SetInt(n)
	case reflect.Float64:
		var x float64
		x, err = strconv.ParseFloat(text, 64)
		v.SetFloat(x)
	default:
		err = fmt.Errorf("no default possible")
	}
	if err != nil {
		panic(fmt.Sprintf("config: default %q of a %s: %v", text, v.Type(), err))
	}
}

// text is setText's inverse; it never shows a secret.
func text(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return text(v.Elem())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.String:
		if s, ok := v.Interface().(Secret); ok {
			return s.String()
		}
		return v.String()
	}
	return ""
}

// Default returns a value of one of the documents' types (Box, Path, SRT, …)
// in which every field has the value that an absent field would get.
func Default[T any]() T {
	var t T
	setAbsent(nil, reflect.ValueOf(&t).Elem())
	return t
}

// setAbsent gives every field that the document does not have its default, and
// every secret what the checker opened it to. n is the object that v was read
// from, nil if there was none.
func setAbsent(n *node, v reflect.Value) {
	if v.Kind() == reflect.Slice {
		for i := range v.Len() {
			if isStruct(v.Type().Elem()) {
				setAbsent(n.elem(i), v.Index(i))
			}
		}
		return
	}
	for i := range describe(v.Type()).fields {
		f := &describe(v.Type()).fields[i]
		child, fv := n.get(f.name), v.Field(f.index)
		if fv.Kind() == reflect.Pointer {
			if fv.IsNil() {
				continue
			}
			fv = fv.Elem()
		}
		switch {
		case isStruct(f.elem) || fv.Kind() == reflect.Slice:
			setAbsent(child, fv)
		case child != nil && f.secret():
			fv.SetString(child.text)
		case child == nil && f.hasDef:
			setText(fv, f.def)
		}
	}
}

// isDefault tells whether a field has the value of an absent field.
func (f *field) isDefault(v reflect.Value) bool {
	if f.hasDef {
		return text(v) == f.def
	}
	return v.IsZero()
}
