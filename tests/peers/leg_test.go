package peers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quartet/tests/chain"
	"quartet/tests/freeport"
	"quartet/tests/relay"
	"quartet/uplink"
	"quartet/uplink/gateway"
)

// roomy is a total latency with time to spare: what is tested here is what comes
// out, not how soon, and the machine may be busy.
const roomy = 1500 * ms

// plan leaves the greater part of roomy unused.
func plan(rate float64) *uplink.Plan {
	return &uplink.Plan{
		K: 32, Rows: 5, Streams: 2, MaxBlock: 70 * ms, FECBound: 140 * ms, SRTLatency: 600 * ms, Latency: roomy, WireBPS: int64(1.4 * rate),
	}
}

// record has a gateway's RTP kept, from before the first packet.
func record(g *chain.Gateway) {
	g.Keep = true
	g.LastAt() // takes the lock under which Keep is read
}

// alsoTo gives a running gateway a second RTP output. That restarts the
// contribution.
func alsoTo(g *chain.Gateway, port int) {
	g.Reconfigure(func(k *chain.Contribution) {
		k.Outputs = append(slices.Clone(k.Outputs), &gateway.RTPOutput{Name: "player", Destinations: []gateway.Destination{{Address: local(port)}}})
	})
}

// toFile has a running gateway write its transport stream into a file, and
// nothing else: a file loses nothing on a busy machine.
func toFile(t testing.TB, g *chain.Gateway) (path string) {
	path = filepath.Join(t.TempDir(), "out.ts")
	g.Reconfigure(func(k *chain.Contribution) {
		k.Outputs = []gateway.OutputConfig{&gateway.FileOutput{Name: "file", Path: path}}
	})
	return path
}

// size of a file that may not be there yet.
func size(path string) int {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(st.Size())
}

// ready waits until all connections stand and all outputs are open.
func ready(c *chain.Chain) {
	c.T.Helper()
	c.Eventually(15*time.Second, "everything is connected", func() bool {
		for _, g := range c.Gateways {
			st := g.Status()
			if slices.ContainsFunc(st.Inputs, func(s gateway.InputStatus) bool { return s.State != "connected" && s.State != "receiving" }) ||
				slices.ContainsFunc(st.Peers, func(s gateway.PeerStatus) bool { return s.State != "connected" }) ||
				slices.ContainsFunc(st.Outputs, func(s gateway.OutputStats) bool { return s.State != "open" }) {
				return false
			}
		}
		return c.Sender == nil || !slices.ContainsFunc(c.Sender.Paths(), func(p *uplink.Path) bool { return p.Stats().State != uplink.StateUp })
	})
}

// Two gateways of a leg put out the same RTP packets, header and all, with
// losses on the way and when one of them is killed and starts again. ffmpeg
// plays the one, GStreamer the other.
func TestGatewaysOfALeg(t *testing.T) {
	t.Parallel()
	timed(t, gatewaysOfALeg)
}

