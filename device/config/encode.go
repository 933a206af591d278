package config

import (
	"bytes"
	"reflect"

	"github.com/goccy/go-json"
)

// Encode writes a document (*Box or *Gateway) as indented JSON in the order of
// its type, with its secrets, leaving out fields that have their default. This
// is the form that is stored; ParseBox and ParseGateway read it back to the
// same value.
func Encode(doc any) []byte { return encode(doc, encoder{reveal: true}) }

// Redact is Encode with every secret shown as "***": the form for a screen, an
// export or a support bundle. It does not parse: "***" is no passphrase.
func Redact(doc any) []byte { return encode(doc, encoder{}) }

// EncodeExample is Encode, but with the fields that a newcomer looks for
// written out even where they have their default.
func EncodeExample(doc any) []byte {
	return encode(doc, encoder{reveal: true, always: map[string]bool{
		"Input.JitterMS": true, "Input.OnInputLoss": true,
		"Output.LatencyMS": true, "Output.OverheadPercent": true, "Output.MaxBitrateKbps": true,
		"Path.Leg": true, "Path.Profile": true, "Path.KeyLength": true,
		"Gateway.HTTP": true, "HTTP.Listen": true, "Contribution.MaxBitrateKbps": true,
		"Contribution.OnInputLoss": true, "GatewayInput.From": true, "GatewayInput.Mode": true, "Peer.LatencyMS": true,
	}})
}

func encode(doc any, e encoder) []byte {
	e.object(reflect.Indirect(reflect.ValueOf(doc)), "")
	e.WriteByte('\n')
	return e.Bytes()
}

type encoder struct {
	bytes.Buffer
	reveal bool
	shown  bool            // secrets that are set are SecretSet
	always map[string]bool // Type.Field: written out even if default
}

func (e *encoder) object(v reflect.Value, indent string) {
	st := describe(v.Type())
	e.WriteByte('{')
	first := true
	for i := range st.fields {
		f := &st.fields[i]
		fv := v.Field(f.index)
		if !f.required && !e.always[f.goName] && omit(f, fv) {
			continue
		}
		if !first {
			e.WriteByte(',')
		}
		first = false
		e.WriteString("\n" + indent + `  "` + f.name + `": `)
		e.value(reflect.Indirect(fv), indent+"  ")
	}
	if !first {
		e.WriteString("\n" + indent)
	}
	e.WriteByte('}')
}

// omit tells whether a reader would come to the same value without the field.
func omit(f *field, v reflect.Value) bool {
	switch {
	case v.Kind() == reflect.Pointer:
		return v.IsNil()
	case v.Kind() == reflect.Slice:
		return v.Len() == 0
	case isStruct(v.Type()):
		st := describe(v.Type())
		for i := range st.fields {
			if !omit(&st.fields[i], v.Field(st.fields[i].index)) {
				return false
			}
		}
		return true
	}
	return f.isDefault(v)
}

func (e *encoder) value(v reflect.Value, indent string) {
	switch {
	case isStruct(v.Type()):
		e.object(v, indent)
	case v.Kind() == reflect.Slice:
		e.WriteByte('[')
		for i := range v.Len() {
			if i > 0 {
				e.WriteByte(',')
			}
			e.WriteString("\n" + indent + "  ")
			e.value(v.Index(i), indent+"  ")
		}
		if v.Len() > 0 {
			e.WriteString("\n" + indent)
		}
		e.WriteByte(']')
	case v.Kind() == reflect.String:
		s := text(v)
		switch {
		case e.reveal:
			s = v.String()
		case e.shown && s != "" && v.Type() == reflect.TypeFor[Secret]():
			s = SecretSet
		}
		e.str(s)
	default:
		e.WriteString(text(v))
	}
}

func (e *encoder) str(s string) {
	b, err := json.Marshal(s)
	if err != nil { // a string always encodes
		panic(err)
	}
	e.Write(b)
}
