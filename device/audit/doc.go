// Package audit keeps the record of who did what to the box: logins, changes of
// the configuration, updates, resets, changes of the clock.
//
//	Append ─ number, bounds, checksum ─ write, fsync ─▶ segment ─▶ OnRecord (telemetry)
//	Query  ─ segments from a number on ─▶ records
//
// The log is a ring of segment files, audit.v1.<number of the first record>.log:
// when all together would exceed the limit, the oldest goes. A record is a line,
// "crc32c of what follows, in hex" + " " + JSON, so that it can be read with
// ordinary tools, and so that damage to one costs that one alone. A line that a
// power cut left torn at the end is cut off at the next Open.
//
// Numbers never repeat and have no gaps but those of damage and of what the
// ring dropped; a reader that remembers the last one misses nothing unknowingly.
//
// Records hold no secrets: callers pass no values of secret fields, and of a
// failed login no user name that does not exist (people type passwords there).
// Whose disk it is can change it; that is why records are sent home as well.
// The package imports nothing else of Quartet.
package audit
