// Package spool is a log on disk that survives what happens to boxes: power
// cuts at any write, a disk that is full, read-only or broken, a reader that is
// away for weeks. Telemetry keeps in it what home has not acknowledged yet.
//
//	Append ─▶ memory ─▶ segment file ─ Sync ─▶ durable ─▶ After ─▶ reader ─ Ack
//	            └──────── the disk fails: kept here, written later
//
// A log is a folder of segments, each written once from its start to its end. A
// segment is
//
//	offset  length  field
//	     0       8  magic "QSPOOL1\n"
//	     8       8  epoch: random, of the process that wrote it
//	    16       8  number of the first record, big-endian like all numbers here
//	    24       1  level: 0 whole, 1 every 6th record, 2 every 60th
//	    25       2  length of the preamble's entries together, in bytes
//	    27       4  CRC-32C of all before and of the preamble
//	    31          preamble: what a reader must know to understand the records
//	                then records
//
// and a record is
//
//	offset  length  field
//	     0       4  length of the data
//	     4       4  CRC-32C of all that follows
//	     8       8  number: 1, 2, 3 … over all segments
//	    16       1  kind, the caller's
//	    17          data
//
// A record's identity is (epoch, number). Numbers of records that were never
// durable may be given again after a power cut, but not with the same epoch.
//
// What does not check is passed over; a reader learns from the numbers how many
// records are missing before each. When the log grows over its cap, segments
// that were acknowledged go first; then records of kinds that may be thinned are
// thinned, oldest segment first; only then whole segments are removed.
//
// The package has no goroutine and no clock: time is passed in. It does I/O
// through the interface FS only, so that tests can break every single call.
package spool
