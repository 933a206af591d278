package config

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Issue is one thing that is wrong with a document, or doubtful about it.
type Issue struct {
	Path    string `json:"path"`             // paths[2].latency_ms; empty: the document as a whole
	Line    int    `json:"line,omitempty"`   // from 1; 0: not known
	Column  int    `json:"column,omitempty"` // from 1, in characters
	Value   string `json:"value,omitempty"`  // as written, shortened; never a secret
	Problem string `json:"problem"`          // what is wrong: "is out of range"
	Remedy  string `json:"remedy"`           // what to do: "write a number from 20 to 15000"
}

// String is the issue on one line:
//
//	paths[2].latency_ms (line 14:21): 90000 is out of range; write a number from 0 to 15000
func (i Issue) String() string {
	var b strings.Builder
	switch {
	case i.Path == "" && i.Line > 0:
		fmt.Fprintf(&b, "line %d:%d: ", i.Line, i.Column)
	case i.Path == "":
	case i.Line > 0:
		fmt.Fprintf(&b, "%s (line %d:%d): ", i.Path, i.Line, i.Column)
	default:
		fmt.Fprintf(&b, "%s: ", i.Path)
	}
	if i.Value != "" {
		b.WriteString(i.Value + " ")
	}
	b.WriteString(i.Problem)
	if i.Remedy != "" {
		b.WriteString("; " + i.Remedy)
	}
	return b.String()
}

// Issues is a list of them. As an error it prints one issue a line.
type Issues []Issue

// Error implements error.
func (is Issues) Error() string {
	lines := make([]string, len(is))
	for i := range is {
		lines[i] = is[i].String()
	}
	return strings.Join(lines, "\n")
}

// err returns the list as an error, and nil if it is empty.
func (is Issues) err() error {
	if len(is) == 0 {
		return nil
	}
	return is
}

func (is *Issues) add(path, value, problem, remedy string) {
	*is = append(*is, Issue{Path: path, Value: value, Problem: problem, Remedy: remedy})
}

// addf is add without a value and with a formatted problem.
func (is *Issues) addf(path, remedy, problem string, args ...any) {
	is.add(path, "", fmt.Sprintf(problem, args...), remedy)
}

// Locate fills in the lines and columns of issues that a program found beyond
// what Check does, doc being the document they are about.
func (is Issues) Locate(doc []byte) {
	if root, err := scan(doc); err == nil {
		is.locate(doc, root)
	}
}

// locate fills in the lines and columns of issues that have a path but no
// place yet: of the value itself, else of what would contain it.
func (is Issues) locate(doc []byte, root *node) {
	for k := range is {
		if is[k].Line == 0 && is[k].Path != "" {
			is[k].Line, is[k].Column = position(doc, find(root, is[k].Path).at)
		}
	}
}

// find follows a path as far as the document has it.
func find(n *node, path string) *node {
	for path != "" {
		var next *node
		if path[0] == '[' {
			var i int
			end := strings.IndexByte(path, ']')
			if end < 0 {
				return n
			}
			if _, err := fmt.Sscanf(path[:end+1], "[%d]", &i); err != nil {
				return n
			}
			next, path = n.elem(i), path[end+1:]
		} else {
			name := path
			if end := strings.IndexAny(path, ".["); end >= 0 {
				name = path[:end]
			}
			next, path = n.get(name), path[len(name):]
		}
		if next == nil {
			return n
		}
		n, path = next, strings.TrimPrefix(path, ".")
	}
	return n
}

// position turns an offset into line and column, both from 1.
func position(doc []byte, at int) (line, column int) {
	at = min(at, len(doc))
	start := bytes.LastIndexByte(doc[:at], '\n') + 1
	return bytes.Count(doc[:at], []byte("\n")) + 1, utf8.RuneCount(doc[start:at]) + 1
}
