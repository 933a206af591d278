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
