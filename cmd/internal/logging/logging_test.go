package logging

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"quartet/device/config"
)

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := New(config.Log{Level: "warn", Format: "json"}, &b)
	log.Info("no")
	log.Warn("yes")
	var line struct{ Msg string }
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || line.Msg != "yes" {
		t.Errorf("%s: %v", b.Bytes(), err)
	}
	b.Reset()
	New(config.Log{Level: "debug", Format: "text"}, &b).Debug("yes")
	if !strings.Contains(b.String(), "level=DEBUG msg=yes") {
		t.Error(b.String())
	}
}
