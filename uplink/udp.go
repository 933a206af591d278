package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// UDPConfig is the far end of a path of profile rtp.
type UDPConfig struct {
	Addr      string // host:port of the media; columns go to port + 2, rows to port + 4 (ST 2022-1)
	Interface string // bind to this interface (SO_BINDTODEVICE); "" = by route
	LocalAddr string // source address; "" = by route
	TTL       int    // 0: 64 for unicast, 16 for multicast
	TOS       int    // IP TOS byte; 0x88 = AF41
	FEC       bool   // open the ports of columns and rows too
}

// UDPDialer opens plain UDP links.
type UDPDialer struct{ cfg UDPConfig }

// NewUDPDialer returns a dialer for cfg.
func NewUDPDialer(cfg UDPConfig) *UDPDialer { return &UDPDialer{cfg} }

// Listening implements Dialer.
func (d *UDPDialer) Listening() bool { return false }

// Close implements Dialer.
func (d *UDPDialer) Close() error { return nil }

// Dial implements Dialer: it resolves the name and opens the sockets. UDP has no
// handshake, so it says nothing of the far end.
func (d *UDPDialer) Dial(ctx context.Context) (Link, error) {
	host, service, err := net.SplitHostPort(d.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w; write host:port", d.cfg.Addr, err)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("name %q not found: %w", host, err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", service, err)
	}
	l := &udpLink{}
	ports := []Port{PortMedia}
	if d.cfg.FEC {
		ports = append(ports, PortColumn, PortRow)
	}
	for _, p := range ports {
		c, err := d.open(ctx, net.UDPAddr{IP: ips[0].Unmap().AsSlice(), Zone: ips[0].Zone(), Port: port + int(p)})
		if err != nil {
			l.Close()
			return nil, err
		}
		l.flows = append(l.flows, udpFlow{port: p, conn: c, pc: ipv4.NewPacketConn(c)})
	}
	l.msgs = make([]ipv4.Message, 64)
	for i := range l.msgs {
		l.msgs[i].Buffers = make([][]byte, 1)
	}
	return l, nil
}

func (d *UDPDialer) open(ctx context.Context, to net.UDPAddr) (*net.UDPConn, error) {
	dialer := net.Dialer{}
	if d.cfg.LocalAddr != "" {
		ip := net.ParseIP(d.cfg.LocalAddr)
		if ip == nil {
			return nil, fmt.Errorf("source %q is not an IP address", d.cfg.LocalAddr)
		}
		dialer.LocalAddr = &net.UDPAddr{IP: ip}
	}
	if name := d.cfg.Interface; name != "" {
		dialer.Control = func(_, _ string, rc syscall.RawConn) error {
			var serr error
			err := rc.Control(func(fd uintptr) { serr = unix.BindToDevice(int(fd), name) })
			if serr != nil {
				return fmt.Errorf("interface %q: %w", name, serr)
			}
			return err
		}
	}
	c, err := dialer.DialContext(ctx, "udp", to.String())
	if err != nil {
		return nil, err
	}
	uc := c.(*net.UDPConn)
	if err := d.mark(uc, to.IP); err != nil {
		uc.Close()
		return nil, err
	}
	return uc, nil
}

// mark sets TTL and TOS.
func (d *UDPDialer) mark(c *net.UDPConn, to net.IP) error {
	ttl := d.cfg.TTL
	if ttl == 0 {
		ttl = 64
		if to.IsMulticast() {
			ttl = 16
		}
	}
	if to.To4() != nil {
		p := ipv4.NewPacketConn(c)
		if to.IsMulticast() {
			return errors.Join(p.SetMulticastTTL(ttl), p.SetTOS(d.cfg.TOS))
		}
		return errors.Join(p.SetTTL(ttl), p.SetTOS(d.cfg.TOS))
	}
	p := ipv6.NewPacketConn(c)
	if to.IsMulticast() {
		return errors.Join(p.SetMulticastHopLimit(ttl), p.SetTrafficClass(d.cfg.TOS))
	}
	return errors.Join(p.SetHopLimit(ttl), p.SetTrafficClass(d.cfg.TOS))
}

type udpFlow struct {
	port Port
	conn *net.UDPConn
	pc   *ipv4.PacketConn // WriteBatch is the same for both families on a connected socket
}

type udpLink struct {
	flows []udpFlow
	msgs  []ipv4.Message
}

// Send writes each flow's messages with as few system calls as their order
// allows. An ICMP answer (port unreachable) is not a broken link: nobody may be
// listening yet.
func (l *udpLink) Send(msgs [][]byte, ports []Port, _ []time.Duration) (int, error) {
	for i := 0; i < len(msgs); {
		f := l.flow(ports[i])
		j := i
		for j < len(msgs) && ports[j] == ports[i] && j-i < len(l.msgs) {
			l.msgs[j-i].Buffers[0] = msgs[j]
			j++
		}
		if f == nil {
			i = j
			continue
		}
		n, err := f.pc.WriteBatch(l.msgs[:j-i], 0)
		if err != nil {
			if errors.Is(err, unix.ECONNREFUSED) {
				// The kernel reports the last datagram's ICMP answer and has sent
				// nothing of this call.
				continue
			}
			if errors.Is(err, unix.ENOBUFS) {
				return i, ErrWouldBlock
			}
			return i, err
		}
		i += n
	}
	return len(msgs), nil
}

func (l *udpLink) flow(p Port) *udpFlow {
	for i := range l.flows {
		if l.flows[i].port == p {
			return &l.flows[i]
		}
	}
	return nil
}

// Recv implements Link: nothing comes back on plain RTP.
func (l *udpLink) Recv(func([]byte)) error { return nil }

func (l *udpLink) Stats() (LinkStats, error) {
	return LinkStats{Remote: l.flows[0].conn.RemoteAddr().String(), Local: l.flows[0].conn.LocalAddr().String()}, nil
}

func (l *udpLink) Close() error {
	var errs []error
	for _, f := range l.flows {
		errs = append(errs, f.conn.Close())
	}
	return errors.Join(errs...)
}
