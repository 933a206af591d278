// Package rtp turns transport-stream packets into the RTP messages that leave
// the box, and checks and describes them at the far end.
//
// Its one job is the wire format around the Reed-Solomon code: the source
// packet (RFC 2250 in RFC 3550), the authentication tag behind every message,
// the digest by which both ends show that they hold the same packets, and the
// RTCP reports that both ends exchange.
//
// A packet's way at the sender:
//
//	mpegts.Pacer → Packetizer.WriteTS → source packet → fec.Encoder → Tagger.AppendTag → path
//	                                          └→ Sum, Digest.AddSum
//
// and at the receiver:
//
//	SRT message → Verifier.Check → IsRTCP? → ParseReport
//	                             → ParseSource, Digest.Add, Reception.Add → fec.Decoder
//
// A message on the wire is one packet followed by the tag:
//
//	+------------------------------------+------------+
//	| source, repair or RTCP packet      | tag (8 B)  |
//	+------------------------------------+------------+
//
// All integers are big-endian. The longest message is [MaxMessage] bytes.
// Nothing here starts a goroutine, reads a clock or does I/O: instants come in
// as time.Duration since an arbitrary start of the process. Unless a type says
// otherwise, one goroutine at a time may use a value.
//
// pion/rtcp writes and reads the standard RTCP packets. The RTP header is
// handled here by hand: pion/rtp's parser builds slices for CSRCs and
// extensions, and the packet path must not allocate. The tests hold the two
// against each other.
package rtp
