package architecture

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// packetPath are the packages that a media packet passes through.
var packetPath = []string{"capture", "capture/engine", "capture/mpegts", "capture/udp", "capture/srt", "capture/tsfile", "fec/...", "uplink/..."}

// pure are the packages of logic alone: what time it is, and every packet, is
// handed to them. That is why they can be tested in virtual time.
var pure = []string{"capture/confidence", "capture/genlock", "capture/mpegts", "capture/program", "capture/tr101290", "device/health", "device/telemetry/history", "device/telemetry/measure", "fec/...", "uplink/adapt", "uplink/rtp"}

// measured are the packages that must show, with testing.AllocsPerRun, that a
// packet costs no allocation.
var measured = []string{"capture", "capture/confidence", "capture/engine", "capture/mpegts", "capture/tr101290", "capture/udp", "fec", "fec/st2022", "uplink", "uplink/gateway", "uplink/rtp", "uplink/srt"}

// An init function is a registry or a side effect in waiting: write an
// explicit switch, or a sync.OnceValue where a table is built.
func TestNoInit(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		for _, f := range p.source {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: func init: call it from where it is needed", m.at(fn))
				}
			}
		}
	}
}

func TestNoSleepOnThePacketPath(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if !under(p.path, packetPath...) {
			continue
		}
		for _, f := range p.source {
			f.uses(func(imp, name string, n ast.Node) {
				if imp == "time" && name == "Sleep" {
					t.Errorf("%s: time.Sleep: wait for a channel, a timer or a context, so that it can be ended", m.at(n))
				}
			})
		}
	}
}

// clocks are the names of package time that look at the clock or start one.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep"}

func TestPurePackagesHaveNoClockNorInputOutput(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if !under(p.path, pure...) {
			continue
		}
		for _, imp := range p.Imports {
			if under(imp, "os/...", "net", "net/http/...", "syscall", "log/...", "golang.org/x/sys/...", "golang.org/x/net/...") {
				t.Errorf("%s imports %s: it is pure logic; let its caller do that", p.path, imp)
			}
		}
		for _, f := range p.source {
			f.uses(func(imp, name string, n ast.Node) {
				if imp == "time" && slices.Contains(clocks, name) {
					t.Errorf("%s: time.%s: it is pure logic; take the instant as an argument", m.at(n), name)
				}
			})
			for _, n := range goroutines(f) {
				t.Errorf("%s: a goroutine: it is pure logic; let its caller start it", m.at(n))
			}
		}
	}
}

// goroutines finds where a file starts one: a go statement, or the Go method
// of a group (sync.WaitGroup).
func goroutines(f *file) (found []ast.Node) {
	ast.Inspect(f.File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, n)
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Go" && len(n.Args) == 1 {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}

// Who starts a goroutine joins it. No tool proves that from the source, so
// each package that starts any has its tests end with a look for those left.
func TestGoroutinesAreLookedFor(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		var starts []ast.Node
		for _, f := range p.source {
			starts = append(starts, goroutines(f)...)
		}
		if len(starts) == 0 || len(p.tests) == 0 && (p.Name == "main" || under(p.path, "tests/...")) {
			continue
		}
		if !leakChecked(p.tests) {
			t.Errorf("%s starts goroutines (%s and %d more) and its tests do not look for leaks: "+
				"add func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }", p.path, m.at(starts[0]), len(starts)-1)
		}
	}
}

// leakChecked tells whether a TestMain uses goleak.
func leakChecked(tests []*file) bool {
	for _, f := range tests {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "TestMain" {
				continue
			}
			found := false
			ast.Inspect(fn, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && f.imported(x.Name) == "go.uber.org/goleak" {
						found = true
					}
				}
				return true
			})
			if found {
				return true
			}
		}
	}
	return false
}

// What reads bytes from outside is fuzzed.
func TestParsersAreFuzzed(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if p.Name == "main" || under(p.path, "tests/...") {
			continue
		}
		var parsers []string
		for _, f := range p.source {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if ok && strings.HasPrefix(strings.ToLower(fn.Name.Name), "parse") && takesBytes(fn) {
					parsers = append(parsers, fn.Name.Name)
				}
			}
		}
		fuzzed := false
		for _, f := range p.tests {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				fuzzed = fuzzed || ok && strings.HasPrefix(fn.Name.Name, "Fuzz")
			}
		}
		if len(parsers) > 0 && !fuzzed {
			t.Errorf("%s has parsers (%s) and no Fuzz target", p.path, strings.Join(parsers, ", "))
		}
	}
}

func takesBytes(fn *ast.FuncDecl) bool {
	for _, a := range fn.Type.Params.List {
		switch x := a.Type.(type) {
		case *ast.ArrayType:
			if id, ok := x.Elt.(*ast.Ident); ok && x.Len == nil && id.Name == "byte" {
				return true
			}
		case *ast.Ident:
			if x.Name == "string" {
				return true
			}
		}
	}
	return false
}

func TestAllocationsAreMeasured(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if !under(p.path, measured...) {
			continue
		}
		found := false
		for _, f := range p.tests {
			f.uses(func(imp, name string, _ ast.Node) {
				found = found || imp == "testing" && name == "AllocsPerRun"
			})
		}
		if !found {
			t.Errorf("%s is on the packets' way and no test of it calls testing.AllocsPerRun", p.path)
		}
	}
}
