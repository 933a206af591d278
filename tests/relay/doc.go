// Package relay is a seeded userland UDP impairment relay: the bad network of
// the tests, the benchmarks and the demo, for machines whose kernel has no
// netem. Its one job is to give every packet between clients and a fixed
// upstream the same fate in every run with the same seed.
//
// There are four layers, each usable alone:
//
//   - [Channel] decides. It is pure: the n-th packet, its time and size in, a
//     [Fate] out; no clock, no I/O. Simulations in virtual time use it as it is.
//   - [Pipe] is a Channel with the packets in flight: Send, Pop, Next. Also pure.
//   - [Relay] and [Group] move real datagrams. A client sends to the relay's
//     listening socket; the relay forwards from a socket of its own for that
//     client (as a NAT does) to the upstream, and back. All relays of a group
//     are served by one goroutine, and share the common loss of the group.
//   - [Scenario] is a JSON document of relays and what changes when;
//     tests/relay/cmd/relay runs it.
//
// # Fate and seeds
//
// Own draws of a channel are hashes of (seed, relay name, direction, kind of
// impairment, packet number), so one kind of impairment switched on or off does
// not move the draws of the others. Whatever is a process in time (bursts given
// in ms, common loss, jitter) is a hash of the time slot of 1 ms (jitter: 10 ms)
// instead. Common loss depends on the group's seed, the direction and the slot
// only: relays in several processes that were given the same seed and the same
// zero of time lose at the same instants.
package relay
