package udp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"quartet/capture/mpegts"
	"quartet/fec/st2022"
	"quartet/tests/tsgen"
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

// sending starts a program and returns what waits for its end.
func sending(t *testing.T, path string, args ...string) (wait func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() error {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("%s: %w\n%s", filepath.Base(path), err, said.Bytes())
		}
		return nil
	}
}

// ffmpeg's picture and sound, two seconds of it, at their own rate.
var ffmpegFeed = strings.Fields("-hide_banner -loglevel error -re -f lavfi -i testsrc2=size=320x180:rate=25 -re -f lavfi -i sine=440 " +
	"-t 2 -map 0:v -map 1:a -c:v mpeg2video -b:v 2000k -c:a mp2")

// checkTS demands a sound stream: no continuity error, tables, some length.
func checkTS(t *testing.T, ts []byte, atLeast int) {
	t.Helper()
	var cc mpegts.Continuity
	for b := ts; len(b) >= 188; b = b[188:] {
		cc.Check(mpegts.Packet(b[:188]))
	}
	if st := cc.Stats(); st.Errors != 0 || st.TransportErrors != 0 || st.PIDs < 4 || len(ts) < atLeast {
		t.Errorf("%d bytes, continuity %+v", len(ts), st)
	}
}

func TestFFmpegSends(t *testing.T) {
	ffmpeg := program(t, "ffmpeg", "ffmpeg")
	for name, c := range map[string]struct{ muxer, url, format string }{
		"UDP, seven packets":          {"mpegts", "udp://127.0.0.1:%d?pkt_size=1316", "ts"},
		"UDP, cut anywhere":           {"mpegts", "udp://127.0.0.1:%d", "ts"},
		"RTP":                         {"rtp_mpegts", "rtp://127.0.0.1:%d", "rtp"},
		"RTP, TS packets of one each": {"rtp_mpegts", "rtp://127.0.0.1:%d?pkt_size=212", "rtp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Config{Legs: []Address{loopback(0)}})
			url := fmt.Sprintf(c.url, r.local[0].Port())
			file := filepath.Join(t.TempDir(), "sent.ts")
			args := append([]string{}, ffmpegFeed...)
			if c.muxer == "mpegts" {
				// The same stream into a file beside it.
				args = append(args, "-f", "tee", "[f=mpegts]"+file+"|[f=mpegts]"+url)
			} else {
				args = append(args, "-f", c.muxer, url)
			}
			if err := sending(t, ffmpeg, args...)(); err != nil {
				t.Fatal(err)
			}
			sent, err := os.ReadFile(file)
			if err == nil {
				r.out.wait(t, len(sent)-4*188) // the end of a stream that is cut anywhere may wait for more
			} else {
				r.out.wait(t, 400_000)
			}
			r.stop()
			if err == nil && !bytes.HasPrefix(sent, r.out.ts) {
				t.Error("not what was sent")
			}
			checkTS(t, r.out.ts, 400_000)
			st := r.Stats()
			if l := st.Legs[0]; st.Format != c.format || l.Malformed+l.OtherSender+l.KernelDrops != 0 || st.RTP != nil && st.RTP.Lost+st.RTP.Restarts != 0 {
				t.Errorf("%+v, %+v", st, st.RTP)
			}
			if span := r.out.at[len(r.out.at)-1] - r.out.at[0]; span < 1500*ms || span > 4*time.Second {
				t.Errorf("two seconds came in %v", span)
			}
		})
	}
}

// feed is a file for GStreamer, which passes packets through as they are.
func feed(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join("..", "..", "..", "shared", "streams", "h264-1080i-eac3-dvbsub.ts")
	content, err := os.ReadFile(path)
	if err != nil {
		path = filepath.Join(t.TempDir(), "feed.ts")
		content = tsgen.New(7e6, 3).Next(nil, 5320)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path, content
}

// withoutNulls leaves out null packets.
func withoutNulls(ts []byte) (rest []byte) {
	for ; len(ts) >= 188; ts = ts[188:] {
		if p := mpegts.Packet(ts[:188]); p.PID() != mpegts.NullPID {
			rest = append(rest, p[:]...)
		}
	}
	return rest
}

func TestGStreamerSends(t *testing.T) {
	gst := program(t, "gst-launch-1.0", "gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad")
	path, content := feed(t)
	for name, c := range map[string]struct{ pay, format string }{
		"UDP": {"tsparse alignment=7 set-timestamps=true", "ts"},
		"RTP": {"tsparse set-timestamps=true ! rtpmp2tpay", "rtp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Config{Legs: []Address{loopback(0)}})
			args := strings.Fields(fmt.Sprintf("-q filesrc location=%s ! %s ! udpsink host=127.0.0.1 port=%d", path, c.pay, r.local[0].Port()))
			if err := sending(t, gst, args...)(); err != nil {
				t.Fatal(err)
			}
			// tsparse drops what precedes the first tables, and rtpmp2tpay what
			// does not fill its last packet.
			r.out.wait(t, len(content)/2)
			r.stop()
			checkTS(t, r.out.ts, len(content)/2)
			// Where it flushes, tsparse fills up with null packets of its own.
			if !bytes.Contains(withoutNulls(content), withoutNulls(r.out.ts)) {
				t.Error("not a stretch of the file")
			}
			st := r.Stats()
			if l := st.Legs[0]; st.Format != c.format || l.Malformed+l.OtherSender+l.KernelDrops != 0 || st.RTP != nil && st.RTP.Lost+st.RTP.Restarts != 0 {
				t.Errorf("%+v, %+v", st, st.RTP)
			}
			t.Logf("%d of %d bytes", len(r.out.ts), len(content))
		})
	}
}

