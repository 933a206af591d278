package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// udpBatch is the most datagrams one sendmmsg call carries. At 4 ms per
// tick it covers 150 Mbit/s in one call; more packets need a second call.
const udpBatch = 64

// mmsghdr is struct mmsghdr of sendmmsg(2): a message header and the number
// of bytes the kernel sent for it.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// udpSocket sends batches of datagrams to one destination with sendmmsg(2).
// It never blocks: what the kernel does not take at once is dropped and
// counted. It is used by one goroutine at a time and allocates nothing
// after openUDP.
type udpSocket struct {
	fd   int
	hdrs [udpBatch]mmsghdr
	iovs [udpBatch]unix.Iovec
}

// openUDP opens a socket connected to d's address, already resolved as addr.
// The errors name what was being set.
func openUDP(d Destination, addr netip.AddrPort) (*udpSocket, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	if err := setUpUDP(fd, d, addr); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	s := &udpSocket{fd: fd}
	for i := range s.hdrs {
		s.hdrs[i].hdr.Iov = &s.iovs[i]
		s.hdrs[i].hdr.SetIovlen(1)
	}
	return s, nil
}

func setUpUDP(fd int, d Destination, addr netip.AddrPort) error {
	v6 := addr.Addr().Is6()
	multicast := addr.Addr().IsMulticast()
	// A tick's burst is small, but a late tick's is not. The kernel caps this
	// silently at net.core.wmem_max, which is a sane result too.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 2<<20)

	if d.Interface != "" {
		ifi, err := net.InterfaceByName(d.Interface)
		if err != nil {
			return fmt.Errorf("interface %q: %w; use the name of an interface of this machine", d.Interface, err)
		}
		switch {
		case multicast && v6:
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, ifi.Index)
		case multicast:
			err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifi.Index)})
		default:
			err = unix.BindToDevice(fd, d.Interface)
		}
		if err != nil {
			return fmt.Errorf("send from interface %q: %w", d.Interface, err)
		}
	}
	if d.Source.IsValid() {
		if d.Source.Addr().Is6() != v6 {
			return fmt.Errorf("source %v: not of the same IP version as the destination %v", d.Source, addr)
		}
		if err := unix.Bind(fd, sockaddr(d.Source)); err != nil {
			return fmt.Errorf("source %v: %w; use an address of this machine and a free port", d.Source, err)
		}
	}
	if d.TTL > 0 {
		level, opt := unix.IPPROTO_IP, unix.IP_TTL
		switch {
		case v6 && multicast:
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS
		case v6:
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS
		case multicast:
			opt = unix.IP_MULTICAST_TTL
		}
		if err := unix.SetsockoptInt(fd, level, opt, d.TTL); err != nil {
			return fmt.Errorf("ttl %d: %w", d.TTL, err)
		}
	}
	if d.DSCP > 0 {
		level, opt := unix.IPPROTO_IP, unix.IP_TOS
		if v6 {
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		if err := unix.SetsockoptInt(fd, level, opt, d.DSCP<<2); err != nil {
			return fmt.Errorf("dscp %d: %w", d.DSCP, err)
		}
	}
	if err := unix.Connect(fd, sockaddr(addr)); err != nil {
		return fmt.Errorf("destination %v: %w", addr, err)
	}
	return nil
}

// send sends msgs in order and returns how many the kernel took and, when
// that is fewer, the first reason. An error that belongs to an earlier
// datagram (an ICMP answer such as "connection refused", which a connected
// socket reports on the next call) costs one retry, not a packet. A full
// send buffer ends the batch: to wait would delay every other output.
func (s *udpSocket) send(msgs [][]byte) (sent int, reason error) {
	for sent < len(msgs) {
		n := min(len(msgs)-sent, udpBatch)
		for i := range n {
			m := msgs[sent+i]
			s.iovs[i].Base = unsafe.SliceData(m)
			s.iovs[i].SetLen(len(m))
		}
		k, errno := s.sendmmsg(n)
		if errno != 0 && isDelayed(errno) {
			reason = errno
			k, errno = s.sendmmsg(n) // the kernel has cleared the pending error
		}
		sent += k
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			reason = errno
			break
		}
	}
	clear(s.iovs[:min(len(msgs), udpBatch)]) // keep no packet alive
	runtime.KeepAlive(msgs)
	return sent, reason
}

func (s *udpSocket) sendmmsg(n int) (int, syscall.Errno) {
	r, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd),
		uintptr(unsafe.Pointer(&s.hdrs[0])), uintptr(n), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(r), 0
}

// isDelayed tells whether errno is the answer to an earlier datagram.
func isDelayed(errno syscall.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.ENOPROTOOPT, unix.EHOSTDOWN:
		return true
	}
	return false
}

func (s *udpSocket) localAddr() netip.AddrPort {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func (s *udpSocket) close() error {
	if s.fd < 0 {
		return errors.New("UDP socket: already closed")
	}
	err := unix.Close(s.fd)
	s.fd = -1
	return err
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if z := a.Addr().Zone(); z != "" {
		if ifi, err := net.InterfaceByName(z); err == nil {
			sa.ZoneId = uint32(ifi.Index)
		}
	}
	return sa
}
