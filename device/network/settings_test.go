package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"quartet/device/config"
)

// full is a document with every field set to something else than its default.
const full = `{"version": 1, "hostname": "studio-7", "timezone": "Europe/Berlin", "ntp": ["ntp1.example.net", "192.0.2.123"], "others": "off",
 "interfaces": [
  {"name": "eth0", "dhcp4": true, "addresses": ["10.77.0.5/24"], "dns": ["198.51.100.53"], "mdns": false, "vlans": [20, 30], "metric": 50},
  {"name": "eth0.20", "ipv6": "static", "addresses": ["192.0.2.10/24", "2001:db8:2::10/64"], "gateway": "192.0.2.1", "gateway6": "fe80::1",
   "mtu": 1400, "metric": 200, "routes": [{"to": "203.0.113.0/24", "via": "192.0.2.254", "metric": 7}, {"to": "2001:db8:99::/48", "via": "2001:db8:2::fe"}]},
  {"name": "eth0.30", "ipv6": "off", "addresses": ["10.30.0.2/30"], "routes": [{"to": "10.31.0.0/16"}]},
  {"name": "eth1", "ipv6": "off", "addresses": ["10.1.0.5/16"], "gateway": "10.1.0.1", "metric": 300, "mtu": 9000}
 ]}`

func mustParse(t *testing.T, doc string) *Settings {
	t.Helper()
	s, _, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	s, warnings, err := Parse([]byte(full))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	again, _, err := Parse(Encode(s))
	if err != nil || !reflect.DeepEqual(s, again) {
		t.Fatalf("Encode and Parse: %v\n%s", err, Encode(s))
	}
	if w, err := Default().Validate(); err != nil || len(w) > 0 {
		t.Fatalf("the settings of a new box: %v %v", err, w)
	}
	// As they go over the socket, every field is there, and a list is a list.
	for _, s := range []*Settings{s, Default()} {
		if b, err := json.Marshal(s); err != nil || strings.Contains(string(b), "null") {
			t.Fatalf("%v\n%s", err, b)
		}
	}
	empty := mustParse(t, `{"version": 1}`)
	if !reflect.DeepEqual(empty, Default()) {
		t.Fatalf("%+v, want %+v", empty, Default())
	}
}

// in puts an interface into a document.
func in(interfaces ...string) string {
	return `{"version": 1, "interfaces": [` + strings.Join(interfaces, ", ") + `]}`
}

