package measure

import (
	"math"
	"regexp"
	"slices"
	"strings"

	"quartet/device/control"
	"quartet/device/telemetry/system"
)

// Kind is how a value behaves.
type Kind uint8

// The kinds.
const (
	Gauge   Kind = iota // goes up and down
	Counter             // only up, and back to 0 with what it counts since
)

// Since is what a counter counts since.
type Since uint8

// The starts.
const (
	Boot   Since = iota // of the machine
	Box                 // of quartetd
	Manage              // of the management plane
	Ever                // kept over restarts
)

// Def is one metric.
type Def struct {
	Name   string   // OpenTelemetry's form, dots between words
	Unit   string   // UCUM
	Kind   Kind     // and what it counts since
	Since  Since    // of a Counter
	Labels []string // OpenTelemetry: attributes
	// Key is how many of the labels tell one series from another; those behind
	// say more about it. 0: all of them.
	Key  int
	Text string // what it is, a sentence
	// Like is the metric of MediaConnect or Elemental Link that it corresponds to;
	// empty if they have none.
	Like string
}

// Snapshot is everything that is known at one moment.
type Snapshot struct {
	Box         *control.Status // nil: quartetd does not answer
	System      system.Reading
	Conditions  []control.Condition // active ones, of all processes
	Reliability []Reliability
	Energy      Energy
	Self        Self
	Update      *Update // nil: there is no updater
	Board       *Board  // nil: nothing is known of it
}

// Scopes of reliability.
const (
	ScopePath = "path"
	ScopeLeg  = "leg"
	ScopePair = "pair" // the legs of this box together
)

// Reliability is how well a path, a leg or the pair of legs did, in seconds
// since it is measured, over restarts.
type Reliability struct {
	Scope, Name string
	Now         bool    // available now
	Observed    float64 // seconds looked at
	Unavailable float64 // of them
	Errored     float64 // of them, available and with something lost
	// Of the last 24 hours and 30 days.
	Day, Month ReliabilityWindow
}

// ReliabilityWindow is reliability over some time.
type ReliabilityWindow struct {
	Observed    float64 `json:"observed_s"`
	Unavailable float64 `json:"unavailable_s"`
	Errored     float64 `json:"errored_s"`
}

// Availability is the share of the time, 1 if nothing was observed.
func (w ReliabilityWindow) Availability() float64 {
	if w.Observed <= 0 {
		return 1
	}
	return 1 - w.Unavailable/w.Observed
}

// Energy is what the box takes, where it has a sensor for its supply.
type Energy struct {
	Known         bool
	Watts         float64
	Joules        float64 // since the management plane started
	StreamedHours float64 // in the same time
}

// Self is how telemetry itself is.
type Self struct {
	Queued          uint64 // records that home does not have yet
	QueuedEvents    uint64
	DiskBytes       int64
	MemoryRecords   int
	DiskFailing     bool
	OldestSeconds   float64 // age of the oldest record that home does not have
	Sent            uint64
	SentEvents      uint64
	Retries         uint64
	Refused         uint64
	Lost            uint64 // thinned out, removed, dropped
	Reachable       bool   // home answered the last request
	ClockTrusted    bool
	ProcessCPU      float64 // seconds
	ProcessResident float64 // bytes
}

// Label is a name and its value.
type Label struct{ Name, Value string }

// Series is one line of values.
type Series struct {
	Name   string
	Unit   string
	Kind   Kind
	Since  Since
	Labels []Label
	Key    int // labels that identify it
}

// ID is the series' name for the history: the metric's name and the values of
// the labels that identify it, separated by slashes: "quartet.path.srt.ms_rtt/1a".
func (s *Series) ID() string {
	var b strings.Builder
	b.WriteString(s.Name)
	for _, l := range s.Labels[:s.Key] {
		b.WriteByte('/')
		b.WriteString(l.Value)
	}
	return b.String()
}

// Sample is the values of all series at one moment, in the table's order.
type Sample struct {
	Series []Series
	Values []float64
}

