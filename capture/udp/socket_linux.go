package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batchSize is how many datagrams one system call takes.
	batchSize = 32
	// maxDatagram is the longest datagram taken, bytes: a jumbo frame's.
	maxDatagram = 9216
	// maxAge bounds how long a datagram can have waited in the socket; an older
	// receive time means that the wall clock was set meanwhile.
	maxAge = 2 * time.Second

	// Linux socket options that package unix does not name, and layouts on
	// 64-bit machines, the only ones Quartet runs on.
	ipMulticastAll       = 49  // IP_MULTICAST_ALL
	ipv6MulticastAll     = 29  // IPV6_MULTICAST_ALL
	mcastJoinGroup       = 42  // MCAST_JOIN_GROUP
	mcastJoinSource      = 46  // MCAST_JOIN_SOURCE_GROUP
	sockaddrStorage      = 128 // struct sockaddr_storage
	sizeofGroupReq       = 8 + sockaddrStorage
	sizeofGroupSourceReq = 8 + 2*sockaddrStorage
)

// socket is one UDP socket that is never waited on. It belongs to one
// goroutine, Source.Run's.
type socket struct {
	fd      int
	local   netip.AddrPort
	granted int           // receive buffer in bytes, the kernel's doubling taken back
	drops   uint32        // SO_RXQ_OVFL: datagrams dropped because the buffer was full
	last    time.Duration // receive instants do not go backwards
}

// openSocket opens the socket for port offset of an address, and joins its
// group. Errors name what failed and where.
func openSocket(a Address, offset int) (_ *socket, err error) {
	family := unix.AF_INET6
	if a.Host.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) && !a.Host.IsValid() {
		family = unix.AF_INET // a system without IPv6
		fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	}
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd}
	defer func() {
		if err != nil {
			_ = unix.Close(fd) // the error at hand is the one that matters
		}
	}()
	ifindex := 0
	if a.Interface != "" {
		ifi, err := net.InterfaceByName(a.Interface)
		if err != nil {
			return nil, fieldError("iface", a.Interface, "there is no such interface")
		}
		if ifi.Flags&net.FlagUp == 0 {
			return nil, fieldError("iface", a.Interface, "the interface is down")
		}
		ifindex = ifi.Index
		if err := unix.BindToDevice(fd, a.Interface); err != nil {
			return nil, fmt.Errorf("iface: %q: bind: %w", a.Interface, err)
		}
	}
	if err := s.options(a, family); err != nil {
		return nil, err
	}
	port := 0
	if a.Port != 0 {
		port = int(a.Port) + offset
	}
	if err := bind(fd, family, a.Host, port, ifindex); err != nil {
		return nil, bindError(err, a, port)
	}
	if a.Multicast() {
		if err := join(fd, family, a, ifindex); err != nil {
			return nil, err
		}
	}
	return s, s.readLocal()
}

