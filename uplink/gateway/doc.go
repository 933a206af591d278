// Package gateway is the far end of a leg: it receives the redundant streams
// of any number of boxes, merges and repairs each contribution, releases it on
// a clock of its own and hands it on. Its one job is to tie the parts
// together; what merges and repairs is fec.Decoder.
//
// A packet's way, in reading order:
//
//	ports.go, caller.go      a connection, by stream id or by calling
//	contribution.go          each tick: every message that has come
//	path.go                    ▶ rtp.Verifier: tag right? else it counts as lost
//	                           ▶ control: what the box tells (QRTS), probes
//	                           ▶ rtp.Reception, rtp.Digest: what came on this path
//	                           ▶ fec.Decoder.Push
//	                           ▶ peer.go: forwarded as it came, if first-hand
//	release.go                 ▶ fec.Decoder.Tick: due packets, in order
//	output.go                  ▶ one batch, for all outputs
//	output_udp.go, udpsock.go      RTP (headers unchanged) or plain TS: sendmmsg
//	output_srt.go, output_file.go  ring.go: the hop to a goroutine that may block
//	reports.go               every 200 ms: RR, QRTP and QRTM to the box
//	gateway.go               contributions come, change and go
//	status.go, http.go, metrics.go  what an operator sees
//
// One goroutine owns a contribution: its verifier, decoder, digests and
// counters. Others reach it through its inbox, between two ticks; there is no
// lock and no allocation on a packet's way. A contribution that nobody is
// connected to sleeps.
//
// Release clock: a packet leaves at B + timestamp + D (see fec). The gateway
// tells the decoder each path's wanted delay (setOffset) and D, and says in
// words when D is too small for the paths (budget.go). It ticks every 4 ms
// (DefaultTick), so what leaves at once is at most what 4 ms hold.
//
// Peers: a packet received first-hand, that is from the box, goes to every
// peer as it came, tag and all; one received from a peer never does. So each
// gateway of a leg decodes from all streams of the leg, and because RTP
// headers are never touched, all emit the same packets.
//
// Trust: a caller is let in by the passphrase of the input that its stream id
// names; a packet is let in by its tag under the contribution key. Stream ids
// prove nothing. Who has both can still send nonsense, which costs bounded
// memory and its own contribution only.
package gateway
