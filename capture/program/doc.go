// Package program takes one programme out of a transport stream: the tables, the
// clock, the first picture and the sounds that a decoder shall have, and nothing
// else. It says in words why there is nothing to decode: no tables, no such
// programme, no picture, scrambled.
//
// The way of the data: packets → Selector.Push → mpegts.Tables (what is there) →
// Choice (what is taken) → the packets of its PIDs. Pure logic: no clock, no
// goroutine, no I/O.
package program
