//go:build qemu

package qemu

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"
)

// timeServer gives the box a time server: SNTP (RFC 4330 §4) on this machine's
// port 123, which systemd-timesyncd cannot be talked out of.
func (b *box) timeServer(t *testing.T) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 123})
	if err != nil {
		t.Fatalf("the lab's time server: %v; run the full tests as root, beside no other time server", err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { c.Close(); <-done })
	go func() {
		defer close(done)
		q := make([]byte, 512)
		for {
			n, from, err := c.ReadFromUDPAddrPort(q)
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			now := ntp(time.Now())
			a := make([]byte, 48)
			a[0], a[1], a[2], a[3] = 0x24, 1, q[2], 0xec // version 4, server; stratum 1; 2⁻²⁰ s
			copy(a[12:], "LAB\x00")
			binary.BigEndian.PutUint64(a[16:], now)
			copy(a[24:32], q[40:48])
			binary.BigEndian.PutUint64(a[32:], now)
			binary.BigEndian.PutUint64(a[40:], now)
			_, _ = c.WriteToUDPAddrPort(a, from)
		}
	}()
	b.run("mkdir -p /run/systemd/timesyncd.conf.d && printf '[Time]\\nNTP=10.0.2.2\\n' >/run/systemd/timesyncd.conf.d/90-lab.conf && systemctl restart systemd-timesyncd")
	b.eventually(3*time.Minute, "the box has the time", func() bool {
		out, ok := b.try("timedatectl show -p NTPSynchronized --value; date -u +%Y", 20*time.Second)
		return ok && strings.HasPrefix(out, "yes") && strings.Contains(out, time.Now().UTC().Format("2006"))
	})
}

// ntp is an instant as seconds since 1900, with 32 bits of fraction.
func ntp(t time.Time) uint64 {
	const from1970 = 2_208_988_800
	return uint64(t.Unix()+from1970)<<32 | uint64(t.Nanosecond())<<32/1_000_000_000
}
