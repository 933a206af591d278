// Package st2022 is SMPTE ST 2022-1 forward error correction (Pro-MPEG CoP3):
// XOR parity over the columns and rows of a matrix of L × D RTP packets, sent
// as RTP on ports of its own. Its one job is to speak to receivers and senders
// that know nothing better; Quartet's own code is package fec.
//
// Source packets enter an [Encoder] by Add and leave unchanged beside it; the
// encoder emits column packets (to the media port + 2) and row packets (to the
// media port + 4). A [Decoder] takes packets of all three ports and delivers
// source packets in order, each a constant time after its arrival, repaired
// where rows and columns allow it, and says which are lost.
//
// Both are pure: packets and the time go in, callbacks come out; there is no
// goroutine, clock or I/O, and no allocation per packet. Times are monotonic,
// counted from any start.
//
// # FEC packet
//
// An RTP header (12 bytes, no CSRC, no extension, payload type 96, its own
// sequence numbers) is followed by this header, big-endian, and the parity:
//
//	byte  bits
//	0     16    SNBase low: sequence number of the first protected packet
//	2     16    length recovery: XOR of the lengths after the 12-byte RTP header
//	4     1     E: 1, the header is extended beyond RFC 2733
//	4     7     PT recovery: XOR of the payload types
//	5     24    mask: 0, unused
//	8     32    TS recovery: XOR of the RTP timestamps
//	12    1     X: 0
//	12    1     D: 0 column, 1 row
//	12    3     type: 0, XOR
//	12    3     index: 0
//	13    8     offset: distance of the protected packets, L for a column, 1 for a row
//	14    8     NA: how many packets are protected, D for a column, L for a row
//	15    8     SNBase ext: 0, RTP sequence numbers have 16 bits
//
// The bits P, X, CC and M of the RTP header are the XOR of the protected
// packets' (RFC 2733), so 0 for a transport stream.
//
// The parity does not cover the SSRC. Our decoder gives a repaired packet the
// stream's; GStreamer's rtpst2022-1-fecdec gives it 0 and its fecenc accepts
// only 0, so a stream that such receivers repair should have SSRC 0.
package st2022
