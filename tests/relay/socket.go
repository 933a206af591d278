package relay

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is an address as the kernel takes it.
type sockaddr struct {
	raw unix.RawSockaddrInet6 // the longer of the two families
	len uint32
}

func (s *sockaddr) set(a netip.AddrPort) {
	ip := a.Addr().Unmap()
	if ip.Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.raw))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: ip.As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&v4.Port))[:], a.Port())
		s.len = unix.SizeofSockaddrInet4
		return
	}
	s.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: ip.As16()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&s.raw.Port))[:], a.Port())
	s.len = unix.SizeofSockaddrInet6
}

func addrPort(raw *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:])
	if raw.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(raw)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(raw.Addr).Unmap(), port)
}

// Room asked for in a socket's buffers; the kernel may grant less.
const socketBuffer = 8 << 20

// socket returns a non-blocking UDP socket of the family of a.
func socket(a netip.AddrPort) (int, error) {
	family := unix.AF_INET6
	if a.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], socketBuffer) != nil { // needs CAP_NET_ADMIN
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], socketBuffer) // granted up to the system's limit
		}
	}
	return fd, nil
}

func (s *sockaddr) call(trap uintptr, fd int) error {
	if _, _, e := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&s.raw)), uintptr(s.len)); e != 0 {
		return e
	}
	return nil
}

// bind opens the relay's listening socket.
func (r *Relay) bind() error {
	fd, err := socket(r.cfg.Listen)
	if err != nil {
		return err
	}
	var a sockaddr
	a.set(r.cfg.Listen)
	if err := a.call(unix.SYS_BIND, fd); err != nil {
		unix.Close(fd)
		return fmt.Errorf("bind: %w", err)
	}
	size := uint32(unsafe.Sizeof(a.raw))
	if _, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(unsafe.Pointer(&size))); e != 0 {
		unix.Close(fd)
		return fmt.Errorf("getsockname: %w", e)
	}
	r.fd, r.addr = fd, addrPort(&a.raw)
	r.upstream.set(r.cfg.Upstream)
	return nil
}

// dial opens a connected socket to the upstream.
func (r *Relay) dial() (int, error) {
	fd, err := socket(r.cfg.Upstream)
	if err != nil {
		return -1, err
	}
	if err := r.upstream.call(unix.SYS_CONNECT, fd); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", r.cfg.Upstream, err)
	}
	return fd, nil
}

// kernelDrops is how many datagrams a socket's full buffer has cost.
func kernelDrops(fd int) uint64 {
	var info [9]uint32 // SK_MEMINFO_*; drops are the last
	size := uint32(unsafe.Sizeof(info))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if e != 0 {
		return 0
	}
	return uint64(info[8])
}

// batchSize is how many datagrams one system call moves.
const batchSize = 64

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [unsafe.Sizeof(uintptr(0)) - 4]byte
}

// batch is what recvmmsg and sendmmsg work on; it must not be moved while used.
type batch struct {
	hdrs  [batchSize]mmsghdr
	iovs  [batchSize]unix.Iovec
	names [batchSize]unix.RawSockaddrInet6
	pkts  [batchSize]*packet
	n     int // filled, for sending
	fd    int
}

// receive reads waiting datagrams into pkts[:n] and leaves n = 0 when there
// are none. Every slot of pkts that is nil is filled from the pool first.
func (b *batch) receive(fd int, from bool, pool *pool) (n int, err error) {
	for i := range b.hdrs {
		h := &b.hdrs[i].hdr
		if b.pkts[i] == nil {
			p := pool.get()
			b.pkts[i] = p
			b.iovs[i].Base = &p.buf[0]
			b.iovs[i].SetLen(len(p.buf))
			h.Iov = &b.iovs[i]
			h.SetIovlen(1)
		}
		h.Name, h.Namelen = nil, 0
		if from {
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&b.names[i])), unix.SizeofSockaddrInet6
		}
	}
	for {
		k, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.hdrs)), batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch e {
		case 0:
			return int(k), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR, unix.ECONNREFUSED: // an error kept from a former send: read on
			continue
		}
		return 0, e
	}
}

// add puts a packet into the batch; to is nil for a connected socket.
func (b *batch) add(p *packet, to *sockaddr) {
	i := b.n
	b.n++
	b.pkts[i] = p
	b.iovs[i].Base = &p.buf[0]
	b.iovs[i].SetLen(p.n)
	h := &b.hdrs[i].hdr
	h.Iov = &b.iovs[i]
	h.SetIovlen(1)
	h.Name, h.Namelen = nil, 0
	if to != nil {
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&to.raw)), to.len
	}
}

// flush sends the batch and returns its packets to the pool. It returns how
// many packets and bytes the kernel refused.
func (b *batch) flush(pool *pool) (refused, bytes uint64) {
	stale := false // an ICMP error of a former datagram was reported: it costs none of these
	for i := 0; i < b.n; {
		k, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(b.fd), uintptr(unsafe.Pointer(&b.hdrs[i])), uintptr(b.n-i), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == 0:
			i += int(k)
			stale = false
		case e == unix.EINTR:
		case e == unix.ECONNREFUSED && !stale:
			stale = true
		default:
			refused++
			bytes += uint64(b.pkts[i].n)
			i++
			stale = false
		}
	}
	for i := range b.n {
		pool.put(b.pkts[i])
		b.pkts[i] = nil
	}
	b.n = 0
	return refused, bytes
}

func newWake() (int, error) { return unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC) }
