package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of a document: what is larger is refused before it is looked at.
const (
	maxDocument = 1 << 20 // bytes
	maxDepth    = 16      // objects and lists within each other
)

// kind is what a JSON value is.
type kind uint8

const (
	kindObject kind = iota
	kindList
	kindString
	kindNumber
	kindBool
	kindNull
)

func (k kind) String() string {
	return [...]string{"an object", "a list", "a string", "a number", "true or false", "null"}[k]
}

// node is one value of a document with the place where it was written.
type node struct {
	kind    kind
	at      int      // offset of its first byte
	text    string   // string: unescaped; number, bool, null: as written
	members []member // object: in the order written
	elems   []*node  // list
}

// member is one name and value of an object.
type member struct {
	name string
	at   int // offset of the name's first byte
	node *node
}

// get returns the first value with that name, or nil.
func (n *node) get(name string) *node {
	if n == nil || n.kind != kindObject {
		return nil
	}
	for i := range n.members {
		if n.members[i].name == name {
			return n.members[i].node
		}
	}
	return nil
}

// elem returns the i-th value of a list, or nil.
func (n *node) elem(i int) *node {
	if n == nil || n.kind != kindList || i < 0 || i >= len(n.elems) {
		return nil
	}
	return n.elems[i]
}

// syntaxError is where and why a document is not JSON (RFC 8259).
type syntaxError struct {
	at      int
	problem string
	remedy  string
}

// scanner reads one JSON document. Its grammar is RFC 8259's and no wider; it
// stops at the first thing that is not JSON.
type scanner struct {
	b   []byte
	pos int
}

// scan reads a whole document into a tree. Duplicate names stay in the tree;
// check reports them.
func scan(b []byte) (root *node, serr *syntaxError) {
	defer func() { // fail panics with *syntaxError only
		if r := recover(); r != nil {
			e, ok := r.(*syntaxError)
			if !ok {
				panic(r)
			}
			root, serr = nil, e
		}
	}()
	s := &scanner{b: b}
	if len(b) > maxDocument {
		s.fail(0, fmt.Sprintf("the document has %d bytes", len(b)), fmt.Sprintf("keep it under %d bytes", maxDocument))
	}
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		s.fail(0, "the document starts with a byte order mark", "save it as UTF-8 without one")
	}
	s.space()
	if s.pos == len(b) {
		s.fail(s.pos, "the document is empty", "start from `quartetctl config example`")
	}
	root = s.value(0)
	s.space()
	if s.pos < len(b) {
		s.fail(s.pos, "text after the end of the document: "+s.show(), "remove it; a file holds one document")
	}
	return root, nil
}

func (s *scanner) fail(at int, problem, remedy string) {
	panic(&syntaxError{at: at, problem: problem, remedy: remedy})
}

// show names the character at the current position. It never shows more than
// one, because what follows may be a secret.
func (s *scanner) show() string {
	if s.pos >= len(s.b) {
		return "the end of the document"
	}
	r, _ := utf8.DecodeRune(s.b[s.pos:])
	return strconv.QuoteRune(r)
}

func (s *scanner) space() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		case '/', '#':
			s.fail(s.pos, "a comment", "remove it: JSON has no comments")
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.b) {
		return s.b[s.pos]
	}
	return 0
}

func (s *scanner) value(depth int) *node {
	if depth > maxDepth {
		s.fail(s.pos, fmt.Sprintf("more than %d objects and lists within each other", maxDepth), "no document needs that; check the brackets")
	}
	n := &node{at: s.pos}
	switch c := s.peek(); {
	case c == '{':
		n.kind = kindObject
		s.object(n, depth)
	case c == '[':
		n.kind = kindList
		s.list(n, depth)
	case c == '"':
		n.kind, n.text = kindString, s.str()
	case c == '-' || c >= '0' && c <= '9':
		n.kind, n.text = kindNumber, s.number()
	case s.word("true"), s.word("false"):
		n.kind, n.text = kindBool, string(s.b[n.at:s.pos])
	case s.word("null"):
		n.kind, n.text = kindNull, "null"
	case c == '\'':
		s.fail(s.pos, "a single quotation mark", `JSON strings stand in double ones: "…"`)
	case c == '}' || c == ']':
		s.fail(s.pos, s.show()+" where a value is expected", "remove the comma before it, or write the value")
	default:
		s.fail(s.pos, s.show()+" where a value is expected", `write a string in "…", a number, true, false, {…} or […]`)
	}
	return n
}

// word consumes w if it stands here as a whole word.
func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.pos:], []byte(w)) {
		return false
	}
	if end := s.pos + len(w); end < len(s.b) {
		c := s.b[end]
		if c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			return false
		}
	}
	s.pos += len(w)
	return true
}

