package telemetry

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry/home"
	"quartet/device/telemetry/measure"
	"quartet/device/telemetry/spool"
)

// Kinds of records in the logs.
const (
	kindSample spool.Kind = 1 // of metrics; may be thinned out
	kindEvent  spool.Kind = 2
	kindRefuse spool.Kind = 3 // in quarantine
)

// sample is a record of metrics as it lies in the log. Boot and series are in
// the preamble.
type sample struct {
	Mono   time.Duration
	Wall   time.Time // as the machine had it
	Kept   bool      // somebody kept the clock
	Box    time.Duration
	Manage time.Duration // when quartetd and management started, monotonic; -1: not known
	Boot   string
	Series []measure.Series
	Values []float64
}

const sampleVersion = 1

func (s *sample) append(b []byte) []byte {
	b = append(b, sampleVersion)
	b = binary.AppendVarint(b, int64(s.Mono))
	b = binary.AppendVarint(b, s.Wall.UnixNano())
	kept := byte(0)
	if s.Kept {
		kept = 1
	}
	b = append(b, kept)
	b = binary.AppendVarint(b, int64(s.Box))
	b = binary.AppendVarint(b, int64(s.Manage))
	return measure.AppendValues(b, s.Series, s.Values)
}

// preamble is what is needed to understand samples.
func appendPreamble(boot string, series []measure.Series) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(boot)))
	return measure.AppendSchema(append(b, boot...), series)
}

func parsePreamble(b []byte) (boot string, series []measure.Series, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return "", nil, errors.New("a preamble that is cut off")
	}
	boot = string(b[k : k+int(n)])
	series, err = measure.ParseSchema(b[k+int(n):])
	return boot, series, err
}

// parseSample reads a record; boot and series are filled in already.
func (s *sample) parseSample(b []byte) error {
	if len(b) == 0 || b[0] != sampleVersion {
		return errors.New("a record of another version")
	}
	b = b[1:]
	var err error
	number := func() int64 {
		v, k := binary.Varint(b)
		if k <= 0 {
			err = errors.New("a record that is cut off")
			return 0
		}
		b = b[k:]
		return v
	}
	s.Mono = time.Duration(number())
	s.Wall = time.Unix(0, number()).UTC()
	if len(b) == 0 || err != nil {
		return errors.New("a record that is cut off")
	}
	s.Kept = b[0] == 1
	b = b[1:]
	s.Box, s.Manage = time.Duration(number()), time.Duration(number())
	if err != nil {
		return err
	}
	s.Values, err = measure.ParseValues(b, len(s.Series))
	return err
}

// Names of events.
const (
	EventCondition = "quartet.condition" // a condition was raised, changed or cleared
	EventNote      = "quartet.note"      // something happened
	EventAudit     = "quartet.audit"     // somebody did something
	EventGap       = "quartet.gap"       // records are missing, and how many
)

// event is an alarm, an audit record or a gap as it lies in the log.
type event struct {
	Boot     string          `json:"boot"`
	Mono     time.Duration   `json:"mono"`
	Wall     time.Time       `json:"wall"`
	Kept     bool            `json:"kept"`
	Name     string          `json:"name"`
	Severity health.Severity `json:"severity"`
	Text     string          `json:"text"`
	Attrs    []attr          `json:"attrs,omitempty"`
	// Origin is the event's ID at quartetd, from which on the next are asked for.
	Origin string `json:"origin,omitempty"`
	// UID is its identity, if it has one of its own.
	UID string `json:"uid,omitempty"`
}

type attr struct {
	Name  string `json:"n"`
	Value string `json:"v"`
}

// maxText bounds the texts of an event.
const maxText = 8 << 10

func (e *event) data() []byte {
	e.Text = e.Text[:min(len(e.Text), maxText)]
	for i := range e.Attrs {
		e.Attrs[i].Value = e.Attrs[i].Value[:min(len(e.Attrs[i].Value), maxText)]
	}
	b, err := json.Marshal(e)
	if err != nil {
		b, _ = json.Marshal(event{Boot: e.Boot, Mono: e.Mono, Wall: e.Wall, Name: e.Name, Text: "cannot be written: " + err.Error()})
	}
	return b
}

// parseEvent reads what data wrote.
func parseEvent(b []byte) (e event, err error) {
	err = json.Unmarshal(b, &e)
	return e, err
}

// severityNumbers are OpenTelemetry's for ours.
var severityNumbers = [...]int{health.Info: 9, health.Warning: 13, health.Minor: 14, health.Major: 17, health.Critical: 21}

// send makes it what goes home.
func (e *event) send(uid string, at time.Time, clock string) home.Event {
	h := home.Event{UID: uid, Name: e.Name, Time: at, Severity: severityNumbers[min(e.Severity, health.Critical)], Word: e.Severity.String(), Text: e.Text}
	if e.UID != "" {
		h.UID = e.UID
	}
	h.Attrs = []home.Attr{{Name: "quartet.boot.id", Value: e.Boot}, {Name: "quartet.monotonic", Value: e.Mono.Seconds()},
		{Name: "quartet.clock.state", Value: clock}}
	for _, a := range e.Attrs {
		h.Attrs = append(h.Attrs, home.Attr{Name: a.Name, Value: a.Value})
	}
	return h
}

// conditionEvent is an event of the list of conditions.
func conditionEvent(kind health.EventKind, c *control.Condition, source string) *event {
	e := &event{Name: EventCondition, Severity: c.Severity, Text: c.Text, Attrs: []attr{
		{"quartet.condition.id", c.ID}, {"quartet.condition.code", string(c.Code)}, {"quartet.condition.resource", c.Resource},
		{"quartet.condition.event", string(kind)}, {"quartet.condition.severity", c.Severity.String()}, {"quartet.condition.source", source},
	}}
	switch kind {
	case health.Note:
		e.Name = EventNote
	case health.Cleared:
		e.Severity = health.Info // what is over wakes nobody
	}
	if c.Remedy != "" && kind != health.Cleared {
		e.Attrs = append(e.Attrs, attr{"quartet.condition.remedy", c.Remedy})
	}
	if c.Unit != "" {
		e.Attrs = append(e.Attrs, attr{"quartet.condition.value", fmt.Sprintf("%g %s", c.Value, c.Unit)})
	}
	if c.Count > 0 {
		e.Attrs = append(e.Attrs, attr{"quartet.condition.count", fmt.Sprint(c.Count)})
	}
	return e
}

// AuditRecord is what somebody did at the box.
type AuditRecord struct {
	Actor   string // user, or "system"
	Role    string
	Source  string // address
	Action  string // such as "config.write"
	Target  string
	Outcome string // such as "ok" or "refused"
	Detail  string
}

func (a *AuditRecord) event() *event {
	e := &event{Name: EventAudit, Severity: health.Info, Text: a.Actor + ": " + a.Action}
	if a.Target != "" {
		e.Text += " " + a.Target
	}
	if a.Outcome != "" {
		e.Text += ": " + a.Outcome
	}
	for _, x := range []attr{{"user.name", a.Actor}, {"user.roles", a.Role}, {"client.address", a.Source}, {"quartet.audit.action", a.Action},
		{"quartet.audit.target", a.Target}, {"quartet.audit.outcome", a.Outcome}, {"quartet.audit.detail", a.Detail}} {
		if x.Value != "" {
			e.Attrs = append(e.Attrs, x)
		}
	}
	return e
}
