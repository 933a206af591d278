// Package health turns observations into coded conditions: what is wrong, with
// which part, since when, how badly, and what a person should do about it. The
// page, quartetctl, LEDs, telemetry and the relay output all show this one
// list. Its shape follows RFC 8632 (YANG alarm management): a condition is
// identified by its code and the resource it is about, has a severity, the
// times of raising and clearing, a count and a text; it stays in the list after
// it has cleared.
//
// The way of an observation:
//
//	Set or Measure(now, code, resource, …)
//	   ─ threshold with hysteresis ─ hold-on / hold-off ─ masking
//	   ─▶ condition raised, changed or cleared ─▶ event ─▶ Ring ─▶ readers
//
// All time is passed in as a duration since an arbitrary start of the process;
// the package has no goroutine, no clock and no I/O. A Monitor may be used by
// several goroutines. It imports nothing else of Quartet.
package health
