package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"quartet/device/config"
	"quartet/device/health"
)

// object is a JSON object that is being made.
type object = map[string]any

// OpenAPI is the description of /api/v1 (OpenAPI 3.1), made from the table of
// routes and the types of its handlers.
func OpenAPI(version string) []byte {
	d := describer{schemas: object{}}
	paths := object{}
	for _, r := range routes() {
		item, ok := paths[r.path].(object)
		if !ok {
			item = object{}
			paths[r.path] = item
		}
		item[strings.ToLower(r.method)] = d.operation(&r)
	}
	d.document()
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Quartet", "version": version,
			"description": "Management interface of a Quartet box. Requests that change something come from the box's own page or from a program (no foreign Origin), in JSON. " +
				"Errors are RFC 9457 problem details; errors[] names fields by their path. Roles: viewer sees, operator runs, admin configures; x-role is the least that an operation takes.",
		},
		"servers": []any{object{"url": "/api/v1"}},
		"tags":    []any{object{"name": "access"}, object{"name": "status"}, object{"name": "config"}, object{"name": "box"}, object{"name": "update"}},
		"paths":   paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{"session": object{"type": "apiKey", "in": "cookie", "name": cookieName,
				"description": "set by POST /session and POST /claim; HttpOnly, Secure, SameSite=Strict"}},
		},
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		panic(err) // maps, lists and strings always encode
	}
	return b
}

type describer struct{ schemas object }

