package srt

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quartet/tests/freeport"
)

// plain needs no escaping in a URL: the programs differ in how they undo it.
const plain = "correct-horse-battery"

// program finds a program of others that these tests speak with.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	return path
}

// freePort is a UDP port that was free a moment ago, for programs that cannot
// choose one and tell it.
func freePort(t *testing.T) string {
	t.Helper()
	return strconv.Itoa(freeport.UDP(t))
}

// call dials until the program on the other side has begun to listen.
func call(t *testing.T, addr string, o Options) *Conn {
	t.Helper()
	ctx := within(t, 15*time.Second)
	for {
		c, err := Dial(ctx, addr, o)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			return c
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// nullTS is a stream of numbered null packets, seven to a message.
func nullTS(messages int) [][]byte {
	out := make([][]byte, messages)
	for i := range out {
		m := make([]byte, 0, TSPayload)
		for j := range 7 {
			p := bytes.Repeat([]byte{byte(i*7 + j)}, 188)
			copy(p, []byte{0x47, 0x1f, 0xff, 0x10})
			copy(p[4:], fmt.Sprintf("%08d", i*7+j))
			m = append(m, p...)
		}
		out[i] = m
	}
	return out
}

func TestSrtLiveTransmitReceives(t *testing.T) {
	port := freePort(t)
	ctx := within(t, 40*time.Second)
	cmd := exec.CommandContext(ctx, program(t, "srt-live-transmit", "srt-tools"), "-q", "-a:no", "-loglevel:error",
		"srt://127.0.0.1:"+port+"?mode=listener&passphrase="+plain+"&latency=80", "file://con")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := call(t, "127.0.0.1:"+port, Options{Passphrase: plain, KeyLength: 32, PayloadSize: TSPayload, Latency: 80 * time.Millisecond, ConnectTimeout: 500 * time.Millisecond})
	want := nullTS(2000)
	got := make([]byte, 1900*TSPayload) // the program keeps the last few in its buffer
	read := make(chan error, 1)
	go func() { _, err := io.ReadFull(pipe, got); read <- err }()
	if err := push(ctx, c, want, 2); err != nil {
		t.Error(err)
	}
	if err := <-read; err != nil {
		t.Error(err, log.String())
	}
	c.Close()
	cmd.Process.Kill()
	cmd.Wait()
	if !bytes.Equal(got, bytes.Join(want, nil)[:len(got)]) {
		t.Error("the bytes differ")
	}
}

func TestSrtLiveTransmitSends(t *testing.T) {
	l := listen(t, Options{Latency: 80 * time.Millisecond}, func(r Request) Answer {
		return Answer{OK: r.StreamID == "feed", Passphrase: plain, Reject: RejectNotFound}
	})
	ctx := within(t, 40*time.Second)
	cmd := exec.CommandContext(ctx, program(t, "srt-live-transmit", "srt-tools"), "-q", "-a:no", "-loglevel:error",
		"file://con", "srt://"+l.Addr().String()+"?mode=caller&streamid=feed&pbkeylen=24&passphrase="+plain+"&latency=80")
	feed, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	c, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err, log.String())
	}
	defer c.Close()
	if c.KeyLength() != 24 || c.StreamID() != "feed" {
		t.Errorf("key %d, stream id %q", c.KeyLength(), c.StreamID())
	}
	want := bytes.Join(nullTS(1600), nil) // the program keeps the last few in its buffer
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Add(1)
	go func() {
		defer wg.Done()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for b := want; len(b) > 0; b = b[TSPayload:] {
			<-tick.C
			if _, err := feed.Write(b[:TSPayload]); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	var got []byte
	for len(got) < 1500*TSPayload {
		if err := collect(ctx, c, NewBatch(16), 1, func(m []byte) { got = append(got, m...) }); err != nil {
			t.Fatal(err, log.String())
		}
	}
	if !bytes.HasPrefix(want, got) {
		t.Errorf("%d bytes came, %d were sent, and they differ", len(got), len(want))
	}
}

// testPicture encodes a few seconds of test picture and tone with ffmpeg.
func testPicture(t *testing.T, ffmpeg string) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "picture.ts")
	cmd := exec.CommandContext(within(t, 60*time.Second), ffmpeg, "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x180:rate=25", "-f", "lavfi", "-i", "sine=frequency=440",
		"-t", "4", "-c:v", "mpeg2video", "-b:v", "800k", "-c:a", "mp2", "-muxrate", "1500k", "-f", "mpegts", name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFfmpegReceives(t *testing.T) {
	ffmpeg := program(t, "ffmpeg", "ffmpeg")
	picture := testPicture(t, ffmpeg)
	l := listen(t, Options{Passphrase: plain, PayloadSize: TSPayload, Latency: 80 * time.Millisecond}, nil)
	ctx := within(t, 60*time.Second)
	name := filepath.Join(t.TempDir(), "received.ts")
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-nostdin", "-i",
		"srt://"+l.Addr().String()+"?mode=caller&pbkeylen=16&passphrase="+plain, "-c", "copy", "-f", "mpegts", name)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err, log.String())
	}
	defer c.Close()
	var msgs [][]byte
	for b := picture; len(b) > 0; {
		n := min(len(b), TSPayload)
		msgs = append(msgs, b[:n])
		b = b[n:]
	}
	if err := push(ctx, c, msgs, 1); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	<-time.After(c.PeerLatency() + 200*time.Millisecond) // ffmpeg drops what is not yet due
	c.Close()
	cmd.Wait() // its exit code tells only that the connection ended
	if s := log.String(); s != "" && !onlyEndOfInput(s) {
		t.Errorf("ffmpeg complains: %s", s)
	}
	count := exec.CommandContext(ctx, program(t, "ffprobe", "ffmpeg"), "-v", "error", "-count_packets", "-select_streams", "v", "-show_entries", "stream=nb_read_packets", "-of", "csv=p=0", name)
	out, err := count.CombinedOutput()
	if frames := strings.Trim(string(out), "\n, "); err != nil || !strings.HasPrefix(frames, "100") {
		t.Errorf("of 100 pictures %q arrived, %v", out, err)
	}
}

// onlyEndOfInput forgives ffmpeg's report of the connection's end.
func onlyEndOfInput(log string) bool {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "Input/output error") && !strings.Contains(line, "Connection") {
			return false
		}
	}
	return true
}

func TestFfmpegSends(t *testing.T) {
	ffmpeg := program(t, "ffmpeg", "ffmpeg")
	picture := testPicture(t, ffmpeg)
	in := filepath.Join(t.TempDir(), "in.ts")
	if err := os.WriteFile(in, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	l := listen(t, Options{Passphrase: plain, Latency: 80 * time.Millisecond}, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-nostdin", "-re", "-i", in, "-c", "copy", "-f", "mpegts",
		"srt://"+l.Addr().String()+"?mode=caller&pkt_size=1316&pbkeylen=32&passphrase="+plain)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err, log.String())
	}
	defer c.Close()
	packets := 0
	err = collect(ctx, c, NewBatch(16), 1<<30, func(m []byte) {
		if len(m)%188 != 0 {
			t.Errorf("a message of %d bytes", len(m))
		}
		for ; len(m) >= 188; m = m[188:] {
			if m[0] != 0x47 {
				t.Error("no sync byte")
			}
			packets++
		}
	})
	if werr := cmd.Wait(); werr != nil {
		t.Error(werr, log.String())
	}
	if packets < 1000 || c.KeyLength() != 32 {
		t.Errorf("%d packets, key %d, %v", packets, c.KeyLength(), err)
	}
}
