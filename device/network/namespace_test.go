package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The tests in this file run as root in network and mount namespaces of their
// own, and so touch nothing of the machine they run on. They start the real
// systemd-networkd there, with a bus of its own, and the real nft. Elsewhere
// they say that they did not run; the lab image runs the same in QEMU.

// namespace runs a part of this file in a child with namespaces of its own.
func namespace(t *testing.T, part string, programs ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network and mount namespaces")
	}
	for _, p := range programs {
		if _, err := find(p); err != nil {
			t.Skipf("needs %s, which is not installed", p)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), "QUARTET_TEST_CHILD=namespace", "QUARTET_TEST_PART="+part)
	// The programs that the child starts end with its PID namespace.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if errors.Is(err, syscall.EPERM) {
			t.Skip("this machine lets nobody make namespaces")
		}
		t.Fatalf("%v\n%s", err, out.String())
	}
	t.Log(out.String())
}

func TestRealNetworkd(t *testing.T) {
	namespace(t, "networkd", "systemd-networkd", "dbus-daemon")
}

// TestS9OpenPortsInNamespace (security S9): a scan over IPv4 and IPv6 of a
// machine on which everything listens finds the published ports and those of
// the media, and no other.
func TestS9OpenPortsInNamespace(t *testing.T) { namespace(t, "firewall", "nft") }

// find looks where systemd keeps programs that are not for people, too.
func find(program string) (string, error) {
	if p, err := exec.LookPath(program); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/lib/systemd", "/lib/systemd", "/usr/sbin", "/sbin"} {
		if st, err := os.Stat(filepath.Join(dir, program)); err == nil && st.Mode()&0o111 != 0 {
			return filepath.Join(dir, program), nil
		}
	}
	return "", exec.ErrNotFound
}

// childNamespace is the child's main.
func childNamespace() (status int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Println("FAIL:", r)
			if _, ok := r.(runtime.Error); ok {
				panic(r)
			}
			status = 1
		}
	}()
	// Names and routes belong to the thread that asks.
	runtime.LockOSThread()
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount("proc", "/proc", "proc", 0, ""))
	check(unix.Mount("tmpfs", "/run", "tmpfs", 0, ""))
	// Read-only, so that networkd expects no udev to tell it about interfaces.
	check(unix.Mount("sysfs", "/sys", "sysfs", unix.MS_RDONLY, ""))
	switch os.Getenv("QUARTET_TEST_PART") {
	case "networkd":
		inNetworkd()
	case "firewall":
		inFirewall()
	}
	return 0
}

func check(err error) {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(fmt.Errorf("%s:%d: %w", filepath.Base(file), line, err))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		_, file, line, _ := runtime.Caller(1)
		panic(fmt.Errorf("%s:%d: %w", filepath.Base(file), line, err))
	}
	return v
}

// veth makes a cable; both ends are up.
func veth(a, b string) {
	check(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b}))
	check(netlink.LinkSetUp(must(netlink.LinkByName(b))))
}

