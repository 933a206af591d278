package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"quartet/device/config"
)

// maxPresets is how many may be kept besides the built-in ones.
const maxPresets = 32

// presets are the kept ones, by name.
type presets struct{ kept *kept[map[string]savedPreset] }

type savedPreset struct {
	Description string          `json:"description"`
	Document    json.RawMessage `json:"document"`
}

func openPresets(dir string) (*presets, error) {
	k, err := openKept(dir, "presets.v1.json", map[string]savedPreset{})
	return &presets{k}, err
}

// builtin are the presets that come with the software. They say what the
// planner and the encoder make of a purpose, nothing of where a feed comes from
// or goes to.
func builtin() []Preset {
	p := func(name, description, doc string) Preset {
		return Preset{Name: name, Builtin: true, Description: description, Document: Document(doc)}
	}
	return []Preset{
		p("contribution-low-latency", "Live contribution, interviews: 300 ms, no B frames, a key frame a second",
			`{"encoder": {"profile": "contribution-low-latency", "gop_frames": null, "b_frames": null, "lookahead_frames": null}, "output": {"latency_ms": 300, "overhead_percent": 15}}`),
		p("contribution-balanced", "Live contribution over ordinary Internet lines: 500 ms, survives bursts of loss on a path",
			`{"encoder": {"profile": "contribution-low-latency"}, "output": {"latency_ms": 500, "overhead_percent": 10}}`),
		p("contribution-quality", "One-way feeds where delay does not matter: 1.5 s, B frames and lookahead",
			`{"encoder": {"profile": "contribution-quality"}, "output": {"latency_ms": 1500, "overhead_percent": 10}}`),
		p("poor-lines", "Mobile and shared lines: 2 s, a quarter more for repair, plans for 5 % loss and 150 ms round trip",
			`{"output": {"latency_ms": 2000, "overhead_percent": 25, "rtt_ms": 150, "loss_percent": 5, "skew_ms": 60}}`),
		p("hd-1080i50-h264", "1080i25 in H.264 at 12 Mbit/s, 4:2:0, two channels of AAC",
			`{"encoder": {"codec": "h264", "width": 1920, "height": 1080, "frame_rate": "25", "interlaced": true, "chroma": "4:2:0", "bit_depth": 8, "bitrate_kbps": 12000}, "output": {"max_bitrate_kbps": 14000}}`),
		p("hd-1080p50-hevc", "1080p50 in HEVC at 15 Mbit/s, 4:2:2, 10 bits",
			`{"encoder": {"codec": "hevc", "width": 1920, "height": 1080, "frame_rate": "50", "interlaced": false, "chroma": "4:2:2", "bit_depth": 10, "bitrate_kbps": 15000}, "output": {"max_bitrate_kbps": 17000}}`),
	}
}

// sections are the parts of the document that a preset may hold.
var sections = []string{"encoder", "input", "output"}

func (s *Server) getPresets(*call) (Presets, error) {
	list := builtin()
	saved := s.presets.kept.get()
	names := make([]string, 0, len(saved))
	for name := range saved {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		list = append(list, Preset{Name: name, Description: saved[name].Description, Document: Document(saved[name].Document)})
	}
	return Presets{list}, nil
}

// preset finds one by its name.
func (s *Server) preset(name string) (Preset, error) {
	all, err := s.getPresets(nil)
	if err != nil {
		return Preset{}, err
	}
	for _, p := range all.Presets {
		if p.Name == name {
			return p, nil
		}
	}
	return Preset{}, missing("preset", name)
}

func (s *Server) putPreset(c *call, q NewPreset) (Preset, error) {
	name, err := c.name()
	if err != nil {
		return Preset{}, err
	}
	c.target = name
	if slices.ContainsFunc(builtin(), func(p Preset) bool { return p.Name == name }) {
		return Preset{}, fmt.Errorf("%w: %s comes with the software; choose another name", ErrConflict, name)
	}
	if err := s.checkPreset(q.Document); err != nil {
		return Preset{}, err
	}
	_, err = s.presets.kept.change(func(was map[string]savedPreset) (map[string]savedPreset, error) {
		next := map[string]savedPreset{name: {q.Description, json.RawMessage(q.Document)}}
		for n, p := range was {
			if n != name {
				next[n] = p
			}
		}
		if len(next) > maxPresets {
			return nil, fmt.Errorf("%w: the box keeps %d presets; delete one", ErrConflict, maxPresets)
		}
		return next, nil
	})
	return Preset{Name: name, Description: q.Description, Document: q.Document}, err
}

