package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"quartet/tests/tsgen"
)

// multicastSender sends on an interface, from a source address.
func multicastSender(t *testing.T, group netip.AddrPort, iface, source string) *net.UDPConn {
	t.Helper()
	lo, err := net.InterfaceByName(iface)
	if err != nil {
		t.Fatal(err)
	}
	network, local := "udp4", netip.MustParseAddrPort("0.0.0.0:0")
	if group.Addr().Is6() {
		network, local = "udp6", netip.MustParseAddrPort("[::]:0")
	}
	if source != "" {
		local = netip.AddrPortFrom(netip.MustParseAddr(source), 0)
	}
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(local))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if network == "udp4" {
		p := ipv4.NewPacketConn(c)
		err = errors.Join(p.SetMulticastInterface(lo), p.SetMulticastLoopback(true))
	} else {
		p := ipv6.NewPacketConn(c)
		err = errors.Join(p.SetMulticastInterface(lo), p.SetMulticastLoopback(true))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// multicast6 finds an interface for IPv6 multicast: loopback has no route for
// it. The groups below have the scope of the interface and leave no machine.
func multicast6(t *testing.T) (iface, addr string) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&(net.FlagUp|net.FlagMulticast) != net.FlagUp|net.FlagMulticast {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsGlobalUnicast() {
				return i.Name, p.Addr().String()
			}
		}
	}
	return "", ""
}

func TestMulticast(t *testing.T) {
	if6, addr6 := multicast6(t)
	for _, c := range []struct{ name, group, source, other string }{
		{"IPv4 any-source", "239.255.41.1", "", ""},
		{"IPv4 source-specific", "232.41.1.1", "127.0.0.1", "127.0.0.2"},
		{"IPv6 any-source", "ff11::4101", "", ""},
		{"IPv6 source-specific", "ff31::4102", addr6, ""},
	} {
		iface := "lo"
		if strings.HasPrefix(c.name, "IPv6") {
			if iface = if6; iface == "" {
				t.Logf("%s: this machine has no interface with IPv6", c.name)
				continue
			}
		}
		t.Run(c.name, func(t *testing.T) {
			a := Address{Host: netip.MustParseAddr(c.group), Interface: iface}
			if c.source != "" {
				a.Source = netip.MustParseAddr(c.source)
			}
			r := start(t, Config{Legs: []Address{a}})
			to := netip.AddrPortFrom(a.Host, r.local[0].Port())
			if a.Host.Is6() {
				to = netip.AddrPortFrom(a.Host.WithZone(iface), to.Port())
			}
			stream := tsgen.New(10e6, 1).Next(nil, 7*100)
			sender := multicastSender(t, to, iface, c.source)
			var other *net.UDPConn
			if c.other != "" {
				other = multicastSender(t, to, iface, c.other)
			}
			// Another group on the same port, joined by another socket of this
			// machine, must not come in.
			b := a
			b.Host, b.Source, b.Port = b.Host.Next(), netip.Addr{}, to.Port()
			if k, err := openSocket(b, 0); err != nil {
				t.Error(err)
			} else {
				defer k.close()
			}
			stranger := multicastSender(t, to, iface, "")
			strange := netip.AddrPortFrom(b.Host.WithZone(to.Addr().Zone()), to.Port())
			for s := stream; len(s) > 0; s = s[1316:] {
				if _, err := stranger.WriteToUDPAddrPort(stream[:1316], strange); err != nil {
					t.Fatal(err)
				}
				if other != nil {
					if _, err := other.WriteToUDPAddrPort(stream[:1316], to); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := sender.WriteToUDPAddrPort(s[:1316], to); err != nil {
					t.Fatal(err)
				}
			}
			r.out.wait(t, len(stream))
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(r.out.ts, stream) {
				t.Errorf("%d bytes, want %d", len(r.out.ts), len(stream))
			}
			if l := r.Stats().Legs[0]; l.OtherSender != 0 || l.Datagrams != 100 {
				t.Errorf("the kernel let others in: %+v", l)
			}
		})
	}
}

// A silent multicast leg is opened anew, on the same port, and goes on.
func TestSilentMulticastLegIsReopened(t *testing.T) {
	a := Address{Host: netip.MustParseAddr("239.255.41.9"), Interface: "lo"}
	reopened := make(chan struct{}, 1)
	r := start(t, Config{Legs: []Address{a}, Log: nil}, func(s *Source) {
		s.silence = 20 * ms
		listen := s.cfg.OnListen
		n := 0
		s.cfg.OnListen = func(leg int, local netip.AddrPort) {
			if n++; n == 1 {
				listen(leg, local)
			} else {
				select {
				case reopened <- struct{}{}:
				default:
				}
			}
		}
	})
	to := netip.AddrPortFrom(a.Host, r.local[0].Port())
	sender := multicastSender(t, to, "lo", "")
	packet := tsgen.New(10e6, 1).Next(nil, 7)
	<-reopened
	for range 3 {
		if _, err := sender.WriteToUDPAddrPort(packet, to); err != nil {
			t.Fatal(err)
		}
		r.out.wait(t, 1316)
		<-reopened
	}
	r.stop()
	if st := r.Stats(); st.Legs[0].Reopened < 2 || len(r.out.ts) < 1316 {
		t.Errorf("%+v", st.Legs[0])
	}
}
