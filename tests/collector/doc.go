// Package collector runs a real OpenTelemetry Collector for tests: certificates
// of a CA of their own, a configuration with mutual TLS and a file as its store,
// and the program, started and stopped at will. The program is built by
// `make test-collector` from the manifest builder.yaml beside this file.
package collector
