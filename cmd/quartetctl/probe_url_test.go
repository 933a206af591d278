package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quartet/tests/freeport"
	"quartet/tests/tsgen"
)

// A feed is probed by its address, without a box.
func TestProbeURL(t *testing.T) {
	ts := tsgen.New(2_000_000, 1).Next(nil, 3000) // 2.3 s
	file := filepath.Join(t.TempDir(), "feed.ts")
	if err := os.WriteFile(file, ts, 0o600); err != nil {
		t.Fatal(err)
	}
	r := call(t, nil, "probe", "--for", "600ms", "file://"+file)
	if r.code != 0 || !strings.Contains(r.out, "feed") || !strings.Contains(r.out, "in sync") || !strings.Contains(r.out, "SERVICES") {
		t.Errorf("%d\n%s%s", r.code, r.out, r.err)
	}
	// Corrupted sync bytes in a file are told, though its framer drops the packets.
	ts[100*188], ts[1000*188] = 0, 0
	if err := os.WriteFile(file, ts, 0o600); err != nil {
		t.Fatal(err)
	}
	r = call(t, nil, "probe", "--for", "5s", "file://"+file)
	if words := strings.Fields(r.out[max(0, strings.Index(r.out, "Sync_byte_error")):]); len(words) < 3 || words[2] != "2" {
		t.Errorf("%d\n%s%s", r.code, r.out, r.err)
	}
	ts[100*188], ts[1000*188] = 0x47, 0x47
	port := freeport.UDP(t)
	c, err := net.Dial("udp4", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for b := ts; len(b) >= 7*188; b = b[7*188:] {
			select {
			case <-quit:
				return
			case <-tick.C:
				_, _ = c.Write(b[:7*188]) // refused until the probe listens
			}
		}
	}()
	r = call(t, nil, "probe", "--for", "600ms", fmt.Sprint("udp://127.0.0.1:", port))
	close(quit)
	<-done
	if r.code != 0 || !strings.Contains(r.out, "in sync") {
		t.Errorf("%d\n%s%s", r.code, r.out, r.err)
	}
	for args, want := range map[string]string{
		"http://a/b": "write udp://, rtp://, srt:// or file:///path", "file:///nowhere.ts": "nowhere.ts", "udp://127.0.0.1:0": "port",
		fmt.Sprint("udp://127.0.0.1:", port): "nothing came within 200ms",
	} {
		if r := call(t, nil, "probe", "--for", "200ms", args); r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%s: %d %q, want %q", args, r.code, r.err, want)
		}
	}
	if r := call(t, nil, "probe", "--for", "1ms", "udp://127.0.0.1:5000"); r.code != 2 {
		t.Errorf("%d %q", r.code, r.err)
	}
}