// TestRefused: each of these is refused with the field, the value and what to
// do instead.
func TestRefused(t *testing.T) {
	static := func(name, rest string) string {
		return fmt.Sprintf(`{"name": %q, "addresses": ["192.0.2.10/24"], "ipv6": "off"%s}`, name, rest)
	}
	many := func(n int, f string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(f, i+1)
		}
		return strings.Join(list, ", ")
	}
	for _, c := range []struct{ doc, path, says, remedy string }{
		{``, "", "empty", ""},
		{`[]`, "", "a list", ""},
		{`{}`, "version", "is missing", "add it"},
		{`{"version": 2}`, "version", "2 is not allowed", "write 1"},
		{`{"version": 1, "Hostname": "x"}`, "Hostname", "wrong case", `"hostname"`},
		{`{"version": 1, "hostnam": "x"}`, "hostnam", "unknown", `"hostname"`},
		{`{"version": 1, "ntp": [], "ntp": []}`, "ntp", "duplicate", "keep this one"},
		{`{"version": 1} {}`, "", "after the end", "remove"},
		{`{"version": 1, "ntp": "x"}`, "ntp", "is a string, not a list", ""},
		{`{"version": 1, "hostname": "Studio"}`, "hostname", `"Studio" has characters`, "small letters"},
		{`{"version": 1, "hostname": "a.b"}`, "hostname", "has a dot", ""},
		{`{"version": 1, "hostname": "-a"}`, "hostname", "dash", ""},
		{`{"version": 1, "hostname": "localhost"}`, "hostname", "own self", ""},
		{`{"version": 1, "hostname": "` + strings.Repeat("a", 64) + `"}`, "hostname", "64 characters", "1 to 63"},
		{`{"version": 1, "timezone": "Europe/Berlino"}`, "timezone", `"Europe/Berlino" is not`, "Europe/Berlin"},
		{`{"version": 1, "timezone": "../../etc/passwd"}`, "timezone", "is not", "IANA"},
		{`{"version": 1, "timezone": "Local"}`, "timezone", "is not", ""},
		{`{"version": 1, "timezone": ""}`, "timezone", "is not", ""},
		{`{"version": 1, "ntp": ["ntp.example.net:123"]}`, "ntp[0]", "is not a host name", "no port"},
		{`{"version": 1, "ntp": ["a_b"]}`, "ntp[0]", "is not a host name", ""},
		{`{"version": 1, "ntp": ["1.2.3"]}`, "ntp[0]", "do not end in a number", ""},
		{`{"version": 1, "ntp": [""]}`, "ntp[0]", "is not a host name", ""},
		{`{"version": 1, "ntp": ["127.0.0.1"]}`, "ntp[0]", "the box itself", ""},
		{`{"version": 1, "ntp": ["a", "a"]}`, "ntp[1]", "is also ntp[0]", "remove one"},
		{`{"version": 1, "ntp": ["a\nDHCP=yes"]}`, "ntp[0]", "is not a host name", ""},
		{`{"version": 1, "ntp": [` + many(9, `"t%d"`) + `]}`, "ntp", "9 elements", "up to 8"},
		{`{"version": 1, "others": "down"}`, "others", "not allowed", "auto or off"},
		{in(many(33, `{"name": "eth%d"}`)), "interfaces", "33 elements", "up to 32"},
		{in(`{}`), "interfaces[0].name", "is missing", ""},
		{in(`{"name": ""}`), "interfaces[0].name", "0 bytes", ""},
		{in(`{"name": "lo"}`), "interfaces[0].name", "loopback", ""},
		{in(`{"name": "eth0/../x"}`), "interfaces[0].name", "is not the name", ""},
		{in(`{"name": "eth*"}`), "interfaces[0].name", "is not the name", ""},
		{in(`{"name": "enp0s31f6long00"}`, `{"name": "enp0s31f6long001"}`), "interfaces[1].name", "16 bytes", ""},
		{in(`{"name": "eth0"}`, `{"name": "eth0"}`), "interfaces[1].name", "is also the name of interfaces[0]", "join"},
		{in(`{"name": "eth0", "dhcp4": "yes"}`), "interfaces[0].dhcp4", "is a string", ""},
		{in(`{"name": "eth0", "ipv6": "on"}`), "interfaces[0].ipv6", "not allowed", ""},
		{in(`{"name": "eth0", "addresses": ["192.0.2.10"]}`), "interfaces[0].addresses[0]", "no prefix length", "192.0.2.10/24"},
		{in(`{"name": "eth0", "addresses": ["192.0.2.300/24"]}`), "interfaces[0].addresses[0]", "is not an address", "192.0.2.10/24"},
		{in(`{"name": "eth0", "addresses": ["192.0.2.10/33"]}`), "interfaces[0].addresses[0]", "is not an address", ""},
		{in(`{"name": "eth0", "addresses": ["192.0.2.0/24"]}`), "interfaces[0].addresses[0]", "is the network", "192.0.2.1/24"},
		{in(`{"name": "eth0", "addresses": ["192.0.2.255/24"]}`), "interfaces[0].addresses[0]", "broadcast", ""},
		{in(`{"name": "eth0", "addresses": ["127.0.0.1/8"]}`), "interfaces[0].addresses[0]", "the box itself", ""},
		{in(`{"name": "eth0", "addresses": ["224.0.0.1/24"]}`), "interfaces[0].addresses[0]", "one host", ""},
		{in(`{"name": "eth0", "addresses": ["169.254.1.1/16"]}`), "interfaces[0].addresses[0]", "link-local", "remove"},
		{in(`{"name": "eth0", "addresses": ["10.0.0.1/0"]}`), "interfaces[0].addresses[0]", "whole internet", ""},
		{in(`{"name": "eth0", "addresses": ["fe80::1/64"]}`), "interfaces[0].addresses[0]", "link-local", ""},
		{in(`{"name": "eth0", "addresses": ["::ffff:192.0.2.1/120"]}`), "interfaces[0].addresses[0]", "IPv4-mapped", ""},
		{in(`{"name": "eth0", "addresses": ["2001:db8::1/64"], "ipv6": "off"}`), "interfaces[0].addresses[0]", "ipv6 is off", "static"},
		{in(`{"name": "eth0", "ipv6": "static"}`), "interfaces[0].ipv6", "needs an address", "add an IPv6 address"},
		{in(`{"name": "eth0", "ipv6": "off"}`), "interfaces[0]", "no address", "dhcp4"},
		{in(`{"name": "eth0", "addresses": [` + many(17, `"10.%d.0.1/24"`) + `]}`), "interfaces[0].addresses", "17 elements", "up to 16"},
		{in(static("eth0", ""), static("eth1", "")), "interfaces[1].addresses[0]", "is also interfaces[0].addresses[0]", "each its own"},
		{in(static("eth0", ""), `{"name": "eth1", "addresses": ["192.0.2.99/25"]}`), "interfaces[1].addresses[0]", "overlaps the network of interfaces[0].addresses[0], on eth0", "different networks"},
		{in(static("eth0", `, "gateway": "198.51.100.1"`)), "interfaces[0].gateway", "outside of the interface's networks (192.0.2.0/24)", "prefix length"},
		{in(static("eth0", `, "gateway": "192.0.2.10"`)), "interfaces[0].gateway", "own address", "router's"},
		{in(static("eth0", `, "gateway": "192.0.2.255"`)), "interfaces[0].gateway", "broadcast", ""},
		{in(static("eth0", `, "gateway": "2001:db8::1"`)), "interfaces[0].gateway", "is an IPv6 address", "gateway6"},
		{in(static("eth0", `, "gateway": "here"`)), "interfaces[0].gateway", "is not an IP address", ""},
		{in(`{"name": "eth0", "dhcp4": true, "gateway": "192.0.2.1"}`), "interfaces[0].gateway", "second default gateway: dhcp4 is on", "switch dhcp4 off"},
		{in(`{"name": "eth0", "ipv6": "auto", "gateway6": "fe80::1"}`), "interfaces[0].gateway6", "second default gateway: ipv6 is auto", "static"},
		{in(`{"name": "eth0", "ipv6": "static", "addresses": ["2001:db8::2/64"], "gateway6": "2001:db8:1::1"}`), "interfaces[0].gateway6", "outside", ""},
		{in(static("eth0", `, "gateway": "192.0.2.1"`), `{"name": "eth1", "addresses": ["10.0.0.2/24"], "gateway": "10.0.0.1"}`),
			"interfaces[1].gateway", "second default gateway beside interfaces[0].gateway", "metric"},
		{in(static("eth0", `, "gateway": "192.0.2.1", "metric": 5`), `{"name": "eth1", "addresses": ["10.0.0.2/24"], "gateway": "10.0.0.1", "metric": 5}`),
			"interfaces[1].gateway", "second default gateway", "metric"},
		{in(`{"name": "eth0", "metric": 10000}`), "interfaces[0].metric", "out of range", ""},
		{in(`{"name": "eth0", "dns": ["dns.example.net"]}`), "interfaces[0].dns[0]", "is not an IP address", "name server"},
		{in(`{"name": "eth0", "dns": ["0.0.0.0"]}`), "interfaces[0].dns[0]", "one host", ""},
		{in(`{"name": "eth0", "dns": ["192.0.2.53", "192.0.2.53"]}`), "interfaces[0].dns[1]", "is also", "remove one"},
		{in(`{"name": "eth0", "dns": ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]}`), "interfaces[0].dns", "5 elements", "up to 4"},
		{in(`{"name": "eth0", "mtu": 575}`), "interfaces[0].mtu", "575 is out of range", "576 to 9216"},
		{in(`{"name": "eth0", "mtu": 9217}`), "interfaces[0].mtu", "out of range", ""},
		{in(`{"name": "eth0", "mtu": 1279}`), "interfaces[0].mtu", "too small for IPv6", "1280"},
		{in(`{"name": "eth0.20"}`), "interfaces[0].name", "a VLAN on eth0, which has no entry", "vlans: [20]"},
		{in(`{"name": "eth0"}`, `{"name": "eth0.20"}`), "interfaces[1].name", "does not carry", "interfaces[0].vlans"},
		{in(`{"name": "eth0", "vlans": [20]}`), "interfaces[0].vlans[0]", "has no settings", `"eth0.20"`},
		{in(`{"name": "eth0", "vlans": [0]}`), "interfaces[0].vlans[0]", "out of range", "1 to 4094"},
		{in(`{"name": "eth0", "vlans": [20, 20]}`, `{"name": "eth0.20"}`), "interfaces[0].vlans[1]", "is also", "remove"},
		{in(`{"name": "eth0", "vlans": [20]}`, `{"name": "eth0.20", "vlans": [3]}`), "interfaces[1].vlans[0]", "VLAN within a VLAN", "port's"},
		{in(`{"name": "eth0.4095"}`), "interfaces[0].name", "names the VLAN 4095", "4094"},
		{in(`{"name": "eth0.x"}`), "interfaces[0].name", "has a dot", ""},
		{in(`{"name": "eth0.020"}`), "interfaces[0].name", "has a dot", ""},
		{in(`{"name": "eth0", "vlans": [20]}`, `{"name": "eth0.20", "mtu": 2000}`), "interfaces[1].mtu", "more than the 1500 of eth0", "interfaces[0].mtu"},
		{in(`{"name": "enp0s31f6abc", "vlans": [4000]}`), "interfaces[0].vlans[0]", "more than 15 bytes", "shorter"},
		{in(static("eth0", `, "routes": [{"to": "203.0.113.1/24", "via": "192.0.2.1"}]`)), "interfaces[0].routes[0].to", "behind its prefix", "203.0.113.0/24"},
		{in(static("eth0", `, "routes": [{"to": "0.0.0.0/0", "via": "192.0.2.1"}]`)), "interfaces[0].routes[0].to", "default route", "gateway"},
		{in(static("eth0", `, "routes": [{"to": "203.0.113.0", "via": "192.0.2.1"}]`)), "interfaces[0].routes[0].to", "is not a network", ""},
		{in(static("eth0", `, "routes": [{"to": "203.0.113.0/24", "via": "10.0.0.1"}]`)), "interfaces[0].routes[0].via", "outside", ""},
		{in(static("eth0", `, "routes": [{"to": "203.0.113.0/24", "via": "fe80::1"}]`)), "interfaces[0].routes[0].via", "different kinds", ""},
		{in(static("eth0", `, "routes": [{"to": "192.0.2.0/24"}]`)), "interfaces[0].routes[0].to", "own network", "remove"},
		{in(static("eth0", `, "routes": [{"to": "2001:db8::/32"}]`)), "interfaces[0].routes[0].to", "ipv6 is off", ""},
		{in(static("eth0", `, "routes": [{"to": "224.0.0.0/4"}]`)), "interfaces[0].routes[0].to", "routers lead to", ""},
		{in(static("eth0", `, "routes": [{"to": "203.0.113.0/24"}, {"to": "203.0.113.0/24", "via": "192.0.2.1"}]`)), "interfaces[0].routes[1].to", "is also the network of interfaces[0].routes[0]", "metric"},
		{in(static("eth0", `, "routes": [`+many(65, `{"to": "10.%d.0.0/16"}`)+`]`)), "interfaces[0].routes", "65 elements", "up to 64"},
	} {
		_, _, err := Parse([]byte(c.doc))
		var issues config.Issues
		if !errors.As(err, &issues) {
			t.Errorf("%s\n accepted, want an error at %s", c.doc, c.path)
			continue
		}
		if !slices.ContainsFunc(issues, func(i config.Issue) bool {
			return i.Path == c.path && strings.Contains(i.String(), c.says) && strings.Contains(i.Remedy, c.remedy) && i.Remedy != ""
		}) {
			t.Errorf("%s\n  says  %v\n  wants %s … %s … %s", c.doc, err, c.path, c.says, c.remedy)
		}
	}
}

