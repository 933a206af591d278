package web

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"quartet/device/config"
)

// bundleLines is how much of the log goes into a bundle.
const bundleLines = 5000

// supportBundle is what somebody who helps needs to see. What a part cannot give
// becomes a line in the bundle, not an error.
func (s *Server) supportBundle(c *call) (file, error) {
	now := s.cfg.Now()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	var notes []string
	add := func(name string, b []byte, err error) {
		if err != nil {
			notes = append(notes, name+": "+err.Error())
			return
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: now})
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			notes = append(notes, name+": "+err.Error())
		}
	}
	asJSON := func(name string, v any, err error) {
		var b []byte
		if err == nil {
			b, err = encode(v)
		}
		if err == nil {
			var pretty bytes.Buffer
			if err = json.Indent(&pretty, b, "", " "); err == nil {
				b = pretty.Bytes()
			}
		}
		add(name, b, err)
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), 20*time.Second)
	defer cancel()
	overview, err := s.view.overview(ctx)
	asJSON("overview.json", overview, err)
	conditions, err := s.getConditions(c)
	asJSON("conditions.json", conditions, err)
	doc, err := s.docs.load()
	if err == nil && doc.box == nil {
		err = fmt.Errorf("the document: %w", ErrNone)
	}
	if err == nil {
		add("config.json", config.Show(doc.box), nil)
	} else {
		add("config.json", nil, err)
	}
	network, err := s.cfg.Network.Settings(ctx)
	asJSON("network.json", network, err)
	asJSON("settings.json", s.settings.get(), nil)
	asJSON("identity.json", s.cfg.Identity.Describe(), nil)
	asJSON("telemetry.json", TelemetryInfo{s.cfg.Telemetry.State(), s.cfg.Telemetry.Availability()}, nil)
	logs, err := s.cfg.Logs.Lines(ctx, LogsQuery{Unit: "all", Lines: bundleLines})
	var text strings.Builder
	for _, l := range logs.Lines {
		fmt.Fprintf(&text, "%s %s %s %s\n", l.Time.UTC().Format(time.RFC3339Nano), l.Unit, l.Level, l.Text)
	}
	if logs.Note != "" {
		notes = append(notes, "log.txt: "+logs.Note)
	}
	add("log.txt", []byte(text.String()), err)
	records, err := s.cfg.Audit.Query(0, 1000)
	asJSON("audit.json", Audit{Records: records}, err)
	versions := s.cfg.Product + " " + s.cfg.Version + "\nserial " + s.cfg.Serial + "\n"
	if info, ok := debug.ReadBuildInfo(); ok {
		versions += info.String()
	}
	add("versions.txt", []byte(versions), nil)
	notes = append(notes, "Made "+now.UTC().Format(time.RFC3339)+" by "+c.actor()+". Secrets are shown as "+config.SecretSet+".")
	add("README.txt", []byte(strings.Join(notes, "\n")+"\n"), nil)
	if err := z.Close(); err != nil {
		return file{}, err
	}
	c.target = "support bundle"
	return file{name: "quartet-support-" + s.cfg.Serial + "-" + now.UTC().Format("20060102-150405") + ".zip", data: out.Bytes()}, nil
}
