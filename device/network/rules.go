package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that a box without zone files knows them as well

	"quartet/device/config"
)

// Bounds that the field tags cannot say.
const (
	maxLabel      = 63 // of a host name, RFC 1035
	maxInterfaces = 32
	maxAddresses  = 16
	maxServers    = 8 // NTP
	maxResolvers  = 4 // DNS, of an interface
	maxRoutes     = 64
	maxVLANs      = 32
	minMTU6       = 1280 // RFC 8200 §5
)

// checker holds what the rules have seen so far.
type checker struct {
	s              *Settings
	errs, warnings config.Issues

	nets     []placed         // networks of the interfaces, with where they stand
	gateways map[bool]gateway // the first default gateway, by "is IPv6"
	routes   map[string]string
}

// placed is a network or an address and where the document has it.
type placed struct {
	prefix netip.Prefix
	iface  string
	path   string
}

// gateway is a default gateway.
type gateway struct {
	path   string
	metric int // as written; 0: not
}

// rules checks what is between the fields.
func (s *Settings) rules() (errs, warnings config.Issues) {
	c := &checker{s: s, gateways: map[bool]gateway{}, routes: map[string]string{}}
	if s.Hostname != "" {
		if p := checkHostname(s.Hostname); p != "" {
			c.errs.Addf("hostname", s.Hostname, "write 1 to 63 small letters, digits and dashes, such as studio-7; leave it out for quartet-<serial>", "%s", p)
		}
	}
	if p := checkTimezone(s.Timezone); p != "" {
		c.errs.Addf("timezone", s.Timezone, "write a name of the IANA time zone database, such as Europe/Berlin or UTC", "%s", p)
	}
	c.servers()
	if n := len(s.Interfaces); n > maxInterfaces {
		c.errs.Add("interfaces", "", fmt.Sprintf("has %d elements", n), fmt.Sprintf("write up to %d", maxInterfaces))
		return c.errs, c.warnings
	}
	for i := range s.Interfaces {
		c.iface(i)
	}
	c.vlans()
	c.overlaps()
	for i := range s.Interfaces {
		c.routing(i)
	}
	c.doubts()
	return c.errs, c.warnings
}

// checkHostname: one label of RFC 1123, in small letters, because it is also a
// name in mDNS and part of the page's address.
func checkHostname(s string) string {
	switch {
	case len(s) > maxLabel:
		return fmt.Sprintf("has %d characters", len(s))
	case strings.Contains(s, "."):
		return "has a dot; a domain is not part of it"
	case strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return "has characters that a host name cannot have"
	case s[0] == '-' || s[len(s)-1] == '-':
		return "begins or ends with a dash"
	case s == "localhost":
		return "means every machine's own self"
	}
	return ""
}

func checkTimezone(s string) string {
	if s == "Local" || s == "" || len(s) > 64 {
		return "is not the name of a time zone"
	}
	if _, err := time.LoadLocation(s); err != nil {
		return "is not the name of a time zone"
	}
	return ""
}

// checkHost takes a name (RFC 1123) or an IP address.
func checkHost(s string) string {
	if ip, err := netip.ParseAddr(s); err == nil {
		return checkPeer(ip)
	}
	name := strings.TrimSuffix(s, ".")
	if name == "" || len(name) > 253 {
		return "is not a host name"
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "is not a host name"
		}
	}
	if last := name[strings.LastIndexByte(name, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return "is not an IP address, and host names do not end in a number"
	}
	return ""
}

// checkPeer says why an address cannot be another host's.
func checkPeer(ip netip.Addr) string {
	switch {
	case ip.Zone() != "":
		return "has a zone (the interface is known already)"
	case ip.Is4In6():
		return "is an IPv4-mapped address (the IPv4 address is " + ip.Unmap().String() + ")"
	case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is not the address of one host"
	case ip.IsLoopback():
		return "is the box itself"
	}
	return ""
}