// recorded is a datagram that a program sent, to the media port or another.
type recorded struct {
	offset int
	datagram
}

// record runs a program that sends to port, port + 2 and port + 4.
func record(t *testing.T, command func(port int) []string) (all []recorded) {
	t.Helper()
	var socks []*socket
	offsets := []int{0, st2022.ColumnPort, st2022.RowPort}
	for try := 0; len(socks) == 0; try++ {
		a := loopback(0)
		for _, o := range offsets {
			k, err := openSocket(a, o)
			if err != nil {
				if !errors.Is(err, unix.EADDRINUSE) || try > 20 {
					t.Fatal(err)
				}
				for _, k := range socks {
					k.close()
				}
				socks = nil
				break
			}
			a.Port = max(a.Port, k.local.Port()-uint16(o))
			socks = append(socks, k)
		}
	}
	args := command(int(socks[0].local.Port()))
	wait := sending(t, args[0], args[1:]...)
	done := make(chan error, 1)
	go func() { done <- wait() }()
	b := newBatch()
	tick := time.NewTicker(2 * ms)
	defer tick.Stop()
	for over := false; ; {
		for i, k := range socks {
			for {
				got, err := b.read(k, monotonic(), time.Now().UnixNano())
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range got {
					d.data = bytes.Clone(d.data)
					all = append(all, recorded{offsets[i], d})
				}
				if len(got) < batchSize {
					break
				}
			}
		}
		if over {
			break
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			over = true // and look once more
		case <-tick.C:
		}
	}
	for _, k := range socks {
		k.close()
	}
	return all
}

// ST 2022-1 of others repairs what gets lost on its way to us.
func TestFECOfOthersRepairs(t *testing.T) {
	path, _ := feed(t)
	for name, command := range map[string]func(port int) []string{
		"ffmpeg": func(port int) []string {
			return append(append([]string{program(t, "ffmpeg", "ffmpeg")}, ffmpegFeed...), "-f", "rtp_mpegts", "-fec", "prompeg=l=5:d=5", fmt.Sprintf("rtp://127.0.0.1:%d", port))
		},
		"GStreamer": func(port int) []string {
			return append([]string{program(t, "gst-launch-1.0", "gstreamer1.0-tools gstreamer1.0-plugins-bad")}, strings.Fields(fmt.Sprintf(
				"-q filesrc location=%s ! tsparse set-timestamps=true ! rtpmp2tpay ssrc=0 ! rtpst2022-1-fecenc name=f columns=5 rows=5 "+
					"f.src ! udpsink host=127.0.0.1 port=%d async=false f.fec_0 ! udpsink host=127.0.0.1 port=%d async=false f.fec_1 ! udpsink host=127.0.0.1 port=%d async=false",
				path, port, port+st2022.ColumnPort, port+st2022.RowPort))...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := record(t, command)
			media := map[int]int{}
			for _, d := range all {
				media[d.offset]++
			}
			if media[0] < 200 || media[st2022.ColumnPort] == 0 || media[st2022.RowPort] == 0 {
				t.Fatalf("datagrams by port: %v", media)
			}
			var want, got collector
			for _, out := range []*collector{&want, &got} {
				lossy := out == &got
				r, err := newReceiver(receiverConfig{addrs: []Address{{Format: FormatRTP, FEC: true}}, window: 20 * ms, fecWindow: 2 * time.Second}, out)
				if err != nil {
					t.Fatal(err)
				}
				lost, seen := 0, 0
				var now time.Duration
				for _, d := range all {
					now = max(now, d.at)
					if d.offset != 0 {
						r.recovery(0, &d.datagram)
					} else if seq := int(binary.BigEndian.Uint16(d.data[2:])); lossy && seen > 50 && seq%25 >= 10 && seq%25 < 14 && lost < 40 {
						lost++ // four in a row of every matrix, but for the first ones
					} else {
						seen++
						r.media(0, &d.datagram)
					}
					if err := r.tick(now); err != nil {
						t.Fatal(err)
					}
				}
				for end := now + 3*time.Second; now < end; now += ms {
					if err := r.tick(now); err != nil {
						t.Fatal(err)
					}
				}
				if st := r.decoder.Stats(); lossy && (int(st.Recovered) < lost || st.Lost != 0 || lost < 40) {
					t.Errorf("%d lost, %+v", lost, st)
				}
			}
			if !bytes.Equal(want.ts, got.ts) || len(got.ts) < 200_000 {
				t.Errorf("%d bytes without loss, %d with", len(want.ts), len(got.ts))
			}
			checkTS(t, got.ts, 200_000)
		})
	}
}
