package demo

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quartet/tests/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Who asks for a device that is not there is told so, and does not take the
// slate for its picture.
func TestDeviceThatIsNotThere(t *testing.T) {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	dir, begun := t.TempDir(), time.Now()
	o := &Options{Bin: dir, Dir: dir, Input: "/dev/video987", Out: io.Discard}
	f, err := startFeed(t.Context(), o, to.LocalAddr().(*net.UDPAddr).AddrPort(), ledger.New(),
		func() time.Duration { return time.Since(begun) }, filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.stop()
	const want = "there is no such device"
	for !strings.Contains(f.trouble(), want) {
		if time.Since(begun) > 20*time.Second {
			t.Fatalf("said is %q, want %q", f.trouble(), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = to.SetReadDeadline(begun.Add(20 * time.Second))
	if n, _, err := to.ReadFromUDPAddrPort(make([]byte, 2000)); err != nil || n != datagram { // clock and tables
		t.Errorf("%d bytes came: %v", n, err)
	}
	if (&feed{}).trouble() != "" {
		t.Error("a feed of the user's own is no device")
	}
}
