package architecture

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// directions says for each package which others of ours its own code may
// import; its tests may import what they like. The first rule that fits
// counts.
var directions = []struct {
	pkg string
	may []string
}{
	// Leaves: each can be read, tested and taken elsewhere alone.
	{"capture/mpegts", nil},
	{"capture/confidence", nil},
	{"fec/...", nil},
	{"uplink/srt", nil},
	{"uplink/adapt", nil},
	{"device/config", nil},
	{"device/health", nil},
	{"device/durable/...", nil},
	{"device/seal", nil},
	{"device/audit", nil},
	{"board/...", []string{"board/..."}},
	// What survives a power cut is a leaf that the box's parts share.
	{"updater/...", []string{"updater/...", "device/durable/..."}},

	// What needs to know a transport stream packet, and no more.
	{"capture/tr101290", []string{"capture/mpegts"}},
	{"uplink/rtp", []string{"capture/mpegts"}},

	// Inputs.
	{"capture", []string{"capture/mpegts"}},
	{"capture/udp", []string{"capture", "capture/mpegts", "fec/st2022", "uplink/rtp"}},
	{"capture/srt", []string{"capture", "capture/mpegts", "uplink/srt"}},
	{"capture/genlock", nil},
	{"capture/sdi", nil},
	{"capture/sdi/sditest", []string{"capture/sdi"}},
	{"capture/engine", []string{"capture", "capture/confidence", "capture/mpegts", "capture/sdi"}},
	{"capture/...", []string{"capture", "capture/mpegts"}},

	// The two ends of the path.
	{"uplink", []string{"capture/mpegts", "fec/...", "uplink/rtp", "uplink/srt"}},
	// The gateway is a program's whole middle and has its own monitor; the sender
	// is one part of a box, which lets others look at what it sends.
	{"uplink/gateway", []string{"capture/mpegts", "capture/tr101290", "fec/...", "uplink/rtp", "uplink/srt"}},

	// The box around it.
	{"device/access", []string{"device/durable"}},
	{"device/identity", []string{"device/durable", "device/seal"}},
	{"device/control", []string{"device/health"}},
	{"device/network", []string{"device/config"}},
	{"device/notify", nil},
	{"device/telemetry/spool", nil},
	{"device/telemetry/system", nil},
	{"device/telemetry/...", []string{"device/config", "device/control", "device/health", "device/telemetry/..."}},
	{"device/web", []string{"device/access", "device/config", "device/control", "device/durable", "device/health"}},
	{"device/web/ui", nil},
	{"device/...", []string{"device/..."}},

	// Programs choose the concrete kinds. The operator's tool brings the demo
	// along; no other program depends on tests.
	{"cmd/quartetctl", []string{"board/...", "capture/...", "cmd/internal/...", "device/...", "fec/...", "updater/...", "uplink/...", "tests/demo"}},
	{"cmd/...", []string{"board/...", "capture/...", "cmd/internal/...", "device/...", "fec/...", "updater/...", "uplink/..."}},
	// A tool of the release, not of the box.
	{"buildroot/sbom", nil},
	{"tests/...", []string{"..."}},
}

func TestImportDirections(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		i := slices.IndexFunc(directions, func(d struct {
			pkg string
			may []string
		}) bool {
			return under(p.path, d.pkg)
		})
		if i < 0 {
			t.Errorf("%s: no rule says what it may import; add one to directions, above", p.path)
			continue
		}
		rule := directions[i]
		if slices.Contains(rule.may, "...") {
			continue
		}
		for _, imp := range p.Imports {
			own, ok := strings.CutPrefix(imp, m.path+"/")
			if !ok || own == p.path || under(own, rule.may...) {
				continue
			}
			t.Errorf("%s imports %s, and may import %s", p.path, own, orNone(rule.may))
		}
	}
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "nothing of ours: it is a leaf"
	}
	return strings.Join(list, ", ")
}

// The configuration's words must not spread: only programs, the box's own
// management and tests may know the documents.
func TestConfigIsKnownToFew(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if slices.Contains(p.Imports, m.path+"/device/config") && !under(p.path, "cmd/...", "device/...", "tests/...") {
			t.Errorf("%s imports device/config: let cmd/*/build.go hand it settings of its own type", p.path)
		}
	}
}

// parts are the packages whose settings build.go fills in.
var parts = []string{"capture/...", "fec/...", "uplink/..."}

// Within a program that runs the chain, build.go is the one place where the
// document's words become the settings of the parts; what two programs need of
// it is shared in cmd/internal. The operator's tool runs no chain: it asks the
// planner only.
func TestOnlyBuildFillsInSettings(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if !under(p.path, "cmd/...") || under(p.path, "cmd/quartetctl", "cmd/internal/...") || !slices.Contains(p.Imports, m.path+"/device/config") {
			continue
		}
		for _, f := range p.source {
			// A kind of input with many settings has a build_<kind>.go of its own.
			if strings.HasPrefix(f.path[strings.LastIndexByte(f.path, '/')+1:], "build") {
				continue
			}
			for _, n := range settings(f, m.path) {
				t.Errorf("%s: settings of a part are made here: do it in build.go, the only place that turns configuration into them", m.at(n))
			}
		}
	}
}

// settings finds composite literals, not empty, of the parts' types that hold
// what a document decides.
func settings(f *file, module string) (found []ast.Node) {
	kinds := []string{"Options", "Params", "Demand", "PathConfig", "PacerConfig", "UDPConfig", "Address", "Contribution", "Input", "Peer", "Listener"}
	ast.Inspect(f.File, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || len(lit.Elts) == 0 {
			return true
		}
		sel, ok := lit.Type.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		own, ok := strings.CutPrefix(f.imported(x.Name), module+"/")
		if ok && under(own, parts...) && slices.Contains(kinds, sel.Sel.Name) {
			found = append(found, n)
		}
		return true
	})
	return found
}

// C is called from one place, so that one place can crash, leak or block
// outside Go's sight. The media engine, a process of its own, is the other.
func TestCgoInOnePlace(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if under(p.path, "uplink/srt", "cmd/quartet-engine") {
			continue
		}
		if len(p.CgoFiles)+len(p.CFiles)+len(p.CXXFiles)+len(p.SwigFiles) > 0 {
			t.Errorf("%s calls C: SRT's calls belong in uplink/srt, GStreamer's in cmd/quartet-engine", p.path)
		}
		for _, imp := range slices.Concat(p.Imports, imports(p.tests)) {
			if strings.Contains(imp, "haivision/srtgo") {
				t.Errorf("%s imports %s: use uplink/srt", p.path, imp)
			}
		}
	}
}

// GStreamer lives in the media engine's process alone: a crash there must not
// take the packets with it.
func TestNoGStreamer(t *testing.T) {
	m := repository(t)
	for _, p := range m.pkgs {
		if under(p.path, "cmd/quartet-engine") {
			continue
		}
		for _, imp := range slices.Concat(p.Imports, imports(p.tests)) {
			if strings.Contains(imp, "go-gst") || strings.Contains(imp, "gstreamer") {
				t.Errorf("%s imports %s: only cmd/quartet-engine may", p.path, imp)
			}
		}
		for _, f := range p.source {
			for _, g := range f.Comments {
				if strings.Contains(g.Text(), "#cgo") && strings.Contains(g.Text(), "gst") {
					t.Errorf("%s: links GStreamer: only cmd/quartet-engine may", m.at(g))
				}
			}
		}
	}
}

func imports(files []*file) (paths []string) {
	for _, f := range files {
		for _, i := range f.Imports {
			paths = append(paths, strings.Trim(i.Path.Value, `"`))
		}
	}
	return paths
}