func (c *checker) servers() {
	if n := len(c.s.NTP); n > maxServers {
		c.errs.Add("ntp", "", fmt.Sprintf("has %d elements", n), fmt.Sprintf("write up to %d", maxServers))
		return
	}
	for i, h := range c.s.NTP {
		path := fmt.Sprintf("ntp[%d]", i)
		if p := checkHost(h); p != "" {
			c.errs.Addf(path, h, "write a name such as ntp.example.net, or an IP address; timesyncd takes no port", "%s", p)
		} else if k := slices.Index(c.s.NTP, h); k < i {
			c.errs.Addf(path, h, "remove one", "is also ntp[%d]", k)
		}
	}
}

// iface checks what an interface says of itself.
func (c *checker) iface(n int) {
	i, at := &c.s.Interfaces[n], fmt.Sprintf("interfaces[%d]", n)
	switch p := checkName(i.Name); {
	case p != "":
		c.errs.Addf(at+".name", i.Name, "write the name of a port as the page lists it, such as eth0, or of a VLAN, such as eth0.20", "%s", p)
	default:
		if k := slices.IndexFunc(c.s.Interfaces[:n], func(o Interface) bool { return o.Name == i.Name }); k >= 0 {
			c.errs.Addf(at+".name", i.Name, "join the two entries", "is also the name of interfaces[%d]", k)
		}
	}
	if k := len(i.Addresses); k > maxAddresses {
		c.errs.Add(at+".addresses", "", fmt.Sprintf("has %d elements", k), fmt.Sprintf("write up to %d", maxAddresses))
		return
	}
	has6 := false
	for k, a := range i.Addresses {
		path := fmt.Sprintf("%s.addresses[%d]", at, k)
		p, problem, remedy := parseAddress(a)
		if problem != "" {
			c.errs.Addf(path, a, remedy, "%s", problem)
			continue
		}
		is6 := p.Addr().Is6()
		has6 = has6 || is6
		if is6 && i.IPv6 == IPv6Off {
			c.errs.Addf(path, a, "remove it, or set ipv6 to static or auto", "is an IPv6 address, and ipv6 is off")
		}
		for _, o := range c.nets {
			if o.prefix.Addr() == p.Addr() {
				c.errs.Addf(path, a, "give each its own", "is also %s", o.path)
			}
		}
		c.nets = append(c.nets, placed{p, i.Name, path})
	}
	if i.IPv6 == IPv6Static && !has6 {
		c.errs.Addf(at+".ipv6", i.IPv6, "add an IPv6 address with its prefix length to addresses, or set ipv6 to auto or off", "needs an address, and there is none")
	}
	if !i.DHCP4 && len(i.Addresses) == 0 && i.IPv6 == IPv6Off && len(i.VLANs) == 0 {
		c.errs.Add(at, "", "has no address, and no way to get one",
			`set dhcp4 to true, or add an address; to leave the port unused remove the entry and set others to "off"`)
	}
	if i.IPv6 != IPv6Off && i.MTU < minMTU6 {
		c.errs.Add(at+".mtu", fmt.Sprint(i.MTU), "is too small for IPv6", fmt.Sprintf("write %d or more, or set ipv6 to off", minMTU6))
	}
	c.resolvers(i, at)
	if k := len(i.VLANs); k > maxVLANs {
		c.errs.Add(at+".vlans", "", fmt.Sprintf("has %d elements", k), fmt.Sprintf("write up to %d", maxVLANs))
	}
}

func (c *checker) resolvers(i *Interface, at string) {
	if n := len(i.DNS); n > maxResolvers {
		c.errs.Add(at+".dns", "", fmt.Sprintf("has %d elements", n), fmt.Sprintf("write up to %d", maxResolvers))
		return
	}
	for k, d := range i.DNS {
		path := fmt.Sprintf("%s.dns[%d]", at, k)
		ip, err := netip.ParseAddr(d)
		problem := "is not an IP address"
		if err == nil {
			problem = checkPeer(ip)
		}
		if problem != "" {
			c.errs.Addf(path, d, "write the IP address of a name server, such as 192.0.2.53", "%s", problem)
		} else if j := slices.Index(i.DNS, d); j < k {
			c.errs.Addf(path, d, "remove one", "is also %s.dns[%d]", at, j)
		}
	}
}

