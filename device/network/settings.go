package network

import (
	"fmt"
	"net/netip"
	"strings"

	"quartet/device/config"
)

// SchemaVersion is the value of "version" that this package reads and writes.
const SchemaVersion = 1

// Settings is the document of the box's network and clock. Its tags are those
// of device/config: everything a checker needs about a single field.
type Settings struct {
	// Schema version of the document; this program reads 1.
	Version int `json:"version" required:"yes" enum:"1"`
	// Name of the box in the network, and with ".local" behind it in mDNS.
	// Absent: quartet-<serial>.
	Hostname string `json:"hostname"`
	// Time zone by its IANA name, such as Europe/Berlin: for maintenance windows
	// and what people see. Logs and telemetry are in UTC.
	Timezone string `json:"timezone" default:"UTC"`
	// Time servers, by name or address, up to 8. Empty: those that DHCP names,
	// else those built into the image.
	NTP []string `json:"ntp"`
	// What becomes of network ports that are not listed below: auto takes an
	// address by DHCP, else a link-local one, so that a cable in any port reaches
	// the page; off leaves them down.
	Others string `json:"others" default:"auto" enum:"auto|off"`
	// Network ports and VLANs with settings of their own, up to 32. Empty: every
	// port is as others says.
	Interfaces []Interface `json:"interfaces"`
}

// Interface is one network port, or one VLAN on it.
type Interface struct {
	// Name of the port, such as eth0, or of a VLAN: eth0.20.
	Name string `json:"name" required:"yes"`
	// Ask for an IPv4 address by DHCP. Without an answer the port takes a
	// link-local address (RFC 3927) and goes on asking.
	DHCP4 bool `json:"dhcp4" default:"false"`
	// IPv6: auto takes what routers advertise, DHCPv6 included; static has the
	// addresses below alone; off has none.
	IPv6 string `json:"ipv6" default:"auto" enum:"auto|static|off"`
	// Fixed addresses with prefix length, such as 192.0.2.10/24, up to 16.
	Addresses []string `json:"addresses"`
	// Default gateway for IPv4. Absent: none, or what DHCP says.
	Gateway string `json:"gateway" format:"ip"`
	// Default gateway for IPv6. Absent: none, or what routers advertise.
	Gateway6 string `json:"gateway6" format:"ip"`
	// Preference of this port's default gateway: of several, the lowest is used.
	// Paths that are bound to a port use that port's own in any case. 0: by the
	// order of this list, 100, 200, and so on.
	Metric int `json:"metric" range:"0..9999"`
	// Name servers, up to 4. Empty: those that DHCP or routers name.
	DNS []string `json:"dns"`
	// Largest packet in bytes.
	MTU int `json:"mtu" default:"1500" range:"576..9216"`
	// Networks behind other routers, up to 64.
	Routes []Route `json:"routes"`
	// Numbers of the VLANs (IEEE 802.1Q) on this port. Each has an entry of its
	// own in interfaces, named after port and number: eth0.20.
	VLANs []int `json:"vlans" range:"1..4094"`
	// Answer to the box's name (mDNS) on this port.
	MDNS bool `json:"mdns" default:"true"`
}

// Route is a way to a network that is not the default gateway's.
type Route struct {
	// The network, such as 198.51.100.0/24.
	To string `json:"to" required:"yes"`
	// The router. Absent: the network is on the cable.
	Via string `json:"via" format:"ip"`
	// Preference among routes to the same network: the lowest is used. 0: the
	// interface's.
	Metric int `json:"metric" range:"0..9999"`
}

// The words of Interface.IPv6 and Settings.Others.
const (
	IPv6Auto   = "auto"
	IPv6Static = "static"
	IPv6Off    = "off"
	OthersAuto = "auto"
	OthersOff  = "off"
)

// Parse reads a document strictly: an unknown field, a wrong type, a value out
// of range or two settings that contradict each other is an error that names
// the field, the value and the remedy. The warnings do not prevent its use.
// The error is of type config.Issues.
func Parse(doc []byte) (s *Settings, warnings config.Issues, err error) {
	s = new(Settings)
	if err := config.Decode(doc, s); err != nil {
		return nil, nil, err
	}
	errs, warnings := s.rules()
	errs.Locate(doc)
	warnings.Locate(doc)
	if err := errs.Err(); err != nil {
		return nil, warnings, err
	}
	s.fill()
	return s, warnings, nil
}

// fill makes lists of no elements of those that are not there, so that a reader
// of their JSON finds a list.
func (s *Settings) fill() {
	s.NTP, s.Interfaces = orEmpty(s.NTP), orEmpty(s.Interfaces)
	for n := range s.Interfaces {
		i := &s.Interfaces[n]
		i.Addresses, i.DNS, i.Routes, i.VLANs = orEmpty(i.Addresses), orEmpty(i.DNS), orEmpty(i.Routes), orEmpty(i.VLANs)
	}
}

func orEmpty[E any](list []E) []E {
	if list == nil {
		return []E{}
	}
	return list
}

// Validate checks settings made by a program: what Parse would say to them.
func (s *Settings) Validate() (warnings config.Issues, err error) {
	_, warnings, err = Parse(Encode(s))
	return warnings, err
}

// Encode writes settings as indented JSON without the fields that have their
// default. Parse reads it back to the same value.
func Encode(s *Settings) []byte { return config.Encode(s) }

// Default are the settings of a box that nobody has set up: every port by DHCP,
// else link-local, and mDNS.
func Default() *Settings {
	s := config.Default[Settings]()
	s.Version = SchemaVersion
	s.fill()
	return &s
}

// DefaultHostname is the name of a box by its serial number: quartet-<serial>
// in lower case, with a dash for whatever a host name cannot hold.
func DefaultHostname(serial string) string {
	var b strings.Builder
	b.WriteString("quartet")
	dash := true // pending
	for _, r := range strings.ToLower(serial) {
		if r < 'a' && (r < '0' || r > '9') || r > 'z' {
			dash = true
			continue
		}
		if dash {
			b.WriteByte('-')
			dash = false
		}
		if b.WriteRune(r); b.Len() >= maxLabel {
			break
		}
	}
	return strings.TrimRight(b.String()[:min(b.Len(), maxLabel)], "-")
}

// vlanOf takes the name of a VLAN apart; ok is false for a name without one.
func vlanOf(name string) (parent string, id int, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return "", 0, false
	}
	if _, err := fmt.Sscanf(name[i+1:], "%d", &id); err != nil || vlanName(name[:i], id) != name {
		return "", 0, false
	}
	return name[:i], id, true
}

// vlanName is what the VLAN of a port is called.
func vlanName(parent string, id int) string { return fmt.Sprintf("%s.%d", parent, id) }

// prefixes are the parsed addresses; those that do not parse are left out.
func (i *Interface) prefixes() (list []netip.Prefix) {
	for _, a := range i.Addresses {
		if p, err := netip.ParsePrefix(a); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// metric is the preference of the n-th interface's routes.
func (i *Interface) metric(n int) int {
	if i.Metric > 0 {
		return i.Metric
	}
	return 100 * (n + 1)
}
