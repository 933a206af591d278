package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// State implements System. What networkd and timesyncd would add is left out
// when they do not answer; the kernel's part is an error if it is missing.
func (l *Linux) State(ctx context.Context) (s State, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if s.Hostname, err = os.Hostname(); err != nil {
		return s, err
	}
	s.Uptime = SinceBoot().Round(time.Second).Seconds()
	if s.Links, err = l.links(); err != nil {
		return s, err
	}
	if s.Routes, err = ways(s.Links); err != nil {
		return s, err
	}
	var asked []error
	d, err := l.describe(ctx)
	asked = append(asked, err)
	for i := range s.Links {
		s.Links[i].describe(d)
	}
	s.Clock = kernelClock()
	s.Clock.Timezone = l.timezone()
	asked = append(asked, l.timesync(ctx, &s.Clock))
	if err := errors.Join(asked...); err != nil {
		s.Problem = err.Error()
	}
	return s, nil
}

// links asks the kernel for the interfaces and their addresses.
func (l *Linux) links() ([]Link, error) {
	list, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	names := map[int]string{}
	for _, k := range list {
		names[k.Attrs().Index] = k.Attrs().Name
	}
	links := []Link{}
	for _, k := range list {
		a := k.Attrs()
		if a.Flags&net.FlagLoopback != 0 {
			continue
		}
		n := Link{
			Name: a.Name, Index: a.Index, Kind: k.Type(), MAC: a.HardwareAddr.String(), MTU: a.MTU,
			Up: a.Flags&net.FlagUp != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0, Addresses: []Address{},
		}
		if v, ok := k.(*netlink.Vlan); ok {
			n.Parent, n.VLAN = names[a.ParentIndex], v.VlanId
		}
		if st := a.Statistics; st != nil {
			n.RxBytes, n.TxBytes, n.RxErrors, n.TxErrors = st.RxBytes, st.TxBytes, st.RxErrors, st.TxErrors
			n.RxDropped, n.TxDropped = st.RxDropped, st.TxDropped
		}
		n.SpeedMbps, n.Duplex = l.speed(a.Name)
		addrs, err := netlink.AddrList(k, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", a.Name, err)
		}
		for i := range addrs {
			if p, ok := prefixOf(&addrs[i]); ok {
				n.Addresses = append(n.Addresses, addressOf(p, &addrs[i]))
			}
		}
		links = append(links, n)
	}
	return links, nil
}

// addressOf guesses from the kernel's flags where an address is from; networkd
// knows better, where it answers.
func addressOf(p netip.Prefix, a *netlink.Addr) Address {
	out := Address{Prefix: p, From: FromStatic}
	permanent := a.Flags&unix.IFA_F_PERMANENT != 0
	switch {
	case p.Addr().IsLinkLocalUnicast():
		out.From = FromLinkLocal
	case permanent:
	case p.Addr().Is4():
		out.From = FromDHCP
	default:
		out.From = FromRouter
	}
	if !permanent && a.ValidLft > 0 && a.ValidLft < 1<<31-1 {
		out.ValidS = a.ValidLft
	}
	return out
}

// speed reads what the driver says of the cable; nothing without one.
func (l *Linux) speed(name string) (mbps int, duplex string) {
	read := func(what string) string {
		b, err := os.ReadFile(filepath.Join(l.Root, "sys/class/net", name, what))
		if err != nil {
			return "" // EINVAL while there is no cable
		}
		return strings.TrimSpace(string(b))
	}
	mbps, err := strconv.Atoi(read("speed"))
	if err != nil || mbps <= 0 { // -1: not known
		return 0, ""
	}
	if duplex = read("duplex"); duplex != "full" && duplex != "half" {
		duplex = ""
	}
	return mbps, duplex
}

// ways lists the main table.
func ways(links []Link) ([]Way, error) {
	name := func(index int) string {
		if i := slices.IndexFunc(links, func(l Link) bool { return l.Index == index }); i >= 0 {
			return links[i].Name
		}
		return ""
	}
	list := []Way{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, fmt.Errorf("list the routes: %w", err)
		}
		for i := range routes {
			r := &routes[i]
			w := Way{To: "default", Link: name(r.LinkIndex), Metric: r.Priority, From: protocolOf(int(r.Protocol)), IPv6: family == netlink.FAMILY_V6}
			if r.Dst != nil {
				if ones, _ := r.Dst.Mask.Size(); ones > 0 {
					w.To = r.Dst.String()
				}
			}
			if r.Gw != nil {
				w.Via = r.Gw.String()
			}
			if w.Link != "" && r.Type != unix.RTN_MULTICAST {
				list = append(list, w)
			}
		}
	}
	return list, nil
}

// protocolOf says in words who made a route (rtnetlink(7)).
func protocolOf(p int) string {
	switch p {
	case unix.RTPROT_STATIC, unix.RTPROT_BOOT:
		return FromStatic
	case unix.RTPROT_DHCP:
		return FromDHCP
	case unix.RTPROT_RA:
		return FromRouter
	case unix.RTPROT_KERNEL:
		return FromKernel
	}
	return FromOther
}

// describe adds what networkd knows of a link.
func (n *Link) describe(d *described) {
	if d == nil {
		return
	}
	i := slices.IndexFunc(d.Interfaces, func(k describedLink) bool { return k.Index == n.Index })
	if i < 0 {
		return
	}
	k := &d.Interfaces[i]
	n.Setup, n.Online, n.Lease = k.AdministrativeState, k.OperationalState, k.lease(SinceBoot())
	for j := range k.DNS {
		if a, ok := addrOf(k.DNS[j].Address); ok {
			n.DNS = append(n.DNS, a.String())
		}
	}
	for j := range k.Addresses {
		a, ok := addrOf(k.Addresses[j].Address)
		if !ok {
			continue
		}
		at := slices.IndexFunc(n.Addresses, func(h Address) bool { return h.Prefix.Addr() == a })
		if at < 0 {
			continue
		}
		switch k.Addresses[j].ConfigSource {
		case "static":
			n.Addresses[at].From = FromStatic
		case "DHCPv4":
			n.Addresses[at].From = FromDHCP
		case "NDisc", "DHCPv6", "DHCP-PD":
			n.Addresses[at].From = FromRouter
		case "IPv4LL":
			n.Addresses[at].From = FromLinkLocal
		}
	}
}

// kernelClock is what the kernel knows of its clock (adjtimex(2)), whoever
// keeps it.
func kernelClock() Clock {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	c := Clock{Time: time.Now()}
	if err != nil {
		return c
	}
	c.Synchronised = state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
	c.MaxErrorMS = float64(t.Maxerror) / 1000
	offset := time.Duration(t.Offset)
	if t.Status&unix.STA_NANO == 0 {
		offset *= 1000
	}
	c.OffsetMS = float64(offset) / float64(time.Millisecond)
	return c
}

// timezone is what the settings made it.
func (l *Linux) timezone() string {
	to, err := os.Readlink(filepath.Join(l.Root, timezoneLink))
	if err != nil {
		return "UTC"
	}
	return strings.TrimPrefix(to, zoneinfo+"/")
}