// Find returns the value of a series by its ID.
func (s *Sample) Find(id string) (float64, bool) {
	for i := range s.Series {
		if s.Series[i].ID() == id {
			return s.Values[i], true
		}
	}
	return 0, false
}

// add appends a value.
func (s *Sample) add(d *Def, v float64, labels []string) {
	ser := Series{Name: d.Name, Unit: d.Unit, Kind: d.Kind, Since: d.Since, Key: d.Key, Labels: make([]Label, len(d.Labels))}
	for i, value := range labels {
		ser.Labels[i] = Label{d.Labels[i], value}
	}
	if ser.Key == 0 {
		ser.Key = len(ser.Labels)
	}
	s.Series, s.Values = append(s.Series, ser), append(s.Values, v)
}

// maxUnion bounds a Union; then it begins anew.
const maxUnion = 4000

// Union keeps the places of series that come and go, such as alarms, so that a
// schema lasts.
type Union struct {
	Series []Series
	Values []float64 // of the sample added last; NaN: it had none
	places map[string]int
}

// Add takes over the values of a sample. It tells whether the series have
// changed; Series is then another slice, the one before stays as it is.
func (u *Union) Add(s *Sample) (changed bool) {
	if u.places == nil || len(u.Series)+len(s.Series) > maxUnion {
		u.Series, u.places, changed = nil, map[string]int{}, true
	}
	places := make([]int, len(s.Series))
	for i := range s.Series {
		key := s.Series[i].full()
		at, ok := u.places[key]
		if !ok {
			if !changed {
				u.Series, changed = slices.Clone(u.Series), true
			}
			at = len(u.Series)
			u.Series = append(u.Series, s.Series[i])
			u.places[key] = at
		}
		places[i] = at
	}
	u.Values = make([]float64, len(u.Series))
	for i := range u.Values {
		u.Values[i] = math.NaN()
	}
	for i, at := range places {
		u.Values[at] = s.Values[i]
	}
	return changed
}

// full is a series' name and all its labels.
func (s *Series) full() string {
	var b strings.Builder
	b.WriteString(s.Name)
	for _, l := range s.Labels {
		b.WriteByte(0)
		b.WriteString(l.Value)
	}
	return b.String()
}

// Units as Prometheus writes them, after OpenTelemetry's compatibility rules.
var prometheusUnits = map[string]string{
	"s": "seconds", "ms": "milliseconds", "ns": "nanoseconds", "By": "bytes", "MiBy": "mebibytes", "Cel": "celsius",
	"W": "watts", "J": "joules", "V": "volts", "Hz": "hertz", "%": "percent", "bit": "bit", "dB": "dB", "rpm": "rpm",
}

var prometheusPer = map[string]string{"s": "second", "h": "hour"}

var (
	notName = regexp.MustCompile(`[^a-zA-Z0-9:]+`)
	braces  = regexp.MustCompile(`\{[^}]*\}`)
)

// PrometheusName is the metric's name in Prometheus: as OpenTelemetry's rules
// make it, so that /metrics of the box and a store behind a Collector agree.
func (d *Def) PrometheusName() string {
	words := strings.FieldsFunc(notName.ReplaceAllString(d.Name, " "), func(r rune) bool { return r == ' ' })
	unit, per, _ := strings.Cut(braces.ReplaceAllString(d.Unit, ""), "/")
	if u, ok := prometheusUnits[unit]; ok && !slices.Contains(words, u) {
		words = append(words, u)
	}
	if p, ok := prometheusPer[per]; ok && !slices.Contains(words, p) {
		words = append(words, "per", p)
	}
	if d.Kind == Counter {
		words = append(slices.DeleteFunc(words, func(w string) bool { return w == "total" }), "total")
	} else if d.Unit == "1" {
		words = append(slices.DeleteFunc(words, func(w string) bool { return w == "ratio" }), "ratio")
	}
	return strings.Join(words, "_")
}

// PrometheusLabel is a label's name in Prometheus.
func PrometheusLabel(name string) string { return notName.ReplaceAllString(name, "_") }
