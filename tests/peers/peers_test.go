// Package peers lets Quartet talk to programs that nobody here wrote: ffmpeg,
// srt-live-transmit and GStreamer, over real sockets of the loopback; and to
// wiredecoder, a second receiver written from the document alone. "Unchanged"
// means byte for byte, where the other program lets its own output be seen.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"quartet/capture/mpegts"
	"quartet/tests/chain"
	"quartet/uplink/srt"
)

const (
	ms         = time.Millisecond
	packet     = mpegts.PacketSize
	rtpHeader  = 12
	passphrase = "correct-horse-battery" // needs no escaping in a URL
)

func TestMain(m *testing.M) {
	srt.Startup()
	code := m.Run()
	srt.Cleanup()
	chain.RemovePrograms()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// child is a program of others.
type child struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  io.Reader // its standard output, if wanted
	done chan struct{}
	err  error // after done

	mu  sync.Mutex
	log bytes.Buffer
}

// packages is where Debian has the programs.
var packages = map[string]string{
	"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg", "srt-live-transmit": "srt-tools",
	"gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad",
}

// find returns a program's path. A missing one fails the test: it proves
// nothing without.
func find(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, packages[name])
	}
	return path
}

// start runs a program until it ends by itself, or the test does. With piped,
// its standard output can be read from out; else it belongs to its log.
func start(t testing.TB, piped bool, name string, args ...string) *child {
	t.Helper()
	c := &child{t: t, name: name, cmd: exec.Command(find(t, name), args...), done: make(chan struct{})}
	c.cmd.Stderr = c
	var theirs *os.File
	if piped {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.SetReadDeadline(time.Now().Add(30 * time.Second))
		c.out, c.cmd.Stdout, theirs = r, w, w
		t.Cleanup(func() { r.Close() })
	} else {
		c.cmd.Stdout = c
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if piped {
		theirs.Close()
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	t.Cleanup(func() {
		c.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s %s said:\n%s", name, strings.Join(args, " "), c.said())
		}
	})
	return c
}

// Write takes what the program says.
func (c *child) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(b)
}

func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// end sends a signal and waits for the program's end.
func (c *child) end(sig syscall.Signal) {
	c.cmd.Process.Signal(sig)
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
		c.cmd.Process.Kill()
		<-c.done
	}
}

// wait demands that the program ends by itself, with exit status 0 and nothing
// on its log.
func (c *child) wait(within time.Duration) {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(within):
		c.t.Fatalf("%s has not ended after %v", c.name, within)
	}
	if c.err != nil {
		c.t.Errorf("%s: %v", c.name, c.err)
	}
	if s := strings.TrimSpace(c.said()); s != "" {
		c.t.Errorf("%s said: %s", c.name, s)
	}
}

// until polls for what no channel tells.
func until(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(5 * ms) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// bound tells whether somebody receives on a UDP port of the loopback.
func bound(port int) bool {
	l, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err == nil {
		l.Close()
	}
	return errors.Is(err, syscall.EADDRINUSE)
}

// encoded makes a real transport stream, once: four seconds of H.264 and AAC at
// a constant rate with null packets, as a broadcast encoder sends it.
func encoded(t testing.TB) (path string, content []byte) {
	t.Helper()
	ffmpeg := find(t, "ffmpeg")
	feedOnce.Do(func() {
		dir, err := os.MkdirTemp("", "quartet-peers-")
		if err != nil {
			feedErr = err
			return
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "feed.ts")
		args := strings.Fields("-hide_banner -loglevel error -f lavfi -i testsrc2=size=480x270:rate=25 -f lavfi -i sine=440:sample_rate=48000 -t 4 " +
			"-c:v libx264 -preset ultrafast -tune zerolatency -g 25 -b:v 1500k -maxrate 1500k -bufsize 400k -pix_fmt yuv420p -c:a aac -b:a 96k " +
			"-metadata service_name=Interop -muxrate 2500k -f mpegts")
		if out, err := exec.Command(ffmpeg, append(args, file)...).CombinedOutput(); err != nil {
			feedErr = fmt.Errorf("ffmpeg: %w\n%s", err, out)
			return
		}
		feed, feedErr = os.ReadFile(file)
	})
	if feedErr != nil {
		t.Fatal(feedErr)
	}
	path = filepath.Join(t.TempDir(), "feed.ts")
	if err := os.WriteFile(path, feed, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, feed
}

var (
	feedOnce sync.Once
	feed     []byte
	feedErr  error
)

const feedRate = 2_500_000 // bit/s

// frames are the checksums of the pictures that ffmpeg decodes of a file or
// address, one a line.
func frames(t testing.TB, file string) []string {
	t.Helper()
	cmd := exec.Command(find(t, "ffmpeg"), "-hide_banner", "-loglevel", "error", "-i", file, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framehash", "-hash", "crc32", "-")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil || log.Len() > 0 {
		t.Fatalf("ffmpeg: %v\n%s", err, log.String())
	}
	return hashes(out)
}

// hashes takes the last column of ffmpeg's framehash.
func hashes(out []byte) (sums []string) {
	for line := range strings.Lines(string(out)) {
		if line[0] != '#' {
			f := strings.Split(strings.TrimSpace(line), ",")
			sums = append(sums, strings.TrimSpace(f[len(f)-1]))
		}
	}
	return sums
}

// pour writes a transport stream into w at a constant rate, from start on the
// clock now, which must be that of w.
func pour(ctx context.Context, w mpegts.Writer, now func() time.Duration, rate int64, ts []byte) error {
	begin, sent := now(), 0
	tick := time.NewTicker(2 * ms)
	defer tick.Stop()
	for sent < len(ts) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for t := now(); sent < len(ts); sent += packet {
			at := begin + time.Duration(int64(sent)*8*int64(time.Second)/rate)
			if at > t {
				break
			}
			if err := w.WriteTS(at, ts[sent:sent+packet]); err != nil {
				return err
			}
		}
	}
	return nil
}

// nulls are n null packets, each numbered.
func nulls(n int) (ts []byte) {
	for i := range n {
		p := make([]byte, packet)
		copy(p, []byte{0x47, 0x1F, 0xFF, 0x10})
		copy(p[4:], fmt.Sprint("padding ", i))
		ts = append(ts, p...)
	}
	return ts
}

// continuity demands n×188 bytes without a continuity error.
func continuity(t testing.TB, ts []byte) {
	t.Helper()
	var cc mpegts.Continuity
	for b := ts; len(b) >= packet; b = b[packet:] {
		cc.Check(mpegts.Packet(b[:packet]))
	}
	if st := cc.Stats(); st.Errors != 0 || st.TransportErrors != 0 || len(ts)%packet != 0 {
		t.Errorf("%d bytes, continuity %+v", len(ts), st)
	}
}

// same is how many bytes two streams have in common at their beginning.
func same(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
