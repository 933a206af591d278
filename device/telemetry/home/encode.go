package home

import (
	"math"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"quartet/device/telemetry/measure"
)

// Attr is an attribute: of a resource or of a log record. Value is a string, a
// bool, an int64 or a float64.
type Attr struct {
	Name  string
	Value any
}

// Metrics is one record of metrics.
type Metrics struct {
	Epoch  string // with Number its identity
	Number uint64
	Time   time.Time
	Boot   string // of the machine
	Clock  string // how Time was found
	Series []measure.Series
	Values []float64
	// Starts says since when counters count; the zero time is not sent.
	Starts [measure.Ever + 1]time.Time
}

// Event is one log record.
type Event struct {
	UID      string // its identity: log.record.uid
	Name     string // event name
	Time     time.Time
	Severity int    // OpenTelemetry's severity number
	Word     string // the severity in our words
	Text     string
	Attrs    []Attr
}

const scope = "quartet/device/telemetry"

// EncodeMetrics makes the body of a request to /v1/metrics, before compression.
// A MetricsData is an ExportMetricsServiceRequest on the wire, without the
// latter's dependencies.
func EncodeMetrics(resource []Attr, list []Metrics) ([]byte, error) {
	sm := &metricspb.ScopeMetrics{Scope: &commonpb.InstrumentationScope{Name: scope}}
	byName := map[string]*metricspb.Metric{}
	// Points of one series share their attributes.
	attrs := map[*measure.Series][]*commonpb.KeyValue{}
	for i := range list {
		m := &list[i]
		for j := range m.Series {
			if math.IsNaN(m.Values[j]) {
				continue // not there at that moment
			}
			s := &m.Series[j]
			a, ok := attrs[s]
			if !ok {
				a = make([]*commonpb.KeyValue, len(s.Labels))
				for k, l := range s.Labels {
					a[k] = text(l.Name, l.Value)
				}
				attrs[s] = a
			}
			add(sm, byName, s, a, m.Values[j], m.Time, m.Starts)
		}
		r := measure.Series{Name: measure.Record.Name, Unit: measure.Record.Unit}
		add(sm, byName, &r, []*commonpb.KeyValue{text("epoch", m.Epoch), text("boot", m.Boot), text("clock", m.Clock)},
			float64(m.Number), m.Time, m.Starts)
	}
	return proto.Marshal(&metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: resourceOf(resource), ScopeMetrics: []*metricspb.ScopeMetrics{sm}}}})
}

// add appends a point to its metric.
func add(sm *metricspb.ScopeMetrics, byName map[string]*metricspb.Metric, s *measure.Series, attrs []*commonpb.KeyValue,
	v float64, at time.Time, starts [measure.Ever + 1]time.Time) {
	p := &metricspb.NumberDataPoint{Attributes: attrs, TimeUnixNano: nanos(at), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: v}}
	m := byName[s.Name]
	if m == nil {
		m = &metricspb.Metric{Name: s.Name, Unit: s.Unit}
		if s.Kind == measure.Counter {
			m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{IsMonotonic: true,
				AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE}}
		} else {
			m.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{}}
		}
		byName[s.Name] = m
		sm.Metrics = append(sm.Metrics, m)
	}
	switch d := m.Data.(type) {
	case *metricspb.Metric_Sum:
		p.StartTimeUnixNano = nanos(starts[s.Since])
		d.Sum.DataPoints = append(d.Sum.DataPoints, p)
	case *metricspb.Metric_Gauge:
		d.Gauge.DataPoints = append(d.Gauge.DataPoints, p)
	}
}

// EncodeEvents makes the body of a request to /v1/logs, before compression.
func EncodeEvents(resource []Attr, list []Event) ([]byte, error) {
	sl := &logspb.ScopeLogs{Scope: &commonpb.InstrumentationScope{Name: scope}}
	for i := range list {
		e := &list[i]
		r := &logspb.LogRecord{TimeUnixNano: nanos(e.Time), ObservedTimeUnixNano: nanos(e.Time), EventName: e.Name,
			SeverityNumber: logspb.SeverityNumber(e.Severity), SeverityText: e.Word,
			Body:       &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: e.Text}},
			Attributes: append(keyValues(e.Attrs), text("log.record.uid", e.UID))}
		sl.LogRecords = append(sl.LogRecords, r)
	}
	return proto.Marshal(&logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{
		Resource: resourceOf(resource), ScopeLogs: []*logspb.ScopeLogs{sl}}}})
}

func resourceOf(attrs []Attr) *resourcepb.Resource {
	return &resourcepb.Resource{Attributes: keyValues(attrs)}
}

func text(name, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: name, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func keyValues(attrs []Attr) []*commonpb.KeyValue {
	list := make([]*commonpb.KeyValue, 0, len(attrs)+1)
	for _, a := range attrs {
		v := &commonpb.AnyValue{}
		switch x := a.Value.(type) {
		case string:
			v.Value = &commonpb.AnyValue_StringValue{StringValue: x}
		case bool:
			v.Value = &commonpb.AnyValue_BoolValue{BoolValue: x}
		case int64:
			v.Value = &commonpb.AnyValue_IntValue{IntValue: x}
		case float64:
			v.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: x}
		}
		list = append(list, &commonpb.KeyValue{Key: a.Name, Value: v})
	}
	return list
}

// nanos is a time as OTLP has it; 0, which is "not known", for the zero time.
func nanos(t time.Time) uint64 {
	if t.IsZero() || t.UnixNano() < 0 {
		return 0
	}
	return uint64(t.UnixNano())
}