func (d *describer) operation(r *route) object {
	op := object{"summary": r.summary, "operationId": operationID(r), "tags": []any{r.group}, "x-role": string(r.role)}
	if r.role == Public {
		op["x-role"] = "public"
	} else {
		op["security"] = []any{object{"session": []any{}}}
	}
	var params []any
	for _, part := range strings.Split(r.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params = append(params, object{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": object{"type": "string"}})
		}
	}
	if r.ifMatch {
		params = append(params, object{"name": "If-Match", "in": "header", "required": true,
			"description": "revision that the change starts from", "schema": object{"type": "string"}})
	}
	if q := r.endpoint.query; q != nil {
		for i := range q.NumField() {
			f := q.Field(i)
			s := d.field(f)
			text, _ := s["description"].(string)
			delete(s, "description")
			params = append(params, object{"name": f.Tag.Get("json"), "in": "query", "required": f.Tag.Get("required") == "yes", "description": text, "schema": s})
		}
	}
	if params != nil {
		op["parameters"] = params
	}
	if b := r.endpoint.body; b != nil {
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": d.schema(b)}}}
	}
	if r.endpoint.file != "" {
		op["requestBody"] = object{"required": true, "content": object{r.endpoint.file: object{"schema": object{"type": "string", "contentMediaType": r.endpoint.file}}}}
	}
	op["responses"] = d.responses(r)
	return op
}

func (d *describer) responses(r *route) object {
	ok := object{"description": http.StatusText(r.success())}
	switch {
	case r.endpoint.media == "text/event-stream":
		ok["content"] = object{r.endpoint.media: object{"schema": object{"type": "string"},
			"x-events": object{"overview": d.schema(reflect.TypeFor[Overview]()), "condition": d.schema(reflect.TypeFor[Event]()),
				"notice": d.schema(reflect.TypeFor[Notice]()), "bye": d.schema(reflect.TypeFor[Bye]())}}}
	case r.endpoint.media != "":
		ok["content"] = object{r.endpoint.media: object{"schema": object{"type": "string", "contentMediaType": r.endpoint.media}}}
	case r.endpoint.answer != nil:
		ok["content"] = object{"application/json": object{"schema": d.schema(r.endpoint.answer)}}
	}
	if r.etag {
		ok["headers"] = object{"ETag": object{"schema": object{"type": "string"}, "description": "for If-Match"}}
	}
	all := object{strconv.Itoa(r.success()): ok}
	fails := append([]int{400, 429, 503}, r.fails...)
	if r.role != Public {
		fails = append(fails, 401, 403)
	}
	if r.unsafe() {
		fails = append(fails, 403)
	}
	if r.endpoint.body != nil {
		fails = append(fails, 413, 415, 422)
	}
	if r.endpoint.file != "" {
		fails = append(fails, 415)
	}
	if r.endpoint.query != nil {
		fails = append(fails, 422)
	}
	if r.ifMatch {
		fails = append(fails, 412, 428)
	}
	problem := d.schema(reflect.TypeFor[Problem]())
	for _, f := range fails {
		all[strconv.Itoa(f)] = object{"description": http.StatusText(f), "content": object{"application/problem+json": object{"schema": problem}}}
	}
	return all
}

// operationID is a name for programs that are generated: getStatus,
// putUsersName.
func operationID(r *route) string {
	id := strings.ToLower(r.method)
	for _, part := range strings.FieldsFunc(r.path, func(c rune) bool { return !(c >= 'a' && c <= 'z') }) {
		id += strings.ToUpper(part[:1]) + part[1:]
	}
	return id
}

// schema describes a type; a struct with a name goes among the components.
func (d *describer) schema(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[Document]():
		return object{"$ref": "#/components/schemas/BoxDocument"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	case reflect.TypeFor[health.Severity]():
		return object{"type": "string", "enum": []any{"info", "warning", "minor", "major", "critical"}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.Struct:
		return d.object(t)
	case reflect.Slice:
		items := d.schema(t.Elem())
		if t.Elem().Kind() == reflect.Pointer {
			items["type"] = []any{items["type"], "null"}
		}
		return object{"type": "array", "items": items}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.String:
		return object{"type": "string"}
	}
	panic(fmt.Sprintf("web: %s has no place in the interface", t))
}

// componentName keeps types of two packages apart that share a name.
func componentName(t reflect.Type) string {
	if strings.HasSuffix(t.PkgPath(), "device/control") {
		return "Media" + t.Name()
	}
	return t.Name()
}

func (d *describer) object(t reflect.Type) object {
	name := componentName(t)
	ref := object{"$ref": "#/components/schemas/" + name}
	if _, ok := d.schemas[name]; ok {
		return ref
	}
	s := object{"type": "object"}
	d.schemas[name] = s
	props, required := object{}, []any{}
	d.fields(t, props, &required)
	s["properties"] = props
	if len(required) > 0 {
		s["required"] = required
	}
	s["additionalProperties"] = false
	return ref
}

func (d *describer) fields(t reflect.Type, props object, required *[]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			d.fields(f.Type, props, required)
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		props[name] = d.field(f)
		// A request's fields are required where they say so; an answer's are always
		// there but for those that are left out when empty.
		if f.Tag.Get("required") == "yes" || opts == "" && !isRequest(t) {
			*required = append(*required, name)
		}
	}
}

// isRequest tells whether a type is read and not written: one of its fields has a
// tag of the strict reader.
func isRequest(t reflect.Type) bool {
	for i := range t.NumField() {
		for _, tag := range []string{"required", "range", "len", "default", "format"} {
			if _, ok := t.Field(i).Tag.Lookup(tag); ok {
				return true
			}
		}
	}
	return false
}

// field describes a field by its type and its tags.
func (d *describer) field(f reflect.StructField) object {
	t, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	_, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
	s := maps.Clone(d.schema(f.Type))
	number := func(text string) any {
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic("web: bad tag on " + t)
		}
		return x
	}
	low, high, _ := strings.Cut(f.Tag.Get("range"), "..")
	if high != "" {
		s["minimum"], s["maximum"] = number(low), number(high)
	}
	if low, high, ok := strings.Cut(f.Tag.Get("len"), ".."); ok {
		if s["type"] == "array" {
			s["minItems"], s["maxItems"] = number(low), number(high)
		} else {
			s["minLength"], s["maxLength"] = number(low), number(high)
		}
	}
	if e := f.Tag.Get("enum"); e != "" {
		var words []any
		for _, w := range strings.Split(e, "|") {
			if f.Type.Kind() == reflect.Int {
				words = append(words, number(w))
			} else {
				words = append(words, w)
			}
		}
		s["enum"] = words
	}
	if def, ok := f.Tag.Lookup("default"); ok {
		s["default"] = def
		switch f.Type.Kind() {
		case reflect.Int, reflect.Int64, reflect.Float64:
			s["default"] = number(def)
		case reflect.Bool:
			s["default"] = def == "true"
		}
	}
	if f.Type.Kind() == reflect.Pointer && opts == "" && f.Tag.Get("required") == "" {
		if ref, ok := s["$ref"]; ok {
			s = object{"anyOf": []any{object{"$ref": ref}, object{"type": "null"}}}
		} else {
			s["type"] = []any{s["type"], "null"}
		}
	}
	if text := f.Tag.Get("doc"); text != "" {
		s["description"] = text
	}
	return s
}

// document adds the schema of the box document, under names of its own.
func (d *describer) document() {
	var s struct {
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(config.Schema(config.KindBox), &s); err != nil {
		panic(err) // it is ours
	}
	for _, name := range slices.Sorted(maps.Keys(s.Defs)) {
		text := strings.ReplaceAll(string(s.Defs[name]), `"#/$defs/`, `"#/components/schemas/Document`)
		d.schemas["Document"+name] = json.RawMessage(text)
	}
	d.schemas["BoxDocument"] = object{"$ref": "#/components/schemas/DocumentBox",
		"description": "Where only a part is written (PATCH, presets) the required fields may be missing; null removes a field."}
}
