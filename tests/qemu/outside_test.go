//go:build qemu

package qemu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestS9 scans the box from outside, over a second network card whose other end is
// this test: every TCP and UDP port, IPv4 and IPv6. What answers is what
// docs/ports.md has, and nothing else reaches a socket.
func TestS9(t *testing.T) {
	needFull(t)
	dir := t.TempDir()
	w := newWire(t, filepath.Join(dir, "test"), filepath.Join(dir, "box"))
	g := boot(t, newDisk(t),
		"-netdev", "dgram,id=outside,local.type=unix,local.path="+w.to.Name+",remote.type=unix,remote.path="+w.conn.LocalAddr().String(),
		"-device", "virtio-net-pci,netdev=outside,id=outside,romfile=,mac="+boxMAC.String())
	g.up(startLimit)
	g.page().answers(3 * time.Minute)

	card := g.run("grep -l " + boxMAC.String() + " /sys/class/net/*/address | cut -d/ -f5")
	box4, box6 := netip.MustParseAddr("192.0.2.2"), netip.Addr{}
	g.eventually(time.Minute, "the card has its own IPv6 address", func() bool {
		out, ok := g.try("/usr/bin/ip -6 -o address show dev "+card+" scope link -tentative | awk '{print $4}' | cut -d/ -f1", 20*time.Second)
		var err error
		box6, err = netip.ParseAddr(out)
		return ok && err == nil
	})
	g.run(fmt.Sprintf("/usr/bin/ip address add %s/24 dev %s && /usr/bin/ip neigh replace %s lladdr %s dev %s nud permanent && /usr/bin/ip neigh replace %s lladdr %s dev %s nud permanent",
		box4, card, own4, ownMAC, card, own6, ownMAC, card))

	// Behind the firewall: what of UDP it has let through from here. What the box
	// itself says to a group comes back to it over the same card.
	g.run("nft 'add table inet lab; add chain inet lab in { type filter hook input priority 100; }; " +
		"add rule inet lab in iifname " + card + " ip saddr " + own4.String() + " meta l4proto udp counter; " +
		"add rule inet lab in iifname " + card + " ip6 saddr " + own6.String() + " meta l4proto udp counter'")
	const passed = "; nft list table inet lab | awk '/%s saddr/ {for (i = 1; i < NF; i++) if ($i == \"packets\") print $(i + 1)}'"

	for _, c := range []struct {
		name     string
		from, to netip.Addr
		counters string // how many packets came, and how many of UDP passed
	}{
		{"IPv4", own4, box4, "awk '/^Ip: [0-9]/ {print $4}' /proc/net/snmp" + fmt.Sprintf(passed, "ip")},
		{"IPv6", own6, box6, "awk '/^Ip6InReceives / {print $2}' /proc/net/snmp6" + fmt.Sprintf(passed, "ip6")},
	} {
		counters := func() (came, through int) {
			f := strings.Fields(g.run(c.counters))
			if len(f) != 2 {
				t.Fatalf("%s: the counters are %q", c.name, f)
			}
			came, _ = strconv.Atoi(f[0])
			through, _ = strconv.Atoi(f[1])
			return came, through
		}
		w.forget()
		came, through := counters()
		begun := time.Now()
		for _, kind := range []byte{protoTCP, protoUDP} {
			for port := 1; port <= 65535; port++ {
				w.send(t, probe(c.from, c.to, kind, uint16(port)))
			}
		}
		// What is open answers at once, but for an emulated processor.
		time.Sleep(3 * time.Second)
		came2, through2 := counters()
		open, other := w.heard()
		t.Logf("%s: %d packets came in %.0f s, %d datagrams passed the firewall; open %v, others that answered %v",
			c.name, came2-came, time.Since(begun).Seconds(), through2-through, open, other)
		if came2-came < 2*65535 {
			t.Fatalf("%s: of %d packets %d came: the scan says nothing", c.name, 2*65535, came2-came)
		}
		if want := []int{80, 443}; !slices.Equal(open, want) {
			t.Errorf("S9: over %s the open ports are %v, want %v", c.name, open, want)
		}
		if len(other) > 0 {
			t.Errorf("S9: over %s the box answers for ports that are closed: %v", c.name, other)
		}
		if through2 != through {
			t.Errorf("S9: over %s %d datagrams passed the firewall", c.name, through2-through)
		}
	}
}

const (
	protoTCP  = 6
	protoUDP  = 17
	protoICMP = 1
	proto6    = 58
)

var (
	ownMAC = net.HardwareAddr{0x52, 0x54, 0, 0, 9, 1}
	boxMAC = net.HardwareAddr{0x52, 0x54, 0, 0, 9, 2}
	own4   = netip.MustParseAddr("192.0.2.1")
	own6   = netip.MustParseAddr("fe80::5054:ff:fe00:901")
)