func TestDoubts(t *testing.T) {
	s := `{"name": "eth0", "addresses": ["192.0.2.10/24"], "ipv6": "off", "mdns": false}`
	_, warnings, err := Parse([]byte(`{"version": 1, "others": "off", "interfaces": [` + s + `]}`))
	if err != nil || len(warnings) != 3 {
		t.Fatalf("%v %v, want three warnings: no DNS, no gateway, no mDNS", err, warnings)
	}
	if _, warnings, _ = Parse([]byte(in(s))); len(warnings) != 0 {
		t.Fatalf("other ports take addresses, and still: %v", warnings)
	}
}

// Two default gateways, one for each network, are what a box with four paths
// over two networks needs.
func TestTwoGateways(t *testing.T) {
	s := mustParse(t, in(
		`{"name": "eth0", "ipv6": "off", "addresses": ["192.0.2.10/24"], "gateway": "192.0.2.1", "metric": 10}`,
		`{"name": "eth1", "ipv6": "off", "addresses": ["10.0.0.2/24"], "gateway": "10.0.0.1", "metric": 20}`,
		`{"name": "eth2", "dhcp4": true}`, `{"name": "eth3", "ipv6": "off", "addresses": ["10.9.0.0/31"], "routes": [{"to": "10.10.0.0/16", "via": "10.9.0.1"}]}`))
	text := rendered(Render(s, "quartet-1"))
	for _, want := range []string{"Gateway=192.0.2.1\nMetric=10\n", "Gateway=10.0.0.1\nMetric=20\n", "RouteMetric=300\n", "Gateway=10.9.0.1\nMetric=400\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestEveryFieldHasAnEffect: what is accepted is not ignored. Each field of the
// full document is taken out in turn, and what is rendered must change.
func TestEveryFieldHasAnEffect(t *testing.T) {
	var tree map[string]any
	if err := json.Unmarshal([]byte(full), &tree); err != nil {
		t.Fatal(err)
	}
	before := rendered(Render(mustParse(t, full), "quartet-1"))
	tried := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				delete(v, name)
				doc, _ := json.Marshal(tree)
				if s, _, err := Parse(doc); err == nil {
					tried[name] = true
					if rendered(Render(s, "quartet-1")) == before {
						t.Errorf("%s.%s can be left out and nothing changes", path, name)
					}
				}
				v[name] = value
				walk(path+"."+name, value)
			}
		case []any:
			for i := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), v[i])
			}
		}
	}
	walk("", tree)
	for _, typ := range []reflect.Type{reflect.TypeFor[Settings](), reflect.TypeFor[Interface](), reflect.TypeFor[Route]()} {
		for i := range typ.NumField() {
			name := typ.Field(i).Tag.Get("json")
			if !tried[name] && !slices.Contains([]string{"version", "name", "to", "interfaces", "vlans"}, name) {
				t.Errorf("%s.%s: no document without it was tried", typ.Name(), name)
			}
		}
	}
}