func gatewaysOfALeg(t testing.TB) {
	path, content := encoded(t)
	want := frames(t, path)
	c := chain.New(t, chain.Config{
		Paths: 2, Peers: true, RateBPS: feedRate, Latency: roomy, Plan: plan(feedRate), Seed: 63,
		Relay: relay.Impairment{Burst: relay.Burst{Loss: 0.02, MeanPackets: 5}},
	})
	for _, g := range c.Gateways {
		record(g)
	}
	const pictures = 80 // of the 100 of the feed
	ffmpeg := ffmpegPlays(t, c, 0, pictures)
	gst := gstreamerPlays(t, c, 1, pictures)

	ready(c)

	// The feed twice: it is not looped cleanly, but nobody looks by then.
	all := append(slices.Clone(content), content...)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	wg.Go(func() {
		if err := pour(t.Context(), c.Sender, c.Now, feedRate, all); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})

	out, err := io.ReadAll(ffmpeg.out)
	if err != nil {
		t.Errorf("ffmpeg: %v", err)
	}
	ffmpeg.wait(5 * time.Second)
	if got := hashes(out); !slices.Equal(got, want[:pictures]) {
		t.Errorf("ffmpeg: %d pictures, want %d, or not the same", len(got), pictures)
	}
	gst.wait(20 * time.Second)
	if got := gst.decoded(); len(got) < pictures || !slices.Equal(got[:pictures], want[:pictures]) {
		t.Errorf("GStreamer: %d pictures, want %d, or not the same", len(got), pictures)
	}

	g := c.Gateways[1]
	g.Stop()
	stopped := len(g.Captured())
	g.Start()
	until(t, 10*time.Second, "the gateway puts out again", func() bool { return len(g.Captured()) > stopped })
	wg.Wait()
	c.Settle()

	zero, one := c.Gateways[0].Captured(), c.Gateways[1].Captured()
	if got := payload(zero); !bytes.Equal(got, all) {
		t.Errorf("gateway 0 put out %d bytes, %d sent, the same up to %d", len(got), len(all), same(got, all))
	}
	bySeq := map[uint16][]byte{}
	for i, p := range zero {
		seq := binary.BigEndian.Uint16(p[2:])
		if prev := zero[max(0, i-1)]; i > 0 && seq != binary.BigEndian.Uint16(prev[2:])+1 {
			t.Errorf("gateway 0: sequence number %d after %x", seq, prev[2:4])
		}
		bySeq[seq] = p
	}
	differ, gaps := 0, 0
	for i, p := range one {
		seq := binary.BigEndian.Uint16(p[2:])
		if !bytes.Equal(bySeq[seq], p) {
			differ++
		}
		if i > 0 && seq != binary.BigEndian.Uint16(one[i-1][2:])+1 {
			gaps++
			if i < stopped || i > stopped+50 { // what was still in the socket
				t.Errorf("gateway 1: a gap before packet %d; it was stopped after packet %d", i, stopped)
			}
		}
	}
	if differ > 0 || gaps != 1 || len(zero) < 700 || len(one)-stopped < 50 || stopped < 300 {
		t.Errorf("%d and %d packets (%d after the restart): %d differ, %d gaps", len(zero), len(one), len(one)-stopped, differ, gaps)
	}
	t.Logf("%d and %d packets, %d after the restart: identical", len(zero), len(one), len(one)-stopped)
}

// payload joins what RTP packets carry.
func payload(pkts [][]byte) (ts []byte) {
	for _, p := range pkts {
		ts = append(ts, p[rtpHeader:]...)
	}
	return ts
}

// ffmpegPlays starts ffmpeg on a gateway's RTP; it ends after n pictures and
// gives their checksums.
func ffmpegPlays(t testing.TB, c *chain.Chain, i, n int) *child {
	t.Helper()
	port := freeport.UDP(t, 1)
	// Payload type 33 is static, so this says no more than port and address.
	sdp := filepath.Join(t.TempDir(), "feed.sdp")
	text := fmt.Sprintf("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=video %d RTP/AVP 33\n", port)
	if err := os.WriteFile(sdp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := start(t, true, "ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,udp,rtp", "-buffer_size", "2000000",
		"-analyzeduration", "1000000", "-i", sdp, "-map", "0:v", "-fps_mode", "passthrough", "-frames:v", fmt.Sprint(n), "-f", "framehash", "-hash", "crc32", "-")
	until(t, 15*time.Second, "ffmpeg receives", func() bool { return bound(port) })
	alsoTo(c.Gateways[i], port)
	return tool
}

// player is a GStreamer pipeline that writes what it decoded into a file.
type player struct {
	*child
	file string
	size int // of a picture, I420, in bytes
}

// gstreamerPlays starts GStreamer on a gateway's RTP; it ends after n pictures.
// The one that ends it is swallowed, and the decoder may still give another.
func gstreamerPlays(t testing.TB, c *chain.Chain, i, n int) *player {
	t.Helper()
	port := freeport.UDP(t)
	p := &player{file: filepath.Join(t.TempDir(), "pictures"), size: 480 * 270 * 3 / 2}
	pipeline := fmt.Sprintf("-q udpsrc address=127.0.0.1 port=%d buffer-size=2000000 caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=MP2T,payload=33 ! "+
		"rtpjitterbuffer latency=100 ! rtpmp2tdepay ! tsdemux ! h264parse ! openh264dec ! identity eos-after=%d ! filesink location=%s sync=false", port, n+1, p.file)
	p.child = start(t, false, "gst-launch-1.0", strings.Fields(pipeline)...)
	until(t, 15*time.Second, "GStreamer receives", func() bool { return bound(port) })
	alsoTo(c.Gateways[i], port)
	return p
}

// decoded gives the pictures' checksums, as ffmpeg writes them.
func (p *player) decoded() (sums []string) {
	b, err := os.ReadFile(p.file)
	if err != nil {
		p.t.Error(err)
	}
	for ; len(b) >= p.size; b = b[p.size:] {
		sums = append(sums, fmt.Sprintf("%08x", crc32.ChecksumIEEE(b[:p.size])))
	}
	return sums
}
