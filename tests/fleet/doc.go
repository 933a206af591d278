// Command fleet plays many boxes against one real OpenTelemetry Collector and
// says what that costs: each box has a certificate and a connection of its own,
// and sends what a box with four paths sends, every ten seconds, through the same
// code as a box. Then the Collector is away for a while, and comes back to all of
// them at once.
//
//	go run ./tests/fleet --collector build/otelcol/otelcol --boxes 1000 --for 2m
//
// The report is Markdown. docs/fleet.md has one.
package main
