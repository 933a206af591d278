package boxplan

import (
	"fmt"
	"reflect"

	"quartet/device/config"
)

// NeedsRestart names the fields in which two documents differ and that cannot
// change while quartetd runs.
func NeedsRestart(old, doc *config.Box) (fields []string) {
	differ := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			fields = append(fields, name)
		}
	}
	differ("name", old.Name, doc.Name)
	differ("input", old.Input, doc.Input)
	encoder := doc.Encoder
	encoder.BitrateKbps, encoder.MinBitrateKbps = old.Encoder.BitrateKbps, old.Encoder.MinBitrateKbps
	differ("encoder (but for its bit rates)", old.Encoder, encoder)
	differ("confidence", old.Confidence, doc.Confidence)
	differ("control", old.Control, doc.Control)
	differ("log", old.Log, doc.Log)
	if len(old.Paths) != len(doc.Paths) {
		return append(fields, "the number of paths")
	}
	staggersBefore, staggers := Staggers(old), Staggers(doc)
	for i := range doc.Paths {
		a, b := old.Paths[i], doc.Paths[i]
		at := fmt.Sprintf("paths[%d].", i)
		differ(at+"name", a.Name, b.Name)
		differ(at+"leg", a.Leg, b.Leg)
		differ(at+"profile", a.Profile, b.Profile)
		differ(at+"mode", a.Mode, b.Mode)
		differ(at+"stagger_ms", staggersBefore[i], staggers[i])
		differ(at+"st2022_1", a.ST20221, b.ST20221)
		differ(at+"ts_packets_per_message", a.TSPacketsPerMessage, b.TSPacketsPerMessage)
	}
	return fields
}
