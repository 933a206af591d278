// Package home sends telemetry to an OpenTelemetry Collector, or whatever speaks
// OTLP/HTTP (opentelemetry.io/docs/specs/otlp): protobuf, gzip, mutual TLS.
//
//	Queue.Next ─▶ Courier ─▶ Client.Post ─▶ home
//	                 └─ accepted: Queue.Accepted · again: wait · too large: halve
//	                    refused: is it this record, or everything? ─▶ Queue.Refused
//
// What is sent again is sent unchanged in what identifies it, so that home can
// tell doubles: log.record.uid of a log record, the metric
// quartet.telemetry.record of a record of metrics.
//
// Nothing is lost because home is set up wrongly. A request that is refused for
// good (anything but 429, 502, 503, 504 and silence) is followed by an empty one:
// if that is refused too, home refuses everything, and the records wait. Only a
// record that is refused alone, by a home that accepts others, is given up.
package home