func TestDefaultHostname(t *testing.T) {
	for serial, want := range map[string]string{
		"Q7K2M9": "quartet-q7k2m9", "A_1/2": "quartet-a-1-2", "": "quartet", "--": "quartet", "ü": "quartet",
		strings.Repeat("x", 80): "quartet-" + strings.Repeat("x", 55), strings.Repeat("x", 54) + "--y": "quartet-" + strings.Repeat("x", 54),
	} {
		got := DefaultHostname(serial)
		if got != want || checkHostname(got) != "" {
			t.Errorf("%q: %q, want %q (%s)", serial, got, want, checkHostname(got))
		}
	}
}

// FuzzParse: whatever comes, nothing panics, what is accepted renders to files
// within our own names, without a line that a value smuggled in, and reads back
// to the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(`{"version": 1}`))
	f.Add([]byte(in(`{"name": "eth0", "dhcp4": true}`)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, _, err := Parse(doc)
		if err != nil {
			return
		}
		again, _, err := Parse(Encode(s))
		if err != nil || rendered(Render(again, "q")) != rendered(Render(s, "q")) {
			t.Fatalf("does not read back: %v\n%s", err, Encode(s))
		}
		for _, file := range Render(s, "q") {
			if strings.Contains(file.Path, "..") || strings.Count(file.Path, "/") != strings.Count(networkdDir, "/")+1 && !slices.Contains([]string{hostnameFile, timezoneLink, timesyncFile, resolvedFile}, file.Path) {
				t.Fatalf("path %q", file.Path)
			}
			for line := range strings.Lines(file.Content) {
				line = strings.TrimSuffix(line, "\n")
				if file.Path == hostnameFile || line == "" || line[0] == '#' || line[0] == '[' && line[len(line)-1] == ']' {
					continue
				}
				key, value, ok := strings.Cut(line, "=")
				if !ok || key == "" || strings.ContainsFunc(key, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9') }) ||
					strings.ContainsAny(value, "\\\t\"'") || strings.Contains(value, "%") && file.Path != resolvedFile {
					t.Fatalf("%s: line %q", file.Path, line)
				}
			}
		}
	})
}

// rendered is all files as one text.
func rendered(files []File) string {
	var b strings.Builder
	for _, f := range files {
		if f.Link != "" {
			fmt.Fprintf(&b, "==> %s -> %s\n", f.Path, f.Link)
			continue
		}
		fmt.Fprintf(&b, "==> %s\n%s", f.Path, f.Content)
	}
	return b.String()
}
