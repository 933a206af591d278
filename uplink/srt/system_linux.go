package srt

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func bindToDevice(fd uintptr, device string) error {
	return unix.BindToDevice(int(fd), device)
}

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

// guard attaches the filter to the UDP socket that libsrt has bound to local.
func guard(local netip.AddrPort) error {
	fd, err := findUDP(local)
	if err != nil {
		return err
	}
	raw, err := bpf.Assemble(handshakeFilter())
	if err != nil {
		return err
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
}

// findUDP finds this process's UDP socket that is bound to local: libsrt does not
// tell.
func findUDP(local netip.AddrPort) (fd int, err error) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	for _, e := range open {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		sa, err := unix.Getsockname(n)
		if err != nil {
			continue
		}
		var at netip.AddrPort
		switch sa := sa.(type) {
		case *unix.SockaddrInet4:
			at = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		case *unix.SockaddrInet6:
			at = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
		}
		if at.Port() != local.Port() || at.Addr().WithZone("") != local.Addr().WithZone("") {
			continue
		}
		if kind, err := unix.GetsockoptInt(n, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && kind == unix.SOCK_DGRAM {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no UDP socket of this process is bound to %v", local)
}