// checkName: what the kernel refuses, what means something to networkd, and
// what is not ours to set.
func checkName(s string) string {
	switch {
	case s == "" || len(s) > 15:
		return fmt.Sprintf("has %d bytes, and interface names have 1 to 15", len(s))
	case s == "lo":
		return "is the loopback, which has nothing to set"
	case strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" || s == "." || s == "..":
		return "is not the name of an interface"
	}
	if _, _, ok := vlanOf(s); strings.Contains(s, ".") && !ok {
		return "has a dot, and is not a port, a dot and a VLAN's number"
	}
	return ""
}

// parseAddress reads an address with prefix length.
func parseAddress(s string) (p netip.Prefix, problem, remedy string) {
	remedy = "write an address and the length of its prefix, such as 192.0.2.10/24 or 2001:db8::10/64"
	if ip, err := netip.ParseAddr(s); err == nil {
		bits := 24
		if ip.Is6() {
			bits = 64
		}
		return p, "has no prefix length", fmt.Sprintf("write %s/%d if that is its network's", ip, bits)
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, "is not an address with a prefix length", remedy
	}
	ip := p.Addr()
	if problem = checkPeer(ip); problem != "" {
		return p, problem, remedy
	}
	switch {
	case ip.IsLinkLocalUnicast():
		return p, "is a link-local address, which the box finds by itself", "remove it"
	case p.Bits() == 0:
		return p, "has the whole internet on its cable", remedy
	case ip.Is4() && p.Bits() < 31 && ip == p.Masked().Addr():
		return p, "is the network, not a host in it", "write the box's own address, such as " + ip.Next().String() + fmt.Sprintf("/%d", p.Bits())
	case ip.Is4() && p.Bits() < 31 && ip == broadcast(p):
		return p, "is the network's broadcast address", "write the box's own address"
	}
	return p, "", ""
}

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}

// vlans: each VLAN has a port that carries it, and an entry with its settings.
func (c *checker) vlans() {
	at := func(name string) int {
		return slices.IndexFunc(c.s.Interfaces, func(i Interface) bool { return i.Name == name })
	}
	for n := range c.s.Interfaces {
		i, path := &c.s.Interfaces[n], fmt.Sprintf("interfaces[%d]", n)
		for k, id := range i.VLANs {
			name, here := vlanName(i.Name, id), fmt.Sprintf("%s.vlans[%d]", path, k)
			switch {
			case strings.Contains(i.Name, "."):
				c.errs.Add(here, fmt.Sprint(id), "is a VLAN within a VLAN", "add it to the port's own vlans")
			case slices.Index(i.VLANs, id) < k:
				c.errs.Add(here, fmt.Sprint(id), fmt.Sprintf("is also %s.vlans[%d]", path, slices.Index(i.VLANs, id)), "remove one")
			case len(name) > 15:
				c.errs.Add(here, fmt.Sprint(id), fmt.Sprintf("makes the interface name %s, of more than 15 bytes", name), "use a port with a shorter name")
			case at(name) < 0:
				c.errs.Add(here, fmt.Sprint(id), "has no settings", fmt.Sprintf("add an entry named %q to interfaces", name))
			}
		}
		parent, id, ok := vlanOf(i.Name)
		if !ok {
			continue
		}
		p := at(parent)
		switch {
		case id < 1 || id > 4094:
			c.errs.Addf(path+".name", i.Name, "write a VLAN's number from 1 to 4094 behind the dot", "names the VLAN %d", id)
		case p < 0:
			c.errs.Addf(path+".name", i.Name, fmt.Sprintf("add an entry named %q with vlans: [%d]", parent, id), "is a VLAN on %s, which has no entry", parent)
		case !slices.Contains(c.s.Interfaces[p].VLANs, id):
			c.errs.Addf(path+".name", i.Name, fmt.Sprintf("add %d to interfaces[%d].vlans", id, p), "is a VLAN that %s does not carry", parent)
		case i.MTU > c.s.Interfaces[p].MTU:
			c.errs.Add(path+".mtu", fmt.Sprint(i.MTU), fmt.Sprintf("is more than the %d of %s, which carries it", c.s.Interfaces[p].MTU, parent),
				fmt.Sprintf("raise interfaces[%d].mtu, or lower this", p))
		}
	}
}

