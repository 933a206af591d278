package srt

import "golang.org/x/net/bpf"

// What a peer may claim in the handshake that concludes a connection. libsrt
// believes these two fields before it has looked at the passphrase: a flow window
// of 2³⁰ makes it clear 24 GB, one of 0 makes it divide by zero later, and a tiny
// packet size leaves no room for its own answer.
const (
	minPeerMSS    = 500
	minPeerWindow = minFC
	maxPeerWindow = 1 << 19
)

// handshakeFilter is a socket filter that lets through every datagram but runts
// and handshakes whose fields are out of these bounds. The kernel runs it on the
// datagram with its UDP header.
func handshakeFilter() []bpf.Instruction {
	const (
		udp        = 8
		header     = udp + 16
		handshake  = header + 48
		mtu        = header + 12
		window     = header + 16
		request    = header + 20
		conclusion = 0xffffffff
	)
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: header, SkipTrue: 13},
		bpf.LoadAbsolute{Off: udp, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffff0000},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x80000000, SkipTrue: 9}, // not a handshake
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: handshake, SkipTrue: 8},
		bpf.LoadAbsolute{Off: request, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: conclusion, SkipTrue: 5},
		bpf.LoadAbsolute{Off: mtu, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: minPeerMSS, SkipTrue: 4},
		bpf.LoadAbsolute{Off: window, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: minPeerWindow, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: maxPeerWindow, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16}, // let through
		bpf.RetConstant{Val: 0},       // drop
	}
}
