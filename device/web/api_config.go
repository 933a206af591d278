package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"quartet/device/config"
	"quartet/device/control"
)

func (s *Server) getConfig(c *call) (ConfigView, error) {
	doc, err := s.docs.load()
	if err != nil {
		return ConfigView{}, err
	}
	c.etag = doc.revision
	v := ConfigView{Revision: doc.revision, Warnings: doc.warnings}
	if doc.box == nil {
		v.Document = starter(s.settings.get().Name)
		return v, nil
	}
	v.Saved, v.Document = true, config.Show(doc.box)
	v.SavedBy, v.SavedAt = s.docs.lastChange(doc.revision)
	return v, nil
}

// keep saves the document that make makes, on the revision that the caller knows.
func (s *Server) keep(c *call, restart bool, make func(now document) ([]byte, error)) (Saved, error) {
	revision, err := c.ifMatch()
	if err != nil {
		return Saved{}, err
	}
	saved, err := s.docs.save(c.r.Context(), c.actor(), revision, restart, make)
	c.target, c.detail = "box document", strings.Join(saved.Changed, "; ")
	c.etag = saved.Revision
	s.hub.wake()
	return saved, err
}

func (s *Server) putConfig(c *call, q SaveQuery, d Document) (Saved, error) {
	return s.keep(c, q.Restart, func(document) ([]byte, error) { return d, nil })
}

func (s *Server) patchConfig(c *call, q SaveQuery, d Document) (Saved, error) {
	saved, err := s.keep(c, q.Restart, func(now document) ([]byte, error) { return s.merged(now, d) })
	return saved, placeless(err)
}

// merged is the stored document (or the one to start from) with a merge patch.
func (s *Server) merged(now document, patch []byte) ([]byte, error) {
	if err := config.Syntax(patch); err != nil {
		return nil, err
	}
	base := starter(s.settings.get().Name)
	if now.box != nil {
		base = config.Show(now.box)
	}
	return mergePatch(base, patch)
}

func (s *Server) checkConfig(_ *call, d Document) (Checked, error) {
	now, err := s.docs.load()
	if err != nil {
		return Checked{}, err
	}
	box, plan, warnings, err := s.docs.check(d, now)
	v := Checked{OK: err == nil, Warnings: warnings}
	if err != nil {
		var issues config.Issues
		if !errors.As(err, &issues) {
			return v, err
		}
		v.Errors = issues
		return v, nil
	}
	v.Plan = &plan
	if now.box != nil {
		v.NeedsRestart = s.cfg.Planner.NeedsRestart(now.box, box)
	}
	return v, nil
}

func (s *Server) getSchema(*call) (json.RawMessage, error) {
	return config.Schema(config.KindBox), nil
}

func (s *Server) exportConfig(c *call) (file, error) {
	doc, err := s.docs.load()
	if err != nil {
		return file{}, err
	}
	if doc.box == nil {
		return file{}, fmt.Errorf("the document: %w", ErrNone)
	}
	c.target = "box document"
	return file{name: "quartet-" + doc.box.Name + "-" + s.cfg.Now().UTC().Format("20060102-150405") + ".json", data: config.Show(doc.box)}, nil
}

func (s *Server) importConfig(c *call, q ImportQuery, d Document) (Saved, error) {
	var missing []string
	saved, err := s.keep(c, q.Restart, func(now document) ([]byte, error) {
		if err := config.Syntax(d); err != nil || !q.DropSecrets {
			return d, err
		}
		var filled []byte
		if filled, missing = config.KeepSecrets(d, now.box); len(missing) == 0 {
			return d, nil
		}
		return config.DropSecrets(filled), nil
	})
	saved.MissingSecrets = missing
	return saved, err
}

func (s *Server) rollbackConfig(c *call, q SaveQuery) (Saved, error) {
	b, err := s.cfg.Documents.Previous()
	if errors.Is(err, fs.ErrNotExist) {
		return Saved{}, fmt.Errorf("a document before this one: %w", ErrNone)
	}
	if err != nil {
		return Saved{}, err
	}
	before, err := s.docs.parse(b)
	if err != nil {
		return Saved{}, fmt.Errorf("%w: the document before is damaged", ErrConflict)
	}
	return s.keep(c, q.Restart, func(document) ([]byte, error) { return config.Encode(before.box), nil })
}

func (s *Server) parseLine(_ *call, q Line) (Destination, error) {
	line := strings.TrimSpace(q.Line)
	refuse := func(problem string) (Destination, error) {
		return Destination{Errors: config.Issues{{Path: "line", Problem: problem, Remedy: "paste the line as the gateway prints it: srt://host:port?streamid=…&passphrase=…&key=…"}}}, nil
	}
	u, err := config.ParseURL(line)
	if err != nil {
		return refuse(err.Error())
	}
	v := Destination{OK: true, Path: &ParsedPath{Profile: config.ProfileTS, Host: u.Host, Port: u.Port, Mode: config.ModeCaller, StreamID: u.Params["streamid"]}}
	switch u.Scheme {
	case config.TypeSRT:
	case config.TypeRTP:
		v.Path.Profile = config.ProfileRTP
	default:
		return refuse("is no destination: it begins with " + u.Scheme + "://")
	}
	if u.Params["key"] != "" {
		v.Path.Profile = config.ProfileRTPFEC
	}
	if u.Host == "" {
		v.Path.Mode = config.ModeListener
	}
	if m := u.Params["mode"]; m != "" {
		v.Path.Mode = m
	}
	// ParseURL has seen to it that these are numbers.
	_, _ = fmt.Sscan(u.Params["pbkeylen"], &v.Path.KeyLength)
	_, _ = fmt.Sscan(u.Params["latency"], &v.Path.LatencyMS)
	for _, name := range []string{"passphrase", "key"} {
		if u.Params[name] != "" {
			v.Secrets = append(v.Secrets, name)
		}
	}
	u.Params = nil
	v.Path.URL = u.String()
	return v, nil
}

func (s *Server) preflight(c *call, q PreflightRequest) (control.Preflight, error) {
	c.target = q.Path
	p, err := s.cfg.Media.Preflight(c.r.Context(), q.Path)
	var refused *control.Error
	if errors.As(err, &refused) && refused.Code == 404 {
		return p, missing("path", q.Path)
	}
	return p, err
}

func (s *Server) plan(_ *call, q PlanRequest) (control.Plan, error) { return s.cfg.Planner.Plan(q) }

// mergePatch is RFC 7386.
func mergePatch(base, patch []byte) ([]byte, error) {
	read := func(b []byte) (v map[string]any, err error) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		return v, d.Decode(&v)
	}
	b, err := read(base)
	if err != nil {
		return nil, err
	}
	p, err := read(patch)
	if err != nil {
		return nil, invalid("", "", "the patch is not an object", "write the fields that are to change")
	}
	return json.MarshalIndent(patched(b, p), "", "  ")
}

func patched(base, patch map[string]any) map[string]any {
	if base == nil {
		base = map[string]any{}
	}
	for name, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(base, name)
		case map[string]any:
			sub, _ := base[name].(map[string]any)
			base[name] = patched(sub, v)
		default:
			base[name] = v
		}
	}
	return base
}
