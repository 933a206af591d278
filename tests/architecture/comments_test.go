package architecture

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

func TestPackageComments(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		want := "Package " + p.Name
		if p.Name == "main" {
			want = "Command " + p.path[strings.LastIndexByte(p.path, '/')+1:]
		}
		var found []string
		files := p.source
		if len(files) == 0 {
			files = p.tests
		}
		for _, f := range files {
			if f.Doc != nil && !onlyDirectives(f.Doc) {
				found = append(found, f.path)
				if !strings.HasPrefix(f.Doc.Text(), want+" ") {
					t.Errorf("%s: the package comment begins %q: begin it with %q", f.path, firstWords(f.Doc.Text()), want)
				}
			}
		}
		switch {
		case len(found) == 0:
			t.Errorf("%s: no package comment: say in doc.go what it is, its one job, and the way of the data", p.path)
		case len(found) > 1:
			t.Errorf("%s: package comments in %s: keep one", p.path, strings.Join(found, ", "))
		}
	}
}

func onlyDirectives(g *ast.CommentGroup) bool {
	return strings.TrimSpace(g.Text()) == ""
}

func firstWords(s string) string {
	f := strings.Fields(s)
	return strings.Join(f[:min(len(f), 4)], " ")
}

// Exported names of packages that others import have a comment. A comment
// before a group, or before a run of one-line declarations that follow each
// other without a blank line, holds for all of it.
func TestExportedNamesHaveComments(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if p.Name == "main" {
			continue
		}
		exported := map[string]bool{} // types
		for _, f := range p.source {
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
					for _, s := range g.Specs {
						if n := s.(*ast.TypeSpec).Name; n.IsExported() {
							exported[n.Name] = true
						}
					}
				}
			}
		}
		for _, f := range p.source {
			m.commented(t, f, exported)
		}
	}
}

// wellKnown methods are described by the interface that they belong to.
var wellKnown = map[string]bool{
	"Error": true, "String": true, "Unwrap": true, "Is": true, "As": true, "GoString": true, "Format": true, "LogValue": true,
	"MarshalText": true, "UnmarshalText": true, "MarshalJSON": true, "UnmarshalJSON": true, "MarshalBinary": true, "UnmarshalBinary": true,
	"Read": true, "Write": true, "Close": true, "Len": true, "Less": true, "Swap": true, "ServeHTTP": true,
}

func (m *module) commented(t *testing.T, f *file, exported map[string]bool) {
	t.Helper()
	line := func(p token.Pos) int { return m.fset.Position(p).Line }
	covered := -1 // last line of a run that a comment covers
	for _, d := range f.Decls {
		has := false
		switch d := d.(type) {
		case *ast.FuncDecl:
			has = d.Doc != nil
			if !has && covered+1 == line(d.Pos()) && line(d.Pos()) == line(d.End()) {
				has = true
			}
			if !has && d.Name.IsExported() && receiverExported(d, exported) && (d.Recv == nil || !wellKnown[d.Name.Name]) {
				t.Errorf("%s: %s has no comment", m.at(d), d.Name.Name)
			}
		case *ast.GenDecl:
			has = d.Doc != nil
			if d.Tok == token.IMPORT {
				continue
			}
			within := has
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.CONST && typeExported(v, exported) {
					within = true // an enumeration: its type has the comment
				}
				var doc, after *ast.CommentGroup
				var names []*ast.Ident
				switch s := s.(type) {
				case *ast.TypeSpec:
					doc, after, names = s.Doc, s.Comment, []*ast.Ident{s.Name}
				case *ast.ValueSpec:
					doc, after, names = s.Doc, s.Comment, s.Names
				}
				within = within || doc != nil
				for _, n := range names {
					if n.IsExported() && !within && after == nil {
						t.Errorf("%s: %s has no comment", m.at(s), n.Name)
					}
				}
				if d.Tok == token.TYPE { // each type speaks for itself
					within = has && len(d.Specs) == 1
				}
			}
		}
		if has {
			covered = line(d.End())
		}
	}
}

// typeExported tells whether a constant is declared with an exported type of
// its own package.
func typeExported(v *ast.ValueSpec, exported map[string]bool) bool {
	id, ok := v.Type.(*ast.Ident)
	return ok && exported[id.Name]
}

func receiverExported(d *ast.FuncDecl, exported map[string]bool) bool {
	if d.Recv == nil {
		return true
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return exported[x.Name]
		default:
			return false
		}
	}
}
