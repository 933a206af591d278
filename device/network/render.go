package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// Where the rendered files go, below the root of the file system. All of it is
// in /run: made at each start, gone with the power.
const (
	networkdDir  = "run/systemd/network"
	hostnameFile = "run/quartet-netd/hostname"                    // quartet-hostname.service takes it from there
	timezoneLink = "run/quartet-netd/localtime"                   // the image's /etc/localtime leads there
	timesyncFile = "run/systemd/timesyncd.conf.d/50-quartet.conf" // quartet-names.service has it read again
	resolvedFile = "run/systemd/resolved.conf.d/50-quartet.conf"  // likewise
	zoneinfo     = "/usr/share/zoneinfo"
	filePrefix   = "40-quartet-" // what we own in networkd's folder
)

// File is one file, or symbolic link, that Render makes.
type File struct {
	Path    string // below the root of the file system, without a slash before it
	Content string
	Link    string // not empty: a symbolic link to this, without content
}

// Render turns settings that Parse has passed into files, sorted by path.
// hostname is the name of a box whose settings have none.
//
// networkd's files, in its order of precedence:
//
//	40-quartet-eth0.network     an interface with an entry
//	40-quartet-eth0.20.netdev   a VLAN; its addresses are in its .network
//	40-quartet-zz-others.network  every port without one
//
// Time and name servers stand in files of timesyncd's and resolved's, and not
// in the .network files where networkd would take them as well: networkd takes
// every address from an interface for a moment when its file changes, and a new
// time server must not cost a packet.
func Render(s *Settings, hostname string) []File {
	if s.Hostname != "" {
		hostname = s.Hostname
	}
	files := []File{
		{Path: hostnameFile, Content: hostname + "\n"},
		{Path: timezoneLink, Link: path.Join(zoneinfo, cmp.Or(s.Timezone, "UTC"))},
		{Path: timesyncFile, Content: timesync(s)},
		{Path: resolvedFile, Content: resolved(s)},
		{Path: path.Join(networkdDir, filePrefix+"zz-others.network"), Content: others(s)},
	}
	for n := range s.Interfaces {
		i := &s.Interfaces[n]
		files = append(files, File{Path: path.Join(networkdDir, filePrefix+i.Name+".network"), Content: iface(s, n)})
		if _, id, ok := vlanOf(i.Name); ok {
			u := unit{}
			u.section("NetDev", "Name", i.Name, "Kind", "vlan", "MTUBytes", i.MTU)
			u.section("VLAN", "Id", id)
			files = append(files, File{Path: path.Join(networkdDir, filePrefix+i.Name+".netdev"), Content: u.text()})
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

// unit writes the form that systemd reads.
type unit struct{ strings.Builder }

// section writes a section of pairs of key and value. A value that is nil or ""
// leaves the key out; a bool is yes or no.
func (u *unit) section(name string, pairs ...any) {
	if u.Len() == 0 {
		u.WriteString("# Made by quartet-netd from its settings; changes here are lost.\n")
	}
	fmt.Fprintf(u, "\n[%s]\n", name)
	for ; len(pairs) >= 2; pairs = pairs[2:] {
		switch v := pairs[1].(type) {
		case nil:
			continue
		case bool:
			fmt.Fprintf(u, "%s=%s\n", pairs[0], map[bool]string{true: "yes", false: "no"}[v])
		default:
			if text := fmt.Sprint(v); text != "" {
				fmt.Fprintf(u, "%s=%s\n", pairs[0], text)
			}
		}
	}
}

func (u *unit) text() string { return u.String() }

// timesync names the time servers, in the order in which they are asked; before
// those that DHCP names.
func timesync(s *Settings) string {
	u := unit{}
	u.section("Time", "NTP", strings.Join(s.NTP, " "))
	return u.text()
}

// resolved names the name servers, each bound to its interface. Where there are
// any, they are asked for every name, and those that DHCP names are not.
func resolved(s *Settings) string {
	var servers []string
	for n := range s.Interfaces {
		for _, d := range s.Interfaces[n].DNS {
			servers = append(servers, d+"%"+s.Interfaces[n].Name)
		}
	}
	var domains any
	if servers != nil {
		domains = "~."
	}
	u := unit{}
	u.section("Resolve", "DNS", strings.Join(servers, " "), "Domains", domains)
	return u.text()
}

// others is what holds for every port without an entry.
func others(s *Settings) string {
	u := unit{}
	// Type=ether is also what bridges, VLANs and tunnels are; Kind=!* leaves
	// those alone that somebody made.
	u.section("Match", "Type", "ether", "Kind", "!*")
	if s.Others == OthersOff {
		u.section("Link", "ActivationPolicy", "always-down", "RequiredForOnline", false)
		u.section("Network", "LinkLocalAddressing", "no", "IPv6AcceptRA", false)
		return u.text()
	}
	// A port that nobody set up must not hold up the start, nor take the default
	// route from one that somebody did.
	u.section("Link", "RequiredForOnline", false)
	u.section("Network", network(&Interface{DHCP4: true, IPv6: IPv6Auto, MDNS: true})...)
	learned(&u, true, true, othersMetric)
	return u.text()
}

// othersMetric is behind every listed interface's.
const othersMetric = 100 * (maxInterfaces + 1)

// iface is the .network file of the n-th interface.
func iface(s *Settings, n int) string {
	i := &s.Interfaces[n]
	u := unit{}
	u.section("Match", "Name", i.Name)
	// Each value is written even where it is networkd's default, so that taking
	// a setting back takes it back: networkd leaves what a file does not name.
	u.section("Link", "MTUBytes", i.MTU, "RequiredForOnline", false)
	pairs := network(i)
	for _, id := range i.VLANs {
		pairs = append(pairs, "VLAN", vlanName(i.Name, id))
	}
	u.section("Network", pairs...)
	for _, p := range i.prefixes() {
		u.section("Address", "Address", p)
	}
	metric := i.metric(n)
	for _, gw := range []string{i.Gateway, i.Gateway6} {
		if gw != "" {
			u.section("Route", "Gateway", gw, "Metric", metric)
		}
	}
	for k := range i.Routes {
		r := &i.Routes[k]
		var scope any
		if r.Via == "" && !strings.Contains(r.To, ":") {
			scope = "link"
		}
		u.section("Route", "Destination", r.To, "Gateway", r.Via, "Metric", cmp.Or(r.Metric, metric), "Scope", scope)
	}
	learned(&u, i.DHCP4, i.IPv6 == IPv6Auto, metric)
	return u.text()
}

// network is what the section of that name has in every file.
func network(i *Interface) []any {
	// With DHCP and link-local both on, networkd takes the IPv4 link-local
	// address only while DHCP has no answer.
	local := "no"
	switch {
	case i.DHCP4 && i.IPv6 != IPv6Off:
		local = "yes"
	case i.DHCP4:
		local = "ipv4"
	case i.IPv6 != IPv6Off:
		local = "ipv6"
	}
	dhcp := "no"
	if i.DHCP4 {
		dhcp = "ipv4" // DHCPv6 is asked when a router says so (IPv6AcceptRA)
	}
	pairs := []any{
		"DHCP", dhcp, "LinkLocalAddressing", local, "IPv6AcceptRA", i.IPv6 == IPv6Auto,
		"MulticastDNS", i.MDNS, "LLMNR", false,
		// What would tell the box's name and version to every neighbour.
		"LLDP", false, "EmitLLDP", false,
	}
	if i.DHCP4 {
		// networkd may be restarted (an update, a crash) without a packet of the
		// media going astray; the lease is asked for again.
		pairs = append(pairs, "KeepConfiguration", "dhcp-on-stop")
	}
	return pairs
}

// learned is what is taken of what DHCP and routers say.
func learned(u *unit, dhcp4, ra bool, metric int) {
	// A server knows the box by the port's hardware address. networkd's own choice is
	// made of the machine id, which is another at each start and in each slot: a new
	// client, a new address and a lease less in the server's pool.
	if dhcp4 {
		u.section("DHCPv4", "ClientIdentifier", "mac", "RouteMetric", metric, "UseDNS", true, "UseNTP", true, "UseHostname", false, "UseTimezone", false,
			// A server may not shrink packets: the planner reckoned with the MTU above.
			// Its own name networkd takes from the system.
			"UseMTU", false, "SendHostname", true,
			// See KeepConfiguration: what is kept must not be given back.
			"SendRelease", false)
	}
	if ra {
		u.section("IPv6AcceptRA", "RouteMetric", metric, "UseDNS", true, "UseDomains", false)
		u.section("DHCPv6", "DUIDType", "link-layer", "UseDNS", true, "UseNTP", true, "UseHostname", false)
	}
}

// addresses are those that settings give the box for certain, in the order of
// the document: where the page will be after a change. DHCP's are not known.
func (s *Settings) addresses() (list []netip.Addr) {
	for n := range s.Interfaces {
		for _, p := range s.Interfaces[n].prefixes() {
			list = append(list, p.Addr())
		}
	}
	return list
}

// changed lists the interfaces whose files differ, of two renderings; "*" is
// every port without an entry.
func changed(before, after []File) (names []string) {
	old := map[string]File{}
	for _, f := range before {
		old[f.Path] = f
	}
	add := func(p string) {
		name, ok := strings.CutPrefix(path.Base(p), filePrefix)
		if !ok {
			return
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".network"), ".netdev")
		if name == "zz-others" {
			name = "*"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, f := range after {
		if o, ok := old[f.Path]; !ok || o != f {
			add(f.Path)
		}
		delete(old, f.Path)
	}
	for p := range old {
		add(p)
	}
	slices.Sort(names)
	return names
}
