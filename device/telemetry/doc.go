// Package telemetry tells home how the box is: metrics every ten seconds, alarms
// and audit at once, to an OpenTelemetry Collector over mutual TLS. Its one job is
// that nothing is missing there afterwards, whatever happens in between.
//
//	quartetd's status, each second ─┬─▶ reliability (path, leg, pair)
//	/proc, /sys ────────────────────┤
//	conditions ─────────────────────┴─▶ sample, each 10 s ─▶ log on disk ─▶ courier ─▶ home
//	events of quartetd, of management, audit ─▶ log on disk, synced ─▶ courier ─▶ home
//	                                    sample ─▶ history, /metrics
//
// spool keeps the logs, measure has the table of metrics, home speaks OTLP,
// history is for the page, system reads the machine. Here they are put together:
// the time line, which says what time of day something was (also of what came
// before the clock was set), reliability, the queues, the conditions of telemetry
// itself, and what GET /telemetry shows.
//
// docs/telemetry.md is for who receives it, docs/fleet.md for who runs many boxes.
package telemetry
