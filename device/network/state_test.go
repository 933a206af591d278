package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// describedEth1 is a part of what systemd-networkd 252 and 257 say of a link
// with a lease (Manager.Describe), the newer one's lease included.
const describedEth1 = `{"Interfaces":[{"Index":5,"Name":"eth1","Type":"ether","AdministrativeState":"configured","OperationalState":"routable","CarrierState":"carrier",
"DNS":[{"Family":2,"Address":[10,5,0,53],"ConfigSource":"DHCPv4","ConfigProvider":[10,5,0,1]}],
"Addresses":[{"Family":2,"Address":[10,5,0,52],"PrefixLength":24,"Broadcast":[10,5,0,255],"ConfigSource":"DHCPv4","ConfigState":"configured","ConfigProvider":[10,5,0,1]},
 {"Family":10,"Address":[254,128,0,0,0,0,0,0,0,0,0,0,0,0,0,1],"PrefixLength":64,"ConfigSource":"foreign"},
 {"Family":10,"Address":[32,1,13,184,0,0,0,0,0,0,0,0,0,0,0,9],"PrefixLength":64,"ConfigSource":"NDisc"}],
"Routes":[{"Family":2,"Destination":[0,0,0,0],"DestinationPrefixLength":0,"Gateway":[10,5,0,1],"ConfigSource":"DHCPv4"}],
"DHCPv4Client":{"Lease":{"LeaseTimestampUSec":100000000,"LifetimeUSec":3600000000}}}],"NTP":null}`

func TestDescription(t *testing.T) {
	d, err := parseDescription([]byte(describedEth1))
	if err != nil {
		t.Fatal(err)
	}
	l := Link{Name: "eth1", Index: 5, Addresses: []Address{
		{Prefix: netip.MustParsePrefix("10.5.0.52/24"), From: FromStatic}, {Prefix: netip.MustParsePrefix("fe80::1/64"), From: FromLinkLocal}, {Prefix: netip.MustParsePrefix("2001:db8::9/64")},
	}}
	l.describe(d)
	if l.Setup != "configured" || l.Online != "routable" || len(l.DNS) != 1 || l.DNS[0] != "10.5.0.53" || l.Lease == nil || l.Lease.Server != "10.5.0.1" || l.Lease.Router != "10.5.0.1" ||
		l.Addresses[0].From != FromDHCP || l.Addresses[1].From != FromLinkLocal || l.Addresses[2].From != FromRouter {
		t.Fatalf("%+v", l)
	}
	if got := d.Interfaces[0].lease(700 * time.Second).ExpireS; got != 3000 {
		t.Errorf("expires in %v s, want 3000", got)
	}
	other := Link{Index: 6}
	other.describe(d)
	other.describe(nil)
	if other.Setup != "" || other.Lease != nil {
		t.Errorf("%+v", other)
	}
}

func FuzzDescription(f *testing.F) {
	f.Add([]byte(describedEth1))
	f.Fuzz(func(_ *testing.T, b []byte) {
		d, err := parseDescription(b)
		if err != nil {
			return
		}
		for i := range d.Interfaces {
			l := Link{Index: d.Interfaces[i].Index, Addresses: []Address{{Prefix: netip.MustParsePrefix("10.5.0.52/24")}}}
			l.describe(d)
		}
	})
}

func TestTimesyncProperties(t *testing.T) {
	var c Clock
	c.fill(map[string]dbus.Variant{
		"ServerName": dbus.MakeVariant("ntp.example.net."), "ServerAddress": dbus.MakeVariant([]any{int32(2), []byte{192, 0, 2, 123}}),
		"PollIntervalUSec": dbus.MakeVariant(uint64(64_000_000)), "NTPMessage": dbus.MakeVariant([]any{uint32(0), uint32(4), uint32(4), uint32(2)}),
	})
	if c.Server != "ntp.example.net" || c.Address != "192.0.2.123" || c.PollS != 64 || c.Stratum != 2 {
		t.Fatalf("%+v", c)
	}
	c = Clock{}
	c.fill(map[string]dbus.Variant{"ServerName": dbus.MakeVariant(7), "ServerAddress": dbus.MakeVariant([]any{}), "NTPMessage": dbus.MakeVariant("x")})
	if c != (Clock{}) {
		t.Fatalf("%+v", c)
	}
}

func TestSpeed(t *testing.T) {
	root := t.TempDir()
	write := func(port, what, value string) {
		dir := filepath.Join(root, "sys/class/net", port)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, what), []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("eth0", "speed", "1000\n")
	write("eth0", "duplex", "full\n")
	write("eth1", "speed", "-1\n")
	write("eth1", "duplex", "unknown\n")
	l := &Linux{Root: root}
	for port, want := range map[string]int{"eth0": 1000, "eth1": 0, "eth2": 0} {
		mbps, duplex := l.speed(port)
		if mbps != want || (duplex == "full") != (want > 0) {
			t.Errorf("%s: %d %q", port, mbps, duplex)
		}
	}
}

func TestWhereFrom(t *testing.T) {
	for _, c := range []struct {
		address string
		flags   int
		valid   int
		want    string
		seconds int
	}{
		{"192.0.2.10/24", unix.IFA_F_PERMANENT, 1<<32 - 1, FromStatic, 0},
		{"192.0.2.10/24", 0, 3600, FromDHCP, 3600},
		{"169.254.3.4/16", 0, 1<<32 - 1, FromLinkLocal, 0},
		{"fe80::1/64", unix.IFA_F_PERMANENT, 1<<32 - 1, FromLinkLocal, 0},
		{"2001:db8::1/64", unix.IFA_F_PERMANENT, 1<<32 - 1, FromStatic, 0},
		{"2001:db8::1/64", unix.IFA_F_MANAGETEMPADDR, 86400, FromRouter, 86400},
	} {
		got := addressOf(netip.MustParsePrefix(c.address), &netlink.Addr{Flags: c.flags, ValidLft: c.valid})
		if got.From != c.want || got.ValidS != c.seconds {
			t.Errorf("%+v: %+v", c, got)
		}
	}
	for p, want := range map[int]string{unix.RTPROT_STATIC: FromStatic, unix.RTPROT_DHCP: FromDHCP, unix.RTPROT_RA: FromRouter, unix.RTPROT_KERNEL: FromKernel, 99: FromOther} {
		if got := protocolOf(p); got != want {
			t.Errorf("protocol %d: %s, want %s", p, got, want)
		}
	}
}

// On any Linux machine, without networkd and without rights.
func TestStateOfThisMachine(t *testing.T) {
	l := &Linux{Root: "/", Bus: "unix:path=" + filepath.Join(t.TempDir(), "none")}
	s, err := l.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname == "" || s.Uptime <= 0 || s.Clock.Time.IsZero() || s.Problem != "" {
		t.Errorf("%+v", s)
	}
	for _, k := range s.Links {
		if k.Name == "lo" || k.Index == 0 || k.MTU == 0 {
			t.Errorf("%+v", k)
		}
	}
	if id, err := BootID(); err != nil || len(id) != 36 {
		t.Error(id, err)
	}
	if d := SinceBoot(); d < time.Second {
		t.Error(d)
	}
	if err := l.Reload(t.Context(), nil); err != nil {
		t.Errorf("without a bus, networkd will read the files when it starts: %v", err)
	}
}
