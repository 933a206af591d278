package udp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"quartet/fec/st2022"
)

// Format says what the datagrams of an input hold.
type Format uint8

const (
	// FormatAuto tells RTP and plain TS apart by each datagram's first byte:
	// 0x47 (sync byte) against an RTP header of version 2, whose first byte is
	// 0x80 to 0xbf.
	FormatAuto Format = iota
	// FormatRTP takes RTP only.
	FormatRTP
)

// Address is where one leg of an input is received.
type Address struct {
	Format Format
	// Source is the only sender that is taken: of a source-specific multicast
	// (RFC 4607), or of a unicast stream. Zero: any.
	Source netip.Addr
	// Host is the group, or the local address of a unicast stream. Zero: any
	// local address, IPv4 and IPv6.
	Host netip.Addr
	// Port is the UDP port. ST 2022-1 columns come to Port + 2, rows to Port + 4.
	// 0: the system's choice.
	Port uint16
	// Interface that receives, by name. "": the system's choice.
	Interface string
	// RcvBuf is the size wanted for the socket's receive buffer, in bytes. 0:
	// DefaultRcvBuf.
	RcvBuf int
	// FEC opens the ports of ST 2022-1 columns and rows.
	FEC bool
}

// DefaultRcvBuf is the receive buffer asked for, in bytes. The kernel charges
// each datagram of 1,316 bytes with 2,304, but also grants twice what is asked:
// it holds 0.47 s of 50 Mbit/s.
const DefaultRcvBuf = 4 << 20

const (
	minRcvBuf = 64 << 10
	maxRcvBuf = 1 << 30
)

// fieldError says which part of an address is wrong, and what to do.
func fieldError(field, value, remedy string) error {
	return fmt.Errorf("%s: %q: %s", field, value, remedy)
}

// ParseURL reads an address of the form
//
//	udp://[source@]host:port[?iface=eth1&rcvbuf=4194304]
//	rtp://[source@]host:port[?iface=eth1&rcvbuf=4194304&fec=st2022-1]
//
// host is a multicast group, a local address, or empty (any local address);
// IPv6 addresses stand in brackets. udp detects RTP by itself, rtp takes nothing
// else. source is the only sender taken; an empty one ("@") means any. Errors
// name the field.
func ParseURL(s string) (Address, error) {
	a, err := parseURL(s)
	if err != nil {
		return Address{}, fmt.Errorf("address %q: %w", s, err)
	}
	return a, nil
}

func parseURL(s string) (a Address, err error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return a, fieldError("scheme", s, "write udp://host:port or rtp://host:port")
	}
	switch scheme {
	case "udp":
	case "rtp":
		a.Format = FormatRTP
	default:
		return a, fieldError("scheme", scheme, "must be udp or rtp")
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	rest = strings.TrimSuffix(rest, "/")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		if src := rest[:i]; src != "" {
			if a.Source, err = parseIP("source", src); err != nil {
				return a, err
			}
		}
		rest = rest[i+1:]
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 || strings.HasSuffix(rest, "]") {
		return a, fieldError("port", "", "is missing: write host:port")
	}
	host, port := rest[:i], rest[i+1:]
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '+' {
		return a, fieldError("port", port, "must be a number from 1 to 65535")
	}
	a.Port = uint16(n)
	if host != "" {
		if a.Host, err = parseIP("host", host); err != nil {
			return a, err
		}
	}
	if hasQuery {
		if err := a.parseQuery(query); err != nil {
			return a, err
		}
	}
	if zone := a.Host.Zone(); zone != "" {
		if a.Interface != "" && a.Interface != zone {
			return a, fieldError("iface", a.Interface, "contradicts the zone %"+zone+" of the host; write one of them")
		}
		a.Interface, a.Host = zone, a.Host.WithZone("")
	}
	return a, a.Validate()
}

func parseIP(field, s string) (netip.Addr, error) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	} else if strings.Contains(s, ":") {
		return netip.Addr{}, fieldError(field, s, "an IPv6 address stands in brackets, as in [ff35::1]")
	}
	ip, err := netip.ParseAddr(bare)
	if err != nil {
		return netip.Addr{}, fieldError(field, s, "must be an IP address: names are not looked up for a receiver")
	}
	if bare != s && !ip.Is6() {
		return netip.Addr{}, fieldError(field, s, "only an IPv6 address stands in brackets")
	}
	if ip.Is4In6() {
		return netip.Addr{}, fieldError(field, s, "write the IPv4 address "+ip.Unmap().String())
	}
	return ip, nil
}

