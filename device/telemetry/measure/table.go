package measure

import (
	"fmt"
	"strings"

	"quartet/device/control"
	"quartet/device/health"
	"quartet/device/telemetry/system"
)

// row is a metric and how to read it of a T; no value where ok is false.
type row[T any] struct {
	Def
	read func(*T) (v float64, ok bool)
}

func gauge[T any](name, unit string, labels []string, key int, text, like string, read func(*T) float64) row[T] {
	return row[T]{Def{Name: name, Unit: unit, Labels: labels, Key: key, Text: text, Like: like},
		func(v *T) (float64, bool) { return read(v), true }}
}

func counter[T any](since Since, name, unit string, labels []string, key int, text, like string, read func(*T) float64) row[T] {
	r := gauge(name, unit, labels, key, text, like, read)
	r.Kind, r.Since = Counter, since
	return r
}

// only makes a row that has a value under a condition.
func only[T any](r row[T], when func(*T) bool) row[T] {
	read := r.read
	r.read = func(v *T) (float64, bool) {
		if !when(v) {
			return 0, false
		}
		return read(v)
	}
	return r
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func emit[T any](s *Sample, rows []row[T], v *T, labels ...string) {
	for i := range rows {
		if x, ok := rows[i].read(v); ok {
			s.add(&rows[i].Def, x, labels)
		}
	}
}

// Take reads all metrics of a snapshot.
func Take(n *Snapshot) *Sample {
	s := &Sample{}
	emit(s, overall, n)
	if b := n.Box; b != nil {
		emit(s, boxRows, b)
		for i := range b.Input.Legs {
			emit(s, inputLegRows, &b.Input.Legs[i], fmt.Sprint(i+1))
		}
		for _, m := range []struct {
			place string
			*control.Monitor
		}{{control.AtInput, b.Input.Monitor}, {control.AtOutput, b.Output.Monitor}} {
			if m.Monitor != nil {
				takeStream(s, m.place, m.Monitor)
			}
		}
		if e := b.Input.Engine; e != nil {
			emit(s, engineRows, e)
			for i, v := range e.PeakDB {
				emit(s, levelRows, &level{v, at(e.RMSDB, i)}, fmt.Sprint(i+1))
			}
		}
		if c := b.Input.Confidence; c != nil {
			takeConfidence(s, c)
		}
		for i := range b.Paths {
			p := &b.Paths[i]
			labels := []string{p.Name, fmt.Sprint(p.Leg)}
			emit(s, pathRows, p, labels...)
			if p.Arrival != nil {
				emit(s, arrivalRows, p.Arrival, labels...)
			}
		}
	}
	for i := range n.Reliability {
		r := &n.Reliability[i]
		emit(s, reliabilityRows, r, r.Scope, r.Name)
	}
	takeConditions(s, n.Conditions)
	takeSystem(s, &n.System)
	if n.Update != nil {
		takeUpdate(s, n.Update)
	}
	if n.Board != nil {
		takeBoard(s, n.Board)
	}
	return s
}

func at(list []float64, i int) float64 {
	if i < len(list) {
		return list[i]
	}
	return 0
}

func takeStream(s *Sample, place string, m *control.Monitor) {
	emit(s, streamRows, m, place)
	for i := range m.Checks {
		c := &m.Checks[i]
		if c.Measured || c.Count > 0 {
			emit(s, checkRows, c, place, c.Clause, c.Name, fmt.Sprint(c.Priority))
		}
	}
	for i := range m.Clocks {
		if i == maxClocks {
			break
		}
		emit(s, clockRows, &m.Clocks[i], place, fmt.Sprint(m.Clocks[i].PID))
	}
}

func takeConfidence(s *Sample, c *control.Confidence) {
	emit(s, confidenceRows, c)
	if c.Picture != nil {
		emit(s, pictureRows, c.Picture)
	}
	channel := 0
	for i := range c.Sound {
		p := &c.Sound[i]
		emit(s, soundRows, p, fmt.Sprint(i+1))
		for j := range p.Channels {
			channel++
			emit(s, channelRows, &p.Channels[j], fmt.Sprint(channel))
		}
	}
}

// maxClocks bounds the series that a multiplex of many programs makes.
const maxClocks = 4

func takeConditions(s *Sample, list []control.Condition) {
	counts := [health.Critical + 1]int{}
	for i := range list {
		if list[i].Active && !list[i].Masked && list[i].Severity <= health.Critical {
			counts[list[i].Severity]++
		}
	}
	for sev := health.Warning; sev <= health.Critical; sev++ {
		n := float64(counts[sev])
		emit(s, severityRows, &n, sev.String())
	}
	for i := range list {
		if c := &list[i]; c.Active && !c.Masked {
			emit(s, conditionRows, c, string(c.Code), c.Resource, c.Severity.String())
		}
	}
}

func takeSystem(s *Sample, r *system.Reading) {
	emit(s, systemRows, r)
	for i := range r.CPU {
		emit(s, cpuRows, &r.CPU[i], r.CPU[i].Mode)
	}
	m := &r.Memory
	for _, x := range []struct {
		state string
		v     uint64
	}{{"used", m.Total - min(m.Total, m.Free+m.Buffers+m.Cached)}, {"free", m.Free}, {"cached", m.Cached}, {"buffers", m.Buffers}} {
		v := float64(x.v)
		emit(s, memoryRows, &v, x.state)
	}
	for i := range r.Disks {
		d := &r.Disks[i]
		for _, x := range []struct {
			state string
			v     uint64
		}{{"used", d.Total - min(d.Total, d.Free)}, {"free", d.Free}} {
			v := float64(x.v)
			emit(s, diskRows, &v, d.Path, x.state)
		}
	}
	for i := range r.Networks {
		n := &r.Networks[i]
		emit(s, linkRows, n, n.Name)
		emit(s, receiveRows, n, n.Name, "receive")
		emit(s, transmitRows, n, n.Name, "transmit")
	}
	for i := range r.Sensors {
		n := &r.Sensors[i]
		for j := range sensorRows {
			if x, ok := sensorRows[j].read(n); ok {
				s.add(&sensorRows[j].Def, x, []string{n.ID})
			}
		}
	}
}

// Table returns all metrics, in the order of the manual, each once.
func Table() []Def {
	var list []Def
	seen := map[string]bool{}
	add := func(d Def) {
		if !seen[d.Name] { // receive and transmit are two readings of one metric
			seen[d.Name] = true
			list = append(list, d)
		}
	}
	defs(add, overall)
	add(Record)
	defs(add, boxRows)
	defs(add, inputLegRows)
	defs(add, engineRows)
	defs(add, levelRows)
	defs(add, confidenceRows)
	defs(add, pictureRows)
	defs(add, soundRows)
	defs(add, channelRows)
	defs(add, streamRows)
	defs(add, checkRows)
	defs(add, clockRows)
	defs(add, pathRows)
	defs(add, arrivalRows)
	defs(add, reliabilityRows)
	defs(add, severityRows)
	defs(add, conditionRows)
	defs(add, systemRows)
	defs(add, cpuRows)
	defs(add, memoryRows)
	defs(add, diskRows)
	defs(add, linkRows)
	defs(add, receiveRows)
	defs(add, sensorRows)
	defs(add, boardRows)
	defs(add, contactRows)
	defs(add, updateRows)
	defs(add, slotRows)
	return list
}

func defs[T any](add func(Def), rows []row[T]) {
	for i := range rows {
		add(rows[i].Def)
	}
}

// Lookup finds a metric by its name.
func Lookup(name string) (Def, bool) {
	for _, d := range Table() {
		if d.Name == name {
			return d, true
		}
	}
	return Def{}, false
}

// Manual is the table as docs/telemetry.md shows it.
func Manual() string {
	var b strings.Builder
	b.WriteString("| metric | unit | type | labels | meaning | MediaConnect, Link |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, d := range Table() {
		kind := "gauge"
		if d.Kind == Counter {
			kind = "counter"
		}
		fmt.Fprintf(&b, "| `%s`<br>`%s` | %s | %s | %s | %s | %s |\n", d.Name, d.PrometheusName(), d.Unit, kind,
			strings.Join(d.Labels, ", "), d.Text, d.Like)
	}
	return b.String()
}
