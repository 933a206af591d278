// Package udp receives a transport stream from the network: TS packets
// directly in UDP, or in RTP (RFC 2250, SMPTE ST 2022-2), unicast or multicast,
// any-source or source-specific, on a chosen interface. Two RTP legs that carry
// the same stream (SMPTE ST 2022-7) are merged hitlessly, and ST 2022-1
// recovery packets are used where the sender provides them.
//
// The way of a packet: socket.read (a batch of datagrams with the kernel's
// receive times) → receiver.media (sender, format) → Merger (RTP only: order,
// duplicates, the other leg, constant delay) → mpegts.Writer.
//
// Source.Run is one goroutine: every 5 ms it drains all sockets without
// blocking, almost as cheap at 10,000 packets a second as at none, and the
// kernel's receive times keep the arrival instants exact. All that lies behind the
// sockets is pure: instants come in with the datagrams.
//
// IGMP and MLD versions are the kernel's: it speaks IGMPv3 and MLDv2 and falls
// back to what a querier on the link speaks. A source-specific join over IGMPv2
// reaches the routers as an any-source one; the kernel and this package still
// filter by source.
package udp
