package srt

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quartet/capture/mpegts"
	"quartet/tests/tsgen"
	"quartet/uplink/srt"
)

// program finds a program of others that these tests speak with.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	return path
}

func TestFFmpegSends(t *testing.T) {
	ffmpeg := program(t, "ffmpeg", "ffmpeg")
	o := quick
	o.Passphrase, o.StreamID = "correct-horse-battery", "feed-1"
	r := start(t, listener(o))
	file := filepath.Join(t.TempDir(), "sent.ts")
	url := fmt.Sprintf("srt://%s?pkt_size=1316&passphrase=%s&streamid=%s&latency=80000", r.local, o.Passphrase, o.StreamID)
	args := strings.Fields("-hide_banner -loglevel error -re -f lavfi -i testsrc2=size=320x180:rate=25 -re -f lavfi -i sine=440 " +
		"-t 2 -map 0:v -map 1:a -c:v mpeg2video -b:v 2000k -c:a mp2 -f tee")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if said, err := exec.CommandContext(ctx, ffmpeg, append(args, "[f=mpegts]"+file+"|[f=mpegts]"+url)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, said)
	}
	sent, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// ffmpeg does not wait until its last packets are acknowledged.
	r.out.wait(t, len(sent)*9/10)
	r.stop()
	if !bytes.HasPrefix(sent, r.out.ts) || r.out.backwards != 0 {
		t.Errorf("%d of %d bytes, not what was sent", len(r.out.ts), len(sent))
	}
	var cc mpegts.Continuity
	for b := r.out.ts; len(b) >= 188; b = b[188:] {
		cc.Check(mpegts.Packet(b[:188]))
	}
	if st := cc.Stats(); st.Errors != 0 || st.PIDs < 4 {
		t.Errorf("continuity %+v", st)
	}
}

// srt-live-transmit takes UDP and is called by us: the other direction of the
// handshake.
func TestCallsSrtLiveTransmit(t *testing.T) {
	path := program(t, "srt-live-transmit", "srt-tools")
	ports := [2]string{}
	for i := range ports {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, ports[i], _ = net.SplitHostPort(c.LocalAddr().String())
		c.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-q", "-loglevel:error", "udp://127.0.0.1:"+ports[0], "srt://127.0.0.1:"+ports[1]+"?mode=listener")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cancel()
	r := start(t, srt.URL{Addr: "127.0.0.1:" + ports[1], Options: quick})
	r.until(t, "connected", func(s Stats) bool { return s.State == Connected })
	c, err := net.Dial("udp", "127.0.0.1:"+ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stream := tsgen.New(10e6, 1).Next(nil, 7*300)
	tick := time.NewTicker(ms)
	defer tick.Stop()
	for b := stream; len(b) > 0; b = b[1316:] {
		<-tick.C
		if _, err := c.Write(b[:1316]); err != nil {
			t.Fatal(err)
		}
	}
	r.out.wait(t, len(stream))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.out.ts, stream) {
		t.Error("not what was sent")
	}
}
