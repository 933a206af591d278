// Command bench measures Quartet against programs that nobody here wrote:
// srt-live-transmit, with and without SRT's own packet filter, and librist's
// ristsender and ristreceiver. It writes report.md for people and report.json
// for programs; `make bench` calls it.
//
// It has five parts, chosen by --parts:
//
//   - loss: residual loss in real time. A numbered transport stream goes into
//     every system at once, over the same impairment relay, seeds and total
//     latency; what comes out is ticked off by number. Runs that the machine
//     spoilt (stalls, drops in the kernel) are repeated, not counted.
//   - virtual: the real encoder, decoder and relay channels in virtual time,
//     with a simple model of retransmission, for rates too low for real time.
//   - cost: CPU seconds per GB, memory and delay of quartetd and
//     quartet-gateway with four AES-256 paths, in pairs with four pairs of
//     srt-live-transmit.
//   - ramp: how many contributions one core of a gateway carries.
//   - packet: time and allocations of the sender's packet path, from the
//     package's own benchmark.
//
// The way of a packet in the first part:
//
//	feed.go → UDP → sender program → relay → receiver program → UDP → sink.go
//
// Files: systems.go (what is compared, and how it is started), wave.go (one
// run), loss.go (all runs of part one), virtual.go and arq.go, cost.go, ramp.go,
// packet.go, stats.go (bounds), report.go and goals.go (what is written).
package main