// overlaps: a network is on one interface. With the same network on two, the
// kernel answers on either, and a path bound to one may leave by the other.
func (c *checker) overlaps() {
	for k, a := range c.nets {
		for _, b := range c.nets[:k] {
			if a.iface != b.iface && a.prefix.Addr() != b.prefix.Addr() && a.prefix.Overlaps(b.prefix) {
				c.errs.Addf(a.path, a.prefix.String(), "give the interfaces different networks", "overlaps the network of %s, on %s", b.path, b.iface)
			}
		}
	}
}

// routing checks an interface's gateways and routes.
func (c *checker) routing(n int) {
	i, at := &c.s.Interfaces[n], fmt.Sprintf("interfaces[%d]", n)
	c.gateway(i, at+".gateway", i.Gateway, false, i.DHCP4, "dhcp4 is on, which brings its own", "remove it, or switch dhcp4 off")
	c.gateway(i, at+".gateway6", i.Gateway6, true, i.IPv6 != IPv6Static, "ipv6 is "+i.IPv6, "remove it, or set ipv6 to static")
	if k := len(i.Routes); k > maxRoutes {
		c.errs.Add(at+".routes", "", fmt.Sprintf("has %d elements", k), fmt.Sprintf("write up to %d", maxRoutes))
		return
	}
	for k := range i.Routes {
		c.route(i, n, fmt.Sprintf("%s.routes[%d]", at, k), &i.Routes[k])
	}
}

func (c *checker) gateway(i *Interface, path, text string, is6, elsewhere bool, why, remedy string) {
	if text == "" {
		return
	}
	ip, err := netip.ParseAddr(text) // the format of the field sees to errors
	if err != nil {
		return
	}
	switch problem := checkPeer(ip); {
	case problem != "":
		c.errs.Addf(path, text, "write the router's address", "%s", problem)
	case ip.Is6() != is6 && is6:
		c.errs.Addf(path, text, "write it to gateway", "is an IPv4 address")
	case ip.Is6() != is6:
		c.errs.Addf(path, text, "write it to gateway6", "is an IPv6 address")
	case elsewhere:
		c.errs.Addf(path, text, remedy, "is a second default gateway: %s", why)
	default:
		if problem, remedy := reachable(i, ip); problem != "" {
			c.errs.Addf(path, text, remedy, "%s", problem)
		}
		if first, ok := c.gateways[is6]; ok && (first.metric == i.Metric || first.metric == 0 || i.Metric == 0) {
			c.errs.Addf(path, text, "give each of the two interfaces its own metric, the lower to the one to prefer, or remove one gateway",
				"is a second default gateway beside %s", first.path)
		} else if !ok {
			c.gateways[is6] = gateway{path, i.Metric}
		}
	}
}

