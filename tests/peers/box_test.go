package peers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quartet/device/config"
	"quartet/device/control"
	"quartet/tests/chain"
	"quartet/tests/freeport"
)

// ffmpegLive are the arguments of a live picture and sound, three seconds of
// them, at their own rate.
const ffmpegLive = "-nostdin -hide_banner -loglevel error -re -f lavfi -i testsrc2=size=480x270:rate=25 -re -f lavfi -i sine=440:sample_rate=48000 -t 3 " +
	"-map 0:v -map 1:a -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -b:v 1500k -maxrate 1500k -bufsize 400k -pix_fmt yuv420p -c:a aac -muxrate 2500k"

// gstreamerFile plays a file at its own rate and shows what leaves for the
// network to a file, too; both pass through the same packetization.
const gstreamerFile = "-q filesrc location=%s ! tsparse set-timestamps=true alignment=7 ! tee name=t ! queue ! filesink location=%s t. ! queue ! %s udpsink host=127.0.0.1 port=%d"

// What quartetd is fed with by programs of others comes out of the gateway byte
// for byte: each program writes what it sends to a file as well.
func TestQuartetdTakesFeeds(t *testing.T) {
	t.Parallel()
	chain.Program(t, "./cmd/quartetd")
	for _, c := range []struct {
		name string
		// input changes the box's configuration; port is free.
		input func(in *config.Input, port int)
		// send runs the program, which writes what it sends to file.
		send func(t testing.TB, port int, file string) *child
		// least is the part of the file that must arrive: ffmpeg closes its SRT
		// socket without waiting for what is still on the way, and GStreamer's
		// payloader keeps the TS packets that do not fill its last packet.
		least float64
	}{
		{
			"ffmpeg calls over SRT",
			func(in *config.Input, port int) {
				in.Type, in.URL, in.Mode = config.TypeSRT, fmt.Sprintf("srt://%s", local(port)), config.ModeListener
				in.Passphrase, in.KeyLength, in.StreamID, in.LatencyMS = passphrase, 32, "studio", 200
			},
			func(t testing.TB, port int, file string) *child {
				return ffmpegTee(t, file, fmt.Sprintf("srt://%s?mode=caller&passphrase=%s&pbkeylen=32&streamid=studio&latency=200000&pkt_size=1316", local(port), passphrase))
			},
			0.75,
		},
		{
			"ffmpeg listens over SRT",
			func(in *config.Input, port int) {
				in.Type, in.URL, in.Mode = config.TypeSRT, fmt.Sprintf("srt://%s", local(port)), config.ModeCaller
				in.Passphrase, in.KeyLength, in.LatencyMS = passphrase, 16, 200
			},
			func(t testing.TB, port int, file string) *child {
				return ffmpegTee(t, file, fmt.Sprintf("srt://%s?mode=listener&passphrase=%s&latency=200000&pkt_size=1316", local(port), passphrase))
			},
			0.75,
		},
		{
			"ffmpeg over UDP",
			func(in *config.Input, port int) { in.Type, in.URL = config.TypeUDP, "udp://"+local(port) },
			func(t testing.TB, port int, file string) *child {
				return ffmpegTee(t, file, fmt.Sprintf("udp://%s?pkt_size=1316", local(port)))
			},
			1,
		},
		{
			"GStreamer over UDP",
			func(in *config.Input, port int) { in.Type, in.URL = config.TypeUDP, "udp://"+local(port) },
			func(t testing.TB, port int, file string) *child { return gstreamerTee(t, "", port, file) },
			1,
		},
		{
			"GStreamer over RTP",
			func(in *config.Input, port int) { in.Type, in.URL = config.TypeRTP, "rtp://"+local(port) },
			func(t testing.TB, port int, file string) *child { return gstreamerTee(t, "rtpmp2tpay !", port, file) },
			0.99,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timed(t, func(t testing.TB) {
				port := freeport.UDP(t)
				ch, box := chain.NewBox(t, chain.Config{Paths: 2, OneGate: true, RateBPS: 2 * feedRate, Latency: roomy, RTT: 20 * ms}, func(d *config.Box) {
					c.input(&d.Input, port)
					d.Input.LossAfterMS, d.Input.OnInputLoss, d.Input.StopAfterMS = 1500, config.LossStop, 0
					for i := range d.Paths {
						d.Paths[i].LatencyMS = 600 // leaves the greater part of roomy unused
					}
				})
				out := toFile(t, ch.Gateways[0])
				ready(ch)
				box.WaitUp()
				file := filepath.Join(t.TempDir(), "sent.ts")
				tool := c.send(t, port, file)
				tool.wait(30 * time.Second)
				sent, err := os.ReadFile(file)
				if err != nil || len(sent) < 500_000 {
					t.Fatalf("%d bytes sent, %v", len(sent), err)
				}
				least := int(c.least * float64(len(sent)))
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("%d of %d bytes in the file\nbox: %+v\n%s\ngateway: %+v", size(out), len(sent), box.Status().Input, box.Log(), ch.Gateways[0].Status().Merged)
					}
				})
				until(t, 5*time.Second, "the stream is in the file", func() bool { return size(out) >= least })
				// The box notices that the feed is over; nothing more comes.
				until(t, 5*time.Second, "the input is lost", func() bool { return box.Status().Input.State == control.InputLost })
				quiet(t, out)
				got, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.HasPrefix(sent, got) || len(got) < least {
					t.Errorf("%d bytes came out, %d sent, the same up to %d, want %d", len(got), len(sent), same(got, sent), least)
				}
				continuity(t, got)
				t.Logf("%d of %d bytes", len(got), len(sent))
				box.Kill(syscall.SIGTERM)
			})
		})
	}
}

// quiet waits until a gateway has written nothing to its file for twice the time
// that it keeps what it has.
func quiet(t testing.TB, out string) {
	last, since := -1, time.Now()
	until(t, 20*time.Second, "nothing more comes", func() bool {
		if n := size(out); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 400*ms
	})
}

// ffmpegTee has ffmpeg send the same transport stream to a file and a URL.
func ffmpegTee(t testing.TB, file, url string) *child {
	t.Helper()
	args := append(strings.Fields(ffmpegLive), "-f", "tee", "[f=mpegts]"+file+"|[f=mpegts]"+strings.NewReplacer("=", `\=`, ":", `\:`).Replace(url))
	return start(t, false, "ffmpeg", args...)
}

// gstreamerTee has GStreamer play the feed's file to a port, by way of pay.
func gstreamerTee(t testing.TB, pay string, port int, file string) *child {
	t.Helper()
	path, _ := encoded(t)
	return start(t, false, "gst-launch-1.0", strings.Fields(fmt.Sprintf(gstreamerFile, path, file, pay, port))...)
}
