package network

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what Render makes to testdata")

// TestRender holds the rendered files to what lies in testdata, and names for
// each case the lines that matter and why.
func TestRender(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		lines     map[string]string // of some file: line → why
		not       map[string]string
	}{
		{
			name: "new-box", doc: `{"version": 1}`,
			lines: map[string]string{
				"Type=ether":                     "any cable reaches the page",
				"Kind=!*":                        "bridges and tunnels of others are left alone",
				"DHCP=ipv4":                      "an address without anybody's doing",
				"LinkLocalAddressing=yes":        "and one where there is no server",
				"MulticastDNS=yes":               "quartet-<serial>.local",
				"LLMNR=no":                       "one protocol for names, and one port less (docs/ports.md)",
				"RequiredForOnline=no":           "a port without a cable does not hold up the start",
				"KeepConfiguration=dhcp-on-stop": "networkd may be restarted while the media flows",
				"UseHostname=no":                 "the box is called by its own name, not a server's",
				"UseMTU=no":                      "nobody shrinks the packets that the planner reckoned with",
				"SendRelease=no":                 "what is kept is not given back",
				"ClientIdentifier=mac":           "the same client to a server at every start: the machine id is not",
				"DUIDType=link-layer":            "likewise for IPv6",
				"quartet-q7k2m9":                 "the name by the serial number",
			},
		},
		{
			name: "others-off", doc: `{"version": 1, "others": "off", "interfaces": [{"name": "eth0", "dhcp4": true}]}`,
			lines: map[string]string{"ActivationPolicy=always-down": "an unused port in a machine room is closed"},
		},
		{
			name: "static", doc: `{"version": 1, "others": "off", "interfaces": [
				{"name": "eth0", "ipv6": "off", "addresses": ["192.0.2.10/24"], "gateway": "192.0.2.1", "dns": ["192.0.2.53"]}]}`,
			lines: map[string]string{
				"Address=192.0.2.10/24":  "the address",
				"Gateway=192.0.2.1":      "the way out",
				"Metric=100":             "two ports' ways out do not fight",
				"MTUBytes=1500":          "said even where it is the default: taking 9000 back takes it back",
				"LinkLocalAddressing=no": "no address but the ones above",
				"IPv6AcceptRA=no":        "no router gives it one",
				"DNS=192.0.2.53%eth0":    "names, asked for over this port",
				"Domains=~.":             "and by this server for every name",
			},
			not: map[string]string{"KeepConfiguration": "static addresses stay anyway", "[DHCPv4]": "nobody is asked"},
		},
		{
			name: "full", doc: full,
			lines: map[string]string{
				"VLAN=eth0.20":                      "the port carries the VLAN",
				"Kind=vlan":                         "which is made",
				"Id=20":                             "with its number",
				"NTP=ntp1.example.net 192.0.2.123":  "time servers, before those of DHCP",
				"Destination=203.0.113.0/24":        "the network behind a router",
				"Metric=7":                          "with its own preference",
				"Scope=link":                        "a route without a router is on the cable",
				"MulticastDNS=no":                   "as asked",
				"LinkLocalAddressing=ipv6":          "static IPv6 still needs its link-local address to find neighbours",
				"Gateway=fe80::1":                   "a router by its link-local address",
				"/usr/share/zoneinfo/Europe/Berlin": "the time zone",
			},
		},
	} {
		got := rendered(Render(mustParse(t, c.doc), "quartet-q7k2m9"))
		file := filepath.Join("testdata", c.name+".golden")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != got {
			t.Errorf("%s: %v; made\n%s", file, err, got)
		}
		lines := strings.Split(got, "\n")
		for line, why := range c.lines {
			if !slices.ContainsFunc(lines, func(l string) bool { return l == line || strings.HasSuffix(l, " -> "+line) }) {
				t.Errorf("%s: no line %q: %s", c.name, line, why)
			}
		}
		for line, why := range c.not {
			if strings.Contains(got, line) {
				t.Errorf("%s: has %q: %s", c.name, line, why)
			}
		}
	}
}

func TestChanged(t *testing.T) {
	render := func(doc string) []File { return Render(mustParse(t, doc), "quartet-1") }
	a := in(`{"name": "eth0", "dhcp4": true}`)
	for _, c := range []struct{ before, after, want string }{
		{a, a, ""},
		{a, in(`{"name": "eth0", "dhcp4": true, "mtu": 9000}`), "eth0"},
		{a, in(`{"name": "eth0", "dhcp4": true, "vlans": [7]}`, `{"name": "eth0.7"}`), "eth0 eth0.7"},
		{in(`{"name": "eth0", "dhcp4": true, "vlans": [7]}`, `{"name": "eth0.7"}`), a, "eth0 eth0.7"},
		{a, in(), "eth0"},
		{in(), a, "eth0"},
		{in(), `{"version": 1, "others": "off"}`, "*"},
		{in(), `{"version": 1, "timezone": "Europe/Berlin"}`, ""},
		{in(), `{"version": 1, "hostname": "b"}`, ""},
		// Nor does another time or name server: networkd would take the addresses away
		// for a moment.
		{a, `{"version": 1, "ntp": ["t"], "interfaces": [{"name": "eth0", "dhcp4": true, "dns": ["192.0.2.53"]}]}`, ""},
	} {
		if got := strings.Join(changed(render(c.before), render(c.after)), " "); got != c.want {
			t.Errorf("%s → %s: %q, want %q", c.before, c.after, got, c.want)
		}
	}
}