// reachable says why a router cannot be reached over an interface.
func reachable(i *Interface, ip netip.Addr) (problem, remedy string) {
	if ip.Is6() && ip.IsLinkLocalUnicast() {
		return "", ""
	}
	var nets []string
	for _, p := range i.prefixes() {
		if p.Addr() == ip {
			return "is the box's own address", "write the router's"
		}
		if p.Addr().Is4() && p.Contains(ip) && p.Bits() < 31 && (ip == p.Masked().Addr() || ip == broadcast(p)) {
			return "is the network's own or its broadcast address", "write the router's"
		}
		if p.Contains(ip) {
			return "", ""
		}
		if p.Addr().Is6() == ip.Is6() {
			nets = append(nets, p.Masked().String())
		}
	}
	if nets == nil {
		if i.DHCP4 && ip.Is4() || i.IPv6 == IPv6Auto && ip.Is6() {
			return "", "" // the network is known when DHCP or a router has spoken
		}
		return "cannot be reached: the interface has no address of its kind", "add one to addresses"
	}
	return "is outside of the interface's networks (" + strings.Join(nets, ", ") + ")", "correct it, or the prefix length of the address"
}

func (c *checker) route(i *Interface, n int, path string, r *Route) {
	to, err := netip.ParsePrefix(r.To)
	switch {
	case err != nil:
		c.errs.Addf(path+".to", r.To, "write a network such as 198.51.100.0/24", "is not a network")
		return
	case to != to.Masked():
		c.errs.Addf(path+".to", r.To, "write "+to.Masked().String(), "has bits set behind its prefix")
		return
	case to.Bits() == 0:
		c.errs.Addf(path+".to", r.To, "write the router to gateway or gateway6", "is the default route")
		return
	case to.Addr().Is4In6(), to.Addr().IsMulticast(), to.Addr().IsLoopback(), to.Addr().IsLinkLocalUnicast():
		c.errs.Addf(path+".to", r.To, "remove the route", "is not a network that routers lead to")
		return
	case to.Addr().Is6() && i.IPv6 == IPv6Off:
		c.errs.Addf(path+".to", r.To, "remove it, or set ipv6 to auto or static", "is an IPv6 network, and ipv6 is off")
		return
	}
	for _, p := range i.prefixes() {
		if p.Masked() == to {
			c.errs.Addf(path+".to", r.To, "remove the route", "is the interface's own network")
		}
	}
	if via, err := netip.ParseAddr(r.Via); err == nil {
		if via.Is6() != to.Addr().Is6() {
			c.errs.Addf(path+".via", r.Via, "write a router of the network's own kind", "and %s are of different kinds, IPv4 and IPv6", r.To)
		} else if problem, remedy := reachable(i, via); problem != "" {
			c.errs.Addf(path+".via", r.Via, remedy, "%s", problem)
		}
	}
	metric := r.Metric
	if metric == 0 {
		metric = i.metric(n)
	}
	key := fmt.Sprintf("%s %d", to, metric)
	if first, ok := c.routes[key]; ok {
		c.errs.Addf(path+".to", r.To, "remove one, or give each its own metric", "is also the network of %s", first)
		return
	}
	c.routes[key] = path
}

// doubts are what works and will be regretted.
func (c *checker) doubts() {
	dns, gateway, auto := false, false, c.s.Others == OthersAuto
	for n := range c.s.Interfaces {
		i := &c.s.Interfaces[n]
		auto = auto || i.DHCP4 || i.IPv6 == IPv6Auto && !i.DHCP4 && len(i.Addresses) == 0
		dns = dns || len(i.DNS) > 0
		gateway = gateway || i.Gateway != "" || i.Gateway6 != ""
	}
	if auto {
		return
	}
	if !dns {
		c.warnings.Add("interfaces", "", "name no DNS server: destinations, time servers and telemetry can be given by address only", "add dns to one of them")
	}
	if !gateway {
		c.warnings.Add("interfaces", "", "have no default gateway: nothing beyond their own networks and routes is reached", "add gateway to one of them")
	}
	if !slices.ContainsFunc(c.s.Interfaces, func(i Interface) bool { return i.MDNS }) {
		c.warnings.Add("interfaces", "", "answer to no mDNS name: the page is reached by address only", "write the addresses down, or set mdns to true on one of them")
	}
}
