package network

import (
	"cmp"
	"fmt"
	"slices"

	"quartet/device/config"
)

// Port is one port that the box's firewall lets strangers reach.
type Port struct {
	Protocol  string // tcp or udp
	Number    int
	Interface string // on this interface alone; empty: on all
	For       string // what it is for, in words
}

// FixedPorts are open on every box, and the only ones that are not in its
// configuration. docs/ports.md lists them for the world; a test holds the two
// together.
func FixedPorts() []Port {
	return []Port{
		{Protocol: "tcp", Number: 80, For: "sends browsers on to 443"},
		{Protocol: "tcp", Number: 443, For: "page and API, TLS"},
		{Protocol: "udp", Number: 68, For: "answers of DHCP servers"},
		{Protocol: "udp", Number: 546, For: "answers of DHCPv6 servers, link-local sources only"},
		{Protocol: "udp", Number: 5353, For: "mDNS, link-local multicast only"},
	}
}

// MediaPorts are the UDP ports that a box document has quartetd listen on: its
// inputs and the paths that are called. What the box calls itself needs none.
func MediaPorts(b *config.Box) (list []Port) {
	add := func(url, iface, what string, more ...int) {
		u, err := config.ParseURL(url)
		if err != nil || u.Port == 0 {
			return
		}
		for _, n := range append([]int{0}, more...) {
			p := Port{Protocol: "udp", Number: u.Port + n, Interface: iface, For: what}
			if p.Number < 1<<16 && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	in := &b.Input
	switch in.Type {
	case config.TypeUDP, config.TypeRTP:
		var recovery []int
		if in.FEC == config.FECST20221 {
			recovery = []int{2, 4} // columns and rows, SMPTE ST 2022-1
		}
		add(in.URL, in.Interface, "input", recovery...)
		if in.Second != nil {
			add(in.Second.URL, in.Second.Interface, "second copy of the input", recovery...)
		}
	case config.TypeSRT:
		if in.Mode == config.ModeListener {
			add(in.URL, in.Interface, "input")
		}
	}
	for i := range b.Paths {
		if p := &b.Paths[i]; p.Mode == config.ModeListener {
			add(p.URL, p.Interface, "path "+p.Name)
		}
	}
	slices.SortStableFunc(list, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Interface, b.Interface))
	})
	return list
}

// String is the port as a list shows it: "udp 5000 on eth1".
func (p Port) String() string {
	s := fmt.Sprintf("%s %d", p.Protocol, p.Number)
	if p.Interface != "" {
		s += " on " + p.Interface
	}
	return s
}
