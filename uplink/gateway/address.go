package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// splitAddress takes host:port apart; the host may be empty.
func splitAddress(s string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: write host:port ([host]:port for IPv6)", s)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: port %q is not a number from 0 to 65535", s, p)
	}
	return host, uint16(n), nil
}

// resolve finds the address of a destination: the first that is of the same
// IP version as its source, if that is set. It may take as long as the name
// server does.
func resolve(ctx context.Context, d Destination) (netip.AddrPort, error) {
	host, port, err := splitAddress(d.Address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), port), nil
	}
	network := "ip"
	if a := d.Source.Addr(); a.Is4() {
		network = "ip4"
	} else if a.Is6() {
		network = "ip6"
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, network, host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("destination %q: %w", d.Address, err)
	}
	if len(ips) == 0 {
		return netip.AddrPort{}, fmt.Errorf("destination %q: the name has no address", d.Address)
	}
	return netip.AddrPortFrom(ips[0].Unmap(), port), nil
}
