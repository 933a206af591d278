package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// pkg is one package of the module, as `go list` describes it, with its
// files parsed.
type pkg struct {
	ImportPath, Dir, Name             string
	Imports                           []string
	GoFiles, CgoFiles, IgnoredGoFiles []string
	TestGoFiles, XTestGoFiles         []string
	CFiles, CXXFiles, SwigFiles       []string

	path   string  // ImportPath without the module's
	source []*file // without tests
	tests  []*file
}

// file is one parsed Go file.
type file struct {
	*ast.File
	path  string // relative to the module's root
	lines int
}

// module is everything the tests look at.
type module struct {
	root, path string
	fset       *token.FileSet
	pkgs       []*pkg
}

var loaded = sync.OnceValues(load)

// load reads the module. It needs the go command, as the tests themselves do.
func load() (*module, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMOD: %w", err)
	}
	m := &module{root: filepath.Dir(strings.TrimSpace(string(out))), fset: token.NewFileSet()}
	cmd := exec.Command("go", "list", "-e", "-json", "./...")
	cmd.Dir = m.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // so that files with import "C" count
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if out, err = cmd.Output(); err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	name, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	m.path = strings.TrimSpace(string(name))
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := &pkg{}
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return m, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		p.path = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, m.path), "/")
		if err := m.parse(p); err != nil {
			return nil, err
		}
		m.pkgs = append(m.pkgs, p)
	}
}

// parse reads all files of a package, also those that other systems build.
func (m *module) parse(p *pkg) error {
	read := func(names ...string) (files []*file, err error) {
		for _, n := range names {
			full := filepath.Join(p.Dir, n)
			f, err := parser.ParseFile(m.fset, full, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			rel, err := filepath.Rel(m.root, full)
			if err != nil {
				return nil, err
			}
			files = append(files, &file{f, filepath.ToSlash(rel), m.fset.File(f.Pos()).LineCount()})
		}
		return files, nil
	}
	source := append(append([]string{}, p.GoFiles...), p.CgoFiles...)
	tests := append(append([]string{}, p.TestGoFiles...), p.XTestGoFiles...)
	for _, n := range p.IgnoredGoFiles {
		if strings.HasSuffix(n, "_test.go") {
			tests = append(tests, n)
		} else {
			source = append(source, n)
		}
	}
	var err error
	if p.source, err = read(source...); err != nil {
		return err
	}
	p.tests, err = read(tests...)
	return err
}

// repository returns the module.
func repository(t *testing.T) *module {
	t.Helper()
	m, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// at says where a node is.
func (m *module) at(n ast.Node) string {
	p := m.fset.Position(n.Pos())
	rel, err := filepath.Rel(m.root, p.Filename)
	if err != nil {
		rel = p.Filename
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(rel), p.Line)
}

// under tells whether a package is one of the patterns: "fec" is that package
// alone, "fec/..." it and all below, as the go command has it.
func under(path string, patterns ...string) bool {
	for _, p := range patterns {
		if base, ok := strings.CutSuffix(p, "/..."); ok && (path == base || strings.HasPrefix(path, base+"/")) || path == p {
			return true
		}
	}
	return false
}

// imported returns the path of an import by the name it has in a file, "" if
// the file has none of that name.
func (f *file) imported(name string) string {
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		as := path[strings.LastIndexByte(path, '/')+1:]
		if i.Name != nil {
			as = i.Name.Name
		}
		if as == name {
			return path
		}
	}
	return ""
}

// uses hands each use of a name of another package (time.Now, srt.Options)
// to f.
func (f *file) uses(use func(importPath, name string, n ast.Node)) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok {
			if path := f.imported(x.Name); path != "" {
				use(path, s.Sel.Name, n)
			}
		}
		return true
	})
}