// eventually waits until f returns "", and else fails with what it said last.
func eventually(what string, within time.Duration, f func() string) {
	var last string
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if last = f(); last == "" {
			return
		}
	}
	panic(fmt.Errorf("%s: not within %v: %s", what, within, last))
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>`

// inNetworkd: settings reach the kernel through the real networkd, by the real
// files and the real bus; a trial is taken back; what a change does not name is
// left alone; DHCP's lease is seen.
func inNetworkd() {
	for _, dir := range []string{"dbus", "systemd/network", "systemd/netif/links", "systemd/netif/leases", "systemd/netif/lldp"} {
		check(os.MkdirAll(filepath.Join("/run", dir), 0o755))
	}
	if u, err := user.Lookup("systemd-network"); err == nil {
		uid, gid := must(strconv.Atoi(u.Uid)), must(strconv.Atoi(u.Gid))
		check(filepath.Walk("/run/systemd/netif", func(p string, _ os.FileInfo, err error) error { return errors.Join(err, os.Chown(p, uid, gid)) }))
	}
	check(netlink.LinkSetUp(must(netlink.LinkByName("lo"))))
	veth("eth0", "peer0")
	veth("eth1", "peer1")
	check(os.WriteFile("/run/dbus/system.conf", []byte(busConfig), 0o644))
	start("dbus-daemon", "--config-file=/run/dbus/system.conf", "--nofork", "--nopidfile")
	eventually("the bus", 5*time.Second, func() string {
		c, err := net.Dial("unix", "/run/dbus/system_bus_socket")
		if err != nil {
			return err.Error()
		}
		c.Close()
		return ""
	})
	// A DHCP server on the far end of eth1: networkd's own.
	check(os.WriteFile("/run/systemd/network/10-peer1.network", []byte(
		"[Match]\nName=peer1\n[Network]\nAddress=10.5.0.1/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nDHCPServer=yes\n[DHCPServer]\nPoolOffset=50\nPoolSize=10\nEmitDNS=yes\nDNS=10.5.0.53\n"), 0o644))

	sys := &Linux{Root: "/"}
	ctx := context.Background()
	var skip time.Duration
	keeper := func() *Keeper {
		k := NewKeeper(KeeperConfig{Store: must(OpenStore("/run/settings")), System: sys, Hostname: hostname, Boot: "b", Now: func() time.Duration { return SinceBoot() + skip }})
		check(k.Start(ctx))
		return k
	}
	k := keeper() // networkd is not there yet, which is how a box starts
	start("systemd-networkd")

	has := func(name, address string) func() string {
		return func() string {
			st, err := sys.State(ctx)
			if err != nil {
				return err.Error()
			}
			i := slices.IndexFunc(st.Links, func(l Link) bool { return l.Name == name })
			if i < 0 {
				return "no " + name
			}
			for _, a := range st.Links[i].Addresses {
				if a.Prefix.String() == address && st.Links[i].Setup == "configured" {
					return ""
				}
			}
			return fmt.Sprintf("%+v %s", st.Links[i], st.Problem)
		}
	}
	settings := func(eth0, eth1 string) *Settings {
		return must(func() (*Settings, error) {
			s, _, err := Parse([]byte(`{"version": 1, "interfaces": [{"name": "eth0", ` + eth0 + `}, {"name": "eth1", ` + eth1 + `}]}`))
			return s, err
		}())
	}
	const (
		a0   = `"ipv6": "static", "addresses": ["192.0.2.10/24", "2001:db8::10/64"], "gateway": "192.0.2.1", "gateway6": "2001:db8::1", "mtu": 1400, "routes": [{"to": "203.0.113.0/24", "via": "192.0.2.254", "metric": 7}, {"to": "198.18.0.0/15"}]`
		b0   = `"ipv6": "off", "addresses": ["198.51.100.3/25"]`
		dhcp = `"dhcp4": true, "ipv6": "off"`
	)

	// Applied and confirmed over the new address.
	first := settings(a0, dhcp)
	p := must(k.Apply(ctx, first, "", netip.Addr{}))
	began := time.Now()
	eventually("the addresses of eth0", 15*time.Second, has("eth0", "192.0.2.10/24"))
	eventually("the IPv6 address of eth0", 5*time.Second, has("eth0", "2001:db8::10/64"))
	fmt.Printf("applied by networkd after %v\n", time.Since(began).Round(time.Millisecond))
	st := must(sys.State(ctx))
	eth0 := st.Links[slices.IndexFunc(st.Links, func(l Link) bool { return l.Name == "eth0" })]
	if eth0.MTU != 1400 || !eth0.Carrier || !eth0.Up || eth0.Kind != "veth" {
		panic(fmt.Errorf("%+v", eth0))
	}
	for _, want := range []Way{
		{To: "default", Via: "192.0.2.1", Link: "eth0", Metric: 100, From: FromStatic},
		{To: "default", Via: "2001:db8::1", Link: "eth0", Metric: 100, From: FromStatic, IPv6: true},
		{To: "203.0.113.0/24", Via: "192.0.2.254", Link: "eth0", Metric: 7, From: FromStatic},
		{To: "198.18.0.0/15", Link: "eth0", Metric: 100, From: FromStatic},
		{To: "192.0.2.0/24", Link: "eth0", From: FromKernel},
	} {
		if !slices.Contains(st.Routes, want) {
			panic(fmt.Errorf("no route %+v in %+v", want, st.Routes))
		}
	}
	check(k.Confirm(ctx, p.Token, netip.MustParseAddr("192.0.2.10")))

	// DHCP: the lease, by networkd's word.
	eventually("a lease on eth1", 15*time.Second, func() string {
		st := must(sys.State(ctx))
		l := st.Links[slices.IndexFunc(st.Links, func(l Link) bool { return l.Name == "eth1" })]
		if l.Lease == nil || !slices.ContainsFunc(l.Addresses, func(a Address) bool {
			return a.From == FromDHCP && netip.MustParsePrefix("10.5.0.0/24").Contains(a.Prefix.Addr()) && a.ValidS > 0
		}) {
			return fmt.Sprintf("%+v", l)
		}
		if l.Lease.Server != "10.5.0.1" || !slices.Contains(l.DNS, "10.5.0.53") {
			return fmt.Sprintf("%+v %v", l.Lease, l.DNS)
		}
		fmt.Printf("lease %+v, DNS %v\n", *l.Lease, l.DNS)
		return ""
	})

	// The server knows the box by its port and by nothing that a start makes anew.
	mac := must(netlink.LinkByName("eth1")).Attrs()
	lease := string(must(os.ReadFile(fmt.Sprintf("/run/systemd/netif/leases/%d", mac.Index))))
	if want := fmt.Sprintf("\nCLIENTID=01%x\n", []byte(mac.HardwareAddr)); !strings.Contains(lease, want) {
		panic(fmt.Errorf("no %q in the lease: %s", want, lease))
	}

	// A change of eth1 does not touch eth0: no address of it goes, not for a
	// moment.
	taken := addressesGone(func() {
		p = must(k.Apply(ctx, settings(a0, b0), "", netip.MustParseAddr("192.0.2.10")))
		eventually("the address of eth1", 15*time.Second, has("eth1", "198.51.100.3/25"))
		if p.Moved {
			panic(errors.New("the way of the request does not change, and should"))
		}
		// Not confirmed: taken back.
		skip += TrialTime
		k.Tick(ctx)
		eventually("eth1 by DHCP again", 15*time.Second, func() string {
			for a, name := range must(sys.Addresses()) {
				if name == "eth1" && a.String() == "198.51.100.3" {
					return "still there"
				}
			}
			st := must(sys.State(ctx))
			if l := st.Links[slices.IndexFunc(st.Links, func(l Link) bool { return l.Name == "eth1" })]; l.Lease == nil {
				return "no lease yet"
			}
			return ""
		})
	})
	if slices.ContainsFunc(taken, func(s string) bool { return strings.HasPrefix(s, "eth0 ") }) {
		panic(fmt.Errorf("a change of eth1 took addresses of eth0: %v", taken))
	}

	// Time and name servers changed, on every interface: no address goes.
	gone := addressesGone(func() {
		s := settings(a0+`, "dns": ["192.0.2.53"]`, dhcp)
		s.NTP = []string{"192.0.2.123"}
		p = must(k.Apply(ctx, s, "", netip.Addr{}))
		for file, want := range map[string]string{timesyncFile: "NTP=192.0.2.123\n", resolvedFile: "DNS=192.0.2.53%eth0\n"} {
			if b := must(os.ReadFile("/" + file)); !strings.Contains(string(b), want) {
				panic(fmt.Errorf("%s: %s", file, b))
			}
		}
		time.Sleep(500 * time.Millisecond)
		check(k.Revert(ctx))
		time.Sleep(500 * time.Millisecond)
	})
	if len(gone) > 0 {
		panic(fmt.Errorf("other time and name servers took addresses away: %v", gone))
	}

	// A change of eth0 itself: it is reached at the new address, and no longer at
	// the old one; confirming over the old one does not count.
	p = must(k.Apply(ctx, settings(b0, dhcp), "", netip.MustParseAddr("192.0.2.10")))
	if _, ok := must(sys.Addresses())[netip.MustParseAddr("192.0.2.10")]; !ok {
		panic(errors.New("the address is gone before the answer"))
	}
	skip += answerFirst
	k.Tick(ctx)
	eventually("the new address", 15*time.Second, has("eth0", "198.51.100.3/25"))
	eventually("the old one gone", 5*time.Second, func() string {
		if _, ok := must(sys.Addresses())[netip.MustParseAddr("192.0.2.10")]; ok {
			return "still there"
		}
		return ""
	})
	if l := must(netlink.LinkByName("eth0")); l.Attrs().MTU != 1500 {
		panic(fmt.Errorf("MTU %d, and the setting is gone", l.Attrs().MTU))
	}
	if err := k.Confirm(ctx, p.Token, netip.MustParseAddr("192.0.2.10")); code(err) != CodeWay {
		panic(fmt.Errorf("confirmed over an address that is gone: %w", err))
	}
	// The process is killed and another takes over: the trial goes on, then ends.
	k = keeper()
	if k.Get().Pending == nil {
		panic(errors.New("the trial is forgotten"))
	}
	skip += TrialTime
	k.Tick(ctx)
	eventually("the old address again", 15*time.Second, has("eth0", "192.0.2.10/24"))

	vlans(ctx, k, has)
}

// addressesGone lists the addresses that the kernel lost while f ran, with
// their interfaces.
func addressesGone(f func()) (list []string) {
	updates, done := make(chan netlink.AddrUpdate, 1000), make(chan struct{})
	check(netlink.AddrSubscribe(updates, done))
	f()
	close(done)
	for u := range updates {
		if l, err := netlink.LinkByIndex(u.LinkIndex); err == nil && !u.NewAddr {
			list = append(list, l.Attrs().Name+" "+u.LinkAddress.String())
		}
	}
	return list
}

// vlans: made by networkd, removed by us. Not every kernel has them.
func vlans(ctx context.Context, k *Keeper, has func(name, address string) func() string) {
	probe := &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "probe", ParentIndex: must(netlink.LinkByName("peer0")).Attrs().Index}, VlanId: 9}
	if err := netlink.LinkAdd(probe); err != nil {
		fmt.Printf("VLANs were not tried: this kernel has none (%v)\n", err)
		return
	}
	p := must(k.Apply(ctx, settings(`{"version": 1, "interfaces": [{"name": "eth0", "dhcp4": true, "vlans": [20]}, {"name": "eth0.20", "ipv6": "off", "addresses": ["192.0.2.20/24"]}]}`), "", netip.Addr{}))
	eventually("the VLAN", 15*time.Second, has("eth0.20", "192.0.2.20/24"))
	if _, err := netlink.LinkByName("probe"); err == nil {
		panic(errors.New("a VLAN that nobody asked for is still there"))
	}
	_ = p
	check(k.Revert(ctx))
	if _, err := netlink.LinkByName("eth0.20"); err == nil {
		panic(errors.New("the VLAN is still there after the change was taken back"))
	}
}

// start runs a program until the namespace ends.
func start(program string, args ...string) {
	cmd := exec.Command(must(find(program)), args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(cmd.Start())
}

// inFirewall scans a machine behind the ruleset from the other end of a cable.
func inFirewall() {
	media := []Port{{Protocol: "udp", Number: 5000}, {Protocol: "udp", Number: 6000, Interface: "eth0"}, {Protocol: "udp", Number: 7000, Interface: "eth1"}}
	box := must(netns.Get())
	far := must(netns.New()) // and this thread is in it
	check(netns.Set(box))
	veth("eth0", "peer0")
	check(netlink.LinkSetNsFd(must(netlink.LinkByName("peer0")), int(far)))
	h := must(netlink.NewHandleAt(far))
	for _, end := range []struct {
		h        *netlink.Handle
		link, v4 string
		v6       string
	}{{must(netlink.NewHandleAt(box)), "eth0", "192.0.2.1/24", "fd00::1/64"}, {h, "peer0", "192.0.2.2/24", "fd00::2/64"}} {
		l := must(end.h.LinkByName(end.link))
		for _, a := range []string{end.v4, end.v6} {
			addr := must(netlink.ParseAddr(a))
			addr.Flags = unix.IFA_F_NODAD
			check(end.h.AddrAdd(l, addr))
		}
		check(end.h.LinkSetUp(l))
		check(end.h.LinkSetUp(must(end.h.LinkByName("lo"))))
	}
	cmd := exec.Command(must(find("nft")), "-f", "-")
	cmd.Stdin = strings.NewReader(Firewall(media))
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Errorf("nft: %w: %s", err, out))
	}

	// Everything listens, on both families.
	tcp := []int{22, 53, 80, 111, 443, 631, 5353, 8080, 9464}
	udp := []int{53, 67, 68, 111, 123, 161, 546, 547, 5000, 5001, 5353, 5355, 6000, 6001, 7000, 9000}
	var mu sync.Mutex
	heard := map[string]bool{}
	for _, p := range tcp {
		l := must(net.Listen("tcp", fmt.Sprintf(":%d", p)))
		go func() {
			for {
				if _, err := l.Accept(); err != nil {
					return
				}
			}
		}()
	}
	for _, p := range udp {
		c := must(net.ListenPacket("udp", fmt.Sprintf(":%d", p)))
		go func() {
			b := make([]byte, 100)
			for {
				n, _, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				mu.Lock()
				heard[string(b[:n])] = true
				mu.Unlock()
			}
		}()
	}
	linkLocal := ""
	eventually("a link-local address", 5*time.Second, func() string {
		for _, a := range must(netlink.AddrList(must(netlink.LinkByName("eth0")), netlink.FAMILY_V6)) {
			if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				linkLocal = a.IP.String() + "%peer0"
				return ""
			}
		}
		return "none"
	})

	// The other end of the cable.
	check(netns.Set(far))
	time.Sleep(300 * time.Millisecond) // its own link-local address becomes usable
	var open []string
	for _, p := range tcp {
		for _, host := range []string{"192.0.2.1", "fd00::1"} {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(p)), 150*time.Millisecond)
			if err == nil {
				c.Close()
				open = append(open, fmt.Sprintf("tcp %d from %s", p, family(host)))
			}
		}
	}
	group := func(c *net.UDPConn) { // multicast leaves by the cable
		raw := must(c.SyscallConn())
		index := must(net.InterfaceByName("peer0")).Index
		check(raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)})
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index)
		}))
	}
	send := func(from int, host, name string, port int) {
		c, err := net.ListenUDP("udp", &net.UDPAddr{Port: from})
		check(err)
		defer c.Close()
		group(c)
		to := must(net.ResolveUDPAddr("udp", net.JoinHostPort(host, strconv.Itoa(port))))
		_, err = c.WriteToUDP([]byte(fmt.Sprintf("udp %d %s", port, name)), to)
		check(err)
	}
	for _, p := range udp {
		send(0, "192.0.2.1", "from IPv4", p)
		send(0, "fd00::1", "from IPv6", p)
		send(0, linkLocal, "from link-local", p)
		send(67, "192.0.2.1", "from IPv4 port 67", p)
		send(547, linkLocal, "from link-local port 547", p)
		send(547, "fd00::1", "from IPv6 port 547", p)
		send(5353, "224.0.0.251", "to the group", p)
		send(5353, "ff02::fb%peer0", "to the group of IPv6", p)
	}
	time.Sleep(300 * time.Millisecond)
	mu.Lock()
	for what := range heard {
		open = append(open, what)
	}
	mu.Unlock()
	slices.Sort(open)

	var want []string
	for _, p := range append(FixedPorts(), media...) {
		all := []string{"from IPv4", "from IPv6", "from IPv4 port 67", "from link-local", "from link-local port 547", "from IPv6 port 547"}
		switch {
		case p.Interface == "eth1":
			continue // the scan comes over eth0
		case p.Protocol == "tcp":
			all = []string{"from IPv4", "from IPv6"}
		case p.Number == 68:
			all = []string{"from IPv4 port 67"}
		case p.Number == 546:
			all = []string{"from link-local port 547"}
		case p.Number == 5353:
			all = nil // nobody joined the groups here; unicast is not answered
		}
		for _, from := range all {
			want = append(want, fmt.Sprintf("%s %d %s", p.Protocol, p.Number, from))
		}
	}
	slices.Sort(want)
	if !slices.Equal(open, want) {
		panic(fmt.Errorf("open is\n  %s\nand not\n  %s", strings.Join(open, "\n  "), strings.Join(want, "\n  ")))
	}
	fmt.Printf("%d of %d tries got through: as published\n", len(open), 2*len(tcp)+8*len(udp))
}

func family(host string) string {
	if strings.Contains(host, ":") {
		return "IPv6"
	}
	return "IPv4"
}
