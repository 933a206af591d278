package telemetry

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"quartet/device/health"
	"quartet/device/telemetry/measure"
)

type logsRecord = *logspb.LogRecord

func body(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }

func TestSampleCodec(t *testing.T) {
	series := []measure.Series{{Name: "a", Labels: []measure.Label{}}, {Name: "b", Kind: measure.Counter, Labels: []measure.Label{}}}
	s := sample{Mono: time.Hour, Wall: time.Unix(5, 6).UTC(), Kept: true, Box: -1, Manage: time.Minute, Series: series, Values: []float64{1.5, 2}}
	p, err := appendPreamble("boot", series)
	if err != nil {
		t.Fatal(err)
	}
	back := sample{}
	if back.Boot, back.Series, err = parsePreamble(p); err != nil || back.Boot != "boot" {
		t.Fatal(err)
	}
	if err := back.parseSample(s.append(nil)); err != nil || back.Mono != s.Mono || !back.Wall.Equal(s.Wall) || !back.Kept || back.Box != -1 || back.Manage != s.Manage || back.Values[1] != 2 {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzParse(f *testing.F) {
	p, err := appendPreamble("boot", []measure.Series{{Name: "a"}})
	if err != nil {
		f.Fatal(err)
	}
	s := sample{Series: []measure.Series{{Name: "a"}}, Values: []float64{1}}
	f.Add(p, s.append(nil))
	f.Add([]byte{200}, (&event{Name: EventAudit}).data())
	f.Fuzz(func(t *testing.T, preamble, data []byte) {
		boot, series, err := parsePreamble(preamble)
		s := sample{Boot: boot, Series: series}
		if err == nil && s.parseSample(data) == nil && len(s.Values) != len(series) {
			t.Error("values without series")
		}
		if e, err := parseEvent(data); err == nil {
			e.send("x", time.Time{}, ClockUnset)
		}
		var l timeline
		l.load(data, "boot")
		l.at("boot", 0)
		var r reliability
		r.load(data, preamble)
		r.report(0)
	})
}

// TestConditionsAreExplained: every condition is complete and in the manual.
func TestConditionsAreExplained(t *testing.T) {
	manual, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range Catalogue() {
		if !bytes.Contains(manual, []byte("| `"+string(d.Code)+"` | "+d.Severity.String()+" |")) {
			t.Errorf("docs/telemetry.md does not explain %s, or not as %s", d.Code, d.Severity)
		}
		if d.Text == "" || strings.HasSuffix(d.Text, ".") || !strings.HasSuffix(d.Remedy, ".") {
			t.Errorf("%s: %q %q", d.Code, d.Text, d.Remedy)
		}
	}
	seen := map[health.Code]bool{}
	for _, d := range append(health.Catalogue(), Catalogue()...) {
		if seen[d.Code] {
			t.Errorf("%s twice", d.Code)
		}
		seen[d.Code] = true
	}
}
