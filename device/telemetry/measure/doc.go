// Package measure says what is measured: one table of metrics, each with its
// name, unit, kind, labels, meaning and the metric of AWS Elemental MediaConnect
// or Link that it corresponds to. Everything that shows a metric reads this
// table: what goes home, /metrics, the history on the page, docs/telemetry.md.
//
//	control.Status, system.Reading, conditions … ─▶ Snapshot ─ Take ─▶ Sample
//	Sample ─ Schema once, values each time ─▶ the log on disk
//	Sample ─▶ Prometheus
//
// Names follow OpenTelemetry's semantic conventions where those have one (hw.*,
// system.*), libsrt's for what SRT measures, and ETSI TR 101 290's for checks of
// the stream; the rest is below quartet. Units are UCUM's. To add a metric, add a
// line to the table.
//
// The package is logic alone: no clock, no I/O.
package measure
