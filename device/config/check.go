package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// maxIssues bounds the list: after so many, a document is not worth more.
const maxIssues = 50

// checker compares a document's tree with the type it should have.
type checker struct {
	doc    []byte
	unseal Unseal // nil: sealed secrets are not taken
	issues Issues
}

func (c *checker) add(n *node, path, value, problem, remedy string) {
	c.addAt(n.at, path, value, problem, remedy)
}

func (c *checker) addAt(at int, path, value, problem, remedy string) {
	if len(c.issues) >= maxIssues {
		return
	}
	i := Issue{Path: path, Value: value, Problem: problem, Remedy: remedy}
	i.Line, i.Column = position(c.doc, at)
	c.issues = append(c.issues, i)
}

// object checks an object against a struct type.
func (c *checker) object(n *node, t reflect.Type, path string) {
	st := describe(t)
	seen := make(map[string]int, len(n.members)) // name → offset of the first
	for _, m := range n.members {
		p := join(path, m.name)
		if first, ok := seen[m.name]; ok {
			line, column := position(c.doc, first)
			c.addAt(m.at, p, "", "is a duplicate field", fmt.Sprintf("keep this one or the one at line %d:%d", line, column))
			continue
		}
		seen[m.name] = m.at
		f := st.byName[m.name]
		if f == nil {
			problem, remedy, meant := unknown(st, m.name)
			c.addAt(m.at, p, "", problem, remedy)
			if _, ok := seen[meant]; !ok && meant != "" {
				seen[meant] = m.at // so that it is not reported as missing, too
			}
			continue
		}
		c.value(m.node, f, f.elem, p)
	}
	for i := range st.fields {
		f := &st.fields[i]
		if _, ok := seen[f.name]; f.required && !ok {
			c.add(n, join(path, f.name), "", "is missing", "add it: "+f.wants(f.elem))
		}
	}
}

// value checks one value against the field it stands in. t is the field's
// type, or its element's within a list.
func (c *checker) value(n *node, f *field, t reflect.Type, path string) {
	if t == reflect.TypeFor[Raw]() && n.kind != kindNull {
		c.inside(n, path)
		return
	}
	if n.kind == kindNull {
		c.add(n, path, "null", "is not a value", "leave the field out, or write "+f.wants(t))
		return
	}
	if want := kindOf(t); n.kind != want {
		c.add(n, path, show(n, f), "is "+n.kind.String()+", not "+want.String(), "write "+f.wants(t))
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		c.object(n, t, path)
	case reflect.Slice:
		if k := len(n.elems); f.sized && (k < f.minLen || k > f.maxLen) {
			c.add(n, path, "", fmt.Sprintf("has %d elements", k), "write "+f.wants(t))
		}
		elem := *f
		elem.sized = false // the tag len is the list's
		for i, e := range n.elems {
			c.value(e, &elem, t.Elem(), path+"["+strconv.Itoa(i)+"]")
		}
	case reflect.String:
		c.str(n, f, path)
	case reflect.Int, reflect.Int64:
		v, err := strconv.ParseInt(n.text, 10, 64)
		switch {
		case err != nil && strings.ContainsAny(n.text, ".eE"):
			c.add(n, path, show(n, f), "is not a whole number", "write "+f.wants(t))
		case err != nil, f.ranged && (float64(v) < f.min || float64(v) > f.max):
			c.add(n, path, show(n, f), "is out of range", "write "+f.wants(t))
		case f.enum != nil && !slices.Contains(f.enum, n.text):
			c.add(n, path, show(n, f), "is not allowed", "write "+f.wants(t))
		}
	case reflect.Float64:
		v, err := strconv.ParseFloat(n.text, 64)
		if err != nil || f.ranged && (v < f.min || v > f.max) {
			c.add(n, path, show(n, f), "is out of range", "write "+f.wants(t))
		}
	}
}

// inside looks for what no JSON text of ours may have, within a value of which
// nothing else is known: a name that stands twice.
func (c *checker) inside(n *node, path string) {
	seen := make(map[string]bool, len(n.members))
	for _, m := range n.members {
		p := join(path, m.name)
		if seen[m.name] {
			c.addAt(m.at, p, "", "is a duplicate field", "keep one of them")
		}
		seen[m.name] = true
		c.inside(m.node, p)
	}
	for i, e := range n.elems {
		c.inside(e, path+"["+strconv.Itoa(i)+"]")
	}
}