func (s *scanner) object(n *node, depth int) {
	s.pos++
	for first := true; ; first = false {
		s.space()
		if s.peek() == '}' && first {
			break
		}
		if s.peek() != '"' {
			remedy := `write a field name in double quotation marks: "name": value`
			if s.peek() == '}' {
				remedy = "remove the comma before it"
			}
			s.fail(s.pos, s.show()+" where a field name is expected", remedy)
		}
		m := member{at: s.pos, name: s.str()}
		s.space()
		if s.peek() != ':' {
			s.fail(s.pos, s.show()+" after a field name", `write a colon: "name": value`)
		}
		s.pos++
		s.space()
		m.node = s.value(depth + 1)
		n.members = append(n.members, m)
		if s.next('}') {
			break
		}
	}
	s.pos++
}

func (s *scanner) list(n *node, depth int) {
	s.pos++
	s.space()
	if s.peek() != ']' {
		for {
			s.space()
			n.elems = append(n.elems, s.value(depth+1))
			if s.next(']') {
				break
			}
		}
	}
	s.pos++
}

// next consumes a comma and tells whether the closing bracket stands here
// instead.
func (s *scanner) next(closing byte) bool {
	s.space()
	switch s.peek() {
	case closing:
		return true
	case ',':
		s.pos++
		return false
	}
	if s.pos >= len(s.b) {
		s.fail(s.pos, "the document ends too early", fmt.Sprintf("write the missing %q; the file may be cut off", closing))
	}
	s.fail(s.pos, s.show()+" after a value", fmt.Sprintf("write a comma, or %q", closing))
	return false
}

func (s *scanner) number() string {
	start := s.pos
	digits := func() {
		from := s.pos
		for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
			s.pos++
		}
		if s.pos == from {
			s.fail(s.pos, s.show()+" within a number", "write digits")
		}
	}
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
		if c := s.peek(); c >= '0' && c <= '9' || c == 'x' || c == 'X' {
			s.fail(start, "a number that starts with 0", "write it in decimal, without leading zeros")
		}
	} else {
		digits()
	}
	if s.peek() == '.' {
		s.pos++
		digits()
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		digits()
	}
	return string(s.b[start:s.pos])
}

// str reads a string and returns it unescaped.
func (s *scanner) str() string {
	start := s.pos
	s.pos++
	var sb strings.Builder
	for {
		if s.pos >= len(s.b) {
			s.fail(start, "a string that does not end", "write the closing quotation mark")
		}
		c := s.b[s.pos]
		switch {
		case c == '"':
			s.pos++
			return sb.String()
		case c == '\\':
			s.escape(&sb)
		case c < 0x20:
			s.fail(s.pos, fmt.Sprintf("control character 0x%02x within a string", c), `close the string on its line, or write the character as \u00XX`)
		case c < utf8.RuneSelf:
			sb.WriteByte(c)
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.b[s.pos:])
			if r == utf8.RuneError && size == 1 {
				s.fail(s.pos, fmt.Sprintf("byte 0x%02x, which is not UTF-8", c), "save the document as UTF-8")
			}
			sb.Write(s.b[s.pos : s.pos+size])
			s.pos += size
		}
	}
}

func (s *scanner) escape(sb *strings.Builder) {
	at := s.pos
	s.pos++
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/':
		sb.WriteByte(c)
	case 'b':
		sb.WriteByte('\b')
	case 'f':
		sb.WriteByte('\f')
	case 'n':
		sb.WriteByte('\n')
	case 'r':
		sb.WriteByte('\r')
	case 't':
		sb.WriteByte('\t')
	case 'u':
		r := rune(s.hex4(at))
		if utf16.IsSurrogate(r) {
			if !bytes.HasPrefix(s.b[min(s.pos, len(s.b)):], []byte(`\u`)) {
				s.fail(at, "half of a surrogate pair", `write both halves, \uD8xx\uDCxx, or the character itself`)
			}
			s.pos += 2
			if r = utf16.DecodeRune(r, rune(s.hex4(at))); r == utf8.RuneError {
				s.fail(at, "half of a surrogate pair", `write both halves, \uD8xx\uDCxx, or the character itself`)
			}
		}
		sb.WriteRune(r)
	default:
		s.fail(at, "an escape that JSON does not have", `write \\ for a backslash`)
	}
}

func (s *scanner) hex4(at int) uint64 {
	if s.pos+4 <= len(s.b) {
		if v, err := strconv.ParseUint(string(s.b[s.pos:s.pos+4]), 16, 16); err == nil {
			s.pos += 4
			return v
		}
	}
	s.fail(at, `\u without four hex digits`, `write \uXXXX`)
	return 0
}