// options sets what must be set before bind.
func (s *socket) options(a Address, family int) error {
	set := func(name string, level, opt, value int) error {
		return os.NewSyscallError("setsockopt "+name, unix.SetsockoptInt(s.fd, level, opt, value))
	}
	errs := []error{
		set("SO_TIMESTAMPNS", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		set("SO_RXQ_OVFL", unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1),
	}
	if a.Multicast() {
		// Others on this machine may receive the group too. Only what this
		// socket has joined comes in, not what others joined.
		errs = append(errs, set("SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
		if family == unix.AF_INET {
			errs = append(errs, set("IP_MULTICAST_ALL", unix.IPPROTO_IP, ipMulticastAll, 0))
		} else if err := set("IPV6_MULTICAST_ALL", unix.IPPROTO_IPV6, ipv6MulticastAll, 0); !errors.Is(err, unix.ENOPROTOOPT) {
			errs = append(errs, err) // older than Linux 4.20: the source filter remains
		}
	}
	if family == unix.AF_INET6 {
		only := 0
		if a.Host.IsValid() {
			only = 1
		}
		errs = append(errs, set("IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only))
	}
	want := a.RcvBuf
	if want == 0 {
		want = DefaultRcvBuf
	}
	// With CAP_NET_ADMIN the size is not bounded by net.core.rmem_max.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, want) != nil {
		errs = append(errs, set("SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, want))
	}
	granted, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	s.granted = granted / 2
	return errors.Join(append(errs, os.NewSyscallError("getsockopt SO_RCVBUF", err))...)
}

func bind(fd, family int, host netip.Addr, port, ifindex int) error {
	if family == unix.AF_INET {
		sa := unix.SockaddrInet4{Port: port}
		if host.IsValid() {
			sa.Addr = host.As4()
		}
		return unix.Bind(fd, &sa)
	}
	sa := unix.SockaddrInet6{Port: port}
	if host.IsValid() {
		sa.Addr = host.As16()
	}
	if host.IsLinkLocalMulticast() || host.IsLinkLocalUnicast() || host.IsInterfaceLocalMulticast() {
		sa.ZoneId = uint32(ifindex)
	}
	return unix.Bind(fd, &sa)
}

func bindError(err error, a Address, port int) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("port: %d: another program receives on it: %w", port, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("host: %q: is not an address of this machine: %w", a.Host, err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("port: %d: needs the right to bind ports below 1024: %w", port, err)
	}
	return fmt.Errorf("bind %s, port %d: %w", a.Host, port, err)
}

// join asks for the group, from one source or any (RFC 3678 §5: struct
// group_req and group_source_req, the same for both families).
func join(fd, family int, a Address, ifindex int) error {
	level, opt, size := unix.IPPROTO_IP, mcastJoinGroup, sizeofGroupReq
	if family == unix.AF_INET6 {
		level = unix.IPPROTO_IPV6
	}
	var req [sizeofGroupSourceReq]byte
	binary.NativeEndian.PutUint32(req[:], uint32(ifindex))
	putSockaddr(req[8:], a.Host)
	if a.Source.IsValid() {
		opt, size = mcastJoinSource, sizeofGroupSourceReq
		putSockaddr(req[8+sockaddrStorage:], a.Source)
	}
	err := unix.SetsockoptString(fd, level, opt, string(req[:size]))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV) && a.Interface == "":
		return fmt.Errorf("host: %q: join: no route to the group: name the interface that receives it (iface): %w", a.Host, err)
	case errors.Is(err, unix.ENOBUFS):
		return fmt.Errorf("host: %q: join: too many groups: raise net.ipv4.igmp_max_memberships: %w", a.Host, err)
	}
	return fmt.Errorf("host: %q: join on interface %q: %w", a.Host, a.Interface, err)
}

// putSockaddr writes a struct sockaddr_in or sockaddr_in6 without port.
func putSockaddr(b []byte, ip netip.Addr) {
	if ip.Is4() {
		binary.NativeEndian.PutUint16(b, unix.AF_INET)
		copy(b[4:], ip.AsSlice())
		return
	}
	binary.NativeEndian.PutUint16(b, unix.AF_INET6)
	copy(b[8:], ip.AsSlice())
}

func (s *socket) readLocal() error {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return nil
}

func (s *socket) close() { _ = unix.Close(s.fd) } // nothing is in flight to be lost

// peer is a sender's address, comparable: 16 bytes of address, IPv4 mapped into
// IPv6, and the port.
type peer struct {
	ip   [16]byte
	port uint16
}

func (p peer) addrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(p.ip).Unmap(), p.port)
}

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// datagram is one datagram of a batch, valid until the next read.
type datagram struct {
	at    time.Duration // received, on our monotonic time line
	from  peer
	data  []byte
	whole bool // false: longer than maxDatagram, cut off
}

// batch is the room that reads go to; all sockets of a Source share one.
// golang.org/x/net's ReadBatch would do the same but allocates an address for
// each datagram.
type batch struct {
	msgs  [batchSize]mmsghdr
	iovs  [batchSize]unix.Iovec
	names [batchSize][unix.SizeofSockaddrInet6]byte
	ctrl  [batchSize][64]byte
	bufs  []byte
	out   [batchSize]datagram
}

func newBatch() *batch {
	b := &batch{bufs: make([]byte, batchSize*maxDatagram)}
	for i := range b.msgs {
		b.iovs[i].Base = &b.bufs[i*maxDatagram]
		b.iovs[i].SetLen(maxDatagram)
		h := &b.msgs[i].hdr
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Name = &b.names[i][0]
		h.Control = &b.ctrl[i][0]
	}
	return b
}

// read takes the datagrams that wait in s, up to batchSize, without blocking.
// now is the monotonic clock and wall the system's, read together.
func (b *batch) read(s *socket, now time.Duration, wall int64) ([]datagram, error) {
	for i := range b.msgs {
		h := &b.msgs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(len(b.ctrl[i]))
		h.Flags = 0
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.msgs[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return nil, nil
	default:
		return nil, os.NewSyscallError("recvmmsg", errno)
	}
	for i := range n {
		m := &b.msgs[i]
		d := &b.out[i]
		d.data = b.bufs[int(i)*maxDatagram:][:m.n:m.n]
		d.whole = m.hdr.Flags&unix.MSG_TRUNC == 0
		d.from = readPeer(&b.names[i])
		d.at = s.instant(b.ctrl[i][:m.hdr.Controllen], now, wall)
	}
	return b.out[:n], nil
}

func readPeer(b *[unix.SizeofSockaddrInet6]byte) (p peer) {
	p.port = binary.BigEndian.Uint16(b[2:])
	if binary.NativeEndian.Uint16(b[:]) == unix.AF_INET {
		p.ip[10], p.ip[11] = 0xff, 0xff
		copy(p.ip[12:], b[4:8])
		return p
	}
	copy(p.ip[:], b[8:24])
	return p
}

// instant maps the kernel's receive time (wall clock) to our monotonic time
// line: as long ago as the wall clock says now. A step of the wall clock in
// between shows as an age that cannot be, and now is taken.
func (s *socket) instant(ctrl []byte, now time.Duration, wall int64) time.Duration {
	at := now
	for len(ctrl) >= unix.SizeofCmsghdr {
		size := binary.NativeEndian.Uint64(ctrl) // struct cmsghdr: length, level, type
		level, kind := binary.NativeEndian.Uint32(ctrl[8:]), binary.NativeEndian.Uint32(ctrl[12:])
		if size < unix.SizeofCmsghdr || size > uint64(len(ctrl)) {
			break
		}
		data := ctrl[unix.SizeofCmsghdr:size]
		switch {
		case level != unix.SOL_SOCKET:
		case kind == unix.SO_TIMESTAMPNS && len(data) >= 16: // struct timespec
			received := int64(binary.NativeEndian.Uint64(data))*int64(time.Second) + int64(binary.NativeEndian.Uint64(data[8:]))
			if age := time.Duration(wall - received); age >= 0 && age <= maxAge {
				at = now - age
			}
		case kind == unix.SO_RXQ_OVFL && len(data) >= 4:
			s.drops = binary.NativeEndian.Uint32(data)
		}
		ctrl = ctrl[min(unix.CmsgSpace(len(data)), len(ctrl)):]
	}
	s.last = max(s.last, at)
	return s.last
}