// checkPreset sees to it that a preset is a part of a document: merged into the
// one to start from, it breaks no rule of a single field, and it holds no
// secret.
func (s *Server) checkPreset(doc []byte) error {
	if err := config.Syntax(doc); err != nil {
		return under("document", err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(doc, &parts); err != nil {
		return invalid("document", "", "is not an object", "write encoder, input and output, as far as the preset sets them")
	}
	for name := range parts {
		if !slices.Contains(sections, name) {
			return invalid("document."+name, "", "has no place in a preset", "write encoder, input and output only")
		}
	}
	if found := secretsIn(doc); len(found) > 0 {
		return invalid("document."+found[0], "***", "is a secret", "leave it out: presets are shown to everybody who may look")
	}
	base, err := mergePatch(starter("preset"), doc)
	if err != nil {
		return err
	}
	// Only what the preset says counts: the rest of the document is not there yet.
	_, _, err = config.ParseBox(base)
	var issues, own config.Issues
	if errors.As(err, &issues) {
		for _, i := range issues {
			section, _, _ := strings.Cut(i.Path, ".")
			if has(doc, i.Path) || slices.Contains(sections, section) && strings.Contains(i.Problem, "unknown") {
				i.Path = "document." + i.Path
				own = append(own, i)
			}
		}
	}
	if len(own) > 0 {
		return placeless(own)
	}
	return nil
}

// has tells whether a document has a value at a path.
func has(doc []byte, path string) bool {
	var v any
	if json.Unmarshal(doc, &v) != nil {
		return false
	}
	for part := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ok || strings.Contains(part, "[")
		}
		name, _, indexed := strings.Cut(part, "[")
		if v, ok = m[name]; !ok {
			return false
		}
		if indexed {
			return true
		}
	}
	return true
}

// secretsIn lists the secrets that a part of a document holds, or shows as set.
func secretsIn(doc []byte) (paths []string) {
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				p := strings.TrimPrefix(at+"."+name, ".")
				switch name {
				case "passphrase", "key", "next_key", "previous_key":
					paths = append(paths, p)
				case "url":
					if s, ok := value.(string); ok && s != config.RedactURL(s) {
						paths = append(paths, p)
					}
				}
				walk(value, p)
			}
		case []any:
			for i, e := range v {
				walk(e, fmt.Sprintf("%s[%d]", at, i))
			}
		}
	}
	var v any
	if json.Unmarshal(doc, &v) == nil {
		walk(v, "")
	}
	slices.Sort(paths)
	return paths
}

// under puts the paths of issues below a field.
func under(field string, err error) error {
	var issues config.Issues
	if errors.As(err, &issues) {
		for i := range issues {
			issues[i].Path = strings.TrimSuffix(field+"."+issues[i].Path, ".")
			issues[i].Line, issues[i].Column = 0, 0
		}
	}
	return err
}

func (s *Server) deletePreset(c *call) (None, error) {
	name, err := c.name()
	if err != nil {
		return None{}, err
	}
	c.target = name
	p, err := s.preset(name)
	if err != nil {
		return None{}, err
	}
	if p.Builtin {
		return None{}, fmt.Errorf("%w: %s comes with the software", ErrConflict, name)
	}
	_, err = s.presets.kept.change(func(was map[string]savedPreset) (map[string]savedPreset, error) {
		next := map[string]savedPreset{}
		for n, p := range was {
			if n != name {
				next[n] = p
			}
		}
		return next, nil
	})
	return None{}, err
}

func (s *Server) applyPreset(c *call, q SaveQuery) (Saved, error) {
	name, err := c.name()
	if err != nil {
		return Saved{}, err
	}
	p, err := s.preset(name)
	if err != nil {
		return Saved{}, err
	}
	saved, err := s.keep(c, q.Restart, func(now document) ([]byte, error) { return s.merged(now, p.Document) })
	c.target = name
	return saved, placeless(err)
}