func (a *Address) parseQuery(query string) error {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || value == "" {
			return fieldError("query", pair, "write key=value")
		}
		if seen[key] {
			return fieldError(key, value, "is given twice")
		}
		seen[key] = true
		switch key {
		case "iface":
			a.Interface = value
		case "rcvbuf":
			n, err := strconv.Atoi(value)
			if err != nil || value[0] == '+' || n < minRcvBuf || n > maxRcvBuf {
				return fieldError("rcvbuf", value, fmt.Sprintf("must be a number of bytes from %d to %d", minRcvBuf, maxRcvBuf))
			}
			a.RcvBuf = n
		case "fec":
			switch value {
			case "st2022-1":
				a.FEC = true
			case "none":
			default:
				return fieldError("fec", value, "must be none or st2022-1")
			}
		default:
			return fieldError("query", key, "is not known: iface, rcvbuf and fec are")
		}
	}
	return nil
}

// Validate checks an address that was put together from separate settings.
// Errors name the field.
func (a Address) Validate() error {
	if a.Host.Is4In6() {
		return fieldError("host", a.Host.String(), "write the IPv4 address "+a.Host.Unmap().String())
	}
	if a.Host.Zone() != "" {
		return fieldError("host", a.Host.String(), "name the interface instead of a zone")
	}
	if a.Source.IsValid() {
		src := a.Source
		if src.IsMulticast() || src.IsUnspecified() || src.Is4In6() || src == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return fieldError("source", src.String(), "must be the address of one sender")
		}
		if src.Zone() != "" {
			return fieldError("source", src.String(), "must have no zone: name the interface instead")
		}
		if a.Host.IsValid() && a.Host.Is4() != src.Is4() {
			return fieldError("source", src.String(), "is of another address family than host "+a.Host.String())
		}
	}
	if n := a.Interface; n != "" && (len(n) > 15 || n == "." || n == ".." || strings.ContainsFunc(n, badInIfname)) {
		return fieldError("iface", n, "is not the name of an interface: at most 15 characters, without space, slash and colon")
	}
	if a.Host.IsLinkLocalMulticast() && a.Host.Is6() && a.Interface == "" {
		return fieldError("iface", "", "is missing: the group "+a.Host.String()+" exists once on each link")
	}
	if a.RcvBuf != 0 && (a.RcvBuf < minRcvBuf || a.RcvBuf > maxRcvBuf) {
		return fieldError("rcvbuf", strconv.Itoa(a.RcvBuf), fmt.Sprintf("must be a number of bytes from %d to %d", minRcvBuf, maxRcvBuf))
	}
	if a.Format > FormatRTP {
		return errors.New("format: is not known")
	}
	if a.FEC {
		if a.Format != FormatRTP {
			return fieldError("fec", "st2022-1", "needs an rtp:// address: recovery packets refer to RTP sequence numbers")
		}
		if a.Port > 65535-st2022.RowPort {
			return fieldError("port", strconv.Itoa(int(a.Port)), "is too high: recovery rows come to port + 4")
		}
	}
	return nil
}

// badInIfname tells what the kernel (dev_valid_name) and this syntax refuse in
// the name of an interface.
func badInIfname(r rune) bool {
	return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '&' || r == '?' || r == '@' || r == '%' || r == '#'
}

// Multicast tells whether a group is joined.
func (a Address) Multicast() bool { return a.Host.IsMulticast() }

// String writes the address as ParseURL reads it.
func (a Address) String() string {
	var b strings.Builder
	b.WriteString("udp://")
	if a.Format == FormatRTP {
		b.Reset()
		b.WriteString("rtp://")
	}
	if a.Source.IsValid() {
		writeIP(&b, a.Source)
		b.WriteByte('@')
	}
	if a.Host.IsValid() {
		writeIP(&b, a.Host)
	}
	fmt.Fprintf(&b, ":%d", a.Port)
	sep := byte('?')
	add := func(key, value string) {
		b.WriteByte(sep)
		b.WriteString(key + "=" + value)
		sep = '&'
	}
	if a.Interface != "" {
		add("iface", a.Interface)
	}
	if a.RcvBuf != 0 {
		add("rcvbuf", strconv.Itoa(a.RcvBuf))
	}
	if a.FEC {
		add("fec", "st2022-1")
	}
	return b.String()
}

func writeIP(b *strings.Builder, ip netip.Addr) {
	if ip.Is6() {
		b.WriteString("[" + ip.String() + "]")
		return
	}
	b.WriteString(ip.String())
}
