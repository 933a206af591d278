package measure

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry/system"
)

// full is a snapshot in which every part of the table has something to read,
// each number another one.
func full() *Snapshot {
	n := &Snapshot{Box: &control.Status{}, Energy: Energy{Known: true}}
	v := 0
	fill(reflect.ValueOf(n).Elem(), &v)
	n.Conditions = append(n.Conditions, control.Condition{Code: "path-down", Resource: "path/1a", Severity: health.Major, Active: true})
	n.Box.Input.Engine.OnAir = "engine"
	n.System.Sensors = []system.Sensor{{Kind: system.Temperature, ID: "soc", Value: 45}, {Kind: system.Fan, ID: "f", Value: 2000},
		{Kind: system.Voltage, ID: "v", Value: 12}, {Kind: system.Power, ID: "p", Value: 7}}
	return n
}

// fill puts something into every field.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*time.Time]() {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.String:
		v.SetString("s" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.25)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Uint8:
		v.SetUint(2)
	}
}

// TestTable: every metric is complete, has a name of the right form that no
// other has, here and in Prometheus, and is measured.
func TestTable(t *testing.T) {
	names, prom := map[string]bool{}, map[string]string{}
	s := Take(full())
	taken := map[string]bool{}
	for i := range s.Series {
		taken[s.Series[i].Name] = true
	}
	for _, d := range Table() {
		if !regexp.MustCompile(`^(quartet|hw|system|process)(\.[a-z][a-z0-9_]*|\.1m)+$`).MatchString(d.Name) || names[d.Name] {
			t.Errorf("%s: its name", d.Name)
		}
		names[d.Name] = true
		p := d.PrometheusName()
		if other, ok := prom[p]; ok || !regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`).MatchString(p) {
			t.Errorf("%s: in Prometheus %s, as %s", d.Name, p, other)
		}
		prom[p] = d.Name
		if d.Unit == "" || !strings.HasSuffix(d.Text, ".") && !strings.HasSuffix(d.Text, ")).") || strings.Contains(d.Text+d.Like, "|") {
			t.Errorf("%s: unit %q, text %q", d.Name, d.Unit, d.Text)
		}
		if strings.HasSuffix(p, "_total") != (d.Kind == Counter) {
			t.Errorf("%s: %s", d.Name, p)
		}
		if !taken[d.Name] && d.Name != Record.Name {
			t.Errorf("%s is in the table and nothing reads it", d.Name)
		}
	}
	for name := range taken {
		if !names[name] {
			t.Errorf("%s is measured and not in the table", name)
		}
	}
}

// TestTake: values come from the fields that they are named after.
func TestTake(t *testing.T) {
	n := &Snapshot{Box: &control.Status{
		UptimeS: 100,
		Input: control.Input{State: control.InputOK, BitrateBPS: 10e6, Monitor: &control.Monitor{Synced: true, Checks: []control.StreamCheck{
			{Clause: "1.4", Name: "Continuity_count_error", Priority: 1, Measured: true, Count: 7}, {Clause: "3.8", Name: "TDT_error", Priority: 3}}}},
		Paths: []control.Path{{Name: "1a", Leg: 1, State: control.PathUp, RTTMS: 23.5, SendLoss: 4, Arrival: &control.Arrival{Unrecovered: 9, SkewMS: 12}},
			{Name: "2a", Leg: 2, State: control.PathConnecting}},
	}, Conditions: []control.Condition{
		{Code: "path-down", Resource: "path/2a", Severity: health.Major, Active: true},
		{Code: "path-loss", Resource: "path/2a", Severity: health.Minor, Active: true, Masked: true},
	}}
	s := Take(n)
	for id, want := range map[string]float64{
		"quartet.up": 1, "quartet.streaming": 1, "quartet.uptime": 100, "quartet.input.bitrate": 10e6,
		"quartet.ts.errors/input/1.4": 7, "quartet.path.up/1a": 1, "quartet.path.up/2a": 0, "quartet.path.srt.ms_rtt/1a": 23.5,
		"quartet.path.srt.pkt_snd_loss/1a": 4, "quartet.path.arrival.unrecovered/1a": 9, "quartet.path.arrival.skew/1a": 0.012,
		"quartet.condition/path-down/path/2a": 1, "quartet.conditions/major": 1, "quartet.conditions/minor": 0,
	} {
		if v, ok := s.Find(id); !ok || v != want {
			t.Errorf("%s is %v, %v; want %v", id, v, ok, want)
		}
	}
	for _, id := range []string{"quartet.ts.errors/input/3.8", "quartet.path.arrival.skew/2a", "quartet.condition/path-loss/path/2a", "hw.host.power"} {
		if v, ok := s.Find(id); ok {
			t.Errorf("%s is %v and should not be there", id, v)
		}
	}
	if v, ok := Take(&Snapshot{}).Find("quartet.up"); !ok || v != 0 {
		t.Error("without a media plane", v, ok)
	}
}

func TestPrometheusNames(t *testing.T) {
	for name, want := range map[string]string{
		"quartet.path.bitrate":             "quartet_path_bitrate_bit_per_second",
		"quartet.path.srt.ms_rtt":          "quartet_path_srt_ms_rtt_milliseconds",
		"quartet.path.srt.pkt_snd_loss":    "quartet_path_srt_pkt_snd_loss_total",
		"quartet.path.send_loss":           "quartet_path_send_loss_ratio",
		"quartet.availability":             "quartet_availability_ratio",
		"quartet.energy.per_streamed_hour": "quartet_energy_per_streamed_hour_joules",
		"system.cpu.time":                  "system_cpu_time_seconds_total",
		"hw.temperature":                   "hw_temperature_celsius",
		"quartet.telemetry.disk.usage":     "quartet_telemetry_disk_usage_bytes",
	} {
		d, ok := Lookup(name)
		if !ok || d.PrometheusName() != want {
			t.Errorf("%s is %s, want %s", name, d.PrometheusName(), want)
		}
	}
}

// TestCollector: what Prometheus gets is the sample, and it has no complaint.
func TestCollector(t *testing.T) {
	s := Take(full())
	c := NewCollector(func() *Sample { return s })
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range families {
		n += len(f.Metric)
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", f.GetName())
		}
	}
	if n != len(s.Series) {
		t.Errorf("%d of %d series", n, len(s.Series))
	}
	none := prometheus.NewPedanticRegistry()
	none.MustRegister(NewCollector(func() *Sample { return nil }))
	if families, err := none.Gather(); err != nil || len(families) != 0 {
		t.Error("series without a sample", err)
	}
}

// TestCodec: schemas and values come back; gauges to seven digits.
func TestCodec(t *testing.T) {
	s := Take(full())
	b, err := AppendSchema(nil, s.Series)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseSchema(b)
	if err != nil || !reflect.DeepEqual(back, s.Series) {
		t.Fatalf("%v", err)
	}
	series := []Series{{Kind: Gauge}, {Kind: Counter}, {Kind: Gauge}, {Kind: Counter}}
	rapid.Check(t, func(t *rapid.T) {
		values := make([]float64, len(series))
		for i := range values {
			values[i] = rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Int64(), func(n int64) float64 { return float64(n) }),
				rapid.SampledFrom([]float64{0, 1, 0.1, math.NaN(), 23.456, -1, 1e15, math.Inf(1), math.MaxFloat64, 1 << 61, -1 << 61}), rapid.Float64Range(-1000, 1000)).Draw(t, "v")
		}
		got, err := ParseValues(AppendValues(nil, series, values), len(values))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			exact := series[i].Kind == Counter || v == math.Trunc(v) && math.Abs(v) < 1<<61
			if math.IsNaN(v) && math.IsNaN(got[i]) {
				continue
			}
			if got[i] != v && (exact || math.Abs(got[i]-v) > math.Abs(v)*2e-7 && math.Abs(got[i]-v) > 1e-37) {
				t.Fatalf("%v came back as %v", v, got[i])
			}
		}
	})
	if got, _ := ParseValues(AppendValues(nil, []Series{{}}, []float64{23.456}), 1); got[0] != 23.456 {
		t.Error(got)
	}
}

// TestUnion: series that come and go keep their places.
func TestUnion(t *testing.T) {
	var u Union
	sample := func(down ...string) *Sample {
		n := &Snapshot{}
		for _, p := range down {
			n.Conditions = append(n.Conditions, control.Condition{Code: "path-down", Resource: p, Severity: health.Major, Active: true})
		}
		return Take(n)
	}
	if !u.Add(sample()) || u.Add(sample()) || !u.Add(sample("path/1a")) || u.Add(sample()) || !u.Add(sample("path/1b")) || u.Add(sample("path/1b")) {
		t.Error("growth is told wrongly")
	}
	n := len(u.Series)
	if a, b := u.Values[n-2], u.Values[n-1]; !math.IsNaN(a) || b != 1 {
		t.Error(a, b)
	}
	for i := range maxUnion {
		u.Add(sample(fmt.Sprint("path/", i)))
	}
	if len(u.Series) > maxUnion {
		t.Errorf("%d series", len(u.Series))
	}
}

// TestManual: docs/telemetry.md has the table as it is. QUARTET_WRITE=1 writes
// it there.
func TestManual(t *testing.T) {
	const file, begin, end = "../../../docs/telemetry.md", "<!-- table of metrics: written by device/telemetry/measure, TestManual -->\n", "<!-- end of the table -->\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := bytes.Cut(b, []byte(begin))
	shown, foot, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		t.Fatal("docs/telemetry.md has no place for the table")
	}
	if string(shown) == Manual() {
		return
	}
	if os.Getenv("QUARTET_WRITE") == "" {
		t.Fatal("docs/telemetry.md does not show the table as it is: run QUARTET_WRITE=1 go test -run TestManual ./device/telemetry/measure")
	}
	if err := os.WriteFile(file, bytes.Join([][]byte{head, []byte(begin), []byte(Manual()), []byte(end), foot}, nil), 0o644); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	s := Take(full())
	schema, err := AppendSchema(nil, s.Series)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(schema, uint16(len(s.Values)))
	f.Add(AppendValues(nil, s.Series, s.Values), uint16(len(s.Values)))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		if series, err := ParseSchema(b); err == nil {
			for i := range series {
				series[i].ID()
			}
		}
		values, err := ParseValues(b, int(n))
		if err == nil && len(values) != int(n) {
			t.Error(len(values))
		}
	})
}