func (c *checker) str(n *node, f *field, path string) {
	if f.secret() && Secret(n.text).Sealed() && !c.open(n, path) {
		return
	}
	switch {
	case f.enum != nil:
		if !slices.Contains(f.enum, n.text) {
			remedy := "write " + f.wants(f.elem)
			if near := nearest(n.text, f.enum); near != "" {
				remedy += fmt.Sprintf(" (did you mean %q?)", near)
			}
			c.add(n, path, show(n, f), "is not allowed", remedy)
		}
	case f.sized && (len(n.text) < f.minLen || len(n.text) > f.maxLen):
		c.add(n, path, show(n, f), fmt.Sprintf("has %d bytes", len(n.text)), "write "+f.wants(f.elem))
	case f.format != "":
		if n.text == "" && !f.required && !strings.HasSuffix(f.format, "-or-empty") {
			c.add(n, path, `""`, "is empty", "leave the field out, or write "+f.wants(f.elem))
		} else if problem := formats[f.format].check(n.text); problem != "" {
			c.add(n, path, show(n, f), problem, "write "+f.wants(f.elem))
		}
	}
}

// unknown says what is wrong with a name that a type does not have, and which
// one was meant if only the case is wrong.
func unknown(st *structType, name string) (problem, remedy, meant string) {
	names := make([]string, len(st.fields))
	for i := range st.fields {
		names[i] = st.fields[i].name
		if strings.EqualFold(names[i], name) {
			return "is written in the wrong case", fmt.Sprintf("write %q", names[i]), names[i]
		}
	}
	if near := nearest(name, names); near != "" {
		return "is an unknown field", fmt.Sprintf("did you mean %q?", near), ""
	}
	return "is an unknown field", "remove it; the fields here are " + strings.Join(names, ", "), ""
}

// wants says in words what a field of type t takes.
func (f *field) wants(t reflect.Type) string {
	span := func() string {
		return strconv.FormatFloat(f.min, 'f', -1, 64) + " to " + strconv.FormatFloat(f.max, 'f', -1, 64)
	}
	switch {
	case t == reflect.TypeFor[Raw]():
		return "a JSON value"
	case t.Kind() == reflect.Slice && f.sized:
		return fmt.Sprintf("a list of %d to %d elements", f.minLen, f.maxLen)
	case isStruct(t), t.Kind() == reflect.Slice, t.Kind() == reflect.Bool:
		return kindOf(t).String()
	case len(f.enum) == 1:
		return f.enum[0]
	case f.enum != nil:
		return strings.Join(f.enum[:len(f.enum)-1], ", ") + " or " + f.enum[len(f.enum)-1]
	case f.format != "":
		return formats[f.format].wants
	case t.Kind() == reflect.String && f.sized:
		return fmt.Sprintf("a string of %d to %d bytes", f.minLen, f.maxLen)
	case t.Kind() == reflect.Float64 && f.ranged:
		return "a number from " + span()
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		w := "a whole number"
		if f.ranged {
			w += " from " + span()
		}
		return w
	}
	return kindOf(t).String()
}

// kindOf is the JSON kind that a Go type is written as.
func kindOf(t reflect.Type) kind {
	switch t.Kind() {
	case reflect.Struct:
		return kindObject
	case reflect.Slice:
		return kindList
	case reflect.Bool:
		return kindBool
	case reflect.Int, reflect.Int64, reflect.Float64:
		return kindNumber
	}
	return kindString
}

// show is a value as an error message quotes it: short, and never a secret.
func show(n *node, f *field) string {
	if f != nil && f.secret() {
		return redacted
	}
	switch n.kind {
	case kindObject, kindList:
		return ""
	case kindString:
		if f != nil && f.format == "url" {
			return strconv.Quote(clip(RedactURL(n.text)))
		}
		return strconv.Quote(clip(n.text))
	}
	return clip(n.text)
}

// clip shortens what an error message quotes.
func clip(s string) string {
	const most = 60
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}

// join appends a field's name to a path; a name that would be mistaken for
// path syntax is quoted.
func join(path, name string) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return path + "[" + strconv.Quote(clip(name)) + "]"
	}
	if path == "" {
		return clip(name)
	}
	return path + "." + clip(name)
}

// nearest returns the candidate that a typing mistake is closest to, or "".
func nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	word = strings.ToLower(word)
	allowed := 2
	if len(word) < 3 {
		allowed = 1
	}
	best, bestAt := "", 1+max(allowed, len(word)/3)
	for _, c := range candidates {
		if strings.HasPrefix(c, word+"_") { // the unit is missing
			return c
		}
		if d := distance(word, c); d < bestAt {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance between two words, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