// scanPort is where the probes come from.
const scanPort = 40000

// wire is this end of the box's second network card: Ethernet frames as
// datagrams. The sender waits while the box does not keep up.
type wire struct {
	conn *net.UnixConn
	to   *net.UnixAddr // QEMU's end

	mu    sync.Mutex
	open  map[int]bool
	other map[string]bool
}

func newWire(t *testing.T, own, box string) *wire {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: own, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{conn: c, to: &net.UnixAddr{Name: box, Net: "unixgram"}}
	w.forget()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			w.hear(buf[:n])
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return w
}

func (w *wire) send(t *testing.T, frame []byte) {
	t.Helper()
	w.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := w.conn.WriteToUnix(frame, w.to); err != nil {
		t.Fatal(err)
	}
}

func (w *wire) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open, w.other = map[int]bool{}, map[string]bool{}
}

// heard are the open TCP ports, and every other answer.
func (w *wire) heard() (open []int, other []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.open {
		open = append(open, p)
	}
	for s := range w.other {
		other = append(other, s)
	}
	slices.Sort(open)
	slices.Sort(other)
	return open, other
}

// hear takes a frame of the box's, and notes it if it is an answer to a probe.
func (w *wire) hear(f []byte) {
	if len(f) < 14 || !bytes.Equal(f[:6], ownMAC) {
		return
	}
	var proto byte
	p := f[14:]
	switch kind := binary.BigEndian.Uint16(f[12:]); {
	case kind == 0x0800 && len(p) >= 20:
		proto, p = p[9], p[int(p[0]&15)*4:]
	case kind == 0x86dd && len(p) >= 40:
		proto, p = p[6], p[40:]
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case proto == protoTCP && len(p) >= 20 && binary.BigEndian.Uint16(p[2:]) == scanPort:
		port := int(binary.BigEndian.Uint16(p))
		const synAck = 0x12
		if p[13]&0x3f == synAck {
			w.open[port] = true
		} else {
			w.other[fmt.Sprintf("tcp %d flags %#x", port, p[13])] = true
		}
	case proto == protoUDP && len(p) >= 8 && binary.BigEndian.Uint16(p[2:]) == scanPort:
		w.other[fmt.Sprintf("udp %d", binary.BigEndian.Uint16(p))] = true
	case proto == protoICMP && len(p) >= 8:
		w.other[fmt.Sprintf("icmp type %d code %d", p[0], p[1])] = true
	case proto == proto6 && len(p) >= 8 && p[0] < 128: // errors; the rest is neighbours' talk
		w.other[fmt.Sprintf("icmpv6 type %d code %d", p[0], p[1])] = true
	}
}

// probe is a SYN, or a datagram of a byte, to a port.
func probe(from, to netip.Addr, proto byte, port uint16) []byte {
	var l4 []byte
	if proto == protoTCP {
		l4 = make([]byte, 20)
		binary.BigEndian.PutUint32(l4[4:], 7)
		l4[12], l4[13] = 5<<4, 2 // SYN
		binary.BigEndian.PutUint16(l4[14:], 1024)
	} else {
		l4 = make([]byte, 9)
		binary.BigEndian.PutUint16(l4[4:], 9)
	}
	binary.BigEndian.PutUint16(l4, scanPort)
	binary.BigEndian.PutUint16(l4[2:], port)
	sum := checksum(from.AsSlice(), to.AsSlice(), []byte{0, proto, 0, byte(len(l4))}, l4)
	at := 16
	if proto == protoUDP {
		if at = 6; sum == 0 { // which would be none at all
			sum = 0xffff
		}
	}
	binary.BigEndian.PutUint16(l4[at:], sum)

	f := append(slices.Concat(boxMAC, ownMAC), 0x08, 0)
	if from.Is4() {
		ip := []byte{0x45, 0, 0, byte(20 + len(l4)), 0, 0, 0x40, 0, 64, proto, 0, 0}
		ip = slices.Concat(ip, from.AsSlice(), to.AsSlice())
		binary.BigEndian.PutUint16(ip[10:], checksum(ip))
		return slices.Concat(f, ip, l4)
	}
	f[12], f[13] = 0x86, 0xdd
	return slices.Concat(f, []byte{0x60, 0, 0, 0, 0, byte(len(l4)), proto, 64}, from.AsSlice(), to.AsSlice(), l4)
}

// checksum is the Internet's (RFC 1071) over pieces, all but the last of even
// length.
func checksum(pieces ...[]byte) uint16 {
	var n uint32
	for _, p := range pieces {
		for i, b := range p {
			n += uint32(b) << (8 * (1 - i&1))
		}
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return ^uint16(n)
}
